//! RTMP (Adobe "Real-Time Messaging Protocol", 1.0, and Enhanced RTMP v2), publishing side, without I/O.
//!
//! [`session::Session`] is a whole connection as one value: bytes in, bytes and events out. Its parts are public for
//! fuzzing and for peers in tests.

pub mod amf0;
pub mod chunk;
pub mod handshake;
pub mod message;
mod reply;
pub mod session;
