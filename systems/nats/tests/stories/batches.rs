use std::time::Duration;

use bytes::Bytes;
use trackway_crds::track::Priority;
use trackway_nats::{BatchReadyConsumer, Nats, Publication, publish_batch_ready, with_retry};

use crate::{ready, soon};

async fn seal(nats: &Nats, priority: Priority, id: &str) -> Publication {
    publish_batch_ready(nats, priority, id, Bytes::from(format!("{{\"id\":{id:?}}}"))).await.unwrap()
}

#[tokio::test]
async fn a_batch_is_published_once() {
    let (_server, nats) = ready().await;
    assert_eq!(seal(&nats, Priority::High, "b1").await, Publication::Published);
    assert_eq!(seal(&nats, Priority::High, "b1").await, Publication::AlreadyThere);
}

#[tokio::test]
async fn high_is_drained_before_medium_before_low_whatever_came_first() {
    let (_server, nats) = ready().await;
    for (priority, id) in [(Priority::Low, "l1"), (Priority::Medium, "m1"), (Priority::High, "h1"), (Priority::High, "h2")] {
        seal(&nats, priority, id).await;
    }
    let mut consumer = BatchReadyConsumer::open(&nats, "collector").await.unwrap();
    let mut order = Vec::new();
    for _ in 0..4 {
        let delivery = soon(consumer.next()).await.unwrap();
        order.push(delivery.id().to_owned());
        delivery.ack().await.unwrap();
    }
    assert_eq!(order, ["h1", "h2", "m1", "l1"]);
}

#[tokio::test]
async fn a_waiting_consumer_gets_a_batch_of_any_priority() {
    let (_server, nats) = ready().await;
    let mut consumer = BatchReadyConsumer::open(&nats, "collector").await.unwrap();
    for (priority, id) in [(Priority::Low, "l1"), (Priority::High, "h1"), (Priority::Low, "l2")] {
        let (delivery, _) = tokio::join!(soon(consumer.next()), seal(&nats, priority, id));
        let delivery = delivery.unwrap();
        assert_eq!((delivery.id(), delivery.priority(), delivery.delivered()), (id, priority, 1));
        delivery.progress().await.unwrap();
        delivery.ack().await.unwrap();
    }
}

#[tokio::test]
async fn a_postponed_batch_comes_again_and_lets_others_pass() {
    let (_server, nats) = ready().await;
    seal(&nats, Priority::High, "h1").await;
    seal(&nats, Priority::Low, "l1").await;
    let mut consumer = BatchReadyConsumer::open(&nats, "collector").await.unwrap();
    soon(consumer.next()).await.unwrap().nak(Duration::from_secs(1)).await.unwrap();
    let other = soon(consumer.next()).await.unwrap();
    assert_eq!(other.id(), "l1");
    other.ack().await.unwrap();
    let again = soon(consumer.next()).await.unwrap();
    assert_eq!((again.id(), again.delivered()), ("h1", 2));
}

#[tokio::test]
async fn a_poison_batch_lands_in_the_dead_letter_stream_and_never_returns() {
    let (server, nats) = ready().await;
    seal(&nats, Priority::High, "bad").await;
    let mut consumer = BatchReadyConsumer::open(&nats, "collector").await.unwrap();
    let delivery = soon(consumer.next()).await.unwrap();
    delivery.dead_letter("not JSON:\nline 1").await.unwrap();
    delivery.dead_letter("told twice").await.unwrap();

    let jetstream = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let letters = jetstream.get_stream("DLQ").await.unwrap();
    let letter = letters.get_last_raw_message_by_subject("DLQ.BATCH_READY.High.bad").await.unwrap();
    assert_eq!(&letter.payload, delivery.payload());
    assert_eq!(letter.headers.get("Trackway-Reason").unwrap().as_str(), "not JSON: line 1");
    let batches = jetstream.get_stream("BATCH_READY").await.unwrap();
    let waiting = batches.consumer_info("collector-high").await.unwrap();
    assert_eq!((waiting.num_ack_pending, waiting.num_pending), (0, 0));
}

#[tokio::test]
async fn taking_batches_goes_on_after_nats_was_killed() {
    let (mut server, nats) = ready().await;
    let mut consumer = BatchReadyConsumer::open(&nats, "collector").await.unwrap();
    seal(&nats, Priority::Medium, "m1").await;
    soon(consumer.next()).await.unwrap().ack().await.unwrap();

    let taking = tokio::spawn(async move {
        loop {
            // A killed server may have forgotten the last acknowledgements.
            let delivery = soon(consumer.next()).await.unwrap();
            if delivery.id() == "m2" {
                return;
            }
            delivery.ack().await.unwrap();
        }
    });
    server.restart().await.unwrap();
    with_retry(None, "seal", || publish_batch_ready(&nats, Priority::Medium, "m2", Bytes::new())).await.unwrap();
    soon(taking).await.unwrap();
}
