//! Which of a channel's inputs is in use (V90-V93). No I/O and no clock: facts with their time in, a wanted switch out.
//!
//! An input is *lost* once it has sent nothing for `loss_ms`, connected or not, and healthy again after `clear_ms` without
//! another loss. One that was never heard is healthy with its first media. An input that is not healthy is never switched to;
//! when none is, the one in use stays. When nothing is connected any more all is forgotten, and the first to send is used.

use std::time::Duration;

use anabranch_model::{FailoverSpec, InputId, InputPreference};
use tokio::time::Instant;

/// Shortest silence that can count as loss, whatever the settings say: frames come this far apart.
const SHORTEST_LOSS: Duration = Duration::from_millis(200);

/// Why another input is to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// None was in use.
    First,
    /// The one in use was lost.
    Loss,
    /// The preferred one is healthy.
    Preferred,
    /// The operator chose it.
    Chosen,
    /// The one in use was removed.
    Removed,
    /// Nothing is connected.
    Idle,
}

impl Cause {
    /// Word for metrics and log.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Loss => "loss",
            Self::Preferred => "preferred",
            Self::Chosen => "chosen",
            Self::Removed => "removed",
            Self::Idle => "idle",
        }
    }
}

/// A change of the input in use that should happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Switch {
    /// The input to use; none when nothing is connected.
    pub(crate) to: Option<InputId>,
    /// Why.
    pub(crate) cause: Cause,
    /// Why, for the operator.
    pub(crate) reason: String,
    /// Whether viewers get nothing until it happens.
    pub(crate) urgent: bool,
}

/// The inputs of a channel and which one is in use.
#[derive(Debug)]
pub(crate) struct Failover {
    spec: FailoverSpec,
    inputs: Vec<Input>,
    active: Option<InputId>,
    /// The input in use was taken away by the settings: its number then.
    removed: Option<usize>,
    /// The operator's choice that is still to be followed.
    chosen: Option<InputId>,
    /// Choices up to this one are followed, or were made before this process began.
    choice: u64,
}

#[derive(Debug)]
struct Input {
    id: InputId,
    connected: bool,
    last_media: Option<Instant>,
    health: Health,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Unheard,
    Healthy {
        /// How long it had sent without loss when it became healthy again; none when it was never lost.
        cleared: Option<Duration>,
    },
    Lost {
        /// When media came again.
        back: Option<Instant>,
    },
}

impl Failover {
    /// No input in use yet; `inputs` in the order of preference. A choice in `spec` is taken for an old one.
    pub(crate) fn new(spec: FailoverSpec, inputs: impl IntoIterator<Item = InputId>) -> Self {
        let choice = spec.chosen.as_ref().map_or(0, |chosen| chosen.sequence);
        let inputs = inputs.into_iter().map(Input::new).collect();
        Self { spec, inputs, active: None, removed: None, chosen: None, choice }
    }

    /// Takes changed settings. What is known of the inputs that stay is kept.
    pub(crate) fn apply(&mut self, spec: FailoverSpec, inputs: impl IntoIterator<Item = InputId>) {
        let number = self.active.as_ref().and_then(|active| self.number(active));
        let mut known = std::mem::take(&mut self.inputs);
        for id in inputs {
            let at = known.iter().position(|input| input.id == id);
            self.inputs.push(at.map_or_else(|| Input::new(id), |at| known.swap_remove(at)));
        }
        if self.active.as_ref().is_some_and(|active| self.number(active).is_none()) {
            self.active = None;
            self.removed = number;
        }
        if let Some(chosen) = &spec.chosen
            && chosen.sequence > self.choice
        {
            self.choice = chosen.sequence;
            self.chosen = Some(chosen.input.clone());
        }
        if spec.preference == InputPreference::Primary {
            self.chosen = None;
        }
        self.spec = spec;
    }

    /// The input in use.
    pub(crate) fn active(&self) -> Option<&InputId> {
        self.active.as_ref()
    }

    /// When the input sent last, if it ever did.
    pub(crate) fn last_media(&self, id: &InputId) -> Option<Instant> {
        self.input(id)?.last_media
    }

    /// Whether the loss of the input in use would switch to this one, as it is now.
    pub(crate) fn may_follow(&self, id: &InputId) -> bool {
        self.spec.enabled && self.active() != Some(id) && self.number(id).is_some_and(|number| self.is_healthy(number))
    }

    /// Silence that counts as loss.
    pub(crate) fn loss(&self) -> Duration {
        Duration::from_millis(self.spec.loss_ms.into()).max(SHORTEST_LOSS)
    }

    /// An encoder is there.
    pub(crate) fn connected(&mut self, id: &InputId) {
        if let Some(input) = self.input_mut(id) {
            input.connected = true;
        }
    }

    /// The encoder has gone. The silence counts from its last media.
    pub(crate) fn closed(&mut self, id: &InputId) {
        if let Some(input) = self.input_mut(id) {
            input.connected = false;
        }
    }

    /// Media came.
    pub(crate) fn media(&mut self, id: &InputId, now: Instant) {
        let (loss, clear) = (self.loss(), self.clear());
        let Some(input) = self.input_mut(id) else { return };
        input.settle(loss, clear, now);
        input.last_media = Some(now);
        match &mut input.health {
            Health::Unheard => input.health = Health::Healthy { cleared: None },
            Health::Lost { back: back @ None } => *back = Some(now),
            Health::Healthy { .. } | Health::Lost { .. } => {}
        }
    }

    /// The input was not read up to now: its silence was ours.
    pub(crate) fn excuse(&mut self, id: &InputId, now: Instant) {
        if let Some(input) = self.input_mut(id)
            && input.connected
            && input.last_media.is_some()
        {
            input.last_media = Some(now);
        }
    }

    /// The switch that should happen now. It is asked for again until [`Self::switched`] tells that it was done.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Switch> {
        let (loss, clear) = (self.loss(), self.clear());
        for input in &mut self.inputs {
            input.settle(loss, clear, now);
        }
        let Some(active) = self.active.clone() else { return self.first() };
        if self.chosen.as_ref() == Some(&active) {
            self.chosen = None;
        }
        let in_use = self.number(&active)?;
        // One that sends again goes on being used while it is in its time to clear.
        let lost = self.inputs[in_use - 1].health == Health::Lost { back: None };
        if lost && self.inputs.iter().all(|input| !input.connected) {
            let reason = "no encoder is connected".to_owned();
            return Some(Switch { to: None, cause: Cause::Idle, reason, urgent: true });
        }
        if let Some(chosen) = self.chosen.as_ref().and_then(|id| self.number(id))
            && self.is_healthy(chosen)
        {
            let reason = format!("the operator chose input {chosen}");
            return Some(self.switch(chosen, Cause::Chosen, reason, lost));
        }
        if !self.spec.enabled {
            return None;
        }
        let better = (1..=self.inputs.len()).find(|number| *number != in_use && self.is_healthy(*number))?;
        if lost {
            return Some(self.switch(better, Cause::Loss, self.loss_reason(in_use, now), true));
        }
        if self.spec.preference == InputPreference::Primary && better < in_use {
            return Some(self.switch(better, Cause::Preferred, self.preferred_reason(better), false));
        }
        None
    }

    /// A switch was done.
    pub(crate) fn switched(&mut self, to: Option<&InputId>) {
        self.active = to.cloned();
        self.removed = None;
        if to.is_none() {
            for input in &mut self.inputs {
                (input.health, input.last_media) = (Health::Unheard, None);
            }
        } else if self.chosen.as_ref() == to {
            self.chosen = None;
        }
    }

    /// When [`Self::poll`] may have something new to say without any new fact.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let (loss, clear) = (self.loss(), self.clear());
        let of = |input: &Input| {
            let lost_at = input.last_media? + loss;
            match input.health {
                Health::Unheard | Health::Lost { back: None } => None,
                Health::Healthy { .. } => Some(lost_at),
                Health::Lost { back: Some(back) } => Some(lost_at.min(back + clear)),
            }
        };
        self.inputs.iter().filter_map(of).min()
    }

    /// Nothing is in use: the first input in order that sends.
    fn first(&self) -> Option<Switch> {
        let number = (1..=self.inputs.len()).find(|number| self.is_healthy(*number))?;
        Some(match self.removed {
            Some(gone) => {
                self.switch(number, Cause::Removed, format!("input {gone}, which was in use, was removed"), true)
            }
            None => self.switch(number, Cause::First, format!("input {number} was the first to send"), true),
        })
    }

    fn switch(&self, number: usize, cause: Cause, reason: String, urgent: bool) -> Switch {
        Switch { to: Some(self.inputs[number - 1].id.clone()), cause, reason, urgent }
    }

    fn loss_reason(&self, number: usize, now: Instant) -> String {
        let silence = self.inputs[number - 1].last_media.map_or(Duration::ZERO, |last| now - last);
        format!("input {number} sent nothing for {:.1} s", silence.as_secs_f64())
    }

    fn preferred_reason(&self, number: usize) -> String {
        match self.inputs[number - 1].health {
            Health::Healthy { cleared: Some(cleared) } => {
                format!("input {number} is preferred and has sent for {:.1} s without loss", cleared.as_secs_f64())
            }
            _ => format!("input {number} is preferred and sends"),
        }
    }

    fn is_healthy(&self, number: usize) -> bool {
        matches!(self.inputs[number - 1].health, Health::Healthy { .. })
    }

    fn clear(&self) -> Duration {
        Duration::from_millis(self.spec.clear_ms.into())
    }

    /// Place in the order of preference, from 1.
    fn number(&self, id: &InputId) -> Option<usize> {
        self.inputs.iter().position(|input| input.id == *id).map(|at| at + 1)
    }

    fn input(&self, id: &InputId) -> Option<&Input> {
        self.inputs.iter().find(|input| input.id == *id)
    }

    fn input_mut(&mut self, id: &InputId) -> Option<&mut Input> {
        self.inputs.iter_mut().find(|input| input.id == *id)
    }
}

impl Input {
    fn new(id: InputId) -> Self {
        Self { id, connected: false, last_media: None, health: Health::Unheard }
    }

    fn settle(&mut self, loss: Duration, clear: Duration, now: Instant) {
        let silent = self.last_media.is_none_or(|last| now.saturating_duration_since(last) >= loss);
        self.health = match self.health {
            Health::Unheard => Health::Unheard,
            _ if silent => Health::Lost { back: None },
            Health::Lost { back: Some(back) } if now.saturating_duration_since(back) >= clear => {
                Health::Healthy { cleared: Some(now - back) }
            }
            health => health,
        };
    }
}

#[cfg(test)]
mod tests;
