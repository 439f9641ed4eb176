//! Stories of invariant 10 against a world in memory whose every operation can fail, before or after its effect.

use super::*;
use crate::{config::Config, message::tests::document, route::tests::track, run::Identity};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};
use trackway_crds::BatchRun;

/// NATS's bucket and the API server, and what happened to them.
#[derive(Default)]
struct World {
    records: BTreeMap<String, (Record, u64)>,
    runs: BTreeMap<String, BatchRun>,
    /// Every run ever created, also those deleted since.
    creates: Vec<String>,
    operations: usize,
    /// The operation that fails, and whether its effect happens all the same.
    fault: Option<(usize, bool)>,
    /// Names whose creation is answered so.
    answers: BTreeMap<String, ApiError>,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<World>>);

impl Shared {
    /// Runs one operation of the outside world; `Err(())` when it is the one that fails.
    async fn operate<T>(&self, effect: impl FnOnce(&mut World) -> T) -> Result<T, ()> {
        // So that collectors at work at the same time take turns.
        tokio::task::yield_now().await;
        let mut world = self.0.lock().unwrap();
        world.operations += 1;
        match world.fault {
            Some((at, done)) if at == world.operations => {
                if done {
                    effect(&mut world);
                }
                Err(())
            }
            _ => Ok(effect(&mut world)),
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }
}

fn nats_away(_: ()) -> LedgerError {
    transient("b", "NATS is away")
}

impl Ledger for Shared {
    async fn get(&self, batch: &str) -> Result<Option<(Record, u64)>, LedgerError> {
        self.operate(|world| world.records.get(batch).cloned()).await.map_err(nats_away)
    }

    async fn create(&self, batch: &str, record: &Record) -> Result<Option<u64>, LedgerError> {
        let effect = |world: &mut World| {
            if world.records.contains_key(batch) {
                return None;
            }
            world.records.insert(batch.to_owned(), (record.clone(), 1));
            Some(1)
        };
        self.operate(effect).await.map_err(nats_away)
    }

    async fn update(&self, batch: &str, record: &Record, revision: u64) -> Result<Option<u64>, LedgerError> {
        let effect = |world: &mut World| {
            let (stored, at) = world.records.get_mut(batch)?;
            if *at != revision {
                return None;
            }
            *stored = record.clone();
            *at += 1;
            Some(*at)
        };
        self.operate(effect).await.map_err(nats_away)
    }
}

impl Runs for Shared {
    async fn create(&self, run: &BatchRun) -> Result<RunCreation, ApiError> {
        let name = format!("{}/{}", run.metadata.namespace.as_deref().unwrap(), run.metadata.name.as_deref().unwrap());
        let effect = |world: &mut World| {
            if let Some(error) = world.answers.get(&name) {
                return Err(error.clone());
            }
            if let Some(found) = world.runs.get(&name) {
                return Ok(RunCreation::Exists(Identity::of(found)));
            }
            world.runs.insert(name.clone(), run.clone());
            world.creates.push(name.clone());
            Ok(RunCreation::Created)
        };
        let away = |()| ApiError::Transient { action: "create".to_owned(), reason: "away".to_owned(), retry_after: None };
        self.operate(effect).await.map_err(away)?
    }
}

fn collector(world: &Shared) -> Collector<Shared, Shared> {
    let config = Config::parse("namespaces: [{name: a}, {name: b, tenants: ['octo-*']}]").unwrap();
    Collector::new(world.clone(), world.clone(), config.namespaces)
}

/// Three Tracks that take the batch of `document`, and one that does not.
fn tracks() -> Vec<Arc<Track>> {
    let all = json!({});
    vec![
        track("a", "admin", &all),
        track("a", "team", &all),
        track("b", "admin", &all),
        track("a", "x", &json!({"levels": ["User"]})),
    ]
}

async fn deliver_document(world: &Shared, delivered: i64, document: &Value, tracks: &[Arc<Track>]) -> Outcome {
    let subject = Subject { id: "b7k2f9q1", priority: "High" };
    collector(world).collect(subject, document.to_string().as_bytes(), delivered, tracks).await.unwrap()
}

async fn deliver(world: &Shared, tracks: &[Arc<Track>]) -> Outcome {
    deliver_document(world, 1, &document(), tracks).await
}

const ALL: [&str; 3] = ["a/admin-b7k2f9q1", "a/team-b7k2f9q1", "b/admin-b7k2f9q1"];

fn creates(world: &Shared) -> Vec<String> {
    world.with(|world| {
        let mut creates = world.creates.clone();
        creates.sort();
        creates
    })
}

#[tokio::test]
async fn inv10_one_run_per_matching_track() {
    let world = Shared::default();
    let outcome = deliver(&world, &tracks()).await;
    let Outcome::Done { created, unmatched: false } = outcome else { panic!("{outcome:?}") };
    assert_eq!(created.len(), 3);
    assert_eq!(creates(&world), ALL);
}

#[tokio::test]
async fn inv10_whatever_fails_at_whichever_step_each_run_is_created_once() {
    let steps = {
        let world = Shared::default();
        deliver(&world, &tracks()).await;
        world.with(|world| world.operations)
    };
    assert_eq!(steps, 6, "read, record, three runs, mark");
    for at in 1..=steps {
        for done in [false, true] {
            let world = Shared::default();
            world.with(|world| world.fault = Some((at, done)));
            let first = deliver(&world, &tracks()).await;
            assert!(matches!(first, Outcome::Later { .. }), "step {at}, done {done}: {first:?}");
            // Tracks change between deliveries; the match set does not once it is recorded.
            let recorded = world.with(|world| world.records.contains_key("b7k2f9q1"));
            let now = if recorded { vec![] } else { tracks() };
            let second = deliver(&world, &now).await;
            assert!(matches!(second, Outcome::Done { .. }), "step {at}, done {done}: {second:?}");
            assert_eq!(creates(&world), ALL, "step {at}, done {done}");
        }
    }
}

#[tokio::test]
async fn inv10_a_run_that_was_deleted_is_not_created_again() {
    let world = Shared::default();
    deliver(&world, &tracks()).await;
    world.with(|world| world.runs.clear());
    let again = deliver(&world, &tracks()).await;
    assert_eq!(again, Outcome::Done { created: vec![], unmatched: false });
    assert_eq!(creates(&world), ALL);
}

#[tokio::test]
async fn inv10_a_track_made_later_takes_no_batch_that_was_routed() {
    let world = Shared::default();
    deliver(&world, &tracks()[..1]).await;
    deliver(&world, &tracks()).await;
    assert_eq!(creates(&world), ALL[..1]);
}

#[tokio::test]
async fn inv10_an_empty_match_set_is_recorded_too() {
    let world = Shared::default();
    assert_eq!(deliver(&world, &[]).await, Outcome::Done { created: vec![], unmatched: true });
    assert_eq!(deliver(&world, &tracks()).await, Outcome::Done { created: vec![], unmatched: true });
    assert!(creates(&world).is_empty());
}

#[tokio::test]
async fn inv10_another_batch_under_the_same_id_is_set_aside() {
    let world = Shared::default();
    deliver(&world, &tracks()).await;
    let mut other = document();
    other["input"]["sha256"] = json!("b".repeat(64));
    let outcome = deliver_document(&world, 1, &other, &tracks()).await;
    assert!(matches!(&outcome, Outcome::Poison(reason) if reason.contains("routed already")), "{outcome:?}");
    assert_eq!(creates(&world), ALL);
}

#[tokio::test]
async fn inv10_a_run_of_another_batch_with_the_same_name_is_compared_and_not_adopted() {
    let world = Shared::default();
    let elsewhere = Shared::default();
    let mut other = document();
    other["input"]["sha256"] = json!("b".repeat(64));
    deliver_document(&elsewhere, 1, &other, &tracks()[..1]).await;
    world.with(|world| world.runs = elsewhere.with(|elsewhere| elsewhere.runs.clone()));

    let outcome = deliver(&world, &tracks()).await;
    let Outcome::Poison(reason) = &outcome else { panic!("{outcome:?}") };
    assert!(reason.starts_with("BatchRun a/admin-b7k2f9q1 exists and is not of this batch"), "{reason}");
    assert_eq!(creates(&world), ALL[1..], "the others are not held up");
}

#[tokio::test]
async fn inv10_two_collectors_with_the_same_batch_make_one_run_each() {
    let world = Shared::default();
    let (tracks, document) = (tracks(), document());
    let both = futures::future::join_all((0..4).map(|_| deliver_document(&world, 1, &document, &tracks))).await;
    let distinct: BTreeSet<String> = creates(&world).into_iter().collect();
    assert_eq!((creates(&world).len(), distinct.len()), (3, 3));
    assert!(both.iter().all(|outcome| matches!(outcome, Outcome::Done { .. } | Outcome::Later { .. })), "{both:?}");
}

#[tokio::test]
async fn one_namespaces_trouble_does_not_hold_up_the_others() {
    let world = Shared::default();
    let forbidden = ApiError::Permanent { action: "create".to_owned(), reason: "forbidden".to_owned(), code: Some(403) };
    world.with(|world| world.answers.insert("b/admin-b7k2f9q1".to_owned(), forbidden));
    let outcome = deliver_document(&world, 9, &document(), &tracks()).await;
    assert!(matches!(outcome, Outcome::Later { delay, .. } if delay == LONGEST_WAIT), "a right can be given: {outcome:?}");
    assert_eq!(creates(&world), ALL[..2]);
    world.with(|world| world.answers.clear());
    assert!(matches!(deliver(&world, &[]).await, Outcome::Done { .. }));
    assert_eq!(creates(&world), ALL);
}

#[tokio::test]
async fn a_run_the_api_server_refuses_as_it_is_ends_in_the_dlq_after_the_others_were_made() {
    let world = Shared::default();
    let refused = ApiError::Permanent { action: "create".to_owned(), reason: "invalid".to_owned(), code: Some(422) };
    world.with(|world| world.answers.insert("a/team-b7k2f9q1".to_owned(), refused));
    assert_eq!(deliver(&world, &tracks()).await, Outcome::Poison("create: invalid".to_owned()));
    assert_eq!(creates(&world), [ALL[0], ALL[2]]);
}

#[tokio::test]
async fn what_is_no_document_touches_nothing() {
    let world = Shared::default();
    let outcome = deliver_document(&world, 1, &json!("x"), &tracks()).await;
    assert!(matches!(outcome, Outcome::Poison(_)));
    assert_eq!(world.with(|world| world.operations), 0);
}

#[test]
fn pauses_grow_and_heed_the_server() {
    let seconds = |delivered, error: Option<&ApiError>| pause(delivered, error).as_secs();
    assert_eq!([1, 2, 3, 6, 7, 1000].map(|n| seconds(n, None)), [1, 2, 4, 32, 60, 60]);
    let asked = ApiError::Transient { action: String::new(), reason: String::new(), retry_after: Some(Duration::from_secs(9)) };
    assert_eq!((seconds(1, Some(&asked)), seconds(7, Some(&asked))), (9, 60));
}
