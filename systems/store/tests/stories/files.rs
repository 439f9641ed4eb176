//! What holds of files in every kind of store.

use bytes::Bytes;
use futures::future::join_all;
use trackway_crds::contracts::Reference;
use trackway_store::{FileCreation, FileInfo, Files, MAX_FILE_BYTES, StoreError};

use crate::stories::content;

fn info(path: &str, bytes: usize) -> FileInfo {
    FileInfo { path: path.to_owned(), bytes: bytes as u64 }
}

pub(crate) async fn a_file_is_read_back_and_listed_in_its_folder_whatever_its_name(files: &Files) {
    assert_eq!(files.list("").await.unwrap(), []);
    assert_eq!(files.list("events/tenant=none").await.unwrap(), []);
    let long = format!("events/tenant={}~0123456789abcdef/date=2026-11-22/07-42.parquet", "%C3%B6".repeat(30));
    let paths = ["events/tenant=a%2Fb c".replace(' ', "%20") + "/x_1.parquet", long, "events/tenant=a/1.parquet".to_owned()];
    // Nothing, a message's worth, and more than one chunk.
    for (path, size) in paths.iter().zip([0, 1_000, 1_300_000]) {
        let bytes = Bytes::from(content(size));
        files.put(path, bytes.clone()).await.unwrap();
        assert!(files.get(path).await.unwrap() == bytes, "{path}");
    }
    files.put("vectors/tenant=a/1.parquet", "v".into()).await.unwrap();

    let mut expected = vec![info(&paths[0], 0), info(&paths[1], 1_000), info(&paths[2], 1_300_000)];
    expected.sort();
    assert_eq!(files.list("events").await.unwrap(), expected);
    assert_eq!(files.list("events/").await.unwrap(), expected);
    assert_eq!(files.list("events/tenant=a").await.unwrap(), [info(&paths[2], 1_300_000)], "a folder, no beginning of a name");
    assert_eq!(files.list("").await.unwrap().len(), 4);
    let missing = files.get("events/tenant=a/2.parquet").await.unwrap_err();
    assert!(matches!(&missing, StoreError::NotFound { what } if what.contains("events/tenant=a/2.parquet")), "{missing}");
}

pub(crate) async fn putting_the_same_file_again_is_success_and_another_under_its_path_is_refused_with_both_hashes(files: &Files) {
    for size in [10, 1_300_000] {
        let path = format!("events/{size}.parquet");
        let first = Bytes::from(content(size));
        files.put(&path, first.clone()).await.unwrap();
        files.put(&path, first.clone()).await.unwrap();
        assert_eq!(files.create(&path, first.clone()).await.unwrap(), FileCreation::Exists);
        let mut other = first.to_vec();
        other[size - 1] ^= 1;
        let error = files.put(&path, other.clone().into()).await.unwrap_err();
        let text = error.to_string();
        let named = [Reference::of(&first).sha256, Reference::of(&other).sha256].iter().all(|hash| text.contains(hash));
        assert!(matches!(error, StoreError::Permanent { .. }) && named && text.contains(&format!("{size} bytes")), "{text}");
        assert!(files.get(&path).await.unwrap() == first, "what was there first stays");
    }
}

pub(crate) async fn of_writers_at_once_of_one_path_one_wins_and_no_reader_sees_a_mixture(files: &Files) {
    let contents: Vec<Bytes> = (0..4_u8).map(|n| vec![n; 1_300_000].into()).collect();
    let path = "events/tenant=a/1.parquet";
    let outcomes = join_all(contents.iter().map(|content| files.create(path, content.clone()))).await;
    let created: Vec<usize> = (0..4).filter(|n| matches!(outcomes[*n], Ok(FileCreation::Created))).collect();
    assert_eq!(created.len(), 1, "{outcomes:?}");
    assert!(files.get(path).await.unwrap() == contents[created[0]]);
}

pub(crate) async fn what_is_no_path_or_too_large_is_refused_before_anything_is_written(files: &Files) {
    for evil in ["", "/a", "a/", "../a", "a//b", "a b"] {
        let error = files.put(evil, "x".into()).await.unwrap_err();
        assert!(matches!(&error, StoreError::Permanent { reason, .. } if reason.contains("is no path")), "{evil:?}: {error}");
        assert!(files.get(evil).await.is_err(), "{evil:?}");
    }
    let large = Bytes::from(vec![0; MAX_FILE_BYTES as usize + 1]);
    let error = files.put("large", large).await.unwrap_err();
    assert!(matches!(&error, StoreError::Permanent { reason, .. } if reason.contains("256 MiB")), "{error}");
    assert_eq!(files.list("").await.unwrap(), []);
}
