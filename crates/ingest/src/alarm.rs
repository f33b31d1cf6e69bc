//! Alarms of inputs in log and metrics.

use anabranch_model::{AlarmKind, ChannelId, InputId};

/// Logs and counts an alarm.
pub(crate) fn note_alarm(channel: &ChannelId, input: &InputId, kind: AlarmKind, raised: bool, detail: &str) {
    let kind = kind.as_str();
    if raised {
        metrics::counter!("anabranch_ingest_alarms_total", "kind" => kind).increment(1);
        tracing::warn!(channel.id = %channel, input.id = %input, alarm = kind, detail, "input alarm");
    } else {
        tracing::info!(channel.id = %channel, input.id = %input, alarm = kind, detail, "input alarm cleared");
    }
}
