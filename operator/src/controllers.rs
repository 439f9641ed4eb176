//! Wiring: which watches wake which reconcile. One pair of controllers per namespace; nothing is shared between namespaces but the
//! connections.

use crate::{
    args::Args,
    metrics::Metrics,
    questionnaire,
    revisions::Revisions,
    run::{self, Memory},
    track,
};
use futures::{FutureExt, Stream, StreamExt, TryStreamExt, channel::mpsc, future, stream};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ConfigMap, Pod},
};
use kube::{
    Api, Client, ResourceExt,
    runtime::{
        Controller, WatchStreamExt, controller,
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use std::{collections::BTreeSet, fmt::Debug, sync::Arc, time::Duration};
use tokio::sync::watch;
use trackway_crds::{BatchRun, ModelEndpoint, Questionnaire, Track, labels};
use trackway_kubernetes::events::recorder;
use trackway_nats::{Nats, Wake, results_of_namespace, watch_results};

const SWEEP_PERIOD: Duration = Duration::from_secs(600);

/// Runs the controllers of every namespace until `stopped` says so.
pub(crate) async fn run(client: Client, nats: Nats, args: Args, metrics: Arc<Metrics>, stopped: watch::Receiver<bool>) {
    let namespaces = args.namespaces.clone();
    let all = namespaces.into_iter().map(|namespace| {
        one_namespace(client.clone(), nats.clone(), args.clone(), Arc::clone(&metrics), namespace, stopped.clone())
    });
    future::join_all(all).await;
}

async fn one_namespace(
    client: Client,
    nats: Nats,
    args: Args,
    metrics: Arc<Metrics>,
    namespace: String,
    stopped: watch::Receiver<bool>,
) {
    let ours = watcher::Config::default().labels(&format!("{}={}", labels::MANAGED_BY, labels::MANAGER));
    let everything = watcher::Config::default();
    let (runs, runs_full, run_events) = watched::<BatchRun>(Api::namespaced(client.clone(), &namespace), everything.clone());
    let (jobs, jobs_full, job_events) = watched::<Job>(Api::namespaced(client.clone(), &namespace), ours.clone());
    let (pods, pods_full, pod_events) = watched::<Pod>(Api::namespaced(client.clone(), &namespace), ours);
    let (tracks, tracks_full, track_events) = watched::<Track>(Api::namespaced(client.clone(), &namespace), everything);
    // A run planned before the caches are full would look as if its Jobs were gone.
    let caches = full([jobs_full, pods_full, tracks_full.clone()]).boxed().shared();
    let resolver = Arc::new(resolver(&client, &namespace, &metrics));
    let config = controller::Config::default().concurrency(args.concurrency);
    let stores = (jobs, pods, tracks.clone());
    let (wake, woken) = mpsc::unbounded();
    let (poke, poked) = mpsc::unbounded();
    let asked = questionnaire::Context {
        namespace: namespace.clone(),
        api: Api::namespaced(client.clone(), &namespace),
        nats: nats.clone(),
        runs: runs.clone(),
        runs_full: runs_full.clone(),
        metrics: Arc::clone(&metrics),
    };
    let context = Arc::new(run_context(&client, nats.clone(), args, metrics, &namespace, stores));
    // How many wait for a questionnaire is told with it.
    let within = namespace.clone();
    let run_events = run_events.inspect_ok(move |run: &BatchRun| {
        for name in questionnaire::asked_by(run) {
            // Nobody listens any more only when the process ends.
            let _ = poke.unbounded_send(ObjectRef::new(name).within(&within));
        }
    });
    let run_controller = Controller::for_stream(run_events, runs.clone())
        .with_config(config)
        .owns_stream(job_events)
        .watches_stream(pod_events, run_of_pod)
        .watches_stream(track_events, waiting_runs(runs.clone()))
        .reconcile_on(results(nats.clone(), Arc::clone(&context), runs.clone()))
        .reconcile_on(woken)
        .graceful_shutdown_on(stop(stopped.clone()))
        .run(after_caches(caches), run::error_policy, Arc::clone(&context));
    let track_controller = track_controller(&client, &namespace, tracks.clone()).graceful_shutdown_on(stop(stopped.clone())).run(
        track::reconcile,
        track::error_policy,
        Arc::clone(&resolver),
    );
    let changes = questionnaire::changes(&nats, &namespace, runs.clone(), wake);
    let questionnaires: Api<Questionnaire> = Api::namespaced(client, &namespace);
    let questionnaires = Controller::new(questionnaires, watcher::Config::default())
        .reconcile_on(stream::select(poked, changes.boxed()))
        .graceful_shutdown_on(stop(stopped.clone()))
        .run(questionnaire::reconcile, questionnaire::error_policy, Arc::new(asked));
    let sweeper = sweep((resolver, context), (runs, tracks), full([runs_full, tracks_full]), stopped);
    let controllers = future::join(drain("run", run_controller), drain("track", track_controller));
    future::join3(controllers, drain("questionnaire", questionnaires), sweeper).await;
}

fn resolver(client: &Client, namespace: &str, metrics: &Arc<Metrics>) -> track::Context {
    track::Context {
        track_api: Api::namespaced(client.clone(), namespace),
        config_maps: Api::namespaced(client.clone(), namespace),
        endpoints: Api::namespaced(client.clone(), namespace),
        metrics: Arc::clone(metrics),
    }
}

fn run_context(
    client: &Client,
    nats: Nats,
    args: Args,
    metrics: Arc<Metrics>,
    namespace: &str,
    (jobs, pods, tracks): (Store<Job>, Store<Pod>, Store<Track>),
) -> run::Context {
    run::Context {
        namespace: namespace.to_owned(),
        nats,
        run_api: Api::namespaced(client.clone(), namespace),
        job_api: Api::namespaced(client.clone(), namespace),
        config_maps: Api::namespaced(client.clone(), namespace),
        questionnaires: Api::namespaced(client.clone(), namespace),
        jobs,
        pods,
        tracks,
        revisions: Revisions::default(),
        memory: Memory::default(),
        recorder: recorder(client.clone(), "trackway-operator", Some(args.identity.clone())),
        metrics,
        args,
    }
}

/// Turns true when a cache holds everything there is.
type Full = watch::Receiver<bool>;

/// Whether all of `caches` got full; one whose writer is gone before belongs to a controller that ends.
async fn full<const N: usize>(caches: [Full; N]) -> bool {
    let full = caches.into_iter().map(|mut cache| async move { cache.wait_for(|full| *full).await.is_ok() });
    future::join_all(full).await.into_iter().all(|full| full)
}

/// Runs that wait for a Track wake when it changes.
fn waiting_runs(runs: Store<BatchRun>) -> impl Fn(Track) -> Vec<ObjectRef<BatchRun>> + Send + Sync + 'static {
    move |track| {
        let name = track.name_any();
        let waits = |run: &Arc<BatchRun>| {
            run.spec.track_ref.name == name && run.status.as_ref().is_none_or(|status| status.revision.is_none())
        };
        runs.state().into_iter().filter(waits).map(|run| ObjectRef::from_obj(&*run)).collect()
    }
}

type Caches = future::Shared<future::BoxFuture<'static, bool>>;
type Reconciled = future::BoxFuture<'static, Result<controller::Action, run::Error>>;

fn after_caches(caches: Caches) -> impl FnMut(Arc<BatchRun>, Arc<run::Context>) -> Reconciled {
    move |object, context| {
        let caches = caches.clone();
        async move { if caches.await { run::reconcile(object, context).await } else { Ok(controller::Action::await_change()) } }
            .boxed()
    }
}

type Events<K> = futures::stream::BoxStream<'static, Result<K, watcher::Error>>;

/// A cache, whether it is full, and what changes in it. A store's own `wait_until_ready` wakes only the last of those that
/// wait; that one is the Controller.
fn watched<K>(api: Api<K>, config: watcher::Config) -> (Store<K>, Full, Events<K>)
where
    K: kube::Resource<DynamicType = ()> + Clone + Debug + serde::de::DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let (fill, full) = watch::channel(false);
    let events = watcher(api, config)
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .inspect_ok(move |event| {
            if matches!(event, watcher::Event::InitDone) {
                fill.send_replace(true);
            }
        })
        .touched_objects();
    (store, full, events.boxed())
}

fn run_of_pod(pod: Pod) -> Option<ObjectRef<BatchRun>> {
    let run = pod.labels().get(labels::RUN)?.clone();
    Some(ObjectRef::new(&run).within(&pod.namespace()?))
}

/// Runs whose result has come. It is kept with the wake; where one may have been missed, the reconcile reads the stream.
fn results(
    nats: Nats,
    context: Arc<run::Context>,
    runs: Store<BatchRun>,
) -> impl Stream<Item = ObjectRef<BatchRun>> + Send + 'static {
    let subjects = future::ready(results_of_namespace(Some(&context.namespace)));
    let wakes = stream::once(subjects).map_ok(move |subjects| watch_results(&nats, &subjects)).try_flatten();
    wakes.flat_map(move |wake| {
        let unfinished = |run: &BatchRun| run.status.as_ref().is_none_or(|status| status.completed_at.is_none());
        let woken: Vec<ObjectRef<BatchRun>> = match wake {
            Ok(Wake::Result { subject, payload }) => {
                let uid = subject.split('.').nth(2).unwrap_or_default().to_owned();
                let of_uid = |run: &BatchRun| run.metadata.uid.as_deref() == Some(uid.as_str()) && unfinished(run);
                let run = runs.find(of_uid);
                if run.is_some() {
                    context.hear(&uid, &subject, &payload);
                }
                run.map(|run| ObjectRef::from_obj(&*run)).into_iter().collect()
            }
            Ok(Wake::Resync) => {
                context.memory.ask_again();
                runs.state().into_iter().filter(|run| unfinished(run)).map(|run| ObjectRef::from_obj(&*run)).collect()
            }
            Err(error) => {
                tracing::error!(%error, "results no longer wake the operator; it looks again when pods change");
                Vec::new()
            }
        };
        stream::iter(woken)
    })
}

fn track_controller(client: &Client, namespace: &str, tracks: Store<Track>) -> Controller<Track> {
    let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let endpoints: Api<ModelEndpoint> = Api::namespaced(client.clone(), namespace);
    // Revisions are made by us and never change; prompts are everybody else's.
    let prompts = watcher::Config::default().labels(&format!("{}!={}", labels::MANAGED_BY, labels::MANAGER));
    let by_prompts = tracks.clone();
    let own: Api<Track> = Api::namespaced(client.clone(), namespace);
    Controller::new(own, watcher::Config::default())
        .watches(config_maps, prompts, move |map: ConfigMap| {
            let name = map.name_any();
            let uses = move |track: &Arc<Track>| track.spec.prompts_from.config_map_ref.name == name;
            by_prompts.state().into_iter().filter(uses).map(|track| ObjectRef::from_obj(&*track)).collect::<Vec<_>>()
        })
        .watches(endpoints, watcher::Config::default(), move |endpoint: ModelEndpoint| {
            let name = endpoint.name_any();
            let uses = move |track: &Arc<Track>| track.spec.models.iter().any(|model| model.endpoint == name);
            tracks.state().into_iter().filter(uses).map(|track| ObjectRef::from_obj(&*track)).collect::<Vec<_>>()
        })
}

async fn sweep(
    (context, run_context): (Arc<track::Context>, Arc<run::Context>),
    (runs, tracks): (Store<BatchRun>, Store<Track>),
    caches: impl Future<Output = bool>,
    stopped: watch::Receiver<bool>,
) {
    // From a cache that is not full every revision would look unneeded.
    if !caches.await {
        return;
    }
    let mut period = tokio::time::interval(SWEEP_PERIOD);
    let mut stop = std::pin::pin!(stop(stopped));
    let mut unneeded = BTreeSet::new();
    loop {
        tokio::select! {
            _ = period.tick() => {}
            () = &mut stop => return,
        }
        run_context.memory.keep_runs(&runs.state().iter().filter_map(|run| run.uid()).collect());
        match track::sweep(&context, runs.state(), tracks.state(), &mut unneeded).await {
            Ok(0) => {}
            Ok(deleted) => tracing::info!(deleted, "deleted revisions nothing needs any more"),
            Err(error) => tracing::warn!(%error, "revisions are swept again later"),
        }
    }
}

async fn stop(mut stopped: watch::Receiver<bool>) {
    // A sender that is gone means the process ends.
    let _ = stopped.wait_for(|stop| *stop).await;
}

async fn drain<K, E>(what: &'static str, outcomes: impl Stream<Item = Result<(ObjectRef<K>, controller::Action), E>>)
where
    K: kube::Resource<DynamicType = ()>,
    E: std::fmt::Display,
{
    outcomes
        .for_each(|outcome| {
            if let Err(error) = outcome {
                // Failed reconciles are logged by their error policy; here it is watches and vanished objects.
                tracing::debug!(%error, "{what} controller");
            }
            future::ready(())
        })
        .await;
}
