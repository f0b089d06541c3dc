use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;

use crate::proto::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto, attribute_type, data_type,
};
use crate::{Error, Result};

/// The version of ONNX's operators that graphs are written for.
pub const OPSET: i64 = 17;

/// The version of the file format that came with it.
const IR_VERSION: i64 = 8;

/// Protobuf counts the bytes of a message in 31 bits.
const MOST_BYTES: usize = i32::MAX as usize;

/// Something that a node of one graph reads or gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    name: String,
}

impl Value {
    /// An optional input that is left out.
    pub fn none() -> Self {
        Self { name: String::new() }
    }

    /// What the graph calls it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A setting of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// A number.
    Float(f32),
    /// A whole number.
    Int(i64),
    /// Whole numbers.
    Ints(Vec<i64>),
    /// A text, such as the name of a mode.
    Text(&'static str),
}

/// An extent of what goes in or comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Always so many.
    Fixed(usize),
    /// Any number; what has the same name has the same.
    Named(String),
}

/// A graph that is being built.
#[derive(Clone, Debug)]
pub struct Graph {
    proto: GraphProto,
    /// Names of values that are taken.
    names: BTreeSet<String>,
    /// Constants by their content: those that are the same are one.
    constants: BTreeMap<(i32, Vec<i64>, Vec<u8>), Value>,
    bytes: usize,
    most: usize,
}

impl Graph {
    /// A graph of no nodes.
    pub fn new(name: &str) -> Self {
        let proto = GraphProto { name: Some(name.to_owned()), ..GraphProto::default() };
        let (names, constants) = (BTreeSet::new(), BTreeMap::new());
        Self { proto, names, constants, bytes: 0, most: MOST_BYTES }
    }

    /// Something of f32 that is given, of these extents.
    ///
    /// # Errors
    ///
    /// [`Error::Name`].
    pub fn input(&mut self, name: &str, extents: &[Extent]) -> Result<Value> {
        let value = self.named(name)?;
        self.proto.input.push(info(name, extents));
        Ok(value)
    }

    /// Declares that `value` comes out, as f32 under a name of its own and with these extents.
    ///
    /// # Errors
    ///
    /// [`Error::Name`].
    pub fn output(&mut self, name: &str, value: &Value, extents: &[Extent]) -> Result<()> {
        let output = self.named(name)?;
        self.proto.output.push(info(name, extents));
        self.push("Identity", &[value], &[], output);
        Ok(())
    }

    /// A parameter of f32, `values` in row-major order. Whoever asks for the same name again gets the same
    /// parameter.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`]; [`Error::Name`], where something else has the name; [`Error::TooLarge`].
    pub fn parameter(&mut self, name: &str, values: &[f32], dims: &[usize]) -> Result<Value> {
        if self.proto.initializer.iter().any(|known| known.name() == name) {
            return Ok(Value { name: name.to_owned() });
        }
        if values.len() != dims.iter().product::<usize>() {
            let (name, dims) = (name.to_owned(), dims.to_vec());
            return Err(Error::Shape { name, values: values.len(), dims });
        }
        let value = self.named(name)?;
        self.initializer(&value, data_type::FLOAT, whole(dims), floats(values))?;
        Ok(value)
    }

    /// A constant of f32.
    ///
    /// # Errors
    ///
    /// As [`Graph::parameter`].
    pub fn numbers(&mut self, values: &[f32], dims: &[usize]) -> Result<Value> {
        if values.len() != dims.iter().product::<usize>() {
            let (name, dims) = ("a constant".to_owned(), dims.to_vec());
            return Err(Error::Shape { name, values: values.len(), dims });
        }
        self.constant(data_type::FLOAT, whole(dims), floats(values))
    }

    /// A constant of i64 with one axis, such as a shape.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`].
    pub fn integers(&mut self, values: &[i64]) -> Result<Value> {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(data_type::INT64, whole(&[values.len()]), bytes)
    }

    /// A constant of i64 without axes.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`].
    pub fn integer(&mut self, value: i64) -> Result<Value> {
        self.constant(data_type::INT64, Vec::new(), value.to_le_bytes().to_vec())
    }

    /// What the operator of that name gives for `inputs`.
    pub fn node(
        &mut self,
        operator: &str,
        inputs: &[&Value],
        attributes: &[(&str, Attribute)],
    ) -> Value {
        let output = self.fresh(operator);
        self.push(operator, inputs, attributes, output.clone());
        output
    }

    /// The bytes of a file: this graph, which program wrote it, and what else is to be known of it.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`].
    pub fn encode<'a>(
        self,
        producer: &str,
        version: &str,
        metadata: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Vec<u8>> {
        let entry = |(key, value): (&str, &str)| StringStringEntryProto {
            key: Some(key.to_owned()),
            value: Some(value.to_owned()),
        };
        let opset = OperatorSetIdProto { domain: Some(String::new()), version: Some(OPSET) };
        let model = ModelProto {
            ir_version: Some(IR_VERSION),
            producer_name: Some(producer.to_owned()),
            producer_version: Some(version.to_owned()),
            graph: Some(self.proto),
            opset_import: vec![opset],
            metadata_props: metadata.into_iter().map(entry).collect(),
        };
        let bytes = model.encoded_len();
        if bytes > self.most {
            return Err(Error::TooLarge { bytes, most: self.most });
        }
        Ok(model.encode_to_vec())
    }

    fn push(
        &mut self,
        operator: &str,
        inputs: &[&Value],
        attributes: &[(&str, Attribute)],
        output: Value,
    ) {
        self.proto.node.push(NodeProto {
            input: inputs.iter().map(|input| input.name.clone()).collect(),
            name: Some(output.name.clone()),
            output: vec![output.name],
            op_type: Some(operator.to_owned()),
            attribute: attributes.iter().map(|(name, it)| attribute(name, it)).collect(),
        });
    }

    /// A value of a name that nothing has yet.
    fn named(&mut self, name: &str) -> Result<Value> {
        if !self.names.insert(name.to_owned()) {
            return Err(Error::Name { name: name.to_owned() });
        }
        Ok(Value { name: name.to_owned() })
    }

    /// A value of a name that is made up.
    fn fresh(&mut self, what: &str) -> Value {
        let names = (self.names.len()..).map(|number| format!("{what}_{number}"));
        let mut free = names.filter(|name| !self.names.contains(name));
        let name = free.next().unwrap_or_default();
        self.names.insert(name.clone());
        Value { name }
    }

    fn constant(&mut self, data_type: i32, dims: Vec<i64>, bytes: Vec<u8>) -> Result<Value> {
        let key = (data_type, dims, bytes);
        if let Some(known) = self.constants.get(&key) {
            return Ok(known.clone());
        }
        let value = self.fresh("constant");
        self.initializer(&value, data_type, key.1.clone(), key.2.clone())?;
        self.constants.insert(key, value.clone());
        Ok(value)
    }

    fn initializer(
        &mut self,
        value: &Value,
        data_type: i32,
        dims: Vec<i64>,
        bytes: Vec<u8>,
    ) -> Result<()> {
        // Before they are held twice.
        self.bytes += bytes.len();
        if self.bytes > self.most {
            return Err(Error::TooLarge { bytes: self.bytes, most: self.most });
        }
        self.proto.initializer.push(TensorProto {
            dims,
            data_type: Some(data_type),
            name: Some(value.name.clone()),
            raw_data: Some(bytes),
        });
        Ok(())
    }
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Extents as the file format has them.
pub(crate) fn whole(numbers: &[usize]) -> Vec<i64> {
    numbers.iter().map(|&number| i64::try_from(number).unwrap_or(i64::MAX)).collect()
}

fn attribute(name: &str, value: &Attribute) -> AttributeProto {
    let named = AttributeProto { name: Some(name.to_owned()), ..AttributeProto::default() };
    let of = |kind: i32| AttributeProto { r#type: Some(kind), ..named.clone() };
    match value {
        Attribute::Float(value) => AttributeProto { f: Some(*value), ..of(attribute_type::FLOAT) },
        Attribute::Int(value) => AttributeProto { i: Some(*value), ..of(attribute_type::INT) },
        Attribute::Ints(values) => {
            AttributeProto { ints: values.clone(), ..of(attribute_type::INTS) }
        }
        Attribute::Text(text) => {
            AttributeProto { s: Some(text.as_bytes().to_vec()), ..of(attribute_type::STRING) }
        }
    }
}

fn info(name: &str, extents: &[Extent]) -> ValueInfoProto {
    let dim = |extent: &Extent| match extent {
        Extent::Fixed(extent) => {
            DimensionProto { dim_value: whole(&[*extent]).pop(), dim_param: None }
        }
        Extent::Named(name) => DimensionProto { dim_value: None, dim_param: Some(name.clone()) },
    };
    let shape = TensorShapeProto { dim: extents.iter().map(dim).collect() };
    let tensor = TensorTypeProto { elem_type: Some(data_type::FLOAT), shape: Some(shape) };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto { tensor_type: Some(tensor) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_beyond_the_limit_are_refused_before_they_are_written() -> anyhow::Result<()> {
        let mut graph = Graph { most: 3 << 20, ..Graph::new("large") };
        let megabyte = vec![0f32; 1 << 18];
        for name in ["a", "b", "c"] {
            graph.parameter(name, &megabyte, &[1 << 18])?;
        }

        let refused = graph.parameter("d", &[0.0], &[1]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "its weights take 4 MB, and a file of ONNX holds at most 3 MB"
        );
        // What is beside the weights counts as well.
        assert!(matches!(graph.encode("", "", []), Err(Error::TooLarge { .. })));
        Ok(())
    }

    #[test]
    fn names_are_one_of_a_kind() -> anyhow::Result<()> {
        let mut graph = Graph::new("names");
        let x = graph.input("Relu_1", &[Extent::Fixed(1)])?;

        let y = graph.node("Relu", &[&x], &[]);

        assert_ne!(x, y);
        assert_eq!(graph.numbers(&[1.0], &[1])?, graph.numbers(&[1.0], &[1])?);
        assert_ne!(graph.numbers(&[1.0], &[1])?, graph.numbers(&[1.0], &[])?);
        assert_eq!(graph.parameter("w", &[1.0], &[1])?, graph.parameter("w", &[1.0], &[1])?);
        assert!(matches!(graph.parameter("Relu_1", &[1.0], &[1]), Err(Error::Name { .. })));
        assert!(matches!(graph.output("w", &y, &[]), Err(Error::Name { .. })));
        assert!(matches!(graph.parameter("v", &[1.0], &[2]), Err(Error::Shape { .. })));
        Ok(())
    }
}
