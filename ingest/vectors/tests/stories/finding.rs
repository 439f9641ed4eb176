use serde_json::json;

use crate::world::{World, at, question, titles};

const EVENTS: [(&str, i64); 4] = [
    ("build failed on the main branch", 10),
    ("build failed on a side branch", 20),
    ("a new reader subscribed to the letter", 30),
    ("build failed on the main branch of the mirror", 40),
];

#[tokio::test]
async fn the_nearest_past_events_come_first_and_none_that_came_too_late() {
    let mut world = World::new("").await;
    for (title, second) in EVENTS {
        world.event("octo-org", title, second).await;
    }
    let all = world.found(&question("issue build failed on the main branch"), EVENTS.len()).await;
    assert_eq!(all[0], ("build failed on the main branch".to_owned(), 1000));
    assert_eq!(all.last().unwrap().0, "a new reader subscribed to the letter");
    assert!(all.is_sorted_by(|a, b| a.1 >= b.1), "{all:?}");

    let mut early = question("issue build failed on the main branch");
    early["before"] = json!(at(20));
    assert_eq!(titles(&world.ask("team-a", &early).await), [("build failed on the main branch".to_owned(), 1000)]);
    let mut two = question("issue build failed on the main branch");
    two["topK"] = json!(2);
    assert_eq!(titles(&world.ask("team-a", &two).await), all[..2]);

    world.event("octo-org", "rain is expected in the north", 50).await;
    let later = world.found(&question("rain in the north"), EVENTS.len() + 1).await;
    assert_eq!(later[0].0, "rain is expected in the north", "new segments are found without a restart");
    world.stop().await;
}

#[tokio::test]
async fn no_namespace_sees_events_of_a_tenant_it_is_not_bound_to() {
    let mut world = World::new("").await;
    world.event("acme", "a secret of acme", 10).await;
    world.event("octo-org", "a secret of octo", 20).await;
    world.event("octo-two", "a secret of the other octo", 30).await;
    let found = world.found(&question("a secret of acme"), 1).await;
    assert_eq!(found.iter().map(|(title, _)| title.as_str()).collect::<Vec<_>>(), ["a secret of octo"]);

    let mut of_acme = question("a secret of acme");
    of_acme["tenant"] = json!("acme");
    let refused = world.ask("team-a", &of_acme).await;
    let error = refused.error.unwrap();
    assert!(!error.transient && refused.events.is_empty());
    assert!(error.message.starts_with("namespace team-a is not bound to tenant \"acme\""), "{}", error.message);
    let mut of_nobody = question("x");
    of_nobody["tenant"] = json!("nobody");
    assert_eq!(world.ask("team-a", &of_nobody).await.error.unwrap().message, error.message.replace("acme", "nobody"));
    let own = world.ask("team-b", &of_acme).await;
    assert_eq!((own.error.is_none(), titles(&own).len()), (true, 1));
    world.stop().await;
}

#[tokio::test]
async fn what_is_no_question_is_refused_for_good() {
    let mut world = World::new("").await;
    for (field, value, expected) in [
        ("contract", json!(2), "the question has contract 2"),
        ("text", json!(""), "text has 0 bytes"),
        ("text", json!("x".repeat(9000)), "text has 9000 bytes"),
        ("topK", json!(101), "topK is 101"),
        ("before", json!("soon"), "the question is not understood"),
    ] {
        let mut question = question("x");
        question[field] = value;
        let error = world.ask("team-a", &question).await.error.unwrap();
        assert!(!error.transient && error.message.starts_with(expected), "{}", error.message);
    }
    world.stop().await;
}

#[tokio::test]
async fn a_model_that_is_busy_is_told_as_transient() {
    let mut world = World::new("- {name: busy, when: {kind: embed, contains: [overload]}, then: {status: 503}}").await;
    let error = world.ask("team-a", &question("overload")).await.error.unwrap();
    assert!(error.transient && error.message.starts_with("the embedding model gave no vector"), "{}", error.message);
    world.stop().await;
}
