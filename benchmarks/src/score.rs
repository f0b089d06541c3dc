use std::path::{Path, PathBuf};

use anyhow::Context as _;
use ndarray::{Array3, Array4};
use sconce::metrics::{
    Assd, Binning, Ece, Hd95, MaskPair, Metric, Nsd, Probabilities, ProbabilityMetric,
    ProbabilityPair, Surface, Truth,
};
use sconce::volume::{Components, Connectivity};
use serde::Deserialize;

/// Scores of masks or of probabilities, ready to be timed.
#[derive(Debug)]
pub struct ScoreWork {
    score: Score,
    spacing: [f64; 3],
    held: Held,
}

#[derive(Debug)]
enum Held {
    Masks { reference: Array3<bool>, prediction: Array3<bool> },
    Mask(Array3<bool>),
    Probabilities { labels: Array3<u16>, predicted: Array4<f32> },
}

/// Which scores, of what. Files hold nothing but voxels, in standard order.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ScoreRequest {
    /// What is measured.
    pub score: Score,
    /// Voxels, z y x.
    pub shape: [usize; 3],
    /// Their size, mm.
    #[serde(default)]
    pub spacing: [f64; 3],
    /// The file of the true mask, a byte a voxel, or of true labels, two bytes.
    pub reference: PathBuf,
    /// The file of the predicted mask, or of the probabilities of two classes, `f32`.
    #[serde(default)]
    pub prediction: PathBuf,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Score {
    /// HD95, ASSD and NSD at 1 mm of surface elements, as DeepMind's surface-distance has them.
    Elements,
    /// HD95 of border voxels, as `MedPy` has it.
    Hd95,
    /// HD95 and ASSD of border voxels.
    Hd95Assd,
    /// The calibration error in 15 bins, as torchmetrics has it.
    Calibration,
    /// The parts of a mask that hang together by faces, edges or corners: how many, and the sum of
    /// the squares of their sizes.
    Components,
}

impl ScoreWork {
    /// Reads what `request` is about.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read, or has another size.
    pub fn new(request: &ScoreRequest) -> anyhow::Result<Self> {
        let ScoreRequest { score, shape, spacing, reference, prediction } = request;
        let mask = |path| Ok::<_, anyhow::Error>(Array3::from_shape_vec(*shape, bools(path)?)?);
        let held = match score {
            Score::Components => Held::Mask(mask(reference)?),
            Score::Calibration => {
                let [depth, height, width] = *shape;
                let labels = numbers(reference, u16::from_le_bytes)?;
                let predicted = numbers(prediction, f32::from_le_bytes)?;
                Held::Probabilities {
                    labels: Array3::from_shape_vec(*shape, labels)?,
                    predicted: Array4::from_shape_vec((2, depth, height, width), predicted)?,
                }
            }
            _ => Held::Masks { reference: mask(reference)?, prediction: mask(prediction)? },
        };
        Ok(Self { score: *score, spacing: *spacing, held })
    }

    /// The scores.
    ///
    /// # Errors
    ///
    /// Where a score is not defined.
    pub fn run(&self) -> anyhow::Result<Vec<f64>> {
        let elements = Assd { surface: Surface::Elements };
        let (medpy, deepmind, nsd) = (Hd95::medpy(), Hd95::deepmind(), Nsd::default());
        let (assd, voxels) = (Assd { surface: Surface::Voxels }, Connectivity::Corners);
        let metrics: &[&dyn Metric] = match self.score {
            Score::Elements => &[&deepmind, &elements, &nsd],
            Score::Hd95 => &[&medpy],
            _ => &[&medpy, &assd],
        };
        match &self.held {
            Held::Masks { reference, prediction } => {
                let pair = MaskPair::new(reference, prediction, &self.spacing)?;
                let values = metrics.iter().map(|metric| metric.measure(&pair));
                values.collect::<Option<_>>().context("a mask is empty")
            }
            Held::Mask(mask) => {
                let parts = Components::of(mask, |&inside| inside, voxels);
                let squares = parts.sizes().iter().map(|&size| (size as f64).powi(2));
                Ok(vec![parts.len() as f64, squares.sum()])
            }
            Held::Probabilities { labels, predicted } => {
                let predicted = Probabilities::new(predicted)?;
                let pair = ProbabilityPair::new(predicted, Truth::hard(labels, None))?;
                let ece = Ece { binning: Binning::OneApart, ..Ece::default() };
                Ok(vec![ece.measure(&pair).context("no voxel counts")?])
            }
        }
    }
}

fn bools(path: &Path) -> anyhow::Result<Vec<bool>> {
    numbers(path, |[byte]| byte != 0)
}

fn numbers<T, const N: usize>(path: &Path, of: impl Fn([u8; N]) -> T) -> anyhow::Result<Vec<T>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(bytes.as_chunks::<N>().0.iter().map(|&chunk| of(chunk)).collect())
}
