//! What a stage tells of the lists that later stages go over.

use serde_json::{Value, json};
use trackway_crds::{
    contracts::{ErrorClass, ListInfo, ResultPhase},
    names::sha256_hex,
};
use trackway_scripted_llm::Kind;

use crate::{
    fan::for_each,
    world::{Setup, World},
};

/// A stage that answers `output`, and one after it that goes over its `targets`.
async fn writing(output: &Value, more_rules: &str) -> World {
    let rules = format!("{more_rules}\n- {{name: answer, when: {{kind: generate}}, then: {{json: {output}}}}}");
    let mut world = World::new(Setup { rules, schema: Some(json!({"type": "object"}).to_string()), ..Setup::default() }).await;
    let mut notices = world.revision.stages[0].clone();
    notices.name = "notices".to_owned();
    notices.for_each = serde_json::from_value(for_each("insights")).unwrap();
    world.revision.stages.push(notices);
    world
}

fn info(keys: &Value) -> ListInfo {
    let count = u32::try_from(keys.as_array().unwrap().len()).unwrap();
    ListInfo { count, keys_sha256: sha256_hex(keys.to_string().as_bytes()) }
}

#[tokio::test]
async fn a_list_is_told_by_its_length_and_its_keys() {
    let world = writing(&json!({"targets": [{"id": "octocat"}, {"id": 7}, {"name": "no id"}]}), "").await;
    let first = world.run(1, 1).await;
    assert_eq!(first.lists, [("targets".to_owned(), info(&json!(["octocat", "7", "2"])))].into());
    let adopted = world.run(1, 2).await;
    assert_eq!((adopted.lists, world.calls(Kind::Generate)), (first.lists, 1), "an adopted output tells the same");
}

#[tokio::test]
async fn a_list_may_be_empty_or_have_a_thousand_entries() {
    for count in [0, 1000] {
        let targets: Vec<_> = (0..count).map(|id| json!({"id": id})).collect();
        let result = writing(&json!({"targets": targets}), "").await.run(1, 1).await;
        assert_eq!((result.phase, result.lists["targets"].count), (ResultPhase::Judged, count), "{:?}", result.error);
    }
}

#[tokio::test]
async fn a_list_that_cannot_be_gone_over_is_refused_and_named() {
    let many: Vec<_> = (0..1001).map(|id| json!({"id": id})).collect();
    for (output, words) in [
        (json!({}), "is not there, and must be a list"),
        (json!({"targets": {"id": "a"}}), "is an object, and must be a list"),
        (json!({"targets": ["a"]}), "entry 0 is a text, and must be an object"),
        (json!({"targets": [{"id": "a"}, {"id": true}]}), "entry 1 has true or false as its id"),
        (json!({"targets": [{"id": ""}]}), "entry 0 has an empty text as its id"),
        (json!({"targets": [{"id": "a"}, {"id": "b"}, {"id": "a"}]}), "entries 0 and 2 have the same id, \"a\""),
        (json!({"targets": [{"id": 1}, {}]}), "entries 0 and 1 have the same id, \"1\""),
        (json!({"targets": many}), "has 1001 entries; at most 1000"),
    ] {
        let world = writing(&output, "").await;
        let result = world.run(1, 1).await;
        let error = result.error.unwrap();
        assert_eq!((error.class, error.reason.as_str()), (ErrorClass::Permanent, "TargetsInvalid"), "{}", error.message);
        assert!(error.message.starts_with("insights.targets: ") && error.message.contains(words), "{}", error.message);
        assert_eq!((world.calls(Kind::Generate), world.calls(Kind::Judge)), (2, 0), "one repair turn, then no judge: {words}");
    }
}

#[tokio::test]
async fn one_repair_turn_mends_a_list() {
    let mended = r#"- {name: mended, when: {kind: generate, contains: ["entries 0 and 1 have the same id"]}, then: {json: {targets: [{id: a}, {id: b}]}}}"#;
    let world = writing(&json!({"targets": [{"id": "a"}, {"id": "a"}]}), mended).await;
    let result = world.run(1, 1).await;
    assert_eq!((result.phase, result.lists["targets"].count), (ResultPhase::Judged, 2), "{:?}", result.error);
}
