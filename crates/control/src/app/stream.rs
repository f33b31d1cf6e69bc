//! Streams of clusters: breakouts that have the same id in each region, so that one signature opens them all.

use anabranch_model::BreakoutId;
use aws_lc_rs::digest::{SHA256, digest};

use super::{App, Error};

/// Letters of identifiers.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Characters after the first: 65 bits.
const LEN: usize = 13;

impl App {
    /// The id of a breakout as a stream of a cluster.
    pub(super) fn stream_id(&self, cluster: &str, name: &str) -> Result<BreakoutId, Error> {
        if self.clusters.look(cluster, |_| ()).is_none() {
            let words = format!("there is no cluster with this name: {cluster:?}; create it first");
            return Err(Error::invalid("cluster", words));
        }
        Ok(stream_id(cluster, name))
    }
}

/// The same in each region that knows the cluster by this name.
fn stream_id(cluster: &str, name: &str) -> BreakoutId {
    // No name has a control character, so no two pairs make the same text.
    let hash = digest(&SHA256, format!("{cluster}\0{name}").as_bytes());
    let letters = hash.as_ref().iter().take(LEN).map(|byte| char::from(ALPHABET[usize::from(byte & 31)]));
    let text: String = std::iter::once('b').chain(letters).collect();
    text.parse().expect("letters and digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_in_each_region() {
        let id = stream_id("news", "evening");
        assert_eq!(id, stream_id("news", "evening"));
        assert_eq!((id.as_str().len(), id.as_str().starts_with('b')), (14, true));
        let others = [stream_id("news", "evening2"), stream_id("new", "sevening"), stream_id("evening", "news")];
        assert!(others.iter().all(|other| *other != id));
    }
}
