use ndarray::{Array4, Axis, Zip};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Frame, Transform};
use crate::rng::{happens, uniform};
use crate::{Fraction, Patch};

/// Changes brightness, contrast, saturation and hue of photographs, in an order that is drawn as well.
///
/// For three channels, red, green and blue, from 0 to 1, as `normalize = ["rgb_to_0_1"]` gives them: the colours of other
/// ranges mean nothing. They stay within that range.
///
/// # Source
///
/// `ColorJitter` of torchvision, with the ranges that the study of losses out of distribution gives it (Galdran
/// et al., 2022).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ColorJitter {
    /// How often a patch is changed.
    pub probability: Fraction,
    /// How far the factor of brightness may be from 1.
    pub brightness: Fraction,
    /// How far the factor of contrast may be from 1.
    pub contrast: Fraction,
    /// How far the factor of saturation may be from 1.
    pub saturation: Fraction,
    /// How far hues may be turned, as a part of a full turn.
    pub hue: Fraction,
}

impl Default for ColorJitter {
    fn default() -> Self {
        Self {
            probability: Fraction::literal(1.0),
            brightness: Fraction::literal(0.1),
            contrast: Fraction::literal(0.1),
            saturation: Fraction::literal(0.1),
            hue: Fraction::literal(0.01),
        }
    }
}

impl Transform for ColorJitter {
    fn apply(&self, mut patch: Patch, _: &Frame, rng: &mut ChaCha8Rng) -> Patch {
        if !happens(self.probability.get(), rng) || patch.image.shape()[0] != 3 {
            return patch;
        }
        let mut factor = |range: Fraction| uniform(1.0 - range.get(), 1.0 + range.get(), rng);
        let factors = [self.brightness, self.contrast, self.saturation].map(&mut factor);
        let turn = factor(self.hue) - 1.0;
        let mut order = [0, 1, 2, 3];
        for last in (1..order.len()).rev() {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 4")]
            let other = uniform(0.0, last as f64 + 1.0, rng) as usize;
            order.swap(last, other.min(last));
        }
        for step in order {
            match step {
                0 => brighten(&mut patch.image, factors[0]),
                1 => sharpen(&mut patch.image, factors[1]),
                2 => saturate(&mut patch.image, factors[2]),
                _ => turn_hue(&mut patch.image, turn),
            }
        }
        patch
    }
}

/// Lets `change` work on each pixel's red, green and blue, and keeps them between 0 and 1.
fn each_pixel(image: &mut Array4<f32>, change: impl Fn([f32; 3]) -> [f32; 3]) {
    let mut channels = image.axis_iter_mut(Axis(0));
    let (Some(red), Some(green), Some(blue)) = (channels.next(), channels.next(), channels.next())
    else {
        return;
    };
    Zip::from(red).and(green).and(blue).for_each(|r, g, b| {
        [*r, *g, *b] = change([*r, *g, *b]).map(|value| value.clamp(0.0, 1.0));
    });
}

/// How bright a colour is seen.
fn grey([r, g, b]: [f32; 3]) -> f32 {
    0.2989 * r + 0.587 * g + 0.114 * b
}

#[expect(clippy::cast_possible_truncation, reason = "a factor near 1")]
fn narrow(factor: f64) -> f32 {
    factor as f32
}

/// Multiplies by a factor.
fn brighten(image: &mut Array4<f32>, factor: f64) {
    let factor = narrow(factor);
    each_pixel(image, |colour| colour.map(|value| value * factor));
}

/// Moves colours away from, or towards, the mean grey of the image.
fn sharpen(image: &mut Array4<f32>, factor: f64) {
    let mut sum = 0.0;
    let pixels = image.len() / 3;
    Zip::from(image.index_axis(Axis(0), 0))
        .and(image.index_axis(Axis(0), 1))
        .and(image.index_axis(Axis(0), 2))
        .for_each(|&r, &g, &b| sum += f64::from(grey([r, g, b])));
    let (mean, factor) = (narrow(sum / pixels.max(1) as f64), narrow(factor));
    each_pixel(image, |colour| colour.map(|value| value * factor + mean * (1.0 - factor)));
}

/// Moves each colour away from, or towards, its own grey.
fn saturate(image: &mut Array4<f32>, factor: f64) {
    let factor = narrow(factor);
    each_pixel(image, |colour| {
        let grey = grey(colour);
        colour.map(|value| value * factor + grey * (1.0 - factor))
    });
}

/// Turns the hue of each colour by a part of a full turn.
fn turn_hue(image: &mut Array4<f32>, turn: f64) {
    let turn = narrow(turn);
    each_pixel(image, |colour| {
        let [hue, saturation, value] = to_hsv(colour);
        from_hsv([(hue + turn).rem_euclid(1.0), saturation, value])
    });
}

fn to_hsv([r, g, b]: [f32; 3]) -> [f32; 3] {
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    let span = most - least;
    if span <= 0.0 {
        return [0.0, 0.0, most];
    }
    let sixth = if most <= r {
        (g - b) / span
    } else if most <= g {
        (b - r) / span + 2.0
    } else {
        (r - g) / span + 4.0
    };
    [(sixth / 6.0).rem_euclid(1.0), span / most, most]
}

fn from_hsv([hue, saturation, value]: [f32; 3]) -> [f32; 3] {
    let sixth = (hue * 6.0).rem_euclid(6.0);
    let part = sixth.fract();
    let low = value * (1.0 - saturation);
    let (falling, rising) =
        (value * (1.0 - saturation * part), value * (1.0 - saturation * (1.0 - part)));
    match sixth {
        sixth if sixth < 1.0 => [value, rising, low],
        sixth if sixth < 2.0 => [falling, value, low],
        sixth if sixth < 3.0 => [low, value, rising],
        sixth if sixth < 4.0 => [low, falling, value],
        sixth if sixth < 5.0 => [rising, low, value],
        _ => [value, low, falling],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two pixels.
    fn image() -> Array4<f32> {
        Array4::from_shape_vec((3, 1, 1, 2), vec![0.8, 0.1, 0.4, 0.6, 0.2, 0.3]).unwrap()
    }

    fn colours(image: &Array4<f32>) -> Vec<f32> {
        image.iter().copied().collect()
    }

    /// torchvision.transforms.functional of the image above, by colour.
    #[test]
    fn each_step_does_what_torchvision_does() {
        type Step = fn(&mut Array4<f32>, f64);
        let cases: [(Step, f64, [f32; 6]); 5] = [
            (brighten, 1.1, [0.88, 0.11, 0.44, 0.66, 0.22, 0.33]),
            (sharpen, 0.9, [0.7657, 0.1357, 0.4057, 0.5857, 0.2256, 0.3157]),
            (saturate, 1.1, [0.8303, 0.0684, 0.3903, 0.6184, 0.1703, 0.2884]),
            (turn_hue, 0.01, [0.8, 0.1, 0.436, 0.6, 0.2, 0.33]),
            (turn_hue, -0.3, [0.52, 0.6, 0.2, 0.4, 0.8, 0.1]),
        ];
        for (step, factor, expected) in cases {
            let mut changed = image();
            step(&mut changed, factor);
            for (found, expected) in colours(&changed).into_iter().zip(expected) {
                approx::assert_abs_diff_eq!(found, expected, epsilon = 6e-5);
            }
        }
    }

    #[test]
    fn nothing_changes_where_nothing_is_asked_for_and_colours_stay_in_range() {
        let mut same = image();
        brighten(&mut same, 1.0);
        sharpen(&mut same, 1.0);
        saturate(&mut same, 1.0);
        turn_hue(&mut same, 0.0);
        for (found, expected) in colours(&same).into_iter().zip(colours(&image())) {
            approx::assert_abs_diff_eq!(found, expected, epsilon = 1e-6);
        }
        let mut bright = image();
        brighten(&mut bright, 3.0);
        assert!(colours(&bright).iter().all(|value| (0.0..=1.0).contains(value)));
    }
}
