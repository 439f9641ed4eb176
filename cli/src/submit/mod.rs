//! `submit`: a batch of events, put into the store and announced once.

mod batch;
mod events;
mod read;

pub use batch::{Batch, BatchOrder, make_batch};

pub use read::read_events;

use crate::{
    args::{BatchArgs, Global, SubmitArgs},
    cluster::Cluster,
    exit::Outcome,
    reach::Reach,
    screen::{Format, Screen},
    watch::{Wanted, follow},
};
use anyhow::Context;
use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use trackway_crds::contracts::{BatchReady, CONTRACT, Reference};
use trackway_nats::{Publication, publish_batch_ready};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Submitted<'a> {
    batch: &'a str,
    events: u32,
    input: &'a Reference,
    published: bool,
}

pub(crate) async fn run(global: &Global, args: &SubmitArgs, screen: &mut Screen) -> anyhow::Result<Outcome> {
    let batch = make_batch(read_events(&args.events)?, order(&args.tenant, &args.batch), Timestamp::now())?;
    let cluster = Cluster::connect(global).await?;
    let (reach, nats) = Reach::store_and_nats(&cluster, &args.reach, screen).await?;

    let input = reach.store.put_batch(&cluster.namespace, Bytes::from(batch.document.clone())).await?;
    let info = &batch.info;
    let ready = BatchReady { contract: CONTRACT, batch: info.clone(), input: input.clone() };
    let message = serde_json::to_vec(&ready).context("cannot write the batch's announcement")?;
    let publication = publish_batch_ready(&nats, info.priority, &info.id, message.into()).await?;

    let published = matches!(publication, Publication::Published);
    let submitted = Submitted { batch: &info.id, events: info.counts.events, input: &input, published };
    if screen.format == Format::People {
        let news = if published { "" } else { "; it had been announced before, nothing new will happen" };
        screen.say(&format!(
            "batch {} sealed: {} events, {} bytes, sha256 {}{news}\n",
            info.id, info.counts.events, input.bytes, input.sha256
        ))?;
    } else {
        screen.line(&submitted)?;
    }
    if args.watch {
        return follow(&cluster, &Wanted::Batches(vec![info.id.clone()]), screen).await;
    }
    screen.note(&format!("follow its runs: kubectl trackway watch --batch {}", info.id));
    Ok(Outcome::Good)
}

/// What the command line says about a batch.
pub(crate) fn order(tenant: &str, args: &BatchArgs) -> BatchOrder {
    BatchOrder {
        tenant: tenant.to_owned(),
        level: args.level,
        subject: args.subject.clone().unwrap_or_else(|| tenant.to_owned()),
        priority: args.priority,
        labels: args.labels.iter().cloned().collect::<BTreeMap<_, _>>(),
        id: args.batch_id.clone(),
    }
}
