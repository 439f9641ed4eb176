//! Filters that are ours: exact JSON and a plain `truncate`.

use minijinja::{Environment, Error, ErrorKind, Value, value::Kwargs};

/// Steps a rendering may take; also bounds what it may allocate, at about 64 bytes a step.
const FUEL: u64 = 2_000_000;
const RECURSION_LIMIT: usize = 100;

/// The engine as prompts use it: strict, without escaping, without anything that reads from elsewhere.
pub(crate) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION_LIMIT);
    environment.set_debug(true);
    environment.remove_global("debug");
    environment.add_filter("tojson", tojson);
    environment.add_filter("truncate", truncate);
    environment
}

/// Compact JSON as a model expects it; the engine's own would write `<` as `\u003c`. `indent=true` writes it over many lines.
fn tojson(value: &Value, kwargs: Kwargs) -> Result<String, Error> {
    if value.is_undefined() {
        // Asking an undefined value for a part is the only public way to an error that says where it comes from.
        value.get_attr("json")?;
    }
    let indent = kwargs.get::<Option<Value>>("indent")?.is_some_and(|indent| indent.is_true());
    kwargs.assert_all_used()?;
    let json = if indent { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    json.map_err(|error| Error::new(ErrorKind::InvalidOperation, format!("tojson: {error}")))
}

/// The first `length` characters (default 255), `end` (default `…`) among them where something was cut.
fn truncate(text: String, length: Option<usize>, kwargs: Kwargs) -> Result<String, Error> {
    let length = match length {
        Some(length) => length,
        None => kwargs.get::<Option<usize>>("length")?.unwrap_or(255),
    };
    let end = kwargs.get::<Option<String>>("end")?.unwrap_or_else(|| "…".to_owned());
    kwargs.assert_all_used()?;
    if text.chars().nth(length).is_none() {
        return Ok(text);
    }
    let kept = length.saturating_sub(end.chars().count());
    Ok(text.chars().take(kept).chain(end.chars()).take(length).collect())
}
