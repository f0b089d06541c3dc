//! A narrow network of each kind.

use sconce_models::ModelConfig;

const SETTINGS: &[&str] = &[
    "[unet]\nfeatures_per_stage = [4, 8, 16]",
    "[residual_unet]\nfeatures_per_stage = [4, 8, 16]",
    "[monai_unet]\nchannels = [4, 8, 16]\nstrides = [2, 2]\nnum_res_units = 2",
    "[basic_unet]\nfeatures = [4, 4, 8, 8, 16, 4]",
    "[dyn_unet]\nfilters = [4, 8, 16]\nkernel_size = [3, 3, 3]\nstrides = [1, 2, 2]\nres_block = true",
    "[segresnet]\nblocks_down = [1, 1, 1]\nblocks_up = [1, 1]",
    "[attention_unet]\nchannels = [4, 8, 16]\nstrides = [2, 2]",
    "[miscnn_unet]\nn_filters = 4\ndepth = 2",
    "[smp_unet]\nencoder = \"mobilenet_v2\"\ndecoder_channels = [16, 8, 8, 8, 8]",
    "[fpn]\nencoder = \"efficientnet_b0\"\ndecoder_pyramid_channels = 16\n\
     decoder_segmentation_channels = 32",
    "[w_net]\nencoder = \"mobilenet_v2\"\ndecoder_pyramid_channels = 16\n\
     decoder_segmentation_channels = 32",
    "[deeplabv3]\nencoder = \"mobilenet_v2\"\ndecoder_channels = 16",
    "[deeplabv3_plus]\nencoder = \"efficientnet_b0\"\ndecoder_channels = 16",
    "[pspnet]\nencoder = \"resnet18\"\npsp_out_channels = 16",
    "[upernet]\nencoder = \"mit_b0\"\ndecoder_channels = 16",
    "[segformer]\ndecoder_segmentation_channels = 16",
    "[text_unet]\nembedding = 6\ncondition = 5\nwidth = 4\n[text_unet.unet]\nfeatures_per_stage = [4, 8, 16]",
];

/// One of each kind, in the order of the table.
pub(crate) fn networks() -> anyhow::Result<Vec<ModelConfig>> {
    let networks = SETTINGS.iter().map(|settings| toml::from_str(settings));
    let networks = networks.collect::<Result<Vec<ModelConfig>, _>>()?;
    let names: Vec<&str> = networks.iter().map(ModelConfig::name).collect();
    anyhow::ensure!(names == ModelConfig::NAMES, "{names:?} are not all");
    Ok(networks)
}
