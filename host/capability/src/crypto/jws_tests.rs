//! The tokens of `vectors.json` were made by PyJWT with the Python package `cryptography`.

use super::*;
use crate::crypto::{Hash, hmac};
use proptest::prelude::*;
use serde_json::json;

const ALL: &[Algorithm] = &[
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::EdDsa,
    Algorithm::Hs256,
    Algorithm::Hs384,
    Algorithm::Hs512,
];

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn all_keys() -> KeySet {
    KeySet::from_jwks(vectors()["jwks"].to_string().as_bytes()).unwrap()
}

fn key(jwk: Value) -> KeySet {
    KeySet::from_jwks(json!({ "keys": [jwk] }).to_string().as_bytes()).unwrap()
}

fn tokens() -> Vec<(String, Algorithm, String)> {
    let vectors = vectors();
    let tokens = vectors["tokens"].as_array().unwrap().iter();
    let token = |token: &Value| {
        let algorithm = text(&token["algorithm"]).parse().unwrap();
        (
            text(&token["key"]).into(),
            algorithm,
            text(&token["token"]).into(),
        )
    };
    tokens.map(token).collect()
}

/// A token signed with the shared key of the vectors, so that only its header can be wrong.
fn signed(header: &str) -> String {
    let signed = format!("{}.e30", URL_SAFE_NO_PAD.encode(header));
    let code = hmac(
        Hash::Sha256,
        text(&vectors()["shared"]).as_bytes(),
        signed.as_bytes(),
    );
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(code))
}

#[test]
fn tokens_of_others_are_verified() {
    let keys = all_keys();
    let tokens = tokens();
    assert_eq!(tokens.len(), ALL.len());
    for (_, algorithm, token) in tokens {
        let jws = verify_jws(&token, &keys, &[algorithm]).unwrap();
        let payload: Value = serde_json::from_slice(&jws.payload).unwrap();
        assert_eq!(payload, json!({ "sub": "somebody" }), "{algorithm:?}");
        let header: Value = serde_json::from_str(&jws.header).unwrap();
        assert_eq!(header["typ"], "JWT");
    }
}

#[test]
fn keys_can_be_pem_or_shared() {
    let vectors = vectors();
    for (name, algorithm, token) in tokens() {
        let keys = match vectors["pem"].get(&name) {
            Some(pem) => KeySet::from_pem(text(pem).as_bytes()).unwrap(),
            None => KeySet::from_shared(text(&vectors["shared"]).as_bytes()).unwrap(),
        };
        assert!(
            verify_jws(&token, &keys, &[algorithm]).is_ok(),
            "{algorithm:?}"
        );
    }
}

const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

#[test]
fn rfc_7515_a1_hs256() {
    let keys = key(json!({
        "kty": "oct",
        "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
    }));
    let token = format!(
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{JOE}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
    let jws = verify_jws(&token, &keys, &[Algorithm::Hs256]).unwrap();
    assert_eq!(jws.header, "{\"typ\":\"JWT\",\r\n \"alg\":\"HS256\"}");
    assert!(jws.payload.starts_with(b"{\"iss\":\"joe\",\r\n"));
}

#[test]
fn rfc_7515_a2_rs256() {
    let keys = key(json!({
        "kty": "RSA",
        "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL\
              -yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e\
              -KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9\
              _h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
        "e": "AQAB",
    }));
    let token = format!(
        "eyJhbGciOiJSUzI1NiJ9.{JOE}.\
         cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdb\
         F9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383\
         LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWy\
         wlVmtVrBp0igcN_IoypGlUPQGe77Rw"
    );
    assert!(verify_jws(&token, &keys, &[Algorithm::Rs256]).is_ok());
}

#[test]
fn rfc_7515_a3_es256() {
    let keys = key(json!({
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    }));
    let token = format!(
        "eyJhbGciOiJFUzI1NiJ9.{JOE}.\
         DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    );
    assert!(verify_jws(&token, &keys, &[Algorithm::Es256]).is_ok());
}

#[test]
fn rfc_8037_a4_eddsa() {
    let keys = key(json!({
        "kty": "OKP",
        "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    }));
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
                 hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let jws = verify_jws(token, &keys, &[Algorithm::EdDsa]).unwrap();
    assert_eq!(jws.payload, b"Example of Ed25519 signing");
}

#[test]
fn only_allowed_algorithms_count() {
    let keys = all_keys();
    for (_, algorithm, token) in tokens() {
        let others: Vec<_> = ALL
            .iter()
            .copied()
            .filter(|other| *other != algorithm)
            .collect();
        assert_eq!(verify_jws(&token, &keys, &others), Err(JwsError::Algorithm));
        assert_eq!(verify_jws(&token, &keys, &[]), Err(JwsError::Algorithm));
    }
    for name in ["none", "None", "NONE", "", "hs256", "HS1", "RSA-OAEP"] {
        let token = signed(&json!({ "alg": name }).to_string());
        assert_eq!(
            verify_jws(&token, &keys, ALL),
            Err(JwsError::Algorithm),
            "{name}"
        );
        let (bare, _) = token.rsplit_once('.').unwrap();
        let unsigned = format!("{bare}.");
        assert_eq!(
            verify_jws(&unsigned, &keys, ALL),
            Err(JwsError::Algorithm),
            "{name}"
        );
    }
}

/// The attack: what is public becomes the secret of an HMAC.
#[test]
fn a_public_key_is_never_a_shared_one() {
    let vectors = vectors();
    let pem = text(&vectors["pem"]["rsa"]);
    let keys = KeySet::from_pem(pem.as_bytes()).unwrap();
    let message = format!("{}.e30", URL_SAFE_NO_PAD.encode("{\"alg\":\"HS256\"}"));
    for secret in [pem, pem.trim()] {
        let code = hmac(Hash::Sha256, secret.as_bytes(), message.as_bytes());
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(code));
        assert_eq!(verify_jws(&token, &keys, ALL), Err(JwsError::UnknownKey));
    }
}

#[test]
fn the_key_is_the_one_that_the_token_names() {
    let header = |kid: &str| signed(&json!({ "alg": "HS256", "kid": kid }).to_string());
    let keys = all_keys();
    assert!(verify_jws(&header("shared"), &keys, ALL).is_ok());
    assert_eq!(
        verify_jws(&header("other"), &keys, ALL),
        Err(JwsError::UnknownKey)
    );
    assert_eq!(
        verify_jws(&header(""), &keys, ALL),
        Err(JwsError::UnknownKey)
    );
    // It exists, and is for something else.
    assert_eq!(
        verify_jws(&header("rsa"), &keys, ALL),
        Err(JwsError::UnknownKey)
    );
    assert!(verify_jws(&signed("{\"alg\":\"HS256\"}"), &keys, ALL).is_ok());
}

#[test]
fn a_key_for_one_algorithm_is_for_no_other() {
    let mut jwk = vectors()["jwks"]["keys"][0].clone();
    jwk["alg"] = json!("PS256");
    let keys = key(jwk);
    for (name, algorithm, token) in tokens() {
        if name == "rsa" {
            let verified = verify_jws(&token, &keys, ALL).is_ok();
            assert_eq!(verified, algorithm == Algorithm::Ps256, "{algorithm:?}");
        }
    }
}

#[test]
fn not_more_than_some_keys_are_tried() {
    let shared = |byte: u8| json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode([byte; 32]) });
    let right = vectors()["jwks"]["keys"][4].clone();
    let token = signed("{\"alg\":\"HS256\"}");
    let verify = |others: u8| {
        let mut keys: Vec<Value> = (0..others).map(shared).collect();
        keys.push(right.clone());
        let keys = KeySet::from_jwks(json!({ "keys": keys }).to_string().as_bytes()).unwrap();
        verify_jws(&token, &keys, ALL)
    };
    assert!(verify(7).is_ok());
    assert_eq!(verify(8), Err(JwsError::Signature));
}

#[test]
fn malformed_tokens_are_refused() {
    let good = signed("{\"alg\":\"HS256\"}");
    let keys = all_keys();
    assert!(verify_jws(&good, &keys, ALL).is_ok());
    let large = format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode("{\"alg\":\"HS256\"}"),
        "A".repeat(TOKEN_BYTES_MAX)
    );
    for token in [
        "",
        ".",
        "..",
        "a.b",
        &good.replacen('.', "", 1),
        &format!("{good}.x"),
        &format!("{good}="),
        &format!("{good} "),
        &format!("\n{good}"),
        &good.replacen('.', "+.", 1),
        &large,
    ] {
        let verified = verify_jws(token, &keys, ALL);
        assert!(
            matches!(verified, Err(JwsError::Malformed(_))),
            "{token}: {verified:?}"
        );
    }
    for header in [
        "",
        "[]",
        "\"HS256\"",
        "{}",
        "{\"alg\":null}",
        "{\"alg\":[\"HS256\"]}",
        "{\"alg\":\"HS256\",\"kid\":7}",
        "{\"alg\":\"HS256\",\"crit\":[]}",
        "{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}",
        "{\"alg\":\"none\",\"alg\":\"HS256\"}",
        "{\"alg\":\"HS256\",\"\\u0061lg\":\"HS256\"}",
        "{\"alg\":\"HS256\",\"x\":1,\"x\":1}",
        "{\"alg\":\"HS256\"} x",
    ] {
        let verified = verify_jws(&signed(header), &keys, ALL);
        assert!(
            matches!(verified, Err(JwsError::Malformed(_))),
            "{header}: {verified:?}"
        );
    }
}

/// RFC 7518 §3.4: the two numbers, not their DER; and zeros are no signature (CVE-2022-21449).
#[test]
fn degenerate_signatures_are_wrong() {
    let keys = all_keys();
    for (_, _, token) in tokens() {
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let length = URL_SAFE_NO_PAD.decode(signature).unwrap().len();
        for signature in [
            vec![],
            vec![0; length],
            vec![0xff; length],
            vec![0; length - 1],
            vec![0; length + 1],
        ] {
            let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
            assert_eq!(verify_jws(&token, &keys, ALL), Err(JwsError::Signature));
        }
    }
}

proptest! {
    /// Nothing of a token can be changed, left out or added.
    #[test]
    fn a_changed_token_fails(which in 0..12_usize, place: prop::sample::Index, to in "[A-Za-z0-9_.=-]") {
        let keys = all_keys();
        let (_, _, token) = tokens().swap_remove(which);
        let place = place.index(token.len());
        let mut changed = token.clone();
        changed.replace_range(place..=place, &to);
        prop_assume!(changed != token);
        prop_assert!(verify_jws(&changed, &keys, ALL).is_err());
        prop_assert!(verify_jws(&token[..place], &keys, ALL).is_err());
        let mut longer = token.clone();
        longer.insert_str(place, &to);
        prop_assert!(verify_jws(&longer, &keys, ALL).is_err());
    }

    /// Whatever a token looks like, reading it ends without a panic.
    #[test]
    fn any_token_is_read(token in "\\PC{0,200}", header in "\\PC{0,60}") {
        let keys = all_keys();
        prop_assert!(verify_jws(&token, &keys, ALL).is_err());
        let _ = verify_jws(&signed(&header), &keys, ALL);
    }
}
