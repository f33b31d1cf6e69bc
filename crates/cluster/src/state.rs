//! What is known of a cluster: registers that merge the same whatever their order, votes that grow old, and what follows of both.

use std::collections::BTreeMap;

use anabranch_model::{
    COUNTER_MAX, Cluster, Register, RegisterOf, Stamp, Verdict, VerdictState, Voice, VoteOf, VoteRule, Word,
};

/// Newest words on the regions of a cluster, by region and voice. Merging is commutative, associative and idempotent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registers(BTreeMap<(String, Voice), Register>);

impl Registers {
    /// Takes over a word unless a newer one is known; whether it did.
    pub fn merge(&mut self, of: RegisterOf) -> bool {
        let RegisterOf { region, voice, register } = of;
        match self.0.entry((region, voice)) {
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(register);
                true
            }
            std::collections::btree_map::Entry::Occupied(mut place) => {
                let newer = register.age_cmp(place.get()).is_gt();
                if newer {
                    place.insert(register);
                }
                newer
            }
        }
    }

    /// Whether [`Registers::merge`] would take it over.
    #[must_use]
    pub fn is_news(&self, of: &RegisterOf) -> bool {
        self.get(&of.region, of.voice).is_none_or(|known| of.register.age_cmp(known).is_gt())
    }

    /// The newest word of one voice on a region.
    #[must_use]
    pub fn get(&self, region: &str, voice: Voice) -> Option<&Register> {
        // A map of pairs asks for an owned pair; there are few.
        self.0.get(&(region.to_owned(), voice))
    }

    /// The stamp of the next word of `node`: newer than everything known.
    #[must_use]
    pub fn next_stamp(&self, node: &str, now_ms: i64) -> Stamp {
        let highest = self.0.values().map(|register| register.stamp.counter).max().unwrap_or(0);
        Stamp { counter: highest.saturating_add(1).min(COUNTER_MAX), wall_ms: now_ms, node: node.to_owned() }
    }

    /// Every register, by region and voice.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Voice, &Register)> {
        self.0.iter().map(|((region, voice), register)| (region.as_str(), *voice, register))
    }

    /// The same as they travel.
    #[must_use]
    pub fn to_wire(&self) -> Vec<RegisterOf> {
        self.iter()
            .map(|(region, voice, register)| RegisterOf {
                region: region.to_owned(),
                voice,
                register: register.clone(),
            })
            .collect()
    }
}

impl FromIterator<RegisterOf> for Registers {
    fn from_iter<I: IntoIterator<Item = RegisterOf>>(registers: I) -> Self {
        let mut merged = Self::default();
        for register in registers {
            merged.merge(register);
        }
        merged
    }
}

/// A vote that was heard.
#[derive(Clone, Debug, PartialEq)]
pub struct Vote {
    /// What the watcher says.
    pub verdict: Verdict,
    /// Names the vote; a later one of the same watcher has a greater one. Unix milliseconds of whoever heard it first.
    pub at_ms: i64,
    /// When it was said, by our clock, Unix milliseconds.
    pub heard_ms: i64,
}

/// Votes by region and watcher.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Votes(BTreeMap<(String, String), Vote>);

impl Votes {
    /// Takes over a vote unless the same or a later one of that watcher is known; whether it did. The same vote that comes again,
    /// by whatever way, does not become younger.
    pub fn merge(&mut self, region: &str, watcher: &str, vote: Vote) -> bool {
        let known = self.0.get(&(region.to_owned(), watcher.to_owned()));
        if known.is_some_and(|known| known.at_ms >= vote.at_ms) {
            return false;
        }
        self.0.insert((region.to_owned(), watcher.to_owned()), vote);
        true
    }

    /// Takes over a vote that a watcher gives here and now.
    pub fn say(&mut self, region: &str, watcher: &str, verdict: Verdict, now_ms: i64) {
        let before = self.get(region, watcher).map_or(i64::MIN, |vote| vote.at_ms);
        // A clock that was set back must not silence anybody.
        let at_ms = now_ms.max(before.saturating_add(1));
        self.merge(region, watcher, Vote { verdict, at_ms, heard_ms: now_ms });
    }

    /// The vote of a watcher on a region.
    #[must_use]
    pub fn get(&self, region: &str, watcher: &str) -> Option<&Vote> {
        self.0.get(&(region.to_owned(), watcher.to_owned()))
    }

    /// Every vote.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &Vote)> {
        self.0.iter().map(|((region, watcher), vote)| (region.as_str(), watcher.as_str(), vote))
    }

    /// Votes on a region, with their watchers.
    pub fn of<'v>(&'v self, region: &'v str) -> impl Iterator<Item = (&'v str, &'v Vote)> {
        self.iter().filter(move |(of, ..)| *of == region).map(|(_, watcher, vote)| (watcher, vote))
    }

    /// Names of all watchers, once each.
    #[must_use]
    pub fn watchers(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.iter().map(|(_, watcher, _)| watcher).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Forgets votes that `keep` does not hold.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str, &Vote) -> bool) {
        self.0.retain(|(region, watcher), vote| keep(region, watcher, vote));
    }

    /// The votes as they travel.
    #[must_use]
    pub fn to_wire(&self, now_ms: i64) -> Vec<VoteOf> {
        self.iter()
            .map(|(region, watcher, vote)| VoteOf {
                region: region.to_owned(),
                watcher: watcher.to_owned(),
                verdict: vote.verdict.clone(),
                at_ms: vote.at_ms,
                age_ms: u64::try_from(now_ms.saturating_sub(vote.heard_ms)).unwrap_or(0),
            })
            .collect()
    }
}

impl Vote {
    /// A vote that a peer tells of.
    #[must_use]
    pub fn told(of: VoteOf, now_ms: i64) -> Self {
        let age_ms = i64::try_from(of.age_ms).unwrap_or(i64::MAX);
        Self { verdict: of.verdict, at_ms: of.at_ms, heard_ms: now_ms.saturating_sub(age_ms) }
    }

    /// Whether it counts: it was said within the silence limit. One of the future is of a clock that was set back.
    #[must_use]
    pub fn is_heard(&self, silence_ms: u32, now_ms: i64) -> bool {
        now_ms.saturating_sub(self.heard_ms).unsigned_abs() <= u64::from(silence_ms)
    }
}

/// What the watchers say of a region together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The verdict.
    pub state: VerdictState,
    /// Since when, Unix milliseconds.
    pub since_ms: i64,
    /// Watchers that are heard and do not abstain.
    pub heard: usize,
    /// Those of them that say fresh.
    pub fresh: usize,
    /// Those of them that say stale.
    pub stale: usize,
}

/// The verdict of the votes that are heard; who abstains has none.
#[must_use]
pub fn judge(cluster: &Cluster, votes: &Votes, region: &str, now_ms: i64) -> Judged {
    let counts = |vote: &&Vote| vote.is_heard(cluster.watch.silence_ms, now_ms) && !vote.verdict.abstains();
    let heard: Vec<&Vote> = votes.of(region).map(|(_, vote)| vote).filter(counts).collect();
    // Sorted times since when so many have said so.
    let since = |state: VerdictState| {
        let of_state = heard.iter().filter(|vote| vote.verdict.state == state);
        let mut times: Vec<i64> = of_state.map(|vote| vote.verdict.since_ms.min(now_ms)).collect();
        times.sort_unstable();
        times
    };
    let (stale, fresh, ended) = (since(VerdictState::Stale), since(VerdictState::Fresh), since(VerdictState::Ended));
    let needed = match cluster.watch.vote {
        VoteRule::Any => 1,
        VoteRule::Majority => heard.len() / 2 + 1,
        VoteRule::All => heard.len().max(1),
    };
    // Fresh is the other side of the rule: where one is enough for stale, nobody may say so.
    let needed_fresh = match cluster.watch.vote {
        VoteRule::Any => fresh.len().max(1),
        VoteRule::Majority => needed,
        VoteRule::All => 1,
    };
    let (state, since_ms) = if stale.len() >= needed {
        (VerdictState::Stale, stale[needed - 1])
    } else if fresh.len() >= needed_fresh {
        (VerdictState::Fresh, fresh[needed_fresh - 1])
    } else if let (true, Some(last)) = (stale.is_empty() && fresh.is_empty(), ended.last()) {
        (VerdictState::Ended, *last)
    } else {
        (VerdictState::Unknown, heard.iter().map(|vote| vote.verdict.since_ms).max().unwrap_or(now_ms))
    };
    Judged { state, since_ms, heard: heard.len(), fresh: fresh.len(), stale: stale.len() }
}

/// Watchers that have said nothing within the silence limit: an alarm, not a vote.
#[must_use]
pub fn silent<'v>(cluster: &Cluster, votes: &'v Votes, now_ms: i64) -> Vec<&'v str> {
    let heard = |watcher: &str| {
        votes.iter().any(|(_, by, vote)| by == watcher && vote.is_heard(cluster.watch.silence_ms, now_ms))
    };
    votes.watchers().into_iter().filter(|watcher| !heard(watcher)).collect()
}

/// What a region is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Players may come.
    Open,
    /// It serves, and players are steered away: it is closed soon.
    Draining,
    /// Edges answer 404.
    Closed,
}

impl Opening {
    /// The one spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Draining => "draining",
            Self::Closed => "closed",
        }
    }
}

/// By what a region is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// Nobody has said anything.
    Nothing,
    /// The operator's word.
    Operator,
    /// A drill.
    Drill,
    /// The automat's word.
    Automat,
    /// No region would be open but for this: a closing of the automat or a drill does not count.
    FailOpen,
}

impl Ground {
    /// The one spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Operator => "operator",
            Self::Drill => "drill",
            Self::Automat => "automat",
            Self::FailOpen => "fail_open",
        }
    }
}

/// The opening of a region that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// What it is.
    pub opening: Opening,
    /// By what.
    pub ground: Ground,
    /// Who said so; empty for nobody.
    pub who: String,
    /// Why.
    pub why: String,
    /// Since when, Unix milliseconds; 0 for always.
    pub since_ms: i64,
    /// When it ends by itself, Unix milliseconds.
    pub until_ms: Option<i64>,
}

impl Effective {
    fn nothing() -> Self {
        let (who, why) = (String::new(), String::new());
        Self { opening: Opening::Open, ground: Ground::Nothing, who, why, since_ms: 0, until_ms: None }
    }

    fn by(register: &Register, ground: Ground, now_ms: i64) -> Self {
        let opening = match register.word {
            Word::Closed if now_ms < register.from_ms => Opening::Draining,
            Word::Closed => Opening::Closed,
            Word::Open | Word::Automatic => Opening::Open,
        };
        Self {
            opening,
            ground,
            who: register.who.clone(),
            why: register.why.clone(),
            since_ms: register.since_ms,
            until_ms: register.until_ms,
        }
    }
}

/// The operator's word on a region, as long as it stands.
#[must_use]
pub fn standing<'r>(registers: &'r Registers, region: &str, now_ms: i64) -> Option<&'r Register> {
    let register = registers.get(region, Voice::Operator)?;
    let over = register.until_ms.is_some_and(|until_ms| now_ms >= until_ms);
    (register.word != Word::Automatic && !over).then_some(register)
}

/// The opening of each region, by name. The operator's word wins, else the automat's. Where no region would be open, what the
/// automat or a drill has closed is open: only an operator closes everything.
#[must_use]
pub fn effective(cluster: &Cluster, registers: &Registers, now_ms: i64) -> BTreeMap<String, Effective> {
    let of = |region: &str| match standing(registers, region, now_ms) {
        Some(word) => Effective::by(word, if word.drill { Ground::Drill } else { Ground::Operator }, now_ms),
        None => match registers.get(region, Voice::Automat) {
            Some(word) => Effective::by(word, Ground::Automat, now_ms),
            None => Effective::nothing(),
        },
    };
    let mut all: BTreeMap<String, Effective> =
        cluster.regions.iter().map(|region| (region.name.clone(), of(&region.name))).collect();
    if all.values().any(|effective| effective.opening == Opening::Open) {
        return all;
    }
    for effective in all.values_mut().filter(|effective| effective.ground != Ground::Operator) {
        let why = format!("no other region is open; else it would be closed: {}", effective.why);
        effective.why = why;
        effective.opening = Opening::Open;
        effective.ground = Ground::FailOpen;
    }
    all
}

/// What is alarming about openings, in words: an operator may close everything, and should know it.
#[must_use]
pub fn warning(openings: &BTreeMap<String, Effective>) -> Option<&'static str> {
    let open = |effective: &Effective| effective.opening == Opening::Open;
    let failing = |effective: &Effective| effective.ground == Ground::FailOpen;
    if !openings.values().any(open) {
        return Some("every region is closed by an operator: nobody can watch");
    }
    openings.values().any(failing).then_some("closings do not count, since no region would be open")
}
