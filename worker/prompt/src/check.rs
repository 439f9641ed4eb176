//! The static check: walks a template's syntax tree with what is known of each name.

mod expression;
mod facts;
mod operations;
mod paths;

use minijinja::{
    Environment,
    machinery::{
        Span,
        ast::{self, Expr, Stmt},
        parse,
    },
    syntax::SyntaxConfig,
};

use crate::{FaultKind, Known, PromptFault, names::Scope, parts::Part, shape::Shape};
use paths::path;

/// The faults of one part of a prompt file.
pub(crate) fn check_part(file: &str, part: &Part, known: &Known, engine: &Environment<'static>) -> Vec<PromptFault> {
    match parse(&part.source, file, SyntaxConfig::default()) {
        Err(error) => vec![PromptFault::from_engine(file, part.lines_before, &error)],
        Ok(template) => {
            let mut walk =
                Walk { file, lines_before: part.lines_before, engine, scope: Scope::new(known.roots()), faults: Vec::new() };
            walk.statement(&template);
            walk.faults
        }
    }
}

struct Walk<'a> {
    file: &'a str,
    lines_before: usize,
    engine: &'a Environment<'static>,
    scope: Scope,
    faults: Vec<PromptFault>,
}

impl Walk<'_> {
    fn fault(&mut self, span: Span, kind: FaultKind, message: String) {
        let line = self.lines_before + usize::from(span.start_line);
        self.faults.push(PromptFault::new(self.file, line, kind, message));
    }

    fn statements(&mut self, statements: &[Stmt<'_>]) {
        for statement in statements {
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &Stmt<'_>) {
        match statement {
            Stmt::Template(template) => self.statements(&template.children),
            Stmt::EmitRaw(_) => {}
            Stmt::EmitExpr(emit) => {
                self.expression(&emit.expr);
            }
            Stmt::ForLoop(each) => self.for_loop(each),
            Stmt::IfCond(branch) => {
                self.expression(&branch.expr);
                self.branch(&branch.expr, true, |walk| walk.statements(&branch.true_body));
                self.branch(&branch.expr, false, |walk| walk.statements(&branch.false_body));
            }
            Stmt::WithBlock(with) => {
                self.scope.enter([]);
                for (target, value) in &with.assignments {
                    let shape = self.expression(value);
                    self.assign(target, shape);
                }
                self.statements(&with.body);
                self.scope.leave();
            }
            Stmt::Set(set) => {
                let shape = self.expression(&set.expr);
                self.assign(&set.target, shape);
            }
            Stmt::SetBlock(set) => {
                self.frame([], &set.body);
                self.filter_chain(set.filter.as_ref());
                self.assign(&set.target, Shape::Scalar);
            }
            Stmt::AutoEscape(escape) => self.frame([], &escape.body),
            Stmt::FilterBlock(block) => {
                self.filter_chain(Some(&block.filter));
                self.frame([], &block.body);
            }
            Stmt::Macro(definition) => {
                self.scope.set(definition.name, Shape::Any);
                self.macro_body(definition);
            }
            Stmt::CallBlock(block) => {
                self.call(&block.call, block.call.span());
                self.macro_body(&block.macro_decl);
            }
            Stmt::Do(call) => {
                self.call(&call.call, call.span());
            }
            Stmt::Block(other) => self.other_files(other.span(), "block"),
            Stmt::Import(other) => self.other_files(other.span(), "import"),
            Stmt::FromImport(other) => self.other_files(other.span(), "from … import"),
            Stmt::Extends(other) => self.other_files(other.span(), "extends"),
            Stmt::Include(other) => self.other_files(other.span(), "include"),
        }
    }

    fn other_files(&mut self, span: Span, statement: &str) {
        let message = format!("{statement} is not possible here: a prompt is one file and reads no other");
        self.fault(span, FaultKind::Template, message);
    }

    fn frame(&mut self, names: impl IntoIterator<Item = (String, Shape)>, body: &[Stmt<'_>]) {
        self.scope.enter(names);
        self.statements(body);
        self.scope.leave();
    }

    fn branch(&mut self, condition: &Expr<'_>, holds: bool, body: impl FnOnce(&mut Self)) {
        let facts = self.facts(condition, holds);
        self.scope.enter_branch(facts);
        body(self);
        self.scope.leave();
    }

    fn for_loop(&mut self, each: &ast::ForLoop<'_>) {
        let list = self.expression(&each.iter);
        if let Shape::Scalar | Shape::Object(_) = list {
            let name = path(&each.iter).unwrap_or_else(|| "this".to_owned());
            self.fault(each.iter.span(), FaultKind::Template, format!("{name} is no list to loop over"));
        }
        self.scope.enter([("loop".to_owned(), Shape::Any)]);
        self.assign(&each.target, list.item());
        match &each.filter_expr {
            None => self.statements(&each.body),
            Some(condition) => {
                self.expression(condition);
                self.branch(condition, true, |walk| walk.statements(&each.body));
            }
        }
        self.scope.leave();
        self.frame([], &each.else_body);
    }

    fn macro_body(&mut self, definition: &ast::Macro<'_>) {
        for default in &definition.defaults {
            self.expression(default);
        }
        self.scope.enter([("caller".to_owned(), Shape::Any)]);
        for argument in &definition.args {
            self.assign(argument, Shape::Any);
        }
        self.statements(&definition.body);
        self.scope.leave();
    }

    fn assign(&mut self, target: &Expr<'_>, shape: Shape) {
        match target {
            Expr::Var(name) => self.scope.set(name.id, shape),
            Expr::List(list) => list.items.iter().for_each(|item| self.assign(item, Shape::Any)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.assign(item, Shape::Any)),
            _ => {}
        }
    }
}
