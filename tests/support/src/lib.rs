//! Real servers for tests: each test starts its own NATS, S3 or Kubernetes API server on a free port with its own folder, and the
//! server ends with the value that holds it.
//!
//! The programs come from [`tools::tool`]; a missing one fails the test with what to do, it never skips it.
//!
//! Beside them, what fuzzers of parsers share: [`fuzz`].

mod api_server;
pub mod fuzz;
mod minio;
mod nats;
mod process;
pub mod tools;

pub use api_server::ApiServer;
pub use minio::{MINIO_PASSWORD, MINIO_USER, Minio};
pub use nats::NatsServer;
pub use process::{free_port, until};
/// What tests send requests with; crates outside systems/ and tests/ do not name it.
pub use reqwest;
