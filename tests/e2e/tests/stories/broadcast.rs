//! Notices go out: signed, once per recipient as far as a receiver can tell, whatever is killed meanwhile.

use crate::{Context, Outcome, Result, STEP, ensure};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{Resource, ResourceExt, api::ListParams};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::sync::OnceCell;
use trackway_crds::{BatchRun, contracts::BroadcastOutput, contracts::DeliveryPhase, names::delivery_id};
use trackway_e2e::{
    Place,
    fan::{append_stage, fan_out_patch},
    story,
    story::say,
};
use trackway_store::Scope;
use trackway_test_support::until;
use trackway_webhook_sink::{Behaviour, Received, WebhookSink};

const NAMESPACE: &str = "e2e-cast";
const RULES: &str = "
- {name: many, when: {kind: generate, headers: {x-trackway-stage: list, x-trackway-run-name: sent-*}}, then: {targets: 20}}
- {name: six, when: {kind: generate, headers: {x-trackway-stage: list}}, then: {targets: 6}}
- name: one is never good enough
  when: {kind: judge, headers: {x-trackway-stage: notices, x-trackway-run-name: sent-*, x-trackway-index: '5'}}
  then: {scores: {'*': 0.5}}
";
/// How often the pod is killed.
const KILLS: u64 = 3;

async fn place() -> Result<Arc<Place>> {
    static RULED: OnceCell<()> = OnceCell::const_new();
    let place = Place::bound(NAMESPACE).await?;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "inbox-webhook"},
        "stringData": {"secret": WebhookSink::SECRET}});
    RULED
        .get_or_try_init(|| async {
            place.apply::<Secret>(&secret).await?;
            place.rules(RULES)
        })
        .await?;
    Ok(place)
}

async fn sink() -> Result<WebhookSink> {
    Ok(WebhookSink::start("0.0.0.0:0", &[WebhookSink::SECRET.to_owned()], false).await?)
}

/// A Track whose notices are reviewed and sent to `sink`.
async fn track(place: &Place, name: &str, sink: &WebhookSink) -> Result<()> {
    let stage = json!({"forEach": {"toleratedFailures": "25%"}, "retry": {"quality": {"maxAttempts": 2}}});
    let (mut patch, mut prompts) = fan_out_patch(&stage, &json!({}))?;
    let url = format!("http://{}:{}/inbox", place.cluster.host_address, sink.address().port());
    let webhook = json!({"url": url, "signingSecretRef": {"name": "inbox-webhook", "key": "secret"}});
    append_stage(
        &mut patch,
        json!({"name": "review", "generate": {"prompt": "review.md", "outputSchema": "review.json"}, "judge": {"enabled": false}}),
    )?;
    let channels = json!([{"name": "inbox", "webhook": webhook}]);
    append_stage(
        &mut patch,
        json!({"name": "broadcast", "broadcast": {"items": "notices", "approvedBy": "review", "channels": channels}}),
    )?;
    prompts["review.md"] = json!("Which of these may go out? {{ stages.notices.items | tojson }}");
    prompts["review.json"] = json!(review_schema().to_string());
    place.track_with(name, &patch, &prompts).await?;
    Ok(())
}

fn review_schema() -> Value {
    let item = json!({"type": "object", "required": ["key", "approve", "reason"], "properties":
        {"key": {"type": "string"}, "approve": {"type": "boolean"}, "reason": {"type": "string"}}});
    json!({"type": "object", "required": ["items", "summary"], "properties":
        {"items": {"type": "array", "items": item}, "summary": {"type": "string"}}})
}

async fn output(place: &Place, run: &BatchRun) -> Result<BroadcastOutput> {
    let stages = &run.status.as_ref().context("no status")?.stages;
    let reference = stages.last().and_then(|stage| stage.output.clone()).context("the broadcast has no output")?;
    let scope = Scope::run(&place.namespace, run.metadata.uid.as_deref().context("no uid")?)?;
    Ok(serde_json::from_slice(&place.store.get_blob(&scope, &reference).await?)?)
}

/// What came is signed, is what was meant, and carries the key that follows from whom, what and where.
fn as_promised(run: &BatchRun, received: &[Received]) -> Result<()> {
    let (batch, track, name) = (&run.spec.batch, &run.spec.track_ref.name, run.name_any());
    for one in received {
        ensure!(one.verified, "the signature of {} is not valid", one.key);
        ensure!(one.same_body, "{} came with different bodies", one.key);
        let id = delivery_id(&batch.tenant, &batch.id, track, "inbox", &one.key, &name);
        ensure!(one.id == id, "{} came as {}, not as {id}", one.key, one.id);
        ensure!(one.event["type"] == "dev.trackway.notice.v1" && one.event["specversion"] == "1.0", "{}", one.event);
        let data = &one.event["data"];
        ensure!(
            data["tenant"] == json!(batch.tenant) && data["track"] == json!(track) && data["batch"] == json!(batch.id),
            "{data}"
        );
    }
    Ok(())
}

#[test]
fn inv12_every_approved_notice_arrives_signed() -> Outcome {
    story(NAMESPACE, async {
        let (place, sink) = (place().await?, sink().await?);
        track(&place, "sent", &sink).await?;
        let name = place.start_fresh("sent").await?.name_any();
        let run = place.until_succeeded(&name).await?;
        let received = sink.received();
        as_promised(&run, &received)?;
        // 20 targets, one of which failed.
        ensure!(received.len() == 19 && sink.requests() == 19, "{} notices in {} requests", received.len(), sink.requests());
        let counts = output(&place, &run).await?.counts;
        ensure!((counts.delivered, counts.refused) == (19, 0), "{counts:?}");
        say(&format!(
            "{} notices received, {} signatures verified",
            received.len(),
            received.iter().filter(|one| one.verified).count()
        ));
        Ok(())
    })
}

/// The newest pod of the broadcast that still runs.
async fn sender(place: &Place, run: &str) -> Result<Pod> {
    let of_stage = ListParams::default().labels(&format!("trackway.dev/run={run},trackway.dev/stage=broadcast"));
    let running = |pod: &Pod| {
        pod.meta().deletion_timestamp.is_none()
            && pod.status.as_ref().and_then(|status| status.phase.as_deref()).is_some_and(|phase| phase == "Running")
    };
    let api = place.api::<Pod>();
    let found = || async { api.list(&of_stage).await.ok()?.items.into_iter().find(running) };
    until("a pod sends notices", STEP, found).await
}

/// One notice is on its way at each kill; whether the others were recorded by then is drawn.
#[test]
fn inv12_a_pod_killed_between_sending_and_recording_makes_no_new_key() -> Outcome {
    story(NAMESPACE, async {
        let (place, sink) = (place().await?, sink().await?);
        let seed =
            std::env::var("TRACKWAY_E2E_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
        let mut random = fastrand::Rng::with_seed(seed);
        say(&format!("TRACKWAY_E2E_SEED={seed}"));
        track(&place, "killed", &sink).await?;
        let hold = place.llm.hold_next(
            serde_json::from_value(json!({"headers": {"x-trackway-stage": "review",
            "x-trackway-run-name": "killed-*"}}))?,
            1,
        );
        let name = place.start_fresh("killed").await?.name_any();
        place.until_held("killed").await?;
        let run = place.api::<BatchRun>().get(&name).await?;
        let keys: Vec<String> = keys(&place, &run).await?;
        let key = random.choice(&keys).context("no notices")?.clone();
        // Longer than a request may take: the pod never sees the answer.
        sink.behave(Behaviour { key: Some(key.clone()), times: Some(KILLS), delay_millis: Some(60_000), ..Behaviour::default() });
        place.llm.release(&hold);
        for kill in 1..=KILLS {
            let came = || async { sink.received().iter().any(|one| one.key == key && one.times >= kill).then_some(()) };
            until(&format!("the notice for {key} is on its way for the {kill}. time"), STEP, came).await?;
            // The others' answers are recorded by then, or not.
            tokio::time::sleep(Duration::from_millis(random.u64(0..100))).await;
            place.lose(&sender(&place, &name).await?).await?;
        }
        let run = place.until_succeeded(&name).await?;
        let received = sink.received();
        as_promised(&run, &received)?;
        let ids: BTreeSet<_> = received.iter().map(|one| one.id.clone()).collect();
        let came: BTreeSet<_> = received.iter().map(|one| one.key.clone()).collect();
        ensure!(received.len() == 6 && ids.len() == 6 && came.len() == 6, "{received:#?}");
        let repeated = received.iter().filter(|one| one.times > 1).count();
        let times = received.iter().find(|one| one.key == key).map_or(0, |one| one.times);
        ensure!(times > KILLS, "{key} came {times} times, and {KILLS} pods were killed while it was on its way");
        let deliveries = output(&place, &run).await?.deliveries;
        ensure!(deliveries.len() == 6 && deliveries.iter().all(|one| one.phase == DeliveryPhase::Delivered), "{deliveries:?}");
        let times: BTreeMap<_, _> = received.iter().map(|one| (&one.key, one.times)).collect();
        say(&format!("{} requests for 6 notices, {repeated} of them repeated, no new key: {times:?}", sink.requests()));
        Ok(())
    })
}

/// Keys of the fan-out's items, once its output is there.
async fn keys(place: &Place, run: &BatchRun) -> Result<Vec<String>> {
    Ok(place.fan_out_output(run).await?.items.into_iter().map(|item| item.key).collect())
}
