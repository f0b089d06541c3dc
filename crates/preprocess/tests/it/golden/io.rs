use anyhow::{Context, bail};
use golden::{Case, Group, Tolerance, close};
use ndarray::{Array4, Axis};
use sconce_preprocess::{
    Boundary, Interpolation, Real, Resampling, new_size, resample_array_onto, resize,
    separate_axis, spline_coefficients,
};
use serde_json::Value;
use volume::Grid;

use super::{EXACT, EXEMPT, channels, space, volume, wide};

#[test]
fn golden_io_resampling() {
    let mine = |case: &Case| {
        ["resample", "ResampleImageFilter", "skimage", "spline_filter"]
            .iter()
            .any(|part| case.function.contains(part))
    };
    Group::load("io").check(mine, EXEMPT, |case| match case.function.as_str() {
        "resample_data_or_seg_to_shape" => nnunet(case),
        "skimage.transform.resize" => skimage(case),
        "scipy.ndimage.spline_filter" => spline_filter(case),
        name if name.starts_with("ResampleImageFilter") => itk(case),
        other => bail!("{other} is unknown"),
    });
}

fn interpolation(order: &Value) -> anyhow::Result<Interpolation> {
    let order = order.as_u64().context("no order")? as usize;
    Interpolation::of_order(order).with_context(|| format!("no spline of order {order}"))
}

fn triple(value: &Value) -> anyhow::Result<[f64; 3]> {
    serde_json::from_value(value.clone()).context("not three numbers")
}

fn nnunet(case: &Case) -> anyhow::Result<()> {
    let params = &case.params;
    let data = channels::<f64>(&case.input("data")?)?;
    let from = [data.shape()[1], data.shape()[2], data.shape()[3]];
    let to = space(&case.param_list("new_shape")?)?;
    let (spacing, target) = (triple(&params["current_spacing"])?, triple(&params["new_spacing"])?);
    let separate = match params["force_separate_z"].as_bool() {
        None => separate_axis(spacing, target),
        Some(false) => None,
        // Forced: only the present spacing says which axis.
        Some(true) => separate_axis(spacing.map(|mm| mm.powi(64)), spacing),
    };
    check_rule(case, separate, new_size(from, spacing, target))?;
    let rule = Resampling { from, to, separate, steps: None };
    let (order, across) = (interpolation(&params["order"])?, interpolation(&params["order_z"])?);
    let shape = &case.output("output")?.shape;

    if params["is_seg"] == true && order != Interpolation::Nearest {
        // Labels may be −1, outside.
        let labels = data.mapv(|label| (label + 1.0) as u16);
        let found: Vec<f64> = labels
            .outer_iter()
            .flat_map(|one| rule.labels(one).into_iter().map(|label| f64::from(label) - 1.0))
            .collect();
        return case.expect("output", shape, &found, EXACT);
    }
    let found = intensities(&data, &rule, order, across);
    case.expect("output", shape, &found, EXACT)?;
    let single = intensities(&data.mapv(|value| value as f32), &rule, order, across);
    let tolerance = Tolerance::new(2e-6, 1e-4);
    close(&single, &case.output("output")?.values, tolerance).context("f32")
}

fn check_rule(case: &Case, separate: Option<usize>, size: [usize; 3]) -> anyhow::Result<()> {
    let expected: Option<usize> = serde_json::from_value(case.expected["axis"].clone())?;
    let computed: [usize; 3] =
        serde_json::from_value(case.expected["computed_shape"].clone()).unwrap_or(size);
    if separate != expected || size != computed {
        bail!("axis {separate:?} and size {size:?}, but {expected:?} and {computed:?}");
    }
    Ok(())
}

fn intensities<T: Real>(
    data: &Array4<T>,
    rule: &Resampling,
    order: Interpolation,
    across: Interpolation,
) -> Vec<f64> {
    data.outer_iter().flat_map(|one| wide(&rule.intensities(one, order, across))).collect()
}

fn skimage(case: &Case) -> anyhow::Result<()> {
    let input = volume::<f64>(&case.input("data")?)?;
    let size = space(&case.param_list("output_shape")?)?;
    let order = interpolation(&case.params["order"])?;

    let found = resize(input.view(), size, [order; 3], case.params["clip"] == true);

    case.expect("output", &case.output("output")?.shape, &wide(&found), EXACT)
}

fn spline_filter(case: &Case) -> anyhow::Result<()> {
    let input = volume::<f64>(&case.input("data")?)?;
    let order = interpolation(&case.params["order"])?;
    // scipy filters "nearest" as it does "reflect".
    let boundaries = [
        ("output", Boundary::Mirror),
        ("output_reflect", Boundary::Reflect),
        ("output_nearest", Boundary::Reflect),
    ];
    for (role, boundary) in boundaries {
        let found = spline_coefficients(input.view(), order, boundary);
        case.expect(role, &case.output(role)?.shape, &wide(&found), EXACT)?;
    }
    Ok(())
}

fn itk(case: &Case) -> anyhow::Result<()> {
    let params = &case.params;
    let input = volume::<f64>(&case.input("data")?)?;
    let (from, to) = (grid(&params["input"])?, grid(&params["output"])?);
    let order = match params["interpolator"].as_str() {
        Some("sitkLinear") => Interpolation::Linear,
        Some("sitkNearestNeighbor") => Interpolation::Nearest,
        Some("sitkBSpline") => Interpolation::Cubic,
        other => bail!("{other:?} is no interpolator"),
    };

    let fill = case.param("default_value")?;
    let found = resample_array_onto(input.view(), &from, &to, order, fill)?;

    case.expect("output", &case.output("output")?.shape, &wide(&found), EXACT)
}

/// ITK lists x, y, z, and its first two physical axes point the other way.
fn grid(value: &Value) -> anyhow::Result<Grid> {
    let size: [usize; 3] = serde_json::from_value(value["size_xyz"].clone())?;
    let spacing = triple(&value["spacing"])?;
    let origin = triple(&value["origin"])?;
    let direction: Vec<f64> = serde_json::from_value(value["direction"].clone())?;
    let sign = [-1.0, -1.0, 1.0];
    let column = |row: usize, axis: usize| sign[row] * direction[3 * row + 2 - axis];
    let [x, y, z] = size;
    Ok(Grid {
        size: [z, y, x],
        spacing: [spacing[2], spacing[1], spacing[0]],
        origin: std::array::from_fn(|row| sign[row] * origin[row]),
        direction: std::array::from_fn(|row| std::array::from_fn(|axis| column(row, axis))),
    })
}

#[test]
fn channels_are_resampled_one_by_one() {
    let data = Array4::from_shape_fn((2, 3, 4, 5), |(c, z, y, x)| (c * 7 + z * y + x) as f32 / 9.0);
    let rule = Resampling { from: [3, 4, 5], to: [5, 4, 3], separate: None, steps: None };

    let all = rule.probabilities(data.view());

    for (channel, expected) in data.outer_iter().zip(all.axis_iter(Axis(0))) {
        let one = rule.intensities(channel, Interpolation::Linear, Interpolation::Nearest);
        assert_eq!(one, expected);
    }
}
