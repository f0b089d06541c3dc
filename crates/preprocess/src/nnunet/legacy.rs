use serde::{Deserialize, Serialize};

use super::{ActivationSettings, Architecture, ArchitectureSettings, NormSettings};

/// A network as nnU-Net before 2.4 writes it: what is not said was the same for all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LegacyArchitecture {
    /// The class, without its module: `PlainConvUNet` or `ResidualEncoderUNet`.
    #[serde(rename = "UNet_class_name", default, skip_serializing_if = "Option::is_none")]
    pub class_name: Option<String>,
    /// Channels of the finest stage; each stage has twice those of the one before.
    #[serde(rename = "UNet_base_num_features", default, skip_serializing_if = "Option::is_none")]
    pub base_num_features: Option<usize>,
    /// No stage has more channels.
    #[serde(rename = "unet_max_num_features", default, skip_serializing_if = "Option::is_none")]
    pub max_num_features: Option<usize>,
    /// Convolutions or blocks of each stage on the way down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_conv_per_stage_encoder: Option<Vec<usize>>,
    /// Convolutions of each stage on the way up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_conv_per_stage_decoder: Option<Vec<usize>>,
    /// The stride of each stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_op_kernel_sizes: Option<Vec<Vec<usize>>>,
    /// Extents of each stage's kernels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conv_kernel_sizes: Option<Vec<Vec<usize>>>,
}

impl LegacyArchitecture {
    /// The same in today's words; `None` where something is missing.
    pub(super) fn modern(&self) -> Option<Architecture> {
        let class = self.class_name.clone()?;
        let kernel_sizes = self.conv_kernel_sizes.clone()?;
        let (base, most) = (self.base_num_features?, self.max_num_features?);
        let features = |stage: u32| 2_usize.checked_pow(stage)?.checked_mul(base);
        let stages = u32::try_from(kernel_sizes.len()).ok()?;
        let features_per_stage =
            (0..stages).map(|stage| features(stage).unwrap_or(most).min(most)).collect();
        let is_residual = class == "ResidualEncoderUNet";
        let down = self.n_conv_per_stage_encoder.clone()?;
        let rank = kernel_sizes.first()?.len();
        Some(Architecture {
            network_class_name: format!("dynamic_network_architectures.architectures.unet.{class}"),
            arch_kwargs: ArchitectureSettings {
                n_stages: kernel_sizes.len(),
                features_per_stage,
                conv_op: format!("torch.nn.modules.conv.Conv{rank}d"),
                kernel_sizes,
                strides: self.pool_op_kernel_sizes.clone()?,
                n_conv_per_stage: (!is_residual).then(|| down.clone()),
                n_blocks_per_stage: is_residual.then_some(down),
                n_conv_per_stage_decoder: self.n_conv_per_stage_decoder.clone()?,
                conv_bias: true,
                norm_op: format!("torch.nn.modules.instancenorm.InstanceNorm{rank}d"),
                norm_op_kwargs: NormSettings { eps: 1e-5, affine: true },
                dropout_op: None,
                dropout_op_kwargs: None,
                nonlin: "torch.nn.LeakyReLU".to_owned(),
                nonlin_kwargs: ActivationSettings { negative_slope: None, inplace: true },
            },
            kw_requires_import: ["conv_op", "norm_op", "dropout_op", "nonlin"]
                .map(str::to_owned)
                .to_vec(),
        })
    }

    /// Fills in what is absent here and not there.
    pub(super) fn complete(&mut self, other: &Self) {
        macro_rules! fill {
            ($($field:ident),* $(,)?) => {
                $(if self.$field.is_none() { self.$field.clone_from(&other.$field); })*
            };
        }
        fill!(
            class_name,
            base_num_features,
            max_num_features,
            n_conv_per_stage_encoder,
            n_conv_per_stage_decoder,
            pool_op_kernel_sizes,
            conv_kernel_sizes,
        );
    }
}
