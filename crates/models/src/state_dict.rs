/// The name under which a network of this crate knows a tensor of a state dict, of nnU-Net, MONAI or
/// segmentation-models-pytorch; `None` for what it does not keep.
///
/// nnU-Net lists many tensors several times: `….all_modules.…` and `decoder.encoder.…` are other
/// names for the same storage. Wrappers put `module.` or `_orig_mod.` in front, and batch norms
/// count their batches. MONAI's SegResNet lists an activation twice, its DynUNet all layers, with heads that only
/// training asks for, and encoders of timm have layers before their classifier that no decoder reads.
///
/// ```
/// use sconce_models::canonical_name;
///
/// let name = "encoder.stages.0.0.convs.0.conv.weight";
/// assert_eq!(canonical_name(&format!("module.{name}")), Some(name));
/// assert_eq!(canonical_name("encoder.stages.0.0.convs.0.all_modules.0.weight"), None);
/// assert_eq!(canonical_name("decoder.encoder.stages.0.0.convs.0.conv.weight"), None);
/// ```
pub fn canonical_name(name: &str) -> Option<&str> {
    let mut name = name;
    while let Some(inner) = name.strip_prefix("module.").or_else(|| name.strip_prefix("_orig_mod."))
    {
        name = inner;
    }
    let dropped = name.contains(".all_modules.")
        || name.starts_with("decoder.encoder.")
        || name.starts_with("act_mod.")
        || name.starts_with("skip_layers.")
        || name.starts_with("deep_supervision_heads.")
        || name.starts_with("encoder.conv_head.")
        || name.starts_with("encoder.bn2.")
        || name.ends_with(".num_batches_tracked");
    (!dropped).then_some(name)
}
