//! What valid files mean.

use std::path::Path;
use std::time::Duration;

use http::StatusCode;
use tidegate_config::{
    Account, Address, Alpn, Balance, Cache, Challenge, CipherSuite, ClientAddress, Config,
    DnsUpdate, ErrorPages, FilesystemGrant, Forward, KeyExchange, KeyType, Kv, LimiterGrant,
    ListenAddress, Mismatch, PeerAddress, Policy, ProxyHeader, ProxyVersion, Renew, SecretSource,
    Source, Target, TlsVersion, TsigAlgorithm, UnknownName, UpstreamProtocol,
};

use crate::{at, load, parse, valid};

#[test]
fn every_key_is_understood() {
    let config = load(&valid("full.toml")).unwrap();
    assert_eq!(config.server.threads, 2);
    assert_eq!(config.limits.header_timeout, Duration::from_millis(1500));
    assert_eq!(config.limits.body_bytes, 0);
    assert_eq!(config.limits.linger_bytes, 1 << 20);
    assert_eq!(config.limits.h2_send_buffer, 32 << 10);
    assert_eq!(config.log.buffered_lines, 1024);
    assert_eq!(config.admin.connections, 8);
    assert_eq!(
        config.listeners[1].addresses[0].value,
        ListenAddress::Bind(Address::Unix("/run/tidegate.sock".into()))
    );
    assert_eq!(config.listeners[1].socket.mode, 0o640);
    assert_eq!(
        config.listeners[0].trusted_proxies[1].to_string(),
        "192.0.2.7/32"
    );
    let app = &config.upstreams["app"];
    assert_eq!(app.peers[3].weight, 2);
    let name = PeerAddress::Name {
        host: "app.internal".to_owned(),
        port: 80,
    };
    assert_eq!(app.peers[1].address, name);
    assert_eq!(app.timeout.connect, Duration::from_secs(1));
    assert_eq!(app.timeout.idle, Duration::from_secs(50));
    assert_eq!(app.attempts, 3);
    assert_eq!((app.requests, app.queue), (200, 50));
    assert_eq!(app.timeout.queue, Duration::from_millis(300));
    assert_eq!(app.retry_after, Duration::from_secs(5));
    assert_eq!(app.protocol, UpstreamProtocol::Http2);
    let by_tenant = Balance::Hash {
        attribute: "tenant".to_owned(),
    };
    assert_eq!(app.balance, by_tenant);
    assert_eq!(config.log.access_attributes, ["jwt.sub", "tenant"]);
    assert_eq!(config.admin.metrics_attributes, ["tenant"]);
}

#[test]
fn listeners_are_resolved() {
    let config = load(&valid("full.toml")).unwrap();
    let [web, unix] = &config.listeners[..] else {
        panic!("two listeners")
    };
    let addresses: Vec<_> = web
        .addresses
        .iter()
        .map(|it| it.value.to_string())
        .collect();
    assert_eq!(
        addresses,
        ["[::]:8080", "unix:/run/web.sock", "systemd:web"]
    );
    assert_eq!(at(&config, web.addresses[2].span), "\"systemd:web\"");
    let options = &web.socket;
    assert_eq!((options.backlog, options.fast_open), (128, 16));
    assert!(!options.v6_only && options.reuse_port);
    assert_eq!(options.keepalive, None);
    assert_eq!(web.client_address, ClientAddress::CfConnectingIp);
    assert_eq!(web.https_redirect, Some(8443));
    let proxy_protocol = web.proxy_protocol.as_ref().unwrap();
    assert_eq!(
        proxy_protocol.accept,
        [ProxyHeader::V2, ProxyHeader::Spectrum]
    );
    assert!(proxy_protocol.optional);
    let owner = unix.socket.owner.as_ref().unwrap();
    assert_eq!(owner.value, Account::Name("www-data".to_owned()));
    let group = unix.socket.group.as_ref().unwrap();
    assert_eq!(group.value, Account::Id(33));
    assert_eq!(unix.socket.keepalive, Some(Duration::from_secs(60)));
    let hsts = unix.hsts.unwrap();
    assert_eq!(hsts.max_age, Duration::from_secs(730 * 86_400));
    assert!(hsts.include_subdomains && hsts.preload);
}

#[test]
fn names_have_the_settings_of_the_listener_and_their_own() {
    let config = load(&valid("full.toml")).unwrap();
    let folder = valid("full.toml").parent().unwrap().to_owned();
    let tls = config.listeners[1].tls.as_ref().unwrap();
    assert_eq!(tls.certificates[0].ocsp, Some(folder.join("a.ocsp")));
    assert_eq!(tls.certificates[1].key, folder.join("b.key"));
    assert_eq!(tls.acme, ["letsencrypt"]);
    assert_eq!(tls.tickets, None);
    assert_eq!(tls.unknown_name, UnknownName::Refuse);
    assert_eq!(tls.mismatch, Mismatch::Allow);
    let all = &tls.settings;
    assert_eq!(
        all.cipher_suites,
        [
            CipherSuite::TLS13_AES_256_GCM_SHA384,
            CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        ]
    );
    assert_eq!(all.key_exchange, [KeyExchange::Secp256r1]);
    let clients = all.client_certificates.as_ref().unwrap();
    assert!(!clients.required);
    assert_eq!(clients.forward.len(), 2);
    let names: Vec<_> = tls.names.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["*.example.com", "admin.example.com"]);
    let settings = |name: &str| {
        let found = tls.names.iter().find(|(it, _)| it.as_str() == name);
        found.unwrap().1
    };
    let admin = settings("admin.example.com");
    assert_eq!(admin.min_version, TlsVersion::V1_3);
    assert_eq!(
        admin.cipher_suites,
        [CipherSuite::TLS13_AES_256_GCM_SHA384],
        "what TLS 1.3 has of the listener's"
    );
    assert_eq!(admin.alpn, [Alpn::Http1]);
    let clients = admin.client_certificates.as_ref().unwrap();
    assert!(clients.required);
    assert_eq!(clients.ca, folder.join("admins.pem"));
    let wildcard = settings("*.example.com");
    assert_eq!(wildcard.client_certificates, None);
    assert_eq!(wildcard.alpn, [Alpn::H2]);
}

#[test]
fn authorities_are_resolved() {
    let config = load(&valid("full.toml")).unwrap();
    let folder = valid("full.toml").parent().unwrap().to_owned();
    let acme = &config.acme["letsencrypt"];
    assert_eq!(
        acme.directory,
        "https://acme-v02.api.letsencrypt.org/directory"
    );
    let account = acme.external_account.as_ref().unwrap();
    assert_eq!((&*account.key_id, &*account.key), ("kid-1", "eab"));
    assert_eq!(acme.fallback, ["own"]);
    assert_eq!(acme.store, Path::new("/var/lib/acme"));
    assert_eq!(acme.encryption.as_deref(), Some("token"));
    assert_eq!(acme.challenge, Challenge::Dns01);
    assert_eq!(acme.certificates[1].value[0].value, "*.Example.org");
    assert_eq!(
        acme.certdefs.as_ref().unwrap().value,
        folder.join("certdefs")
    );
    assert_eq!(acme.renew, Renew::After(Duration::from_secs(60 * 86_400)));
    assert_eq!(acme.key_type, KeyType::EcdsaP384);
    let Some(DnsUpdate::Server(server)) = &acme.dns else {
        panic!("a server")
    };
    assert_eq!(server.address.to_string(), "127.0.0.1:53");
    assert_eq!(server.zone.as_str(), "example.org");
    let key = server.key.as_ref().unwrap();
    assert_eq!((key.name.as_str(), &*key.secret), ("acme", "tsig"));
    assert_eq!(key.algorithm, TsigAlgorithm::HmacSha512);
    assert_eq!(server.question_timeout, Duration::from_secs(3));
    assert_eq!(acme.request_timeout, Duration::from_secs(60));
    let on_demand = acme.on_demand.as_ref().unwrap();
    assert_eq!(on_demand.limit.count, 5);
    assert_eq!(on_demand.ask_timeout, Duration::from_secs(1));
    assert_eq!((on_demand.pending, on_demand.remember_names), (200, 1000));
    let own = &config.acme["own"];
    assert_eq!(own.request_timeout, Duration::from_secs(30));
    assert_eq!(own.renew, Renew::Before(Duration::from_secs(30 * 86_400)));
    assert_eq!(own.store, folder.join("acme"));
}

#[test]
fn routes_differ_from_what_holds_for_all() {
    let config = load(&valid("full.toml")).unwrap();
    let [api, echo, old] = &config.routes[..] else {
        panic!("three routes")
    };
    assert_eq!(old.limits.header_bytes, config.limits.header_bytes);
    assert_eq!(echo.limits.header_bytes, 8 << 10);
    assert_eq!(echo.limits.body_bytes, 1 << 20);
    assert_eq!(old.maintenance, config.maintenance);
    assert!(!api.maintenance.enabled && echo.maintenance.enabled);
    assert_eq!(echo.maintenance.retry_after, None);
    assert_eq!(echo.maintenance.page, config.maintenance.page);
    assert_eq!(config.maintenance.status.as_u16(), 500);
    assert!(echo.grpc_web && !api.grpc_web);
    let page = |pages: &ErrorPages, status: u16| {
        let page = pages.page(StatusCode::from_u16(status).unwrap());
        page.map(|page| page.value.file_name().unwrap().to_owned())
    };
    assert_eq!(page(&config.error_pages, 404), Some("404.html".into()));
    assert_eq!(page(&config.error_pages, 502), Some("50x.html".into()));
    assert_eq!(page(&config.error_pages, 403), None);
    assert_eq!(page(&echo.error_pages, 404), Some("other.html".into()));
    let app = &config.upstreams["app"];
    assert_eq!(app.proxy_protocol, Some(ProxyVersion::V2));
    assert_eq!(app.forward, [Forward::Forwarded, Forward::TrueClientIp]);
    let tls = app.tls.as_ref().unwrap();
    assert_eq!(
        tls.server_name.as_ref().unwrap().to_string(),
        "app.internal"
    );
    assert_eq!(tls.min_version, TlsVersion::V1_3);
    assert!(!tls.danger_accept_any_certificate);
}

#[test]
fn stores_servers_and_secrets_are_resolved() {
    let config = load(&valid("full.toml")).unwrap();
    let small = Kv::Memory {
        entries: 100,
        bytes: 1 << 20,
    };
    let usual = Kv::Memory {
        entries: 10_000,
        bytes: 16 << 20,
    };
    assert_eq!(config.kv["small"], small);
    assert_eq!(config.kv["usual"], usual);
    assert_eq!(config.kv["shared"], Kv::Redis("main".to_owned()));
    let main = &config.redis["main"];
    assert_eq!(main.address.to_string(), "unix:/run/redis.sock");
    assert_eq!(main.username.as_deref(), Some("tidegate"));
    assert_eq!(main.password.as_deref(), Some("redis-password"));
    assert_eq!((main.database, main.timeout), (3, Duration::from_secs(1)));
    assert_eq!(
        config.redis["other"].timeout,
        Duration::from_millis(100),
        "the default"
    );
    let folder = valid("full.toml").parent().unwrap().to_owned();
    let file = SecretSource::File {
        path: folder.join("token"),
        refresh: Duration::from_secs(3600),
    };
    let command = SecretSource::Command {
        argv: vec!["cat".to_owned(), "/run/password".to_owned()],
        refresh: Duration::from_secs(60),
        timeout: Duration::from_secs(1),
    };
    let env = SecretSource::Env("JWT_KEY".to_owned());
    assert_eq!(config.secrets["token"].source, file);
    assert_eq!(config.secrets["redis-password"].source, command);
    assert_eq!(config.secrets["jwt-key"].source, env);
    assert_eq!(at(&config, config.secrets["jwt-key"].span), "\"JWT_KEY\"");
}

#[test]
fn a_plugin_may_use_what_it_and_all_are_allowed() {
    let config = load(&valid("full.toml")).unwrap();
    let other = config.plugins.settings("other").allow;
    assert!(other.log && other.attributes);
    assert!(!other.clock && !other.metrics);
    assert_eq!(other.limiter, Some(LimiterGrant::Redis("main".to_owned())));
    let jwt = config.plugins.settings("jwt").allow;
    assert!(jwt.attributes && jwt.clock && jwt.crypto);
    assert!(!jwt.log, "taken back");
    assert_eq!(jwt.limiter, other.limiter, "`true` keeps where it is");
    let names = |names: Option<Vec<String>>| names.unwrap_or_default().join(" ");
    assert_eq!(names(jwt.kv), "usual shared");
    assert_eq!(names(jwt.secrets), "jwt-key");
    assert_eq!(other.secrets, None, "what nobody allowed");
    assert_eq!(jwt.upstreams, ["app"]);
    let grants = jwt.http.unwrap_or_default();
    let http: Vec<_> = grants
        .iter()
        .map(|grant| (grant.origin.to_string(), grant.private))
        .collect();
    let expected = [
        ("https://issuer.example:443", false),
        ("https://*.example.com:8443", false),
        ("http://10.0.0.5:8080", true),
    ];
    assert_eq!(http, expected.map(|(origin, it)| (origin.to_owned(), it)));
    let folder = valid("full.toml").parent().unwrap().to_owned();
    assert_eq!(grants[0].ca, Some(folder.join("ca.pem")));
    assert_eq!(at(&config, grants[2].span), "\"http://10.0.0.5:8080\"");
    let data = FilesystemGrant {
        host: folder.join("data"),
        guest: "/data".to_owned(),
        write: true,
    };
    assert_eq!(
        jwt.filesystem,
        [data],
        "the own folder replaces that of all"
    );
    assert_eq!(
        jwt.sockets,
        ["10.0.0.1:6379", "[::1]:53"].map(|it| it.parse().unwrap())
    );
}

#[test]
fn what_is_allowed_has_a_place() {
    let place = |text: &str| {
        let head = "[[listener]]\naddress = \"[::]:0\"\n[[route]]\nrespond = { echo = true }\n";
        let config = parse(&format!("{head}{text}")).unwrap();
        let span = config.plugins.settings("a").allow_span;
        span.map(|span| at(&config, span).to_owned())
    };
    assert_eq!(place(""), None);
    assert_eq!(place("[plugin.a]"), Some("a".to_owned()));
    let all = "[plugins]\nallow = [\"log\"]\n";
    assert_eq!(place(all), Some("[\"log\"]".to_owned()));
    let own = format!("{all}[plugin.a]\nallow = {{ log = false }}");
    assert_eq!(place(&own), Some("{ log = false }".to_owned()));
}

#[test]
fn lists_can_come_from_the_environment() {
    let text = "[[listener]]\naddress = \"[::]:0\"\n[[route]]\nrespond = { echo = true }\n[kv.a]";
    let env = [
        ("TIDEGATE_PLUGINS_ALLOW", "{ log = true, kv = [\"a\"] }"),
        ("TIDEGATE_LOG_ACCESS_ATTRIBUTES", "[\"tenant\"]"),
    ];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config::parse(Source::new("test.toml", text), env).unwrap();
    let settings = config.plugins.settings("any");
    assert!(settings.allow.log);
    assert_eq!(settings.allow.kv.as_deref(), Some(&["a".to_owned()][..]));
    assert_eq!(settings.allow_span, None, "the environment has no places");
    assert_eq!(config.log.access_attributes, ["tenant"]);
}

#[test]
fn routes_keep_their_patterns_and_names() {
    let config = load(&valid("full.toml")).unwrap();
    let [api, echo, old] = &config.routes[..] else {
        panic!("three routes")
    };
    assert_eq!(
        (api.name.as_str(), echo.name.as_str(), old.name.as_str()),
        ("api", "route-2", "old")
    );
    let hosts: Vec<_> = api.hosts.iter().map(|host| host.value.as_str()).collect();
    assert_eq!(hosts, ["api.example.com", "*.api.example.com"]);
    assert_eq!(api.paths[0].value, "/v1/*");
    assert_eq!(at(&config, api.paths[0].span), "\"/v1/*\"");
    assert_eq!(at(&config, api.headers[0].0.span), "x-beta");
    assert_eq!(api.query[0].1.value, "~^2");
    assert_eq!(api.target, Target::Upstream("app".to_owned()));
    assert_eq!(echo.target, Target::Echo);
    let Target::Redirect(redirect) = &old.target else {
        panic!("a redirect")
    };
    assert_eq!(redirect.status.as_u16(), 301);
}

#[test]
fn plugins_inherit_what_they_do_not_set() {
    let plugins = load(&valid("full.toml")).unwrap().plugins;
    let jwt = plugins.settings("jwt");
    assert_eq!(jwt.file, plugins.directory.join("jwt-2.wasm"));
    assert_eq!(jwt.sha256.unwrap().value.to_string(), "ab".repeat(32));
    assert_eq!(jwt.deadline, Duration::from_millis(2));
    assert_eq!(jwt.memory, 16 << 20);
    assert_eq!(jwt.on_failure.deadline, Policy::Open);
    assert_eq!(jwt.on_failure.trap, Policy::Closed);
    assert_eq!(jwt.on_failure.over_limit, Policy::Open);
    assert_eq!(jwt.wait, Duration::from_secs(1));
    assert_eq!((jwt.body_bytes, jwt.http_calls), (4096, 8));
    let other = plugins.settings("other");
    assert_eq!(other.file, plugins.directory.join("other.wasm"));
    assert_eq!(other.memory, 16 << 20);
    assert_eq!(other.wait, Duration::from_secs(2));
    assert_eq!((other.body_bytes, other.http_calls), (64 << 10, 16));
    assert!(jwt.reuse && !other.reuse);
    assert_eq!(other.on_failure.over_limit, Policy::Closed);
    assert_eq!(plugins.body_bytes_total, 8 << 20);
    assert_eq!(plugins.cache, Cache::Off);
}

#[test]
fn plugins_get_json_and_point_back_into_the_file() {
    let config = load(&valid("full.toml")).unwrap();
    let plugins = &config.routes[0].plugins;
    assert_eq!(plugins[0].config.json(), "{}");
    assert_eq!(
        at(&config, plugins[0].config.locate("any")),
        "\"request-id\""
    );
    let rules = &plugins[1].config;
    assert_eq!(
        rules.json(),
        r#"{"from":"2026-01-02","rules":[{"name":"a"},{"name":"b","rate":1.5}]}"#
    );
    assert_eq!(at(&config, rules.locate("rules.1.rate")), "rate = 1.5");
    assert_eq!(
        at(&config, rules.locate("rules.0.rate")),
        "{ name = \"a\" }"
    );
    assert_eq!(
        at(&config, rules.locate("")),
        at(&config, rules.locate("unknown"))
    );
    let error = config
        .error(rules.locate("rules.1.name"), "unknown rule")
        .to_string();
    assert!(
        error.contains("full.toml:213:49: unknown rule\n"),
        "{error}"
    );
}

#[test]
fn plugins_may_be_written_as_sections() {
    let config = parse(
        r#"
        [[listener]]
        address = "127.0.0.1:0"
        [[route]]
        respond = { echo = true }
        [[route.plugins]]
        use = "first"
        [[route.plugins]]
        use = "second"
        [route.plugins.config]
        rate = 1
        [[route.plugins.config.rules]]
        name = "x"
        "#,
    )
    .unwrap();
    let second = &config.routes[0].plugins[1].config;
    assert_eq!(second.json(), r#"{"rate":1,"rules":[{"name":"x"}]}"#);
    assert_eq!(at(&config, second.locate("rate")), "rate = 1");
    assert_eq!(at(&config, second.locate("rules.0.name")), "name = \"x\"");
    assert_eq!(at(&config, second.locate("burst")), "config");
}

#[test]
fn equal_tables_give_equal_json() {
    let routes = |config: &str| {
        let head = "[[listener]]\naddress = \"[::]:0\"\n[[route]]\nrespond = { echo = true }\n";
        let text = format!("{head}plugins = [{{ use = \"a\", config = {config} }}]");
        parse(&text).unwrap().routes[0].plugins[0]
            .config
            .json()
            .to_owned()
    };
    assert_eq!(
        routes("{ b = 1, a = { d = 2, c = 3 } }"),
        routes("{ a.c = 3, a.d = 2, b = 1 }")
    );
}
