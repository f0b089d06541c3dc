//! Convolution and normalisation of `nn`, forward and backward.

use std::time::Duration;

use candle::{Device, Tensor, Var};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sconce::nn::{self, Act, ConvConfig};

fn values(shape: &[usize]) -> Tensor {
    let count = shape.iter().product();
    let values: Vec<f32> =
        (0..count).map(|at: usize| (at * 7919 % 1009) as f32 / 504.5 - 1.0).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).expect("shape and values agree")
}

/// `(N, *S, C_in)`, `C_out`.
const SHAPES: &[(&[usize], usize)] =
    &[(&[2, 64, 64, 64, 32], 32), (&[2, 32, 32, 32, 64], 64), (&[4, 256, 256, 32], 32)];

fn conv(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("conv 3 same");
    group.sample_size(10).warm_up_time(Duration::from_secs(1));
    for &(shape, outputs) in SHAPES {
        let rank = shape.len() - 2;
        let inputs = shape[shape.len() - 1];
        let x = values(shape);
        let weight_shape = [&[outputs, inputs][..], &vec![3; rank]].concat();
        let weight = Var::from_tensor(&values(&weight_shape)).expect("a variable");
        let config = ConvConfig::same(&vec![3; rank], &vec![1; rank]);
        let voxels: usize = shape[..=rank].iter().product();
        let operations = 2 * voxels * inputs * outputs * (0..rank).map(|_| 3).product::<usize>();
        group.throughput(Throughput::Elements(operations as u64));
        let name = format!("{shape:?} -> {outputs}");
        group.bench_function(BenchmarkId::new("forward", &name), |bencher| {
            bencher.iter(|| nn::conv(&x, &weight, None, &config).expect("a convolution"));
        });
        let input = Var::from_tensor(&x).expect("a variable");
        group.bench_function(BenchmarkId::new("forward and backward", &name), |bencher| {
            bencher.iter(|| {
                let y = nn::conv(&input, &weight, None, &config).expect("a convolution");
                y.sum_all().and_then(|sum| sum.backward()).expect("gradients")
            });
        });
    }
    group.finish();
}

fn norm(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("instance norm and leaky ReLU");
    group.sample_size(10).warm_up_time(Duration::from_secs(1));
    for &(shape, _) in SHAPES {
        let channels = shape[shape.len() - 1];
        let x = Var::from_tensor(&values(shape)).expect("a variable");
        let (scale, shift) = (values(&[channels]), values(&[channels]));
        group.throughput(Throughput::Bytes(4 * shape.iter().product::<usize>() as u64));
        group.bench_function(BenchmarkId::new("forward", format!("{shape:?}")), |bencher| {
            let x = x.as_detached_tensor();
            bencher.iter(|| {
                nn::instance_norm(&x, Some(&scale), Some(&shift), 1e-5, Act::LeakyRelu(0.01))
                    .expect("a norm")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, conv, norm);
criterion_main!(benches);
