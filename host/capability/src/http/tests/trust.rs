//! Who may call what, over which connection.

use super::*;

#[tokio::test]
async fn what_is_not_granted_is_not_called() {
    let server = Server::start(mirror).await;
    let client = granted(&server);
    let port = server.address.port();
    for url in [
        "http://127.0.0.1/".into(),
        format!("http://127.0.0.2:{port}/"),
        format!("http://localhost:{port}/"),
        format!("https://127.0.0.1:{port}/"),
    ] {
        let failure = send(&client, get(&url)).await.unwrap_err();
        assert!(matches!(failure, Failure::Forbidden(_)), "{url}: {failure}");
    }
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn a_name_of_this_machine_needs_a_private_grant() {
    let server = Server::start(mirror).await;
    let origin = format!("http://localhost:{}", server.address.port());
    let transport = transport();
    let client = |private| transport.client(vec![Grant::parse(&origin, private).unwrap()], 8);
    let url = format!("{origin}/secret?token=x");
    // Its connection stays idle, and must not serve the other.
    let private = client(true);
    send(&private, get(&url)).await.unwrap();
    let failure = send(&client(false), get(&url)).await.unwrap_err();
    assert!(matches!(failure, Failure::Forbidden(_)), "{failure}");
    let message = failure.to_string();
    assert!(
        message.contains(&origin) && !message.contains("secret"),
        "{message}"
    );
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_redirect_is_returned() {
    let server = Server::start(|_| async {
        let mut redirect = reply(302, "");
        let location = "http://169.254.169.254/".parse().unwrap();
        redirect.headers_mut().insert("location", location);
        redirect
    })
    .await;
    let response = send(&granted(&server), get(&server.url("/")))
        .await
        .unwrap();
    assert_eq!(response.head.status, StatusCode::FOUND);
    assert_eq!(response.head.headers["location"], "http://169.254.169.254/");
}

#[tokio::test]
async fn connections_end_with_the_grants() {
    let mut server = Server::start(mirror).await;
    let client = granted(&server);
    send(&client, get(&server.url("/"))).await.unwrap();
    drop(client);
    server.all_closed().await;
}

/// What the server says of the protocol.
async fn version(request: Request<Incoming>) -> Reply {
    let h2 = request.version() == Version::HTTP_2;
    reply(200, if h2 { "h2" } else { "h1" })
}

#[tokio::test]
async fn tls_needs_the_right_authority() {
    let right = Authority::new(&[b"h2", b"http/1.1"]);
    let wrong = Authority::new(&[]);
    let server = Server::start_tls(&right, version).await;
    let origin = format!("https://{}", server.address);
    let transport = transport();
    let grant = Grant::parse(&origin, true).unwrap();
    let client = |grant: Grant| transport.client(vec![grant], 8);
    let trusting = client(grant.clone().with_ca(right.pem.as_bytes()).unwrap());
    assert_eq!(send(&trusting, get(&origin)).await.unwrap().body, "h2");
    // The first one's connection is open all the time, and must not serve the others.
    for distrusting in [
        client(grant.clone()),
        client(grant.with_ca(wrong.pem.as_bytes()).unwrap()),
    ] {
        let failure = send(&distrusting, get(&origin)).await.unwrap_err();
        assert!(matches!(failure, Failure::Tls(..)), "{failure}");
    }
    assert_eq!(send(&trusting, get(&origin)).await.unwrap().body, "h2");
}

#[tokio::test]
async fn without_h2_it_is_http_1() {
    for protocols in [&[] as &[&[u8]], &[b"http/1.1"]] {
        let authority = Authority::new(protocols);
        let server = Server::start_tls(&authority, version).await;
        let origin = format!("https://{}", server.address);
        let grant = Grant::parse(&origin, true).unwrap();
        let grant = grant.with_ca(authority.pem.as_bytes()).unwrap();
        let client = transport().client(vec![grant], 8);
        assert_eq!(send(&client, get(&origin)).await.unwrap().body, "h1");
    }
}
