use candle::{Device, IndexOp as _, Result as CandleResult, Tensor};
use nn::{Gradients, OptimizerConfig, Parameters, SgdConfig};
use sconce_ranks::{Group, Local, Result, Shard, mean_gradients, pooled};

use crate::each;

/// Samples of a batch, and numbers of each.
const BATCH: usize = 4;
const WIDTH: usize = 6;

/// The batch of all ranks, of which a rank sees a part.
fn batch(step: usize) -> CandleResult<(Tensor, Tensor)> {
    let number = |at: usize| ((at * 37 + step * 101) % 19) as f32 / 19.0;
    let images: Vec<f32> = (0..BATCH * WIDTH).map(number).collect();
    let targets: Vec<f32> =
        (0..BATCH).map(|at| f32::from(u8::from(number(at * 5) > 0.5))).collect();
    let images = Tensor::from_vec(images, (BATCH, WIDTH), &Device::Cpu)?;
    Ok((images, Tensor::from_vec(targets, (BATCH, 1), &Device::Cpu)?))
}

fn probabilities(parameters: &Parameters, images: &Tensor) -> CandleResult<Tensor> {
    let vb = parameters.builder();
    let hidden = candle_nn::linear(WIDTH, 5, vb.pp("hidden"))?;
    let last = candle_nn::linear(5, 1, vb.pp("last"))?;
    let forward = |layer: &candle_nn::Linear, x: &Tensor| candle_nn::Module::forward(layer, x);
    candle_nn::ops::sigmoid(&forward(&last, &forward(&hidden, images)?.tanh()?)?)
}

/// A mean over samples, and Dice of the whole batch: the second is no mean of what ranks find alone.
fn loss(group: &dyn Group, p: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let squares = (p - targets)?.sqr()?.mean_all()?;
    let sums = [(p * targets)?.sum_all()?, (p + targets)?.sum_all()?];
    let sums = pooled(group, &Tensor::stack(&sums, 0)?)?;
    let dice = ((sums.i(0)? * 2.0)? / (sums.i(1)? + 1.0)?)?;
    Ok((squares + (1.0 - dice)?)?)
}

/// The parameters after some steps.
fn train(group: &dyn Group) -> Result<Vec<(String, Vec<f32>)>> {
    let parameters = Parameters::new(7, &Device::Cpu);
    let mut optimizer = OptimizerConfig::Sgd(SgdConfig::default()).build();
    for step in 0..5 {
        let (images, targets) = batch(step)?;
        let part = Shard::of(group).piece(BATCH);
        let part = |x: &Tensor| x.narrow(0, part.start, part.len());
        let p = probabilities(&parameters, &part(&images)?)?;
        let mut gradients = parameters.gradients(&loss(group, &p, &part(&targets)?)?)?;
        mean_gradients(group, &parameters, &mut gradients)?;
        optimizer.step(&parameters, &gradients, &0.5.into())?;
    }
    let values = |(name, value): (String, Tensor)| Ok((name, value.flatten_all()?.to_vec1()?));
    parameters.tensors()?.into_iter().map(values).collect()
}

#[test]
fn two_ranks_take_the_steps_of_one_with_twice_the_batch() -> anyhow::Result<()> {
    let one = train(&sconce_ranks::Alone)?;
    for size in [2, 4] {
        let several = each(size, |group| train(&group)).into_iter().collect::<Result<Vec<_>>>()?;

        assert!(several.iter().all(|rank| rank == &several[0]), "ranks have the same bits");
        for ((name, expected), (_, actual)) in one.iter().zip(&several[0]) {
            for (expected, actual) in expected.iter().zip(actual) {
                assert!((expected - actual).abs() < 2e-6, "{name}: {actual} for {expected}");
            }
        }
    }
    Ok(())
}

/// The gradients that each of two ranks has after `work`, by name.
fn means(
    parameters: &Parameters,
    own: impl Fn(&Local) -> CandleResult<Vec<(&'static str, Option<Tensor>)>> + Sync,
) -> Result<Vec<Gradients>> {
    each(2, |group| {
        let own = own(&group)?.into_iter().map(|(name, it)| (name.to_owned(), it)).collect();
        let mut gradients = Gradients::new(own);
        mean_gradients(&group, parameters, &mut gradients)?;
        Ok(gradients)
    })
    .into_iter()
    .collect()
}

#[test]
fn what_has_no_gradient_on_one_rank_counts_as_zero_there() -> anyhow::Result<()> {
    let parameters = Parameters::new(1, &Device::Cpu);
    for name in ["both", "neither", "one"] {
        parameters.builder().get((2, 2), name)?;
    }

    let ranks = means(&parameters, |group| {
        let full = |value: f32| Tensor::full(value, (2, 2), &Device::Cpu);
        let one = (group.rank() == 1).then(|| full(3.0)).transpose()?;
        Ok(vec![("both", Some(full(group.rank() as f32)?)), ("neither", None), ("one", one)])
    })?;

    for gradients in ranks {
        let of = |name| gradients.get(name).map(Tensor::to_vec2::<f32>).transpose();
        assert_eq!(of("both")?, Some(vec![vec![0.5; 2]; 2]));
        assert_eq!(of("neither")?, None);
        assert_eq!(of("one")?, Some(vec![vec![1.5; 2]; 2]));
    }
    Ok(())
}

#[test]
fn what_is_not_finite_on_one_rank_is_not_on_any() -> anyhow::Result<()> {
    let parameters = Parameters::new(1, &Device::Cpu);
    parameters.builder().get(1, "weight")?;

    let ranks = means(&parameters, |group| {
        let value = if group.rank() == 0 { f32::NAN } else { 1.0 };
        Ok(vec![("weight", Some(Tensor::new(&[value], &Device::Cpu)?))])
    })?;

    for gradients in ranks {
        assert!(!gradients.all_finite()?);
    }
    Ok(())
}
