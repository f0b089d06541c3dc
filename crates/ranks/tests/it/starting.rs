use sconce_ranks::{Alone, Group as _, Launch, Launcher, start};

/// One of `size` processes, which cannot find each other.
fn launch(size: usize) -> Launch {
    Launch {
        launcher: Launcher::Slurm,
        rank: 0,
        size,
        local_rank: 0,
        local_size: size,
        connected: false,
    }
}

#[test]
fn one_process_is_alone() -> anyhow::Result<()> {
    for group in [start(None)?, start(Some(&launch(1)))?] {
        let mut sum = [2.0];
        group.sum_f64(&mut sum)?;
        assert_eq!((group.rank(), group.size(), sum), (0, 1, [2.0]));
        assert_eq!(group.gather(0, b"own")?, Some(vec![b"own".to_vec()]));
        group.finish()?;
    }
    assert!(Alone.broadcast(1, &mut Vec::new()).is_err());
    Ok(())
}

#[test]
fn one_of_several_is_told_why_it_cannot_work_with_the_others() {
    let said = start(Some(&launch(4))).map(drop).map_err(|error| error.to_string());

    let expected = if cfg!(feature = "mpi") {
        "srun has started 4 of this program, but MPI finds 1: start them with the mpirun of the MPI that it is built with, \
         or with srun --mpi=pmix"
    } else {
        "srun has started 4 of this program, which is built without MPI: each would do the same work. Build it with \
         --features mpi"
    };
    assert_eq!(said, Err(expected.to_owned()));
}
