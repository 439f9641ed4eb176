//! The cache of Tracks of the bound namespaces.

use futures::{StreamExt, future::try_join_all};
use kube::{
    Api, Client,
    runtime::{
        WatchStreamExt,
        reflector::{self, Store, store::WriterDropped},
        watcher,
    },
};
use std::sync::Arc;
use tokio::task::JoinSet;
use trackway_crds::Track;

/// All Tracks of some namespaces, kept current by one watch each for as long as it is held.
#[derive(Debug)]
pub struct Tracks {
    stores: Vec<Store<Track>>,
    // Dropped with us, which ends the watches.
    _watches: JoinSet<()>,
}

impl Tracks {
    /// Begins to watch; nothing is known yet.
    pub fn watch<'a>(client: &Client, namespaces: impl IntoIterator<Item = &'a str>) -> Self {
        let mut stores = Vec::new();
        let mut watches = JoinSet::new();
        for namespace in namespaces {
            let (store, writer) = reflector::store();
            let api: Api<Track> = Api::namespaced(client.clone(), namespace);
            let namespace = namespace.to_owned();
            let events = watcher(api, watcher::Config::default()).default_backoff().reflect(writer);
            watches.spawn(events.for_each(move |event| {
                if let Err(error) = event {
                    tracing::warn!(namespace, %error, "cannot watch Tracks, trying again");
                }
                std::future::ready(())
            }));
            stores.push(store);
        }
        Self { stores, _watches: watches }
    }

    /// Waits until every namespace was listed once.
    ///
    /// # Errors
    /// When a watch has ended, which only a bug makes.
    pub async fn synced(&self) -> Result<(), WriterDropped> {
        try_join_all(self.stores.iter().map(Store::wait_until_ready)).await.map(|_| ())
    }

    /// All Tracks as they are now.
    pub fn all(&self) -> Vec<Arc<Track>> {
        self.stores.iter().flat_map(Store::state).collect()
    }
}
