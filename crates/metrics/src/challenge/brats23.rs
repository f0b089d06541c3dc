use serde::{Deserialize, Serialize};

use super::{Challenge, ChallengeScore, Part};
use crate::{Brats, BratsScore, MaskPair, Scale};

/// The rules of BraTS 2023: each region lesion by lesion, see [`Brats`], and as a whole.
///
/// Label values are those of 2023: 1 necrotic core, 2 oedema, 3 enhancing tumour. Values are defined throughout, also of empty masks, as the
/// challenge has it: no lesion and none predicted is perfect, a miss or a false alarm has Dice 0 and 374 mm.
///
/// # Source
///
/// [rachitsaluja/BraTS-2023-Metrics](https://github.com/rachitsaluja/BraTS-2023-Metrics).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Brats23 {
    /// Which of the challenges.
    pub tumour: Tumour2023,
}

/// The challenges of BraTS 2023, which differ in how near lesions are one, and how small they may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tumour2023 {
    /// Gliomas of adults, those of the Sub-Saharan-Africa challenge too, and pediatric tumours.
    #[default]
    Glioma,
    /// Meningiomas.
    Meningioma,
    /// Metastases.
    Metastasis,
}

impl Challenge for Brats23 {
    fn name(&self) -> &'static str {
        "brats23"
    }

    fn parts(&self) -> Vec<Part> {
        vec![
            Part { name: "WT", labels: &[1, 2, 3] },
            Part { name: "TC", labels: &[1, 3] },
            Part { name: "ET", labels: &[3] },
        ]
    }

    fn measure(&self, _: &Part, pair: &MaskPair) -> Vec<ChallengeScore> {
        let rules = match self.tumour {
            Tumour2023::Glioma => Brats::glioma_2023(),
            Tumour2023::Meningioma => Brats::meningioma_2023(),
            Tumour2023::Metastasis => Brats::metastasis_2023(),
        };
        scores(&rules, pair)
    }
}

/// All that the rules of any year say of a region.
pub(super) fn scores(rules: &Brats, pair: &MaskPair) -> Vec<ChallengeScore> {
    let BratsScore {
        found,
        missed,
        false_alarms,
        lesion_dice,
        lesion_hd95,
        lesion_nsd,
        dice,
        hd95,
        sensitivity,
        specificity,
        volume: _,
    } = rules.measure(pair);
    let new = |name: &str, value: f64, scale| ChallengeScore::new(name, Some(value), scale);
    let mut scores = vec![
        new("lesion_dice", lesion_dice, Scale::OVERLAP),
        new("lesion_hd95", lesion_hd95, Scale::DISTANCE),
        new("dice", dice, Scale::OVERLAP),
        new("hd95", hd95, Scale::DISTANCE),
        new("sensitivity", sensitivity, Scale::OVERLAP),
        new("specificity", specificity, Scale::OVERLAP),
        new("lesions_found", found as f64, Scale::FOUND),
        new("lesions_missed", missed as f64, Scale::COUNT),
        new("false_alarms", false_alarms as f64, Scale::COUNT),
    ];
    let surfaces = rules.tolerances.iter().zip(lesion_nsd);
    scores.extend(surfaces.map(|(tolerance, share)| {
        new(&format!("lesion_nsd_{}mm", tolerance.get()), share, Scale::OVERLAP)
    }));
    scores
}
