//! One process of those that the tests start under `mpirun`: it checks what MPI does, or fails as it is told.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;
use std::{env, process, thread};

use anyhow::{Context as _, bail, ensure};
use candle::{Device, Tensor};
use sconce_ranks::{Error, Group, Launch, Local, start};

fn main() -> anyhow::Result<()> {
    let launch = Launch::detect(|name| env::var(name).ok()).context("start this with mpirun")?;
    let group = start(Some(&launch))?;
    // Told before the group is dropped: that ends the job, and this process with it.
    if let Err(error) = run(&group, &launch) {
        writeln!(io::stderr(), "{error:?}")?;
        return Err(error);
    }
    Ok(())
}

fn run(group: &Arc<dyn Group>, launch: &Launch) -> anyhow::Result<()> {
    ensure!((group.rank(), group.size()) == (launch.rank, launch.size), "another place");
    match env::args().nth(1).as_deref() {
        Some("work") => work(group)?,
        Some("leave") => leave(group)?,
        Some("panic") => panic(group)?,
        Some("die") => die(group)?,
        Some("abort") => abort(group)?,
        other => bail!("no such thing to do: {other:?}"),
    }
    group.finish()?;
    ensure!(matches!(group.barrier(), Err(Error::Finished)), "there is something after the end");
    Ok(())
}

fn work(group: &Arc<dyn Group>) -> anyhow::Result<()> {
    for count in [0, 1, 2, 7, 1000, (1 << 20) + 5] {
        as_threads_do(group.as_ref(), count)?;
    }
    let (rank, size) = (group.rank(), group.size());
    let own = vec![u8::try_from(rank)?; 3 * rank];
    for root in 0..size {
        let mut bytes = own.clone();
        group.broadcast(root, &mut bytes)?;
        ensure!(
            bytes == vec![u8::try_from(root)?; 3 * root],
            "what rank {root} has told: {bytes:?}"
        );

        let expected = (0..size).map(|rank| Ok(vec![u8::try_from(rank)?; 3 * rank]));
        let expected =
            (rank == root).then(|| expected.collect::<anyhow::Result<_>>()).transpose()?;
        ensure!(group.gather(root, &own)? == expected, "what rank {root} has gathered");
    }
    // More than is sent at once, of another length and another end on each rank.
    let long = |rank: usize| -> anyhow::Result<Vec<u8>> {
        let mut bytes = vec![3; (17 << 20) + rank];
        bytes.push(u8::try_from(rank)?);
        Ok(bytes)
    };
    let gathered = group.gather(1, &long(rank)?)?;
    let expected = (0..size).map(long).collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(gathered == (rank == 1).then_some(expected), "long bytes have changed");
    let mut told = if rank == 2 { long(2)? } else { Vec::new() };
    group.broadcast(2, &mut told)?;
    ensure!(told == long(2)?, "long bytes have changed");

    ensure!(group.any(rank == 1)? && !group.any(false)?, "a flag");
    group.agree("run file", b"same")?;
    let differs = group.agree("run file", if rank == 2 { b"new" } else { b"old" });
    ensure!(matches!(differs, Err(Error::Differs { rank: 2, .. })), "who differs: {differs:?}");
    ensure!(matches!(group.broadcast(size, &mut told), Err(Error::NoRank { .. })), "one more rank");
    let tensor = Tensor::full(rank as f32, (2, 3), &Device::Cpu)?;
    let sum = group.sum_tensor(&tensor)?.to_vec2::<f32>()?;
    ensure!(sum == [[3.0; 3]; 2], "the sum of a tensor: {sum:?}");
    Ok(())
}

/// Sums have the bits that they have in threads of one process, which is how most tests try several ranks.
fn as_threads_do(group: &dyn Group, count: usize) -> anyhow::Result<()> {
    let values = |rank: usize| -> Vec<f32> {
        (0..count).map(|at| ((at * 7919 + rank * 104_729) % 1000) as f32 / 3.0).collect()
    };
    let both = |group: &dyn Group| {
        let mut narrow = values(group.rank());
        let mut wide: Vec<f64> = narrow.iter().map(|&value| f64::from(value) / 7.0).collect();
        group.sum_f32(&mut narrow)?;
        group.sum_f64(&mut wide).map(|()| (narrow, wide))
    };
    let expected = thread::scope(|scope| -> anyhow::Result<_> {
        let others = Local::group(group.size());
        let ranks: Vec<_> =
            others.into_iter().map(|rank| scope.spawn(move || both(&rank))).collect();
        let sums = ranks.into_iter().map(|rank| Ok(rank.join().ok().context("a panic")??));
        sums.last().context("no rank")?
    })?;
    ensure!(both(group)? == expected, "sums of {count} values");
    Ok(())
}

/// Rank 1 fails, and says nothing to the others, which wait for it.
fn leave(group: &Arc<dyn Group>) -> anyhow::Result<()> {
    if group.rank() == 1 {
        bail!("rank 1 fails");
    }
    Ok(group.barrier()?)
}

/// Rank 2 panics.
fn panic(group: &Arc<dyn Group>) -> anyhow::Result<()> {
    assert_ne!(group.rank(), 2, "rank 2 panics");
    Ok(group.barrier()?)
}

/// Rank 0 is gone at once, as if it had been killed.
fn die(group: &Arc<dyn Group>) -> anyhow::Result<()> {
    if group.rank() == 0 {
        process::abort();
    }
    Ok(group.barrier()?)
}

/// Rank 1 ends the job while its main thread waits within MPI, and others are busy elsewhere.
fn abort(group: &Arc<dyn Group>) -> anyhow::Result<()> {
    if group.rank() != 1 {
        loop {
            thread::park();
        }
    }
    let other = Arc::clone(group);
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        other.abort(7);
    });
    Ok(group.barrier()?)
}
