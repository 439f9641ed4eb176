use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use trackway_nats::{
    EventPublication, EventReader, Nats, NatsError, StreamEvent, StreamSettings, ensure_streams, last_sequence, partition_filter,
    publish_event, read_range, with_retry,
};
use trackway_test_support::{NatsServer, until};

use crate::{LIMIT, ready, soon};

fn subject(partition: u8, tenant: &str, key: usize) -> String {
    format!("EVENTS.{partition}.{tenant}.-.{key}")
}

async fn store(nats: &Nats, partition: u8, tenant: &str, key: usize) -> u64 {
    let subject = subject(partition, tenant, key);
    let publish = || publish_event(nats, &subject, Bytes::from(subject.clone()));
    match with_retry(None, "publish", publish).await.unwrap() {
        EventPublication::Stored { sequence } => sequence,
        EventPublication::Taken { payload } => panic!("the key is new, but holds {payload:?}"),
    }
}

async fn store_many(nats: &Nats, keys: std::ops::Range<usize>) {
    for key in keys {
        store(nats, 3, "t", key).await;
    }
}

async fn keys(reader: &mut EventReader, count: usize) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    while found.len() < count {
        let StreamEvent { sequence, subject, payload, .. } = soon(reader.next()).await.unwrap();
        assert_eq!(payload, subject);
        found.push((sequence, subject));
    }
    found
}

fn numbered(keys: std::ops::Range<usize>) -> Vec<(u64, String)> {
    keys.map(|key| (key as u64 + 1, subject(3, "t", key))).collect()
}

/// Sets a limit of the stream of events as a person would.
async fn limit(server: &NatsServer, change: impl FnOnce(&mut async_nats::jetstream::stream::Config)) {
    let admin = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let mut config = admin.get_stream("EVENTS").await.unwrap().cached_info().config.clone();
    change(&mut config);
    admin.update_stream(&config).await.unwrap();
}

#[tokio::test]
async fn inv09_of_two_events_of_one_key_the_first_is_kept_and_shown_to_the_second() {
    let (_server, nats) = ready().await;
    let subject = subject(3, "t", 0);
    let first = publish_event(&nats, &subject, "first".into()).await.unwrap();
    assert_eq!(first, EventPublication::Stored { sequence: 1 });
    let second = publish_event(&nats, &subject, "second".into()).await.unwrap();
    assert_eq!(second, EventPublication::Taken { payload: "first".into() });
    assert_eq!(last_sequence(&nats).await.unwrap(), 1);
}

#[tokio::test]
async fn inv09_a_key_is_taken_whoever_the_first_event_of_it_was_about() {
    let (_server, nats) = ready().await;
    let about = |user: &str| format!("EVENTS.3.t.{user}.k");
    publish_event(&nats, &about("5"), "first".into()).await.unwrap();
    for other in ["5", "6", "63", "-"] {
        let again = publish_event(&nats, &about(other), "second".into()).await.unwrap();
        assert_eq!(again, EventPublication::Taken { payload: "first".into() }, "{other}");
    }
    for free in ["EVENTS.3.u.5.k", "EVENTS.4.t.5.k", "EVENTS.3.t.5.l"] {
        let first = publish_event(&nats, free, "first".into()).await.unwrap();
        assert!(matches!(first, EventPublication::Stored { .. }), "{free}");
    }
}

#[tokio::test]
async fn inv09_of_one_key_sent_about_many_users_at_once_one_event_is_stored() {
    let (_server, nats) = ready().await;
    let sent = stream::iter(0..64_usize).map(|user| {
        let nats = &nats;
        async move { publish_event(nats, &format!("EVENTS.3.t.{user}.k"), user.to_string().into()).await.unwrap() }
    });
    let outcomes: Vec<_> = soon(sent.buffer_unordered(64).collect()).await;
    let stored = outcomes.iter().filter(|outcome| matches!(outcome, EventPublication::Stored { .. })).count();
    assert_eq!((stored, last_sequence(&nats).await.unwrap()), (1, 1));
}

#[tokio::test]
async fn inv09_of_many_at_once_each_key_is_stored_once() {
    let (_server, nats) = ready().await;
    let stored = stream::iter(0..2_000_usize).map(|number| {
        let nats = &nats;
        async move { publish_event(nats, &subject(3, "t", number / 2), number.to_string().into()).await.unwrap() }
    });
    let outcomes: Vec<_> = soon(stored.buffer_unordered(500).collect()).await;
    let stored = outcomes.iter().filter(|outcome| matches!(outcome, EventPublication::Stored { .. })).count();
    assert_eq!((stored, last_sequence(&nats).await.unwrap()), (1_000, 1_000));
}

#[tokio::test]
async fn a_full_stream_is_transient_and_says_so_and_an_event_too_large_is_permanent() {
    let (server, nats) = ready().await;
    limit(&server, |config| config.max_bytes = 1_000).await;
    let fill = publish_event(&nats, &subject(3, "t", 0), vec![b'x'; 800].into()).await.unwrap();
    assert!(matches!(fill, EventPublication::Stored { .. }));
    let error = publish_event(&nats, &subject(3, "t", 1), vec![b'x'; 800].into()).await.unwrap_err();
    assert!(matches!(&error, NatsError::Transient { reason, .. } if reason.contains("the stream is full")), "{error}");
    let error = publish_event(&nats, &subject(3, "t", 2), vec![b'x'; 2 << 20].into()).await.unwrap_err();
    assert!(matches!(&error, NatsError::Permanent { reason, .. } if reason.contains("max_payload")), "{error}");
}

#[tokio::test]
async fn a_reader_goes_on_after_its_checkpoint_in_the_order_of_the_stream() {
    let (_server, nats) = ready().await;
    for (key, partition) in [3, 4, 5, 3, 4, 5].into_iter().enumerate() {
        store(&nats, partition, "t", key).await;
    }
    let mut reader = EventReader::open(&nats, &[5, 3], 1).await.unwrap();
    let found: Vec<u64> = keys(&mut reader, 3).await.into_iter().map(|(sequence, _)| sequence).collect();
    assert_eq!(found, [3, 4, 6]);
    assert_eq!(reader.position(), 6);
    assert_eq!(reader.try_next_within(Duration::from_millis(50)).await.unwrap(), None);

    let mut all = EventReader::open(&nats, &(0..64).collect::<Vec<_>>(), 0).await.unwrap();
    assert_eq!(keys(&mut all, 6).await.len(), 6);
    let mut none = EventReader::open(&nats, &[], 0).await.unwrap();
    assert_eq!(none.try_next_within(Duration::from_millis(50)).await.unwrap(), None);
    assert!(none.caught_up().await.unwrap());
    let error = EventReader::open(&nats, &[64], 0).await.unwrap_err();
    assert!(matches!(&error, NatsError::Permanent { reason, .. } if reason.contains("partition 64")), "{error}");
}

#[tokio::test]
async fn a_reader_knows_whether_it_has_delivered_everything() {
    let (_server, nats) = ready().await;
    let mut reader = EventReader::open(&nats, &[3], 0).await.unwrap();
    assert!(reader.caught_up().await.unwrap());
    store_many(&nats, 0..2).await;
    assert!(!reader.caught_up().await.unwrap());
    keys(&mut reader, 1).await;
    assert!(!reader.caught_up().await.unwrap(), "one is on its way");
    keys(&mut reader, 1).await;
    assert!(reader.caught_up().await.unwrap());
    assert_eq!(reader.pending(), Some(0));
    store(&nats, 4, "t", 2).await;
    assert!(reader.caught_up().await.unwrap(), "of its own partitions");
}

#[tokio::test]
async fn inv10_through_a_restart_of_nats_a_reader_has_no_gap_and_no_repeat() {
    let (mut server, nats) = ready().await;
    let mut reader = EventReader::open(&nats, &[3], 0).await.unwrap();
    store_many(&nats, 0..300).await;
    assert_eq!(keys(&mut reader, 100).await, numbered(0..100));

    server.stop().await.unwrap();
    assert_eq!(reader.position(), 100);
    let mut found = Vec::new();
    while let Some(event) = reader.try_next_within(Duration::from_millis(200)).await.unwrap() {
        found.push((event.sequence, event.subject));
    }
    server.restart().await.unwrap();
    let storing = tokio::spawn({
        let nats = nats.clone();
        async move { store_many(&nats, 300..400).await }
    });
    let rest = 300 - found.len();
    found.extend(keys(&mut reader, rest).await);
    assert_eq!(found, numbered(100..400));
    storing.await.unwrap();
}

#[tokio::test]
async fn a_reader_with_less_patience_than_finding_its_way_takes_still_finds_it() {
    let (mut server, nats) = ready().await;
    let mut reader = EventReader::open(&nats, &[3], 0).await.unwrap();
    server.restart().await.unwrap();
    store(&nats, 3, "t", 0).await;
    let event = soon(async {
        loop {
            if let Some(event) = reader.try_next_within(Duration::from_micros(200)).await.unwrap() {
                break event;
            }
        }
    });
    assert_eq!(event.await.sequence, 1);
}

#[tokio::test]
async fn a_lost_consumer_is_made_anew_where_it_was() {
    let (server, nats) = ready().await;
    let mut reader = EventReader::open(&nats, &[3], 0).await.unwrap();
    store_many(&nats, 0..5).await;
    assert_eq!(keys(&mut reader, 5).await, numbered(0..5));
    let admin = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let events = admin.get_stream("EVENTS").await.unwrap();
    let mut names = Box::pin(events.consumer_names());
    while let Some(name) = names.next().await {
        events.delete_consumer(&name.unwrap()).await.unwrap();
    }
    store_many(&nats, 5..8).await;
    assert_eq!(keys(&mut reader, 3).await, numbered(5..8));
}

#[tokio::test]
async fn a_reader_whose_next_events_are_gone_goes_on_at_the_first_there_is() {
    let (server, nats) = ready().await;
    store_many(&nats, 0..10).await;
    let admin = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    admin.get_stream("EVENTS").await.unwrap().purge().sequence(6).await.unwrap();
    let mut reader = EventReader::open(&nats, &[3], 2).await.unwrap();
    assert_eq!(keys(&mut reader, 5).await, numbered(5..10));
}

#[tokio::test]
async fn a_stream_that_ends_before_the_checkpoint_is_refused_instead_of_skipped() {
    let (server, nats) = ready().await;
    store_many(&nats, 0..5).await;
    let mut reader = EventReader::open(&nats, &[3], 5).await.unwrap();
    let admin = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    admin.delete_stream("EVENTS").await.unwrap();
    ensure_streams(&nats, StreamSettings::default()).await.unwrap();
    store_many(&nats, 0..2).await;
    for error in [EventReader::open(&nats, &[3], 5).await.unwrap_err(), soon(reader.next()).await.unwrap_err()] {
        assert!(matches!(&error, NatsError::Permanent { reason, .. } if reason.contains("ends at 2")), "{error}");
    }
}

#[tokio::test]
async fn a_range_holds_the_events_of_its_filter_and_nothing_beyond() {
    let (server, nats) = ready().await;
    for key in 0..900 {
        store(&nats, 3, ["a", "b", "c"][key % 3], key).await;
    }
    let found = soon(read_range(&nats, "EVENTS.3.b.>", 5, 890, |_| true)).await.unwrap();
    let sequences: Vec<u64> = found.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, (5..=890).step_by(3).collect::<Vec<_>>());
    assert!(found.iter().all(|event| event.payload == event.subject && event.subject.starts_with("EVENTS.3.b.")));
    let some = soon(read_range(&nats, "EVENTS.3.b.>", 5, 890, |event| event.sequence > 880)).await.unwrap();
    assert_eq!(some.iter().map(|event| event.sequence).collect::<Vec<_>>(), [881, 884, 887, 890]);
    let live = keys(&mut EventReader::open(&nats, &[3], 4).await.unwrap(), 1).await;
    assert_eq!(live, [(found[0].sequence, found[0].subject.clone())]);

    assert_eq!(read_range(&nats, "EVENTS.3.b.>", 6, 7, |_| true).await.unwrap(), [], "it waits for nothing that is not there");
    assert_eq!(read_range(&nats, "EVENTS.3.b.>", 9, 8, |_| true).await.unwrap(), []);
    let admin = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    admin.get_stream("EVENTS").await.unwrap().purge().sequence(888).await.unwrap();
    let rest = read_range(&nats, "EVENTS.3.b.>", 5, 890, |_| true).await.unwrap();
    assert_eq!(rest.iter().map(|event| event.sequence).collect::<Vec<_>>(), [890]);
    admin.get_stream("EVENTS").await.unwrap().purge().await.unwrap();
    assert_eq!(read_range(&nats, "EVENTS.3.b.>", 5, 890, |_| true).await.unwrap(), []);
}

#[tokio::test]
async fn a_range_too_large_for_one_answer_is_read_in_several() {
    let (_server, nats) = ready().await;
    let large = Bytes::from(vec![b'x'; 900_000]);
    for key in 0..12 {
        publish_event(&nats, &subject(3, "t", key), large.clone()).await.unwrap();
    }
    let found = soon(read_range(&nats, &partition_filter(3), 1, 12, |_| true)).await.unwrap();
    assert_eq!(found.iter().map(|event| event.payload.len()).collect::<Vec<_>>(), [large.len(); 12]);
}

#[tokio::test]
async fn the_settings_of_the_stream_of_events_are_kept_as_asked_for() {
    let (server, nats) = ready().await;
    let settings = StreamSettings {
        events_max_age: Duration::from_secs(3_600),
        events_max_bytes: Some(1 << 30),
        ..StreamSettings::default()
    };
    ensure_streams(&nats, settings).await.unwrap();
    ensure_streams(&nats, StreamSettings { events_max_bytes: None, ..settings }).await.unwrap();
    let admin = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let config = until("the settings hold", LIMIT, || async {
        let config = admin.get_stream("EVENTS").await.ok()?.cached_info().config.clone();
        (config.max_age == settings.events_max_age).then_some(config)
    });
    assert_eq!(config.await.unwrap().max_bytes, 1 << 30, "no limit asked for leaves the one found");
}
