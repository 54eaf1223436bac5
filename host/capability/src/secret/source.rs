//! Where a secret comes from, and how it is read.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use super::Secret;

/// The most bytes of a secret, a newline at its end included.
pub const VALUE_MAX: usize = 64 * 1024;

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The content of a file, without one newline at its end.
    File(PathBuf),
    /// The value of an environment variable as it was when the proxy started.
    Environment(String),
    /// What a command writes to its standard output, without one newline at its end. It has the proxy's
    /// environment and no input; what it writes to its standard error is thrown away, because it may be
    /// the secret.
    Command {
        /// The program, looked for in `PATH` where it has no slash, and its arguments. No shell.
        argv: Vec<String>,
        /// How long it may run. A command that takes longer is killed with all that it started.
        timeout: Duration,
    },
}

/// Why a secret could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("cannot read {}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    #[error("the environment variable {0} is not set")]
    NotSet(String),
    #[error("the command is empty")]
    NoCommand,
    #[error("cannot run {program}: {error}")]
    Command { program: String, error: io::Error },
    #[error("{program} failed: {status}")]
    Failed { program: String, status: ExitStatus },
    #[error("{program} did not end within {timeout:?}")]
    Late { program: String, timeout: Duration },
    #[error("the value is empty")]
    Empty,
    #[error("the value is larger than {VALUE_MAX} bytes")]
    TooLarge,
}

impl Source {
    /// Reads the secret.
    pub(super) async fn read(&self) -> Result<Secret, SourceError> {
        let mut value = match self {
            Source::File(path) => read_file(path.clone()).await?,
            Source::Environment(name) => {
                let value = std::env::var_os(name).map(OsString::into_vec);
                Zeroizing::new(value.ok_or_else(|| SourceError::NotSet(name.clone()))?)
            }
            Source::Command { argv, timeout } => run_command(argv, *timeout).await?,
        };
        if value.len() > VALUE_MAX {
            return Err(SourceError::TooLarge);
        }
        if !matches!(self, Source::Environment(_)) && value.last() == Some(&b'\n') {
            value.pop();
        }
        if value.is_empty() {
            return Err(SourceError::Empty);
        }
        Ok(Secret::new(&value))
    }
}

/// Room for a value and one byte more. It never grows: growing would leave a copy behind.
fn buffer() -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(VALUE_MAX + 1))
}

async fn read_file(path: PathBuf) -> Result<Zeroizing<Vec<u8>>, SourceError> {
    let failed = |error| SourceError::File {
        path: path.clone(),
        error,
    };
    let read = {
        let path = path.clone();
        move || read_regular(&path)
    };
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(Some(value))) => Ok(value),
        Ok(Ok(None)) => Err(SourceError::NotAFile(path)),
        Ok(Err(error)) => Err(failed(error)),
        Err(error) => Err(failed(error.into())),
    }
}

/// `None` for what is not a regular file: opening a pipe could wait for ever.
fn read_regular(path: &Path) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    if !std::fs::metadata(path)?.is_file() {
        return Ok(None);
    }
    let mut value = buffer();
    File::open(path)?
        .take(VALUE_MAX as u64 + 1)
        .read_to_end(&mut value)?;
    Ok(Some(value))
}

async fn run_command(
    argv: &[String],
    timeout: Duration,
) -> Result<Zeroizing<Vec<u8>>, SourceError> {
    let (program, arguments) = argv.split_first().ok_or(SourceError::NoCommand)?;
    let program = || program.clone();
    let failed = |error| SourceError::Command {
        program: program(),
        error,
    };
    let child = Command::new(program())
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let mut group = Group(child);
    let finished = async {
        let value = group.output().await?;
        // What writes too much may wait for a reader; it is not waited for.
        if value.len() > VALUE_MAX {
            return Ok((value, ExitStatus::default()));
        }
        Ok((value, group.0.wait().await?))
    };
    match tokio::time::timeout(timeout, finished).await {
        Err(_) => Err(SourceError::Late {
            program: program(),
            timeout,
        }),
        Ok(Err(error)) => Err(failed(error)),
        Ok(Ok((value, status))) if status.success() => Ok(value),
        Ok(Ok((_, status))) => Err(SourceError::Failed {
            program: program(),
            status,
        }),
    }
}

/// A command with all that it started, killed on drop if the command still runs.
struct Group(Child);

impl Group {
    async fn output(&mut self) -> io::Result<Zeroizing<Vec<u8>>> {
        let mut value = buffer();
        if let Some(output) = self.0.stdout.take() {
            let mut output = output.take(VALUE_MAX as u64 + 1);
            while value.len() <= VALUE_MAX && output.read_buf(&mut *value).await? > 0 {}
        }
        Ok(value)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The child has an id for as long as it was not waited for, so the id is nobody else's.
        let id = self.0.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = id.and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shell(script: &str) -> Result<Secret, SourceError> {
        let argv = ["sh", "-c", script].map(str::to_owned).into();
        let timeout = Duration::from_secs(20);
        Source::Command { argv, timeout }.read().await
    }

    async fn file(content: &[u8]) -> Result<Secret, SourceError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, content).unwrap();
        Source::File(path).read().await
    }

    #[tokio::test]
    async fn one_newline_at_the_end_of_a_file_is_cut() {
        for (content, value) in [
            (&b"key"[..], &b"key"[..]),
            (b"key\n", b"key"),
            (b"key\n\n", b"key\n"),
            (b" \xff\0 \n", b" \xff\0 "),
        ] {
            assert_eq!(file(content).await.unwrap().expose(), value);
        }
    }

    #[tokio::test]
    async fn values_are_neither_empty_nor_large() {
        assert!(matches!(file(b"").await, Err(SourceError::Empty)));
        assert!(matches!(file(b"\n").await, Err(SourceError::Empty)));
        assert!(file(&vec![7; VALUE_MAX]).await.is_ok());
        let large = file(&vec![7; VALUE_MAX + 1]).await;
        assert!(matches!(large, Err(SourceError::TooLarge)));
        // `yes` never ends by itself.
        assert!(matches!(shell("yes").await, Err(SourceError::TooLarge)));
    }

    #[tokio::test]
    async fn what_is_no_file_is_an_error_and_not_waited_for() {
        let missing = Source::File("/nonexistent/key".into()).read().await;
        let message = missing.unwrap_err().to_string();
        assert!(message.starts_with("cannot read /nonexistent/key: No such file"));
        let device = Source::File("/dev/zero".into()).read().await;
        assert!(matches!(device, Err(SourceError::NotAFile(_))));
    }

    #[tokio::test]
    async fn a_variable_that_is_not_set_is_an_error() {
        let unset = Source::Environment("TIDEGATE_TEST_UNSET".into());
        let message = unset.read().await.unwrap_err().to_string();
        assert_eq!(
            message,
            "the environment variable TIDEGATE_TEST_UNSET is not set"
        );
        let path = Source::Environment("PATH".into()).read().await.unwrap();
        assert_eq!(path.expose(), std::env::var("PATH").unwrap().as_bytes());
    }

    #[tokio::test]
    async fn a_command_gives_what_it_writes() {
        assert_eq!(shell("echo key").await.unwrap().expose(), b"key");
        let message = shell("echo key; echo key >&2; exit 3").await.unwrap_err();
        assert_eq!(message.to_string(), "sh failed: exit status: 3");
        let argv = vec!["/nonexistent/tool".to_owned()];
        let timeout = Duration::from_secs(1);
        let missing = Source::Command { argv, timeout }.read().await;
        assert!(matches!(missing, Err(SourceError::Command { .. })));
    }

    #[tokio::test]
    async fn a_late_command_is_killed_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = Command::new("mkfifo").arg(&pipe).status().await.unwrap();
        assert!(made.success());
        let script = format!("(echo up; exec sleep 1000) >{} & wait", pipe.display());
        let argv = vec!["sh".to_owned(), "-c".to_owned(), script];
        let timeout = Duration::from_secs(900);
        let source = Source::Command { argv, timeout };
        let reading = tokio::spawn(async move { source.read().await });

        let (is_up, up) = tokio::sync::oneshot::channel();
        let (is_gone, gone) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let mut pipe = File::open(pipe).unwrap();
            pipe.read_exact(&mut [0; 3]).unwrap();
            is_up.send(()).unwrap();
            // Ends when nobody can write to the pipe any more.
            pipe.read_to_end(&mut Vec::new()).unwrap();
            let _ = is_gone.send(());
        });
        up.await.unwrap();
        // With nothing else to do, the clock jumps to the end of the timeout.
        tokio::time::pause();
        assert!(matches!(
            reading.await.unwrap(),
            Err(SourceError::Late { .. })
        ));
        tokio::time::resume();
        let gone = tokio::time::timeout(Duration::from_secs(20), gone).await;
        gone.expect("what the command started is still running")
            .unwrap();
    }
}
