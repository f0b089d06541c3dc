//! A picture in the page: panels side by side, each the same slice with something else on it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ndarray::Array2;

use super::{Contour, Picture, Role, encode_gray, encode_layer};
use crate::report::svg::short;
use crate::report::text::escape;
use crate::report::{SERIES, contour};

/// Red, green, blue and opacity.
type Pixel = [u8; 4];

/// What is predicted and is not there; what is there and not predicted; and another class than is there.
const EXTRA: Pixel = [255, 77, 109, 215];
const MISSED: Pixel = [79, 140, 255, 215];
const CONFUSED: Pixel = [207, 169, 255, 215];

/// What the colors of panels mean.
const HEAT: &str = "<li><span class=\"heat\"></span>probability, or share of raters, 0 to 1</li>";
const ERRORS: &str = "<li><i class=\"error extra\"></i>predicted, not there</li>\
                      <li><i class=\"error missed\"></i>there, not predicted</li>\
                      <li><i class=\"error confused\"></i>another class</li>";

impl Picture {
    /// The picture as an HTML figure; `index` is its place in the page.
    pub(in crate::report) fn figure(&self, index: usize) -> String {
        let title = escape(&self.title);
        let names: Vec<&str> = self.contours.iter().map(|contour| contour.name.as_str()).collect();
        let label = format!("{}: image with outlines of {}", self.title, names.join(", "));
        let gray: Vec<u8> = self.gray.iter().copied().collect();
        let png = encode_gray(self.gray.dim(), &gray);
        let image = self.image(&format!("id=\"picture-{index}\""), &png);
        let (mut paths, mut all, mut references) = (String::new(), String::new(), String::new());
        for (place, contour) in self.contours.iter().enumerate() {
            let id = format!("outline-{index}-{place}");
            let path = self.path(&id, contour);
            if path.is_empty() {
                continue;
            }
            paths += &path;
            // A dark line beneath, so that the color shows on bright tissue as well.
            let class = self.class(contour);
            let line = format!(
                "<use class=\"{class} halo\" href=\"#{id}\"/><use class=\"{class}\" href=\"#{id}\"/>"
            );
            all += &line;
            if contour.role == Role::Reference {
                references += &line;
            }
        }
        let mut panels =
            self.panel("outlines", &label, &format!("<defs>{paths}</defs>{image}{all}"));
        let mut keys = String::new();
        let mut over = |what: &str, layer: &[u8], key: &str| {
            let overlay = self.image("", layer);
            let content = format!("<use href=\"#picture-{index}\"/>{overlay}{references}");
            panels += &self.panel(what, &format!("{}: {what}", self.title), &content);
            if !keys.contains(key) {
                keys += key;
            }
        };
        if let Some(probability) = &self.probability {
            over("predicted probability", &heat(probability), HEAT);
        }
        if let Some(errors) = self.errors() {
            over("errors", &layer(&errors), ERRORS);
        }
        if let Some(share) = self.share_of_raters() {
            over("share of raters", &heat(&share), HEAT);
        }
        let legend: String = self.contours.iter().map(|contour| self.legend(contour)).collect();
        let stack = self.stack.as_ref().map_or(String::new(), |stack| stack.viewer(&self.title));
        format!(
            "<figure class=\"picture\"><h3>{title}</h3>\n<div class=\"panels\">{panels}</div>\n\
             <figcaption>{}<ul class=\"legend\">{legend}{keys}</ul></figcaption>{stack}</figure>\n",
            escape(&self.caption)
        )
    }

    /// Where prediction and reference differ in any class; `None` where either is not on the picture.
    fn errors(&self) -> Option<Array2<Pixel>> {
        let of = |role: Role| self.contours.iter().filter(move |it| it.role == role);
        let mut pixels = Array2::from_elem(self.gray.dim(), [0; 4]);
        of(Role::Prediction).next().and(of(Role::Reference).next())?;
        for prediction in of(Role::Prediction) {
            let Some(reference) = of(Role::Reference).find(|it| it.class == prediction.class)
            else {
                continue;
            };
            let masks = ndarray::Zip::from(&mut pixels).and(&prediction.mask).and(&reference.mask);
            masks.for_each(|pixel, &predicted, &there| {
                let error = match (predicted, there) {
                    (true, false) => EXTRA,
                    (false, true) => MISSED,
                    _ => return,
                };
                let other = *pixel != [0; 4] && *pixel != error;
                *pixel = if other { CONFUSED } else { error };
            });
        }
        Some(pixels)
    }

    /// How many of several raters drew any class at each pixel, as a share; `None` of fewer than two.
    fn share_of_raters(&self) -> Option<Array2<f32>> {
        let mut raters: Vec<(&str, Array2<bool>)> = Vec::new();
        for contour in self.contours.iter().filter(|it| it.role == Role::Rater) {
            // Of several classes, a rater's name comes after the class.
            let name = contour.name.rsplit(", ").next().unwrap_or_default();
            match raters.iter_mut().find(|(known, _)| *known == name) {
                Some((_, mask)) => mask.zip_mut_with(&contour.mask, |any, more| *any |= more),
                None => raters.push((name, contour.mask.clone())),
            }
        }
        let one = (raters.len() > 1).then(|| 1.0 / raters.len() as f32)?;
        let mut share = Array2::zeros(self.gray.dim());
        for (_, mask) in &raters {
            share.zip_mut_with(mask, |share, inside| *share += one * f32::from(u8::from(*inside)));
        }
        Some(share)
    }

    /// The picture's size, in units of its shorter pixel side.
    fn extent(&self) -> [f64; 2] {
        let unit = self.spacing[0].min(self.spacing[1]);
        let (height, width) = self.gray.dim();
        [height as f64 * self.spacing[0] / unit, width as f64 * self.spacing[1] / unit]
    }

    fn panel(&self, what: &str, label: &str, content: &str) -> String {
        let [h, w] = self.extent().map(short);
        format!(
            "<div><svg class=\"panel\" viewBox=\"0 0 {w} {h}\" role=\"img\" aria-label=\"{}\">\
             {content}</svg><small>{what}</small></div>\n",
            escape(label)
        )
    }

    fn image(&self, attribute: &str, png: &[u8]) -> String {
        let [h, w] = self.extent().map(short);
        format!(
            "<image {attribute} width=\"{w}\" height=\"{h}\" preserveAspectRatio=\"none\" \
             href=\"data:image/png;base64,{}\"/>",
            STANDARD.encode(png)
        )
    }

    /// The outline of a contour, to be drawn by reference; empty where its mask is.
    fn path(&self, id: &str, contour: &Contour) -> String {
        let path = contour::path(&contour.mask.view());
        if path.is_empty() {
            return String::new();
        }
        let unit = self.spacing[0].min(self.spacing[1]);
        let [sy, sx] = self.spacing.map(|spacing| short(spacing / unit));
        format!(
            "<path id=\"{id}\" vector-effect=\"non-scaling-stroke\" transform=\"scale({sx} {sy})\" \
             d=\"{path}\"/>"
        )
    }

    /// Where all outlines are of one class, color tells whose they are; else it tells the classes.
    fn class(&self, contour: &Contour) -> String {
        let role = match contour.role {
            Role::Reference => "reference",
            Role::Rater => "rater",
            Role::Prediction => "prediction",
        };
        let one_class = self.contours.iter().all(|other| other.class == self.contours[0].class);
        let color = if one_class { contour.role as usize } else { contour.class % SERIES };
        format!("outline {role} o{color}")
    }

    fn legend(&self, contour: &Contour) -> String {
        let absent = if contour.mask.iter().any(|set| *set) { "" } else { " (none here)" };
        format!(
            "<li><svg class=\"swatch\" viewBox=\"0 0 24 10\" aria-hidden=\"true\"><path class=\"{}\" \
             d=\"M1 5H23\"/></svg>{}{absent}</li>",
            self.class(contour),
            escape(&contour.name)
        )
    }
}

/// A probability as a picture of transparent to strong color.
fn heat(probability: &Array2<f32>) -> Vec<u8> {
    let share = |value: f32| if value.is_finite() { value.clamp(0.0, 1.0) } else { 0.0 };
    layer(&probability.mapv(|value| color(share(value))))
}

fn layer(pixels: &Array2<Pixel>) -> Vec<u8> {
    let bytes: Vec<u8> = pixels.iter().flatten().copied().collect();
    encode_layer(pixels.dim(), &bytes)
}

/// From violet over orange to pale yellow, bright where sure; transparent towards 0.
fn color(value: f32) -> Pixel {
    const STOPS: [[f32; 3]; 4] =
        [[70.0, 20.0, 110.0], [190.0, 50.0, 90.0], [250.0, 140.0, 40.0], [255.0, 245.0, 160.0]];
    let place = value * 3.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 2")]
    let below = (place.floor() as usize).min(2);
    let share = place - below as f32;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255")]
    let byte = |value: f32| value.round() as u8;
    let [r, g, b] = std::array::from_fn(|channel| {
        byte(STOPS[below][channel] + share * (STOPS[below + 1][channel] - STOPS[below][channel]))
    });
    [r, g, b, byte(220.0 * (value * 4.0).min(1.0))]
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn contour(name: &str, role: Role, class: usize, mask: Array2<bool>) -> Contour {
        Contour { name: name.to_owned(), role, class, mask }
    }

    fn picture(contours: impl IntoIterator<Item = Contour>) -> Picture {
        let plain = Picture::new("", "", Array2::zeros((1, 4)), [1.0, 1.0]).unwrap();
        contours.into_iter().fold(plain, |picture, it| picture.with_contour(it).unwrap())
    }

    #[test]
    fn errors_tell_extra_missed_and_confused_voxels() {
        let reference = |class, mask| contour("reference", Role::Reference, class, mask);
        let prediction = |class, mask| contour("prediction", Role::Prediction, class, mask);
        let picture = picture([
            reference(0, array![[true, true, true, false]]),
            prediction(0, array![[true, false, false, false]]),
            reference(1, array![[false, false, false, false]]),
            prediction(1, array![[false, false, true, true]]),
        ]);

        assert_eq!(picture.errors(), Some(array![[[0; 4], MISSED, CONFUSED, EXTRA]]));
    }

    #[test]
    fn without_a_prediction_there_are_no_errors_and_one_rater_has_no_share() {
        let mask = array![[true, false, false, false]];
        let one = picture([
            contour("reference", Role::Reference, 0, mask.clone()),
            contour("rater 1", Role::Rater, 0, mask.clone()),
        ]);
        let two = one.clone().with_contour(contour("rater 2", Role::Rater, 0, !mask)).unwrap();

        assert_eq!((one.errors(), one.share_of_raters()), (None, None));
        assert_eq!(two.share_of_raters(), Some(array![[0.5, 0.5, 0.5, 0.5]]));
    }

    #[test]
    fn pixels_that_are_not_square_keep_their_proportions() {
        let picture = Picture::new("", "", Array2::zeros((2, 3)), [2.5, 0.5]).unwrap();

        assert!(picture.figure(0).contains("viewBox=\"0 0 3 10\""));
    }

    #[test]
    fn an_outline_that_is_not_in_the_slice_is_named_all_the_same() {
        let mask = Array2::from_elem((1, 4), false);
        let figure = picture([contour("rater 1", Role::Rater, 0, mask)]).figure(0);

        assert!(figure.contains("rater 1 (none here)") && !figure.contains("<use"));
    }

    #[test]
    fn probability_is_clear_at_zero_and_bright_at_one() {
        assert_eq!(color(0.0)[3], 0);
        assert_eq!(color(1.0), [255, 245, 160, 220]);
    }
}
