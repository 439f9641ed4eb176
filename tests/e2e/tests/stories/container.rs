//! A stage that runs a user's image: judged like any other, and without a way to anything of ours.

use crate::{Context, Outcome, Result, ensure};
use kube::ResourceExt;
use serde_json::{Value, json};
use std::{path::Path, sync::Arc};
use tokio::sync::OnceCell;
use trackway_crds::{BatchRun, names::sha256_hex, status::Phase};
use trackway_e2e::{
    Place,
    cluster::{repository, run},
    place::phase,
    story,
    story::say,
};
use trackway_store::Scope;

const NAMESPACE: &str = "e2e-box";
const RULES: &str = "
- name: the first count is doubted
  when: {kind: judge, headers: {x-trackway-stage: count, x-trackway-run-name: counted-*}, attempt: 1}
  then: {scores: {relevance: 0.4, '*': 0.8}, feedback: Count again.}
";

/// The place and the user's image, built and loaded once.
async fn place() -> Result<(Arc<Place>, String)> {
    static IMAGE: OnceCell<String> = OnceCell::const_new();
    let place = Place::bound(NAMESPACE).await?;
    let image = IMAGE.get_or_try_init(|| async {
        place.rules(RULES)?;
        image(&place).await
    });
    let image = image.await?.clone();
    Ok((place, image))
}

async fn image(place: &Place) -> Result<String> {
    let program = Path::new(env!("CARGO_BIN_EXE_user-program"));
    let tag = sha256_hex(&std::fs::read(program)?).get(..12).unwrap_or_default().to_owned();
    let folder = tempfile::tempdir()?;
    let tar = folder.path().join("user-program.tar").to_string_lossy().into_owned();
    let images = repository().join("tests/images");
    run(&images.join("build"), &["user-program", &program.to_string_lossy(), "--tag", &tag, "--out", &tar], &[]).await?;
    run(&images.join("load"), &[&tar], &[("KUBECONFIG", &place.cluster.kubeconfig.to_string_lossy())]).await?;
    Ok(format!("docker.io/library/user-program:{tag}"))
}

/// A run of a Track whose first stage runs the program with this argument, ended.
async fn ended(track: &str, argument: &str) -> Result<(Arc<Place>, BatchRun)> {
    let (place, image) = place().await?;
    let container = json!({"image": image, "args": [argument], "env": {"COLOUR": "blue"}});
    let stages = json!([{"name": "count", "container": container}, {"name": "summary", "generate": {"prompt": "summary.md"}}]);
    let retry = json!({"infrastructure": {"maxTries": 2}, "quality": {"maxAttempts": 2}});
    place
        .track_with(
            track,
            &json!({"spec": {"stages": stages, "retry": retry}}),
            &json!({"summary.md": "Sum up: {{ stages.count.text }}"}),
        )
        .await?;
    let name = place.start_fresh(track).await?.name_any();
    let run = place.until_finished(&name).await?;
    Ok((place, run))
}

#[test]
fn a_users_program_is_judged_like_any_other_stage_and_sees_no_secret() -> Outcome {
    story(NAMESPACE, async {
        let (place, run) = ended("counted", "count").await?;
        ensure!(phase(&run) == Some(Phase::Succeeded), "it ended as {:?}: {:?}", phase(&run), run.status);
        let stage = &run.status.as_ref().context("no status")?.stages[0];
        let scores: Vec<_> = stage.attempts.iter().map(|attempt| (attempt.attempt, attempt.score.is_some())).collect();
        ensure!(scores == [(1, true), (2, true)], "attempts and scores: {scores:?}");
        let scope = Scope::run(&place.namespace, run.metadata.uid.as_deref().context("no uid")?)?;
        let reference = stage.output.as_ref().context("no output")?;
        let output: Value = serde_json::from_slice(&place.store.get_blob(&scope, reference).await?)?;
        ensure!(output["events"] == 3 && output["text"] == "The batch holds 3 events.", "{output}");
        ensure!(output["feedback"]["text"] == "Count again.", "the program did not see the judge's words: {output}");
        ensure!(output["user"] != "0" && output["writesRoot"] == false && output["token"] == false, "{output}");
        sees_nothing_of_ours(&output)?;
        let texts = trackway_e2e::references::fetch_all(&place, &run).await?;
        ensure!(texts.len() > 5, "only {} payloads", texts.len());
        Ok(())
    })
}

fn sees_nothing_of_ours(output: &Value) -> Result<()> {
    let texts = |name: &str| -> Vec<String> {
        output[name].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let variables = texts("variables");
    ensure!(variables.iter().any(|one| one == "COLOUR=blue"), "its own variable is missing: {variables:?}");
    for ours in ["TRACKWAY_", "NATS", "AWS_", "PASSWORD", "TOKEN", "LLM"] {
        let found: Vec<_> =
            variables.iter().filter(|one| one.to_uppercase().starts_with(ours) || one.contains("password")).collect();
        ensure!(found.is_empty(), "it sees variables of ours: {found:?}");
    }
    let mounts = texts("mounts");
    let ours: Vec<_> = mounts.iter().filter(|path| path.contains("secret") || path.contains("revision")).collect();
    ensure!(ours.is_empty(), "it sees mounts of ours: {ours:?}");
    say(&format!("variables {variables:?}, files {:?}", texts("files")));
    Ok(())
}

#[test]
fn a_users_program_that_fails_fails_its_stage_in_its_own_words() -> Outcome {
    story(NAMESPACE, async {
        for (track, argument, said) in
            [("failing", "fail", "3"), ("chatty", "prose", "JSON"), ("silent", "nothing", "output.json")]
        {
            let (_, run) = ended(track, argument).await?;
            ensure!(phase(&run) == Some(Phase::Failed), "{argument}: it ended as {:?}", phase(&run));
            let failure = run.status.as_ref().and_then(|status| status.failure.clone()).context("no failure")?;
            say(&format!("{argument}: {} {}: {}", failure.class.as_str(), failure.reason, failure.message));
            ensure!(failure.stage.as_deref() == Some("count") && failure.message.contains(said), "{argument}: {failure:?}");
        }
        Ok(())
    })
}
