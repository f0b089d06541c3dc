use candle::{DType, Result, Tensor};

use super::launch::{self, Compared};
use super::{Lent, kind_of, stored, tensor};
use crate::class_sums::Shape;
use crate::native::node::{Backward, record};
use crate::{ClassActivation, ClassLabels, ClassSums};

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
    let sums = op.with_compared(&logits, |there, compared| {
        let kind = kind_of(logits.dtype())?;
        stored(launch::class_sums(&there.gpu()?, kind, compared, &op.launched())?)
    })?;
    let result = (settings.of.count(), shape.samples, shape.classes);
    record(&[&logits], sums, result, op)
}

struct Sums {
    labels: ClassLabels,
    weight: Option<Tensor>,
    settings: ClassSums,
    shape: Shape,
}

impl Sums {
    #[expect(clippy::cast_possible_truncation, reason = "computed in single precision")]
    fn launched(&self) -> launch::ClassSums {
        let ClassSums { activation, of, .. } = self.settings;
        let (kind, exponents) = of.number();
        launch::ClassSums {
            samples: self.shape.samples,
            classes: self.shape.classes,
            voxels: self.shape.voxels,
            alone: activation == ClassActivation::Sigmoid,
            count: of.count(),
            kind: kind.into(),
            exponents: exponents.map(|exponent| exponent as f32),
            bounds: self.settings.bounds().map(|bound| bound as f32),
        }
    }

    /// What `run` makes of what is compared.
    fn with_compared<R>(
        &self,
        logits: &Tensor,
        run: impl FnOnce(&Lent<'_>, &Compared<'_, super::Array<'_>>) -> Result<R>,
    ) -> Result<R> {
        let (ClassLabels::Indices(labels) | ClassLabels::Shares(labels)) = &self.labels;
        let are_shares = matches!(self.labels, ClassLabels::Shares(_));
        let (there, labels) = (Lent::of(logits), Lent::of(labels));
        let weight = self.weight.as_ref().map(Lent::of);
        let (x, labels) = (there.array()?, labels.array()?);
        let weight = weight.as_ref().map(Lent::array).transpose()?;
        let compared = Compared {
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
