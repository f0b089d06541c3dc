use data::Dataset;
use losses::Activation;

use super::merging::Merging;
use super::{EvaluateConfig, Evaluation, Evaluator, Reference, Scalings};
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
    let mut evaluator = Evaluator::of_network(name, config, settings);
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
        let prediction = predictor.predict_case(&case)?.scaled(scalings.of(id));
        evaluator.add_prediction(id, &prediction, &reference).map_err(|error| error.in_case(id))?;
        tell(observers, &Event::Predicted { id, done: done + 1, total: ids.len() })?;
    }
    let scaling = Some(scalings.source(ids));
    Ok(Evaluation { dataset: description.name.clone(), scaling, ..evaluator.finish() })
}
