"""The proxies side by side: how each is configured, started and known to be ready. A new one is a class and a row."""
import json
import os
import signal
import string
import subprocess
from pathlib import Path

from rig import CREDITS, HERE, RATE_LIMIT, SECRET, Child, Failed, accepts, find_program, free_ports, process_tree
from rig import wait_until

CONFIGS = HERE / "configs"
DEFAULT_EDGE = HERE.parent / ".build" / "release" / "edge"
# What a proxy listens for: plain HTTP, callers with tokens, TLS with an RSA and with a P-256 key, metrics.
PORTS = ("plain", "policy", "rsa", "ec", "metrics")


class Proxy:
    """A proxy in front of the origin. `before` is put before its command (valgrind); `single` asks for one process."""
    packages = {}  # Debian package: a program of it, or None
    main = "plain"  # where it is asked whether it serves
    guards = False  # whether its port `policy` asks for tokens

    def __init__(self, rig, name, origin_port, before=(), single=False):
        self.rig, self.name, self.origin_port = rig, name, origin_port
        self.before, self.single = list(before), single
        self.folder = rig.folder / name
        self.ports = dict(zip(PORTS, free_ports(len(PORTS))))
        self.child = None

    def command(self):
        """Writes the configuration into the folder and returns the command line."""
        raise NotImplementedError

    def write(self, source, target, **more):
        """A template of bench/configs, filled in."""
        values = {"folder": self.folder, "origin": self.origin_port, "secret": SECRET, "rate_limit": RATE_LIMIT,
                  "credits": CREDITS, **self.ports, **self.rig.certificates(), **more}
        (self.folder / target).write_text(fill(source, values))
        return self.folder / target

    def is_ready(self):
        return accepts(self.ports[self.main])

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

    def reload(self, number):
        """Has it take its configuration anew, the `number`th time."""
        raise NotImplementedError

    def after_reloads(self, number):
        """Called after the last of `number` reloads; returns a complaint or None."""
        return None

    def after_window(self, requests):
        """Called after each measured window; returns a complaint or None."""
        return None


def fill(source, values):
    return string.Template((CONFIGS / source).read_text()).substitute(values)


class Direct(Proxy):
    """No proxy at all: what the client and the origin can do by themselves."""

    def start(self, seconds=10):
        self.ports["plain"] = self.origin_port

    def version(self):
        return "no proxy"


class Nginx(Proxy):
    packages = {"nginx": "nginx"}
    log = "access_log off;"

    def command(self, modules="", lua=""):
        self.write("nginx_locations.conf", "locations.conf", http_upgrade="$http_upgrade",
                   connection_upgrade="$connection_upgrade")
        config = self.write("nginx.conf", "nginx.conf", modules=modules, lua=lua,
                            master="off" if self.single else "on", log=self.log.replace("FOLDER", str(self.folder)),
                            user="" if os.geteuid() else "user root;")
        return [find_program("nginx"), "-c", config, "-p", self.folder, "-e", self.folder / "error.log"]

    def version_command(self):
        return [find_program("nginx"), "-v"]

    def reload(self, number):
        os.kill(self.child.pid, signal.SIGHUP)


class LoggingNginx(Nginx):
    """nginx with a buffered JSON access log of about the fields that Edge writes."""
    log = ('log_format exchange escape=json \'{"time":"$time_iso8601","requestId":"$request_id",'
           '"client":"$remote_addr","method":"$request_method",'
           '"host":"$host","path":"$uri","status":$status,"requestBytes":$request_length,'
           '"responseBytes":$bytes_sent,"duration":$request_time,"upstreamDuration":"$upstream_response_time"}\';\n'
           '  access_log FOLDER/access.log exchange buffer=64k flush=1s;')

    def after_window(self, requests):
        os.truncate(self.folder / "access.log", 0)


class LuaNginx(Nginx):
    """nginx with the policy in Lua."""
    guards = True
    packages = {"nginx": "nginx", "libnginx-mod-http-lua": None, "lua-cjson": None}
    main = "policy"

    def command(self):
        self.write("nginx_policy.lua", "policy.lua")
        lua = self.write("nginx_policy.conf", "policy.conf").read_text()
        folder = "/usr/lib/nginx/modules"
        modules = "".join(f"load_module {folder}/{name}_module.so;\n" for name in ("ndk_http", "ngx_http_lua"))
        return super().command(modules, lua)


class HAProxy(Proxy):
    guards = True
    packages = {"haproxy": "haproxy"}

    def rules(self):
        """The lines of the frontend `policy`, and those of `global`."""
        return self.write("haproxy_rules.cfg", "rules.cfg").read_text(), ""

    def command(self):
        rules, lua = self.rules()
        config = self.write("haproxy.cfg", "haproxy.cfg", rules=rules.replace("\n", "\n  "), lua=lua)
        return [find_program("haproxy"), "-db" if self.single else "-W", "-f", config]

    def version_command(self):
        return [find_program("haproxy"), "-v"]

    def reload(self, number):
        os.kill(self.child.pid, signal.SIGUSR2)


class LuaHAProxy(HAProxy):
    """HAProxy with the policy as an action in Lua."""
    main = "policy"

    def rules(self):
        script = self.write("haproxy_policy.lua", "policy.lua")
        return "http-request lua.policy", f"lua-load {script}"


class Edge(Proxy):
    guards = True
    access, ledger = "false", "memory"
    binary = DEFAULT_EDGE  # set by --edge
    config = CONFIGS / "all.yaml"  # set by --edge-config

    def command(self):
        if not Path(self.binary).exists():
            raise Failed(f"no binary at {self.binary}; build it with `swift build -c release`, or name one with --edge")
        self.write_mark(0)
        return [Path(self.binary).resolve(), "run", "--config", Path(self.config).resolve()]

    def write_mark(self, number):
        # An unchanged configuration is nothing to do for Edge, so each reload has another setting.
        text = f'policies: {{mark: {{script: mark.lua, settings: {{mark: "{number}"}}}}}}\n'
        (self.folder / "mark.new").write_text(text)
        (self.folder / "mark.new").rename(self.folder / "mark.yaml")

    def environment(self):
        # These two would change the configuration from outside.
        kept = {name: value for name, value in os.environ.items() if name not in ("LOG_LEVEL", "GATEWAY_TIMEOUT_MS")}
        names = {"plain": "EDGE_LISTEN"} | {name: f"EDGE_{name.upper()}_LISTEN" for name in PORTS[1:]}
        kept |= {variable: f"127.0.0.1:{self.ports[name]}" for name, variable in names.items()}
        kept |= {f"EDGE_{name.upper()}": str(path) for name, path in self.rig.certificates().items()}
        return kept | {"EDGE_UPSTREAM": f"http://127.0.0.1:{self.origin_port}", "EDGE_WORKERS": "1",
                       "EDGE_LEDGER": self.ledger, "EDGE_VAR": str(self.folder), "EDGE_ACCESS": self.access,
                       "EDGE_RATE_LIMIT": str(RATE_LIMIT), "EDGE_CREDITS": str(CREDITS), "JWT_SECRET": SECRET}

    def is_ready(self):
        """Edge says on stdout when its workers are up."""
        return any(event == "ready" for event in self.events())

    def events(self):
        for line in self.child.output(8000).splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict):
                yield entry.get("event")

    def version_command(self):
        return [Path(self.binary).resolve(), "version"]

    def reload(self, number):
        self.write_mark(number)
        os.kill(self.child.pid, signal.SIGHUP)

    def after_reloads(self, number):
        said = self.rig.ask(self.ports["policy"], "GET", "/mark")
        return None if said == (200, str(number)) else f"{self.name}: after reload {number} /mark says {said}"


class LoggingEdge(Edge):
    """Edge with its access log, which is its stdout, in a file on disk."""
    access = "true"

    def after_window(self, requests):
        log = self.folder / "out.log"
        with open(log, "rb") as file:
            lines = sum(1 for line in file if b'"event":"exchange"' in line)
        os.truncate(log, 0)  # it was opened for appending, so the next line stands at the start
        return None if lines >= requests else f"{self.name}: {lines} log lines for {requests} requests"


class DurableEdge(Edge):
    """Edge with its ledger on disk: an answer ends when its charge stands there."""
    ledger = "sqlite"


PROXIES = {
    "direct": Direct,
    "nginx": Nginx,
    "nginx+log": LoggingNginx,
    "nginx+lua": LuaNginx,
    "haproxy": HAProxy,
    "haproxy+lua": LuaHAProxy,
    "edge": Edge,
    "edge+log": LoggingEdge,
    "edge+sqlite": DurableEdge,
}


def packages(names):
    """Debian package: its program, for those of the named proxies that come from Debian."""
    return {package: program for name in names for package, program in PROXIES[name].packages.items()}
