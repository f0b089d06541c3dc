//! How much memory this program takes.

use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System, get_current_pid};

/// Bytes of the machine's memory that this program takes now; `None` where the system does not say.
///
/// Asking takes a fraction of a millisecond.
pub fn resident_memory() -> Option<u64> {
    let own = get_current_pid().ok()?;
    let mut system = System::new();
    let memory = ProcessRefreshKind::nothing().with_memory().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), false, memory);
    system.process(own).map(sysinfo::Process::memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_to_is_resident() {
        let before = resident_memory().expect("the system says");

        let held = std::hint::black_box(vec![1u8; 64 << 20]);

        let after = resident_memory().expect("the system says");
        assert!(after >= before + (48 << 20), "{before}, then {after}");
        drop(held);
    }
}
