//! What this process uses of the machine, as metrics. Linux only; elsewhere the metrics are absent.

use crate::metric;

/// Sets `service_process_resident_bytes` and `service_process_open_files` to what they are now.
pub(crate) fn measure() {
    if let Some(bytes) = std::fs::read_to_string("/proc/self/status").ok().as_deref().and_then(resident) {
        metric::gauge("service_process_resident_bytes", &[]).set(bytes);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        metric::gauge("service_process_open_files", &[]).set(files.count() as f64);
    }
}

/// Resident memory in bytes, from the text of `/proc/self/status` (proc(5): `VmRSS:  1234 kB`).
fn resident(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1_024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_from_the_status_of_the_process() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t   1234 kB\nThreads:\t2\n"), Some(1_263_616.0));
        assert_eq!(resident("VmRSS: many kB"), None);
        assert_eq!(resident(""), None);
    }
}
