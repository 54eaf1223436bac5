//! Guests that make the call which a request describes in its field `x-call`.

use serde_json::Value;

use crate::harness::{Proxy, Request, Response, get, with_header};

/// A request for the guest of the route on this path to make a call.
pub fn calling(path: &str, call: &Value) -> Request {
    with_header(get(path), "x-call", &call.to_string())
}

/// What came of the call: a value, or the name of an error.
pub fn outcome(response: &Response) -> Result<String, String> {
    let text = response.text().to_owned();
    match response.status {
        200 => Ok(text),
        400 => Err(text),
        status => panic!("the plugin did not answer: {status} {text}"),
    }
}

/// Has the guest of the route on this path make a call.
pub async fn call_on(proxy: &Proxy, path: &str, call: &Value) -> Result<String, String> {
    outcome(&proxy.send(calling(path, call)).await)
}

/// As [`call_on`], on `/`.
pub async fn call(proxy: &Proxy, call: &Value) -> Result<String, String> {
    call_on(proxy, "/", call).await
}

/// That the call gave this value.
pub fn is(value: &str) -> Result<String, String> {
    Ok(value.to_owned())
}

/// That the call was refused with the error of this name.
pub fn refused(error: &str) -> Result<String, String> {
    Err(error.to_owned())
}
