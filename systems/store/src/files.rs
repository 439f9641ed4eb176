//! Files of the lake: written once, found again by their paths.

use bytes::Bytes;
use trackway_crds::contracts::Reference;
use trackway_nats::Nats;

use crate::StoreError;
use crate::file_nats::NatsFiles;
use crate::file_objects::ObjectFiles;
use crate::url::{self, Place};

/// The largest file in bytes: 256 MiB.
pub const MAX_FILE_BYTES: u64 = 256 << 20;
/// Longest path in bytes.
const LONGEST_PATH: usize = 512;
/// Longest part of a path in bytes: what a folder of a usual file system takes, and some for a temporary name.
const LONGEST_PART: usize = 240;

/// A file in a listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileInfo {
    /// As it was put.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Outcome of [`Files::create`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileCreation {
    /// The path holds our bytes.
    Created,
    /// The path held a file already, this one or another.
    Exists,
}

/// Files by path, each written once and whole: nobody reads half of one, and none is ever replaced. Clones share it. Every
/// operation is safe to repeat.
///
/// A path is 1 to 512 bytes: parts of 1 to 240 letters, digits and `-_.=%~`, divided by `/`.
#[derive(Debug, Clone)]
pub struct Files(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Nats(NatsFiles),
    Objects(ObjectFiles),
}

impl Files {
    /// Opens what `url` names: `s3://BUCKET/PREFIX?endpoint=…&region=…&allow_http=true` (credentials from `AWS_…` in `variables`;
    /// the process must have installed a rustls provider), `file:///PATH`, `nats://` (the bucket `lake-files` on the connection
    /// `nats`), or `memory://`, which forgets everything with the value. Nothing is asked of the store yet.
    ///
    /// # Errors
    /// [`StoreError::Permanent`] naming what is wrong in the URL.
    pub fn open(
        url: &str,
        nats: Option<&Nats>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, StoreError> {
        Ok(Self(match url::open(url, nats, variables)? {
            Place::Nats(nats) => Kind::Nats(NatsFiles::new(&nats)),
            Place::Objects(store, prefix) => Kind::Objects(ObjectFiles::new(store, prefix)),
        }))
    }

    /// As [`Files::open`], with the process environment's variables.
    ///
    /// # Errors
    /// As [`Files::open`].
    pub fn open_from_env(url: &str, nats: Option<&Nats>) -> Result<Self, StoreError> {
        Self::open(url, nats, url::environment())
    }

    /// Stores `content` at `path`. The same content there already is success.
    ///
    /// # Errors
    /// [`StoreError::Permanent`] when other content is there, naming size and hash of both; and over [`MAX_FILE_BYTES`].
    pub async fn put(&self, path: &str, content: Bytes) -> Result<(), StoreError> {
        if self.create(path, content.clone()).await? == FileCreation::Created {
            return Ok(());
        }
        let action = format!("put file {path}");
        let found = match &self.0 {
            // The manifest knows the hash: no need to fetch the file.
            Kind::Nats(files) => files.reference(path).await?,
            Kind::Objects(files) => files.get(path).await?.map(|found| Reference::of(&found)),
        };
        // S3 also says "exists" of a write that is still under way and may yet fail.
        let found = found.ok_or_else(|| StoreError::transient(&action, "another write of it is under way"))?;
        let ours = Reference::of(&content);
        if found == ours {
            return Ok(());
        }
        let Reference { sha256, bytes } = &found;
        let reason = format!(
            "it exists with other content: {bytes} bytes with sha256 {sha256}, not {} bytes with sha256 {}; find out who wrote \
             it, and move it away if it is wrong",
            ours.bytes, ours.sha256
        );
        Err(StoreError::permanent(&action, reason))
    }

    /// Stores `content` at `path` unless a file is there, whatever that holds.
    ///
    /// # Errors
    /// [`StoreError::Permanent`] over [`MAX_FILE_BYTES`] and for a wrong path.
    pub async fn create(&self, path: &str, content: Bytes) -> Result<FileCreation, StoreError> {
        check(path)?;
        if content.len() as u64 > MAX_FILE_BYTES {
            let reason = format!("{} bytes are over the limit of {MAX_FILE_BYTES} (256 MiB): flush sooner", content.len());
            return Err(StoreError::permanent(&format!("put file {path}"), reason));
        }
        match &self.0 {
            Kind::Nats(files) => files.create(path, content).await,
            Kind::Objects(files) => files.create(path, content).await,
        }
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none.
    pub async fn get(&self, path: &str) -> Result<Bytes, StoreError> {
        check(path)?;
        let found = match &self.0 {
            Kind::Nats(files) => files.get(path).await?,
            Kind::Objects(files) => files.get(path).await?,
        };
        found.ok_or_else(|| StoreError::NotFound { what: format!("file {path}") })
    }

    /// Every file below the folder `prefix` (empty: all), sorted by path.
    ///
    /// # Errors
    /// [`StoreError`]; an empty or missing folder is no error.
    pub async fn list(&self, prefix: &str) -> Result<Vec<FileInfo>, StoreError> {
        let prefix = prefix.trim_end_matches('/');
        if !prefix.is_empty() {
            check(prefix)?;
        }
        let mut found = match &self.0 {
            Kind::Nats(files) => files.list(prefix).await?,
            Kind::Objects(files) => files.list(prefix).await?,
        };
        found.sort();
        Ok(found)
    }
}

/// What every kind of store can keep as it is.
fn check(path: &str) -> Result<(), StoreError> {
    let part_fits = |part: &str| {
        let known = |b: u8| b.is_ascii_alphanumeric() || b"-_.=%~".contains(&b);
        (1..=LONGEST_PART).contains(&part.len()) && part.bytes().all(known) && part != "." && part != ".."
    };
    if path.len() <= LONGEST_PATH && path.split('/').all(part_fits) {
        return Ok(());
    }
    let reason = format!(
        "{path:?} is no path of a file: use at most {LONGEST_PATH} bytes, parts of 1 to {LONGEST_PART} letters, digits and \
         -_.=%~ divided by /"
    );
    Err(StoreError::permanent("name a file", reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_leaves_the_lake_through_a_path() {
        check("events/tenant=a%2Fb/date=2026-11-22/07-00000000000000000042.parquet").unwrap();
        let long = "x".repeat(LONGEST_PART + 1);
        for evil in ["", "/", "a//b", "../a", "a/..", "a/./b", "a b", "a#1", "é", "a*", &long] {
            assert!(check(evil).is_err(), "{evil:?}");
        }
    }
}
