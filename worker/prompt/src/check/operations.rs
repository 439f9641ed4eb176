//! Tests, filters and calls.

use minijinja::{
    ErrorKind,
    machinery::{
        Span,
        ast::{self, CallArg, CallType, Expr},
    },
};

use super::{
    Walk,
    paths::{constant_text, joined, may_be_none, path, unknown_part},
};
use crate::{
    FaultKind,
    shape::{Shape, field},
};

impl Walk<'_> {
    /// A test; `is defined` is there to ask for names that may be missing.
    pub(super) fn test(&mut self, test: &ast::Test<'_>, span: Span) -> Shape {
        let probed = self.engine.empty_state().perform_test(test.name, &[]);
        if probed.is_err_and(|error| error.kind() == ErrorKind::UnknownTest) {
            self.fault(span, FaultKind::Template, format!("unknown test {:?}", test.name));
        }
        if matches!(test.name, "defined" | "undefined") {
            self.tolerant(&test.expr);
        } else {
            self.expression(&test.expr);
        }
        self.arguments(&test.args);
        Shape::Scalar
    }

    /// An expression whose last name may be missing.
    pub(super) fn tolerant(&mut self, expression: &Expr<'_>) -> Shape {
        match expression {
            Expr::Var(name) => self.scope.get(name.id).cloned().unwrap_or(Shape::Any),
            Expr::GetAttr(get) => self.tolerant_part(&get.expr, get.name),
            Expr::GetItem(get) => match constant_text(&get.subscript_expr) {
                Some(name) => self.tolerant_part(&get.expr, &name),
                None => self.expression(expression),
            },
            _ => self.expression(expression),
        }
    }

    pub(super) fn tolerant_part(&mut self, base: &Expr<'_>, name: &str) -> Shape {
        match self.expression(base) {
            Shape::Object(fields) => field(&fields, name).cloned().unwrap_or(Shape::Any),
            _ => Shape::Any,
        }
    }

    pub(super) fn filter_chain(&mut self, filter: Option<&Expr<'_>>) {
        if let Some(filter) = filter {
            self.expression(filter);
        }
    }

    pub(super) fn filter(&mut self, filter: &ast::Filter<'_>, span: Span) -> Shape {
        let probed = self.engine.empty_state().apply_filter(filter.name, &[]);
        if probed.is_err_and(|error| error.kind() == ErrorKind::UnknownFilter) {
            self.fault(span, FaultKind::Template, format!("unknown filter {:?}", filter.name));
        }
        let given = match &filter.expr {
            None => Shape::Any,
            Some(given) if matches!(filter.name, "default" | "d") => self.tolerant(given),
            Some(given) => self.expression(given),
        };
        self.arguments(&filter.args);
        let attribute = self.attribute(filter, &given, span);
        match filter.name {
            "length" | "count" | "tojson" | "truncate" | "join" | "upper" | "lower" | "title" | "trim" | "replace" => {
                Shape::Scalar
            }
            "first" | "last" => given.item(),
            "selectattr" | "rejectattr" if by_outcome(filter) => given.sifted(),
            "sort" | "reverse" | "unique" | "list" | "select" | "reject" | "selectattr" | "rejectattr" => given,
            "map" => Shape::List(Box::new(attribute.unwrap_or(Shape::Any))),
            _ => Shape::Any,
        }
    }

    /// What a filter such as `map(attribute="data.title")` picks of each item.
    pub(super) fn attribute(&mut self, filter: &ast::Filter<'_>, given: &Shape, span: Span) -> Option<Shape> {
        let named = filter.args.iter().find_map(|argument| match argument {
            CallArg::Kwarg("attribute", value) => constant_text(value),
            _ => None,
        });
        let positional = match filter.args.first() {
            Some(CallArg::Pos(value)) if matches!(filter.name, "selectattr" | "rejectattr" | "groupby") => constant_text(value),
            _ => None,
        };
        let attribute = named.or(positional)?;
        let mut of = filter.expr.as_ref().and_then(path).map_or_else(|| "its items".to_owned(), |list| format!("{list}[]"));
        let mut shape = given.item();
        for name in attribute.split('.') {
            if let Shape::Maybe(_, why) = shape {
                self.fault(span, FaultKind::Undefined, may_be_none(&of, name, why));
            }
            let Shape::Object(fields) = &shape else { return Some(Shape::Any) };
            let Some(part) = field(fields, name) else {
                self.fault(span, FaultKind::Undefined, unknown_part(&of, name, fields));
                return Some(Shape::Any);
            };
            shape = part.clone();
            of = joined(&of, name);
        }
        Some(shape)
    }

    pub(super) fn arguments(&mut self, arguments: &[CallArg<'_>]) {
        for argument in arguments {
            let (CallArg::Pos(value) | CallArg::Kwarg(_, value) | CallArg::PosSplat(value) | CallArg::KwargSplat(value)) =
                argument;
            self.expression(value);
        }
    }

    pub(super) fn call(&mut self, call: &ast::Call<'_>, span: Span) -> Shape {
        self.arguments(&call.args);
        match call.identify_call() {
            CallType::Function(name) => {
                let function = self.scope.get(name).is_some() || self.engine.globals().any(|(global, _)| global == name);
                if !function {
                    self.fault(span, FaultKind::Template, format!("unknown function {name}"));
                }
            }
            CallType::Method(object, name) => {
                self.expression(object);
                if !matches!(object, Expr::Var(variable) if variable.id == "loop") {
                    let message = format!("values have no methods such as .{name}(); write a filter: … | {name}");
                    self.fault(span, FaultKind::Template, message);
                }
            }
            CallType::Block(_) => self.other_files(span, "self"),
            CallType::Object(object) => {
                self.expression(object);
            }
        }
        Shape::Any
    }
}

/// Whether a `selectattr` or `rejectattr` tells targets that succeeded from those that failed.
fn by_outcome(filter: &ast::Filter<'_>) -> bool {
    let Some(CallArg::Pos(attribute)) = filter.args.first() else { return false };
    constant_text(attribute).is_some_and(|attribute| matches!(attribute.as_str(), "phase" | "output" | "error"))
}
