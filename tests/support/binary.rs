//! The binary itself, as a process that can be killed.

use std::{
    process::Stdio,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use super::{TestDb, app::SECRET, within};

/// A server process; killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens, as `http://address`.
    pub url: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the server said: {:#?}", self.log.lock().unwrap());
        }
    }
}

/// A command with no variable of ours set, in a folder of its own.
pub fn command(folder: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_besty"));
    command.env_clear().current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    command
}

impl Server {
    /// Starts `besty serve` and waits until it listens.
    pub async fn start(db: &TestDb, guest_api: &str, set: &[(&str, &str)]) -> Self {
        let mut command = command(db.folder());
        command
            .envs([
                ("PORT", "0"),
                ("DATABASE_URL", db.url()),
                ("WEBHOOK_SECRET", SECRET),
                ("GUEST_API_BASE_URL", guest_api),
            ])
            .envs(set.iter().copied())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let address = within("the server to listen", async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some((_, address)) = line.split_once("listening address=") {
                    return address.trim().to_owned();
                }
                said.push(line);
            }
            panic!("the server ended: {said:#?}");
        })
        .await;
        // Keeps the pipe from filling up, and what was said for a test that fails.
        let log = Arc::new(Mutex::new(said));
        let kept = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                kept.lock().unwrap().push(line);
            }
        });
        Self { child, url: format!("http://{address}"), log }
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Whether its log has this.
    pub fn has_said(&self, text: &str) -> bool {
        self.said(text).is_some()
    }

    /// The newest line of its log that has this.
    pub fn said(&self, text: &str) -> Option<String> {
        self.log.lock().unwrap().iter().rfind(|line| line.contains(text)).cloned()
    }

    /// Waits until its log has this.
    pub async fn says(&self, text: &str) {
        within(text, async {
            while !self.has_said(text) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    /// Its resident memory in bytes, as Linux tells it.
    pub fn resident(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id().unwrap());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
    }

    /// Sends a signal, `STOP` for example.
    pub async fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().await.unwrap();
        assert!(sent.success(), "SIG{name}");
    }

    /// SIGTERM: it stops as it is meant to.
    pub async fn stop(mut self) {
        self.signal("TERM").await;
        assert!(within("its end", self.child.wait()).await.unwrap().success());
    }

    /// SIGKILL: it gets no chance to put anything in order.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}
