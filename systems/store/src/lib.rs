//! The payload store: what is too large for a resource or a message, named by its content or by the attempt it belongs to.
//!
//! * **Blobs** (`<namespace>.<run uid>.blob.<sha256>`) are named by their content: putting one twice is success, and every read
//!   checks size and hash.
//! * **Names** (`<namespace>.<run uid>.<stage>.<attempt>.<index>.<kind>`) are created once and never change: of two creators one
//!   wins, and the other learns what the winner wrote and adopts it.
//! * **Where** is a URL ([`PayloadStore::open`]); references never hold one, so no resource can make a worker fetch elsewhere.
//!
//! * **Files** ([`Files`]) of the lake lie beside them in stores of the same kinds: named by path, larger, listed by folder.
//!
//! Nothing is ever overwritten. Every operation is safe to repeat; wrap it in [`with_retry`] to outlive an outage.

mod backend;
mod error;
mod file_nats;
mod file_objects;
mod files;
mod keys;
mod nats;
mod objects;
mod payloads;
mod url;

pub use error::StoreError;
pub use files::{FileCreation, FileInfo, Files, MAX_FILE_BYTES};
pub use keys::{Name, Scope};
pub use payloads::{NameCreation, PayloadStore};
pub use trackway_nats::with_retry;

/// The largest blob in bytes: 16 MiB, as much as a batch document may have.
pub const MAX_BLOB_BYTES: u64 = 16 << 20;
