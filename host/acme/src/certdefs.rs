//! A folder of certificate definitions: one text file for each certificate, its first line the main name,
//! the others alternatives. Blank lines count for nothing, nor does what follows a `#`.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::name::{Name, NameError, Names};

/// The most bytes of a file: 100 names of the greatest length, with comments.
const FILE_BYTES: u64 = 64 * 1024;
/// The most files of a folder.
pub const FILES_MAX: usize = 10_000;

/// What is wrong with a definition, and where.
#[derive(Debug)]
pub struct Mistake {
    /// The file, or the folder where that is what cannot be read.
    pub file: PathBuf,
    /// From 1; 0 where it is about the whole file.
    pub line: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// What can be wrong with a definition.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("cannot read it: {0}")]
    Unreadable(#[from] io::Error),
    #[error("it is larger than {FILE_BYTES} bytes")]
    TooLarge,
    #[error("the folder has more than {FILES_MAX} files")]
    TooMany,
    #[error("it is not UTF-8")]
    NotText,
    #[error("{0}")]
    Name(#[from] NameError),
    #[error("the main name `{name}` is also that of {}", .other.display())]
    Twice { name: Name, other: PathBuf },
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if self.line > 0 {
            write!(f, "{}:", self.line)?;
        }
        write!(f, " {}", self.problem)
    }
}

/// Reads all definitions of a folder, in the order of their files. Hidden files, backups of editors
/// (`name~`) and folders are passed over.
///
/// # Errors
/// All mistakes that there are. Definitions without one are not given either: what is half read would
/// drop certificates that are in use.
pub fn read(folder: &Path) -> Result<Vec<Names>, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let mut by_main: BTreeMap<Name, PathBuf> = BTreeMap::new();
    let mut definitions = Vec::new();
    for file in files(folder).map_err(|mistake| vec![mistake])? {
        let names = match read_file(&file) {
            Ok(names) => names,
            Err(mistake) => {
                mistakes.push(mistake);
                continue;
            }
        };
        if let Some(other) = by_main.insert(names.main().clone(), file.clone()) {
            let name = names.main().clone();
            mistakes.push(Mistake {
                file,
                line: 0,
                problem: Problem::Twice { name, other },
            });
        }
        definitions.push(names);
    }
    if mistakes.is_empty() {
        Ok(definitions)
    } else {
        Err(mistakes)
    }
}

/// The names that a definition holds.
///
/// # Errors
/// The line (from 1; 0 for the whole) and what is wrong there.
pub fn parse(text: &str) -> Result<Names, (usize, NameError)> {
    let mut names = Vec::new();
    for (place, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            names.push(Name::parse(line).map_err(|error| (place + 1, error))?);
        }
    }
    Names::new(names).map_err(|error| (0, error))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Mistake> {
    let mistake = |problem: Problem| Mistake {
        file: folder.to_owned(),
        line: 0,
        problem,
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| mistake(error.into()))? {
        let entry = entry.map_err(|error| mistake(error.into()))?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.starts_with(b".") || name.ends_with(b"~") || !entry.path().is_file() {
            continue;
        }
        if files.len() == FILES_MAX {
            return Err(mistake(Problem::TooMany));
        }
        files.push(entry.path());
    }
    files.sort_unstable();
    Ok(files)
}

fn read_file(file: &Path) -> Result<Names, Mistake> {
    let mistake = |line, problem| Mistake {
        file: file.to_owned(),
        line,
        problem,
    };
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|open| open.take(FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| mistake(0, error.into()))?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(mistake(0, Problem::TooLarge));
    }
    let text = String::from_utf8(bytes).map_err(|_| mistake(0, Problem::NotText))?;
    parse(&text).map_err(|(line, error)| mistake(line, error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        folder
    }

    #[test]
    fn a_file_is_a_certificate() {
        let folder = folder(&[
            ("b", b"# ours\n\nExample.com # main\n  www.example.com\r\n"),
            ("a", "*.Bücher.example".as_bytes()),
            (".b.swp", b"\0"),
            ("b~", b"old.example"),
        ]);
        std::fs::create_dir(folder.path().join("c")).unwrap();
        let names = read(folder.path()).unwrap();
        let names: Vec<String> = names.iter().map(Names::to_string).collect();
        assert_eq!(
            names,
            ["*.xn--bcher-kva.example", "example.com, www.example.com"]
        );
    }

    #[test]
    fn all_mistakes_are_said_with_their_places() {
        let folder = folder(&[
            ("a", b"example.com"),
            ("b", b"other.example\n\nwrong_name.example\n"),
            ("c", b"# nothing\n"),
            ("d", b"EXAMPLE.com"),
            ("e", b"\xff"),
            ("f", &vec![b'#'; 70_000]),
        ]);
        let mistakes = read(folder.path()).unwrap_err();
        let said: Vec<String> = mistakes.iter().map(Mistake::to_string).collect();
        let at = |file: &str| folder.path().join(file).display().to_string();
        assert_eq!(
            said,
            [
                format!("{}:3: `wrong_name.example` is not a DNS name", at("b")),
                format!("{}: a certificate needs a name", at("c")),
                format!(
                    "{}: the main name `example.com` is also that of {}",
                    at("d"),
                    at("a")
                ),
                format!("{}: it is not UTF-8", at("e")),
                format!("{}: it is larger than 65536 bytes", at("f")),
            ]
        );
        assert!(read(&folder.path().join("missing")).is_err());
    }

    proptest! {
        #[test]
        fn any_text_has_names_or_a_line(text in "(\\PC|\n){0,80}") {
            match parse(&text) {
                Ok(names) => prop_assert!(names.iter().count() <= text.lines().count()),
                Err((line, _)) => prop_assert!(line <= text.lines().count()),
            }
        }
    }
}
