//! The contract's types, as Wasmtime lifts and lowers them. See `wit/types.wit`.
#![expect(
    dead_code,
    reason = "guests make values that the host only reads, and the other way round"
)]

use tidegate_capability::crypto::Hash;
use tidegate_chain::{Refusal, Value};
use wasmtime::component::{ComponentType, Lift, Lower, WasmList, WasmStr};

/// `types.error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum WitError {
    #[component(name = "wrong-phase")]
    WrongPhase,
    #[component(name = "invalid-name")]
    InvalidName,
    #[component(name = "invalid-value")]
    InvalidValue,
    #[component(name = "invalid-argument")]
    InvalidArgument,
    #[component(name = "forbidden")]
    Forbidden,
    #[component(name = "limit-reached")]
    LimitReached,
    #[component(name = "unavailable")]
    Unavailable,
    #[component(name = "timeout")]
    Timeout,
    #[component(name = "internal")]
    Internal,
}

impl From<Refusal> for WitError {
    fn from(refusal: Refusal) -> WitError {
        match refusal {
            Refusal::WrongPhase => WitError::WrongPhase,
            Refusal::InvalidName => WitError::InvalidName,
            Refusal::InvalidValue => WitError::InvalidValue,
            Refusal::InvalidArgument => WitError::InvalidArgument,
            Refusal::Forbidden => WitError::Forbidden,
            Refusal::LimitReached => WitError::LimitReached,
        }
    }
}

/// `types.action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum WitAction {
    #[component(name = "proceed")]
    Proceed,
    #[component(name = "respond")]
    Respond,
    #[component(name = "fail")]
    Fail,
}

/// `types.body-action`.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(variant)]
pub(crate) enum WitBodyAction {
    #[component(name = "pass")]
    Pass,
    #[component(name = "replace")]
    Replace(Vec<u8>),
    #[component(name = "append")]
    Append(Vec<u8>),
    #[component(name = "drop")]
    Drop,
    #[component(name = "respond")]
    Respond,
    #[component(name = "fail")]
    Fail,
}

/// `interest.body-mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(variant)]
pub(crate) enum WitBodyMode {
    #[component(name = "none")]
    None,
    #[component(name = "streaming")]
    Streaming,
    #[component(name = "buffer")]
    Buffer(u64),
    #[component(name = "peek")]
    Peek(u64),
}

/// `types.field`.
pub(crate) type WitField = (String, Vec<u8>);

/// `types.edit`, as it is in the guest's memory.
#[derive(ComponentType, Lift)]
#[component(variant)]
pub(crate) enum WitEdit {
    #[component(name = "set")]
    Set((WasmStr, WasmList<u8>)),
    #[component(name = "append")]
    Append((WasmStr, WasmList<u8>)),
    #[component(name = "remove")]
    Remove(WasmStr),
}

/// `interest.part`.
#[derive(ComponentType, Lift)]
#[component(variant)]
pub(crate) enum WitPart {
    #[component(name = "bytes")]
    Bytes(Vec<u8>),
    #[component(name = "attribute")]
    Attribute(String),
}

/// `interest.declared-edit`.
#[derive(ComponentType, Lift)]
#[component(variant)]
pub(crate) enum WitDeclaredEdit {
    #[component(name = "set")]
    Set((String, Vec<WitPart>)),
    #[component(name = "append")]
    Append((String, Vec<WitPart>)),
    #[component(name = "remove")]
    Remove(String),
}

/// `types.config-error`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct WitConfigError {
    pub(crate) path: String,
    pub(crate) message: String,
}

/// `attributes.value`.
#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(variant)]
pub(crate) enum WitValue {
    #[component(name = "text")]
    Text(String),
    #[component(name = "integer")]
    Integer(i64),
    #[component(name = "boolean")]
    Boolean(bool),
    #[component(name = "bytes")]
    Bytes(Vec<u8>),
}

impl From<Value> for WitValue {
    fn from(value: Value) -> WitValue {
        match value {
            Value::Text(text) => WitValue::Text(text),
            Value::Integer(number) => WitValue::Integer(number),
            Value::Boolean(truth) => WitValue::Boolean(truth),
            Value::Bytes(bytes) => WitValue::Bytes(bytes),
        }
    }
}

impl From<WitValue> for Value {
    fn from(value: WitValue) -> Value {
        match value {
            WitValue::Text(text) => Value::Text(text),
            WitValue::Integer(number) => Value::Integer(number),
            WitValue::Boolean(truth) => Value::Boolean(truth),
            WitValue::Bytes(bytes) => Value::Bytes(bytes),
        }
    }
}

/// `log.level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum WitLevel {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

/// `limiter.scope`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum WitScope {
    #[component(name = "route")]
    Route,
    #[component(name = "plugin")]
    Plugin,
}

/// `limiter.window`.
#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct WitWindow {
    pub(crate) limit: u64,
    pub(crate) period: u64,
}

/// `limiter.bucket`.
#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct WitBucket {
    pub(crate) tokens: u64,
    pub(crate) period: u64,
    pub(crate) burst: u64,
}

/// `limiter.outcome`.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct WitOutcome {
    pub(crate) allowed: bool,
    pub(crate) remaining: u64,
    #[component(name = "full-after")]
    pub(crate) full_after: u64,
    #[component(name = "retry-after")]
    pub(crate) retry_after: u64,
}

/// `http-client.request`.
#[derive(Clone, ComponentType, Lift)]
#[component(record)]
pub(crate) struct WitHttpRequest {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<WitField>,
    pub(crate) timeout: Option<u64>,
}

/// `http-client.response`.
#[derive(Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct WitHttpResponse {
    pub(crate) status: u16,
    pub(crate) headers: Vec<WitField>,
}

/// `http-client.failure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum WitHttpFailure {
    #[component(name = "forbidden")]
    Forbidden,
    #[component(name = "invalid-request")]
    InvalidRequest,
    #[component(name = "unresolved")]
    Unresolved,
    #[component(name = "unreachable")]
    Unreachable,
    #[component(name = "tls")]
    Tls,
    #[component(name = "timeout")]
    Timeout,
    #[component(name = "too-large")]
    TooLarge,
    #[component(name = "protocol")]
    Protocol,
    #[component(name = "limit-reached")]
    LimitReached,
    #[component(name = "closed")]
    Closed,
    #[component(name = "wrong-phase")]
    WrongPhase,
}

/// `crypto.hash`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum WitHash {
    #[component(name = "sha1")]
    Sha1,
    #[component(name = "sha256")]
    Sha256,
    #[component(name = "sha384")]
    Sha384,
    #[component(name = "sha512")]
    Sha512,
}

impl From<WitHash> for Hash {
    fn from(hash: WitHash) -> Hash {
        match hash {
            WitHash::Sha1 => Hash::Sha1,
            WitHash::Sha256 => Hash::Sha256,
            WitHash::Sha384 => Hash::Sha384,
            WitHash::Sha512 => Hash::Sha512,
        }
    }
}

/// `crypto.key`.
#[derive(Clone, ComponentType, Lift)]
#[component(variant)]
pub(crate) enum WitKey {
    #[component(name = "bytes")]
    Bytes(Vec<u8>),
    #[component(name = "secret")]
    Secret(u32),
}

/// `crypto.keys`.
#[derive(Clone, ComponentType, Lift)]
#[component(variant)]
pub(crate) enum WitKeys {
    #[component(name = "jwks")]
    Jwks(String),
    #[component(name = "pem")]
    Pem(String),
    #[component(name = "shared")]
    Shared(WitKey),
}

/// `crypto.key-url`.
#[derive(Clone, ComponentType, Lift)]
#[component(record)]
pub(crate) struct WitKeyUrl {
    pub(crate) url: String,
    pub(crate) refresh: u64,
    pub(crate) stale: u64,
}

/// `crypto.jws`.
#[derive(Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct WitJws {
    pub(crate) header: String,
    pub(crate) payload: Vec<u8>,
}

/// `crypto.jws-error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum WitJwsError {
    #[component(name = "malformed")]
    Malformed,
    #[component(name = "algorithm")]
    Algorithm,
    #[component(name = "unknown-key")]
    UnknownKey,
    #[component(name = "signature")]
    Signature,
    #[component(name = "unavailable")]
    Unavailable,
    #[component(name = "invalid-keys")]
    InvalidKeys,
}
