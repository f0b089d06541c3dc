//! Files as nibabel reads them, and as nnU-Net's readers do.

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use golden::{Case, Exempt, Group, Tolerance, close, number};
use sconce_data::{ImageInfo, read_image};
use serde_json::Value;
use volume::{Grid, Image, Orientation};

const EXEMPT: &[Exempt] = &[];

#[test]
fn golden_io() {
    let mine = |case: &Case| {
        let others =
            ["resample", "ResampleImageFilter", "skimage", "spline_filter"].map(str::to_owned);
        !others.iter().any(|other| case.function.contains(other))
    };
    Group::load("io").check(mine, EXEMPT, |case| match &*case.function {
        "read_nifti" => read_nifti(case),
        function if function.ends_with("IO.read_images") => read_images(case, false),
        function if function.ends_with("Reorient.read_images") => read_images(case, true),
        other => bail!("{other} is not known"),
    });
}

fn file(case: &Case) -> anyhow::Result<PathBuf> {
    Ok(case.file("", case.params["file"].as_str().context("file")?))
}

fn read_nifti(case: &Case) -> anyhow::Result<()> {
    let path = file(case)?;
    let outcome = read_image(&path);
    if case.must_error != Value::Bool(false) {
        return match outcome {
            Err(error) => {
                let message = error.to_string();
                let name = path.file_name().context("name")?.to_string_lossy();
                ensure!(message.contains(&*name), "the error does not name the file: {message}");
                ensure!(!message.contains('\n'), "the error is not one line: {message}");
                Ok(())
            }
            Ok(_) if case.must_error == Value::String("either".to_owned()) => Ok(()),
            Ok(_) => bail!("was read, but is damaged: {}", case.expected["reason"]),
        };
    }
    let (image, info) = (outcome?, ImageInfo::read(&path)?);
    let expected = &case.expected;
    let values = case.tolerance("values", Tolerance::new(1e-6, 0.0));
    let affine = case.tolerance("affine", Tolerance::new(0.0, 1e-5));

    let shape = numbers(&expected["stored"]["shape"])?;
    stored(&image, &shape, &expected["stored"], values).context("stored")?;
    same_affine(&image.grid, &expected["affine"], affine).context("affine")?;
    ensure!(info.axes.as_deref() == expected["axcodes"].as_str(), "axes are {:?}", info.axes);
    let [z, y, x] = info.header_spacing.context("header spacing")?;
    let zooms = numbers(&expected["zooms"])?;
    let rank = zooms.len().min(3);
    close(&[x, y, z][..rank], &zooms[..rank], affine).context("zooms")?;
    ensure!(
        expected["dtype"].as_str().map(type_name) == Some(info.voxel_type.clone()),
        "voxels are {}",
        info.voxel_type
    );

    // The same voxels as the reference holds them: x first, channels last.
    if case.outputs.contains_key("array") {
        case.expect("array", &extents(&shape), &in_file_order(&image, &shape), values)?;
    }
    if case.outputs.contains_key("ras_array") {
        let turned = Orientation::closest(&image.grid).apply(&image);
        let ras = &expected["ras"];
        let shape = numbers(&ras["summary"]["shape"])?;
        stored(&turned, &shape, &ras["summary"], values).context("ras")?;
        same_affine(&turned.grid, &ras["affine"], affine).context("ras affine")?;
        case.expect("ras_array", &extents(&shape), &in_file_order(&turned, &shape), values)?;
    }
    Ok(())
}

/// nnU-Net's readers: the array `(C, z, y, x)`, with the spacing of the header.
fn read_images(case: &Case, reorient: bool) -> anyhow::Result<()> {
    let path = file(case)?;
    let (mut image, info) = (read_image(&path)?, ImageInfo::read(&path)?);
    let mut spacing = info.header_spacing.context("header spacing")?;
    if reorient {
        let way = Orientation::closest(&image.grid);
        image = way.apply(&image);
        spacing = way.axes().map(|axis| spacing[axis]);
    }

    let values: Vec<f64> = image.data.iter().map(|&value| f64::from(value)).collect();
    case.expect("array", image.data.shape(), &values, Tolerance::new(0.0, 0.0))?;
    let expected = numbers(&case.expected["spacing"])?;
    // nnU-Net invents the spacing across single slices: 999 times that along them.
    let invented = usize::from(expected.len() == 3 && expected[0] > 500.0 * expected[1]);
    close(&spacing[invented..], &expected[invented..], Tolerance::new(1e-7, 0.0)).context("spacing")
}

fn numbers(value: &Value) -> anyhow::Result<Vec<f64>> {
    value.as_array().context("a list")?.iter().map(number).collect()
}

/// Whole numbers in a manifest.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small extents")]
fn extents(shape: &[f64]) -> Vec<usize> {
    shape.iter().map(|&extent| extent as usize).collect()
}

fn type_name(dtype: &str) -> String {
    match dtype.trim_start_matches(['>', '<']) {
        "i2" => "int16".to_owned(),
        "i4" => "int32".to_owned(),
        "i8" => "int64".to_owned(),
        "u2" => "uint16".to_owned(),
        "u4" => "uint32".to_owned(),
        "u8" => "uint64".to_owned(),
        "f4" => "float32".to_owned(),
        "f8" => "float64".to_owned(),
        other => other.to_owned(),
    }
}

/// The values in standard order of `(x, y, z, …)`, as numpy holds what nibabel reads.
fn in_file_order(image: &Image, shape: &[f64]) -> Vec<f64> {
    let shape = extents(shape);
    let mut values = Vec::with_capacity(image.data.len());
    let mut place = vec![0; shape.len()];
    for _ in 0..image.data.len() {
        let at = |axis: usize| place.get(axis).copied().unwrap_or(0);
        let mut channel = 0;
        for axis in (3..shape.len()).rev() {
            channel = channel * shape[axis] + place[axis];
        }
        values.push(f64::from(image.data[[channel, at(2), at(1), at(0)]]));
        for axis in (0..shape.len()).rev() {
            place[axis] += 1;
            if place[axis] < shape[axis] {
                break;
            }
            place[axis] = 0;
        }
    }
    values
}

fn stored(
    image: &Image,
    shape: &[f64],
    expected: &Value,
    tolerance: Tolerance,
) -> anyhow::Result<()> {
    let count: usize = extents(shape).iter().product();
    ensure!(count == image.data.len(), "{shape:?} is not {:?}", image.data.shape());
    let values = in_file_order(image, shape);
    let finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    let sum: f64 = finite.iter().sum();
    let weighted: f64 = values
        .iter()
        .enumerate()
        .map(|(index, &value)| if value.is_finite() { (index + 1) as f64 * value } else { 0.0 })
        .sum();
    let count = |of: fn(f64) -> bool| values.iter().filter(|&&value| of(value)).count() as f64;
    let found = [
        ("sum", sum),
        ("mean", sum / finite.len() as f64),
        ("min", finite.iter().copied().fold(f64::INFINITY, f64::min)),
        ("max", finite.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
        ("sum_of_squares", finite.iter().map(|value| value * value).sum()),
        ("index_weighted_sum_c_order", weighted),
        ("n_nan", count(f64::is_nan)),
        ("n_inf", count(f64::is_infinite)),
    ];
    for (name, found) in found {
        let expected = number(&expected[name]).context(name)?;
        close(&[found], &[expected], tolerance).context(name)?;
    }
    for (place, expected) in expected["corners"].as_object().context("corners")? {
        let place: Vec<usize> = place.split(',').map(str::parse).collect::<Result<_, _>>()?;
        let index =
            place.iter().zip(extents(shape)).fold(0, |index, (at, extent)| index * extent + at);
        close(&[values[index]], &[number(expected)?], tolerance).context("corner")?;
    }
    Ok(())
}

/// Compares with an affine whose columns are those of x, y and z, and the first voxel's place.
fn same_affine(grid: &Grid, expected: &Value, tolerance: Tolerance) -> anyhow::Result<()> {
    for row in 0..3 {
        let along = |axis: usize| grid.direction[row][axis] * grid.spacing[axis];
        let found = [along(2), along(1), along(0), grid.origin[row]];
        close(&found, &numbers(&expected[row])?, tolerance)
            .with_context(|| format!("row {row}"))?;
    }
    Ok(())
}
