"""The proxies side by side: how each is configured, started and known to be ready. A new one is a class and a row."""
import base64
import hashlib
import hmac
import json
import os
import subprocess
import time
from pathlib import Path

from rig import HERE, Child, Failed, accepts, find_program, free_ports, process_tree, wait_until

DEFAULT_EDGE = HERE.parent / ".build" / "release" / "edge"


class Proxy:
    """A proxy in front of the origin. `before` is put before its command (valgrind); `single` asks for one process."""
    package = None  # the Debian package that holds the program of the same name

    def __init__(self, rig, name, origin_port, before=(), single=False):
        self.rig, self.name, self.origin_port = rig, name, origin_port
        self.before, self.single = list(before), single
        self.folder = rig.folder / name
        self.port = None
        self.child = None

    def command(self):
        """Writes the configuration into the folder and returns the command line."""
        raise NotImplementedError

    def is_ready(self):
        """Whether it serves; sets the port where that is known only now."""
        return accepts(self.port)

    def version_command(self):
        raise NotImplementedError

    def version(self):
        """One line that names the program's version."""
        try:
            done = subprocess.run(self.version_command(), capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return "unknown"
        return ((done.stdout or done.stderr).strip().splitlines() or ["unknown"])[0]

    def environment(self):
        return None

    def start(self, seconds=10):
        """Starts it and waits until it serves; Failed with the end of its output when it does not."""
        self.folder.mkdir(exist_ok=True)
        argv = self.before + self.command()
        out = self.folder / "out.log"
        out.unlink(missing_ok=True)  # what an earlier start said is not this one's readiness
        self.child = Child(self.rig, self.name, argv, self.rig.proxy_core, out, self.folder, self.environment())
        served = wait_until(lambda: not self.child.alive() or self.is_ready(), seconds)
        if served and self.child.alive():
            return
        code = self.child.process.returncode
        state = f"it did not serve in {seconds} s" if code is None else f"it ended with code {code} before it served"
        words = self.child.output().strip()
        self.child.stop()
        raise Failed(f"{state}; {'it printed: ' + words if words else 'it printed nothing'}")

    def pids(self):
        """Its processes; Failed when it has ended."""
        if self.child and not self.child.alive():
            raise Failed(f"it ended with code {self.child.process.returncode}; {self.child.output(500).strip()}")
        return process_tree(self.child.pid) if self.child else []

    def stop(self, seconds=5):
        if self.child:
            self.child.stop(seconds)

    def load_options(self):
        """What the client must send beside the plain request."""
        return []

    def after_window(self, requests):
        """Called after each measured window; returns a complaint or None."""
        return None


class Direct(Proxy):
    """No proxy at all: what the client and the origin can do by themselves."""

    def start(self, seconds=10):
        self.port = self.origin_port

    def version(self):
        return "no proxy"


NGINX = """
worker_processes 1;
daemon off;
master_process {master};
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log error;
events {{ worker_connections 9000; use epoll; multi_accept on; }}
http {{
  {log}
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  tcp_nodelay on;
  keepalive_timeout 600s; keepalive_requests 100000000;
  client_max_body_size 100m; client_body_buffer_size 32k;
  proxy_http_version 1.1;
  upstream origin {{
    server 127.0.0.1:{origin}; keepalive 512; keepalive_requests 100000000; keepalive_timeout 600s;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass http://origin; proxy_set_header Connection ""; }}
  }}
}}
"""


class Nginx(Proxy):
    package = "nginx"
    log = "access_log off;"

    def command(self):
        self.port = free_ports(1)[0]
        config = self.folder / "nginx.conf"
        config.write_text(NGINX.format(
            folder=self.folder, port=self.port, origin=self.origin_port, master="off" if self.single else "on",
            log=self.log.format(folder=self.folder), user="" if os.geteuid() else "user root;"))
        return [find_program("nginx"), "-c", config, "-p", self.folder, "-e", self.folder / "error.log"]

    def version_command(self):
        return [find_program("nginx"), "-v"]


class LoggingNginx(Nginx):
    """nginx with a buffered JSON access log of about the fields that Edge writes."""
    log = ('log_format exchange escape=json \'{{"time":"$time_iso8601","requestId":"$request_id",'
           '"client":"$remote_addr","method":"$request_method",'
           '"host":"$host","path":"$uri","status":$status,"requestBytes":$request_length,'
           '"responseBytes":$bytes_sent,"duration":$request_time,"upstreamDuration":"$upstream_response_time"}}\';\n'
           '  access_log {folder}/access.log exchange buffer=64k flush=1s;')

    def after_window(self, requests):
        os.truncate(self.folder / "access.log", 0)


HAPROXY = """
global
  nbthread 1
  maxconn 4096
  no strict-limits
  no-memory-trimming
  log stderr local0 emerg
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout http-keep-alive 600s
  option http-no-delay
  option splice-auto
  http-reuse aggressive
frontend plain
  bind 127.0.0.1:{port} backlog 4096
  default_backend origin
backend origin
  server origin 127.0.0.1:{origin} pool-max-conn 2000 pool-purge-delay 600s
"""


class HAProxy(Proxy):
    package = "haproxy"

    def command(self):
        self.port = free_ports(1)[0]
        config = self.folder / "haproxy.cfg"
        config.write_text(HAPROXY.format(port=self.port, origin=self.origin_port))
        return [find_program("haproxy"), "-db", "-f", config]

    def version_command(self):
        return [find_program("haproxy"), "-v"]


EDGE = """
version: 1
server: {{workers: 1}}
listeners:
  main: {{bind: "127.0.0.1:0"}}
services:
  origin:
    endpoints: ["http://127.0.0.1:{origin}"]
    pool: {{size: 512, idle: 60s}}
routes:
  all: {{path: "/*", service: origin}}
log: {{level: info, access: {access}}}
"""


EDGE_POLICIES = """
policies:
  auth: {script: auth.lua}
  permissions: {script: permissions.lua}
  limit: {script: rate_limit.lua, settings: {rate: 1000000 per 1s, burst: 1000000}}
"""


class Edge(Proxy):
    access = False
    binary = DEFAULT_EDGE  # set by --edge

    def command(self):
        if not Path(self.binary).exists():
            raise Failed(f"no binary at {self.binary}; build it with `swift build -c release`, or name one with --edge")
        config = self.folder / "routes.yaml"
        config.write_text(EDGE.format(origin=self.origin_port, access="true" if self.access else "false"))
        return [Path(self.binary).resolve(), "run", "--config", config]

    def environment(self):
        # The first two would change the configuration from outside; without a secret nothing starts.
        kept = {name: value for name, value in os.environ.items() if name not in ("LOG_LEVEL", "GATEWAY_TIMEOUT_MS")}
        return kept | {"JWT_SECRET": PolicyEdge.SECRET}

    def is_ready(self):
        """Edge says on stdout where it listens and when its workers are up."""
        ready = False
        for line in self.child.output(8000).splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if not isinstance(event, dict):
                continue
            if event.get("event") == "listening":
                self.port = int(event["address"].rpartition(":")[2])
            ready = ready or event.get("event") == "ready"
        return ready and self.port is not None

    def version_command(self):
        return [Path(self.binary).resolve(), "version"]


class LoggingEdge(Edge):
    """Edge with its access log, which is its stdout, in a file on disk."""
    access = True

    def after_window(self, requests):
        log = self.folder / "out.log"
        with open(log, "rb") as file:
            lines = sum(1 for line in file if b'"event":"exchange"' in line)
        os.truncate(log, 0)  # it was opened for appending, so the next line stands at the start
        return None if lines >= requests else f"{self.name}: {lines} log lines for {requests} requests"


class PolicyEdge(Edge):
    """Edge asking the shipped policies about each request: token, permission, rate limit."""
    SECRET = "bench" * 13
    policies = HERE.parent / "policies"

    def command(self):
        argv = super().command()
        config = self.folder / "routes.yaml"
        config.write_text(config.read_text().replace("server: {workers: 1}\n", "").replace(
            'service: origin}', 'service: origin, policies: [auth, permissions, limit], permission: services:use}')
            + f"server: {{workers: 1, policies: {self.policies}}}\n" + EDGE_POLICIES)
        return argv

    def load_options(self):
        def part(value):
            return base64.urlsafe_b64encode(value).rstrip(b"=")

        claims = {"sub": "bench-user-0001", "role": "user", "exp": int(time.time()) + 86400, "iss": "bench",
                  "name": "A user of the bench", "iat": int(time.time())}
        text = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(json.dumps(claims).encode())
        mac = hmac.new(self.SECRET.encode(), text, hashlib.sha256).digest()
        return ["--token", (text + b"." + part(mac)).decode()]


PROXIES = {
    "direct": Direct,
    "nginx": Nginx,
    "haproxy": HAProxy,
    "edge": Edge,
    "nginx+log": LoggingNginx,
    "edge+log": LoggingEdge,
    "edge+policies": PolicyEdge,
}


def packages(names):
    """Program -> Debian package, for those of the named proxies that come from Debian."""
    return {PROXIES[name].package: PROXIES[name].package for name in names if PROXIES[name].package}
