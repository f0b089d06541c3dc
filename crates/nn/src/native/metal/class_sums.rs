use candle::{DType, Result, Tensor};

use super::launch::{Launch, THREADS, record};
use super::norm::merge_all;
use super::settings::Settings;
use crate::class_sums::Shape;
use crate::native::node::Backward;
use crate::{ClassActivation, ClassLabels, ClassSums};

/// Voxels of a thread, as the kernel has it.
const EACH: usize = 8;

/// See [`class_sums`](crate::class_sums()), of logits in f32.
pub(crate) fn class_sums(
    logits: &Tensor,
    labels: &ClassLabels,
    weight: Option<&Tensor>,
    settings: &ClassSums,
    shape: Shape,
) -> Result<Tensor> {
    let logits = logits.contiguous()?;
    let plain = |x: &Tensor, dtype: DType| x.detach().to_dtype(dtype)?.contiguous();
    let labels = match labels {
        ClassLabels::Indices(labels) => ClassLabels::Indices(plain(labels, DType::U32)?),
        ClassLabels::Shares(labels) => ClassLabels::Shares(plain(labels, DType::F32)?),
    };
    let weight = weight.map(|weight| plain(weight, DType::F32)).transpose()?;
    let op = Sums { labels, weight, settings: *settings, shape };
    let Shape { samples, classes, .. } = shape;
    let (count, slabs) = (settings.of.count(), op.slabs());
    let groups = [slabs, samples, 1];
    let inputs = op.inputs(&logits);
    let launch = op.launch("class_sums", logits.dtype(), groups)?;
    let parts = [count * samples, slabs, classes];
    let [parts] = launch.run(&inputs, [(DType::F32, &parts)])?;
    let sums = merge_all(&parts, logits.dtype())?.reshape((count, samples, classes))?;
    record(&[&logits], &sums, op)
}

struct Sums {
    labels: ClassLabels,
    weight: Option<Tensor>,
    settings: ClassSums,
    shape: Shape,
}

impl Sums {
    fn slabs(&self) -> usize {
        self.shape.voxels.div_ceil(THREADS * EACH)
    }

    /// What is compared; a kernel that has no use for a tensor is shown another.
    fn inputs<'a>(&'a self, logits: &'a Tensor) -> Vec<&'a Tensor> {
        let weight = self.weight.as_ref().unwrap_or(logits);
        match &self.labels {
            ClassLabels::Indices(labels) => vec![logits, logits, labels, weight],
            ClassLabels::Shares(labels) => vec![logits, labels, logits, weight],
        }
    }

    fn launch(&self, kernel: &'static str, element: DType, groups: [usize; 3]) -> Result<Launch> {
        let ClassSums { activation, of, .. } = self.settings;
        let Shape { samples, classes, voxels } = self.shape;
        let (kind, [exponent, gamma]) = of.number();
        // Kernels count all values in 32 bits.
        Settings::of(&[samples * classes * voxels])?;
        let settings = Settings::of(&[samples, classes, voxels, self.slabs()])?
            .and(&[
                matches!(self.labels, ClassLabels::Shares(_)).into(),
                self.weight.is_some().into(),
                (activation == ClassActivation::Sigmoid).into(),
            ])?
            .and(&[of.count(), kind.into()])?
            .real(exponent)
            .real(gamma);
        let settings = self.settings.bounds().into_iter().fold(settings, Settings::real);
        Ok(Launch { kernel, element, settings, groups, threads: THREADS })
    }
}

impl Backward for Sums {
    const NAME: &'static str = "class sums";

    fn gradients(&self, inputs: &[&Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let logits = inputs[0];
        let factors = dy.to_dtype(DType::F32)?;
        let voxels = self.shape.samples * self.shape.voxels;
        let groups = [voxels.div_ceil(THREADS), 1, 1];
        let launch = self.launch("class_sums_gradient", logits.dtype(), groups)?;
        let mut all = self.inputs(logits);
        all.push(&factors);
        let [dx] = launch.run(&all, [(logits.dtype(), logits.dims())])?;
        Ok(vec![Some(dx)])
    }
}
