//! The functions of Python that are known: what they would make, made without Python.

use crate::node::{Graph, Id, Node};
use crate::number::numpy;
use crate::reader::Fault;
use crate::tensor::{Storage, TensorInfo};

/// What calling a function with a tuple would make.
pub(crate) fn call(graph: &mut Graph, called: Id, given: Id) -> Result<Id, Fault> {
    let made = match graph.node(called) {
        Node::Global { module, name } => match known(graph, (module, name), given)? {
            Made::Same(id) => return Ok(id),
            Made::New(node) => node,
        },
        // What an unknown thing makes is as unknown.
        Node::Opaque(name) => Node::Opaque(name.clone()),
        _ => return Err("it calls what is no function".into()),
    };
    graph.add(made).ok_or_else(|| "it makes too many things".into())
}

enum Made {
    New(Node),
    /// What was given.
    Same(Id),
}

fn known(graph: &Graph, (module, name): (&str, &str), given: Id) -> Result<Made, Fault> {
    let given = graph.tuple(given).ok_or("a function is called with what is no tuple")?;
    let part = |at: usize| {
        given.get(at).copied().ok_or_else(|| format!("{name} is called with too little"))
    };
    let node = match (module, name) {
        ("collections", "OrderedDict") => match given {
            [] => Node::Dict(Vec::new()),
            [pairs, ..] => dictionary(graph, *pairs).ok_or("a dictionary is made of no pairs")?,
        },
        ("collections", "defaultdict") => Node::Dict(Vec::new()),
        ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => tensor(graph, given)?,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")
        | ("torch", "Size") => return part(0).map(Made::Same),
        // A function, the class of its result, and what it is given.
        ("torch._tensor", "_rebuild_from_type_v2") => {
            return match graph.node(part(0)?) {
                Node::Global { module, name } if (module.as_str(), name.as_str()) != FROM_TYPE => {
                    known(graph, (module, name), part(2)?)
                }
                _ => Ok(Made::New(Node::Opaque("a tensor of another class".to_owned()))),
            };
        }
        // The bytes of text whose letters are bytes.
        ("_codecs", "encode") => {
            let text = graph.text(part(0)?).unwrap_or_default();
            let bytes = text.chars().map(|letter| u8::try_from(u32::from(letter)));
            Node::Bytes(bytes.collect::<Result<_, _>>().map_err(|_| "bytes are none")?)
        }
        ("numpy", "dtype") => match graph.text(part(0)?) {
            Some(code) => Node::Dtype { code: code.to_owned(), big_endian: code.starts_with('>') },
            None => Node::Opaque("numpy.dtype".to_owned()),
        },
        ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => {
            match (graph.node(part(0)?), given.get(1).map(|&id| graph.node(id))) {
                (Node::Dtype { code, big_endian }, Some(Node::Bytes(bytes))) => {
                    numpy(code, bytes, *big_endian)
                        .unwrap_or_else(|| Node::Opaque(format!("a number of type {code}")))
                }
                _ => Node::Opaque("numpy.scalar".to_owned()),
            }
        }
        _ => Node::Opaque(format!("{module}.{name}")),
    };
    Ok(Made::New(node))
}

/// A function that calls another, which must not be itself again.
const FROM_TYPE: (&str, &str) = ("torch._tensor", "_rebuild_from_type_v2");

/// What `__setstate__` would do, as far as it is of use.
pub(crate) fn build(graph: &mut Graph, built: Id, state: Id) {
    // `(3, '>', …)` for a type of NumPy; attributes of dictionaries are not looked for.
    let order = graph.tuple(state).and_then(|state| state.get(1)).and_then(|&id| graph.text(id));
    let is_big = order == Some(">");
    if let Node::Dtype { big_endian, .. } = graph.node_mut(built) {
        *big_endian |= is_big;
    }
}

/// What lies beside the pickle: `('storage', class, file, device, count)`.
pub(crate) fn storage(graph: &Graph, named: Id) -> Result<Node, Fault> {
    let wrong = "it names something beside it that is no storage";
    let Some(&[kind, class, key, _, count, ..]) = graph.tuple(named) else {
        return Err(wrong.into());
    };
    match (graph.text(kind), graph.node(class), graph.text(key), graph.size(count)) {
        (Some("storage"), Node::Global { name, .. }, Some(key), Some(count)) => {
            let (key, kind) = (key.to_owned(), name.clone());
            Ok(Node::Storage(Box::new(Storage { key, kind, count })))
        }
        _ => Err(wrong.into()),
    }
}

/// `(storage, offset, size, stride, …)`.
fn tensor(graph: &Graph, given: &[Id]) -> Result<Node, Fault> {
    let &[storage, offset, shape, strides, ..] = given else {
        return Err("a tensor is made of too little".into());
    };
    let Node::Storage(storage) = graph.node(storage) else {
        return Ok(Node::Opaque("a tensor without values".to_owned()));
    };
    match (graph.size(offset), graph.sizes(shape), graph.sizes(strides)) {
        (Some(offset), Some(shape), Some(strides)) => {
            let storage = storage.as_ref().clone();
            Ok(Node::Tensor(Box::new(TensorInfo { storage, offset, shape, strides })))
        }
        _ => Err("the shape of a tensor is none".into()),
    }
}

fn dictionary(graph: &Graph, pairs: Id) -> Option<Node> {
    let (Node::List(pairs) | Node::Tuple(pairs)) = graph.node(pairs) else { return None };
    let pair = |&id: &Id| match graph.node(id) {
        Node::List(parts) | Node::Tuple(parts) => match parts[..] {
            [key, value] => Some((key, value)),
            _ => None,
        },
        _ => None,
    };
    pairs.iter().map(pair).collect::<Option<_>>().map(Node::Dict)
}
