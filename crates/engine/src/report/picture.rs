//! A picture of a case: a slice of the image, with what was drawn and what was predicted.

mod figure;
mod stack;
mod store;

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

pub(super) use self::stack::{Parts, Stack};
pub use self::store::{load_pictures, save_pictures};

/// A slice of a case with outlines on it and, where given, a probability beside it.
#[derive(Clone, Debug)]
pub struct Picture {
    title: String,
    caption: String,
    gray: Array2<u8>,
    spacing: [f64; 2],
    contours: Vec<Contour>,
    probability: Option<Array2<f32>>,
    stack: Option<Stack>,
}

/// The outline of a mask on a picture.
#[derive(Clone, Debug)]
pub struct Contour {
    /// What the legend says, such as `reference`, `rater 2` or `liver, predicted`.
    pub name: String,
    /// Whose it is: it decides how the line is drawn.
    pub role: Role,
    /// Which class, from 0: it decides the color where a picture has several.
    pub class: usize,
    /// The mask, `(H, W)`, of the picture's size.
    pub mask: Array2<bool>,
}

/// Whose outline it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The truth, or what several raters were fused to: dashed.
    Reference,
    /// One rater of several: thin.
    Rater,
    /// The network's: solid.
    Prediction,
}

impl Picture {
    /// Of a slice `(H, W)` that is gray already (see [`window`]), and the size of its pixels in mm
    /// along `(H, W)`.
    ///
    /// The first row is drawn at the top, the first column on the left: whoever cuts the slice turns
    /// it as its readers expect it.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where the slice is empty or the spacing is not positive.
    pub fn new(
        title: impl Into<String>,
        caption: impl Into<String>,
        gray: Array2<u8>,
        spacing: [f64; 2],
    ) -> Result<Self> {
        let title = title.into();
        if gray.is_empty() {
            return Err(Error::Settings(format!("the picture {title} has no pixels")));
        }
        if !spacing.iter().all(|spacing| spacing.is_finite() && *spacing > 0.0) {
            return Err(Error::Settings(format!(
                "the picture {title} has a spacing of {spacing:?} mm; it must be positive"
            )));
        }
        let caption = caption.into();
        Ok(Self {
            title,
            caption,
            gray,
            spacing,
            contours: Vec::new(),
            probability: None,
            stack: None,
        })
    }

    /// With one more outline.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where the mask has another size than the picture.
    pub fn with_contour(mut self, contour: Contour) -> Result<Self> {
        self.check(&contour.name, contour.mask.dim())?;
        self.contours.push(contour);
        Ok(self)
    }

    /// With the probability `(H, W)` of the foreground, or of the class that matters, shown on a
    /// second panel. Values that are no number show as 0.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where it has another size than the picture.
    pub fn with_probability(mut self, probability: Array2<f32>) -> Result<Self> {
        self.check("probability", probability.dim())?;
        self.probability = Some(probability);
        Ok(self)
    }

    /// With all slices of the case, to leaf through.
    pub(super) fn with_stack(self, stack: Stack) -> Self {
        Self { stack: Some(stack), ..self }
    }

    /// What is said beneath it.
    pub fn caption(&self) -> &str {
        &self.caption
    }

    /// The slice, `(H, W)`.
    pub fn gray(&self) -> &Array2<u8> {
        &self.gray
    }

    /// The outlines on it.
    pub fn contours(&self) -> &[Contour] {
        &self.contours
    }

    /// The same, with the name of a model before its title.
    pub(super) fn of(mut self, model: &str) -> Self {
        self.title = format!("{model}, {}", self.title);
        self
    }

    fn check(&self, name: &str, size: (usize, usize)) -> Result<()> {
        if size == self.gray.dim() {
            return Ok(());
        }
        Err(Error::Settings(format!(
            "{name} of the picture {} has {size:?} pixels, but its image has {:?}",
            self.title,
            self.gray.dim()
        )))
    }
}

/// Gray values of a slice `(H, W)` for a picture.
///
/// `range` is black and white, such as a CT window in HU; where it is `None`, the half percent of
/// values at either end is cut off. Values that are no number are black, and so is a slice of one
/// value only.
pub fn window(slice: &ArrayView2<'_, f32>, range: Option<[f32; 2]>) -> Array2<u8> {
    let [low, high] = range.unwrap_or_else(|| {
        let mut sorted: Vec<f32> =
            slice.iter().copied().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f32::total_cmp);
        let cut = sorted.len() / 200;
        let ends = (sorted.get(cut), sorted.len().checked_sub(1 + cut).map(|last| sorted[last]));
        [ends.0.copied().unwrap_or(0.0), ends.1.unwrap_or(0.0)]
    });
    slice.mapv(|value| {
        let share = (value - low) / (high - low);
        // As a cast takes what is no number, and saturates.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255")]
        let gray = (share * 255.0).round() as u8;
        gray
    })
}

/// Pixels in red, green and blue as a PNG file.
pub(crate) fn encode_colours(size: (usize, usize), pixels: &[u8]) -> Vec<u8> {
    encode(size, png::ColorType::Rgb, pixels)
}

/// Gray pixels, or small numbers, as a PNG file.
fn encode_gray(size: (usize, usize), pixels: &[u8]) -> Vec<u8> {
    encode(size, png::ColorType::Grayscale, pixels)
}

/// Pixels in red, green, blue and opacity as a PNG file.
fn encode_layer(size: (usize, usize), pixels: &[u8]) -> Vec<u8> {
    encode(size, png::ColorType::Rgba, pixels)
}

/// Pixels as a PNG file. Nothing is read here: image files are the crate `data`'s.
fn encode((height, width): (usize, usize), color: png::ColorType, pixels: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let size = |extent: usize| u32::try_from(extent).expect("a slice has fewer pixels than 2^32");
    let mut encoder = png::Encoder::new(&mut file, size(width), size(height));
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(pixels))
        .expect("a full picture of more than no pixels goes into memory");
    file
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn a_window_cuts_off_and_takes_what_is_no_number_for_black() {
        let slice = array![[-100.0, 0.0, 50.0], [100.0, 500.0, f32::NAN]];

        assert_eq!(window(&slice.view(), Some([0.0, 100.0])), array![[0, 0, 128], [255, 255, 0]]);
        assert_eq!(window(&array![[3.0, 3.0]].view(), None), array![[0, 0]]);
        assert_eq!(window(&Array2::zeros((0, 0)).view(), None).len(), 0);
    }

    #[test]
    fn a_picture_comes_back_from_its_png() {
        let gray = array![[0u8, 10, 20], [30, 40, 255]];
        let pixels: Vec<u8> = gray.iter().copied().collect();

        let file = encode(gray.dim(), png::ColorType::Grayscale, &pixels);

        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut back = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut back).unwrap();
        assert_eq!((info.width, info.height), (3, 2));
        assert_eq!(back, pixels);
    }

    #[test]
    fn masks_of_another_size_are_refused() {
        let picture = Picture::new("case 1", "", Array2::zeros((2, 3)), [1.0, 1.0]).unwrap();
        let mask = Array2::from_elem((3, 2), true);
        let contour = Contour { name: "rater 1".to_owned(), role: Role::Rater, class: 0, mask };

        let error = picture.with_contour(contour).unwrap_err();

        let expected = "rater 1 of the picture case 1 has (3, 2) pixels, but its image has (2, 3)";
        assert_eq!(error.to_string(), expected);
        assert!(Picture::new("", "", Array2::zeros((0, 3)), [1.0, 1.0]).is_err());
        assert!(Picture::new("", "", Array2::zeros((1, 1)), [1.0, 0.0]).is_err());
    }
}
