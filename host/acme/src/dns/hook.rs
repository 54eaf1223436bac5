//! A program that sets records.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

use super::DnsError;

/// What is read of the program's words, and shown where it fails.
const OUTPUT_BYTES: usize = 4 * 1024;

/// A program that is called with `add` or `remove`, the record's name and its value, by no shell, with
/// `PATH` as its whole environment. It ends with 0 when the record can be seen by everybody. The value may
/// begin with `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// The program, looked for in `PATH` where it has no slash, and its first arguments.
    pub command: Vec<String>,
    /// How long it may run; then it is killed with all that it started.
    pub timeout: Duration,
}

impl Hook {
    pub(super) async fn run(&self, verb: &str, record: &str, value: &str) -> Result<(), DnsError> {
        let (program, arguments) = match self.command.split_first() {
            Some((program, arguments)) => (program.clone(), arguments),
            None => (String::new(), &[][..]),
        };
        let failed = |error| DnsError::Run {
            program: program.clone(),
            error,
        };
        let child = Command::new(&program)
            .args(arguments)
            .args([verb, record, value])
            // That of the proxy may hold its secrets.
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let mut group = Group(child);
        let ended = async {
            let said = group.said().await?;
            Ok::<_, io::Error>((group.0.wait().await?, said))
        };
        let Ok(ended) = tokio::time::timeout(self.timeout, ended).await else {
            let timeout = self.timeout;
            return Err(DnsError::Slow { program, timeout });
        };
        let (status, said) = ended.map_err(failed)?;
        if status.success() {
            return Ok(());
        }
        let said = match shown(&said) {
            said if said.is_empty() => String::new(),
            said => format!("; it said: {said}"),
        };
        Err(DnsError::Failed {
            program,
            record: record.to_owned(),
            status,
            said,
        })
    }
}

/// A program with all that it started, killed on drop if it still runs.
struct Group(Child);

impl Group {
    /// The first words to its standard error. The rest is read, so that nobody waits to write it, and
    /// thrown away.
    async fn said(&mut self) -> io::Result<Vec<u8>> {
        let mut said = Vec::with_capacity(OUTPUT_BYTES);
        let Some(mut output) = self.0.stderr.take() else {
            return Ok(said);
        };
        let mut piece = [0; 1024];
        loop {
            let count = output.read(&mut piece).await?;
            if count == 0 {
                return Ok(said);
            }
            let room = (OUTPUT_BYTES - said.len()).min(count);
            said.extend(piece.iter().take(room));
        }
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

/// On one line, without what would confuse a terminal.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, timeout: Duration) -> Hook {
        // $0 is the first argument after the script.
        let command = ["sh", "-c", script, "hook"].map(str::to_owned).into();
        Hook { command, timeout }
    }

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn it_is_told_what_to_set() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("said");
        let hook = shell(&format!("echo \"$@\" >>{}", file.display()), LONG);
        hook.run("add", "_acme-challenge.a.example", "v; rm -rf x")
            .await
            .unwrap();
        hook.run("remove", "_acme-challenge.a.example", "v")
            .await
            .unwrap();
        assert_eq!(
            std::fs::read_to_string(file).unwrap(),
            "add _acme-challenge.a.example v; rm -rf x\nremove _acme-challenge.a.example v\n"
        );
    }

    #[tokio::test]
    async fn its_words_are_in_the_error() {
        let hook = shell("echo 'no such\nzone' >&2; exit 3", LONG);
        let error = hook.run("add", "r", "v").await.unwrap_err().to_string();
        assert_eq!(
            error,
            "sh failed for r: exit status: 3; it said: no such zone"
        );
        let hook = shell("yes | head -c 1000000 >&2; exit 1", LONG);
        let error = hook.run("add", "r", "v").await.unwrap_err().to_string();
        assert!(error.len() < 2 * OUTPUT_BYTES);
        let command = vec!["/nonexistent/hook".to_owned()];
        let missing = Hook {
            command,
            timeout: LONG,
        }
        .run("add", "r", "v")
        .await;
        assert!(matches!(missing, Err(DnsError::Run { .. })));
    }

    #[tokio::test]
    async fn it_sees_nothing_of_the_environment_but_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("environment");
        let hook = shell(&format!("env >{}", file.display()), LONG);
        hook.run("add", "r", "v").await.unwrap();
        let environment = std::fs::read_to_string(file).unwrap();
        let names = environment
            .lines()
            .filter_map(|line| line.split('=').next());
        // The shell sets some of its own.
        let others = names.filter(|name| !["PATH", "PWD", "OLDPWD", "SHLVL", "_"].contains(name));
        assert_eq!(others.collect::<Vec<_>>(), [""; 0]);
        assert!(
            std::env::vars_os().count() > 5,
            "there is something to hide"
        );
    }

    #[tokio::test]
    async fn a_late_one_is_killed_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! >{}; wait", file.display());
        let hook = shell(&script, Duration::from_millis(500));
        let late = hook.run("add", "r", "v").await;
        assert!(matches!(late, Err(DnsError::Slow { .. })));
        let pid = std::fs::read_to_string(file).unwrap();
        let gone = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
            // Whoever adopts it may take its time to bury it.
            stat.map_or(true, |stat| stat.contains(") Z "))
        };
        let give_up = std::time::Instant::now() + LONG;
        while !gone() {
            assert!(std::time::Instant::now() < give_up, "it still runs");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
