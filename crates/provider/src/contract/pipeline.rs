//! Rules of pipelines.

use anabranch_model::{BreakoutId, ChannelId, ChannelState, ChosenInput, InputId};

use super::{Case, Subject, all_differ, done, pipeline_spec, refused};
use crate::Kind;

pub(super) fn cases(subject: Subject<'_>) -> Vec<Case<'_>> {
    vec![
        ("ensuring repeats", Box::pin(ensuring_repeats(subject))),
        ("a start is real later", Box::pin(a_start_is_real_later(subject))),
        ("a running pipeline changes its session", Box::pin(sessions_change(subject))),
        ("an input that is not there is refused", Box::pin(inputs_switch(subject))),
        ("only a pipeline at rest is deleted", Box::pin(deleting(subject))),
        ("what is not there", Box::pin(what_is_not_there(subject))),
        ("pages are complete", Box::pin(pages_are_complete(subject))),
    ]
}

async fn ensuring_repeats(Subject { provider, .. }: Subject<'_>) {
    let mut spec = pipeline_spec();
    assert_eq!(done(provider.pipeline_describe(&spec.id).await), None);
    let first = done(provider.pipeline_ensure(&spec).await);
    assert_eq!((&first.id, first.state, &first.session), (&spec.id, ChannelState::Idle, &None));
    assert_eq!(first.tags, spec.tags);
    assert_eq!(done(provider.pipeline_ensure(&spec).await), first);
    spec.window_seconds = 30;
    spec.tags.insert("note".into(), "changed".into());
    let changed = done(provider.pipeline_ensure(&spec).await);
    assert_eq!((&changed.id, &changed.tags), (&spec.id, &spec.tags));
    assert_eq!(done(provider.pipeline_describe(&spec.id).await).map(|status| status.tags), Some(spec.tags.clone()));
    spec.inputs.clear();
    refused(provider.pipeline_ensure(&spec).await, &Kind::Invalid);
}

async fn a_start_is_real_later(Subject { provider, settle, .. }: Subject<'_>) {
    let spec = pipeline_spec();
    done(provider.pipeline_ensure(&spec).await);
    for _ in 0..2 {
        let asked = done(provider.pipeline_start(&spec.id, None).await);
        assert!(matches!(asked.state, ChannelState::Starting | ChannelState::Running), "{:?}", asked.state);
    }
    settle().await;
    let runs = done(provider.pipeline_start(&spec.id, None).await);
    assert_eq!((runs.state, runs.waiting_for), (ChannelState::Running, None), "a repeated start changes nothing");
    // Specifying it again does not stop it.
    done(provider.pipeline_ensure(&spec).await);
    settle().await;
    let still = done(provider.pipeline_describe(&spec.id).await).expect("it is there");
    assert_eq!(still.state, ChannelState::Running);
    for _ in 0..2 {
        let asked = done(provider.pipeline_stop(&spec.id).await);
        assert!(matches!(asked.state, ChannelState::Stopping | ChannelState::Idle), "{:?}", asked.state);
    }
    settle().await;
    let rests = done(provider.pipeline_stop(&spec.id).await);
    assert_eq!((rests.state, rests.waiting_for), (ChannelState::Idle, None), "a repeated stop changes nothing");
}

async fn sessions_change(Subject { provider, settle, .. }: Subject<'_>) {
    let spec = pipeline_spec();
    done(provider.pipeline_ensure(&spec).await);
    let (one, other) = (BreakoutId::random(), BreakoutId::random());
    for session in [Some(&one), Some(&other), None, Some(&one)] {
        assert_eq!(done(provider.pipeline_start(&spec.id, session).await).session.as_ref(), session);
        settle().await;
        let found = done(provider.pipeline_describe(&spec.id).await).expect("it is there");
        assert_eq!((found.session.as_ref(), found.state), (session, ChannelState::Running));
    }
    assert_eq!(done(provider.pipeline_stop(&spec.id).await).session, None);
}

async fn inputs_switch(Subject { provider, .. }: Subject<'_>) {
    let spec = pipeline_spec();
    assert_eq!(done(provider.pipeline_ensure(&spec).await).chosen, None);
    let choice = |input: &InputId, sequence| ChosenInput { input: input.clone(), sequence };
    let unknown = choice(&InputId::random(), 1);
    refused(provider.pipeline_switch(&spec.id, &unknown).await, &Kind::Invalid);
    let (first, second) = (choice(&spec.inputs[0].id, 2), choice(&spec.inputs[1].id, 3));
    for (asked, expected) in [(&first, &first), (&second, &second), (&first, &second), (&second, &second)] {
        let found = done(provider.pipeline_switch(&spec.id, asked).await).chosen;
        assert_eq!(found.as_ref(), Some(expected), "the newest choice counts, however often it is told");
    }
    assert_eq!(
        done(provider.pipeline_ensure(&spec).await).chosen,
        Some(second),
        "specifying it again keeps the choice"
    );
}

async fn deleting(Subject { provider, settle, .. }: Subject<'_>) {
    let spec = pipeline_spec();
    done(provider.pipeline_ensure(&spec).await);
    done(provider.pipeline_start(&spec.id, None).await);
    refused(provider.pipeline_delete(&spec.id).await, &Kind::InUse);
    settle().await;
    refused(provider.pipeline_delete(&spec.id).await, &Kind::InUse);
    done(provider.pipeline_stop(&spec.id).await);
    settle().await;
    for _ in 0..2 {
        done(provider.pipeline_delete(&spec.id).await);
    }
    assert_eq!(done(provider.pipeline_describe(&spec.id).await), None);
    // Made anew, it is a new one.
    assert_eq!(done(provider.pipeline_ensure(&spec).await).state, ChannelState::Idle);
}

async fn what_is_not_there(Subject { provider, .. }: Subject<'_>) {
    let id = ChannelId::random();
    assert_eq!(done(provider.pipeline_describe(&id).await), None);
    refused(provider.pipeline_start(&id, None).await, &Kind::NotFound);
    refused(provider.pipeline_stop(&id).await, &Kind::NotFound);
    refused(
        provider.pipeline_switch(&id, &ChosenInput { input: InputId::random(), sequence: 1 }).await,
        &Kind::NotFound,
    );
    done(provider.pipeline_delete(&id).await);
}

async fn pages_are_complete(Subject { provider, .. }: Subject<'_>) {
    let mut made = Vec::new();
    for _ in 0..7 {
        let spec = pipeline_spec();
        done(provider.pipeline_ensure(&spec).await);
        made.push(spec.id);
    }
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = done(provider.pipeline_list(after.as_deref()).await);
        listed.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let listed = all_differ(listed);
    assert!(made.iter().all(|id| listed.contains(id)));
}
