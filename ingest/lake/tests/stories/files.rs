//! What a file holds, and that it holds the same when it is written again.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{TimestampMicrosecondType, UInt64Type};
use trackway_lake::LakeWriter;
use trackway_lake::parquet::schema;
use trackway_lake::partitions::{EventRange, RangeWriter, WriteError};
use trackway_store::Files;

use crate::events::{event, events, range, tenants_of};
use crate::reading::{contents, ids, rows, texts};

fn memory() -> Files {
    Files::open("memory://", None, []).unwrap()
}

#[tokio::test]
async fn an_event_is_a_row_with_all_that_is_known_of_it() {
    let files = memory();
    let tenant = tenants_of(7, 1).remove(0);
    let one = event(&tenant, 9);
    LakeWriter::new(files.clone()).write(range(7, 41, vec![one.clone()])).await.unwrap();
    let (path, content) = contents(&files).await.remove(0);
    let encoded = tenant.replace(' ', "%20").replace('/', "%2F").replace('ö', "%C3%B6");
    assert_eq!(path, format!("events/tenant={encoded}/date=2026-11-21/07-00000000000000000041.parquet"));

    let rows = rows(content);
    assert_eq!(*rows.schema(), *schema());
    let expected = [
        ("id", one.id.as_str()),
        ("tenant", &tenant),
        ("user", "<null>"),
        ("origin", "github"),
        ("source", "https://github.example"),
        ("ce_id", "9"),
        ("type", "push"),
        ("subject", "refs/heads/main"),
        ("priority", "High"),
        ("body_sha256", &one.body_sha256),
    ];
    for (column, value) in expected {
        assert_eq!(texts(&rows, column), [value], "{column}");
    }
    let data: serde_json::Value = serde_json::from_str(&texts(&rows, "data")[0]).unwrap();
    assert_eq!(data, one.data);
    assert_eq!(rows.column_by_name("sequence").unwrap().as_primitive::<UInt64Type>().value(0), 41);
    let moment = |column| rows.column_by_name(column).unwrap().as_primitive::<TimestampMicrosecondType>().value(0);
    assert_eq!((moment("time"), moment("received_at")), (one.time.as_microsecond(), one.received_at.as_microsecond()));
    let labels = rows.column_by_name("labels").unwrap().as_map().value(0);
    let of =
        |index: usize| labels.column(index).as_string::<i32>().iter().map(|text| text.unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!((of(0), of(1)), (vec!["n".to_owned(), "plan".to_owned()], vec!["9".to_owned(), "pro".to_owned()]));
}

#[tokio::test]
async fn inv09_a_range_written_twice_makes_the_same_bytes() {
    let (once, again) = (memory(), memory());
    let range = range(7, 1, events(7, 200));
    let written = LakeWriter::new(once.clone()).write(Arc::clone(&range)).await.unwrap();
    LakeWriter::new(again.clone()).write(Arc::clone(&range)).await.unwrap();
    let contents = contents(&once).await;
    assert_eq!(contents, crate::reading::contents(&again).await);
    assert_eq!((written.rows, written.files), (200, contents.len() as u64));
    assert_eq!(written.bytes, contents.iter().map(|(_, content)| content.len() as u64).sum::<u64>());
    // Over files that are there it is success.
    LakeWriter::new(once).write(range).await.unwrap();
}

#[tokio::test]
async fn a_file_of_one_tenant_and_day_never_holds_another_s_rows() {
    let files = memory();
    LakeWriter::new(files.clone()).write(range(7, 1, events(7, 100))).await.unwrap();
    let contents = contents(&files).await;
    assert!(contents.len() > 3, "three tenants, two days");
    for (path, content) in contents {
        let rows = rows(content);
        let tenants = texts(&rows, "tenant");
        assert!(tenants.iter().all(|tenant| *tenant == tenants[0]), "{path}");
        let received = rows.column_by_name("received_at").unwrap().as_primitive::<TimestampMicrosecondType>();
        let day = |micros: i64| jiff::Timestamp::from_microsecond(micros).unwrap().strftime("date=%Y-%m-%d").to_string();
        assert!(received.values().iter().all(|micros| path.contains(&day(*micros))), "{path}");
    }
}

/// The same rows as another release might write them.
async fn plant(files: &Files, range: &Arc<EventRange>, change: impl Fn(&mut EventRange)) -> Vec<(String, bytes::Bytes)> {
    let other = memory();
    let mut changed = EventRange::clone(range);
    change(&mut changed);
    LakeWriter::new(other.clone()).write(Arc::new(changed)).await.unwrap();
    let contents = contents(&other).await;
    for (path, content) in &contents {
        files.put(path, content.clone()).await.unwrap();
    }
    contents
}

#[tokio::test]
async fn inv09_rows_another_release_wrote_as_other_bytes_stay_and_are_not_written_twice() {
    let files = memory();
    let range = range(7, 1, events(7, 10));
    let before = plant(&files, &range, |range| range.events.iter_mut().for_each(|one| one.event.data = "other".into())).await;
    LakeWriter::new(files.clone()).write(range).await.unwrap();
    assert_eq!(contents(&files).await, before);
}

#[tokio::test]
async fn inv09_other_rows_in_the_place_of_a_range_are_a_permanent_error_that_names_the_file() {
    let files = memory();
    let range = range(7, 1, events(7, 10));
    let before = plant(&files, &range, |range| drop(range.events.remove(0))).await;
    let error = LakeWriter::new(files.clone()).write(Arc::clone(&range)).await.unwrap_err();
    assert!(matches!(&error, WriteError::Permanent(text) if text.contains("07-00000000000000000001.parquet")), "{error}");
    for (path, content) in &before {
        assert_eq!(files.get(path).await.unwrap(), content, "nothing is overwritten");
    }

    // Of a range whose events have expired since, what is there holds more and stays.
    let files = memory();
    let before = plant(&files, &range, |_| {}).await;
    let mut rest = EventRange::clone(&range);
    rest.events.drain(..3);
    rest.complete = false;
    LakeWriter::new(files.clone()).write(Arc::new(rest)).await.unwrap();
    assert_eq!(contents(&files).await, before);
    assert_eq!(ids(&files).await.len(), 10);
}
