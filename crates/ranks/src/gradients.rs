use std::collections::BTreeMap;

use candle::{DType, Tensor};
use nn::{Gradients, Parameters};

use crate::{Group, Result};

/// Bytes that are summed at once: large enough that the time to start a sum does not count, small enough that
/// little memory is needed beside the gradients. PyTorch takes as many.
const BUCKET: usize = 25 << 20;

/// Replaces each gradient by its mean over all ranks, so that ranks with batches of the same size take the step of one
/// rank that has all of their samples.
///
/// That holds for losses that are means over samples; for those that divide by sums over the batch, see
/// [`pooled`](fn@crate::pooled). A parameter without a gradient on some ranks has zeros there; one without a gradient on all
/// ranks stays without. Sums are taken in f32, in f64 for parameters of f64, in the order of names. Where a value is not
/// finite on one rank, it is not on any afterwards, so that all find the same.
///
/// With one rank nothing happens.
///
/// # Errors
///
/// As [`Group::sum_tensor`].
///
/// # Source
///
/// Li et al.: *PyTorch Distributed: Experiences on Accelerating Data Parallel Training*, VLDB 2020,
/// [arXiv:2006.15704](https://arxiv.org/abs/2006.15704), whose sums overlap with the backward pass; these follow it.
pub fn mean_gradients(
    group: &dyn Group,
    parameters: &Parameters,
    gradients: &mut Gradients,
) -> Result<()> {
    mean_by(group, parameters, gradients, BUCKET)
}

/// [`mean_gradients`] of as many bytes at once as `most`.
fn mean_by(
    group: &dyn Group,
    parameters: &Parameters,
    gradients: &mut Gradients,
    most: usize,
) -> Result<()> {
    if group.size() == 1 {
        return Ok(());
    }
    let vars = parameters.vars();
    let mut present: Vec<f32> =
        vars.iter().map(|(name, _)| f32::from(u8::from(gradients.get(name).is_some()))).collect();
    group.sum_f32(&mut present)?;

    let mut means: BTreeMap<String, Option<Tensor>> = BTreeMap::new();
    let mut bucket = Bucket::default();
    for ((name, var), present) in vars.into_iter().zip(present) {
        if present == 0.0 {
            means.insert(name, None);
            continue;
        }
        let gradient = match gradients.get(&name) {
            Some(gradient) => gradient.clone(),
            None => var.zeros_like()?,
        };
        let sum_dtype = if gradient.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
        let flat = gradient.flatten_all()?.to_dtype(sum_dtype)?;
        if !bucket.takes(&flat, most) {
            std::mem::take(&mut bucket).empty(group, &mut means)?;
        }
        bucket.items.push(Item { name, like: gradient, flat });
    }
    bucket.empty(group, &mut means)?;
    *gradients = Gradients::new(means);
    Ok(())
}

/// Gradients that are summed together.
#[derive(Default)]
struct Bucket {
    items: Vec<Item>,
}

struct Item {
    name: String,
    /// What the mean shall look like.
    like: Tensor,
    flat: Tensor,
}

impl Bucket {
    /// Whether there is room, as there is for one of any size in an empty one.
    fn takes(&self, flat: &Tensor, most: usize) -> bool {
        let bytes = |flat: &Tensor| flat.elem_count() * flat.dtype().size_in_bytes();
        let held: usize = self.items.iter().map(|item| bytes(&item.flat)).sum();
        self.items
            .first()
            .is_none_or(|first| first.flat.dtype() == flat.dtype() && held + bytes(flat) <= most)
    }

    fn empty(self, group: &dyn Group, means: &mut BTreeMap<String, Option<Tensor>>) -> Result<()> {
        if self.items.is_empty() {
            return Ok(());
        }
        let flat: Vec<&Tensor> = self.items.iter().map(|item| &item.flat).collect();
        let sum = group.sum_tensor(&Tensor::cat(&flat, 0)?)?;
        let mean = sum.affine(1.0 / group.size() as f64, 0.0)?;
        let mut start = 0;
        for Item { name, like, flat } in self.items {
            let count = flat.elem_count();
            let own =
                mean.narrow(0, start, count)?.reshape(like.shape())?.to_dtype(like.dtype())?;
            means.insert(name, Some(own));
            start += count;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use candle::Device;

    use super::*;
    use crate::Local;

    #[test]
    fn gradients_come_back_in_their_places_however_they_are_packed() -> anyhow::Result<()> {
        const SHAPES: [(&str, (usize, usize)); 4] =
            [("a", (2, 3)), ("b", (1, 1)), ("c", (5, 4)), ("d", (1, 2))];
        let value = |at: usize, rank: usize| (at + 1) as f32 * if rank == 0 { 1.0 } else { 3.0 };
        let work = |group: &Local, most: usize| -> Result<Gradients> {
            let parameters = Parameters::new(1, &Device::Cpu);
            let mut own = BTreeMap::new();
            for (at, (name, shape)) in SHAPES.into_iter().enumerate() {
                parameters.builder().get(shape, name)?;
                let gradient = Tensor::full(value(at, group.rank()), shape, &Device::Cpu)?;
                own.insert(name.to_owned(), Some(gradient));
            }
            let mut gradients = Gradients::new(own);
            mean_by(group, &parameters, &mut gradients, most)?;
            Ok(gradients)
        };
        // One for each; two, of which "c" is larger than the first could be; all at once.
        for most in [1, 7 * 4, BUCKET] {
            let ranks = thread::scope(|scope| {
                let ranks: Vec<_> = Local::group(2)
                    .into_iter()
                    .map(|group| scope.spawn(move || work(&group, most)))
                    .collect();
                let ranks = ranks.into_iter().map(|rank| rank.join().expect("no panic"));
                ranks.collect::<Result<Vec<_>>>()
            })?;

            for gradients in ranks {
                for (at, (name, (rows, columns))) in SHAPES.into_iter().enumerate() {
                    let actual = gradients.get(name).map(Tensor::to_vec2::<f32>).transpose()?;
                    assert_eq!(actual, Some(vec![vec![(at + 1) as f32 * 2.0; columns]; rows]));
                }
            }
        }
        Ok(())
    }
}
