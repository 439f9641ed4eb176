use crate::world::{World, question};

#[tokio::test]
async fn a_process_that_comes_after_another_goes_on_where_it_stopped() {
    let mut world = World::new("").await;
    world.event("octo-org", "the first", 10).await;
    world.found(&question("the first"), 1).await;
    world.stop().await;
    let before = world.segments("octo-org").await;
    world.event("octo-org", "the second", 20).await;
    world.start().await;
    let found = world.found(&question("the second"), 2).await;
    assert_eq!(found.len(), 2, "each is found once: {found:?}");
    assert_eq!(world.segments("octo-org").await.len(), before.len() + 1);
    world.stop().await;
}

#[tokio::test]
async fn an_event_that_the_model_refuses_holds_up_no_other() {
    let mut world = World::new("- {name: refused, when: {kind: embed, contains: [poison]}, then: {status: 400}}").await;
    for (title, second) in [("a first", 10), ("full of poison", 20), ("a last", 30)] {
        world.event("octo-org", title, second).await;
    }
    let mut found: Vec<_> = world.found(&question("what was"), 2).await.into_iter().map(|(title, _)| title).collect();
    found.sort();
    assert_eq!(found, ["a first", "a last"]);
    world.stop().await;
}
