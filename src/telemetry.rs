//! Logs: to standard error, so that what a command prints stays alone on standard output.
//!
//! What is measured is in [`metrics`].

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

pub mod metrics;

pub use self::metrics::Metrics;

/// Starts logging. `RUST_LOG` chooses what is said; left out: our own news and others' warnings.
/// A filter that can't be read is an error.
pub fn init(filter: Option<&str>) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter.unwrap_or("warn,besty=info"))
        .map_err(|error| anyhow::anyhow!("RUST_LOG: {error}"))?;
    let color = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(color).with_writer(std::io::stderr).init();
    Ok(())
}
