use std::ops::ControlFlow;
use std::path::PathBuf;

use ndarray::{Array3, Array4, Zip};
use sconce::data::{Case, Class, Dataset, Description};
use sconce::engine::config::TrainConfig;
use sconce::engine::{LabelSpace, Loader, Recipe, Storage};
use sconce::losses::Needs;
use sconce::preprocess::{Augmentation, Fingerprint, NormalizeScheme, Plan, PlanConfig};
use sconce::volume::{Grid, Image, Label, LabelMap};
use serde::Deserialize;

/// Batches for training, ready to be made.
#[derive(Debug)]
pub struct PatchWork {
    loader: Loader<'static>,
    batches: usize,
    epoch: usize,
}

/// How many batches, of what.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct PatchRequest {
    /// Batches of two patches.
    pub batches: usize,
    /// How many cases there are.
    pub cases: usize,
    /// Their voxels, z y x.
    pub shape: [usize; 3],
    /// Voxels of a patch.
    pub patch: [usize; 3],
    /// A folder from which patches are read; without, cases are in memory.
    #[serde(default)]
    pub cache: Option<PathBuf>,
    /// Whether patches are varied as nnU-Net does it, or not at all.
    #[serde(default = "yes")]
    pub augment: bool,
}

fn yes() -> bool {
    true
}

/// Waves, and balls of two classes in a lattice.
#[derive(Debug)]
pub(crate) struct Volumes {
    description: Description,
    ids: Vec<String>,
    shape: [usize; 3],
}

impl Volumes {
    /// So many, of this size.
    pub(crate) fn new(cases: usize, shape: [usize; 3]) -> Self {
        let classes = ["background", "ball", "core"].into_iter().zip(0..);
        Self {
            description: Description {
                name: "Volumes".to_owned(),
                channels: vec!["MRI".to_owned()],
                classes: classes.map(|(name, value)| Class::new(name, [value])).collect(),
                raters: Vec::new(),
                ignore: None,
                regions_class_order: Vec::new(),
                independent: false,
            },
            ids: (0..cases).map(|case| format!("volume_{case}")).collect(),
            shape,
        }
    }
}

impl Dataset for Volumes {
    fn description(&self) -> &Description {
        &self.description
    }

    fn ids(&self) -> &[String] {
        &self.ids
    }

    fn read(&self, id: &str) -> sconce::data::Result<Case> {
        let shift = self.ids.iter().position(|it| it == id).unwrap_or(0);
        let [d, h, w] = self.shape;
        let mut image = Array4::zeros((1, d, h, w));
        let mut labels = Array3::zeros(self.shape);
        Zip::indexed(image.index_axis_mut(ndarray::Axis(0), 0)).and(&mut labels).par_for_each(
            |(z, y, x), value: &mut f32, label: &mut u16| {
                let wave = |at: usize, length: f64| ((at + shift) as f64 / length).sin();
                let sum = wave(z, 5.0) + wave(y, 7.0) * wave(x, 11.0);
                // Noise that no compression gets rid of, as scanners make it.
                let noise = ((z * 7919 + y * 104_729 + x * 1_299_709) % 1009) as f64 / 1009.0;
                #[expect(clippy::cast_possible_truncation, reason = "a few digits suffice")]
                {
                    *value = (100.0 * sum + 20.0 * noise).round() as f32;
                }
                let off = |at: usize| (at % 40).abs_diff(20).pow(2);
                *label = match off(z) + off(y) + off(x) {
                    0..36 => 2,
                    36..144 => 1,
                    _ => 0,
                };
            },
        );
        let grid = Grid::new(self.shape, [1.0; 3]).expect("an isotropic grid");
        let label = Label::Hard(LabelMap::new(grid.clone(), labels).expect("labels on their grid"));
        let image = Image::new(grid, image).expect("an image on its grid");
        Ok(Case { id: id.to_owned(), image, label: Some(label) })
    }
}

impl PatchWork {
    /// Prepares the cases that `request` is about. What batches are made from stays as long as the process.
    ///
    /// # Errors
    ///
    /// Where nothing can be planned, or cases cannot be kept.
    pub fn new(request: &PatchRequest) -> anyhow::Result<Self> {
        let volumes: &Volumes = Box::leak(Box::new(Volumes::new(request.cases, request.shape)));
        let mut fingerprint = Fingerprint::new(1);
        let first = volumes.read(&volumes.ids[0])?;
        fingerprint.add(&first.image, first.label.as_ref());
        let config = PlanConfig {
            patch_size: Some(request.patch),
            normalize: Some(vec![NormalizeScheme::ZScore]),
            ..PlanConfig::default()
        };
        let plan = Plan::new(&config, &fingerprint, &["MRI".to_owned()])?;
        let augment = if request.augment { Augmentation::default() } else { Augmentation::none() };
        let recipe = Recipe {
            plan: Box::leak(Box::new(plan)),
            space: &LabelSpace::Classes { count: 3 },
            labels: Box::leak(Box::default()),
            augment: Box::leak(Box::new(augment)),
            train: Box::leak(Box::new(TrainConfig { batch_size: 2, ..TrainConfig::default() })),
            needs: Needs::default(),
            opinions: None,
            seed: 1,
        };
        let cache = request.cache.clone();
        let memory = if cache.is_some() { 0 } else { u64::MAX };
        let storage = Storage { cache, memory: Some(memory) };
        // Nothing is spilled: what is not in memory has a folder.
        let spill = PathBuf::new();
        let (loader, _) =
            Loader::stored(&storage, &spill, volumes, &volumes.ids, recipe, |_| Ok(()))?;
        Ok(Self { loader, batches: request.batches, epoch: 0 })
    }

    /// Makes the batches, others than before; what is at a place of each, added up.
    ///
    /// # Errors
    ///
    /// Where one cannot be made.
    pub fn run(&mut self) -> anyhow::Result<f64> {
        self.epoch += 1;
        let mut sum = 0.0;
        self.loader.epoch(self.epoch, 0..self.batches, |_, batch| {
            let first = batch.images.flatten_all()?.narrow(0, 0, 1)?.to_vec1::<f32>()?;
            sum += f64::from(first[0]);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(sum)
    }
}
