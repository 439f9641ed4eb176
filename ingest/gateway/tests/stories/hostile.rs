//! Those who send what nobody can mean are refused, and the others do not notice.

use crate::{
    client::{post, raw, status},
    world::{OCTO, STRUCTURED, World, as_octo, event},
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::Instant,
};
use trackway_gateway::Patience;

/// Resident memory of this process in MiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

async fn takes_an_event(world: &World, id: &str) {
    let started = Instant::now();
    assert_eq!(post(world.gateway, "/v1/events/app", &[STRUCTURED, as_octo()], event(id, "{}")).await.status, 202);
    assert!(started.elapsed() < Duration::from_secs(2), "others wait: {:?}", started.elapsed());
}

#[tokio::test]
async fn a_gibibyte_is_refused_early_and_takes_no_memory() {
    let world = World::start().await;
    takes_an_event(&world, "1").await;
    let before = resident();
    let mut socket = TcpStream::connect(world.gateway).await.unwrap();
    let head = format!(
        "POST /v1/events/app HTTP/1.1\r\nhost: x\r\nauthorization: {OCTO}\r\ncontent-type: {}\r\ntransfer-encoding: chunked\r\n\r\n",
        STRUCTURED.1
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    let mut sent = 0_usize;
    while sent < 1 << 30 && socket.write_all(&chunk).await.is_ok() {
        sent += 0x10000;
    }
    println!("{sent} bytes were sent before the connection ended; memory {before} MiB before, {} MiB after", resident());
    assert!(sent < 64 << 20, "{sent} bytes were taken");
    assert!(resident() < before + 64);
    takes_an_event(&world, "2").await;
}

#[tokio::test]
async fn a_declared_gibibyte_is_refused_before_it_is_sent() {
    let world = World::start().await;
    let head = format!(
        "POST /v1/events/app HTTP/1.1\r\nhost: x\r\nauthorization: {OCTO}\r\ncontent-type: {}\r\ncontent-length: 1073741824\r\n\r\n",
        STRUCTURED.1
    );
    assert_eq!(raw(world.gateway, head.as_bytes()).await, Some(413));
}

#[tokio::test]
async fn lists_nested_100_000_deep_are_refused() {
    let world = World::start().await;
    for open in ["[", "{\"a\":"] {
        let answer = post(world.gateway, "/v1/events/app", &[STRUCTURED, as_octo()], event("1", &open.repeat(100_000))).await;
        answer.problem(400);
        let batch = [("content-type", "application/cloudevents-batch+json"), as_octo()];
        let answer = post(world.gateway, "/v1/events/app", &batch, format!("[{}]", event("1", &open.repeat(100_000)))).await;
        answer.problem(400);
    }
    let flat = format!("[{}1]", "1,".repeat(1_100_000));
    let batch = [("content-type", "application/cloudevents-batch+json"), as_octo()];
    post(world.gateway, "/v1/events/app", &batch, flat).await.problem(413);
    takes_an_event(&world, "1").await;
}

#[tokio::test]
async fn too_many_and_too_long_headers_are_refused() {
    let world = World::start().await;
    let names: Vec<String> = (0..10_000).map(|n| format!("x-{n}")).collect();
    let many = |count: usize| {
        names.iter().take(count).map(|name| (name.as_str(), "1")).chain([STRUCTURED, as_octo()]).collect::<Vec<_>>()
    };
    post(world.gateway, "/v1/events/app", &many(70), event("1", "{}")).await.problem(431);
    let long = "x".repeat(17 * 1024);
    post(world.gateway, "/v1/events/app", &[STRUCTURED, as_octo(), ("x-long", &long)], event("1", "{}")).await.problem(431);
    for count in [1_000, 10_000] {
        let mut request = b"POST /v1/events/app HTTP/1.1\r\nhost: x\r\n".to_vec();
        for (name, value) in many(count) {
            request.extend(format!("{name}: {value}\r\n").bytes());
        }
        request.extend(b"\r\n");
        let status = raw(world.gateway, &request).await;
        assert!(matches!(status, Some(431) | None), "{status:?}");
    }
    assert_eq!(post(world.gateway, "/v1/events/app", &many(40), event("1", "{}")).await.status, 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_send_a_byte_now_and_then_are_given_up_while_others_are_served() {
    let world = World::start_with(Patience { request: Duration::from_secs(1), ..Patience::default() }).await;
    let started = Instant::now();
    let slow = (0..200).map(|n| {
        let gateway = world.gateway;
        tokio::spawn(async move {
            let mut socket = TcpStream::connect(gateway).await.unwrap();
            // Half of them never end their headers, half never begin their body.
            let head = if n % 2 == 0 {
                "POST /v1/events/app HTTP/1.1\r\nx: ".to_owned()
            } else {
                let media = STRUCTURED.1;
                format!("POST /v1/events/app HTTP/1.1\r\nhost: x\r\nauthorization: {OCTO}\r\ncontent-type: {media}\r\ncontent-length: 999\r\n\r\n")
            };
            socket.write_all(head.as_bytes()).await.unwrap();
            let (mut reading, mut writing) = socket.into_split();
            let trickle = async {
                while writing.write_all(b"x").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            };
            let mut answer = Vec::new();
            tokio::select! {
                _ = reading.read_to_end(&mut answer) => {}
                () = trickle => {}
            }
        })
    });
    let slow: Vec<_> = slow.collect();
    takes_an_event(&world, "1").await;
    takes_an_event(&world, "2").await;
    for one in slow {
        one.await.unwrap();
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    takes_an_event(&world, "3").await;
}

#[tokio::test]
async fn bytes_that_are_no_http_end_the_connection() {
    let world = World::start().await;
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..200 {
        let mut bytes: Vec<u8> = (0..random.usize(1..200)).map(|_| random.u8(..)).collect();
        bytes.extend(b"\r\n\r\n");
        let mut socket = TcpStream::connect(world.gateway).await.unwrap();
        let _ = socket.write_all(&bytes).await;
        let status = status(&mut socket).await;
        assert!(status.is_none_or(|status| status >= 400), "{status:?} for {bytes:?}");
    }
    takes_an_event(&world, "1").await;
}
