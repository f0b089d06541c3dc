use std::io;
use std::path::Path;

use ndarray::{Array3, Array4};
use volume::{Grid, Image, LabelMap};

use crate::error::Action;
use crate::{Error, Result};

/// What a voxel can be read as.
pub(crate) trait Voxel: Copy + 'static {
    /// Whether numbers are names: a palette's indices are then wanted, not its colours.
    #[cfg_attr(
        not(any(feature = "png", feature = "tiff")),
        expect(dead_code, reason = "no format of this build has palettes")
    )]
    const LABEL: bool;

    /// The voxel that holds this value; `None` where it cannot.
    fn from_f64(value: f64) -> Option<Self>;
}

impl Voxel for f32 {
    const LABEL: bool = false;

    #[expect(clippy::cast_possible_truncation, reason = "intensities are kept in f32")]
    fn from_f64(value: f64) -> Option<Self> {
        Some(value as f32)
    }
}

impl Voxel for u16 {
    const LABEL: bool = true;

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::float_cmp,
        reason = "checked to be whole and in range"
    )]
    fn from_f64(value: f64) -> Option<Self> {
        // The cast saturates and drops fractions: where it changed nothing, it lost nothing.
        let label = value as u16;
        (f64::from(label) == value).then_some(label)
    }
}

/// What a file says of its voxels.
#[derive(Clone, Debug)]
pub(crate) struct Meta {
    pub(crate) grid: Grid,
    pub(crate) channels: usize,
    /// How a voxel is stored, such as `int16`.
    pub(crate) voxel_type: String,
    /// Whether the file states where its voxels lie; photographs do not.
    pub(crate) geometry: bool,
    /// The voxel size that a header states beside its axes, mm, `(z, y, x)`.
    pub(crate) header_spacing: Option<[f64; 3]>,
    /// What a user should know of how the file was understood.
    pub(crate) notes: Vec<String>,
    /// Whether slices that hold nothing are left out, as in DICOM segmentations: it may be a part of a
    /// larger grid.
    pub(crate) sparse: bool,
}

impl Meta {
    /// A picture of one or more pages, of which only the extents in pixels are known.
    #[cfg_attr(
        not(any(feature = "gif", feature = "jpeg", feature = "png", feature = "tiff")),
        expect(dead_code, reason = "this build reads no pictures")
    )]
    pub(crate) fn picture(
        size: [usize; 3],
        channels: usize,
        voxel_type: impl Into<String>,
    ) -> Result<Self, Trouble> {
        let grid = Grid::new(size, [1.0; 3]).map_err(Trouble::damaged)?;
        let voxel_type = voxel_type.into();
        let header_spacing = None;
        Ok(Self {
            grid,
            channels,
            voxel_type,
            geometry: false,
            header_spacing,
            notes: Vec::new(),
            sparse: false,
        })
    }
}

/// A file's voxels, `(C, D, H, W)`.
#[derive(Clone, Debug)]
pub(crate) struct Decoded<V> {
    pub(crate) meta: Meta,
    pub(crate) data: Vec<V>,
}

impl<V: Voxel> Decoded<V> {
    /// The first of several equal channels, as where a program saved grey as colour; a last
    /// channel of four (two) is taken for opacity, and ignored.
    ///
    /// Where the channels differ, the file itself comes back.
    pub(crate) fn grey(mut self) -> Result<Self, Box<Self>>
    where
        V: PartialEq,
    {
        if self.meta.channels == 1 {
            return Ok(self);
        }
        let voxels = self.meta.grid.len();
        let colours = if self.meta.channels == 2 || self.meta.channels == 4 {
            self.meta.channels - 1
        } else {
            self.meta.channels
        };
        let (first, rest) = self.data[..colours * voxels].split_at(voxels);
        if self.meta.geometry || !rest.chunks(voxels).all(|channel| channel == first) {
            return Err(Box::new(self));
        }
        self.data.truncate(voxels);
        self.meta.channels = 1;
        Ok(self)
    }
}

impl Decoded<f32> {
    pub(crate) fn into_image(self) -> Image {
        let [d, h, w] = self.meta.grid.size;
        let data = Array4::from_shape_vec((self.meta.channels, d, h, w), self.data)
            .expect("a reader yields as many voxels as it states");
        Image::new(self.meta.grid, data).expect("the array was made for this grid")
    }
}

impl Decoded<u16> {
    /// The labels; there is one channel, by [`Decoded::grey`].
    pub(crate) fn into_label_map(self) -> LabelMap {
        let data = Array3::from_shape_vec(self.meta.grid.size, self.data)
            .expect("a reader yields as many voxels as it states");
        LabelMap::new(self.meta.grid, data).expect("the array was made for this grid")
    }
}

/// Turns pixels whose channels lie side by side into channels that follow one another.
#[cfg_attr(
    not(any(feature = "gif", feature = "jpeg", feature = "png", feature = "tiff")),
    expect(dead_code, reason = "this build reads no pictures")
)]
pub(crate) fn planar<V: Voxel>(
    meta: &Meta,
    mut interleaved: impl Iterator<Item = f64>,
) -> Result<Vec<V>, Trouble> {
    let (voxels, channels) = (meta.grid.len(), meta.channels);
    let zero = V::from_f64(0.0).expect("0 is a label and an intensity");
    let mut data = vec![zero; voxels * channels];
    for voxel in 0..voxels {
        for channel in 0..channels {
            let value = interleaved.next().ok_or_else(|| {
                Trouble::damaged(format!(
                    "it holds {} of the {} values that its header announces",
                    voxel * channels + channel,
                    voxels * channels
                ))
            })?;
            let found = V::from_f64(value).ok_or_else(|| Trouble::not_label(meta, voxel, value))?;
            data[channel * voxels + voxel] = found;
        }
    }
    Ok(data)
}

/// Why bytes could not be read, before it is known which file they are from.
#[derive(Debug)]
pub(crate) enum Trouble {
    Io(io::Error),
    Damaged(String),
    Unsupported { cause: String, remedy: String },
    NotLabel { voxel: [usize; 3], value: f64 },
}

impl Trouble {
    /// Something that breaks the format's rules, in whatever words its decoder found.
    #[expect(clippy::needless_pass_by_value, reason = "a function of any error")]
    pub(crate) fn damaged(cause: impl ToString) -> Self {
        Self::Damaged(one_line(&cause.to_string()))
    }

    #[expect(clippy::needless_pass_by_value, reason = "a function of any error")]
    pub(crate) fn unsupported(cause: impl ToString, remedy: impl Into<String>) -> Self {
        Self::Unsupported { cause: one_line(&cause.to_string()), remedy: remedy.into() }
    }

    pub(crate) fn not_label(meta: &Meta, index: usize, value: f64) -> Self {
        let [_, h, w] = meta.grid.size;
        let index = index % meta.grid.len();
        Self::NotLabel { voxel: [index / (h * w), index / w % h, index % w], value }
    }

    pub(crate) fn at(self, path: &Path) -> Error {
        let path = path.to_owned();
        match self {
            Self::Io(cause) => Error::Io { action: Action::Read, path, cause },
            Self::Damaged(cause) => Error::Damaged { path, cause },
            Self::Unsupported { cause, remedy } => {
                Error::Unsupported { action: Action::Read, path, cause, remedy }
            }
            Self::NotLabel { voxel, value } => Error::NotLabels { path, voxel, value },
        }
    }
}

/// A decoder's message without its line breaks and its full stop.
fn one_line(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.trim_end_matches('.').to_owned()
}
