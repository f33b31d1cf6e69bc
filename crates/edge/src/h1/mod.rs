//! The HTTP/1.1 front: a connection loop of our own over httparse.

mod body;
pub(crate) mod chunks;
mod connection;
mod input;
mod parse;
mod patience;
mod write;

pub(crate) use connection::{Begun, linger, serve};
pub(crate) use input::PREFACE;
