//! Intensities that a network can start from.

use ndarray::{ArrayView3, ArrayViewMut3, Zip};
use serde::{Deserialize, Serialize};

use crate::real::{mean_and_deviation, single};
use crate::{Error, Result};

/// The smallest spread of intensities that is divided by.
const FLOOR: f64 = 1e-8;

/// How the intensities of one channel are normalised; statistics of the data set are inside.
///
/// # Source
///
/// Isensee et al., *nnU-Net*, Nature Methods 18, 2021; formulas of nnU-Net v2's
/// `default_normalization_schemes.py`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Normalize {
    /// `(clip(x, lower, upper) − mean) / std`: for CT, where an intensity has a meaning of its own.
    Ct {
        /// Mean of the foreground of all cases.
        mean: f64,
        /// Standard deviation of the foreground of all cases.
        std: f64,
        /// Percentile 0.5 of the foreground of all cases.
        lower: f64,
        /// Percentile 99.5 of the foreground of all cases.
        upper: f64,
    },
    /// `(x − mean) / std` with the statistics of the image itself.
    ZScore {
        /// Whether to look only at voxels that are not outside the patient, and to set those
        /// outside to 0.
        masked: bool,
    },
    /// `(x − min) / (max − min)`.
    #[serde(rename = "rescale_to_0_1")]
    RescaleTo01,
    /// `x / 255`: for photographs.
    #[serde(rename = "rgb_to_0_1")]
    RgbTo01,
    /// Intensities as they are.
    None,
}

/// Which [`Normalize`] to use, before there are statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NormalizeScheme {
    /// [`Normalize::Ct`].
    Ct,
    /// [`Normalize::ZScore`] over the whole image.
    ZScore,
    /// [`Normalize::ZScore`] over what is not outside the patient.
    ZScoreMasked,
    /// [`Normalize::RescaleTo01`].
    #[serde(rename = "rescale_to_0_1")]
    RescaleTo01,
    /// [`Normalize::RgbTo01`].
    #[serde(rename = "rgb_to_0_1")]
    RgbTo01,
    /// [`Normalize::None`].
    None,
}

impl NormalizeScheme {
    /// nnU-Net's choice for a channel of this name: `ct`, `nonorm`, `rescale_to_0_1` and
    /// `rgb_to_0_1`, in any case, speak for themselves, and everything else is z-scored. `masked`
    /// says whether cropping takes much of the images away.
    pub fn for_channel(name: &str, masked: bool) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "ct" => Self::Ct,
            "nonorm" => Self::None,
            "rescale_to_0_1" => Self::RescaleTo01,
            "rgb_to_0_1" => Self::RgbTo01,
            _ if masked => Self::ZScoreMasked,
            _ => Self::ZScore,
        }
    }
}

impl Normalize {
    /// Normalises a channel `(D, H, W)` in place. `outside`, of that shape, says which voxels are
    /// outside the patient; `None` where all are inside. An image of one intensity becomes 0.
    ///
    /// # Errors
    ///
    /// [`Error::NotRgb`], where intensities to be divided by 255 are not from 0 to 255.
    pub fn apply(
        &self,
        mut channel: ArrayViewMut3<'_, f32>,
        outside: Option<ArrayView3<'_, bool>>,
    ) -> Result<()> {
        match *self {
            Self::Ct { mean, std, lower, upper } => {
                let (mean, lower, upper) = (single(mean), single(lower), single(upper));
                let std = single(std.max(FLOOR));
                channel.par_mapv_inplace(|x| (x.max(lower).min(upper) - mean) / std);
            }
            Self::ZScore { masked } => match outside.filter(|_| masked) {
                None => z_score(channel),
                Some(outside) => z_score_inside(channel, outside),
            },
            Self::RescaleTo01 => {
                let (minimum, maximum) = range(channel.view());
                let span = (maximum - minimum).max(single(FLOOR));
                channel.par_mapv_inplace(|x| (x - minimum) / span);
            }
            Self::RgbTo01 => {
                let (minimum, maximum) = range(channel.view());
                if minimum < 0.0 || maximum > 255.0 {
                    return Err(Error::NotRgb { minimum, maximum });
                }
                channel.par_mapv_inplace(|x| x / 255.0);
            }
            Self::None => {}
        }
        Ok(())
    }
}

fn z_score(mut channel: ArrayViewMut3<'_, f32>) {
    let (mean, std) = mean_and_deviation(channel.iter().copied());
    let (mean, std) = (single(mean), single(std.max(FLOOR)));
    channel.par_mapv_inplace(|x| (x - mean) / std);
}

fn z_score_inside(mut channel: ArrayViewMut3<'_, f32>, outside: ArrayView3<'_, bool>) {
    let inside = channel.iter().zip(&outside).filter(|&(_, &outside)| !outside).map(|(&x, _)| x);
    let (mean, std) = mean_and_deviation(inside);
    let (mean, std) = (single(mean), single(std.max(FLOOR)));
    Zip::from(&mut channel)
        .and(&outside)
        .par_for_each(|x, &outside| *x = if outside { 0.0 } else { (*x - mean) / std });
}

fn range(channel: ArrayView3<'_, f32>) -> (f32, f32) {
    let widen = |(low, high): (f32, f32), &x: &f32| (low.min(x), high.max(x));
    channel.iter().fold((f32::INFINITY, f32::NEG_INFINITY), widen)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn ct_is_clipped_before_it_is_scaled() -> anyhow::Result<()> {
        let mut image = array![[[-2000.0, 40.0, 3000.0]]];

        let ct = Normalize::Ct { mean: 40.0, std: 20.0, lower: -60.0, upper: 140.0 };
        ct.apply(image.view_mut(), None)?;

        assert_eq!(image, array![[[-5.0, 0.0, 5.0]]]);
        Ok(())
    }

    #[test]
    fn masked_statistics_ignore_what_is_outside() -> anyhow::Result<()> {
        let mut image = array![[[0.0, 1.0, 3.0]]];

        let outside = array![[[true, false, false]]];
        Normalize::ZScore { masked: true }.apply(image.view_mut(), Some(outside.view()))?;

        assert_eq!(image, array![[[0.0, -1.0, 1.0]]]);
        Ok(())
    }

    #[test]
    fn an_image_of_one_intensity_becomes_zero() -> anyhow::Result<()> {
        for normalize in [Normalize::ZScore { masked: false }, Normalize::RescaleTo01] {
            let mut image = array![[[7.0, 7.0]]];
            normalize.apply(image.view_mut(), None)?;
            assert_eq!(image, array![[[0.0, 0.0]]]);
        }
        Ok(())
    }

    #[test]
    fn what_is_no_photograph_is_refused() {
        let error = Normalize::RgbTo01.apply(array![[[-1.0, 300.0]]].view_mut(), None).unwrap_err();

        assert_eq!(error, Error::NotRgb { minimum: -1.0, maximum: 300.0 });
    }

    #[test]
    fn channel_names_choose_the_scheme() {
        let scheme = |name| NormalizeScheme::for_channel(name, true);

        assert_eq!(scheme("CT"), NormalizeScheme::Ct);
        assert_eq!(scheme("noNorm"), NormalizeScheme::None);
        assert_eq!(scheme("FLAIR"), NormalizeScheme::ZScoreMasked);
        assert_eq!(NormalizeScheme::for_channel("FLAIR", false), NormalizeScheme::ZScore);
    }
}
