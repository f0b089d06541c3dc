//! What a checkpoint holds, as it is looked at.

use crate::machine::Pickle;
use crate::node::{Id, Node};
use crate::tensor::TensorInfo;

/// A thing in a checkpoint. The same thing may be in several places, and even in itself.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    pickle: &'a Pickle,
    id: Id,
}

impl<'a> Item<'a> {
    pub(crate) fn root(pickle: &'a Pickle) -> Self {
        Self { pickle, id: pickle.root }
    }

    fn node(&self) -> &'a Node {
        self.pickle.graph.node(self.id)
    }

    fn other(&self, id: Id) -> Self {
        Self { pickle: self.pickle, id }
    }

    /// What it is called in Python.
    pub fn kind(&self) -> &'static str {
        match self.node() {
            Node::None => "None",
            Node::Bool(_) => "bool",
            Node::Int(_) => "int",
            Node::Float(_) => "float",
            Node::Text(_) => "str",
            Node::Bytes(_) => "bytes",
            Node::List(_) => "list",
            Node::Tuple(_) => "tuple",
            Node::Dict(_) => "dict",
            Node::Tensor(_) => "Tensor",
            Node::Storage(_) => "Storage",
            Node::Dtype { .. } => "dtype",
            Node::Global { .. } | Node::Opaque(_) => "object",
        }
    }

    /// Whether it is `None`.
    pub fn is_none(&self) -> bool {
        matches!(self.node(), Node::None)
    }

    /// Text.
    pub fn text(&self) -> Option<&'a str> {
        self.pickle.graph.text(self.id)
    }

    /// `True` or `False`.
    pub fn flag(&self) -> Option<bool> {
        match self.node() {
            Node::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// A whole number.
    pub fn int(&self) -> Option<i64> {
        match self.node() {
            Node::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// A number.
    pub fn float(&self) -> Option<f64> {
        match self.node() {
            Node::Float(value) => Some(*value),
            Node::Int(value) => Some(*value as f64),
            _ => None,
        }
    }

    /// The parts of a list or tuple.
    pub fn parts(&self) -> Option<impl ExactSizeIterator<Item = Item<'a>> + use<'a>> {
        let item = *self;
        match self.node() {
            Node::List(parts) | Node::Tuple(parts) => {
                Some(parts.iter().map(move |&id| item.other(id)))
            }
            _ => None,
        }
    }

    /// The keys and values of a dictionary, as they were set: of a key that is there twice, the last counts.
    pub fn entries(
        &self,
    ) -> Option<impl DoubleEndedIterator<Item = (Item<'a>, Item<'a>)> + use<'a>> {
        let item = *self;
        match self.node() {
            Node::Dict(entries) => {
                Some(entries.iter().map(move |&(key, value)| (item.other(key), item.other(value))))
            }
            _ => None,
        }
    }

    /// The value that a dictionary has for a key.
    pub fn get(&self, key: &str) -> Option<Item<'a>> {
        self.entries()?.rev().find(|(it, _)| it.text() == Some(key)).map(|(_, value)| value)
    }

    /// A tensor.
    pub fn tensor(&self) -> Option<&'a TensorInfo> {
        match self.node() {
            Node::Tensor(info) => Some(info),
            _ => None,
        }
    }

    /// The name of what was not made, because nothing but tensors, numbers and text is.
    pub fn opaque(&self) -> Option<String> {
        match self.node() {
            Node::Opaque(name) => Some(name.clone()),
            Node::Global { module, name } => Some(format!("{module}.{name}")),
            _ => None,
        }
    }

    /// The tensors of a state dict, by their names.
    ///
    /// # Errors
    ///
    /// Where it is no dictionary, or has a tensor of a class that is not known; in words.
    pub fn tensors(&self) -> Result<Vec<(&'a str, &'a TensorInfo)>, String> {
        let Some(entries) = self.entries() else {
            return Err(format!("is a {}, and no dictionary of tensors", self.kind()));
        };
        let mut found = Vec::new();
        for (key, value) in entries {
            let Some(name) = key.text() else { continue };
            match value.node() {
                Node::Tensor(info) => found.push((name, info.as_ref())),
                Node::Opaque(class) => {
                    return Err(format!("has {name}, which is no plain tensor but {class}"));
                }
                // Such as a version.
                _ => {}
            }
        }
        Ok(found)
    }
}
