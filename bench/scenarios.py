"""What is measured: a row in SCENARIOS each. A scenario takes one window of one proxy and returns its figures."""
import os
import signal
import threading
import time
from dataclasses import dataclass

from proxies import Edge
from rig import Failed, memory_kib

IDLE, IDLE_TLS = 9000, 2000
RELOADS, RELOAD_SECONDS = 20, 10
RELOAD_STREAMS = 500
HOLES = ("endless", "swallowed", "pattern", "memory", "handler", "nested", "sorting")
ALL = ("nginx", "haproxy", "edge")
MIB = 1 << 20


@dataclass(frozen=True)
class Scenario:
    """A closed loop or a rate, measured as CPU time per request, event or MiB."""
    title: str
    load: tuple = ()
    port: str = "plain"
    edge_port: str = ""  # where Edge does more than the peers, which pass through
    proxies: tuple = ALL
    per: str = "request"  # request, event or MiB
    tokens: bool = False
    stretch: float = 1  # times the length of the window
    warmup: float = 0.3
    alone: bool = False  # once, not in rounds, each proxy started anew and alone
    asked: str = "requests"  # what the origin counts for an answer; empty: nothing

    def port_of(self, proxy):
        return proxy.ports[self.edge_port if self.edge_port and isinstance(proxy, Edge) else self.port]

    def options(self, run):
        return [*self.load, *(["--tokens", run.rig.tokens()] if self.tokens else [])]

    def measure(self, run, proxy):
        """One window: the load client's object with the figures added."""
        seconds = run.settings.window * self.stretch
        options = ["--seconds", seconds, "--warmup", self.warmup, "--origin-pid", run.origin.pid, *self.options(run)]
        pids = proxy.pids()
        if pids:
            options += ["--pids", ",".join(map(str, pids))]
        result = run.rig.load(self.port_of(proxy), *options, seconds=seconds + self.warmup + 30)
        return result | self.figures(result)

    def figures(self, result):
        amount = {"request": result["requests"], "event": result["events"], "MiB": result["bytes"] / MIB}[self.per]
        cpu = result["cpu_ns"] / amount / 1e3 if amount and result["cpu_ns"] is not None else None
        return {"cpu_us": cpu, "rate": amount / result["seconds"] if result["seconds"] else None}


@dataclass(frozen=True)
class Idle(Scenario):
    """Many connections that say nothing: memory of each. Then each must still work."""
    connections: int = IDLE
    alone: bool = True
    asked: str = ""

    def measure(self, run, proxy):
        time.sleep(1)
        before = memory_kib(proxy.pids())
        count = min(self.connections, run.most_connections())
        child = run.rig.begin_load(self.port_of(proxy), "--hold", "--connections", count, "--limit", 45,
                                   "--patience", 10, *self.options(run))
        line = child.process.stdout.readline()  # the client's own limit ends the wait
        time.sleep(1.5)
        after = memory_kib(proxy.pids())
        if not line or not child.alive():
            raise Failed("the load client ended before its connections stood")
        os.kill(child.pid, signal.SIGUSR1)
        result = run.rig.end_load(child, 60)
        dead = count - result["requests"]
        result["bad"] = max(result["bad"], dead)
        return result | {"kib_each": (after - before) / max(result["held"], 1), "start_mib": before / 1024}


@dataclass(frozen=True)
class Slow(Scenario):
    """Clients that read slowly: how much the proxy's memory grows."""
    alone: bool = True

    def measure(self, run, proxy):
        time.sleep(1)
        with Memory(proxy) as memory:
            result = run.rig.load(self.port_of(proxy), "--seconds", 4, "--warmup", 0, *self.options(run), seconds=30)
        return result | {"growth_mib": (memory.peak - memory.first) / 1024, "rate": result["bytes"] / MIB / 4}


@dataclass(frozen=True)
class Reloads(Scenario):
    """Reloads under load: what fails, what is cut, how much memory the generations take together."""
    alone: bool = True

    def measure(self, run, proxy):
        streams = run.rig.begin_load(
            proxy.ports["plain"], "--mode", "streams", "--path", "/v1/stream?events=300&gap=50000", "--events", 300,
            "--connections", RELOAD_STREAMS, "--requests", RELOAD_STREAMS, "--limit", 30, "--stagger", 40)
        time.sleep(1)
        steady = run.rig.begin_load(proxy.ports["plain"], "--connections", 32, "--rate", 2000, "--races", "--seconds",
                                    RELOAD_SECONDS + 1.5, "--warmup", 0.3)
        time.sleep(0.8)
        with Memory(proxy) as memory:
            start = time.monotonic()
            for number in range(1, RELOADS + 1):
                proxy.reload(number)
                time.sleep(max(0, start + number * RELOAD_SECONDS / RELOADS - time.monotonic()))
        result, long = run.rig.end_load(steady, 40), run.rig.end_load(streams, 40)
        complaint = proxy.after_reloads(RELOADS)
        if complaint:
            run.complain(complaint)
        # What fails here is a figure: a peer's, or a bar of Edge's that is missed.
        return result | {"answered": result["answered"] + long["answered"], "failed": result["bad"], "bad": 0,
                         "dropped": RELOAD_STREAMS - long["answered"], "peak_mib": memory.peak / 1024}


@dataclass(frozen=True)
class Hostile(Scenario):
    """Every hundredth request is for a script that does harm: what the others wait more than without them."""

    def measure(self, run, proxy):
        calm, harmed = self.window(run, proxy, False), self.window(run, proxy, True)
        added = (harmed["p99_us"] - calm["p99_us"]) / 1e3
        return harmed | {"p99_calm_us": calm["p99_us"], "added_ms": added, "bad": harmed["bad"] + calm["bad"],
                         "answered": harmed["answered"] + calm["answered"], "requests": harmed["requests"]}

    def window(self, run, proxy, harm):
        seconds, port, evil = run.settings.window * self.stretch, self.port_of(proxy), None
        if harm:
            paths = ",".join(f"/hostile/{hole}" for hole in HOLES)
            evil = run.rig.begin_load(port, "--get", "--connections", 8, "--rate", 5, "--path", paths, "--status", 500,
                                      "--seconds", seconds, "--warmup", self.warmup)
        result = run.rig.load(port, "--rate", 495, "--seconds", seconds, "--warmup", self.warmup, *self.options(run),
                              seconds=seconds + 30)
        if evil:
            other = run.rig.end_load(evil, 30)
            result["bad"] += other["bad"]
            for kind, count in other["bad_kinds"].items():
                result["bad_kinds"][kind] += count
            if not other["answered"]:
                raise Failed("no hostile script was answered")
        return result


class Memory:
    """Watches a proxy's memory meanwhile: `first` and `peak`, in KiB."""

    def __init__(self, proxy):
        self.proxy, self.over = proxy, threading.Event()
        self.first = self.peak = memory_kib(proxy.pids())
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def watch(self):
        while not self.over.wait(0.2):
            try:
                self.peak = max(self.peak, memory_kib(self.proxy.pids()))
            except Failed:
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def streams(events, gap, path="/v1/stream"):
    return ("--mode", "streams", "--path", f"{path}?events={events}&gap={gap}", "--events", events)


def big(path, *options):
    return ("--path", path, "--connections", 4, *options)


CLOSED = ("--connections", 64)
SOCKET = ("--mode", "sockets", "--path", "/v1/ws")
TEN = 10 * MIB
POLICY = ("nginx+lua", "haproxy", "haproxy+lua", "edge", "edge+sqlite")
MODELS = ("nginx", "haproxy", "edge", "edge+sqlite")
CHAT = "/v1/chat/completions"

SCENARIOS = {
    "S1": Scenario("POST of 1.2 KB of JSON, 1.2 KB back, 64 keep-alive connections, closed loop", CLOSED,
                   proxies=("direct", "nginx", "nginx+log", "haproxy", "edge", "edge+log")),
    "S1g": Scenario("GET with five fields, else as S1", (*CLOSED, "--get")),
    "S1r": Scenario("S1 at 8,000 requests a second", (*CLOSED, "--rate", 8000)),
    "S2": Scenario("S1 with policy: token, its end, limit, credits; 1,000 users", CLOSED, "policy",
                   proxies=POLICY, tokens=True),
    "S3a": Scenario("200 streams of 200 events without a gap",
                    (*streams(200, 0), "--connections", 200, "--stagger", 100), per="event"),
    "S3b": Scenario("200 streams of 200 events, 5 ms between them",
                    (*streams(200, 5000), "--connections", 200, "--stagger", 100), per="event", warmup=0.5),
    "S4": Scenario("echo of 200 bytes of JSON on 64 WebSockets", (*CLOSED, *SOCKET), asked="messages"),
    "S4t": Scenario("S4 on a route that is tunnelled", (*CLOSED, *SOCKET[:-1], "/tunnel/v1/ws"), asked="messages"),
    "S5": Idle("idle WebSockets", SOCKET),
    "S5k": Idle("idle keep-alive connections after one request", ("--get",)),
    "S5t": Idle("idle WebSockets over TLS", (*SOCKET, "--tls"), "rsa", connections=IDLE_TLS),
    "S6r": Scenario("new TLS connection with a full handshake, RSA-2048, and one request",
                    ("--tls", "--fresh", "--connections", 16), "rsa"),
    "S6e": Scenario("the same with P-256", ("--tls", "--fresh", "--connections", 16), "ec"),
    "S6k": Scenario("S1 over TLS", (*CLOSED, "--tls"), "rsa"),
    "S7d": Scenario("10 MB answers", big(f"/v1/big?bytes={TEN}", "--get", "--download", TEN), per="MiB"),
    "S7u": Scenario("10 MB requests", big("/v1/sink", "--upload", TEN), per="MiB"),
    "S7s": Slow("50 clients that read 32 MB at 0.4 MB/s each",
                ("--path", f"/v1/big?bytes={32 * MIB}", "--connections", 50, "--get", "--download", 32 * MIB,
                 "--slow", 400000, "--leave")),
    "S8": Reloads("20 reloads in 10 s under 2,000 requests a second and 500 streams"),
    "S9": Scenario("500 requests a second on 16 connections", ("--connections", 16, "--rate", 500)),
    "A2": Scenario("chat with a model, 16 connections, closed loop; the peers pass it through",
                   ("--connections", 16, "--path", CHAT), edge_port="policy", proxies=MODELS, tokens=True),
    "A3": Scenario("8 streamed chats of 100 events, 10 ms between them; the peers pass them through",
                   (*streams(100, 10000, CHAT), "--connections", 8, "--stagger", 2500), edge_port="policy",
                   proxies=MODELS, per="event", tokens=True, stretch=1.5, warmup=0.5),
    "L1": Hostile("500 requests a second with policy, one in a hundred for a script that does harm", CLOSED, "policy",
                  proxies=("edge",), tokens=True, stretch=2, asked=""),
}
