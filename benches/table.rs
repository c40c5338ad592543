//! Writes `docs/performance.md` from what the benches printed, given on standard input: one table, with the
//! machine they ran on. `make bench` runs it last.
#![expect(clippy::disallowed_methods, reason = "a bench says when it ran")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a bench may stop at what it did not expect")]

use std::{fmt::Write as _, io::Read as _, process::Command};

use serde_json::Value;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/performance.md");

fn main() {
    // `cargo test` runs benches too, with this flag, to see that they build.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let mut told = String::new();
    std::io::stdin().read_to_string(&mut told).unwrap();
    let page = page(&told);
    std::fs::write(PAGE, &page).unwrap();
    print!("{page}");
}

fn page(told: &str) -> String {
    let mut page = String::from(
        "# Performance\n\nWritten by `make bench`; each figure beside its baseline was taken in the same run, in turns. \
         What the rows mean is told at the top of each file in `benches/`.\n\n",
    );
    for (what, value) in machine() {
        writeln!(page, "- {what}: {value}").unwrap();
    }
    if let Ok(seconds) = std::env::var("BENCH_SECONDS") {
        writeln!(page, "- **Shortened** to {seconds} s a measurement: it shows that the benches work.")
            .unwrap();
    }
    page.push_str("\n| promise | figure | baseline | ratio | bar | met |\n|---|---|---|---|---|---|\n");
    for row in told.lines().filter_map(|line| line.strip_prefix("ROW ")) {
        let row: Value = serde_json::from_str(row).expect("a row");
        let text = |name: &str| row[name].as_str().expect("a column").to_owned();
        let met = if row["met"] == true { "yes" } else { "**no**" };
        let columns = ["promise", "figure", "baseline", "ratio", "bar"].map(text);
        writeln!(page, "| {} | {met} |", columns.join(" | ")).unwrap();
    }
    for bench in told.lines().filter_map(|line| line.strip_prefix("FAILED ")) {
        writeln!(page, "\n`make {bench}` ended with an error; its rows are missing, or not met.").unwrap();
    }
    page
}

fn machine() -> Vec<(&'static str, String)> {
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':'))
            .map_or_else(String::new, |(_, value)| value.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory = field(&file("/proc/meminfo"), "MemTotal");
    let memory: f64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
    let postgres = std::env::var("TEST_POSTGRES_BIN")
        .map_or_else(|_| String::new(), |bin| said(&format!("{bin}/postgres"), &["--version"]));
    vec![
        ("Processor", format!("{}, {cores} cores", field(&file("/proc/cpuinfo"), "model name"))),
        ("Memory", format!("{:.0} GiB", memory / 1_048_576.0)),
        ("Kernel", said("uname", &["-sr"])),
        ("PostgreSQL", postgres.replace("postgres (PostgreSQL) ", "")),
        ("Compiler", said("rustc", &["--version"])),
        ("Commit", said("git", &["describe", "--always", "--dirty"])),
        ("Date", chrono::Utc::now().format("%Y-%m-%d").to_string()),
    ]
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
