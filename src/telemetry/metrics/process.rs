//! What Linux says of this process, under the names that Prometheus' own clients use. Elsewhere there is nothing.

use std::fmt::Write as _;

/// User space is told times in hundredths of a second, whatever the kernel counts in.
const TICKS: f64 = 100.0;

/// Lines in Prometheus' text form. What can't be read is left out.
pub(super) fn render() -> String {
    let mut out = String::new();
    if let Ok(stat) = std::fs::read_to_string("/proc/self/stat") {
        cpu(&stat, &mut out);
    }
    if let Some(bytes) = std::fs::read_to_string("/proc/self/status").ok().as_deref().and_then(resident) {
        line(&mut out, "gauge", "process_resident_memory_bytes", "Resident memory", &bytes);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        // The one that this folder is read by is not counted.
        let open = open.count().saturating_sub(1);
        line(&mut out, "gauge", "process_open_fds", "Open file descriptors", &open);
    }
    if let Some(most) = std::fs::read_to_string("/proc/self/limits").ok().as_deref().and_then(most_files) {
        line(&mut out, "gauge", "process_max_fds", "File descriptors there may be", &most);
    }
    out
}

/// Fields 14, 15 and 20 of proc(5), counted after the name, which may hold anything.
fn cpu(stat: &str, out: &mut String) {
    let Some((_, rest)) = stat.rsplit_once(") ") else { return };
    let fields: Vec<f64> = rest.split(' ').map(|field| field.trim().parse().unwrap_or_default()).collect();
    if let (Some(user), Some(system), Some(threads)) = (fields.get(11), fields.get(12), fields.get(17)) {
        let seconds = (user + system) / TICKS;
        line(out, "counter", "process_cpu_seconds_total", "User and system CPU time", &seconds);
        line(out, "gauge", "process_threads", "Threads", threads);
    }
}

fn resident(status: &str) -> Option<u64> {
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(kib.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1_024)
}

fn most_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn line(out: &mut String, kind: &str, name: &str, help: &str, value: &impl std::fmt::Display) {
    // A text can't fail to be written to.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_whatever_the_name_is() {
        let mut out = String::new();
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194560 900 0 0 0 250 50 0 0 20 0 3 0 100 1000 200";
        cpu(stat, &mut out);
        assert!(out.contains("\nprocess_cpu_seconds_total 3\n"), "{out}");
        assert!(out.contains("\nprocess_threads 3\n"), "{out}");
        assert_eq!(resident("Name:\tx\nVmRSS:\t    12 kB\n"), Some(12 * 1_024));
        assert_eq!(
            most_files("Max open files            1024                 4096                 files"),
            Some(1_024)
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_seen() {
        let out = render();
        for name in [
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_open_fds",
            "process_max_fds",
        ] {
            assert!(out.contains(&format!("\n{name} ")), "{name} in {out}");
        }
    }
}
