//! What is delivered: the container's check of its health, as the Dockerfile has it.

use std::process::Stdio;

use tokio::{net::TcpListener, process::Command};

use crate::support::{TestDb, app::Provider, binary::Server, within};

/// The command of `HEALTHCHECK`, as the shell gets it.
fn check() -> Vec<String> {
    let file = include_str!("../Dockerfile").replace("\\\n", "");
    let line = file.lines().find(|line| line.starts_with("HEALTHCHECK")).expect("a health check");
    let (_, command) = line.split_once("CMD ").unwrap();
    serde_json::from_str(command.trim()).expect("its command is a JSON list")
}

async fn is_healthy(port: &str) -> bool {
    let command = check();
    let mut check = Command::new(&command[0]);
    check.args(&command[1..]).env("PORT", port).stdin(Stdio::null()).kill_on_drop(true);
    within("the check", check.status()).await.unwrap().success()
}

#[tokio::test]
async fn the_container_knows_whether_its_server_answers() {
    let (db, provider) = (TestDb::sqlite(), Provider::quick().await);
    let server = Server::start(&db, &provider.url, &[]).await;
    let (_, port) = server.url.rsplit_once(':').unwrap();
    assert!(is_healthy(port).await);
    server.stop().await;
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert!(!is_healthy(&unused.port().to_string()).await);
}
