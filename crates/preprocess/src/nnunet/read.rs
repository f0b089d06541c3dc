use std::array;

use super::{Architecture, Configuration, Plans, ResamplingSettings};
use crate::normalize::Normalize;
use crate::spline::Interpolation;
use crate::{Error, GridRule, Plan, Result};

/// The stages of a planned network, finest first: for each, one number for each axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stages {
    /// How much coarser each is than the one before; 1 for the first.
    pub strides: Vec<Vec<usize>>,
    /// Extents of its kernels.
    pub kernel_sizes: Vec<Vec<usize>>,
}

impl Plans {
    /// A configuration, with what it inherits from others filled in.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where there is none of that name, or it inherits from itself.
    pub fn configuration(&self, name: &str) -> Result<Configuration> {
        let mut found = Configuration::default();
        let mut next = Some(name.to_owned());
        // As many as there are, if each inherits from another.
        for _ in 0..=self.configurations.len() {
            let Some(name) = next.take() else { return Ok(found) };
            let Some(own) = self.configurations.get(&name) else {
                let names: Vec<&str> = self.configurations.keys().map(String::as_str).collect();
                return Err(Error::Settings(format!(
                    "the plans {} have no configuration {name}; there are {}",
                    self.plans_name,
                    names.join(", ")
                )));
            };
            next.clone_from(&own.inherits_from);
            found.complete(own);
        }
        Err(Error::Settings(format!(
            "configuration {name} of the plans {} inherits from itself",
            self.plans_name
        )))
    }

    /// How to prepare cases for a configuration.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where there is no such configuration, or it lacks something, or asks for what
    /// there is not here.
    pub fn plan(&self, name: &str) -> Result<Plan> {
        let Configuration {
            batch_size,
            patch_size,
            median_image_size_in_voxels,
            spacing,
            resampling_fn_data,
            resampling_fn_data_kwargs,
            ..
        } = self.configuration(name)?;
        let refuse = |what: String| {
            Error::Settings(format!("configuration {name} of the plans {} {what}", self.plans_name))
        };
        let lacks = |what: &str| refuse(format!("has no {what}"));
        let patch = patch_size.ok_or_else(|| lacks("patch_size"))?;
        let rank = patch.len();
        let spacing = spacing.ok_or_else(|| lacks("spacing"))?;
        if !(2..=3).contains(&rank) || spacing.len() != rank {
            return Err(refuse(format!(
                "has a patch of {rank} extents and {} spacings; both are to be 2 or 3",
                spacing.len()
            )));
        }
        let size = match median_image_size_in_voxels {
            Some(size) if size.len() == rank => size,
            _ => patch.iter().map(|&voxels| voxels as f64).collect(),
        };
        let interpolation = match resampling_fn_data_kwargs {
            None | Some(ResamplingSettings { order: 3, .. }) => Interpolation::Cubic,
            Some(ResamplingSettings { order: 2, .. }) => Interpolation::Quadratic,
            Some(ResamplingSettings { order: 1, .. }) => Interpolation::Linear,
            Some(ResamplingSettings { order: 0, .. }) => Interpolation::Nearest,
            Some(ResamplingSettings { order, .. }) => {
                return Err(refuse(format!(
                    "interpolates by splines of order {order}; here are 0 to 3"
                )));
            }
        };
        let first = 3 - rank;
        // Across slices, everything is as it is in the images.
        let with = |across: f64, rest: &[f64]| -> [f64; 3] {
            array::from_fn(|axis| if axis < first { across } else { rest[axis - first] })
        };
        Ok(Plan {
            schema: Plan::SCHEMA,
            rank,
            canonical: self.image_reader_writer.ends_with("WithReorient"),
            transpose: self.transpose_forward,
            crop_to_nonzero: true,
            normalize: self.normalizers(name)?,
            resample: resampling_fn_data.as_deref() != Some("no_resampling_data_or_seg_to_shape"),
            spacing: with(self.original_median_spacing_after_transp[0], &spacing),
            interpolation,
            grid: GridRule::Nnunet,
            median_size: with(self.original_median_shape_after_transp[0] as f64, &size),
            patch_size: array::from_fn(|axis| if axis < first { 1 } else { patch[axis - first] }),
            context: 0,
            batch_size: batch_size.ok_or_else(|| lacks("batch_size"))?,
        })
    }

    /// Where the network of a configuration halves its feature maps.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where there is no such configuration, or it lacks its architecture.
    pub fn stages(&self, name: &str) -> Result<Stages> {
        let given = self.architecture(name)?.arch_kwargs;
        Ok(Stages { strides: given.strides, kernel_sizes: given.kernel_sizes })
    }

    /// The network of a configuration, also where nnU-Net before 2.4 has planned it.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where there is no such configuration, or it does not say what network it has.
    pub fn architecture(&self, name: &str) -> Result<Architecture> {
        let configuration = self.configuration(name)?;
        let found = configuration.architecture.or_else(|| configuration.legacy.modern());
        found.ok_or_else(|| {
            Error::Settings(format!(
                "configuration {name} of the plans {} does not say what network it has",
                self.plans_name
            ))
        })
    }

    fn normalizers(&self, name: &str) -> Result<Vec<Normalize>> {
        let Configuration { normalization_schemes, use_mask_for_norm, .. } =
            self.configuration(name)?;
        let schemes = normalization_schemes.unwrap_or_default();
        let masks = use_mask_for_norm.unwrap_or_default();
        let of = |(channel, scheme): (usize, &String)| {
            Ok(match scheme.as_str() {
                "CTNormalization" => {
                    let all = &self.foreground_intensity_properties_per_channel;
                    let found = all.get(&channel.to_string()).ok_or_else(|| {
                        Error::Settings(format!(
                            "the plans {} have no intensities of channel {channel}, which is to be \
                             clipped to them",
                            self.plans_name
                        ))
                    })?;
                    Normalize::Ct {
                        mean: found.mean,
                        std: found.std,
                        lower: found.percentile_00_5,
                        upper: found.percentile_99_5,
                    }
                }
                "ZScoreNormalization" => {
                    Normalize::ZScore { masked: masks.get(channel).copied().unwrap_or(false) }
                }
                "RescaleTo01Normalization" => Normalize::RescaleTo01,
                "RGBTo01Normalization" => Normalize::RgbTo01,
                "NoNormalization" => Normalize::None,
                other => {
                    return Err(Error::Settings(format!(
                        "channel {channel} of the plans {} is normalised by {other}, which there is not \
                         here",
                        self.plans_name
                    )));
                }
            })
        };
        schemes.iter().enumerate().map(of).collect()
    }
}

impl Configuration {
    /// Fills in what is absent here and not there.
    fn complete(&mut self, other: &Self) {
        macro_rules! fill {
            ($($field:ident),* $(,)?) => {
                $(if self.$field.is_none() { self.$field.clone_from(&other.$field); })*
            };
        }
        fill!(
            data_identifier,
            preprocessor_name,
            batch_size,
            patch_size,
            median_image_size_in_voxels,
            spacing,
            normalization_schemes,
            use_mask_for_norm,
            resampling_fn_data,
            resampling_fn_seg,
            resampling_fn_data_kwargs,
            resampling_fn_seg_kwargs,
            resampling_fn_probabilities,
            resampling_fn_probabilities_kwargs,
            architecture,
            batch_dice,
            previous_stage,
            next_stage,
        );
        self.legacy.complete(&other.legacy);
    }
}
