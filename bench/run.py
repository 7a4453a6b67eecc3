#!/usr/bin/env python3
"""The benchmark: Edge and its peers side by side, interleaved, CPU time first. See README.md."""
import argparse
import json
import os
import platform
import resource
import sys
import time
from pathlib import Path

import report
import rig
from proxies import DEFAULT_EDGE, PROXIES, Edge, packages
from rig import Failed, Rig, note
from scenarios import CHAT, SCENARIOS, streams

DEFAULT_SCENARIOS = ",".join(name for name in SCENARIOS if name != "S1g")
# What the load client must see: how it asks, with which faults of the origin, and every how many answers.
SELF_TESTS = {
    "JSON": (("--connections", 16), "cut flip status shut stall frame", 1000),
    "JSON over TLS": (("--connections", 16, "--tls"), "cut flip status shut stall frame", 500),
    "new TLS connections": (("--connections", 4, "--tls", "--fresh"), "cut flip status shut frame", 20),
    "streams": ((*streams(50, 0), "--connections", 16), "cut flip status shut stall frame lost", 20),
    "streams of a chat": ((*streams(100, 10000, CHAT), "--connections", 64), "cut flip lost", 10),
    "WebSockets": (("--mode", "sockets", "--path", "/v1/ws", "--connections", 16),
                   "cut flip status shut stall frame", 1000),
    "WebSockets over TLS": (("--mode", "sockets", "--path", "/v1/ws", "--connections", 16, "--tls"),
                            "cut flip stall frame", 500),
    "large answers": (("--get", "--path", "/v1/big?bytes=1000000", "--download", 1000000, "--connections", 4),
                      "cut flip status shut stall frame", 20),
}


class Run:
    """The proxies that serve, the rounds, and what was measured."""

    def __init__(self, rig, settings):
        self.rig, self.settings = rig, settings
        self.proxies, self.absent, self.complaints = [], [], []
        self.results, self.failed = {}, set()  # scenario → proxy → rows; pairs that are not measured again

    def complain(self, text):
        note(text)
        self.complaints.append(text)

    def most_connections(self):
        """Connections through a proxy that the limit of descriptors bears, two each."""
        return (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 2000) // 2

    def start(self, names):
        """Starts the origin and every proxy that can serve; the others are named and left out."""
        self.origin = self.rig.origin("--expect-body")
        for name in names:
            proxy = PROXIES[name](self.rig, name, self.origin.port)
            try:
                proxy.start()
                self.probe(proxy)
            except Failed as reason:
                proxy.stop()
                self.absent.append(f"{name} was left out: {reason}")
                note(self.absent[-1])
                continue
            proxy.after_window(0)
            self.proxies.append(proxy)

    def probe(self, proxy):
        """A few requests; and who has no good token must be refused."""
        tokens = ("--tokens", self.rig.tokens()) if proxy.main == "policy" else ()
        answers = self.rig.load(proxy.ports[proxy.main], "--requests", 100, "--connections", 4, "--limit", 10, *tokens)
        if answers["bad"]:
            raise Failed(f"it answers wrongly: {kinds(answers)}")
        if not proxy.guards:
            return
        good = rig.token("user")
        refused = {"no token": None, "another signature": good[:-6] + "AAAAAA",
                   "an old token": rig.token("user", seconds=-99), "another secret": rig.token("user", "x" * 40)}
        for what, bearer in {"a good token": good, **refused}.items():
            status = self.rig.ask(proxy.ports["policy"], "GET", "/v1/json", bearer)[0]
            if status != (401 if what in refused else 200):
                raise Failed(f"its policy answers {what} with {status}")

    def rounds(self, names):
        """A B C, C B A, … for each scenario: a drift of the machine falls on all alike."""
        for number in range(self.settings.rounds):
            for name in names:
                began = time.monotonic()
                for proxy in self.proxies[:: 1 if number % 2 == 0 else -1]:  # a copy: one that fails leaves the list
                    if proxy.name in SCENARIOS[name].proxies:
                        self.one(name, proxy, number)
                note(f"{name}: round {number + 1} of {self.settings.rounds}, {time.monotonic() - began:.0f} s")

    def alone(self, names):
        """Scenarios about memory: each proxy is started anew with no other beside it, since what several processes of
        one program share would count for each of them in part only."""
        for proxy in self.proxies:
            proxy.stop()
        for name in names:
            began = time.monotonic()
            for proxy in self.proxies:
                if proxy.name not in SCENARIOS[name].proxies:
                    continue
                try:
                    proxy.start()
                except Failed as reason:
                    self.complain(f"{name} {proxy.name}: {reason}")
                    continue
                self.one(name, proxy, 0)
                proxy.stop()
            note(f"{name}: {time.monotonic() - began:.0f} s")

    def one(self, name, proxy, number):
        """One window of one proxy. After one that failed it is not asked for this again."""
        if (name, proxy.name) in self.failed:
            return
        try:
            result = self.window(SCENARIOS[name], proxy)
        except Failed as reason:
            self.complain(f"{name} {proxy.name}, round {number + 1}, its last: {reason}")
            self.failed.add((name, proxy.name))
            if proxy.child and not proxy.child.alive():
                self.again(proxy)
            return
        rows = self.results.setdefault(name, {})
        rows.setdefault(proxy.name, []).append(result | {"round": number})

    def again(self, proxy):
        try:
            proxy.stop()
            proxy.start()
        except Failed as reason:
            self.complain(f"{proxy.name} is left out from here on: {reason}")
            self.proxies.remove(proxy)

    def window(self, scenario, proxy):
        """One measurement, and what speaks against believing it."""
        before = self.origin.count()
        result = scenario.measure(self, proxy)
        after = self.origin.count()
        if result["bad"]:
            self.complain(f"{proxy.name}: {result['bad']} bad answers: {kinds(result) or 'none came'}")
        asked = after[scenario.asked] - before[scenario.asked] if scenario.asked else result["answered"]
        if asked < result["answered"]:
            self.complain(f"{proxy.name}: {result['answered']} answers, but the origin saw only {asked} requests")
        if result["bad"] and not result["requests"]:
            raise Failed("nothing but bad answers")
        complaint = proxy.after_window(result["requests"])
        if complaint:
            self.complain(complaint)
        return result

    def finish(self):
        """Stops the proxies first, then asks the origin what it saw."""
        for proxy in self.proxies:
            proxy.stop()
        count = self.origin.finish()
        if count["refused"]:
            self.complain(f"the origin refused {count['refused']} requests: a proxy sends what it must not")
        return count


def kinds(result):
    return ", ".join(f"{count} {kind}" for kind, count in result["bad_kinds"].items() if count)


def machine():
    model = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release(), "load_average": os.getloadavg()}


def self_test(rig_):
    """The load client must report exactly the wrong answers that the origin says it gave, and none without any."""
    failed = 0
    for title, (options, faults, every) in SELF_TESTS.items():
        for kind in (None, *faults.split()):
            for seconds in (0.4, 2, 10):  # a busy machine may need more for the first fault to come
                given, result = with_fault(rig_, options, kind, every, seconds)
                if result["answered"] and (given or not kind):
                    break
            right = result["bad"] == given and (given > 0) == (kind is not None) and result["answered"] > 0
            failed += not right
            print(f"{'ok    ' if right else 'FAILED'} {title}, fault {kind or 'none'}: {given} given, {result['bad']} "
                  f"reported{' (' + kinds(result) + ')' if result['bad'] else ''}", flush=True)
    return 1 if failed else 0


def with_fault(rig_, options, kind, every, seconds):
    """A window of the load client at an origin that makes one kind of fault: how many it made, and the result."""
    paths = rig_.certificates()
    secure = ("--certificate", paths["rsa_crt"], "--key", paths["rsa_key"]) if "--tls" in options else ()
    origin = rig_.origin("--expect-body", *secure, *(("--fault", f"{kind}:{every}") if kind else ()))
    patience = 1.5 if kind == "stall" else 20  # what is withheld never comes; all else does
    result = rig_.load(origin.port, "--seconds", seconds, "--warmup", 0.1, "--patience", patience, *options, seconds=60)
    return origin.finish()["faults"], result


def wanted(settings):
    """The scenarios and the proxies of this run, in the order of their tables."""
    scenarios = settings.scenarios.split(",")
    used = {name for scenario in scenarios for name in SCENARIOS[scenario].proxies}
    names = settings.proxies.split(",") if settings.proxies else [
        name for name in PROXIES if name in used and name not in ("direct", "nginx+log")]
    return scenarios, [name for name in PROXIES if name in names and name in used]


def measure(rig_, settings):
    began = time.monotonic()
    scenarios, names = wanted(settings)
    rig.install({"openssl": "openssl", **packages(names)})
    run = Run(rig_, settings)
    run.start(names)
    if not run.proxies:
        raise Failed("nothing to measure")
    versions = {proxy.name: proxy.version() for proxy in run.proxies}
    run.rounds([name for name in scenarios if not SCENARIOS[name].alone])
    run.alone([name for name in scenarios if SCENARIOS[name].alone])
    count = run.finish()
    results = {name: run.results.get(name, {}) for name in scenarios}
    if settings.details:
        for name, rows in results.items():
            print(report.details_table(f"{name}: {SCENARIOS[name].title}", rows))
    lines = report.judge(results)
    print(f"\n{report.bars_table(lines)}\n\n{report.misses(lines)}")
    seen = ", ".join(f"{number:,} {what}" for what, number in count.items())
    minutes = (time.monotonic() - began) / 60
    print(f"{settings.rounds} rounds of {settings.window:g} s, {minutes:.1f} minutes; load average "
          f"{os.getloadavg()[0]:.1f}; the origin saw {seen}")
    for line in [*run.absent, *(f"wrong: {complaint}" for complaint in run.complaints)]:
        print(line)
    if settings.json:
        whole = {"when": time.strftime("%FT%TZ", time.gmtime()), "machine": machine(), "versions": versions,
                 "rounds": settings.rounds, "window_s": settings.window, "bars": lines, "raw": results,
                 "complaints": run.complaints}
        settings.json.parent.mkdir(parents=True, exist_ok=True)
        settings.json.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
    return 1 if run.complaints else 0


def members(table):
    def check(text):
        for name in text.split(","):
            if name not in table:
                raise argparse.ArgumentTypeError(f"no {name!r}; there are {', '.join(table)}")
        return text
    return check


def between(kind, low, high):
    def check(text):
        value = kind(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not in {low}–{high}")
        return value
    return check


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="scenarios:\n" + "\n".join(
                                         f"  {name:4} {one.title}" for name, one in SCENARIOS.items()))
    parser.add_argument("--scenarios", type=members(SCENARIOS), default=DEFAULT_SCENARIOS, metavar="A,B,…",
                        help="default: all but S1g")
    parser.add_argument("--proxies", type=members(PROXIES), metavar="A,B,…",
                        help="of " + ", ".join(PROXIES) + " (default: what the bars speak of)")
    parser.add_argument("--rounds", type=between(int, 1, 100), default=5)
    parser.add_argument("--window", type=between(float, 0.1, 300), default=1.5, help="measured seconds (default 1.5)")
    parser.add_argument("--edge", type=Path, default=DEFAULT_EDGE, help="the binary (default .build/release/edge)")
    parser.add_argument("--edge-config", type=Path, default=Edge.config, help="instead of bench/configs/all.yaml")
    parser.add_argument("--details", action="store_true", help="a table with everything for each scenario")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured there")
    parser.add_argument("--nice", type=between(int, -20, 19), default=-10,
                        help="priority of what is measured; below 0 only as root (default -10)")
    parser.add_argument("--keep", action="store_true", help="keep configurations and logs")
    parser.add_argument("--self-test", action="store_true", help="prove that the load client sees wrong answers")
    return parser.parse_args()


def main():
    settings = arguments()
    Edge.binary, Edge.config = settings.edge, settings.edge_config
    try:
        rig.build()
        with Rig(settings.nice, settings.keep) as rig_:
            return self_test(rig_) if settings.self_test else measure(rig_, settings)
    except Failed as reason:
        note(f"bench: {reason}")
        return 1
    except KeyboardInterrupt:
        note("bench: stopped")
        return 130


if __name__ == "__main__":
    sys.exit(main())
