//! Sums over a batch of which several processes have a part each.

use std::cell::RefCell;
use std::rc::Rc;

use candle::Tensor;

use crate::Result;

type Sum = Rc<dyn Fn(&Tensor) -> candle::Result<Tensor>>;

thread_local! {
    static SUM: RefCell<Option<Sum>> = const { RefCell::new(None) };
}

/// What `run` returns, where losses that are functions of sums over a whole batch, on this thread, have `sum` make the sum
/// over all processes of what is that of their own: with a gradient, since losses go back through it.
///
/// That concerns settings such as `pool_batch`, the batch term of [`DiceSemimetric`](crate::DiceSemimetric), and means in
/// which some voxels are ignored. Losses of single samples are means over them, which averaged gradients do right by
/// themselves. [`TopK`](crate::TopK) looks for the worst voxels in each process alone.
///
/// # Examples
///
/// Two processes with the same samples: twice the sums, and the same loss.
///
/// ```
/// use candle::{DType, Device, Tensor};
/// use sconce_losses::{Dice, Loss as _, NonNegative, Target, with_batch_sums};
///
/// let loss = Dice { pool_batch: true, smooth: NonNegative::literal(0.0), ..Dice::default() };
/// let logits = Tensor::zeros((2, 2, 8), DType::F32, &Device::Cpu)?;
/// let target = Target::hard(Tensor::zeros((2, 8), DType::U32, &Device::Cpu)?);
/// let alone = loss.forward(&logits, &target)?.to_scalar::<f32>()?;
/// let both = with_batch_sums(|sums| sums * 2.0, || loss.forward(&logits, &target))?;
/// assert_eq!(both.to_scalar::<f32>()?, alone);
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn with_batch_sums<T>(
    sum: impl Fn(&Tensor) -> candle::Result<Tensor> + 'static,
    run: impl FnOnce() -> T,
) -> T {
    struct Before(Option<Sum>);
    impl Drop for Before {
        fn drop(&mut self) {
            let before = self.0.take();
            SUM.with_borrow_mut(|sum| *sum = before);
        }
    }
    let _before = Before(SUM.replace(Some(Rc::new(sum))));
    run()
}

/// The sums of a part of a batch as those of the whole.
pub(crate) fn of_whole_batch(sums: &Tensor) -> Result<Tensor> {
    match SUM.with_borrow(Clone::clone) {
        Some(sum) => Ok(sum(sums)?),
        None => Ok(sums.clone()),
    }
}

/// A weighted sum and the sum of its weights, where there are weights as those of the whole batch: their quotient is a mean
/// over all of it. Without weights, averaged gradients do that mean right.
pub(crate) fn weighted_sums(
    weighted: bool,
    sum: Tensor,
    count: Tensor,
) -> Result<(Tensor, Tensor)> {
    let (sum, count) =
        if weighted { (of_whole_batch(&sum)?, of_whole_batch(&count)?) } else { (sum, count) };
    let count = count.to_dtype(sum.dtype())?;
    Ok((sum, count))
}
