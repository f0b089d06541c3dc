//! MIScnn's U-Net, which has no PyTorch to compare with: counted and computed by hand.

use std::collections::BTreeMap;

use anyhow::Result;
use candle::Tensor;
use golden::{Tolerance, close};
use nn::Parameters;
use sconce_models::{Architecture, Input, Interface, MiscnnUnet, Summary};

use crate::device::{device, dtype, floats, values};

#[test]
fn its_parameters_are_counted_by_hand() -> Result<()> {
    let of = |rank| {
        let interface = Interface { channels: 1, classes: 2, rank };
        Summary::of(&MiscnnUnet::default(), interface).map(|summary| summary.parameters)
    };

    // 2D. A convolution from a to b channels: 9ab + b, and 2b of its norm.
    //
    // down   32: 384 + 9,312              64: 18,624 + 37,056      128: 74,112 + 147,840
    //       256: 295,680 + 590,592       512: 1,181,184 + 2,360,832
    // up    256: 524,544 transposed (4 · 512 · 256 + 256), then 1,180,416 + 590,592
    //       128: 131,200, then 295,296 + 147,840
    //        64: 32,832, then 73,920 + 37,056
    //        32: 8,224, then 18,528 + 9,312
    // head      32 · 2 + 2
    let down = 9_696 + 55_680 + 221_952 + 886_272 + 3_542_016;
    let up = 2_295_552 + 574_336 + 143_808 + 36_064;
    assert_eq!(of(2)?, down + up + 66);
    assert_eq!(of(2)?, 7_765_442);

    // 3D: 27 for 9, and 8 for 4.
    let conv = |cin: usize, cout: usize| 27 * cin * cout + 3 * cout;
    let mut expected = 32 * 2 + 2;
    for (cin, cout) in [(1, 32), (32, 64), (64, 128), (128, 256), (256, 512)] {
        expected += conv(cin, cout) + conv(cout, cout);
    }
    for (coarse, fine) in [(512, 256), (256, 128), (128, 64), (64, 32)] {
        expected += 8 * coarse * fine + fine + conv(2 * fine, fine) + conv(fine, fine);
    }
    assert_eq!(of(3)?, expected);
    Ok(())
}

/// ReLU, then zero mean and unit variance.
fn follows(x: [f64; 4]) -> [f64; 4] {
    let x = x.map(|value| value.max(0.0));
    let mean = x.iter().sum::<f64>() / 4.0;
    let variance = x.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 4.0;
    x.map(|value| (value - mean) / (variance + 1e-3).sqrt())
}

/// Two resolutions of one and two channels, on an image of four voxels. Kernels are 0 but in their middle.
#[test]
fn a_small_pass_is_computed_by_hand() -> Result<()> {
    let settings = MiscnnUnet { n_filters: 1, depth: 1, ..MiscnnUnet::default() };
    let interface = Interface { channels: 1, classes: 1, rank: 2 };
    let parameters = Parameters::with_dtype(0, dtype(), &device());
    let model = settings.build(interface, parameters.builder())?;
    let mut given: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    // `(C_out, C_in)` of the middle of each kernel.
    given.insert("down.0.convs.0.conv.weight", vec![2.0]);
    given.insert("down.0.convs.0.conv.bias", vec![-5.0]);
    given.insert("down.0.convs.1.conv.weight", vec![1.0]);
    given.insert("down.1.convs.0.conv.weight", vec![1.0, 1.0]);
    given.insert("down.1.convs.1.conv.weight", vec![1.0, 0.0, 0.0, 1.0]);
    // One voxel is its own mean: what is left of it is the offset of the norm.
    given.insert("down.1.convs.1.norm.bias", vec![0.5, 0.25]);
    given.insert("up.0.upsample.bias", vec![0.125]);
    // The finer features come first, the skip second.
    given.insert("up.0.convs.0.conv.weight", vec![1.0, -1.0]);
    given.insert("up.0.convs.1.conv.weight", vec![1.0]);
    given.insert("head.weight", vec![3.0]);
    given.insert("head.bias", vec![0.5]);
    let mut state: BTreeMap<String, Tensor> = BTreeMap::new();
    for (name, var) in parameters.vars() {
        let fill =
            if name.ends_with("norm.weight") || name == "up.0.upsample.weight" { 1.0 } else { 0.0 };
        let mut all = vec![fill; var.elem_count()];
        if let Some(given) = given.remove(name.as_str()) {
            let taps = all.len() / given.len();
            for (at, value) in given.into_iter().enumerate() {
                all[at * taps + taps / 2] = value;
            }
        }
        state.insert(name, floats(&all, var.dims())?);
    }
    assert!(given.is_empty(), "{given:?}");
    parameters.load(&state)?;

    let image = [1.0, 4.0, 3.0, 2.0];
    let logits = model.forward_t(&Input::images(floats(&image, &[1, 1, 2, 2])?), true)?;

    let skip = follows(follows(image.map(|value| 2.0 * value - 5.0)));
    // Two channels, 0.5 and 0.25, each to all four voxels, by weights of 1.
    let finer = 0.5 + 0.25 + 0.125;
    let fused = follows(follows(skip.map(|value| finer - value)));
    let expected = fused.map(|value| 3.0 * value + 0.5);
    close(&values(logits.main())?, &expected, Tolerance::new(1e-9, 1e-9).on_device())
}
