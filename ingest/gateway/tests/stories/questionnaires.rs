//! Questions are answered by their tenant: in parts, once, and in time.

use crate::{
    client::{Answer, get, post},
    world::{ACME, JSON, LIMIT, OCTO, World},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use trackway_crds::{
    contracts::{QuestionnaireRecord, TenantContext},
    names::label_hash,
};
use trackway_gateway::Patience;
use trackway_nats::{KeyCreation, Kv, Nats};
use trackway_test_support::until;

async fn ask(world: &World, name: &str, expires_at: Timestamp) {
    put(&world.nats, name, expires_at, json!({})).await;
}

/// Puts a questionnaire with `answers` that nobody has marked.
async fn put(nats: &Nats, name: &str, expires_at: Timestamp, answers: Value) {
    let record = json!({
        "contract": 1, "tenant": "octo-org", "expiresAt": expires_at, "answers": answers,
        "questions": [
            {"id": "tone", "question": "Which tone?", "why": "for the notice", "answer": {"enum": ["warm", "plain"]}},
            {"id": "size", "question": "How many?", "answer": {"type": "integer", "minimum": 1}},
        ],
    });
    let created = Kv::questionnaires(nats).create(&format!("team-a.{name}"), record.to_string().into()).await.unwrap();
    assert!(matches!(created, KeyCreation::Created(_)));
}

fn later() -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(1)
}

async fn answer(world: &World, bearer: &str, name: &str, answers: Value) -> Answer {
    let path = format!("/v1/questionnaires/team-a/{name}/answers");
    post(world.gateway, &path, &[JSON, ("authorization", bearer)], json!({"answers": answers}).to_string()).await
}

async fn record(world: &World, name: &str) -> QuestionnaireRecord {
    let entry = Kv::questionnaires(&world.nats).get(&format!("team-a.{name}")).await.unwrap().unwrap();
    serde_json::from_slice(&entry.value).unwrap()
}

async fn context(world: &World) -> Option<TenantContext> {
    let entry = Kv::context(&world.nats).get(&format!("team-a.{}", label_hash("octo-org"))).await.unwrap();
    entry.map(|entry| serde_json::from_slice(&entry.value).unwrap())
}

#[tokio::test]
async fn questions_are_shown_answered_in_parts_and_known_from_then_on() {
    let world = World::start().await;
    ask(&world, "q-1", later()).await;
    let shown = get(world.gateway, "/v1/questionnaires/team-a/q-1", &[("authorization", OCTO)]).await.json();
    assert_eq!((&shown["missing"], &shown["questions"][0]["why"]), (&json!(["tone", "size"]), &json!("for the notice")));

    let first = answer(&world, OCTO, "q-1", json!({"tone": "warm"})).await;
    assert_eq!((first.status.as_u16(), first.json()), (200, json!({"answered": false, "missing": ["size"]})));
    assert_eq!(context(&world).await.unwrap().answers["tone"].value, "warm");
    assert_eq!(record(&world, "q-1").await.answered_at, None);

    let last = answer(&world, OCTO, "q-1", json!({"size": 3})).await;
    assert_eq!((last.status.as_u16(), last.json()), (200, json!({"answered": true, "missing": []})));
    let done = record(&world, "q-1").await;
    assert_eq!(done.answered_at, Some(done.answers["size"].at));
    assert_eq!(context(&world).await.unwrap().answers["size"].value, 3);

    assert_eq!(answer(&world, OCTO, "q-1", json!({"size": 3, "tone": "warm"})).await.status, 200, "a repeat");
    assert_eq!(answer(&world, OCTO, "q-1", json!({"size": 4})).await.problem(409)["field"], "answers.size");
    assert_eq!(record(&world, "q-1").await, done);
}

#[tokio::test]
async fn late_wrong_unknown_and_strange_answers_have_their_replies() {
    let world = World::start().await;
    ask(&world, "q-1", later()).await;
    ask(&world, "q-2", Timestamp::now()).await;
    answer(&world, OCTO, "q-2", json!({"tone": "warm"})).await.problem(410);
    answer(&world, OCTO, "q-3", json!({"tone": "warm"})).await.problem(404);
    answer(&world, OCTO, "q-1.x", json!({"tone": "warm"})).await.problem(404);
    answer(&world, OCTO, "*", json!({"tone": "warm"})).await.problem(404);
    answer(&world, ACME, "q-1", json!({"tone": "warm"})).await.problem(403);
    answer(&world, "Bearer token-of-nobody", "q-1", json!({"tone": "warm"})).await.problem(401);
    let invalid = answer(&world, OCTO, "q-1", json!({"tone": "loud", "size": 0, "when": 1})).await.problem(422);
    let ids: Vec<_> = invalid["questions"].as_array().unwrap().iter().map(|complaint| complaint["id"].clone()).collect();
    assert_eq!(ids, ["size", "tone", "when"], "{invalid}");
    let path = "/v1/questionnaires/team-a/q-1/answers";
    let post = async |body: &str| post(world.gateway, path, &[JSON, ("authorization", OCTO)], body.to_owned()).await;
    post("{").await.problem(400);
    post("[]").await.problem(400);
    post(&format!("{{\"answers\": {{\"tone\": \"{}\"}}}}", "x".repeat(65 * 1024))).await.problem(413);
    get(world.gateway, "/v1/questionnaires/team-a/q-1", &[("authorization", ACME)]).await.problem(403);
    get(world.gateway, "/v1/questionnaires/team-a/q-1", &[]).await.problem(401);
    assert_eq!(record(&world, "q-1").await.answers.len(), 0);
    assert_eq!(context(&world).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_those_who_answer_at_the_same_time_one_wins_and_all_places_agree() {
    let world = World::start().await;
    for round in 0..5 {
        let name = format!("q-{round}");
        ask(&world, &name, later()).await;
        let gives = [json!({"tone": "warm"}), json!({"tone": "plain"}), json!({"size": 1}), json!({"size": 2})];
        let mut statuses: Vec<u16> = futures::future::join_all(gives.into_iter().map(|one| answer(&world, OCTO, &name, one)))
            .await
            .iter()
            .map(|answer| answer.status.as_u16())
            .collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 200, 409, 409]);
        let (record, context) = (record(&world, &name).await, context(&world).await.unwrap());
        assert!(record.answered_at.is_some());
        assert_eq!(context.answers, record.answers, "round {round}");
    }
}

#[tokio::test]
async fn an_answer_whose_gateway_was_killed_is_finished_by_the_next_one_that_starts() {
    let (first, last) = (Timestamp::from_second(1_000).unwrap(), Timestamp::from_second(2_000).unwrap());
    let both = json!({"tone": {"value": "warm", "at": first}, "size": {"value": 3, "at": last}});
    let world = World::start_after(Patience::default(), async |nats| {
        put(nats, "q-1", later(), json!({"tone": {"value": "plain", "at": first}})).await;
        // The answers came in time, and then it took a while.
        put(nats, "q-2", last, both).await;
    })
    .await;
    let marked = || async { record(&world, "q-2").await.answered_at };
    assert_eq!(until("the record is marked", LIMIT, marked).await.unwrap(), last);
    let learned = context(&world).await.unwrap().answers;
    assert_eq!((&learned["tone"].value, &learned["size"].value), (&json!("warm"), &json!(3)));
    let half = record(&world, "q-1").await;
    assert_eq!((half.answered_at, half.answers.len()), (None, 1));
}
