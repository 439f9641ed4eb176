//! What seals a batch, and where it goes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use trackway_batcher::{Settings, run};
use trackway_crds::track::{Level, Priority};
use trackway_nats::{dead_letters, event_subject, publish_event};
use trackway_sources::IngestConfig;
use trackway_test_support::until;

use crate::world::{LIMIT, World, event, nats_config};

const RULES: &str = "
namespaces: [{name: team-a, tenants: ['octo-*']}, {name: team-b, tenants: [octo-org, acme]}]
batching:
  tenant: {thresholds: {high: 1, medium: 3, low: 5}, maxAge: 1h}
  user: {thresholds: {high: 2, medium: 0, low: 0}, maxAge: 2s}
tenants: [{match: octo-org, labels: {plan: pro}}]
sources: []
";

#[tokio::test(flavor = "multi_thread")]
async fn inv09_batches_are_sealed_by_number_and_age_and_lie_in_every_bound_namespace() {
    let mut world = World::start(RULES).await;
    let batcher = world.batcher(world.real(), &["octo-org", "acme", "nobody"]);

    // A High event seals the tenant's batch at once, with all that came before it.
    world.send(vec![event("octo-org", None, Priority::Low, 1)]).await;
    world.send(vec![event("octo-org", Some("dana"), Priority::High, 2)]).await;
    let sealed = world.next_batch().await.batch;
    assert_eq!((sealed.level, sealed.priority, sealed.reason.as_str()), (Level::Tenant, Priority::High, "threshold High 1"));
    assert_eq!((sealed.counts.events, &sealed.labels["plan"], &sealed.labels["team"]), (2, &"pro".to_owned(), &"x".to_owned()));
    assert!(!sealed.labels.contains_key("number"), "its events do not agree on it");
    assert_eq!(sealed.counts.by_type, BTreeMap::from([("issue".to_owned(), 2)]));
    assert!(sealed.from <= sealed.to && sealed.to <= sealed.ready_at);

    // Another tenant's events count for that tenant alone; Low ones by their number.
    world.send((0..5).map(|number| event("acme", None, Priority::Low, number)).collect()).await;
    let sealed = world.next_batch().await.batch;
    assert_eq!((sealed.subject.as_str(), sealed.priority, sealed.reason.as_str()), ("acme", Priority::Low, "threshold Low 5"));

    // The user's one event is in a batch when its time has come.
    let sealed = world.next_batch().await.batch;
    assert_eq!((sealed.level, sealed.subject.as_str(), sealed.reason.as_str()), (Level::User, "dana", "age 2s"));
    assert_eq!(
        sealed.ready_at.duration_since(sealed.from).as_millis(),
        2_000,
        "sealed when it was due, not when somebody looked"
    );
    assert_eq!(sealed.priority, Priority::High);

    world.check_exactly_once().await;
    batcher.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_a_tenant_bound_to_no_namespace_goes_nowhere_and_stops_nothing() {
    let mut world = World::start(RULES).await;
    let batcher = world.batcher(world.real(), &["nobody", "acme"]);
    world.send((0..8).map(|number| event("nobody", None, Priority::High, number)).collect()).await;
    let sent = std::mem::take(&mut world.sent);
    world.send(vec![event("acme", None, Priority::High, 1)]).await;
    assert_eq!(world.next_batch().await.batch.tenant, "acme");
    let kv = trackway_nats::Kv::batches(&world.nats);
    let key = trackway_batcher::state_key(trackway_crds::names::partition("nobody"), "nobody", None);
    // Eight batches, four places: all have passed through.
    until("the outbox is empty", LIMIT, || async {
        let state: trackway_batching::KeyState = serde_json::from_slice(&kv.get(&key).await.unwrap()?.value).unwrap();
        (state.outbox.is_empty() && state.applied == sent.last()?.0).then_some(())
    })
    .await
    .unwrap();
    batcher.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn inv09_a_message_that_is_no_event_is_set_aside_and_stops_nothing() {
    let mut world = World::start(RULES).await;
    let stranger = event("acme", None, Priority::High, 7);
    let subject = event_subject(&stranger).unwrap();
    publish_event(&world.nats, &subject, "no event".into()).await.unwrap();
    world.send(vec![event("acme", None, Priority::High, 8)]).await;
    let batcher = world.batcher(world.real(), &["acme"]);
    assert_eq!(world.next_batch().await.batch.counts.events, 1);
    world.check_exactly_once().await;
    let letters = dead_letters(&world.nats, 0, 10).await.unwrap();
    assert_eq!(letters.iter().map(|letter| letter.subject.as_str()).collect::<Vec<_>>(), [subject]);
    assert!(letters[0].reason.starts_with("it is not an event"), "{}", letters[0].reason);
    batcher.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn inv09_ten_thousand_events_are_each_in_one_batch_a_level() {
    let rules = "
namespaces: [{name: team-a}]
batching:
  tenant: {thresholds: {high: 20, medium: 100, low: 400}, maxAge: 2s}
  user: {thresholds: {high: 5, medium: 20, low: 50}, maxAge: 2s}
sources: []
";
    let mut world = World::start(rules).await;
    let stop = CancellationToken::new();
    let settings = Settings {
        nats: nats_config(&world.server),
        config: IngestConfig::parse(rules).unwrap(),
        store_url: world.server.url(),
        instance: "one".to_owned(),
        listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
    };
    world.store = trackway_store::PayloadStore::open(&world.server.url(), Some(&world.nats)).unwrap();
    let batcher = tokio::spawn(run(settings, stop.clone()));
    let mut rng = fastrand::Rng::with_seed(9);
    let events = (0..10_000).map(|number| {
        let priority = [Priority::High, Priority::Medium, Priority::Low, Priority::Low][rng.usize(..4)];
        let user = format!("user-{}", rng.usize(..20));
        event(["octo-org", "acme"][number % 2], rng.bool().then_some(user.as_str()), priority, number)
    });
    let since = Instant::now();
    world.send(events.collect()).await;
    let sent = since.elapsed();
    world.until_all_is_announced().await;
    println!("10000 events sent in {sent:?}, all in batches after {:?}", since.elapsed());
    println!("{} batches", world.check_exactly_once().await);
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(20), batcher).await.expect("it ends when told").unwrap().unwrap();
}
