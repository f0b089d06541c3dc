use candle::{DType, Device, Result, Tensor};
use sconce_nn::{
    Act, ConvConfig, ConvTransposeConfig, GridSampleConfig, Interpolation, PadMode, PoolConfig,
    SampleMode, SamplePadding, adaptive_avg_pool, avg_pool, batch_norm_train, concat, conv,
    conv_transpose, grid_sample, group_norm, instance_norm, layer_norm, max_pool, pad,
    pixel_shuffle, prelu, resize, resize_by, to_channels_first,
};

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape, DType::F32, &Device::Cpu).expect("zeros")
}

/// The message that `result` refuses with.
fn refusal(result: Result<Tensor>) -> String {
    result.expect_err("a refusal").to_string().lines().next().unwrap_or_default().to_owned()
}

#[test]
fn convolutions_refuse_what_does_not_fit() {
    let x = zeros(&[1, 5, 6, 4]);
    let weight = zeros(&[8, 4, 3, 3]);
    let same = ConvConfig::same(&[3, 3], &[1, 1]);

    assert_eq!(
        refusal(conv(&zeros(&[5, 4]), &weight, None, &same)),
        "conv takes a tensor (N, *S, C) with 1 to 3 spatial axes, not one of shape [5, 4]",
    );
    assert_eq!(
        refusal(conv(&zeros(&[0, 5, 6, 4]), &weight, None, &same)),
        "conv of an empty tensor, of shape [0, 5, 6, 4]",
    );
    assert_eq!(
        refusal(conv(&x, &weight, None, &ConvConfig::new(3))),
        "conv: stride has 3 entries, but the input has 2 spatial axes",
    );
    assert_eq!(
        refusal(conv(&x, &weight, None, &ConvConfig { stride: vec![1, 0], ..same.clone() })),
        "conv: stride is [1, 0]; each entry is at least 1",
    );
    assert_eq!(
        refusal(conv(&x, &weight, None, &ConvConfig { groups: 3, ..same.clone() })),
        "conv: groups is [3]; it divides the channels of the input",
    );
    assert_eq!(
        refusal(conv(&x, &zeros(&[8, 5, 3, 3]), None, &same)),
        "conv: weight has shape [8, 5, 3, 3], but (Cout, 4, *K) over 2 axes is needed",
    );
    assert_eq!(
        refusal(conv(&x, &weight, Some(&zeros(&[7])), &same)),
        "conv: bias has shape [7], but [8] is needed",
    );
    assert_eq!(
        refusal(conv(&x, &zeros(&[8, 4, 9, 3]), None, &ConvConfig::new(2))),
        "conv: a window of [9, 3] does not fit into [5, 6] with padding [0, 0]",
    );
    let up = ConvTransposeConfig::upsample(&[2, 2]);
    let extra = ConvTransposeConfig { output_padding: vec![2, 0], ..up.clone() };
    assert_eq!(
        refusal(conv_transpose(&x, &zeros(&[4, 3, 2, 2]), None, &extra)),
        "conv_transpose: output_padding is [2, 0]; each entry is below the stride or the dilation \
         of its axis",
    );
    assert_eq!(
        refusal(conv_transpose(&x, &zeros(&[5, 3, 2, 2]), None, &up)),
        "conv_transpose: weight has shape [5, 3, 2, 2], but (4, Cout / groups, *K) over 2 axes is \
         needed",
    );
    let cut = ConvTransposeConfig { padding: vec![9, 0], ..up };
    assert!(conv_transpose(&x, &zeros(&[4, 3, 2, 2]), None, &cut).is_err());
}

#[test]
fn other_layers_refuse_what_does_not_fit() {
    let x = zeros(&[1, 5, 6, 4]);
    let scale = zeros(&[3]);
    let act = Act::Identity;
    let sample = GridSampleConfig {
        mode: SampleMode::Linear,
        padding: SamplePadding::Zeros,
        align_corners: false,
    };
    let padded =
        |padding: usize| PoolConfig { padding: vec![padding, 0], ..PoolConfig::new(&[2, 2]) };

    let refused = [
        instance_norm(&x, Some(&scale), None, 1e-5, act),
        instance_norm(&zeros(&[4]), None, None, 1e-5, act),
        group_norm(&x, 3, None, None, 1e-5, act),
        group_norm(&x, 0, None, None, 1e-5, act),
        batch_norm_train(&zeros(&[1, 1, 1, 4]), None, None, 1e-5, act).map(|(y, _)| y),
        layer_norm(&x, Some(&scale), None, 1e-5),
        layer_norm(&zeros(&[3, 0]), None, None, 1e-5),
        prelu(&x, &scale),
        max_pool(&x, &PoolConfig::new(&[2, 2, 2])),
        max_pool(&x, &PoolConfig::new(&[6, 2])),
        max_pool(&x, &PoolConfig::new(&[0, 2])),
        avg_pool(&x, &padded(2)),
        adaptive_avg_pool(&x, &[0, 1]),
        resize(&x, &[3], Interpolation::Nearest),
        resize(&x, &[3, 0], Interpolation::Nearest),
        resize_by(&x, &[2.0], Interpolation::Nearest),
        resize_by(&x, &[0.1, 1.0], Interpolation::Nearest),
        resize_by(&x, &[f64::NAN, 1.0], Interpolation::Nearest),
        pad(&x, &[(1, 1)], PadMode::Replicate),
        pad(&x, &[(5, 0), (0, 0)], PadMode::Reflect),
        pixel_shuffle(&x, 3),
        pixel_shuffle(&x, 0),
        grid_sample(&x, &zeros(&[1, 2, 2, 3]), sample),
        grid_sample(&x, &zeros(&[2, 2, 2, 2]), sample),
        concat(&[]),
        concat(&[&x, &zeros(&[1, 5, 5, 4])]),
        to_channels_first(&zeros(&[3])),
    ];

    for (which, result) in refused.into_iter().enumerate() {
        assert!(result.is_err(), "case {which} is accepted");
    }
}

#[test]
fn the_native_backend_refuses_what_it_has_no_kernel_for() {
    let x = Tensor::zeros((1, 4, 4, 2), DType::F64, &Device::Cpu).unwrap();

    let refused = sconce_nn::with_backend(sconce_nn::Backend::Native, || {
        instance_norm(&x, None, None, 1e-5, Act::Relu)
    });

    assert_eq!(
        refusal(refused),
        "instance_norm has no native kernel for F64 on Cpu; use the reference backend",
    );
}
