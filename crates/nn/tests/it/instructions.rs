use anyhow::Context as _;
use candle::{DType, Device, Result, Tensor};
use sconce_nn::{Act, ConvConfig, Isa, Method, conv, instance_norm, with_isa, with_method};

use crate::device::values;
use crate::native::{Place, compare_in, run};

/// Every instruction set that this machine has and each method, where that of small products applies
/// and where it nearly does: odd extents, channels beside whole vectors, all three ways of padding, few and
/// many rows, weights small and large.
#[test]
fn every_instruction_set_agrees() -> anyhow::Result<()> {
    type Extents = &'static [usize];
    // Input (N, *S, C), outputs, kernel, padding.
    let cases: &[(Extents, usize, Extents, Extents)] = &[
        (&[2, 5, 7, 9, 31], 33, &[3, 3, 3], &[1, 1, 1]),
        (&[1, 6, 5, 4, 8], 9, &[3, 3, 3], &[0, 1, 2]),
        (&[2, 3, 8, 7, 16], 40, &[1, 3, 3], &[0, 1, 1]),
        (&[1, 1, 1, 1, 12], 17, &[3, 3, 3], &[1, 1, 1]),
        (&[1, 3, 4, 5, 8], 8, &[3, 3, 3], &[0, 0, 0]),
        (&[3, 9, 6, 24], 15, &[3, 3], &[1, 1]),
        (&[1, 40, 70, 10], 8, &[3, 3], &[2, 0]),
        (&[2, 9, 150, 16], 24, &[3, 3], &[1, 1]),
        (&[1, 3, 5, 8], 8, &[3, 3], &[1, 70]),
        (&[1, 2, 6, 131, 8], 16, &[3, 3, 3], &[1, 2, 2]),
        (&[1, 4, 4, 4, 128], 160, &[3, 3, 3], &[1, 1, 1]),
        (&[2, 6, 6, 320], 96, &[3, 3], &[1, 1]),
        (&[1, 5, 6, 7, 7], 7, &[3, 3, 3], &[1, 1, 1]),
    ];
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        for &(input, outputs, kernel, padding) in cases {
            let config = ConvConfig { padding: padding.to_vec(), ..ConvConfig::new(kernel.len()) };
            let weight = [&[outputs, input[input.len() - 1]], kernel].concat();
            let layer = |t: &[Tensor]| conv(&t[0], &t[1], Some(&t[2]), &config);
            let shapes: &[&[usize]] = &[input, &weight, &[outputs]];
            // In little space, the fast method is the other.
            let is_large = input[..input.len() - 1].iter().product::<usize>() > 500;
            let methods = [Method::Auto, Method::Direct, Method::Fast];
            for &method in &methods[..if is_large { 3 } else { 2 }] {
                let run = || compare_in(DType::F32, &Device::Cpu, &layer, shapes, 1e-5);
                with_isa(isa, || with_method(method, run)).with_context(|| {
                    format!("{isa}, {method:?}: {input:?} to {outputs}, {kernel:?}")
                })?;
            }
        }
    }
    Ok(())
}

#[test]
fn tiles_change_nothing_in_single_precision() -> anyhow::Result<()> {
    let layer = |t: &[Tensor]| {
        let config = ConvConfig::same(&[3, 3, 3], &[2, 1, 1]);
        let y = conv(&t[0], &t[1], None, &ConvConfig::same(&[3, 3, 3], &[1, 1, 1]))?;
        conv(&instance_norm(&y, None, None, 1e-5, Act::Relu)?, &t[2], None, &config)
    };
    let shapes: &[&[usize]] = &[&[2, 4, 5, 6, 16], &[20, 16, 3, 3, 3], &[17, 20, 3, 3, 3]];
    let place = Place::of(DType::F32, DType::F32, &Device::Cpu);
    let of = |isa: Isa| -> anyhow::Result<Vec<Vec<f64>>> {
        let tensors = with_isa(isa, || run(&layer, shapes, &place))?;
        Ok(tensors.iter().map(values).collect::<Result<_>>()?)
    };

    // Here or not: where it is not, AVX-512 is used all the same, and where that is not, neither.
    assert_eq!(of(Isa::Amx)?, of(Isa::Avx512)?);
    Ok(())
}
