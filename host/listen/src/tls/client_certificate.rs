//! What is known of a client by its certificate.

use super::certificate::address;
use ring::digest;
use rustls::pki_types::CertificateDer;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::Oid;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// The most bytes of a subject in words, and of alternative names. Both together fit into the heads that servers
/// take, with as much again for the request itself (8 KiB and more in nginx, Apache and Node.js).
const WORDS_MAX: usize = 4096;

/// A client's certificate that an authority vouched for, in words. Only visible ASCII is in them, so that
/// they can be values of fields; and no more than 4 KiB in each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Its subject as RFC 4514 writes it: the last part first, `CN=alice,O=Example`.
    pub subject: Box<str>,
    /// Its alternative names: `DNS:a.example, IP:192.0.2.1, email:a@example.com, URI:spiffe://a/b`. Of
    /// other kinds there is nothing. Commas within them are escaped as in the subject.
    pub san: Box<str>,
    /// SHA-256 of all of it, hexadecimal.
    pub fingerprint: Box<str>,
    /// When it is not valid any more.
    pub(super) expires: SystemTime,
}

/// A certificate that an authority vouched for, but that cannot be put into words.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is not X.509 as it should be.
    #[error("the client's certificate is not valid")]
    Malformed,
    /// Its subject or its alternative names are too long to be told. Half of them would say something else.
    #[error(
        "the subject of the client's certificate, or its alternative names, have more than {WORDS_MAX} bytes"
    )]
    TooLong,
}

impl ClientCertificate {
    /// Read it.
    ///
    /// # Errors
    /// It is not as X.509 wants it (checks of signatures look at less of it than this), or says too much.
    pub fn read(certificate: &CertificateDer<'_>) -> Result<ClientCertificate, Unreadable> {
        let (rest, parsed) =
            X509Certificate::from_der(certificate).map_err(|_| Unreadable::Malformed)?;
        if !rest.is_empty() {
            return Err(Unreadable::Malformed);
        }
        let mut subject = String::new();
        write_name(&mut subject, parsed.subject());
        let names = parsed.subject_alternative_name();
        let names = names.map_err(|_| Unreadable::Malformed)?;
        let mut san = String::new();
        for name in names.iter().flat_map(|names| &names.value.general_names) {
            write_alternative(&mut san, name);
        }
        if subject.len().max(san.len()) > WORDS_MAX {
            return Err(Unreadable::TooLong);
        }
        let digest = digest::digest(&digest::SHA256, certificate);
        let seconds = parsed.validity().not_after.timestamp();
        Ok(ClientCertificate {
            subject: subject.into(),
            san: san.into(),
            fingerprint: hexadecimal(digest.as_ref()).into(),
            expires: UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or(0)),
        })
    }
}

fn write_name(out: &mut String, name: &X509Name<'_>) {
    let parts: Vec<_> = name.iter_rdn().collect();
    for (position, part) in parts.iter().rev().enumerate() {
        if position > 0 {
            out.push(',');
        }
        for (position, attribute) in part.iter().enumerate() {
            if position > 0 {
                out.push('+');
            }
            write_attribute(out, attribute);
        }
    }
}

/// The short names that RFC 4514 §3 lists; others are written as numbers, and their values too.
fn short_name(oid: &Oid<'_>) -> Option<&'static str> {
    Some(match oid.to_id_string().as_str() {
        "2.5.4.3" => "CN",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.6" => "C",
        "2.5.4.9" => "STREET",
        "0.9.2342.19200300.100.1.25" => "DC",
        "0.9.2342.19200300.100.1.1" => "UID",
        _ => return None,
    })
}

fn write_attribute(out: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    match (short_name(attribute.attr_type()), attribute.as_str()) {
        (Some(name), Ok(value)) => {
            out.push_str(name);
            out.push('=');
            write_escaped(out, value);
        }
        (name, _) => {
            let number = attribute.attr_type().to_id_string();
            out.push_str(name.unwrap_or(&number));
            out.push_str("=#");
            out.push_str(&hexadecimal(attribute.as_slice()));
        }
    }
}

fn write_alternative(out: &mut String, name: &GeneralName<'_>) {
    let address = match name {
        GeneralName::IPAddress(octets) => address(octets).map(|address| address.to_string()),
        _ => None,
    };
    let (kind, value) = match (name, &address) {
        (GeneralName::DNSName(name), _) => ("DNS", *name),
        (GeneralName::RFC822Name(name), _) => ("email", *name),
        (GeneralName::URI(name), _) => ("URI", *name),
        (_, Some(address)) => ("IP", address.as_str()),
        _ => return,
    };
    if !out.is_empty() {
        out.push_str(", ");
    }
    out.push_str(kind);
    out.push(':');
    write_escaped(out, value);
}

/// As RFC 4514 §2.4 says; all that is not visible ASCII by its bytes.
fn write_escaped(out: &mut String, value: &str) {
    let last = value.len().saturating_sub(1);
    for (position, byte) in value.bytes().enumerate() {
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => {
                out.push('\\');
                out.push(byte.into());
            }
            b'#' if position == 0 => out.push_str("\\#"),
            b' ' if position == 0 || position == last => out.push_str("\\ "),
            b' '..=b'~' => out.push(byte.into()),
            // Writing to a string cannot fail.
            _ => drop(write!(out, "\\{byte:02X}")),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    fn certificate(subject: &[(DnType, &str)], san: Vec<SanType>) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.subject_alt_names = san;
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn a_subject_cannot_pretend_to_have_other_parts() {
        let subject = [
            (DnType::OrganizationName, "Example, Inc."),
            (DnType::CommonName, "#alice,O=Root\nünder "),
            (DnType::CustomDnType(vec![1, 2, 3]), "x"),
        ];
        let read = ClientCertificate::read(&certificate(&subject, vec![])).unwrap();
        assert_eq!(
            &*read.subject,
            r"1.2.3=#78,CN=\#alice\,O=Root\0A\C3\BCnder\ ,O=Example\, Inc."
        );
        assert_eq!(&*read.san, "");
    }

    #[test]
    fn alternative_names_are_told_apart() {
        let san = vec![
            SanType::DnsName("a.example".try_into().unwrap()),
            SanType::URI("spiffe://a/b, DNS:root.example".try_into().unwrap()),
            SanType::IpAddress("2001:db8::1".parse().unwrap()),
            SanType::Rfc822Name("a@example.com".try_into().unwrap()),
        ];
        let read = ClientCertificate::read(&certificate(&[], san)).unwrap();
        assert_eq!(
            &*read.san,
            r"DNS:a.example, URI:spiffe://a/b\, DNS:root.example, IP:2001:db8::1, email:a@example.com"
        );
        assert_eq!(read.fingerprint.len(), 64);
    }

    #[test]
    fn what_is_too_long_to_be_told_is_not_told_in_part() {
        let long = |length| "a".repeat(length);
        let name = |length| SanType::DnsName(long(length).try_into().unwrap());
        let subject = |length| certificate(&[(DnType::CommonName, &long(length))], vec![]);
        // `CN=` and `DNS:` count.
        assert!(ClientCertificate::read(&subject(WORDS_MAX - 3)).is_ok());
        assert!(ClientCertificate::read(&certificate(&[], vec![name(WORDS_MAX - 4)])).is_ok());
        for too_long in [
            subject(WORDS_MAX - 2),
            certificate(&[], vec![name(WORDS_MAX - 3)]),
            // Each byte of these is three when it is escaped.
            certificate(
                &[(DnType::CommonName, &"\u{1}".repeat(WORDS_MAX / 3))],
                vec![],
            ),
        ] {
            let read = ClientCertificate::read(&too_long);
            assert_eq!(read.unwrap_err(), Unreadable::TooLong);
        }
    }

    #[test]
    fn what_is_cut_off_or_goes_on_is_unreadable() {
        let whole = certificate(&[(DnType::CommonName, "a")], vec![]);
        for length in 0..whole.len() {
            let cut = CertificateDer::from(whole[..length].to_vec());
            assert!(ClientCertificate::read(&cut).is_err(), "{length}");
        }
        let longer = CertificateDer::from([&whole[..], b"x"].concat());
        assert!(ClientCertificate::read(&longer).is_err());
    }
}
