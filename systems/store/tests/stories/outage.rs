//! The store is away, or not as its settings say.

use std::time::Duration;

use tokio::time::Instant;
use trackway_crds::contracts::Reference;
use trackway_nats::Kv;
use trackway_store::{MAX_BLOB_BYTES, PayloadStore, StoreError, with_retry};
use trackway_test_support::{MINIO_PASSWORD, MINIO_USER, Minio, free_port, until};

use crate::house::nats_server;
use crate::stories::{content, scope};

#[tokio::test]
async fn a_put_survives_nats_being_killed_half_way_and_no_reader_sees_half_a_blob() {
    let (mut server, nats) = nats_server().await;
    let store = PayloadStore::open("nats://", Some(&nats)).unwrap();
    let large = content(MAX_BLOB_BYTES as usize);
    let reference = Reference::of(&large);
    let putting = tokio::spawn({
        let (store, large) = (store.clone(), bytes::Bytes::from(large.clone()));
        let deadline = Instant::now() + Duration::from_secs(60);
        let scope = scope();
        async move { with_retry(Some(deadline), "put", || store.put_blob(&scope, large.clone())).await }
    });
    let bucket = Kv::payloads(&nats);
    let first_chunk = format!("team-a.uid-1.blob.{}.0", reference.sha256);
    until("the first chunk is stored", Duration::from_secs(20), || async { bucket.get(&first_chunk).await.unwrap() })
        .await
        .unwrap();
    assert!(matches!(store.get_blob(&scope(), &reference).await, Err(StoreError::NotFound { .. })), "the manifest comes last");

    server.stop().await.unwrap();
    let error = store.get_blob(&scope(), &reference).await.unwrap_err();
    assert!(matches!(error, StoreError::Transient { .. }), "{error}");
    assert!(!putting.is_finished(), "the put waits for NATS");

    server.restart().await.unwrap();
    assert_eq!(putting.await.unwrap().unwrap(), reference);
    let deadline = Some(Instant::now() + Duration::from_secs(30));
    let scope = scope();
    let read = with_retry(deadline, "get", || store.get_blob(&scope, &reference)).await.unwrap();
    assert!(read == large);
}

#[tokio::test]
async fn a_store_on_another_nats_than_the_connection_is_refused() {
    let (server, nats) = nats_server().await;
    PayloadStore::open(&server.url(), Some(&nats)).unwrap();
    let error = PayloadStore::open("nats://elsewhere:4222", Some(&nats)).unwrap_err().to_string();
    assert!(error.contains("elsewhere:4222") && error.contains(&server.url()), "{error}");
}

async fn try_s3(url: &str, key: &str) -> StoreError {
    rustls::crypto::ring::default_provider().install_default().ok();
    let variables = [("AWS_ACCESS_KEY_ID", MINIO_USER), ("AWS_SECRET_ACCESS_KEY", key)];
    let store = PayloadStore::open_with(url, None, variables.map(|(n, v)| (n.to_owned(), v.to_owned()))).unwrap();
    let put = store.put_blob(&scope(), "x".into()).await.unwrap_err();
    let get = store.get_blob(&scope(), &Reference::of(b"x")).await.unwrap_err();
    assert_eq!(std::mem::discriminant(&put), std::mem::discriminant(&get), "{put} / {get}");
    put
}

#[tokio::test]
async fn s3_errors_say_whether_to_wait_or_to_act() {
    let server = Minio::start().await.unwrap();
    let at = |bucket: &str| format!("s3://{bucket}?endpoint={}&allow_http=true", server.endpoint());
    let error = try_s3(&at("nowhere"), MINIO_PASSWORD).await;
    assert!(matches!(&error, StoreError::Permanent { reason, .. } if reason.contains("create the bucket")), "{error}");
    let error = try_s3(&at("payloads"), "wrong").await;
    assert!(matches!(&error, StoreError::Permanent { reason, .. } if reason.contains("credentials")), "{error}");
    let nobody = format!("s3://payloads?endpoint=http://127.0.0.1:{}&allow_http=true", free_port().unwrap());
    let error = try_s3(&nobody, MINIO_PASSWORD).await;
    assert!(matches!(error, StoreError::Transient { .. }), "{error}");
}
