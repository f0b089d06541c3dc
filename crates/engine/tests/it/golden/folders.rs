//! nnU-Net's own model folders, from files to files: with and without mirroring, of axes that are
//! transposed, with regions, with a margin that is cut off.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use candle::{Device, Tensor};
use data::{read_image, read_label_map};
use engine::{PredictConfig, Predictor, Trained};
use golden::{Case, Exempt, Group, Tolerance, close};
use models::Input;
use ndarray::Array4;
use serde_json::Value;
use volume::Image;

use super::{half, model_folder};

const EXEMPT: &[Exempt] = &[];

#[test]
fn golden_nnunet_models() {
    Group::load_folders("nnunet_models").check(
        |_| true,
        EXEMPT,
        |case| match case.function.as_str() {
            "stages" => stages(case),
            "net_io_fold" => network(case),
            other => anyhow::bail!("{other} is not known"),
        },
    );
}

/// From the image to each stage of its prediction.
fn stages(case: &Case) -> anyhow::Result<()> {
    let channels = (0..)
        .map(|channel| case.file("", &format!("case_{channel:04}.nii.gz")))
        .take_while(|path| path.is_file())
        .map(|path| Ok(read_image(&path)?))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let image = Image::stack(&channels)?;
    ensure!(image.data.shape() == case.param_list("shape_read")?, "{:?}", image.data.shape());
    let spacing: Vec<f64> = serde_json::from_value(case.params["spacing_read"].clone())?;
    close(&image.grid.spacing, &spacing, Tolerance::new(1e-7, 0.0)).context("spacing")?;

    let folds = trained(case)?;
    for (way, mirror) in [("notta", false), ("tta", true)] {
        let settings = PredictConfig { mirror, ..PredictConfig::default() };
        let predictor = Predictor::ensemble(&folds, settings.clone(), &Device::Cpu)?;
        let alone = |fold| Predictor::new(fold, settings.clone(), &Device::Cpu);
        let each = folds.iter().map(alone).collect::<engine::Result<Vec<_>>>()?;

        let prepared = predictor.plan().prepare(&image, None)?;
        let region = prepared.restore.region();
        let kept: Vec<[usize; 2]> =
            (0..3).map(|i| [region.start[i], region.start[i] + region.size[i]]).collect();
        ensure!(serde_json::to_value(&kept)? == case.params["bbox"], "kept {kept:?}");
        let shape = prepared.image.shape();
        case.expect("preprocessed", shape, &wide(&prepared.image), Tolerance::new(1e-5, 1e-5))?;

        let logits = half::logits(&each, &prepared.image)?;
        mostly(case, &format!("logits_{way}"), logits.shape(), &wide(&logits), HALF)?;
        let prediction = predictor.predict(&image)?.with_logits(logits)?;
        let probabilities = prediction.probability_image()?.data;
        let name = format!("prob_{way}");
        mostly(case, &name, probabilities.shape(), &wide(&probabilities), HALF)?;

        let labels = prediction.labels()?;
        let values: Vec<f64> = labels.data.iter().map(|&label| f64::from(label)).collect();
        let exactly = Tolerance::new(0.0, 0.0);
        mostly(case, &format!("seg_{way}"), labels.data.shape(), &values, exactly)?;
        let written = read_label_map(case.file("", &format!("pred_{way}.nii.gz")))?;
        let written_values: Vec<f64> = written.data.iter().map(|&it| f64::from(it)).collect();
        most(&values, &written_values, exactly).context("the labels that nnU-Net wrote")?;
        ensure!(labels.grid.matches(&written.grid), "{way}: not on the grid that nnU-Net wrote");
    }
    Ok(())
}

/// Two units in the last place of half precision.
const HALF: Tolerance = Tolerance::new(2e-3, 2e-3);

/// A value that lies within rounding of the middle between two of half precision goes either way,
/// and a label with it: one in a thousand may.
fn most(actual: &[f64], expected: &[f64], tolerance: Tolerance) -> anyhow::Result<()> {
    ensure!(actual.len() == expected.len(), "{} values, not {}", actual.len(), expected.len());
    let apart = |(a, e): (&f64, &f64)| (a - e).abs() > tolerance.atol + tolerance.rtol * e.abs();
    let out = actual.iter().zip(expected).filter(|pair| apart(*pair)).count();
    ensure!(out * 1000 <= actual.len(), "{out} of {} values are another", actual.len());
    Ok(())
}

/// The same for an output of a case.
fn mostly(
    case: &Case,
    role: &str,
    shape: &[usize],
    actual: &[f64],
    tolerance: Tolerance,
) -> anyhow::Result<()> {
    let expected = case.output(role)?;
    ensure!(expected.shape == shape, "{role}: shapes {shape:?} and {:?}", expected.shape);
    most(actual, &expected.values, tolerance).context(role.to_owned())
}

/// The network of a fold by itself.
fn network(case: &Case) -> anyhow::Result<()> {
    let (_, number) = case.id.rsplit_once("fold").context("no fold")?;
    let trained = read(case, &case.file("model", &format!("fold_{number}")))?;
    let x = case.output("x")?;
    let images = Tensor::from_vec(x.to_f32(), x.shape, &Device::Cpu)?;

    let logits = trained.build(&Device::Cpu)?.forward_t(&Input::images(images), false)?;

    let y = logits.main().flatten_all()?.to_vec1::<f32>()?;
    let y: Vec<f64> = y.into_iter().map(f64::from).collect();
    case.expect("y", logits.main().dims(), &y, Tolerance::new(1e-4, 1e-4))
}

/// The networks of all folds, in their order.
fn trained(case: &Case) -> anyhow::Result<Vec<Trained>> {
    let mut folds: Vec<PathBuf> = fs::read_dir(case.file("", "model"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<_>>()?;
    folds.retain(|path| path.is_dir());
    folds.sort();
    folds.iter().map(|fold| read(case, fold)).collect()
}

fn read(case: &Case, fold: &Path) -> anyhow::Result<Trained> {
    let folder = case.file("", "model");
    let number = fold.file_name().and_then(|name| name.to_str()?.strip_prefix("fold_"));
    let number = number.with_context(|| fold.display().to_string())?.parse()?;
    let plans: Value = serde_json::from_str(&fs::read_to_string(folder.join("plans.json"))?)?;
    let configurations = plans["configurations"].as_object().context("no configurations")?;
    ensure!(configurations.len() == 1, "{} configurations", configurations.len());
    let configuration = configurations.keys().next().context("no configuration")?;
    let axes = mirror_axes(&fs::read(fold.join("checkpoint_final.pth"))?)?;
    model_folder::read(&folder, configuration, number, &axes)
}

/// The axes that may be mirrored, a tuple in the pickle of the checkpoint, which lies in its file
/// as it is.
fn mirror_axes(checkpoint: &[u8]) -> anyhow::Result<Vec<usize>> {
    const KEY: &[u8] = b"inference_allowed_mirroring_axes";
    let at = checkpoint.windows(KEY.len()).position(|bytes| bytes == KEY);
    let mut rest = &checkpoint[at.context("a checkpoint without mirroring axes")? + KEY.len()..];
    let mut axes = Vec::new();
    loop {
        // Opcodes of pickle: the key or a value is remembered; a small number; the end of a tuple.
        rest = match *rest {
            [b'r', _, _, _, _, ref rest @ ..] | [b'q', _, ref rest @ ..] => rest,
            [b'K', axis, ref rest @ ..] => {
                axes.push(usize::from(axis));
                rest
            }
            [b')' | b'N' | 0x85..=0x87, ..] => return Ok(axes),
            _ => anyhow::bail!("mirroring axes are no tuple of numbers"),
        };
    }
}

fn wide(array: &Array4<f32>) -> Vec<f64> {
    array.iter().map(|&value| f64::from(value)).collect()
}
