use ndarray::{Array2, Axis};
use volume::{Connectivity, Image, LabelMap, border};

use super::picture::{encode_colours, window};
use crate::{Error, Result, colors};

/// How much of the class's colour its inside has.
const TINT: f32 = 0.3;

/// A picture of a single slice with its classes in colours: tinted inside, with a line of full colour along their border. A PNG
/// file.
///
/// An image of three channels that are whole numbers from 0 to 255 keeps its own colours; of any other, the first channel is shown
/// in grey, the half percent of values at either end cut off. `members` are the label values of each class, the background
/// first, and `paint` their colours; of regions that overlap, later ones are drawn over earlier ones.
///
/// # Errors
///
/// [`Error::Settings`], where the image has several slices, or labels are of another size.
pub fn overlay(
    image: &Image,
    labels: &LabelMap,
    members: &[Vec<u16>],
    paint: &[[u8; 3]],
) -> Result<Vec<u8>> {
    let pixels = drawn(image, labels, members, paint)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255")]
    let bytes: Vec<u8> = pixels.iter().flatten().map(|value| value.round() as u8).collect();
    Ok(encode_colours(pixels.dim(), &bytes))
}

/// Red, green and blue of each pixel, 0 to 255.
fn drawn(
    image: &Image,
    labels: &LabelMap,
    members: &[Vec<u16>],
    paint: &[[u8; 3]],
) -> Result<Array2<[f32; 3]>> {
    let (channels, depth, height, width) = image.data.dim();
    if depth != 1 || labels.data.dim() != (depth, height, width) {
        let text = "an overlay is of a single slice and labels of its size";
        return Err(Error::Settings(text.to_owned()));
    }
    let slice =
        |channel: usize| image.data.index_axis(Axis(0), channel).index_axis_move(Axis(0), 0);
    let is_colour = channels == 3
        && image.data.iter().all(|value| (0.0..=255.0).contains(value) && value.fract() == 0.0);
    let shades: Vec<Array2<u8>> = if is_colour {
        (0..3).map(|channel| window(&slice(channel), Some([0.0, 255.0]))).collect()
    } else {
        vec![window(&slice(0), None); 3]
    };
    let mut pixels: Array2<[f32; 3]> = Array2::from_shape_fn((height, width), |(y, x)| {
        std::array::from_fn(|at| f32::from(shades[at][[y, x]]))
    });
    for (values, &color) in members.iter().zip(paint).skip(1) {
        let mask = labels.data.mapv(|label| values.contains(&label));
        let edge = border(&mask, Connectivity::Faces);
        let colour = colors::mixable(color);
        for ((y, x), pixel) in pixels.indexed_iter_mut() {
            let share = match (edge[[0, y, x]], mask[[0, y, x]]) {
                (true, _) => 1.0,
                (false, true) => TINT,
                (false, false) => continue,
            };
            *pixel = std::array::from_fn(|at| pixel[at] + share * (colour[at] - pixel[at]));
        }
    }
    Ok(pixels)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, Array4};
    use volume::Grid;

    use super::*;

    #[test]
    fn classes_have_a_line_around_them_and_a_tint_within() -> anyhow::Result<()> {
        let grid = Grid::new([1, 7, 7], [1.0; 3])?;
        let image = Image::new(grid.clone(), Array4::from_elem((3, 1, 7, 7), 100.0))?;
        let inside = |at: usize| (1..6).contains(&at);
        let data = Array3::from_shape_fn((1, 7, 7), |(_, y, x)| u16::from(inside(y) && inside(x)));
        let labels = LabelMap::new(grid.clone(), data)?;

        let members = [vec![0], vec![1]];
        let paint = [[0, 0, 0], [10, 20, 200]];
        let pixels = drawn(&image, &labels, &members, &paint)?;

        let line = colors::mixable(paint[1]);
        let tinted = line.map(|colour| 100.0 + TINT * (colour - 100.0));
        for (at, expected) in [([0, 0], [100.0; 3]), ([1, 1], line), ([3, 3], tinted)] {
            for (found, expected) in pixels[at].iter().zip(expected) {
                approx::assert_relative_eq!(*found, expected);
            }
        }
        assert!(overlay(&image, &labels, &members, &paint)?.starts_with(b"\x89PNG"));
        let volume = Grid::new([2, 7, 7], [1.0; 3])?;
        let deep = Image::new(volume, Array4::zeros((1, 2, 7, 7)))?;
        assert!(overlay(&deep, &labels, &members, &paint).is_err());
        Ok(())
    }
}
