use std::collections::BTreeMap;

use data::Dataset;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::calibrate::TemperatureFit;
use crate::{Result, RunFolder, Trained};

/// What the logits of each case are divided by where a network is scored.
///
/// A temperature flatters itself on the cases that it was fitted to. Those that a network was held
/// back from, which its temperature is fitted to, are therefore scored with one that was fitted to
/// the other half of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Temperatures {
    model: f64,
    held_out: BTreeMap<String, f64>,
}

/// Where the temperatures come from that an evaluation was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scaling {
    /// From nowhere: all are 1, and probabilities are as the network says them.
    None,
    /// The network's own, which was fitted to other cases than these.
    Model,
    /// Of each case, the one that was fitted to the other half of the held-out cases.
    CrossFitted,
    /// Of some cases one of these, of some another: each case says its temperature.
    Mixed,
}

impl Scaling {
    /// The same for people.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::None => "at temperature 1, as the network says them",
            Self::Model => "at the network's own temperature, fitted to other cases",
            Self::CrossFitted => {
                "each held-out case at the temperature fitted to the other half of them \
                 (cross-fitted)"
            }
            Self::Mixed => "at the temperature that each case names in the JSON",
        }
    }
}

impl Temperatures {
    /// One temperature for all cases: for those that it was not fitted to.
    pub fn uniform(temperature: f64) -> Self {
        Self { model: temperature, held_out: BTreeMap::new() }
    }

    /// Of a held-out case, the temperature that was fitted without its half of them; of all others
    /// the one that was fitted to all held-out cases.
    pub fn cross_fitted(fit: &TemperatureFit) -> Self {
        let each = |half: &crate::calibrate::Half| {
            let temperature = half.temperature;
            half.cases.iter().map(move |id| (id.clone(), temperature)).collect::<Vec<_>>()
        };
        Self { model: fit.temperature, held_out: fit.halves.iter().flat_map(each).collect() }
    }

    /// For a network in its folder, a run's or a model's, and a data set: where that has the cases
    /// that were held out of training, as [`Temperatures::cross_fitted`]; where the folder does not
    /// say how these weights were cross-fitted, 1 for held-out cases; the network's own for others.
    ///
    /// # Errors
    ///
    /// Where `split.json` or `calibration.json` is damaged.
    pub fn of_folder(folder: &RunFolder, trained: &Trained, dataset: &dyn Dataset) -> Result<Self> {
        let uniform = Self::uniform(trained.config.temperature);
        let Some(split) = folder.read_split()? else { return Ok(uniform) };
        let here = |id: &String| dataset.ids().contains(id);
        if !split.val.iter().all(here) {
            return Ok(uniform);
        }
        let raw = split.val.iter().map(|id| (id.clone(), 1.0)).collect();
        let raw = Self { held_out: raw, ..uniform };
        let Some(fit) = folder.read_calibration()? else { return Ok(raw) };
        let of_these = fit.weights == Some(trained.weights_hash()?)
            && split.val.iter().all(|id| fit.of_held_out(id).is_some());
        Ok(if of_these { Self { model: raw.model, ..Self::cross_fitted(&fit) } } else { raw })
    }

    /// What the logits of a case are divided by.
    pub fn of(&self, id: &str) -> f64 {
        self.held_out.get(id).copied().unwrap_or(self.model)
    }

    /// Where the temperatures of these cases come from.
    pub fn scaling(&self, ids: &[String]) -> Scaling {
        let of_case = |id: &String| match (self.of(id), self.held_out.contains_key(id)) {
            (temperature, _) if temperature.to_bits() == 1f64.to_bits() => Scaling::None,
            (_, true) => Scaling::CrossFitted,
            (_, false) => Scaling::Model,
        };
        let together = |one: Scaling, other| if one == other { one } else { Scaling::Mixed };
        ids.iter().map(of_case).reduce(together).unwrap_or(Scaling::None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::Half;

    #[test]
    fn held_out_cases_have_the_temperature_of_the_other_half() {
        let half = |temperature, id: &str| Half { temperature, cases: vec![id.to_owned()] };
        let fit = TemperatureFit {
            halves: vec![half(1.5, "a"), half(1.25, "b")],
            ..crate::calibrate::fit(&[], &[], &[])
        };
        let temperatures =
            Temperatures::cross_fitted(&TemperatureFit { temperature: 1.375, ..fit });

        for (id, expected) in [("a", 1.5), ("b", 1.25), ("c", 1.375)] {
            assert_eq!(temperatures.of(id).to_bits(), f64::to_bits(expected));
        }
        let scaling = |ids: &[&str]| {
            temperatures.scaling(&ids.iter().map(|&id| id.to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(scaling(&["a", "b"]), Scaling::CrossFitted);
        assert_eq!(scaling(&["c", "d"]), Scaling::Model);
        assert_eq!(scaling(&["a", "c"]), Scaling::Mixed);
        assert_eq!(scaling(&[]), Scaling::None);
        assert_eq!(Temperatures::uniform(1.0).scaling(&["a".to_owned()]), Scaling::None);
    }
}
