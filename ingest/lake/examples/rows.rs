//! Stores events in a NATS of its own, writes them to a lake and prints how fast: `rows --help`. `tests/lake` reads that lake with
//! programs nobody here wrote.

use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use futures::{StreamExt, TryStreamExt, stream};
use prometheus_client::registry::Registry;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use trackway_crds::contracts::StoredEvent;
use trackway_crds::names::{event_key, sha256_hex};
use trackway_lake::LakeWriter;
use trackway_lake::partitions::{Component, FlushPolicy, Metrics, write_owned};
use trackway_nats::{Credentials, Kv, Nats, NatsConfig, StreamSettings, ensure_streams, event_subject, publish_event};
use trackway_store::Files;
use trackway_test_support::{NatsServer, until};

/// Publishes on their way at the same time.
const AT_ONCE: usize = 512;
const LIMIT: Duration = Duration::from_secs(600);

/// Stores events, writes them to a lake and prints rows a second.
#[derive(Parser, Debug)]
struct Arguments {
    /// Events.
    #[arg(long, default_value_t = 100_000)]
    events: usize,
    /// Tenants they are of, in turn.
    #[arg(long, default_value_t = 100)]
    tenants: usize,
    /// Bytes of text in each event.
    #[arg(long, default_value_t = 400)]
    text: usize,
    /// Folder of the lake; it stays. Left out: a temporary one.
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let temporary = tempfile::tempdir()?;
    let folder = arguments.folder.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&folder)?;
    let files = Files::open(&format!("file://{}", folder.canonicalize()?.display()), None, [])?;
    let server = NatsServer::start().await?;
    let nats = connect(&server).await?;

    let started = Instant::now();
    let events = stream::iter(0..arguments.events).map(|n| publish(&nats, &arguments, n));
    events.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    let published = started.elapsed();

    let metrics = Metrics::register(&mut Registry::default());
    let started = Instant::now();
    write(&nats, &files, &metrics, arguments.events as u64).await?;
    let written = started.elapsed();

    let rate = |time: Duration| arguments.events as f64 / time.as_secs_f64();
    let (count, bytes) = (metrics.files.get(), metrics.bytes.get());
    let mut out = stdout();
    writeln!(out, "published {} events: {:.0} events/s", arguments.events, rate(published))?;
    writeln!(out, "wrote {count} files, {bytes} bytes, at most {} MiB of memory: {:.0} rows/s", peak_mib()?, rate(written))?;
    Ok(())
}

async fn connect(server: &NatsServer) -> anyhow::Result<Nats> {
    let (url, name) = (server.url(), "rows".to_owned());
    let config = NatsConfig { url, credentials: Credentials::None, inbox_prefix: "_INBOX_rows".to_owned(), ca_file: None, name };
    let nats = Nats::connect(&config, None).await?;
    ensure_streams(&nats, StreamSettings::default()).await?;
    Ok(nats)
}

async fn publish(nats: &Nats, arguments: &Arguments, n: usize) -> anyhow::Result<()> {
    let event = event(n, arguments)?;
    publish_event(nats, &event_subject(&event)?, serde_json::to_vec(&event)?.into()).await?;
    Ok(())
}

/// The `n`-th event. `tests/lake/read.py` knows how it is made.
fn event(n: usize, arguments: &Arguments) -> anyhow::Result<StoredEvent> {
    let tenant = format!("tenant {}/ö", n % arguments.tenants);
    let second = i64::try_from(n % 172_800)?;
    let received_at = "2026-11-21T00:00:00.000001Z".parse::<jiff::Timestamp>()? + jiff::SignedDuration::from_secs(second);
    // Text that compresses as text does, not as one letter.
    let text: String =
        (0..arguments.text / 8).map(|word| format!("{:07x} ", (n + 1).wrapping_mul(word * word + 7) % 4_093)).collect();
    Ok(StoredEvent {
        contract: 1,
        id: event_key(&tenant, "rows", "https://rows.example", &n.to_string()),
        user: n.is_multiple_of(2).then(|| format!("user-{}", n % 7)),
        origin: "rows".to_owned(),
        source: "https://rows.example".to_owned(),
        ce_id: n.to_string(),
        type_: ["push", "issue", "release"][n % 3].to_owned(),
        time: received_at,
        received_at,
        subject: n.is_multiple_of(5).then(|| "refs/heads/main".to_owned()),
        priority: serde_json::from_value(json!(["High", "Medium", "Low"][n % 3]))?,
        labels: [("plan".to_owned(), ["pro", "free"][n % 2].to_owned()), ("n".to_owned(), n.to_string())].into(),
        data: json!({"n": n, "text": text, "list": [1, null, {"quoted": "\"ö\""}]}),
        body_sha256: sha256_hex(n.to_string().as_bytes()),
        tenant,
    })
}

async fn write(nats: &Nats, files: &Files, metrics: &Metrics, events: u64) -> anyhow::Result<()> {
    let component = Component {
        name: "lake",
        instance: "rows".to_owned(),
        checkpoints: Kv::lake(nats),
        policy: FlushPolicy { rows: 50_000, bytes: 64 << 20, age: Duration::from_secs(2) },
        memory_bytes: 64 << 20,
        flushes_at_once: 2,
        metrics: metrics.clone(),
    };
    let stop = CancellationToken::new();
    let done = async {
        let all = || async { (metrics.rows.get() >= events).then_some(()) };
        let all = until("every event is written", LIMIT, all).await;
        stop.cancel();
        all
    };
    let writer = Arc::new(LakeWriter::new(files.clone()));
    let (wrote, done) = tokio::join!(write_owned(nats, component, writer, || {}, &stop), done);
    wrote.and(done)
}

/// The most memory this process has had.
fn peak_mib() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM in /proc/self/status")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024)
}
