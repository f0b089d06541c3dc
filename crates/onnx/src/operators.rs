//! Operators with many settings, over tensors `(N, C, *S)`.

use crate::graph::whole;
use crate::{Attribute, Graph, Result, Value};

/// How a window moves over its input, each list one entry for each spatial axis, slowest first.
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    /// Extents of the window.
    pub kernel: &'a [usize],
    /// Voxels between neighboring windows.
    pub stride: &'a [usize],
    /// Voxels before the input, and as many after it, that the window sees.
    pub padding: &'a [usize],
}

impl Window<'_> {
    fn attributes(self) -> Vec<(&'static str, Attribute)> {
        vec![
            ("kernel_shape", ints(self.kernel)),
            ("strides", ints(self.stride)),
            ("pads", ints(&[self.padding, self.padding].concat())),
        ]
    }
}

/// What extents something is resized to.
#[derive(Clone, Copy, Debug)]
pub enum Size<'a> {
    /// So many times those that it has, along each spatial axis.
    Times(f32),
    /// The spatial extents of another tensor.
    Of(&'a Value),
}

/// How values between voxels are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResizeMode {
    /// The voxel at `⌊o · ratio⌋`.
    Nearest,
    /// Linear, by the outer edges of the outermost voxels.
    Linear,
    /// Linear, by the centers of the outermost voxels.
    LinearCorners,
}

fn ints(numbers: &[usize]) -> Attribute {
    Attribute::Ints(whole(numbers))
}

fn int(number: usize) -> Attribute {
    Attribute::Int(whole(&[number])[0])
}

/// A narrower number, as attributes have them.
#[expect(clippy::cast_possible_truncation, reason = "ONNX's attributes are f32")]
fn float(number: f64) -> Attribute {
    Attribute::Float(number as f32)
}

impl Graph {
    /// The convolution of `x` by `weight`, `(C_out, C_in / groups, *K)`, and `bias`, `(C_out)`.
    pub fn conv(
        &mut self,
        x: &Value,
        weight: &Value,
        bias: Option<&Value>,
        window: Window<'_>,
        dilation: &[usize],
        groups: usize,
    ) -> Value {
        let inputs: Vec<&Value> = [x, weight].into_iter().chain(bias).collect();
        let mut attributes = window.attributes();
        attributes.extend([("dilations", ints(dilation)), ("group", int(groups))]);
        self.node("Conv", &inputs, &attributes)
    }

    /// The transposed convolution of `x` by `weight`, `(C_in, C_out / groups, *K)`, and `bias`,
    /// `(C_out)`: `output_padding` voxels are added at the far side.
    #[expect(clippy::too_many_arguments, reason = "the settings of one operator")]
    pub fn conv_transpose(
        &mut self,
        x: &Value,
        weight: &Value,
        bias: Option<&Value>,
        window: Window<'_>,
        output_padding: &[usize],
        dilation: &[usize],
        groups: usize,
    ) -> Value {
        let inputs: Vec<&Value> = [x, weight].into_iter().chain(bias).collect();
        let mut attributes = window.attributes();
        attributes.extend([
            ("dilations", ints(dilation)),
            ("group", int(groups)),
            ("output_padding", ints(output_padding)),
        ]);
        self.node("ConvTranspose", &inputs, &attributes)
    }

    /// The largest value of each window; a last window that is not full counts if `ceil`.
    pub fn max_pool(&mut self, x: &Value, window: Window<'_>, ceil: bool) -> Value {
        let mut attributes = window.attributes();
        attributes.push(("ceil_mode", Attribute::Int(ceil.into())));
        self.node("MaxPool", &[x], &attributes)
    }

    /// The mean of each window, over padding too if `padded`; a last window that is not full counts if
    /// `ceil`.
    pub fn avg_pool(&mut self, x: &Value, window: Window<'_>, ceil: bool, padded: bool) -> Value {
        let mut attributes = window.attributes();
        attributes.push(("ceil_mode", Attribute::Int(ceil.into())));
        attributes.push(("count_include_pad", Attribute::Int(padded.into())));
        self.node("AveragePool", &[x], &attributes)
    }

    /// Each channel of each sample with mean 0 and variance 1, then by `weight` and `bias`, `(C)` each.
    pub fn instance_norm(&mut self, x: &Value, weight: &Value, bias: &Value, eps: f64) -> Value {
        self.node("InstanceNormalization", &[x, weight, bias], &[("epsilon", float(eps))])
    }

    /// The same by a mean and a variance that are known: `parameters` are the weight, the bias, the mean
    /// and the variance, `(C)` each.
    pub fn batch_norm(&mut self, x: &Value, parameters: [&Value; 4], eps: f64) -> Value {
        let [weight, bias, mean, variance] = parameters;
        let inputs = [x, weight, bias, mean, variance];
        self.node("BatchNormalization", &inputs, &[("epsilon", float(eps))])
    }

    /// The last axis with mean 0 and variance 1, then by `weight` and `bias`.
    pub fn layer_norm(&mut self, x: &Value, weight: &Value, bias: &Value, eps: f64) -> Value {
        let attributes = [("axis", Attribute::Int(-1)), ("epsilon", float(eps))];
        self.node("LayerNormalization", &[x, weight, bias], &attributes)
    }

    /// `x` where it is positive, else `slope · x`.
    pub fn leaky_relu(&mut self, x: &Value, slope: f64) -> Value {
        self.node("LeakyRelu", &[x], &[("alpha", float(slope))])
    }

    /// `x` where it is positive, else `α (eˣ − 1)`.
    pub fn elu(&mut self, x: &Value, alpha: f64) -> Value {
        self.node("Elu", &[x], &[("alpha", float(alpha))])
    }

    /// The softmax along the last axis.
    pub fn softmax(&mut self, x: &Value) -> Value {
        self.node("Softmax", &[x], &[("axis", Attribute::Int(-1))])
    }

    /// `parts` side by side along an axis; what there is one of, as it is.
    pub fn concat(&mut self, parts: &[&Value], axis: i64) -> Value {
        match parts {
            [part] => (*part).clone(),
            parts => self.node("Concat", parts, &[("axis", Attribute::Int(axis))]),
        }
    }

    /// `x` with its axes in another order.
    pub fn transpose(&mut self, x: &Value, order: &[usize]) -> Value {
        self.node("Transpose", &[x], &[("perm", ints(order))])
    }

    /// `x` in a shape that is known: 0 stands for the extent that it has there, −1 for what is left.
    ///
    /// # Errors
    ///
    /// As [`Graph::integers`].
    pub fn reshape(&mut self, x: &Value, shape: &[i64]) -> Result<Value> {
        let shape = self.integers(shape)?;
        Ok(self.node("Reshape", &[x, &shape], &[]))
    }

    /// The extents of `x` from axis `start` on, as i64 with one axis; up to `end`, where there is one.
    pub fn shape(&mut self, x: &Value, start: i64, end: Option<i64>) -> Value {
        let mut attributes = vec![("start", Attribute::Int(start))];
        attributes.extend(end.map(|end| ("end", Attribute::Int(end))));
        self.node("Shape", &[x], &attributes)
    }

    /// `x`, `(N, C, *S)` with `rank` spatial axes, of other extents.
    ///
    /// # Errors
    ///
    /// As [`Graph::numbers`].
    pub fn resize(
        &mut self,
        x: &Value,
        rank: usize,
        size: Size<'_>,
        mode: ResizeMode,
    ) -> Result<Value> {
        // What lies outside, scales, sizes: of the last two, one is left out.
        let mut inputs = vec![x.clone(), Value::none()];
        match size {
            Size::Times(factor) => {
                let scales = [vec![1.0, 1.0], vec![factor; rank]].concat();
                inputs.push(self.numbers(&scales, &[rank + 2])?);
            }
            Size::Of(other) => {
                let own = self.shape(x, 0, Some(2));
                let space = self.shape(other, 2, None);
                inputs.extend([Value::none(), self.concat(&[&own, &space], 0)]);
            }
        }
        let (mode, transformation) = match mode {
            ResizeMode::Nearest => ("nearest", "asymmetric"),
            ResizeMode::Linear => ("linear", "half_pixel"),
            ResizeMode::LinearCorners => ("linear", "align_corners"),
        };
        let mut attributes = vec![
            ("mode", Attribute::Text(mode)),
            ("coordinate_transformation_mode", Attribute::Text(transformation)),
        ];
        if mode == "nearest" {
            attributes.push(("nearest_mode", Attribute::Text("floor")));
        }
        let inputs: Vec<&Value> = inputs.iter().collect();
        Ok(self.node("Resize", &inputs, &attributes))
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::Extent;
    use crate::proto::{ModelProto, NodeProto, attribute_type};

    #[test]
    fn settings_of_0_and_inputs_that_are_left_out_are_written() -> anyhow::Result<()> {
        let mut graph = Graph::new("resize");
        let extents = ["n", "c", "d", "h", "w"].map(|name| Extent::Named(name.to_owned()));
        let x = graph.input("x", &extents)?;
        let window = Window { kernel: &[2; 3], stride: &[2; 3], padding: &[0; 3] };
        let small = graph.max_pool(&x, window, false);
        let large = graph.resize(&small, 3, Size::Of(&x), ResizeMode::Linear)?;
        let twice = graph.resize(&large, 3, Size::Times(2.0), ResizeMode::Nearest)?;
        graph.output("y", &twice, &extents)?;

        let bytes = graph.encode("test", "0", [])?;
        let nodes = ModelProto::decode(&bytes[..])?.graph.unwrap_or_default().node;

        let names: Vec<&str> = nodes.iter().map(NodeProto::op_type).collect();
        assert_eq!(names, ["MaxPool", "Shape", "Shape", "Concat", "Resize", "Resize", "Identity"]);
        let ceil = nodes[0].attribute.iter().find(|it| it.name() == "ceil_mode");
        assert_eq!(ceil.map(|it| (it.i, it.r#type)), Some((Some(0), Some(attribute_type::INT))));
        let left_out =
            |node: usize| -> Vec<bool> { nodes[node].input.iter().map(String::is_empty).collect() };
        assert_eq!(left_out(4), [false, true, true, false]);
        assert_eq!(left_out(5), [false, true, false]);
        Ok(())
    }
}
