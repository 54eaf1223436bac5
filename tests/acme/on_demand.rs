//! Certificates for names that clients ask for.

use std::convert::Infallible;

use http_body_util::Empty;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::Edge;

#[tokio::test]
async fn a_client_that_asks_for_a_name_that_is_allowed_gets_its_certificate_at_once() {
    let Some(edge) = Edge::new().await else {
        return;
    };
    let ask = allow_only("domain=good.example.org").await;
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
    let on_demand = async |result| {
        let series = format!("tidegate_acme_on_demand_total{{issuer=\"ca\",result=\"{result}\"}}");
        proxy.metric(&series).await
    };
    assert_eq!(on_demand("ordered").await, 1.0);
    assert_eq!(on_demand("refused").await, 1.0);
    assert_eq!(on_demand("remembered").await, 1.0);
    let ordered = r#"tidegate_acme_orders_total{issuer="ca",result="ok"}"#;
    assert_eq!(proxy.metric(ordered).await, 1.0);
}

/// Answers 200 to this query and 403 to others; gives its address.
async fn allow_only(query: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = service_fn(
                move |request: hyper::Request<hyper::body::Incoming>| async move {
                    let status = if request.uri().query() == Some(query) {
                        200
                    } else {
                        403
                    };
                    let response = hyper::Response::builder().status(status);
                    Ok::<_, Infallible>(response.body(Empty::<bytes::Bytes>::new()).unwrap())
                },
            );
            let connection = hyper::server::conn::http1::Builder::new();
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), answer));
        }
    });
    address
}
