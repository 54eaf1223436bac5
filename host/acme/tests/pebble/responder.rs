//! What a proxy would do: answer challenges, serve certificates.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tidegate_acme::{Certificate, Name, Serve, Tokens};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What is served, by authority and main name.
#[derive(Default)]
pub struct Served(Mutex<BTreeMap<(String, String), One>>);

#[derive(Clone)]
struct One {
    names: Vec<String>,
    leaf: Vec<u8>,
    chain: usize,
}

impl Served {
    /// The names of the certificate that an authority gave: it has a chain.
    pub fn issued(&self, authority: &str, main: &str) -> Option<Vec<String>> {
        let served = self.0.lock().unwrap();
        let one = served.get(&(authority.to_owned(), main.to_owned()))?;
        (one.chain > 1).then(|| one.names.clone())
    }

    /// The certificate itself.
    pub fn serial(&self, authority: &str, main: &str) -> Option<Vec<u8>> {
        let served = self.0.lock().unwrap();
        let one = served.get(&(authority.to_owned(), main.to_owned()))?;
        Some(one.leaf.clone())
    }

    /// The main names.
    pub fn all(&self, authority: &str) -> Vec<String> {
        let served = self.0.lock().unwrap();
        let of = served.keys().filter(|(of, _)| of == authority);
        of.map(|(_, main)| main.clone()).collect()
    }
}

impl Serve for Served {
    fn put(&self, authority: &str, certificates: &[(&Name, &Certificate)]) {
        for (main, certificate) in certificates {
            let mut names: Vec<String> = certificate.names().map(str::to_owned).collect();
            names.sort();
            let one = One {
                names,
                leaf: certificate.chain()[0].to_vec(),
                chain: certificate.chain().len(),
            };
            let key = (authority.to_owned(), main.as_str().to_owned());
            self.0.lock().unwrap().insert(key, one);
        }
    }

    fn retain(&self, authority: &str, mains: &[Name]) {
        let kept = |main: &str| mains.iter().any(|of| of.as_str() == main);
        let mut served = self.0.lock().unwrap();
        served.retain(|(of, main), _| of != authority || kept(main));
    }

    fn challenge(&self, _: &Name, _: &Certificate) {}

    fn challenge_over(&self, _: &Name) {}
}

/// Answers challenges of the kind http-01.
pub async fn answer_http(listener: TcpListener, tokens: Arc<Tokens>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let target = target(&mut stream).await;
        let token = target.strip_prefix("/.well-known/acme-challenge/");
        match token.and_then(|token| tokens.answer(token)) {
            Some(answer) => reply(&mut stream, "200 OK", &answer).await,
            None => reply(&mut stream, "404 Not Found", "").await,
        }
    }
}

/// Answers 200 to this target and 403 to others; gives its address.
pub async fn allow_only(allowed: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let status = match target(&mut stream).await == allowed {
                true => "200 OK",
                false => "403 Forbidden",
            };
            reply(&mut stream, status, "").await;
        }
    });
    address
}

async fn target(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return String::new(),
        }
    }
    let head = String::from_utf8_lossy(&head);
    head.split(' ').nth(1).unwrap_or_default().to_owned()
}

async fn reply(stream: &mut TcpStream, status: &str, body: &str) {
    let length = body.len();
    let text =
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    let _ = stream.write_all(text.as_bytes()).await;
}
