//! The host's functions off Wasm: the same names and signatures as the imports in
//! `bindings/host.rs`, working on the current call's state.

/// The interface `request`.
pub(crate) mod request {
    use super::super::state::{Phase, with};
    use crate::Error;
    use crate::bindings::host::tidegate::plugin::types::Edit;

    pub(crate) fn method() -> String {
        with(|current| current.exchange.method.clone())
    }

    pub(crate) fn scheme() -> String {
        with(|current| current.exchange.scheme.clone())
    }

    pub(crate) fn host() -> String {
        with(|current| current.exchange.host.clone())
    }

    pub(crate) fn path() -> String {
        with(|current| current.exchange.path.clone())
    }

    pub(crate) fn query() -> Option<String> {
        with(|current| current.exchange.query.clone())
    }

    pub(crate) fn header(name: &str) -> Option<Vec<u8>> {
        with(|current| current.exchange.request.joined(name))
    }

    pub(crate) fn header_values(name: &str) -> Vec<Vec<u8>> {
        with(|current| current.exchange.request.values(name))
    }

    pub(crate) fn header_names() -> Vec<String> {
        with(|current| current.exchange.request.names())
    }

    pub(crate) fn set_header(name: &str, value: &[u8]) -> Result<(), Error> {
        edit_headers(&[Edit::Set((name.to_owned(), value.to_vec()))])
    }

    pub(crate) fn append_header(name: &str, value: &[u8]) -> Result<(), Error> {
        edit_headers(&[Edit::Append((name.to_owned(), value.to_vec()))])
    }

    pub(crate) fn remove_header(name: &str) -> Result<(), Error> {
        edit_headers(&[Edit::Remove(name.to_owned())])
    }

    pub(crate) fn edit_headers(edits: &[Edit]) -> Result<(), Error> {
        with(|current| {
            let request = &mut current.only(Phase::Request)?.exchange.request;
            edits.iter().try_for_each(|edit| request.edit(edit))
        })
    }
}

/// The interface `response`.
pub(crate) mod response {
    use super::super::fields::Fields;
    use super::super::state::{Phase, with};
    use crate::Error;
    use crate::bindings::host::tidegate::plugin::types::Edit;

    pub(crate) fn status() -> Result<u16, Error> {
        with(|current| Ok(current.only(Phase::Response)?.exchange.status))
    }

    pub(crate) fn set_status(status: u16) -> Result<(), Error> {
        with(|current| {
            let current = current.only(Phase::Response)?;
            if !(200..=599).contains(&status) {
                return Err(Error::InvalidArgument);
            }
            current.exchange.status = status;
            Ok(())
        })
    }

    pub(crate) fn header(name: &str) -> Result<Option<Vec<u8>>, Error> {
        if name.eq_ignore_ascii_case("set-cookie") {
            return read(|fields| fields.values(name).into_iter().next());
        }
        read(|fields| fields.joined(name))
    }

    pub(crate) fn header_values(name: &str) -> Result<Vec<Vec<u8>>, Error> {
        read(|fields| fields.values(name))
    }

    pub(crate) fn header_names() -> Result<Vec<String>, Error> {
        read(Fields::names)
    }

    pub(crate) fn set_header(name: &str, value: &[u8]) -> Result<(), Error> {
        edit_headers(&[Edit::Set((name.to_owned(), value.to_vec()))])
    }

    pub(crate) fn append_header(name: &str, value: &[u8]) -> Result<(), Error> {
        edit_headers(&[Edit::Append((name.to_owned(), value.to_vec()))])
    }

    pub(crate) fn remove_header(name: &str) -> Result<(), Error> {
        edit_headers(&[Edit::Remove(name.to_owned())])
    }

    pub(crate) fn edit_headers(edits: &[Edit]) -> Result<(), Error> {
        with(|current| {
            let response = &mut current.only(Phase::Response)?.exchange.response;
            edits.iter().try_for_each(|edit| response.edit(edit))
        })
    }

    fn read<R>(work: impl FnOnce(&Fields) -> R) -> Result<R, Error> {
        with(|current| Ok(work(&current.only(Phase::Response)?.exchange.response)))
    }
}

/// The interface `reply`.
pub(crate) mod reply {
    use super::super::fields;
    use super::super::state::with;
    use crate::{Error, Reply};

    pub(crate) fn set(
        status: u16,
        headers: &[(String, Vec<u8>)],
        body: &[u8],
    ) -> Result<(), Error> {
        with(|current| {
            let current = current.in_exchange()?;
            if !(200..=599).contains(&status) || body.len() > 1 << 20 {
                return Err(Error::InvalidArgument);
            }
            let mut reply = Reply::new(status);
            for (name, value) in headers {
                fields::check(name, value)?;
                reply = reply.header(name, value.clone());
            }
            current.exchange.reply = Some(Reply {
                body: body.to_vec(),
                ..reply
            });
            Ok(())
        })
    }
}

/// The interface `attributes`.
pub(crate) mod attributes {
    use super::super::state::with;
    use crate::Error;
    use crate::attributes::Value;

    pub(crate) fn get(name: &str) -> Option<Value> {
        with(|current| current.exchange.attributes.get(name).cloned())
    }

    pub(crate) fn get_text(name: &str) -> Option<String> {
        Some(match get(name)? {
            Value::Text(text) => text,
            Value::Integer(number) => number.to_string(),
            Value::Boolean(truth) => truth.to_string(),
            Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        })
    }

    pub(crate) fn set(name: &str, value: &Value) -> Result<(), Error> {
        let allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        if !(1..=64).contains(&name.len()) || !name.bytes().all(allowed) {
            return Err(Error::InvalidName);
        }
        if BUILT_IN.contains(&name) {
            return Err(Error::Forbidden);
        }
        with(|current| {
            let attributes = &mut current.in_exchange()?.exchange.attributes;
            if attributes.len() >= 64 + BUILT_IN.len() && !attributes.contains_key(name) {
                return Err(Error::LimitReached);
            }
            attributes.insert(name.to_owned(), value.clone());
            Ok(())
        })
    }

    const BUILT_IN: [&str; 8] = [
        "client.address",
        "client.port",
        "peer.address",
        "listener",
        "route",
        "request.id",
        "request.protocol",
        "upstream",
    ];
}

/// The interface `log`.
pub(crate) mod log {
    use super::super::state::with;
    use crate::log::Level;

    pub(crate) fn write(level: Level, message: &str) {
        with(|current| current.world.log.push((level, message.to_owned())));
    }

    pub(crate) fn enabled(_level: Level) -> bool {
        true
    }
}

/// The interface `metrics`.
pub(crate) mod metrics {
    use super::super::state::with;
    use crate::Error;

    pub(crate) fn count(name: &str, labels: &[(String, String)], amount: u64) -> Result<(), Error> {
        #[allow(clippy::cast_precision_loss, reason = "tests count less than 2^52")]
        change(name, labels, |value| value + amount as f64)
    }

    pub(crate) fn gauge(name: &str, labels: &[(String, String)], value: f64) -> Result<(), Error> {
        change(name, labels, |_| value)
    }

    pub(crate) fn observe(
        name: &str,
        labels: &[(String, String)],
        value: f64,
    ) -> Result<(), Error> {
        change(name, labels, |sum| sum + value)
    }

    fn change(
        name: &str,
        labels: &[(String, String)],
        new: impl FnOnce(f64) -> f64,
    ) -> Result<(), Error> {
        let start = name.starts_with(|c: char| c.is_ascii_lowercase());
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !start || name.len() > 64 || !name.chars().all(allowed) {
            return Err(Error::InvalidName);
        }
        let series = (name.to_owned(), labels.iter().cloned().collect());
        with(|current| {
            let value = current.world.metrics.entry(series).or_default();
            *value = new(*value);
        });
        Ok(())
    }
}

/// The interface `clock`.
pub(crate) mod clock {
    use super::super::state::with;

    pub(crate) fn now() -> u64 {
        let now = with(|current| current.world.epoch + current.world.elapsed);
        u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) fn monotonic() -> u64 {
        let elapsed = with(|current| current.world.elapsed);
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The interface `limiter`.
pub(crate) mod limiter {
    use super::super::state::{Tokens, with};
    use crate::Error;
    use crate::bindings::host::tidegate::plugin::limiter::{Bucket, Outcome, Scope};

    pub(crate) fn take(
        scope: Scope,
        key: &[u8],
        bucket: Bucket,
        cost: u64,
    ) -> Result<Outcome, Error> {
        if bucket.tokens == 0 || bucket.period == 0 || bucket.burst == 0 || cost > bucket.burst {
            return Err(Error::InvalidArgument);
        }
        with(|current| {
            let world = &mut current.world;
            if world.limiter_unavailable {
                return Err(Error::Unavailable);
            }
            let now = world.elapsed;
            let tokens = world.buckets.entry((scope as u8, key.to_vec()));
            let tokens = tokens.or_insert_with(|| Tokens::full(&bucket, now));
            Ok(tokens.take(&bucket, cost, now))
        })
    }
}

/// The interface `interest`.
pub(crate) mod interest {
    use super::super::state::{Interests, Phase, with};
    use crate::Error;

    pub(crate) fn methods(methods: &[String]) -> Result<(), Error> {
        narrow(|interest| interest.methods = methods.to_vec())
    }

    pub(crate) fn paths(paths: &[String]) -> Result<(), Error> {
        let star_inside = |path: &String| path.strip_suffix('*').unwrap_or(path).contains('*');
        if paths
            .iter()
            .any(|path| !path.starts_with('/') || star_inside(path))
        {
            return Err(Error::InvalidArgument);
        }
        narrow(|interest| interest.paths = paths.to_vec())
    }

    pub(crate) fn headers(names: &[String]) -> Result<(), Error> {
        narrow(|interest| interest.headers = names.to_vec())
    }

    fn narrow(work: impl FnOnce(&mut Interests)) -> Result<(), Error> {
        with(|current| {
            work(&mut current.only(Phase::Configure)?.world.interest);
            Ok(())
        })
    }
}
