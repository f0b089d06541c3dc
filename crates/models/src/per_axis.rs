//! Settings that are numbers of voxels along each axis.

use serde::{Deserialize, Serialize};

use crate::Error;

/// The largest extent or stride of a window.
const MOST: usize = 1024;

/// A number for every axis, or one for each, slowest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a whole number, or a list of one for each spatial axis")]
pub enum PerAxis {
    /// The same along every axis.
    Same(usize),
    /// One for each axis, slowest first.
    Each(Vec<usize>),
}

impl PerAxis {
    /// One number for each of `rank` axes, none of them 0.
    pub(crate) fn of_rank(&self, setting: &'static str, rank: usize) -> Result<Vec<usize>, Error> {
        let numbers = match self {
            Self::Same(number) => vec![*number; rank],
            Self::Each(numbers) => numbers.clone(),
        };
        if numbers.len() != rank {
            let rule = "the images have another number of spatial axes";
            return Err(Error::setting(setting, &format!("{numbers:?}"), rule));
        }
        if numbers.contains(&0) {
            return Err(Error::Zero(setting));
        }
        if numbers.iter().any(|&number| number > MOST) {
            let rule = "no window is larger than 1,024 voxels";
            return Err(Error::setting(setting, &format!("{numbers:?}"), rule));
        }
        Ok(numbers)
    }

    /// The same, for extents of kernels, which are odd.
    pub(crate) fn odd_of_rank(
        &self,
        setting: &'static str,
        rank: usize,
    ) -> Result<Vec<usize>, Error> {
        let numbers = self.of_rank(setting, rank)?;
        if numbers.iter().any(|number| number.is_multiple_of(2)) {
            let rule = "a kernel needs a voxel in its middle: extents must be odd";
            return Err(Error::setting(setting, &format!("{numbers:?}"), rule));
        }
        Ok(numbers)
    }
}
