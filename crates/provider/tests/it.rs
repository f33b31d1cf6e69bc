//! The suite on the provider in memory, and the provider that fails on purpose.

use std::time::Duration;

use anabranch_provider::contract::{Subject, distribution_order, run};
use anabranch_provider::faulty::{Fault, Faulty};
use anabranch_provider::memory::Memory;
use anabranch_provider::{DistributionProvider as _, Kind, MetricsProvider as _, ProviderError};

#[tokio::test]
async fn memory_keeps_the_contract() {
    let memory = Memory::default();
    let settle = || -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        memory.settle();
        Box::pin(async {})
    };
    run(Subject { provider: &memory, settle: &settle, now_ms: 1_767_225_600_000 }).await;
}

#[tokio::test]
async fn faults_do_what_they_say() {
    let provider = Faulty::new(Memory::default());
    let order = distribution_order();
    let cut = ProviderError::new(Kind::Unavailable, "the connection was cut");
    provider.plan("distribution_create", Fault::Before(cut.clone()));
    provider.plan("distribution_create", Fault::After(cut.clone()));
    provider.plan("distribution_create", Fault::Twice);
    provider.plan("distribution_describe", Fault::NeverBefore);
    assert_eq!(provider.distribution_create(&order).await, Err(cut.clone()));
    assert!(provider.inner().distribution_list(None).await.unwrap().items.is_empty());
    assert_eq!(provider.distribution_create(&order).await, Err(cut));
    let listed = provider.inner().distribution_list(None).await.unwrap().items;
    let made = provider.distribution_create(&order).await.unwrap();
    assert_eq!(listed, std::slice::from_ref(&made.id), "what was done and refused is found again");
    let never = tokio::time::timeout(Duration::from_millis(20), provider.distribution_describe(&made.id)).await;
    assert!(never.is_err());
    assert_eq!(provider.planned(), 0);
    assert_eq!(provider.calls().len(), 4);
    provider.inner().vanish(&made.id);
    assert_eq!(provider.distribution_describe(&made.id).await, Ok(None));
}

#[tokio::test]
async fn traffic_counts_in_its_window() {
    let memory = Memory::default();
    let made = memory.distribution_create(&distribution_order()).await.unwrap();
    memory.deliver(&made.id, 1_000, 1, 10);
    memory.deliver(&made.id, 2_000, 2, 20);
    let window = memory.distribution_traffic(&made.id, 1_500, 3_000).await.unwrap();
    assert_eq!((window.requests, window.bytes), (2, 20));
}
