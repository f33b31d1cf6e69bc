//! What opens an asset for one viewer, in each of the three ways: signed URLs, named copies of the signature, cookies.

use anabranch_db::{AssetRow, Entitlement};
use anabranch_model::{AssetId, AssetMade, DistributionId};
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

/// For whom and how long an asset or a collection opens.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssetPlayCreate {
    /// Seconds from now; 43200 if it is missing.
    expires_in_seconds: Option<u64>,
    /// IPv4 address or block of the viewer; any if it is missing.
    ip: Option<String>,
    /// The viewer, in the caller's own words. What is in collections opens only for whom one of them admits.
    user: Option<String>,
    /// The viewer's session, to renew its signature; a new one if it is missing.
    session: Option<String>,
    /// Signs without asking whether the user may watch.
    #[serde(default)]
    preview: bool,
}

impl AssetPlayCreate {
    pub(super) fn wish(&self) -> Wish<'_> {
        Wish {
            expires_in_seconds: self.expires_in_seconds,
            ip: self.ip.as_deref(),
            user: self.user.as_deref(),
            session: self.session.as_deref(),
            preview: self.preview,
        }
    }
}

/// Where the files of an asset are on a distribution, by the address of the edge.
pub(super) struct Place {
    /// Without a slash at its end.
    edge: String,
    /// Path on the distribution, ending with a slash.
    prefix: String,
    playlist: String,
}

/// Files of an asset, each with the same signature.
pub(super) struct Files {
    pub(super) mp4_url: Option<String>,
    pub(super) poster_url: Option<String>,
    pub(super) sprite_url: Option<String>,
}

impl Place {
    /// The multivariant playlist, without a signature.
    pub(super) fn playlist(&self) -> String {
        format!("{}/{}{}", self.edge, self.prefix, self.playlist)
    }

    /// What was made beside the renditions, opened by the signature of `query`.
    pub(super) fn files(&self, made: &AssetMade, query: &str) -> Files {
        let file = |name: &str| format!("{}/{}{name}?{query}", self.edge, self.prefix);
        Files {
            mp4_url: made.mp4_name.as_ref().map(|name| file(&format!("MP4/{name}"))),
            poster_url: made.poster.then(|| file("Thumbnails/poster.jpg")),
            sprite_url: made.sprite.then(|| file("Thumbnails/sprite.vtt")),
        }
    }
}

impl App {
    pub(super) fn asset_place(&self, distribution: &DistributionId, asset: &AssetId) -> Place {
        let edge = self.config.edge_base_url.trim_end_matches('/');
        Place {
            edge: format!("{edge}/d/{distribution}"),
            prefix: key::asset_prefix(asset.as_str()),
            playlist: key::asset_playlist(asset.as_str()),
        }
    }

    pub(super) fn asset_page(&self, asset: &AssetId, query: &str) -> String {
        format!("{}/watch/asset/{asset}?{query}", self.config.watch_base_url.trim_end_matches('/'))
    }

    pub(crate) async fn asset_play_url(&self, wanted: &str, request: &AssetPlayCreate) -> Result<AssetPlay, Error> {
        let bound = self.bind(&request.wish())?;
        let row = self.db.asset_find(wanted).await?;
        if !request.preview {
            self.entitled(&row.id, bound.user.as_deref()).await?;
        }
        if !row.playable {
            let reason = row.problem.as_deref().map_or_else(String::new, |problem| format!(": {problem}"));
            let detail = format!("asset {} is {} and cannot be played yet{reason}", row.id, row.state.as_str());
            return Err(Error::Conflict(detail));
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

    /// Signs whatever there is; before there is anything it opens the page that waits for it.
    pub(super) async fn asset_play(&self, row: &AssetRow, bound: &Bound) -> Result<AssetPlay, Error> {
        let distribution = self.db.distribution_find(self.shared.as_str()).await?;
        let signer = self.signing_key(&distribution.key_groups).await?;
        let now = self.clock.now_seconds();
        let place = self.asset_place(&distribution.id, &row.id);
        let url = signer.sign(&place.playlist(), &path_policy(bound, &distribution.id, &row.id, now))?;
        let query = url.split_once('?').map_or("", |(_, query)| query).to_owned();
        let by_host = bound.policy(format!("*://*/{}*", place.prefix), ("asset", row.id.as_str()), now);
        let by_host = SignSpec::Custom(by_host);
        let (domain, port) = (&distribution.domain_name, self.config.edge_port);
        let host = format!("http://{domain}:{port}/{}{}", place.prefix, place.playlist);
        let cookies = signer.cookies(&host, &by_host)?.into_iter();
        let files = place.files(&row.report.made, &query);
        Ok(AssetPlay {
            prefix_url: format!("{url}&{}", copies(&query)),
            host_url: signer.sign(&host, &by_host)?,
            watch_url: self.asset_page(&row.id, &query),
            mp4_url: files.mp4_url,
            poster_url: files.poster_url,
            sprite_url: files.sprite_url,
            cookies: cookies.map(|(name, value)| self.cookie(name, value)).collect(),
            session: bound.session.clone(),
            user: bound.user.clone(),
            expires_at: time::render_seconds(bound.expires),
            url,
        })
    }
}

/// Opens every file of one asset by the address of the edge.
pub(super) fn path_policy(bound: &Bound, distribution: &DistributionId, asset: &AssetId, now_seconds: i64) -> SignSpec {
    let resource = format!("*://*/d/{distribution}/{}*", key::asset_prefix(asset.as_str()));
    SignSpec::Custom(bound.policy(resource, ("asset", asset.as_str()), now_seconds))
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
