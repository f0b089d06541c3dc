//! What was planned, and why, in plain words.

use super::planner::Planned;
use super::{Architecture, Configuration};
use crate::Preset;
use crate::budget::Allotted;

impl Planned {
    /// A paragraph for each choice.
    pub fn explained(&self) -> Vec<String> {
        let mut all = vec![self.resolution(), self.axes(), self.intensities()];
        for name in ["2d", "3d_fullres", "3d_lowres"] {
            if let Some(configuration) = self.plans.configurations.get(name) {
                all.push(self.network(name, configuration));
            }
        }
        if self.plans.configurations.contains_key("3d_cascade_fullres") {
            all.push(
                "3d_cascade_fullres: the network of 3d_fullres, which is also shown what that of \
                 3d_lowres says: a patch of fine voxels sees too little of an image to know where it is."
                    .to_owned(),
            );
        } else if self.plans.configurations.contains_key("3d_fullres") {
            all.push(
                "There is no configuration of lower resolution: a patch of 3d_fullres sees a quarter of \
                 the median image or more, or nearly so."
                    .to_owned(),
            );
        }
        all
    }

    fn resolution(&self) -> String {
        let target = self.fine().and_then(|fine| fine.spacing.clone()).unwrap_or_default();
        let size = listed(&self.plans.original_median_shape_after_transp);
        let middle = millimetres(&self.plans.original_median_spacing_after_transp);
        let of = format!(
            "{} cases; the median one has {size} voxels of {middle} mm along the network's axes, its empty \
             margin cut off.",
            self.cases
        );
        let target = millimetres(&target);
        let why = if !self.plans.configurations.contains_key("3d_fullres") {
            format!(
                "Images are brought to {target} mm in their plane, the median, so that a structure is as \
                 many pixels wide in each of them."
            )
        } else if self.refined {
            format!(
                "Images are resampled to {target} mm. Slices are more than three times as thick as pixels \
                 are wide, and few: across them, the finest tenth of the cases decides and not the median, \
                 since thick slices that are made of thin ones lose more than the reverse."
            )
        } else {
            format!(
                "Images are resampled to {target} mm, the median of the data set, so that a structure is \
                 as many voxels wide in each case."
            )
        };
        format!("{of} {why}")
    }

    fn axes(&self) -> String {
        let axes = self.plans.transpose_forward;
        if axes == [0, 1, 2] {
            return "The arrays' axes stay in their order: none is coarser than the first, across which \
                    the 2D network's slices are taken."
                .to_owned();
        }
        format!(
            "The arrays' axis {} is the coarsest and comes first (transpose_forward {axes:?}): the 2D \
             network's slices are taken across it.",
            axes[0]
        )
    }

    fn intensities(&self) -> String {
        let schemes = self.fine().and_then(|fine| fine.normalization_schemes.clone());
        let masks = self.fine().and_then(|fine| fine.use_mask_for_norm.clone()).unwrap_or_default();
        let mut said = Vec::new();
        for (channel, scheme) in schemes.unwrap_or_default().iter().enumerate() {
            let name = &self.config.channels[channel];
            let key = channel.to_string();
            let found = self.plans.foreground_intensity_properties_per_channel.get(&key);
            said.push(match (scheme.as_str(), found) {
                ("CTNormalization", Some(found)) => format!(
                    "channel {name} is CT, whose values mean the same in each image: it is clipped to {:.4} \
                     .. {:.4}, which all but a hundredth of the labelled voxels have, and brought to the \
                     mean {:.4} and deviation {:.4} of those",
                    found.percentile_00_5, found.percentile_99_5, found.mean, found.std
                ),
                ("CTNormalization", None) => format!(
                    "channel {name} is CT, but no labelled voxel says which intensities matter: neither \
                     system can train on this plan"
                ),
                ("RescaleTo01Normalization", _) => {
                    format!("channel {name} is stretched from its smallest to its largest value")
                }
                ("RGBTo01Normalization", _) => {
                    format!("channel {name} is that of a photograph: divided by 255")
                }
                ("NoNormalization", _) => format!("channel {name} stays as it is"),
                _ if masks.get(channel) == Some(&true) => format!(
                    "channel {name} is brought to mean 0 and deviation 1 in each image, where it is not \
                     outside the patient: cutting off empty margins leaves {:.0} % of the median image, \
                     so that what is outside would decide",
                    100.0 * self.kept
                ),
                _ => format!(
                    "channel {name} has no scale of its own: it is brought to mean 0 and deviation 1 in \
                     each image"
                ),
            });
        }
        let text = said.join("; ");
        format!("{}.", capitalized(&text))
    }

    fn network(&self, name: &str, configuration: &Configuration) -> String {
        let Configuration {
            patch_size, median_image_size_in_voxels, spacing, architecture, ..
        } = configuration;
        let (Some(patch), Some(size), Some(architecture), Some(allotted)) =
            (patch_size, median_image_size_in_voxels, architecture, self.allotted.get(name))
        else {
            return String::new();
        };
        let memory = self.config.memory;
        let share: f64 =
            patch.iter().zip(size).map(|(&patch, size)| (patch as f64 / size).min(1.0)).product();
        let sees = format!("sees {:.0} % of the median image", 100.0 * share);
        let at = match (name, spacing) {
            ("3d_lowres", Some(spacing)) => format!(
                " at {} mm, the finest spacing at which a patch sees a quarter of an image",
                millimetres(spacing)
            ),
            _ => String::new(),
        };
        let patch = if allotted.is_shortened {
            format!(
                "a patch of {} voxels is the largest of about the image's proportions for which {memory} \
                 GB suffice by nnU-Net's estimate; it {sees}",
                listed(patch)
            )
        } else {
            format!(
                "a patch of {} voxels {sees}, and would gain nothing by being larger",
                listed(patch)
            )
        };
        format!(
            "{name}{at}: {patch}. {} {}",
            self.batch(allotted),
            depth(self.config.preset, architecture)
        )
    }

    fn batch(&self, allotted: &Allotted) -> String {
        let Allotted { batch_size, fitting, covering, .. } = *allotted;
        if batch_size > fitting.min(covering) {
            return format!(
                "{batch_size} patches in a batch are the fewest that training does well with."
            );
        }
        if fitting <= covering {
            return format!(
                "The memory that is left makes room for {batch_size} patches in a batch."
            );
        }
        format!(
            "Of {fitting} patches that memory has room for, {batch_size} make a batch: more would show {} \
             of all voxels at once, and training would learn the cases by heart.",
            if self.config.preset == Preset::Plain { "over a twentieth" } else { "more than all" }
        )
    }

    /// The configuration of full resolution.
    fn fine(&self) -> Option<&Configuration> {
        let all = &self.plans.configurations;
        all.get("3d_fullres").or_else(|| all.get("2d"))
    }
}

/// How deep the network is, and why.
fn depth(preset: Preset, architecture: &Architecture) -> String {
    let settings = &architecture.arch_kwargs;
    let rank = settings.strides.first().map_or(0, Vec::len);
    let halvings: Vec<usize> = (0..rank)
        .map(|axis| settings.strides.iter().filter(|stride| stride[axis] > 1).count())
        .collect();
    let flat = settings.kernel_sizes.iter().filter(|kernel| kernel.contains(&1)).count();
    let kernels = if flat == 0 {
        String::new()
    } else {
        format!(
            " Kernels are one voxel wide across the slices in the first {flat} {}, until pixels are as \
             large as slices are thick, within a factor of 2.",
            if flat == 1 { "stage" } else { "stages" }
        )
    };
    let blocks = if preset.is_residual() {
        let blocks = settings.n_blocks_per_stage.as_deref().unwrap_or_default();
        format!("residual blocks {}", in_turn(blocks))
    } else {
        "two convolutions in each".to_owned()
    };
    format!(
        "The network has {} stages, {blocks}, and halves its axes {} times, as long as a feature map keeps \
         four voxels; channels {}.{kernels}",
        settings.n_stages,
        listed(&halvings),
        in_turn(&settings.features_per_stage),
    )
}

fn in_turn(values: &[usize]) -> String {
    values.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

fn listed(values: &[usize]) -> String {
    values.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ")
}

/// Millimetres with as many digits as matter.
fn millimetres(values: &[f64]) -> String {
    let one = |value: &f64| {
        let text = format!("{value:.4}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    values.iter().map(one).collect::<Vec<_>>().join(" × ")
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}
