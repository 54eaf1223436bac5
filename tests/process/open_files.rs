//! How many files and sockets the system lets the process have.

use tempfile::TempDir;

use crate::harness::{ECHO, Proxy, Wire, with_open_files};

#[tokio::test]
async fn the_limit_for_other_programs_is_not_that_of_the_proxy() {
    let command = with_open_files(64, 4096);
    let proxy = Proxy::start_by(command, TempDir::new().unwrap(), ECHO).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(Wire::connect(proxy.address()).await);
    }
    proxy.metric_becomes("tidegate_connections", 200.0).await;
    assert_eq!(proxy.admin("/healthz").await.status, 200);
    assert_eq!(proxy.get("/").await.status, 200);
    assert_eq!(proxy.log_count("cannot accept"), 0);
}

#[tokio::test]
async fn caps_that_the_system_does_not_allow_are_said() {
    let command = with_open_files(300, 300);
    let config = |connections| format!("[limits]\nconnections = {connections}\n{ECHO}");
    let proxy = Proxy::start_by(command, TempDir::new().unwrap(), &config(50)).await;
    let said = "the system does not let the process open as many sockets";
    assert_eq!(proxy.log_count(said), 0);
    proxy.reload(&config(51)).await;
    let line = proxy.log_line("a warning", |line| line.says(said)).await;
    let fields = ["needed", "limit"].map(|name| line.field(name).unwrap());
    assert_eq!(fields, ["302", "300"]);
    assert!(line.text.contains("LimitNOFILE="));
}
