//! What a simulation starts from: Tracks that take the batch, and the batch.

use crate::{
    args::SimulateArgs,
    lint::{Report, check, endpoints, spec},
    sources::Sources,
    submit::{Batch, make_batch, order, read_events},
};
use anyhow::{Context, anyhow, bail, ensure};
use bytes::Bytes;
use jiff::Timestamp;
use std::{collections::BTreeMap, fs, path::Path};
use trackway_crds::{
    ModelEndpointSpec, TrackSpec,
    contracts::{BatchDocument, BatchInfo, CONTRACT, ResolvedWork},
};
use trackway_resolve::{Resolved, resolve};

/// Tracks that can run, and the batch they run on.
pub(super) struct Inputs {
    pub(super) tracks: Vec<Resolved>,
    pub(super) batch: Batch,
    /// What the programs of container stages would write, by stage.
    pub(super) containers: BTreeMap<String, Bytes>,
    /// What the tenant has answered, by question id.
    pub(super) answers: BTreeMap<String, serde_json::Value>,
}

impl Inputs {
    /// Reads everything; a Track with faults gives lint's report instead.
    pub(super) fn read(args: &SimulateArgs) -> anyhow::Result<Result<Self, Report>> {
        let sources = Sources::read(&args.files)?;
        let report = check(&sources, false);
        if report.faults() > 0 {
            return Ok(Err(report));
        }
        let batch = batch(args)?;
        let tracks = chosen(&sources, args, &batch.info)?;
        let resolved =
            tracks.into_iter().map(|(name, spec)| resolved(&sources, args, &name, spec)).collect::<anyhow::Result<Vec<_>>>()?;
        let containers = containers(args, &resolved)?;
        let answers = args.answers.as_deref().map(answers).transpose()?.unwrap_or_default();
        Ok(Ok(Self { tracks: resolved, batch, containers, answers }))
    }
}

fn chosen(sources: &Sources, args: &SimulateArgs, batch: &BatchInfo) -> anyhow::Result<Vec<(String, TrackSpec)>> {
    let mut tracks = Vec::new();
    for (file, document) in sources.of_kind("Track") {
        let name = document.text("/metadata/name").unwrap_or_default().to_owned();
        let spec: TrackSpec = spec(document).with_context(|| format!("{}: Track {name}", file.display()))?;
        tracks.push((name, spec));
    }
    let names = tracks.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    match &args.track {
        Some(wanted) => tracks.retain(|(name, _)| name == wanted),
        None => tracks.retain(|(_, spec)| takes(spec, batch)),
    }
    match (tracks.is_empty(), &args.track) {
        (true, Some(wanted)) => bail!("no Track {wanted} in what -f names; there is {names}"),
        (true, None) if names.is_empty() => bail!("no Track in what -f names"),
        (true, None) => bail!(
            "no Track's selector takes this batch (level {}, priority {}); there is {names}: change --level, --priority or --label, or say --track",
            batch.level.as_str(),
            batch.priority.as_str()
        ),
        (false, _) => Ok(tracks),
    }
}

fn takes(spec: &TrackSpec, batch: &BatchInfo) -> bool {
    let selector = &spec.selector;
    (selector.levels.is_empty() || selector.levels.contains(&batch.level))
        && (selector.priorities.is_empty() || selector.priorities.contains(&batch.priority))
        && selector.label_selector.as_ref().is_none_or(|labels| labels.matches(&batch.labels))
}

fn resolved(sources: &Sources, args: &SimulateArgs, name: &str, mut spec: TrackSpec) -> anyhow::Result<Resolved> {
    if let Some(model) = &args.llm_model {
        spec.models.iter_mut().for_each(|role| role.model.clone_from(model));
    }
    let endpoints = match &args.llm_url {
        Some(url) => everywhere(url, &spec),
        None => endpoints(sources),
    };
    let files = sources.config(&spec.prompts_from.config_map_ref.name).files();
    resolve(name, &spec, &endpoints, &files).map_err(|faults| {
        let faults = faults.iter().map(|fault| format!("\n  {fault}")).collect::<String>();
        anyhow!("Track {name} cannot run (--llm-url takes the place of every ModelEndpoint):{faults}")
    })
}

/// What `--container` names: an output for every stage that runs a program, and for no other.
fn containers(args: &SimulateArgs, tracks: &[Resolved]) -> anyhow::Result<BTreeMap<String, Bytes>> {
    let stages = tracks.iter().flat_map(|track| &track.revision.stages);
    let images: BTreeMap<_, _> = stages
        .filter_map(|stage| match &stage.work {
            ResolvedWork::Container { image, .. } => Some((stage.name.as_str(), image.as_str())),
            _ => None,
        })
        .collect();
    let mut outputs = BTreeMap::new();
    for (stage, path) in &args.containers {
        if !images.contains_key(stage.as_str()) {
            let there =
                if images.is_empty() { "none does".to_owned() } else { images.keys().copied().collect::<Vec<_>>().join(", ") };
            bail!("--container {stage}: no stage of that name runs a program; those that do: {there}");
        }
        let bytes = fs::read(path).with_context(|| format!("--container {stage}: cannot read {}", path.display()))?;
        let output: serde_json::Value =
            serde_json::from_slice(&bytes).with_context(|| format!("--container {stage}: {} is not JSON", path.display()))?;
        ensure!(output.is_object(), "--container {stage}: {} must hold an object, as output.json does", path.display());
        outputs.insert(stage.clone(), Bytes::from(bytes));
    }
    match images.into_iter().find(|(stage, _)| !outputs.contains_key(*stage)) {
        Some((stage, image)) => bail!(
            "stage {stage} runs image {image}, which cannot be done without a cluster: give the output it would write, \
             --container {stage}=FILE.json"
        ),
        None => Ok(outputs),
    }
}

fn answers(path: &Path) -> anyhow::Result<BTreeMap<String, serde_json::Value>> {
    let bytes = fs::read(path).with_context(|| format!("--answers: cannot read {}", path.display()))?;
    serde_json::from_slice(&bytes)
        .with_context(|| format!("--answers: {} must hold a JSON object of question ids and answers", path.display()))
}

/// The server at `url` under the name of every endpoint the Track uses.
fn everywhere(url: &str, spec: &TrackSpec) -> BTreeMap<String, ModelEndpointSpec> {
    let endpoint = |name: &String| {
        let spec = ModelEndpointSpec {
            base_url: url.trim_end_matches('/').to_owned(),
            api_key_secret_ref: None,
            headers: BTreeMap::new(),
            ca_bundle_ref: None,
        };
        (name.clone(), spec)
    };
    spec.models.iter().map(|role| endpoint(&role.endpoint)).collect()
}

/// A batch document as it is, or one made of events.
fn batch(args: &SimulateArgs) -> anyhow::Result<Batch> {
    if let [path] = args.batch.as_slice()
        && let Some(batch) = sealed(path)?
    {
        return Ok(batch);
    }
    make_batch(read_events(&args.batch)?, order(&args.tenant, &args.order), Timestamp::now())
}

fn sealed(path: &Path) -> anyhow::Result<Option<Batch>> {
    if !path.is_file() {
        return Ok(None);
    }
    let document = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let Ok(parsed) = serde_json::from_slice::<BatchDocument>(&document) else { return Ok(None) };
    let (path, contract) = (path.display(), parsed.contract);
    ensure!(
        contract == CONTRACT,
        "{path}: a batch document of contract {contract}, and this program knows {CONTRACT}: use one release"
    );
    Ok(Some(Batch { info: parsed.batch, document }))
}
