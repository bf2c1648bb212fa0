//! What the operating system charges the process with.

use std::fs;

use cpu_time::ProcessTime;
use sim_core::Duration;

/// CPU time that all threads of the process have used.
///
/// # Panics
///
/// Where the operating system does not tell.
#[must_use]
pub fn cpu_time() -> Duration {
    let nanos = ProcessTime::now().as_duration().as_nanos();
    Duration::from_nanos(u64::try_from(nanos).expect("no process has run for 500 years"))
}

/// The most physical memory the process has had, in bytes (`VmHWM`); `None` where there is no
/// `/proc/self/status`.
#[must_use]
pub fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
