//! Pictures in a file, so that a report can be made long after the images are gone.

use std::collections::BTreeMap;
use std::path::Path;

use candle::{Device, Tensor};
use ndarray::{Array2, Array3};
use serde::{Deserialize, Serialize};

use super::{Contour, Picture, Role, Stack};
use crate::{Error, Result, weights};

/// What of a picture is not pixels.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    title: String,
    caption: String,
    spacing: [f64; 2],
    contours: Vec<Line>,
    probability: bool,
    /// mm between the voxels of the slices to leaf through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stack: Option<[f64; 3]>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    name: String,
    role: Role,
    class: usize,
}

/// Writes pictures to one file, atomically; probabilities in steps of 1/255.
///
/// They show patients: such a file is shared as the images are.
///
/// # Errors
///
/// [`Error::Io`].
pub fn save_pictures(path: &Path, pictures: &[Picture]) -> Result<()> {
    let mut tensors = BTreeMap::new();
    let mut descriptions = Vec::new();
    for (index, picture) in pictures.iter().enumerate() {
        let mut put = |name: &str, pixels: Vec<u8>| -> Result<()> {
            let tensor = Tensor::from_vec(pixels, picture.gray.dim(), &Device::Cpu)?;
            tensors.insert(format!("{index:04}.{name}"), tensor);
            Ok(())
        };
        put("gray", picture.gray.iter().copied().collect())?;
        let mut contours = Vec::new();
        for (place, Contour { name, role, class, mask }) in picture.contours.iter().enumerate() {
            put(&contour(place), mask.iter().map(|&inside| u8::from(inside)).collect())?;
            contours.push(Line { name: name.clone(), role: *role, class: *class });
        }
        if let Some(probability) = &picture.probability {
            put(
                "probability",
                super::window(&probability.view(), Some([0.0, 1.0])).into_iter().collect(),
            )?;
        }
        for (name, volume) in picture.stack.iter().flat_map(volumes) {
            let voxels = volume.iter().copied().collect();
            let tensor = Tensor::from_vec(voxels, volume.dim(), &Device::Cpu)?;
            tensors.insert(format!("{index:04}.{name}"), tensor);
        }
        descriptions.push(Description {
            title: picture.title.clone(),
            caption: picture.caption.clone(),
            spacing: picture.spacing,
            contours,
            probability: picture.probability.is_some(),
            stack: picture.stack.as_ref().map(|stack| stack.spacing),
        });
    }
    weights::save(path, &tensors, &descriptions)
}

/// Reads pictures back.
///
/// # Errors
///
/// [`Error::Io`], and [`Error::File`] where it is another file or damaged.
pub fn load_pictures(path: &Path) -> Result<Vec<Picture>> {
    let (tensors, descriptions): (_, Vec<Description>) = weights::load(path)?;
    let missing = |index: usize, name: &str| Error::File {
        path: path.to_owned(),
        reason: format!("picture {index} has no {name}; make the evaluation again"),
    };
    let pixels = |index: usize, name: &str| {
        let found = pixels(&tensors, &format!("{index:04}.{name}"));
        found.ok_or_else(|| missing(index, name))
    };
    let mut pictures = Vec::new();
    for (index, found) in descriptions.into_iter().enumerate() {
        let gray = pixels(index, "gray")?;
        let mut picture = Picture::new(found.title, found.caption, gray, found.spacing)?;
        for (place, Line { name, role, class }) in found.contours.into_iter().enumerate() {
            let mask = pixels(index, &contour(place))?.mapv(|value| value > 0);
            picture = picture.with_contour(Contour { name, role, class, mask })?;
        }
        if found.probability {
            let steps = pixels(index, "probability")?;
            picture = picture.with_probability(steps.mapv(|step| f32::from(step) / 255.0))?;
        }
        if let Some(spacing) = found.stack {
            let [gray, labels, probability] = STACK.map(|name| {
                let found = tensors.get(&format!("{index:04}.{name}")).and_then(voxels);
                found.ok_or_else(|| missing(index, name))
            });
            let (gray, labels, probability) = (gray?, labels?, probability?);
            picture = picture.with_stack(Stack { spacing, gray, labels, probability });
        }
        pictures.push(picture);
    }
    Ok(pictures)
}

/// What the slices to leaf through are called.
const STACK: [&str; 3] = ["stack.gray", "stack.labels", "stack.probability"];

fn volumes(stack: &Stack) -> impl Iterator<Item = (&'static str, &Array3<u8>)> {
    STACK.into_iter().zip([&stack.gray, &stack.labels, &stack.probability])
}

fn voxels(tensor: &Tensor) -> Option<Array3<u8>> {
    let size = tensor.dims3().ok()?;
    Array3::from_shape_vec(size, tensor.flatten_all().ok()?.to_vec1().ok()?).ok()
}

fn contour(place: usize) -> String {
    format!("contour.{place:04}")
}

fn pixels(tensors: &BTreeMap<String, Tensor>, name: &str) -> Option<Array2<u8>> {
    let tensor = tensors.get(name)?;
    let size = tensor.dims2().ok()?;
    Array2::from_shape_vec(size, tensor.flatten_all().ok()?.to_vec1().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn pictures_come_back_as_they_were_but_for_rounding() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("pictures");
        let (one, two) = (example::picture("one", 0.1), example::picture("two", 0.5));
        let pictures = [one, two.with_stack(example::stack(0.5))];

        save_pictures(&path, &pictures)?;
        let back = load_pictures(&path)?;

        assert_eq!(back.len(), 2);
        assert_eq!((&back[0].stack, &back[1].stack), (&None, &pictures[1].stack));
        for (picture, back) in pictures.iter().zip(&back) {
            assert_eq!((&picture.title, &picture.gray), (&back.title, &back.gray));
            assert_eq!(picture.contours.len(), back.contours.len());
            assert_eq!(picture.contours[4].mask, back.contours[4].mask);
            assert_eq!(picture.contours[4].role, back.contours[4].role);
            let (one, two) = (picture.probability.as_ref(), back.probability.as_ref());
            for (one, two) in one.unwrap().iter().zip(two.unwrap()) {
                assert!((one - two).abs() <= 0.5 / 255.0 + 1e-6);
            }
        }
        Ok(())
    }

    #[test]
    fn nothing_comes_back_as_nothing_and_other_files_are_refused() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("pictures");

        save_pictures(&path, &[])?;

        assert!(load_pictures(&path)?.is_empty());
        weights::save(&path, &BTreeMap::new(), &crate::WeightsMetadata::default())?;
        assert!(load_pictures(&path).is_err());
        assert!(load_pictures(&folder.path().join("none")).is_err());
        Ok(())
    }
}
