//! HTTP to authorities, with what a client of theirs needs: deadlines, bounds, and the words of errors.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::schedule::RETRY_AFTER_MAX;

/// The most bytes of an answer: chains have a few thousand.
const ANSWER_BYTES: usize = 512 * 1024;

/// Connections to an authority, kept for some time.
#[derive(Clone)]
pub(crate) struct Web(Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>);

/// The requests of one order.
pub(crate) struct Session {
    web: Web,
    /// How long one request may take, its connection and its answer included.
    limit: Duration,
    retry_after: Arc<Mutex<Option<SystemTime>>>,
}

/// Why there is no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebError {
    #[error("{0}")]
    Unreachable(String),
    #[error("no answer within {0:?}")]
    Late(Duration),
    #[error("the answer is larger than {ANSWER_BYTES} bytes")]
    TooLarge,
    #[error("it answered {0}, without saying why")]
    Status(StatusCode),
}

/// Why nobody's certificate can be checked.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    #[error("`ca` has no certificate; expected PEM with `-----BEGIN CERTIFICATE-----`")]
    None,
    #[error("`ca`: {0}")]
    Invalid(String),
    #[error(
        "the system has no authorities to trust (Debian: install ca-certificates), or set `ca`"
    )]
    NoSystem,
    #[error("{0}")]
    Tls(#[from] rustls::Error),
}

impl Web {
    /// With those who vouch for its server; `plain` allows http, too.
    pub(crate) fn new(roots: Option<&[u8]>, plain: bool) -> Result<Web, RootsError> {
        Web::trusting(trusted(roots)?, plain)
    }

    /// Over http alone, which needs nobody who vouches.
    pub(crate) fn without_roots() -> Result<Web, RootsError> {
        Web::trusting(RootCertStore::empty(), true)
    }

    fn trusting(roots: RootCertStore, plain: bool) -> Result<Web, RootsError> {
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls);
        let connector = if plain {
            connector.https_or_http()
        } else {
            connector.https_only()
        };
        let connector = connector.enable_http1().build();
        Ok(Web(Client::builder(TokioExecutor::new()).build(connector)))
    }

    /// What is asked of it from now on, each request within this time.
    pub(crate) fn session(&self, limit: Duration) -> Session {
        Session {
            web: self.clone(),
            limit,
            retry_after: Arc::default(),
        }
    }

    /// The status of a `GET`.
    pub(crate) async fn status(&self, url: &str, limit: Duration) -> Result<StatusCode, WebError> {
        let request = Request::get(url)
            .header(USER_AGENT, concat!("tidegate/", env!("CARGO_PKG_VERSION")))
            .body(BodyWrapper::default())
            .map_err(|error| WebError::Unreachable(error.to_string()))?;
        match tokio::time::timeout(limit, self.0.request(request)).await {
            Ok(Ok(response)) => Ok(response.status()),
            Ok(Err(error)) => Err(WebError::Unreachable(with_causes(&error))),
            Err(_) => Err(WebError::Late(limit)),
        }
    }

    async fn send(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Result<Response<Bytes>, WebError> {
        let response = self.0.request(request).await;
        let response = response.map_err(|error| WebError::Unreachable(with_causes(&error)))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => WebError::TooLarge,
            None => WebError::Unreachable(with_causes(&*error)),
        })?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    }
}

impl Session {
    /// When the authority last said, with an error, that it may be asked again.
    pub(crate) fn retry_after(&self) -> RetryAfter {
        RetryAfter(self.retry_after.clone())
    }
}

/// What the requests of a session were told.
pub(crate) struct RetryAfter(Arc<Mutex<Option<SystemTime>>>);

impl RetryAfter {
    pub(crate) fn get(&self) -> Option<SystemTime> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpClient for Session {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let (web, noted) = (self.web.clone(), self.retry_after.clone());
        let limit = self.limit;
        Box::pin(async move {
            let other = |error: WebError| instant_acme::Error::Other(error.into());
            let answered = tokio::time::timeout(limit, web.send(request)).await;
            let response = answered.unwrap_or(Err(WebError::Late(limit)));
            let mut response = response.map_err(other)?;
            let told = believed(response.headers_mut());
            if response.status().is_client_error() || response.status().is_server_error() {
                // The library reads what went wrong from the body alone.
                *noted.lock().unwrap_or_else(PoisonError::into_inner) = told;
                // A proxy in between, or an authority in trouble, says it as a page.
                if serde_json::from_slice::<serde_json::Map<_, _>>(response.body()).is_err() {
                    return Err(other(WebError::Status(response.status())));
                }
            }
            Ok(BytesResponse::from(response.map(Full::new)))
        })
    }
}

/// When an answer says that its like may be asked for again. What cannot be believed does not stay in it:
/// the library reckons with it as it is, and a time beyond all clocks would end it.
fn believed(headers: &mut HeaderMap) -> Option<SystemTime> {
    let value = headers.remove(RETRY_AFTER)?;
    let wait = retry_after(value.to_str().ok()?, SystemTime::now())?;
    headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs()));
    SystemTime::now().checked_add(wait)
}

/// Seconds, or a date (RFC 9110 §10.2.3), bounded.
fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let wait = match value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More seconds than can be counted are many.
        true if !value.is_empty() => Duration::from_secs(value.parse().unwrap_or(u64::MAX)),
        _ => {
            let date = httpdate::parse_http_date(value).ok()?;
            date.duration_since(now).unwrap_or_default()
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

fn trusted(roots: Option<&[u8]>) -> Result<RootCertStore, RootsError> {
    let mut store = RootCertStore::empty();
    let Some(pem) = roots else {
        let found = rustls_native_certs::load_native_certs();
        store.add_parsable_certificates(found.certs);
        return if store.is_empty() {
            Err(RootsError::NoSystem)
        } else {
            Ok(store)
        };
    };
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| RootsError::Invalid(error.to_string()))?;
        store
            .add(certificate)
            .map_err(|error| RootsError::Invalid(error.to_string()))?;
    }
    if store.is_empty() {
        return Err(RootsError::None);
    }
    Ok(store)
}

/// An error with what caused it: "client error (Connect)" alone helps nobody.
fn with_causes(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let wait = |value: &str| Some(retry_after(value, now)?.as_secs());
        assert_eq!(wait(" 120 "), Some(120));
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(wait("Sun, 06 Nov 1994 08:40:00 GMT"), Some(0));
        for none in ["", "soon", "-1", "1.5", "+1", "1 2"] {
            assert_eq!(wait(none), None, "{none}");
        }
        let most = Some(RETRY_AFTER_MAX.as_secs());
        for long in [
            "18446744073709551615",
            "99999999999999999999",
            "Fri, 31 Dec 9999 23:59:59 GMT",
        ] {
            assert_eq!(wait(long), most, "{long}");
        }
    }

    #[test]
    fn what_cannot_be_believed_is_not_passed_on() {
        let passed = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.try_into().unwrap());
            believed(&mut headers);
            Some(headers.get(RETRY_AFTER)?.to_str().unwrap().to_owned())
        };
        assert_eq!(passed("5").as_deref(), Some("5"));
        assert_eq!(passed("18446744073709551615").as_deref(), Some("604800"));
        assert_eq!(passed("soon"), None);
    }

    #[test]
    fn roots_are_certificates() {
        assert!(matches!(trusted(Some(b"")), Err(RootsError::None)));
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(trusted(Some(broken)), Err(RootsError::Invalid(_))));
    }
}
