"""The scenarios: who does what under which load, and which figures the table shows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import clients
import origin
import probes
from measures import Column, Contender, Run, calls, full, idle, overload, scale, start, swap
from peers import Command, Job, Peer

# Requests in a second that every contender can hold on a small machine.
RATE = 4000
RATE_LARGE = 500
# Those that are looked at more closely.
PROXIES = ("nginx", "haproxy", "envoy", "pingora", "tidegate")


@dataclass(frozen=True)
class Scenario:
    """A table."""

    name: str
    title: str
    contenders: Callable[[list[Peer]], list[Contender]]
    measure: Callable[[Run], dict]
    columns: list[Column]
    cost: Column
    """The column of the picture, and of the ratio: less is better."""
    upstream: Callable[[Path, Path, int], Command] = origin.nginx
    """What stands behind the proxies."""
    probe: Callable[[Run], None] | None = None
    """Instead of the job's."""
    complete: Callable[[list[Contender], list[dict]], None] | None = None
    """Adds to the rows what follows from several of them."""


def doing(job: Job) -> Callable[[list[Peer]], list[Contender]]:
    """All that can do this."""

    def contenders(peers: list[Peer]) -> list[Contender]:
        return [Contender(peer.name, peer, job) for peer in peers if job in peer.jobs]

    return contenders


def plugins(peers: list[Peer]) -> list[Contender]:
    ours = [Job.FORWARD, Job.ASIDE, Job.HEADERS, Job.FILTER, Job.FRESH, Job.FIVE]
    wanted = [("nginx", Job.FORWARD), ("nginx", Job.HEADERS), ("pingora", Job.FORWARD)]
    wanted += [("tidegate", job) for job in ours]
    return chosen(peers, wanted)


def passing(peers: list[Peer]) -> list[Contender]:
    return chosen(peers, [("nginx", Job.FORWARD), ("tidegate", Job.FORWARD), ("tidegate", Job.PASS)])


def growing(each: Contender, field: str, counts: Sequence[int]) -> list[Contender]:
    """The contender again and again, with another value of this field."""
    return [
        replace(each, label=f"{each.label}, {count:,}", series=each.label, units=count, **{field: count})
        for count in counts
    ]


def routes(peers: list[Peer]) -> list[Contender]:
    found = []
    for peer in peers:
        if Job.ROUTES in peer.jobs:
            counts = (10, 1000, 10_000) if peer.name == "tidegate" else (10, 10_000)
            found += growing(Contender(peer.name, peer, Job.ROUTES), "routes", counts)
    return found


def instances(peers: list[Peer]) -> list[Contender]:
    found = []
    for each in chosen(peers, [("tidegate", Job.ROUTES_FILTER)]):
        found += growing(each, "routes", (1, 10, 100, 1000))
    return found


def connections(peers: list[Peer]) -> list[Contender]:
    found = []
    for each in chosen(peers, [(name, Job.FORWARD) for name in PROXIES]):
        counts = (1, 10, 100, 1000, 5000) if each.peer.name == "tidegate" else (1, 100, 5000)
        found += growing(each, "connections", counts)
    return found


def workers(peers: list[Peer]) -> list[Contender]:
    wanted = [(name, Job.FORWARD) for name in ("nginx", "haproxy", "envoy", "tidegate")]
    found = []
    for each in chosen(peers, [*wanted, ("tidegate", Job.FILTER)]):
        found += growing(each, "workers", (1, 2))
    return found


def callers(peers: list[Peer]) -> list[Contender]:
    found = []
    for each in chosen(peers, [(name, Job.FORWARD) for name in PROXIES]):
        found += growing(each, "connections", (1, 32))
    for each in chosen(peers, [("tidegate", Job.FILTER)]):
        found += growing(each, "connections", (32,))
    return found


def starters(peers: list[Peer]) -> list[Contender]:
    wanted = [(name, Job.FORWARD) for name in ("nginx", "haproxy", "caddy", "envoy", "pingora")]
    wanted += [("envoy +wasm", Job.FILTER)]
    wanted += [("tidegate", job) for job in (Job.FORWARD, Job.FILTER, Job.FIVE, Job.HUNDRED)]
    found = chosen(peers, wanted)
    first = [
        replace(each, label=f"{each.label}, the first", first=True)
        for each in found
        if each.peer.caches and each.job is not Job.FORWARD
    ]
    return found + first


def idlers(peers: list[Peer]) -> list[Contender]:
    wanted = [(name, Job.FORWARD) for name in ("nginx", "haproxy", "caddy", "envoy")]
    wanted += [("envoy +wasm", Job.FILTER), ("pingora", Job.FORWARD), ("pingap", Job.FORWARD)]
    wanted += [("tidegate", Job.FORWARD), ("tidegate", Job.FILTER)]
    return chosen(peers, wanted)


def changers(peers: list[Peer]) -> list[Contender]:
    wanted = [("nginx +lua", Job.FILTER), ("tidegate", Job.FILTER)]
    return [
        Contender(f"{each.label}{', changing' if changes else ''}", each.peer, each.job, changes=changes)
        for each in chosen(peers, wanted)
        for changes in (False, True)
    ]


def overloaded(peers: list[Peer]) -> list[Contender]:
    wanted = [(name, Job.FORWARD) for name in ("nginx", "haproxy", "tidegate")]
    return chosen(peers, wanted + [(name, Job.BOUNDED) for name in ("nginx", "haproxy", "tidegate")])


def chosen(peers: list[Peer], wanted: list[tuple[str, Job]]) -> list[Contender]:
    by_name = {peer.name: peer for peer in peers}
    return [
        Contender(name if job is Job.FORWARD else f"{name}: {job.value}", by_name[name], job)
        for name, job in wanted
        if name in by_name and job in by_name[name].jobs
    ]


def small(run: Run, seconds: int) -> clients.Load:
    return clients.wrk(run.url("/"), seconds, run.connections)


def large(run: Run, seconds: int) -> clients.Load:
    return clients.wrk(run.url("/large"), seconds, 16)


def upload(run: Run, seconds: int) -> clients.Load:
    script = run.scratch / "upload.lua"
    script.write_text(
        f'wrk.method = "POST"\nwrk.body = string.rep("x", {origin.UPLOAD_BYTES})\n'
    )
    return clients.wrk(run.url("/upload"), seconds, 16, script)


def over_routes(run: Run, seconds: int) -> clients.Load:
    """All routes, in an order that jumps."""
    script = run.scratch / "routes.lua"
    count = run.site.routes
    script.write_text(f"""
local requests, at = {{}}, 0
function init()
  for number = 0, {count - 1} do
    requests[number] = wrk.format("GET", "/r" .. number .. "/x")
  end
end
function request()
  at = (at + 7919) % {count}
  return requests[at]
end
""")
    return clients.wrk(run.url("/"), seconds, run.connections, script)


def over_h2(run: Run, seconds: int) -> clients.Load:
    return clients.h2load(run.tls_url("/"), seconds, 8, 8, run.scratch)


def messages(run: Run, seconds: int) -> clients.Load:
    return clients.websocket(run.program, run.port, seconds, run.connections)


SCENARIOS = [
    Scenario(
        "plain",
        "Forwarding, 1 KiB",
        doing(Job.FORWARD),
        full.full_load(small, RATE),
        full.columns(RATE),
        full.COST,
    ),
    Scenario(
        "filter",
        "A small filter: refuse without a token, add a field each way",
        doing(Job.FILTER),
        full.full_load(small, RATE),
        full.columns(RATE),
        full.COST,
    ),
    Scenario(
        "plugins",
        "What plugins cost",
        plugins,
        full.full_load(small, RATE),
        full.columns(RATE),
        full.COST,
    ),
    Scenario(
        "pass",
        "A response of 64 KiB, seen by a filter that lets it pass",
        passing,
        full.full_load(large, RATE_LARGE, "/large"),
        full.columns(RATE_LARGE),
        full.COST,
    ),
    Scenario(
        "upper",
        "A response of 64 KiB, written in upper case by a filter",
        doing(Job.UPPER),
        full.full_load(large, RATE_LARGE, "/large"),
        full.columns(RATE_LARGE),
        full.COST,
    ),
    Scenario(
        "log",
        "Forwarding, with an access log",
        doing(Job.LOG),
        full.full_load(small, RATE),
        full.columns(RATE),
        full.COST,
    ),
    Scenario(
        "tls",
        "HTTP/2 over TLS to HTTP/1.1, 8 connections with 8 requests at once",
        doing(Job.TLS),
        full.full_load(over_h2),
        full.COLUMNS,
        full.COST,
    ),
    Scenario(
        "upload",
        "An upload of 100 KiB",
        doing(Job.FORWARD),
        full.full_load(upload),
        full.COLUMNS,
        full.COST,
        probe=probes.takes_upload,
    ),
    Scenario(
        "websocket",
        "WebSocket messages of 125 bytes, there and back",
        doing(Job.WEBSOCKET),
        full.full_load(messages),
        full.COLUMNS,
        full.COST,
        upstream=origin.echo,
    ),
    Scenario(
        "routes",
        "From 10 to 10,000 routes, all of them asked for",
        routes,
        scale.full_load(over_routes),
        scale.COLUMNS,
        scale.COST,
        complete=scale.memory_each,
    ),
    Scenario(
        "instances",
        "From 1 to 1,000 routes, each with an instance of its own, all of them asked for",
        instances,
        scale.full_load(over_routes),
        scale.COLUMNS,
        scale.COST,
        complete=scale.memory_each,
    ),
    Scenario(
        "connections",
        "From 1 to 5,000 connections, all of them busy",
        connections,
        scale.full_load(small),
        scale.COLUMNS,
        scale.COST,
        complete=scale.memory_each,
    ),
    Scenario(
        "workers",
        "One worker and two",
        workers,
        full.full_load(small),
        full.COLUMNS,
        full.COST,
    ),
    Scenario("calls", "System calls of a request", callers, calls.measure, calls.COLUMNS, calls.COST),
    Scenario("start", "A start, nothing asked yet", starters, start.measure, start.COLUMNS, start.COST),
    Scenario("idle", "Connections that say nothing", idlers, idle.measure, idle.COLUMNS, idle.COST),
    Scenario("swap", "Changes under load", changers, swap.measure, swap.COLUMNS, swap.COST),
    Scenario(
        "overload",
        f"Three times the upstream's capacity of {origin.SLOW_CAPACITY:,} requests a second",
        overloaded,
        overload.measure,
        overload.COLUMNS,
        overload.COST,
        upstream=origin.slow,
        probe=probes.reaches,
    ),
]
