//! Kernels by tiles on any machine.

mod emulation;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod layers;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod trapped;

use candle::DType;
use half::bf16;

use self::emulation::Emulated;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(super) use self::trapped::is_caught;
use super::tiles::Tiles;
use super::{Sweep, convolve::convolve, weight_gradient::weight_gradient};
use crate::Act;
use crate::geometry::Geometry;
use crate::kernels::element::{Element as _, Values, stored};
use crate::kernels::norm::{Scaling, Standard};
use crate::kernels::reading::{Norm, Part, read};

/// A convolution, by its extents.
struct Case {
    geometry: Geometry,
    fine: Vec<bf16>,
    coarse: Vec<bf16>,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

/// Values of bf16, between -1 and 1.
fn noise(salt: u32, count: usize) -> Vec<bf16> {
    let mut bits = salt.wrapping_mul(0x9e37_79b9);
    let next = || {
        bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bf16::from_f32((bits >> 8) as f32 / 8_388_608.0 - 1.0)
    };
    std::iter::repeat_with(next).take(count).collect()
}

impl Case {
    fn new(
        batch: usize,
        fine: &[usize],
        [fine_channels, coarse_channels]: [usize; 2],
        kernel: &[usize],
        [stride, padding, dilation]: [&[usize]; 3],
    ) -> Self {
        let extent = |axis: usize| {
            let window = dilation[axis] * (kernel[axis] - 1) + 1;
            (fine[axis] + 2 * padding[axis] - window) / stride[axis] + 1
        };
        let coarse: Vec<usize> = (0..fine.len()).map(extent).collect();
        let [fine_voxels, coarse_voxels, taps] =
            [fine, &coarse, kernel].map(|list| list.iter().product::<usize>());
        let wide = |values: Vec<bf16>| values.into_iter().map(bf16::to_f32).collect();
        Self {
            fine: noise(1, batch * fine_voxels * fine_channels),
            coarse: noise(2, batch * coarse_voxels * coarse_channels),
            weight: wide(noise(3, taps * fine_channels * coarse_channels)),
            bias: wide(noise(4, fine_channels.max(coarse_channels))),
            geometry: Geometry {
                batch,
                fine: fine.to_vec(),
                coarse,
                fine_channels,
                coarse_channels,
                kernel: kernel.to_vec(),
                stride: stride.to_vec(),
                padding: padding.to_vec(),
                dilation: dilation.to_vec(),
                groups: 1,
            },
        }
    }

    /// Odd extents and channels, one axis to three, and all that a convolution may be set to.
    fn all() -> Vec<Self> {
        let ones: &[usize] = &[1, 1, 1];
        vec![
            Self::new(2, &[3, 5, 7], [31, 33], &[3, 3, 3], [ones; 3]),
            Self::new(1, &[1, 3, 20], [32, 32], &[3, 3, 3], [ones; 3]),
            Self::new(1, &[4, 5, 6], [32, 4], &[3, 3, 3], [&[2, 2, 2], ones, ones]),
            Self::new(2, &[3, 6, 7], [3, 32], &[1, 3, 3], [&[1, 2, 2], &[0, 1, 1], ones]),
            Self::new(3, &[6, 7], [33, 3], &[3, 3], [&[2, 1], &[1, 1], &[1, 1]]),
            Self::new(2, &[37], [4, 31], &[5], [&[2], &[2], &[1]]),
            Self::new(1, &[1, 1, 1], [4, 5], &[3, 3, 3], [ones; 3]),
            Self::new(1, &[2, 3, 9], [64, 64], &[1, 1, 1], [ones, &[0, 0, 0], ones]),
            Self::new(1, &[5, 6, 7], [4, 31], &[3, 3, 3], [ones, &[2, 1, 3], &[2, 1, 3]]),
            Self::new(1, &[6, 5, 9], [1, 33], &[3, 3, 3], [&[2, 1, 2], &[2, 0, 1], &[1, 2, 2]]),
            // Voxels that no tap sees, on the one side and on the other.
            Self::new(1, &[7, 8], [4, 33], &[2, 2], [&[3, 3], &[0, 0], &[1, 1]]),
            Self::new(1, &[2, 5], [3, 4], &[1, 3], [&[3, 2], &[1, 4], &[1, 1]]),
            // As transposed convolutions are.
            Self::new(2, &[4, 6, 10], [31, 33], &[2, 2, 2], [&[2, 2, 2], &[0, 0, 0], ones]),
        ]
    }

    fn part(values: &[bf16], channels: usize) -> [Part<'_>; 1] {
        [Part { values: Values::Bf16(values), channels, norm: None }]
    }

    /// The convolution with a bias, its adjoint, and the gradient of the weight.
    fn results<T: Tiles>(&self, grant: T::Grant) -> [Vec<f32>; 3] {
        let geometry = &self.geometry;
        let fine = Self::part(&self.fine, geometry.fine_channels);
        let coarse = Self::part(&self.coarse, geometry.coarse_channels);
        let bias = Some(&self.bias[..geometry.coarse_channels]);
        let [gather, scatter] = [Sweep::gather(geometry), Sweep::scatter(geometry)];
        [
            convolve::<T, f32>(grant, &gather, &fine, &self.weight, bias),
            convolve::<T, f32>(grant, &scatter, &coarse, &self.weight, None),
            weight_gradient::<T>(grant, geometry, &fine, &coarse),
        ]
    }

    /// The same as they are defined, in double precision; and the sums of what is added up, without signs.
    fn exact(&self) -> [Vec<[f64; 2]>; 3] {
        let geometry = &self.geometry;
        let [fines, coarses] = [geometry.fine_channels, geometry.coarse_channels];
        let bias = &self.bias[..coarses];
        let biases = bias.iter().map(|&bias| [f64::from(bias), f64::from(bias).abs()]);
        let mut all = [
            biases.cycle().take(self.coarse.len()).collect(),
            vec![[0.0; 2]; self.fine.len()],
            vec![[0.0; 2]; self.weight.len()],
        ];
        let taps = geometry.taps();
        self.visit(|fine, coarse, tap| {
            for a in 0..fines {
                for b in 0..coarses {
                    let at = [coarse * coarses + b, fine * fines + a, (b * fines + a) * taps + tap];
                    let x = self.fine[at[1]].to_f64();
                    let (y, w) = (self.coarse[at[0]].to_f64(), f64::from(self.weight[at[2]]));
                    for (which, product) in [x * w, y * w, x * y].into_iter().enumerate() {
                        all[which][at[which]][0] += product;
                        all[which][at[which]][1] += product.abs();
                    }
                }
            }
        });
        all
    }

    /// Calls `run` with each fine and coarse voxel that a tap joins, and the tap.
    fn visit(&self, mut run: impl FnMut(usize, usize, usize)) {
        let geometry = &self.geometry;
        let voxels: usize = geometry.coarse.iter().product();
        for coarse in 0..geometry.batch * voxels {
            for tap in 0..geometry.taps() {
                let position = geometry.tap(tap);
                let (mut rest, mut step, mut fine) = (coarse, 1, Some(0));
                for axis in (0..geometry.rank()).rev() {
                    let at = rest % geometry.coarse[axis] * geometry.stride[axis];
                    let at = at + position[axis] * geometry.dilation[axis];
                    let at = at.checked_sub(geometry.padding[axis]);
                    let at = at.filter(|&at| at < geometry.fine[axis]);
                    fine = fine.zip(at).map(|(fine, at)| fine + at * step);
                    step *= geometry.fine[axis];
                    rest /= geometry.coarse[axis];
                }
                if let Some(fine) = fine {
                    run(rest * step + fine, coarse, tap);
                }
            }
        }
    }
}

#[test]
fn all_passes_agree_with_the_definition_up_to_the_rounding_of_sums() {
    for (number, case) in Case::all().iter().enumerate() {
        let [of_result, of_input] = [Sweep::gather(&case.geometry), Sweep::scatter(&case.geometry)]
            .map(|sweep| sweep.source.channels.div_ceil(32) * sweep.taps());
        let of_weight = case.coarse.len() / case.geometry.coarse_channels;
        let found = case.results::<Emulated>(None);
        let additions = [of_result, of_input, of_weight];
        for (which, (found, exact)) in found.iter().zip(case.exact()).enumerate() {
            assert_eq!(found.len(), exact.len(), "case {number}, {which}");
            // Products are exact. A value goes through a chain of 16 sums, the sum of two chains, one sum
            // for each product of tiles, and few more; each rounds by a half of 2^-23 at most.
            let most = (16 + 1 + additions[which] + 20) as f64 * 2f64.powi(-24);
            for (at, (&found, [exact, size])) in found.iter().zip(exact).enumerate() {
                let apart = (f64::from(found) - exact).abs();
                assert!(
                    apart <= most * size,
                    "case {number}: value {at} of {which} is {found}, not {exact}",
                );
            }
        }
    }
}

#[test]
fn stored_results_are_rounded_once() {
    let case = &Case::all()[0];
    let (sweep, fine) = (Sweep::gather(&case.geometry), Case::part(&case.fine, 31));

    let wide = convolve::<Emulated, f32>(None, &sweep, &fine, &case.weight, None);
    let half = convolve::<Emulated, bf16>(None, &sweep, &fine, &case.weight, None);

    assert!(half.iter().zip(&wide).all(|(half, &wide)| *half == bf16::from_f32(wide)));
}

#[test]
fn what_is_normalized_as_it_is_read_is_rounded_once() {
    let (batch, voxels, channels) = (2, 3 * 5 * 7, 31);
    let case = &Case::all()[0];
    let wide = |salt, count| noise(salt, count).into_iter().map(bf16::to_f32).collect::<Vec<_>>();
    let (mean, factor) = (wide(5, batch * channels), wide(6, batch * channels));
    let standard = Standard { mean, factor };
    let (weight, bias) = (wide(7, channels), wide(8, channels));
    for (kept, act) in [(13, Act::LeakyRelu(0.01)), (30, Act::Silu)] {
        let scaling = Scaling { weight: &weight[..kept], bias: &bias[..kept] };
        let (first, second) =
            (noise(9, batch * voxels * kept), wide(1, batch * voxels * (31 - kept)));
        let norm = Some(Norm { standard: &standard, scaling, form: act.into() });
        let parts = [
            Part { values: Values::Bf16(&first), channels: kept, norm },
            Part { values: Values::F32(&second), channels: channels - kept, norm: None },
        ];
        let joined = read(&parts, batch, voxels);
        let candle::CpuStorage::BF16(joined) = stored(joined.into_owned(), DType::BF16) else {
            panic!("another type than asked for")
        };
        let joined = Case::part(&joined, channels);
        let coarse = Case::part(&case.coarse, 33);
        let sweep = Sweep::gather(&case.geometry);

        let both = [&parts[..], &joined].map(|parts| {
            let y = convolve::<Emulated, f32>(None, &sweep, parts, &case.weight, None);
            (y, weight_gradient::<Emulated>(None, &case.geometry, parts, &coarse))
        });

        assert!(both[0] == both[1], "{act:?}");
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let on = |threads: usize, case: &Case| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| case.results::<Emulated>(None))
    };
    for case in &Case::all()[8..10] {
        let one = on(1, case);

        assert!(one == on(3, case));
    }
}

#[test]
fn tiles_that_are_lost_are_computed_again() {
    let case = &Case::all()[2];
    let whole = case.results::<Emulated>(None);
    for products in [0, 26, 27, 70] {
        assert!(case.results::<Emulated>(Some(products)) == whole, "after {products}");
    }
}

#[test]
fn values_are_rounded_as_they_are_stored() {
    let value = 1.0 + 1.0 / 256.0 + 1.0 / 1024.0;
    assert_eq!(bf16::of(value), bf16::from_f32(value));
    assert_eq!(value.halved(), bf16::from_f32(value));
}
