//! Random soft labels, all the way from a case to a loss and to a score.

use candle::{D, Device};
use data::{Case, Class, Dataset, Description};
use engine::{LabelSpace, Loader, Recipe, RunConfig};
use losses::{Loss as _, LossConfig, Needs};
use metrics::{ProbabilityMetricConfig, ProbabilityPair};
use ndarray::{Array4, Axis};
use preprocess::{Fingerprint, Plan, rng};
use proptest::prelude::*;
use rand::Rng as _;
use volume::{Grid, Image, Label, SoftLabelMap};

use crate::fixture::config;

const CLASSES: usize = 3;

/// One case of noise.
#[derive(Debug)]
struct Noise {
    description: Description,
    ids: Vec<String>,
    grid: Grid,
    seed: u64,
}

impl Noise {
    fn new(grid: Grid, seed: u64) -> Self {
        let class = |(value, name): (u16, &str)| Class::new(name, [value]);
        let description = Description {
            name: "noise".to_owned(),
            channels: vec!["MR".to_owned()],
            classes: (0..).zip(["background", "organ", "lesion"]).map(class).collect(),
            raters: Vec::new(),
            ignore: None,
            regions_class_order: Vec::new(),
            independent: false,
        };
        Self { description, ids: vec!["a".to_owned()], grid, seed }
    }

    fn case(&self) -> Case {
        let [d, h, w] = self.grid.size;
        let mut random = rng(self.seed, 0, "noise");
        let image = Array4::from_shape_fn((1, d, h, w), |_| random.random_range(-1.0..1.0f32));
        // Some classes are nowhere, some everywhere, at most voxels.
        let mut label = Array4::from_shape_fn((CLASSES, d, h, w), |_| {
            let p: f32 = random.random_range(-1.0..1.0);
            p.max(0.0)
        });
        label.index_axis_mut(Axis(0), 0).mapv_inplace(|p| p + 1e-3);
        let sums = label.sum_axis(Axis(0));
        label.outer_iter_mut().for_each(|mut class| class /= &sums);
        let label = SoftLabelMap::new(self.grid.clone(), label).expect("probabilities");
        let image = Image::new(self.grid.clone(), image).expect("an image");
        Case { id: "a".to_owned(), image, label: Some(Label::Soft(label)) }
    }
}

impl Dataset for Noise {
    fn description(&self) -> &Description {
        &self.description
    }

    fn ids(&self) -> &[String] {
        &self.ids
    }

    fn read(&self, _: &str) -> data::Result<Case> {
        Ok(self.case())
    }
}

/// Losses that are smallest, and 0 but for what a target's own doubt costs, where a network says just what
/// the target does.
fn losses() -> Vec<LossConfig> {
    ["dice_semimetric", "kl_divergence"]
        .map(|name| toml::from_str(&format!("[{name}]")).expect("a loss of this program"))
        .into()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn soft_labels_stay_probabilities_up_to_the_loss_and_the_score(
        size in [3usize..10, 9..20, 9..20],
        spacing in [0.6f64..3.0, 0.6..3.0, 0.6..3.0],
        seed in any::<u64>(),
        rank in 2usize..=3,
    ) {
        let noise = Noise::new(Grid::new(size, spacing).unwrap(), seed);
        let run: RunConfig = config(rank, 1);
        let case = noise.case();
        let mut fingerprint = Fingerprint::new(1);
        fingerprint.add(&case.image, case.label.as_ref());
        let plan = Plan::new(&run.preprocess, &fingerprint, &["MR".to_owned()]).unwrap();
        let recipe = Recipe {
            plan: &plan,
            space: &LabelSpace::Classes { count: CLASSES },
            labels: &run.labels,
            augment: &run.augment,
            train: &run.train,
            needs: Needs::default(),
            opinions: None,
            seed,
        };
        let loader = Loader::new(&noise, noise.ids(), recipe, |_| Ok(())).unwrap();

        for iteration in 0..2 {
            let batch = loader.training(0, iteration, &Device::Cpu).unwrap();
            prop_assert!(batch.target.weight().is_none(), "nothing is ignored");
            let t = batch.target.probabilities(&batch.images.broadcast_as(
                [&batch.images.dims()[..1], &[CLASSES], &batch.images.dims()[2..]].concat(),
            ).unwrap()).unwrap();
            let least = t.flatten_all().unwrap().min(D::Minus1).unwrap().to_scalar::<f32>().unwrap();
            prop_assert!(least >= -1e-6, "{least}");
            let sums = t.sum(1).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            prop_assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-5));
            let logits = t.maximum(1e-12f64).unwrap().log().unwrap();
            let other = (&logits * 0.5).unwrap();
            for loss in losses() {
                let cost = |logits| loss.forward(logits, &batch.target).unwrap().to_scalar::<f32>().unwrap();
                let (same, apart) = (cost(&logits), cost(&other));
                prop_assert!(same.abs() < 1e-4, "{}: {same}", loss.name());
                prop_assert!(apart > same, "{}: {apart} {same}", loss.name());
            }
        }

        let Some(Label::Soft(soft)) = &case.label else { panic!("the label is soft") };
        let label = Label::Soft(soft.clone());
        let itself = ProbabilityPair::of(soft, &label, None).unwrap();
        for name in ["brier", "ece"] {
            let metric: ProbabilityMetricConfig = toml::from_str(&format!("[{name}]")).unwrap();
            let found = metric.as_dyn().measure(&itself).unwrap();
            prop_assert!(found < 1e-6, "{name} {found}");
        }
    }
}
