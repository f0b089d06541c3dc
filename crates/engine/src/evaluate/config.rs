use std::fmt;
use std::str::FromStr;

use metrics::{
    Assd, ChallengeConfig, Goal, Hd95, MetricConfig, Nsd, Positive, ProbabilityMetricConfig,
    Surface,
};
use registry::Fraction;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What is scored, and by whose definition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluateConfig {
    /// Scores of masks.
    pub masks: Vec<MetricConfig>,
    /// Scores of probabilities.
    pub probabilities: Vec<ProbabilityMetricConfig>,
    /// The rules of a challenge, beside these.
    pub challenge: Option<ChallengeConfig>,
    /// What thresholds are chosen by.
    pub goals: Vec<Goal>,
    /// A case whose Dice, mean over classes, is below this has failed.
    pub failure: Fraction,
}

/// Whose definition of distances between surfaces is meant: programs disagree on the same masks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Definitions {
    /// `DeepMind`'s surface-distance: surface elements by their area.
    #[default]
    SurfaceDistance,
    /// `MedPy`: border voxels, both directions pooled for percentiles. It has no surface Dice.
    Medpy,
    /// MONAI: border voxels, the worse direction for percentiles.
    Monai,
}

impl Definitions {
    /// All of them, with what a command line calls them.
    pub const NAMES: [(&'static str, Self); 3] = [
        ("surface-distance", Self::SurfaceDistance),
        ("medpy", Self::Medpy),
        ("monai", Self::Monai),
    ];

    /// A metric with its surfaces as these define them; `None` where they do not define it.
    fn apply(self, metric: MetricConfig) -> Option<MetricConfig> {
        let surface = match self {
            Self::SurfaceDistance => Surface::Elements,
            Self::Medpy | Self::Monai => Surface::Voxels,
        };
        Some(match metric {
            MetricConfig::Hd95(_) => match self {
                Self::SurfaceDistance => Hd95::deepmind().into(),
                Self::Medpy => Hd95::medpy().into(),
                Self::Monai => Hd95::monai().into(),
            },
            MetricConfig::Nsd(_) if self == Self::Medpy => return None,
            MetricConfig::Nsd(nsd) => Nsd { surface, ..nsd }.into(),
            MetricConfig::Assd(_) => Assd { surface }.into(),
            MetricConfig::Asd(_) => metrics::Asd { surface }.into(),
            MetricConfig::Hd(_) => metrics::Hd { surface }.into(),
            other => other,
        })
    }
}

impl fmt::Display for Definitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(_, definitions)| definitions == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

impl FromStr for Definitions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::NAMES.iter().find(|(name, _)| *name == text);
        let names: Vec<&str> = Self::NAMES.iter().map(|(name, _)| *name).collect();
        found
            .map(|(_, definitions)| *definitions)
            .ok_or_else(|| format!("it is none of {}", names.join(", ")))
    }
}

/// Scores of masks that are reported unless others are asked for.
const MASKS: [&str; 7] = ["dice", "iou", "precision", "recall", "hd95", "assd", "nsd"];

/// Scores of probabilities likewise.
const PROBABILITIES: [&str; 5] = ["ece", "brier", "nll", "bdice", "soft_dice"];

impl Default for EvaluateConfig {
    fn default() -> Self {
        let one = Goal::FBeta(Positive::literal(1.0));
        Self {
            masks: named(&MASKS, &MetricConfig::defaults(), MetricConfig::name),
            probabilities: named(
                &PROBABILITIES,
                &ProbabilityMetricConfig::defaults(),
                ProbabilityMetricConfig::name,
            ),
            challenge: None,
            goals: vec![one],
            failure: Fraction::literal(0.5),
        }
    }
}

impl EvaluateConfig {
    /// With scores of these names, of masks or of probabilities; `all` are all. Those of masks and of probabilities that none is named
    /// of stay as they are.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where a name is that of no score.
    pub fn with_metrics(self, names: &[String]) -> Result<Self> {
        let (masks, probabilities) = (MetricConfig::NAMES, ProbabilityMetricConfig::NAMES);
        let known = |name: &&String| {
            ["all"].iter().chain(masks).chain(probabilities).any(|known| known == name)
        };
        if let Some(unknown) = names.iter().find(|name| !known(name)) {
            return Err(Error::Settings(format!(
                "{unknown} is no score; there are {}, {}, and all",
                masks.join(", "),
                probabilities.join(", ")
            )));
        }
        let all = names.iter().any(|name| name == "all");
        let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
        let of = |family: &[&str]| wanted.iter().any(|name| family.contains(name));
        let chosen = |family: &'static [&'static str]| if all { family } else { &[] };
        Ok(Self {
            masks: match (all, of(masks)) {
                (false, false) => self.masks,
                _ => named(
                    &[chosen(masks), &wanted].concat(),
                    &MetricConfig::defaults(),
                    MetricConfig::name,
                ),
            },
            probabilities: match (all, of(probabilities)) {
                (false, false) => self.probabilities,
                _ => named(
                    &[chosen(probabilities), &wanted].concat(),
                    &ProbabilityMetricConfig::defaults(),
                    ProbabilityMetricConfig::name,
                ),
            },
            ..self
        })
    }

    /// With the scores of probabilities that its challenge asks for.
    #[must_use]
    pub(super) fn with_those_of_its_challenge(mut self) -> Self {
        let asked = self.challenge.iter().flat_map(|rules| rules.as_dyn().probability_metrics());
        for metric in asked.collect::<Vec<_>>() {
            if !self.probabilities.contains(&metric) {
                self.probabilities.push(metric);
            }
        }
        self
    }

    /// With surfaces as these define them; scores that they do not define are left out.
    #[must_use]
    pub fn by(self, definitions: Definitions) -> Self {
        let masks = self.masks.into_iter().filter_map(|metric| definitions.apply(metric));
        Self { masks: masks.collect(), ..self }
    }

    /// With surface Dice at these tolerances, mm, in the place of each that there is.
    #[must_use]
    pub fn with_tolerances(self, tolerances: &[metrics::NonNegative]) -> Self {
        if tolerances.is_empty() {
            return self;
        }
        let at_each = |metric: MetricConfig| match metric {
            MetricConfig::Nsd(nsd) => {
                let at = |&tolerance| Nsd { tolerance, ..nsd.clone() }.into();
                tolerances.iter().map(at).collect()
            }
            other => vec![other],
        };
        Self { masks: self.masks.into_iter().flat_map(at_each).collect(), ..self }
    }
}

/// Those of a family with these names, in their order, each once.
fn named<T: Clone>(names: &[&str], family: &[T], name: fn(&T) -> &'static str) -> Vec<T> {
    let mut found: Vec<T> = Vec::new();
    for wanted in names {
        let new = found.iter().all(|it| name(it) != *wanted);
        found.extend(family.iter().find(|it| name(it) == *wanted && new).cloned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(config: &EvaluateConfig) -> Vec<String> {
        config.masks.iter().map(|metric| metric.as_dyn().label()).collect()
    }

    #[test]
    fn names_of_scores_say_whose_definition_they_are() -> anyhow::Result<()> {
        let names = ["hd95".to_owned(), "nsd".to_owned(), "assd".to_owned(), "dice".to_owned()];
        let config = EvaluateConfig::default().with_metrics(&names)?;

        assert_eq!(labels(&config), ["hd95", "nsd_1mm", "assd", "dice"]);
        assert_eq!(
            labels(&config.clone().by(Definitions::Medpy)),
            ["hd95_medpy", "assd_voxels", "dice"]
        );
        let monai = config.by(Definitions::Monai);
        let tolerances = [metrics::NonNegative::literal(1.0), metrics::NonNegative::literal(2.5)];
        assert_eq!(
            labels(&monai.with_tolerances(&tolerances)),
            ["hd95_monai", "nsd_1mm_voxels", "nsd_2.5mm_voxels", "assd_voxels", "dice"]
        );
        Ok(())
    }

    #[test]
    fn a_name_of_no_score_is_named() -> anyhow::Result<()> {
        let names = |all: &[&str]| all.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();

        let error = EvaluateConfig::default().with_metrics(&names(&["dice", "fid"])).unwrap_err();
        assert!(error.to_string().contains("fid is no score; there are dice, "), "{error}");
        let probabilities = EvaluateConfig::default().with_metrics(&names(&["ks"]))?;
        assert_eq!(probabilities.masks, EvaluateConfig::default().masks);
        assert_eq!(probabilities.probabilities.len(), 1);
        let all = EvaluateConfig::default().with_metrics(&names(&["all"]))?;
        assert_eq!(all.masks.len(), MetricConfig::NAMES.len());
        assert!("medpy".parse::<Definitions>().is_ok() && "mine".parse::<Definitions>().is_err());
        Ok(())
    }
}
