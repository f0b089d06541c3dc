//! How a bundle goes over an image, and what it makes of the logits.

use losses::Activation;
use serde_json::{Value as Json, json};

use super::args::Args;
use super::config::{Config, Refusal};
use super::transforms::{is_called, listed};

/// How tiles are laid, and what counts in them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tiles {
    /// In MONAI's order of axes.
    pub(super) roi: Vec<usize>,
    /// The share of a tile that the next one covers, too.
    pub(super) overlap: f64,
    pub(super) gaussian: bool,
}

impl Tiles {
    pub(super) fn read(config: &Config, rank: usize) -> Result<Self, Refusal> {
        let give = "give one with --set 'inferer={\"_target_\":\"SlidingWindowInferer\",\"roi_size\":[96,96,96]}'";
        let Some(value) = config.find("inferer")? else {
            return Err(format!("it has no inferer, which says how large tiles are; {give}"));
        };
        let Some(mut args) = Args::of(config, "inferer", value)? else {
            return Err(format!("its inferer is turned off; {give}"));
        };
        if args.class != "SlidingWindowInferer" {
            let known = format!("SlidingWindowInferer; {give}");
            return Err(args.unknown("the inferer", &known));
        }
        let roi: Vec<i64> = match args.need::<Json>("roi_size")? {
            Json::Array(list) => list.iter().map(|it| it.as_i64().unwrap_or(-1)).collect(),
            one => vec![one.as_i64().unwrap_or(-1); rank],
        };
        let positive = roi.iter().map(|&extent| usize::try_from(extent).ok().filter(|&it| it > 0));
        let positive: Option<Vec<usize>> = positive.collect();
        let Some(extents) = positive.filter(|extents| extents.len() == rank) else {
            return Err(format!(
                "inferer#roi_size is {roi:?}, and not {rank} positive numbers; give them with --set \
                 'inferer#roi_size=[…]'"
            ));
        };
        let overlap = match args.json("overlap")? {
            None => Some(0.25),
            Some(Json::Array(list)) => {
                let first = list.first().and_then(Json::as_f64);
                first.filter(|_| list.iter().all(|it| it.as_f64() == first))
            }
            Some(other) => other.as_f64(),
        };
        let overlap = overlap.filter(|overlap| (0.0..=0.95).contains(overlap)).ok_or_else(|| {
            "inferer#overlap is no share from 0 to 0.95, the same along each axis; give one with --set \
             'inferer#overlap=0.5'"
                .to_owned()
        })?;
        let gaussian = match args.get::<String>("mode")?.as_deref() {
            None | Some("constant") => false,
            Some("gaussian") => true,
            Some(other) => {
                return Err(format!("inferer#mode is {other:?}; here constant or gaussian"));
            }
        };
        if gaussian {
            args.only("sigma_scale", &json!(0.125))?;
        }
        args.only("padding_mode", &json!("constant"))?;
        if args.json("cval")?.is_some_and(|value| value.as_f64() != Some(0.0)) {
            return Err("inferer#cval is not 0, as it is here".to_owned());
        }
        // How fast it is, and where.
        args.ignore(&["sw_batch_size", "sw_device", "device", "progress", "sigma_scale"]);
        args.ignore(&["cache_roi_weight_map", "cpu_thresh", "buffer_steps", "buffer_dim"]);
        args.only("with_coord", &json!(false))?;
        args.finish()?;
        Ok(Self { roi: extents, overlap, gaussian })
    }
}

/// What becomes of logits.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) activation: Option<Activation>,
    pub(super) notes: Vec<String>,
    /// Names of transforms that were left out.
    pub(super) left_out: Vec<String>,
}

const KNOWN: &str = "Activations, AsDiscrete, Invert, SaveImage, EnsureType, ToTensor, CastToType, DeleteItems, \
                     SelectItems, each also with a d at its end";

impl Outcome {
    pub(super) fn read(config: &Config, without: &[String]) -> Result<Self, Refusal> {
        let mut outcome = Self::default();
        let Some(value) = config.find("postprocessing")? else { return Ok(outcome) };
        for (at, value) in listed(config, "postprocessing", value)? {
            let Some(mut args) = Args::of(config, at, value)? else { continue };
            let class = args.class.clone();
            if without.contains(&class) {
                outcome.left_out.push(class);
                continue;
            }
            let is = |base: &str| is_called(&class, base);
            args.ignore(&["keys", "allow_missing_keys", "lazy"]);
            if is("Activations") {
                outcome.activations(args)?;
            } else if is("AsDiscrete") {
                outcome.as_discrete(args)?;
            } else if is("Invert") {
                let nearest = args.get("nearest_interp")?;
                if nearest_counts(nearest) {
                    outcome.notes.push(
                        "Invert takes the nearest value on the way back to the image (nearest_interp); here it is \
                         linear"
                            .to_owned(),
                    );
                }
            } else if is("SaveImage")
                || ["EnsureType", "ToTensor", "CastToType", "DeleteItems", "SelectItems"]
                    .iter()
                    .any(|base| is(base))
            {
                // What is written where is the business of whoever predicts.
            } else {
                return Err(format!(
                    "{}; to import it without, whose predictions are then others, give --without {class}",
                    args.unknown("the transform", KNOWN)
                ));
            }
        }
        Ok(outcome)
    }

    fn activations(&mut self, mut args: Args<'_>) -> Result<(), Refusal> {
        let mut is_set = |key: &str| -> Result<bool, Refusal> {
            Ok(match args.json(key)? {
                None => false,
                Some(Json::Array(list)) => list.iter().any(|it| *it == true),
                Some(other) => other == true,
            })
        };
        let (sigmoid, softmax) = (is_set("sigmoid")?, is_set("softmax")?);
        args.only("other", &Json::Null)?;
        match (sigmoid, softmax) {
            (true, false) => self.activation = Some(Activation::Sigmoid),
            (false, true) => self.activation = Some(Activation::Softmax),
            (false, false) => {}
            (true, true) => return Err(format!("{} asks for sigmoid and softmax", args.at)),
        }
        args.ignore(&["dim"]);
        args.finish()
    }

    fn as_discrete(&mut self, mut args: Args<'_>) -> Result<(), Refusal> {
        let argmax = entry(args.json("argmax")?) == Some(json!(true));
        let threshold = entry(args.json("threshold")?).filter(|it| *it != false);
        if argmax {
            if self.activation == Some(Activation::Sigmoid) {
                return Err(format!(
                    "{} takes the greatest of sigmoids; here channels with a sigmoid may overlap; give --activation \
                     softmax, which names the same classes",
                    args.at
                ));
            }
            self.activation = Some(Activation::Softmax);
        } else if let Some(threshold) = threshold {
            if threshold.as_f64() != Some(0.5) {
                return Err(format!("{}#threshold is {threshold}; here 0.5", args.at));
            }
            if self.activation != Some(Activation::Sigmoid) {
                return Err(format!("{} has a threshold of what is no sigmoid", args.at));
            }
        }
        args.only("rounding", &Json::Null)?;
        args.ignore(&["to_onehot", "dtype", "num_classes", "n_classes", "dim", "keepdim"]);
        args.finish()
    }
}

/// The first of several keys'.
fn entry(value: Option<Json>) -> Option<Json> {
    match value? {
        Json::Array(list) => list.first().cloned(),
        other => Some(other),
    }
}

/// Whether values are those of the nearest voxel: so where nothing is said.
fn nearest_counts(nearest: Option<Json>) -> bool {
    entry(nearest).is_none_or(|it| it != false)
}

/// The names of channels, by the metadata's `channel_def`: `prefix` and a number, where that does not fit.
pub(super) fn channel_names(
    metadata: Option<&Json>,
    which: &str,
    count: usize,
    prefix: &str,
) -> Option<Vec<String>> {
    let of = metadata?.get("network_data_format")?.get(which)?.as_object()?;
    let named = of.values().find_map(|it| it.get("channel_def"))?.as_object()?;
    let names = (0..count).map(|i| match named.get(&i.to_string()) {
        Some(Json::String(name)) if !name.trim().is_empty() => name.trim().to_owned(),
        _ => format!("{prefix}_{i}"),
    });
    let names: Vec<String> = names.collect();
    let twice = (1..count).any(|i| names[..i].contains(&names[i]));
    (named.len() == count && !twice).then_some(names)
}
