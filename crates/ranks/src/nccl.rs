use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use candle::{DType, Device, Tensor};
use nn::AllReduce;

use crate::group::check;
use crate::{Error, Group, Result};

/// How often a rank looks for the file of rank 0.
const PAUSE: Duration = Duration::from_millis(50);

/// Ranks with a CUDA device each, which sum tensors among themselves.
///
/// A step's gradients never leave the devices; they are summed in an order that NCCL chooses, see [`nn::AllReduce`]. All
/// else goes through another group, such as `Mpi`, in its order; without one, through the devices too.
#[derive(Debug)]
pub struct Nccl {
    devices: AllReduce,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// Among ranks that speak to each other anyway.
    Within(Arc<dyn Group>),
    /// Without.
    Bare { rank: usize, size: usize },
}

impl Nccl {
    /// The ranks of `group`, where this one has `device`.
    ///
    /// # Errors
    ///
    /// [`Error::Tensor`], where NCCL does not start.
    pub fn within(group: Arc<dyn Group>, device: &Device) -> Result<Self> {
        let mut id = if group.rank() == 0 { AllReduce::id()?.to_vec() } else { Vec::new() };
        group.broadcast(0, &mut id)?;
        let devices = connect(device, group.rank(), group.size(), &id)?;
        Ok(Self { devices, place: Place::Within(group) })
    }

    /// Number `rank` of `size`, which meet by a file that all of them can read, and that no other job ever writes: a
    /// file that an earlier job has left would lead them astray. Rank 0 writes it, the others wait for `patience`; once
    /// all have met, it is removed.
    ///
    /// # Errors
    ///
    /// [`Error::Meeting`], where the file exists before rank 0 writes it, cannot be written, or does not come; [`Error::NoRank`];
    /// [`Error::Tensor`], where NCCL does not start.
    pub fn meet(
        file: &Path,
        rank: usize,
        size: usize,
        device: &Device,
        patience: Duration,
    ) -> Result<Self> {
        check(rank, size)?;
        let id = if rank == 0 { invite(file)? } else { find(file, patience)? };
        let devices = connect(device, rank, size, &id)?;
        if rank == 0 {
            fs::remove_file(file).map_err(|error| unreachable_at(file, &error))?;
        }
        Ok(Self { devices, place: Place::Bare { rank, size } })
    }

    /// The bytes of all ranks side by side: each adds its own to zeros.
    fn all_bytes(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        let mut lengths = vec![0.0; self.size()];
        lengths[self.rank()] = bytes.len() as f64;
        self.sum_f64(&mut lengths)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "lengths")]
        let lengths: Vec<usize> = lengths.into_iter().map(|length| length as usize).collect();
        let start: usize = lengths[..self.rank()].iter().sum();
        let mut all = vec![0_u8; lengths.iter().sum()];
        all[start..start + bytes.len()].copy_from_slice(bytes);
        let all = self.sum(all)?;
        let mut rest = all.as_slice();
        let mut take = |length: usize| {
            let (own, others) = rest.split_at(length);
            rest = others;
            own.to_vec()
        };
        Ok(lengths.into_iter().map(&mut take).collect())
    }

    fn sum<T: candle::WithDType>(&self, values: Vec<T>) -> Result<Vec<T>> {
        let count = values.len();
        let own = Tensor::from_vec(values, count, self.devices.device())?;
        Ok(self.devices.sum(&own)?.to_vec1()?)
    }
}

fn connect(device: &Device, rank: usize, size: usize, id: &[u8]) -> Result<AllReduce> {
    let id =
        id.try_into().map_err(|_| candle::Error::Msg("rank 0 sent no id of NCCL".to_owned()))?;
    Ok(AllReduce::new(device, rank, size, id)?)
}

fn unreachable_at(file: &Path, reason: &impl ToString) -> Error {
    Error::Meeting { path: file.to_owned(), reason: reason.to_string() }
}

/// Writes a file that is there at once and whole.
fn invite(file: &Path) -> Result<Vec<u8>> {
    if file.exists() {
        let reason =
            "an earlier job has left it, or another one uses it; name another file, or remove it";
        return Err(unreachable_at(file, &reason));
    }
    let id = AllReduce::id()?.to_vec();
    let name = |mut path: std::ffi::OsString| {
        path.push(".new");
        path
    };
    let fresh = name(file.as_os_str().to_owned());
    let write = || {
        let mut to = fs::File::create(&fresh)?;
        to.write_all(&id)?;
        to.sync_all()?;
        fs::rename(&fresh, file)
    };
    write().map_err(|error| unreachable_at(file, &error))?;
    Ok(id)
}

fn find(file: &Path, patience: Duration) -> Result<Vec<u8>> {
    let start = Instant::now();
    loop {
        match fs::read(file) {
            Ok(id) => return Ok(id),
            Err(error) if start.elapsed() > patience => return Err(unreachable_at(file, &error)),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

impl Group for Nccl {
    fn rank(&self) -> usize {
        match &self.place {
            Place::Within(group) => group.rank(),
            Place::Bare { rank, .. } => *rank,
        }
    }

    fn size(&self) -> usize {
        match &self.place {
            Place::Within(group) => group.size(),
            Place::Bare { size, .. } => *size,
        }
    }

    fn sum_f32(&self, values: &mut [f32]) -> Result<()> {
        if let Place::Within(group) = &self.place {
            return group.sum_f32(values);
        }
        values.copy_from_slice(&self.sum(values.to_vec())?);
        Ok(())
    }

    fn sum_f64(&self, values: &mut [f64]) -> Result<()> {
        if let Place::Within(group) = &self.place {
            return group.sum_f64(values);
        }
        values.copy_from_slice(&self.sum(values.to_vec())?);
        Ok(())
    }

    fn broadcast(&self, root: usize, bytes: &mut Vec<u8>) -> Result<()> {
        if let Place::Within(group) = &self.place {
            return group.broadcast(root, bytes);
        }
        check(root, self.size())?;
        let own = if self.rank() == root { bytes.as_slice() } else { &[] };
        *bytes = self.all_bytes(own)?.swap_remove(root);
        Ok(())
    }

    fn gather(&self, root: usize, bytes: &[u8]) -> Result<Option<Vec<Vec<u8>>>> {
        if let Place::Within(group) = &self.place {
            return group.gather(root, bytes);
        }
        check(root, self.size())?;
        let all = self.all_bytes(bytes)?;
        Ok((self.rank() == root).then_some(all))
    }

    fn barrier(&self) -> Result<()> {
        match &self.place {
            Place::Within(group) => group.barrier(),
            Place::Bare { .. } => self.sum_f64(&mut [0.0]),
        }
    }

    /// On the devices, for those that NCCL sums: f32, and f64. Others are summed in f32.
    fn sum_tensor(&self, tensor: &Tensor) -> Result<Tensor> {
        let dtype = tensor.dtype();
        let wide = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
        let device = self.devices.device();
        let own = tensor.detach().to_device(device)?.to_dtype(wide)?;
        Ok(self.devices.sum(&own)?.to_dtype(dtype)?.to_device(tensor.device())?)
    }

    /// Without a group to speak through, others that wait stay: their launcher has to end them.
    fn abort(&self, code: i32) {
        if let Place::Within(group) = &self.place {
            group.abort(code);
        }
    }

    fn finish(&self) -> Result<()> {
        // NCCL ends with this, whatever is still queued.
        self.devices.device().synchronize()?;
        match &self.place {
            Place::Within(group) => group.finish(),
            Place::Bare { .. } => self.barrier(),
        }
    }
}
