//! On demand: buckets and what arrives in them, assets, collections, access keys.

mod access_key;
mod arrivals;
mod asset;
mod bucket;
mod caption;
mod collection;
mod metadata;
mod play;
mod upload;
mod upload_error;
mod video;
mod view;
mod watch;
mod webvtt;

pub(crate) use access_key::AccessKeyCreate;
pub(crate) use arrivals::{watch_arrivals, watch_elsewhere};
pub(crate) use asset::{AssetCreate, AssetPatch, AssetQuery, AssetRetry};
pub use bucket::PrepareError;
pub(crate) use bucket::{BucketCreate, BucketPatch, LinkCreate, ObjectQuery, Removal, prepare};
pub(crate) use caption::CaptionPut;
pub(crate) use collection::CollectionPut;
pub(crate) use play::AssetPlayCreate;
pub(crate) use upload::{Receiving, SIZE_MAX, Upload, UploadCreate};
pub(crate) use upload_error::UploadError;
pub(crate) use view::{
    AccessKey, AccessKeyCreated, Asset, AssetPlay, Bucket, Caption, Collection, CollectionPlay, Link, ObjectList,
    WatchAsset, WatchCollection,
};
