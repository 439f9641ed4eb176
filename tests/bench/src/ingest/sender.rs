//! Senders: each holds one connection and sends its next event when the one before is acknowledged.

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use futures::future::try_join_all;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::{net::TcpStream, time::timeout};

/// Tenants the events are of, in turn.
pub(crate) const TENANTS: usize = 32;
/// Users of each tenant.
const USERS: usize = 20;
/// Bytes of text in each event, so that its data are about 1 KiB.
const TEXT: usize = 960;
/// More than any answer takes here.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// What a load came to.
#[derive(Debug)]
pub(crate) struct Sent {
    /// From the request to its 202, in milliseconds, of each event.
    pub(crate) latencies: Vec<f64>,
    pub(crate) seconds: f64,
}

impl Sent {
    /// Events acknowledged a second.
    pub(crate) fn rate(&self) -> f64 {
        let count = u32::try_from(self.latencies.len()).unwrap_or(u32::MAX);
        f64::from(count) / self.seconds
    }
}

/// The token of a tenant.
pub(crate) fn token(tenant: usize) -> String {
    format!("token-of-tenant-{tenant}")
}

/// Sends the events numbered from `first`, `count` of them, over so many connections, each with one request on its way.
pub(crate) async fn send(port: u16, connections: usize, first: usize, count: usize) -> anyhow::Result<Sent> {
    let opened = try_join_all((0..connections).map(|_| connect(port))).await?;
    let started = Instant::now();
    let lanes = opened.into_iter().enumerate().map(|(lane, connection)| {
        let numbers = (first + lane..first + count).step_by(connections);
        tokio::spawn(send_all(connection, numbers.collect()))
    });
    let mut latencies = Vec::with_capacity(count);
    for lane in try_join_all(lanes).await? {
        latencies.extend(lane?);
    }
    Ok(Sent { latencies, seconds: started.elapsed().as_secs_f64() })
}

type Connection = http1::SendRequest<Full<Bytes>>;

async fn connect(port: u16) -> anyhow::Result<Connection> {
    let socket = TcpStream::connect(("127.0.0.1", port)).await.context("cannot reach the gateway")?;
    socket.set_nodelay(true)?;
    let (connection, driver) = http1::handshake(TokioIo::new(socket)).await?;
    // Its failure is the failure of a request.
    tokio::spawn(async move { driver.await.ok() });
    Ok(connection)
}

async fn send_all(mut connection: Connection, numbers: Vec<usize>) -> anyhow::Result<Vec<f64>> {
    let mut latencies = Vec::with_capacity(numbers.len());
    for number in numbers {
        let request = request(number)?;
        connection.ready().await?;
        let started = Instant::now();
        let answer = timeout(ANSWER_LIMIT, connection.send_request(request)).await.context("no answer")??;
        latencies.push(started.elapsed().as_secs_f64() * 1000.0);
        let (status, body) = (answer.status(), answer.into_body().collect().await?.to_bytes());
        let said = String::from_utf8_lossy(&body);
        ensure!(status == StatusCode::ACCEPTED, "event {number} was refused: {status} {said}");
        ensure!(said.contains("\"duplicate\":false"), "event {number} was not new: {said}");
    }
    Ok(latencies)
}

fn request(number: usize) -> anyhow::Result<Request<Full<Bytes>>> {
    // Text that compresses as text does, not as one letter.
    let word = |word: usize| format!("{:07x} ", (number + 1).wrapping_mul(word * word + 7) % 4_093);
    let text: String = (0..TEXT / 8).map(word).collect();
    let event = json!({
        "specversion": "1.0", "id": number.to_string(), "source": "https://bench.example", "type": "com.example.done",
        "subject": format!("order-{number}"),
        "data": {"number": number, "user": format!("user-{}", number / TENANTS % USERS), "text": text},
    });
    let request = Request::post("/v1/events/bench")
        .header(header::HOST, "127.0.0.1")
        .header(header::AUTHORIZATION, format!("Bearer {}", token(number % TENANTS)))
        .header(header::CONTENT_TYPE, "application/cloudevents+json");
    Ok(request.body(Full::new(serde_json::to_vec(&event)?.into()))?)
}
