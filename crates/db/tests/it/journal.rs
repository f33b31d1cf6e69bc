//! The journal of operations, and what the local provider keeps.

use std::collections::BTreeMap;

use anabranch_db::{Change, ChannelChange, NewLocalDistribution, OperationState, Wish};
use anabranch_model::{
    BreakoutEvent, ChannelId, ChannelSpec, ChosenInput, DistributionId, FailoverSpec, InputId, InputPreference,
    InputSpec,
};

use crate::scratch::{Engine, Rows as _, both, open_on};
use crate::{breakout, channel};

pub(crate) fn spec(id: &ChannelId) -> ChannelSpec {
    ChannelSpec {
        id: id.clone(),
        name: "c".into(),
        running: false,
        segment_target_seconds: 6,
        window_seconds: 60,
        inputs: vec![InputSpec { id: InputId::random(), stream_key: "k".into(), allow: Vec::new() }],
        failover: FailoverSpec::default(),
    }
}

both!(
    an_operation_goes_step_by_step,
    a_create_that_cannot_succeed_is_taken_back,
    newer_wishes_take_the_place_of_older_ones,
    what_a_newer_wish_does_not_do_is_still_done,
    rows_in_transit_get_the_operation_that_they_lack,
    pipelines_of_the_local_provider,
    distributions_of_the_local_provider,
);

async fn an_operation_goes_step_by_step(engine: Engine) {
    let (_dir, db, group) = open_on(engine).await;
    let new = channel("c", &group);
    db.channel_create(&new, 1).await.unwrap();
    let mut row = db.operations_due(1).await.unwrap().remove(0);
    assert_eq!(row.step_name(), Some("pipeline.ensure"));
    assert!(db.operation_begin_step(&row, 2).await.unwrap());
    db.operation_retry(&row, "no answer", 1000, 3).await.unwrap();
    assert!(db.operations_due(999).await.unwrap().is_empty());
    row = db.operations_due(1000).await.unwrap().remove(0);
    assert_eq!((row.attempts, row.problem.as_deref(), row.next_try_at), (1, Some("no answer"), 1000));
    assert!(db.operation_step_done(&row, Some("made again"), 1001).await.unwrap());
    row = db.operations_due(1001).await.unwrap().remove(0);
    assert_eq!((row.step_name(), row.attempts, row.problem.as_deref()), (Some("distribution.create"), 0, None));
    assert!(db.operation_step_done(&row, None, 1002).await.unwrap());
    row.step += 1;
    db.operation_waits(&row, "waiting for edge", 1003).await.unwrap();
    let shown = db.operation_of(new.id.as_str()).await.unwrap().unwrap();
    assert_eq!(
        (shown.waiting_for.as_deref(), shown.step_name()),
        (Some("waiting for edge"), Some("distribution.deployed"))
    );
    assert!(db.operation_step_done(&row, None, 1004).await.unwrap());
    assert!(!db.operation_step_done(&row, None, 1005).await.unwrap(), "it is over");
    assert!(db.operations_due(2000).await.unwrap().is_empty());
    assert_eq!(db.operation_of(new.id.as_str()).await.unwrap(), None, "what is done is no news");
    let (row, steps) = db.operation_find(&row.id).await.unwrap();
    assert_eq!((row.state, row.finished_at), (OperationState::Done, Some(1004)));
    assert!(steps.iter().all(|step| step.state == "done"));
    assert_eq!((steps[0].note.as_deref(), steps[0].begun_at, steps[0].attempts), (Some("made again"), Some(2), 1));
    db.operations_forget(1005).await.unwrap();
    assert!(db.operation_find(&row.id).await.is_err());
}

async fn a_create_that_cannot_succeed_is_taken_back(engine: Engine) {
    let (_dir, db, group) = open_on(engine).await;
    db.channel_create(&channel("c", &group), 1).await.unwrap();
    let row = db.operations_due(1).await.unwrap().remove(0);
    db.operation_step_done(&row, None, 2).await.unwrap();
    let row = db.operations_due(2).await.unwrap().remove(0);
    db.operation_undo(&row, "never", 3).await.unwrap();
    for step in ["distribution.create", "pipeline.ensure"] {
        let row = db.operations_due(3).await.unwrap().remove(0);
        assert_eq!((row.state, row.step_name()), (OperationState::Undoing, Some(step)));
        assert!(db.operation_begin_step(&row, 4).await.unwrap());
        db.operation_step_undone(&row, 4).await.unwrap();
    }
    let shown = db.operation_of(&row.subject).await.unwrap().unwrap();
    assert_eq!((shown.state, shown.problem.as_deref()), (OperationState::RolledBack, Some("never")));
}

async fn newer_wishes_take_the_place_of_older_ones(engine: Engine) {
    let (_dir, db, group) = open_on(engine).await;
    let made = db.channel_create(&channel("c", &group), 1).await.unwrap().into_inner();
    db.channel_wish("c", Wish::Run, 1).await.unwrap();
    db.channel_wish("c", Wish::Rest, 1).await.unwrap();
    db.breakout_create(&breakout("b", "c"), 1).await.unwrap();
    db.breakout_event("b", BreakoutEvent::Start, 1).await.unwrap();
    let kinds = async || db.operations_due(1).await.unwrap().iter().map(|row| row.plan.kind).collect::<Vec<_>>();
    assert_eq!(kinds().await, ["channel.create", "channel.stop", "breakout.start"]);
    let starting = db.operations_due(1).await.unwrap().remove(2);
    db.breakout_event("b", BreakoutEvent::Abort, 1).await.unwrap();
    assert_eq!(kinds().await, ["channel.create", "channel.stop", "breakout.stop"]);
    assert!(!db.operation_begin_step(&starting, 2).await.unwrap(), "it is over");
    let stopped = db.channel_find("c").await.unwrap();
    db.channel_confirm(&stopped, anabranch_model::ChannelEvent::Stopped, 2).await.unwrap();
    db.channel_retire("c", 3).await.unwrap();
    assert_eq!(kinds().await, ["channel.delete"]);
    assert!(db.channel_wish("c", Wish::Run, 4).await.is_err());
    assert!(
        !db.operation_open(anabranch_db::operation::CHANNEL_DELETE, made.id.as_str(), made.id.as_str(), 4)
            .await
            .unwrap()
    );
}

async fn what_a_newer_wish_does_not_do_is_still_done(engine: Engine) {
    let (_dir, db, group) = open_on(engine).await;
    db.channel_create(&channel("c", &group), 1).await.unwrap();
    let equal = FailoverSpec { preference: InputPreference::Equal, ..FailoverSpec::default() };
    let change = ChannelChange { failover: Some(equal), ..ChannelChange::default() };
    let row = db.channel_update("c", &change, 1).await.unwrap();
    db.channel_wish("c", Wish::Run, 1).await.unwrap();
    let kinds = async || db.operations_due(1).await.unwrap().iter().map(|row| row.plan.kind).collect::<Vec<_>>();
    assert_eq!(kinds().await, ["channel.create", "channel.start"], "starting tells the pipeline everything");
    let input = db.channel_inputs(&row.id).await.unwrap().remove(0).id;
    for _ in 0..2 {
        db.channel_update("c", &change, 2).await.unwrap();
        db.channel_choose("c", input.as_str(), 2).await.unwrap();
    }
    assert_eq!(kinds().await, ["channel.create", "channel.start", "channel.update", "channel.switch"]);
}

async fn rows_in_transit_get_the_operation_that_they_lack(engine: Engine) {
    let (scratch, db, group) = open_on(engine).await;
    db.channel_create(&channel("c", &group), 1).await.unwrap();
    db.breakout_create(&breakout("b", "c"), 1).await.unwrap();
    db.breakout_event("b", BreakoutEvent::Start, 1).await.unwrap();
    assert_eq!(db.operations_heal(2).await.unwrap(), 0);
    scratch.run("DELETE FROM operations").await;
    assert_eq!(db.operations_heal(2).await.unwrap(), 2);
    let kinds: Vec<_> = db.operations_due(2).await.unwrap().iter().map(|row| row.plan.kind).collect();
    assert_eq!(kinds, ["channel.start", "breakout.start"]);
    assert_eq!(db.operations_heal(3).await.unwrap(), 0);
}

async fn pipelines_of_the_local_provider(engine: Engine) {
    let (_dir, db, _) = open_on(engine).await;
    let spec = spec(&ChannelId::random());
    let tags = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    let made = db.local_pipeline_ensure(&spec, &tags, 1).await.unwrap();
    assert_eq!((made.changed_version, made.running, &made.tags), (0, false, &tags));
    let runs = db.local_pipeline_run(&spec.id, true, None).await.unwrap().unwrap();
    assert!(runs.changed_version > 0 && runs.running);
    assert!(!db.local_pipeline_delete(&spec.id).await.unwrap());
    let chosen = ChosenInput { input: spec.inputs[0].id.clone(), sequence: 2 };
    db.local_pipeline_choose(&spec.id, &chosen).await.unwrap();
    let late = ChosenInput { sequence: 1, ..chosen.clone() };
    assert_eq!(db.local_pipeline_choose(&spec.id, &late).await.unwrap().unwrap().chosen, Some(chosen.clone()));
    assert_eq!(db.snapshot(1).await.unwrap().channels[0].failover.chosen, Some(chosen));
    db.local_pipeline_run(&spec.id, false, None).await.unwrap();
    assert_eq!(db.local_pipeline_ids("", 5).await.unwrap(), std::slice::from_ref(&spec.id));
    assert!(db.local_pipeline_delete(&spec.id).await.unwrap() && db.local_pipeline_delete(&spec.id).await.unwrap());
    assert_eq!(db.local_pipeline_run(&spec.id, true, None).await.unwrap(), None);
}

async fn distributions_of_the_local_provider(engine: Engine) {
    let (_dir, db, _) = open_on(engine).await;
    let id = DistributionId::random();
    let new = NewLocalDistribution {
        id: id.clone(),
        reference: "r".into(),
        config: "one".into(),
        domain: "e.cdn.localhost".into(),
        enabled: true,
        tags: BTreeMap::new(),
    };
    let Change::Done(made) = db.local_distribution_create(&new, 1).await.unwrap() else { panic!("not made") };
    assert_eq!(db.local_distribution_create(&new, 2).await.unwrap(), Change::Done(made.clone()));
    let other = NewLocalDistribution { config: "two".into(), ..new.clone() };
    assert_eq!(db.local_distribution_create(&other, 2).await.unwrap(), Change::Taken(id.to_string()));
    assert_eq!(db.local_distribution_update(&id, Some(7), "two", false).await.unwrap(), Change::Stale);
    let Change::Done(changed) = db.local_distribution_update(&id, Some(1), "two", false).await.unwrap() else {
        panic!("not changed")
    };
    assert_eq!((changed.revision, changed.enabled), (2, false));
    assert!(changed.changed_version > made.changed_version);
    assert_eq!(db.local_distribution_delete(&id, Some(1)).await.unwrap(), Change::Stale);
    assert_eq!(db.local_distribution_delete(&id, Some(2)).await.unwrap(), Change::Done(()));
    assert_eq!(db.local_distribution_delete(&id, None).await.unwrap(), Change::NotFound);
    assert!(db.snapshot(1).await.unwrap().distributions.is_empty());
}
