//! What every store of clusters does.

use anabranch_model::{ClusterId, HistoryEntry, Register, RegisterOf, Stamp, Voice, Word};
use serde_json::json;

use crate::state::Registers;
use crate::store::{HISTORY_MAX, StateStore, StoreError};

/// What is put to the test.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The store.
    pub store: &'a dyn StateStore,
    /// Two clusters that it has, without a word yet.
    pub clusters: [&'a ClusterId; 2],
}

impl std::fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subject").field("clusters", &self.clusters).finish_non_exhaustive()
    }
}

/// A time of no meaning, Unix milliseconds.
const NOW_MS: i64 = 1_767_225_600_000;

/// A word with this counter.
#[must_use]
pub fn word(region: &str, voice: Voice, word: Word, counter: u64, node: &str) -> RegisterOf {
    let at_ms = NOW_MS + i64::try_from(counter).unwrap_or(0);
    let register = Register {
        word,
        who: format!("who of {counter}"),
        why: "why, \"quoted\" and ö".to_owned(),
        since_ms: at_ms,
        from_ms: at_ms + 1,
        until_ms: counter.is_multiple_of(2).then_some(at_ms + 2),
        drill: counter.is_multiple_of(2),
        evidence: json!({ "votes": [{ "watcher": "w", "share": 0.5 }] }),
        stamp: Stamp { counter, wall_ms: at_ms, node: node.to_owned() },
    };
    RegisterOf { region: region.to_owned(), voice, register }
}

/// Runs the suite.
///
/// # Panics
/// The store does not keep the contract.
pub async fn run(subject: Subject<'_>) {
    the_newest_word_is_kept(subject).await;
    the_order_of_words_does_not_matter(subject).await;
    who_merges_at_once_loses_nothing(subject).await;
    history_is_kept_in_order_once_and_for_a_while(subject).await;
    what_is_not_there_is_said(subject).await;
}

async fn the_newest_word_is_kept(Subject { store, clusters: [cluster, other] }: Subject<'_>) {
    let load = async || store.load(cluster).await.expect("a load");
    assert_eq!(load().await, Registers::default());
    let first = word("one", Voice::Operator, Word::Closed, 2, "p1");
    let merge = async |words: &[RegisterOf]| store.merge(cluster, words, NOW_MS).await.expect("a merge");
    assert_eq!(merge(&[]).await, []);
    assert_eq!(merge(std::slice::from_ref(&first)).await, std::slice::from_ref(&first));
    assert_eq!(load().await.get("one", Voice::Operator), Some(&first.register), "everything of it is kept");
    assert_eq!(merge(std::slice::from_ref(&first)).await, [], "the same again is no news");
    assert_eq!(merge(&[word("one", Voice::Operator, Word::Open, 1, "p9")]).await, [], "an older one is no news");
    let by_node = word("one", Voice::Operator, Word::Automatic, 2, "p2");
    let beside = word("one", Voice::Automat, Word::Open, 1, "p1");
    let both = [by_node.clone(), beside.clone()];
    assert_eq!(merge(&both).await, both, "of one counter the later node wins; the other voice has its own");
    let kept = load().await;
    assert_eq!(kept.get("one", Voice::Operator), Some(&by_node.register));
    assert_eq!(kept.get("one", Voice::Automat), Some(&beside.register));
    let again =
        [by_node, word("one", Voice::Operator, Word::Open, 3, "p1"), word("one", Voice::Operator, Word::Open, 3, "p1")];
    assert_eq!(merge(&again).await.len(), 1, "of several in one call each is judged after those before");
    assert_eq!(store.load(other).await.expect("a load"), Registers::default(), "clusters are apart");
}

async fn the_order_of_words_does_not_matter(Subject { store, clusters: [one, other] }: Subject<'_>) {
    let words: Vec<RegisterOf> = (10..20)
        .flat_map(|counter| {
            let said = [Word::Open, Word::Closed, Word::Automatic][usize::try_from(counter % 3).unwrap_or(0)];
            [
                word("two", Voice::Operator, said, counter, "p1"),
                word("two", Voice::Automat, said, 30 - counter, "p2"),
                word("three", Voice::Operator, said, counter / 2, "p3"),
            ]
        })
        .collect();
    for some in words.chunks(4) {
        store.merge(one, some, NOW_MS).await.expect("a merge");
    }
    for said in words.iter().rev() {
        store.merge(other, std::slice::from_ref(said), NOW_MS).await.expect("a merge");
    }
    let (left, right) = (store.load(one).await.expect("a load"), store.load(other).await.expect("a load"));
    for (region, voice) in [("two", Voice::Operator), ("two", Voice::Automat), ("three", Voice::Operator)] {
        assert_eq!(left.get(region, voice), right.get(region, voice), "{region}");
    }
}

async fn who_merges_at_once_loses_nothing(Subject { store, clusters: [cluster, _] }: Subject<'_>) {
    let of = |region: &str| [word(region, Voice::Automat, Word::Closed, 50, "p1")];
    let (a, b, c) = (of("a"), of("b"), of("a"));
    let (first, second, third) =
        futures(store.merge(cluster, &a, NOW_MS), store.merge(cluster, &b, NOW_MS), store.merge(cluster, &c, NOW_MS))
            .await;
    let taken = [first, second, third].into_iter().map(|merged| merged.expect("a merge").len()).sum::<usize>();
    assert_eq!(taken, 2, "the same word is taken once, whoever brings it");
    let kept = store.load(cluster).await.expect("a load");
    assert!(["a", "b"].into_iter().all(|region| kept.get(region, Voice::Automat).is_some()));
}

/// Polls three replies in turn until each is there.
async fn futures<A, B, C>(
    mut a: crate::store::Reply<'_, A>,
    mut b: crate::store::Reply<'_, B>,
    mut c: crate::store::Reply<'_, C>,
) -> (Result<A, StoreError>, Result<B, StoreError>, Result<C, StoreError>) {
    let (mut done_a, mut done_b, mut done_c) = (None, None, None);
    std::future::poll_fn(move |context| {
        use std::task::Poll;
        if done_a.is_none()
            && let Poll::Ready(done) = a.as_mut().poll(context)
        {
            done_a = Some(done);
        }
        if done_b.is_none()
            && let Poll::Ready(done) = b.as_mut().poll(context)
        {
            done_b = Some(done);
        }
        if done_c.is_none()
            && let Poll::Ready(done) = c.as_mut().poll(context)
        {
            done_c = Some(done);
        }
        if done_a.is_none() || done_b.is_none() || done_c.is_none() {
            return Poll::Pending;
        }
        match (done_a.take(), done_b.take(), done_c.take()) {
            (Some(a), Some(b), Some(c)) => Poll::Ready((a, b, c)),
            _ => Poll::Pending,
        }
    })
    .await
}

fn entry(number: u64) -> HistoryEntry {
    let mut entry = HistoryEntry::of(&word("one", Voice::Automat, Word::Open, number, "p1"));
    entry.what = "withheld".to_owned();
    entry.mark = format!("mark {number}");
    entry
}

async fn history_is_kept_in_order_once_and_for_a_while(Subject { store, clusters: [cluster, other] }: Subject<'_>) {
    let list = async |before, limit| store.history_list(cluster, before, limit).await.expect("a list");
    let before = list(None, 200).await;
    assert!(before.is_sorted_by(|a, b| a.sequence > b.sequence), "the newest first");
    let marks: Vec<&str> = before.iter().map(|kept| kept.entry.mark.as_str()).collect();
    let unique: std::collections::BTreeSet<&str> = marks.iter().copied().collect();
    assert_eq!(unique.len(), marks.len(), "each decision once");
    assert!(
        before.iter().any(|kept| kept.entry == HistoryEntry::of(&word("one", Voice::Operator, Word::Closed, 2, "p1")))
    );
    let some = [entry(1), entry(2), entry(1)];
    store.history_append(cluster, &some, NOW_MS).await.expect("an append");
    store.history_append(cluster, &some, NOW_MS).await.expect("an append");
    let after = list(None, 200).await;
    assert_eq!(after.len(), before.len() + 2);
    assert_eq!((&after[0].entry, &after[1].entry), (&entry(2), &entry(1)));
    assert_eq!(list(Some(after[0].sequence), 1).await, [after[1].clone()]);
    assert_eq!(list(Some(0), 10).await, []);
    let many: Vec<HistoryEntry> = (3..3 + HISTORY_MAX).map(entry).collect();
    store.history_append(cluster, &many, NOW_MS).await.expect("an append");
    let limit = u32::try_from(HISTORY_MAX).unwrap_or(u32::MAX);
    let kept = list(None, limit + 100).await;
    assert_eq!(kept.len() as u64, HISTORY_MAX, "the oldest have gone");
    assert_eq!(kept[0].entry, entry(2 + HISTORY_MAX));
    assert!(!store.history_list(other, None, 1).await.expect("a list").is_empty(), "those of others stay");
}

async fn what_is_not_there_is_said(Subject { store, .. }: Subject<'_>) {
    let nobody = ClusterId::random();
    let words = [word("one", Voice::Operator, Word::Open, 1, "p1")];
    assert!(matches!(store.load(&nobody).await, Err(StoreError::NotFound(id)) if id == nobody));
    assert!(matches!(store.merge(&nobody, &words, NOW_MS).await, Err(StoreError::NotFound(_))));
    assert!(matches!(store.history_append(&nobody, &[entry(1)], NOW_MS).await, Err(StoreError::NotFound(_))));
    assert!(matches!(store.history_list(&nobody, None, 1).await, Err(StoreError::NotFound(_))));
}
