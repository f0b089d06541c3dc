use std::cell::Cell;

use candle::{CpuStorage, InplaceOp1, Layout, Result, Tensor};

use super::{Held, contiguous, tensor_like};
use crate::kernels::update;
use crate::optim::{Change, Rule};

/// Makes the changes, and has `remember` know what each parameter's memory is now.
pub(crate) fn change(
    changes: Vec<Change>,
    mut remember: impl FnMut(&str, Vec<Tensor>),
) -> Result<()> {
    for Change { name, rule, value, gradient, memory } in changes {
        let mut after = {
            let (value, gradient) = (Held::of(&value)?, Held::of(&gradient)?);
            let memory = memory.iter().map(Held::of).collect::<Result<Vec<_>>>()?;
            let memory: Vec<_> = memory.iter().map(Held::wide).collect();
            let (value, gradient) = (value.wide(), gradient.wide());
            match (&rule, memory.as_slice()) {
                (Rule::Descent(rule), []) => vec![update::descend(rule, &value, &gradient)],
                (Rule::Descent(rule), [buffer]) => {
                    update::descend_with_momentum(rule, &value, &gradient, buffer).into()
                }
                (Rule::Adaption(rule), [mean, square]) => {
                    update::adapt(rule, &value, &gradient, [mean, square]).into()
                }
                (Rule::Adaption(rule), [mean, square, largest]) => {
                    let memory = [&**mean, square, largest];
                    update::adapt_to_largest(rule, &value, &gradient, memory).into()
                }
                _ => candle::bail!("{name} has a memory of {} tensors", memory.len()),
            }
        };
        let memory = after.split_off(1).into_iter();
        remember(&name, memory.map(|values| tensor_like(values, &value)).collect());
        value.inplace_op1(&Replacement(Cell::new(after.pop().unwrap_or_default())))?;
    }
    Ok(())
}

/// `average + (value − average) · take`, of two tensors of one shape in f32.
pub(crate) fn moved_towards(average: &Tensor, value: &Tensor, take: f64) -> Result<Tensor> {
    if average.dims() != value.dims() || average.dtype() != value.dtype() {
        candle::bail!("an average is {average:?}, but what it follows {value:?}");
    }
    let (average, value) = (average.contiguous()?, value.contiguous()?);
    let (average_held, value_held) = (Held::of(&average)?, Held::of(&value)?);
    let moved = update::moved_towards(&average_held.wide(), &value_held.wide(), take);
    Ok(tensor_like(moved, &average))
}

/// Puts values where the old ones are, without a copy where they are all that is there.
struct Replacement(Cell<Vec<f32>>);

impl InplaceOp1 for Replacement {
    fn name(&self) -> &'static str {
        "replacement"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (range, fresh) = (contiguous(layout)?, self.0.take());
        let CpuStorage::F32(values) = storage else {
            candle::bail!("a native step changes parameters in f32");
        };
        if fresh.len() != range.len() || range.end > values.len() {
            candle::bail!("{} values for {}", fresh.len(), range.len());
        }
        if values.len() == range.len() {
            *values = fresh;
        } else {
            values[range].copy_from_slice(&fresh);
        }
        Ok(())
    }
}
