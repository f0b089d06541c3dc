//! A contact sheet: what a network is given to learn from.

use data::{Dataset, Fold};
use ndarray::{Array2, Axis, s};
use preprocess::{Patch, PatchSampler, Plan, rng};

use crate::file::write_atomic;
use crate::network::fresh_plan;
use crate::report::encode_colours;
use crate::{Error, LabelSpace, Loader, Recipe, Result, RunConfig, colors};

/// What a [`preview`] shows.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Preview {
    /// The cases, one in each row, from the top.
    pub cases: Vec<String>,
    /// How many patches there are in a row: the first as it is, the others varied.
    pub columns: usize,
    /// Pixels, width and height.
    pub size: [usize; 2],
}

/// Panels are made at least so large, by whole factors, pixels.
const PANEL: usize = 128;
/// Between panels, pixels.
const GAP: usize = 4;
/// How much of a colour lies over what belongs to a class for certain.
const TINT: f32 = 0.45;

/// Writes a PNG file with patches of cases as the settings of a run make them: prepared, and `variants` times varied by
/// its `augment`, with the target tinted, class by class, as strongly as it is probable.
///
/// A row is one patch with foreground, of which the slice with the most is shown. The plan is made from these cases
/// alone, so that a large data set is not read as a whole.
///
/// # Errors
///
/// Where a case cannot be read, has no label, or cannot be prepared, the settings do not suit it, or the
/// file cannot be written.
pub fn preview(
    config: &RunConfig,
    dataset: &dyn Dataset,
    ids: &[String],
    variants: usize,
    output: &std::path::Path,
) -> Result<Preview> {
    let chosen = Fold { train: ids.to_vec(), val: Vec::new() };
    chosen.check(dataset)?;
    let space = LabelSpace::of(dataset.description())?;
    let (plan, _) = fresh_plan(dataset, &config.preprocess, ids)?;
    config.augment.check(&plan.normalize).map_err(Error::unsuitable)?;
    let recipe = Recipe {
        plan: &plan,
        space: &space,
        labels: &config.labels,
        augment: &config.augment,
        train: &config.train,
        needs: losses::Needs::default(),
        opinions: None,
        seed: config.seed,
    };
    let loader = Loader::new(dataset, ids, recipe, |_| Ok(()))?;
    let mut rows = Vec::new();
    for case in 0..loader.len() {
        rows.push(row(&loader, case, &plan, config, variants)?);
    }
    let sheet = Sheet::of(&rows, &space);
    write_atomic(output, &encode_colours((sheet.height, sheet.width), &sheet.pixels))?;
    let size = [sheet.width, sheet.height];
    Ok(Preview { cases: ids.to_vec(), columns: variants + 1, size })
}

/// One patch of a case, as it is and varied.
fn row(
    loader: &Loader<'_>,
    case: usize,
    plan: &Plan,
    config: &RunConfig,
    variants: usize,
) -> Result<Vec<Patch>> {
    let input = config.augment.input_size(plan.patch_size, plan.rank);
    let sampler = PatchSampler::new(input).for_output(plan.patch_size);
    (0..=variants)
        .map(|column| {
            let (_, patch) = loader.patch(case, 0, |source| {
                let mut place = rng(config.seed, 0, &format!("preview/{case}"));
                let patch = source.part(source.place(&sampler, true, &mut place), input)?;
                if column == 0 {
                    return Ok(patch.middle(plan.patch_size));
                }
                let mut varied = rng(config.seed, column as u64, &format!("preview/{case}"));
                Ok(config.augment.apply(patch, plan.patch_size, plan.rank, &mut varied))
            })?;
            Ok(patch)
        })
        .collect()
}

/// Pixels in red, green and blue.
struct Sheet {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Sheet {
    fn of(rows: &[Vec<Patch>], space: &LabelSpace) -> Self {
        let [_, h, w] = rows[0][0].size();
        let zoom = PANEL.div_ceil(h.max(w)).max(1);
        let (high, wide) = (h * zoom + GAP, w * zoom + GAP);
        let (width, height) = (rows[0].len() * wide + GAP, rows.len() * high + GAP);
        let mut sheet = Self { width, height, pixels: vec![32; width * height * 3] };
        for (row, patches) in rows.iter().enumerate() {
            // All of a row show the slice that has the most foreground in the first.
            let slice = fullest(&patches[0], space);
            let window = window(&patches[0], slice);
            for (column, patch) in patches.iter().enumerate() {
                let colours = panel(patch, slice, window, space);
                let corner = (GAP + row * high, GAP + column * wide);
                for y in 0..h * zoom {
                    for x in 0..w * zoom {
                        let at = ((corner.0 + y) * width + corner.1 + x) * 3;
                        sheet.pixels[at..at + 3].copy_from_slice(&colours[[y / zoom, x / zoom]]);
                    }
                }
            }
        }
        sheet
    }
}

/// The slice with the most foreground.
fn fullest(patch: &Patch, space: &LabelSpace) -> usize {
    let shares = space.probabilities(&patch.truth);
    let foreground = shares.slice(s![space.foreground(), .., .., ..]);
    let amount = |slice: usize| foreground.index_axis(Axis(1), slice).sum();
    let slices = 0..patch.size()[0];
    slices.max_by(|&a, &b| amount(a).total_cmp(&amount(b))).unwrap_or(0)
}

/// What is shown black and what white: all but a hundredth of the first channel at either end.
fn window(patch: &Patch, slice: usize) -> [f32; 2] {
    let shown = patch.image.slice(s![.., slice, .., ..]);
    let mut values: Vec<f32> = shown.iter().copied().filter(|value| value.is_finite()).collect();
    values.sort_unstable_by(f32::total_cmp);
    let Some(last) = values.len().checked_sub(1) else { return [0.0, 1.0] };
    let (low, high) = (values[last / 100], values[last - last / 100]);
    [low, if high > low { high } else { low + 1.0 }]
}

/// The colours of a slice: grey, or its own where it has three channels, tinted by the target.
fn panel(
    patch: &Patch,
    slice: usize,
    [low, high]: [f32; 2],
    space: &LabelSpace,
) -> Array2<[u8; 3]> {
    let shares = space.probabilities(&patch.truth);
    let [_, h, w] = patch.size();
    let channels = patch.image.shape()[0];
    Array2::from_shape_fn((h, w), |(y, x)| {
        let shade = |channel: usize| {
            let value = (patch.image[[channel, slice, y, x]] - low) / (high - low);
            255.0 * if value.is_finite() { value.clamp(0.0, 1.0) } else { 0.0 }
        };
        let mut colour: [f32; 3] =
            std::array::from_fn(|channel| shade(if channels == 3 { channel } else { 0 }));
        for (number, class) in space.foreground().enumerate() {
            let share = TINT * shares[[class, slice, y, x]].clamp(0.0, 1.0);
            let tint = colors::mixable(colors::of_class(number + 1));
            colour = std::array::from_fn(|at| colour[at] + share * (tint[at] - colour[at]));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255")]
        colour.map(|value| value.round() as u8)
    })
}
