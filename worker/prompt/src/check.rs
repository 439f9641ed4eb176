//! The static check: walks a template's syntax tree with what is known of each name.

use minijinja::{
    Environment, ErrorKind,
    machinery::{
        Span,
        ast::{self, BinOpKind, CallArg, CallType, Expr, Stmt, UnaryOpKind},
        parse,
    },
    syntax::SyntaxConfig,
};

use crate::{
    FaultKind, Known, PromptFault,
    names::{Facts, Scope},
    parts::Part,
    shape::{Fields, Shape, field},
};

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

    fn expression(&mut self, expression: &Expr<'_>) -> Shape {
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

    fn optional(&mut self, parts: [&Option<Expr<'_>>; 3]) {
        for part in parts.into_iter().flatten() {
            self.expression(part);
        }
    }

    fn list(&mut self, items: &[Expr<'_>]) -> Shape {
        for item in items {
            self.expression(item);
        }
        Shape::List(Box::new(Shape::Any))
    }

    fn binary(&mut self, operation: &ast::BinOp<'_>) -> Shape {
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

    fn choice(&mut self, choice: &ast::IfExpr<'_>) -> Shape {
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

    fn variable(&mut self, name: &str, span: Span) -> Shape {
        if let Some(shape) = self.scope.get(name) {
            return shape.clone();
        }
        if !self.scope.is_defined(name) {
            let message = format!("undefined name {name}; known: {}", self.scope.names().join(", "));
            self.fault(span, FaultKind::Undefined, message);
        }
        Shape::Any
    }

    fn item(&mut self, get: &ast::GetItem<'_>, span: Span) -> Shape {
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
    fn part_of(&mut self, base: &Shape, expression: &Expr<'_>, name: &str, span: Span) -> Shape {
        let of = path(expression).unwrap_or_else(|| "it".to_owned());
        match base {
            Shape::Any | Shape::Map => Shape::Any,
            Shape::Maybe(inner) => {
                let message = format!("{of}.{name}: {of} is none on attempt 1; put it inside {{% if {of} %}} … {{% endif %}}");
                self.fault(span, FaultKind::Undefined, message);
                self.part_of(&inner.clone(), expression, name, span)
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

    /// A test; `is defined` is there to ask for names that may be missing.
    fn test(&mut self, test: &ast::Test<'_>, span: Span) -> Shape {
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
    fn tolerant(&mut self, expression: &Expr<'_>) -> Shape {
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

    fn tolerant_part(&mut self, base: &Expr<'_>, name: &str) -> Shape {
        match self.expression(base) {
            Shape::Object(fields) => field(&fields, name).cloned().unwrap_or(Shape::Any),
            _ => Shape::Any,
        }
    }

    fn filter_chain(&mut self, filter: Option<&Expr<'_>>) {
        if let Some(filter) = filter {
            self.expression(filter);
        }
    }

    fn filter(&mut self, filter: &ast::Filter<'_>, span: Span) -> Shape {
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
            "sort" | "reverse" | "unique" | "list" | "select" | "reject" | "selectattr" | "rejectattr" => given,
            "map" => Shape::List(Box::new(attribute.unwrap_or(Shape::Any))),
            _ => Shape::Any,
        }
    }

    /// What a filter such as `map(attribute="data.title")` picks of each item.
    fn attribute(&mut self, filter: &ast::Filter<'_>, given: &Shape, span: Span) -> Option<Shape> {
        let named = filter.args.iter().find_map(|argument| match argument {
            CallArg::Kwarg("attribute", value) => constant_text(value),
            _ => None,
        });
        let positional = match filter.args.first() {
            Some(CallArg::Pos(value)) if matches!(filter.name, "selectattr" | "rejectattr" | "groupby") => constant_text(value),
            _ => None,
        };
        let attribute = named.or(positional)?;
        let of = filter.expr.as_ref().and_then(path).map_or_else(|| "its items".to_owned(), |list| format!("{list}[]"));
        let mut shape = given.item();
        for name in attribute.split('.') {
            let Shape::Object(fields) = &shape else { return Some(Shape::Any) };
            let Some(part) = field(fields, name) else {
                self.fault(span, FaultKind::Undefined, unknown_part(&of, name, fields));
                return Some(Shape::Any);
            };
            shape = part.clone();
        }
        Some(shape)
    }

    fn arguments(&mut self, arguments: &[CallArg<'_>]) {
        for argument in arguments {
            let (CallArg::Pos(value) | CallArg::Kwarg(_, value) | CallArg::PosSplat(value) | CallArg::KwargSplat(value)) =
                argument;
            self.expression(value);
        }
    }

    fn call(&mut self, call: &ast::Call<'_>, span: Span) -> Shape {
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

    /// What is sure where `condition` came out as `holds`.
    fn facts(&self, condition: &Expr<'_>, holds: bool) -> Facts {
        match condition {
            Expr::Var(name) if holds => self.not_none(name.id),
            Expr::UnaryOp(unary) if matches!(unary.op, UnaryOpKind::Not) => self.facts(&unary.expr, !holds),
            Expr::BinOp(both) if holds && matches!(both.op, BinOpKind::ScAnd) => {
                self.facts(&both.left, true).and(self.facts(&both.right, true))
            }
            Expr::BinOp(either) if !holds && matches!(either.op, BinOpKind::ScOr) => {
                self.facts(&either.left, false).and(self.facts(&either.right, false))
            }
            Expr::Test(test) => match (test.name, &test.expr) {
                ("none", Expr::Var(name)) if !holds => self.not_none(name.id),
                ("defined", tested) if holds => Facts { defined: path(tested).into_iter().collect(), ..Facts::default() },
                ("undefined", tested) if !holds => Facts { defined: path(tested).into_iter().collect(), ..Facts::default() },
                _ => Facts::default(),
            },
            _ => Facts::default(),
        }
    }

    fn not_none(&self, name: &str) -> Facts {
        match self.scope.get(name) {
            Some(Shape::Maybe(inner)) => Facts { names: vec![(name.to_owned(), (**inner).clone())], ..Facts::default() },
            _ => Facts::default(),
        }
    }
}

fn constant_text(expression: &Expr<'_>) -> Option<String> {
    match expression {
        Expr::Const(constant) => constant.value.as_str().map(str::to_owned),
        _ => None,
    }
}

/// `batch.labels`, `stages["context-validation"].gaps`: how a person would write it; `None` for anything but names.
fn path(expression: &Expr<'_>) -> Option<String> {
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

fn joined(of: &str, name: &str) -> String {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain { format!("{of}.{name}") } else { format!("{of}[{name:?}]") }
}

fn unknown_part(of: &str, name: &str, known: &Fields) -> String {
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
