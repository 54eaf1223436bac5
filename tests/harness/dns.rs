//! A DNS server of a test's own: a `named` with one zone that can be updated.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use super::{tool, until};

/// A running server, which is killed when it is dropped. All names of its zone lead to 127.0.0.1.
#[derive(Debug)]
pub struct Named {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Named {
    /// The zone.
    pub const ZONE: &str = "example.org";
    /// The name of the key that may update TXT records of the zone.
    pub const KEY_NAME: &str = "acme.";
    /// That key.
    pub const KEY: &str = "c2l4dGVlbiBieXRlcyBvciBtb3JlIG9mIGtleQ==";

    /// Starts one and waits until it answers. `None`, with a line that says so, where it is not installed.
    pub async fn start() -> Option<Named> {
        let program = tool("named")?;
        let folder = TempDir::new().unwrap();
        let port = free_port();
        let root = folder.path().display();
        let configuration = format!(
            r#"
options {{
    directory "{root}"; pid-file "{root}/named.pid"; session-keyfile "{root}/session.key";
    managed-keys-directory "{root}"; lock-file none;
    listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
    recursion no; dnssec-validation no; notify no;
}};
controls {{ }};
key "{key_name}" {{ algorithm hmac-sha256; secret "{key}"; }};
zone "{zone}" {{
    type primary; file "{root}/zone";
    update-policy {{ grant {key_name} zonesub TXT; }};
}};
"#,
            zone = Named::ZONE,
            key_name = Named::KEY_NAME,
            key = Named::KEY,
        );
        let zone = "$TTL 1\n\
            @ SOA ns hostmaster 1 3600 600 86400 1\n\
            @ NS ns\n\
            @ A 127.0.0.1\n\
            * A 127.0.0.1\n\
            ns A 127.0.0.1\n";
        std::fs::write(folder.path().join("named.conf"), configuration).unwrap();
        std::fs::write(folder.path().join("zone"), zone).unwrap();
        let process = Command::new(program)
            .args(["-g", "-n", "1", "-c"])
            .arg(folder.path().join("named.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let named = Named {
            process,
            port,
            _folder: folder,
        };
        until("named to answer", async || {
            std::net::TcpStream::connect(named.address()).ok()
        })
        .await;
        Some(named)
    }

    /// Where it is.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that nobody has now, for programs that cannot choose one themselves. Not one of those that the
/// system gives to connections: one of them could have it before the program does.
pub fn free_port() -> u16 {
    const BELOW_THOSE_OF_THE_SYSTEM: std::ops::Range<u32> = 10_000..32_000;
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let free = |port: u16| {
        let address = (Ipv4Addr::LOCALHOST, port);
        TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
    };
    let count = BELOW_THOSE_OF_THE_SYSTEM.end - BELOW_THOSE_OF_THE_SYSTEM.start;
    // Tests run in processes of their own, beside each other.
    let start = std::process::id().wrapping_mul(41);
    let mut candidates = (0..count).map(|_| {
        let asked = ASKED.fetch_add(1, Ordering::Relaxed);
        let port = BELOW_THOSE_OF_THE_SYSTEM.start + start.wrapping_add(asked) % count;
        u16::try_from(port).unwrap()
    });
    candidates.find(|port| free(*port)).unwrap()
}
