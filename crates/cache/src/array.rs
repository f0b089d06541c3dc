//! Arrays in a Zarr hierarchy.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ndarray::{ArrayD, ArrayViewD};
use serde_json::{Map, Value};
use zarrs::array::codec::{ShuffleCodec, ZstdCodec};
use zarrs::array::{
    Array, ArrayBuilder, ArrayShardedExt as _, BytesToBytesCodecTraits, CodecOptions, DataType,
    Element, ElementOwned, FillValue, data_type,
};
use zarrs::filesystem::FilesystemStore;
use zarrs::group::GroupBuilder;
use zstd::bulk::Decompressor;

use crate::shard::{self, Index};

/// How hard zstd tries: levels above make files 3 % smaller and reading slower.
const LEVEL: i32 = 1;
/// Values that are tried.
const SAMPLE: usize = 1 << 16;
/// Whether bytes of an array are in another order.
const SHUFFLED: &str = "shuffled";

/// What arrays are made of.
pub(crate) trait Stored: Element + ElementOwned + Copy + Default {
    fn data_type() -> DataType;
    fn zero() -> FillValue;

    /// Itself as it is written.
    fn bytes(self) -> impl Iterator<Item = u8>;

    /// Values as they are written, one after the other.
    fn read(bytes: &[u8], values: &mut [Self]);

    /// Some values, from the `first` on, of `count` whose first bytes were written one after the other, then their second
    /// ones, and so on.
    fn read_shuffled(bytes: &[u8], count: usize, first: usize, values: &mut [Self]);
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

            fn bytes(self) -> impl Iterator<Item = u8> {
                self.to_le_bytes().into_iter()
            }

            fn read(bytes: &[u8], values: &mut [Self]) {
                for (value, bytes) in values.iter_mut().zip(bytes.as_chunks().0) {
                    *value = <$type>::from_le_bytes(*bytes);
                }
            }

            fn read_shuffled(bytes: &[u8], count: usize, first: usize, values: &mut [Self]) {
                let planes: [&[u8]; size_of::<$type>()] = std::array::from_fn(|byte| {
                    &bytes[byte * count + first..][..values.len()]
                });
                for (at, value) in values.iter_mut().enumerate() {
                    *value = <$type>::from_le_bytes(planes.map(|plane| plane[at]));
                }
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
    // With its checksum, which whoever unpacks a chunk looks at.
    let zstd: Arc<dyn BytesToBytesCodecTraits> = Arc::new(ZstdCodec::new(LEVEL, true));
    let shuffled = is_better_shuffled(&values);
    let mut codecs = vec![zstd];
    if shuffled {
        codecs.insert(0, Arc::new(ShuffleCodec::new(size_of::<T>())));
    }
    let array = ArrayBuilder::new(shape, shard, T::data_type(), T::zero())
        .subchunk_shape(chunk)
        .bytes_to_bytes_codecs(codecs)
        .attributes(Map::from_iter([(SHUFFLED.to_owned(), shuffled.into())]))
        .build(Arc::clone(store), &path(name))
        .map_err(|error| error.to_string())?;
    array.store_metadata().map_err(|error| error.to_string())?;
    // Files of nothing but zeros too: one that is missing has been lost then.
    let options = CodecOptions::default().with_store_empty_chunks(true);
    array
        .store_array_subset_opt(&array.subset_all(), values.to_owned(), &options)
        .map_err(|error| error.to_string())
}

/// Whether values take less room where their first bytes come first, then their second ones, and so on: resampled ones
/// do, but not those that an image has many times.
fn is_better_shuffled<T: Stored>(values: &ArrayViewD<'_, T>) -> bool {
    if size_of::<T>() == 1 {
        return false;
    }
    let count = values.len();
    let sample = values.iter().skip(count / 2 - count.min(SAMPLE) / 2).take(SAMPLE);
    let plain: Vec<u8> = sample.flat_map(|value| value.bytes()).collect();
    let size = size_of::<T>();
    let shuffled: Vec<u8> =
        (0..size).flat_map(|byte| plain.iter().skip(byte).step_by(size).copied()).collect();
    let length =
        |bytes: &[u8]| zstd::bulk::compress(bytes, LEVEL).map_or(usize::MAX, |it| it.len());
    length(&shuffled) < length(&plain)
}

fn path(name: &str) -> String {
    format!("/{name}")
}

/// An array that can be read in parts.
#[derive(Debug)]
pub(crate) struct Stripes {
    folder: PathBuf,
    shape: Vec<usize>,
    chunk: Vec<usize>,
    shuffled: bool,
    /// Where chunks lie in each file, as soon as one of it has been read.
    indices: Vec<OnceLock<Index>>,
}

impl Stripes {
    /// That of the hierarchy in `folder`.
    pub(crate) fn open(store: &Store, folder: &Path, name: &str) -> Result<Self, String> {
        let array =
            Array::open(Arc::clone(store), &path(name)).map_err(|error| error.to_string())?;
        let extent = |&extent: &u64| usize::try_from(extent).map_err(|error| error.to_string());
        let shape: Vec<usize> = array.shape().iter().map(extent).collect::<Result<_, _>>()?;
        let chunk = array.subchunk_shape().ok_or("it is not cut into chunks")?;
        let chunk = chunk.iter().map(|edge| extent(&edge.get())).collect::<Result<_, _>>()?;
        let files = shape[..shape.len().saturating_sub(3)].iter().product();
        let indices = (0..files).map(|_| OnceLock::new()).collect();
        let shuffled = array.attributes().get(SHUFFLED).is_some_and(|it| it == &Value::Bool(true));
        Ok(Self { folder: folder.join(name), shape, chunk, shuffled, indices })
    }

    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values at these places.
    pub(crate) fn read<T: Stored>(&self, ranges: &[Range<usize>]) -> Result<ArrayD<T>, String> {
        let axes = self.shape.len();
        if ranges.len() != axes {
            return Err(format!("it has {axes} axes, not {}", ranges.len()));
        }
        let mut values = ArrayD::<T>::default(ranges.iter().map(Range::len).collect::<Vec<_>>());
        let mut unzip = Decompressor::new().map_err(|error| error.to_string())?;
        let mut bytes = vec![0; size_of::<T>() * self.chunk.iter().product::<usize>()];
        let (before, within) = ranges.split_at(axes.saturating_sub(3));
        let along = within.iter().zip(&self.chunk[before.len()..]);
        let chunks: Vec<Range<usize>> =
            along.map(|(range, &edge)| range.start / edge..range.end.div_ceil(edge)).collect();
        for file in every(before) {
            let (mut open, index) = self.file(&file)?;
            for at in every(&chunks) {
                // Chunks of zeros are left out.
                let Some(packed) = index.chunk(&mut open, self.number(&at))? else { continue };
                let at = [&file[..], &at].concat();
                let count = unzip.decompress_to_buffer(&packed, &mut bytes[..]);
                if count.map_err(|error| format!("chunk {at:?}: {error}"))? != bytes.len() {
                    return Err(format!("chunk {at:?} is too short"));
                }
                self.copy(&bytes, &at, ranges, &mut values);
            }
        }
        Ok(values)
    }

    /// The file of some channel, and where its chunks lie.
    fn file(&self, channel: &[usize]) -> Result<(File, &Index), String> {
        let within = self.shape.len() - channel.len();
        let mut path = self.folder.join("c");
        path.extend(channel.iter().map(ToString::to_string));
        path.extend(std::iter::repeat_n("0", within));
        let mut file = shard::open(&path)?;
        let number =
            channel.iter().zip(&self.shape).fold(0, |number, (at, extent)| number * extent + at);
        let place = &self.indices[number];
        if let Some(index) = place.get() {
            return Ok((file, index));
        }
        let count = self.grid(channel.len()).product();
        let index = Index::read(&mut file, count)?;
        Ok((file, place.get_or_init(|| index)))
    }

    /// How many chunks there are along each axis from that one on.
    fn grid(&self, first: usize) -> impl Iterator<Item = usize> {
        let axes = self.shape.iter().zip(&self.chunk).skip(first);
        axes.map(|(extent, &edge)| extent.div_ceil(edge))
    }

    /// The number of a chunk within its file.
    fn number(&self, at: &[usize]) -> usize {
        let grid = self.grid(self.shape.len() - at.len());
        at.iter().zip(grid).fold(0, |number, (at, count)| number * count + at)
    }

    /// Copies what is wanted of a chunk.
    fn copy<T: Stored>(
        &self,
        bytes: &[u8],
        at: &[usize],
        ranges: &[Range<usize>],
        values: &mut ArrayD<T>,
    ) {
        // As if there were four axes, the first ones of length 1.
        let lead = 4 - self.chunk.len();
        let four = |of: &dyn Fn(usize) -> [usize; 4]| -> [[usize; 4]; 4] {
            std::array::from_fn(|axis| axis.checked_sub(lead).map_or([0, 0, 1, 1], of))
        };
        // Of each axis: where the copy begins in the chunk, where in the values, its length, and that of the chunk.
        let axes = four(&|axis| {
            let (edge, range) = (self.chunk[axis], &ranges[axis]);
            let start = range.start.max(at[axis] * edge);
            let end = range.end.min((at[axis] + 1) * edge);
            [start - at[axis] * edge, start - range.start, end - start, edge]
        });
        let [_, [z0, tz, nz, cz], [y0, ty, ny, cy], [x0, tx, nx, cx]] = axes;
        let [c0, tc, nc, _] = axes[0];
        let size: [usize; 4] =
            std::array::from_fn(|axis| axis.checked_sub(lead).map_or(1, |axis| ranges[axis].len()));
        let count = self.chunk.iter().product();
        let values = values.as_slice_mut().expect("it is in standard layout");
        for c in 0..nc {
            for z in 0..nz {
                for y in 0..ny {
                    let from = (((c0 + c) * cz + z0 + z) * cy + y0 + y) * cx + x0;
                    let to = (((tc + c) * size[1] + tz + z) * size[2] + ty + y) * size[3] + tx;
                    let row = &mut values[to..][..nx];
                    if self.shuffled {
                        T::read_shuffled(bytes, count, from, row);
                    } else {
                        T::read(&bytes[from * size_of::<T>()..][..nx * size_of::<T>()], row);
                    }
                }
            }
        }
    }
}

/// All places of a box, the last axis fastest.
fn every(ranges: &[Range<usize>]) -> impl Iterator<Item = Vec<usize>> {
    let count = ranges.iter().map(Range::len).product::<usize>();
    (0..count).map(move |mut number| {
        let mut place = vec![0; ranges.len()];
        for (place, range) in place.iter_mut().zip(ranges).rev() {
            *place = range.start + number % range.len();
            number /= range.len();
        }
        place
    })
}
