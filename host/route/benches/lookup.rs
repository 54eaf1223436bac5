//! What a lookup costs as the table grows: `cargo bench -p tidegate-route`. Criterion prints the time
//! of one lookup, of a route in the middle of the table; it should not depend on the number of routes.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, Method};
use tidegate_route::{HostPattern, Matcher, PathPattern, Request, Table, normalize_path};

const SIZES: [usize; 3] = [10, 1_000, 10_000];

/// How the routes of a table differ, and a request for one of them.
struct Case {
    name: &'static str,
    route: fn(usize) -> (String, String),
    request: fn(usize) -> (String, String),
}

const CASES: [Case; 4] = [
    Case {
        name: "many hosts",
        route: |n| (format!("host-{n}.example.com"), "/v1/*".to_owned()),
        request: |n| (format!("host-{n}.example.com"), "/v1/users/42".to_owned()),
    },
    Case {
        name: "many wildcards",
        route: |n| (format!("*.tenant-{n}.example.com"), "/*".to_owned()),
        request: |n| (format!("eu.app.tenant-{n}.example.com"), "/v1".to_owned()),
    },
    Case {
        name: "one host, exact paths",
        route: |n| ("example.com".to_owned(), format!("/v1/service-{n}")),
        request: |n| ("example.com".to_owned(), format!("/v1/service-{n}")),
    },
    Case {
        name: "one host, prefixes",
        route: |n| ("example.com".to_owned(), prefix(n)),
        request: |n| ("example.com".to_owned(), prefix(n).replace('*', "users/42")),
    },
];

/// Prefixes of 25 different lengths, as a large configuration may have them.
fn prefix(n: usize) -> String {
    format!("/v1/service-{n}{}/*", "x".repeat(n % 25))
}

fn lookup(criterion: &mut Criterion) {
    for case in CASES {
        let mut group = criterion.benchmark_group(case.name);
        for size in SIZES {
            let table = Table::build((0..size).map(|n| (matcher((case.route)(n)), n)));
            let (host, path) = (case.request)(size / 2);
            let headers = HeaderMap::new();
            let request = Request {
                host: &host,
                path: &path,
                query: None,
                method: &Method::GET,
                headers: &headers,
            };
            group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
                bencher.iter(|| table.lookup(black_box(&request)));
            });
        }
        group.finish();
    }
}

fn matcher((host, path): (String, String)) -> Matcher {
    Matcher {
        hosts: HostPattern::parse(&host).into_iter().collect(),
        paths: PathPattern::parse(&path).into_iter().collect(),
        ..Matcher::default()
    }
}

fn normalize(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("normalize_path");
    for path in ["/v1/users/42/orders", "/v1//users/./42/%6frders"] {
        group.bench_function(path, |bencher| {
            bencher.iter(|| normalize_path(black_box(path)));
        });
    }
    group.finish();
}

criterion_group!(benches, lookup, normalize);
criterion_main!(benches);
