//! Networks as graphs of ONNX: that they are whole. What a runtime computes is compared by
//! `benchmarks/interop/onnx_models.py`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use candle::{Device, Tensor};
use nn::Parameters;
use onnx::proto::{GraphProto, ModelProto, TensorProto, data_type};
use prost::Message as _;
use sconce_models::{Architecture, Input, Interface, ModelConfig, extents, to_onnx};

use crate::small;

/// The parameters of a network, fresh ones, on the CPU.
fn parameters(model: &ModelConfig, interface: Interface) -> Result<Parameters> {
    let parameters = Parameters::new(0, &Device::Cpu);
    model.build(interface, parameters.builder())?;
    Ok(parameters)
}

/// The graph that a file has.
fn graph(
    model: &ModelConfig,
    interface: Interface,
    tensors: &BTreeMap<String, Tensor>,
) -> Result<GraphProto> {
    let (mut graph, logits) = to_onnx(model, interface, tensors)?;
    graph.output("logits", &logits, &extents(interface.classes, interface.rank))?;
    let bytes = graph.encode("test", "0", [])?;
    let file = ModelProto::decode(&bytes[..])?;
    ensure!(file.encode_to_vec() == bytes, "another file once it is read");
    file.graph.context("a graph")
}

#[test]
fn every_network_is_a_graph_whose_nodes_read_what_comes_before_and_leave_nothing_unread()
-> Result<()> {
    for model in small::networks()? {
        for rank in [2, 3] {
            let interface = Interface { channels: 2, classes: 3, rank };
            let tensors = parameters(&model, interface)?.tensors()?;
            let graph = graph(&model, interface, &tensors)?;
            let name = format!("{} {rank}D", model.name());

            let mut known: BTreeSet<&str> =
                graph.initializer.iter().map(TensorProto::name).collect();
            assert_eq!(known.len(), graph.initializer.len(), "{name}");
            ensure!(known.insert("image"), "{name}: a parameter is called image");
            let mut read = BTreeSet::new();
            for node in &graph.node {
                for input in node.input.iter().filter(|input| !input.is_empty()) {
                    ensure!(known.contains(input.as_str()), "{name}: {input} is read too early");
                    read.insert(input.as_str());
                }
                for output in &node.output {
                    ensure!(known.insert(output), "{name}: {output} comes twice");
                }
            }
            let unread: Vec<_> = known.difference(&read).copied().collect();
            assert_eq!(unread, ["logits"], "{name}");
        }
    }
    Ok(())
}

#[test]
fn weights_are_those_that_the_main_head_depends_on_as_they_are() -> Result<()> {
    for model in small::networks()? {
        let interface = Interface { channels: 2, classes: 3, rank: 2 };
        let parameters = parameters(&model, interface)?;
        let network = model.build(interface, parameters.builder())?;
        let images = Tensor::rand(-1f32, 1., (2, 2, 64, 64), &Device::Cpu)?;
        let logits = network.forward_t(&Input::images(images), true)?;
        let gradients = parameters.gradients(&logits.main().sqr()?.sum_all()?)?;
        let without = gradients.without();
        let tensors = parameters.tensors()?;

        let graph = graph(&model, interface, &tensors)?;

        let is_statistic = |name: &str| name.contains(".running_");
        let expected: BTreeSet<&str> =
            tensors.keys().map(String::as_str).filter(|name| !without.contains(name)).collect();
        let mut found = BTreeSet::new();
        for stored in &graph.initializer {
            let name = stored.name();
            let Some(tensor) = tensors.get(name) else {
                ensure!(name.starts_with("constant_"), "{}: {name}", model.name());
                continue;
            };
            if !is_statistic(name) {
                found.insert(name);
            }
            assert_eq!(stored.data_type(), data_type::FLOAT);
            let dims: Vec<usize> =
                stored.dims.iter().map(|&dim| usize::try_from(dim)).collect::<Result<_, _>>()?;
            assert_eq!(dims, tensor.dims(), "{}: {name}", model.name());
            let values = tensor.flatten_all()?.to_vec1::<f32>()?;
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            ensure!(stored.raw_data() == bytes, "{}: {name}", model.name());
        }
        assert_eq!(found, expected, "{}", model.name());
    }
    Ok(())
}

#[test]
fn batch_and_extents_are_free_and_channels_are_not() -> Result<()> {
    let model: ModelConfig = toml::from_str("[unet]\nfeatures_per_stage = [2, 3]")?;
    for (rank, axes) in [(2, vec!["height", "width"]), (3, vec!["depth", "height", "width"])] {
        let interface = Interface { channels: 4, classes: 5, rank };
        let tensors = parameters(&model, interface)?.tensors()?;
        let graph = graph(&model, interface, &tensors)?;

        for (value, name, channels) in
            [(&graph.input[0], "image", 4), (&graph.output[0], "logits", 5)]
        {
            assert_eq!(value.name(), name);
            let tensor = value.r#type.as_ref().and_then(|it| it.tensor_type.as_ref());
            let tensor = tensor.context("a tensor")?;
            assert_eq!(tensor.elem_type(), data_type::FLOAT);
            let dims = &tensor.shape.as_ref().context("a shape")?.dim;
            assert_eq!(dims[1].dim_value, Some(channels));
            let named: Vec<&str> = dims.iter().filter_map(|dim| dim.dim_param.as_deref()).collect();
            assert_eq!(named, [vec!["batch"], axes.clone()].concat());
        }
    }
    Ok(())
}

#[test]
fn parameters_that_do_not_fit_are_refused() -> Result<()> {
    let model: ModelConfig = toml::from_str("[unet]\nfeatures_per_stage = [2, 3]")?;
    let interface = Interface { channels: 1, classes: 2, rank: 2 };
    let tensors = parameters(&model, interface)?.tensors()?;
    let refusal = |interface, tensors: &BTreeMap<String, Tensor>| {
        to_onnx(&model, interface, tensors).expect_err("it is refused").to_string()
    };

    let other = refusal(Interface { channels: 2, ..interface }, &tensors);
    assert!(other.contains("has shape [2, 1, 3, 3], but [2, 2, 3, 3] is needed"), "{other}");
    let none = refusal(interface, &BTreeMap::new());
    assert!(none.contains("parameter encoder.stages.0.0.convs.0.conv.weight is missing"), "{none}");
    Ok(())
}
