//! A certificate authority of a test's own that speaks ACME: Let's Encrypt's Pebble.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::json;
use tempfile::TempDir;

use super::dns::{Named, free_port};
use super::{tool, until};

/// A running authority, which is killed when it is dropped. It forgets everything then.
#[derive(Debug)]
pub struct Pebble {
    program: PathBuf,
    settings: Settings,
    process: Option<Child>,
    port: u16,
    management: u16,
    folder: TempDir,
}

/// How an authority behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it looks for the answers to http-01.
    pub http_port: u16,
    /// Where it looks for the answers to tls-alpn-01.
    pub tls_port: u16,
    /// Who tells it the addresses of names.
    pub dns: String,
    /// The accounts that it asks for: the identifier, and the key in base64url.
    pub external_account: Option<(&'static str, &'static str)>,
    /// A name that it does not issue certificates for.
    pub refused_name: Option<&'static str>,
    /// Variables of its environment. Unless they say otherwise it refuses no good nonce, does not wait and
    /// validates everything anew.
    pub environment: Vec<(&'static str, &'static str)>,
}

impl Settings {
    /// One that looks for answers on these ports.
    pub fn new(dns: &Named, http_port: u16, tls_port: u16) -> Settings {
        Settings {
            http_port,
            tls_port,
            dns: dns.address(),
            external_account: None,
            refused_name: None,
            environment: Vec::new(),
        }
    }

    /// With a variable of its environment.
    pub fn with(mut self, name: &'static str, value: &'static str) -> Settings {
        self.environment.push((name, value));
        self
    }
}

impl Pebble {
    /// Starts one and waits until it listens. `None`, with a line that says so, where it is not installed.
    pub async fn start(settings: Settings) -> Option<Pebble> {
        let mut pebble = Pebble::down(settings)?;
        pebble.restart().await;
        Some(pebble)
    }

    /// One that does not run yet.
    pub fn down(settings: Settings) -> Option<Pebble> {
        let program = tool("pebble")?;
        let folder = TempDir::new().unwrap();
        let (port, management) = (free_port(), free_port());
        write_certificates(&folder);
        let in_folder = |name: &str| folder.path().join(name).display().to_string();
        let mut configuration = json!({
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": in_folder("server.pem"),
            "privateKey": in_folder("server.key"),
            "httpPort": settings.http_port,
            "tlsPort": settings.tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": settings.external_account.is_some(),
            "domainBlocklist": Vec::from_iter(settings.refused_name),
        });
        if let Some((id, key)) = settings.external_account {
            configuration["externalAccountMACKeys"] = json!({ id: key });
        }
        let configuration = json!({ "pebble": configuration }).to_string();
        std::fs::write(folder.path().join("pebble.json"), configuration).unwrap();
        Some(Pebble {
            program,
            settings,
            process: None,
            port,
            management,
            folder,
        })
    }

    /// Kills it.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Starts it again. It knows no accounts any more.
    pub async fn restart(&mut self) {
        self.stop();
        let process = Command::new(&self.program)
            .arg("-config")
            .arg(self.folder.path().join("pebble.json"))
            .args(["-dnsserver", &self.settings.dns])
            .envs([
                ("PEBBLE_VA_NOSLEEP", "1"),
                ("PEBBLE_WFE_NONCEREJECT", "0"),
                ("PEBBLE_AUTHZREUSE", "0"),
            ])
            .envs(self.settings.environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.process = Some(process);
        for port in [self.port, self.management] {
            until("pebble to listen", async || {
                std::net::TcpStream::connect(("127.0.0.1", port)).ok()
            })
            .await;
        }
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The URL of its directory.
    pub fn directory(&self) -> String {
        format!("https://{}/dir", self.address())
    }

    /// A PEM file of who vouches for its server.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// PEM files of its server's certificate, for 127.0.0.1, and of the key.
    pub fn server(&self) -> [PathBuf; 2] {
        ["server.pem", "server.key"].map(|name| self.folder.path().join(name))
    }

    /// The certificate (PEM) that vouches for what it issues, until it is started again. `None` without
    /// `curl`.
    pub fn root(&self) -> Option<String> {
        let answer = Command::new(tool("curl")?)
            .args(["--silent", "--fail", "--cacert"])
            .arg(self.ca())
            .arg(format!("https://127.0.0.1:{}/roots/0", self.management))
            .output()
            .unwrap();
        assert!(answer.status.success(), "{answer:?}");
        Some(String::from_utf8(answer.stdout).unwrap())
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Its server's certificate, and who vouches for it.
fn write_certificates(folder: &TempDir) {
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new([]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Of the same name as the server it would be the server itself, to OpenSSL.
    ca.distinguished_name
        .push(DnType::CommonName, "the authority's authority");
    write("ca.pem", ca.self_signed(&key).unwrap().pem());
    let issuer = Issuer::new(ca, key);
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    write("server.pem", server.signed_by(&key, &issuer).unwrap().pem());
    write("server.key", key.serialize_pem());
}
