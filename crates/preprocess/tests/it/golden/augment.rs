use anyhow::{Context, bail, ensure};
use golden::{Case, Group, Tolerance, close};
use ndarray::{Array3, Array4, Axis};
use sconce_preprocess::augment::{
    Affine, Blur, blur_axis, brightness, contrast, gamma, gaussian_kernel, low_resolution, mirror,
    warp,
};
use sconce_preprocess::{
    Beyond, Boundary, Interpolation, Normalize, NormalizeScheme, Patch, Real, Truth,
    map_coordinates,
};

use super::{EXACT, EXEMPT, channels, space, volume, wide};

#[test]
fn golden_augment() {
    Group::load("augment").check(
        |_| true,
        EXEMPT,
        |case| match case.function.as_str() {
            "SpatialTransform (rotation, scaling)" => spatial(case),
            name if name.ends_with("Normalization") => normalization(case),
            _ => {
                // In double precision against the reference's tolerance, and in the one that is used.
                let found = transformed::<f64>(case)?;
                let tolerance = case.tolerance("output", EXACT);
                agree(case, &found, tolerance).context("f64")?;
                let rounding = Tolerance::new(2e-6, tolerance.atol.max(2e-6));
                agree(case, &transformed::<f32>(case)?, rounding).context("f32")
            }
        },
    );
}

fn agree<T: Real>(case: &Case, found: &Array4<T>, tolerance: Tolerance) -> anyhow::Result<()> {
    close(&wide(found), &case.output("output")?.values, tolerance)
}

/// The image of a case, with a channel axis whether or not it is stored with one.
fn image<T: Real>(case: &Case) -> anyhow::Result<Array4<T>> {
    let tensor = case.input("image")?;
    if case.function.starts_with("scipy") {
        return Ok(volume(&tensor)?.insert_axis(Axis(0)));
    }
    channels(&tensor)
}

fn transformed<T: Real>(case: &Case) -> anyhow::Result<Array4<T>> {
    let mut image = image::<T>(case)?;
    if case.function == "MirrorTransform" {
        // Axes count from the last ones here: a plane has none across.
        let missing = 5 - case.input("image")?.shape.len();
        for axis in case.param_list("axes")? {
            mirror(&mut image, axis + missing);
        }
        return Ok(image);
    }
    let flag = |name: &str| case.params[name].as_bool().context("a flag is missing");
    for mut channel in image.axis_iter_mut(Axis(0)) {
        match case.function.as_str() {
            "GammaTransform" => {
                let (invert, retain) = (flag("invert_image")?, flag("retain_stats")?);
                let values = channel.as_slice_mut().context("layout")?;
                gamma(values, case.param("gamma")?, invert, retain);
            }
            "ContrastTransform" => {
                let values = channel.as_slice_mut().context("layout")?;
                contrast(values, case.param("factor")?, flag("preserve_range")?);
            }
            "MultiplicativeBrightnessTransform" => {
                brightness(channel.as_slice_mut().context("layout")?, case.param("factor")?);
            }
            "GaussianBlurTransform" => {
                let sigma = case.param("sigma")?;
                let kernel = gaussian_kernel(sigma, Blur::radius(sigma));
                let expected = case.output("kernel1d")?.values;
                close(&kernel, &expected, Tolerance::new(0.0, 1e-6)).context("kernel")?;
                (0..3).for_each(|axis| {
                    blur_axis(channel.view_mut(), axis, &kernel, Boundary::Mirror);
                });
            }
            "scipy.ndimage.gaussian_filter" => {
                ensure!(case.params["mode"] == "reflect", "another boundary");
                let sigma = case.param("sigma")?;
                let radius = (case.param("truncate")? * sigma + 0.5) as usize;
                let kernel = gaussian_kernel(sigma, radius);
                (0..3).for_each(|axis| {
                    blur_axis(channel.view_mut(), axis, &kernel, Boundary::Reflect);
                });
            }
            "SimulateLowResolutionTransform" => {
                let scale = case.param("scale")?;
                let plane = channel.shape()[0] == 1;
                low_resolution(channel, [if plane { 1.0 } else { scale }, scale, scale]);
            }
            other => bail!("{other} is unknown"),
        }
    }
    Ok(image)
}

fn normalization(case: &Case) -> anyhow::Result<()> {
    let mut image = volume::<f32>(&case.input("image")?)?;
    let outside = volume::<f64>(&case.input("seg")?)?.mapv(|label| label < 0.0);
    let masked = case.params["use_mask_for_norm"] == true;
    let name = case.function.trim_end_matches("Normalization");
    let channel = match name {
        "No" => "noNorm",
        "RescaleTo01" => "rescale_to_0_1",
        "RGBTo01" => "rgb_to_0_1",
        other => other,
    };
    let known = &case.params["intensityproperties"];
    let known = |key: &str| golden::number(&known[key]);
    let normalize = match NormalizeScheme::for_channel(channel, masked) {
        NormalizeScheme::Ct => Normalize::Ct {
            mean: known("mean")?,
            std: known("std")?,
            lower: known("percentile_00_5")?,
            upper: known("percentile_99_5")?,
        },
        NormalizeScheme::ZScore => Normalize::ZScore { masked: false },
        NormalizeScheme::ZScoreMasked => Normalize::ZScore { masked: true },
        NormalizeScheme::RescaleTo01 => Normalize::RescaleTo01,
        NormalizeScheme::RgbTo01 => Normalize::RgbTo01,
        _ => Normalize::None,
    };

    normalize.apply(image.view_mut(), Some(outside.view()))?;

    // The reference keeps intensities outside the mask; they are 0 there already, in its images.
    let expected = volume::<f32>(&case.output("output")?)?;
    if masked {
        let mut pairs = image.iter_mut().zip(&expected).zip(&outside);
        pairs
            .by_ref()
            .filter(|&(_, &outside)| outside)
            .for_each(|((value, &kept), _)| *value = kept);
    }
    case.expect("output", &case.output("output")?.shape, &wide(&image), EXACT)
}

fn spatial(case: &Case) -> anyhow::Result<()> {
    let list = |name: &str| -> anyhow::Result<Vec<f64>> {
        let found = serde_json::from_value(case.params[name].clone());
        found.with_context(|| name.to_owned())
    };
    let image = channels::<f32>(&case.input("image")?)?;
    let plane = image.shape()[1] == 1 && case.input("image")?.shape.len() == 3;
    let out_size = space(&case.param_list("patch_size")?)?;
    let in_space = |values: Vec<f64>, first: f64| -> anyhow::Result<[f64; 3]> {
        let values = if plane { [vec![first], values].concat() } else { values };
        values.try_into().ok().context("not one number for each axis")
    };
    // A plane is rotated by the last angle, about the axis that it lacks.
    let angles = list("angles")?;
    let last = *angles.last().context("no angle")?;
    let angles = if plane { [last, 0.0, 0.0] } else { in_space(angles, 0.0)? };
    let scales = in_space(list("scales")?, 1.0)?;
    let centre = in_space(list("center_location_in_pixels")?, 0.5)?;
    let affine = Affine::about(angles, scales, centre, out_size);

    let expected: Vec<Vec<f64>> = serde_json::from_value(case.params["matrix"].clone())?;
    let first = usize::from(plane);
    let matrix: Vec<f64> =
        affine.matrix()[first..].iter().flat_map(|row| row[first..].to_vec()).collect();
    close(&matrix, &expected.concat(), Tolerance::new(0.0, 1e-14)).context("matrix")?;

    let [d, h, w] = out_size;
    let positions: Vec<[f64; 3]> = ndarray::indices((d, h, w))
        .into_iter()
        .map(|(z, y, x)| affine.position([z, y, x]))
        .collect();
    let coords: Vec<f64> =
        (first..3).flat_map(|axis| positions.iter().map(move |p| p[axis])).collect();
    close(&coords, &case.output("coords")?.values, Tolerance::new(0.0, 1e-11)).context("coords")?;

    warped(case, &image, &affine)?;
    interpolated(case, &image, &positions)
}

fn warped(case: &Case, image: &Array4<f32>, affine: &Affine) -> anyhow::Result<()> {
    let truth = super::labels(&case.input("segmentation")?)?.swap_remove(0);
    let patch = Patch {
        image: image.clone(),
        truth: Truth::Hard(truth),
        further: Vec::new(),
        outside: None,
        corner: [0; 3],
    };

    let found = warp(&patch, affine);

    case.expect("output", &case.output("output")?.shape, &wide(&found.image), EXACT)?;
    let Truth::Hard(labels) = found.truth else { bail!("a hard truth stays hard") };
    let expected: Array3<u16> = super::labels(&case.output("segmentation")?)?.swap_remove(0);
    let different =
        labels.iter().zip(&expected).filter(|(actual, expected)| actual != expected).count();
    let allowed = case.tolerance["segmentation"]["max_mismatch_fraction"].as_f64().unwrap_or(0.0);
    ensure!(
        different as f64 <= allowed * expected.len() as f64,
        "{different} of {} labels differ",
        expected.len()
    );
    Ok(())
}

fn interpolated(case: &Case, image: &Array4<f32>, positions: &[[f64; 3]]) -> anyhow::Result<()> {
    let tolerance = case.tolerance("map_coordinates", EXACT);
    for role in case.outputs.keys().filter(|role| role.starts_with("map_coordinates_")) {
        let mut parts = role.trim_start_matches("map_coordinates_o").split('_');
        let order: usize = parts.next().context("no order")?.parse()?;
        let interpolation = Interpolation::of_order(order).context("no such order")?;
        let beyond = match parts.next() {
            Some("constant") => Beyond::Constant(0.0),
            Some("nearest") => Beyond::Nearest,
            other => bail!("{other:?} is no boundary"),
        };
        let image = image.mapv(f64::from);
        let found: Vec<f64> = image
            .outer_iter()
            .flat_map(|channel| map_coordinates(channel, positions, interpolation, beyond))
            .collect();
        close(&found, &case.output(role)?.values, tolerance).context(role.clone())?;
    }
    Ok(())
}
