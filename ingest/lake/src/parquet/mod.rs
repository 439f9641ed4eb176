//! Events as Parquet files. The bytes of a file are a function of its events, so that writing it again makes the same file.

mod encode;
mod path;
mod schema;

pub use encode::{EncodeError, encode, same_rows};
pub use path::{file_path, tenant_folder};
pub use schema::schema;
