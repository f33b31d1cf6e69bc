//! Encoders refused for their address: one alarm while they try, cleared when they have stopped.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use anabranch_model::{AlarmKind, ChannelId, InputId, Report};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::alarm::note_alarm;

/// Time without a refusal after which the alarm is cleared.
const QUIET: Duration = Duration::from_secs(60);

/// Inputs at which encoders are being refused. Only pushes with a right stream key come here, so inputs bound it.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<HashMap<InputId, Refused>>);

#[derive(Debug)]
struct Refused {
    channel: ChannelId,
    /// The first one that was refused.
    address: IpAddr,
    last: Instant,
    said: bool,
}

impl Refusals {
    /// An encoder was refused.
    pub(crate) fn note(&self, channel: &ChannelId, input: &InputId, address: IpAddr, reports: &mpsc::Sender<Report>) {
        let now = Instant::now();
        let mut inputs = self.0.lock();
        let refused = inputs.entry(input.clone()).or_insert_with(|| Refused {
            channel: channel.clone(),
            address: address.to_canonical(),
            last: now,
            said: false,
        });
        refused.last = now;
        refused.say(input, reports);
    }

    /// Clears the alarms of inputs where nobody tries any more, and tells what found no room before.
    pub(crate) fn settle(&self, now: Instant, reports: &mpsc::Sender<Report>) {
        self.0.lock().retain(|input, refused| {
            refused.say(input, reports);
            let over = refused.said && now.saturating_duration_since(refused.last) >= QUIET;
            !(over && tell(&refused.channel, input, false, "nobody is refused any more".to_owned(), reports))
        });
    }
}

impl Refused {
    fn say(&mut self, input: &InputId, reports: &mpsc::Sender<Report>) {
        if !self.said {
            let detail = format!("an encoder at {} was refused: it is not in the input's allow-list", self.address);
            self.said = tell(&self.channel, input, true, detail, reports);
        }
    }
}

/// Reports, if there is room.
fn tell(channel: &ChannelId, input: &InputId, raised: bool, detail: String, reports: &mpsc::Sender<Report>) -> bool {
    let kind = AlarmKind::NotAllowed;
    let words = detail.clone();
    let report = Report::Alarm { channel: channel.clone(), input: input.clone(), kind, raised, detail };
    let told = !matches!(reports.try_send(report), Err(mpsc::error::TrySendError::Full(_)));
    if told {
        note_alarm(channel, input, kind, raised, &words);
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_alarm_while_they_try_and_its_end_when_they_stop() {
        let (sender, mut reports) = mpsc::channel(1);
        let (refusals, channel, input) = (Refusals::default(), ChannelId::random(), InputId::random());
        let mut said = || match reports.try_recv() {
            Ok(Report::Alarm { kind: AlarmKind::NotAllowed, raised, .. }) => Some(raised),
            _ => None,
        };
        // No room at first: told later.
        sender.try_send(Report::Traffic(Vec::new())).unwrap();
        refusals.note(&channel, &input, [192, 0, 2, 1].into(), &sender);
        assert_eq!(said(), None);
        refusals.settle(Instant::now(), &sender);
        assert_eq!(said(), Some(true));
        for _ in 0..10 {
            refusals.note(&channel, &input, [192, 0, 2, 1].into(), &sender);
            refusals.settle(Instant::now(), &sender);
        }
        assert_eq!(said(), None);
        refusals.settle(Instant::now() + QUIET, &sender);
        assert_eq!(said(), Some(false));
        refusals.settle(Instant::now() + QUIET, &sender);
        assert_eq!((said(), refusals.0.lock().len()), (None, 0));
    }
}
