use candle::{Result, Tensor};

use super::launch;
use super::{Lent, kind_of, stored, tensor};
use crate::class_sums::Shape;
use crate::native::compared::Compared;
use crate::native::node::{Backward, record};
use crate::{ClassActivation, ClassLabels, ClassSums};

/// See [`class_sums`](crate::class_sums()), of contiguous logits in f32.
pub(crate) fn class_sums(logits: &Tensor, compared: Compared) -> Result<Tensor> {
    let Shape { samples, classes, .. } = compared.shape;
    let (count, op) = (compared.settings.of.count(), Sums(compared));
    let sums = op.with_compared(logits, |there, compared| {
        let kind = kind_of(logits.dtype())?;
        stored(launch::class_sums(&there.gpu()?, kind, compared, &op.launched())?)
    })?;
    record(&[logits], sums, (count, samples, classes), op)
}

struct Sums(Compared);

impl Sums {
    #[expect(clippy::cast_possible_truncation, reason = "computed in single precision")]
    fn launched(&self) -> launch::ClassSums {
        let ClassSums { activation, of, .. } = self.0.settings;
        let Shape { samples, classes, voxels } = self.0.shape;
        let (kind, exponents) = of.number();
        launch::ClassSums {
            samples,
            classes,
            voxels,
            alone: activation == ClassActivation::Sigmoid,
            count: of.count(),
            kind: kind.into(),
            exponents: exponents.map(|exponent| exponent as f32),
            bounds: self.0.settings.bounds().map(|bound| bound as f32),
        }
    }

    /// What `run` makes of what is compared.
    fn with_compared<R>(
        &self,
        logits: &Tensor,
        run: impl FnOnce(&Lent<'_>, &launch::Compared<'_, super::Array<'_>>) -> Result<R>,
    ) -> Result<R> {
        let (ClassLabels::Indices(labels) | ClassLabels::Shares(labels)) = &self.0.labels;
        let are_shares = matches!(self.0.labels, ClassLabels::Shares(_));
        let (there, labels) = (Lent::of(logits), Lent::of(labels));
        let weight = self.0.weight.as_ref().map(Lent::of);
        let (x, labels) = (there.array()?, labels.array()?);
        let weight = weight.as_ref().map(Lent::array).transpose()?;
        let compared = launch::Compared {
            x: &x,
            shares: are_shares.then_some(&labels),
            indices: (!are_shares).then_some(&labels),
            weight: weight.as_ref(),
        };
        run(&there, &compared)
    }
}

impl Backward for Sums {
    const NAME: &'static str = "class sums";

    fn gradients(&self, inputs: &[&Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let logits = inputs[0];
        self.with_compared(logits, |there, compared| {
            let given = Lent::of(dy);
            let (kind, factors) = (kind_of(logits.dtype())?, given.single()?);
            let sums = self.launched();
            let dx = launch::class_sums_gradient(&there.gpu()?, kind, compared, &factors, &sums)?;
            Ok(vec![Some(tensor(dx, logits.shape())?)])
        })
    }
}
