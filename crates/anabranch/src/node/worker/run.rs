//! One asset under way: what it is made of and with, and where its renditions go.

use std::path::PathBuf;

use anabranch_control::Progress;
use anabranch_model::AssetWork;
use anabranch_packager::vod::{self, Output};
use anabranch_store::{Buckets, LocalStore, key};
use anabranch_transcode::vod::{Container, Options, Plan, Preset};
use anabranch_transcode::{CancellationToken, Limits, Worker as Transcode};

/// Renditions of the source as it is, which are shown until there is something better.
pub(super) const EARLY: [&str; 2] = ["source", "source_audio"];

/// One asset under way.
pub(super) struct AssetRun<'a> {
    pub(super) store: &'a LocalStore,
    pub(super) buckets: &'a Buckets,
    pub(super) transcode: &'a Transcode,
    pub(super) limits: &'a Limits,
    pub(super) preset: &'a Preset,
    pub(super) options: &'a Options,
    /// Where unfinished work is kept.
    pub(super) folder: PathBuf,
    pub(super) work: AssetWork,
    pub(super) progress: Progress,
    pub(super) cancel: CancellationToken,
}

impl AssetRun<'_> {
    /// Where the renditions go. A later making has names of its own, so that caches and players never mix two.
    pub(super) fn output(&self, plan: &Plan) -> Output {
        let asset = self.work.asset.as_str();
        let stem = match self.work.generation {
            0 | 1 => asset.to_owned(),
            later => format!("{asset}-{later}"),
        };
        let prefix = format!("bucket/{}/{}HLS/", key::VOD, key::asset_prefix(asset));
        let container = match plan.preset.container {
            Container::Cmaf => vod::Container::Cmaf,
            Container::Ts => vod::Container::Ts,
        };
        Output { store: self.store.clone(), prefix, stem, container }
    }
}
