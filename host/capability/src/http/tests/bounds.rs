//! Nothing takes longer or more than it may.

use super::*;

#[tokio::test]
async fn a_server_that_does_not_answer_times_out() {
    let mut server = Server::start(|_| std::future::pending()).await;
    let timeouts = Timeouts {
        response: SOON,
        ..Timeouts::default()
    };
    let client = granted(&server);
    let mut call = client.start(get(&server.url("/")), timeouts).unwrap();
    assert!(matches!(call.finish().await, Err(Failure::Timeout(..))));
    let sent = client.send(get(&server.url("/")), Bytes::new(), MIB, timeouts);
    assert!(matches!(sent.await, Err(Failure::Timeout(..))));
    server.all_closed().await;
}

#[tokio::test]
async fn a_body_that_stops_times_out() {
    let server = Server::start(|_| async {
        let (mut sender, body) = Channel::new(1);
        tokio::spawn(async move {
            sender.send_data(Bytes::from("beginning")).await.unwrap();
            std::future::pending::<()>().await;
        });
        Response::new(body.boxed())
    })
    .await;
    let timeouts = Timeouts {
        idle: SOON,
        ..Timeouts::default()
    };
    let mut call = granted(&server)
        .start(get(&server.url("/")), timeouts)
        .unwrap();
    call.finish().await.unwrap();
    assert_eq!(call.read().await, Ok(Some("beginning".into())));
    assert!(matches!(call.read().await, Err(Failure::Timeout(..))));
    assert_eq!(call.read().await, Err(Failure::Closed), "it has no end");
}

#[tokio::test]
async fn a_handshake_that_stops_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("https://{}", listener.local_addr().unwrap());
    let settings = Settings {
        connect_timeout: SOON,
        ..Settings::default()
    };
    let client = Transport::new(settings).client(vec![Grant::parse(&origin, true).unwrap()], 1);
    let failure = send(&client, get(&origin)).await.unwrap_err();
    assert_eq!(failure, Failure::Timeout(origin, "connection"));
}

#[tokio::test]
async fn calls_and_connections_are_bounded() {
    let server = Server::start(|_| std::future::pending()).await;
    let origin = format!("http://{}", server.address);
    let settings = Settings {
        connections: 1,
        ..Settings::default()
    };
    let transport = Transport::new(settings);
    let client = || transport.client(vec![Grant::parse(&origin, true).unwrap()], 1);
    let (one, other) = (client(), client());
    let url = server.url("/");
    let held = one.start(get(&url), Timeouts::default()).unwrap();
    assert!(matches!(
        send(&one, get(&url)).await,
        Err(Failure::LimitReached(_))
    ));
    drop(held);
    let _held = one.start(get(&url), Timeouts::default()).unwrap();
    while server.accepted() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        send(&other, get(&url)).await,
        Err(Failure::LimitReached("connections"))
    );
}

#[tokio::test]
async fn large_responses_are_refused() {
    let server = Server::start(|request| async move {
        match request.uri().path() {
            "/known" => reply(200, vec![b'x'; MIB + 1]),
            "/unknown" => {
                let (mut sender, body) = Channel::new(1);
                tokio::spawn(async move {
                    while sender.send_data(vec![b'x'; 1000].into()).await.is_ok() {}
                });
                Response::new(body.boxed())
            }
            "/head" => {
                let mut response = reply(200, "");
                let value = "x".repeat(100 << 10).parse().unwrap();
                response.headers_mut().insert("x-large", value);
                response
            }
            _ => reply(200, vec![b'x'; MIB]),
        }
    })
    .await;
    let client = granted(&server);
    for path in ["/known", "/unknown", "/head"] {
        let sent = send(&client, get(&server.url(path))).await;
        assert!(
            matches!(sent, Err(Failure::TooLarge(_))),
            "{path}: {sent:?}"
        );
    }
    let fitting = send(&client, get(&server.url("/"))).await.unwrap();
    assert_eq!(fitting.body.len(), MIB);
}
