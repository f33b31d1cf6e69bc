//! Rules of distributions, their invalidations and their traffic.

use anabranch_model::{DistributionId, DistributionState, InvalidationId, InvalidationState};

use super::{Case, Subject, all_differ, config, distribution_order, done, refused};
use crate::{Kind, NewInvalidation};

pub(super) fn cases(subject: Subject<'_>) -> Vec<Case<'_>> {
    vec![
        ("creating repeats", Box::pin(creating_repeats(subject))),
        ("a configuration that cannot be served is refused", Box::pin(invalid_configurations(subject))),
        ("an update names what it changes", Box::pin(updates(subject))),
        ("only what is disabled everywhere is deleted", Box::pin(deleting(subject))),
        ("a distribution that is not there", Box::pin(what_is_not_there(subject))),
        ("pages of distributions are complete", Box::pin(pages_are_complete(subject))),
        ("pages do not skip while deleting", Box::pin(pages_while_deleting(subject))),
        ("invalidations repeat", Box::pin(invalidations(subject))),
        ("traffic of nothing is nothing", Box::pin(traffic(subject))),
    ]
}

async fn creating_repeats(Subject { provider, settle, .. }: Subject<'_>) {
    let order = distribution_order();
    let first = done(provider.distribution_create(&order).await);
    assert_eq!((first.status, first.enabled), (DistributionState::InProgress, true));
    assert_eq!((&first.reference, &first.tags), (&order.reference, &order.tags));
    assert!(!first.domain.is_empty() && !first.etag.is_empty());
    let again = done(provider.distribution_create(&order).await);
    assert_eq!((&again.id, &again.domain, &again.etag), (&first.id, &first.domain, &first.etag));
    settle().await;
    let found = done(provider.distribution_describe(&first.id).await).expect("it is there");
    assert_eq!((found.status, found.waiting_for), (DistributionState::Deployed, None));
    assert_eq!(found.etag, first.etag, "becoming real is no change");
    let again = done(provider.distribution_create(&order).await);
    assert_eq!((again.id, again.status), (first.id, DistributionState::Deployed));
    let mut other = distribution_order();
    other.reference.clone_from(&order.reference);
    other.config = config(&order.reference, false);
    refused(provider.distribution_create(&other).await, &Kind::Conflict);
}

async fn invalid_configurations(Subject { provider, .. }: Subject<'_>) {
    let mut order = distribution_order();
    order.config["Origins"] = serde_json::json!({ "Quantity": 0, "Items": [] });
    refused(provider.distribution_create(&order).await, &Kind::Invalid);
    let mut order = distribution_order();
    order.config["CallerReference"] = "another".into();
    refused(provider.distribution_create(&order).await, &Kind::Invalid);
}

async fn updates(Subject { provider, settle, .. }: Subject<'_>) {
    let order = distribution_order();
    let first = done(provider.distribution_create(&order).await);
    settle().await;
    let mut wanted = order.config.clone();
    wanted["Comment"] = "changed".into();
    let changed = done(provider.distribution_update(&first.id, &first.etag, &wanted).await);
    assert_ne!(changed.etag, first.etag);
    assert_eq!((changed.status, changed.enabled), (DistributionState::InProgress, true));
    assert_eq!(changed.config["Comment"], "changed");
    refused(provider.distribution_update(&first.id, &first.etag, &order.config).await, &Kind::PreconditionFailed);
    refused(provider.distribution_update(&first.id, "nonsense", &order.config).await, &Kind::PreconditionFailed);
    let found = done(provider.distribution_describe(&first.id).await).expect("it is there");
    assert_eq!(found.config["Comment"], "changed", "a refused update changes nothing");
    let renamed = config("another", true);
    refused(provider.distribution_update(&first.id, &changed.etag, &renamed).await, &Kind::Invalid);
    settle().await;
    let found = done(provider.distribution_describe(&first.id).await).expect("it is there");
    assert_eq!((found.status, found.etag), (DistributionState::Deployed, changed.etag));
    // The token still stands for the first content, so a create that is repeated very late does no harm.
    let late = done(provider.distribution_create(&order).await);
    assert_eq!((late.id, &late.config["Comment"]), (first.id, &"changed".into()));
}

async fn deleting(Subject { provider, settle, .. }: Subject<'_>) {
    let order = distribution_order();
    let made = done(provider.distribution_create(&order).await);
    refused(provider.distribution_delete(&made.id, &made.etag).await, &Kind::NotDisabled);
    settle().await;
    refused(provider.distribution_delete(&made.id, &made.etag).await, &Kind::NotDisabled);
    let disabled = config(&order.reference, false);
    let disabled = done(provider.distribution_update(&made.id, &made.etag, &disabled).await);
    assert!(!disabled.enabled);
    refused(provider.distribution_delete(&made.id, &disabled.etag).await, &Kind::NotDisabled);
    settle().await;
    refused(provider.distribution_delete(&made.id, &made.etag).await, &Kind::PreconditionFailed);
    for _ in 0..2 {
        done(provider.distribution_delete(&made.id, &disabled.etag).await);
    }
    assert_eq!(done(provider.distribution_describe(&made.id).await), None);
    // The token is free again: whoever repairs a distribution makes it anew.
    let anew = done(provider.distribution_create(&order).await);
    assert_eq!((anew.reference, anew.enabled), (order.reference, true));
}

async fn what_is_not_there(Subject { provider, .. }: Subject<'_>) {
    let id = DistributionId::random();
    assert_eq!(done(provider.distribution_describe(&id).await), None);
    refused(provider.distribution_update(&id, "any", &config("any", true)).await, &Kind::NotFound);
    done(provider.distribution_delete(&id, "any").await);
    let order = NewInvalidation {
        distribution: id.clone(),
        reference: "one".into(),
        id: None,
        paths: vec!["/*".into()],
        tags: Vec::new(),
    };
    refused(provider.invalidation_create(&order).await, &Kind::NotFound);
    assert_eq!(done(provider.invalidation_describe(&id, &InvalidationId::random()).await), None);
}

async fn pages_are_complete(subject: Subject<'_>) {
    let mut made = Vec::new();
    for _ in 0..7 {
        made.push(done(subject.provider.distribution_create(&distribution_order()).await).id);
    }
    let listed = all_differ(list(subject).await);
    assert!(made.iter().all(|id| listed.contains(id)));
}

async fn pages_while_deleting(subject: Subject<'_>) {
    let Subject { provider, settle, .. } = subject;
    let mut made = Vec::new();
    for _ in 0..7 {
        let mut order = distribution_order();
        order.config = config(&order.reference, false);
        made.push(done(provider.distribution_create(&order).await).id);
    }
    settle().await;
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = done(provider.distribution_list(after.as_deref()).await);
        for id in page.items {
            if made.contains(&id) {
                let found = done(provider.distribution_describe(&id).await).expect("it is listed");
                done(provider.distribution_delete(&id, &found.etag).await);
            }
            seen.push(id);
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let seen = all_differ(seen);
    assert!(made.iter().all(|id| seen.contains(id)), "a page after deletes skipped some");
    let left = list(subject).await;
    assert!(made.iter().all(|id| !left.contains(id)));
}

async fn list(Subject { provider, .. }: Subject<'_>) -> Vec<DistributionId> {
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = done(provider.distribution_list(after.as_deref()).await);
        listed.extend(page.items);
        after = page.next;
        if after.is_none() {
            return listed;
        }
    }
}

async fn invalidations(Subject { provider, settle, .. }: Subject<'_>) {
    let distribution = done(provider.distribution_create(&distribution_order()).await).id;
    let order = NewInvalidation {
        distribution: distribution.clone(),
        reference: "one".into(),
        id: None,
        paths: vec!["/a*".into()],
        tags: vec!["news".into()],
    };
    let first = done(provider.invalidation_create(&order).await);
    assert_eq!(first.state, InvalidationState::InProgress);
    assert_eq!(done(provider.invalidation_create(&order).await).id, first.id);
    let other = NewInvalidation { paths: vec!["/b*".into()], ..order.clone() };
    refused(provider.invalidation_create(&other).await, &Kind::Conflict);
    let second = NewInvalidation { reference: "two".into(), ..other };
    assert_ne!(done(provider.invalidation_create(&second).await).id, first.id);
    settle().await;
    let found = done(provider.invalidation_describe(&distribution, &first.id).await).expect("it is there");
    assert_eq!((found.state, found.waiting_for), (InvalidationState::Completed, None));
    assert_eq!(done(provider.invalidation_describe(&distribution, &InvalidationId::random()).await), None);
    let elsewhere = done(provider.distribution_create(&distribution_order()).await).id;
    assert_eq!(done(provider.invalidation_describe(&elsewhere, &first.id).await), None);
}

async fn traffic(Subject { provider, now_ms, .. }: Subject<'_>) {
    let made = done(provider.distribution_create(&distribution_order()).await).id;
    for id in [made, DistributionId::random()] {
        let window = done(provider.distribution_traffic(&id, now_ms - 60_000, now_ms).await);
        assert_eq!((window.requests, window.bytes), (0, 0));
    }
}
