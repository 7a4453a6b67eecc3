#!/usr/bin/env python3
"""User-space instructions and allocations per request, counted by callgrind: a figure without noise. See README.md."""
import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import rig
from proxies import DEFAULT_EDGE, PROXIES, Edge, packages
from rig import Failed, Rig, note
from run import between, kinds
from scenarios import CHAT

# What is counted: the proxy, its port, and how the load client asks.
CASES = {
    "edge": ("edge", "plain", ()),
    "edge, policies": ("edge", "policy", ()),
    "edge, chat": ("edge", "policy", ("--path", CHAT)),
    "nginx": ("nginx", "plain", ()),
    "haproxy": ("haproxy", "plain", ()),
}

# Calls into these are counted. Only the public entry points: what they call among themselves would count twice.
COUNTED = {
    "malloc": ("malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign"),
    "retain": ("swift_retain", "swift_bridgeObjectRetain", "swift_retain_n"),
    "release": ("swift_release", "swift_bridgeObjectRelease", "swift_release_n"),
}
# A name in the profile of each thread that serves clients.
WORKER = "$s4Edge6WorkerC3run"
START_SECONDS = 60  # under valgrind a program starts some fifty times slower
STOP_SECONDS = 60


def parse(profile):
    """The totals of one callgrind file: instructions, and calls of each kind in COUNTED."""
    kind_of = {name: kind for kind, names in COUNTED.items() for name in names}
    names, calls, instructions, callee = {}, dict.fromkeys(COUNTED, 0), None, None
    # A name stands in full the first time, behind its number: `cfn=(12) malloc`; later only `cfn=(12)`.
    named = re.compile(r"(c?fn)=\((\d+)\)(?: (.*))?$")
    for line in profile.read_text(errors="replace").splitlines():
        match = named.match(line)
        if match:
            if match[3]:
                names[match[2]] = match[3].partition("'")[0]  # 'N marks a recursion level
            if match[1] == "cfn":
                callee = kind_of.get(names.get(match[2]))
        elif line.startswith("calls=") and callee:
            calls[callee] += int(line[6:].split()[0])
        elif line.startswith(("summary:", "totals:")):
            instructions = int(line.split()[1])
    if instructions is None:
        raise Failed(f"{profile.name} holds no total")
    return {"instructions": instructions, **calls}


def busiest_worker(folder, process):
    """The profile of the worker thread; the control thread runs the same code, but has next to nothing to do."""
    profiles = [one for one in folder.glob(f"callgrind.out.{process}-*") if WORKER in one.read_text(errors="replace")]
    if not profiles:
        raise Failed(f"no thread of process {process} is a worker's")
    return max(profiles, key=lambda one: parse(one)["instructions"])


def one_run(rig_, name, requests, settings, worker_only):
    """Starts the origin and the proxy under callgrind, sends exactly `requests`, ends both; the totals and the file."""
    program, port, load = CASES[name]
    folder = rig_.folder / f"{name.replace(', ', '-')}-{requests}"
    folder.mkdir()
    # Processes that the proxy forks write files of their own.
    before = [rig.find_program("valgrind"), "--tool=callgrind", "--quiet",
              f"--callgrind-out-file={folder}/callgrind.out.%p",
              f"--separate-threads={'yes' if worker_only else 'no'}"]
    origin = rig_.origin("--expect-body")
    proxy = PROXIES[program](rig_, program, origin.port, before=before, single=True)
    try:
        proxy.start(START_SECONDS)
        process = proxy.child.pid
        options = ["--requests", requests, "--connections", settings.connections, "--limit", settings.limit,
                   "--patience", 30, *(["--get"] if settings.get else []), *load,
                   *(["--tokens", rig_.tokens()] if port == "policy" else [])]
        result = rig_.load(proxy.ports[port], *options, seconds=settings.limit + 60)
    finally:
        proxy.stop(STOP_SECONDS)
        asked = origin.finish()["requests"]
    if result["bad"] or result["requests"] != requests:
        raise Failed(f"{name}: {result['requests']} of {requests} requests answered, bad: {kinds(result) or 'none'}")
    if asked != requests:
        raise Failed(f"{requests} requests sent, but the origin saw {asked}")
    profile = busiest_worker(folder, process) if worker_only else folder / f"callgrind.out.{process}"
    if not profile.exists():
        raise Failed(f"{name} left no profile; it printed: {proxy.child.output().strip() or 'nothing'}")
    return parse(profile), profile


def per_request(rig_, name, settings, worker_only=False):
    """The difference of a long and a short run over the difference of their requests: start and stop cancel out.
    `worker_only` leaves out what other threads do for a request, such as the ledger's."""
    note(f"{name}: {settings.short:,} requests under callgrind")
    short, _ = one_run(rig_, name, settings.short, settings, worker_only)
    note(f"{name}: {settings.long:,} requests under callgrind")
    long, profile = one_run(rig_, name, settings.long, settings, worker_only)
    more = settings.long - settings.short
    return {key: (long[key] - short[key]) / more for key in long}, profile


def annotate(profile, lines):
    """The functions of the longer run with the most instructions of their own, Swift names made readable."""
    text = subprocess.run(["callgrind_annotate", "--auto=no", "--threshold=99", str(profile)], capture_output=True,
                          text=True, timeout=120).stdout
    table = text.partition("file:function")[2].splitlines()[2:]  # after the header and the line under it
    rows = [line for line in table if line.strip()][:lines]
    shown = "\n".join(re.sub(r" \[[^]]*\]$", "", re.sub(r"(\?\?\?|\S*/)[^:\s]*:", "", row)) for row in rows)
    swift = shutil.which("swift")
    if swift:
        shown = subprocess.run([swift, "demangle", "--simplified"], input=shown, capture_output=True, text=True,
                               timeout=60).stdout or shown
    return shown


def measure(rig_, settings):
    names = [name for name, case in CASES.items() if settings.peers or case[0] == "edge"]
    if settings.get:
        names.remove("edge, chat")
    rig.install({"valgrind": "valgrind", "openssl": "openssl", **packages({CASES[name][0] for name in names})})
    results, missing = {}, 0
    for name in names:
        try:
            results[name], profile = per_request(
                rig_, name, settings, settings.worker and CASES[name][0] == "edge")
        except Failed as reason:
            note(f"{name} is left out: {reason}")
            missing += 1
            continue
        if settings.annotate:
            print(f"\n{name}, {settings.long:,} requests and the start:\n{annotate(profile, settings.annotate)}")
    print(f"\n| proxy          | instructions/request | {' | '.join(f'{kind}/request' for kind in COUNTED)} |")
    print("| -------------- | ---: |" + " ---: |" * len(COUNTED))
    for name, one in results.items():
        print(f"| {name:14} | {one['instructions']:,.0f} | {' | '.join(f'{one[kind]:.2f}' for kind in COUNTED)} |")
    if settings.json:
        settings.json.parent.mkdir(parents=True, exist_ok=True)
        report = {"short": settings.short, "long": settings.long, "connections": settings.connections,
                  "request": "GET" if settings.get else "POST", "per_request": results}
        settings.json.write_text(json.dumps(report, indent=1) + "\n")
    return 1 if missing else 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge", type=Path, default=DEFAULT_EDGE, help="the binary (default .build/release/edge)")
    parser.add_argument("--edge-config", type=Path, default=Edge.config, help="instead of bench/configs/all.yaml")
    parser.add_argument("--peers", action="store_true", help="nginx and HAProxy too")
    parser.add_argument("--get", action="store_true", help="a GET with five fields instead of the 1.2 KB POST")
    parser.add_argument("--short", type=between(int, 100, 10**6), default=2000, help="requests of the short run")
    parser.add_argument("--long", type=between(int, 200, 10**7), default=12000, help="requests of the long run")
    parser.add_argument("--connections", type=between(int, 1, 1000), default=16)
    parser.add_argument("--limit", type=between(int, 1, 3600), default=120, help="seconds a run may take (default 120)")
    parser.add_argument("--annotate", type=between(int, 1, 500), nargs="?", const=30, metavar="LINES",
                        help="print the functions with the most instructions (default 30)")
    parser.add_argument("--worker", action="store_true", help="of Edge only the thread that serves clients")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--keep", action="store_true", help="keep the profiles")
    settings = parser.parse_args()
    if settings.long <= settings.short:
        parser.error("--long must be greater than --short")
    return settings


def main():
    settings = arguments()
    Edge.binary, Edge.config = settings.edge, settings.edge_config
    try:
        rig.build()
        with Rig(nice=0, keep=settings.keep) as rig_:
            return measure(rig_, settings)
    except Failed as reason:
        note(f"instructions: {reason}")
        return 1
    except KeyboardInterrupt:
        note("instructions: stopped")
        return 130


if __name__ == "__main__":
    sys.exit(main())
