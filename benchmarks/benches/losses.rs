//! Every loss: value and gradient.

use std::time::Duration;

use candle::{Device, Tensor, Var};
use criterion::{Criterion, criterion_group, criterion_main};
use sconce::losses::{Loss as _, LossConfig, Target};

fn losses(criterion: &mut Criterion) {
    let (n, classes, side) = (2, 4, 64);
    let voxels = side * side * side;
    let logits: Vec<f32> =
        (0..n * classes * voxels).map(|at| (at * 7919 % 1009) as f32 / 200.0 - 2.5).collect();
    let logits = Tensor::from_vec(logits, (n, classes, side, side, side), &Device::Cpu)
        .and_then(|logits| Var::from_tensor(&logits))
        .expect("logits");
    #[expect(clippy::cast_possible_truncation, reason = "classes are few")]
    let labels: Vec<u32> = (0..n * voxels).map(|at| (at / 97 % classes) as u32).collect();
    let labels = Tensor::from_vec(labels, (n, side, side, side), &Device::Cpu).expect("labels");
    let target = Target::hard(labels);

    let mut group = criterion.benchmark_group("loss, 2x4x64^3, value and gradient");
    group.sample_size(10).warm_up_time(Duration::from_secs(1));
    for loss in LossConfig::defaults() {
        group.bench_function(loss.name(), |bencher| {
            bencher.iter(|| {
                let value = loss.forward(&logits, &target).expect("a loss");
                value.backward().expect("gradients")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, losses);
criterion_main!(benches);
