use anyhow::Context;
use candle::{DType, Device, Tensor};

use super::{Noise, compare_within, is_available};
use crate::class_sums::Shape;
use crate::native::compared::Compared;
use crate::native::metal::class_sums;
use crate::{ClassActivation, ClassLabels, ClassSums, Summand, reference};

const SUMMANDS: [Summand; 10] = [
    Summand::Overlap { squared: false },
    Summand::Overlap { squared: true },
    Summand::Difference { exponent: 1.0 },
    Summand::Difference { exponent: 1.5 },
    Summand::Errors { exponent: 1.0 },
    Summand::Errors { exponent: 2.5 },
    Summand::CrossEntropy,
    Summand::Divergence,
    Summand::Focal { exponent: 1.0, gamma: 0.5 },
    Summand::Focal { exponent: 2.0, gamma: 0.0 },
];

#[test]
fn sums_over_voxels_agree() -> anyhow::Result<()> {
    if !is_available() {
        return Ok(());
    }
    // The second takes more than one group of threads for a sample.
    for [samples, classes, voxels] in [[2, 3, 37], [1, 2, 2500], [2, 1, 5]] {
        let shape = Shape { samples, classes, voxels };
        let dims = [samples, classes, voxels];
        let mut noise = Noise(23);
        let weight = noise.tensor(&[samples, voxels], DType::F32)?.relu()?;
        let shares = noise.tensor(&dims, DType::F32)?.abs()?;
        let index = |at: usize| u32::try_from(at * 5 % 7 % (classes + 1));
        let indices: Vec<u32> = (0..samples * voxels).map(index).collect::<Result<_, _>>()?;
        let indices = Tensor::from_vec(indices, (samples, voxels), &Device::Cpu)?;
        let masks = shares.gt(0.5)?;
        let labels = [
            ClassLabels::Indices(indices),
            ClassLabels::Shares(shares),
            ClassLabels::Shares(masks),
        ];
        for of in SUMMANDS {
            for activation in [ClassActivation::Softmax, ClassActivation::Sigmoid] {
                if classes == 1 && activation == ClassActivation::Softmax {
                    continue;
                }
                for (labels, weight, clip) in [
                    (&labels[0], None, 0.0),
                    (&labels[1], Some(&weight), 0.0),
                    (&labels[1], None, 0.1),
                    (&labels[2], Some(&weight), 0.0),
                ] {
                    let settings = ClassSums { clip, ..ClassSums::new(activation, of) };
                    compare_within(
                        3e-5,
                        &|t| {
                            let logits = (&t[0] * 4.0)?;
                            let compared =
                                Compared::new((&logits, shape), labels, weight, &settings, false)?;
                            class_sums(&logits, compared)
                        },
                        &|t| reference::class_sums(&(&t[0] * 4.0)?, labels, weight, &settings),
                        &[&dims],
                        1,
                        DType::F32,
                    )
                    .with_context(|| format!("{settings:?} of {shape:?}"))?;
                }
            }
        }
    }
    Ok(())
}
