use std::collections::{BTreeMap, BTreeSet};

use data::Dataset;
use losses::Activation;
use metrics::{MaskPair, MetricConfig, ProbabilityMetricConfig, ProbabilityPair, Region};
use volume::{Label, LabelMap, SoftLabelMap};

use super::calibration::Accumulator;
use super::merging::Merging;
use super::regions::Alone;
use super::{CaseScores, Evaluation, Reference, Summary, Temperatures, calibration, definition};
use crate::file::Versioned as _;
use crate::guard::guarded;
use crate::label_space::foreground_labels;
use crate::train::tell;
use crate::trained::NetworkConfig;
use crate::{Error, Event, LabelSpace, Observer, Prediction, Predictor, Result};

/// The scores of masks that are reported unless others are asked for.
const MASK_METRICS: &[&str] = &["dice", "iou", "precision", "recall", "hd95", "assd", "nsd"];

/// The scores of probabilities that are reported.
const PROBABILITY_METRICS: &[&str] = &["ece", "brier", "nll", "bdice"];

/// The name under which the mean over the foreground classes of a case goes.
const MEAN: &str = "mean";

/// Scores cases one by one, and sums up.
#[derive(Debug)]
pub struct Evaluator {
    name: String,
    dataset: String,
    /// The label values of each class that is scored, and its name.
    classes: Vec<(Vec<u16>, String)>,
    /// Whether classes may overlap, so that each has probabilities of its own.
    regions: bool,
    metrics: Vec<MetricConfig>,
    probability_metrics: Vec<ProbabilityMetricConfig>,
    cases: Vec<CaseScores>,
    calibration: Accumulator,
}

impl Evaluator {
    /// For predictions of a network: of every class but the background.
    pub fn of_network(name: &str, config: &NetworkConfig) -> Self {
        let regions = config.has_regions();
        let names = config.classes.iter().skip(1).map(|class| class.name.clone());
        let classes = foreground_labels(&config.classes, regions).into_iter().zip(names);
        Self::new(name, &config.dataset, classes.collect(), regions)
    }

    /// For label files: of the values that are given, each with its name.
    pub fn of_values(name: &str, dataset: &str, values: &[(u16, String)]) -> Self {
        let classes = values.iter().map(|(value, name)| (vec![*value], name.clone())).collect();
        Self::new(name, dataset, classes, false)
    }

    fn new(name: &str, dataset: &str, classes: Vec<(Vec<u16>, String)>, regions: bool) -> Self {
        let wanted = |metric: &MetricConfig| MASK_METRICS.contains(&metric.name());
        Self {
            name: name.to_owned(),
            dataset: dataset.to_owned(),
            classes: told_apart(classes),
            regions,
            metrics: MetricConfig::defaults().into_iter().filter(wanted).collect(),
            probability_metrics: ProbabilityMetricConfig::defaults()
                .into_iter()
                .filter(|metric| PROBABILITY_METRICS.contains(&metric.name()))
                .collect(),
            cases: Vec::new(),
            calibration: Accumulator::new(),
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
        if !self.regions {
            let probabilities = prediction.probabilities()?;
            self.add(id, &labels, Some(&probabilities), reference)?;
            if let Some(case) = self.cases.last_mut() {
                case.temperature = Some(prediction.temperature());
            }
            return Ok(());
        }
        let masks = self.masks(&labels, reference)?;
        let image = prediction.probability_image()?;
        let mut scores: BTreeMap<String, Vec<Option<f64>>> = BTreeMap::new();
        for (channel, (values, _)) in image.data.outer_iter().zip(self.classes.clone()) {
            let region = Alone::new(&image.grid, &channel, &values, reference)?;
            let alone = self.probabilities(&region.probabilities, &region.label, region.ignore)?;
            for (metric, score) in alone {
                scores.entry(metric).or_default().push(score);
            }
        }
        let probabilities = scores.into_iter().map(|(name, all)| (name, Summary::of(all).mean));
        let probabilities = probabilities.collect();
        let temperature = Some(prediction.temperature());
        self.cases.push(CaseScores { id: id.to_owned(), masks, probabilities, temperature });
        Ok(())
    }

    /// Scores a case whose classes exclude each other, or of which there are labels alone.
    ///
    /// # Errors
    ///
    /// Where prediction and reference do not lie on one grid.
    pub fn add(
        &mut self,
        id: &str,
        labels: &LabelMap,
        probabilities: Option<&SoftLabelMap>,
        reference: &Reference,
    ) -> Result<()> {
        let masks = self.masks(labels, reference)?;
        let probabilities = match probabilities {
            Some(predicted) => self.probabilities(predicted, &reference.label, reference.ignore)?,
            None => BTreeMap::new(),
        };
        let id = id.to_owned();
        self.cases.push(CaseScores { id, masks, probabilities, temperature: None });
        Ok(())
    }

    fn masks(
        &self,
        labels: &LabelMap,
        reference: &Reference,
    ) -> Result<BTreeMap<String, BTreeMap<String, Option<f64>>>> {
        let mut masks = BTreeMap::new();
        for (values, name) in &self.classes {
            let region = Region::union(values).ignoring(reference.ignore);
            let pair = MaskPair::of_region(&reference.hard, labels, &region)?;
            let scores = self
                .metrics
                .iter()
                .map(|metric| (metric.as_dyn().label(), metric.as_dyn().measure(&pair)));
            masks.insert(name.clone(), scores.collect::<BTreeMap<String, Option<f64>>>());
        }
        if self.classes.len() > 1 {
            masks.insert(MEAN.to_owned(), mean_of_classes(&masks));
        }
        Ok(masks)
    }

    fn probabilities(
        &mut self,
        predicted: &SoftLabelMap,
        label: &Label,
        ignore: Option<u16>,
    ) -> Result<BTreeMap<String, Option<f64>>> {
        let pair = ProbabilityPair::of(predicted, label, ignore)?;
        self.calibration.add(predicted, label, ignore)?;
        let metrics = self.probability_metrics.iter().map(ProbabilityMetricConfig::as_dyn);
        let named = |metric| (definition::name(metric), metric.measure(&pair));
        Ok(metrics.map(named).collect())
    }

    /// What all cases came to.
    pub fn finish(mut self) -> Evaluation {
        self.cases.sort_by(|a, b| a.id.cmp(&b.id));
        let cases = &self.cases;
        let mut masks: BTreeMap<String, BTreeMap<String, Summary>> = BTreeMap::new();
        let mut probabilities = BTreeMap::new();
        if let Some(first) = cases.first() {
            for (class, metric) in first
                .masks
                .iter()
                .flat_map(|(class, scores)| scores.keys().map(move |it| (class, it)))
            {
                let values: Vec<_> = cases.iter().map(|case| case.masks[class][metric]).collect();
                masks.entry(class.clone()).or_default().insert(metric.clone(), Summary::of(values));
            }
            for metric in first.probabilities.keys() {
                let values: Vec<_> = cases
                    .iter()
                    .map(|case| case.probabilities.get(metric).copied().flatten())
                    .collect();
                probabilities.insert(metric.clone(), Summary::of(values));
            }
        }
        let mut definitions = BTreeMap::new();
        for metric in &self.metrics {
            definitions.insert(metric.as_dyn().label(), definition::of_masks(metric));
        }
        for metric in &self.probability_metrics {
            let name = definition::name(metric.as_dyn());
            if probabilities.contains_key(&name) {
                definitions.insert(name, definition::of_probabilities(metric, self.regions));
            }
        }
        let calibration = self.calibration.finish(self.regions);
        if calibration.is_some() {
            let pooled = calibration::definition(self.regions);
            definitions.insert(calibration::POOLED_ECE.to_owned(), pooled);
        }
        Evaluation {
            schema: Evaluation::SCHEMA,
            name: self.name,
            weights: None,
            scaling: None,
            dataset: self.dataset,
            classes: self.classes.into_iter().map(|(_, name)| name).collect(),
            definitions,
            cases: self.cases,
            masks,
            probabilities,
            calibration,
        }
    }
}

/// The classes with names that differ from each other, and from what their mean is called.
fn told_apart(classes: Vec<(Vec<u16>, String)>) -> Vec<(Vec<u16>, String)> {
    let mut taken = BTreeSet::from([MEAN.to_owned()]);
    let different = |(at, (values, mut name)): (usize, (Vec<u16>, String))| {
        while !taken.insert(name.clone()) {
            name = format!("{name} (class {})", at + 1);
        }
        (values, name)
    };
    classes.into_iter().enumerate().map(different).collect()
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

/// Predicts and scores cases of a data set, each at its temperature.
///
/// Where the data set tells more classes apart than the network, each of which is a union of some by
/// the [label values](data::Class::values) that they stand for, it is scored in the network's
/// classes: the probabilities of a soft label, such as the exact ones of
/// [`Phantom::truth`](data::Phantom::truth), are added up.
///
/// # Errors
///
/// [`Error::Settings`], where the data set has other classes than the network; else where a case
/// cannot be read, predicted or scored; the error names it.
pub fn on_dataset(
    predictor: &Predictor,
    dataset: &dyn Dataset,
    ids: &[String],
    temperatures: &Temperatures,
    name: &str,
    observers: &mut [&mut dyn Observer],
) -> Result<Evaluation> {
    let (config, description) = (predictor.config(), dataset.description());
    let space = LabelSpace::of(description)?;
    let same =
        space.channels() == config.interface.classes && space.activation() == config.activation;
    let apart = [space.activation(), config.activation] == [Activation::Softmax; 2];
    let merging = (!same && apart).then(|| Merging::find(&config.classes, &description.classes));
    let merging = merging.flatten();
    if !same && merging.is_none() {
        let names = |classes: &[data::Class]| {
            classes.iter().map(|class| class.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        return Err(Error::Settings(format!(
            "the network tells apart {}, but the data set {} has {}; evaluate it on data with the \
             same classes",
            names(&config.classes),
            description.name,
            names(&description.classes)
        )));
    }
    let mut evaluator = Evaluator::of_network(name, config);
    for (done, id) in ids.iter().enumerate() {
        let case = guarded(id, || Ok(dataset.read(id)?))?;
        let unlabelled = || Error::Settings("it has no label to be scored against".to_owned());
        let label = case.label.as_ref().ok_or_else(|| unlabelled().in_case(id))?;
        let reference = match &merging {
            None => Reference::of(label, space.labels(), description.ignore),
            Some(merging) => merging.label(label).and_then(|label| {
                Reference::of(&label, merging.classes(), merging.ignore(description.ignore))
            }),
        };
        let reference = reference.map_err(|error| error.in_case(id))?;
        // The predictor's own has been applied already.
        let further = temperatures.of(id) / config.temperature;
        let prediction = predictor.predict_case(&case)?.at_temperature(further);
        evaluator.add_prediction(id, &prediction, &reference).map_err(|error| error.in_case(id))?;
        tell(observers, &Event::Predicted { id, done: done + 1, total: ids.len() })?;
    }
    let scaling = Some(temperatures.scaling(ids));
    Ok(Evaluation { dataset: description.name.clone(), scaling, ..evaluator.finish() })
}

#[cfg(test)]
mod tests {
    use ndarray::arr3;
    use volume::Grid;

    use super::*;

    #[test]
    fn a_class_called_mean_is_not_the_mean_over_classes() -> anyhow::Result<()> {
        let classes = [(1, "mean".to_owned()), (2, "b".to_owned()), (3, "b".to_owned())];
        let mut evaluator = Evaluator::of_values("run", "data", &classes);
        let grid = Grid::new([1, 1, 4], [1.0; 3])?;
        let reference = LabelMap::new(grid.clone(), arr3(&[[[1, 2, 3, 3]]]))?;
        let prediction = LabelMap::new(grid, arr3(&[[[1, 0, 3, 0]]]))?;

        evaluator.add("a", &prediction, None, &Reference::hard(reference))?;
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
