//! What is negotiated, and what is refused.

use super::{proxy, refused};
use crate::harness::{Authority, TlsClient};

async fn error(client: &TlsClient, address: &str) -> String {
    client.connect(address).await.unwrap_err().to_string()
}

#[tokio::test]
async fn both_versions_by_default_and_one_where_asked_for() {
    let authority = Authority::new();
    let client = TlsClient::new(&authority, "a.example");
    let both = proxy(&authority, "").await;
    for client in [client.clone().tls12(), client.clone().tls13()] {
        client.connect(both.address()).await.unwrap();
    }
    for version in ["TLSv1.2", "TLSv1.3"] {
        let series = format!(
            "tidegate_tls_handshakes_total{{listener=\"web\",version=\"{version}\",resumed=\"false\"}}"
        );
        both.metric_becomes(&series, 1.0).await;
    }
    let newest = proxy(&authority, "min_version = \"1.3\"").await;
    client
        .clone()
        .tls13()
        .connect(newest.address())
        .await
        .unwrap();
    let refusal = error(&client.clone().tls12(), newest.address()).await;
    assert!(refusal.contains("ProtocolVersion"), "{refusal}");
    newest.metric_becomes(&refused("tls"), 1.0).await;
    let oldest = proxy(&authority, "max_version = \"1.2\"").await;
    client
        .clone()
        .tls12()
        .connect(oldest.address())
        .await
        .unwrap();
    assert!(client.tls13().connect(oldest.address()).await.is_err());
}

#[tokio::test]
async fn suites_are_a_subset_in_the_order_of_preference() {
    let authority = Authority::new();
    let chosen = "cipher_suites = [\"TLS_CHACHA20_POLY1305_SHA256\", \"TLS13_AES_128_GCM_SHA256\", \"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384\"]";
    let proxy = proxy(&authority, chosen).await;
    let client = TlsClient::new(&authority, "a.example");
    let suite = async |client: &TlsClient| {
        let stream = client.connect(proxy.address()).await.ok()?;
        stream
            .get_ref()
            .1
            .negotiated_cipher_suite()?
            .suite()
            .as_str()
    };
    assert_eq!(suite(&client).await, Some("TLS13_CHACHA20_POLY1305_SHA256"));
    let old = client.clone().tls12();
    assert_eq!(
        suite(&old).await,
        Some("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384")
    );
    let other = client.tls13().suites(&["TLS13_AES_256_GCM_SHA384"]);
    assert_eq!(suite(&other).await, None);
}

#[tokio::test]
async fn groups_are_a_subset() {
    let authority = Authority::new();
    let proxy = proxy(&authority, "key_exchange = [\"secp384r1\"]").await;
    let client = TlsClient::new(&authority, "a.example");
    let stream = client.connect(proxy.address()).await.unwrap();
    let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name().as_str(), Some("secp384r1"));
    let other = client.groups(&["X25519"]);
    assert!(other.connect(proxy.address()).await.is_err());
}

#[tokio::test]
async fn protocols_are_agreed_on_or_refused() {
    let authority = Authority::new();
    let both = proxy(&authority, "").await;
    let client = TlsClient::new(&authority, "a.example");
    let agreed = async |offer: &[&str]| {
        let client = client.clone().offering(offer);
        let stream = client.connect(both.address()).await.unwrap();
        let agreed = stream.get_ref().1.alpn_protocol();
        agreed.map(|agreed| String::from_utf8(agreed.to_vec()).unwrap())
    };
    assert_eq!(agreed(&["http/1.1", "h2"]).await.as_deref(), Some("h2"));
    assert_eq!(
        agreed(&["http/1.1", "x"]).await.as_deref(),
        Some("http/1.1")
    );
    assert_eq!(agreed(&[]).await, None);
    let refusal = error(&client.clone().offering(&["h3", "spdy/3"]), both.address()).await;
    assert!(refusal.contains("NoApplicationProtocol"), "{refusal}");
    both.metric_becomes(&refused("application-protocol"), 1.0)
        .await;

    let one = proxy(&authority, "alpn = [\"http/1.1\"]").await;
    let refusal = error(&client.clone().offering(&["h2"]), one.address()).await;
    assert!(refusal.contains("NoApplicationProtocol"), "{refusal}");
}
