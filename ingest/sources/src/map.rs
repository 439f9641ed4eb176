//! Where the parts of an event are found, as the configuration says it.

use crate::config::label_pairs;
use crate::node::Node;
use crate::pattern::fits;
use crate::presets;
use std::collections::BTreeMap;
use trackway_crds::track::Priority;

/// Most places to look for one part.
const PLACES: usize = 8;
const VALUE_CHARS: usize = 128;

/// Somewhere to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A JSON pointer into the body, or into a CloudEvent's data; empty: all of it.
    Pointer(String),
    /// A header of the request, its name in lower case.
    Header(String),
    /// An attribute of a CloudEvent.
    Attribute(String),
    /// Always this.
    Value(String),
    /// The type that GitHub's event header and the body's action make together.
    GitHubType,
}

/// Where to look, the first place that has something counts.
pub(crate) type Places = Vec<Place>;

/// Where every part is found.
#[derive(Clone, Debug)]
pub(crate) struct Map {
    pub(crate) id: Places,
    pub(crate) type_: Places,
    pub(crate) source: Places,
    pub(crate) subject: Places,
    pub(crate) user: Places,
    pub(crate) time: Places,
    pub(crate) data: Places,
    pub(crate) labels: BTreeMap<String, Places>,
    pub(crate) priority: PriorityRule,
}

/// How urgent an event is.
#[derive(Clone, Debug, Default)]
pub(crate) struct PriorityRule {
    pub(crate) from: Places,
    /// By what stands there, in lower case.
    pub(crate) values: BTreeMap<String, Priority>,
    /// By patterns of the type, the most particular first.
    by_type: Vec<(String, Priority)>,
    default: Option<Priority>,
}

impl PriorityRule {
    /// A rule for the types that fit these patterns.
    pub(crate) fn new(from: Places, by_type: &[(&str, Priority)]) -> Self {
        let mut rule = Self { from, ..Self::default() };
        rule.by_type = by_type.iter().map(|(pattern, priority)| ((*pattern).to_owned(), *priority)).collect();
        rule.sort();
        rule
    }

    /// What this text in the place `from` means; the names of priorities mean themselves.
    pub(crate) fn by_value(&self, text: &str) -> Option<Priority> {
        let text = text.to_lowercase();
        let named = || PRIORITIES.iter().find(|(name, _)| name.eq_ignore_ascii_case(&text)).map(|(_, priority)| *priority);
        self.values.get(&text).copied().or_else(named)
    }

    /// What an event of this type has if its own words do not say.
    pub(crate) fn by_type(&self, type_: &str) -> Priority {
        let found = self.by_type.iter().find(|(pattern, _)| fits(pattern, type_)).map(|(_, priority)| *priority);
        found.or(self.default).unwrap_or(Priority::Low)
    }

    /// Patterns are a mapping, and mappings have no order: more characters that are not stars are more particular.
    fn sort(&mut self) {
        let particular = |pattern: &str| pattern.chars().filter(|c| *c != '*').count();
        self.by_type.sort_by_key(|(pattern, priority)| (pattern.contains('*'), usize::MAX - particular(pattern), *priority));
    }
}

/// What the configuration says itself; the rest is the preset's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    id: Option<Places>,
    type_: Option<Places>,
    source: Option<Places>,
    subject: Option<Places>,
    user: Option<Places>,
    time: Option<Places>,
    data: Option<Places>,
    labels: Option<BTreeMap<String, Places>>,
    from: Option<Places>,
    values: Option<BTreeMap<String, Priority>>,
    by_type: Option<Vec<(String, Priority)>>,
    default: Option<Priority>,
}

impl Said {
    /// `preset` with what is said in its place.
    pub(crate) fn over(self, preset: Map) -> Map {
        let mut priority = PriorityRule {
            from: self.from.unwrap_or(preset.priority.from),
            values: self.values.unwrap_or(preset.priority.values),
            by_type: self.by_type.unwrap_or(preset.priority.by_type),
            default: self.default.or(preset.priority.default),
        };
        priority.sort();
        Map {
            id: self.id.unwrap_or(preset.id),
            type_: self.type_.unwrap_or(preset.type_),
            source: self.source.unwrap_or(preset.source),
            subject: self.subject.unwrap_or(preset.subject),
            user: self.user.unwrap_or(preset.user),
            time: self.time.unwrap_or(preset.time),
            data: self.data.unwrap_or(preset.data),
            labels: self.labels.unwrap_or(preset.labels),
            priority,
        }
    }

    /// For CloudEvents: what they say of themselves is never replaced, for by it repeats are recognised.
    pub(crate) fn over_attributes(self) -> Map {
        let own = presets::cloud();
        let (id, type_, source) = (own.id.clone(), own.type_.clone(), own.source.clone());
        Map { id, type_, source, ..self.over(own) }
    }
}

const PRIORITIES: [(&str, Priority); 3] = [("High", Priority::High), ("Medium", Priority::Medium), ("Low", Priority::Low)];

/// The field `map` of a source.
pub(crate) fn read(source: &Node<'_>) -> Said {
    let Some(map) = source.get("map") else { return Said::default() };
    let map = map.only(&["id", "type", "source", "subject", "user", "time", "data", "labels", "priority"]);
    let text = |name: &str| map.get(name).map(|node| places(&node, false));
    let mut said = Said {
        id: text("id"),
        type_: text("type"),
        source: text("source"),
        subject: text("subject"),
        user: text("user"),
        time: text("time"),
        data: map.get("data").map(|node| places(&node, true)),
        labels: map.get("labels").map(|_| {
            let pairs = label_pairs(&map).into_iter();
            pairs.map(|(key, node)| (key.to_owned(), places(&node, false))).collect()
        }),
        ..Said::default()
    };
    if let Some(priority) = map.get("priority") {
        let priority = priority.only(&["from", "values", "byType", "default"]);
        said.from = priority.get("from").map(|node| places(&node, false));
        said.values = priority.get("values").map(|_| values(&priority));
        said.by_type = priority.get("byType").map(|_| by_type(&priority));
        said.default = priority.get("default").and_then(|node| node.choice(&PRIORITIES));
    }
    said
}

fn values(priority: &Node<'_>) -> BTreeMap<String, Priority> {
    let mut values = BTreeMap::new();
    for (text, node) in priority.pairs("values") {
        let Some(meaning) = node.choice(&PRIORITIES) else { continue };
        if values.insert(text.to_lowercase(), meaning).is_some_and(|other| other != meaning) {
            node.wrong("is named twice with different priorities: capitals make no difference here");
        }
    }
    values
}

fn by_type(priority: &Node<'_>) -> Vec<(String, Priority)> {
    let pairs = priority.pairs("byType").into_iter();
    pairs.filter_map(|(pattern, node)| Some((pattern.to_owned(), node.choice(&PRIORITIES)?))).collect()
}

/// One place or a list of them. `whole`: the whole body is an answer.
fn places(node: &Node<'_>, whole: bool) -> Places {
    if !node.is_list() {
        return place(node, whole).into_iter().collect();
    }
    let entries = node.entries();
    if entries.len() > PLACES {
        node.wrong(format!("names {} places: use at most {PLACES}", entries.len()));
    }
    entries.iter().filter_map(|entry| place(entry, whole)).collect()
}

fn place(node: &Node<'_>, whole: bool) -> Option<Place> {
    if node.is_mapping() {
        let node = node.clone().only(&["value"]);
        let Some(value) = node.get("value") else {
            node.missing("value", "write {value: TEXT} for a text that is always the same");
            return None;
        };
        return value.line(VALUE_CHARS).map(|text| Place::Value(text.to_owned()));
    }
    let text = node.text()?;
    let found = match text.split_once(':') {
        Some(("header", name)) if is_header(name) => Some(Place::Header(name.to_ascii_lowercase())),
        Some(("attribute", name)) if is_attribute(name) => Some(Place::Attribute(name.to_owned())),
        _ if is_pointer(text) && (whole || !text.is_empty()) => Some(Place::Pointer(text.to_owned())),
        _ => None,
    };
    if found.is_none() {
        let places = "a JSON pointer such as /repository/name, header:NAME, attribute:NAME of a CloudEvent, or {value: TEXT}";
        node.wrong(format!("{} is not a place: use {places}", node.shown()));
    }
    found
}

fn is_header(name: &str) -> bool {
    (1..=128).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn is_attribute(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// RFC 6901: empty, or parts that each begin with a slash; `~` only as `~0` and `~1`.
fn is_pointer(text: &str) -> bool {
    let parts = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    (text.is_empty() || text.starts_with('/')) && text.len() <= 512 && parts
}
