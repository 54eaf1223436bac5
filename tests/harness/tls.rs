//! Certificates of a test's own, and a client that speaks TLS.

use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, OnceLock};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore, ServerConfig, SignatureScheme, SupportedProtocolVersion,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{Client, tool};

/// An authority that nobody knows yet.
pub struct Authority {
    /// Its certificate, PEM.
    pub pem: String,
    /// Its key, PEM.
    pub key: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
#[derive(Clone, Debug)]
pub struct Issued {
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Authority {
        Authority::named("test authority")
    }

    /// One with this common name.
    pub fn named(name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        let params = authority_params(name);
        let pem = params.self_signed(&key).unwrap().pem();
        Authority::with(pem, key, params)
    }

    /// Another one that this one vouches for.
    pub fn intermediate(&self, name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        let params = authority_params(name);
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Authority::with(pem, key, params)
    }

    fn with(pem: String, key: KeyPair, params: CertificateParams) -> Authority {
        Authority {
            pem,
            key: key.serialize_pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate for these names and addresses, with an ECDSA key.
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.sign(&params(names), &KeyPair::generate().unwrap())
    }

    /// As [`Authority::issue`], with an RSA key; `None` without `openssl`, which makes it.
    pub fn issue_rsa(&self, names: &[&str]) -> Option<Issued> {
        let made = Command::new(tool("openssl")?)
            .args([
                "genpkey",
                "-algorithm",
                "RSA",
                "-pkeyopt",
                "rsa_keygen_bits:2048",
            ])
            .output()
            .unwrap();
        let key = KeyPair::from_pem(&String::from_utf8(made.stdout).unwrap()).unwrap();
        Some(self.sign(&params(names), &key))
    }

    /// A client's certificate with this common name.
    pub fn issue_client(&self, name: &str) -> Issued {
        self.issue_client_with(name, |_| {})
    }

    /// As [`Authority::issue_client`], with more in it.
    pub fn issue_client_with(
        &self,
        name: &str,
        add: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let mut params = params(&[]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.distinguished_name.push(DnType::CommonName, name);
        add(&mut params);
        self.sign(&params, &KeyPair::generate().unwrap())
    }

    /// A certificate with what is asked for.
    pub fn sign(&self, params: &CertificateParams, key: &KeyPair) -> Issued {
        Issued {
            cert: params.signed_by(key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// What accepts connections as `127.0.0.1`.
    pub fn acceptor(&self) -> TlsAcceptor {
        let issued = self.issue(&["127.0.0.1"]);
        let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(issued.chain(), issued.private_key())
            .unwrap();
        TlsAcceptor::from(Arc::new(server))
    }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = params(&[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
}

impl Issued {
    /// Writes `NAME.pem` and `NAME.key`.
    pub fn write(&self, folder: &Path, name: &str) {
        std::fs::write(folder.join(format!("{name}.pem")), &self.cert).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), &self.key).unwrap();
    }

    /// The certificate.
    pub fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.cert.as_bytes()).unwrap()
    }

    /// The certificate and what vouches for it.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        let all = CertificateDer::pem_slice_iter(self.cert.as_bytes());
        all.map(Result::unwrap).collect()
    }

    /// The key.
    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }
}

/// A client that speaks TLS with whom its authority vouches for. Keeps tickets for its next connections.
#[derive(Clone, Debug)]
pub struct TlsClient {
    roots: Arc<RootCertStore>,
    name: ServerName<'static>,
    alpn: Vec<Vec<u8>>,
    versions: Vec<&'static SupportedProtocolVersion>,
    provider: CryptoProvider,
    certificate: Option<Issued>,
    /// Made for the first connection: a session is resumed by the same configuration only.
    config: OnceLock<Arc<ClientConfig>>,
}

impl TlsClient {
    /// Asks for this name; for an address it asks for none.
    pub fn new(authority: &Authority, name: &str) -> TlsClient {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap();
        roots.add(root).unwrap();
        TlsClient {
            roots: Arc::new(roots),
            name: name.to_owned().try_into().unwrap(),
            alpn: Vec::new(),
            versions: vec![&TLS12, &TLS13],
            provider: ring::default_provider(),
            certificate: None,
            config: OnceLock::new(),
        }
    }

    /// The same for another name.
    pub fn named(&self, name: &str) -> TlsClient {
        let name = name.to_owned().try_into().unwrap();
        TlsClient {
            name,
            ..self.clone()
        }
    }

    /// The same without the tickets that it got.
    pub fn with_own_tickets(mut self) -> TlsClient {
        self.config = OnceLock::new();
        self
    }

    /// Offers these protocols.
    pub fn offering(mut self, alpn: &[&str]) -> TlsClient {
        self.config = OnceLock::new();
        self.alpn = alpn.iter().map(|one| one.as_bytes().to_vec()).collect();
        self
    }

    /// Speaks TLS 1.2 alone.
    pub fn tls12(mut self) -> TlsClient {
        self.config = OnceLock::new();
        self.versions = vec![&TLS12];
        self
    }

    /// Speaks TLS 1.3 alone.
    pub fn tls13(mut self) -> TlsClient {
        self.config = OnceLock::new();
        self.versions = vec![&TLS13];
        self
    }

    /// Has these cipher suites alone, by rustls's names.
    pub fn suites(mut self, names: &[&str]) -> TlsClient {
        self.config = OnceLock::new();
        let has = |name: Option<&str>| name.is_some_and(|name| names.contains(&name));
        let suites = &mut self.provider.cipher_suites;
        suites.retain(|suite| has(suite.suite().as_str()));
        self
    }

    /// Has these key exchange groups alone, by rustls's names.
    pub fn groups(mut self, names: &[&str]) -> TlsClient {
        self.config = OnceLock::new();
        let has = |name: Option<&str>| name.is_some_and(|name| names.contains(&name));
        self.provider
            .kx_groups
            .retain(|group| has(group.name().as_str()));
        self
    }

    /// Can check these signatures alone.
    pub fn signatures(mut self, schemes: &[SignatureScheme]) -> TlsClient {
        self.config = OnceLock::new();
        let algorithms = &mut self.provider.signature_verification_algorithms;
        let kept = algorithms
            .mapping
            .iter()
            .filter(|(one, _)| schemes.contains(one));
        algorithms.mapping = kept.copied().collect::<Vec<_>>().leak();
        self
    }

    /// Shows this certificate when asked for one.
    pub fn showing(mut self, certificate: &Issued) -> TlsClient {
        self.config = OnceLock::new();
        self.certificate = Some(certificate.clone());
        self
    }

    /// Connects and shakes hands.
    pub async fn connect(&self, address: &str) -> io::Result<TlsStream<TcpStream>> {
        self.shake(TcpStream::connect(address).await?).await
    }

    /// Shakes hands on a connection.
    pub async fn shake(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = self.config.get_or_init(|| Arc::new(self.build()));
        let connector = TlsConnector::from(config.clone());
        connector.connect(self.name.clone(), stream).await
    }

    /// What it says first: a ClientHello in one record.
    pub async fn hello(&self) -> Vec<u8> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let client = self.clone();
        let connecting = tokio::spawn(async move { client.connect(&address).await.map(drop) });
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 5];
        stream.read_exact(&mut head).await.unwrap();
        let mut body = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        stream.read_exact(&mut body).await.unwrap();
        connecting.abort();
        [&head[..], &body].concat()
    }

    fn build(&self) -> ClientConfig {
        let config = ClientConfig::builder_with_provider(Arc::new(self.provider.clone()))
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(self.roots.clone());
        let mut config = match &self.certificate {
            None => config.with_no_client_auth(),
            Some(own) => config
                .with_client_auth_cert(own.chain(), own.private_key())
                .unwrap(),
        };
        config.alpn_protocols.clone_from(&self.alpn);
        config
    }

    /// A connection for HTTP/1.1.
    pub async fn h1(&self, address: &str) -> Client {
        let client = self.clone().offering(&["http/1.1"]);
        Client::h1_on(client.connect(address).await.unwrap()).await
    }

    /// A connection for HTTP/2.
    pub async fn h2(&self, address: &str) -> Client {
        let client = self.clone().offering(&["h2"]);
        Client::h2_on(client.connect(address).await.unwrap()).await
    }
}
