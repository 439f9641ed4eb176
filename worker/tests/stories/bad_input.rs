use serde::Deserialize;
use serde_json::Value;
use trackway_crds::contracts::{MAX_TERMINATION_BYTES, ResultPhase, StageResult};
use trackway_scripted_llm::Kind;

use crate::world::{API_KEY, Setup, World};

/// One row of the table.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Row {
    name: String,
    #[serde(default)]
    rules: Vec<Value>,
    prompt: Option<String>,
    output_schema: Option<String>,
    #[serde(default)]
    body_bytes: usize,
    timeout_millis: Option<u64>,
    attempt: Option<u32>,
    remove: Option<String>,
    #[serde(default)]
    secret: bool,
    #[serde(default)]
    context: bool,
    class: String,
    reason: String,
    contains: String,
    retry_after_millis: Option<u64>,
    generations: Option<usize>,
    judgements: Option<usize>,
}

impl Row {
    fn setup(&self) -> Setup {
        let usual = Setup::default();
        let body = "x".repeat(self.body_bytes);
        Setup {
            rules: serde_json::to_string(&self.rules).unwrap().replace("$BODY", &body),
            prompt: self.prompt.clone().unwrap_or(usual.prompt),
            schema: self.output_schema.clone(),
            body,
            timeout_millis: self.timeout_millis.unwrap_or(usual.timeout_millis),
            judged: true,
            context: self.context,
            secret: self.secret,
        }
    }

    async fn run(&self) -> (World, StageResult) {
        let mut world = World::new(self.setup()).await;
        if let Some(file) = &self.remove {
            world.files.remove(file);
        }
        let result = world.run(self.attempt.unwrap_or(1), 1).await;
        (world, result)
    }
}

#[tokio::test]
async fn every_row_of_the_table_is_refused_as_it_says() {
    let rows: Vec<Row> = serde_saphyr::from_str(include_str!("../bad_input.yaml")).unwrap();
    let mut wrong = Vec::new();
    for row in &rows {
        let (world, result) = row.run().await;
        let told = serde_json::to_string(&result).unwrap();
        let Some(error) = result.error else {
            wrong.push(format!("{}: no error: {told}", row.name));
            continue;
        };
        let counted = |kind, expected: Option<usize>| expected.is_none_or(|expected| world.calls(kind) == expected);
        let as_said = result.phase == ResultPhase::Error
            && error.class.as_str() == row.class
            && error.reason == row.reason
            && error.message.contains(&row.contains)
            && row.retry_after_millis.is_none_or(|millis| error.retry_after_millis == Some(millis))
            && counted(Kind::Generate, row.generations)
            && counted(Kind::Judge, row.judgements);
        let bounded = told.len() <= MAX_TERMINATION_BYTES && !told.contains(API_KEY) && !told.contains("tenants words");
        if !as_said || !bounded {
            let (generations, judgements) = (world.calls(Kind::Generate), world.calls(Kind::Judge));
            wrong.push(format!("{}: {told}, {generations} generations, {judgements} judgements", row.name));
        }
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}
