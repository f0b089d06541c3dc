use candle::{DType, Result, Tensor};

use super::conv::parameter;
use super::launch::{Launch, THREADS, record};
use super::settings::Settings;
use crate::activation::Form;
use crate::extents::Extents;
use crate::native::node::Backward;
use crate::norm::{Affine, Cells, Statistics};

/// How the threads of groups share tensors `(batch, voxels, channels)` whose sums over voxels they
/// take.
#[derive(Clone, Copy, Debug)]
struct Lanes {
    batch: usize,
    voxels: usize,
    channels: usize,
    /// Channels that a group works on, a power of two.
    width: usize,
    /// Voxels that a group works on.
    chunk: usize,
}

/// Voxels that one thread works on, where there are enough.
const EACH: usize = 64;
/// Chunks of a sample, at most.
const CHUNKS: usize = 1024;
/// Neighboring channels that a group reads at once, at most.
const WIDEST: usize = 32;

impl Lanes {
    fn new(batch: usize, voxels: usize, channels: usize) -> Self {
        let width = channels.next_power_of_two().min(WIDEST);
        let rows = THREADS / width;
        let chunk = (rows * EACH).max(voxels.div_ceil(CHUNKS).next_multiple_of(rows));
        Self { batch, voxels, channels, width, chunk }
    }

    /// All voxels of a sample in one chunk, for sums of sums.
    fn whole(batch: usize, voxels: usize, channels: usize) -> Self {
        Self { chunk: voxels, ..Self::new(batch, voxels, channels) }
    }

    fn chunks(&self) -> usize {
        self.voxels.div_ceil(self.chunk)
    }

    fn settings(&self) -> Result<Settings> {
        let shape = [self.batch, self.voxels, self.channels];
        Settings::of(&shape)?.and(&[self.width, self.chunk, self.chunks()])
    }

    fn launch(&self, kernel: &'static str, element: DType, settings: Settings) -> Launch {
        let groups = [self.channels.div_ceil(self.width), self.chunks(), self.batch];
        Launch { kernel, element, settings, groups, threads: THREADS }
    }
}

/// The sum over voxels, `(batch, channels)`, of sums `(batch, voxels, channels)`.
fn merge(partial: &Tensor, lanes: &Lanes, element: DType) -> Result<Tensor> {
    let launch = lanes.launch("merge_sums", element, lanes.settings()?);
    let [merged] = launch.run(&[partial], [(DType::F32, &[lanes.batch, lanes.channels])])?;
    Ok(merged)
}

/// The sum over the middle axis, `(batch, channels)`, of sums `(batch, parts, channels)`.
pub(super) fn merge_all(partial: &Tensor, element: DType) -> Result<Tensor> {
    let (batch, parts, channels) = partial.dims3()?;
    merge(partial, &Lanes::whole(batch, parts, channels), element)
}

/// The sum of each of `channels` channels of `x`, `(…, C)`, over all else.
pub(super) fn sums(x: &Tensor, channels: usize) -> Result<Tensor> {
    let lanes = Lanes::new(1, x.elem_count() / channels, channels);
    let launch = lanes.launch("channel_sums", x.dtype(), lanes.settings()?);
    let [partial] = launch.run(&[x], [(DType::F32, &[1, lanes.chunks(), channels])])?;
    merge(&partial, &Lanes::whole(1, lanes.chunks(), channels), x.dtype())?.squeeze(0)
}

/// The normalized `x`, and the means and mean square deviations of its cells.
pub(crate) fn normalize(
    x: &Tensor,
    affine: Affine<'_>,
    cells: Cells,
    eps: f64,
    form: Form,
) -> Result<(Tensor, Tensor, Tensor)> {
    let x = x.contiguous()?;
    let op = Normalization::new(&x, cells, eps, form)?;
    let (mean, variance) = (op.mean.clone(), op.variance.clone());
    Ok((apply(&x, affine, op)?, mean, variance))
}

/// `x` normalized by statistics that are given.
pub(crate) fn standardize(
    x: &Tensor,
    statistics: &Statistics,
    affine: Affine<'_>,
    eps: f64,
    form: Form,
) -> Result<Tensor> {
    let x = x.contiguous()?;
    let op = Normalization {
        lanes: lanes(&x)?,
        cells: Cells::Batch,
        given: true,
        mean: parameter(&statistics.mean)?.detach(),
        variance: parameter(&statistics.variance)?.detach(),
        affine: [false; 2],
        eps,
        form,
    };
    apply(&x, affine, op)
}

fn lanes(x: &Tensor) -> Result<Lanes> {
    let extents = Extents::of("normalization", x)?;
    Ok(Lanes::new(extents.batch, extents.voxels(), extents.channels))
}

fn apply(x: &Tensor, affine: Affine<'_>, mut op: Normalization) -> Result<Tensor> {
    op.affine = [affine.weight.is_some(), affine.bias.is_some()];
    // What there is not, is not read; some tensor must take its place.
    let or_any = |parameter_: Option<&Tensor>| parameter_.map_or(Ok(op.mean.clone()), parameter);
    let (weight, bias) = (or_any(affine.weight)?, or_any(affine.bias)?);
    let launch = op.lanes.launch("normalize_cells", x.dtype(), op.settings()?);
    let inputs = [x, &op.mean, &op.variance, &weight, &bias];
    let [y] = launch.run(&inputs, [(x.dtype(), x.dims())])?;
    record(&[x, &weight, &bias], &y, op)
}

/// A normalization whose statistics are known already, and the activation after it, whose slopes, where
/// it learns any, come after the offsets.
struct Normalization {
    lanes: Lanes,
    cells: Cells,
    /// Whether the statistics are no functions of the input.
    given: bool,
    /// The mean of each cell.
    mean: Tensor,
    /// The mean square deviation of each cell.
    variance: Tensor,
    /// Whether there are a weight and a bias.
    affine: [bool; 2],
    eps: f64,
    form: Form,
}

fn settings(
    lanes: &Lanes,
    cells: Cells,
    given: bool,
    affine: [bool; 2],
    eps: f64,
    form: Form,
) -> Result<Settings> {
    let (kind, blocks) = match cells {
        Cells::Instance => (0, 1),
        Cells::Group(blocks) => (1, blocks),
        Cells::Batch => (2, 1),
    };
    let settings = lanes.settings()?.and(&[kind, blocks])?.real(eps);
    settings.and(&[affine[0].into(), affine[1].into(), given.into()])?.act(form)
}

impl Normalization {
    /// By the statistics of `x`.
    fn new(x: &Tensor, cells: Cells, eps: f64, form: Form) -> Result<Self> {
        let (lanes, element) = (lanes(x)?, x.dtype());
        let settings = settings(&lanes, cells, false, [false; 2], eps, form)?;
        let launch = lanes.launch("moments", element, settings.clone());
        let shape = [2, lanes.batch, lanes.chunks(), lanes.channels];
        let [partial] = launch.run(&[x], [(DType::F32, &shape)])?;
        let count = match cells {
            Cells::Instance => lanes.batch * lanes.channels,
            Cells::Group(blocks) => lanes.batch * blocks,
            Cells::Batch => lanes.channels,
        };
        let (kernel, groups) = ("merge_moments", [count, 1, 1]);
        let launch = Launch { kernel, element, settings, groups, threads: THREADS };
        let shape: &[usize] = &[count];
        let [mean, variance] =
            launch.run(&[&partial], [(DType::F32, shape), (DType::F32, shape)])?;
        Ok(Self { lanes, cells, given: false, mean, variance, affine: [false; 2], eps, form })
    }

    fn settings(&self) -> Result<Settings> {
        self.settings_of(self.form)
    }

    /// The same for another form of the activation.
    fn settings_of(&self, form: Form) -> Result<Settings> {
        settings(&self.lanes, self.cells, self.given, self.affine, self.eps, form)
    }
}

impl Backward for Normalization {
    const NAME: &'static str = "normalization";

    fn gradients(&self, inputs: &[&Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let (x, weight, bias) = (inputs[0], inputs[1], inputs[2]);
        let (lanes, element, f32) = (self.lanes, x.dtype(), DType::F32);
        let (batch, channels, chunks) = (lanes.batch, lanes.channels, lanes.chunks());
        let of_parameters = weight.track_op() || bias.track_op();
        let loses = x.track_op() && !self.given;

        let given = [x, dy, &self.mean, &self.variance, weight, bias];
        // The sums over voxels, for each channel of each sample: those of `δ`, then of `δ x̂`.
        let sums_of = |form: Form| {
            let launch = lanes.launch("norm_gradient_sums", element, self.settings_of(form)?);
            let [partial] = launch.run(&given, [(f32, &[2 * batch, chunks, channels])])?;
            merge(&partial, &Lanes::whole(2 * batch, chunks, channels), element)
        };
        let over_samples = |sums: &Tensor| merge(sums, &Lanes::whole(2, batch, channels), element);
        let sums = (of_parameters || loses).then(|| sums_of(self.form)).transpose()?;
        let of_slopes = (self.form == Form::Prelu && bias.track_op())
            .then(|| over_samples(&sums_of(Form::PreluSlopes)?)?.get(0))
            .transpose()?;
        let of_parameters = match &sums {
            Some(sums) if of_parameters => Some(over_samples(sums)?),
            _ => None,
        };
        let of_parameter = |which: usize, parameter: &Tensor| match &of_parameters {
            Some(both) if parameter.track_op() => both.get(which)?.contiguous().map(Some),
            _ => Ok(None),
        };
        let of_input = if x.track_op() {
            let means = match &sums {
                Some(sums) if loses => {
                    let cells = self.mean.elem_count();
                    let launch = Launch::each("cell_means", element, self.settings()?, cells);
                    let [means] = launch.run(&[sums, weight], [(f32, &[2, cells])])?;
                    means
                }
                _ => self.mean.clone(),
            };
            let given = [given.as_slice(), &[&means]].concat();
            let launch = lanes.launch("norm_input_gradient", element, self.settings()?);
            let [dx] = launch.run(&given, [(element, x.dims())])?;
            Some(dx)
        } else {
            None
        };
        let mut of_bias = of_parameter(0, bias)?;
        if let (Some(offsets), Some(slopes)) = (&of_bias, &of_slopes) {
            of_bias = Some(Tensor::cat(&[offsets, slopes], 0)?);
        }
        Ok(vec![of_input, of_parameter(1, weight)?, of_bias])
    }
}
