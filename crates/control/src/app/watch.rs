//! What a watch page is told: the same signature opens it that opens the playlist.

use std::net::IpAddr;
use std::sync::Arc;

use anabranch_db::{BreakoutRow, DistributionRow};
use anabranch_model::BreakoutState;
use anabranch_signing::{Credentials, Denied, KeySet, PublicKey, RequestUrl, verify};

use super::view::{Watch, WatchState};
use super::{App, Error};

impl App {
    pub(crate) async fn watch_show(&self, wanted: &str, query: &str, client: IpAddr) -> Result<Watch, Error> {
        // Without a signature nobody learns which breakouts exist.
        let credentials =
            Credentials::from_query(query).and_then(|found| found.ok_or(Denied::MissingKey)).map_err(forbidden)?;
        let found = match self.db.breakout_find(wanted).await {
            Err(anabranch_db::Error::NotFound { .. }) => return Err(forbidden(Denied::WrongResource)),
            found => found?,
        };
        let distribution = self.distribution_serving(&found.channel).await?;
        let keys = self.key_set(&distribution).await?;
        let address = self.play_address(&distribution.id, &found.id);
        let url = request_url(&address, query).ok_or_else(|| Error::Forbidden("the edge has no address".to_owned()))?;
        verify(&credentials, &keys, &url, client, self.clock.now_seconds()).map_err(forbidden)?;
        let state = self.watch_state(&found);
        let problem = self.breakout_problem(&found, "the sender is not connected");
        Ok(Watch { name: found.name, state, playlist_url: format!("{address}?{}", credentials.raw_query()), problem })
    }

    async fn key_set(&self, distribution: &DistributionRow) -> Result<KeySet, Error> {
        let mut set = KeySet::default();
        for group in &distribution.key_groups {
            for row in self.db.keys_of_group(group).await? {
                let id = row.id.to_string();
                let key =
                    PublicKey::from_pem(&row.public_pem).map_err(|source| Error::Key { id: id.clone(), source })?;
                set.insert(id, Arc::new(key));
            }
        }
        Ok(set)
    }

    fn watch_state(&self, row: &BreakoutRow) -> WatchState {
        let published = self.observed.packaging(&row.id).is_some_and(|packaging| packaging.published);
        match row.state {
            BreakoutState::Completed => WatchState::Ended,
            BreakoutState::Starting | BreakoutState::Running if published => WatchState::Live,
            BreakoutState::Idle | BreakoutState::Starting | BreakoutState::Running => WatchState::Waiting,
        }
    }
}

fn forbidden(denied: Denied) -> Error {
    tracing::debug!(reason = denied.reason(), "watch page refused");
    Error::Forbidden(match denied {
        Denied::Expired => "the link has expired".to_owned(),
        Denied::NotYet => "the link does not open yet".to_owned(),
        Denied::WrongAddress => "the link is for another network address".to_owned(),
        _ => "the link does not open this breakout".to_owned(),
    })
}

/// The pieces of an absolute URL.
fn request_url<'a>(address: &'a str, query: &'a str) -> Option<RequestUrl<'a>> {
    let (scheme, rest) = address.split_once("://")?;
    let (host, path) = rest.split_at(rest.find('/')?);
    Some(RequestUrl { scheme, host, path, query: Some(query) })
}
