//! What is set aside can be looked at and sent again, once.

use trackway_crds::track::Priority;
use trackway_nats::{
    BatchReadyConsumer, DeadLetter, Nats, Publication, Replay, dead_letter, dead_letters, get_dead_letter, publish_batch_ready,
    replay,
};

use crate::{ready, soon};

/// A batch that was delivered once and set aside, and its letter.
async fn set_aside(nats: &Nats, consumer: &mut BatchReadyConsumer, id: &str) -> DeadLetter {
    publish_batch_ready(nats, Priority::High, id, format!("batch {id}").into()).await.unwrap();
    soon(consumer.next()).await.unwrap().dead_letter("no namespace is bound").await.unwrap();
    dead_letters(nats, 0, 100).await.unwrap().pop().unwrap()
}

#[tokio::test]
async fn a_letter_says_what_it_was_and_is_sent_again_once() {
    let (_server, nats) = ready().await;
    let mut consumer = BatchReadyConsumer::open(&nats, "collector").await.unwrap();
    let letter = set_aside(&nats, &mut consumer, "b1").await;
    assert_eq!((letter.origin.as_str(), letter.subject.as_str()), ("BATCH_READY", "BATCH_READY.High.b1"));
    assert_eq!((letter.sequence, letter.reason.as_str()), (Some(1), "no namespace is bound"));
    assert_eq!(letter.payload, "batch b1");

    assert_eq!(replay(&nats, &letter).await.unwrap(), Replay::Sent);
    let again = soon(consumer.next()).await.unwrap();
    assert_eq!((again.id(), again.payload().as_ref(), again.delivered()), ("b1", &b"batch b1"[..], 1));
    assert_eq!(get_dead_letter(&nats, letter.id).await.unwrap(), None, "the letter is gone");
    again.ack().await.unwrap();
}

#[tokio::test]
async fn a_replay_that_was_cut_off_is_finished_and_sends_nothing_twice() {
    let (server, nats) = ready().await;
    let mut consumer = BatchReadyConsumer::open(&nats, "collector").await.unwrap();
    let jetstream = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let batches = jetstream.get_stream("BATCH_READY").await.unwrap();

    // Cut off before it was sent: the dead message is gone already.
    let letter = set_aside(&nats, &mut consumer, "b1").await;
    batches.delete_message(letter.sequence.unwrap()).await.unwrap();
    assert_eq!(replay(&nats, &letter).await.unwrap(), Replay::Sent);
    soon(consumer.next()).await.unwrap().ack().await.unwrap();

    // Called again after it was sent.
    let letter = set_aside(&nats, &mut consumer, "b2").await;
    assert_eq!(replay(&nats, &letter).await.unwrap(), Replay::Sent);
    let sent = batches.get_last_raw_message_by_subject("BATCH_READY.High.b2").await.unwrap();
    assert_eq!(replay(&nats, &letter).await.unwrap(), Replay::SentBefore);
    let still = batches.get_last_raw_message_by_subject("BATCH_READY.High.b2").await.unwrap();
    assert_eq!(still.sequence, sent.sequence, "and it was not sent again");
}

#[tokio::test]
async fn a_newer_message_of_the_subject_is_not_thrown_away() {
    let (server, nats) = ready().await;
    let mut consumer = BatchReadyConsumer::open(&nats, "collector").await.unwrap();
    let letter = set_aside(&nats, &mut consumer, "b1").await;
    let jetstream = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    jetstream.get_stream("BATCH_READY").await.unwrap().delete_message(1).await.unwrap();
    publish_batch_ready(&nats, Priority::High, "b1", "sealed anew".into()).await.unwrap();
    let error = replay(&nats, &letter).await.unwrap_err().to_string();
    assert!(error.contains("BATCH_READY.High.b1 has a newer message, of sequence 2"), "{error}");
}

#[tokio::test]
async fn letters_are_listed_oldest_first_and_written_once() {
    let (_server, nats) = ready().await;
    for (sequence, name) in [(7, "a"), (8, "b"), (9, "c")] {
        let subject = format!("EVENTS.3.aa.-.{name}");
        let first = dead_letter(&nats, &subject, sequence, "not an event", "{".into()).await.unwrap();
        let second = dead_letter(&nats, &subject, sequence, "told twice", "{".into()).await.unwrap();
        assert_eq!((first, second), (Publication::Published, Publication::AlreadyThere));
    }
    let letters = dead_letters(&nats, 0, 2).await.unwrap();
    let subjects: Vec<&str> = letters.iter().map(|letter| letter.subject.as_str()).collect();
    assert_eq!(subjects, ["EVENTS.3.aa.-.a", "EVENTS.3.aa.-.b"]);
    assert!(letters.iter().all(|letter| letter.reason == "not an event" && letter.origin == "EVENTS"));
    let rest = dead_letters(&nats, letters[1].id, 100).await.unwrap();
    assert_eq!(rest.iter().map(|letter| letter.sequence).collect::<Vec<_>>(), [Some(9)]);
    assert_eq!(get_dead_letter(&nats, 99).await.unwrap(), None);
}
