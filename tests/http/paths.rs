//! A path is brought to one form, and what is routed is what is forwarded.

use crate::harness::{Origin, Proxy, Wire, route_to};

async fn guarded() -> (Origin, Proxy) {
    let origin = Origin::echo().await;
    let config = format!(
        "
[[route]]
name = \"guard\"
match = {{ path = \"/admin/*\" }}
respond = {{ status = 403 }}
{}",
        route_to(&origin)
    );
    let proxy = Proxy::start(&config).await;
    (origin, proxy)
}

async fn status(wire: &mut Wire, target: &str) -> u16 {
    wire.send(format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n"))
        .await;
    wire.response().await.status
}

#[tokio::test]
async fn no_spelling_gets_around_a_route() {
    let (origin, proxy) = guarded().await;
    let mut wire = proxy.wire().await;
    for target in [
        "/admin/x",
        "/x/../admin/x",
        "/%61dmin/x",
        "/%61%64%6d%69%6E/x",
        "//admin//x",
        "/./admin/x",
        "/x/%2e%2e/admin/x",
        "/x/.%2E/admin/x",
        "/admin/./x",
        "http://a/admin/x",
        "http://a//x/..//admin/x",
    ] {
        assert_eq!(status(&mut wire, target).await, 403, "{target}");
    }
    assert!(origin.seen().is_empty());
}

#[tokio::test]
async fn the_normal_form_is_forwarded() {
    let (origin, proxy) = guarded().await;
    let mut wire = proxy.wire().await;
    for (target, forwarded) in [
        ("/a/../b//c/%2e%2e/d", "/b/d"),
        ("/admin/../x", "/x"),
        ("/%7euser/%c3%a9", "/~user/%C3%A9"),
        ("/a%2fb%5cc", "/a%2Fb%5Cc"),
        ("/a//b?q=//x/../%61", "/a/b?q=//x/../%61"),
        ("/a/?", "/a/?"),
        ("/%2e", "/"),
        ("http://a/x?y", "/x?y"),
        ("http://a", "/"),
        ("http://a?y", "/?y"),
        ("/a;b=1,2:@!$&'()*+", "/a;b=1,2:@!$&'()*+"),
    ] {
        assert_eq!(status(&mut wire, target).await, 200, "{target}");
        assert_eq!(origin.seen().last().unwrap().target, forwarded, "{target}");
    }
}

#[tokio::test]
async fn what_has_no_normal_form_is_refused() {
    let (origin, proxy) = guarded().await;
    for target in [
        "/..",
        "/../admin/x",
        "/a/../../b",
        "/%2e%2e/b",
        "/%00",
        "/a%",
        "/%zz",
        "/%4",
    ] {
        let mut wire = proxy.wire().await;
        assert_eq!(status(&mut wire, target).await, 400, "{target}");
    }
    assert!(origin.seen().is_empty());
}

#[tokio::test]
async fn the_same_holds_in_http_2() {
    let (origin, proxy) = guarded().await;
    let mut client = proxy.h2_client().await;
    assert_eq!(client.get("/x/../admin/x").await.status, 403);
    assert_eq!(client.get("/a/%2e%2e/b?c").await.status, 200);
    assert_eq!(origin.seen()[0].target, "/b?c");
    assert_eq!(client.get("/../x").await.status, 400);
    assert_eq!(client.get("/x").await.status, 200, "the connection goes on");
}
