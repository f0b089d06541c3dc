use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, ensure};
use candle::{CpuStorage, CustomOp1, DType, Device, Layout, Result, Shape, Tensor, Var};
use candle_nn::VarBuilder;
use proptest::prelude::*;
use sconce_nn::{
    Act, Activation, Backend, BatchNorm, ConvConfig, Parameters, Pending, checkpoint,
    checkpoint_of, conv, conv_of, instance_norm, is_repetition, with_backend,
};

use crate::device::{device, values};
use crate::random::noise;

/// The parameters of a block of two convolutions with their norms.
#[derive(Clone)]
struct Block(Vec<Tensor>);

impl Block {
    fn shapes(channels: usize) -> Vec<Vec<usize>> {
        vec![
            vec![channels, channels, 3, 3],
            vec![channels],
            vec![channels],
            vec![channels, channels, 1, 3],
            vec![1],
        ]
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let Self(t) = self;
        let x = conv(x, &t[0], None, &ConvConfig::same(&[3, 3], &[1, 1]))?;
        let x = instance_norm(&x, Some(&t[1]), Some(&t[2]), 1e-5, Act::Silu)?;
        let x = conv(&x, &t[3], Some(&t[2]), &ConvConfig::same(&[1, 3], &[1, 1]))?;
        instance_norm(&x, None, None, 1e-5, Activation::Prelu(&t[4]))
    }
}

/// Two blocks around which the input is added, the second with the parameters of the first again:
/// whether they are checkpointed, and each by itself or both in one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Plain,
    Each,
    Both,
    Nested,
}

fn network(x: &Tensor, first: &Block, second: &Block, way: Way) -> Result<Tensor> {
    let of = |block: &Block, x: &Tensor, apart: bool| {
        let owned = block.clone();
        if apart { checkpoint(&[x], move |x| owned.forward(&x[0])) } else { block.forward(x) }
    };
    let both = {
        let (first, second) = (first.clone(), second.clone());
        move |x: &Tensor, apart: bool| {
            let y = of(&first, x, apart)?;
            of(&second, &(&y + x)?, apart)? * &y
        }
    };
    match way {
        Way::Plain => both(x, false),
        Way::Each => both(x, true),
        Way::Both => checkpoint(&[x], move |x| both(&x[0], false)),
        Way::Nested => checkpoint(&[x], move |x| both(&x[0], true)),
    }
}

/// The result, and the gradients of all variables.
fn run(way: Way, channels: usize, dtype: DType) -> anyhow::Result<Vec<Vec<f64>>> {
    let mut variables = Vec::new();
    let mut variable = |shape: &[usize], dtype: DType| -> Result<Tensor> {
        let salt = variables.len() as u64;
        let drawn = noise(salt, shape, DType::F32, &Device::Cpu)?.to_dtype(dtype)?;
        let variable = Var::from_tensor(&drawn.to_device(&device())?)?;
        variables.push(variable.clone());
        Ok(variable.into_inner())
    };
    let x = variable(&[2, 6, 5, channels], dtype)?;
    // Parameters are f32 beside activations of half the size.
    let of = if dtype == DType::BF16 { DType::F32 } else { dtype };
    let mut block = || -> Result<Block> {
        let shapes = Block::shapes(channels);
        Ok(Block(shapes.iter().map(|shape| variable(shape, of)).collect::<Result<_>>()?))
    };
    let (first, second) = (block()?, block()?);
    // The input of the network is no variable, but has a graph.
    let y = network(&(x * 2.0)?, &first, &second, way)?;
    let y = y.to_dtype(DType::F32)?;
    let cotangent = noise(99, y.dims(), DType::F32, &device())?;
    let gradients = (&y * cotangent)?.sum_all()?.backward()?;
    let mut all = vec![values(&y)?];
    for variable in &variables {
        let gradient = gradients.get(variable).context("no gradient")?;
        ensure!(gradient.dtype() == variable.dtype() && !gradient.track_op());
        all.push(values(&gradient.to_dtype(DType::F32)?)?);
    }
    Ok(all)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn gradients_are_the_same_bit_for_bit(
        channels in 1usize..20,
        way in prop::sample::select(vec![Way::Each, Way::Both, Way::Nested]),
        kind in 0usize..3,
    ) {
        let (backend, dtype) = [
            (Backend::Auto, DType::F32),
            (Backend::Auto, DType::BF16),
            (Backend::Reference, DType::F32),
        ][kind];
        let plain = with_backend(backend, || run(Way::Plain, channels, dtype));
        let found = with_backend(backend, || run(way, channels, dtype));
        let (plain, found) = (plain.map_err(|e| e.to_string()), found.map_err(|e| e.to_string()));
        prop_assert!(plain.is_ok());
        prop_assert_eq!(plain, found);
    }
}

/// The same values, and a count of the nodes of graphs that hold on to them.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn of(x: &Tensor, alive: &Arc<AtomicUsize>) -> Result<Tensor> {
        alive.fetch_add(1, Ordering::SeqCst);
        x.apply_op1(Self(alive.clone()))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl CustomOp1 for Counted {
    fn name(&self) -> &'static str {
        "counted"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((storage.clone(), layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(dy.clone()))
    }
}

#[test]
fn nothing_on_the_way_is_kept() -> anyhow::Result<()> {
    let alive = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let block = {
        let (alive, most) = (alive.clone(), most.clone());
        move |x: &[Tensor]| {
            let mut y = x[0].clone();
            for _ in 0..10 {
                y = Counted::of(&y, &alive)?;
            }
            most.fetch_max(alive.load(Ordering::SeqCst), Ordering::SeqCst);
            Ok(y)
        }
    };
    let x = Var::ones((1, 3, 2), DType::F32, &Device::Cpu)?;
    let chain = |apart: bool| -> Result<Tensor> {
        (0..5).try_fold(x.as_tensor().clone(), |x, _| {
            if apart { checkpoint(&[&x], block.clone()) } else { block(&[x]) }
        })
    };

    let plain = chain(false)?;
    let kept = alive.load(Ordering::SeqCst);
    drop(plain);
    most.store(0, Ordering::SeqCst);
    let y = chain(true)?;

    ensure!(kept == 50, "{kept} nodes");
    let left = alive.load(Ordering::SeqCst);
    ensure!(left == 0, "{left} nodes");
    let gradients = y.sum_all()?.backward()?;
    let once = most.load(Ordering::SeqCst);
    ensure!(once == 10, "{once} nodes at once");
    ensure!(values(gradients.get(&x).context("no gradient")?)? == [1.0; 6]);
    drop((y, gradients));
    ensure!(alive.load(Ordering::SeqCst) == 0);
    Ok(())
}

/// A network of stages with skip connections, each read twice, whose stages are blocks or not. What they
/// pass on is yet to be normalized.
fn stages(t: &[Tensor], apart: bool) -> Result<Pending> {
    let act = Act::LeakyRelu(0.01);
    let stage = |first: usize, stride: usize| {
        let t = t[first..first + 7].to_vec();
        move |inputs: &[&Pending]| {
            let config = ConvConfig::same(&[3, 3], &[stride, stride]);
            let y = conv_of(inputs, &t[0], Some(&t[2]), &config)?;
            let y = Pending::group_norm(y, 2, Some(&t[3]), None, 1e-5, act)?;
            let y = conv_of(&[&y], &t[1], None, &ConvConfig::same(&[3, 3], &[1, 1]))?;
            let act = Activation::Prelu(&t[6]);
            Pending::instance_norm(y, Some(&t[4]), Some(&t[5]), 1e-5, act)
        }
    };
    let run = |block: Box<Stage>, inputs: &[&Pending]| {
        if apart { checkpoint_of(inputs, block) } else { block(inputs) }
    };
    let skip = run(Box::new(stage(1, 1)), &[&Pending::from(&t[0])])?;
    let deep = run(Box::new(stage(8, 1)), &[&skip])?;
    // One that gives a tensor, and reads what comes before outside of convolutions.
    let summed = move |inputs: &[&Pending]| {
        Ok(Act::Gelu.forward(&(inputs[0].resolve()? + inputs[1].resolve()?)?)?.into())
    };
    let summed = run(Box::new(summed), &[&deep, &skip])?;
    run(Box::new(stage(15, 2)), &[&summed, &deep])
}

type Stage = dyn Fn(&[&Pending]) -> Result<Pending> + Send + Sync;

#[test]
fn blocks_of_convolutions_have_the_same_bits() -> anyhow::Result<()> {
    let stage = |cin: usize| {
        let vectors = [6, 6, 6, 6, 1].map(|count| vec![count]);
        [vec![vec![6, cin, 3, 3], vec![6, 6, 3, 3]], vectors.to_vec()].concat()
    };
    let shapes = [vec![vec![2, 7, 6, 3]], stage(3), stage(6), stage(12)].concat();
    for (backend, dtype) in [
        (Backend::Auto, DType::F32),
        (Backend::Reference, DType::F32),
        (Backend::Auto, DType::BF16),
    ] {
        let of = |apart: bool| -> anyhow::Result<Vec<Vec<f64>>> {
            let draw = |(salt, shape): (u64, &Vec<usize>)| {
                let drawn = noise(salt, shape, DType::F32, &Device::Cpu)?;
                let kept = if salt == 0 { drawn.to_dtype(dtype)? } else { drawn };
                Var::from_tensor(&kept.to_device(&device())?)
            };
            let variables = (0..).zip(&shapes).map(draw).collect::<Result<Vec<_>>>()?;
            let tensors: Vec<Tensor> = variables.iter().map(|v| v.as_tensor().clone()).collect();
            let y = stages(&tensors, apart)?.resolve()?.to_dtype(DType::F32)?;
            let gradients = y.sqr()?.sum_all()?.backward()?;
            let mut all = vec![values(&y)?];
            for variable in &variables {
                let gradient = gradients.get(variable).context("no gradient")?;
                all.push(values(&gradient.to_dtype(DType::F32)?)?);
            }
            Ok(all)
        };
        let plain = with_backend(backend, || of(false))?;
        let apart = with_backend(backend, || of(true))?;
        for (which, (plain, apart)) in plain.iter().zip(&apart).enumerate() {
            // In bf16, what the block of a sum passes on is not rounded on its way back.
            let far = if dtype == DType::BF16 { 0.02 } else { 0.0 };
            let largest = |x: &[f64]| x.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
            let between: Vec<f64> = plain.iter().zip(apart).map(|(a, b)| a - b).collect();
            ensure!(
                plain.len() == apart.len() && largest(&between) <= far * largest(plain),
                "{which}, {backend:?}, {dtype:?}: by {}",
                largest(&between),
            );
        }
    }
    Ok(())
}

#[test]
fn inputs_of_a_block_of_convolutions_need_no_gradient() -> anyhow::Result<()> {
    let x = noise(1, &[1, 4, 5, 3], DType::F32, &device())?;
    let w = Var::from_tensor(&noise(2, &[2, 3, 3, 3], DType::F32, &device())?)?;
    let same = ConvConfig::same(&[3, 3], &[1, 1]);
    let weight = w.as_tensor().clone();
    let block = move |inputs: &[&Pending]| conv_of(&inputs[..1], &weight, None, &same);
    let unused = Var::from_tensor(&x)?;

    let plain = block(&[&Pending::from(&x)])?.resolve()?.sum_all()?.backward()?;
    let inputs = [Pending::from(&x), Pending::from(unused.as_tensor())];
    let apart = checkpoint_of(&[&inputs[0], &inputs[1]], block)?.resolve()?;
    let apart = apart.sum_all()?.backward()?;

    let of = |gradients: &candle::backprop::GradStore, of: &Var| {
        values(gradients.get(of).context("no gradient")?).map_err(anyhow::Error::from)
    };
    ensure!(of(&plain, &w)? == of(&apart, &w)?);
    ensure!(of(&apart, &unused)?.iter().all(|&value| value == 0.0));
    Ok(())
}

#[test]
fn running_statistics_move_once() -> anyhow::Result<()> {
    let parameters = Parameters::new(0, &device());
    let norm = |vb: VarBuilder<'static>| BatchNorm::new(3, 1e-5, vb);
    let (plain, apart) = (norm(parameters.builder().pp("a"))?, norm(parameters.builder().pp("b"))?);
    let x = Var::from_tensor(&noise(1, &[2, 4, 5, 3], DType::F32, &device())?)?;

    plain.forward_t(&x, Act::Identity, true)?.sqr()?.sum_all()?.backward()?;
    let of_block = apart.clone();
    let y = checkpoint(&[&x], move |x| of_block.forward_t(&x[0], Act::Identity, true))?;
    y.sqr()?.sum_all()?.backward()?;

    ensure!(values(&plain.running().mean)? == values(&apart.running().mean)?);
    ensure!(values(&plain.running().variance)? == values(&apart.running().variance)?);
    ensure!(!is_repetition());
    Ok(())
}

#[test]
fn without_gradients_a_block_just_runs() -> anyhow::Result<()> {
    let x = noise(1, &[1, 4, 3], DType::F32, &device())?;

    let y = checkpoint(&[&x], |x| Act::Gelu.forward(&x[0]))?;

    ensure!(!y.track_op() && values(&y)? == values(&Act::Gelu.forward(&x)?)?);
    Ok(())
}

/// What a block has no part in, and what it has no use for, among its inputs.
#[test]
fn inputs_without_a_part_get_zeros_or_nothing() -> anyhow::Result<()> {
    let x = Var::from_tensor(&noise(1, &[1, 4, 3], DType::F32, &device())?)?;
    let (constant, unused) = (x.ones_like()?, Var::from_tensor(&x.ones_like()?)?);
    let behind = (unused.as_tensor() * 3.0)?;

    let y = checkpoint(&[&x, &constant, &behind, &x], |x| (&x[0] * &x[1])? + x[3].sqr()?)?;
    let gradients = y.sum_all()?.backward()?;

    let expected = ((x.as_tensor() * 2.0)? + 1.0)?;
    ensure!(values(gradients.get(&x).context("no gradient")?)? == values(&expected)?);
    ensure!(gradients.get(&unused).is_none_or(|zeros| values(zeros).is_ok_and(|z| z == [0.0; 12])));
    Ok(())
}

thread_local! {
    static RUNS: Cell<usize> = const { Cell::new(0) };
}

#[test]
fn a_block_that_does_something_else_the_second_time_is_refused() -> anyhow::Result<()> {
    let x = Var::from_tensor(&noise(1, &[1, 4, 3], DType::F32, &device())?)?;
    let other = Var::from_tensor(&noise(2, &[1, 4, 3], DType::F32, &device())?)?;
    let second = || RUNS.replace(RUNS.get() + 1) % 2 == 1;

    let longer = checkpoint(&[&x], move |x| {
        if second() { Tensor::cat(&[&x[0], &x[0]], 1) } else { Ok(x[0].clone()) }
    })?;
    let error = longer.sum_all()?.backward().unwrap_err().to_string();
    ensure!(error.contains("[1, 4, 3]") && error.contains("[1, 8, 3]"), "{error}");
    let strange =
        checkpoint(&[&x], move |x| if second() { &x[0] * other.as_tensor() } else { x[0].sqr() })?;
    let error = strange.sum_all()?.backward().unwrap_err().to_string();
    ensure!(error.contains("other variables"), "{error}");
    ensure!(!is_repetition());
    Ok(())
}
