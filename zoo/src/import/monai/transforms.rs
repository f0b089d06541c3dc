//! What a bundle does to images before the network sees them, as a plan says it.

use preprocess::{GridRule, Interpolation, Normalize, Plan};
use serde_json::{Value as Json, json};

use super::args::Args;
use super::config::{Config, Refusal, below};
use super::steps::{bookkeeping, cast, entry, first_key, load_image};

/// What was understood of a list of transforms.
#[derive(Debug)]
pub(super) struct Preparation {
    rank: usize,
    /// Which entry of `keys` the image is, by its name.
    image: String,
    canonical: bool,
    /// Axis `i` of the network is axis `axes[i]` of the image as MONAI has it: x, y, z.
    axes: [usize; 3],
    spacing: Option<[f64; 3]>,
    nearest: bool,
    /// For each channel, one after the other.
    intensities: Vec<Vec<Normalize>>,
    /// Names of transforms that are to be left out.
    without: Vec<String>,
    /// Those that were.
    pub(super) left_out: Vec<String>,
}

/// Transforms that neither change a value nor an axis.
const BOOKKEEPING: &[&str] = &[
    "EnsureChannelFirst",
    "AddChannel",
    "AsChannelFirst",
    "EnsureType",
    "ToTensor",
    "ToDevice",
    "SelectItems",
    "DeleteItems",
];

const KNOWN: &str = "LoadImage, EnsureChannelFirst, AddChannel, AsChannelFirst, EnsureType, ToTensor, \
                     ToDevice, CastToType, SelectItems, DeleteItems, Orientation, Spacing, ScaleIntensityRange, \
                     ScaleIntensity, NormalizeIntensity, each also with a d at its end";

/// A class without the ending of those that work on dictionaries, if it is called like `base`.
pub(super) fn is_called(class: &str, base: &str) -> bool {
    class.strip_prefix(base).is_some_and(|ending| ["", "d", "D", "Dict"].contains(&ending))
}

/// The transforms of a `Compose`, or of a list, each with its id.
pub(super) fn listed(
    config: &Config,
    at: &str,
    value: Json,
) -> Result<Vec<(String, Json)>, Refusal> {
    let (at, list) = match config.follow(at, value)? {
        Json::Object(map) if !map.contains_key("transforms") => {
            return Ok(vec![(at.to_owned(), Json::Object(map))]);
        }
        Json::Object(map) => {
            let Some(mut args) = Args::of(config, at, Json::Object(map))? else {
                return Ok(Vec::new());
            };
            if args.class != "Compose" {
                return Err(args.unknown("a list of transforms by", "Compose"));
            }
            let list = args.raw("transforms").unwrap_or(Json::Null);
            args.ignore(&["map_items", "unpack_items", "log_stats", "lazy", "overrides"]);
            args.finish()?;
            let at = below(at, "transforms");
            let list = config.follow(&at, list)?;
            (at, list)
        }
        other => (at.to_owned(), other),
    };
    match list {
        Json::Null => Ok(Vec::new()),
        Json::Array(list) => {
            let each = list.into_iter().enumerate();
            Ok(each.map(|(i, it)| (below(&at, &i.to_string()), it)).collect())
        }
        other => Err(format!("{at} is {other}, and no list of transforms")),
    }
}

impl Preparation {
    /// Understands each transform in turn, or says which it does not.
    pub(super) fn read(
        config: &Config,
        rank: usize,
        channels: usize,
        without: &[String],
    ) -> Result<Self, Refusal> {
        let Some(value) = config.find("preprocessing")? else {
            return Err("it has no preprocessing, so that nothing says how images are made ready; name its \
                        transforms with --set 'preprocessing=@ID'"
                .to_owned());
        };
        let mut preparation = Self {
            rank,
            image: "image".to_owned(),
            canonical: false,
            axes: [0, 1, 2],
            spacing: None,
            nearest: false,
            intensities: vec![Vec::new(); channels],
            without: without.to_vec(),
            left_out: Vec::new(),
        };
        for (at, value) in listed(config, "preprocessing", value)? {
            if let Some(args) = Args::of(config, at, value)? {
                preparation.add(args)?;
            }
        }
        Ok(preparation)
    }

    fn add(&mut self, mut args: Args<'_>) -> Result<(), Refusal> {
        if self.without.contains(&args.class) {
            self.left_out.push(args.class.clone());
            return Ok(());
        }
        let class = args.class.clone();
        let is = |base: &str| is_called(&class, base);
        let keys = args.json("keys")?;
        if is("LoadImage") {
            if let Some(first) = keys.as_ref().and_then(first_key) {
                self.image = first;
            }
            return load_image(args);
        }
        // Transforms of arrays have no keys.
        let index = match keys {
            None => 0,
            Some(Json::Array(list)) => match list.iter().position(|it| *it == self.image) {
                Some(index) => index,
                None => return Ok(()),
            },
            Some(key) if key == self.image => 0,
            Some(_) => return Ok(()),
        };
        args.ignore(&["allow_missing_keys", "lazy"]);
        if BOOKKEEPING.iter().any(|base| is(base)) {
            return bookkeeping(args);
        }
        if is("CastToType") {
            return cast(args, index);
        }
        if is("Orientation") {
            self.orientation(args)
        } else if is("Spacing") {
            self.spacing(args, index)
        } else if is("ScaleIntensityRange") {
            self.scale_intensity_range(args)
        } else if is("ScaleIntensity") {
            self.scale_intensity(args)
        } else if is("NormalizeIntensity") {
            self.normalize_intensity(args)
        } else {
            Err(format!(
                "{}; to import it without, whose predictions are then others, give --without {class}",
                args.unknown("the transform", KNOWN)
            ))
        }
    }

    fn orientation(&mut self, mut args: Args<'_>) -> Result<(), Refusal> {
        if self.rank != 3 || self.spacing.is_some() {
            return Err(format!(
                "{} (Orientation) is understood of volumes, before Spacing",
                args.at
            ));
        }
        // Names of directions for a file's metadata.
        args.ignore(&["labels"]);
        let closest = args.get::<bool>("as_closest_canonical")?.unwrap_or(false);
        let codes = match args.json("axcodes")? {
            Some(Json::String(codes)) => codes,
            Some(Json::Array(list)) => list.iter().filter_map(Json::as_str).collect(),
            Some(other) => other.to_string(),
            None => "RAS".to_owned(),
        };
        let codes = if closest { "RAS" } else { codes.as_str() };
        let axes: Vec<usize> = codes.chars().filter_map(|code| "RAS".find(code)).collect();
        let axes = <[usize; 3]>::try_from(axes).ok();
        let axes = axes.filter(|axes| codes.len() == 3 && (0..3).all(|axis| axes.contains(&axis)));
        self.axes = axes.ok_or_else(|| {
            format!("{}#axcodes is {codes:?}; here axes run to R, A and S, in any order", args.at)
        })?;
        self.canonical = true;
        args.finish()
    }

    fn spacing(&mut self, mut args: Args<'_>, index: usize) -> Result<(), Refusal> {
        if self.intensities.iter().any(|steps| !steps.is_empty()) {
            return Err(format!(
                "{} (Spacing) comes after intensities were changed; here it comes before",
                args.at
            ));
        }
        if self.spacing.is_some() {
            return Err(format!("{} is the second Spacing; here there is one", args.at));
        }
        let pixdim: Vec<f64> = match args.need::<Json>("pixdim")? {
            Json::Array(list) => list.iter().filter_map(Json::as_f64).collect(),
            one => vec![one.as_f64().unwrap_or(-1.0); self.rank],
        };
        if pixdim.len() != self.rank || !pixdim.iter().all(|&mm| mm.is_finite() && mm > 0.0) {
            return Err(format!(
                "{}#pixdim is {pixdim:?}; here it is a positive number for each of {} axes",
                args.at, self.rank
            ));
        }
        args.only("diagonal", &json!(false))?;
        args.only("scale_extent", &json!(false))?;
        args.only("min_pixdim", &Json::Null)?;
        args.only("max_pixdim", &Json::Null)?;
        let mode = entry(args.json("mode")?, index).unwrap_or(json!("bilinear"));
        self.nearest = match mode.as_str() {
            Some("bilinear") => false,
            Some("nearest") => true,
            _ => return Err(format!("{}#mode is {mode}; here bilinear and nearest", args.at)),
        };
        let padding = entry(args.json("padding_mode")?, index).unwrap_or(json!("border"));
        if padding != "border" {
            return Err(format!("{}#padding_mode is {padding}; here border", args.at));
        }
        // Where voxels lie does not depend on these.
        args.ignore(&["align_corners", "dtype", "recompute_affine", "ensure_same_shape"]);
        self.spacing = Some(match pixdim.as_slice() {
            [x, y] => [1.0, *x, *y],
            other => std::array::from_fn(|axis| other[axis]),
        });
        args.finish()
    }

    fn scale_intensity_range(&mut self, mut args: Args<'_>) -> Result<(), Refusal> {
        let from: [f64; 2] = [args.need("a_min")?, args.need("a_max")?];
        let to = [args.get("b_min")?, args.get("b_max")?];
        let clip = args.get("clip")?.unwrap_or(false);
        args.ignore(&["dtype"]);
        let to = match to {
            [Some(low), Some(high)] => [low, high],
            [None, None] if !clip => [0.0, 1.0],
            _ => return Err(format!("{} has no b_min or no b_max; give both", args.at)),
        };
        // Not a number is not less, either.
        if from[0].partial_cmp(&from[1]) != Some(std::cmp::Ordering::Less) {
            return Err(format!(
                "{} has an a_min of {} and an a_max of {}",
                args.at, from[0], from[1]
            ));
        }
        args.finish()?;
        self.each(|_| Normalize::Range { from, to, clip });
        Ok(())
    }

    fn scale_intensity(&mut self, mut args: Args<'_>) -> Result<(), Refusal> {
        let to = [args.get("minv")?.unwrap_or(0.0), args.get("maxv")?.unwrap_or(1.0)];
        args.only("factor", &Json::Null)?;
        args.ignore(&["dtype"]);
        self.by_channel(&mut args)?;
        args.finish()?;
        self.each(|_| Normalize::Extremes { to });
        Ok(())
    }

    fn normalize_intensity(&mut self, mut args: Args<'_>) -> Result<(), Refusal> {
        let nonzero = args.get("nonzero")?.unwrap_or(false);
        args.ignore(&["dtype"]);
        let channels = self.intensities.len();
        let mut given = |key: &str| -> Result<Vec<Option<f64>>, Refusal> {
            match args.json(key)? {
                None => Ok(vec![None; channels]),
                Some(Json::Array(list)) if list.len() == channels => {
                    Ok(list.iter().map(Json::as_f64).collect())
                }
                Some(Json::Number(number)) => Ok(vec![number.as_f64(); channels]),
                Some(other) => Err(format!(
                    "{}#{key} is {other}; here a number, or one for each of {channels} channels",
                    args.at
                )),
            }
        };
        let (subtrahends, divisors) = (given("subtrahend")?, given("divisor")?);
        let known = subtrahends.iter().chain(&divisors).all(Option::is_some);
        if known {
            // The statistics of an image are not asked for, in whatever way.
            args.ignore(&["channel_wise"]);
        } else {
            self.by_channel(&mut args)?;
        }
        args.finish()?;
        self.each(|channel| Normalize::Standardize {
            subtrahend: subtrahends[channel],
            divisor: divisors[channel],
            nonzero,
        });
        Ok(())
    }

    /// That statistics are of each channel by itself, or that there is but one.
    fn by_channel(&self, args: &mut Args<'_>) -> Result<(), Refusal> {
        let by_channel = args.get("channel_wise")?.unwrap_or(false);
        if by_channel || self.intensities.len() == 1 {
            return Ok(());
        }
        Err(format!(
            "{} ({}) takes statistics over all channels together; here over each, channel_wise",
            args.at, args.class
        ))
    }

    fn each(&mut self, step: impl Fn(usize) -> Normalize) {
        for (channel, steps) in self.intensities.iter_mut().enumerate() {
            steps.push(step(channel));
        }
    }

    /// The plan, for tiles of `roi` voxels, in MONAI's order of axes.
    pub(super) fn plan(self, roi: &[usize]) -> Plan {
        let patch_size = match *roi {
            [x, y] => [1, x, y],
            ref other => std::array::from_fn(|axis| other.get(axis).copied().unwrap_or(1)),
        };
        // MONAI's x, y and z are our axes 2, 1 and 0; a slice stays one.
        let transpose = if self.rank == 2 { [0, 2, 1] } else { self.axes.map(|axis| 2 - axis) };
        let normalize = self.intensities.into_iter().map(|mut steps| match steps.len() {
            0 => Normalize::None,
            1 => steps.remove(0),
            _ => Normalize::Steps(steps),
        });
        Plan {
            schema: Plan::SCHEMA,
            rank: self.rank,
            canonical: self.canonical,
            transpose,
            crop_to_nonzero: false,
            normalize: normalize.collect(),
            resample: self.spacing.is_some(),
            spacing: self.spacing.unwrap_or([1.0; 3]),
            interpolation: if self.nearest {
                Interpolation::Nearest
            } else {
                Interpolation::Linear
            },
            grid: GridRule::Monai,
            median_size: patch_size.map(|extent| extent as f64),
            patch_size,
            context: 0,
            batch_size: 1,
        }
    }
}
