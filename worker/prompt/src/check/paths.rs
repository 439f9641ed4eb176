//! Names as a person would write them.

use minijinja::machinery::ast::Expr;

use crate::shape::{Fields, Why};

/// The text of a constant such as `"insights"`.
pub(super) fn constant_text(expression: &Expr<'_>) -> Option<String> {
    match expression {
        Expr::Const(constant) => constant.value.as_str().map(str::to_owned),
        _ => None,
    }
}

/// `batch.labels`, `stages["context-validation"].gaps`: how a person would write it; `None` for anything but names.
pub(super) fn path(expression: &Expr<'_>) -> Option<String> {
    match expression {
        Expr::Var(name) => Some(name.id.to_owned()),
        Expr::GetAttr(get) => Some(joined(&path(&get.expr)?, get.name)),
        Expr::GetItem(get) => match constant_text(&get.subscript_expr) {
            Some(name) => Some(joined(&path(&get.expr)?, &name)),
            None => Some(format!("{}[]", path(&get.expr)?)),
        },
        Expr::Filter(filter) => path(filter.expr.as_ref()?),
        _ => None,
    }
}

pub(super) fn joined(of: &str, name: &str) -> String {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain { format!("{of}.{name}") } else { format!("{of}[{name:?}]") }
}

pub(super) fn unknown_part(of: &str, name: &str, known: &Fields) -> String {
    let known: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
    let dashed = known.iter().find(|known| known.strip_prefix(name).is_some_and(|rest| rest.starts_with('-')));
    let hint = dashed.map_or_else(String::new, |dashed| format!("; a name with a dash is written {of}[{dashed:?}]"));
    let listed = match known.split_first() {
        None => "nothing is known there".to_owned(),
        Some((first, rest)) => {
            let rest: String = rest.iter().map(|name| format!(" {}", joined("", name))).collect();
            format!("known: {}{rest}", joined(of, first))
        }
    };
    format!("undefined name {}; {listed}{hint}", joined(of, name))
}

pub(super) fn may_be_none(of: &str, name: &str, why: Why) -> String {
    let guarded = if of.contains("[]") {
        "loop over the list and ask whether it is there first".to_owned()
    } else {
        format!("put it inside {{% if {of} %}} … {{% endif %}}")
    };
    format!("{}: {of} is none {}; {guarded}", joined(of, name), why.words())
}
