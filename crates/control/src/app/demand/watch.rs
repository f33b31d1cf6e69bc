//! What the watch pages of assets and collections are told: the viewer's own signature opens them.

use std::net::IpAddr;
use std::sync::Arc;

use anabranch_db::{AssetRow, CollectionFor, DistributionRow};
use anabranch_model::{AssetId, AssetState, CollectionId, DistributionId};
use anabranch_signing::{Credentials, Denied, ParsedPolicy, SignSpec, verify};

use super::play::{AssetPlayCreate, path_policy};
use super::view::{
    Asset, AssetPlay, CollectionPlay, WatchAsset, WatchAssetState, WatchCollection, WatchItem, duration,
};
use crate::app::key::SigningKey;
use crate::app::play::Bound;
use crate::app::watch::{bound_again, bound_of, forbidden, request_url};
use crate::app::{App, Error};
use crate::time;

/// Items of one answer at most: each is signed on the way.
const ITEMS_MAX: u32 = 48;

/// What a viewer's signature has opened.
struct Opened {
    distribution: DistributionRow,
    credentials: Credentials,
    policy: Arc<ParsedPolicy>,
}

impl Opened {
    fn is_preview(&self) -> bool {
        self.policy.claim("preview") == Some(&serde_json::Value::Bool(true))
    }

    fn user(&self) -> Option<&str> {
        self.policy.claim("user").and_then(serde_json::Value::as_str)
    }
}

impl App {
    pub(crate) async fn asset_watch(&self, wanted: &str, query: &str, client: IpAddr) -> Result<WatchAsset, Error> {
        let (opened, row) = self.asset_opened(wanted, query, client).await?;
        let place = self.asset_place(&opened.distribution.id, &row.id);
        let query = opened.credentials.raw_query();
        let files = place.files(&row.report.made, query);
        let (state, playable) = (state_of(&row), row.playable);
        let view = self.asset_view(row).await?;
        Ok(WatchAsset {
            state,
            playlist_url: playable.then(|| format!("{}?{query}", place.playlist())),
            poster_url: files.poster_url,
            sprite_url: files.sprite_url,
            mp4_url: files.mp4_url,
            user: opened.user().map(str::to_owned),
            expires_at: time::render_seconds(opened.policy.expires()),
            expires_in_seconds: opened.policy.expires().saturating_sub(self.clock.now_seconds()),
            problem: problem_of(state, &view),
            id: view.id,
            name: view.name,
            partial: view.partial,
            progress_percent: view.progress_percent,
            duration_seconds: view.duration_seconds,
            rungs: view.rungs,
            rungs_planned: view.rungs_planned,
            audio: view.audio,
            captions: view.captions,
        })
    }

    /// Another signature for a viewer whose own has not ended yet and who still may watch: for the same session, and for as long
    /// again.
    pub(crate) async fn asset_watch_renew(
        &self,
        wanted: &str,
        query: &str,
        client: IpAddr,
    ) -> Result<AssetPlay, Error> {
        let (opened, row) = self.asset_opened(wanted, query, client).await?;
        let (bound, _) = bound_again(&opened.policy, self.clock.now_seconds())?;
        self.asset_play(&row, &bound).await
    }

    /// Signs the page of a collection; whom it does not admit is refused.
    pub(crate) async fn collection_play_url(
        &self,
        wanted: &str,
        request: &AssetPlayCreate,
    ) -> Result<CollectionPlay, Error> {
        let bound = self.bind(&request.wish())?;
        let found = self.db.collection_for(wanted, bound.user.as_deref()).await?;
        if !bound.preview && !found.admitted {
            return Err(Error::Forbidden(match &bound.user {
                Some(user) => format!("collection {} does not admit user {user:?}: add the user to it", found.name),
                None => format!("collection {} does not admit everyone: name the user", found.name),
            }));
        }
        self.collection_play(&found.id, &bound).await
    }

    /// The list of a collection; `skip` is the number of its assets that the page has already.
    pub(crate) async fn collection_watch(
        &self,
        wanted: &str,
        skip: u32,
        query: &str,
        client: IpAddr,
    ) -> Result<WatchCollection, Error> {
        let (opened, found) = self.collection_opened(wanted, query, client).await?;
        let bound = bound_of(&opened.policy)?;
        let now = self.clock.now_seconds();
        let mut rows = self.db.collection_assets(&found.id, skip, ITEMS_MAX + 1).await?;
        let more = rows.len() > ITEMS_MAX as usize;
        rows.truncate(ITEMS_MAX as usize);
        let signer = self.signing_key(&opened.distribution.key_groups).await?;
        let queries = signed(signer, bound, &opened.distribution.id, &rows, now).await?;
        let items = rows.iter().zip(queries).map(|(row, query)| WatchItem {
            id: row.id.to_string(),
            name: row.name.clone(),
            state: state_of(row),
            duration_seconds: duration(&row.report.made, row.report.source.as_ref()),
            poster_url: self.asset_place(&opened.distribution.id, &row.id).files(&row.report.made, &query).poster_url,
            watch_url: self.asset_page(&row.id, &query),
        });
        Ok(WatchCollection {
            items: items.collect(),
            next: more.then(|| skip.saturating_add(ITEMS_MAX)),
            user: opened.user().map(str::to_owned),
            expires_at: time::render_seconds(opened.policy.expires()),
            expires_in_seconds: opened.policy.expires().saturating_sub(now),
            id: found.id.into(),
            name: found.name,
            description: found.description,
        })
    }

    /// As [`Self::asset_watch_renew`].
    pub(crate) async fn collection_watch_renew(
        &self,
        wanted: &str,
        query: &str,
        client: IpAddr,
    ) -> Result<CollectionPlay, Error> {
        let (opened, found) = self.collection_opened(wanted, query, client).await?;
        let (bound, _) = bound_again(&opened.policy, self.clock.now_seconds())?;
        self.collection_play(&found.id, &bound).await
    }

    async fn collection_play(&self, collection: &CollectionId, bound: &Bound) -> Result<CollectionPlay, Error> {
        let distribution = self.db.distribution_find(self.shared.as_str()).await?;
        let signer = self.signing_key(&distribution.key_groups).await?;
        let place = collection_place(collection);
        // No file is there: the signature opens nothing but what this room answers.
        let resource = format!("*://*/d/{}/{place}*", distribution.id);
        let policy = bound.policy(resource, ("collection", collection.as_str()), self.clock.now_seconds());
        let url = signer.sign(&self.place_url(&distribution.id, &place), &SignSpec::Custom(policy))?;
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let watch = self.config.watch_base_url.trim_end_matches('/');
        Ok(CollectionPlay {
            watch_url: format!("{watch}/watch/collection/{collection}?{query}"),
            session: bound.session.clone(),
            user: bound.user.clone(),
            expires_at: time::render_seconds(bound.expires),
        })
    }

    async fn asset_opened(&self, wanted: &str, query: &str, client: IpAddr) -> Result<(Opened, AssetRow), Error> {
        // Without a signature nobody learns which assets exist.
        let Ok(id) = wanted.parse::<AssetId>() else { return Err(forbidden(Denied::WrongResource, "asset")) };
        let place = |distribution: &DistributionRow| self.asset_place(&distribution.id, &id).playlist();
        let opened = self.opened_by("asset", place, query, client).await?;
        let row = self.db.asset_find(id.as_str()).await?;
        if opened.is_preview() {
            return Ok((opened, row));
        }
        match self.entitled(&row.id, opened.user()).await {
            Ok(()) => Ok((opened, row)),
            Err(Error::Forbidden(_)) => Err(unadmitted("asset")),
            Err(error) => Err(error),
        }
    }

    async fn collection_opened(
        &self,
        wanted: &str,
        query: &str,
        client: IpAddr,
    ) -> Result<(Opened, CollectionFor), Error> {
        let Ok(id) = wanted.parse::<CollectionId>() else { return Err(forbidden(Denied::WrongResource, "collection")) };
        let place = |distribution: &DistributionRow| self.place_url(&distribution.id, &collection_place(&id));
        let opened = self.opened_by("collection", place, query, client).await?;
        let found = self.db.collection_for(id.as_str(), opened.user()).await?;
        if !opened.is_preview() && !found.admitted {
            return Err(unadmitted("collection"));
        }
        Ok((opened, found))
    }

    async fn opened_by(
        &self,
        subject: &str,
        place: impl Fn(&DistributionRow) -> String,
        query: &str,
        client: IpAddr,
    ) -> Result<Opened, Error> {
        let forbidden = |denied| forbidden(denied, subject);
        let credentials =
            Credentials::from_query(query).and_then(|found| found.ok_or(Denied::MissingKey)).map_err(forbidden)?;
        let distribution = self.db.distribution_find(self.shared.as_str()).await?;
        let keys = self.key_set(&distribution).await?;
        let address = place(&distribution);
        let url = request_url(&address, query).ok_or_else(|| Error::Forbidden("the edge has no address".to_owned()))?;
        let verified = verify(&credentials, &keys, &url, client, self.clock.now_seconds()).map_err(forbidden)?;
        Ok(Opened { distribution, credentials, policy: verified.policy })
    }

    fn place_url(&self, distribution: &DistributionId, place: &str) -> String {
        format!("{}/d/{distribution}/{place}", self.config.edge_base_url.trim_end_matches('/'))
    }
}

/// Path on the shared distribution that stands for a collection in policies, ending with a slash.
fn collection_place(collection: &CollectionId) -> String {
    format!("collections/{collection}/")
}

/// Queries that open each asset for the same viewer. Signing is work, and not for the threads that answer.
async fn signed(
    signer: SigningKey,
    bound: Bound,
    distribution: &DistributionId,
    rows: &[AssetRow],
    now_seconds: i64,
) -> Result<Vec<String>, Error> {
    let distribution = distribution.clone();
    let assets: Vec<AssetId> = rows.iter().map(|row| row.id.clone()).collect();
    let signing = move || {
        let sign = |asset: &AssetId| {
            // A custom policy names its own resource; the URL only carries the query.
            let url = signer.sign("http://edge/", &path_policy(&bound, &distribution, asset, now_seconds))?;
            Ok(url.split_once('?').map_or_else(String::new, |(_, query)| query.to_owned()))
        };
        assets.iter().map(sign).collect()
    };
    tokio::task::spawn_blocking(signing).await?
}

/// Words for viewers, who cannot do what operators are told.
fn unadmitted(subject: &str) -> Error {
    Error::Forbidden(format!("you may not watch this {subject}: ask who gave you the link"))
}

fn state_of(row: &AssetRow) -> WatchAssetState {
    match row.state {
        AssetState::Queued if !row.playable => WatchAssetState::Waiting,
        AssetState::Queued | AssetState::Processing => WatchAssetState::Processing,
        AssetState::Ready => WatchAssetState::Ready,
        // What an earlier making has left can be watched.
        AssetState::Failed | AssetState::Cancelled if row.playable => WatchAssetState::Ready,
        AssetState::Failed | AssetState::Cancelled => WatchAssetState::Failed,
    }
}

fn problem_of(state: WatchAssetState, asset: &Asset) -> Option<String> {
    match (state, asset.state) {
        (WatchAssetState::Failed, AssetState::Cancelled) => Some("its making was cancelled".to_owned()),
        (WatchAssetState::Failed, _) => asset.problem.clone(),
        _ => None,
    }
}
