//! `[maintenance]` and `maintenance` of a route: who is turned away, with what, and who is not.

use tempfile::TempDir;

use crate::harness::{Proxy, get, with_header};

const ROUTES: &str = "
[[route]]
name = \"shop\"
match = { path = \"/shop/*\" }
respond = { body = \"shop\" }

[[route]]
name = \"status\"
match = { path = \"/status/*\" }
maintenance = false
respond = { body = \"fine\" }
";

/// A listener that believes whom its clients are for.
const TRUSTING: &str = "
[[listener]]
name = \"web\"
address = \"127.0.0.1:0\"
trusted_proxies = [\"127.0.0.0/8\"]
";

#[tokio::test]
async fn all_routes_at_once_but_for_those_that_say_otherwise() {
    let proxy = Proxy::start(&format!("[maintenance]\nenabled = true\n{ROUTES}")).await;
    for mut client in [proxy.client().await, proxy.h2_client().await] {
        for path in ["/shop/", "/no/route"] {
            let response = client.get(path).await;
            let seen = (response.status, response.header("retry-after"));
            assert_eq!(seen, (503, "300"), "{path}");
            assert_eq!(response.text(), "503 down for maintenance\n");
        }
        // On the same connection: nothing was wrong with it.
        assert_eq!(client.get("/status/").await.text(), "fine");
    }
    assert_eq!(proxy.admin("/healthz").await.status, 200);
    assert_eq!(proxy.admin("/readyz").await.status, 200);
    let line = proxy.access_line("/shop/").await;
    assert_eq!(line.field("error").as_deref(), Some("maintenance"));
    let refused = "tidegate_requests_refused_total{reason=\"maintenance\"}";
    assert_eq!(proxy.metric(refused).await, 4.0);
}

#[tokio::test]
async fn the_page_the_status_and_the_time_are_the_operators() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("closed.html"), "<p>Back soon").unwrap();
    std::fs::write(folder.path().join("50x.html"), "<p>Broken").unwrap();
    let routes = "
[error_pages]
5xx = \"50x.html\"

[[route]]
name = \"own\"
match = { path = \"/own/*\" }
maintenance = { status = 500, retry_after = \"90s\", page = \"closed.html\" }
respond = {}

[[route]]
name = \"switched\"
match = { path = \"/switched/*\" }
maintenance = true
respond = {}

[[route]]
name = \"all\"
respond = {}
";
    let proxy = Proxy::start_in(folder, routes).await;
    let own = proxy.get("/own/").await;
    assert_eq!((own.status, own.header("retry-after")), (500, "90"));
    assert_eq!(own.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(own.text(), "<p>Back soon");
    // Without a page of its own, that of the error.
    let switched = proxy.get("/switched/").await;
    let seen = (switched.status, switched.header("retry-after"));
    assert_eq!((seen, switched.text()), ((503, "300"), "<p>Broken"));
    assert_eq!(proxy.get("/").await.status, 200);
}

#[tokio::test]
async fn who_does_the_work_gets_through() {
    let section = "[maintenance]\nenabled = true\nallow = [\"192.0.2.0/24\", \"2001:db8::/32\"]\n";
    let proxy = Proxy::start(&format!("{section}{TRUSTING}{ROUTES}")).await;
    for (client, status) in [
        ("192.0.2.7", 200),
        ("2001:db8::7", 200),
        ("::ffff:192.0.2.7", 200),
        ("198.51.100.1", 503),
        ("192.0.2.7, 198.51.100.1", 503),
    ] {
        let request = || with_header(get("/shop/"), "x-forwarded-for", client);
        assert_eq!(proxy.send(request()).await.status, status, "{client}");
        let response = proxy.h2_client().await.send(request()).await;
        assert_eq!(response.status, status, "{client} in HTTP/2");
    }
}

#[tokio::test]
async fn nobody_gets_through_by_saying_so() {
    let section = "[maintenance]\nenabled = true\nallow = [\"192.0.2.0/24\"]\n";
    let proxy = Proxy::start(&format!("{section}{ROUTES}")).await;
    let request = with_header(get("/shop/"), "x-forwarded-for", "192.0.2.7");
    assert_eq!(proxy.send(request).await.status, 503);
}

#[tokio::test]
async fn a_reload_begins_and_ends_it_and_the_log_says_so() {
    let proxy = Proxy::start(ROUTES).await;
    let mut client = proxy.client().await;
    assert_eq!(client.get("/shop/").await.text(), "shop");
    assert_eq!(proxy.log_count("maintenance begins"), 0);

    let on = format!("[maintenance]\nenabled = true\n{ROUTES}");
    proxy.reload(&on).await;
    assert_eq!(client.get("/shop/").await.status, 503);
    let begins = proxy
        .log_line("the begin", |line| line.says("maintenance begins"))
        .await;
    assert_eq!(begins.field("routes").as_deref(), Some("shop"));

    proxy
        .reload(&on.replace("body = \"shop\"", "body = \"new\""))
        .await;
    assert_eq!(proxy.log_count("maintenance begins"), 1, "it goes on");

    proxy.reload(ROUTES).await;
    assert_eq!(client.get("/shop/").await.text(), "shop");
    let ends = proxy
        .log_line("the end", |line| line.says("maintenance ends"))
        .await;
    assert_eq!(ends.field("routes").as_deref(), Some("shop"));
}

#[tokio::test]
async fn a_page_is_missed_before_it_is_needed() {
    let proxy = Proxy::start(ROUTES).await;
    let section = "[maintenance]\npage = \"missing.html\"\n";
    let error = proxy.reload_refused(&format!("{section}{ROUTES}")).await;
    assert!(error.contains(":12:8: cannot read"), "{error}");
    assert_eq!(error.matches("missing.html").count(), 1, "{error}");
}
