use std::collections::BTreeMap;

use data::Dataset;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::calibrate::{Calibration, CalibrationFit, LogitScaling};
use crate::{Result, RunFolder, Trained};

/// How the logits of each case are scaled where a network is scored.
///
/// A scaling flatters itself on the cases that it was fitted to. Those that a network was held
/// back from, which its own is fitted to, are therefore scored with one that was fitted to
/// the other half of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Scalings {
    model: LogitScaling,
    held_out: BTreeMap<String, LogitScaling>,
}

/// Where the scalings of logits come from that an evaluation was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scaling {
    /// From nowhere: probabilities are as the network says them.
    None,
    /// The network's own, which was fitted to other cases than these.
    Model,
    /// Of each case, the one that was fitted to the other half of the held-out cases.
    CrossFitted,
    /// Of some cases one of these, of some another: each case says its own.
    Mixed,
}

impl Scaling {
    /// The same for people.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::None => "as the network says them",
            Self::Model => "calibrated by what was fitted to other cases",
            Self::CrossFitted => {
                "calibrated, each held-out case by what was fitted to the other half of them \
                 (cross-fitted)"
            }
            Self::Mixed => "calibrated, each case as the JSON says of it",
        }
    }
}

impl Scalings {
    /// One for all cases: for those that it was not fitted to.
    pub fn uniform(scaling: LogitScaling) -> Self {
        Self { model: scaling, held_out: BTreeMap::new() }
    }

    /// Of a held-out case, what was fitted without its half of them; of all others `model`, which
    /// was fitted to all held-out cases.
    pub fn cross_fitted(fit: &CalibrationFit, kind: Calibration, model: LogitScaling) -> Self {
        let each = |half: &crate::calibrate::Half| {
            let scaling = half.scaling(kind).unwrap_or_default();
            half.cases.iter().map(move |id| (id.clone(), scaling.clone())).collect::<Vec<_>>()
        };
        Self { model, held_out: fit.halves.iter().flat_map(each).collect() }
    }

    /// For a network in its folder, a run's or a model's, and a data set: where that has the cases
    /// that were held out of training, as [`Scalings::cross_fitted`]; where the folder does not
    /// say how these weights were cross-fitted, none for held-out cases; the network's own of this
    /// kind for others.
    ///
    /// # Errors
    ///
    /// Where `split.json` or `calibration.json` is damaged, or the network has no scaling of this kind.
    pub fn of_folder(
        folder: &RunFolder,
        trained: &Trained,
        dataset: &dyn Dataset,
        kind: Calibration,
    ) -> Result<Self> {
        let model = trained.config.scaling(kind)?;
        let uniform = Self::uniform(model.clone());
        let Some(split) = folder.read_split()? else { return Ok(uniform) };
        let here = |id: &String| dataset.ids().contains(id);
        if !split.val.iter().all(here) {
            return Ok(uniform);
        }
        let raw = split.val.iter().map(|id| (id.clone(), LogitScaling::default())).collect();
        let raw = Self { held_out: raw, ..uniform };
        let Some(fit) = folder.read_calibration()? else { return Ok(raw) };
        let of_these = fit.weights == Some(trained.weights_hash()?)
            && split.val.iter().all(|id| fit.of_held_out(id, kind).is_some());
        Ok(if of_these { Self::cross_fitted(&fit, kind, model) } else { raw })
    }

    /// How the logits of a case are scaled.
    pub fn of(&self, id: &str) -> &LogitScaling {
        self.held_out.get(id).unwrap_or(&self.model)
    }

    /// Where the scalings of these cases come from.
    pub fn source(&self, ids: &[String]) -> Scaling {
        let of_case = |id: &String| match self.held_out.contains_key(id) {
            _ if self.of(id).is_identity() => Scaling::None,
            true => Scaling::CrossFitted,
            false => Scaling::Model,
        };
        let together = |one: Scaling, other| if one == other { one } else { Scaling::Mixed };
        ids.iter().map(of_case).reduce(together).unwrap_or(Scaling::None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::{Half, VectorScaling};

    #[test]
    fn held_out_cases_have_what_was_fitted_to_the_other_half() {
        let half = |temperature: f64, id: &str| Half {
            temperature,
            vector: Some(VectorScaling::uniform(2, temperature * 2.0)),
            cases: vec![id.to_owned()],
        };
        let fit = CalibrationFit {
            halves: vec![half(1.5, "a"), half(1.25, "b")],
            ..crate::calibrate::fit(&[], &[], &[])
        };
        let model = LogitScaling::Temperature(1.375);
        let scalings = Scalings::cross_fitted(&fit, Calibration::Temperature, model.clone());

        for (id, expected) in [("a", 1.5), ("b", 1.25), ("c", 1.375)] {
            assert_eq!(scalings.of(id), &LogitScaling::Temperature(expected));
        }
        let vectors = Scalings::cross_fitted(&fit, Calibration::Vector, model);
        let expected = VectorScaling::uniform(2, 3.0);
        assert_eq!(vectors.of("a"), &LogitScaling::Vector(expected));
        let source = |ids: &[&str]| {
            scalings.source(&ids.iter().map(|&id| id.to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(source(&["a", "b"]), Scaling::CrossFitted);
        assert_eq!(source(&["c", "d"]), Scaling::Model);
        assert_eq!(source(&["a", "c"]), Scaling::Mixed);
        assert_eq!(source(&[]), Scaling::None);
        let none = Scalings::uniform(LogitScaling::default());
        assert_eq!(none.source(&["a".to_owned()]), Scaling::None);
    }
}
