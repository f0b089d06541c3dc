//! A data set in memory: bright balls in noise, two classes; or balls with a brighter core, two
//! regions of which one contains the other.

use std::sync::Arc;

use candle::Device;
use data::{Case, Class, Dataset, Description};
use engine::{Event, Observer, Origins, Outcome, Run, RunConfig, RunFolder, Storage, Validation};
use ndarray::{Array3, Array4};
use ranks::Alone;
use volume::{Grid, Image, Label, LabelMap};

#[derive(Debug)]
pub(crate) struct Balls {
    description: Description,
    ids: Vec<String>,
    size: [usize; 3],
    /// A voxel of this case is NaN.
    pub(crate) broken: Option<String>,
    /// This case has no label.
    pub(crate) unlabeled: Option<String>,
    /// Reading this case panics.
    pub(crate) cursed: Option<String>,
    /// How many cases in a row are of one group.
    pub(crate) together: usize,
}

impl Balls {
    pub(crate) fn new(cases: usize, size: [usize; 3]) -> Self {
        let class = |name: &str, value| Class::new(name, [value]);
        Self {
            description: Description {
                name: "Balls".to_owned(),
                channels: vec!["MR".to_owned()],
                classes: vec![class("background", 0), class("ball", 1)],
                raters: Vec::new(),
                regions_class_order: Vec::new(),
                independent: false,
                ignore: None,
            },
            ids: (0..cases).map(|index| format!("ball_{index}")).collect(),
            size,
            broken: None,
            unlabeled: None,
            cursed: None,
            together: 1,
        }
    }

    /// Gives the foreground another name.
    pub(crate) fn rename_class(&mut self, name: &str) {
        name.clone_into(&mut self.description.classes[1].name);
    }

    /// Lets these raters have marked each case; what they say is the same label.
    pub(crate) fn rate_by(&mut self, raters: &[&str]) {
        self.description.raters = raters.iter().map(|&rater| rater.to_owned()).collect();
    }

    /// Balls with a core of 0.6 of their radius, labelled 2; the rest of the ball is labelled 1.
    pub(crate) fn nested(cases: usize, size: [usize; 3]) -> Self {
        let mut balls = Self::new(cases, size);
        balls.description.classes = vec![
            Class::new("background", [0]),
            Class::new("whole", [1, 2]),
            Class::new("core", [2]),
        ];
        balls.description.regions_class_order = vec![1, 2];
        balls
    }
}

impl Dataset for Balls {
    fn description(&self) -> &Description {
        &self.description
    }

    fn ids(&self) -> &[String] {
        &self.ids
    }

    fn group<'a>(&'a self, id: &'a str) -> &'a str {
        let index = self.ids.iter().position(|it| it == id).expect("an id of this set");
        &self.ids[index - index % self.together]
    }

    fn read(&self, id: &str) -> data::Result<Case> {
        assert!(self.cursed.as_deref() != Some(id), "a reader with a defect");
        let index = self.ids.iter().position(|it| it == id).expect("an id of this set");
        let center = |axis: usize| {
            let extent = self.size[axis] as f64;
            extent / 2.0 + (index % 3) as f64 - 1.0
        };
        let radius = 0.3 * self.size[2] as f64;
        let nested = self.description.has_regions();
        let label = |(z, y, x): (usize, usize, usize)| {
            let offset = |axis: usize, at: usize| at as f64 - center(axis);
            let depth = if self.size[0] == 1 { 0.0 } else { offset(0, z) };
            let far = (depth.powi(2) + offset(1, y).powi(2) + offset(2, x).powi(2)).sqrt();
            u16::from(far < radius) + u16::from(nested && far < 0.6 * radius)
        };
        let labels = Array3::from_shape_fn(self.size, label);
        let noise = |(z, y, x): (usize, usize, usize)| {
            ((z * 31 + y * 17 + x * 7 + index * 3) % 11) as f32 / 11.0
        };
        let [d, h, w] = self.size;
        let mut image = Array4::from_shape_fn((1, d, h, w), |(_, z, y, x)| {
            noise((z, y, x)) + 2.0 * f32::from(labels[[z, y, x]])
        });
        if self.broken.as_deref() == Some(id) {
            image[[0, 0, 0, 0]] = f32::NAN;
        }
        let grid = Grid::new(self.size, [1.0; 3]).expect("a grid");
        let label = Label::Hard(LabelMap::new(grid.clone(), labels).expect("labels on their grid"));
        Ok(Case {
            id: id.to_owned(),
            image: Image::new(grid, image).expect("an image on its grid"),
            label: (self.unlabeled.as_deref() != Some(id)).then_some(label),
        })
    }
}

/// A run of a few seconds.
pub(crate) fn config(rank: usize, epochs: usize) -> RunConfig {
    let patch = if rank == 2 { "[1, 16, 16]" } else { "[8, 16, 16]" };
    let text = format!(
        "schema = 1
         seed = 3
         [data.nnunet_raw]
         [split]
         folds = 3
         [preprocess]
         rank = {rank}
         patch_size = {patch}
         [model.unet]
         features_per_stage = [4, 8]
         [loss.cross_entropy]
         [optimizer.sgd]
         momentum = 0.9
         [train]
         learning_rate = 0.05
         epochs = {epochs}
         iterations_per_epoch = 8
         batch_size = 2
         validation_iterations = 2
         [predict]
         mirror = false"
    );
    RunConfig::from_text(&text).expect("a valid run file")
}

/// A run that begins with `origins`, with prepared cases in memory.
pub(crate) fn run_from<'a>(
    config: &'a RunConfig,
    dataset: &'a dyn Dataset,
    folder: &'a RunFolder,
    device: &'a Device,
    origins: Origins<'a>,
) -> Run<'a> {
    let storage = Storage::default();
    Run {
        config,
        dataset,
        folder,
        device,
        resume: false,
        origins,
        storage,
        group: Arc::new(Alone),
        meter: None,
        command: "",
    }
}

/// Scores what came of training into `folder`.
pub(crate) fn validated(
    folder: &std::path::Path,
    config: &RunConfig,
    dataset: &dyn Dataset,
    outcome: &Outcome,
) -> engine::Result<Validation> {
    let (folder, device) = (RunFolder::at(folder), device());
    let run = run_from(config, dataset, &folder, &device, Origins::default());
    engine::validate(&run, outcome, &mut [])
}

/// The device that the tests run on: that of `SCONCE_TEST_DEVICE`, else the CPU.
pub(crate) fn device() -> Device {
    golden::device!()
}

/// Trains into `folder`; `stop_after` epochs, where given.
pub(crate) fn train_into(
    folder: &std::path::Path,
    config: &RunConfig,
    dataset: &dyn Dataset,
    resume: bool,
    stop_after: Option<usize>,
) -> engine::Result<Outcome> {
    train_on(&device(), folder, config, dataset, resume, stop_after)
}

/// The same on another device: only the CPU promises the same bits twice.
pub(crate) fn train_on(
    device: &Device,
    folder: &std::path::Path,
    config: &RunConfig,
    dataset: &dyn Dataset,
    resume: bool,
    stop_after: Option<usize>,
) -> engine::Result<Outcome> {
    let folder = RunFolder::create(folder, resume)?;
    let run = Run { resume, ..run_from(config, dataset, &folder, device, Origins::default()) };
    let mut stop = StopAfter(stop_after);
    engine::train(&run, &mut [&mut stop as &mut dyn Observer])
}

/// Trains into `folder`, watched by one observer.
pub(crate) fn train_watched(
    folder: &std::path::Path,
    config: &RunConfig,
    dataset: &dyn Dataset,
    observer: &mut dyn Observer,
) -> engine::Result<Outcome> {
    let folder = RunFolder::create(folder, false)?;
    let device = device();
    let run = run_from(config, dataset, &folder, &device, Origins::default());
    engine::train(&run, &mut [observer])
}

/// Trains into `folder` on the CPU, with prepared cases kept as `storage` says.
pub(crate) fn train_stored(
    folder: &std::path::Path,
    config: &RunConfig,
    dataset: &dyn Dataset,
    storage: Storage,
    observers: &mut [&mut dyn Observer],
) -> engine::Result<Outcome> {
    let folder = RunFolder::create(folder, false)?;
    let run = run_from(config, dataset, &folder, &Device::Cpu, Origins::default());
    let run = Run { storage, ..run };
    engine::train(&run, observers)
}

/// Ends a run after a number of epochs.
struct StopAfter(Option<usize>);

impl Observer for StopAfter {
    fn on(&mut self, event: &Event<'_>) -> engine::Result<std::ops::ControlFlow<()>> {
        let done = match event {
            Event::Epoch(summary) => Some(summary.epoch + 1),
            _ => None,
        };
        Ok(if done.is_some() && done == self.0 {
            std::ops::ControlFlow::Break(())
        } else {
            std::ops::ControlFlow::Continue(())
        })
    }
}
