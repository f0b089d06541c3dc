//! Data that are made, not read: CT-like images whose true soft labels are known.

mod anatomy;
mod organs;
mod random;
mod rater;
#[cfg(feature = "nifti")]
mod write;

use std::ops::Range;
use std::path::Path;

use ndarray::{Array3, Array4};
use serde::{Deserialize, Serialize};
use volume::{Grid, Image, Label, LabelMap, SoftLabelMap};

use self::anatomy::Anatomy;
pub use self::organs::PhantomOrgan;
use self::random::{Waves, stream};
use self::rater::Habits;
use crate::{Case, Class, Dataset, Description, Error, Layout, Result};

/// Settings of a [`Phantom`], the data set that needs no files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PhantomConfig {
    /// The number of cases.
    pub cases: usize,
    /// Voxels along each axis, `(D, H, W)`; 1 slice makes 2D cases.
    pub size: [usize; 3],
    /// Distance between neighbours along each axis, mm, `(z, y, x)`.
    pub spacing: [f64; 3],
    /// The number of raters who mark each case.
    pub raters: usize,
    /// What everything random depends on.
    pub seed: u64,
    /// Whether lesions are a class of their own, or part of the organ.
    pub classes: PhantomClasses,
    /// Which of the two organs are labelled, each a class of its own, lesions included; empty for the first alone, as
    /// `classes` says. Images show both whatever is labelled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub organs: Vec<PhantomOrgan>,
    /// Standard deviation of the image's noise, HU.
    pub noise: f64,
    /// Standard deviation, over raters, of how far their outlines lie outside or inside, mm.
    pub bias: f64,
    /// Standard deviation of how far an outline strays from place to place, mm.
    pub boundary: f64,
    /// Distance over which an outline strays in the same direction, mm.
    pub correlation: f64,
    /// The probability that a rater overlooks a lesion.
    pub miss_rate: f64,
    /// Whether rater 1 is the same person, with the same bias, in all cases. If not, each case is
    /// marked by other raters of the same population, as in LIDC.
    pub persistent_raters: bool,
}

/// Which classes a [`Phantom`] has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PhantomClasses {
    /// Background and organ, lesions included.
    Organ,
    /// Background, organ, lesion.
    #[default]
    OrganAndLesions,
}

impl Default for PhantomConfig {
    fn default() -> Self {
        Self {
            cases: 24,
            size: [24, 64, 64],
            spacing: [3.0, 1.5, 1.5],
            raters: 4,
            seed: 0,
            classes: PhantomClasses::default(),
            organs: Vec::new(),
            noise: 18.0,
            bias: 1.0,
            boundary: 1.0,
            correlation: 12.0,
            miss_rate: 0.2,
            persistent_raters: false,
        }
    }
}

impl Layout for PhantomConfig {
    /// Makes the data set; `root` is not looked at.
    fn open(&self, _root: &Path) -> Result<Box<dyn Dataset>> {
        Ok(Box::new(Phantom::new(self.clone())?))
    }
}

/// A data set that is made, not read: CT-like cases with several raters, and the probability with
/// which a rater marks each voxel, known exactly.
///
/// Each case shows a body of fat and soft tissue with an ellipsoidal organ of uneven surface, some
/// 40 HU brighter than what surrounds it, none to three darker lesions in it, and things that look
/// alike but are not: a second organ, a cyst, a spine, a vessel, gas. Intensities are whole HU,
/// with partial volume and white noise. With [`PhantomConfig::organs`] the first organ is the liver and
/// the second, which lies opposite to it and is then brighter, the kidney.
///
/// Let `φ(x)` be the distance from a surface in mm, negative inside. A rater with bias `b ~ N(0,
/// bias²)` and boundary noise `n(x)`, a smooth Gaussian field of variance `boundary²`, marks the
/// organ where `φ(x) < b + n(x)`, and likewise each lesion, unless it is overlooked. Hence over
/// all raters there could be
///
/// ```text
/// P(organ at x) = Φ(−φ(x) / √(bias² + boundary²))
/// ```
///
/// and lesions follow by adding up who overlooks what, which [`Phantom::truth`] does in closed
/// form. The mean of finitely many raters scatters about it.
///
/// The same settings give the same voxels, bit for bit, in any order and on any number of threads.
/// Not a model of any scanner, organ or reader: for tests, examples and calibration.
#[derive(Clone, Debug)]
pub struct Phantom {
    config: PhantomConfig,
    grid: Grid,
    description: Description,
    ids: Vec<String>,
}

impl Phantom {
    /// A data set with these settings.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where one of them makes no sense.
    #[expect(clippy::cast_possible_truncation, reason = "so that files in f32 state the same grid")]
    pub fn new(config: PhantomConfig) -> Result<Self> {
        let refuse = |cause: &str| Err(Error::settings(cause, "change `[data.phantom]`"));
        if config.cases == 0 || config.raters == 0 {
            return refuse("a phantom needs at least one case and one rater");
        }
        let lengths = [config.noise, config.bias, config.boundary];
        if !lengths.iter().all(|value| value.is_finite() && *value >= 0.0) {
            return refuse("noise, bias and boundary of a phantom must not be negative");
        }
        if !config.correlation.is_finite() || config.correlation <= 0.0 {
            return refuse("the correlation length of a phantom must be positive");
        }
        if !(0.0..=1.0).contains(&config.miss_rate) {
            return refuse("the miss rate of a phantom must be between 0 and 1");
        }
        let grid = Grid::new(config.size, config.spacing.map(|mm| f64::from(mm as f32)));
        let mut grid =
            grid.map_err(|error| Error::settings(error.to_string(), "change `[data.phantom]`"))?;
        let [z, y, x] = std::array::from_fn(|axis| {
            f64::from((-(grid.size[axis] as f64 - 1.0) / 2.0 * grid.spacing[axis]) as f32)
        });
        grid.origin = [x, y, z];

        if let [first, .., last] = config.organs[..]
            && first == last
        {
            return refuse("a phantom has one organ of each kind");
        }
        let mut classes = vec![Class::new("background", [0])];
        if config.organs.is_empty() {
            classes.push(Class::new("organ", [1]));
            if config.classes == PhantomClasses::OrganAndLesions {
                classes.push(Class::new("lesion", [2]));
            }
        }
        let organs = (1..).zip(&config.organs);
        classes.extend(organs.map(|(value, organ)| Class::new(organ.name(), [value])));
        let numbered = |what: &str, count: usize| -> Vec<String> {
            let width = count.to_string().len().max(2);
            (1..=count).map(|number| format!("{what}{number:0width$}")).collect()
        };
        let description = Description {
            name: "phantom".to_owned(),
            channels: vec!["CT".to_owned()],
            classes,
            raters: numbered("", config.raters),
            ignore: None,
            regions_class_order: Vec::new(),
            independent: false,
        };
        let ids = numbered("case", config.cases);
        Ok(Self { config, grid, description, ids })
    }

    /// The settings.
    pub fn config(&self) -> &PhantomConfig {
        &self.config
    }

    /// The probability of each class at each voxel of a case, over all raters there could be.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownCase`].
    pub fn truth(&self, id: &str) -> Result<SoftLabelMap> {
        Ok(self.probabilities(self.number(id)?))
    }

    /// The masks of some raters of a case, by their numbers from 0: those that [`Dataset::read`]
    /// gives are the first of a population without end.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownCase`].
    pub fn masks(&self, id: &str, raters: Range<usize>) -> Result<Vec<LabelMap>> {
        let case = self.number(id)?;
        if !self.config.organs.is_empty() {
            return Ok(self.organ_masks(case, raters));
        }
        let (levels, waves) = (self.anatomy(case).levels(), self.waves(case));
        Ok(raters.map(|rater| self.mask(case, rater, &levels, &waves)).collect())
    }

    fn number(&self, id: &str) -> Result<usize> {
        let unknown =
            |_| Error::UnknownCase { id: id.to_owned(), dataset: self.description.name.clone() };
        self.ids.binary_search_by(|known| known.as_str().cmp(id)).map_err(unknown)
    }

    fn habits(&self) -> Habits {
        let PhantomConfig { bias, boundary, miss_rate, .. } = self.config;
        Habits { bias, boundary, miss_rate }
    }

    fn anatomy(&self, case: usize) -> Anatomy {
        let drawn = Anatomy::draw(&self.grid, &mut stream(self.config.seed, case, "anatomy", 0));
        if self.config.organs.is_empty() { drawn } else { drawn.enhanced() }
    }

    fn waves(&self, case: usize) -> Waves {
        let mut rng = stream(self.config.seed, case, "waves", 0);
        Waves::new(&self.grid, self.config.correlation, &mut rng)
    }

    #[expect(clippy::cast_possible_truncation, reason = "probabilities are kept in f32")]
    fn probabilities(&self, case: usize) -> SoftLabelMap {
        if !self.config.organs.is_empty() {
            return self.organ_probabilities(case);
        }
        let levels = self.anatomy(case).levels();
        let classes = self.description.classes.len();
        let voxels = self.grid.len();
        let mut data = vec![0.0; classes * voxels];
        for voxel in 0..voxels {
            let mut lesions: Vec<f64> = levels[1..].iter().map(|level| level[voxel]).collect();
            let [background, organ, lesion] =
                rater::truth(levels[0][voxel], &mut lesions, self.habits());
            let of_class = match self.config.classes {
                PhantomClasses::Organ => [background, organ + lesion, 0.0],
                PhantomClasses::OrganAndLesions => [background, organ, lesion],
            };
            for class in 0..classes {
                data[class * voxels + voxel] = of_class[class] as f32;
            }
        }
        let [d, h, w] = self.grid.size;
        let data = Array4::from_shape_vec((classes, d, h, w), data).expect("one for each voxel");
        SoftLabelMap::new(self.grid.clone(), data).expect("probabilities of all outcomes")
    }

    fn mask(&self, case: usize, rater: usize, levels: &[Vec<f64>], waves: &Waves) -> LabelMap {
        let seed = self.config.seed;
        // A person is known by a number alone, or met in this case only.
        let met = if self.config.persistent_raters { usize::MAX } else { case };
        let field = waves.field(&mut stream(seed, case, "boundary", rater));
        let mut labels = rater::draw(
            levels,
            self.habits(),
            &mut stream(seed, met, "person", rater),
            &field,
            &mut stream(seed, case, "eye", rater),
        );
        if self.config.classes == PhantomClasses::Organ {
            for label in &mut labels {
                *label = (*label).min(1);
            }
        }
        let data = Array3::from_shape_vec(self.grid.size, labels).expect("one for each voxel");
        LabelMap::new(self.grid.clone(), data).expect("drawn on this grid")
    }
}

impl Dataset for Phantom {
    fn description(&self) -> &Description {
        &self.description
    }

    fn ids(&self) -> &[String] {
        &self.ids
    }

    fn read(&self, id: &str) -> Result<Case> {
        let case = self.number(id)?;
        let anatomy = self.anatomy(case);
        let mut rng = stream(self.config.seed, case, "noise", 0);
        let [d, h, w] = self.grid.size;
        let data = anatomy.image(self.config.noise, &mut rng);
        let data = Array4::from_shape_vec((1, d, h, w), data).expect("one for each voxel");
        let image = Image::new(self.grid.clone(), data).expect("made on this grid");

        let masks = self.masks(id, 0..self.config.raters)?;
        let label = Label::raters(masks).expect("one grid, and at least one rater");
        Ok(Case { id: id.to_owned(), image, label: Some(label) })
    }
}
