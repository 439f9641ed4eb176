//! Random requests: whatever comes, the answer is a taken event or a problem, never a fault, and memory stays flat.
//!
//! `TRACKWAY_FUZZ` is the number of requests of each kind; a failure prints the seed and the request.

use crate::{
    app::App,
    keys::Keys,
    metrics::Metrics,
    routes::router,
    store::{Kept, Met, Store, Versioned},
};
use axum::{Router, body::Body};
use hmac::{Hmac, Mac as _};
use http::{HeaderName, HeaderValue, Request, StatusCode};
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use serde_json::json;
use sha2::Sha256;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};
use tower::ServiceExt as _;
use trackway_crds::contracts::{QuestionnaireRecord, StoredEvent, TenantContext};
use trackway_nats::NatsError;
use trackway_sources::IngestConfig;
use trackway_test_support::fuzz::{Fuzz, change};

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const HUB_SECRET: &str = "hub-secret";
const CONFIG: &str = "
sources:
- {id: app, preset: CloudEvents, credentials: [{tenant: t, secretRef: {name: s, key: token}}], limits: {eventsPerSecond: 1000000, burst: 1000000}}
- {id: hooks, auth: {kind: StandardWebhooks}, credentials: [{tenant: t, secretRef: {name: s, key: key}}], limits: {eventsPerSecond: 1000000, burst: 1000000}}
- {id: github, preset: GitHub, credentials: [{tenant: t, secretRef: {name: s, key: hub}}], limits: {eventsPerSecond: 1000000, burst: 1000000}}
namespaces: [{name: team-a}]
";
/// Looks at what it should keep, and forgets it before the next request.
#[derive(Clone, Debug, Default)]
struct Looking {
    kept: Arc<AtomicUsize>,
    record: Arc<Mutex<Option<QuestionnaireRecord>>>,
}

impl Store for Looking {
    async fn keep(&self, event: &StoredEvent) -> Result<Kept, NatsError> {
        let bounds = [(&event.tenant, 128), (&event.origin, 64), (&event.source, 512), (&event.ce_id, 256), (&event.type_, 128)];
        for (text, longest) in bounds {
            assert!((1..=longest).contains(&text.chars().count()), "{event:?}");
        }
        assert!(event.labels.len() <= 16 && event.body_sha256.len() == 64 && event.tenant == "t", "{event:?}");
        let written = serde_json::to_vec(event).unwrap();
        assert_eq!(&serde_json::from_slice::<StoredEvent>(&written).unwrap(), event);
        self.kept.fetch_add(1, Ordering::Relaxed);
        Ok(Kept::New)
    }

    async fn questionnaire(&self, _: &str, name: &str) -> Result<Option<Versioned<QuestionnaireRecord>>, NatsError> {
        let record = json!({
            "contract": 1, "tenant": "t", "expiresAt": Timestamp::MAX,
            "questions": [
                {"id": "tone", "question": "?", "answer": {"type": "string", "pattern": "^(a+)+$", "maxLength": 64}},
                {"id": "plan", "question": "?", "answer": {"type": "object", "additionalProperties": {"type": "integer"}}},
            ],
        });
        let written = self.record.lock().unwrap().clone();
        Ok((name == "q-1").then(|| (written.unwrap_or_else(|| serde_json::from_value(record).unwrap()), 1)))
    }

    async fn replace_questionnaire(&self, _: &str, _: &str, record: &QuestionnaireRecord, _: u64) -> Result<bool, NatsError> {
        assert!(!record.answers.is_empty() && record.answers.keys().all(|id| id == "tone" || id == "plan"), "{record:?}");
        self.kept.fetch_add(1, Ordering::Relaxed);
        *self.record.lock().unwrap() = Some(record.clone());
        Ok(true)
    }

    async fn next_questionnaire(&self, _: u64) -> Result<Option<Met>, NatsError> {
        Ok(None)
    }

    async fn context(&self, _: &str, _: &str) -> Result<Option<Versioned<TenantContext>>, NatsError> {
        Ok(None)
    }

    async fn replace_context(&self, _: &str, _: &TenantContext, _: Option<u64>) -> Result<bool, NatsError> {
        Ok(true)
    }
}

/// A request that can be changed.
#[derive(Clone, Debug)]
struct Sent {
    path: &'static str,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
}

impl Sent {
    fn new(path: &'static str, headers: &[(&'static str, &str)], body: &str) -> Self {
        let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes().to_vec())).collect();
        Self { path, headers, body: body.as_bytes().to_vec() }
    }

    /// More signatures beside the right one change nothing: the list of them is not signed.
    fn says_other_than(&self, original: &Self) -> bool {
        type Header = (&'static str, Vec<u8>);
        let same = |((name, value), (of, right)): (&Header, &Header)| {
            let listed = *name == "webhook-signature" && value.split(|byte| *byte == b' ').any(|one| one == right);
            name == of && (value == right || listed)
        };
        let headers = self.headers.len() == original.headers.len() && self.headers.iter().zip(&original.headers).all(same);
        self.body != original.body || !headers
    }

    /// `None`: a client could not send it.
    fn request(&self) -> Option<Request<Body>> {
        let mut request = Request::post(self.path).body(Body::from(self.body.clone())).ok()?;
        for (name, value) in &self.headers {
            request.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_bytes(value).ok()?);
        }
        Some(request)
    }

    fn change(&mut self, random: &mut fastrand::Rng) {
        for _ in 0..random.usize(1..=4) {
            let header = random.usize(0..=self.headers.len());
            match self.headers.get_mut(header) {
                Some((_, value)) if random.bool() => change(value, random),
                Some(_) if random.u8(..) < 16 => drop(self.headers.remove(header)),
                _ => change(&mut self.body, random),
            }
        }
    }
}

fn gateway(store: Looking) -> (Router, tempfile::TempDir) {
    let secrets = tempfile::tempdir().unwrap();
    std::fs::create_dir(secrets.path().join("s")).unwrap();
    for (key, secret) in [("token", "token"), ("key", KEY), ("hub", HUB_SECRET)] {
        std::fs::write(secrets.path().join("s").join(key), secret).unwrap();
    }
    let config = Arc::new(IngestConfig::parse(CONFIG).unwrap());
    let keys = Keys::read(Arc::clone(&config), secrets.path());
    (router(Arc::new(App::new(config, keys, store, Metrics::new(&mut Registry::default())))), secrets)
}

/// Sends changed copies of what `make` makes; `may_take`: whether a changed one may be taken.
async fn fuzz(make: impl Fn(&mut fastrand::Rng) -> Sent, may_take: bool) {
    let fuzz = Fuzz::from_env().unwrap();
    let mut random = fuzz.random();
    let store = Looking::default();
    let (router, _secrets) = gateway(store.clone());
    let (mut taken, mut refused) = (0, 0);
    for round in 0..fuzz.count {
        let original = make(&mut random);
        let mut sent = original.clone();
        if round > 0 {
            sent.change(&mut random);
        }
        let Some(request) = sent.request() else { continue };
        *store.record.lock().unwrap() = None;
        let status = router.clone().oneshot(request).await.unwrap().status();
        let changed = sent.says_other_than(&original);
        let context = || format!("{}\n{status} for {}", fuzz.again(&sent), String::from_utf8_lossy(&sent.body));
        assert!(!status.is_server_error(), "{}", context());
        match status {
            StatusCode::ACCEPTED | StatusCode::OK => {
                assert!(may_take || !changed, "{}", context());
                taken += 1;
            }
            _ => refused += 1,
        }
    }
    assert!(store.kept.load(Ordering::Relaxed) > 0);
    fuzz.finish(taken, refused).unwrap();
}

#[tokio::test]
async fn fuzz_signature_headers() {
    let body = r#"{"id": "1", "n": [1, 2.5, "x"]}"#;
    let hub = Hmac::<Sha256>::new_from_slice(HUB_SECRET.as_bytes()).unwrap().chain_update(body).finalize();
    let hub = format!("sha256={}", hex::encode(hub.into_bytes()));
    let signing = standardwebhooks::Webhook::new(KEY).unwrap();
    let make = |random: &mut fastrand::Rng| {
        if random.bool() {
            return Sent::new("/v1/webhooks/github", &[("x-hub-signature-256", &hub)], body);
        }
        let now = Timestamp::now().as_second();
        let signature = signing.sign("msg_1", now, body.as_bytes()).unwrap();
        let headers = [("webhook-id", "msg_1"), ("webhook-timestamp", &now.to_string()), ("webhook-signature", &signature)];
        Sent::new("/v1/webhooks/hooks", &headers, body)
    };
    fuzz(make, false).await;
}

#[tokio::test]
async fn fuzz_cloud_events() {
    let event = r#"{"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "time": "2026-11-22T10:00:00Z", "subject": "é", "n": 1,
        "datacontenttype": "application/json", "data": {"a": [1, -2.5e3, true, null, "\ud83d\ude00"]}}"#;
    let encoded = r#"{"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data_base64": "WzEsMl0="}"#;
    let batch = format!("[{event}, {encoded}]");
    let bearer = ("authorization", "Bearer token");
    let make = |random: &mut fastrand::Rng| match random.u8(0..4) {
        0 => Sent::new("/v1/events/app", &[bearer, ("content-type", "application/cloudevents+json; charset=utf-8")], event),
        1 => Sent::new("/v1/events/app", &[bearer, ("content-type", "application/cloudevents+json")], encoded),
        2 => Sent::new("/v1/events/app", &[bearer, ("content-type", "application/cloudevents-batch+json")], &batch),
        _ => {
            let attributes = [
                ("ce-specversion", "1.0"),
                ("ce-id", "1"),
                ("ce-source", "/s"),
                ("ce-type", "t"),
                ("ce-subject", "a%20%E2%82%AC"),
            ];
            let rest = [bearer, ("content-type", "application/json"), ("ce-time", "2026-11-22T10:00:00Z"), ("ce-x", "\"q\\\"\"")];
            Sent::new("/v1/events/app", &[&attributes[..], &rest].concat(), r#"{"a": 1}"#)
        }
    };
    fuzz(make, true).await;
}

#[tokio::test]
async fn fuzz_answers() {
    let headers = [("authorization", "Bearer token"), ("content-type", "application/json")];
    let make = |random: &mut fastrand::Rng| {
        let tone = "a".repeat(random.usize(1..60));
        let body = json!({"answers": {"tone": tone, "plan": {"a": 1, "b": -2}}}).to_string();
        Sent::new("/v1/questionnaires/team-a/q-1/answers", &headers, &body)
    };
    fuzz(make, true).await;
}
