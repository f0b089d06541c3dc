//! Networks as ONNX files, for programs that are not this one.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use engine::calibrate::LogitScaling;
use engine::file::write_atomic;
use engine::{NetworkConfig, Trained};
use models::{extents, to_onnx};
use onnx::{Graph, Value};
use preprocess::Plan;
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::load::folds;
use crate::pack::{Workshop, check_vacant};
use crate::{Error, Result, card, load};

/// The version of what metadata say.
const SCHEMA: u32 = 1;

/// What has been written as ONNX.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExportedOnnx {
    /// The files, one for each fold.
    pub files: Vec<PathBuf>,
    /// The version of ONNX's operators.
    pub opset: i64,
    /// The size of all files, bytes.
    pub bytes: u64,
    /// Whether logits that come out are calibrated.
    pub calibrated: bool,
}

/// Writes a model as an ONNX file, which any runtime of ONNX computes.
///
/// `model` is a model folder, a run, or a folder with one of them for each fold: then `output` is a folder with a file
/// for each, `fold_0.onnx` and so on, whose logits are averaged. The input is `image`, `(N, C_in, *S)` in f32, made ready
/// as the plan says; the output is `logits`, `(N, C, *S)` in f32. Batch and extents are free, but that
/// extents must be multiples of the stride that the metadata name.
///
/// Logits are calibrated as [`engine::Predictor`] calibrates them: what was fitted is in the graph, behind the network, whose
/// weights stay as they are.
///
/// # Errors
///
/// [`Error::Taken`] and [`Error::Occupied`], where there is something already; [`Error::Export`], where the weights are
/// more than a file of ONNX holds; else where the model cannot be read or a file cannot be written.
pub fn export_onnx(model: &Path, output: &Path) -> Result<ExportedOnnx> {
    let folds = folds(model)?;
    let opset = onnx::OPSET;
    if folds.is_empty() {
        if output.exists() {
            return Err(Error::Taken { path: output.to_owned() });
        }
        let File { bytes, calibrated } = File::of(model)?;
        let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            fs::create_dir_all(parent).map_err(Error::io(parent))?;
        }
        write_atomic(output, &bytes)?;
        let (files, bytes) = (vec![output.to_owned()], bytes.len() as u64);
        return Ok(ExportedOnnx { files, opset, bytes, calibrated });
    }
    check_vacant(output)?;
    let workshop = Workshop::beside(output)?;
    let (mut files, mut total, mut any) = (Vec::new(), 0, false);
    for fold in &folds {
        let File { bytes, calibrated } = File::of(fold)?;
        let name = format!("{}.onnx", fold.file_name().unwrap_or_default().to_string_lossy());
        write_atomic(&workshop.0.join(&name), &bytes)?;
        files.push(output.join(name));
        total += bytes.len() as u64;
        any |= calibrated;
    }
    workshop.rename(output)?;
    Ok(ExportedOnnx { files, opset, bytes: total, calibrated: any })
}

/// What a file holds.
struct File {
    bytes: Vec<u8>,
    calibrated: bool,
}

impl File {
    fn of(folder: &Path) -> Result<Self> {
        let trained = load(folder)?;
        let wrong = |reason: String| Error::Export { path: folder.to_owned(), reason };
        let config = &trained.config;
        let interface = config.interface;
        let scaling = config.scaling(config.predict.calibration)?;
        let stride = trained.build(&candle::Device::Cpu)?.stride().to_vec();
        let metadata = metadata(&trained, &scaling, &stride, folder)?;

        let architecture = config.architecture.as_dyn();
        let (mut graph, logits) = to_onnx(architecture, interface, &trained.parameters)
            .map_err(|error| wrong(error.to_string()))?;
        let finish = || -> onnx::Result<Vec<u8>> {
            let logits = calibrated(&mut graph, logits, &scaling, interface)?;
            graph.output("logits", &logits, &extents(interface.classes, interface.rank))?;
            let entries = metadata.iter().map(|(key, value)| (*key, value.as_str()));
            graph.encode("sconce", env!("CARGO_PKG_VERSION"), entries)
        };
        let bytes = finish().map_err(|error| wrong(error.to_string()))?;
        Ok(Self { bytes, calibrated: !scaling.is_identity() })
    }
}

/// `logits`, as [`LogitScaling::apply`] changes them.
#[expect(clippy::cast_possible_truncation, reason = "weights near 1")]
fn calibrated(
    graph: &mut Graph,
    logits: Value,
    scaling: &LogitScaling,
    interface: models::Interface,
) -> onnx::Result<Value> {
    if scaling.is_identity() {
        return Ok(logits);
    }
    let channels = if scaling.vector().is_some() { interface.classes } else { 1 };
    let dims = [vec![channels], vec![1; interface.rank]].concat();
    let (weights, biases): (Vec<f32>, Vec<f32>) = (0..channels)
        .map(|channel| scaling.of_channel(channel))
        .map(|(weight, bias)| (weight as f32, bias as f32))
        .unzip();
    let weight = graph.parameter("calibration.weight", &weights, &dims)?;
    let scaled = graph.node("Mul", &[&logits, &weight], &[]);
    if scaling.vector().is_none() {
        return Ok(scaled);
    }
    let bias = graph.parameter("calibration.bias", &biases, &dims)?;
    Ok(graph.node("Add", &[&scaled, &bias], &[]))
}

/// What is to be known to use a network without this program, as JSON values by their keys. Neither time, host nor
/// path: exporting the same model twice makes the same bytes.
fn metadata(
    trained: &Trained,
    scaling: &LogitScaling,
    stride: &[usize],
    folder: &Path,
) -> Result<Vec<(&'static str, String)>> {
    let Trained { config, plan, .. } = trained;
    let first = 3 - plan.rank.min(3);
    let (name, license) = match fs::read_to_string(folder.join("README.md")) {
        Ok(card) => card::name_and_license(&card),
        Err(_) => (None, None),
    };
    let calibration = json!({
        "method": config.predict.calibration,
        "temperature": scaling.temperature(),
        "vector": scaling.vector(),
        "in_graph": !scaling.is_identity(),
    });
    let entries = [
        ("schema", json!(SCHEMA)),
        ("version", json!(env!("CARGO_PKG_VERSION"))),
        ("name", json!(name)),
        ("license", json!(license)),
        ("dataset", json!(config.dataset)),
        ("architecture", json!(config.architecture)),
        ("weights_sha256", json!(trained.weights_hash()?)),
        ("axes", json!(["z", "y", "x"][first..])),
        ("channels", json!(config.channels)),
        ("classes", json!(config.classes)),
        ("activation", json!(config.activation)),
        ("calibration", calibration),
        ("stride", json!(stride)),
        ("patch_size", json!(plan.patch_size[first..])),
        ("mirror_axes", json!(config.mirror_axes[first..])),
        ("predict", json!(config.predict)),
    ];
    let entries = entries.into_iter().chain(labels(config)).chain(preparation(plan, first));
    Ok(entries.map(|(key, value)| (key, value.to_string())).collect())
}

/// What labels are written with.
fn labels(config: &NetworkConfig) -> [(&'static str, Json); 3] {
    [
        ("label_values", json!(config.label_values())),
        ("regions_class_order", json!(config.regions_class_order)),
        ("previous_labels", json!(config.previous_labels)),
    ]
}

/// How images are made ready.
fn preparation(plan: &Plan, first: usize) -> [(&'static str, Json); 8] {
    let spacing = plan.resample.then(|| &plan.spacing[first..]);
    [
        ("canonical", json!(plan.canonical)),
        ("transpose", json!(plan.transpose)),
        ("crop_to_nonzero", json!(plan.crop_to_nonzero)),
        ("spacing", json!(spacing)),
        ("grid", json!(plan.grid)),
        ("interpolation", json!(plan.interpolation)),
        ("normalize", json!(plan.normalize)),
        ("context", json!(plan.context)),
    ]
}

impl fmt::Display for ExportedOnnx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { files, opset, bytes, calibrated } = self;
        let size = crate::show::size(*bytes);
        match files.as_slice() {
            [file] => write!(f, "exported opset {opset}, {size}, to {}", file.display())?,
            files => {
                let folder = files.first().and_then(|file| file.parent()).unwrap_or(Path::new(""));
                let count = files.len();
                write!(
                    f,
                    "exported opset {opset}, {count} folds, {size}, to {}",
                    folder.display()
                )?;
            }
        }
        if *calibrated {
            write!(f, "; the logits that it gives are calibrated")?;
        }
        Ok(())
    }
}
