//! A store of each kind, with the server or folder it needs.

use std::any::Any;
use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use trackway_nats::{Credentials, Kv, Nats, NatsConfig, StreamSettings, ensure_streams};
use trackway_store::{Files, PayloadStore};
use trackway_test_support::{MINIO_PASSWORD, MINIO_USER, Minio, NatsServer};

/// A store, and what must live as long as it.
pub(crate) struct House {
    pub(crate) store: PayloadStore,
    pub(crate) files: Files,
    behind: Behind,
    _server: Box<dyn Any + Send>,
}

/// The way around the store, for planting damage.
enum Behind {
    Nats(Kv),
    Objects(Arc<dyn ObjectStore>, &'static str),
    Nothing,
}

impl House {
    pub(crate) async fn nats() -> Self {
        let (server, nats) = nats_server().await;
        let store = PayloadStore::open(&server.url(), Some(&nats)).unwrap();
        let files = Files::open("nats://", Some(&nats), []).unwrap();
        let behind = Behind::Nats(Kv::payloads(&nats));
        Self { store, files, behind, _server: Box::new(server) }
    }

    pub(crate) async fn s3() -> Self {
        // A second install is refused and harmless.
        rustls::crypto::ring::default_provider().install_default().ok();
        let server = Minio::start().await.unwrap();
        let variables = [("AWS_ACCESS_KEY_ID", MINIO_USER), ("AWS_SECRET_ACCESS_KEY", MINIO_PASSWORD)];
        let url = format!("s3://payloads/some/prefix?endpoint={}&region=us-east-1&allow_http=true", server.endpoint());
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let store = PayloadStore::open_with(&url, None, variables.clone()).unwrap();
        let files = Files::open(&url, None, variables).unwrap();
        let bucket = AmazonS3Builder::new()
            .with_endpoint(server.endpoint())
            .with_allow_http(true)
            .with_bucket_name("payloads")
            .with_access_key_id(MINIO_USER)
            .with_secret_access_key(MINIO_PASSWORD)
            .build()
            .unwrap();
        Self { store, files, behind: Behind::Objects(Arc::new(bucket), "some/prefix/"), _server: Box::new(server) }
    }

    pub(crate) async fn file() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("file://{}/new/folder", folder.path().display());
        let store = PayloadStore::open(&url, None).unwrap();
        let files = Files::open(&url, None, []).unwrap();
        let behind = LocalFileSystem::new_with_prefix(folder.path().join("new/folder")).unwrap();
        Self { store, files, behind: Behind::Objects(Arc::new(behind), ""), _server: Box::new(folder) }
    }

    pub(crate) async fn memory() -> Self {
        let store = PayloadStore::open("memory://", None).unwrap();
        let files = Files::open("memory://", None, []).unwrap();
        Self { store, files, behind: Behind::Nothing, _server: Box::new(()) }
    }

    /// Puts `content` under `key` past the store.
    pub(crate) async fn plant(&self, key: &[&str], content: &'static [u8]) {
        match &self.behind {
            Behind::Nats(kv) => drop(kv.create(&key.join("."), content.into()).await.unwrap()),
            Behind::Objects(objects, prefix) => {
                objects.put(&Path::from(format!("{prefix}{}", key.join("/"))), content.into()).await.map(drop).unwrap();
            }
            Behind::Nothing => panic!("there is no way around a store in memory"),
        }
    }
}

/// A NATS server with all streams, and a connection to it.
pub(crate) async fn nats_server() -> (NatsServer, Nats) {
    let server = NatsServer::start().await.unwrap();
    let config = NatsConfig {
        url: server.url(),
        credentials: Credentials::None,
        inbox_prefix: "_INBOX_test".to_owned(),
        ca_file: None,
        name: "test".to_owned(),
    };
    let nats = Nats::connect(&config, None).await.unwrap();
    ensure_streams(&nats, StreamSettings::default()).await.unwrap();
    (server, nats)
}
