//! A worker pod is lost at the worst moment.

use crate::{Context, Outcome, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams},
};
use serde_json::json;
use trackway_e2e::{Place, story};
use trackway_scripted_llm::When;

/// The pod goes while the model still holds its verdict: the generation is stored by then, so the second try only judges.
#[test]
fn inv03_a_pod_lost_during_its_judgement_costs_no_second_generation() -> Outcome {
    story("e2e-life", async {
        let place = Place::bound("e2e-life").await?;
        place.track("lost-pod", &json!({})).await?;
        let judgement: When = serde_json::from_value(json!({
            "kind": "judge", "headers": {"x-trackway-run-name": "lost-pod-*", "x-trackway-stage": "insights"}
        }))?;
        let hold = place.llm.hold_next(judgement, 1);
        let run = place.start_fresh("lost-pod").await?;
        place.until_held("lost-pod").await?;

        let of_run = ListParams::default().labels(&format!("trackway.dev/run={}", run.name_any()));
        let pods = place.api::<Pod>().list(&of_run).await?.items;
        ensure!(pods.len() == 1, "one try has one pod, not {}", pods.len());
        place.api::<Pod>().delete(&pods[0].name_any(), &DeleteParams::default().grace_period(0)).await?;

        let run = place.until_succeeded(&run.name_any()).await?;
        place.llm.release(&hold);
        let insights = &run.status.as_ref().context("no status")?.stages[0];
        let attempt = insights.attempts.last().context("no attempt")?;
        ensure!((attempt.attempt, attempt.try_) == (1, 2), "ended as attempt {} try {}", attempt.attempt, attempt.try_);
        ensure!(insights.used.infrastructure == 1 && insights.used.quality == 1, "used {:?}", insights.used);
        let answered = place.answered(&run);
        ensure!(answered["Generate insights/1"] == 1, "generations: {answered:?}");
        ensure!(answered["Judge insights/1"] == 1, "judgements: {answered:?}");
        Ok(())
    })
}
