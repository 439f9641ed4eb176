//! What the condition of a branch makes sure of.

use minijinja::machinery::ast::{self, BinOpKind, Expr, UnaryOpKind};

use super::{
    Walk,
    paths::{constant_text, path},
};
use crate::{names::Facts, shape::Shape};

impl Walk<'_> {
    /// What is sure where `condition` came out as `holds`.
    pub(super) fn facts(&self, condition: &Expr<'_>, holds: bool) -> Facts {
        match condition {
            Expr::Var(name) if holds => self.not_none(name.id),
            Expr::GetAttr(_) | Expr::GetItem(_) => part(condition, holds),
            Expr::UnaryOp(unary) if matches!(unary.op, UnaryOpKind::Not) => self.facts(&unary.expr, !holds),
            Expr::BinOp(both) if holds && matches!(both.op, BinOpKind::ScAnd) => {
                self.facts(&both.left, true).and(self.facts(&both.right, true))
            }
            Expr::BinOp(either) if !holds && matches!(either.op, BinOpKind::ScOr) => {
                self.facts(&either.left, false).and(self.facts(&either.right, false))
            }
            Expr::BinOp(comparison) => phase(comparison, holds),
            Expr::Test(test) => match (test.name, &test.expr) {
                ("none", Expr::Var(name)) if !holds => self.not_none(name.id),
                ("none", tested) => part(tested, !holds),
                ("defined", tested) if holds => Facts { defined: path(tested).into_iter().collect(), ..Facts::default() },
                ("undefined", tested) if !holds => Facts { defined: path(tested).into_iter().collect(), ..Facts::default() },
                _ => Facts::default(),
            },
            _ => Facts::default(),
        }
    }

    fn not_none(&self, name: &str) -> Facts {
        match self.scope.get(name) {
            Some(Shape::Maybe(inner, _)) => Facts { names: vec![(name.to_owned(), (**inner).clone())], ..Facts::default() },
            _ => Facts::default(),
        }
    }
}

/// A part such as `item.output` is there, or it is not: then the other one is, because a target has an output or an error.
fn part(tested: &Expr<'_>, there: bool) -> Facts {
    let Some(path) = path(tested) else { return Facts::default() };
    let other = || match path.rsplit_once('.') {
        Some((item, "error")) => Some(format!("{item}.output")),
        Some((item, "output")) => Some(format!("{item}.error")),
        _ => None,
    };
    let present = if there { Some(path.clone()) } else { other() };
    Facts { present: present.into_iter().collect(), ..Facts::default() }
}

/// `item.phase == "Succeeded"` and its like.
fn phase(comparison: &ast::BinOp<'_>, holds: bool) -> Facts {
    let found = || {
        let equal = match comparison.op {
            BinOpKind::Eq => holds,
            BinOpKind::Ne => !holds,
            _ => return None,
        };
        let tested = path(&comparison.left)?;
        let (item, "phase") = tested.rsplit_once('.')? else { return None };
        let succeeded = match constant_text(&comparison.right)?.as_str() {
            "Succeeded" => equal,
            "Failed" => !equal,
            _ => return None,
        };
        Some(format!("{item}.{}", if succeeded { "output" } else { "error" }))
    };
    Facts { present: found().into_iter().collect(), ..Facts::default() }
}
