use candle::{DType, Result, Tensor};

use super::launch::{Launch, THREADS, record};
use super::norm::merge_all;
use super::settings::Settings;
use crate::class_sums::Shape;
use crate::native::compared::Compared;
use crate::native::node::Backward;
use crate::{ClassActivation, ClassLabels, ClassSums};

/// Voxels of a thread, as the kernel has it.
const EACH: usize = 8;

/// See [`class_sums`](crate::class_sums()), of contiguous logits in f32.
pub(crate) fn class_sums(logits: &Tensor, compared: Compared) -> Result<Tensor> {
    let Shape { samples, classes, .. } = compared.shape;
    let (count, op) = (compared.settings.of.count(), Sums(compared));
    let slabs = op.slabs();
    let groups = [slabs, samples, 1];
    let inputs = op.inputs(logits);
    let launch = op.launch("class_sums", logits.dtype(), groups)?;
    let parts = [count * samples, slabs, classes];
    let [parts] = launch.run(&inputs, [(DType::F32, &parts)])?;
    let sums = merge_all(&parts, logits.dtype())?.reshape((count, samples, classes))?;
    record(&[logits], &sums, op)
}

struct Sums(Compared);

impl Sums {
    fn slabs(&self) -> usize {
        self.0.shape.voxels.div_ceil(THREADS * EACH)
    }

    /// What is compared; a kernel that has no use for a tensor is shown another.
    fn inputs<'a>(&'a self, logits: &'a Tensor) -> Vec<&'a Tensor> {
        let weight = self.0.weight.as_ref().unwrap_or(logits);
        match &self.0.labels {
            ClassLabels::Indices(labels) => vec![logits, logits, labels, weight],
            ClassLabels::Shares(labels) => vec![logits, labels, logits, weight],
        }
    }

    fn launch(&self, kernel: &'static str, element: DType, groups: [usize; 3]) -> Result<Launch> {
        let ClassSums { activation, of, .. } = self.0.settings;
        let Shape { samples, classes, voxels } = self.0.shape;
        let (kind, [exponent, gamma]) = of.number();
        // Kernels count all values in 32 bits.
        Settings::of(&[samples * classes * voxels])?;
        let settings = Settings::of(&[samples, classes, voxels, self.slabs()])?
            .and(&[
                matches!(self.0.labels, ClassLabels::Shares(_)).into(),
                self.0.weight.is_some().into(),
                (activation == ClassActivation::Sigmoid).into(),
            ])?
            .and(&[of.count(), kind.into()])?
            .real(exponent)
            .real(gamma);
        let settings = self.0.settings.bounds().into_iter().fold(settings, Settings::real);
        Ok(Launch { kernel, element, settings, groups, threads: THREADS })
    }
}

impl Backward for Sums {
    const NAME: &'static str = "class sums";

    fn gradients(&self, inputs: &[&Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let logits = inputs[0];
        let factors = dy.to_dtype(DType::F32)?;
        let voxels = self.0.shape.samples * self.0.shape.voxels;
        let groups = [voxels.div_ceil(THREADS), 1, 1];
        let launch = self.launch("class_sums_gradient", logits.dtype(), groups)?;
        let mut all = self.inputs(logits);
        all.push(&factors);
        let [dx] = launch.run(&all, [(logits.dtype(), logits.dims())])?;
        Ok(vec![Some(dx)])
    }
}
