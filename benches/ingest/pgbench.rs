//! The other side: one-row upserts by pgbench.

use std::process::Command;

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

/// Upserts a second.
pub(crate) fn rate(database: &str, clients: usize, seconds: u64) -> f64 {
    let bin = std::env::var("TEST_POSTGRES_BIN").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("upsert.sql");
    std::fs::write(&script, UPSERT).unwrap();
    let output = Command::new(format!("{bin}/pgbench"))
        .args(["-n", "-M", "prepared", "-j", "2", "-c", &clients.to_string(), "-T", &seconds.to_string()])
        .args(["-f", script.to_str().unwrap(), database])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    rate.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}
