use serde::{Deserialize, Serialize};

use super::brats23::scores;
use super::{Challenge, ChallengeScore, Part};
use crate::{Brats, MaskPair, NonNegative};

/// The rules of BraTS 2024: those of 2023, with surfaces of lesions at 0.5 and 1 mm, other regions, and other volumes below which lesions do
/// not count. What [`Brats`] says is not done applies; nor are predicted lesions of children joined and small ones of them removed.
///
/// # Source
///
/// [rachitsaluja/BraTS-2024-Metrics](https://github.com/rachitsaluja/BraTS-2024-Metrics).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Brats24 {
    /// Which of the challenges.
    pub tumour: Tumour2024,
}

/// The challenges of BraTS 2024.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tumour2024 {
    /// Gliomas after treatment: 1 non-enhancing core, 2 surrounding hyperintensity, 3 enhancing tumour, 4 resection cavity.
    #[default]
    Glioma,
    /// Gliomas in Sub-Saharan Africa, before treatment.
    SubSaharan,
    /// Metastases.
    Metastasis,
    /// Meningiomas before radiotherapy: 1 the gross tumour volume.
    MeningiomaRadiotherapy,
    /// Pediatric tumours: 1 enhancing, 2 non-enhancing, 3 cystic component, 4 oedema.
    Pediatric,
}

const WT: Part = Part { name: "WT", labels: &[1, 2, 3] };
const TC: Part = Part { name: "TC", labels: &[1, 3] };
const NETC: Part = Part { name: "NETC", labels: &[1] };
const SNFH: Part = Part { name: "SNFH", labels: &[2] };
const ET: Part = Part { name: "ET", labels: &[3] };
const RC: Part = Part { name: "RC", labels: &[4] };

const PEDIATRIC: [Part; 6] = [
    Part { name: "WT", labels: &[1, 2, 3, 4] },
    Part { name: "TC", labels: &[1, 2, 3] },
    Part { name: "ET", labels: &[1] },
    Part { name: "NETC", labels: &[2] },
    Part { name: "CC", labels: &[3] },
    Part { name: "ED", labels: &[4] },
];

impl Challenge for Brats24 {
    fn name(&self) -> &'static str {
        "brats24"
    }

    fn parts(&self) -> Vec<Part> {
        match self.tumour {
            Tumour2024::Glioma => vec![WT, TC, NETC, SNFH, ET, RC],
            Tumour2024::SubSaharan | Tumour2024::Metastasis => vec![WT, TC, NETC, ET],
            Tumour2024::MeningiomaRadiotherapy => vec![Part { name: "GTV", labels: &[1] }],
            Tumour2024::Pediatric => PEDIATRIC.to_vec(),
        }
    }

    fn measure(&self, part: &Part, pair: &MaskPair) -> Vec<ChallengeScore> {
        let (dilation, ignored) = match self.tumour {
            // Enhancing tumour and cavities count from half the volume on.
            Tumour2024::Glioma if *part == ET || *part == RC => (3, 10.0),
            Tumour2024::Glioma => (3, 20.0),
            Tumour2024::SubSaharan => (3, 50.0),
            Tumour2024::Metastasis => (1, 2.0),
            Tumour2024::MeningiomaRadiotherapy => (1, 50.0),
            Tumour2024::Pediatric => (5, 10.0),
        };
        scores(&Brats::of_2024(dilation, NonNegative::literal(ignored)), pair)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    #[test]
    fn small_lesions_count_where_they_enhance() -> crate::Result<()> {
        // 15 mm³, missed.
        let reference = Array3::from_shape_fn((9, 9, 9), |(z, y, x)| z == 4 && y < 3 && x < 5);
        let pair = MaskPair::new(&reference, &Array3::from_elem((9, 9, 9), false), &[1.0; 3])?;
        let dice = |part: &Part| Brats24::default().measure(part, &pair)[0].value;

        assert_eq!(dice(&ET), Some(0.0));
        assert_eq!(dice(&WT), Some(1.0));
        Ok(())
    }
}
