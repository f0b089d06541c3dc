//! The settings of a network of segmentation-models-pytorch: of `config.json`, of options, of the weights.

use losses::Activation;
use models::ModelConfig;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};

use super::shapes::{Parameters, architecture, encoder, extent};
use super::{SmpNormalization, SmpOptions};

const ENCODERS: &str = "resnet18, resnet34 and resnet50";

/// What the network is.
pub(super) struct Settings {
    class: String,
    encoder: String,
    pub(super) model: ModelConfig,
    pub(super) channels: usize,
    pub(super) classes: usize,
    pub(super) activation: Activation,
    pub(super) normalize: SmpNormalization,
    pub(super) notes: Vec<String>,
}

/// What `config.json` says that has not been asked for yet.
struct Given(Map<String, Json>);

impl Given {
    fn get<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>, String> {
        let Some(value) = self.0.remove(key).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let shown = value.to_string();
        serde_json::from_value(value)
            .map_err(|error| format!("config.json has {key} {shown}: {error}"))
    }

    /// Refuses anything else than absent, null or one of these.
    fn only(&mut self, key: &str, known: &[Json]) -> Result<(), String> {
        match self.get::<Json>(key)?.filter(|value| !known.contains(value)) {
            None => Ok(()),
            Some(value) => Err(format!(
                "config.json has {key} {value}, which there is not here; there is {}",
                known.first().unwrap_or(&Json::Null)
            )),
        }
    }
}

impl Settings {
    pub(super) fn read(
        given: Option<&Json>,
        options: &SmpOptions,
        parameters: &Parameters,
    ) -> Result<Self, String> {
        let mut given = Given(given.and_then(Json::as_object).cloned().unwrap_or_default());
        let class = class(&mut given, options, parameters)?;
        let encoder = encoder_name(&mut given, options, parameters)?;
        let head = "segmentation_head.0.weight";
        let lacks = |name: &str| format!("it has no {name}, as such networks have");
        let classes = extent(parameters, head, 0).ok_or_else(|| lacks(head))?;
        let first = "encoder.conv1.weight";
        let channels = extent(parameters, first, 1).ok_or_else(|| lacks(first))?;
        for (key, found) in [("classes", classes), ("in_channels", channels)] {
            if let Some(said) = given.get::<usize>(key)?.filter(|&said| said != found) {
                return Err(format!("config.json has {key} {said}, and the weights have {found}"));
            }
        }
        let mut notes = Vec::new();
        let mut settings = json!({ "encoder": encoder });
        let name = match class.as_str() {
            "Unet" => unet(&mut given, parameters, &mut settings)?,
            "FPN" => fpn(&mut given, parameters, &mut settings)?,
            _ => deeplab(&mut given, parameters, &mut settings, &mut notes)?,
        };
        given.only("encoder_depth", &[json!(5)])?;
        given.only("upsampling", &[json!(if class == "Unet" { 1 } else { 4 })])?;
        let activation = activation(&mut given, options, classes, &mut notes)?;
        let normalize = normalization(&mut given, options, channels)?;
        // Beside the segmentation, or without effect in prediction.
        for key in ["aux_params", "decoder_dropout", "decoder_aspp_dropout"] {
            given.0.remove(key);
        }
        if let Some((key, value)) = given.0.iter().find(|(_, value)| !value.is_null()) {
            return Err(format!(
                "config.json has {key} {value}, which is not known here; if it changes nothing, remove it there"
            ));
        }
        let model = serde_json::from_value(json!({ name: settings }))
            .map_err(|error| format!("it is no {class}: {error}"))?;
        Ok(Self { class, encoder, model, channels, classes, activation, normalize, notes })
    }

    /// Such as `Unet on resnet34`.
    pub(super) fn name(&self) -> String {
        format!("{} on {}", self.class, self.encoder)
    }
}

fn class(
    given: &mut Given,
    options: &SmpOptions,
    parameters: &Parameters,
) -> Result<String, String> {
    let said = given.get::<String>("_model_class")?;
    let said = options.architecture.clone().or(said);
    let known = ["Unet", "FPN", "DeepLabV3Plus"];
    match said {
        Some(said) => {
            let plain = said.replace('+', "plus").replace(['_', '-'], "");
            let found = known.into_iter().find(|it| it.eq_ignore_ascii_case(&plain));
            found.map(str::to_owned).ok_or_else(|| {
                format!(
                    "its architecture is {said}, which there is not here; there are {}",
                    known.join(", ")
                )
            })
        }
        None => architecture(parameters).map(str::to_owned).ok_or_else(|| {
            format!("its decoder is none of {}, by the names of its weights", known.join(", "))
        }),
    }
}

fn encoder_name(
    given: &mut Given,
    options: &SmpOptions,
    parameters: &Parameters,
) -> Result<String, String> {
    let said = given.get::<String>("encoder_name")?;
    let said = options.encoder.clone().or(said);
    let refused = |name: &str| {
        format!("its encoder is {name}, which there is not here; there are {ENCODERS}")
    };
    let found = encoder(parameters);
    match said {
        Some(said) if !["resnet18", "resnet34", "resnet50"].contains(&said.as_str()) => {
            Err(refused(&said))
        }
        Some(said) if found.as_ref().is_ok_and(|&found| found != said) => Err(format!(
            "its encoder is said to be {said}, and has the weights of {}",
            found.unwrap_or_default()
        )),
        _ => found.map(str::to_owned).map_err(|name| refused(&name)),
    }
}

fn unet(
    given: &mut Given,
    parameters: &Parameters,
    settings: &mut Json,
) -> Result<&'static str, String> {
    given.only("decoder_attention_type", &[])?;
    given.only("decoder_use_batchnorm", &[json!(true)])?;
    given.only("decoder_use_norm", &[json!("batchnorm"), json!(true)])?;
    given.only("add_center_block", &[json!(false)])?;
    let width = |block: usize| {
        let name = format!("decoder.blocks.{block}.conv2.0.weight");
        extent(parameters, &name, 0).ok_or_else(|| format!("it has no {name}, as a Unet has"))
    };
    let widths = (0..5).map(width).collect::<Result<Vec<_>, _>>()?;
    let said = given.get::<Vec<usize>>("decoder_channels")?;
    if let Some(said) = said.filter(|said| *said != widths) {
        return Err(format!("config.json has decoder_channels {said:?}, the weights {widths:?}"));
    }
    settings["decoder_channels"] = json!(widths);
    if let Some(how) = given.get::<Json>("decoder_interpolation")? {
        settings["decoder_interpolation"] = how;
    }
    Ok("smp_unet")
}

fn fpn(
    given: &mut Given,
    parameters: &Parameters,
    settings: &mut Json,
) -> Result<&'static str, String> {
    given.only("decoder_merge_policy", &[json!("add")])?;
    given.only("decoder_interpolation", &[json!("nearest")])?;
    let widths = [
        ("decoder_pyramid_channels", "decoder.p5.weight"),
        ("decoder_segmentation_channels", "decoder.seg_blocks.0.block.0.block.0.weight"),
    ];
    for (key, name) in widths {
        let found = extent(parameters, name, 0);
        let found = found.ok_or_else(|| format!("it has no {name}, as an FPN has"))?;
        given.only(key, &[json!(found)])?;
        settings[key] = json!(found);
    }
    Ok("fpn")
}

fn deeplab(
    given: &mut Given,
    parameters: &Parameters,
    settings: &mut Json,
    notes: &mut Vec<String>,
) -> Result<&'static str, String> {
    let name = "decoder.block2.0.1.weight";
    let width = extent(parameters, name, 0);
    let width = width.ok_or_else(|| format!("it has no {name}, as a DeepLabV3Plus has"))?;
    given.only("decoder_channels", &[json!(width)])?;
    settings["decoder_channels"] = json!(width);
    let separable = parameters.contains_key("decoder.aspp.0.convs.1.0.1.weight");
    given.only("decoder_aspp_separable", &[json!(separable)])?;
    settings["decoder_aspp_separable"] = json!(separable);
    let mut assumed = Vec::new();
    for key in ["encoder_output_stride", "decoder_atrous_rates"] {
        match given.get::<Json>(key)? {
            Some(value) => settings[key] = value,
            None => assumed.push(key),
        }
    }
    if !assumed.is_empty() {
        notes.push(format!(
            "weights do not say the {}; those of segmentation-models-pytorch's defaults are taken, and a folder with \
             config.json says others",
            assumed.join(" and ")
        ));
    }
    Ok("deeplabv3_plus")
}

fn activation(
    given: &mut Given,
    options: &SmpOptions,
    classes: usize,
    notes: &mut Vec<String>,
) -> Result<Activation, String> {
    let said = match given.get::<String>("activation")?.as_deref() {
        None | Some("identity") => None,
        Some("sigmoid") => Some(Activation::Sigmoid),
        Some("softmax" | "softmax2d") => Some(Activation::Softmax),
        Some(other) => {
            return Err(format!("config.json has activation {other:?}; here sigmoid or softmax"));
        }
    };
    let activation = options.activation.or(said);
    if classes == 1 && activation == Some(Activation::Softmax) {
        return Err(
            "it has one channel, of which a softmax is always 1; give --activation sigmoid"
                .to_owned(),
        );
    }
    Ok(activation.unwrap_or_else(|| {
        if classes == 1 {
            return Activation::Sigmoid;
        }
        notes.push(
            "each pixel has one of its classes, of which the first is the background; if they may overlap, give \
             --activation sigmoid"
                .to_owned(),
        );
        Activation::Softmax
    }))
}

fn normalization(
    given: &mut Given,
    options: &SmpOptions,
    channels: usize,
) -> Result<SmpNormalization, String> {
    let pretrained = given.get::<Json>("encoder_weights")?.is_some();
    match &options.normalize {
        Some(how) => Ok(how.clone()),
        None if pretrained && channels == 3 => Ok(SmpNormalization::Imagenet),
        None => Err(
            "nothing says how images were normalised in its training; give --normalize imagenet, 0-1, z-score or none, \
             or --mean and --std"
                .to_owned(),
        ),
    }
}
