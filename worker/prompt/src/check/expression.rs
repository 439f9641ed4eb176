//! Expressions: what each name leads to.

use minijinja::machinery::{
    Span,
    ast::{self, BinOpKind, Expr},
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
    pub(super) fn expression(&mut self, expression: &Expr<'_>) -> Shape {
        match expression {
            Expr::Var(name) => self.variable(name.id, name.span()),
            Expr::Const(_) => Shape::Scalar,
            Expr::GetAttr(get) => {
                let base = self.expression(&get.expr);
                self.part_of(&base, &get.expr, get.name, get.span())
            }
            Expr::GetItem(get) => self.item(get, get.span()),
            Expr::Slice(slice) => {
                let shape = self.expression(&slice.expr);
                self.optional([&slice.start, &slice.stop, &slice.step]);
                shape
            }
            Expr::UnaryOp(unary) => {
                self.expression(&unary.expr);
                Shape::Scalar
            }
            Expr::BinOp(operation) => self.binary(operation),
            Expr::Compare(compare) => {
                self.expression(&compare.expr);
                compare.ops.iter().for_each(|operand| {
                    self.expression(&operand.expr);
                });
                Shape::Scalar
            }
            Expr::IfExpr(choice) => self.choice(choice),
            Expr::Filter(filter) => self.filter(filter, filter.span()),
            Expr::Test(test) => self.test(test, test.span()),
            Expr::Call(call) => self.call(call, call.span()),
            Expr::List(list) => self.list(&list.items),
            Expr::Tuple(tuple) => self.list(&tuple.items),
            Expr::Map(map) => {
                map.keys.iter().chain(&map.values).for_each(|part| {
                    self.expression(part);
                });
                Shape::Any
            }
        }
    }

    pub(super) fn optional(&mut self, parts: [&Option<Expr<'_>>; 3]) {
        for part in parts.into_iter().flatten() {
            self.expression(part);
        }
    }

    pub(super) fn list(&mut self, items: &[Expr<'_>]) -> Shape {
        for item in items {
            self.expression(item);
        }
        Shape::List(Box::new(Shape::Any))
    }

    pub(super) fn binary(&mut self, operation: &ast::BinOp<'_>) -> Shape {
        self.expression(&operation.left);
        match operation.op {
            BinOpKind::ScAnd | BinOpKind::ScOr => {
                let holds = matches!(operation.op, BinOpKind::ScAnd);
                self.branch(&operation.left, holds, |walk| {
                    walk.expression(&operation.right);
                });
                Shape::Any
            }
            BinOpKind::Add => {
                self.expression(&operation.right);
                Shape::Any
            }
            _ => {
                self.expression(&operation.right);
                Shape::Scalar
            }
        }
    }

    pub(super) fn choice(&mut self, choice: &ast::IfExpr<'_>) -> Shape {
        self.expression(&choice.test_expr);
        self.branch(&choice.test_expr, true, |walk| {
            walk.expression(&choice.true_expr);
        });
        if let Some(otherwise) = &choice.false_expr {
            self.branch(&choice.test_expr, false, |walk| {
                walk.expression(otherwise);
            });
        }
        Shape::Any
    }

    pub(super) fn variable(&mut self, name: &str, span: Span) -> Shape {
        if let Some(shape) = self.scope.get(name) {
            return shape.clone();
        }
        if !self.scope.is_defined(name) {
            let hint = match name {
                "target" => ": only a stage with forEach has one",
                "retrieved" => ": only a stage with generate.retrieve has it",
                _ => "",
            };
            let message = format!("undefined name {name}{hint}; known: {}", self.scope.names().join(", "));
            self.fault(span, FaultKind::Undefined, message);
        }
        Shape::Any
    }

    pub(super) fn item(&mut self, get: &ast::GetItem<'_>, span: Span) -> Shape {
        let base = self.expression(&get.expr);
        match constant_text(&get.subscript_expr) {
            Some(name) => self.part_of(&base, &get.expr, &name, span),
            None => {
                self.expression(&get.subscript_expr);
                base.item()
            }
        }
    }

    /// The part called `name` of `base`, which `expression` names.
    pub(super) fn part_of(&mut self, base: &Shape, expression: &Expr<'_>, name: &str, span: Span) -> Shape {
        let of = path(expression).unwrap_or_else(|| "it".to_owned());
        match base {
            Shape::Any | Shape::Map => Shape::Any,
            Shape::Maybe(inner, why) => {
                if !self.scope.is_present(&of) {
                    self.fault(span, FaultKind::Undefined, may_be_none(&of, name, *why));
                }
                self.part_of(inner, expression, name, span)
            }
            Shape::Object(fields) => {
                if let Some(shape) = field(fields, name) {
                    return shape.clone();
                }
                if !self.scope.is_defined(&joined(&of, name)) {
                    self.fault(span, FaultKind::Undefined, unknown_part(&of, name, fields));
                }
                Shape::Any
            }
            Shape::List(_) if name.parse::<usize>().is_ok() => base.item(),
            Shape::List(_) => {
                let message = format!("undefined name {}: {of} is a list; loop over it, or write {of}[0]", joined(&of, name));
                self.fault(span, FaultKind::Undefined, message);
                Shape::Any
            }
            Shape::Scalar => {
                self.fault(span, FaultKind::Undefined, format!("undefined name {}: {of} has no parts", joined(&of, name)));
                Shape::Any
            }
        }
    }
}
