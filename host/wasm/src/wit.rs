//! The contract's types, as Wasmtime lifts and lowers them. See `wit/types.wit`.
#![expect(
    dead_code,
    reason = "guests make values that the host only reads, and the other way round"
)]

use tidegate_chain::{Edit, Refusal, Value};
use wasmtime::component::{ComponentType, Lift, Lower};

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

/// `types.edit`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(variant)]
pub(crate) enum WitEdit {
    #[component(name = "set")]
    Set(WitField),
    #[component(name = "append")]
    Append(WitField),
    #[component(name = "remove")]
    Remove(String),
}

impl WitEdit {
    pub(crate) fn as_edit(&self) -> Edit<'_> {
        match self {
            WitEdit::Set((name, value)) => Edit::Set(name, value),
            WitEdit::Append((name, value)) => Edit::Append(name, value),
            WitEdit::Remove(name) => Edit::Remove(name),
        }
    }
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
