#!/usr/bin/env python3
"""The benchmark: Edge and its peers side by side, interleaved, CPU time per request first. See README.md."""
import argparse
import json
import os
import platform
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import rig
from proxies import DEFAULT_EDGE, PROXIES, Edge, packages
from rig import Failed, Rig, note

BASELINES = ("nginx", "haproxy")
FAULTS = ("cut", "flip", "status", "shut", "stall")


@dataclass(frozen=True)
class Scenario:
    """What the load client is asked to do; a scenario with a shape of its own gets its own function in `measure`."""
    title: str
    load: tuple
    skips: tuple = ()  # proxies it makes no sense for

    def measure(self, rig, proxy, origin, settings):
        """One window of one proxy: the load client's object."""
        options = ["--seconds", settings.window, "--warmup", settings.warmup, "--origin-pid", origin.pid, *self.load,
                   *proxy.load_options()]
        pids = proxy.pids()
        if pids:
            options += ["--pids", ",".join(map(str, pids))]
        return rig.load(proxy.port, *options, seconds=settings.window + settings.warmup + 20)


SCENARIOS = {
    "S1": Scenario("1.2 KB JSON POST and answer, keep-alive, 64 connections, closed loop", ("--connections", 64)),
    "S1g": Scenario("GET with five fields, 1.2 KB JSON answer, else as S1", ("--connections", 64, "--get")),
}


class Run:
    """The proxies that serve, the rounds, and what was measured."""

    def __init__(self, rig, settings):
        self.rig, self.settings = rig, settings
        self.proxies, self.results, self.complaints = [], {}, []

    def complain(self, text):
        note(text)
        self.complaints.append(text)

    def start(self, names):
        """Starts the origin and every proxy that can serve; the others are named and left out."""
        self.origin = self.rig.origin("--expect-body")
        for name in names:
            proxy = PROXIES[name](self.rig, name, self.origin.port)
            try:
                proxy.start()
                probe = self.rig.load(proxy.port, "--requests", 100, "--connections", 4, "--limit", 10,
                                      *proxy.load_options())
                if probe["bad"]:
                    raise Failed(f"{name} answers wrongly: {kinds(probe)}")
            except Failed as reason:
                proxy.stop()
                note(f"{name} is left out: {reason}")
                continue
            proxy.after_window(0)
            self.proxies.append(proxy)

    def rounds(self, scenario_name):
        """A B C, C B A, …: a drift of the machine falls on all alike."""
        scenario = SCENARIOS[scenario_name]
        rows = self.results.setdefault(scenario_name, {})
        for number in range(self.settings.rounds):
            order = self.proxies[:: 1 if number % 2 == 0 else -1]  # a copy: one that fails leaves the list
            for proxy in [one for one in order if one.name not in scenario.skips]:
                try:
                    result = self.window(scenario, proxy)
                except Failed as reason:
                    self.complain(f"{scenario_name} {proxy.name}, round {number + 1}, its last: {reason}")
                    proxy.stop()
                    self.proxies.remove(proxy)
                    continue
                rows.setdefault(proxy.name, []).append(result | {"round": number})
            note(f"{scenario_name}: round {number + 1} of {self.settings.rounds} done")

    def window(self, scenario, proxy):
        """One measurement, and what speaks against believing it."""
        before = self.origin.count()["requests"]
        result = scenario.measure(self.rig, proxy, self.origin, self.settings)
        asked = self.origin.count()["requests"] - before
        if result["bad"]:
            self.complain(f"{proxy.name}: {result['bad']} bad answers: {kinds(result)}")
        if asked < result["answered"]:
            self.complain(f"{proxy.name}: {result['answered']} answers, but the origin saw only {asked} requests")
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


def middle(rows, field):
    values = [row[field] for row in rows if row[field] is not None]
    return statistics.median(values) if values else None


def ratio(rows, base):
    """The median of the ratios within each round: what slows a whole round down cancels out."""
    of = {row["round"]: row["cpu_us_per_request"] for row in base}
    pairs = [row["cpu_us_per_request"] / of[row["round"]] for row in rows
             if row["cpu_us_per_request"] and of.get(row["round"])]
    return statistics.median(pairs) if pairs else None


def summary(rows_by_proxy):
    """Per proxy the figures of the table."""
    out = {}
    for name, rows in rows_by_proxy.items():
        cpu = [row["cpu_us_per_request"] for row in rows if row["cpu_us_per_request"] is not None]
        one = {field: middle(rows, field) for field in ("rps", "p50_us", "p99_us", "proxy_share", "load_share")}
        one |= {"cpu_us": middle(rows, "cpu_us_per_request"), "cpu_us_min": min(cpu, default=None),
                "cpu_us_max": max(cpu, default=None), "bad": sum(row["bad"] for row in rows)}
        one |= {f"to_{base}": ratio(rows, rows_by_proxy.get(base, [])) for base in BASELINES}
        out[name] = one
    return out


def cell(value, form):
    return "–" if value is None else format(value, form)


def table(title, figures):
    """A Markdown table."""
    head = ["proxy", "CPU µs/request (min–max)", "× nginx", "× haproxy", "requests/s", "p50 µs", "p99 µs",
            "proxy core", "load core", "bad"]
    lines = [head, ["---"] + ["---:"] * (len(head) - 1)]
    for name, one in figures.items():
        cpu = cell(one["cpu_us"], ".2f")
        if one["cpu_us"] is not None:
            cpu += f" ({one['cpu_us_min']:.2f}–{one['cpu_us_max']:.2f})"
        lines.append([name, cpu, *(cell(one[f"to_{base}"], ".3f") for base in BASELINES), cell(one["rps"], ",.0f"),
                      cell(one["p50_us"], ",.0f"), cell(one["p99_us"], ",.0f"), cell(one["proxy_share"], ".0%"),
                      cell(one["load_share"], ".0%"), str(one["bad"])])
    widths = [max(len(line[i]) for line in lines if line is not lines[1]) for i in range(len(head))]
    lines[1] = [mark.replace("---", "-" * (width - mark.count(":"))) for mark, width in zip(lines[1], widths)]
    body = "\n".join("| " + " | ".join(text.ljust(width) if i == 0 else text.rjust(width)
                                       for i, (text, width) in enumerate(zip(line, widths))) + " |" for line in lines)
    return f"\n{title}\n\n{body}"


def machine():
    model = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release(), "load_average": os.getloadavg()}


def self_test(rig_):
    """The load client must report exactly the wrong answers that the origin says it gave, and none without any."""
    failed = 0
    for kind in (None, *FAULTS):
        origin = rig_.origin("--expect-body", *(("--fault", f"{kind}:1000") if kind else ()))
        result = rig_.load(origin.port, "--seconds", 0.5, "--warmup", 0.1, "--connections", 16, "--patience", 1)
        given = origin.finish()["faults"]
        right = result["bad"] == given and (given > 0) == (kind is not None)
        failed += not right
        print(f"{'ok    ' if right else 'FAILED'} origin fault {kind or 'none':6}: "
              f"{given} given, {result['bad']} reported{' (' + kinds(result) + ')' if result['bad'] else ''}")
    return 1 if failed else 0


def measure(rig_, settings):
    names = settings.proxies.split(",")
    rig.install(packages(names))
    run = Run(rig_, settings)
    run.start(names)
    if not run.proxies:
        raise Failed("nothing to measure")
    versions = {proxy.name: proxy.version() for proxy in run.proxies}
    for scenario in settings.scenarios.split(","):
        run.rounds(scenario)
    figures = {scenario: summary(rows) for scenario, rows in run.results.items()}
    for scenario, rows in figures.items():
        title = f"{scenario}: {SCENARIOS[scenario].title}; {settings.rounds} rounds of {settings.window:g} s"
        print(table(title, rows))
    count = run.finish()
    print(f"\norigin: {count['requests']:,} requests, {count['connections']:,} connections, {count['refused']} refused")
    if settings.json:
        report = {"when": time.strftime("%FT%TZ", time.gmtime()), "machine": machine(), "versions": versions,
                  "rounds": settings.rounds, "window_s": settings.window, "warmup_s": settings.warmup,
                  "summary": figures, "raw": run.results, "complaints": run.complaints}
        settings.json.parent.mkdir(parents=True, exist_ok=True)
        settings.json.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--proxies", type=members(PROXIES), default="direct,nginx,haproxy,edge,edge+log",
                        help="of " + ", ".join(PROXIES) + " (default: %(default)s)")
    parser.add_argument("--scenarios", type=members(SCENARIOS), default="S1",
                        help="; ".join(f"{name}: {one.title}" for name, one in SCENARIOS.items()))
    parser.add_argument("--rounds", type=between(int, 1, 100), default=5)
    parser.add_argument("--window", type=between(float, 0.1, 300), default=2.0, help="measured seconds (default 2)")
    parser.add_argument("--warmup", type=between(float, 0, 60), default=0.5, help="seconds before them (default 0.5)")
    parser.add_argument("--edge", type=Path, default=DEFAULT_EDGE, help="the binary (default .build/release/edge)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured there")
    parser.add_argument("--nice", type=between(int, -20, 19), default=-10,
                        help="priority of what is measured; below 0 only as root (default -10)")
    parser.add_argument("--keep", action="store_true", help="keep configurations and logs")
    parser.add_argument("--self-test", action="store_true", help="prove that the load client sees wrong answers")
    return parser.parse_args()


def main():
    settings = arguments()
    Edge.binary = settings.edge
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
