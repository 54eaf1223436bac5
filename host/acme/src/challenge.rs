//! The answers to challenges that are open.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::certificate::Certificate;
use crate::name::Name;
use crate::serve::Serve;

/// Answers to `http-01`, by token (RFC 8555 §8.3). Reading takes no lock.
#[derive(Debug, Default)]
pub struct Tokens(ArcSwap<HashMap<Box<str>, Arc<str>>>);

/// An answer that is given for as long as this lives.
pub(crate) enum Answer {
    Token {
        tokens: Arc<Tokens>,
        token: Box<str>,
    },
    Handshake {
        serve: Arc<dyn Serve>,
        name: Name,
    },
}

impl Tokens {
    /// The answer to `GET /.well-known/acme-challenge/TOKEN`, if it is one of ours.
    pub fn answer(&self, token: &str) -> Option<Arc<str>> {
        self.0.load().get(token).cloned()
    }

    fn change(&self, change: impl Fn(&mut HashMap<Box<str>, Arc<str>>)) {
        self.0.rcu(|old| {
            let mut new = HashMap::clone(old);
            change(&mut new);
            new
        });
    }
}

impl Answer {
    /// Answers requests for the token with the key authorization.
    pub(crate) fn token(tokens: &Arc<Tokens>, token: &str, authorization: &str) -> Answer {
        let answer: Arc<str> = authorization.into();
        tokens.change(|open| {
            open.insert(token.into(), answer.clone());
        });
        Answer::Token {
            tokens: tokens.clone(),
            token: token.into(),
        }
    }

    /// Answers handshakes for the name with this certificate. No two at a time are for one name.
    pub(crate) fn handshake(
        serve: &Arc<dyn Serve>,
        name: Name,
        certificate: &Certificate,
    ) -> Answer {
        serve.challenge(&name, certificate);
        Answer::Handshake {
            serve: serve.clone(),
            name,
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        match self {
            Answer::Token { tokens, token } => tokens.change(|open| {
                open.remove(&**token);
            }),
            Answer::Handshake { serve, name } => serve.challenge_over(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_answered_for_as_long_as_it_is_open() {
        let tokens = Arc::new(Tokens::default());
        let first = Answer::token(&tokens, "a", "a.key");
        let second = Answer::token(&tokens, "b", "b.key");
        assert_eq!(tokens.answer("a").as_deref(), Some("a.key"));
        drop(first);
        assert_eq!(tokens.answer("a"), None);
        assert_eq!(tokens.answer("b").as_deref(), Some("b.key"));
        drop(second);
        assert_eq!(tokens.answer(""), None);
    }
}
