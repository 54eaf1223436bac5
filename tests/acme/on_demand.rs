//! Certificates for names that clients ask for.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::Empty;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::Edge;
use crate::harness::{Authority, Proxy, TlsClient};

#[tokio::test]
async fn a_client_that_asks_for_a_name_that_is_allowed_gets_its_certificate_at_once() {
    let Some(edge) = Edge::new().await else {
        return;
    };
    let (ask, _) = allow_only("domain=good.example.org").await;
    let proxy = edge
        .proxy(&format!(
            "on_demand = {{ ask = \"http://{ask}/may\", wait = \"9s\" }}"
        ))
        .await;
    let root = edge.root();
    assert!(edge.seen("bad.example.org", &root).await.is_none());
    assert!(edge.seen("good.example.org", &root).await.is_some());
    assert!(edge.seen("good.example.org", &root).await.is_some());
    assert!(edge.seen("bad.example.org", &root).await.is_none());
    assert_eq!(on_demand(&proxy, "ordered").await, 1.0);
    assert_eq!(on_demand(&proxy, "refused").await, 1.0);
    assert_eq!(on_demand(&proxy, "remembered").await, 1.0);
    let ordered = r#"tidegate_acme_orders_total{issuer="ca",result="ok"}"#;
    assert_eq!(proxy.metric(ordered).await, 1.0);
}

/// Who is asked about names pays for a few of them, whatever a client makes up.
#[tokio::test]
async fn names_that_a_client_makes_up_are_asked_about_at_a_rate() {
    let Some(edge) = Edge::new().await else {
        return;
    };
    let (ask, questions) = allow_only("domain=good.example.org").await;
    let keys =
        format!("on_demand = {{ ask = \"http://{ask}/may\", ask_limit = \"5/d\", wait = \"9s\" }}");
    let proxy = edge.proxy(&keys).await;
    let address = format!("127.0.0.1:{}", edge.tls_port);
    let client = TlsClient::new(&Authority::new(), "example.org");
    let ask_for = async |name: String| {
        // There is no certificate for any of them.
        assert!(client.named(&name).connect(&address).await.is_err());
    };
    for n in 0..500 {
        ask_for(format!("n{n}.example.org")).await;
    }
    assert_eq!(questions.load(Ordering::SeqCst), 5);
    assert_eq!(on_demand(&proxy, "refused").await, 5.0);
    assert_eq!(on_demand(&proxy, "ask-limited").await, 495.0);
    // Those that were answered are remembered.
    for n in 0..5 {
        ask_for(format!("n{n}.example.org")).await;
    }
    assert_eq!(on_demand(&proxy, "remembered").await, 5.0);
    assert_eq!(on_demand(&proxy, "ask-limited").await, 495.0);
}

/// Whoever is asked and does not answer holds a place for `ask_timeout`, and clients find so many places.
#[tokio::test]
async fn a_question_without_an_answer_has_its_time_and_its_place() {
    let Some(edge) = Edge::new().await else {
        return;
    };
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ask = silent.local_addr().unwrap();
    let keys = format!(
        "on_demand = {{ ask = \"http://{ask}/may\", ask_timeout = \"2s\", pending = 1, wait = \"1m\" }}"
    );
    let proxy = edge.proxy(&keys).await;
    let address = format!("127.0.0.1:{}", edge.tls_port);
    let client = TlsClient::new(&Authority::new(), "example.org");
    let first = {
        let (client, address) = (client.named("a.example.org"), address.clone());
        tokio::spawn(async move { client.connect(&address).await.is_err() })
    };
    let _question = silent.accept().await.unwrap();
    let second = client.named("b.example.org").connect(&address).await;
    assert!(second.is_err());
    assert_eq!(on_demand(&proxy, "busy").await, 1.0);
    assert!(first.await.unwrap());
    assert_eq!(on_demand(&proxy, "unanswered").await, 1.0);
    let said = "cannot ask whether a certificate may be had";
    let line = proxy.log_line(said, |line| line.says(said)).await;
    assert_eq!(line.field("error").as_deref(), Some("no answer within 2s"));
}

#[tokio::test]
async fn of_names_that_were_refused_the_last_are_remembered() {
    let Some(edge) = Edge::new().await else {
        return;
    };
    let (ask, questions) = allow_only("domain=good.example.org").await;
    let keys = format!("on_demand = {{ ask = \"http://{ask}/may\", remember_names = 2 }}");
    let proxy = edge.proxy(&keys).await;
    let address = format!("127.0.0.1:{}", edge.tls_port);
    let client = TlsClient::new(&Authority::new(), "example.org");
    let ask_for = async |name: &str| {
        let client = client.named(&format!("{name}.example.org"));
        assert!(client.connect(&address).await.is_err());
    };
    for name in ["a", "b", "c", "b", "c"] {
        ask_for(name).await;
    }
    assert_eq!(questions.load(Ordering::SeqCst), 3);
    assert_eq!(on_demand(&proxy, "remembered").await, 2.0);
    ask_for("a").await;
    assert_eq!(questions.load(Ordering::SeqCst), 4);
    let forgotten = r#"tidegate_acme_on_demand_forgotten_total{issuer="ca"}"#;
    assert_eq!(proxy.metric(forgotten).await, 2.0);
}

async fn on_demand(proxy: &Proxy, result: &str) -> f64 {
    let series = format!("tidegate_acme_on_demand_total{{issuer=\"ca\",result=\"{result}\"}}");
    proxy.metric(&series).await
}

/// Answers 200 to this query and 403 to others; gives its address, and how often it was asked.
async fn allow_only(query: &'static str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let questions = Arc::new(AtomicUsize::new(0));
    let count = questions.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let count = count.clone();
            let answer = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                count.fetch_add(1, Ordering::SeqCst);
                async move {
                    let status = match request.uri().query() == Some(query) {
                        true => 200,
                        false => 403,
                    };
                    let response = hyper::Response::builder().status(status);
                    Ok::<_, Infallible>(response.body(Empty::<bytes::Bytes>::new()).unwrap())
                }
            });
            let connection = hyper::server::conn::http1::Builder::new();
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), answer));
        }
    });
    (address, questions)
}
