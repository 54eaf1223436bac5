//! Plugins that choose where a request goes, and edit what goes there.

use crate::harness::{Line, Origin, Proxy, Request, get, post, refusing_address, with_header};

use super::support::start;

/// A route to the upstream `app`, an upstream `beta` that the plugin may choose, and one `secret` that it
/// may not.
async fn chooser(app: &str, beta: &str, secret: &str) -> Proxy {
    let config = format!(
        "
[plugin.chooser]
allow = {{ upstreams = [\"beta\", \"app\"] }}

[[route]]
plugins = [\"chooser\"]
upstream = \"app\"

[upstream.app]
{app}

[upstream.beta]
{beta}

[upstream.secret]
{secret}
"
    );
    start(&["chooser"], &config).await
}

fn peers(origins: &[&Origin]) -> String {
    let addresses: Vec<_> = origins.iter().map(|origin| origin.address()).collect();
    format!("peers = {addresses:?}")
}

fn with(fields: &[(&'static str, &str)]) -> Request {
    let request = get("/x?y=1");
    fields.iter().fold(request, |request, (name, value)| {
        with_header(request, name, value)
    })
}

#[tokio::test]
async fn a_plugin_sends_a_request_to_another_group() {
    let (app, beta, secret) = (
        Origin::echo().await,
        Origin::echo().await,
        Origin::echo().await,
    );
    let proxy = chooser(&peers(&[&app]), &peers(&[&beta]), &peers(&[&secret])).await;
    for (group, origin) in [("beta", &beta), ("app", &app)] {
        let before = origin.seen().len();
        assert_eq!(proxy.send(with(&[("x-group", group)])).await.status, 200);
        let seen = origin.seen();
        assert_eq!(seen.len(), before + 1, "{group}");
        let asked = format!("{group} {} 1", origin.address());
        assert_eq!(seen[before].header("x-asked"), asked);
        assert_eq!(
            seen[before].header("x-own-group"),
            "app",
            "the route's, before the choice"
        );
    }
    // Without a choice, the route's own.
    assert_eq!(proxy.get("/").await.status, 200);
    assert_eq!(app.seen().len(), 2);
    for group in ["beta", "app"] {
        let fits = |line: &Line| line.field("upstream").as_deref() == Some(group);
        proxy.stdout_line(fits).await;
    }
}

#[tokio::test]
async fn a_group_that_was_not_granted_cannot_be_chosen_nor_found_out() {
    let (app, beta, secret) = (
        Origin::echo().await,
        Origin::echo().await,
        Origin::echo().await,
    );
    let proxy = chooser(&peers(&[&app]), &peers(&[&beta]), &peers(&[&secret])).await;
    for group in ["secret", "nowhere"] {
        let response = proxy.send(with(&[("x-group", group)])).await;
        assert_eq!(
            (response.status, response.text()),
            (409, "forbidden"),
            "{group}"
        );
    }
    let response = proxy.send(with(&[("x-peer", "192.0.2.1:80")])).await;
    assert_eq!((response.status, response.text()), (409, "invalid-name"));
    assert_eq!(
        app.seen().len() + beta.seen().len() + secret.seen().len(),
        0
    );
}

#[tokio::test]
async fn a_plugin_picks_one_peer_and_sees_them_all() {
    let (one, two, three) = (
        Origin::echo().await,
        Origin::echo().await,
        Origin::echo().await,
    );
    let app = peers(&[&one, &two, &three]);
    let proxy = chooser(&app, &peers(&[&one]), &peers(&[&one])).await;
    for origin in [&two, &three, &one] {
        for _ in 0..5 {
            let response = proxy.send(with(&[("x-peer", origin.address())])).await;
            assert_eq!(response.status, 200);
        }
        let seen = origin.seen();
        assert_eq!(seen.len(), 5);
        let all = [one.address(), two.address(), three.address()].join(",");
        assert_eq!(seen[0].header("x-own-peers"), all);
    }
}

#[tokio::test]
async fn a_peer_that_was_picked_and_is_down_gives_way_to_the_next() {
    let alive = Origin::echo().await;
    let closed = refusing_address();
    let app = format!("peers = [{closed:?}, {:?}]", alive.address());
    let proxy = chooser(&app, &peers(&[&alive]), &peers(&[&alive])).await;
    for count in 1..4 {
        let response = proxy.send(with(&[("x-peer", &closed)])).await;
        assert_eq!(response.status, 200);
        let seen = alive.seen();
        assert_eq!(seen.len(), count);
        // The phase runs when a peer is connected, so that the one that is down is not told anything.
        let asked = format!("app {} 2", alive.address());
        assert_eq!(seen[count - 1].header("x-asked"), asked);
    }
}

#[tokio::test]
async fn edits_for_one_attempt_do_not_go_to_the_next() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    // Answers once on each connection, with the head that it got, and closes it when the next comes. Whoever
    // finds that out sends its request again.
    let origin = Origin::raw(async |mut stream| {
        let mut came = Vec::new();
        while !came.ends_with(b"\r\n\r\n") {
            let Ok(1..) = stream.read_buf(&mut came).await else {
                return;
            };
        }
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", came.len());
        let _ = stream.write_all(&[head.as_bytes(), &came].concat()).await;
        let _ = stream.read_buf(&mut came).await;
    })
    .await;
    let proxy = chooser(&peers(&[&origin]), &peers(&[&origin]), &peers(&[&origin])).await;
    let mut client = proxy.client().await;
    let edits = [
        ("x-edit-in", "attempt"),
        ("x-set-path", "/once"),
        ("x-set-host", "once.example"),
    ];
    for _ in 0..20 {
        let response = client.send(with(&edits)).await;
        let head = response.text();
        assert_eq!(head.matches("x-asked: ").count(), 1, "{head}");
        assert!(head.starts_with("GET /once?y=1 HTTP/1.1\r\n"), "{head}");
        assert_eq!(
            head.to_lowercase()
                .matches("\nhost: once.example\r\n")
                .count(),
            1,
            "{head}"
        );
    }
    let second = "tidegate_plugin_chooser_attempts_total{attempt=\"2\"}";
    assert!(proxy.metric(second).await > 0.0, "no attempt was repeated");
    proxy
        .metric_becomes("tidegate_plugin_chooser_attempts_total{attempt=\"3\"}", 0.0)
        .await;
}

#[tokio::test]
async fn path_query_and_host_arrive_as_a_plugin_set_them() {
    let origin = Origin::echo().await;
    let all = peers(&[&origin]);
    let proxy = chooser(&all, &all, &all).await;
    for phase in ["head", "choice", "attempt"] {
        for mut client in [proxy.client().await, proxy.h2_client().await] {
            let phase = ("x-edit-in", phase);
            for (fields, target) in [
                (&[("x-set-path", "/a%20b/c")][..], "/a%20b/c?y=1"),
                (&[("x-set-query", "z=%26")], "/x?z=%26"),
                (&[("x-set-query", "")], "/x"),
                (
                    &[("x-set-path", "/new"), ("x-set-query", "n=1")],
                    "/new?n=1",
                ),
            ] {
                let request = with(&[fields, &[phase]].concat());
                assert_eq!(client.send(request).await.status, 200, "{phase:?}");
                let seen = origin.seen().pop().unwrap();
                assert_eq!(seen.target, target, "{phase:?}");
                assert_eq!(seen.header("host"), "test.example", "{phase:?}");
            }
            let host = [phase, ("x-set-host", "inner.example:8080")];
            assert_eq!(client.send(with(&host)).await.status, 200, "{phase:?}");
            let seen = origin.seen().pop().unwrap();
            assert_eq!(seen.header("host"), "inner.example:8080", "{phase:?}");
            assert_eq!(seen.target, "/x?y=1", "{phase:?}");
        }
    }
}

#[tokio::test]
async fn what_would_split_a_request_is_refused() {
    let origin = Origin::echo().await;
    let all = peers(&[&origin]);
    let proxy = chooser(&all, &all, &all).await;
    for phase in ["head", "choice", "attempt"] {
        for (name, value) in [
            ("x-set-path", "no-slash"),
            ("x-set-path", "/a b"),
            ("x-set-path", "/a?b"),
            ("x-set-path", "/a#b"),
            ("x-set-query", "a b"),
            ("x-set-query", "a#b"),
            ("x-set-host", "a b"),
            ("x-set-host", "a/b"),
            ("x-set-host", "user@a"),
        ] {
            let response = proxy
                .send(with(&[("x-edit-in", phase), (name, value)]))
                .await;
            let got = (response.status, response.text());
            assert_eq!(got, (409, "invalid-value"), "{phase} {name}: {value}");
        }
    }
    assert_eq!(origin.seen().len(), 0);
}

#[tokio::test]
async fn the_same_tenant_gets_the_same_peer() {
    let origins = [
        Origin::echo().await,
        Origin::echo().await,
        Origin::echo().await,
    ];
    let app = format!(
        "{}\nbalance = {{ hash = \"chooser.tenant\" }}",
        peers(&[&origins[0], &origins[1], &origins[2]])
    );
    let proxy = chooser(&app, &app, &app).await;
    // Ports are by chance, and so is who belongs where: a dozen would leave a peer without any once in fifty runs.
    for tenant in 0..40 {
        let tenant = format!("tenant-{tenant}");
        let counts = || {
            origins
                .iter()
                .map(|origin| origin.seen().len())
                .collect::<Vec<_>>()
        };
        let before = counts();
        for _ in 0..4 {
            let request = with_header(post("/", "x"), "x-tenant", &tenant);
            assert_eq!(proxy.send(request).await.status, 200);
        }
        let gained: Vec<_> = counts()
            .iter()
            .zip(&before)
            .map(|(now, then)| now - then)
            .collect();
        assert!(gained.contains(&4), "{tenant}: {gained:?}");
    }
    assert!(
        origins.iter().all(|origin| !origin.seen().is_empty()),
        "not all on one peer"
    );
    // Without the attribute, in turn.
    let before: Vec<_> = origins.iter().map(|origin| origin.seen().len()).collect();
    for _ in 0..6 {
        assert_eq!(proxy.get("/").await.status, 200);
    }
    for (origin, before) in origins.iter().zip(before) {
        assert_eq!(origin.seen().len(), before + 2);
    }
}
