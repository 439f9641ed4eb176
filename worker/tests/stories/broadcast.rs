use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;
use trackway_crds::{
    contracts::{
        AttemptRecord, BroadcastOutput, DeliveryPhase, ErrorClass, NameKind, Reference, ResultPhase, StageInput, StageResult,
        StoredName,
    },
    ledger::{Ledger, TargetState},
    names::delivery_id,
};
use trackway_store::{Name, Scope};
use trackway_webhook_sink::{Behaviour, WebhookSink};
use trackway_worker::{AttemptJob, Outside, Retriever, Webhooks, attempt_deadline, run_pod};

use crate::world::{NAMESPACE, RUN_UID, World, retry};

const LIMIT: Duration = Duration::from_secs(60);

/// An ended fan-out, its review, and a receiver.
struct Scene {
    world: World,
    sink: WebhookSink,
    webhooks: Webhooks,
    keys: Vec<String>,
    /// What the review said.
    review: Value,
    dry_run: bool,
    channels: Vec<&'static str>,
}

impl Scene {
    async fn new(targets: usize) -> Self {
        let keys: Vec<String> = (0..targets).map(|number| format!("person-{number}")).collect();
        let approved: Vec<Value> = keys.iter().map(|key| json!({"key": key, "approve": true, "reason": "fine"})).collect();
        Self {
            world: World::with_rules("").await,
            sink: WebhookSink::local().await.unwrap(),
            webhooks: secrets(2, WebhookSink::SECRET),
            keys,
            review: json!({"items": approved}),
            dry_run: false,
            channels: vec!["inbox"],
        }
    }

    async fn put(&self, document: &Value) -> Reference {
        let scope = Scope::run(NAMESPACE, RUN_UID).unwrap();
        self.world.store.put_blob(&scope, document.to_string().into()).await.unwrap()
    }

    /// The last target has failed, all others have an output.
    async fn ledger(&self) -> Ledger {
        let scope = Scope::run(NAMESPACE, RUN_UID).unwrap();
        let mut ledger = Ledger::new(self.keys.len() + 1);
        for (target, index) in ledger.0.iter_mut().zip(0..) {
            target.state = if index as usize == self.keys.len() { TargetState::FailedQuality } else { TargetState::Succeeded };
            let reference = self.put(&json!({"title": "A note", "body": format!("number {index}")})).await;
            let name = Name { stage: "notices".to_owned(), attempt: 1, index, kind: NameKind::Output };
            self.world.store.create_name(&scope, &name, &StoredName { reference, request_hash: None }).await.unwrap();
        }
        ledger
    }

    async fn job(&self, try_: u32) -> AttemptJob {
        let mut targets: Vec<Value> = self.keys.iter().map(|key| json!({"id": key})).collect();
        targets.push(json!({"id": "failed"}));
        let mut assignment = self.world.assignment(1, try_);
        assignment.stage = "broadcast".to_owned();
        assignment.stages.insert("solutions".to_owned(), self.put(&json!({"targets": targets})).await);
        assignment.stages.insert("review".to_owned(), self.put(&self.review).await);
        let ledger = json!({"notices": {"ledger": self.ledger().await.encode()}});
        assignment.fan_outs = serde_json::from_value(ledger).unwrap();
        let mut revision = self.world.revision.clone();
        let insights = json!(revision.stages[0]);
        let plain = |name: &str| {
            let mut stage = insights.clone();
            stage["name"] = json!(name);
            stage.as_object_mut().unwrap().remove("judge");
            stage
        };
        let mut notices = plain("notices");
        notices["forEach"] = json!({
            "stage": "solutions", "field": "targets", "key": "id", "maxConcurrency": 40, "targetsPerPod": 10, "toleratedFailures": "100%",
        });
        let channels = self.channels.iter().map(|name| {
            json!({"name": name, "url": self.sink.url(name), "signingSecretRef": {"name": "hooks", "key": name}, "timeoutMillis": 5000})
        });
        let work = json!({
            "kind": "Broadcast", "items": "notices", "approvedBy": "review", "channels": channels.collect::<Vec<_>>(),
            "dryRun": self.dry_run,
        });
        let broadcast = json!({"name": "broadcast", "work": work, "retry": retry(), "timeoutMillis": 60_000});
        revision.stages = serde_json::from_value(json!([plain("solutions"), notices, plain("review"), broadcast])).unwrap();
        let deadline = attempt_deadline(Instant::now(), 60_000);
        AttemptJob { assignment, revision, deadline, ..self.world.job(1, try_) }
    }

    async fn run(&self, try_: u32) -> StageResult {
        let job = self.job(try_).await;
        tokio::time::timeout(LIMIT, self.run_job(&job)).await.expect("the broadcast does not end")
    }

    async fn run_job(&self, job: &AttemptJob) -> StageResult {
        let told = std::sync::Mutex::new(Vec::new());
        let outside = Outside {
            models: &self.world.models,
            webhooks: &self.webhooks,
            retriever: &Retriever::offline(),
            answers: &self.world.answers,
        };
        run_pod(job, &self.world.store, &outside, jiff::Timestamp::now, &|result| told.lock().unwrap().push(result)).await;
        told.into_inner().unwrap().pop().unwrap()
    }

    async fn output(&self, result: &StageResult) -> BroadcastOutput {
        self.world.read(result.output.as_ref().unwrap()).await
    }

    fn id(&self, channel: &str, key: &str) -> String {
        delivery_id("octo-org", "b7k2f9q1", "admin", channel, key, "admin-b7k2f9q1")
    }
}

fn secrets(channels: usize, secret: &str) -> Webhooks {
    Webhooks::Send((0..channels).map(|ordinal| (ordinal, secret.to_owned().into())).collect())
}

fn refusing(key: Option<&str>, status: u16) -> Behaviour {
    Behaviour { key: key.map(str::to_owned), status: Some(status), ..Behaviour::default() }
}

#[tokio::test]
async fn every_succeeded_item_goes_to_every_channel_as_a_signed_event() {
    let mut scene = Scene::new(3).await;
    scene.channels = vec!["inbox", "archive"];
    let result = scene.run(1).await;
    assert_eq!((result.phase, result.error.as_ref()), (ResultPhase::Done, None));

    let received = scene.sink.received();
    assert_eq!(received.len(), 6);
    for one in &received {
        let channel = one.path.trim_start_matches('/');
        assert_eq!((one.verified, one.times, one.id.clone()), (true, 1, scene.id(channel, &one.key)));
    }
    let first = received.iter().find(|one| one.path == "/inbox" && one.key == "person-0").unwrap();
    let event = &first.event;
    assert_eq!((&event["specversion"], &event["id"]), (&json!("1.0"), &json!(first.id)));
    assert_eq!((&event["source"], &event["type"]), (&json!("trackway/team-a/admin"), &json!("dev.trackway.notice.v1")));
    assert_eq!((&event["subject"], &event["datacontenttype"]), (&json!("person-0"), &json!("application/json")));
    let data = json!({
        "key": "person-0", "tenant": "octo-org", "batch": "b7k2f9q1", "track": "admin", "audience": "Org admin",
        "output": {"title": "A note", "body": "number 0"},
    });
    assert_eq!(event["data"], data);

    let output = scene.output(&result).await;
    assert_eq!((output.counts.delivered, output.counts.withheld, output.deliveries.len()), (6, 0, 6));
    assert_eq!((output.deliveries[0].channel.as_str(), output.deliveries[0].status), ("inbox", Some(204)));
    let record: AttemptRecord = scene.world.read(&result.record.unwrap()).await;
    assert_eq!((record.output, record.verdict), (result.output.unwrap(), None));
    let input: StageInput = scene.world.read(&record.input).await;
    let told: Value = serde_json::from_str(&input.user).unwrap();
    assert_eq!((&told["send"], &told["channels"]), (&json!(["person-0", "person-1", "person-2"]), &json!(["inbox", "archive"])));
}

#[tokio::test]
async fn inv12_a_crash_between_send_and_record_repeats_keys_and_never_makes_a_new_one() {
    const TARGETS: u64 = 24;
    for seed in 0..20_u64 {
        let scene = Scene::new(TARGETS as usize).await;
        let point = 1 + seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17) % TARGETS;
        if seed % 2 == 0 {
            // From its nth arrival on the receiver answers too late: everything under way was sent and is not on record.
            let slow = Behaviour { delay_millis: Some(60_000), ..Behaviour::default() };
            scene.sink.behave(Behaviour { times: Some(point - 1), ..Behaviour::default() });
            scene.sink.behave(Behaviour { times: Some(TARGETS), ..slow });
        }
        let job = scene.job(1).await;
        let crash = async {
            if seed % 2 == 0 {
                scene.sink.until_requests(point).await;
            } else {
                scene.sink.until_answered(point).await;
            }
            for _ in 0..seed % 5 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = crash => {}
            result = scene.run_job(&job) => assert_eq!(result.phase, ResultPhase::Done, "seed {seed}"),
        }
        let before: BTreeSet<String> = scene.sink.received().into_iter().map(|one| one.id).collect();
        assert!(!before.is_empty());
        // The receiver is well again.
        scene.sink.well();

        let result = scene.run(2).await;
        assert_eq!((result.phase, result.error.as_ref()), (ResultPhase::Done, None), "seed {seed}");
        let expected: BTreeSet<String> = scene.keys.iter().map(|key| scene.id("inbox", key)).collect();
        let received = scene.sink.received();
        let ids: BTreeSet<String> = received.iter().map(|one| one.id.clone()).collect();
        assert_eq!(ids, expected, "seed {seed}");
        assert!(received.iter().all(|one| one.verified && one.same_body && one.accepted >= 1), "seed {seed}: {received:?}");
        assert_eq!(scene.output(&result).await.counts.delivered, 24, "seed {seed}");
        if seed % 2 == 0 {
            assert!(received.iter().any(|one| one.times > 1), "seed {seed}: what was sent without a record was not sent again");
        }

        let requests = scene.sink.requests();
        assert_eq!(scene.run(3).await.output, result.output, "seed {seed}");
        assert_eq!(scene.sink.requests(), requests, "seed {seed}: what is on record is not sent again");
    }
}

#[tokio::test]
async fn inv12_after_a_receiver_was_away_only_what_is_not_on_record_is_sent() {
    let scene = Scene::new(5).await;
    let away = Behaviour { retry_after: Some("3600".to_owned()), times: Some(1), ..refusing(Some("person-3"), 503) };
    scene.sink.behave(away);
    let error = scene.run(1).await.error.unwrap();
    assert_eq!((error.class, error.reason.as_str()), (ErrorClass::Model, "WebhookUnavailable"));
    assert_eq!(error.retry_after_millis, Some(3_600_000));
    assert!(error.message.contains("channel inbox") && error.message.contains("503"), "{}", error.message);

    let result = scene.run(2).await;
    assert_eq!((result.phase, scene.output(&result).await.counts.delivered), (ResultPhase::Done, 5));
    for one in scene.sink.received() {
        assert_eq!((one.accepted, one.times), (1, if one.key == "person-3" { 2 } else { 1 }), "{}", one.key);
    }
}

#[tokio::test]
async fn what_is_not_approved_is_withheld_and_says_why() {
    let mut scene = Scene::new(3).await;
    scene.review = json!({"items": [
        {"key": "person-0", "approve": true}, {"key": "person-2", "approve": false, "reason": "names a customer"},
    ]});
    let result = scene.run(1).await;
    let output = scene.output(&result).await;
    let fates: Vec<_> = output.deliveries.iter().map(|one| (one.key.as_str(), one.phase, one.reason.as_deref())).collect();
    assert_eq!(
        fates,
        [
            ("person-0", DeliveryPhase::Delivered, None),
            ("person-1", DeliveryPhase::Withheld, Some("not mentioned by review")),
            ("person-2", DeliveryPhase::Withheld, Some("names a customer")),
        ]
    );
    assert_eq!((output.counts.delivered, output.counts.withheld, scene.sink.requests()), (1, 2, 1));
}

#[tokio::test]
async fn a_review_of_another_shape_stops_everything_before_anything_is_sent() {
    let mut scene = Scene::new(2).await;
    scene.review = json!({"items": [{"key": "person-0", "approve": "yes"}]});
    let error = scene.run(1).await.error.unwrap();
    assert_eq!((error.class, error.reason.as_str()), (ErrorClass::Permanent, "ApprovalInvalid"));
    assert!(error.message.contains("items[0].approve is neither true nor false"), "{}", error.message);
    assert_eq!(scene.sink.requests(), 0);
}

#[tokio::test]
async fn a_recipient_that_refuses_is_on_record_and_the_others_get_theirs() {
    let scene = Scene::new(3).await;
    let words = format!("gone; {} is not known", WebhookSink::SECRET);
    scene.sink.behave(Behaviour { body: words, ..refusing(Some("person-1"), 410) });
    let result = scene.run(1).await;
    let output = scene.output(&result).await;
    assert_eq!((result.phase, output.counts.delivered, output.counts.refused), (ResultPhase::Done, 2, 1));
    let refused = &output.deliveries[1];
    assert_eq!((refused.phase, refused.status), (DeliveryPhase::Refused, Some(410)));
    assert_eq!(refused.reason.as_deref(), Some("gone; whsec_[redacted] is not known"));
    scene.run(2).await;
    assert_eq!(scene.sink.requests(), 3, "a refusal is not sent again either");
}

#[tokio::test]
async fn when_nobody_takes_anything_the_stage_fails_and_names_the_channel() {
    let mut scene = Scene::new(3).await;
    scene.webhooks = secrets(1, "whsec_YW5vdGhlci1zZWNyZXQtb2Ytc29tZWJvZHktZWxzZQ==");
    for try_ in [1, 2] {
        let result = scene.run(try_).await;
        let error = result.error.as_ref().unwrap();
        assert_eq!((error.class, error.reason.as_str()), (ErrorClass::Permanent, "BroadcastRefused"));
        assert!(error.message.contains("all 3 notices were refused: channel inbox answered 401"), "{}", error.message);
        assert_eq!(scene.output(&result).await.counts.refused, 3, "what became of each is kept for the debugger");
    }
}

#[tokio::test]
async fn a_dry_run_sends_nothing_and_says_what_it_would() {
    let mut scene = Scene::new(2).await;
    for (dry_run, webhooks) in [(true, secrets(1, WebhookSink::SECRET)), (false, Webhooks::DryRun)] {
        scene.dry_run = dry_run;
        scene.webhooks = webhooks;
        scene.world = World::with_rules("").await;
        let result = scene.run(1).await;
        let output = scene.output(&result).await;
        assert_eq!((result.phase, output.counts.dry_run, output.counts.delivered), (ResultPhase::Done, 2, 0));
        assert_eq!(scene.sink.requests(), 0);
    }
}

#[tokio::test]
async fn a_missing_secret_is_named() {
    let mut scene = Scene::new(1).await;
    scene.webhooks = secrets(0, "");
    let error = scene.run(1).await.error.unwrap();
    assert_eq!((error.class, error.reason.as_str()), (ErrorClass::Permanent, "MissingSecret"));
    assert!(error.message.contains("Secret hooks key inbox"), "{}", error.message);
}
