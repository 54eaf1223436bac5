//! What was read from files, and when to read them again.

use crate::watch::Stamp;

/// What was read, and what the files looked like then.
pub(super) struct Watched<T> {
    pub(super) value: T,
    pub(super) stamps: Vec<Option<Stamp>>,
    /// What the files looked like when they were last found wrong, and whether that was said.
    wrong: Option<(Vec<Option<Stamp>>, bool)>,
}

/// What came of looking again.
pub(super) enum Look<T> {
    Same,
    New(T),
    /// To be said: it was the same already when it was last looked at.
    Wrong(String),
}

impl<T> Watched<T> {
    pub(super) fn new(value: T, stamps: Vec<Option<Stamp>>) -> Watched<T> {
        Watched {
            value,
            stamps,
            wrong: None,
        }
    }

    /// Read again what looks new. A certificate and its key are seldom written at the same moment, so that they
    /// do not fit together is said only when they are still the same at the next look.
    pub(super) fn look(
        &mut self,
        stamps: impl Fn() -> Vec<Option<Stamp>>,
        read: impl Fn() -> Result<T, String>,
    ) -> Look<T> {
        let now = stamps();
        if now == self.stamps {
            self.wrong = None;
            return Look::Same;
        }
        let before = self.wrong.take().filter(|(wrong, _)| *wrong == now);
        if let Some((_, true)) = before {
            self.wrong = before;
            return Look::Same;
        }
        match read() {
            Ok(value) => {
                self.stamps = now;
                Look::New(value)
            }
            Err(problem) => {
                let again = before.is_some();
                self.wrong = Some((now, again));
                if again {
                    Look::Wrong(problem)
                } else {
                    Look::Same
                }
            }
        }
    }
}
