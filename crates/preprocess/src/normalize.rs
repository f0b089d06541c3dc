//! Intensities that a network can start from.

use ndarray::{ArrayView3, ArrayViewMut3, Zip};
use schemars::JsonSchema;
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// `(x − from₀) / (from₁ − from₀) · (to₁ − to₀) + to₀`, limited to `to` if `clip`: MONAI's `ScaleIntensityRange`.
    Range {
        /// What becomes the first and the second of `to`.
        from: [f64; 2],
        /// What these become.
        to: [f64; 2],
        /// Whether what is beyond `from` becomes the nearer of `to`.
        clip: bool,
    },
    /// `(x − min) / (max − min) · (to₁ − to₀) + to₀`: MONAI's `ScaleIntensity`. An image of one intensity is multiplied
    /// by the first of `to` instead, as there.
    Extremes {
        /// What the least and the greatest intensity become.
        to: [f64; 2],
    },
    /// `(x − subtrahend) / divisor`: MONAI's `NormalizeIntensity`, and what photographs are prepared by for networks
    /// that were pretrained.
    Standardize {
        /// `None` for the mean of the image.
        subtrahend: Option<f64>,
        /// `None` for the standard deviation of the image, or 1 where that is 0.
        divisor: Option<f64>,
        /// Whether to look only at voxels that are not 0, and to leave others 0.
        nonzero: bool,
    },
    /// One after the other.
    Steps(Vec<Self>),
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
            Self::Range { from, to, clip } => {
                let span = single(from[1] - from[0]);
                scale(channel, single(from[0]), span, to, clip);
            }
            Self::Extremes { to } => {
                let (minimum, maximum) = range(channel.view());
                if minimum < maximum {
                    scale(channel, minimum, maximum - minimum, to, false);
                } else {
                    channel.mapv_inplace(|x| x * single(to[0]));
                }
            }
            Self::Standardize { subtrahend, divisor, nonzero } => {
                let counts = |x: f32| !nonzero || x != 0.0;
                let some = channel.iter().copied().filter(|&x| counts(x));
                let (mean, std) = mean_and_deviation(some);
                let subtrahend = single(subtrahend.unwrap_or(mean));
                let divisor = divisor.unwrap_or(std);
                let divisor = if divisor == 0.0 { 1.0 } else { single(divisor) };
                channel.par_mapv_inplace(
                    |x| {
                        if counts(x) { (x - subtrahend) / divisor } else { x }
                    },
                );
            }
            Self::Steps(ref steps) => {
                for step in steps {
                    step.apply(channel.view_mut(), outside)?;
                }
            }
            Self::None => {}
        }
        Ok(())
    }

    /// Why it says nothing sensible, if so; in words.
    pub(crate) fn fault(&self) -> Option<String> {
        let finite = |numbers: &[f64]| numbers.iter().all(|number| number.is_finite());
        let fits = match self {
            Self::Range { from, to, .. } => finite(from) && finite(to) && from[0] < from[1],
            Self::Extremes { to } => finite(to),
            Self::Standardize { subtrahend, divisor, .. } => {
                finite(&[subtrahend.unwrap_or(0.0), divisor.unwrap_or(1.0)])
            }
            Self::Steps(steps) => return steps.iter().find_map(Self::fault),
            _ => true,
        };
        (!fits).then(|| format!("{self:?}"))
    }
}

fn scale(mut channel: ArrayViewMut3<'_, f32>, start: f32, span: f32, to: [f64; 2], clip: bool) {
    let [low, high] = to.map(single);
    channel.par_mapv_inplace(|x| {
        let x = (x - start) / span * (high - low) + low;
        // Not `clamp`, which wants them in their order.
        if clip { x.max(low).min(high) } else { x }
    });
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
    fn ranges_are_mapped_and_clipped_as_asked() -> anyhow::Result<()> {
        let image = array![[[-60.0, 20.0, 140.0]]];
        for (clip, expected) in
            [(true, array![[[0.0, 0.5, 1.0]]]), (false, array![[[-0.5, 0.5, 2.0]]])]
        {
            let mut mapped = image.clone();
            let range = Normalize::Range { from: [-20.0, 60.0], to: [0.0, 1.0], clip };
            range.apply(mapped.view_mut(), None)?;
            assert_eq!(mapped, expected);
        }
        Ok(())
    }

    #[test]
    fn steps_follow_one_another_and_zeros_stay() -> anyhow::Result<()> {
        let mut image = array![[[0.0, 1.0, 3.0]]];

        let standardize = Normalize::Standardize { subtrahend: None, divisor: None, nonzero: true };
        let steps = vec![standardize, Normalize::Extremes { to: [-2.0, 2.0] }];
        Normalize::Steps(steps).apply(image.view_mut(), None)?;

        // 0, −1, 1 after the first step.
        assert_eq!(image, array![[[0.0, -2.0, 2.0]]]);
        Ok(())
    }

    #[test]
    fn flat_images_are_scaled_as_monai_scales_them() -> anyhow::Result<()> {
        let mut image = array![[[7.0, 7.0]]];
        Normalize::Extremes { to: [-1.0, 1.0] }.apply(image.view_mut(), None)?;
        assert_eq!(image, array![[[-7.0, -7.0]]]);
        let known = Normalize::Standardize { subtrahend: None, divisor: None, nonzero: false };
        known.apply(image.view_mut(), None)?;
        assert_eq!(image, array![[[0.0, 0.0]]]);
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
