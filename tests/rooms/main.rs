//! Rooms joined without the control plane: real RTMP in, a real store, hand-made snapshots.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod failover;
