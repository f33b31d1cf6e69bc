//! The engine on a provider that answers late, twice, wrongly or never.

use std::sync::Arc;
use std::time::Duration;

use anabranch_db::{Db, OperationState};
use anabranch_model::{BreakoutEvent, BreakoutState, ChannelState, DistributionPhase};
use anabranch_net::{ManualClock, Shutdown};
use anabranch_provider::faulty::{Fault, Faulty};
use anabranch_provider::memory::Memory;
use anabranch_provider::{DistributionProvider as _, Kind, PipelineProvider as _, ProviderError, TAG_CHANNEL};
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::{Engine, Round, sweep};
use crate::app::{self, App, DeleteQuery};

const NOW_MS: i64 = 1_767_225_600_000;

/// Longest wait for what is wanted.
const PATIENCE: Duration = Duration::from_secs(30);

struct Plane {
    app: Arc<App>,
    provider: Arc<Faulty<Memory>>,
    clock: Arc<ManualClock>,
    shutdown: Shutdown,
    engine: JoinHandle<()>,
    _dir: TempDir,
}

impl Plane {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("db.sqlite")).await.unwrap();
        let clock = Arc::new(ManualClock::new(NOW_MS));
        let (mut app, _) =
            app::start(crate::local::tests::config(), crate::local::tests::media(dir.path()), db, clock.clone())
                .await
                .unwrap();
        let provider = Arc::new(Faulty::new(Memory::default()));
        app.provider = provider.clone();
        let app = Arc::new(app);
        let shutdown = Shutdown::new();
        let engine = tokio::spawn(Engine::new(app.clone()).run(shutdown.clone()));
        let plane = Self { app, provider, clock, shutdown, engine, _dir: dir };
        // What the plane makes for itself meets no fault.
        plane.until("rest", async |app| app.db.operations_due(i64::MAX).await.unwrap().is_empty()).await;
        plane
    }

    /// Lets time pass, here and at the provider, until it is so.
    async fn until(&self, what: &str, mut is: impl AsyncFnMut(&App) -> bool) {
        let asking = async {
            let mut now_ms = self.app.clock.now_ms();
            while !is(&self.app).await {
                self.provider.inner().settle();
                now_ms += 10_000;
                self.clock.set_ms(now_ms);
                self.app.drive.notify_one();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let came = tokio::time::timeout(PATIENCE, asking).await;
        assert!(came.is_ok(), "{what} never came: {:?}", self.app.db.operations_due(i64::MAX).await);
    }

    async fn channel(&self, name: &str) {
        let request = serde_json::from_value(json!({ "name": name })).unwrap();
        self.app.channel_create(request, None).await.unwrap();
    }

    async fn breakout_is(&self, state: BreakoutState) {
        self.until(state.as_str(), async |app| app.db.breakout_find("b").await.unwrap().state == state).await;
    }

    async fn nothing_left(&self) -> bool {
        let provider = self.provider.inner();
        let pipelines = provider.pipeline_list(None).await.unwrap().items;
        let mut after = None;
        loop {
            let page = provider.distribution_list(after.as_deref()).await.unwrap();
            for id in &page.items {
                // Others are the plane's own.
                let found = provider.distribution_describe(id).await.unwrap().unwrap();
                if found.tags.contains_key(TAG_CHANNEL) {
                    return false;
                }
            }
            after = page.next;
            if after.is_none() {
                return pipelines.is_empty();
            }
        }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.engine.await.unwrap();
        self.app.db.close().await;
    }
}

fn cut(kind: Kind) -> ProviderError {
    ProviderError::new(kind, "the line was cut")
}

/// A channel's life from create to delete, while each kind of call goes wrong once.
async fn a_life_with(fault: Fault) {
    let plane = Plane::start().await;
    let plan = |operations: &[&'static str]| {
        for operation in operations {
            plane.provider.plan(operation, fault.clone());
        }
    };
    plan(&["pipeline_ensure", "pipeline_describe", "distribution_create", "distribution_describe", "pipeline_start"]);
    plane.channel("c").await;
    let request = serde_json::from_value(json!({ "name": "b", "channel": "c" })).unwrap();
    plane.app.breakout_create(request, None).await.unwrap();
    plane.app.breakout_event("b", BreakoutEvent::Start).await.unwrap();
    plane.breakout_is(BreakoutState::Running).await;
    plan(&["pipeline_stop"]);
    plane.app.breakout_event("b", BreakoutEvent::Stop).await.unwrap();
    plane.until("Idle", async |app| app.db.channel_find("c").await.unwrap().state == ChannelState::Idle).await;
    assert_eq!(plane.app.db.channel_find("c").await.unwrap().problem, None, "{fault:?}");
    plan(&["pipeline_delete", "distribution_update", "distribution_delete", "distribution_describe"]);
    plane.app.channel_delete("c", DeleteQuery::default()).await.unwrap();
    plane.until("the end", async |_| plane.nothing_left().await).await;
    let page = anabranch_db::PageRequest { limit: 10, after: None, order: anabranch_db::PageOrder::OldestFirst };
    plane
        .until("no row", async |app| {
            app.db
                .distribution_page(&page)
                .await
                .unwrap()
                .items
                .iter()
                .all(|row| row.phase == DistributionPhase::Active)
                && app.db.channel_page(&page).await.unwrap().items.is_empty()
        })
        .await;
    assert_eq!(plane.provider.planned(), 0, "every fault was met: {fault:?}");
    plane.stop().await;
}

#[tokio::test]
async fn late_and_repeated_answers_do_no_harm() {
    tokio::join!(a_life_with(Fault::Late(Duration::from_millis(50))), a_life_with(Fault::Twice));
}

#[tokio::test]
async fn wrong_answers_do_no_harm() {
    let throttled = Kind::Throttled { retry_after: Some(Duration::from_secs(3)) };
    tokio::join!(
        a_life_with(Fault::Before(cut(Kind::Unavailable))),
        a_life_with(Fault::After(cut(Kind::Unavailable))),
        a_life_with(Fault::Before(cut(throttled))),
    );
}

#[tokio::test]
async fn calls_that_are_never_answered_do_no_harm() {
    tokio::join!(a_life_with(Fault::NeverBefore), a_life_with(Fault::NeverAfter));
}

#[tokio::test]
async fn a_create_that_can_never_succeed_is_taken_back_visibly() {
    for operation in ["pipeline_ensure", "distribution_create"] {
        let plane = Plane::start().await;
        plane.provider.plan(operation, Fault::Before(cut(Kind::Invalid)));
        plane.channel("c").await;
        let rolled_back = async |app: &App| {
            let channel = app.db.channel_find("c").await.unwrap();
            let last = app.db.operation_of(channel.id.as_str()).await.unwrap();
            last.is_some_and(|last| last.state == OperationState::RolledBack)
        };
        plane.until("the roll-back", rolled_back).await;
        let problem = plane.app.db.channel_find("c").await.unwrap().problem.unwrap();
        assert!(problem.contains("the line was cut"), "{problem}");
        plane.until("nothing at the provider", async |_| plane.nothing_left().await).await;
        plane.app.channel_delete("c", DeleteQuery::default()).await.unwrap();
        plane.until("the end", async |app| app.db.channel_find("c").await.is_err()).await;
        plane.stop().await;
    }
}

#[tokio::test]
async fn a_failure_shows_its_reason_and_its_next_try() {
    let plane = Plane::start().await;
    for _ in 0..20 {
        plane.provider.plan("distribution_create", Fault::Before(cut(Kind::Unavailable)));
    }
    plane.channel("c").await;
    let channel = plane.app.db.channel_find("c").await.unwrap();
    assert_eq!(channel.problem.as_deref(), Some("the line was cut"));
    let open = plane.app.db.operation_of(channel.id.as_str()).await.unwrap().unwrap();
    assert_eq!((open.problem.as_deref(), open.step_name()), (Some("the line was cut"), Some("distribution.create")));
    let now_ms = plane.app.clock.now_ms();
    assert!((now_ms + 1..=now_ms + 1_300).contains(&open.next_try_at), "{open:?}");
    let deployed = async |app: &App| {
        let distribution = app.db.distribution_of_channel(&channel.id).await.unwrap().unwrap();
        distribution.status == anabranch_model::DistributionState::Deployed
    };
    plane.until("Deployed", deployed).await;
    assert_eq!(plane.app.db.channel_find("c").await.unwrap().problem, None, "it is over");
    plane.stop().await;
}

#[tokio::test]
async fn one_bad_row_does_not_stop_a_sweep() {
    let plane = Plane::start().await;
    for name in ["c1", "c2", "c3", "c4", "c5"] {
        plane.channel(name).await;
    }
    let count = async |plane: &Plane| plane.provider.inner().distribution_list(None).await.unwrap().items.len();
    plane.until("five", async |_| count(&plane).await == 3).await;
    for _ in 0..3 {
        plane.provider.plan("distribution_delete", Fault::Before(cut(Kind::InUse)));
    }
    for name in ["c1", "c2", "c3", "c4", "c5"] {
        let delete = async |app: &App| app.channel_delete(name, DeleteQuery::default()).await.is_ok();
        plane.until("the delete", delete).await;
    }
    plane
        .until("the end", async |app| {
            sweep(app, Round::Asked).await.unwrap();
            plane.nothing_left().await
        })
        .await;
    plane.stop().await;
}
