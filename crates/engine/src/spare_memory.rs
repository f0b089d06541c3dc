//! How much memory is left for a run.

use std::fs;
use std::path::{Path, PathBuf};

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// Where Linux says what its control groups may take.
const GROUPS: &str = "/sys/fs/cgroup";

/// Memory that nobody uses, bytes: of the machine, or of the container or cluster job (Slurm, Kubernetes) that this program runs
/// in, where that may take less.
pub(crate) fn spare_memory() -> u64 {
    let memory = MemoryRefreshKind::nothing().with_ram();
    let machine = System::new_with_specifics(RefreshKind::nothing().with_memory(memory));
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let groups = groups(Path::new(GROUPS), &own);
    groups.iter().filter_map(|folder| left(folder)).fold(machine.available_memory(), u64::min)
}

/// The folders of the groups that a process is in, by what `/proc/self/cgroup` says, up to the root: each limits those within.
fn groups(root: &Path, own: &str) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for line in own.lines() {
        // Number, controllers, path; a second version of groups has no controllers.
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let root = match controllers {
            "" => root.to_owned(),
            _ if controllers.split(',').any(|it| it == "memory") => root.join("memory"),
            _ => continue,
        };
        let folder = root.join(path.trim_start_matches('/'));
        let within = folder.ancestors().take_while(|folder| folder.starts_with(&root));
        folders.extend(within.map(Path::to_owned));
    }
    folders
}

/// What a group may still take; `None` where it has no limit. Files that the system remembers for it can be forgotten: what its
/// processes hold is what counts.
fn left(folder: &Path) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
    let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
    // Either version of groups has names of its own; `max`, which is no number, is no limit.
    let limit = number("memory.max").or_else(|| number("memory.limit_in_bytes"))?;
    let used = number("memory.current").or_else(|| number("memory.usage_in_bytes"))?;
    let remembered = |line: &str| {
        let (name, bytes) = line.split_once(' ')?;
        matches!(name, "inactive_file" | "active_file").then(|| bytes.parse::<u64>().ok())?
    };
    let files: u64 = read("memory.stat").unwrap_or_default().lines().filter_map(remembered).sum();
    Some(limit.saturating_sub(used.saturating_sub(files)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_has_what_the_least_of_its_groups_leaves() -> anyhow::Result<()> {
        let root = tempfile::tempdir()?;
        let job = root.path().join("slurm/job_7/step_0");
        fs::create_dir_all(&job)?;
        let limited = root.path().join("slurm/job_7");
        fs::write(job.join("memory.max"), "max\n")?;
        fs::write(job.join("memory.current"), "5\n")?;
        fs::write(limited.join("memory.max"), "1000\n")?;
        fs::write(limited.join("memory.current"), "700\n")?;
        fs::write(limited.join("memory.stat"), "anon 600\ninactive_file 60\nactive_file 40\n")?;

        let groups = groups(root.path(), "0::/slurm/job_7/step_0\n");

        assert_eq!(groups.len(), 4, "{groups:?}");
        let left: Vec<Option<u64>> = groups.iter().map(|folder| left(folder)).collect();
        assert_eq!(left, [None, Some(400), None, None]);
        Ok(())
    }

    #[test]
    fn groups_of_the_first_version_lie_below_the_controller() {
        let own = "12:cpu,cpuacct:/job\n5:memory:/job\n";

        let found = groups(Path::new("/groups"), own);

        assert_eq!(found, [Path::new("/groups/memory/job"), Path::new("/groups/memory")]);
    }

    #[test]
    fn there_is_memory_on_this_machine() {
        assert!(spare_memory() > 1 << 20);
    }
}
