use super::*;
use http::HeaderValue;

const TRUSTED: [&str; 2] = ["10.0.0.0/8", "fd00::/8"];

/// Whose request it is, sent by 10.0.0.1 with these values of the field.
fn seen(field: ClientAddress, values: &[&str]) -> String {
    let client = said_by_proxy(field, values).client.unwrap();
    client.ip().to_string()
}

fn said_by_proxy(field: ClientAddress, values: &[&str]) -> Said {
    let mut fields = HeaderMap::new();
    for value in values {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        fields.append(field.name(), value);
    }
    let trusted = TRUSTED.map(|net| net.parse().unwrap());
    said(
        Some("10.0.0.1:9".parse().unwrap()),
        &fields,
        &trusted,
        field,
    )
}

#[test]
fn the_client_is_the_rightmost_that_is_not_trusted() {
    let cases: [(&[&str], &str); 9] = [
        (&[], "10.0.0.1"),
        (&["203.0.113.7"], "203.0.113.7"),
        (&["6.6.6.6, 203.0.113.7, 10.1.1.1"], "203.0.113.7"),
        (&["6.6.6.6", "203.0.113.7, 10.1.1.1"], "203.0.113.7"),
        (&["10.2.2.2, 10.1.1.1"], "10.2.2.2"),
        (&["203.0.113.7, unknown"], "10.0.0.1"),
        (&["[2001:db8::1]:80, fd00::2"], "2001:db8::1"),
        // What a client puts before it does not hide what the proxy adds.
        (&["10.9.9.9", "\u{ff}, 203.0.113.7"], "203.0.113.7"),
        (&["6.6.6.6", "\u{ff}, 10.1.1.1"], "10.1.1.1"),
    ];
    for (values, client) in cases {
        let seen = seen(ClientAddress::XForwardedFor, values);
        assert_eq!(seen, client, "{values:?}");
    }
}

#[test]
fn so_it_is_in_forwarded() {
    let cases: [(&[&str], &str); 9] = [
        (&[], "10.0.0.1"),
        (&["for=203.0.113.7"], "203.0.113.7"),
        (
            &["for=6.6.6.6, for=203.0.113.7, for=10.1.1.1"],
            "203.0.113.7",
        ),
        (
            &["for=6.6.6.6", "for=203.0.113.7, for=10.1.1.1"],
            "203.0.113.7",
        ),
        (
            &["for=\"[2001:db8::1]:80\", for=\"[fd00::2]\""],
            "2001:db8::1",
        ),
        (&["for=203.0.113.7, for=unknown"], "10.0.0.1"),
        (&["for=203.0.113.7, for=_hidden, for=10.1.1.1"], "10.1.1.1"),
        (&["for=203.0.113.7, nonsense, for=10.1.1.1"], "10.1.1.1"),
        (&["for=\"", "for=203.0.113.7"], "203.0.113.7"),
    ];
    for (values, client) in cases {
        let seen = seen(ClientAddress::Forwarded, values);
        assert_eq!(seen, client, "{values:?}");
    }
}

#[test]
fn forwarded_says_how_the_client_asked() {
    let forwarded = |value| said_by_proxy(ClientAddress::Forwarded, &[value]);
    let said = forwarded(
        "for=6.6.6.6;proto=ftp, for=203.0.113.7;proto=HTTPS;host=a.example, for=10.1.1.1;proto=http",
    );
    assert_eq!(said.proto, Some("https"));
    assert_eq!(said.host.as_deref(), Some("a.example"));
    assert_eq!(forwarded("for=203.0.113.7;proto=ftp").proto, None);
}

#[test]
fn one_address_is_one_address() {
    use ClientAddress::{CfConnectingIp, TrueClientIp, XRealIp};
    for field in [XRealIp, TrueClientIp, CfConnectingIp] {
        let cases: [(&[&str], &str); 8] = [
            (&["203.0.113.7"], "203.0.113.7"),
            (&["2001:db8::1"], "2001:db8::1"),
            (&["10.2.2.2"], "10.2.2.2"),
            (&[], "10.0.0.1"),
            (&["203.0.113.7, 203.0.113.8"], "10.0.0.1"),
            (&["203.0.113.7", "203.0.113.7"], "10.0.0.1"),
            (&["203.0.113"], "10.0.0.1"),
            (&["\u{ff}"], "10.0.0.1"),
        ];
        for (values, client) in cases {
            assert_eq!(seen(field, values), client, "{field:?} {values:?}");
        }
    }
}

#[test]
fn what_is_not_one_address_is_not_passed_on() {
    let field = ClientAddress::CfConnectingIp;
    let left = |values: &[&str]| {
        let mut head = RequestHeader::build("GET", b"/", None).unwrap();
        for value in values {
            head.append_header(field.name(), *value).unwrap();
        }
        trust(&mut head, field);
        head.headers.get_all(field.name()).iter().count()
    };
    assert_eq!(left(&["203.0.113.7"]), 1);
    assert_eq!(left(&["[2001:db8::1]:4711"]), 1);
    for values in [
        &["203.0.113.7", "203.0.113.7"][..],
        &["203.0.113.7, 6.6.6.6"],
        &["203.0.113"],
        &[""],
    ] {
        assert_eq!(left(values), 0, "{values:?}");
    }
}

#[test]
fn trust_is_by_network() {
    let trusted = ["10.0.0.0/8".parse().unwrap()];
    let sender = |text: &str| Some(text.parse().unwrap());
    assert!(is_trusted(sender("10.9.9.9:1"), &trusted));
    assert!(is_trusted(sender("[::ffff:10.9.9.9]:1"), &trusted));
    assert!(!is_trusted(sender("11.9.9.9:1"), &trusted));
    assert!(!is_trusted(sender("127.0.0.1:1"), &[]));
    assert!(is_trusted(None, &[]));
}

const EVERY: [&str; 21] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-real-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "x-request-id",
    "client-cert",
    "client-cert-chain",
    "x-client-cert-subject",
    "x-client-cert-san",
    "x_forwarded_for",
    "x-forwarded_proto",
    "true_client_ip",
    "client_cert",
    "client-cert_chain",
    "x_client_cert_subject",
];
const OTHERS: [&str; 6] = [
    "cookie",
    "client",
    "content-type",
    "x-forwarded",
    "forwarded-x",
    "x-real",
];

/// Which of all fields are left.
fn left(strip: impl Fn(&mut RequestHeader)) -> Vec<&'static str> {
    let mut head = RequestHeader::build("GET", b"/", None).unwrap();
    let all = EVERY.iter().chain(&OTHERS);
    for name in all.clone() {
        head.append_header(*name, "x").unwrap();
    }
    strip(&mut head);
    all.copied()
        .filter(|name| head.headers.contains_key(*name))
        .collect()
}

#[test]
fn nothing_is_believed_of_others() {
    assert_eq!(left(distrust), OTHERS);
}

#[test]
fn of_a_trusted_proxy_what_it_writes_is_believed() {
    let kept = |field| {
        let left = left(|head| trust(head, field)).into_iter();
        left.filter(|name| !OTHERS.contains(name))
            .collect::<Vec<_>>()
    };
    let certificate = [
        "client-cert",
        "client-cert-chain",
        "x-client-cert-subject",
        "x-client-cert-san",
    ];
    let forwarded = [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-prefix",
    ];
    let expected = [&forwarded[..], &["x-request-id"], &certificate].concat();
    assert_eq!(kept(ClientAddress::XForwardedFor), expected);
    let expected = [&["forwarded", "x-request-id"][..], &certificate].concat();
    assert_eq!(kept(ClientAddress::Forwarded), expected);
    // The value here is no address.
    let expected = [&["x-forwarded-proto", "x-request-id"][..], &certificate].concat();
    assert_eq!(kept(ClientAddress::TrueClientIp), expected);
}
