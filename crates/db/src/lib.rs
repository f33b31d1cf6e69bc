//! The db room: the control plane's tables, queries and migrations. The only SQL of the house.
//!
//! In: rows to create, wishes of operators, confirmations of the data plane; `now` as an argument.
//! Out: typed rows; [`SnapshotRows`], whose version goes up in the transaction of each change.
//! Never: HTTP, keys or tokens in clear text that are not rows, clocks, decisions about nodes, what a configuration means
//! (that is `control`).
//! Spec: SQLite in WAL mode, or PostgreSQL 14 and newer; one writer at a time on both; migrations in `migrations/sqlite` and
//! `migrations/postgres`.

mod access_key;
mod arrival;
mod asset;
mod asset_end;
mod audit;
mod backup;
mod breakout;
mod breakout_page;
mod breakout_trouble;
mod bucket;
mod caption;
mod channel;
mod channel_phase;
mod charge;
mod cluster;
mod cluster_state;
mod collection;
mod count;
mod created;
mod distribution;
mod distribution_phase;
mod error;
mod event;
mod exit;
mod file;
mod input;
mod invalidation;
mod job;
mod job_life;
mod key;
mod key_group;
mod key_member;
mod lead;
mod like;
mod local;
mod local_invalidation;
mod log;
mod log_prune;
mod login;
mod meta;
mod migrate;
mod node;
mod open;
pub mod operation;
mod operation_page;
mod page;
mod plan;
mod recording;
mod refresh;
mod row;
mod several;
mod snapshot;
mod sql;
mod standing;
mod stay;
mod token;
mod traffic;
mod upload;
mod usage;
mod user;
mod viewer;
mod webhook;

use std::sync::Arc;

pub use access_key::AccessKeyRow;
pub use arrival::{ArrivalRow, NewArrival, Recognised};
pub use asset::{AssetFilter, AssetRow};
pub use audit::{AuditFilter, AuditRow, NewAudit};
pub use backup::Backup;
pub use breakout::{Attendance, BreakoutContent, BreakoutRow, NewBreakout};
pub use breakout_page::BreakoutFilter;
pub use bucket::{BucketRow, NewBucket};
pub use caption::CaptionRow;
pub use channel::{ChannelChange, ChannelRow, InputRow, NewChannel, NewInput, Wish};
pub use charge::{ChargeRow, SubjectRow, Watched};
pub use cluster::ClusterRow;
pub use collection::{CollectionContent, CollectionFor, CollectionRow, Entitlement, NewCollection};
pub use created::{Created, Idempotency};
pub use distribution::{DistributionContent, DistributionRow, NewDistribution};
pub use distribution_phase::Retire;
pub use error::{Error, Fault};
pub use event::{AccountRow, EventContent, EventRow, NewAccount, NewEvent};
pub use exit::Exit;
pub use invalidation::{InvalidationRow, NewInvalidation};
pub use job::{JOB_ASSET, JOB_CAPTIONS, JOB_INTAKE, JOB_MP4, JOB_REMOVE, JOB_REMOVE_ASSET, JobRow, NewJob};
pub use job_life::{Claim, JOB_WAIT_MAX_MS};
pub use key::{KeyRow, NewKey};
pub use key_group::{KeyGroupRow, NewKeyGroup};
pub use local::{Change, LocalDistributionRow, LocalPipelineRow, NewLocalDistribution};
pub use local_invalidation::{LOG_MAX_ORDERS, LOG_MAX_PATTERNS, NewLocalInvalidation, Told};
pub use log::{LogEntry, LogFilter, LogKind, LogOrder, LogPage, LogRange, NewEntry, acting};
pub use log_prune::LogRetention;
pub use login::{LoginRow, NewLogin};
pub use node::NodeRow;
pub use operation::{OperationRow, OperationState, Plan, StepRow};
pub use page::{Cursor, CursorError, Page, PageOrder, PageRequest};
pub use recording::RecordingRow;
pub use several::ChannelDistribution;
pub use snapshot::{COMPLETED_READABLE, Marks, SnapshotDistribution, SnapshotRows};
pub use standing::{Standing, StandingAlarm, StandingChange, StandingRow};
pub use stay::{Presence, StayRow, WatchedBy, WatchedHour, presence, visits};
pub use token::{NewToken, TokenHash, TokenRow};
pub use traffic::Taken;
pub use upload::UploadRow;
pub use usage::{Delivered, DeliveredCounts, Place, USAGE_STEPS, UsageAt, UsageFilter};
pub use user::{EndLogins, Identity, NewUser, UserChange, UserRow};
pub use viewer::{Sighting, ViewerRow};
pub use webhook::{BacklogRow, GaveUp, NewWebhook, WebhookChange, WebhookProgress, WebhookRow};

use file::File;
use lead::Lead;
use sql::{Pool, Tx};

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Db {
    writer: Pool,
    readers: Pool,
    lead: Arc<Lead>,
    /// The file that is in use, if it is one.
    file: Option<Arc<File>>,
}

impl Db {
    fn new(writer: Pool, readers: Pool, lead: Lead, file: Option<File>) -> Self {
        Self { writer, readers, lead: Arc::new(lead), file: file.map(Arc::new) }
    }

    /// Ends every connection; open queries finish first.
    pub async fn close(&self) {
        self.lead.close().await;
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Whether other processes may have it open, too.
    pub fn is_shared(&self) -> bool {
        self.file.is_none()
    }

    /// Has the database take a change that means nothing, as a sign that it takes those that do.
    ///
    /// # Errors
    /// It does not; [`Error::fault`] says why.
    pub async fn probe(&self) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        sql::query(
            "INSERT INTO meta (key, value) VALUES ('probe', 1) ON CONFLICT (key) DO UPDATE SET value = meta.value + 1",
        )
        .execute(&mut tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// A transaction that changes rows without telling the data plane.
    pub(crate) async fn begin(&self) -> Result<Tx, Error> {
        if let Some(file) = &self.file {
            file.check()?;
        }
        let mut tx = self.writer.write().await?;
        self.lead.check(&mut tx).await?;
        Ok(tx)
    }

    /// A transaction that reads what was there at one moment.
    pub(crate) async fn read(&self) -> Result<Tx, Error> {
        Ok(self.readers.read().await?)
    }

    /// A transaction that changes what is wanted and not yet what nodes are told, and a number that goes up with each.
    pub(crate) async fn wish(&self) -> Result<(Tx, u64), Error> {
        let mut tx = self.begin().await?;
        let number = meta::wish(&mut tx).await?;
        Ok((tx, number))
    }

    /// A transaction that changes the snapshot, and the version that it gets when the transaction commits.
    pub(crate) async fn change(&self) -> Result<(Tx, u64), Error> {
        let mut tx = self.begin().await?;
        let version = meta::bump(&mut tx).await?;
        Ok((tx, version))
    }
}
