//! A copy of a data folder in which what can be mended is.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use ndarray::Axis;
use serde::Serialize;
use volume::{Grid, Image, LabelMap};

use crate::problem::{Problem, ProblemKind};
use crate::{
    Dataset, Error, Layout, Report, Result, check, format, read_image, read_label_map, write_image,
    write_label_map,
};

/// Mending one thing can bring another to light: labels of the next rater, say. So often is looked again, at most.
const PASSES: usize = 16;
/// Folders within folders; more are a link in a circle.
const DEPTH: usize = 32;

/// What became of a data folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mended {
    /// Files of the copy that differ from the folder's, relative to it, and how.
    pub files: BTreeMap<PathBuf, Vec<String>>,
    /// What is still wrong with the copy.
    pub report: Report,
}

/// Copies a data folder, and mends what is wrong with it where there is no doubt how:
///
/// | found | mended |
/// |---|---|
/// | a label or channel lies elsewhere than the image, by less than half a voxel, or says nothing of where it lies | it takes the image's geometry |
/// | a mask of 0 and one other value, such as 255, where classes are 0 and 1 | that value is 1 |
/// | values that are NaN or infinite | the smallest value of their channel |
/// | headers that contradict themselves, of which readers remark | what readers take them for |
///
/// Everything else is left: labels that lie elsewhere by more, unknown values, what is empty, missing or there twice, and
/// DICOM, which is not for us to write. The
/// folder itself is not touched, and files that need no mending are copied as they are. A mended file has its name, but may have
/// another voxel type.
///
/// `output` appears whole or not at all. `progress` hears how many of how many cases have been looked at, from any thread, once
/// for each time that they are.
///
/// # Errors
///
/// Where `output` holds something already or lies within `root`, and where a file cannot be copied or written.
pub fn mend(
    layout: &dyn Layout,
    root: &Path,
    output: &Path,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Mended> {
    if output.read_dir().is_ok_and(|mut entries| entries.next().is_some()) || output.is_file() {
        let cause = format!("{} is there already", output.display());
        return Err(Error::settings(cause, "name a folder that is not there yet"));
    }
    // `.` would be there already, had it no name.
    if output.file_name().is_none() {
        let cause = format!("{} has no name of its own", output.display());
        return Err(Error::settings(cause, "name a folder that is not there yet"));
    }
    let output = &std::path::absolute(output).map_err(Error::writing(output))?;
    let above = output.ancestors().find_map(|folder| folder.canonicalize().ok());
    let within = root.canonicalize().map_err(Error::reading(root))?;
    if above.is_some_and(|above| above.starts_with(&within)) {
        let cause = format!("{} lies within {}", output.display(), root.display());
        return Err(Error::settings(cause, "name a folder beside it"));
    }
    // What is wrong with it as a whole is said of the folder, not of its copy.
    layout.open(root)?;
    let name = output.file_name().unwrap_or_default().to_string_lossy();
    let partial = output.with_file_name(format!(".{name}.{}.partial", std::process::id()));
    let files = write(layout, root, &partial, progress).and_then(|files| {
        // An empty folder may be there.
        _ = fs::remove_dir(output);
        fs::rename(&partial, output).map_err(Error::writing(output))?;
        Ok(files)
    });
    if files.is_err() {
        // Nothing more can be done about what will not go.
        _ = fs::remove_dir_all(&partial);
    }
    let files = files?;
    let report = check(layout.open(output)?.as_ref(), progress);
    Ok(Mended { files, report })
}

/// Makes the copy; what was mended.
fn write(
    layout: &dyn Layout,
    root: &Path,
    copy: &Path,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<BTreeMap<PathBuf, Vec<String>>> {
    copy_all(root, copy, DEPTH)?;
    let mut files: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    for _ in 0..PASSES {
        let dataset = layout.open(copy)?;
        let report = check(dataset.as_ref(), progress);
        let mut is_done = true;
        for (path, repair) in repairs(dataset.as_ref(), &report.problems) {
            let Ok(relative) = path.strip_prefix(copy) else { continue };
            // What a scanner says of its images is not for us to write.
            if !path.is_file() || format::is_dicom_file(&path) {
                continue;
            }
            let before = files.get(relative).map_or(&[][..], Vec::as_slice);
            // What was mended before and is found again is beyond mending.
            if repair.in_words().iter().all(|it| before.contains(it)) {
                continue;
            }
            let what = repair.write(&path)?;
            if !what.is_empty() {
                files.entry(relative.to_owned()).or_default().extend(what);
                is_done = false;
            }
        }
        if is_done {
            break;
        }
    }
    Ok(files)
}

fn copy_all(from: &Path, to: &Path, depth: usize) -> Result<()> {
    if depth == 0 {
        let cause = format!("{} lies in more than {DEPTH} folders", from.display());
        return Err(Error::settings(cause, "look for links that lead in a circle"));
    }
    fs::create_dir_all(to).map_err(Error::writing(to))?;
    for entry in fs::read_dir(from).map_err(Error::reading(from))? {
        let entry = entry.map_err(Error::reading(from))?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_all(&path, &copy, depth - 1)?;
        } else {
            fs::copy(&path, &copy).map_err(Error::writing(&copy))?;
        }
    }
    Ok(())
}

/// What is to be done to a file.
#[derive(Clone, Debug, Default, PartialEq)]
struct Repair {
    /// Where it lies.
    grid: Option<Grid>,
    /// The value that becomes 1.
    foreground: Option<u16>,
    /// Whether values that are not finite are replaced.
    finite: bool,
    /// Remarks that go when it is written anew.
    remarks: Vec<String>,
}

/// What can be done about problems, file by file.
fn repairs(dataset: &dyn Dataset, problems: &[Problem]) -> BTreeMap<PathBuf, Repair> {
    let mut repairs: BTreeMap<PathBuf, Repair> = BTreeMap::new();
    for problem in problems {
        let files = problem.case.as_ref().map(|case| dataset.files(case)).unwrap_or_default();
        match (problem.kind, &problem.path) {
            (ProblemKind::Geometry, _) => {
                for (path, grid) in misplaced(&files) {
                    repairs.entry(path).or_default().grid = Some(grid);
                }
            }
            (ProblemKind::LabelValues, Some(path)) => {
                if let Some(value) = lone_value(dataset, path) {
                    repairs.entry(path.clone()).or_default().foreground = Some(value);
                }
            }
            (ProblemKind::NonFinite, _) => {
                let not_finite = |path: &PathBuf| {
                    read_image(path).is_ok_and(|it| it.data.iter().any(|value| !value.is_finite()))
                };
                for path in files.into_iter().filter(not_finite) {
                    repairs.entry(path).or_default().finite = true;
                }
            }
            // One for all files of which the same is remarked.
            (ProblemKind::Remark, _) => {
                for path in dataset.ids().iter().flat_map(|id| dataset.files(id)) {
                    let remarks = format::notes(&path);
                    // Written anew, a guess would look like knowledge.
                    let is_sure = !remarks.iter().any(|remark| format::is_guess(remark));
                    if !remarks.is_empty() && is_sure && path.is_file() {
                        repairs.entry(path).or_default().remarks = remarks;
                    }
                }
            }
            _ => {}
        }
    }
    repairs
}

/// The files of a case that lie a little beside its first, or say nothing of where they lie; and where that is.
fn misplaced(files: &[PathBuf]) -> Vec<(PathBuf, Grid)> {
    let Some((first, others)) = files.split_first() else { return Vec::new() };
    let Ok(image) = format::meta(first) else { return Vec::new() };
    let is_near = |path: &&PathBuf| {
        format::meta(path).is_ok_and(|meta| {
            let grid = &meta.grid;
            let says_nothing = Grid::new(grid.size, [1.0; 3]).is_ok_and(|plain| plain == *grid);
            meta.geometry
                && grid.size == image.grid.size
                && grid.difference(&image.grid).is_some()
                && (says_nothing || distance(grid, &image.grid) < 0.5)
        })
    };
    others.iter().filter(is_near).map(|path| (path.clone(), image.grid.clone())).collect()
}

/// How far two grids of one size are apart at most, in edges of a voxel, the shortest.
fn distance(a: &Grid, b: &Grid) -> f64 {
    let edge = a.spacing.iter().chain(&b.spacing).copied().fold(f64::INFINITY, f64::min);
    let corners = (0..8).map(|corner| {
        let voxel: [f64; 3] = std::array::from_fn(|axis| {
            if corner >> axis & 1 == 1 { a.size[axis] as f64 - 1.0 } else { 0.0 }
        });
        let apart = a.position(voxel).into_iter().zip(b.position(voxel));
        apart.map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
    });
    corners.fold(0.0, f64::max) / edge
}

/// The one value beside 0 of a mask, where there are two classes, 0 and 1.
fn lone_value(dataset: &dyn Dataset, path: &Path) -> Option<u16> {
    let classes = &dataset.description().classes;
    if classes.len() != 2 || classes[0].values != [0] || classes[1].values != [1] {
        return None;
    }
    let labels = read_label_map(path).ok()?;
    let mut others = labels.data.iter().filter(|&&value| value != 0);
    let first = *others.next()?;
    (first != 1 && others.all(|&value| value == first)).then_some(first)
}

impl Repair {
    fn in_words(&self) -> Vec<String> {
        let mut words = Vec::new();
        if self.grid.is_some() {
            words.push("lies where the image does".to_owned());
        }
        if let Some(value) = self.foreground {
            words.push(format!("{value} is 1 now"));
        }
        if self.finite {
            words.push("NaN and infinite values are the smallest of their channel now".to_owned());
        }
        words.extend(self.remarks.iter().map(|remark| format!("no longer: {remark}")));
        words
    }

    /// Writes a file anew; what that has mended. Where it is nothing, the file is not touched.
    fn write(mut self, path: &Path) -> Result<Vec<String>> {
        // Tried beside it, under the same name, which says the format: what a file was is not to be had again once it is
        // written, be it one of two halves.
        let trial = path.with_file_name(".mending");
        fs::create_dir_all(&trial).map_err(Error::writing(&trial))?;
        let tried = trial.join(path.file_name().unwrap_or_default());
        let (labels, image) = match self.labels(path) {
            Some(labels) => (Some(labels), None),
            None => (None, self.image(path)),
        };
        let write_to = |path: &Path| match (&labels, &image) {
            (Some(labels), _) => write_label_map(path, labels).map(|()| true),
            (None, Some(image)) => write_image(path, image).map(|()| true),
            (None, None) => Ok(false),
        };
        let written = match write_to(&tried) {
            // A format that cannot hold it, not a disk that is full.
            Err(Error::Unsupported { .. }) => Ok(false),
            other => other,
        };
        if !format::notes(&tried).is_empty() {
            self.remarks.clear();
        }
        fs::remove_dir_all(&trial).map_err(Error::writing(&trial))?;
        if !written? || self == Self::default() {
            return Ok(Vec::new());
        }
        write_to(path)?;
        Ok(self.in_words())
    }

    /// Its voxels as labels, where they are whole numbers: those of images that are, too, since they take less room so.
    fn labels(&self, path: &Path) -> Option<LabelMap> {
        // Channels that are all the same would become one.
        if self.finite || format::meta(path).is_ok_and(|meta| meta.channels > 1) {
            return None;
        }
        let LabelMap { grid, mut data } = read_label_map(path).ok()?;
        if let Some(foreground) = self.foreground {
            data.mapv_inplace(|value| if value == foreground { 1 } else { value });
        }
        LabelMap::new(self.grid.clone().unwrap_or(grid), data).ok()
    }

    fn image(&self, path: &Path) -> Option<Image> {
        let Image { grid, mut data } = read_image(path).ok()?;
        for mut channel in data.axis_iter_mut(Axis(0)) {
            let finite = channel.iter().copied().filter(|value| value.is_finite());
            let least = finite.reduce(f32::min).unwrap_or(0.0);
            channel.mapv_inplace(|value| if value.is_finite() { value } else { least });
        }
        Image::new(self.grid.clone().unwrap_or(grid), data).ok()
    }
}

impl fmt::Display for Mended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (path, what) in &self.files {
            writeln!(f, "mended: {}: {}", path.display(), what.join("; "))?;
        }
        write!(f, "{}", self.report)
    }
}
