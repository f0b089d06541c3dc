//! Sums over voxels: native ones against the reference, with their gradients.

use anyhow::Result;
use candle::{DType, Device, Tensor, Var};
use sconce_nn::{
    Backend, ClassActivation, ClassLabels, ClassSums, ConvConfig, Isa, Summand, class_sums,
    conv_of, to_channels_first, with_backend, with_isa,
};

const SUMMANDS: [Summand; 12] = [
    Summand::Overlap { squared: false },
    Summand::Overlap { squared: true },
    Summand::Difference { exponent: 1.0 },
    Summand::Difference { exponent: 2.0 },
    Summand::Difference { exponent: 1.5 },
    Summand::Errors { exponent: 1.0 },
    Summand::Errors { exponent: 2.0 },
    Summand::Errors { exponent: 2.5 },
    Summand::CrossEntropy,
    Summand::Divergence,
    Summand::Focal { exponent: 1.0, gamma: 0.5 },
    Summand::Focal { exponent: 2.0, gamma: 0.0 },
];

/// Logits `(N, C, *S)`, labels of each kind, and a weight of which some are 0.
struct Batch {
    logits: Tensor,
    labels: [ClassLabels; 3],
    weight: Tensor,
}

impl Batch {
    fn random(shape: &[usize], dtype: DType) -> Result<Self> {
        let cpu = &Device::Cpu;
        let logits = (Tensor::randn(0f64, 2.0, shape, cpu)?).to_dtype(dtype)?;
        let voxels = [&shape[..1], &shape[2..]].concat();
        // One beyond the classes, too.
        let range = shape[1] as f64 + 1.0;
        let indices = Tensor::rand(0f64, range, voxels.as_slice(), cpu)?.to_dtype(DType::U32)?;
        let masks = Tensor::rand(0f32, 2.0, shape, cpu)?.to_dtype(DType::U8)?;
        let shares = candle_nn::ops::softmax(&Tensor::randn(0f64, 1.0, shape, cpu)?, 1)?;
        let weight = Tensor::rand(-0.5f64, 1.5, voxels.as_slice(), cpu)?.maximum(0f64)?;
        let labels = [
            ClassLabels::Indices(indices),
            ClassLabels::Shares(masks),
            ClassLabels::Shares(shares.to_dtype(dtype)?),
        ];
        Ok(Self { logits, labels, weight })
    }
}

fn values(x: &Tensor) -> Result<Vec<f64>> {
    Ok(x.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}

/// The sums, and the gradient of what they are when each counts differently.
fn both(
    logits: &Tensor,
    labels: &ClassLabels,
    weight: Option<&Tensor>,
    settings: &ClassSums,
) -> Result<[Vec<f64>; 2]> {
    let logits = Var::from_tensor(logits)?;
    let sums = class_sums(&logits, labels, weight, settings)?;
    let count = sums.elem_count();
    let factors: Vec<f64> = (0..count).map(|at| ((at * 7 + 3) % 5) as f64 - 1.7).collect();
    let factors = Tensor::from_vec(factors, sums.dims(), &Device::Cpu)?.to_dtype(sums.dtype())?;
    let gradients = (&sums * factors)?.sum_all()?.backward()?;
    let gradient = gradients.get(&logits).expect("sums depend on logits");
    assert_eq!(gradient.dtype(), logits.dtype());
    Ok([values(&sums)?, values(gradient)?])
}

fn near(actual: &[f64], expected: &[f64], tolerance: f64, name: &str) {
    assert_eq!(actual.len(), expected.len(), "{name}");
    let largest = expected.iter().fold(1.0, |most: f64, value| most.max(value.abs()));
    for (at, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let apart = (actual - expected).abs();
        assert!(apart <= tolerance * largest, "{name} at {at}: {actual}, not {expected}");
    }
}

fn check(shape: &[usize], dtype: DType, isa: Isa) -> Result<()> {
    let Batch { logits, labels, weight } = Batch::random(shape, dtype)?;
    let tolerance = if dtype == DType::F64 { 1e-12 } else { 3e-5 };
    let activations: &[ClassActivation] = if shape[1] > 1 {
        &[ClassActivation::Softmax, ClassActivation::Sigmoid]
    } else {
        &[ClassActivation::Sigmoid]
    };
    for of in SUMMANDS {
        for &activation in activations {
            for (labels, weight, clip, temperature) in [
                (&labels[0], None, 0.0, 1.0),
                (&labels[1], Some(&weight), 0.0, 2.5),
                (&labels[2], Some(&weight), 0.1, 1.0),
                (&labels[2], None, 0.0, 0.7),
            ] {
                let name = format!(
                    "{of:?} {activation:?} of {shape:?}, clip {clip}, at {temperature}, {isa}"
                );
                let settings = ClassSums { clip, temperature, ..ClassSums::new(activation, of) };
                let [sums, gradient] = with_isa(isa, || both(&logits, labels, weight, &settings))?;
                let expected =
                    with_backend(Backend::Reference, || both(&logits, labels, weight, &settings))?;
                assert_eq!(sums.len(), of.count() * shape[0] * shape[1], "{name}");
                near(&sums, &expected[0], tolerance, &name);
                near(&gradient, &expected[1], tolerance, &format!("{name}, gradient"));
            }
        }
    }
    Ok(())
}

#[test]
fn native_sums_are_those_of_the_reference() -> Result<()> {
    for shape in [&[2, 3, 4, 5][..], &[1, 2, 9, 33], &[3, 1, 7], &[1, 5, 3, 2, 300], &[2, 170, 21]]
    {
        check(shape, DType::F64, Isa::best())?;
        check(shape, DType::F32, Isa::best())?;
    }
    check(&[1, 2, 4200], DType::F32, Isa::Portable)
}

#[test]
fn every_set_of_instructions_sums_alike() -> Result<()> {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        check(&[1, 3, 11, 13], DType::F32, isa)?;
    }
    Ok(())
}

#[test]
fn sums_of_many_parts_have_the_same_bits_each_time() -> Result<()> {
    let Batch { logits, labels, weight } = Batch::random(&[2, 3, 9000], DType::F32)?;
    let of = Summand::Focal { exponent: 2.0, gamma: 0.5 };
    let settings = ClassSums { clip: 1e-7, ..ClassSums::new(ClassActivation::Softmax, of) };

    let first = both(&logits, &labels[2], Some(&weight), &settings)?;
    let again = both(&logits, &labels[2], Some(&weight), &settings)?;

    assert_eq!(first, again);
    Ok(())
}

#[test]
fn sums_of_what_a_convolution_gives_lead_back_to_its_weight() -> Result<()> {
    let Batch { labels, weight, .. } = Batch::random(&[2, 3, 9, 14], DType::F32)?;
    let settings = ClassSums::new(ClassActivation::Softmax, Summand::CrossEntropy);
    let random = |shape: &[usize]| -> Result<Var> {
        Ok(Var::from_tensor(&Tensor::randn(0f32, 0.5, shape, &Device::Cpu)?)?)
    };
    let (x, kernel) = (random(&[2, 9, 14, 5])?, random(&[3, 5, 3, 3])?);
    let gradients = || -> Result<[Vec<f64>; 2]> {
        let config = ConvConfig::same(&[3, 3], &[1, 1]);
        let y = conv_of(&[&x.as_tensor().into()], &kernel, None, &config)?.resolve()?;
        let logits = to_channels_first(&y)?;
        let sums = class_sums(&logits, &labels[0], Some(&weight), &settings)?;
        // Readers of both layouts, by way of candle.
        let others = (logits.sqr()?.mean_all()? + y.sin()?.mean_all()?)?;
        let gradients = (sums.get(0)?.mean_all()? + others)?.backward()?;
        let of = |var: &Var| values(gradients.get(var).expect("the loss depends on it"));
        Ok([of(&x)?, of(&kernel)?])
    };

    let native = gradients()?;
    let reference = with_backend(Backend::Reference, gradients)?;

    near(&native[0], &reference[0], 1e-5, "input");
    near(&native[1], &reference[1], 1e-5, "kernel");
    Ok(())
}

#[test]
fn a_gradient_that_is_foreseen_is_the_one_that_comes() -> Result<()> {
    let Batch { logits, labels, weight } = Batch::random(&[2, 3, 5000], DType::F32)?;
    // Of the first sum alone, each sample so many times.
    let gradient = |settings: &ClassSums, times: [f64; 2]| -> Result<[Vec<f64>; 2]> {
        let logits = Var::from_tensor(&logits)?;
        let sums = class_sums(&logits, &labels[2], Some(&weight), settings)?;
        let first = sums.get(0)?;
        let of_sample = |sample: usize| first.get(sample)?.sum_all()? * times[sample];
        let gradients = (of_sample(0)? + of_sample(1)?)?.backward()?;
        Ok([values(&first)?, values(gradients.get(&logits).expect("it depends on them"))?])
    };
    for of in [Summand::CrossEntropy, Summand::Divergence, Summand::Overlap { squared: false }] {
        for activation in [ClassActivation::Softmax, ClassActivation::Sigmoid] {
            let unforeseen = ClassSums { temperature: 1.5, ..ClassSums::new(activation, of) };
            let foreseen = ClassSums { foreseen: Some(0.25), ..unforeseen };
            // As foreseen, three times that, and otherwise.
            for times in [[0.25, 0.25], [0.75, 0.75], [0.25, 0.5]] {
                let actual = gradient(&foreseen, times)?;
                let expected = gradient(&unforeseen, times)?;
                let name = format!("{of:?} {activation:?} {times:?}");
                near(&actual[0], &expected[0], 1e-6, &name);
                near(&actual[1], &expected[1], 1e-6, &name);
            }
        }
    }
    Ok(())
}

#[test]
fn saturated_logits_and_masked_garbage_stay_finite() -> Result<()> {
    let cpu = &Device::Cpu;
    let logits = Tensor::new(&[[[1e4f32, -1e4, 0.0], [-1e4, 1e4, 1e4]]], cpu)?;
    let labels = ClassLabels::Indices(Tensor::new(&[[1u32, 1, 0]], cpu)?);
    let weight = Tensor::new(&[[1f32, 1.0, 0.0]], cpu)?;
    for of in SUMMANDS {
        for activation in [ClassActivation::Softmax, ClassActivation::Sigmoid] {
            let settings = ClassSums::new(activation, of);
            let [sums, gradient] = both(&logits, &labels, Some(&weight), &settings)?;
            assert!(sums.iter().chain(&gradient).all(|value| value.is_finite()), "{of:?}");
            assert_eq!((gradient[2], gradient[5]), (0.0, 0.0), "{of:?}");
        }
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() -> Result<()> {
    let cpu = &Device::Cpu;
    let logits = Tensor::zeros((1, 2, 4), DType::F32, cpu)?;
    let labels = |shape: &[usize]| -> Result<ClassLabels> {
        Ok(ClassLabels::Indices(Tensor::zeros(shape, DType::U32, cpu)?))
    };
    let of = Summand::CrossEntropy;
    let settings = ClassSums::new(ClassActivation::Softmax, of);

    let error = class_sums(&logits, &labels(&[1, 5])?, None, &settings).unwrap_err().to_string();
    assert!(error.contains("labels of shape [1, 5], not [1, 4]"), "{error}");
    let weight = Tensor::zeros((2, 4), DType::F32, cpu)?;
    let error = class_sums(&logits, &labels(&[1, 4])?, Some(&weight), &settings).unwrap_err();
    assert!(error.to_string().contains("weight of shape [2, 4], not [1, 4]"), "{error}");
    Ok(())
}
