//! Dynamic updates of a zone (RFC 2136), signed with a key that the server knows (RFC 8945).

use std::fmt;
use std::io;
use std::time::{Duration, SystemTime};

use hickory_proto::op::update_message::{append, delete_by_rdata};
use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordSet, RecordType, TSigner};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::DnsError;
use crate::secret::Secret;

/// How long between two looks at a record that is not there yet.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Seconds for which others may remember the record: it changes with every order.
const TTL: u32 = 60;
/// How far clocks may be apart, in seconds (RFC 8945 §10).
const FUDGE: u16 = 300;

/// A zone that can be updated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    server: String,
    zone: Name,
    key: Option<Key>,
    question_timeout: Duration,
    timeout: Duration,
}

/// A key that updates are signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The name under which the server knows it.
    pub name: String,
    /// `hmac-sha256`, `hmac-sha384` or `hmac-sha512`.
    pub algorithm: String,
    /// Its bytes.
    pub secret: Secret,
}

/// Why updates cannot be made in this way.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("`{0}` is not a DNS name")]
    Name(String),
    #[error("the algorithm `{0}` is not known; expected hmac-sha256, hmac-sha384 or hmac-sha512")]
    Algorithm(String),
}

impl Update {
    /// Updates `zone` at `server` (`host:port`), which is its primary. `question_timeout` is how long one
    /// question and its answer may take, `timeout` how long it is waited until a record is seen there.
    ///
    /// # Errors
    /// The zone or the key is not valid.
    pub fn new(
        server: &str,
        zone: &str,
        key: Option<Key>,
        question_timeout: Duration,
        timeout: Duration,
    ) -> Result<Update, KeyError> {
        key.as_ref().map(signer).transpose()?;
        Ok(Update {
            server: server.to_owned(),
            zone: absolute(zone)?,
            key,
            question_timeout,
            timeout,
        })
    }

    /// Adds a value to a record and waits until the server shows it.
    pub(super) async fn add(&self, record: &str, value: &str) -> Result<(), DnsError> {
        let set = self.text(record, value)?;
        self.send(append(set, self.zone.clone(), false, false), "set", record)
            .await?;
        self.wait_for(record, value).await
    }

    /// Takes this one value from a record.
    pub(super) async fn remove(&self, record: &str, value: &str) -> Result<(), DnsError> {
        let set = self.text(record, value)?;
        let message = delete_by_rdata(set, self.zone.clone(), false);
        self.send(message, "remove", record).await
    }

    fn text(&self, record: &str, value: &str) -> Result<RecordSet, DnsError> {
        let other = || DnsError::OtherZone {
            record: record.to_owned(),
            zone: self.zone.to_ascii(),
        };
        let name = absolute(record).map_err(|_| other())?;
        if !self.zone.zone_of(&name) {
            return Err(other());
        }
        let text = RData::TXT(TXT::new(vec![value.to_owned()]));
        Ok(RecordSet::from(Record::from_rdata(name, TTL, text)))
    }

    async fn send(
        &self,
        mut message: Message,
        doing: &'static str,
        record: &str,
    ) -> Result<(), DnsError> {
        let mut verifier = None;
        if let Some(key) = &self.key {
            let signer = signer(key).map_err(|error| self.answer(error))?;
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            let now = now.unwrap_or_default().as_secs();
            let signed = message.finalize(&signer, now);
            verifier = signed.map_err(|error| self.answer(error))?;
        }
        let question = message.to_vec().map_err(|error| self.answer(error))?;
        let bytes = self.ask(&question).await?;
        let answer = Message::from_vec(&bytes).map_err(|error| self.answer(error))?;
        if answer.id != message.id {
            return Err(self.answer("it answers another question"));
        }
        // One that refuses the key cannot sign.
        if answer.response_code != ResponseCode::NoError {
            return Err(DnsError::Refused {
                server: self.server.clone(),
                doing,
                record: record.to_owned(),
                code: answer.response_code.to_string(),
                advice: advice(answer.response_code),
            });
        }
        if let Some(mut verifier) = verifier {
            let verified = verifier.verify(&bytes);
            verified.map_err(|error| self.answer(error))?;
        }
        Ok(())
    }

    async fn wait_for(&self, record: &str, value: &str) -> Result<(), DnsError> {
        let give_up = Instant::now() + self.timeout;
        while !self.shows(record, value).await? {
            if Instant::now() >= give_up {
                return Err(DnsError::Unseen {
                    server: self.server.clone(),
                    record: record.to_owned(),
                    timeout: self.timeout,
                });
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    async fn shows(&self, record: &str, value: &str) -> Result<bool, DnsError> {
        let name = absolute(record).map_err(|error| self.answer(error))?;
        let mut message = Message::query();
        message.metadata.op_code = OpCode::Query;
        let mut query = Query::query(name, RecordType::TXT);
        query.set_query_class(DNSClass::IN);
        message.add_query(query);
        let question = message.to_vec().map_err(|error| self.answer(error))?;
        let bytes = self.ask(&question).await?;
        let answer = Message::from_vec(&bytes).map_err(|error| self.answer(error))?;
        let is_value = |record: &Record| match &record.data {
            RData::TXT(text) => text.txt_data.concat() == value.as_bytes(),
            _ => false,
        };
        Ok(answer.id == message.id && answer.answers.iter().any(is_value))
    }

    /// One question and its answer, over TCP: their size is said, and nobody else can answer.
    async fn ask(&self, question: &[u8]) -> Result<Vec<u8>, DnsError> {
        let asked = async {
            let mut stream = TcpStream::connect(&self.server).await?;
            let length = u16::try_from(question.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
            stream
                .write_all(&[&length.to_be_bytes(), question].concat())
                .await?;
            let length = stream.read_u16().await?;
            let mut answer = vec![0; usize::from(length)];
            stream.read_exact(&mut answer).await?;
            Ok(answer)
        };
        match timeout(self.question_timeout, asked).await {
            Ok(asked) => asked.map_err(|error| DnsError::Unreachable {
                server: self.server.clone(),
                error,
            }),
            Err(_) => Err(DnsError::Late {
                server: self.server.clone(),
                timeout: self.question_timeout,
            }),
        }
    }

    fn answer(&self, reason: impl fmt::Display) -> DnsError {
        DnsError::Answer {
            server: self.server.clone(),
            reason: reason.to_string(),
        }
    }
}

fn absolute(name: &str) -> Result<Name, KeyError> {
    let mut parsed = Name::from_ascii(name).map_err(|_| KeyError::Name(name.to_owned()))?;
    parsed.set_fqdn(true);
    Ok(parsed)
}

fn signer(key: &Key) -> Result<TSigner, KeyError> {
    let unknown = || KeyError::Algorithm(key.algorithm.clone());
    let algorithm = match &*key.algorithm {
        "hmac-sha256" => TsigAlgorithm::HmacSha256,
        "hmac-sha384" => TsigAlgorithm::HmacSha384,
        "hmac-sha512" => TsigAlgorithm::HmacSha512,
        _ => return Err(unknown()),
    };
    let name = absolute(&key.name)?;
    TSigner::new(key.secret.expose().to_vec(), algorithm, name, FUDGE).map_err(|_| unknown())
}

fn advice(code: ResponseCode) -> &'static str {
    match code {
        ResponseCode::NotAuth
        | ResponseCode::BADSIG
        | ResponseCode::BADKEY
        | ResponseCode::BADTIME => {
            ". Compare `key_name`, `algorithm` and `key` with those of the server, `zone` with its zones, and the clocks"
        }
        ResponseCode::Refused => {
            ". The server's policy does not allow it: let the key update TXT records of the zone"
        }
        ResponseCode::NotZone => ". Compare `zone` with the zones of the server",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const LONG: Duration = Duration::from_secs(20);

    /// A server that answers everything with the same bytes.
    async fn parrot(bytes: Vec<u8>) -> Update {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(&bytes).await;
            }
        });
        Update::new(&server, "example.org", None, LONG, Duration::ZERO).unwrap()
    }

    #[tokio::test]
    async fn answers_that_are_none_are_refused() {
        let garbage: [&[u8]; 5] = [
            b"",
            b"\0",
            b"\0\x02\xff\xff",
            b"\0\x0c000000000000",
            &[0xff; 70_000],
        ];
        for bytes in garbage {
            let update = parrot(bytes.to_vec()).await;
            assert!(
                update
                    .add("_acme-challenge.example.org", "v")
                    .await
                    .is_err()
            );
        }
    }

    #[tokio::test]
    async fn a_server_that_does_not_answer_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap().to_string();
        let soon = Duration::from_millis(200);
        let update = Update::new(&server, "example.org", None, soon, LONG).unwrap();
        let late = update.add("_acme-challenge.example.org", "v").await;
        assert!(
            matches!(&late, Err(DnsError::Late { timeout, .. }) if *timeout == soon),
            "{late:?}"
        );
    }

    #[tokio::test]
    async fn only_records_of_the_zone_are_set() {
        let update = Update::new("127.0.0.1:1", "example.org", None, LONG, LONG).unwrap();
        let other = update.add("_acme-challenge.example.com", "v").await;
        assert!(matches!(other, Err(DnsError::OtherZone { .. })));
        let refused = update.add("_acme-challenge.example.org", "v").await;
        assert!(matches!(refused, Err(DnsError::Unreachable { .. })));
    }

    #[test]
    fn a_key_is_not_shown() {
        let key = Key {
            name: "acme.".to_owned(),
            algorithm: "hmac-sha256".to_owned(),
            secret: Secret::new("hunter2"),
        };
        let update =
            Update::new("127.0.0.1:53", "example.org", Some(key.clone()), LONG, LONG).unwrap();
        let shown = format!("{key:?} {update:?}");
        assert!(
            !shown.contains("hunter2") && !shown.contains("104, 117"),
            "{shown}"
        );
        let weak = Key {
            algorithm: "hmac-md5".to_owned(),
            ..key
        };
        assert!(Update::new("127.0.0.1:53", "example.org", Some(weak), LONG, LONG).is_err());
    }
}
