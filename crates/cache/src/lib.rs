//! Prepared cases on disk, so that a patch can be read without the rest of its case.
//!
//! A case is a Zarr v3 hierarchy: image, truth and places of classes are arrays that are cut into chunks,
//! compressed by zstd, each with its checksum. The chunks of a channel lie in one file (a *shard*). Any reader of Zarr can
//! open it.
//!
//! ```text
//! FOLDER/1f0c…/            what was made in one way: the hash of all that decides how
//!   made.json              that way, to be read by people
//!   liver_0.6b86b273.zarr/    the case, and the hash of the versions of its files
//!     case.json            the rest: spacing, the way back to the file, the length of every file
//!     case.json.sha256     its hash, and those of all zarr.json; `sha256sum -c` checks them
//!     image/, truth/, …    arrays
//! ```
//!
//! What is written appears at once, or not at all: a case is made under another name, made durable, and renamed. What is
//! read is checked: lengths and hashes when a case is opened, the checksum of a chunk whenever it is read. Whatever does
//! not fit is an error that names the file; nothing is mended silently.
//!
//! # Example
//!
//! ```
//! use ndarray::Array4;
//! use preprocess::{Fingerprint, PatchSource as _, Plan, PlanConfig};
//! use sconce_cache::Cache;
//! use volume::{Grid, Image};
//!
//! let grid = Grid::new([8, 24, 24], [4.0, 1.0, 1.0])?;
//! let data = Array4::from_shape_fn((1, 8, 24, 24), |(_, z, y, x)| 1.0 + (z + y * x) as f32);
//! let image = Image::new(grid, data)?;
//! let mut fingerprint = Fingerprint::new(1);
//! fingerprint.add(&image, None);
//! let config = PlanConfig { patch_size: Some([4, 16, 16]), ..PlanConfig::default() };
//! let plan = Plan::new(&config, &fingerprint, &["MRI".to_owned()])?;
//! let prepared = plan.prepare(&image, None)?;
//!
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let cache = Cache::open(folder, &plan)?;
//! assert!(cache.read("case", "version 1")?.is_none());
//! let stored = cache.write("case", "version 1", "hash", &prepared, plan.patch_size)?;
//! let patch = stored.part([-1, 3, 0], [4, 16, 16])?;
//! assert_eq!(patch, prepared.part([-1, 3, 0], [4, 16, 16])?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | to do | use |
//! |---|---|
//! | keep what was made in one way | [`Cache`] |
//! | take patches of a case | [`CachedCase`] |
//! | tell what went wrong | [`Error`], [`Result`] |

#![expect(
    clippy::needless_pass_by_value,
    reason = "views of arrays are borrows already, and passed by value as ndarray does"
)]

mod array;
mod case;
mod error;
mod folder;
mod record;
mod shard;

pub use crate::case::CachedCase;
pub use crate::error::{Error, Result};
pub use crate::folder::Cache;
