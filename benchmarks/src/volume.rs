use std::path::PathBuf;

use ndarray::{Array3, Array4, Zip};
use sconce::preprocess::{Interpolation, Resampling, Restore};
use sconce::volume::{Components, Connectivity, Grid, distance_to};
use serde::Deserialize;

/// Work on a volume, ready to be timed.
#[derive(Debug)]
pub struct VolumeWork {
    request: VolumeRequest,
    image: Array3<f32>,
    labels: Array3<u16>,
    logits: Array4<f32>,
}

/// Which work, on what.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct VolumeRequest {
    /// What is done.
    pub volume: Task,
    /// Voxels of the volume, z y x; of a file, as it has them.
    #[serde(default)]
    pub shape: [usize; 3],
    /// Voxels of what it is resampled to.
    #[serde(default)]
    pub to: [usize; 3],
    /// The axis across thick slices.
    #[serde(default)]
    pub separate: Option<usize>,
    /// Classes of the logits that are exported.
    #[serde(default)]
    pub channels: usize,
    /// The file that is read.
    #[serde(default)]
    pub file: PathBuf,
}

/// What is done with a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Intensities are resampled by cubic splines.
    ResampleImage,
    /// Class indices are resampled.
    ResampleLabels,
    /// A NIfTI file is read.
    Read,
    /// The distance of each voxel to the foreground.
    Distance,
    /// The parts of the foreground that hang together by faces, edges or corners.
    Components,
    /// Logits are brought to the grid of a file, where the greatest is the label.
    Export,
}

impl VolumeWork {
    /// The volume that `request` is about: waves, and balls of classes 1 and 2 in a lattice.
    pub fn new(request: &VolumeRequest) -> Self {
        if request.volume == Task::Export {
            let [d, h, w] = request.shape;
            let mut logits = Array4::zeros((request.channels, d, h, w));
            Zip::indexed(&mut logits).par_for_each(|(channel, z, y, x), value| {
                let wave =
                    |at: usize, longer: usize| (at as f32 / (5 + longer + channel) as f32).sin();
                *value = wave(z, 0) + wave(y, 2) * wave(x, 4);
            });
            let (image, labels) = (Array3::default((0, 0, 0)), Array3::default((0, 0, 0)));
            return Self { request: request.clone(), image, labels, logits };
        }
        let mut image = Array3::zeros(request.shape);
        let mut labels = Array3::zeros(request.shape);
        Zip::indexed(&mut image).and(&mut labels).par_for_each(|(z, y, x), value, label| {
            let wave = |at: usize, length: f64| (at as f64 / length).sin();
            let sum = wave(z, 5.0) + wave(y, 7.0) * wave(x, 11.0);
            #[expect(clippy::cast_possible_truncation, reason = "a few digits suffice")]
            {
                *value = (100.0 * sum) as f32;
            }
            let off = |at: usize| (at % 40).abs_diff(20).pow(2);
            *label = match off(z) + off(y) + off(x) {
                0..36 => 2,
                36..144 => 1,
                _ => 0,
            };
        });
        let logits = Array4::default((0, 0, 0, 0));
        Self { request: request.clone(), image, labels, logits }
    }

    /// The sum of what comes of it.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read.
    pub fn run(&self) -> anyhow::Result<f64> {
        let VolumeRequest { volume, shape, to, separate, file, .. } = &self.request;
        let resampling = Resampling { from: *shape, to: *to, separate: *separate, steps: None };
        Ok(match volume {
            Task::ResampleImage => {
                let (within, across) = (Interpolation::Cubic, Interpolation::Nearest);
                sum(resampling.intensities(self.image.view(), within, across).iter().copied())
            }
            Task::ResampleLabels => {
                sum(resampling.labels(self.labels.view()).iter().map(|&label| f32::from(label)))
            }
            Task::Export => {
                let spacing =
                    std::array::from_fn(|axis| 1.5 * shape[axis] as f64 / to[axis] as f64);
                let restore = Restore::resampled(Grid::new(*to, spacing)?, *shape);
                sum(restore.labels(&self.logits)?.data.iter().map(|&label| f32::from(label)))
            }
            Task::Read => sum(sconce::data::read_image(file)?.data.iter().copied()),
            Task::Distance => distance_to(&self.labels, |&label| label > 0, [1.5, 1.0, 1.0]).sum(),
            Task::Components => {
                Components::of(&self.labels, |&label| label > 0, Connectivity::Corners).len() as f64
            }
        })
    }
}

/// Far less than what it is a check of.
fn sum(values: impl Iterator<Item = f32>) -> f64 {
    values.step_by(997).map(f64::from).sum()
}
