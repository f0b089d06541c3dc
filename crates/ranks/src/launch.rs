use std::fmt;

use crate::{Error, Result};

/// What a launcher says of this process, in the environment.
///
/// To be had before MPI is started, or without it: how many threads and which GPU a rank should take, and whether it is one
/// of several at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// What started it.
    pub launcher: Launcher,
    /// Which one this is, from 0.
    pub rank: usize,
    /// How many there are.
    pub size: usize,
    /// Which one this is of its machine, from 0.
    pub local_rank: usize,
    /// How many there are on its machine.
    pub local_size: usize,
    /// Whether the launcher helps MPI to find the others.
    pub connected: bool,
}

/// What starts the processes of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Launcher {
    /// `mpirun` of Open MPI.
    OpenMpi,
    /// `mpirun` of MPICH or Intel MPI.
    Hydra,
    /// `srun` of Slurm.
    Slurm,
}

impl fmt::Display for Launcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenMpi | Self::Hydra => "mpirun",
            Self::Slurm => "srun",
        })
    }
}

impl Launch {
    /// What the environment says, of which `variable` gives a variable; `None` where nothing has been launched.
    ///
    /// A batch script of Slurm is not launched, only what `srun` starts in it is. What `mpirun` starts within a job of Slurm,
    /// `mpirun` knows better.
    ///
    /// # Examples
    ///
    /// ```
    /// use sconce_ranks::Launch;
    ///
    /// let environment = |name: &str| match name {
    ///     "OMPI_COMM_WORLD_RANK" | "OMPI_COMM_WORLD_LOCAL_RANK" => Some("1".to_owned()),
    ///     "OMPI_COMM_WORLD_SIZE" | "OMPI_COMM_WORLD_LOCAL_SIZE" => Some("4".to_owned()),
    ///     _ => None,
    /// };
    /// let launch = Launch::detect(environment).expect("mpirun has started it");
    /// assert_eq!((launch.rank, launch.size), (1, 4));
    /// ```
    pub fn detect(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let number = |name: &str| variable(name)?.trim().parse::<usize>().ok();
        let of = |launcher, [rank, size, local_rank, local_size]: [Option<usize>; 4], connected| {
            let (rank, size) = (rank?, size?);
            let (local_rank, local_size) = (local_rank.unwrap_or(rank), local_size.unwrap_or(size));
            let right = rank < size && local_rank < local_size && local_size <= size;
            right.then_some(Self { launcher, rank, size, local_rank, local_size, connected })
        };
        let open_mpi = ["RANK", "SIZE", "LOCAL_RANK", "LOCAL_SIZE"]
            .map(|name| number(&format!("OMPI_COMM_WORLD_{name}")));
        let hydra = ["PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"].map(number);
        let here = || tasks_of(&variable("SLURM_STEP_TASKS_PER_NODE")?, number("SLURM_NODEID")?);
        let slurm = [
            number("SLURM_PROCID"),
            number("SLURM_STEP_NUM_TASKS"),
            number("SLURM_LOCALID"),
            here(),
        ];
        of(Launcher::OpenMpi, open_mpi, true)
            .or_else(|| of(Launcher::Hydra, hydra, true))
            .or_else(|| of(Launcher::Slurm, slurm, variable("PMIX_RANK").is_some()))
    }

    /// The GPU of this rank, where `visible` are to be seen: one for each rank of the machine. A rank that sees a single one
    /// takes it, as a launcher shows each rank its own.
    ///
    /// # Errors
    ///
    /// [`Error::Gpus`], where there are more ranks than GPUs.
    pub fn gpu(&self, visible: usize) -> Result<usize> {
        match visible {
            1 => Ok(0),
            _ if self.local_size <= visible => Ok(self.local_rank),
            _ => Err(Error::Gpus { ranks: self.local_size, gpus: visible }),
        }
    }

    /// How many threads this rank should have, where it may use `available` of the `cores` of its machine: at least 1.
    ///
    /// A launcher may have bound each rank to cores of its own, or several to the same, or none: a rank takes what it may
    /// use, and no more than its share of the machine. `mpirun` binds two ranks to one core each, unless told
    /// otherwise: `--bind-to none`, or `--map-by slot:PE=8` for eight cores each. `srun` gives each `--cpus-per-task`.
    pub fn threads(&self, available: usize, cores: usize) -> usize {
        (cores / self.local_size).min(available).max(1)
    }
}

/// How many tasks run on a node, in Slurm's words: `4(x2),3` for three nodes.
fn tasks_of(text: &str, node: usize) -> Option<usize> {
    let mut seen = 0;
    for part in text.split(',') {
        let (tasks, nodes) = match part.split_once("(x") {
            Some((tasks, nodes)) => (tasks, nodes.strip_suffix(')')?.parse().ok()?),
            None => (part, 1),
        };
        seen += nodes;
        if node < seen {
            return tasks.trim().parse().ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(variables: &[(&str, &str)]) -> Option<Launch> {
        Launch::detect(|name| {
            variables.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned())
        })
    }

    /// The second of two tasks of the third node; ten in all.
    const SRUN: &[(&str, &str)] = &[
        ("SLURM_PROCID", "9"),
        ("SLURM_STEP_NUM_TASKS", "10"),
        ("SLURM_LOCALID", "1"),
        ("SLURM_NODEID", "2"),
        ("SLURM_STEP_TASKS_PER_NODE", "4(x2),2"),
    ];

    #[test]
    fn a_task_of_slurm_knows_its_place_on_its_machine() {
        let launch = detect(SRUN).expect("launched");

        let expected = Launch {
            launcher: Launcher::Slurm,
            rank: 9,
            size: 10,
            local_rank: 1,
            local_size: 2,
            connected: false,
        };
        assert_eq!(launch, expected);
        let with = [SRUN, &[("PMIX_RANK", "9")]].concat();
        assert!(detect(&with).expect("launched").connected);
    }

    #[test]
    fn mpirun_within_slurm_is_believed() {
        let mpirun = [("OMPI_COMM_WORLD_RANK", "0"), ("OMPI_COMM_WORLD_SIZE", "20")];

        let launch = detect(&[SRUN, &mpirun].concat()).expect("launched");

        assert_eq!((launch.launcher, launch.size), (Launcher::OpenMpi, 20));
    }

    #[test]
    fn a_batch_script_and_nonsense_are_not_launched() {
        assert_eq!(detect(&[]), None);
        assert_eq!(detect(&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "4")]), None);
        assert_eq!(detect(&[("PMI_RANK", "4"), ("PMI_SIZE", "4")]), None);
        assert_eq!(detect(&[("PMI_RANK", "-1"), ("PMI_SIZE", "many")]), None);
    }

    #[test]
    fn ranks_of_a_machine_share_its_cores_and_gpus() -> anyhow::Result<()> {
        let launch = Launch { local_rank: 1, local_size: 4, ..detect(SRUN).expect("launched") };

        // Unbound; bound to one core; bound with another to a half; more ranks than cores.
        let of = [(16, 16), (1, 16), (8, 16), (2, 2)];
        assert_eq!(of.map(|(available, cores)| launch.threads(available, cores)), [4, 1, 4, 1]);
        assert_eq!((launch.gpu(8)?, launch.gpu(4)?, launch.gpu(1)?), (1, 1, 0));
        assert_eq!(
            launch.gpu(2).map_err(|error| error.to_string()),
            Err("4 ranks were started on this machine, which shows them 2 GPUs; each rank takes one of its own"
                .to_owned()),
        );
        Ok(())
    }

    #[test]
    fn nodes_that_are_not_listed_have_no_tasks() {
        assert_eq!(tasks_of("4(x2),3", 1), Some(4));
        assert_eq!(tasks_of("4(x2),3", 2), Some(3));
        assert_eq!(tasks_of("4(x2),3", 3), None);
        assert_eq!(tasks_of("4(x", 0), None);
    }
}
