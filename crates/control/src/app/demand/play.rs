//! What opens an asset for one viewer, in each of the three ways: signed URLs, named copies of the signature, cookies.

use anabranch_db::{AssetRow, Entitlement};
use anabranch_model::AssetId;
use anabranch_signing::SignSpec;
use anabranch_store::key;
use serde::Deserialize;
use utoipa::ToSchema;

use super::view::AssetPlay;
use crate::app::play::{Bound, Wish};
use crate::app::{App, Error};
use crate::time;

/// What is put behind the names of the copies (L11).
const PREFIX: &str = "-PREFIX";

/// For whom and how long an asset opens.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssetPlayCreate {
    /// Seconds from now; 43200 if it is missing.
    expires_in_seconds: Option<u64>,
    /// IPv4 address or block of the viewer; any if it is missing.
    ip: Option<String>,
    /// The viewer, in the caller's own words. An asset that is in collections opens only for whom one of them admits.
    user: Option<String>,
    /// The viewer's session, to renew its signature; a new one if it is missing.
    session: Option<String>,
    /// Signs without asking whether the user may watch.
    #[serde(default)]
    preview: bool,
}

impl App {
    pub(crate) async fn asset_play_url(&self, wanted: &str, request: &AssetPlayCreate) -> Result<AssetPlay, Error> {
        let bound = self.bind(&Wish {
            expires_in_seconds: request.expires_in_seconds,
            ip: request.ip.as_deref(),
            user: request.user.as_deref(),
            session: request.session.as_deref(),
            preview: request.preview,
        })?;
        let row = self.db.asset_find(wanted).await?;
        if !request.preview {
            self.entitled(&row.id, bound.user.as_deref()).await?;
        }
        self.asset_play(&row, &bound).await
    }

    /// Refuses who may not watch (L10).
    pub(crate) async fn entitled(&self, asset: &AssetId, user: Option<&str>) -> Result<(), Error> {
        match self.db.asset_entitlement(asset, user).await? {
            Entitlement::Free | Entitlement::Admitted => Ok(()),
            Entitlement::Refused => Err(Error::Forbidden(match user {
                Some(user) => format!("no collection with asset {asset} admits user {user:?}: add the user to one"),
                None => format!("asset {asset} is in collections that do not admit everyone: name the user"),
            })),
        }
    }

    async fn asset_play(&self, row: &AssetRow, bound: &Bound) -> Result<AssetPlay, Error> {
        if !row.playable {
            let reason = row.problem.as_deref().map_or_else(String::new, |problem| format!(": {problem}"));
            let detail = format!("asset {} is {} and cannot be played yet{reason}", row.id, row.state.as_str());
            return Err(Error::Conflict(detail));
        }
        let distribution = self.db.distribution_find(self.shared.as_str()).await?;
        let signer = self.signing_key(&distribution.key_groups).await?;
        let now = self.clock.now_seconds();
        let prefix = key::asset_prefix(row.id.as_str());
        let policy = |resource: String| SignSpec::Custom(bound.policy(resource, ("asset", row.id.as_str()), now));
        let by_path = policy(format!("*://*/d/{}/{prefix}*", distribution.id));
        let by_host = policy(format!("*://*/{prefix}*"));
        let edge = self.config.edge_base_url.trim_end_matches('/');
        let base = format!("{edge}/d/{}/{prefix}", distribution.id);
        let playlist = key::asset_playlist(row.id.as_str());
        let url = signer.sign(&format!("{base}{playlist}"), &by_path)?;
        let query = url.split_once('?').map_or("", |(_, query)| query).to_owned();
        let host = format!("http://{}:{}/{prefix}{playlist}", distribution.domain_name, self.config.edge_port);
        let cookies = signer.cookies(&host, &by_host)?.into_iter();
        let made = &row.report.made;
        let file = |name: &str| format!("{base}{name}?{query}");
        let watch = self.config.watch_base_url.trim_end_matches('/');
        Ok(AssetPlay {
            prefix_url: format!("{url}&{}", copies(&query)),
            host_url: signer.sign(&host, &by_host)?,
            watch_url: format!("{watch}/watch/asset/{}?{query}", row.id),
            mp4_url: made.mp4_name.as_ref().map(|name| file(&format!("MP4/{name}"))),
            poster_url: made.poster.then(|| file("Thumbnails/poster.jpg")),
            sprite_url: made.sprite.then(|| file("Thumbnails/sprite.vtt")),
            cookies: cookies.map(|(name, value)| self.cookie(name, value)).collect(),
            session: bound.session.clone(),
            user: bound.user.clone(),
            expires_at: time::render_seconds(bound.expires),
            url,
        })
    }
}

/// The parameters again, each under its name and [`PREFIX`].
fn copies(query: &str) -> String {
    let copies = query.split('&').filter_map(|pair| pair.split_once('='));
    copies.map(|(name, value)| format!("{name}{PREFIX}={value}")).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    #[test]
    fn parameters_are_copied_by_name() {
        let copies = super::copies("Policy=a_&Signature=b~&Key-Pair-Id=K1");
        assert_eq!(copies, "Policy-PREFIX=a_&Signature-PREFIX=b~&Key-Pair-Id-PREFIX=K1");
    }
}
