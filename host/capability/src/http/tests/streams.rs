//! Bodies that are streamed, and calls that are given up.

use super::*;

#[tokio::test]
async fn both_bodies_can_be_streamed() {
    let server = Server::start(mirror).await;
    let mut call = granted(&server)
        .start(post(&server.url("/")), Timeouts::default())
        .unwrap();
    call.write("one ".into()).await.unwrap();
    call.write(Bytes::new()).await.unwrap();
    call.write("two".into()).await.unwrap();
    assert_eq!(call.read().await, Err(Failure::Closed), "not finished yet");
    let head = call.finish().await.unwrap();
    assert_eq!(head.status, StatusCode::OK);
    assert_eq!(call.finish().await, Err(Failure::Closed), "only once");
    let body = call.read_to_end(MIB).await.unwrap();
    assert!(body.ends_with(b"one two"), "{body:?}");
    assert_eq!(call.read().await, Ok(None));
    assert!(call.write("x".into()).await.is_err());
}

/// 64 MiB come in, and between server and reader there is never much more than the socket's buffers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_response_is_streamed() {
    let made = Arc::new(AtomicUsize::new(0));
    let counter = made.clone();
    let server = Server::start(move |_| {
        let counter = counter.clone();
        async move {
            let (mut sender, body) = Channel::new(1);
            tokio::spawn(async move {
                for _ in 0..1024 {
                    let sent = sender.send_data(vec![b'x'; 64 << 10].into()).await;
                    if sent.is_err() {
                        return;
                    }
                    counter.fetch_add(64 << 10, Ordering::Relaxed);
                }
            });
            Response::new(body.boxed())
        }
    })
    .await;
    let client = granted(&server);
    let mut call = client
        .start(get(&server.url("/")), Timeouts::default())
        .unwrap();
    call.finish().await.unwrap();
    let mut read = 0;
    while let Some(data) = call.read().await.unwrap() {
        read += data.len();
        assert!(made.load(Ordering::Relaxed) <= read + 16 * MIB);
    }
    assert_eq!(read, 64 * MIB);
}

/// A server that does not read stops the writer; then 64 MiB go through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_request_is_streamed() {
    let gate = Arc::new(Notify::new());
    let opened = gate.clone();
    let server = Server::start(move |request| {
        let gate = opened.clone();
        async move {
            gate.notified().await;
            let mut body = request.into_body();
            let mut read = 0;
            while let Some(frame) = body.frame().await {
                read += frame.unwrap().data_ref().map_or(0, Bytes::len);
            }
            reply(200, read.to_string())
        }
    })
    .await;
    let client = granted(&server);
    let mut call = client
        .start(post(&server.url("/")), Timeouts::default())
        .unwrap();
    let piece = Bytes::from(vec![b'x'; 64 << 10]);
    let (mut written, mut blocked) = (0, false);
    while written < 64 * MIB {
        let mut write = std::pin::pin!(call.write(piece.clone()));
        let wrote = match timeout(SOON, &mut write).await {
            Ok(wrote) => wrote,
            Err(_) => {
                blocked = true;
                gate.notify_one();
                write.await
            }
        };
        wrote.unwrap();
        written += piece.len();
        assert!(
            blocked || written <= 16 * MIB,
            "somebody holds what the server does not read"
        );
    }
    call.finish().await.unwrap();
    assert_eq!(call.read_to_end(MIB).await.unwrap(), written.to_string());
}

#[tokio::test]
async fn a_cancelled_call_closes_its_connection() {
    let (ended, mut end) = tokio::sync::mpsc::channel(1);
    let mut server = Server::start(move |request| {
        let ended = ended.clone();
        async move {
            let whole = request.into_body().collect().await;
            ended.send(whole.is_ok()).await.unwrap();
            reply(200, "")
        }
    })
    .await;
    let client = granted(&server);
    let mut call = client
        .start(post(&server.url("/")), Timeouts::default())
        .unwrap();
    call.write("half of it".into()).await.unwrap();
    while server.accepted() == 0 {
        tokio::task::yield_now().await;
    }
    drop(call);
    assert_eq!(
        end.recv().await,
        Some(false),
        "the server took a half for the whole"
    );
    server.all_closed().await;
}

/// What was given up half-way must not be ended as if it were the whole.
#[tokio::test]
async fn a_body_that_is_not_taken_times_out() {
    let (ended, mut end) = tokio::sync::mpsc::channel(1);
    let gate = Arc::new(Notify::new());
    let opened = gate.clone();
    let server = Server::start(move |request| {
        let (ended, gate) = (ended.clone(), opened.clone());
        async move {
            gate.notified().await;
            let whole = request.into_body().collect().await;
            ended.send(whole.is_ok()).await.unwrap();
            reply(200, "")
        }
    })
    .await;
    let timeouts = Timeouts {
        idle: SOON,
        ..Timeouts::default()
    };
    let mut call = granted(&server)
        .start(post(&server.url("/")), timeouts)
        .unwrap();
    let piece = Bytes::from(vec![b'x'; MIB]);
    let mut wrote = Ok(());
    while wrote.is_ok() {
        wrote = call.write(piece.clone()).await;
    }
    assert!(matches!(wrote, Err(Failure::Timeout(..))), "{wrote:?}");
    assert_eq!(call.write(piece).await, Err(Failure::Closed));
    assert_eq!(call.finish().await, Err(Failure::Closed));
    gate.notify_one();
    drop(call);
    assert_eq!(end.recv().await, Some(false));
}

#[tokio::test]
async fn a_cancelled_response_closes_its_connection() {
    let mut server = Server::start(|_| async {
        let (mut sender, body) = Channel::new(1);
        tokio::spawn(async move { while sender.send_data("x".into()).await.is_ok() {} });
        Response::new(body.boxed())
    })
    .await;
    let client = granted(&server);
    let mut call = client
        .start(get(&server.url("/")), Timeouts::default())
        .unwrap();
    call.finish().await.unwrap();
    call.read().await.unwrap();
    drop(call);
    server.all_closed().await;
}

#[tokio::test]
async fn an_early_answer_is_not_lost() {
    let origin =
        raw(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let origin = origin.await;
    let client = granted_url(&origin);
    let mut call = client.start(post(&origin), Timeouts::default()).unwrap();
    let mut wrote = Ok(());
    while wrote.is_ok() {
        wrote = call.write("x".into()).await;
    }
    assert_eq!(wrote, Err(Failure::Closed));
    assert_eq!(
        call.finish().await.unwrap().status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
}

#[tokio::test]
async fn a_cancelled_call_resets_its_h2_stream() {
    let authority = Authority::new(&[b"h2"]);
    let (ended, mut end) = tokio::sync::mpsc::channel(1);
    let (begun, mut begin) = tokio::sync::mpsc::channel(1);
    let server = Server::start_tls(&authority, move |request| {
        let (begun, ended) = (begun.clone(), ended.clone());
        async move {
            begun.send(()).await.unwrap();
            let whole = request.into_body().collect().await;
            ended.send(whole.is_ok()).await.unwrap();
            reply(200, "")
        }
    })
    .await;
    let origin = format!("https://{}", server.address);
    let grant = Grant::parse(&origin, true).unwrap();
    let grant = grant.with_ca(authority.pem.as_bytes()).unwrap();
    let client = transport().client(vec![grant], 8);
    let mut calls = Vec::new();
    for _ in 0..2 {
        let mut call = client.start(post(&origin), Timeouts::default()).unwrap();
        call.write("half of it".into()).await.unwrap();
        begin.recv().await.unwrap();
        calls.push(call);
    }
    drop(calls.remove(0));
    assert_eq!(
        end.recv().await,
        Some(false),
        "the server took a half for the whole"
    );
    // The other stream of the connection goes on.
    assert_eq!(calls[0].finish().await.unwrap().status, StatusCode::OK);
    assert_eq!(end.recv().await, Some(true));
    assert_eq!(server.accepted(), 1);
}
