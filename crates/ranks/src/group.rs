use std::fmt::Debug;

use candle::{DType, Tensor};

use crate::{Error, Result};

/// The ranks of a job, as one of them sees them.
///
/// Each call but [`abort`](Self::abort) ends when all ranks have made the same, with buffers of the same length. Calls may
/// come from any thread; which comes first must be the same on all ranks, so let one thread make them.
///
/// # Errors
///
/// A call fails where another rank has ended or makes another call, as far as that can be found out: [`Local`](crate::Local)
/// always does, MPI ends the whole job instead.
pub trait Group: Debug + Send + Sync {
    /// Which one this is, from 0.
    fn rank(&self) -> usize;

    /// How many there are, at least 1.
    fn size(&self) -> usize;

    /// Replaces each value by its sum over all ranks, in single precision.
    ///
    /// # Errors
    ///
    /// See the trait.
    fn sum_f32(&self, values: &mut [f32]) -> Result<()>;

    /// Replaces each value by its sum over all ranks.
    ///
    /// # Errors
    ///
    /// See the trait.
    fn sum_f64(&self, values: &mut [f64]) -> Result<()>;

    /// Gives all ranks the bytes that rank `root` has, however many; what others have is replaced.
    ///
    /// # Errors
    ///
    /// [`Error::NoRank`]; else see the trait.
    fn broadcast(&self, root: usize, bytes: &mut Vec<u8>) -> Result<()>;

    /// The bytes of each rank, by rank, on rank `root`; `None` on others. Lengths may differ.
    ///
    /// # Errors
    ///
    /// [`Error::NoRank`]; else see the trait.
    fn gather(&self, root: usize, bytes: &[u8]) -> Result<Option<Vec<Vec<u8>>>>;

    /// Waits until all ranks are here.
    ///
    /// # Errors
    ///
    /// See the trait.
    fn barrier(&self) -> Result<()>;

    /// The sum of a tensor over all ranks, of the same shape and type, on the same device, without a graph.
    ///
    /// Types other than f32 and f64 are summed in f32.
    ///
    /// # Errors
    ///
    /// [`Error::Tensor`] where a tensor operation fails; else see the trait.
    fn sum_tensor(&self, tensor: &Tensor) -> Result<Tensor> {
        through_host(self, tensor)
    }

    /// Ends the job from any thread, whatever other ranks do, as far as that is possible: others that wait for this rank
    /// stop waiting. With MPI every process ends, this one too, with `code`; else this process lives on, and whoever
    /// calls this should end it.
    fn abort(&self, code: i32);

    /// Says that this rank has done all its work, and waits for the others to say so; afterwards only
    /// [`rank`](Self::rank) and [`size`](Self::size) are left. A rank that goes without a word counts as failed.
    ///
    /// # Errors
    ///
    /// See the trait.
    fn finish(&self) -> Result<()>;

    /// Whether `flag` is set on any rank: such as whether one of them was asked to stop.
    ///
    /// # Errors
    ///
    /// See the trait.
    fn any(&self, flag: bool) -> Result<bool> {
        let mut count = [f64::from(u8::from(flag))];
        self.sum_f64(&mut count)?;
        Ok(count[0] > 0.0)
    }

    /// Checks that all ranks have the same `bytes`, such as a run file.
    ///
    /// # Errors
    ///
    /// [`Error::Differs`] on every rank, where one has others than rank 0; else see the trait.
    fn agree(&self, what: &str, bytes: &[u8]) -> Result<()> {
        let other = self.gather(0, bytes)?.and_then(|all| all.iter().position(|it| it != bytes));
        let mut first = vec![other.unwrap_or(0) as f64];
        self.sum_f64(&mut first)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
        match first[0] as usize {
            0 => Ok(()),
            rank => Err(Error::Differs { what: what.to_owned(), rank }),
        }
    }
}

/// [`Group::sum_tensor`] by way of the CPU's memory.
fn through_host<G: Group + ?Sized>(group: &G, tensor: &Tensor) -> Result<Tensor> {
    if group.size() == 1 {
        return Ok(tensor.detach());
    }
    let (shape, dtype, device) = (tensor.shape(), tensor.dtype(), tensor.device());
    let flat = tensor.flatten_all()?;
    let sum = if dtype == DType::F64 {
        let mut values = flat.to_vec1::<f64>()?;
        group.sum_f64(&mut values)?;
        Tensor::from_vec(values, shape, device)?
    } else {
        let mut values = flat.to_dtype(DType::F32)?.to_vec1::<f32>()?;
        group.sum_f32(&mut values)?;
        Tensor::from_vec(values, shape, device)?.to_dtype(dtype)?
    };
    Ok(sum)
}

/// Refuses a rank that does not exist.
pub(crate) fn check(root: usize, size: usize) -> Result<()> {
    if root < size { Ok(()) } else { Err(Error::NoRank { rank: root, size }) }
}
