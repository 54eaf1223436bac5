"""HAProxy, with its own rules and with Lua."""

from functools import partial

from .base import IN_FLIGHT, Command, Job, Peer, Site

FORWARD = "    default_backend origin"

HEADERS = f"""    http-request set-header x-bench 1
    http-response set-header x-bench 1
{FORWARD}"""

FILTER = f"""    http-request deny deny_status 403 unless {{ req.hdr(x-token) -m str secret }}
{HEADERS}"""

# So many requests at once; the others wait in a queue, and are refused when that takes too long.
BOUND = f"maxconn {IN_FLIGHT}"

LUA_FILTER = f"""    http-request lua.bench_request
    http-response lua.bench_response
{FORWARD}"""

LUA_UPPER = f"""    filter lua.upper
{FORWARD}"""

LUA_CODE = """
core.register_action("bench_request", {"http-req"}, function(txn)
  local fields = txn.http:req_get_headers()
  if not (fields["x-token"] and fields["x-token"][0] == "secret") then
    local reply = txn:reply()
    reply:set_status(403)
    reply:add_header("content-length", "0")
    txn:done(reply)
    return
  end
  txn.http:req_set_header("x-bench", "1")
end)
core.register_action("bench_response", {"http-res"}, function(txn)
  txn.http:res_set_header("x-bench", "1")
end)

local Upper = {}
Upper.id = "upper"
Upper.flags = filter.FLT_CFG_FL_HTX
Upper.__index = Upper
function Upper:new() return setmetatable({}, Upper) end
function Upper:start_analyze(txn, channel) filter.register_data_filter(self, channel) end
function Upper:http_payload(txn, message)
  if message:is_resp() then
    local body = message:body()
    if body and #body > 0 then message:set(string.upper(body)) end
  end
end
core.register_filter("upper", Upper, function(filter, arguments) return filter end)
"""


def peers() -> list[Peer]:
    debian = "Debian package haproxy"
    return [
        Peer(
            "haproxy",
            "haproxy",
            debian,
            {
                Job.FORWARD: partial(command, FORWARD),
                Job.FILTER: partial(command, FILTER),
                Job.HEADERS: partial(command, HEADERS),
                Job.TLS: partial(command, FORWARD, tls=True),
                Job.WEBSOCKET: partial(command, FORWARD),
                Job.ROUTES: routes,
                Job.LOG: partial(command, FORWARD, log=True),
                Job.BOUNDED: partial(command, FORWARD, bound=BOUND),
            },
            version=("-v",),
        ),
        Peer(
            "haproxy +lua",
            "haproxy",
            debian,
            {Job.FILTER: partial(with_lua, LUA_FILTER), Job.UPPER: partial(with_lua, LUA_UPPER)},
            version=("-v",),
        ),
    ]


def command(
    rules: str, site: Site, *, code: str = "", tls: bool = False, log: bool = False, bound: str = ""
) -> Command:
    bind = f"127.0.0.1:{site.port} backlog 4096"
    if tls:
        bind += f" ssl crt {site.shared}/both.pem alpn h2,http/1.1"
    logging = "log stdout format raw daemon\n    option httplog" if log else "no log"
    config = site.write(
        "haproxy.cfg",
        f"""
global
    nbthread {site.workers}
    maxconn 9000
    {code}
defaults
    mode http
    {logging}
    maxconn 9000
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    timeout queue 100ms
    timeout tunnel 600s
frontend web
    bind {bind}
{rules}
backend origin
    http-reuse always
    server one 127.0.0.1:{site.upstream_port} pool-max-conn {site.kept} {bound}
""",
    )
    return Command(["haproxy", "-db", "-f", config])


def with_lua(rules: str, site: Site) -> Command:
    return command(rules, site, code=f"lua-load {site.write('bench.lua', LUA_CODE)}")


def routes(site: Site) -> Command:
    lines = "".join(f"{path} origin\n" for path in site.route_paths())
    table = site.write("routes.map", lines)
    return command(f"    use_backend %[path,map_beg({table})]", site)
