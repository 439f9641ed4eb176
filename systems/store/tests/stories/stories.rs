//! What every store promises.

use trackway_crds::contracts::{NameKind, Reference, StoredName};
use trackway_store::{MAX_BLOB_BYTES, Name, NameCreation, PayloadStore, Scope, StoreError};

use crate::house::House;

pub(crate) fn scope() -> Scope {
    Scope::run("team-a", "uid-1").unwrap()
}

fn output_of(stage: &str) -> Name {
    Name { stage: stage.to_owned(), attempt: 1, index: 0, kind: NameKind::Output }
}

fn value(content: &str, request: &str) -> StoredName {
    StoredName { reference: Reference::of(content.as_bytes()), request_hash: Some(request.to_owned()) }
}

/// Bytes that differ from chunk to chunk.
pub(crate) fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i % 251) as u8 ^ (i >> 16) as u8).collect()
}

pub(crate) async fn what_was_put_is_read_back_whatever_its_size(store: &PayloadStore) {
    for bytes in [0, 1, 512 << 10, (512 << 10) + 1, 600 << 10, 5 << 20, MAX_BLOB_BYTES as usize] {
        let content = content(bytes);
        let reference = store.put_blob(&scope(), content.clone().into()).await.unwrap();
        assert_eq!(reference, Reference::of(&content));
        let read = store.get_blob(&scope(), &reference).await.unwrap();
        assert!(read == content, "{bytes} bytes come back as they were");
    }
}

pub(crate) async fn putting_the_same_again_is_success(store: &PayloadStore) {
    for bytes in [1, 600 << 10] {
        let first = store.put_blob(&scope(), content(bytes).into()).await.unwrap();
        let second = store.put_blob(&scope(), content(bytes).into()).await.unwrap();
        assert_eq!(first, second);
    }
}

pub(crate) async fn what_was_never_put_is_not_found(store: &PayloadStore) {
    let error = store.get_blob(&scope(), &Reference::of(b"nothing")).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
    assert_eq!(store.get_name(&scope(), &output_of("insights")).await.unwrap(), None);
}

pub(crate) async fn one_byte_over_the_limit_is_refused_and_the_limit_named(store: &PayloadStore) {
    let error = store.put_blob(&scope(), vec![0; MAX_BLOB_BYTES as usize + 1].into()).await.unwrap_err();
    assert!(matches!(error, StoreError::Permanent { .. }) && error.to_string().contains("16777216 (16 MiB)"), "{error}");
    let reference = Reference { bytes: MAX_BLOB_BYTES + 1, ..Reference::of(b"") };
    let error = store.get_blob(&scope(), &reference).await.unwrap_err();
    assert!(matches!(error, StoreError::Permanent { .. }), "{error}");
}

pub(crate) async fn of_two_creators_at_once_one_creates_and_the_other_gets_the_winners_value(store: &PayloadStore) {
    let (scope, name) = (scope(), output_of("insights"));
    let (a, b) = (value("a", "request"), value("b", "request"));
    let (outcome_a, outcome_b) = tokio::join!(store.create_name(&scope, &name, &a), store.create_name(&scope, &name, &b));
    let winner = match (outcome_a.unwrap(), outcome_b.unwrap()) {
        (NameCreation::Created, NameCreation::Exists(found)) => (a, found),
        (NameCreation::Exists(found), NameCreation::Created) => (b, found),
        other => panic!("exactly one creates: {other:?}"),
    };
    assert_eq!(winner.0, winner.1);
    assert_eq!(store.get_name(&scope, &name).await.unwrap(), Some(winner.0));
}

pub(crate) async fn another_request_under_the_same_name_is_a_permanent_error(store: &PayloadStore) {
    let name = output_of("insights");
    store.create_name(&scope(), &name, &value("a", "request-1")).await.unwrap();
    let error = store.create_name(&scope(), &name, &value("b", "request-2")).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, StoreError::Permanent { .. }) && text.contains("request-1") && text.contains("request-2"), "{text}");
    let unknown = StoredName { request_hash: None, ..value("b", "") };
    let outcome = store.create_name(&scope(), &name, &unknown).await.unwrap();
    assert_eq!(outcome, NameCreation::Exists(value("a", "request-1")));
}

pub(crate) async fn runs_and_namespaces_see_nothing_of_each_other(store: &PayloadStore) {
    let reference = store.put_blob(&scope(), "private".into()).await.unwrap();
    store.create_name(&scope(), &output_of("insights"), &value("a", "r")).await.unwrap();
    for other in [Scope::run("team-b", "uid-1").unwrap(), Scope::run("team-a", "uid-2").unwrap()] {
        let error = store.get_blob(&other, &reference).await.unwrap_err();
        assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
        assert_eq!(store.get_name(&other, &output_of("insights")).await.unwrap(), None);
    }
}

pub(crate) async fn a_batch_document_is_for_every_run_of_its_namespace(store: &PayloadStore) {
    let reference = store.put_batch("team-a", "{\"events\":[]}".into()).await.unwrap();
    assert_eq!(store.get_batch("team-a", &reference).await.unwrap(), "{\"events\":[]}");
    assert!(matches!(store.get_batch("team-b", &reference).await, Err(StoreError::NotFound { .. })));
}

#[tokio::test]
async fn a_damaged_blob_is_never_handed_out() {
    for house in [House::nats().await, House::s3().await, House::file().await] {
        let reference = Reference::of(b"right");
        house.plant(&["team-a", "uid-1", "blob", &reference.sha256], b"wrong").await;
        let error = house.store.get_blob(&scope(), &reference).await.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_damaged_chunk_manifest_or_name_is_told() {
    let house = House::nats().await;
    let large = content(600 << 10);
    let reference = Reference::of(&large);
    house.plant(&["team-a", "uid-1", "blob", &reference.sha256, "1"], b"wrong").await;
    house.store.put_blob(&scope(), large.into()).await.unwrap();
    let error = house.store.get_blob(&scope(), &reference).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");

    let reference = Reference { bytes: 600 << 10, ..Reference::of(b"other") };
    house.plant(&["team-a", "uid-1", "blob", &reference.sha256], b"{\"chunks\":99999,\"bytes\":1}").await;
    let error = house.store.get_blob(&scope(), &reference).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");

    house.plant(&["team-a", "uid-1", "insights", "1", "0", "output"], b"no JSON").await;
    let error = house.store.get_name(&scope(), &output_of("insights")).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}
