/// The most memory that this process has held, MiB; `None` where the system does not say.
pub fn peak_memory() -> Option<f64> {
    of_status("VmHWM:")
}

/// What is held now, so that one can tell how much more is held at most from now on.
#[derive(Clone, Copy, Debug)]
pub struct Watermark {
    resident: Option<f64>,
}

impl Watermark {
    /// From now on; the peak of the process begins anew.
    pub fn set() -> Self {
        // Where the system knows no such thing, the peak stays that of the whole process.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        Self { resident: of_status("VmRSS:") }
    }

    /// How much more has been held since, at most, MiB.
    pub fn above(self) -> Option<f64> {
        Some(peak_memory()? - self.resident?)
    }
}

fn of_status(field: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok().map(|kib| kib / 1024.0)
}
