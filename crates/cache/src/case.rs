use std::ops::Range;
use std::path::{Path, PathBuf};

use ndarray::{Array3, Array4, ArrayD, ArrayView3, ArrayView4, Ix3, Ix4};
use preprocess::{Locations, Outside, Patch, PatchSource, Prepared, Truth};

use crate::array::{Store, Stored, Stripes, store, write, write_group};
use crate::record::{Kind, Record};
use crate::{Error, Result};

const IMAGE: &str = "image";
const TRUTH: &str = "truth";
const OUTSIDE: &str = "outside";
const ANNOTATED: &str = "locations/annotated";
/// Places in a chunk.
const PLACES: usize = 1 << 16;
/// The longest edge of a chunk, voxels, and the shortest.
const EDGES: [usize; 2] = [16, 128];

fn further(number: usize) -> String {
    format!("further/{number}")
}

fn places(class: usize) -> String {
    format!("locations/{class}")
}

/// A prepared case on disk, of which parts are read.
///
/// Places of classes are held in memory, for a place is drawn before it is known what to read.
#[derive(Debug)]
pub struct CachedCase {
    folder: PathBuf,
    record: Record,
    image: Stripes,
    truth: Option<Labels>,
    further: Vec<Labels>,
    outside: Option<Stripes>,
    locations: Locations,
}

#[derive(Debug)]
struct Labels {
    name: String,
    kind: Kind,
    values: Stripes,
}

/// Writes the arrays of a case and its record into a folder, in chunks for patches of `patch` voxels.
pub(crate) fn write_case(
    folder: &Path,
    source: &str,
    content: &str,
    prepared: &Prepared,
    patch: [usize; 3],
) -> Result<()> {
    let failed = |reason: String| Error::Write { path: folder.to_owned(), reason };
    let store = store(folder).map_err(failed)?;
    let chunk = chunk(patch, PatchSource::size(prepared));
    let write_all = || -> Result<(), String> {
        write_group(&store)?;
        write_channels(&store, IMAGE, prepared.image.view(), chunk)?;
        let truths = prepared.truth.iter().map(|truth| (TRUTH.to_owned(), truth));
        let others = prepared.further.iter().enumerate();
        for (name, truth) in truths.chain(others.map(|(at, truth)| (further(at), truth))) {
            match truth {
                Truth::Hard(labels) => write_voxels(&store, &name, labels.view(), chunk)?,
                Truth::Soft(soft) => write_channels(&store, &name, soft.view(), chunk)?,
            }
        }
        if let Some(outside) = &prepared.outside {
            write_voxels(&store, OUTSIDE, outside.voxels.mapv(u8::from).view(), chunk)?;
        }
        for (class, voxels) in prepared.locations.classes.iter().enumerate() {
            write_places(&store, &places(class), voxels)?;
        }
        match &prepared.locations.annotated {
            Some(voxels) => write_places(&store, ANNOTATED, voxels),
            None => Ok(()),
        }
    };
    write_all().map_err(failed)?;
    Record::of(prepared, source, content).seal(folder)
}

/// Such that a patch takes some whole chunks along each axis, and little beside itself.
fn chunk(patch: [usize; 3], size: [usize; 3]) -> [usize; 3] {
    let [shortest, longest] = EDGES;
    std::array::from_fn(|axis| {
        let edge = patch[axis].div_ceil(4).clamp(shortest, longest);
        // Of slices, one is read at a time.
        if patch[axis] == 1 { 1 } else { edge.min(size[axis]).max(1) }
    })
}

fn write_channels<T: Stored>(
    store: &Store,
    name: &str,
    values: ArrayView4<'_, T>,
    [d, h, w]: [usize; 3],
) -> Result<(), String> {
    write(store, name, values.into_dyn(), &[1, d, h, w])
}

fn write_voxels<T: Stored>(
    store: &Store,
    name: &str,
    values: ArrayView3<'_, T>,
    chunk: [usize; 3],
) -> Result<(), String> {
    write(store, name, values.into_dyn(), &chunk)
}

fn write_places(store: &Store, name: &str, places: &[u32]) -> Result<(), String> {
    if places.is_empty() {
        return Ok(());
    }
    let values = ndarray::ArrayView1::from(places).into_dyn();
    write(store, name, values, &[PLACES.min(places.len())])
}

impl CachedCase {
    /// That which lies in `folder`, where it is of this source; `None` where it is of another.
    pub(crate) fn open(folder: &Path, source: &str) -> Result<Option<Self>> {
        let record = Record::open(folder)?;
        if record.source != source {
            return Ok(None);
        }
        let store = store(folder).map_err(|reason| Error::damaged(folder, "", reason))?;
        let array = |name: &str| {
            Stripes::open(&store, folder, name)
                .map_err(|reason| Error::damaged(folder, name, reason))
        };
        let labels =
            |name: String, kind: Kind| array(&name).map(|values| Labels { name, kind, values });
        let places = |name: &str, count: usize| -> Result<Vec<u32>> {
            if count == 0 {
                return Ok(Vec::new());
            }
            let values =
                read::<u32>(folder, name, &array(name)?, std::slice::from_ref(&(0..count)))?;
            Ok(values.into_raw_vec_and_offset().0)
        };
        let classes = record.classes.iter().enumerate();
        let locations = Locations {
            classes: classes
                .map(|(class, &count)| places(&self::places(class), count))
                .collect::<Result<_>>()?,
            annotated: record.annotated.map(|count| places(ANNOTATED, count)).transpose()?,
        };
        let others = record.further.iter().enumerate();
        Ok(Some(Self {
            image: array(IMAGE)?,
            truth: record.truth.map(|kind| labels(TRUTH.to_owned(), kind)).transpose()?,
            further: others.map(|(at, &kind)| labels(further(at), kind)).collect::<Result<_>>()?,
            outside: record.outside.is_some().then(|| array(OUTSIDE)).transpose()?,
            locations,
            folder: folder.to_owned(),
            record,
        }))
    }

    /// The hash of what it was made from, as whoever wrote it noted it.
    pub fn content(&self) -> &str {
        &self.record.content
    }

    /// What it takes in memory, bytes, as [`Prepared::bytes`].
    pub fn bytes(&self) -> u64 {
        let values = |stripes: &Stripes| stripes.shape().iter().product::<usize>() as u64;
        let of_labels = |labels: &Labels| match labels.kind {
            Kind::Hard => 2 * values(&labels.values),
            Kind::Soft => 4 * values(&labels.values),
        };
        let labels: u64 = self.truth.iter().chain(&self.further).map(of_labels).sum();
        4 * values(&self.image) + labels + self.outside.as_ref().map_or(0, values)
    }

    /// All of it.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`].
    pub fn load(&self) -> Result<Prepared> {
        let [d, h, w] = self.size();
        let prepared = self.within(&[0..d, 0..h, 0..w])?;
        Ok(Prepared { locations: self.locations.clone(), ..prepared })
    }

    /// What lies in a box that is not empty, with no places of classes.
    fn within(&self, ranges: &[Range<usize>; 3]) -> Result<Prepared> {
        let of_labels = |labels: &Labels| self.labels(labels, ranges);
        let outside = match (&self.outside, &self.record.outside) {
            (Some(stripes), Some(channels)) => {
                let voxels: Array3<u8> = self.voxels(OUTSIDE, stripes, ranges)?;
                Some(Outside { voxels: voxels.mapv(|voxel| voxel > 0), channels: channels.clone() })
            }
            _ => None,
        };
        Ok(Prepared {
            image: self.channels(IMAGE, &self.image, ranges)?,
            truth: self.truth.as_ref().map(of_labels).transpose()?,
            further: self.further.iter().map(of_labels).collect::<Result<Vec<_>>>()?.into(),
            outside,
            locations: Locations::default(),
            restore: self.record.restore.clone(),
            spacing: self.record.spacing,
        })
    }

    fn labels(&self, labels: &Labels, ranges: &[Range<usize>; 3]) -> Result<Truth> {
        let Labels { name, kind, values } = labels;
        Ok(match kind {
            Kind::Hard => Truth::Hard(self.voxels(name, values, ranges)?),
            Kind::Soft => Truth::Soft(self.channels(name, values, ranges)?),
        })
    }

    fn channels(
        &self,
        name: &str,
        stripes: &Stripes,
        ranges: &[Range<usize>; 3],
    ) -> Result<Array4<f32>> {
        let channels = stripes.shape().first().copied().unwrap_or(0);
        let all = [std::slice::from_ref(&(0..channels)), ranges.as_slice()].concat();
        let values = read(&self.folder, name, stripes, &all)?;
        values.into_dimensionality::<Ix4>().map_err(|it| Error::damaged(&self.folder, name, it))
    }

    fn voxels<T: Stored>(
        &self,
        name: &str,
        stripes: &Stripes,
        ranges: &[Range<usize>; 3],
    ) -> Result<Array3<T>> {
        let values = read(&self.folder, name, stripes, ranges)?;
        values.into_dimensionality::<Ix3>().map_err(|it| Error::damaged(&self.folder, name, it))
    }
}

fn read<T: Stored>(
    folder: &Path,
    name: &str,
    stripes: &Stripes,
    ranges: &[Range<usize>],
) -> Result<ArrayD<T>> {
    stripes.read(ranges).map_err(|reason| Error::damaged(folder, name, reason))
}

impl PatchSource for CachedCase {
    type Error = Error;

    fn size(&self) -> [usize; 3] {
        self.record.restore.network_size()
    }

    fn locations(&self) -> &Locations {
        &self.locations
    }

    fn part(&self, corner: [isize; 3], size: [usize; 3]) -> Result<Patch> {
        let whole = self.size();
        // At least a voxel: of a patch that lies beside the case, all is beyond what is read, too.
        let ranges = std::array::from_fn(|axis| {
            let first = corner[axis].max(0).unsigned_abs().min(whole[axis] - 1);
            let end = corner[axis].saturating_add_unsigned(size[axis]).max(0).unsigned_abs();
            first..end.clamp(first + 1, whole[axis])
        });
        let read = self.within(&ranges)?;
        let inner =
            std::array::from_fn(|axis| corner[axis].saturating_sub_unsigned(ranges[axis].start));
        let Ok(patch) = read.part(inner, size);
        Ok(Patch { corner, ..patch })
    }
}
