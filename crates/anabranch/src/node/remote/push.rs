//! Reports: taken from the edge, kept in the spool, sent until they are acknowledged.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anabranch_edge::Journal;
use anabranch_model::Report;
use anyhow::Result;
use tokio::sync::{mpsc, watch};
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep, timeout_at};

use super::spool::Spool;
use super::uplink::{Backoff, Sent, Uplink};
use crate::node::counts;

/// Time for the last batches and the goodbye, once the edge has ended.
const FAREWELL: Duration = Duration::from_secs(3);

type Sending = Pin<Box<dyn Future<Output = (u64, Result<Sent>)> + Send>>;

/// Carries reports to the control plane.
pub(super) struct Push {
    uplink: Arc<Uplink>,
    spool: Spool,
    reports: mpsc::Receiver<Report>,
    /// Told the version that the edge has put in force.
    applied: watch::Sender<u64>,
    /// Where counts are until the spool has them.
    journal: Option<Journal>,
    backoff: Backoff,
    disk_fails: bool,
}

impl Push {
    pub(super) fn new(
        uplink: Arc<Uplink>,
        spool: Spool,
        reports: mpsc::Receiver<Report>,
        applied: watch::Sender<u64>,
        journal: Option<Journal>,
    ) -> Self {
        Self { uplink, spool, reports, applied, journal, backoff: Backoff::default(), disk_fails: false }
    }

    /// Keeps what an earlier process had counted and not told, and gives the number of the next file of the journal.
    pub(super) fn recover(&mut self) -> u64 {
        let kept = counts::kept(self.journal.as_ref());
        let last = kept.last().map_or(0, |kept| kept.generation);
        for one in kept {
            let kept = self.spool.append_counted(&self.uplink.name, one.generation, one.traffic, Vec::new());
            self.note(kept);
        }
        counts::forget(self.journal.as_ref(), self.spool.journal());
        last.max(self.spool.journal()) + 1
    }

    /// Runs until the edge has ended, then sends what is left if the control plane answers in time, and says goodbye.
    pub(super) async fn run(mut self) {
        let mut sending = self.send(Duration::ZERO);
        loop {
            tokio::select! {
                report = self.reports.recv() => match report {
                    Some(report) => self.take(report),
                    None => break,
                },
                (sequence, sent) = next(&mut sending) => {
                    let pause = self.settle(sequence, sent);
                    sending = self.send(pause);
                }
            }
            if sending.is_none() {
                sending = self.send(Duration::ZERO);
            }
        }
        // The batch under way may have arrived: its number keeps it from being counted twice.
        drop(sending);
        let deadline = Instant::now() + FAREWELL;
        if timeout_at(deadline, self.farewell()).await.is_err() {
            tracing::warn!("the control plane did not hear the goodbye in time");
        }
        let kept = block_in_place(|| self.spool.merge_viewers(&self.uplink.name));
        self.note(kept);
        let waiting = self.spool.waiting();
        if waiting > 0 {
            tracing::warn!(batches = waiting, "reports wait on disk for the next start");
        }
    }

    fn take(&mut self, report: Report) {
        match report {
            Report::Applied { version, .. } => {
                self.applied.send_replace(version);
            }
            Report::Traffic(traffic) => {
                let kept = block_in_place(|| self.spool.append(&self.uplink.name, traffic));
                self.note(kept);
            }
            Report::Counted { generation, traffic, quality, .. } => {
                let kept = block_in_place(|| {
                    let kept = self.spool.append_counted(&self.uplink.name, generation, traffic, quality);
                    counts::forget(self.journal.as_ref(), self.spool.journal());
                    kept
                });
                self.note(kept);
            }
            Report::Quality(quality) => self.spool.append_quality(quality),
            Report::Viewers(seen) => {
                let kept = block_in_place(|| self.spool.append_viewers(&self.uplink.name, seen));
                self.note(kept);
            }
            // Those of other roles.
            _ => {}
        }
    }

    /// Notes whether the disk has taken a report.
    fn note(&mut self, kept: io::Result<()>) {
        let fails = kept.is_err();
        if let Err(error) = kept
            && !self.disk_fails
        {
            tracing::error!(%error, "reports cannot be kept on disk; they stay in memory and are tried again");
        }
        self.disk_fails = fails;
        self.gauge();
    }

    /// Begins to send the oldest batch, after a pause.
    fn send(&mut self, pause: Duration) -> Option<Sending> {
        let (sequence, batch) = block_in_place(|| self.spool.oldest())?;
        let uplink = self.uplink.clone();
        Some(Box::pin(async move {
            sleep(pause).await;
            (sequence, uplink.report(sequence, batch).await)
        }))
    }

    /// Notes what became of a batch; gives the pause before the next attempt.
    fn settle(&mut self, sequence: u64, sent: Result<Sent>) -> Duration {
        match sent {
            Ok(Sent::Acknowledged) => {
                let noted = block_in_place(|| self.spool.acknowledged(sequence));
                // There is room again.
                let kept = block_in_place(|| self.spool.flush_viewers(&self.uplink.name));
                self.note(kept);
                match noted {
                    Ok(()) => {
                        self.backoff.succeeded("reports are delivered");
                        Duration::ZERO
                    }
                    Err(error) => self.backoff.failed("an acknowledged report batch cannot be removed", &error.into()),
                }
            }
            Ok(Sent::Refused(why)) => {
                tracing::error!(
                    error = why,
                    batch.sequence = sequence,
                    "a report batch is put aside: it will not be counted"
                );
                metrics::counter!("anabranch_node_report_batches_refused_total").increment(1);
                block_in_place(|| self.spool.refused(sequence));
                Duration::ZERO
            }
            Err(error) => self.backoff.failed("reports are not delivered and wait on disk", &error),
        }
    }

    async fn farewell(&mut self) {
        while let Some(sending) = self.send(Duration::ZERO) {
            let (sequence, sent) = sending.await;
            if sent.is_err() {
                break;
            }
            self.settle(sequence, sent);
        }
        if let Err(error) = self.uplink.goodbye().await {
            tracing::warn!(error = format!("{error:#}"), "the control plane did not hear the goodbye");
        }
    }

    fn gauge(&self) {
        #[expect(clippy::cast_precision_loss, reason = "gauges are floating point numbers")]
        metrics::gauge!("anabranch_node_report_batches_waiting").set(self.spool.waiting() as f64);
    }
}

/// The outcome of what is being sent; never, if nothing is.
async fn next(sending: &mut Option<Sending>) -> (u64, Result<Sent>) {
    match sending {
        Some(sending) => sending.await,
        None => std::future::pending().await,
    }
}
