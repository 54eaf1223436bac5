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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use der::asn1::{BitStringRef, Null};
    use der::{Any, Encode};
    use proptest::prelude::*;
    use std::time::Duration;

    const NOW: SystemTime = UNIX_EPOCH;

    /// A response that the certificate with this serial number is good, until then.
    pub(in crate::tls) fn good(serial: &[u8], until: SystemTime) -> Vec<u8> {
        let until = until.duration_since(UNIX_EPOCH).unwrap().as_secs();
        about(serial, GOOD, until)
    }

    /// A response about serial number 1000, with this tag for the status, good for so many seconds.
    fn response(status: u8, seconds: u64) -> Vec<u8> {
        about(&[3, 0xe8], status, seconds)
    }

    fn about(serial: &[u8], status: u8, seconds: u64) -> Vec<u8> {
        let null = Any::encode_from(&Null).unwrap();
        let null = AnyRef::from(&null);
        let time =
            |seconds| GeneralizedTime::from_unix_duration(Duration::from_secs(seconds)).unwrap();
        let status = [status, 0];
        let octets = OctetStringRef::new(b"hash").unwrap();
        let single = Single {
            certificate: CertificateId {
                algorithm: null,
                issuer_name: octets,
                issuer_key: octets,
                serial: UintRef::new(serial).unwrap(),
            },
            status: AnyRef::from_der(&status).unwrap(),
            this_update: time(0),
            next_update: Some(time(seconds)),
            extensions: None,
        };
        let basic = Basic {
            data: Data {
                version: None,
                responder: null,
                produced_at: time(0),
                responses: vec![single],
                extensions: None,
            },
            algorithm: null,
            signature: BitStringRef::from_bytes(b"signature").unwrap(),
            certificates: None,
        };
        let basic = basic.to_der().unwrap();
        let response = OcspResponse {
            status: Status::Successful,
            answer: Some(Answer {
                kind: BASIC,
                response: OctetStringRef::new(&basic).unwrap(),
            }),
        };
        response.to_der().unwrap()
    }

    const GOOD: u8 = 0x80;
    const UNKNOWN: u8 = 0x82;

    #[test]
    fn good_responses_say_until_when() {
        for serial in [&[3, 0xe8][..], &[0, 3, 0xe8]] {
            let until = check(&response(GOOD, 60), serial, NOW).unwrap();
            assert_eq!(until, Some(NOW + Duration::from_secs(60)));
        }
    }

    #[test]
    fn others_are_of_no_use() {
        let later = NOW + Duration::from_secs(61);
        let serial = [3, 0xe8];
        let of = |response: &[u8], serial: &[u8], now| check(response, serial, now).unwrap_err();
        let good = response(GOOD, 60);
        assert!(matches!(of(&good, &[7], NOW), OcspError::OtherCertificate));
        assert!(matches!(of(&good, &serial, later), OcspError::Expired(_)));
        let unknown = response(UNKNOWN, 60);
        assert!(matches!(of(&unknown, &serial, NOW), OcspError::NotGood));
        // RFC 6960 §4.2.1: an error has no answer.
        let error = of(&[0x30, 3, 0x0a, 1, 3], &serial, NOW);
        assert!(matches!(error, OcspError::Unsuccessful(Status::TryLater)));
        for length in 0..good.len() {
            let cut = of(good.get(..length).unwrap(), &serial, NOW);
            assert!(matches!(cut, OcspError::Malformed(_)), "{length}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(place in 0_usize..100, byte: u8, seconds in 0_u64..100) {
            let mut response = response(GOOD, seconds);
            if let Some(there) = response.get_mut(place) {
                *there = byte;
            }
            let _ = check(&response, &[3, 0xe8], NOW);
        }
    }
}
