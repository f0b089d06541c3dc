//! What a pickle made, as a graph: things may be in several places, as they are in Python.

use crate::tensor::{Storage, TensorInfo};

/// The place of a node among all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id(u32);

#[derive(Clone, Debug)]
pub(crate) enum Node {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Tensor(Box<TensorInfo>),
    /// The values of tensors, as they lie in the archive.
    Storage(Box<Storage>),
    /// A type of `NumPy`, such as `f8`, and whether its bytes begin with the highest.
    Dtype {
        code: String,
        big_endian: bool,
    },
    /// A class or function of Python, which has not been called.
    Global {
        module: String,
        name: String,
    },
    /// What something unknown would have made.
    Opaque(String),
}

impl Node {
    /// About how many bytes it owns.
    fn owned(&self) -> usize {
        let id = size_of::<Id>();
        match self {
            Self::Text(text) | Self::Opaque(text) | Self::Dtype { code: text, .. } => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::List(parts) | Self::Tuple(parts) => parts.len() * id,
            Self::Dict(parts) => parts.len() * 2 * id,
            Self::Tensor(info) => {
                let storage = info.storage.key.len() + info.storage.kind.len();
                storage + (info.shape.len() + info.strides.len()) * size_of::<usize>()
            }
            Self::Storage(storage) => storage.key.len() + storage.kind.len(),
            Self::Global { module, name } => module.len() + name.len(),
            Self::None | Self::Bool(_) | Self::Int(_) | Self::Float(_) => 0,
        }
    }
}

/// All nodes.
#[derive(Clone, Debug)]
pub(crate) struct Graph {
    nodes: Vec<Node>,
    /// How many bytes they may still own.
    left: usize,
}

impl Graph {
    /// For a program of so many bytes: what is made again and again of one thing that was remembered must end.
    pub(crate) fn of_program(length: usize) -> Self {
        Self { nodes: Vec::new(), left: length.saturating_mul(32).saturating_add(1 << 16) }
    }

    /// With one more node; `None` where there are more, or larger ones, than such a program makes.
    pub(crate) fn add(&mut self, node: Node) -> Option<Id> {
        let id = u32::try_from(self.nodes.len()).ok()?;
        self.left = self.left.checked_sub(node.owned())?;
        self.nodes.push(node);
        Some(Id(id))
    }

    pub(crate) fn node(&self, id: Id) -> &Node {
        &self.nodes[id.0 as usize]
    }

    pub(crate) fn node_mut(&mut self, id: Id) -> &mut Node {
        &mut self.nodes[id.0 as usize]
    }

    pub(crate) fn text(&self, id: Id) -> Option<&str> {
        match self.node(id) {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn tuple(&self, id: Id) -> Option<&[Id]> {
        match self.node(id) {
            Node::Tuple(parts) => Some(parts),
            _ => None,
        }
    }

    /// A count or a size.
    pub(crate) fn size(&self, id: Id) -> Option<usize> {
        match self.node(id) {
            Node::Int(value) => usize::try_from(*value).ok(),
            _ => None,
        }
    }

    /// Several sizes.
    pub(crate) fn sizes(&self, id: Id) -> Option<Vec<usize>> {
        let (Node::Tuple(parts) | Node::List(parts)) = self.node(id) else { return None };
        parts.iter().map(|&part| self.size(part)).collect()
    }
}
