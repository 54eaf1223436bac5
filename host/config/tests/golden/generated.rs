//! The generated files in `config/`: up to date, and each thing that they show loads.

use tidegate_config::{Target, reference, schema};

use crate::{load, owned, parse, same, shipped};

#[test]
fn generated_files_are_up_to_date() {
    let schema = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    assert!(
        same(&shipped("reference.toml"), &reference()),
        "BLESS=1 writes config/reference.toml"
    );
    assert!(
        same(&shipped("schema.json"), &schema),
        "BLESS=1 writes config/schema.json"
    );
}

#[test]
fn the_reference_shows_the_defaults() {
    let config = load(&shipped("reference.toml")).unwrap();
    let smallest =
        parse("[[listener]]\naddress = \"0.0.0.0:8080\"\n[[route]]\nrespond = {}").unwrap();
    assert_eq!(config.server, smallest.server);
    assert_eq!(config.limits, smallest.limits);
    assert_eq!(config.log, smallest.log);
    assert_eq!(config.admin, smallest.admin);
    let mut shown = config.plugins.settings("other");
    let default = smallest.plugins.settings("other");
    shown.file.clone_from(&default.file);
    assert_eq!(shown, default);
    assert_eq!(
        config.plugins.body_bytes_total,
        smallest.plugins.body_bytes_total
    );
    assert_eq!(config.maintenance, smallest.maintenance);
    assert_eq!(
        config.listeners[0].addresses[0].value,
        smallest.listeners[0].addresses[0].value
    );
    assert_eq!(config.listeners[0].socket, smallest.listeners[0].socket);
    assert_eq!(config.routes[0].limits, smallest.routes[0].limits);
}

#[test]
fn the_reference_shows_examples_that_load() {
    // Each of them alone in the place of its comment, but for the sections that are commented out as a
    // whole (alternatives to what is shown) and keys that do not stand beside what is shown.
    let apart = [
        "v6_only",
        "mode",
        "owner",
        "group",
        "hsts",
        "username",
        "env",
        "command",
        "timeout = \"5s\"",
    ];
    let reference = complete_reference();
    let lines: Vec<_> = reference.lines().collect();
    let mut commented = false;
    for (index, line) in lines.iter().enumerate() {
        if line.starts_with(['[', '#']) && line.trim_start_matches('#').starts_with('[') {
            commented = line.starts_with('#');
        }
        let example = line
            .strip_prefix('#')
            .filter(|rest| rest.starts_with(char::is_alphanumeric));
        let Some(example) = example.filter(|_| !commented) else {
            continue;
        };
        if apart.iter().any(|key| example.starts_with(key)) {
            continue;
        }
        let mut lines = lines.clone();
        lines[index] = example;
        parse(&lines.join("\n")).unwrap_or_else(|errors| panic!("{errors}"));
    }
}

#[test]
fn the_reference_shows_alternatives_that_load() {
    let (head, rest) = reference().split_once("\nupstream = ").map(owned).unwrap();
    let (_, respond) = rest.split_once("#[route.respond]").map(owned).unwrap();
    let (respond, redirect) = respond.split_once("#[route.redirect]").map(owned).unwrap();
    let shown = |lines: &str| lines.replace("\n#", "\n").replace("\necho", "\n#echo");
    for (name, lines) in [("respond", respond), ("redirect", redirect)] {
        let lines: String = shown(&lines)
            .lines()
            .filter(|line| line.contains(" = ") && !line.starts_with([' ', '#']))
            .map(|line| format!("{line}\n"))
            .collect();
        parse(&format!("{head}\n[route.{name}]\n{lines}"))
            .unwrap_or_else(|errors| panic!("{errors}"));
    }
}

#[test]
fn the_reference_shows_sources_of_secrets_that_load() {
    let file = "file = \"/run/secrets/token\"\n";
    let reference = complete_reference();
    let line = |key: &str| {
        let line = reference.lines().find_map(|line| {
            line.strip_prefix('#')
                .filter(|line| line.starts_with(&format!("{key} = ")))
        });
        format!("{}\n", line.unwrap())
    };
    let shown = [
        reference.replace(file, &line("env")),
        reference.replace(
            file,
            &(line("command") + "refresh = \"1m\"\ntimeout = \"5s\"\n"),
        ),
        reference
            .replace("#username", "username")
            .replace("#password", "password"),
    ];
    for text in shown {
        assert_ne!(text, reference);
        parse(&text).unwrap_or_else(|errors| panic!("{errors}"));
    }
}

#[test]
fn the_reference_shows_sections_that_load() {
    let text = complete_reference();
    let text = uncommented(text, "listener.proxy_protocol", &[]);
    let text = uncommented(text, "acme.letsencrypt", &["renew_after", "fallback"]);
    let text = uncommented(text, "acme.letsencrypt.external_account", &[]);
    let text = uncommented(text, "acme.letsencrypt.dns", &["command"]);
    let text = uncommented(text, "acme.letsencrypt.on_demand", &[]);
    let text = uncommented(text, "listener.tls", &[]);
    let text = uncommented(text, "listener.tls.client_certificates", &[]);
    let text = uncommented(text, "listener.tls.sni.\"admin.example.com\"", &[]);
    let text = uncommented(text, "upstream.app.tls", &[]);
    let text = text.replace("challenge = \"tls-alpn-01\"", "challenge = \"dns-01\"");
    let text = text.replace("#hsts = ", "hsts = ");
    parse(&text).unwrap_or_else(|errors| panic!("{errors}"));
    for (written, instead) in [
        ("renew_before = \"30d\"", "renew_after = \"60d\""),
        (
            "address = \"0.0.0.0:8080\"",
            "address = \"[::]:8080\"\nv6_only = false",
        ),
        (
            "address = \"0.0.0.0:8080\"",
            "address = \"unix:/run/x\"\nowner = \"www-data\"\ngroup = \"www-data\"",
        ),
    ] {
        assert!(text.contains(written));
        parse(&text.replace(written, instead)).unwrap_or_else(|errors| panic!("{errors}"));
    }
}

#[test]
fn the_default_configuration_answers() {
    let config = load(&shipped("default.toml")).unwrap();
    assert_eq!(
        config.listeners[0].addresses[0].value.to_string(),
        "0.0.0.0:8080"
    );
    assert_eq!(
        config.admin.address.as_ref().unwrap().to_string(),
        "127.0.0.1:9901"
    );
    assert!(config.plugins.directory.is_absolute());
    assert!(config.plugins.directory.ends_with("config/plugins"));
    let Target::Respond(respond) = &config.routes[0].target else {
        panic!("the route does not answer");
    };
    assert!(respond.body.contains("/etc/tidegate/default.toml"));
}

/// The reference with the sections that it leaves out, each as small as it can be.
fn complete_reference() -> String {
    [
        "[kv.sessions]",
        "[redis.main]",
        "address = \"127.0.0.1:6379\"",
        "[secret.token]",
        "file = \"/run/secrets/token\"",
    ]
    .iter()
    .fold(reference(), |text, line| {
        let left_out = format!("\n#{line}\n");
        assert!(text.contains(&left_out), "{line}");
        text.replace(&left_out, &format!("\n{line}\n"))
    })
}

/// The text with a section that is commented out, but for some keys of it.
fn uncommented(text: String, heading: &str, without: &[&str]) -> String {
    let mut inside = false;
    let mut found = false;
    let lines = text.lines().map(|line| {
        let Some(rest) = line.strip_prefix('#') else {
            inside &= !line.is_empty();
            return line;
        };
        if rest == format!("[{heading}]") {
            (inside, found) = (true, true);
            return rest;
        }
        let key = rest.split(' ').next().unwrap_or_default();
        match inside && rest.starts_with(char::is_alphabetic) && !without.contains(&key) {
            true => rest,
            false => line,
        }
    });
    let lines: Vec<_> = lines.collect();
    assert!(found, "{heading}");
    lines.join("\n")
}
