//! What names and shapes of weights tell of a network of segmentation-models-pytorch.

use std::collections::BTreeMap;

use candle::Tensor;

/// Weights by their names.
pub(super) type Parameters = BTreeMap<String, Tensor>;

const FIRST: &str = "encoder.conv1.weight";

/// The weights without what a training program put before their names, such as `model.`, and without what is no
/// part of the segmentation.
pub(super) fn stripped(parameters: Parameters) -> Result<Parameters, String> {
    let prefixes = parameters.keys().filter_map(|name| name.strip_suffix(FIRST));
    let Some(prefix) = prefixes.min_by_key(|prefix| prefix.len()).map(str::to_owned) else {
        return Err(format!(
            "it has no {FIRST}: it is no network of segmentation-models-pytorch with a ResNet as encoder"
        ));
    };
    let own = parameters.into_iter().filter_map(|(name, tensor)| {
        let name = name.strip_prefix(&prefix)?;
        // Beside the segmentation: what says which classes an image has.
        let kept = !name.starts_with("classification_head.");
        kept.then(|| (name.to_owned(), tensor))
    });
    Ok(own.collect())
}

/// An extent of a tensor.
pub(super) fn extent(parameters: &Parameters, name: &str, axis: usize) -> Option<usize> {
    parameters.get(name)?.dims().get(axis).copied()
}

/// The class of the network.
pub(super) fn architecture(parameters: &Parameters) -> Option<&'static str> {
    let known = [
        ("decoder.blocks.0.conv1.0.weight", "Unet"),
        ("decoder.p5.weight", "FPN"),
        ("decoder.block2.0.0.weight", "DeepLabV3Plus"),
    ];
    known.into_iter().find(|(name, _)| parameters.contains_key(*name)).map(|(_, class)| class)
}

/// The name of the encoder, by its blocks; of one that there is not here, what it seems to be.
pub(super) fn encoder(parameters: &Parameters) -> Result<&'static str, String> {
    let blocks = [1, 2, 3, 4].map(|stage| {
        let is_there = |block: usize| {
            parameters.contains_key(&format!("encoder.layer{stage}.{block}.conv1.weight"))
        };
        (0..100).take_while(|&block| is_there(block)).count()
    });
    let bottleneck = parameters.contains_key("encoder.layer1.0.conv3.weight");
    // Others than plain ones have wider or grouped convolutions.
    let middle = parameters.get("encoder.layer1.0.conv2.weight").map(|it| it.dims().to_vec());
    let plain = middle.is_some_and(|dims| dims.first() == Some(&64) && dims.get(1) == Some(&64));
    match (blocks, bottleneck) {
        ([2, 2, 2, 2], false) if plain => Ok("resnet18"),
        ([3, 4, 6, 3], false) if plain => Ok("resnet34"),
        ([3, 4, 6, 3], true) if plain => Ok("resnet50"),
        ([3, 4, 23, 3], true) if plain => Err("resnet101".to_owned()),
        ([3, 8, 36, 3], true) if plain => Err("resnet152".to_owned()),
        _ => Err(format!("a network of {blocks:?} blocks")),
    }
}
