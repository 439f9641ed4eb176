//! Names in scope, from the inside out, and what a branch has made sure of.

use crate::shape::{Fields, Shape, field};

/// One layer of names.
#[derive(Default)]
struct Layer {
    names: Fields,
    /// Whether it runs only sometimes.
    branch: bool,
    /// Paths a branch has tested to be defined.
    defined: Vec<String>,
    /// Paths a branch has tested not to be none.
    present: Vec<String>,
}

/// What can be named at one place of a template.
pub(crate) struct Scope {
    layers: Vec<Layer>,
}

impl Scope {
    pub(crate) fn new(roots: Fields) -> Self {
        Self { layers: vec![Layer { names: roots, ..Layer::default() }] }
    }

    pub(crate) fn enter(&mut self, names: impl IntoIterator<Item = (String, Shape)>) {
        self.layers.push(Layer { names: names.into_iter().collect(), ..Layer::default() });
    }

    /// Enters a branch in which `facts` hold.
    pub(crate) fn enter_branch(&mut self, facts: Facts) {
        self.layers.push(Layer { names: facts.names, branch: true, defined: facts.defined, present: facts.present });
    }

    pub(crate) fn leave(&mut self) {
        self.layers.pop();
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Shape> {
        self.layers.iter().rev().find_map(|layer| field(&layer.names, name))
    }

    pub(crate) fn is_defined(&self, path: &str) -> bool {
        self.layers.iter().any(|layer| layer.defined.iter().any(|defined| defined == path))
    }

    /// Whether a branch around has tested that `path` is not none, and its first name still means the same.
    pub(crate) fn is_present(&self, path: &str) -> bool {
        let root = path.split(['.', '[']).next().unwrap_or(path);
        for layer in self.layers.iter().rev() {
            if layer.present.iter().any(|present| present == path) {
                return true;
            }
            if field(&layer.names, root).is_some() {
                return false;
            }
        }
        false
    }

    /// `set`: lives until the frame around it ends. What is set in a branch may come from either side of it.
    pub(crate) fn set(&mut self, name: &str, shape: Shape) {
        let mut shape = shape;
        for layer in self.layers.iter_mut().rev() {
            if layer.branch {
                layer.names.push((name.to_owned(), shape));
                shape = Shape::Any;
            } else {
                layer.names.push((name.to_owned(), shape));
                return;
            }
        }
    }

    /// All names, for messages.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for name in self.layers.iter().flat_map(|layer| layer.names.iter().map(|(name, _)| name.as_str())) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

/// What the condition of a branch makes sure of.
#[derive(Default)]
pub(crate) struct Facts {
    pub(crate) names: Fields,
    pub(crate) defined: Vec<String>,
    pub(crate) present: Vec<String>,
}

impl Facts {
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.names.extend(other.names);
        self.defined.extend(other.defined);
        self.present.extend(other.present);
        self
    }
}
