//! Shapes of logits and heads, for random networks.

use candle::{DType, Tensor};
use nn::Parameters;
use proptest::prelude::*;
use sconce_models::{
    Architecture, HeadId, Input, Interface, ModelConfig, Norm, ResidualUnet, Unet,
};

use crate::device::device;
use crate::small;

#[derive(Clone, Debug)]
struct Draw {
    model: ModelConfig,
    interface: Interface,
    /// Extents of the coarsest resolution.
    coarsest: Vec<usize>,
    strides: Vec<Vec<usize>>,
    supervised: bool,
}

fn draws() -> impl Strategy<Value = Draw> {
    (2..=3usize, 2..=4usize).prop_flat_map(|(rank, stages)| {
        let axes = |most: usize| prop::collection::vec(1..=most, rank);
        (
            prop::collection::vec(1..=4usize, stages),
            prop::collection::vec(axes(2), stages),
            prop::collection::vec(axes(2).prop_map(odd), stages),
            prop::collection::vec(1..=2usize, stages),
            prop::collection::vec(1..=2usize, stages - 1),
            axes(2),
            (1..=2usize, 1..=3usize, any::<bool>(), any::<bool>(), any::<bool>()),
        )
            .prop_map(move |(features, mut strides, kernels, down, up, coarsest, more)| {
                let (channels, classes, supervised, residual, batch) = more;
                strides[0] = vec![1; rank];
                let norm = if batch { Norm::Batch } else { Norm::Instance };
                let model = if residual {
                    ModelConfig::from(ResidualUnet {
                        features_per_stage: features,
                        n_blocks_per_stage: down,
                        n_conv_per_stage_decoder: up,
                        strides: strides.clone(),
                        kernel_sizes: kernels,
                        norm,
                        deep_supervision: supervised,
                        ..ResidualUnet::default()
                    })
                } else {
                    ModelConfig::from(Unet {
                        features_per_stage: features,
                        n_conv_per_stage: down,
                        n_conv_per_stage_decoder: up,
                        strides: strides.clone(),
                        kernel_sizes: kernels,
                        norm,
                        deep_supervision: supervised,
                        ..Unet::default()
                    })
                };
                let interface = Interface { channels, classes, rank };
                Draw { model, interface, coarsest, strides, supervised }
            })
    })
}

fn odd(kernel: Vec<usize>) -> Vec<usize> {
    kernel.into_iter().map(|extent| 2 * extent - 1).collect()
}

/// Extents at each resolution, finest first.
fn extents(draw: &Draw) -> Vec<Vec<usize>> {
    let mut extents = vec![draw.coarsest.clone()];
    for stride in draw.strides[1..].iter().rev() {
        let finer = extents[extents.len() - 1].iter().zip(stride).map(|(e, s)| e * s).collect();
        extents.push(finer);
    }
    extents.reverse();
    extents
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn each_head_has_the_classes_and_the_extents_of_its_resolution(draw in draws()) {
        let extents = extents(&draw);
        let parameters = Parameters::new(0, &device());
        let model = draw.model.build(draw.interface, parameters.builder()).unwrap();
        let shape = |channels: usize, extents: &[usize]| [&[2, channels], extents].concat();
        let images = shape(draw.interface.channels, &extents[0]);
        let images = Tensor::rand(-1f32, 1., images, &device()).unwrap();
        let input = Input::images(images);

        let trained = model.forward_t(&input, true).unwrap();
        let expected = if draw.supervised { extents.len() - 1 } else { 1 };
        prop_assert_eq!(trained.heads().len(), expected);
        for (level, head) in trained.heads().iter().enumerate() {
            let id = if level == 0 { HeadId::Main } else { HeadId::Deep(level) };
            prop_assert_eq!(head.id, id);
            let expected = shape(draw.interface.classes, &extents[level]);
            prop_assert_eq!(head.logits.dims(), expected.as_slice());
        }

        let used = model.forward_t(&input, false).unwrap();
        prop_assert_eq!(used.heads().len(), 1);
        prop_assert_eq!(used.main().dims(), trained.main().dims());
        let product = |axis: usize| draw.strides.iter().map(|stride| stride[axis]).product();
        let stride: Vec<usize> = (0..draw.interface.rank).map(product).collect();
        prop_assert_eq!(model.stride(), stride.as_slice());

        // Every parameter but those of the other heads and of running statistics is trained.
        let loss = trained.main().sqr().unwrap().sum_all().unwrap();
        for name in parameters.gradients(&loss).unwrap().without() {
            let other = name.contains("seg_layers") || name.contains("running_");
            prop_assert!(other, "{} has no gradient", name);
        }
    }
}

#[test]
fn every_network_takes_slices_and_volumes_of_any_number_of_channels() -> anyhow::Result<()> {
    for model in small::networks()? {
        for (rank, channels) in [(2, 5), (3, 1)] {
            let interface = Interface { channels, classes: 3, rank };
            let parameters = Parameters::new(0, &device());
            let network = model.build(interface, parameters.builder())?;
            let images = [&[1, channels], network.stride()].concat();
            let images = Tensor::zeros(images, DType::F32, &device())?;

            let logits = network.forward_t(&Input::images(images), false)?;

            let expected = [&[1, 3], network.stride()].concat();
            anyhow::ensure!(logits.main().dims() == expected, "{}", model.name());
        }
    }
    Ok(())
}

#[test]
fn a_frozen_network_leaves_no_graph() -> anyhow::Result<()> {
    for model in small::networks()? {
        let interface = Interface { channels: 1, classes: 2, rank: 2 };
        let parameters = Parameters::new(0, &device());
        model.build(interface, parameters.builder())?;
        let frozen = model.build(interface, nn::frozen(parameters.tensors()?).builder())?;
        let extents = [frozen.stride()[0], frozen.stride()[1]];
        let images = Tensor::zeros((1, 1, extents[0], extents[1]), DType::F32, &device())?;

        let logits = frozen.forward_t(&Input::images(images), false)?;

        assert!(!logits.main().track_op(), "{}", model.name());
    }
    Ok(())
}

#[test]
fn a_network_in_bf16_gives_logits_in_f32() -> anyhow::Result<()> {
    for config in small::networks()? {
        let interface = Interface { channels: 2, classes: 3, rank: 2 };
        let parameters = Parameters::new(1, &device());
        let model = config.as_dyn().build(interface, parameters.builder())?;
        // The same in each run, and without pattern.
        let images = (Tensor::arange(0f32, 2.0 * 32.0 * 32.0, &device())?.sqr()? * 0.37)?.sin()?;
        let images = images.reshape((1, 2, 32, 32))?;

        let exact = model.forward_t(&Input::images(images.clone()), false)?;
        let narrow = model.forward_t(&Input::images(images.to_dtype(DType::BF16)?), false)?;

        anyhow::ensure!(narrow.main().dtype() == DType::F32);
        let apart = (narrow.main() - exact.main())?.abs()?.max_all()?.to_scalar::<f32>()?;
        let largest = exact.main().abs()?.max_all()?.to_scalar::<f32>()?;
        let name = config.name();
        anyhow::ensure!(0.0 < apart && apart < 0.05 * largest, "{name}: {apart} of {largest}");
    }
    Ok(())
}

#[test]
fn gradients_through_bf16_point_where_exact_ones_do() -> anyhow::Result<()> {
    // Those of networks on encoders go through batches of few voxels, whose norms turn any difference into a large one:
    // they are finite.
    const ROUGH: usize = 7;
    for (place, config) in small::networks()?.into_iter().enumerate() {
        let interface = Interface { channels: 2, classes: 3, rank: 2 };
        let parameters = Parameters::new(1, &device());
        let model = config.as_dyn().build(interface, parameters.builder())?;
        let images = (Tensor::arange(0f32, 4.0 * 64.0 * 64.0, &device())?.sqr()? * 0.37)?.sin()?;
        let images = images.reshape((2, 2, 64, 64))?;
        let gradients = |dtype: DType| -> anyhow::Result<nn::Gradients> {
            let input = Input::images(images.to_dtype(dtype)?);
            let logits = model.forward_t(&input, true)?;
            Ok(parameters.gradients(&logits.main().sqr()?.mean_all()?)?)
        };

        let (exact, narrow) = (gradients(DType::F32)?, gradients(DType::BF16)?);

        let name = config.name();
        let (mut shared, mut norms) = (0.0, [0.0; 2]);
        for (parameter, gradient) in exact.iter() {
            let Some(gradient) = gradient else { continue };
            let other = narrow.get(parameter);
            let other = other.ok_or_else(|| anyhow::anyhow!("{name}: none of {parameter}"))?;
            anyhow::ensure!(other.dtype() == DType::F32, "{name}: {parameter}");
            let product = |a: &Tensor, b: &Tensor| -> anyhow::Result<f64> {
                Ok(f64::from((a * b)?.sum_all()?.to_scalar::<f32>()?))
            };
            shared += product(gradient, other)?;
            norms[0] += product(gradient, gradient)?;
            norms[1] += product(other, other)?;
        }
        let alike = shared / (norms[0] * norms[1]).sqrt();
        anyhow::ensure!(alike > 0.95 || place >= ROUGH && alike.is_finite(), "{name}: {alike}");
    }
    Ok(())
}
