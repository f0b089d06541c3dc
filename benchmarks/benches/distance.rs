//! Distance transform, components and surface scores of a mask of clinical size.

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array3;
use sconce::metrics::{MaskPair, MetricConfig};
use sconce::volume::{Components, Connectivity, distance_to};

/// A ball with a dent, in a volume of anisotropic voxels.
fn mask(shift: f64) -> Array3<bool> {
    Array3::from_shape_fn((64, 256, 256), |(z, y, x)| {
        let distance = |center: [f64; 3], radius: f64| {
            let offset = [(z as f64 - center[0]) * 3.0, y as f64 - center[1], x as f64 - center[2]];
            offset.iter().map(|it| it * it).sum::<f64>().sqrt() - radius
        };
        distance([32.0, 128.0, 128.0 + shift], 70.0) < 0.0
            && distance([32.0, 128.0, 60.0], 30.0) > 0.0
    })
}

fn distance(criterion: &mut Criterion) {
    let spacing = [3.0, 1.0, 1.0];
    let (reference, prediction) = (mask(0.0), mask(4.0));
    let mut group = criterion.benchmark_group("mask, 64x256x256");
    group.sample_size(10).warm_up_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(reference.len() as u64));
    group.bench_function("distance transform", |bencher| {
        bencher.iter(|| distance_to(&reference, |&inside| inside, spacing));
    });
    group.bench_function("components", |bencher| {
        bencher.iter(|| Components::of(&reference, |&inside| inside, Connectivity::Faces));
    });
    for metric in MetricConfig::defaults() {
        if ["dice", "hd95", "assd", "nsd"].contains(&metric.name()) {
            group.bench_function(metric.name(), |bencher| {
                bencher.iter(|| {
                    let pair = MaskPair::new(&reference, &prediction, &spacing)
                        .expect("masks of one shape");
                    metric.as_dyn().measure(&pair)
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, distance);
criterion_main!(benches);
