//! Distances and components, as scipy computes them.

use anyhow::{Context, ensure};
use golden::{Case, Exempt, Group, Tensor, Tolerance};
use ndarray::Array3;
use sconce_volume::{Components, Connectivity, distance_to};

const EXEMPT: &[Exempt] = &[];

#[test]
fn golden_metrics() {
    let mine =
        |case: &Case| matches!(&*case.function, "connected_components" | "distance_transform_edt");
    Group::load("metrics").check(mine, EXEMPT, |case| match &*case.function {
        "connected_components" => connected_components(case),
        _ => distance_transform(case),
    });
}

fn connected_components(case: &Case) -> anyhow::Result<()> {
    let (mask, shape) = mask(case)?;
    let connectivity = match case.params["connectivity"].as_u64().context("connectivity")? {
        4 | 6 => Connectivity::Faces,
        8 | 18 => Connectivity::Edges,
        26 => Connectivity::Corners,
        other => anyhow::bail!("no voxel has {other} neighbours"),
    };

    let found = Components::of(&mask, |&inside| inside, connectivity);

    let labels: Vec<f64> = found.labels().iter().map(|&label| f64::from(label)).collect();
    case.expect("labels", &shape, &labels, Tolerance::new(0.0, 0.0))?;
    ensure!(Some(found.len() as u64) == case.expected["n"].as_u64(), "{} parts", found.len());
    Ok(())
}

fn distance_transform(case: &Case) -> anyhow::Result<()> {
    let (mask, shape) = mask(case)?;
    let sampling: Vec<f64> = serde_json::from_value(case.params["sampling"].clone())?;
    let spacing: Vec<f64> = [vec![1.0; 3 - sampling.len()], sampling].concat();
    let spacing = spacing.try_into().ok().context("sampling has more than three axes")?;

    let distance = distance_to(&mask, |&inside| !inside, spacing);

    let distance: Vec<f64> = distance.into_iter().collect();
    case.expect("dist", &shape, &distance, Tolerance::new(1e-12, 0.0))
}

/// The mask in space, and the shape that it is stored in: a plane is a single slice.
fn mask(case: &Case) -> anyhow::Result<(Array3<bool>, Vec<usize>)> {
    let mask: Tensor = case.input("mask")?;
    let shape = match *mask.shape {
        [height, width] => [1, height, width],
        [depth, height, width] => [depth, height, width],
        ref other => anyhow::bail!("a mask of shape {other:?}"),
    };
    Ok((Array3::from_shape_vec(shape, mask.to_bool())?, mask.shape))
}
