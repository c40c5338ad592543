//! The page of reservations with 100,000 of them and 50 changes a second, in a real browser for MINUTES (5):
//! `playground/tests/prove` has the measuring; here it is given the reservations and the server.

use std::{path::Path, process::Stdio};

use besty::db;
use tokio::process::Command;

use crate::support::{TestDb, binary::Server};

const RESERVATIONS: u32 = 100_000;

/// The newest has the highest number; the last change of each lies a second before that of the next.
fn rows() -> String {
    format!(
        "INSERT INTO reservations (reservation_id, property_id, guest_id, status, check_in, check_out, num_guests, \
         total_amount, currency, guest_first_name, guest_last_name, guest_email, guest_phone, event_timestamp, \
         created_at, updated_at) \
         SELECT 'res_' || i, 'property_' || i % 100, 'guest_' || i % 20000, \
         (ARRAY['confirmed','confirmed','modified','cancelled'])[1 + i % 4], \
         CURRENT_DATE + i % 150, CURRENT_DATE + i % 150 + 3, 2, 100 + i % 900, 'EUR', 'Ada', 'Lovelace', \
         'guest_' || i % 20000 || '@example.com', '+44 20 7946 0000', at, at, at \
         FROM (SELECT i, now() - ({RESERVATIONS} - i + 1) * INTERVAL '1 second' AS at \
         FROM generate_series(1, {RESERVATIONS}) AS i) AS rows"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_reservations_and_fifty_changes_a_second_stay_smooth() {
    let db = TestDb::postgres().await;
    // It makes the tables.
    Server::start(&db, "http://127.0.0.1:9", &[]).await.kill().await;
    let pool = db.connect().await;
    db::execute(pool.pool(), rows(), []).await.unwrap();
    db::execute(pool.pool(), "ANALYZE reservations", []).await.unwrap();
    pool.close().await.unwrap();

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("playground");
    let status = Command::new(folder.join("node_modules/.bin/playwright"))
        .args(["test", "--config", "tests/prove/playwright.config.ts"])
        .current_dir(&folder)
        .env("BESTY", env!("CARGO_BIN_EXE_besty"))
        .env("BESTY_FOLDER", db.folder())
        .env("BESTY_DATABASE_URL", db.url())
        .env("RESERVATIONS", RESERVATIONS.to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await
        .unwrap();
    assert!(status.success(), "see above");
}
