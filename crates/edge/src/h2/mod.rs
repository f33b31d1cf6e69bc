//! The HTTP/2 front: a connection loop of our own over the same river (RFC 9113, RFC 7541).
//!
//! [`connection`] and [`receive`] are the protocol without input and output, [`hpack`] is its compression, [`front`] moves bytes
//! and runs the river.

mod bells;
mod calm;
mod connection;
mod frame;
mod front;
mod head;
mod hpack;
mod inbox;
mod lane;
mod life;
mod outbox;
mod outgoing;
mod receive;
mod stream;
#[cfg(test)]
mod tests;

pub(crate) use front::serve;

/// Gives `bytes` to a connection in pieces as long as `pieces` say, one after another. For fuzzing: no bytes of a peer may bring
/// more than a farewell about.
pub(crate) fn receive_any(bytes: &[u8], pieces: &[u8]) {
    /// Any limit will do.
    const MAX_HEAD_BYTES: usize = 2000;
    let mut connection = connection::Connection::new(MAX_HEAD_BYTES);
    let mut pieces = pieces.iter().cycle();
    let (mut begin, mut end) = (0, 0);
    while end < bytes.len() {
        end = (end + 1 + pieces.next().map_or(0, |piece| usize::from(*piece))).min(bytes.len());
        match connection.receive(&bytes[begin..end]) {
            Ok((used, _)) => begin += used,
            Err(reason) => return connection.fail(reason),
        }
        while let Some(id) = connection.begun.pop_front() {
            if id % 3 == 0
                && let Some(index) = connection.streams.find(id)
            {
                connection.finish(index);
            }
        }
    }
}
