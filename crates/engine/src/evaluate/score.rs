use std::collections::BTreeMap;

use data::Description;
use metrics::{
    FineGrained, MaskPair, MetricConfig, ProbabilityMetricConfig, ProbabilityPair, Region,
    Reliability, Summary,
};
use ndarray::{Array3, ArrayView3, ArrayView4, Axis};
use serde::{Deserialize, Serialize};
use volume::{Label, LabelMap, SoftLabelMap};

use super::calibration::Accumulator;
use super::channels::{Predicted, in_channels};
use super::regions::Alone;
use super::scored::{Scored, foreground, told_apart};
use super::{
    CaseScores, EvaluateConfig, LesionScores, RaterScores, Reference, challenge, definition, doubt,
    lesions,
};
use crate::trained::NetworkConfig;
use crate::{Prediction, Result, content};

/// The name under which the mean over the foreground classes of a case goes.
pub(crate) const MEAN: &str = "mean";

/// Scores cases one by one, and sums up.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluator {
    pub(super) name: String,
    pub(super) dataset: String,
    pub(super) classes: Vec<Scored>,
    /// Whether classes may overlap, so that each has probabilities of its own.
    pub(super) regions: bool,
    /// How many channels the probabilities of a case have, once one was seen.
    pub(super) channels: Option<usize>,
    pub(super) config: EvaluateConfig,
    pub(super) cases: Vec<CaseScores>,
    pub(super) calibration: Accumulator,
    pub(super) challenge: Option<challenge::Scored>,
    pub(super) fine: FineGrained,
    /// The files of each case, prediction and reference, where they are known.
    pub(super) files: BTreeMap<String, [String; 2]>,
    /// Of each case, a hash of the prediction's labels and the reference.
    pub(super) contents: BTreeMap<String, String>,
}

/// Score → value.
type Scores = BTreeMap<String, Option<f64>>;

impl Evaluator {
    /// For predictions of a network: of every class but the background.
    pub fn of_network(name: &str, config: &NetworkConfig, settings: &EvaluateConfig) -> Self {
        let regions = config.has_regions();
        Self::new(name, &config.dataset, foreground(&config.classes, regions), regions, settings)
    }

    /// For files: of the label values that are given, each with its name.
    ///
    /// Channels of probabilities are label values; or, where there are not as many but one for the
    /// background and each class, the classes in the order that they are given in.
    pub fn of_values(
        name: &str,
        dataset: &str,
        values: &[(u16, String)],
        settings: &EvaluateConfig,
    ) -> Self {
        let class =
            |(value, name): &(u16, String)| (vec![*value], name.clone(), usize::from(*value));
        Self::new(name, dataset, values.iter().map(class).collect(), false, settings)
    }

    /// For label files of a data set, as [`class_indices`](super::class_indices) reads them.
    pub fn of_description(
        name: &str,
        description: &Description,
        settings: &EvaluateConfig,
    ) -> Self {
        let regions = description.has_regions();
        let classes = foreground(&description.classes, regions);
        Self::new(name, &description.name, classes, regions, settings)
    }

    fn new(
        name: &str,
        dataset: &str,
        classes: Vec<(Vec<u16>, String, usize)>,
        regions: bool,
        config: &EvaluateConfig,
    ) -> Self {
        let classes = told_apart(classes);
        Self {
            name: name.to_owned(),
            dataset: dataset.to_owned(),
            regions,
            channels: None,
            cases: Vec::new(),
            calibration: Accumulator::new(),
            challenge: config.challenge.clone().map(challenge::Scored::new),
            fine: fine_grained(classes.len()),
            classes,
            config: config.clone().with_those_of_its_challenge(),
            files: BTreeMap::new(),
            contents: BTreeMap::new(),
        }
    }

    /// Scores what a network predicted for a case.
    ///
    /// Of regions that may overlap, each has probabilities of its own: they are scored one by one,
    /// and their scores averaged.
    ///
    /// # Errors
    ///
    /// Where prediction and reference do not lie on one grid.
    pub fn add_prediction(
        &mut self,
        id: &str,
        prediction: &Prediction,
        reference: &Reference,
    ) -> Result<()> {
        let labels = prediction.labels()?;
        if self.regions {
            let image = prediction.probability_image()?;
            self.add(id, &labels, Predicted::Regions(&image), reference)?;
        } else {
            let probabilities = prediction.probabilities()?;
            self.add(id, &labels, Predicted::Classes(&probabilities), reference)?;
        }
        if let Some(case) = self.cases.last_mut() {
            case.temperature = prediction.scaling().temperature();
            case.vector_scaling = prediction.scaling().vector().cloned();
        }
        Ok(())
    }

    /// Scores a case, of which there may be labels alone.
    ///
    /// # Errors
    ///
    /// Where prediction and reference do not lie on one grid, or probabilities have other classes.
    pub fn add(
        &mut self,
        id: &str,
        labels: &LabelMap,
        predicted: Predicted<'_>,
        reference: &Reference,
    ) -> Result<()> {
        // Each case is summed up by itself first: then it is all the same who adds it to others.
        let mut one = self.fresh();
        one.add_alone(id, labels, predicted, reference)?;
        self.absorb(one)
    }

    fn add_alone(
        &mut self,
        id: &str,
        labels: &LabelMap,
        predicted: Predicted<'_>,
        reference: &Reference,
    ) -> Result<()> {
        let mut case = CaseScores {
            id: id.to_owned(),
            voxel_volume: labels.grid.voxel_volume(),
            ..CaseScores::default()
        };
        self.masks(labels, reference, &mut case)?;
        if let Some(channels) = predicted.channels() {
            self.expect_channels(channels.dim().0)?;
            case.probabilities = self.probabilities(predicted, reference)?;
            case.doubt.insert(doubt::ENTROPY.to_owned(), doubt::entropy(&channels, self.regions));
            for class in labelled(&mut self.classes, reference) {
                let probability = channels.index_axis(Axis(0), class.channel);
                let froc = &mut class.froc;
                lesions::add_to_curve(froc, &reference.hard, &class.values, &probability)?;
            }
        }
        self.raters(labels, predicted, reference, &mut case)?;
        if let Some(challenge) = &mut self.challenge {
            case.challenge = challenge.add(labels, reference)?;
        }
        if !self.regions {
            self.fine_grained(labels, reference)?;
        }
        self.contents.insert(case.id.clone(), content::of_scored(labels, &reference.label));
        self.cases.push(case);
        Ok(())
    }

    /// Notes more that is known of the last case without its reference, such as how far folds are apart.
    pub fn note_doubt(&mut self, kind: &str, value: f64) {
        if let Some(case) = self.cases.last_mut() {
            case.doubt.insert(kind.to_owned(), value);
        }
    }

    /// Notes the files of the last case.
    pub fn note_files(&mut self, prediction: &str, reference: &str) {
        if let Some(case) = self.cases.last() {
            let files = [prediction, reference].map(str::to_owned);
            self.files.insert(case.id.clone(), files);
        }
    }

    /// The mean Dice over classes of two predictions of one case; `None` where neither has any class.
    ///
    /// # Errors
    ///
    /// Where they do not lie on one grid.
    pub fn agreement(&self, one: &LabelMap, other: &LabelMap) -> Result<Option<f64>> {
        let dice = |class: &Scored| -> Result<Option<f64>> {
            let pair = MaskPair::of_region(one, other, &Region::union(&class.values))?;
            let counts = pair.counts();
            let all = counts.reference() + counts.prediction();
            Ok((all > 0).then(|| 2.0 * counts.true_positives as f64 / all as f64))
        };
        Ok(Summary::of(self.classes.iter().map(dice).collect::<Result<Vec<_>>>()?).mean)
    }

    fn masks(&self, labels: &LabelMap, reference: &Reference, case: &mut CaseScores) -> Result<()> {
        for (at, class) in self.classes.iter().enumerate() {
            let metrics = self.config.masks.iter().map(MetricConfig::as_dyn);
            if !reference.labels(at) {
                // Neither there nor absent: nobody looked.
                let undefined = metrics.map(|metric| (metric.label(), None)).collect();
                case.masks.insert(class.name.clone(), undefined);
                case.not_labelled.push(class.name.clone());
                continue;
            }
            let region = Region::union(&class.values).ignoring(reference.ignore);
            let pair = MaskPair::of_region(&reference.hard, labels, &region)?;
            let scores = metrics.map(|metric| (metric.label(), metric.measure(&pair)));
            case.masks.insert(class.name.clone(), scores.collect());
            case.voxels.insert(class.name.clone(), pair.counts());
            case.lesions.insert(class.name.clone(), LesionScores::of(&pair));
        }
        if self.classes.len() > 1 {
            case.masks.insert(MEAN.to_owned(), mean_of_classes(&case.masks));
        }
        Ok(())
    }

    fn probabilities(
        &mut self,
        predicted: Predicted<'_>,
        reference: &Reference,
    ) -> Result<BTreeMap<String, Option<f64>>> {
        match predicted {
            Predicted::Unknown => Ok(BTreeMap::new()),
            Predicted::Classes(map) => {
                let label = in_channels(&self.classes, &reference.label, reference.ignore)?;
                let (scores, tables) = self.alone(map, &label, reference.ignore)?;
                for class in &mut self.classes {
                    class.add_table(&tables[class.channel])?;
                }
                Ok(scores)
            }
            Predicted::Regions(image) => {
                let mut scores: BTreeMap<String, Vec<Option<f64>>> = BTreeMap::new();
                for at in (0..self.classes.len()).filter(|&at| reference.labels(at)) {
                    let channel = image.data.index_axis(Axis(0), self.classes[at].channel);
                    let values = self.classes[at].values.clone();
                    let region = Alone::new(&image.grid, &channel, &values, reference)?;
                    let alone = self.alone(&region.probabilities, &region.label, region.ignore)?;
                    self.classes[at].add_table(&alone.1[1])?;
                    for (metric, score) in alone.0 {
                        scores.entry(metric).or_default().push(score);
                    }
                }
                Ok(scores.into_iter().map(|(name, all)| (name, Summary::of(all).mean)).collect())
            }
        }
    }

    /// Scores probabilities of classes that exclude each other, and the table of each class.
    fn alone(
        &mut self,
        predicted: &SoftLabelMap,
        label: &Label,
        ignore: Option<u16>,
    ) -> Result<(Scores, Vec<Reliability>)> {
        let pair = ProbabilityPair::of(predicted, label, ignore)?;
        let tables = self.calibration.add(predicted, label, ignore)?;
        let metrics = self.config.probabilities.iter().map(ProbabilityMetricConfig::as_dyn);
        let named = |metric| (definition::name(metric), metric.measure(&pair));
        Ok((metrics.map(named).collect(), tables))
    }

    fn raters(
        &self,
        labels: &LabelMap,
        predicted: Predicted<'_>,
        reference: &Reference,
        case: &mut CaseScores,
    ) -> Result<()> {
        let Label::Raters(raters) = &reference.label else { return Ok(()) };
        if raters.len() < 2 {
            return Ok(());
        }
        let channels = predicted.channels();
        for (at, class) in self.classes.iter().enumerate() {
            if !reference.labels(at) {
                continue;
            }
            let region = Region::union(&class.values).ignoring(reference.ignore);
            let of_class = |channels: &ArrayView4<'_, f32>| {
                channels.index_axis(Axis(0), class.channel).to_owned()
            };
            let probability: Option<Array3<f32>> = channels.as_ref().map(of_class);
            let probability: Option<ArrayView3<'_, f32>> = probability.as_ref().map(|it| it.view());
            let scores = RaterScores::of(labels, probability.as_ref(), raters, &region)?;
            case.raters.insert(class.name.clone(), scores);
        }
        Ok(())
    }

    fn fine_grained(&mut self, labels: &LabelMap, reference: &Reference) -> Result<()> {
        let mut class_of = vec![0u16; 1 << 16];
        for (class, index) in self.classes.iter().zip(1u16..) {
            for &value in &class.values {
                class_of[usize::from(value)] = index;
            }
        }
        let ignored = u16::MAX;
        let index = |label: u16| {
            if Some(label) == reference.ignore { ignored } else { class_of[usize::from(label)] }
        };
        let (truth, found) = (
            reference.hard.data.mapv(index),
            labels.data.mapv(|label| class_of[usize::from(label)]),
        );
        let classes = self.classes.len() + 1;
        let image = metrics::Confusion::of(&truth, &found, classes, Some(ignored))?;
        self.fine.add(&image);
        Ok(())
    }
}

/// The classes that a reference says something of.
fn labelled<'a>(
    classes: &'a mut [Scored],
    reference: &'a Reference,
) -> impl Iterator<Item = &'a mut Scored> {
    let classes = classes.iter_mut().enumerate().filter(|(at, _)| reference.labels(*at));
    classes.map(|(_, class)| class)
}

/// For as many classes, the background not counted.
pub(super) fn fine_grained(classes: usize) -> FineGrained {
    if classes == 1 { FineGrained::binary() } else { FineGrained::new(classes + 1) }
}

/// The mean of each score over the classes where it is defined.
fn mean_of_classes(
    masks: &BTreeMap<String, BTreeMap<String, Option<f64>>>,
) -> BTreeMap<String, Option<f64>> {
    let mut values: BTreeMap<String, Vec<Option<f64>>> = BTreeMap::new();
    for scores in masks.values() {
        for (metric, value) in scores {
            values.entry(metric.clone()).or_default().push(*value);
        }
    }
    values.into_iter().map(|(metric, values)| (metric, Summary::of(values).mean)).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::arr3;
    use volume::Grid;

    use super::*;

    #[test]
    fn a_class_called_mean_is_not_the_mean_over_classes() -> anyhow::Result<()> {
        let classes = [(1, "mean".to_owned()), (2, "b".to_owned()), (3, "b".to_owned())];
        let mut evaluator =
            Evaluator::of_values("run", "data", &classes, &EvaluateConfig::default());
        let grid = Grid::new([1, 1, 4], [1.0; 3])?;
        let reference = LabelMap::new(grid.clone(), arr3(&[[[1, 2, 3, 3]]]))?;
        let prediction = LabelMap::new(grid, arr3(&[[[1, 0, 3, 0]]]))?;

        evaluator.add("a", &prediction, Predicted::Unknown, &Reference::hard(reference))?;
        let found = evaluator.finish();

        assert_eq!(found.classes, ["mean (class 1)", "b", "b (class 3)"]);
        let dice = |class: &str| found.masks[class]["dice"].mean;
        assert_eq!(
            ["mean (class 1)", "b", "b (class 3)"].map(dice),
            [Some(1.0), Some(0.0), Some(2.0 / 3.0)]
        );
        approx::assert_relative_eq!(dice("mean").unwrap_or_default(), 5.0 / 9.0);
        Ok(())
    }
}
