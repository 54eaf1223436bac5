//! Compiling components, in a process of its own where the caller has one.
//!
//! A compiler needs tens of megabytes for moments, and an allocator keeps them in the heaps of the threads
//! that compiled. A process that ends gives them back. It also takes with it what a component may do to a
//! compiler: to use up memory, to make it panic, or to overflow its stack.

use crate::engine;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use wasmtime::Engine;

/// The exit status of a compiling process that says that the component is not valid.
const INVALID: u8 = 1;
/// One that says that something else went wrong. A panic ends with 101.
const FAILED: u8 = 2;

/// The most compiled code that is taken: four times the largest file that is taken for a plugin.
const CODE_BYTES_MAX: u64 = 1 << 30;
/// The most that is heard of what a compiling process says on standard error.
const SAID_BYTES_MAX: u64 = 16 << 10;

/// How components are compiled.
#[derive(Debug, Default)]
pub struct Compiler {
    process: Option<Process>,
    warned: AtomicBool,
}

#[derive(Debug)]
struct Process {
    program: PathBuf,
    arguments: Vec<String>,
}

/// Why there is no compiled code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CompileError {
    /// The component is not valid.
    Invalid(String),
    /// The compiler failed, whatever the component is.
    Failed(String),
}

impl Compiler {
    /// In this process.
    pub fn here() -> Compiler {
        Compiler::default()
    }

    /// In a process of its own for each component. The command has to do what [`compile_stdin`] does; its
    /// environment is empty, and it is in a process group of its own, so that the terminal's signals do
    /// not reach it.
    pub fn process(program: impl Into<PathBuf>, arguments: &[&str]) -> Compiler {
        let process = Process {
            program: program.into(),
            arguments: arguments.iter().map(|&a| a.to_owned()).collect(),
        };
        Compiler {
            process: Some(process),
            warned: AtomicBool::new(false),
        }
    }

    /// The compiled form of a component.
    pub(crate) fn compile(
        &self,
        engine: &Engine,
        component: &[u8],
    ) -> Result<Vec<u8>, CompileError> {
        let Some(process) = &self.process else {
            return compile(engine, component);
        };
        match process.start() {
            Ok(child) => ask(child, component),
            Err(error) => {
                if !self.warned.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        program = %process.program.display(),
                        %error,
                        "cannot start a process that compiles plugins; they are compiled in this one, which keeps the memory that this needs"
                    );
                }
                compile(engine, component)
            }
        }
    }
}

fn compile(engine: &Engine, component: &[u8]) -> Result<Vec<u8>, CompileError> {
    engine
        .precompile_component(component)
        .map_err(|error| CompileError::Invalid(format!("{error:#}")))
}

/// Be the process of [`Compiler::process`]: read a component from standard input, and write its compiled form
/// to standard output; or, where it is not valid, say why on standard error and end with 1.
///
/// Ends with the process that started it, and before that one where the system runs out
/// of memory.
pub fn compile_stdin() -> ExitCode {
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    let compiled = engine::for_compiling()
        .map_err(io::Error::other)
        .and_then(|engine| {
            let mut component = Vec::new();
            io::stdin().lock().read_to_end(&mut component)?;
            Ok(compile(&engine, &component))
        });
    let done = match compiled {
        Ok(Ok(code)) => io::stdout().lock().write_all(&code),
        Ok(Err(CompileError::Invalid(reason) | CompileError::Failed(reason))) => {
            let _ = io::stderr().lock().write_all(reason.as_bytes());
            return ExitCode::from(INVALID);
        }
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = io::stderr().lock().write_all(error.to_string().as_bytes());
            ExitCode::from(FAILED)
        }
    }
}

impl Process {
    fn start(&self) -> io::Result<Child> {
        Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }
}

/// Have a process that was started compile a component.
fn ask(mut child: Child, component: &[u8]) -> Result<Vec<u8>, CompileError> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    // At the same time, so that neither side can wait for the other, in whatever order it reads and writes.
    let (status, code, said) = thread::scope(|scope| {
        let thread = || thread::Builder::new().name("compiling".to_owned());
        let feed = || {
            // Fails where the process has ended already, and how it ended says why.
            stdin.map(|mut stdin| stdin.write_all(component))
        };
        let fed = thread().spawn_scoped(scope, feed);
        let hear = move || {
            let mut stderr = stderr;
            let said = read(stderr.as_mut(), SAID_BYTES_MAX);
            // The rest goes by unheard: how the process ends is still to be known.
            stderr.map(|mut rest| io::copy(&mut rest, &mut io::sink()));
            said
        };
        let said = thread().spawn_scoped(scope, hear);
        let code = match (&fed, &said) {
            (Ok(_), Ok(_)) => read(stdout, CODE_BYTES_MAX),
            (Err(error), _) | (_, Err(error)) => Err(io::Error::new(error.kind(), "no thread")),
        };
        if code.is_err() {
            let _ = child.kill();
        }
        let said = said.map(|said| said.join().unwrap_or(Ok(Vec::new())));
        (child.wait(), code, said)
    });
    let failed = |error: io::Error| CompileError::Failed(error.to_string());
    let (code, status) = (code.map_err(failed)?, status.map_err(failed)?);
    if status.success() {
        return Ok(code);
    }
    let said = said.and_then(|said| said).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    Err(match status.code() == Some(i32::from(INVALID)) {
        true => CompileError::Invalid(said.into_owned()),
        false => CompileError::Failed(ended(status, said.trim())),
    })
}

/// All of a process's output, or as much of what it says as is heard.
fn read(output: Option<impl Read>, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(output) = output {
        output.take(most).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// How a process ended that has not answered.
fn ended(status: ExitStatus, said: &str) -> String {
    let killed = status.signal() == Some(rustix::process::Signal::KILL.as_raw());
    let memory = if killed { " (out of memory?)" } else { "" };
    let colon = if said.is_empty() { "" } else { ": " };
    format!("the process that compiled it ended with {status}{memory}{colon}{said}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a shell's script in the place of a compiler.
    fn script(script: &str, component: &[u8]) -> Result<Vec<u8>, CompileError> {
        let compiler = Compiler::process("/bin/sh", &["-c", script]);
        compiler.compile(&engine::for_compiling().unwrap(), component)
    }

    fn failure(script_text: &str, component: &[u8]) -> String {
        match script(script_text, component) {
            Err(CompileError::Failed(reason)) => reason,
            other => panic!("not a failure: {other:?}"),
        }
    }

    #[test]
    fn what_the_process_answers_is_the_code() {
        let large = vec![7; 1 << 20];
        assert!(script("exec /bin/cat", &large).unwrap() == large);
    }

    #[test]
    fn what_it_says_with_1_is_why_the_component_is_not_valid() {
        let said = script("/bin/cat >/dev/null; printf 'no good' >&2; exit 1", b"x");
        assert_eq!(said, Err(CompileError::Invalid("no good".into())));
    }

    #[test]
    fn one_that_is_killed_is_no_end_of_this_process() {
        let large = vec![7; 1 << 20];
        let reason = failure("kill -KILL $$", &large);
        assert!(reason.contains("signal: 9"), "{reason}");
        assert!(reason.contains("out of memory?"), "{reason}");
        let reason = failure("kill -SEGV $$", b"");
        assert!(reason.contains("signal: 11"), "{reason}");
    }

    #[test]
    fn one_that_says_much_does_not_block() {
        // More than a pipe holds, before it has read anything and after.
        let talk = "i=0; while [ $i -lt 3000 ]; do echo '0123456789012345678901234567890123456789' >&2 || break; i=$((i+1)); done";
        let large = vec![7; 1 << 20];
        let reason = failure(&format!("{talk}; exit 101"), &large);
        assert!(reason.contains("exit status: 101: 0123"), "{reason}");
        assert!(reason.len() < 20_000, "{}", reason.len());
    }

    #[test]
    fn it_has_no_environment_and_a_group_of_its_own() {
        let code = script(
            "/usr/bin/env; read -r a b c d group rest </proc/self/stat; echo $$ $group",
            b"",
        );
        let text = String::from_utf8(code.unwrap()).unwrap();
        let cargo = |line: &str| line.starts_with("CARGO") || line.starts_with("HOME=");
        assert!(!text.lines().any(cargo), "{text}");
        let (own, group) = text.lines().last().unwrap().split_once(' ').unwrap();
        assert_eq!(own, group, "{text}");
    }

    #[test]
    fn without_a_process_it_is_compiled_here() {
        let component = b"\0asm\x0d\0\x01\0";
        let engine = engine::for_compiling().unwrap();
        let nowhere = Compiler::process("/nowhere/at/all", &[]);
        let here = Compiler::here().compile(&engine, component).unwrap();
        assert_eq!(nowhere.compile(&engine, component), Ok(here));
        assert!(nowhere.warned.load(Ordering::Relaxed));
    }
}
