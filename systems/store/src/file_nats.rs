//! Files in the JetStream key-value bucket `lake-files`.
//!
//! A file's content lies in chunks named by its hash, `c.<sha256>.<n>`; when all are stored, a manifest `f.<path>` makes it a
//! file. So a reader never sees half of one, a put that was cut off costs its repetition nothing, and two writers of different
//! content under one path do not mix: one manifest wins.

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use trackway_crds::contracts::Reference;
use trackway_nats::{KeyCreation, Kv, Nats};

use crate::StoreError;
use crate::files::{FileCreation, FileInfo, MAX_FILE_BYTES};

/// Half the server's default limit of a message, so headers and slower links have room.
const CHUNK_BYTES: usize = 512 << 10;
/// Chunks under way at the same time.
const CHUNKS_AT_ONCE: usize = 4;
/// A token of a key holds 128 characters; a longer part of a path goes on in the next token, which begins with this and so is no
/// part of its own: `_` is followed by a digit there.
const CONTINUED: &str = "__";
const TOKEN_CHARACTERS: usize = 120;

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    sha256: String,
    bytes: u64,
    chunks: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct NatsFiles {
    bucket: Kv,
}

impl NatsFiles {
    pub(crate) fn new(nats: &Nats) -> Self {
        Self { bucket: Kv::lake_files(nats) }
    }

    pub(crate) async fn create(&self, path: &str, content: Bytes) -> Result<FileCreation, StoreError> {
        let key = key(path);
        if self.bucket.get(&key).await?.is_some() {
            return Ok(FileCreation::Exists);
        }
        let Reference { sha256, bytes } = Reference::of(&content);
        let chunks = content.len().div_ceil(CHUNK_BYTES);
        stream::iter(0..chunks)
            .map(|number| {
                let end = content.len().min((number + 1) * CHUNK_BYTES);
                let chunk = content.slice(number * CHUNK_BYTES..end);
                let key = chunk_key(&sha256, number);
                async move { self.bucket.create(&key, chunk).await.map(drop) }
            })
            .buffer_unordered(CHUNKS_AT_ONCE)
            .try_collect::<()>()
            .await?;
        let action = format!("put file {path}");
        let manifest = serde_json::to_vec(&Manifest { sha256, bytes, chunks });
        let manifest = manifest.map_err(|error| StoreError::permanent(&action, error))?;
        Ok(match self.bucket.create(&key, manifest.into()).await? {
            KeyCreation::Created(_) => FileCreation::Created,
            KeyCreation::Exists => FileCreation::Exists,
        })
    }

    /// Hash and size of the file at `path`.
    pub(crate) async fn reference(&self, path: &str) -> Result<Option<Reference>, StoreError> {
        let manifest = self.manifest(path).await?;
        Ok(manifest.map(|Manifest { sha256, bytes, .. }| Reference { sha256, bytes }))
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Option<Bytes>, StoreError> {
        let Some(Manifest { sha256, bytes, chunks }) = self.manifest(path).await? else { return Ok(None) };
        let parts = stream::iter(0..chunks)
            .map(|number| {
                let key = chunk_key(&sha256, number);
                async move {
                    // A manifest is written after its chunks, so a chunk unseen is a replica that lags behind.
                    let missing =
                        || StoreError::transient(&format!("get file {path}"), format!("chunk {number} is not visible yet"));
                    Ok::<_, StoreError>(self.bucket.get(&key).await?.ok_or_else(missing)?.value)
                }
            })
            .buffered(CHUNKS_AT_ONCE);
        let mut content = BytesMut::with_capacity(usize::try_from(bytes).unwrap_or_default());
        futures::pin_mut!(parts);
        while let Some(part) = parts.try_next().await? {
            content.extend_from_slice(&part);
        }
        let content = content.freeze();
        let found = Reference::of(&content);
        if found.sha256 == sha256 {
            return Ok(Some(content));
        }
        let reason = format!("its chunks have {} bytes with sha256 {}, its manifest says {sha256}", found.bytes, found.sha256);
        Err(damaged(path, reason))
    }

    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<FileInfo>, StoreError> {
        let folder = if prefix.is_empty() { "f".to_owned() } else { key(prefix) };
        let found = self.bucket.entries(&format!("{folder}.>")).await?;
        let files = found.into_iter().filter_map(|(key, entry)| {
            let path = path(&key)?;
            Some(parse(&path, &entry.value).map(|manifest| FileInfo { path, bytes: manifest.bytes }))
        });
        files.collect()
    }

    async fn manifest(&self, path: &str) -> Result<Option<Manifest>, StoreError> {
        let Some(entry) = self.bucket.get(&key(path)).await? else { return Ok(None) };
        parse(path, &entry.value).map(Some)
    }
}

fn parse(path: &str, manifest: &[u8]) -> Result<Manifest, StoreError> {
    let manifest: Manifest = serde_json::from_slice(manifest).map_err(|error| damaged(path, format!("its manifest: {error}")))?;
    if manifest.bytes > MAX_FILE_BYTES || manifest.chunks as u64 != manifest.bytes.div_ceil(CHUNK_BYTES as u64) {
        return Err(damaged(path, format!("its manifest names {} bytes in {} chunks", manifest.bytes, manifest.chunks)));
    }
    Ok(manifest)
}

fn damaged(path: &str, reason: String) -> StoreError {
    StoreError::permanent(&format!("read file {path}"), format!("it is damaged: {reason}; restore it from a backup"))
}

fn chunk_key(sha256: &str, number: usize) -> String {
    format!("c.{sha256}.{number}")
}

/// `f.` and the path with its parts as tokens: letters, digits and `-` as they are, other bytes as `_` and two hexadecimal
/// digits. No two paths have one key, and a folder's key is the beginning of its files' keys.
fn key(path: &str) -> String {
    let mut key = "f".to_owned();
    for part in path.split('/') {
        key.push('.');
        let mut room = TOKEN_CHARACTERS;
        for character in part.bytes().flat_map(escape) {
            if room == 0 {
                key.push('.');
                key.push_str(CONTINUED);
                room = TOKEN_CHARACTERS;
            }
            key.push(character);
            room -= 1;
        }
    }
    key
}

fn escape(byte: u8) -> Vec<char> {
    if byte.is_ascii_alphanumeric() || byte == b'-' {
        return vec![char::from(byte)];
    }
    format!("_{byte:02x}").chars().collect()
}

/// The path of a key made by [`key`].
fn path(key: &str) -> Option<String> {
    let text = key.strip_prefix("f.")?.replace(&format!(".{CONTINUED}"), "").replace('.', "/");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'_' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_comes_back_from_its_key_and_every_token_fits() {
        let long = format!("events/tenant={}/date=2026-11-22/07-42.parquet", "%C3%A9".repeat(33));
        for path in ["a", "events/tenant=octo-org/x.parquet", "a__b/_/__x", "events/tenant=a%2Fb.c~1/07.parquet", &long] {
            let key = key(path);
            assert_eq!(super::path(&key).as_deref(), Some(path), "{key}");
            let fits = |token: &str| token.len() <= 128 && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
            assert!(key.split('.').all(|token| !token.is_empty() && fits(token)), "{key}");
        }
        assert_ne!(key("a/b"), key("a.b"));
        assert!(key("events/x").starts_with(&format!("{}.", key("events"))));
    }
}
