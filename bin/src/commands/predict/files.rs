//! The files that a prediction becomes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sconce::data::{self, ImageFiles, SegmentationOf};
use sconce::engine::{Ensemble, NetworkConfig, Segmentation, Statistics, Wanted, file, report};
use sconce::losses::Activation;
use sconce::volume::{Grid, Image, LabelMap};

use super::manifest::{Made, Manifest};

/// Which files are wanted beside the labels.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Asked {
    /// Write class probabilities beside the labels
    #[arg(long)]
    pub(super) probabilities: bool,
    /// Write class probabilities as nnU-Net saves them, in half precision, as CASE.npz
    #[arg(long)]
    pub(super) npz: bool,
    /// Write how undecided the model is about each voxel, from 0 to 1, below `entropy`
    #[arg(long)]
    pub(super) entropy: bool,
    /// Write how far the networks of an ensemble disagree about each voxel, from 0 to 1, below `disagreement`
    #[arg(long)]
    pub(super) disagreement: bool,
    /// Write a file with the mask of each class, below `masks`
    #[arg(long)]
    pub(super) masks: bool,
    /// Write a picture with the classes laid over it, of images that are a single slice, below `overlays`
    #[arg(long)]
    pub(super) overlay: bool,
    /// Write volumes and mean intensities of each class as JSON, below `statistics`
    #[arg(long)]
    pub(super) statistics: bool,
}

/// Where the predictions of one image go.
#[derive(Debug)]
pub(super) struct Files {
    labels: PathBuf,
    probabilities: Option<PathBuf>,
    npz: Option<PathBuf>,
    entropy: Option<PathBuf>,
    disagreement: Option<PathBuf>,
    /// Of each class but the background.
    masks: Vec<PathBuf>,
    statistics: Option<PathBuf>,
    overlay: Option<PathBuf>,
    manifest: PathBuf,
}

/// An image, as far as its files are to be written.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) case: ImageFiles,
    pub(super) files: Files,
    /// Those of its files that are not there, or are to be replaced.
    pub(super) missing: Vec<PathBuf>,
}

impl Files {
    /// Labels end in `ending`.
    pub(super) fn of(
        case: &ImageFiles,
        output: &Path,
        asked: Asked,
        ending: &str,
        network: &NetworkConfig,
    ) -> Self {
        let named = |ending: &str| output.join(format!("{}{ending}", case.id));
        let below =
            |folder: &str, ending: &str| output.join(folder).join(format!("{}{ending}", case.id));
        let classes = network.classes.iter().skip(1).map(|class| class.name.as_str());
        // What a header does not say, reading will.
        let is_flat = case.grid().is_ok_and(|grid| grid.is_planar());
        let mask =
            |name: String| output.join("masks").join(&case.id).join(format!("{name}{ending}"));
        Self {
            labels: named(ending),
            probabilities: asked.probabilities.then(|| named("_probabilities.nii.gz")),
            npz: asked.npz.then(|| named(".npz")),
            entropy: asked.entropy.then(|| below("entropy", ".nii.gz")),
            disagreement: asked.disagreement.then(|| below("disagreement", ".nii.gz")),
            masks: if asked.masks { file_names(classes).map(mask).collect() } else { Vec::new() },
            statistics: asked.statistics.then(|| below("statistics", ".json")),
            overlay: (asked.overlay && is_flat).then(|| below("overlays", ".png")),
            manifest: named("_prediction.json"),
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &PathBuf> {
        let one = std::iter::once(&self.labels).chain(&self.probabilities).chain(&self.npz);
        let maps = self.entropy.iter().chain(&self.disagreement);
        one.chain(maps).chain(&self.masks).chain(&self.statistics).chain(&self.overlay)
    }
}

impl Work {
    fn is_missing(&self, path: Option<&PathBuf>) -> bool {
        path.is_some_and(|path| self.missing.contains(path))
    }

    /// What the networks are to say.
    pub(super) fn wanted(&self) -> Wanted {
        let Files { probabilities, npz, entropy, disagreement, .. } = &self.files;
        Wanted {
            probabilities: self.is_missing(probabilities.as_ref()) || self.is_missing(npz.as_ref()),
            entropy: self.is_missing(entropy.as_ref()),
            disagreement: self.is_missing(disagreement.as_ref()),
        }
    }

    /// Whether the image itself is looked at once more when files are written.
    pub(super) fn needs_image(&self) -> bool {
        self.is_missing(self.files.statistics.as_ref())
            || self.is_missing(self.files.overlay.as_ref())
    }

    /// Writes the missing files; last the one that says what made them. The image is what [`Work::needs_image`] asks for, and the grid
    /// that of its file.
    pub(super) fn write(
        &self,
        networks: &Ensemble,
        (image, grid): (Option<&Image>, &Grid),
        said: Segmentation,
        made: &Made,
    ) -> anyhow::Result<()> {
        // What is measured is measured by what the image was taken for; what is written lies where its file lies.
        let found = networks.to_files(said.labels.clone());
        let said = &said.placed(grid);
        for path in &self.missing {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)
                    .with_context(|| format!("cannot create {}", folder.display()))?;
            }
        }
        let manifest = Manifest::at(&self.files.manifest);
        // What is about to be replaced is no longer what was said of it.
        manifest.forget(&self.missing)?;
        let missing = |path: &&PathBuf| self.missing.contains(path);
        if let Some(path) = self.files.probabilities.as_ref().filter(missing) {
            write_probabilities(path, said)?;
        }
        if let (Some(path), Some(image)) =
            (self.files.npz.as_ref().filter(missing), &said.probabilities)
        {
            data::write_npz(path, image)?;
        }
        let maps =
            [(&self.files.entropy, &said.entropy), (&self.files.disagreement, &said.disagreement)];
        for (path, map) in maps {
            if let (Some(path), Some(map)) = (path.as_ref().filter(missing), map) {
                data::write_image(path, map)?;
            }
        }
        let Files { labels, masks, statistics, overlay, .. } = &self.files;
        if masks
            .iter()
            .chain(statistics)
            .chain(overlay)
            .chain([labels])
            .any(|path| self.missing.contains(path))
        {
            self.write_labels(networks.config(), found, (image, grid))?;
        }
        manifest.add(&self.case, networks.config(), &self.missing, made)
    }

    fn write_labels(
        &self,
        network: &NetworkConfig,
        mut labels: LabelMap,
        (image, grid): (Option<&Image>, &Grid),
    ) -> anyhow::Result<()> {
        let values = network.label_members();
        let statistics = self.files.statistics.as_ref().filter(|path| self.missing.contains(path));
        if let (Some(path), Some(image)) = (statistics, image) {
            let statistics = Statistics::of(&labels, image, &network.classes, &values);
            file::write_json(path, &statistics)?;
        }
        labels.grid = grid.clone();
        let classes = network.classes.iter().skip(1).zip(&values[1..]);
        for (path, (class, members)) in self.files.masks.iter().zip(classes) {
            if self.missing.contains(path) {
                let mask = labels.data.mapv(|label| u16::from(members.contains(&label)));
                let mask = LabelMap::new(labels.grid.clone(), mask)?;
                self.write_map(path, &mask, &["background".to_owned(), class.name.clone()])?;
            }
        }
        let overlay = self.files.overlay.as_ref().filter(|path| self.missing.contains(path));
        if let (Some(path), Some(image)) = (overlay, image) {
            file::write_atomic(
                path,
                &report::overlay(image, &labels, &values, &network.colors())?,
            )?;
        }
        if self.missing.contains(&self.files.labels) {
            self.write_map(&self.files.labels, &labels, &names_of_values(network))?;
        }
        Ok(())
    }

    /// Writes labels whose values have these names; as DICOM, of the images that they were found in.
    fn write_map(&self, path: &Path, labels: &LabelMap, names: &[String]) -> anyhow::Result<()> {
        if path.extension().is_some_and(|ending| ending == "dcm") {
            let images = self.case.is_dicom().then(|| self.case.files[0].as_path());
            let of = SegmentationOf { images, classes: names };
            return Ok(data::write_segmentation(path, labels, of)?);
        }
        Ok(data::write_label_map(path, labels)?)
    }
}

/// The name of each value of a label file, up to the largest.
fn names_of_values(network: &NetworkConfig) -> Vec<String> {
    let values = network.label_values();
    let largest = usize::from(values.iter().copied().max().unwrap_or(0));
    let mut names: Vec<String> = (0..=largest).map(|value| format!("label {value}")).collect();
    for (class, value) in network.classes.iter().zip(values) {
        names[usize::from(value)].clone_from(&class.name);
    }
    names
}

/// Probabilities of regions that overlap do not sum to 1: they are an image, not a label.
fn write_probabilities(path: &Path, said: &Segmentation) -> anyhow::Result<()> {
    match (said.activation, &said.probabilities) {
        (Activation::Sigmoid, Some(image)) => data::write_image(path, image)?,
        _ => data::write_soft_labels(path, &said.soft_labels()?)?,
    }
    Ok(())
}

/// The names of classes, as those of files: no two alike.
fn file_names<'a>(classes: impl Iterator<Item = &'a str>) -> impl Iterator<Item = String> {
    let mut taken = BTreeSet::new();
    classes.map(move |class| {
        let mut name = file_name(class);
        // Some file systems do not tell capitals from small letters.
        while name.is_empty() || !taken.insert(name.to_lowercase()) {
            name.push('_');
        }
        name
    })
}

/// The name of a class, as that of a file: letters, digits, `-`, `_` and `.`, other characters as `_`.
fn file_name(class: &str) -> String {
    let kept = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.');
    let name: String = class.chars().map(|it| if kept(it) { it } else { '_' }).collect();
    // Neither hidden nor a folder.
    match name.strip_prefix('.') {
        Some(rest) => format!("_{rest}"),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_classes_lead_nowhere_else() {
        let of = ["left kidney", "../etc/passwd", "T1/T2", ".", "Niere_2", "größe"];
        let names = of.map(file_name);
        assert_eq!(names, ["left_kidney", "_._etc_passwd", "T1_T2", "_", "Niere_2", "größe"]);
    }

    #[test]
    fn no_two_classes_share_a_file() {
        let of = ["T1 x", "T1/x", "t1_X", "T1_x_", "", "_"];
        let names: Vec<String> = file_names(of.into_iter()).collect();
        assert_eq!(names, ["T1_x", "T1_x_", "t1_X__", "T1_x___", "_", "__"]);
    }
}
