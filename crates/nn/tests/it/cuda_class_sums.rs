//! CUDA kernels of sums over voxels, run on the CPU, agree with the reference.

use anyhow::Context;
use candle::{DType, Device, Tensor, Var};
use sconce_nn::{
    Backend, ClassActivation, ClassLabels, ClassSums, Summand, class_sums, with_backend,
};

use crate::cuda_machine::launch::{self, Compared, Kind};
use crate::cuda_machine::{Emulator, agree};
use crate::random::noise;

/// What is summed, with its number and its exponents.
const SUMMANDS: [(Summand, i32, [f32; 2]); 12] = [
    (Summand::Overlap { squared: false }, 0, [1.0, 0.0]),
    (Summand::Overlap { squared: true }, 0, [2.0, 0.0]),
    (Summand::Difference { exponent: 1.0 }, 1, [1.0, 0.0]),
    (Summand::Difference { exponent: 1.5 }, 1, [1.5, 0.0]),
    (Summand::Errors { exponent: 1.0 }, 2, [1.0, 0.0]),
    (Summand::Errors { exponent: 2.0 }, 2, [2.0, 0.0]),
    (Summand::Difference { exponent: 2.0 }, 1, [2.0, 0.0]),
    (Summand::Errors { exponent: 2.5 }, 2, [2.5, 0.0]),
    (Summand::CrossEntropy, 3, [0.0; 2]),
    (Summand::Divergence, 4, [0.0; 2]),
    (Summand::Focal { exponent: 1.0, gamma: 0.5 }, 5, [1.0, 0.5]),
    (Summand::Focal { exponent: 2.0, gamma: 0.0 }, 5, [2.0, 0.0]),
];

#[test]
fn sums_over_voxels_agree() -> anyhow::Result<()> {
    // The second takes more than one block for a sample.
    for shape in [[2, 3, 37], [1, 2, 2500], [2, 1, 5]] {
        for activation in [ClassActivation::Softmax, ClassActivation::Sigmoid] {
            if shape[1] == 1 && activation == ClassActivation::Softmax {
                continue;
            }
            for (of, number, exponents) in SUMMANDS {
                for (has_shares, has_weight, clip) in
                    [(false, false, 0.0), (true, true, 0.0), (true, false, 0.1)]
                {
                    let settings = ClassSums { clip, ..ClassSums::new(activation, of) };
                    let outcome =
                        check(shape, &settings, (number, exponents), [has_shares, has_weight]);
                    if !outcome.with_context(|| format!("{settings:?} of {shape:?}"))? {
                        return Ok(());
                    }
                }
            }
        }
    }
    Ok(())
}

/// Whether it could be run.
fn check(
    [samples, classes, voxels]: [usize; 3],
    settings: &ClassSums,
    (number, exponents): (i32, [f32; 2]),
    [has_shares, has_weight]: [bool; 2],
) -> anyhow::Result<bool> {
    let Some(machine) = Emulator::start()? else { return Ok(false) };
    let cpu = &Device::Cpu;
    let shape = [samples, classes, voxels];
    let logits =
        Var::from_tensor(&(noise(1, &shape, DType::F32, cpu)? * 4.0)?.to_dtype(DType::F64)?)?;
    let shares = noise(2, &shape, DType::F32, cpu)?.abs()?;
    let weight = noise(3, &[samples, voxels], DType::F32, cpu)?.relu()?;
    let number_of = |at: usize| u32::try_from(at * 5 % 7 % (classes + 1));
    let indices: Vec<u32> = (0..samples * voxels).map(number_of).collect::<Result<_, _>>()?;
    let signed: Vec<i32> = indices.iter().map(|&index| index.cast_signed()).collect();
    let indices = Tensor::from_vec(indices, (samples, voxels), cpu)?;
    let labels = if has_shares {
        ClassLabels::Shares(shares.clone())
    } else {
        ClassLabels::Indices(indices)
    };
    let count = settings.of.count();
    let factors = noise(4, &[count, samples, classes], DType::F32, cpu)?;
    let exact = with_backend(Backend::Reference, || -> anyhow::Result<_> {
        let weight = has_weight.then_some(&weight);
        let sums = class_sums(&logits, &labels, weight, settings)?;
        let gradients = (&sums * factors.to_dtype(DType::F64)?)?.sum_all()?.backward()?;
        Ok((sums.detach(), gradients.get(&logits).context("no gradient")?.clone()))
    })?;

    let up = |x: &Tensor| machine.upload(Kind::F32, x);
    let (x, shares, weight, factors) = (up(&logits)?, up(&shares)?, up(&weight)?, up(&factors)?);
    let indices = launch::Machine::ints(&machine, &signed)?;
    let compared = Compared {
        x: &x,
        shares: has_shares.then_some(&shares),
        indices: (!has_shares).then_some(&indices),
        weight: has_weight.then_some(&weight),
    };
    let (low, high) = if settings.clip > 0.0 { (0.1f32, 0.9) } else { (0.0, 1.0) };
    let sums = launch::ClassSums {
        samples,
        classes,
        voxels,
        alone: settings.activation == ClassActivation::Sigmoid,
        count,
        kind: number,
        exponents,
        bounds: [low, high, low.ln(), high.ln()],
    };
    let found = launch::class_sums(&machine, Kind::F32, &compared, &sums)?;
    let slopes = launch::class_sums_gradient(&machine, Kind::F32, &compared, &factors, &sums)?;
    agree("sums", &machine.download(&found, &[count, samples, classes])?, &exact.0, 3e-5)?;
    agree("gradient", &machine.download(&slopes, &shape)?, &exact.1, 3e-5)?;
    Ok(true)
}
