use anabranch_model::{DistributionId, VIEWERS_MAX};

use super::*;
use crate::node::remote::viewers::tests::seen;

fn node() -> NodeName {
    "edge-1".parse().unwrap()
}

fn one(distribution: &DistributionId, behavior: &str, requests: u64) -> Traffic {
    Traffic { behavior: behavior.into(), requests, hits: requests, ..Traffic::none(distribution.clone()) }
}

/// Takes every batch as the control plane would, and gives numbers and the sum of requests.
fn drain(spool: &mut Spool) -> (Vec<u64>, u64) {
    let (mut numbers, mut requests) = (Vec::new(), 0);
    while let Some((sequence, bytes)) = spool.oldest() {
        assert!(bytes.len() <= REPORT_BYTES_MAX);
        let batch: ReportBatch = serde_json::from_slice(&bytes).unwrap();
        assert_eq!((batch.sequence, &batch.spool), (sequence, spool.id()));
        let rows = traffic_of(batch);
        assert!(rows.len() <= REPORT_ROWS_MAX);
        requests += rows.iter().map(|row| row.requests).sum::<u64>();
        numbers.push(sequence);
        spool.acknowledged(sequence).unwrap();
    }
    (numbers, requests)
}

#[test]
fn batches_survive_a_restart_and_numbers_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let distribution = DistributionId::random();
    let mut spool = Spool::open(dir.path()).unwrap();
    let id = spool.id().clone();
    for _ in 0..3 {
        spool.append(&node(), vec![one(&distribution, "*", 2)]).unwrap();
    }
    spool.append(&node(), Vec::new()).unwrap();
    let (first, _) = spool.oldest().unwrap();
    spool.acknowledged(first).unwrap();
    let mut spool = Spool::open(dir.path()).unwrap();
    assert_eq!(spool.id(), &id);
    assert_eq!(drain(&mut spool), (vec![2, 3], 4));
    let mut spool = Spool::open(dir.path()).unwrap();
    spool.append(&node(), vec![one(&distribution, "*", 1)]).unwrap();
    assert_eq!(drain(&mut spool), (vec![4], 1));
}

#[test]
fn a_full_spool_adds_up_and_leaves_the_oldest_alone() {
    let dir = tempfile::tempdir().unwrap();
    let distribution = DistributionId::random();
    let mut spool = Spool::open(dir.path()).unwrap();
    spool.append(&node(), vec![one(&distribution, "*", 1)]).unwrap();
    let oldest = spool.oldest().unwrap();
    for number in 0..200 {
        spool.append(&node(), vec![one(&distribution, &format!("/{number}/*"), 1)]).unwrap();
    }
    assert_eq!(spool.waiting(), BATCHES_MAX);
    assert_eq!(spool.oldest().unwrap(), oldest);
    let (numbers, requests) = drain(&mut spool);
    assert_eq!((numbers.len(), requests), (BATCHES_MAX, 201));
}

/// Takes every batch as the control plane would, and gives the rows of viewers.
fn drain_viewers(spool: &mut Spool) -> Viewers {
    let mut rows = Viewers::new();
    while let Some((sequence, bytes)) = spool.oldest() {
        assert!(bytes.len() <= REPORT_BYTES_MAX);
        let more = viewers::viewers_of(serde_json::from_slice(&bytes).unwrap());
        assert!(more.len() <= VIEWERS_MAX);
        more.into_values().for_each(|one| viewers::put(&mut rows, one));
        spool.acknowledged(sequence).unwrap();
        spool.flush_viewers(&node()).unwrap();
    }
    rows
}

#[test]
fn sessions_merge_while_the_control_plane_is_away() {
    let dir = tempfile::tempdir().unwrap();
    let distribution = DistributionId::random();
    let mut spool = Spool::open(dir.path()).unwrap();
    for round in 0..100 {
        let rows = (0..600).map(|session| seen(&format!("s{session}"), round)).collect();
        spool.append_viewers(&node(), rows).unwrap();
    }
    assert_eq!((spool.of_viewers.len(), spool.seen.len()), (VIEWER_BATCHES_MAX, 600));
    // Batches of traffic have a bound of their own.
    for number in 0..100 {
        spool.append(&node(), vec![one(&distribution, &format!("/{number}/*"), 1)]).unwrap();
    }
    assert_eq!(spool.waiting(), VIEWER_BATCHES_MAX + BATCHES_MAX);
    spool.merge_viewers(&node()).unwrap();
    assert!(spool.seen.is_empty());
    let mut spool = Spool::open(dir.path()).unwrap();
    assert_eq!(spool.of_viewers.len(), VIEWER_BATCHES_MAX);
    let rows = drain_viewers(&mut spool);
    assert_eq!(rows.len(), 600);
    assert!(rows.values().all(|one| (one.first_ms, one.last_ms, one.bytes) == (0, 99, 100)));
    assert_eq!((spool.waiting(), spool.of_viewers.len()), (0, 0));
}

#[test]
fn of_too_many_sessions_the_oldest_are_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(dir.path()).unwrap();
    let first = (0..VIEWERS_MAX).map(|session| seen(&format!("s{session}"), -1)).collect();
    spool.append_viewers(&node(), first).unwrap();
    let oldest = spool.oldest().unwrap();
    for round in 0..44 {
        let rows = (0..VIEWERS_MAX).map(|session| seen(&format!("s{round}-{session}"), round)).collect();
        spool.append_viewers(&node(), rows).unwrap();
        assert!(spool.seen.len() <= VIEWERS_LOOSE_MAX);
    }
    assert_eq!(spool.oldest().unwrap(), oldest, "what may have been sent is never changed");
    let rows = drain_viewers(&mut spool);
    let loose = VIEWERS_LOOSE_MAX / 2..=VIEWERS_LOOSE_MAX;
    assert!(loose.contains(&(rows.len() - VIEWER_BATCHES_MAX * VIEWERS_MAX)), "{}", rows.len());
    assert_eq!(rows.values().filter(|one| one.last_ms == 43).count(), VIEWERS_MAX);
}

#[test]
fn viewers_whom_the_disk_does_not_take_go_with_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let reports = dir.path().join("reports");
    let mut spool = Spool::open(&reports).unwrap();
    fs::remove_dir_all(&reports).unwrap();
    spool.append_viewers(&node(), vec![seen("s1", 1)]).unwrap_err();
    fs::create_dir(&reports).unwrap();
    spool.append_viewers(&node(), vec![seen("s1", 2), seen("s2", 2)]).unwrap();
    let rows: Vec<_> = drain_viewers(&mut spool).into_values().collect();
    assert_eq!(rows.iter().map(|one| (one.first_ms, one.bytes)).collect::<Vec<_>>(), [(1, 2), (2, 1)]);
}

#[test]
fn detail_is_given_up_before_counts_are() {
    let distributions: Vec<_> = (0..40).map(|_| DistributionId::random()).collect();
    let dir = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(dir.path()).unwrap();
    let mut asked = 0;
    for round in 0..15 {
        let traffic = (0..3000).map(|number| {
            asked += 1;
            let breakout = format!("b{round}-{number}").parse().ok();
            Traffic { breakout, ..one(&distributions[number % 40], &format!("/{number}/*"), 1) }
        });
        spool.append(&node(), traffic.collect()).unwrap();
    }
    assert!(spool.waiting() <= BATCHES_MAX);
    assert!(spool.loose.is_empty());
    assert_eq!(drain(&mut spool).1, asked);
}

#[test]
fn ruins_are_put_aside_and_the_rest_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let distribution = DistributionId::random();
    let mut spool = Spool::open(dir.path()).unwrap();
    for _ in 0..3 {
        spool.append(&node(), vec![one(&distribution, "*", 1)]).unwrap();
    }
    fs::write(spool.path(1, WAITING), "{").unwrap();
    fs::write(dir.path().join("00000000000000000009.unfinished"), "{").unwrap();
    let mut spool = Spool::open(dir.path()).unwrap();
    assert_eq!(drain(&mut spool), (vec![2, 3], 2));
    assert!(spool.path(1, REFUSED).exists());
}

#[test]
fn what_the_disk_does_not_take_goes_with_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let distribution = DistributionId::random();
    let reports = dir.path().join("reports");
    let mut spool = Spool::open(&reports).unwrap();
    fs::remove_dir_all(&reports).unwrap();
    spool.append(&node(), vec![one(&distribution, "*", 5)]).unwrap_err();
    fs::create_dir(&reports).unwrap();
    spool.append(&node(), vec![one(&distribution, "*", 1)]).unwrap();
    assert_eq!(drain(&mut spool), (vec![1], 6));
}

#[test]
fn what_a_journal_holds_is_kept_once() {
    let dir = tempfile::tempdir().unwrap();
    let distribution = DistributionId::random();
    let mut spool = Spool::open(dir.path()).unwrap();
    let quality = vec![Quality { breakout: "b1".parse().ok(), told: 3, ..Quality::default() }];
    spool.append_counted(&node(), 1, vec![one(&distribution, "*", 2)], quality).unwrap();
    spool.append_counted(&node(), 2, vec![one(&distribution, "*", 3)], Vec::new()).unwrap();
    spool.append_counted(&node(), 2, vec![one(&distribution, "*", 3)], Vec::new()).unwrap();
    assert_eq!(spool.journal(), 2);
    let (first, bytes) = spool.oldest().unwrap();
    let batch: ReportBatch = serde_json::from_slice(&bytes).unwrap();
    assert!(matches!(&batch.reports[1], Report::Quality(rows) if rows[0].told == 3));
    spool.acknowledged(first).unwrap();
    let mut spool = Spool::open(dir.path()).unwrap();
    assert_eq!(spool.journal(), 2);
    spool.append_counted(&node(), 2, vec![one(&distribution, "*", 3)], Vec::new()).unwrap();
    // Viewers' batches know of the journal, too: only the last one that was acknowledged stays.
    spool.append_viewers(&node(), vec![seen("s1", 1)]).unwrap();
    assert_eq!(drain(&mut spool), (vec![2, 3], 3));
    assert_eq!(Spool::open(dir.path()).unwrap().journal(), 2);
}

#[test]
fn a_full_spool_takes_a_journal_in_whole() {
    let dir = tempfile::tempdir().unwrap();
    let distribution = DistributionId::random();
    let mut spool = Spool::open(dir.path()).unwrap();
    for generation in 1..=100 {
        let rows = (0..30).map(|number| Traffic { minute: 60 * number, ..one(&distribution, "*", 1) }).collect();
        spool.append_counted(&node(), generation, rows, Vec::new()).unwrap();
        assert_eq!(spool.journal(), generation);
    }
    assert_eq!(spool.waiting(), BATCHES_MAX);
    let mut spool = Spool::open(dir.path()).unwrap();
    assert_eq!((spool.journal(), drain(&mut spool).1), (100, 3000));
    let reports = dir.path().join("reports");
    let mut spool = Spool::open(&reports).unwrap();
    fs::remove_dir_all(&reports).unwrap();
    spool.append_counted(&node(), 101, vec![one(&distribution, "*", 5)], Vec::new()).unwrap_err();
    assert_eq!(spool.journal(), 0);
    fs::create_dir(&reports).unwrap();
    spool.append_counted(&node(), 102, vec![one(&distribution, "*", 1)], Vec::new()).unwrap();
    assert_eq!((spool.journal(), drain(&mut spool).1), (102, 6));
}
