//! The other side: one-row upserts by pgbench.

use std::{path::Path, process::Command};

/// The row that pgbench writes: all columns, as ingest does, without a change log. Its rows are its own:
/// what strangers did to a row is read again, and a table has no other writer of that kind.
const UPSERT: &str = "\\set r random(0, 19999)
\\set n random(1, 9)
INSERT INTO reservations (reservation_id, property_id, guest_id, status, check_in, check_out, num_guests, \
total_amount, currency, guest_first_name, guest_last_name, guest_email, guest_phone, webhook_id, event_timestamp, \
created_at, updated_at) VALUES ('theirs_' || :r, 'property_' || :r % 200, 'guest_' || :r % 5000, 'modified', \
date '2026-04-06', date '2026-04-13', :n, 1869.59, 'USD', 'Ada', 'Lovelace', 'ada@example.com', '+1', \
'wh_' || :r || '_' || :n, now(), now(), now()) ON CONFLICT (reservation_id) DO UPDATE SET \
property_id = excluded.property_id, guest_id = excluded.guest_id, status = excluded.status, \
check_in = excluded.check_in, check_out = excluded.check_out, num_guests = excluded.num_guests, \
total_amount = excluded.total_amount, currency = excluded.currency, guest_first_name = excluded.guest_first_name, \
guest_last_name = excluded.guest_last_name, guest_email = excluded.guest_email, guest_phone = excluded.guest_phone, \
webhook_id = excluded.webhook_id, event_timestamp = excluded.event_timestamp, updated_at = excluded.updated_at;
";

/// Of how many upserts the time is written down, since that takes time too.
const SAMPLED: &str = "0.1";

/// Upserts a second, and the p99 of their latencies in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upserts {
    pub(crate) rate: f64,
    pub(crate) p99: f64,
}

/// As many upserts as get through.
pub(crate) fn run(database: &str, clients: usize, seconds: u64) -> Upserts {
    let bin = std::env::var("TEST_POSTGRES_BIN").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("upsert.sql");
    std::fs::write(&script, UPSERT).unwrap();
    let output = Command::new(format!("{bin}/pgbench"))
        .args(["-n", "-M", "prepared", "-j", "2", "-c", &clients.to_string(), "-T", &seconds.to_string()])
        .args(["-l", "--sampling-rate", SAMPLED, "-f", script.to_str().unwrap(), database])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    let rate = rate.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    Upserts { rate, p99: p99(folder.path()) }
}

/// From the logs that pgbench left in a folder: a line a transaction, its third field the microseconds it took.
fn p99(folder: &Path) -> f64 {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let logs = files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("pgbench_log."));
    let text: String = logs.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let micros = text.lines().map(|line| line.split(' ').nth(2).unwrap().parse::<f64>().unwrap());
    let mut millis: Vec<_> = micros.map(|micros| micros / 1_000.0).collect();
    millis.sort_unstable_by(f64::total_cmp);
    millis[(millis.len() - 1) * 99 / 100]
}
