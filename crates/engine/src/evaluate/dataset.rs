use data::Dataset;
use losses::Activation;

use super::merging::Merging;
use super::{EvaluateConfig, Evaluation, Evaluator, Part, Reference, Scalings};
use crate::guard::guarded;
use crate::train::tell;
use crate::{Error, Event, LabelSpace, Observer, Predictor, Result};

/// Predicts and scores cases of a data set, the logits of each scaled as `scalings` say; the predictor
/// itself applies [`Calibration::None`](crate::calibrate::Calibration::None).
///
/// Where the data set tells more classes apart than the network, each of which is a union of some by
/// the [label values](data::Class::values) that they stand for, it is scored in the network's
/// classes: the probabilities of a soft label, such as the exact ones of
/// [`Phantom::truth`](data::Phantom::truth), are added up.
///
/// # Errors
///
/// [`Error::Settings`], where the data set has other classes than the network, or the predictor is calibrated; else where a case
/// cannot be read, predicted or scored; the error names it.
pub fn on_dataset(
    predictor: &Predictor,
    dataset: &dyn Dataset,
    ids: &[String],
    scalings: &Scalings,
    (name, settings): (&str, &EvaluateConfig),
    observers: &mut [&mut dyn Observer],
) -> Result<Evaluation> {
    let mut evaluator = Evaluator::of_network(name, predictor.config(), settings);
    let all: Vec<usize> = (0..ids.len()).collect();
    let of = Cases { predictor, dataset, ids, places: &all, scalings };
    of.each(&evaluator.fresh(), observers, |_, one| evaluator.absorb(one))?;
    Ok(of.named(evaluator.finish()))
}

/// The same of the cases at some places among all of `ids`: a part, for [`merge`](super::merge) to
/// put together with the others.
///
/// # Errors
///
/// As [`on_dataset`].
pub fn part_of_dataset(
    predictor: &Predictor,
    dataset: &dyn Dataset,
    (ids, places): (&[String], &[usize]),
    scalings: &Scalings,
    (name, settings): (&str, &EvaluateConfig),
    observers: &mut [&mut dyn Observer],
) -> Result<Part> {
    let evaluator = Evaluator::of_network(name, predictor.config(), settings);
    let of = Cases { predictor, dataset, ids, places, scalings };
    let mut part = Part::new(&evaluator, ids.len());
    of.each(&evaluator, observers, |place, one| {
        part.add(place, one);
        Ok(())
    })?;
    Ok(part.framed(|frame| of.named(frame)))
}

/// Which cases are predicted and scored, by what.
struct Cases<'a> {
    predictor: &'a Predictor,
    dataset: &'a dyn Dataset,
    ids: &'a [String],
    places: &'a [usize],
    scalings: &'a Scalings,
}

impl Cases<'_> {
    /// An evaluation of all of `ids`.
    fn named(&self, evaluation: Evaluation) -> Evaluation {
        let scaling = Some(self.scalings.source(self.ids));
        Evaluation { dataset: self.dataset.description().name.clone(), scaling, ..evaluation }
    }

    /// Scores each case like `evaluator`, by itself.
    fn each(
        &self,
        evaluator: &Evaluator,
        observers: &mut [&mut dyn Observer],
        mut done: impl FnMut(usize, Evaluator) -> Result<()>,
    ) -> Result<()> {
        let Self { predictor, dataset, scalings, .. } = *self;
        let (space, merging) = classes(predictor, dataset)?;
        let description = dataset.description();
        for (at, &place) in self.places.iter().enumerate() {
            let id = &self.ids[place];
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
            let reference = reference.labelling(dataset.labelled(id));
            let prediction = predictor.predict_case(&case)?.scaled(scalings.of(id));
            let mut one = evaluator.fresh();
            one.add_prediction(id, &prediction, &reference).map_err(|error| error.in_case(id))?;
            done(place, one).map_err(|error| error.in_case(id))?;
            let total = self.places.len();
            tell(observers, &Event::Predicted { id, done: at + 1, total })?;
        }
        Ok(())
    }
}

/// The classes of a data set, and how they become those of a network that tells fewer apart.
fn classes(predictor: &Predictor, dataset: &dyn Dataset) -> Result<(LabelSpace, Option<Merging>)> {
    predictor.expect_uncalibrated()?;
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
    Ok((space, merging))
}
