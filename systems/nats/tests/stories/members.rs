use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tokio::sync::watch::Receiver;
use trackway_nats::{Membership, Nats, NatsError};
use trackway_test_support::NatsServer;

use crate::{config, ready, soon};

type Partitions = Receiver<BTreeSet<u8>>;

async fn shared(members: &mut [Partitions]) {
    soon(async {
        loop {
            let count: usize = members.iter().map(|member| member.borrow().len()).sum();
            let all: BTreeSet<u8> = members.iter().flat_map(|member| member.borrow().clone()).collect();
            if count == 64 && all.len() == 64 && members.iter().all(|member| !member.borrow().is_empty()) {
                return;
            }
            let changes = members.iter_mut().map(|member| Box::pin(member.changed()));
            futures::future::select_all(changes).await.0.unwrap();
        }
    })
    .await;
}

/// A member in a process of its own, as far as a test can have one.
fn join_elsewhere(server: &NatsServer, id: &'static str) -> (tokio::runtime::Runtime, Partitions) {
    let config = config(server);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let member = runtime.spawn(async move {
        let nats = Nats::connect(&config, None).await.unwrap();
        Membership::join(&nats, "batcher", id).await.unwrap()
    });
    let member = futures::executor::block_on(member).unwrap();
    let partitions = member.partitions();
    // It never says goodbye.
    std::mem::forget(member);
    (runtime, partitions)
}

#[tokio::test]
async fn one_member_has_all_partitions_and_two_share_them() {
    let (_server, nats) = ready().await;
    let a = Membership::join(&nats, "batcher", "a").await.unwrap();
    assert_eq!(a.partitions().borrow().len(), 64, "at once, and for itself alone");
    let lake = Membership::join(&nats, "lake", "a").await.unwrap();
    let b = Membership::join(&nats, "batcher", "b").await.unwrap();
    shared(&mut [a.partitions(), b.partitions()]).await;
    assert_eq!(lake.partitions().borrow().len(), 64, "of another component");
}

#[tokio::test]
async fn when_a_member_leaves_the_other_takes_over_at_once() {
    let (_server, nats) = ready().await;
    let a = Membership::join(&nats, "batcher", "a").await.unwrap();
    let b = Membership::join(&nats, "batcher", "b").await.unwrap();
    let mut left = a.partitions();
    shared(&mut [left.clone(), b.partitions()]).await;
    let started = Instant::now();
    b.leave().await;
    soon(left.wait_for(|ours| ours.len() == 64)).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_member_is_missed_within_15_seconds() {
    let (server, nats) = ready().await;
    let a = Membership::join(&nats, "batcher", "a").await.unwrap();
    let (runtime, other) = tokio::task::block_in_place(|| join_elsewhere(&server, "b"));
    let mut left = a.partitions();
    shared(&mut [left.clone(), other]).await;
    let started = Instant::now();
    runtime.shutdown_background();
    soon(left.wait_for(|ours| ours.len() == 64)).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_restart_of_nats_moves_nothing() {
    let (mut server, nats) = ready().await;
    let a = Membership::join(&nats, "batcher", "a").await.unwrap();
    let b = Membership::join(&nats, "batcher", "b").await.unwrap();
    shared(&mut [a.partitions(), b.partitions()]).await;
    let before = a.partitions().borrow().clone();
    server.restart().await.unwrap();
    let c = soon(async {
        loop {
            match Membership::join(&nats, "batcher", "c").await {
                Ok(member) => break member,
                Err(error) => assert!(matches!(error, NatsError::Transient { .. }), "{error}"),
            }
        }
    })
    .await;
    shared(&mut [a.partitions(), b.partitions(), c.partitions()]).await;
    assert!(a.partitions().borrow().is_subset(&before), "only the newcomer's have moved");
}

#[tokio::test]
async fn a_name_that_is_no_key_is_refused() {
    let (_server, nats) = ready().await;
    let error = Membership::join(&nats, "batcher", "pod.1").await.unwrap_err();
    assert!(matches!(&error, NatsError::Permanent { reason, .. } if reason.contains("instance id \"pod.1\"")), "{error}");
}
