//! What all layouts do with the files of a case.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use volume::{Grid, Image, LabelMap, SoftLabelMap};

use super::spread::spread;
use super::values::Values;
use crate::error::Action;
use crate::format::decoded::{Decoded, Voxel};
use crate::format::{self, decode};
use crate::{Error, HowRead, Result};

/// What a label file must say of where its voxels lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LabelGeometry {
    /// The same as the image, or nothing (as a PNG file).
    #[default]
    Match,
    /// Anything: sizes must be equal, and the image's geometry is taken for the label too. For
    /// label files that lost their header; on others it hides that a label belongs elsewhere.
    FromImage,
}

/// How the image files of a case become one image.
#[derive(Clone, Debug)]
pub(crate) struct ImageRules {
    /// How many channels there must be.
    pub(crate) channels: usize,
    /// Spacing that replaces what files say, mm, `(z, y, x)`.
    pub(crate) spacing: Option<[f64; 3]>,
    /// Whether slices of a single channel are channels of a single slice.
    pub(crate) slices_are_channels: bool,
}

impl ImageRules {
    /// Reads the image of a case: one file with all channels, or one for each.
    pub(crate) fn read(&self, id: &str, paths: &[PathBuf]) -> Result<Image> {
        let mut images = Vec::with_capacity(paths.len());
        for path in paths {
            let alone = paths.len() == 1;
            let image = self.one(path, decode(path)?, if alone { self.channels } else { 1 })?;
            if let Some(Image { grid, .. }) = images.first() {
                must_match(id, path, grid, &image.grid, "export the channels of a case alike")?;
            }
            images.push(image);
        }
        if images.len() == 1 {
            return Ok(images.swap_remove(0));
        }
        Image::stack(&images)
            .map_err(|error| Error::settings(format!("case {id}: {error}"), "name its image files"))
    }

    /// The image that a file holds, with as many channels as are wanted.
    pub(crate) fn one(
        &self,
        path: &Path,
        mut decoded: Decoded<f32>,
        wanted: usize,
    ) -> Result<Image> {
        let grid = &mut decoded.meta.grid;
        if self.slices_are_channels && decoded.meta.channels == 1 {
            decoded.meta.channels = grid.size[0];
            grid.size[0] = 1;
        }
        if let Some(spacing) = self.spacing {
            let sound = Grid { spacing, ..grid.clone() }.checked();
            *grid =
                sound.map_err(|error| Error::settings(error.to_string(), "set `spacing` in mm"))?;
        }
        let decoded = with_channels(decoded, wanted).map_err(|(cause, remedy)| {
            Error::Unsupported { action: Action::Read, path: path.to_owned(), cause, remedy }
        })?;
        Ok(decoded.into_image())
    }
}

/// The image of a file, with so many channels where it can have them as it is; as others of its data set are read.
pub(crate) fn read_picture(path: &Path, wanted: usize, how: HowRead) -> Result<Image> {
    let mut decoded: Decoded<f32> = decode(path)?;
    if how.slices_are_channels && decoded.meta.channels == 1 {
        decoded.meta.channels = decoded.meta.grid.size[0];
        decoded.meta.grid.size[0] = 1;
    }
    if let Some(spacing) = how.spacing {
        let sound = Grid { spacing, ..decoded.meta.grid }.checked();
        decoded.meta.grid = sound
            .map_err(|error| Error::settings(error.to_string(), "train with a `spacing` in mm"))?;
    }
    let adapts = matches!((decoded.meta.channels, wanted), (1 | 2 | 4, 3) | (2..=4, 1));
    if decoded.meta.geometry || !adapts {
        return Ok(decoded.into_image());
    }
    let adapted = with_channels(decoded, wanted).map_err(|(cause, _)| Error::Unsupported {
        action: Action::Read,
        path: path.to_owned(),
        cause,
        remedy: "give a grey picture, as the network was trained on".to_owned(),
    })?;
    Ok(adapted.into_image())
}

/// Adapts the channels of a picture where that changes nothing: opacity is left out, equal colours
/// become grey, grey becomes equal colours.
fn with_channels(
    mut decoded: Decoded<f32>,
    wanted: usize,
) -> Result<Decoded<f32>, (String, String)> {
    let found = decoded.meta.channels;
    let voxels = decoded.meta.grid.len();
    let picture = !decoded.meta.geometry;
    match (found, wanted) {
        _ if found == wanted => return Ok(decoded),
        (4, 3) if picture => decoded.data.truncate(3 * voxels),
        (2..=4, 1) if picture => {
            return decoded.grey().map_err(|_| {
                ("it is in colour".to_owned(), "set `channels = [\"R\", \"G\", \"B\"]`".to_owned())
            });
        }
        (1 | 2, 3) if picture => {
            decoded.data.truncate(voxels);
            decoded.data = decoded.data.repeat(3);
        }
        _ => {
            return Err((
                format!("it has {found} channels, not {wanted}"),
                "set `channels` to one name for each".to_owned(),
            ));
        }
    }
    decoded.meta.channels = wanted;
    Ok(decoded)
}

/// How a label file becomes a label.
#[derive(Clone, Debug)]
pub(crate) struct LabelRules {
    pub(crate) values: Values,
    /// What is brighter than this is 1, all else 0, before values are translated.
    pub(crate) threshold: Option<f32>,
    pub(crate) geometry: LabelGeometry,
}

impl LabelRules {
    /// Reads a mask of a case whose image lies on `grid`.
    pub(crate) fn read(&self, id: &str, path: &Path, grid: &Grid) -> Result<LabelMap> {
        if self.threshold.is_some() {
            self.intensities(id, path, decode(path)?, grid)
        } else {
            self.numbers(id, path, decode(path)?, grid)
        }
    }

    /// A mask out of what a file holds, where a threshold makes it one.
    pub(crate) fn intensities(
        &self,
        id: &str,
        path: &Path,
        decoded: Decoded<f32>,
        grid: &Grid,
    ) -> Result<LabelMap> {
        let threshold = self.threshold.unwrap_or(0.0);
        let Decoded { meta, data } = format::single(path, decoded)?;
        let data = data.into_iter().map(|value| u16::from(value > threshold)).collect();
        self.numbers(id, path, Decoded { meta, data }, grid)
    }

    /// A mask out of what a file holds.
    pub(crate) fn numbers(
        &self,
        id: &str,
        path: &Path,
        decoded: Decoded<u16>,
        grid: &Grid,
    ) -> Result<LabelMap> {
        let mut decoded = self.on_grid(id, path, format::single(path, decoded)?, grid)?;
        self.values.translate(path, &mut decoded.data)?;
        Ok(decoded.into_label_map())
    }

    /// Reads the class probabilities of a case whose image lies on `grid`.
    pub(crate) fn soft(&self, id: &str, path: &Path, grid: &Grid) -> Result<SoftLabelMap> {
        let labels = format::soft(path, self.on_grid(id, path, decode(path)?, grid)?)?;
        let (found, declared) = (labels.classes(), self.values.classes());
        if found != declared {
            return Err(Error::Unsupported {
                action: Action::Read,
                path: path.to_owned(),
                cause: format!("it has probabilities of {found} classes, not {declared}"),
                remedy: "set `classes` to one for each".to_owned(),
            });
        }
        Ok(labels)
    }

    /// Moves a label to the image's own grid, which it matches or does not contradict.
    fn on_grid<V: Voxel>(
        &self,
        id: &str,
        path: &Path,
        mut decoded: Decoded<V>,
        grid: &Grid,
    ) -> Result<Decoded<V>> {
        if decoded.meta.sparse {
            decoded = spread(decoded, grid);
        }
        let own = &decoded.meta.grid;
        if own.size != grid.size {
            must_match(id, path, grid, own, "check that it belongs to this image")?;
        }
        if decoded.meta.geometry && self.geometry == LabelGeometry::Match {
            let remedy = "save it with the image's geometry, or, if the header is wrong, set \
                          `label_geometry = \"from_image\"`";
            must_match(id, path, grid, own, remedy)?;
        }
        decoded.meta.grid = grid.clone();
        Ok(decoded)
    }
}

fn must_match(id: &str, path: &Path, grid: &Grid, own: &Grid, remedy: &str) -> Result<()> {
    match grid.difference(own) {
        None => Ok(()),
        Some(difference) => Err(Error::Geometry {
            id: id.to_owned(),
            path: path.to_owned(),
            difference,
            remedy: remedy.to_owned(),
        }),
    }
}

/// One mask out of several of one grid: where they overlap, the class that comes last counts.
pub(crate) fn merge(masks: Vec<LabelMap>) -> Option<LabelMap> {
    masks.into_iter().reduce(|mut merged, mask| {
        merged.data.zip_mut_with(&mask.data, |merged, &label| *merged = (*merged).max(label));
        merged
    })
}

/// The names of channels, where the settings give none: those of colours, or numbers.
pub(crate) fn channel_names(path: &Path, slices_are_channels: bool) -> Result<Vec<String>> {
    let meta = format::meta(path)?;
    let slices = meta.grid.size[0];
    let count = if slices_are_channels && meta.channels == 1 { slices } else { meta.channels };
    Ok(match count {
        1 | 2 if !meta.geometry => vec!["grey".to_owned()],
        1 => vec!["image".to_owned()],
        3 | 4 if !meta.geometry => ["R", "G", "B"].map(str::to_owned).to_vec(),
        count => (0..count).map(|channel| format!("channel_{channel}")).collect(),
    })
}
