//! Arrays in a Zarr hierarchy.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use ndarray::{ArrayD, ArrayViewD};
use zarrs::array::codec::ZstdCodec;
use zarrs::array::{
    Array, ArrayBuilder, ArrayShardedReadableExt as _, ArrayShardedReadableExtCache, ArraySubset,
    CodecOptions, DataType, Element, ElementOwned, FillValue, data_type,
};
use zarrs::filesystem::FilesystemStore;
use zarrs::group::GroupBuilder;

/// How hard zstd tries: reading is as fast at any level, and levels above need much longer for little.
const LEVEL: i32 = 3;

/// What arrays are made of.
pub(crate) trait Stored: Element + ElementOwned + Copy + Default {
    fn data_type() -> DataType;
    fn zero() -> FillValue;
}

macro_rules! stored {
    ($($type:ty => $name:ident),*) => {
        $(impl Stored for $type {
            fn data_type() -> DataType {
                data_type::$name()
            }

            fn zero() -> FillValue {
                FillValue::from(<$type>::default())
            }
        })*
    };
}

stored!(f32 => float32, u8 => uint8, u16 => uint16, u32 => uint32);

/// The hierarchy that lies in a folder.
pub(crate) type Store = Arc<FilesystemStore>;

pub(crate) fn store(folder: &Path) -> Result<Store, String> {
    FilesystemStore::new(folder).map(Arc::new).map_err(|error| error.to_string())
}

/// Makes the hierarchy a group, which readers of Zarr look for.
pub(crate) fn write_group(store: &Store) -> Result<(), String> {
    let group = GroupBuilder::new().build(Arc::clone(store), "/");
    let group = group.map_err(|error| error.to_string())?;
    group.store_metadata().map_err(|error| error.to_string())
}

/// Writes an array that is not empty, in chunks of `chunk`; all those along the last three axes, or along the only one, lie in a
/// file.
pub(crate) fn write<T: Stored>(
    store: &Store,
    name: &str,
    values: ArrayViewD<'_, T>,
    chunk: &[usize],
) -> Result<(), String> {
    let wide = |extents: &[usize]| extents.iter().map(|&extent| extent as u64).collect::<Vec<_>>();
    let shape = wide(values.shape());
    let chunk = wide(chunk);
    let before = shape.len().saturating_sub(3);
    let whole = |(axis, (&extent, &chunk)): (usize, (&u64, &u64))| {
        if axis < before { 1 } else { extent.div_ceil(chunk) * chunk }
    };
    let shard: Vec<u64> = shape.iter().zip(&chunk).enumerate().map(whole).collect();
    // With its checksum: readers of parts of a shard, such as this one, do not look at that of the codec `crc32c`.
    let zstd = ZstdCodec::new(LEVEL, true);
    let array = ArrayBuilder::new(shape, shard, T::data_type(), T::zero())
        .subchunk_shape(chunk)
        .bytes_to_bytes_codecs(vec![Arc::new(zstd)])
        .build(Arc::clone(store), &path(name))
        .map_err(|error| error.to_string())?;
    array.store_metadata().map_err(|error| error.to_string())?;
    // Files of nothing but zeros too: one that is missing has been lost then.
    let options = CodecOptions::default().with_store_empty_chunks(true);
    array
        .store_array_subset_opt(&array.subset_all(), values.to_owned(), &options)
        .map_err(|error| error.to_string())
}

fn path(name: &str) -> String {
    format!("/{name}")
}

/// An array that can be read in parts.
pub(crate) struct Stripes {
    array: Array<FilesystemStore>,
    /// Where chunks lie in their files.
    index: ArrayShardedReadableExtCache,
}

impl Stripes {
    pub(crate) fn open(store: &Store, name: &str) -> Result<Self, String> {
        let array =
            Array::open(Arc::clone(store), &path(name)).map_err(|error| error.to_string())?;
        let index = ArrayShardedReadableExtCache::new(&array);
        Ok(Self { array, index })
    }

    pub(crate) fn shape(&self) -> Vec<usize> {
        self.array.shape().iter().map(|&extent| usize::try_from(extent).unwrap_or(0)).collect()
    }

    /// The values at these places.
    pub(crate) fn read<T: Stored>(&self, ranges: &[Range<usize>]) -> Result<ArrayD<T>, String> {
        let ranges: Vec<Range<u64>> =
            ranges.iter().map(|range| range.start as u64..range.end as u64).collect();
        let subset = ArraySubset::new_with_ranges(&ranges);
        self.array
            .retrieve_array_subset_sharded_opt(&self.index, &subset, &CodecOptions::default())
            .map_err(|error| error.to_string())
    }
}

impl fmt::Debug for Stripes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stripes").field("shape", &self.array.shape()).finish_non_exhaustive()
    }
}
