//! The unified focal loss.

use candle::Tensor;
use nn::Summand;
use serde::{Deserialize, Serialize};

use crate::math::{power, quotient};
use crate::target::widen;
use crate::{Activation, AtLeastOne, Error, Fraction, Loss, Margin, NonNegative, Result, Target};

/// The unified focal loss: a focal cross entropy and a focal Tversky loss with shared settings,
/// for rare foreground.
///
/// With `p` the softmax, `t` the target, class 0 the background and `F` the foreground classes,
///
/// ```text
/// focal     mean over voxels of (1 − δ) (1 − p_0)^γ ce_0 + δ Σ_{c ∈ F} m_c ce_c,   ce_c = −t_c ln p_c
/// Tversky   mean over samples and classes of (1 − T_c)^(1 − γ),
///           T = (Σ t p + smooth) / (Σ t p + δ Σ t (1 − p)^e + (1 − δ) Σ ((1 − t) p)^e + smooth)
/// L         = weight · Tversky + (1 − weight) · focal
/// ```
///
/// Asymmetric (the default), foreground is not suppressed, `m_c = 1`, and the background's Tversky
/// term has exponent 1; symmetric, `m_c = (1 − p_c)^γ`. One δ has two roles: in the focal part it
/// weights foreground against background, in the Tversky part missed voxels against false ones.
/// With more than two classes, every foreground class is treated as the one of the paper: its cross
/// entropies are summed, its Tversky terms take part in the mean.
///
/// | | |
/// |---|---|
/// | range | 0 and above |
/// | class absent from the target | its Tversky term is close to 1, and has next to no gradient |
/// | soft targets | refused: the minimum is elsewhere |
///
/// # Source
///
/// Yeung, Sala, Schönlieb, Rundo: *Unified Focal loss: Generalising Dice and cross entropy-based
/// losses to handle class imbalanced medical image segmentation*, Comput. Med. Imaging Graph. 2022,
/// [arXiv:2102.04525](https://arxiv.org/abs/2102.04525), with exponents and weights as in its code;
/// `error_exponent` from [arXiv:2111.00528](https://arxiv.org/abs/2111.00528).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UnifiedFocal {
    /// The share of the Tversky part: 0 is the focal part alone, 1 the Tversky part alone.
    pub weight: Fraction,
    /// The weight δ of foreground in the focal part, of false negatives in the Tversky part.
    pub delta: Fraction,
    /// The exponent γ: how much the background is suppressed, and rare foreground enhanced. Below
    /// 1, unless `weight` is 0.
    pub gamma: NonNegative,
    /// The exponent `e` of each voxel's error in the Tversky part; 2 makes it "++".
    pub error_exponent: AtLeastOne,
    /// Whether foreground and background are treated alike.
    pub symmetric: bool,
    /// Exponents and weights as in the authors' code, or as in their paper.
    pub form: UnifiedFocalForm,
    /// The foreground classes; empty for all but class 0. Others take no part.
    pub foreground: Vec<u32>,
    /// Keeps the quotient finite, in voxels.
    pub smooth: NonNegative,
    /// How far probabilities are kept from 0 and 1.
    pub clip: Margin,
    /// Whether to take soft targets although the loss is not smallest at them.
    pub allow_soft: bool,
}

/// What the same settings of a [`UnifiedFocal`] loss mean.
///
/// | | code | paper |
/// |---|---|---|
/// | `weight` | the share of the Tversky part | the share of the focal part |
/// | exponent of `1 − p`, symmetric | γ | 1 − γ |
/// | exponent of `1 − T`, symmetric | 1 − γ | γ |
///
/// Asymmetric exponents are the same in both; at the defaults, so is everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnifiedFocalForm {
    /// As in the authors' code.
    #[default]
    Code,
    /// As in their paper.
    Paper,
}

impl Default for UnifiedFocal {
    fn default() -> Self {
        Self {
            weight: Fraction::literal(0.5),
            delta: Fraction::literal(0.6),
            gamma: NonNegative::literal(0.5),
            error_exponent: AtLeastOne::literal(1.0),
            symmetric: false,
            form: UnifiedFocalForm::Code,
            foreground: Vec::new(),
            smooth: NonNegative::literal(1e-7),
            clip: Margin::literal(1e-7),
            allow_soft: false,
        }
    }
}

impl UnifiedFocal {
    /// The background `(N, 1)` and the foreground classes `(N, K)` of `(N, C)`.
    fn split(&self, values: &Tensor) -> Result<(Tensor, Tensor)> {
        let classes = values.dim(1)?;
        let background = values.narrow(1, 0, 1)?;
        if self.foreground.is_empty() {
            return Ok((background, values.narrow(1, 1, classes - 1)?));
        }
        if let Some(class) =
            self.foreground.iter().find(|&&class| class == 0 || class as usize >= classes)
        {
            return Err(Error::Settings(format!(
                "foreground class {class} is not one of 1 to {}",
                classes - 1,
            )));
        }
        let wanted = Tensor::new(self.foreground.as_slice(), values.device())?;
        Ok((background, values.index_select(&wanted, 1)?))
    }

    /// Whether exponents are the paper's, and not the code's.
    fn is_of_paper(&self) -> bool {
        self.symmetric && self.form == UnifiedFocalForm::Paper
    }

    /// The exponents of the focal and of the Tversky part.
    fn exponents(&self) -> (f64, f64) {
        let gamma = self.gamma.get();
        if self.is_of_paper() { (1.0 - gamma, gamma) } else { (gamma, 1.0 - gamma) }
    }

    /// The focal part, from the costs `(N, C)` of cross entropy, plain and focal.
    fn focal(&self, [plain, focal]: [&Tensor; 2], mean: Mean<'_>) -> Result<Tensor> {
        let (background, _) = self.split(focal)?;
        let (_, foreground) = self.split(if self.symmetric { focal } else { plain })?;
        let delta = self.delta.get();
        let background = (mean(&background)?.sum_all()? * (1.0 - delta))?;
        let foreground = (mean(&foreground)?.sum_all()? * delta)?;
        Ok((background + foreground)?)
    }

    /// The Tversky part, from what is found, wrong and missed, each `(N, C)`.
    fn tversky(&self, [found, wrong, missed]: [Tensor; 3]) -> Result<Tensor> {
        let exponent = self.exponents().1;
        if exponent <= 0.0 {
            return Err(Error::Settings(format!(
                "gamma = {} leaves the Tversky part no slope; set it {}, or its weight to 0",
                self.gamma.get(),
                if self.is_of_paper() { "above 0" } else { "below 1" },
            )));
        }
        let delta = self.delta.get();
        let errors = ((missed * delta)? + (wrong * (1.0 - delta))?)?;
        let smooth = self.smooth.get();
        let total = ((&found + errors)? + smooth)?;
        let costs = (1.0 - quotient(&(found + smooth)?, &total)?)?;
        let (background, foreground) = self.split(&costs)?;
        let background = power(&background, if self.symmetric { exponent } else { 1.0 })?;
        let foreground = power(&foreground, exponent)?;
        Ok(Tensor::cat(&[background, foreground], 1)?.mean_all()?)
    }
}

/// The mean over the voxels of a batch, of sums `(N, K)`.
type Mean<'a> = &'a dyn Fn(&Tensor) -> Result<Tensor>;

impl Loss for UnifiedFocal {
    fn forward(&self, logits: &Tensor, target: &Target) -> Result<Tensor> {
        target.refuse_soft(self.allow_soft, "unified_focal", "dice_semimetric")?;
        let logits = &widen(logits)?;
        let (gamma, _) = self.exponents();
        if gamma < 0.0 {
            return Err(Error::Settings(format!(
                "gamma = {} is above 1, where the paper's form has no meaning",
                self.gamma.get(),
            )));
        }
        let of = Summand::Focal { exponent: self.error_exponent.get(), gamma };
        let clip = self.clip.get();
        let [found, wrong, missed, plain, focal] =
            target.class_sums(logits, Activation::Softmax, clip, of)?;

        let weight = match self.form {
            UnifiedFocalForm::Code => self.weight.get(),
            UnifiedFocalForm::Paper => 1.0 - self.weight.get(),
        };
        let mut parts = Vec::new();
        if weight > 0.0 {
            parts.push((self.tversky([found, wrong, missed])? * weight)?);
        }
        if weight < 1.0 {
            let mean = |sums: &Tensor| target.mean_of(sums, logits);
            parts.push((self.focal([&plain, &focal], &mean)? * (1.0 - weight))?);
        }
        Ok(Tensor::stack(&parts, 0)?.sum_all()?)
    }

    fn soft_label_ready(&self) -> bool {
        false
    }

    fn suits(&self, activation: Activation) -> Result<()> {
        activation.expect_softmax("unified_focal")
    }
}

#[cfg(test)]
mod tests {
    use candle::{DType, Device};

    use super::*;

    fn of(loss: &UnifiedFocal) -> anyhow::Result<f64> {
        // p of either class is 0.5; one of four voxels is foreground.
        let logits = Tensor::zeros((1, 2, 4), DType::F64, &Device::Cpu)?;
        let target = Target::hard(Tensor::new(&[[1u32, 0, 0, 0]], &Device::Cpu)?);
        Ok(loss.forward(&logits, &target)?.to_scalar()?)
    }

    #[test]
    fn the_two_parts_are_those_of_the_paper() -> anyhow::Result<()> {
        let part = |weight, symmetric| UnifiedFocal {
            weight: Fraction::literal(weight),
            smooth: NonNegative::literal(0.0),
            symmetric,
            ..UnifiedFocal::default()
        };
        let (root, log) = (0.5f64.sqrt(), 2f64.ln());

        // Three background voxels at 0.4 √0.5 ln 2, one foreground voxel at 0.6 ln 2.
        let focal = (3.0 * 0.4 * root + 0.6) * log / 4.0;
        approx::assert_abs_diff_eq!(of(&part(0.0, false))?, focal, epsilon = 1e-6);
        let focal = (3.0 * 0.4 + 0.6) * root * log / 4.0;
        approx::assert_abs_diff_eq!(of(&part(0.0, true))?, focal, epsilon = 1e-6);
        // T_0 = 1.5 / (1.5 + 0.6 · 1.5 + 0.4 · 0.5), T_1 = 0.5 / (0.5 + 0.6 · 0.5 + 0.4 · 1.5).
        let (cost_0, cost_1) = (1.0 - 1.5 / 2.6, 1.0f64 - 0.5 / 1.4);
        let tversky = f64::midpoint(cost_0, cost_1.sqrt());
        approx::assert_abs_diff_eq!(of(&part(1.0, false))?, tversky, epsilon = 1e-6);
        let tversky = f64::midpoint(cost_0.sqrt(), cost_1.sqrt());
        approx::assert_abs_diff_eq!(of(&part(1.0, true))?, tversky, epsilon = 1e-6);
        Ok(())
    }

    #[test]
    fn the_form_of_the_paper_exchanges_exponents_and_weights() -> anyhow::Result<()> {
        let of_form = |form, weight, gamma, symmetric| UnifiedFocal {
            form,
            weight: Fraction::literal(weight),
            gamma: NonNegative::literal(gamma),
            symmetric,
            ..UnifiedFocal::default()
        };
        let (code, paper) = (UnifiedFocalForm::Code, UnifiedFocalForm::Paper);

        let symmetric = of(&of_form(paper, 0.3, 0.25, true))?;
        approx::assert_abs_diff_eq!(
            symmetric,
            of(&of_form(code, 0.7, 0.75, true))?,
            epsilon = 1e-12
        );
        let asymmetric = of(&of_form(paper, 0.3, 0.25, false))?;
        let same = of(&of_form(code, 0.7, 0.25, false))?;
        approx::assert_abs_diff_eq!(asymmetric, same, epsilon = 1e-12);
        Ok(())
    }

    #[test]
    fn settings_without_meaning_are_refused() {
        let of = |loss| of(&loss).unwrap_err().to_string();

        let steep = UnifiedFocal { gamma: NonNegative::literal(1.0), ..UnifiedFocal::default() };
        assert!(of(steep).starts_with("gamma = 1 leaves the Tversky part no slope"));
        let missing = UnifiedFocal { foreground: vec![2], ..UnifiedFocal::default() };
        assert_eq!(of(missing), "foreground class 2 is not one of 1 to 1");
    }
}
