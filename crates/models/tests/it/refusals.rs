//! What networks refuse, and in which words.

use candle::{DType, Device, Tensor};
use sconce_models::{Architecture, Input, Interface, Unet};

const INTERFACE: Interface = Interface { channels: 1, classes: 2, rank: 3 };

fn refusal_of(settings: &Unet, interface: Interface) -> String {
    let parameters = nn::Parameters::new(0, &Device::Cpu);
    settings.build(interface, parameters.builder()).expect_err("a refusal").to_string()
}

fn small() -> Unet {
    Unet { features_per_stage: vec![2, 3, 4], ..Unet::default() }
}

#[test]
fn settings_that_contradict_each_other_are_named() {
    let starts = |settings: Unet, expected: &str| {
        let actual = refusal_of(&settings, INTERFACE);
        assert!(actual.starts_with(expected), "{actual}");
    };

    starts(
        Unet { n_conv_per_stage: vec![2, 2], ..small() },
        "n_conv_per_stage has 2 entries, but features_per_stage asks for 3; leave it empty for \
         the default",
    );
    starts(
        Unet { n_conv_per_stage_decoder: vec![1, 0], ..small() },
        "n_conv_per_stage_decoder must be at least 1 everywhere",
    );
    starts(
        Unet { strides: vec![vec![1; 3], vec![2; 2], vec![2; 3]], ..small() },
        "stage 1 of strides is [2, 2], but the images have 3 spatial axes",
    );
    starts(
        Unet { strides: vec![vec![2; 3]; 3], ..small() },
        "the first of strides is [2, 2, 2], but the first stage sees the images as they are: 1",
    );
    starts(
        Unet { kernel_sizes: vec![vec![3, 3, 2]; 3], ..small() },
        "stage 0 of kernel_sizes is [3, 3, 2], but extents must be odd",
    );
    starts(
        Unet { features_per_stage: vec![4], ..small() },
        "features_per_stage (two stages or more) must be at least 1 everywhere",
    );
    starts(
        Unet { negative_slope: f64::NAN, ..small() },
        "negative_slope is NaN, but must be a finite number of 0 or more",
    );
}

#[test]
fn an_interface_without_sense_is_refused() {
    let rank = Interface { rank: 1, ..INTERFACE };
    assert!(refusal_of(&small(), rank).starts_with("a network has 2 or 3 spatial axes, not 1"));
    let classes = Interface { classes: 0, ..INTERFACE };
    assert!(refusal_of(&small(), classes).starts_with("classes must be at least 1"));
}

#[test]
fn images_that_do_not_fit_are_refused_with_the_remedy() -> anyhow::Result<()> {
    let parameters = nn::Parameters::new(0, &Device::Cpu);
    let model = small().build(INTERFACE, parameters.builder())?;
    let refusal = |shape: (usize, usize, usize, usize, usize)| -> anyhow::Result<String> {
        let images = Tensor::zeros(shape, DType::F32, &Device::Cpu)?;
        let refused = model.forward_t(&Input::images(images), true);
        Ok(refused.expect_err("a refusal").to_string())
    };

    let extents = refusal((1, 1, 8, 10, 12))?;
    assert!(
        extents.starts_with(
            "images of [8, 10, 12] voxels do not divide by the network's stride [4, 4, 4]; pad \
             them to [8, 12, 12]",
        ),
        "{extents}",
    );
    let channels = refusal((1, 2, 8, 8, 8))?;
    assert!(
        channels.starts_with(
            "images have shape [1, 2, 8, 8, 8], but the network takes (N, 1, *S) with 3 spatial \
             axes",
        ),
        "{channels}",
    );
    Ok(())
}
