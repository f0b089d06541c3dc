//! What networks refuse, and in which words.

use candle::{DType, Device, Tensor};
use sconce_models::{Architecture, Input, Interface, ModelConfig, Summary, Unet};

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
fn settings_of_other_networks_that_make_no_sense_are_named() -> anyhow::Result<()> {
    for (settings, expected) in [
        ("[monai_unet]\nchannels = [4]", "channels (two resolutions or more) must be at least 1"),
        (
            "[monai_unet]\nstrides = [2]",
            "strides is of 1 entries, but there must be one entry fewer",
        ),
        ("[monai_unet]\nkernel_size = 4", "kernel_size is [4, 4, 4], but a kernel needs a voxel"),
        (
            "[monai_unet]\nkernel_size = [3, 3]",
            "kernel_size is [3, 3], but the images have another",
        ),
        ("[monai_unet]\nact = { leaky_relu = nan }", "act is NaN, but it takes a finite number"),
        (
            "[monai_unet]\nnorm = { group = { num_groups = 3 } }",
            "num_groups is 3, but it must divide the channels of every layer",
        ),
        ("[basic_unet]\nfeatures = [4, 4, 4, 4, 1, 4]", "features is 1, but halves of 1"),
        ("[dyn_unet]\nfilters = [4, 8]", "filters is of 2 entries, but there must be three"),
        ("[dyn_unet]\nstrides = [1, 2]", "strides is of 2 entries, but there must be as many"),
        ("[dyn_unet]\nstrides = [2, 2, 2, 2]", "strides is [[2, 2, 2], "),
        ("[dyn_unet]\nstrides = [1, 2, 3, 2]", "strides is [[1, 1, 1], "),
        ("[segresnet]\nblocks_up = [1]", "blocks_up is of 1 entries, but there must be one"),
        ("[segresnet]\ninit_filters = 0", "init_filters must be at least 1"),
        (
            "[attention_unet]\nchannels = [1, 2]\nstrides = [2]",
            "channels is 1, but attention needs",
        ),
        ("[miscnn_unet]\ndepth = 9", "depth is 9, but it must be 1 to 8"),
        ("[miscnn_unet]\nn_filters = 1000000", "n_filters is 1000000, but no layer has more"),
        ("[smp_unet]\ndecoder_channels = [8, 8, 8, 8, 0]", "decoder_channels must be at least 1"),
        (
            "[fpn]\ndecoder_segmentation_channels = 48",
            "decoder_segmentation_channels is 48, but it must be a multiple of 32",
        ),
        ("[deeplabv3]\nencoder_output_stride = 4", "encoder_output_stride is 4, but it must be 8"),
        (
            "[deeplabv3]\ndecoder_atrous_rates = [0, 1, 2]",
            "decoder_atrous_rates must be at least 1",
        ),
        (
            "[deeplabv3]\nencoder = \"mit_b0\"",
            "encoder_output_stride is 8, but mit_b0 has no dilated",
        ),
        ("[pspnet]\nencoder_depth = 2", "encoder_depth is 2, but it must be 3, 4 or 5"),
    ] {
        let model: ModelConfig = toml::from_str(settings)?;
        let refused = Summary::of(&model, INTERFACE).expect_err(settings).to_string();
        assert!(refused.starts_with(expected), "{settings}: {refused}");
    }
    let error = toml::from_str::<ModelConfig>("[fpn]\nencoder = \"resnet19\"").unwrap_err();
    assert!(error.to_string().contains("unknown variant `resnet19`"), "{error}");
    Ok(())
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
