//! Pingora's heads as the chain sees them. They are moved in and out, never copied, so that what is remembered beside
//! the fields (their spelling, a target that is no path) stays true.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use pingora::http::{RequestHeader, ResponseHeader};
use tidegate_chain::{Fields, RequestHead, ResponseHead};

/// A request head.
pub(crate) struct Request(pub(crate) RequestHeader);

/// A response head.
pub(crate) struct Response(pub(crate) ResponseHeader);

impl Fields for Request {
    fn fields(&self) -> &HeaderMap {
        &self.0.headers
    }
    fn set(&mut self, name: HeaderName, value: HeaderValue) {
        // Fails only for values that are not values yet.
        let _ = self.0.insert_header(name, value);
    }
    fn append(&mut self, name: HeaderName, value: HeaderValue) {
        let _ = self.0.append_header(name, value);
    }
    fn remove(&mut self, name: &HeaderName) {
        self.0.remove_header(name);
    }
}

impl RequestHead for Request {
    fn method(&self) -> &Method {
        &self.0.method
    }
    fn uri(&self) -> &Uri {
        &self.0.uri
    }
    fn set_uri(&mut self, uri: Uri) {
        self.0.set_uri(uri);
    }
}

impl Fields for Response {
    fn fields(&self) -> &HeaderMap {
        &self.0.headers
    }
    fn set(&mut self, name: HeaderName, value: HeaderValue) {
        let _ = self.0.insert_header(name, value);
    }
    fn append(&mut self, name: HeaderName, value: HeaderValue) {
        let _ = self.0.append_header(name, value);
    }
    fn remove(&mut self, name: &HeaderName) {
        self.0.remove_header(name);
    }
}

impl ResponseHead for Response {
    fn status(&self) -> StatusCode {
        self.0.status
    }
    fn set_status(&mut self, status: StatusCode) {
        let _ = self.0.set_status(status);
    }
}
