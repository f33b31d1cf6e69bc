//! Regions that hear one encoder, each in its own way, and what they tell each other.

use std::collections::{BTreeMap, BTreeSet};

use anabranch_media::{Codec, Event, Sample, Track};
use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::publisher::segment_body;
use crate::segmenter::Segmenter;

/// Time of day at which the encoder's clock began.
const BEGIN_MS: i64 = 1_700_000_000_123;

/// What an encoder sends: its own time, and the sample.
type Sent = (i64, TrackKind, bool, Bytes);

/// One connection of the encoder to a region.
#[derive(Clone, Debug)]
struct Leg {
    from_ms: i64,
    to_ms: i64,
    /// Added to the encoder's times.
    rebase_ms: i64,
    /// The region's process dies with it.
    killed: bool,
}

#[derive(Clone, Debug)]
struct Region {
    name: &'static str,
    delay_ms: i64,
    legs: Vec<Leg>,
}

/// A region that hears all from `from_ms` on.
fn region(name: &'static str, from_ms: i64, rebase_ms: i64, delay_ms: i64) -> Region {
    Region { name, delay_ms, legs: vec![Leg { from_ms, to_ms: i64::MAX, rebase_ms, killed: false }] }
}

#[derive(Debug, PartialEq)]
struct Made {
    date_ms: i64,
    seconds: f64,
    discontinuities: u64,
    /// Of each part.
    bodies: Vec<(TrackKind, String)>,
}

#[derive(Debug, Default)]
struct Outcome {
    segments: BTreeMap<u64, Made>,
    /// Numbers of segments that ended with a connection.
    short: BTreeSet<u64>,
    problem: Option<String>,
}

fn track(kind: TrackKind, config: &'static [u8]) -> Arc<Track> {
    let is_video = kind == TrackKind::Video;
    Arc::new(Track {
        kind,
        timescale: 1000,
        codec: if is_video {
            Codec::H264(Bytes::from_static(config))
        } else {
            Codec::Aac(Bytes::from_static(&[0x12, 0x10]))
        },
        codecs: if is_video { "avc1.64001f" } else { "mp4a.40.2" }.into(),
        width: if is_video { 1280 } else { 0 },
        height: if is_video { 720 } else { 0 },
        sample_rate: if is_video { 0 } else { 44_100 },
        channels: if is_video { 0 } else { 2 },
        frame_samples: if is_video { 0 } else { 1024 },
    })
}

/// 25 pictures a second and their sound, with a keyframe where `is_key` says so of the number of the picture.
fn encoder(length_ms: i64, is_key: impl Fn(i64) -> bool) -> Vec<Sent> {
    let picture = |n: i64| (n * 40, TrackKind::Video, is_key(n), Bytes::from(format!("picture {n}")));
    let sound = |n: i64| ((n * 1_024_000 + 22_050) / 44_100, TrackKind::Audio, true, Bytes::from(format!("sound {n}")));
    let mut sent: Vec<Sent> = (0..length_ms / 40).map(picture).collect();
    sent.extend((0..length_ms * 441 / 10_240).map(sound));
    sent.sort_by_key(|(ms, ..)| *ms);
    sent
}

fn every(gop_ms: i64) -> impl Fn(i64) -> bool {
    move |n| (n * 40) % gop_ms == 0
}

fn spec(name: &str, all: &[Region]) -> AlignedSpec {
    let peers = all.iter().map(|region| region.name.to_owned()).filter(|peer| peer != name).collect();
    AlignedSpec { stream: "s".to_owned(), region: name.to_owned(), peers }
}

/// Lets all regions hear `sent`, and each other after `latency_ms`, from `linked_ms` on.
fn run(sent: &[Sent], target: u32, regions: &[Region], latency_ms: i64, linked_ms: i64) -> Vec<Outcome> {
    struct Running {
        segmenter: Segmenter,
        kept: Kept,
        leg: Option<usize>,
        outcome: Outcome,
    }
    let mut running: Vec<Running> = regions
        .iter()
        .map(|region| Running {
            segmenter: Segmenter::aligned(target, spec(region.name, regions), Kept::default()),
            kept: Kept::default(),
            leg: None,
            outcome: Outcome::default(),
        })
        .collect();
    let mut arrivals: Vec<(i64, usize, usize, &Sent)> = Vec::new();
    for (at, region) in regions.iter().enumerate() {
        for one in sent {
            let leg = region.legs.iter().position(|leg| (leg.from_ms..leg.to_ms).contains(&one.0));
            arrivals.extend(leg.map(|leg| (BEGIN_MS + one.0 + region.delay_ms, at, leg, one)));
        }
    }
    arrivals.sort_by_key(|(now_ms, ..)| *now_ms);
    let mut words: Vec<(i64, Anchors)> = Vec::new();
    for (now_ms, at, leg, (ms, kind, keyframe, data)) in arrivals {
        let this = &mut running[at];
        let mut closed = Vec::new();
        if this.leg != Some(leg) {
            if let Some(ended) = this.leg.replace(leg) {
                if regions[at].legs[ended].killed {
                    this.segmenter = Segmenter::aligned(target, spec(regions[at].name, regions), this.kept.clone());
                } else {
                    this.segmenter.end_session(&mut closed);
                    this.outcome.short.extend(closed.iter().filter_map(|c| Some(c.seat.as_ref()?.msn)));
                }
            }
            for kind in [TrackKind::Video, TrackKind::Audio] {
                this.segmenter.push(Event::Track(track(kind, b"a")), now_ms, &mut closed);
            }
        }
        let mut heard: BTreeMap<&str, &Anchors> = BTreeMap::new();
        for (due_ms, word) in &words {
            if *due_ms <= now_ms && word.region != regions[at].name && now_ms >= BEGIN_MS + linked_ms {
                heard.insert(&word.region, word);
            }
        }
        this.segmenter.hear(Arc::new(heard.into_values().cloned().collect()));
        let dts = ms + regions[at].legs[leg].rebase_ms;
        let sample = Sample { kind: *kind, dts, pts: dts + 40, keyframe: *keyframe, data: data.clone() };
        this.segmenter.push(Event::Sample(sample), now_ms, &mut closed);
        if let Some(word) = this.segmenter.told() {
            this.outcome.problem.clone_from(&word.problem);
            words.retain(|(due_ms, earlier)| earlier.region != word.region || *due_ms > now_ms - 20_000);
            words.push((now_ms + latency_ms, word));
        }
        for closed in closed {
            let (msn, made, kept) = made(closed);
            this.kept = kept;
            assert!(this.outcome.segments.insert(msn, made).is_none(), "the number {msn} was used twice");
        }
    }
    running.into_iter().map(|running| running.outcome).collect()
}

fn made(closed: Closed) -> (u64, Made, Kept) {
    let Seat { msn, kept } = closed.seat.expect("an aligned segment");
    let seconds = closed.parts[0].run.duration_seconds;
    let bodies = closed.parts.into_iter().map(|part| {
        let kind = part.track.kind;
        (kind, digest::of(&segment_body(msn, part).expect("a segment")))
    });
    let bodies = bodies.collect();
    let made = Made { date_ms: closed.program_date_time_ms, seconds, discontinuities: kept.discontinuities, bodies };
    (msn, made, kept)
}

/// Where both have a number they have the same; returns how many those are.
fn alike(one: &Outcome, other: &Outcome) -> usize {
    let mut count = 0;
    for (msn, made) in &one.segments {
        let Some(others) = other.segments.get(msn) else { continue };
        if one.short.contains(msn) || other.short.contains(msn) {
            continue;
        }
        assert_eq!(made, others, "segment {msn}");
        count += 1;
    }
    count
}

/// Whether `other`, which hears the encoder from `from_ms` on, has whatever `one` has since a slot and two keyframes later, but for
/// its last two.
fn covers(one: &Outcome, other: &Outcome, from_ms: i64, (target, gop_ms): (u32, i64)) {
    let since_ms = BEGIN_MS + from_ms + i64::from(target) * 1000 + 2 * gop_ms + 2_000;
    let last = one.segments.keys().rev().nth(2).copied().unwrap_or(0);
    for (msn, made) in &one.segments {
        if *msn < last && !one.short.contains(msn) && made.date_ms > since_ms {
            assert!(other.segments.contains_key(msn), "segment {msn} of {:?}", one.segments.keys());
        }
    }
}

#[test]
fn a_region_that_comes_late_makes_the_same() {
    let sent = encoder(60_000, every(2000));
    let regions = [region("a", 0, 0, 20), region("b", 21_380, -21_380, 350)];
    let made = run(&sent, 6, &regions, 500, 0);
    assert!(made[0].segments.len() >= 8, "{:?}", made[0].segments.keys());
    assert!(made[1].segments.len() >= 4, "{:?}", made[1].segments.keys());
    assert_eq!(alike(&made[0], &made[1]), made[1].segments.len());
    covers(&made[0], &made[1], 21_380, (6, 2000));
    assert!(made[0].segments.values().skip(1).all(|made| (made.seconds - 6.0).abs() < 1e-9));
}

#[test]
fn of_two_that_begin_at_once_one_chooses_and_nothing_is_lost() {
    let sent = encoder(30_000, every(2000));
    let regions = [region("a", 0, 500, 300), region("b", 0, 100_000, 20)];
    let made = run(&sent, 2, &regions, 900, 0);
    assert_eq!(made[0].segments.len(), 14);
    assert_eq!(alike(&made[0], &made[1]), 14);
}

#[test]
fn alone_a_region_waits_for_nobody() {
    let sent = encoder(20_000, every(2000));
    let made = run(&sent, 2, &[region("a", 0, 7, 20)], 0, 0).remove(0);
    assert_eq!(made.segments.len(), 9);
    let first = made.segments.values().next().unwrap();
    assert!((first.date_ms - BEGIN_MS - 20).abs() <= 500 && first.date_ms % 1000 == PHASE_MS, "{}", first.date_ms);
}

#[test]
fn who_begins_without_a_link_gives_way_to_the_older_clock() {
    let sent = encoder(90_000, every(1000));
    let regions = [region("b", 0, 0, 20), region("a", 8_020, 0, 1_700)];
    let made = run(&sent, 2, &regions, 500, 40_000);
    let all: BTreeSet<_> = made[0].segments.keys().collect();
    assert!(all.iter().zip(all.iter().skip(1)).all(|(one, next)| **next == **one + 1), "the elder stays: {all:?}");
    let later = |outcome: &Outcome| {
        let later = outcome.segments.iter().filter(|(_, made)| made.date_ms > BEGIN_MS + 55_000);
        later.map(|(msn, made)| (*msn, made.date_ms, made.seconds, made.bodies.clone())).collect::<Vec<_>>()
    };
    let (elder, younger) = (later(&made[0]), later(&made[1]));
    let both = elder.len().min(younger.len());
    assert!(both >= 14, "{both}");
    assert_eq!(elder[..both], younger[..both]);
    let differs = |(msn, made_of_it): (&u64, &Made)| made[1].segments.get(msn).is_some_and(|other| other != made_of_it);
    assert!(made[0].segments.iter().any(differs), "before they were linked");
}

#[test]
fn a_process_that_dies_goes_on_by_its_own_record() {
    let sent = encoder(60_000, every(2000));
    let legs = |kills: bool| match kills {
        false => vec![Leg { from_ms: 0, to_ms: i64::MAX, rebase_ms: 0, killed: false }],
        true => vec![
            Leg { from_ms: 0, to_ms: 25_000, rebase_ms: 0, killed: true },
            Leg { from_ms: 33_333, to_ms: i64::MAX, rebase_ms: 0, killed: false },
        ],
    };
    // Each alone: nobody tells anybody.
    let of = |kills| run(&sent, 4, &[Region { name: "a", delay_ms: 50, legs: legs(kills) }], 0, 0).remove(0);
    let (whole, killed) = (of(false), of(true));
    assert_eq!(alike(&whole, &killed), killed.segments.len());
    covers(&whole, &killed, 33_333, (4, 2000));
    assert!(whole.segments.len() >= killed.segments.len() + 2);
}

#[test]
fn an_encoder_that_begins_anew_uses_no_number_twice() {
    let sent = encoder(60_000, every(2000));
    let legs = [(0, 21_000, 0), (21_100, 22_000, -21_100), (22_200, i64::MAX, -22_200)];
    let legs = legs.map(|(from_ms, to_ms, rebase_ms)| Leg { from_ms, to_ms, rebase_ms, killed: false }).to_vec();
    let both = [Region { name: "a", delay_ms: 30, legs: legs.clone() }, Region { name: "b", delay_ms: 430, legs }];
    let made = run(&sent, 2, &both, 300, 0);
    assert!(made[0].segments.len() >= 24, "{}", made[0].segments.len());
    alike(&made[0], &made[1]);
    let dates: Vec<_> = made[0].segments.values().map(|made| made.date_ms).collect();
    assert!(dates.is_sorted());
    assert!(made[0].segments.values().all(|made| made.discontinuities == 0), "its times go on");
}

#[test]
fn pictures_that_are_all_the_same_are_told_apart_by_the_wall_clock() {
    let mut sent = encoder(60_000, every(2000));
    for (_, kind, keyframe, data) in &mut sent {
        if *kind == TrackKind::Video && *keyframe {
            *data = Bytes::from_static(b"a slate");
        }
    }
    let regions = [region("a", 0, 0, 20), region("b", 21_380, 99, 350)];
    let made = run(&sent, 4, &regions, 500, 0);
    assert!(alike(&made[0], &made[1]) >= 5);
    covers(&made[0], &made[1], 21_380, (4, 2000));
}

#[test]
fn keyframes_that_come_too_rarely_are_a_problem_in_words() {
    let sent = encoder(90_000, every(10_000));
    let regions = [region("a", 0, 0, 20), region("b", 12_340, 99, 350)];
    let made = run(&sent, 6, &regions, 500, 0);
    let problem = made[0].problem.as_deref().unwrap();
    assert!(problem.contains("10.0 s") && problem.contains("6 s"), "{problem}");
    assert!(alike(&made[0], &made[1]) >= 5);
    covers(&made[0], &made[1], 12_340, (6, 10_000));
}

#[test]
fn sound_alone_is_aligned_too() {
    let mut sent = encoder(60_000, every(2000));
    sent.retain(|(_, kind, ..)| *kind == TrackKind::Audio);
    let regions = [region("a", 0, 0, 20), region("b", 21_380, 99, 350)];
    let made = run(&sent, 4, &regions, 500, 0);
    assert!(alike(&made[0], &made[1]) >= 5);
    covers(&made[0], &made[1], 21_380, (4, 2000));
}

#[test]
fn a_codec_change_is_the_only_discontinuity() {
    let sent = encoder(24_000, every(1000));
    let mut segmenter = Segmenter::aligned(2, spec("a", &[]), Kept::default());
    let mut closed = Vec::new();
    let mut count = |config: &'static [u8], from_ms: i64, to_ms: i64| {
        for kind in [TrackKind::Video, TrackKind::Audio] {
            segmenter.push(Event::Track(track(kind, config)), BEGIN_MS + from_ms, &mut closed);
        }
        for (ms, kind, keyframe, data) in sent.iter().filter(|sent| (from_ms..to_ms).contains(&sent.0)) {
            let sample = Sample { kind: *kind, dts: *ms, pts: *ms, keyframe: *keyframe, data: data.clone() };
            segmenter.push(Event::Sample(sample), BEGIN_MS + ms, &mut closed);
        }
        closed.drain(..).map(|closed| (closed.discontinuity, made(closed).1.discontinuities)).collect::<BTreeSet<_>>()
    };
    assert_eq!(count(b"a", 0, 9_000), BTreeSet::from([(false, 0)]));
    assert_eq!(count(b"b", 9_000, 18_000), BTreeSet::from([(false, 0), (false, 1)]));
    assert_eq!(count(b"b", 18_000, 24_000), BTreeSet::from([(false, 1)]));
}

#[test]
fn what_peers_say_is_not_believed_blindly() {
    let wild = |epoch_ms, units| Anchor {
        digest: digest::of(&[Bytes::from_static(b"picture 0")]),
        epoch_ms,
        begins: true,
        discontinuities: u64::MAX,
        sound: Some(SoundMark { told_ms: epoch_ms, units, rate: 44_100 }),
    };
    for (epoch_ms, units) in [(i64::MIN, i64::MIN), (i64::MAX, i64::MAX), (0, 0), (BEGIN_MS, i64::MAX), (BEGIN_MS, -1)]
    {
        let mut segmenter = Segmenter::aligned(2, spec("b", &[region("a", 0, 0, 0)]), Kept::default());
        let word = Anchors {
            stream: "s".to_owned(),
            region: "a".to_owned(),
            target_ms: 2000,
            since_ms: i64::MIN,
            anchors: vec![wild(epoch_ms, units)],
            ..Anchors::default()
        };
        segmenter.hear(Arc::new(vec![word]));
        let mut closed = Vec::new();
        for kind in [TrackKind::Video, TrackKind::Audio] {
            segmenter.push(Event::Track(track(kind, b"a")), BEGIN_MS, &mut closed);
        }
        for (ms, kind, keyframe, data) in encoder(12_000, every(1000)) {
            let sample = Sample { kind, dts: ms, pts: ms, keyframe, data };
            segmenter.push(Event::Sample(sample), BEGIN_MS + ms, &mut closed);
        }
        assert!(closed.len() >= 3, "{}", closed.len());
        assert!(closed.iter().all(|closed| (closed.program_date_time_ms - BEGIN_MS).abs() < 20_000));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn regions_that_hear_the_same_make_the_same(
        target in 1_u32..7,
        gop in prop_oneof![Just(400_i64), Just(1000), Just(2000), Just(3000), Just(4800)],
        scenes in prop::collection::btree_set(0_i64..1500, 0..12),
        starts in (0_i64..20_000, 0_i64..20_000),
        cut in (22_000_i64..30_000, 20_i64..9_000, any::<bool>()),
        rebases in (-5_000_i64..100_000, -5_000_i64..100_000, prop_oneof![Just(None), (0_i64..100_000).prop_map(Some)]),
        delays in (0_i64..900, 0_i64..900),
        latency in 50_i64..1_400,
        names in prop_oneof![Just(("a", "b")), Just(("b", "a"))],
    ) {
        let sent = encoder(60_000, |n| every(gop)(n) || scenes.contains(&n));
        let (lost_ms, away_ms, killed) = cut;
        let again_ms = lost_ms + away_ms;
        let back = rebases.2.unwrap_or(rebases.1);
        let regions = [
            region(names.0, starts.0, rebases.0, delays.0),
            Region {
                name: names.1,
                delay_ms: delays.1,
                legs: vec![
                    Leg { from_ms: starts.1, to_ms: lost_ms, rebase_ms: rebases.1, killed },
                    Leg { from_ms: again_ms, to_ms: i64::MAX, rebase_ms: back, killed: false },
                ],
            },
        ];
        let made = run(&sent, target, &regions, latency, 0);
        prop_assert!(alike(&made[0], &made[1]) >= 1);
        covers(&made[0], &made[1], again_ms, (target, gop));
        for outcome in &made {
            for made in outcome.segments.values() {
                prop_assert!(made.date_ms > BEGIN_MS - 2_000 && made.date_ms < BEGIN_MS + 62_000);
                prop_assert_eq!(made.discontinuities, 0);
            }
        }
    }
}
