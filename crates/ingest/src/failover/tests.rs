//! Every transition, by stretches of time in which some inputs send.

use anabranch_model::ChosenInput;

use super::*;

const STEP_MS: u64 = 100;

/// A channel with two inputs (1 and 2) and what became of it.
struct Sim {
    failover: Failover,
    ids: Vec<InputId>,
    begun: Instant,
    ms: u64,
    /// When, which input, why.
    log: Vec<(u64, usize, Cause)>,
    reasons: Vec<String>,
}

/// What happens, and which switches that makes.
type Case = (&'static str, Sim, Vec<(u64, usize, Cause)>);

/// No input, in a log.
const NONE: usize = 0;

fn spec(preference: InputPreference) -> FailoverSpec {
    FailoverSpec { enabled: true, loss_ms: 3_000, clear_ms: 30_000, preference, chosen: None }
}

impl Sim {
    fn new(spec: FailoverSpec) -> Self {
        let ids = vec![InputId::random(), InputId::random()];
        let failover = Failover::new(spec, ids.clone());
        Self { failover, ids, begun: Instant::now(), ms: 0, log: Vec::new(), reasons: Vec::new() }
    }

    fn id(&self, number: usize) -> InputId {
        self.ids[number - 1].clone()
    }

    fn connect(mut self, numbers: &[usize]) -> Self {
        for number in 1..=2 {
            let id = self.id(number);
            if numbers.contains(&number) { self.failover.connected(&id) } else { self.failover.closed(&id) }
        }
        self
    }

    /// Time passes; these inputs send all the while.
    fn run(mut self, ms: u64, sending: &[usize]) -> Self {
        let until = self.ms + ms;
        while self.ms < until {
            let now = self.begun + Duration::from_millis(self.ms);
            for number in sending {
                let id = self.id(*number);
                self.failover.media(&id, now);
            }
            self.poll();
            self.ms += STEP_MS;
        }
        self
    }

    fn poll(&mut self) {
        let now = self.begun + Duration::from_millis(self.ms);
        if let Some(switch) = self.failover.poll(now) {
            assert_eq!(self.failover.poll(now), Some(switch.clone()), "asked for until it is done");
            self.failover.switched(switch.to.as_ref());
            let number = switch.to.as_ref().and_then(|id| self.ids.iter().position(|known| known == id));
            self.log.push((self.ms, number.map_or(NONE, |at| at + 1), switch.cause));
            self.reasons.push(switch.reason);
        }
    }

    fn set(mut self, change: impl FnOnce(&mut FailoverSpec)) -> Self {
        let mut spec = self.failover.spec.clone();
        change(&mut spec);
        let ids: Vec<_> = self.failover.inputs.iter().map(|input| input.id.clone()).collect();
        self.failover.apply(spec, ids);
        self
    }

    fn choose(self, number: usize, sequence: u64) -> Self {
        let input = self.id(number);
        self.set(|spec| spec.chosen = Some(ChosenInput { input, sequence }))
    }
}

use Cause::{Chosen, First, Idle, Loss, Preferred, Removed};
use InputPreference::{Equal, Primary};

#[test]
fn transitions() {
    let begin = |preference| Sim::new(spec(preference)).connect(&[1, 2]);
    let table: Vec<Case> = vec![
        ("the first to send is used", begin(Primary).run(5_000, &[2]), vec![(0, 2, First)]),
        ("both from the start", begin(Primary).run(60_000, &[1, 2]), vec![(0, 1, First)]),
        (
            "the primary comes a little later: it was never lost",
            begin(Primary).run(1_000, &[2]).run(60_000, &[1, 2]),
            vec![(0, 2, First), (1_000, 1, Preferred)],
        ),
        (
            "loss switches after 3 s, and the primary is used again after 30 s without loss",
            begin(Primary).run(10_000, &[1, 2]).run(10_000, &[2]).run(60_000, &[1, 2]),
            vec![(0, 1, First), (12_900, 2, Loss), (50_000, 1, Preferred)],
        ),
        (
            "equal inputs stay",
            begin(Equal).run(10_000, &[1, 2]).run(10_000, &[2]).run(60_000, &[1, 2]),
            vec![(0, 1, First), (12_900, 2, Loss)],
        ),
        (
            "a silence that is shorter is no loss",
            begin(Primary).run(10_000, &[1, 2]).run(2_900, &[2]).run(10_000, &[1, 2]),
            vec![(0, 1, First)],
        ),
        (
            "a lost one is not switched to before it is healthy",
            begin(Equal).run(5_000, &[1, 2]).run(5_000, &[2]).run(20_000, &[1, 2]).run(8_000, &[1]).run(20_000, &[1]),
            vec![(0, 1, First), (7_900, 2, Loss), (40_000, 1, Loss)],
        ),
        (
            "another loss begins the time to clear anew",
            begin(Primary)
                .run(5_000, &[1, 2])
                .run(5_000, &[2])
                .run(20_000, &[1, 2])
                .run(4_000, &[2])
                .run(40_000, &[1, 2]),
            vec![(0, 1, First), (7_900, 2, Loss), (64_000, 1, Preferred)],
        ),
        (
            "both lost: the one in use stays, and goes on when it comes back",
            begin(Equal).run(5_000, &[1, 2]).run(60_000, &[]).run(5_000, &[1]).run(10_000, &[1, 2]),
            vec![(0, 1, First)],
        ),
        (
            "both lost: the other one is used once it is healthy",
            begin(Equal).run(5_000, &[1, 2]).run(60_000, &[]).run(40_000, &[2]),
            vec![(0, 1, First), (95_000, 2, Loss)],
        ),
        (
            "a disabled pair never switches by itself",
            begin(Primary).set(|spec| spec.enabled = false).run(5_000, &[2]).run(60_000, &[1]).run(60_000, &[1, 2]),
            vec![(0, 2, First)],
        ),
        (
            "the settings change live",
            begin(Equal)
                .run(5_000, &[1, 2])
                .set(|spec| spec.loss_ms = 1_000)
                .run(5_000, &[2])
                .set(|spec| (spec.preference, spec.clear_ms) = (Primary, 5_000))
                .run(10_000, &[1, 2]),
            vec![(0, 1, First), (5_900, 2, Loss), (15_000, 1, Preferred)],
        ),
        (
            "no loss of less than 200 ms",
            begin(Equal).set(|spec| spec.loss_ms = 0).run(5_000, &[1, 2]),
            vec![(0, 1, First)],
        ),
    ];
    for (what, sim, expected) in table {
        assert_eq!(sim.log, expected, "{what}");
    }
}

#[test]
fn one_that_flaps_each_second_is_not_lost() {
    let mut sim = Sim::new(spec(Primary)).connect(&[1, 2]).run(5_000, &[1, 2]);
    for _ in 0..30 {
        sim = sim.connect(&[2]).run(1_000, &[2]).connect(&[1, 2]).run(1_000, &[1, 2]);
    }
    assert_eq!(sim.log, [(0, 1, First)]);
}

#[test]
fn one_that_flaps_slower_is_used_once_and_not_again() {
    let mut sim = Sim::new(spec(Primary)).connect(&[1, 2]).run(5_000, &[1, 2]);
    for _ in 0..10 {
        sim = sim.run(4_000, &[2]).run(4_000, &[1, 2]);
    }
    assert_eq!(sim.log, [(0, 1, First), (7_900, 2, Loss)]);
}

#[test]
fn a_closed_connection_counts_from_its_last_media() {
    let sim = Sim::new(spec(Primary)).connect(&[1, 2]).run(5_000, &[1, 2]).run(2_000, &[2]).connect(&[2]);
    let sim = sim.run(2_000, &[2]);
    assert_eq!(sim.log, [(0, 1, First), (7_900, 2, Loss)]);
    assert_eq!(sim.reasons[1], "input 1 sent nothing for 3.0 s");
}

#[test]
fn with_nothing_connected_all_is_forgotten() {
    let sim = Sim::new(spec(Primary)).connect(&[1, 2]).run(5_000, &[1, 2]).connect(&[]).run(10_000, &[]);
    let sim = sim.connect(&[2]).run(1_000, &[2]);
    assert_eq!(sim.log, [(0, 1, First), (7_900, NONE, Idle), (15_000, 2, First)]);
    assert_eq!(sim.reasons[1..], ["no encoder is connected", "input 2 was the first to send"]);
}

#[test]
fn a_choice_is_followed_once() {
    let sim = Sim::new(spec(Equal)).connect(&[1, 2]).run(5_000, &[1, 2]).choose(2, 1).run(5_000, &[1, 2]);
    assert_eq!(sim.log, [(0, 1, First), (5_000, 2, Chosen)]);
    let sim = sim.run(10_000, &[1]).run(60_000, &[1, 2]).choose(2, 1).run(1_000, &[1, 2]);
    assert_eq!(sim.log[2..], [(12_900, 1, Loss)], "a loss switches again, and the old choice is not taken up");
    let sim = sim.choose(2, 2).run(1_000, &[1, 2]);
    assert_eq!(sim.log[3..], [(81_000, 2, Chosen)]);
    assert_eq!(sim.reasons[3], "the operator chose input 2");
}

#[test]
fn a_choice_waits_for_a_healthy_input() {
    let sim = Sim::new(spec(Equal)).connect(&[1, 2]).run(5_000, &[1]).choose(2, 1).run(5_000, &[1]);
    assert_eq!(sim.log, [(0, 1, First)]);
    assert_eq!(sim.run(1_000, &[1, 2]).log[1..], [(10_000, 2, Chosen)]);
}

#[test]
fn a_choice_is_not_followed_with_a_preference_or_from_before() {
    let sim = Sim::new(spec(Primary)).connect(&[1, 2]).run(5_000, &[1, 2]).choose(2, 1).run(5_000, &[1, 2]);
    let sim = sim.set(|spec| spec.preference = Equal).run(5_000, &[1, 2]);
    assert_eq!(sim.log, [(0, 1, First)]);
    let mut sim = Sim::new(spec(Equal));
    let chosen = Some(ChosenInput { input: sim.id(2), sequence: 7 });
    sim.failover = Failover::new(FailoverSpec { chosen, ..spec(Equal) }, sim.ids.clone());
    assert_eq!(sim.connect(&[1, 2]).run(5_000, &[1, 2]).log, [(0, 1, First)]);
}

#[test]
fn an_input_that_is_removed_gives_way() {
    let mut sim = Sim::new(spec(Primary)).connect(&[1, 2]).run(5_000, &[1, 2]);
    let (kept, settings) = (sim.id(2), sim.failover.spec.clone());
    sim.failover.apply(settings.clone(), [kept.clone()]);
    sim = sim.run(10_000, &[2]);
    assert_eq!(sim.log, [(0, 1, First), (5_000, 2, Removed)]);
    assert_eq!(sim.reasons[1], "input 1, which was in use, was removed");
    // A new primary that sends is used.
    sim.ids[0] = InputId::random();
    sim.failover.apply(settings, [sim.ids[0].clone(), kept]);
    assert_eq!(sim.run(1_000, &[1, 2]).log[2..], [(15_000, 1, Preferred)]);
}

#[test]
fn a_silence_that_was_ours_is_no_loss() {
    let mut sim = Sim::new(spec(Primary)).connect(&[1, 2]).run(5_000, &[1, 2]);
    for _ in 0..10 {
        sim = sim.run(1_000, &[2]);
        let (id, now) = (sim.id(1), sim.begun + Duration::from_millis(sim.ms));
        sim.failover.excuse(&id, now);
    }
    assert_eq!(sim.log, [(0, 1, First)]);
}

#[test]
fn the_deadline_is_when_something_may_change() {
    let mut sim = Sim::new(spec(Primary)).connect(&[1, 2]);
    assert_eq!(sim.failover.deadline(), None);
    sim = sim.run(100, &[1, 2]);
    let after = |sim: &Sim, ms| Some(sim.begun + Duration::from_millis(ms));
    assert_eq!(sim.failover.deadline(), after(&sim, 3_000));
    sim = sim.run(4_900, &[2]).run(100, &[1, 2]);
    assert_eq!(sim.failover.deadline(), after(&sim, 8_000), "the loss of either");
    sim = sim.run(28_000, &[1, 2]);
    assert_eq!(sim.failover.deadline(), after(&sim, 35_000), "the primary is healthy again");
}
