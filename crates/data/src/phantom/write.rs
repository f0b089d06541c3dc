use std::fs;
use std::path::Path;

use volume::Label;

use super::Phantom;
use crate::format::replace::replace_json;
use crate::layout::raters::Raters;
use crate::{
    Dataset as _, Error, LayoutConfig, Result, write_image, write_label_map, write_soft_labels,
};

impl Phantom {
    /// The settings that read what [`Phantom::write`] writes.
    pub fn layout(&self) -> LayoutConfig {
        LayoutConfig::from(Raters {
            channels: self.description.channels.clone(),
            classes: self.description.classes.clone(),
            ..Raters::default()
        })
    }

    /// Writes all cases into a folder, named as QUBIQ names them, and tells `progress` how many of
    /// how many are done.
    ///
    /// ```text
    /// folder
    /// ├── layout.json                   the settings that read this folder, see `Phantom::layout`
    /// └── case01
    ///     ├── image.nii.gz
    ///     ├── task01_seg01.nii.gz       the mask of rater 01
    ///     ├── task01_seg02.nii.gz
    ///     └── truth.nii.gz              the true class probabilities, which no rater knows
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Io`], where a file cannot be written.
    pub fn write(&self, folder: &Path, mut progress: impl FnMut(usize, usize)) -> Result<()> {
        let ids = self.ids();
        progress(0, ids.len());
        for (done, id) in ids.iter().enumerate() {
            let place = folder.join(id);
            fs::create_dir_all(&place).map_err(Error::writing(&place))?;
            let case = self.read(id)?;
            write_image(place.join("image.nii.gz"), &case.image)?;
            if let Some(Label::Raters(masks)) = &case.label {
                for (rater, mask) in self.description.raters.iter().zip(masks) {
                    write_label_map(place.join(format!("task01_seg{rater}.nii.gz")), mask)?;
                }
            }
            write_soft_labels(place.join("truth.nii.gz"), &self.truth(id)?)?;
            progress(done + 1, ids.len());
        }
        replace_json(&folder.join("layout.json"), &self.layout())
    }
}
