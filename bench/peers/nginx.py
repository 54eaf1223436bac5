"""nginx, alone and with its modules for Lua and njs."""

from functools import partial
from pathlib import Path

from .base import IN_FLIGHT, Command, Job, Peer, Site, as_root

MODULES = Path("/usr/lib/nginx/modules")
NDK = MODULES / "ndk_http_module.so"
LUA = MODULES / "ngx_http_lua_module.so"
NJS = MODULES / "ngx_http_js_module.so"

FORWARD = """
        location / {
            proxy_pass http://origin;
        }"""

FILTER = """
        location / {
            if ($http_x_token != secret) { return 403; }
            proxy_set_header connection "";
            proxy_set_header x-bench 1;
            add_header x-bench 1;
            proxy_pass http://origin;
        }"""

HEADERS = """
        location / {
            proxy_set_header connection "";
            proxy_set_header x-bench 1;
            add_header x-bench 1;
            proxy_pass http://origin;
        }"""

LUA_FILTER = """
        location / {
            access_by_lua_block {
                if ngx.var.http_x_token ~= "secret" then return ngx.exit(403) end
                ngx.req.set_header("x-bench", "1")
            }
            header_filter_by_lua_block { ngx.header["x-bench"] = "1" }
            proxy_pass http://origin;
        }"""

LUA_UPPER = """
        location / {
            header_filter_by_lua_block { ngx.header.content_length = nil }
            body_filter_by_lua_block {
                if ngx.arg[1] ~= "" then ngx.arg[1] = string.upper(ngx.arg[1]) end
            }
            proxy_pass http://origin;
        }"""

# njs has no phase for access in this version: a variable that is computed stands in for it.
NJS_FILTER = """
        location / {
            if ($token_is_right = 0) { return 403; }
            proxy_set_header connection "";
            proxy_set_header x-bench 1;
            js_header_filter bench.mark;
            proxy_pass http://origin;
        }"""

NJS_UPPER = """
        location / {
            js_header_filter bench.any_length;
            js_body_filter bench.upper buffer_type=string;
            proxy_pass http://origin;
        }"""

NJS_CODE = """
function token(r) { return r.headersIn['x-token'] === 'secret' ? '1' : '0'; }
function mark(r) { r.headersOut['x-bench'] = '1'; }
function any_length(r) { delete r.headersOut['content-length']; }
function upper(r, data, flags) { r.sendBuffer(data.toUpperCase(), flags); }
export default { token, mark, any_length, upper };
"""

# So many requests at once; the others are refused at once, there is no queue.
BOUNDED = f"""
        limit_conn all {IN_FLIGHT};
        limit_conn_status 503;{FORWARD}"""

WEBSOCKET = """
        location / {
            proxy_set_header upgrade $http_upgrade;
            proxy_set_header connection upgrade;
            proxy_pass http://origin;
        }"""


def peers() -> list[Peer]:
    debian = "Debian packages nginx-light and"
    return [
        Peer(
            "nginx",
            "nginx",
            "Debian package nginx-light",
            {
                Job.FORWARD: partial(command, FORWARD),
                Job.FILTER: partial(command, FILTER),
                Job.HEADERS: partial(command, HEADERS),
                Job.TLS: partial(command, FORWARD, tls=True),
                Job.WEBSOCKET: partial(command, WEBSOCKET),
                Job.ROUTES: routes,
                Job.LOG: partial(command, FORWARD, log=True),
                Job.BOUNDED: partial(
                    command, BOUNDED, code="limit_conn_zone $server_addr zone=all:64k;"
                ),
            },
            version=("-v",),
        ),
        Peer(
            "nginx +lua",
            "nginx",
            f"{debian} libnginx-mod-http-lua",
            {
                Job.FILTER: partial(command, LUA_FILTER, modules=(NDK, LUA)),
                Job.UPPER: partial(command, LUA_UPPER, modules=(NDK, LUA)),
            },
            needs=(NDK, LUA),
            version=("-v",),
        ),
        Peer(
            "nginx +njs",
            "nginx",
            f"{debian} libnginx-mod-http-js",
            {Job.FILTER: partial(with_njs, NJS_FILTER), Job.UPPER: partial(with_njs, NJS_UPPER)},
            needs=(NJS,),
            version=("-v",),
        ),
    ]


def command(
    locations: str,
    site: Site,
    *,
    modules: tuple[Path, ...] = (),
    code: str = "",
    tls: bool = False,
    log: bool = False,
) -> Command:
    """A proxy with these locations. It keeps connections open, and holds bodies in memory."""
    upstream = f"""
    upstream origin {{
        server 127.0.0.1:{site.upstream_port};
        keepalive {site.kept};
        keepalive_requests 1000000000;
    }}
    proxy_http_version 1.1;
    proxy_set_header connection "";
    proxy_buffers 16 16k;
    proxy_buffer_size 16k;
    proxy_busy_buffers_size 32k;
    client_body_buffer_size 256k;
    {code}"""
    listen = f"127.0.0.1:{site.port} backlog=4096"
    if tls:
        listen += f""" ssl http2;
        ssl_certificate {site.shared}/cert.pem;
        ssl_certificate_key {site.shared}/key.pem"""
    server = f"""
    server {{
        listen {listen};{locations}
    }}"""
    return start(site.folder, site.workers, upstream + server, modules, log)


def with_njs(locations: str, site: Site) -> Command:
    site.write("bench.js", NJS_CODE)
    code = f"""
    js_path {site.folder};
    js_import bench from bench.js;
    js_set $token_is_right bench.token;"""
    return command(locations, site, modules=(NJS,), code=code)


def routes(site: Site) -> Command:
    each = [f"location {path} {{ proxy_pass http://origin; }}" for path in site.route_paths()]
    return command("\n        " + "\n        ".join(each), site)


def start(
    folder: Path, workers: int, http: str, modules: tuple[Path, ...] = (), log: bool = False
) -> Command:
    """nginx with this in its section `http`."""
    # nginx started by root would give its workers to a user that may not enter our folder.
    user = "user root;" if as_root() else ""
    loads = "\n".join(f"load_module {module};" for module in modules)
    temporary = "\n    ".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    access_log = f"{folder}/access.log" if log else "off"
    config = folder / "nginx.conf"
    config.write_text(f"""
{loads}
daemon off;
{user}
worker_processes {workers};
worker_rlimit_nofile 20000;
pid {folder}/nginx.pid;
events {{ worker_connections 16000; }}
http {{
    access_log {access_log};
    {temporary}
    keepalive_requests 1000000000;
    keepalive_timeout 600s;{http}
}}
""")
    return Command(["nginx", "-p", str(folder), "-e", f"{folder}/error.log", "-c", str(config)])
