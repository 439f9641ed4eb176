//! Eight senders, a tenant each, that repeat an event until it is acknowledged: what every webhook sender does.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinSet;
use trackway_test_support::reqwest;

pub const SENDERS: usize = 8;
/// Events each has under way.
const AT_ONCE: usize = 8;
const PAUSE: Duration = Duration::from_millis(100);

pub fn tenant(sender: usize) -> String {
    format!("tenant-{sender}")
}

pub fn token(sender: usize) -> String {
    format!("token-of-sender-{sender}")
}

/// What was acknowledged.
#[derive(Debug, Default)]
pub struct Sent {
    /// Ids as the gateway gave them.
    pub ids: BTreeSet<String>,
    /// How often the gateway said that it had an event already.
    pub repeats: usize,
}

pub struct Senders {
    work: JoinSet<Sent>,
    done: Arc<AtomicUsize>,
    total: usize,
}

impl Senders {
    /// Share of the events that are acknowledged, in thousandths.
    pub fn progress(&self) -> usize {
        self.done.load(Ordering::Relaxed) * 1_000 / self.total
    }

    pub async fn finish(mut self) -> Sent {
        let mut all = Sent::default();
        while let Some(sent) = self.work.join_next().await {
            let sent = sent.unwrap();
            all.ids.extend(sent.ids);
            all.repeats += sent.repeats;
        }
        assert_eq!(all.ids.len(), self.total, "events share ids");
        all
    }
}

/// Begins to send `events` events in all.
pub fn start(gateway: &str, events: usize) -> Senders {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    let mut work = JoinSet::new();
    for lane in 0..SENDERS * AT_ONCE {
        let (client, url, done) = (client.clone(), format!("{gateway}/v1/events/app"), Arc::clone(&done));
        work.spawn(async move {
            let mut sent = Sent::default();
            for number in (lane..events).step_by(SENDERS * AT_ONCE) {
                let (id, repeat) = send(&client, &url, lane % SENDERS, number).await;
                sent.ids.insert(id);
                sent.repeats += usize::from(repeat);
                done.fetch_add(1, Ordering::Relaxed);
            }
            sent
        });
    }
    Senders { work, done, total: events }
}

/// Sends until acknowledged.
async fn send(client: &reqwest::Client, url: &str, sender: usize, number: usize) -> (String, bool) {
    let priority = match number % 100 {
        0 => "High",
        1..20 => "Medium",
        _ => "Low",
    };
    let body = serde_json::json!({
        "specversion": "1.0", "id": format!("event-{number}"), "source": "/kills", "type": "com.example.done",
        "subject": format!("order-{number}"),
        "data": {"number": number, "user": format!("user-{}", number % 20), "priority": priority},
    });
    loop {
        let request = client.post(url).bearer_auth(token(sender)).header("content-type", "application/cloudevents+json");
        let Ok(answer) = request.body(body.to_string()).send().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let status = answer.status();
        match answer.json::<serde_json::Value>().await {
            Ok(said) if status == 202 => {
                let id = said["id"].as_str().expect("an acknowledged event has an id").to_owned();
                return (id, said["duplicate"].as_bool().unwrap_or(false));
            }
            Ok(said) if !status.is_server_error() && status != 429 && status != 408 => {
                panic!("event {number} was refused: {status} {said}")
            }
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
}
