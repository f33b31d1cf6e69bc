//! The cluster room: watches the playlists of every region of a live stream and says whether they are fresh.
//!
//! In: the URL of a stream, settings, a clock.
//! Out: a verdict with its evidence, statistics of each playlist, notifications to receivers elsewhere.
//! Never: media bytes, what an edge answers, tables of the control plane.
//! Spec: draft-pantos-hls-rfc8216bis; AWS Signature Version 4 for SNS and SQS.

pub mod watch;
