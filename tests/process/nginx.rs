//! nginx as an upstream: a server that others wrote, with its own idea of keep-alive.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::harness::{Proxy, get, post, request, tool, until, upstream, with_header};

/// nginx in one process, on a Unix socket in a folder of its own; killed when it is dropped.
struct Nginx {
    child: Child,
    folder: TempDir,
}

impl Nginx {
    /// `None` where it is not installed.
    async fn start() -> Option<Nginx> {
        let program = tool("nginx")?;
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("large"), vec![b'x'; 5 << 20]).unwrap();
        std::fs::write(folder.path().join("small"), "0123456789").unwrap();
        std::fs::write(
            folder.path().join("nginx.conf"),
            configuration(folder.path()),
        )
        .unwrap();
        let child = Command::new(program)
            .arg("-p")
            .arg(folder.path())
            .args(["-c", "nginx.conf", "-e", "stderr"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let nginx = Nginx { child, folder };
        until("nginx to listen", async || {
            std::os::unix::net::UnixStream::connect(nginx.socket()).ok()
        })
        .await;
        Some(nginx)
    }

    fn socket(&self) -> std::path::PathBuf {
        self.folder.path().join("nginx.sock")
    }

    async fn proxy(&self) -> Proxy {
        let keys = format!("peers = [\"unix:{}\"]", self.socket().display());
        Proxy::start(&upstream(&keys)).await
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(folder: &Path) -> String {
    format!(
        "
daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen unix:{folder}/nginx.sock;
        root {folder};
        keepalive_requests 3;
        location = /host {{ return 200 \"$host $http_x_forwarded_for\"; }}
        location = /close {{ return 444; }}
        location = /put {{ client_max_body_size 1k; return 200; }}
    }}
}}
",
        folder = folder.display()
    )
}

#[tokio::test]
async fn files_arrive() {
    let Some(nginx) = Nginx::start().await else {
        return;
    };
    let proxy = nginx.proxy().await;
    for mut client in [proxy.client().await, proxy.h2_client().await] {
        assert_eq!(client.get("/small").await.text(), "0123456789");
        assert_eq!(client.get("/large").await.body.len(), 5 << 20);
        assert_eq!(client.get("/nothing").await.status, 404);
        let head = client.send(request("HEAD", "/large", "")).await;
        assert_eq!(head.header("content-length"), "5242880");
        let part = client
            .send(with_header(get("/small"), "range", "bytes=2-4"))
            .await;
        assert_eq!((part.status, part.text()), (206, "234"));
        let etag = client.get("/small").await.header("etag").to_owned();
        let same = client
            .send(with_header(get("/small"), "if-none-match", &etag))
            .await;
        assert_eq!((same.status, same.text()), (304, ""));
        let told = client
            .send(with_header(get("/host"), "host", "www.example.com"))
            .await;
        assert_eq!(told.text(), "www.example.com 127.0.0.1");
    }
}

#[tokio::test]
async fn its_end_of_keep_alive_costs_no_request() {
    let Some(nginx) = Nginx::start().await else {
        return;
    };
    let proxy = nginx.proxy().await;
    let mut client = proxy.client().await;
    for _ in 0..50 {
        assert_eq!(client.get("/small").await.status, 200);
    }
}

#[tokio::test]
async fn its_refusals_arrive() {
    let Some(nginx) = Nginx::start().await else {
        return;
    };
    let proxy = nginx.proxy().await;
    let mut client = proxy.client().await;
    assert_eq!(
        client.send(post("/put", vec![b'x'; 100_000])).await.status,
        413
    );
    assert_eq!(proxy.get("/close").await.status, 502);
    assert_eq!(proxy.get("/small").await.status, 200);
}
