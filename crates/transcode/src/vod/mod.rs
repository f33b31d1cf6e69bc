//! On demand: a file is looked at, its ladder is chosen, and units of work encode it.
//!
//! [`probe`](crate::Worker::probe) says what a file is, or why it is refused; [`plan`] cuts the work into units; [`run`](crate::Worker::run)
//! does one of them. Units write below one work folder: `<rendition>/<chunk:05>.mp4`, one track in a file, in presentation order. The
//! timestamps of all renditions are on one timeline that begins at 0, across chunks as well: a later chunk begins with an edit list
//! whose first entry is empty, and its movie timescale is that of its track, so that nothing is rounded.

mod captions;
mod check;
mod command;
mod cut;
mod folder;
mod ladder;
mod pictures;
mod plan;
mod planning;
mod preset;
mod probe;
mod rational;
mod run;
mod source;

pub use folder::{UnitDone, UnitFile};
pub use plan::{
    AudioRendition, Early, EarlyWish, Options, Plan, Rung, SideCar, TextRendition, TextSource, Unit, UnitKind,
};
pub use planning::{PlanError, plan};
pub use preset::{Container, Fit, Preset, PresetError, Profile, Rate, RungPreset, Speed};
pub use rational::Rational;
pub use source::{
    Audio, Chapter, DynamicRange, Pace, ProbeError, ProbeLimits, Reason, Rejected, Scan, Size, Source, Subtitle,
    SubtitleKind, Video,
};
