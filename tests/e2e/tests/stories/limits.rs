//! What a namespace and a Track allow: quotas, placement, tokens; and pods that are taken away.

use crate::{Context, Outcome, Result, STEP, ensure};
use k8s_openapi::api::{
    core::v1::{Event, Pod, ResourceQuota},
    scheduling::v1::PriorityClass,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, EvictParams, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use trackway_crds::{
    BatchRun,
    contracts::ErrorClass,
    status::{Phase, StagePhase},
};
use trackway_e2e::{Place, cluster::MANAGER, place::phase, story, story::say};
use trackway_scripted_llm::When;
use trackway_test_support::until;

const NAMESPACE: &str = "e2e-limits";
const QUOTA_NAMESPACE: &str = "e2e-quota";

fn calls_of(track: &str) -> Result<When> {
    Ok(serde_json::from_value(json!({"kind": "generate", "headers": {"x-trackway-run-name": format!("{track}-*")}}))?)
}

async fn pods(place: &Place, run: &BatchRun) -> Result<Vec<Pod>> {
    let of_run = ListParams::default().labels(&format!("trackway.dev/run={}", run.name_any()));
    Ok(place.api::<Pod>().list(&of_run).await?.items)
}

/// The refusal is Kubernetes' own and passes by itself; the run waits for it as for any pod that has no room yet.
#[test]
fn a_run_that_a_quota_holds_up_goes_on_when_the_quota_is_lifted() -> Outcome {
    story(QUOTA_NAMESPACE, async {
        let place = Place::bound(QUOTA_NAMESPACE).await?;
        let quota =
            json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}});
        place.apply::<ResourceQuota>(&quota).await?;
        let counted =
            |quota: ResourceQuota| quota.status.and_then(|status| status.hard).is_some_and(|hard| hard.contains_key("pods"));
        let holds = || async { place.api::<ResourceQuota>().get("none").await.ok().filter(|quota| counted(quota.clone())) };
        until("the quota holds", STEP, holds).await?;
        place.track("held-up", &json!({})).await?;
        let run = place.start_fresh("held-up").await?;
        let refused = || async {
            let events = place.api::<Event>().list(&ListParams::default().fields("reason=FailedCreate")).await.ok()?;
            events.items.into_iter().find(|event| {
                let of_run = event.involved_object.name.as_ref().is_some_and(|name| name.starts_with(&run.name_any()));
                of_run && event.message.as_ref().is_some_and(|message| message.contains("exceeded quota"))
            })
        };
        until("a pod is refused by the quota", STEP, refused).await?;
        let waiting = place.api::<BatchRun>().get(&run.name_any()).await?;
        ensure!(phase(&waiting) == Some(Phase::Running), "it is {:?}", phase(&waiting));

        place.api::<ResourceQuota>().delete("none", &DeleteParams::default()).await?;
        let run = place.until_succeeded(&run.name_any()).await?;
        let insights = &run.status.as_ref().context("no status")?.stages[0];
        ensure!(insights.used.infrastructure == 0, "waiting used up tries: {:?}", insights.used);
        say(&format!("it waited {} ms for its first pod", insights.millis.pod_start));
        Ok(())
    })
}

#[test]
fn an_evicted_pod_costs_a_try_and_nothing_else() -> Outcome {
    story(NAMESPACE, async {
        let place = Place::bound(NAMESPACE).await?;
        place.track("evicted", &json!({})).await?;
        let hold = place.llm.hold_next(calls_of("evicted")?, 1);
        let run = place.start_fresh("evicted").await?;
        place.until_held("evicted").await?;
        let pod = pods(&place, &run).await?.pop().context("no pod")?;
        let now = EvictParams { delete_options: Some(DeleteParams::default().grace_period(0)), ..EvictParams::default() };
        place.api::<Pod>().evict(&pod.name_any(), &now).await?;
        let run = place.until_succeeded(&run.name_any()).await?;
        place.llm.release(&hold);
        let insights = &run.status.as_ref().context("no status")?.stages[0];
        ensure!(insights.used.infrastructure == 1 && insights.used.quality == 1, "{:?}", insights.used);
        Ok(())
    })
}

#[test]
fn an_image_that_cannot_be_had_ends_the_run_with_its_name() -> Outcome {
    story(NAMESPACE, async {
        let place = Place::bound(NAMESPACE).await?;
        // Long enough for a busy node to have asked for the image.
        let image = "registry.invalid/nothing:1";
        let stages = json!([{"name": "own", "container": {"image": image}}]);
        let limits = json!({"startTimeout": "20s"});
        let retry = json!({"infrastructure": {"maxTries": 1}});
        place.track("unpulled", &json!({"spec": {"stages": stages, "limits": limits, "retry": retry}})).await?;
        let name = place.start_fresh("unpulled").await?.name_any();
        let run = place.until_finished(&name).await?;
        ensure!(phase(&run) == Some(Phase::Failed), "it ended as {:?}", phase(&run));
        let failure = run.status.as_ref().and_then(|status| status.failure.clone()).context("no failure")?;
        say(&format!("{} {}: {}", failure.class.as_str(), failure.reason, failure.message));
        let tries = &run.status.as_ref().context("no status")?.stages[0];
        let told = format!("{failure:?} {:?}", tries.attempts);
        ensure!(told.contains("ImagePullBackOff") || told.contains("ErrImagePull"), "{told}");
        Ok(())
    })
}

/// Everything a worker template can say is found in the pod, and the pod runs in a restricted namespace.
#[test]
fn pods_are_placed_and_sized_as_the_worker_template_says() -> Outcome {
    story(NAMESPACE, async {
        let place = Place::bound(NAMESPACE).await?;
        let class =
            json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "e2e-batch"}, "value": 7});
        let classes: Api<PriorityClass> = Api::all(place.cluster.client.clone());
        classes.patch("e2e-batch", &PatchParams::apply(MANAGER).force(), &Patch::Apply(class)).await?;
        let template = json!({
            "resources": {"requests": {"cpu": "15m", "memory": "48Mi"}, "limits": {"memory": "256Mi"}},
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "tolerations": [{"key": "batch", "operator": "Exists", "effect": "NoSchedule"}],
            "imagePullSecrets": [{"name": "pull"}],
            "labels": {"team": "growth"},
            "priorityClassName": "e2e-batch",
        });
        place.track("placed", &json!({"spec": {"workerTemplate": template}})).await?;
        let hold = place.llm.hold_next(calls_of("placed")?, 1);
        let run = place.start_fresh("placed").await?;
        place.until_held("placed").await?;
        let pod = pods(&place, &run).await?.pop().context("no pod")?;
        place.llm.release(&hold);
        ensure!(pod.labels().get("team").is_some_and(|team| team == "growth"), "labels {:?}", pod.labels());
        let spec = serde_json::to_value(&pod.spec)?;
        for (path, expected) in [
            ("/containers/0/resources/requests", json!({"cpu": "15m", "memory": "48Mi"})),
            ("/containers/0/resources/limits", json!({"memory": "256Mi"})),
            ("/nodeSelector", json!({"kubernetes.io/os": "linux"})),
            ("/imagePullSecrets", json!([{"name": "pull"}])),
            ("/priorityClassName", json!("e2e-batch")),
            ("/priority", json!(7)),
        ] {
            ensure!(spec.pointer(path) == Some(&expected), "{path} is {:?}", spec.pointer(path));
        }
        let tolerated =
            spec["tolerations"].as_array().into_iter().flatten().any(|one| one["key"] == "batch" && one["operator"] == "Exists");
        ensure!(tolerated, "tolerations {}", spec["tolerations"]);
        place.until_succeeded(&run.name_any()).await.map(drop)
    })
}

#[test]
fn a_run_stops_asking_when_its_tokens_are_used_up() -> Outcome {
    story(NAMESPACE, async {
        let place = Place::bound(NAMESPACE).await?;
        place.track("frugal", &json!({"spec": {"limits": {"tokens": 1000}}})).await?;
        let name = place.start_fresh("frugal").await?.name_any();
        let run = place.until_finished(&name).await?;
        ensure!(phase(&run) == Some(Phase::Failed), "it ended as {:?}", phase(&run));
        let status: Value = serde_json::to_value(&run.status)?;
        let failure = run.status.as_ref().and_then(|status| status.failure.clone()).context("no failure")?;
        say(&format!("{} {}: {}", failure.class.as_str(), failure.reason, failure.message));
        ensure!(failure.class == ErrorClass::Permanent && failure.message.contains("1000"), "{failure:?}");
        let stages = &run.status.as_ref().context("no status")?.stages;
        let used: u64 = stages.iter().map(|stage| stage.used.tokens).sum();
        ensure!(used > 0, "no tokens are on record: {status}");
        // The stage that nothing is left for is not begun.
        ensure!(stages.iter().all(|stage| stage.phase == StagePhase::Succeeded), "{status}");
        Ok(())
    })
}
