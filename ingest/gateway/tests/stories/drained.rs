//! Told to stop, the gateway finishes what it has begun.

use crate::{
    client::{send, status},
    world::{LIMIT, OCTO, STRUCTURED, World, event},
};
use http::Method;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};
use trackway_test_support::until;

#[tokio::test]
async fn a_request_in_hand_is_finished_and_no_new_one_is_taken() {
    let world = World::start().await;
    let body = event("1", "{}");
    let mut socket = TcpStream::connect(world.gateway).await.unwrap();
    let head = format!(
        "POST /v1/events/app HTTP/1.1\r\nhost: x\r\nauthorization: {OCTO}\r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n",
        STRUCTURED.1,
        body.len()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    // Only what is read has begun; another request is answered after that.
    send(world.gateway, Method::GET, "/openapi.json", &[], "").await;
    world.stop.cancel();
    until("nothing new is sent to it", LIMIT, || async { (world.readiness().await == 503).then_some(()) }).await.unwrap();
    until("nothing new is taken", LIMIT, || async { TcpStream::connect(world.gateway).await.err() }).await.unwrap();
    socket.write_all(body.as_bytes()).await.unwrap();
    assert_eq!(status(&mut socket).await, Some(202));
    drop(socket);
    timeout(LIMIT, world.ended).await.unwrap().unwrap().unwrap();
    assert_eq!(trackway_nats::last_sequence(&world.nats).await.unwrap(), 1);
}
