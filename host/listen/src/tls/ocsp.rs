//! OCSP responses that are sent along with a certificate (RFC 6960), as far as a server has to read them: for
//! which certificate they are, and until when. Clients check the signature.

use der::asn1::{AnyRef, BitStringRef, GeneralizedTime, ObjectIdentifier, OctetStringRef, UintRef};
use der::{Decode, Enumerated, Sequence, Tag, TagNumber, Tagged};
use std::time::{SystemTime, UNIX_EPOCH};

/// `id-pkix-ocsp-basic`, the one kind of response there is.
const BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");

/// A response that is of no use for a certificate.
#[derive(Debug, thiserror::Error)]
pub enum OcspError {
    /// It cannot be read.
    #[error("it is not an OCSP response (DER): {0}")]
    Malformed(#[from] der::Error),
    /// It is not an answer.
    #[error("the OCSP server answered with an error ({0:?})")]
    Unsuccessful(Status),
    /// It is about others.
    #[error("it is for another certificate")]
    OtherCertificate,
    /// The authority does not vouch for the certificate.
    #[error("it says that the certificate was revoked, or is not known")]
    NotGood,
    /// It is too old.
    #[error("it was valid until {}", humantime::format_rfc3339_seconds(*.0))]
    Expired(SystemTime),
}

/// What an OCSP server says first (RFC 6960 §4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumerated)]
#[repr(u8)]
pub enum Status {
    /// There is an answer.
    Successful = 0,
    /// The question was not valid.
    MalformedRequest = 1,
    /// Something is wrong with the server.
    InternalError = 2,
    /// It has no time.
    TryLater = 3,
    /// The question should have been signed.
    SigRequired = 5,
    /// It does not answer just anybody.
    Unauthorized = 6,
}

#[derive(Sequence)]
struct OcspResponse<'a> {
    status: Status,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    answer: Option<Answer<'a>>,
}

#[derive(Sequence)]
struct Answer<'a> {
    kind: ObjectIdentifier,
    response: &'a OctetStringRef,
}

#[derive(Sequence)]
struct Basic<'a> {
    data: Data<'a>,
    algorithm: AnyRef<'a>,
    signature: BitStringRef<'a>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    certificates: Option<AnyRef<'a>>,
}

#[derive(Sequence)]
struct Data<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    version: Option<u8>,
    responder: AnyRef<'a>,
    produced_at: GeneralizedTime,
    responses: Vec<Single<'a>>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<AnyRef<'a>>,
}

#[derive(Sequence)]
struct Single<'a> {
    certificate: CertificateId<'a>,
    status: AnyRef<'a>,
    this_update: GeneralizedTime,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    next_update: Option<GeneralizedTime>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<AnyRef<'a>>,
}

#[derive(Sequence)]
struct CertificateId<'a> {
    algorithm: AnyRef<'a>,
    issuer_name: &'a OctetStringRef,
    issuer_key: &'a OctetStringRef,
    serial: UintRef<'a>,
}

/// Check a response for the certificate with this serial number; gives the time until which it is good, if it
/// says one.
pub(super) fn check(
    response: &[u8],
    serial: &[u8],
    now: SystemTime,
) -> Result<Option<SystemTime>, OcspError> {
    let response = OcspResponse::from_der(response)?;
    let answer = response.answer.filter(|answer| answer.kind == BASIC);
    let answer = answer.ok_or(OcspError::Unsuccessful(response.status))?;
    let basic = Basic::from_der(answer.response.as_bytes())?;
    let serial = UintRef::new(serial)?;
    let mut about = basic.data.responses.iter();
    let about = about.find(|single| single.certificate.serial == serial);
    let about = about.ok_or(OcspError::OtherCertificate)?;
    // Of `good`, `revoked` and `unknown` the first.
    let good = Tag::ContextSpecific {
        constructed: false,
        number: TagNumber(0),
    };
    if about.status.tag() != good {
        return Err(OcspError::NotGood);
    }
    let until = about
        .next_update
        .map(|time| UNIX_EPOCH + time.to_unix_duration());
    match until.filter(|until| *until < now) {
        Some(until) => Err(OcspError::Expired(until)),
        None => Ok(until),
    }
}
