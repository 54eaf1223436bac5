//! One connection, made when it is needed and made again when it is lost.
//!
//! `redis::aio::ConnectionManager` is not used: while a server is down it lets each call wait to its
//! timeout, and it never tries again after an error that is not one of the network, such as a password
//! that the server does not know yet.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, FromRedisValue, ProtocolVersion,
    PushInfo, PushKind, RedisConnectionInfo, RedisError, RedisResult, ScriptInvocation,
};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Error, Password, Settings};

/// How long an attempt to connect may take. Callers wait no longer than for a command.
const CONNECT: Duration = Duration::from_secs(1);
/// Between the first failed attempt and the next; twice as long after each further one, up to the longest.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_LONGEST: Duration = Duration::from_secs(5);
/// So many commands in a row without an answer end a connection: a server that has vanished from the
/// network does not close it.
const SILENT_MAX: u32 = 8;

/// A connection to one server. Clones share it.
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

struct Inner {
    name: Arc<str>,
    /// Without the password.
    info: ConnectionInfo,
    password: Option<Password>,
    timeout: Duration,
    link: watch::Sender<Link>,
    /// Commands in a row that had no answer.
    silent: AtomicU32,
    /// Numbers connections, so that what is said about one does not end its successor.
    made: AtomicU64,
}

enum Link {
    Up {
        connection: MultiplexedConnection,
        number: u64,
    },
    Connecting {
        failures: u32,
    },
    Down {
        reason: Arc<str>,
        retry_at: Instant,
        failures: u32,
    },
}

impl Connection {
    /// A connection for the section `[redis.{name}]`. Nothing is opened yet.
    pub fn new(name: &str, settings: &Settings) -> Connection {
        let info = ConnectionInfo {
            addr: settings.address.clone().into(),
            redis: RedisConnectionInfo {
                db: settings.database.into(),
                username: settings.username.clone(),
                password: None,
                // With it the library says at once that a connection was closed.
                protocol: ProtocolVersion::RESP3,
            },
        };
        Connection(Arc::new(Inner {
            name: name.into(),
            info,
            password: settings.password.clone(),
            timeout: settings.timeout,
            link: watch::Sender::new(Link::Down {
                reason: "not connected yet".into(),
                retry_at: Instant::now(),
                failures: 0,
            }),
            silent: AtomicU32::new(0),
            made: AtomicU64::new(0),
        }))
    }

    /// Runs a command.
    pub(crate) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Error> {
        self.run(|mut connection| async move { command.query_async(&mut connection).await })
            .await
    }

    /// Runs a script, in one step of the server's.
    pub(crate) async fn invoke<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, Error> {
        self.run(|mut connection| async move { script.invoke_async(&mut connection).await })
            .await
    }

    async fn run<T, F>(&self, command: impl FnOnce(MultiplexedConnection) -> F) -> Result<T, Error>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let inner = &self.0;
        let end = Instant::now() + inner.timeout;
        let late = |_| Error::Timeout {
            name: inner.name.clone(),
        };
        let (connection, number) = timeout_at(end, inner.connected()).await.map_err(late)??;
        match timeout_at(end, command(connection)).await {
            Ok(answer) => {
                inner.silent.store(0, Ordering::Relaxed);
                answer.map_err(|error| inner.failed(number, &error))
            }
            Err(elapsed) => {
                if inner.silent.fetch_add(1, Ordering::Relaxed) + 1 >= SILENT_MAX {
                    inner.lost(number, "it no longer answers");
                }
                Err(late(elapsed))
            }
        }
    }
}

impl Inner {
    /// The present connection and its number; starts to make one where there is none.
    async fn connected(self: &Arc<Self>) -> Result<(MultiplexedConnection, u64), Error> {
        let mut changes = self.link.subscribe();
        loop {
            let mut is_ours = false;
            self.link.send_if_modified(|link| {
                if let Link::Down {
                    retry_at, failures, ..
                } = *link
                    && Instant::now() >= retry_at
                {
                    *link = Link::Connecting { failures };
                    is_ours = true;
                }
                is_ours
            });
            if is_ours {
                // A task, because this call may be given up before there is a connection.
                tokio::spawn(connect(self.clone()));
            }
            match &*changes.borrow_and_update() {
                Link::Up { connection, number } => return Ok((connection.clone(), *number)),
                Link::Down { reason, .. } => return Err(self.unavailable(reason.clone())),
                Link::Connecting { .. } => {}
            }
            // Cannot fail: the sender is ours.
            let _ = changes.changed().await;
        }
    }

    /// The error for a command's; ends the connection if it is one of the connection.
    fn failed(&self, number: u64, error: &RedisError) -> Error {
        let is_reply = error.code().is_some();
        if is_reply {
            return Error::Refused {
                name: self.name.clone(),
                reason: error.to_string().into(),
            };
        }
        let is_answer = matches!(error.kind(), ErrorKind::TypeError | ErrorKind::ClientError);
        if !is_answer {
            self.lost(number, "the connection broke");
        }
        self.unavailable(error.to_string().into())
    }

    /// Notes that a connection is gone. The next command makes another.
    fn lost(&self, number: u64, reason: &str) {
        self.link.send_if_modified(|link| {
            let is_this = matches!(link, Link::Up { number: present, .. } if *present == number);
            if is_this {
                tracing::info!(redis = &*self.name, "connection lost: {reason}");
                *link = Link::Down {
                    reason: reason.into(),
                    retry_at: Instant::now(),
                    failures: 0,
                };
            }
            is_this
        });
    }

    fn unavailable(&self, reason: Arc<str>) -> Error {
        Error::Unavailable {
            name: self.name.clone(),
            reason,
        }
    }
}

async fn connect(inner: Arc<Inner>) {
    let number = inner.made.fetch_add(1, Ordering::Relaxed);
    let made = timeout(CONNECT, open(&inner, number)).await;
    let made = made.unwrap_or_else(|_| {
        let error = std::io::Error::from(std::io::ErrorKind::TimedOut);
        Err(error.into())
    });
    inner.silent.store(0, Ordering::Relaxed);
    inner.link.send_modify(|link| {
        let failures = match link {
            Link::Connecting { failures } => *failures,
            Link::Up { .. } | Link::Down { .. } => 0,
        };
        *link = match made {
            Ok(connection) => {
                tracing::info!(redis = &*inner.name, "connected");
                Link::Up { connection, number }
            }
            Err(error) => {
                if failures == 0 {
                    tracing::warn!(redis = &*inner.name, "cannot connect: {error}");
                }
                Link::Down {
                    reason: error.to_string().into(),
                    retry_at: Instant::now() + pause(failures),
                    failures: failures.saturating_add(1),
                }
            }
        };
    });
}

async fn open(inner: &Arc<Inner>, number: u64) -> RedisResult<MultiplexedConnection> {
    let told: Weak<Inner> = Arc::downgrade(inner);
    let config = AsyncConnectionConfig::new().set_push_sender(move |push: PushInfo| {
        if push.kind == PushKind::Disconnection
            && let Some(inner) = told.upgrade()
        {
            inner.lost(number, "the server closed it");
        }
        Ok::<(), ()>(())
    });
    let mut info = inner.info.clone();
    if let Some(password) = &inner.password {
        let text = password.text();
        let refused = (ErrorKind::InvalidClientConfig, "the password is not text");
        info.redis.password = Some(text.ok_or(refused)?);
    }
    Client::open(info)?
        .get_multiplexed_async_connection_with_config(&config)
        .await
}

/// The time until the next attempt, with up to a half taken off, so that many proxies do not come at once.
fn pause(failures: u32) -> Duration {
    let longest = PAUSE
        .saturating_mul(2_u32.saturating_pow(failures))
        .min(PAUSE_LONGEST);
    longest.mul_f64(1.0 - fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::Address;
    use crate::redis::server::{Server, settings, until};
    use crate::secret::Secret;

    async fn ping(connection: &Connection) -> Result<String, Error> {
        connection.query(&::redis::cmd("PING")).await
    }

    // The clock stands still, so that no pause ends during the test.
    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_down_is_an_error_at_once_and_not_at_the_start() {
        let nobody = settings(Address::Unix("/nonexistent/redis.sock".into()));
        let connection = Connection::new("cache", &nobody);
        for _ in 0..3 {
            let error = ping(&connection).await.unwrap_err();
            assert!(matches!(error, Error::Unavailable { .. }), "{error}");
            assert!(
                error
                    .to_string()
                    .starts_with("redis `cache` is unavailable: ")
            );
        }
        assert_eq!(connection.0.made.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_server_that_comes_back_is_used_again() {
        let Some(mut server) = Server::start().await else {
            return;
        };
        let connection = server.connect();
        assert_eq!(ping(&connection).await.unwrap(), "PONG");
        server.stop().await;
        until("the loss is seen", async || ping(&connection).await.err()).await;
        server.restart().await;
        until("it is connected", async || ping(&connection).await.ok()).await;
    }

    #[tokio::test]
    async fn a_lost_connection_that_was_idle_costs_no_call() {
        let Some(server) = Server::start().await else {
            return;
        };
        let (idle, other) = (server.connect(), server.connect());
        assert_eq!(ping(&idle).await.unwrap(), "PONG");
        let kill = ::redis::cmd("CLIENT")
            .arg("KILL")
            .arg("TYPE")
            .arg("normal")
            .to_owned();
        other.query::<i64>(&kill).await.unwrap();
        let lost = async || matches!(*idle.0.link.borrow(), Link::Down { .. }).then_some(());
        until("the loss is seen", lost).await;
        assert_eq!(ping(&idle).await.unwrap(), "PONG");
    }

    #[tokio::test]
    async fn a_server_that_hangs_is_a_timeout_and_then_unavailable() {
        let Some(server) = Server::start().await else {
            return;
        };
        let connection = server.connect_within(Duration::from_millis(20));
        until("it is connected", async || ping(&connection).await.ok()).await;
        server.signal(rustix::process::Signal::STOP);
        let error = ping(&connection).await.unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error}");
        until("it gives up", async || match ping(&connection).await {
            Err(Error::Unavailable { .. }) => Some(()),
            _ => None,
        })
        .await;
        server.signal(rustix::process::Signal::CONT);
        until("it is connected", async || ping(&connection).await.ok()).await;
    }

    #[tokio::test]
    async fn a_password_is_used_not_shown_and_may_become_right_later() {
        let Some(server) = Server::start().await else {
            return;
        };
        let mut settings = settings(server.address());
        let secret = Arc::new(Secret::new(b"hunter2"));
        settings.password = Some(Password::new(move || Some(secret.clone())));
        settings.username = Some("edge".into());
        assert!(!format!("{settings:?}").contains("hunter2"));
        let connection = Connection::new("cache", &settings);
        let error = ping(&connection).await.unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");

        let mut user = ::redis::cmd("ACL");
        user.arg(&["SETUSER", "edge", "on", ">hunter2", "~*", "+@all"]);
        server.connect().query::<String>(&user).await.unwrap();
        until("it is let in", async || ping(&connection).await.ok()).await;

        let secret = Arc::new(Secret::new(b"\xff"));
        settings.password = Some(Password::new(move || Some(secret.clone())));
        let refused = ping(&Connection::new("cache", &settings)).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("not text"), "{refused}");
    }

    #[tokio::test]
    async fn what_the_server_refuses_does_not_end_the_connection() {
        let Some(server) = Server::start().await else {
            return;
        };
        let connection = server.connect();
        let error = connection.query::<i64>(&::redis::cmd("NONSENSE")).await;
        assert!(matches!(error, Err(Error::Refused { .. })));
        ping(&connection).await.unwrap();
        assert_eq!(connection.0.made.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        for failures in 0..100 {
            let pause = pause(failures);
            assert!(pause >= PAUSE / 2 && pause <= PAUSE_LONGEST);
        }
    }
}
