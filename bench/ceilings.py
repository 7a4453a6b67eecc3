#!/usr/bin/env python3
"""What a request may cost at most, held by `make test`: instructions and allocations of a warm request, counted by
callgrind, and nothing of Foundation in the binary. Prints `N passed, N failed`. See README.md."""
import argparse
import sys
from pathlib import Path

import instructions
import rig
from proxies import DEFAULT_EDGE, Edge, packages
from rig import Failed, Rig, note

# Instructions of a warm request in user space, a few percent above what they are; they differ by 1-2 % between
# machines. Below they may go at any time, and the ceiling with them.
CEILINGS = {"edge": 9_000}
# The same with policies: token, limit and credits, with the ledger in memory. Of the worker alone, for callers whose
# tokens are known by then.
POLICY_CEILINGS = {"edge, policies": 33_500}
POLICY_REQUESTS = (6000, 12000)
# A module's mangled name begins with this wherever code of it was linked in.
FOUNDATION = b"$s10Foundation"


def check(name, holds, figure):
    print(f"{'ok    ' if holds else 'FAILED'} {name}: {figure}", flush=True)
    return holds


def costs(rig_, settings):
    for name, ceiling in CEILINGS.items():
        counted, _ = instructions.per_request(rig_, name, settings)
        found = counted["instructions"]
        yield check(f"{name}, instructions per request", found <= ceiling, f"{found:,.0f}, at most {ceiling:,}")
        for kind in instructions.COUNTED:
            # What is allocated now and then, as for a new connection, shows in the second decimal.
            yield check(f"{name}, {kind} per request", counted[kind] < 0.01, f"{counted[kind]:.2f}")


def policy_costs(rig_, name, ceiling, settings):
    settings.short, settings.long = POLICY_REQUESTS
    counted, _ = instructions.per_request(rig_, name, settings, worker_only=True)
    found = counted["instructions"]
    figure = f"{found:,.0f}, at most {ceiling:,}"
    yield check(f"{name}, instructions of the worker per request", found <= ceiling, figure)


def linked(binary):
    yield check("no Foundation in the binary", FOUNDATION not in Path(binary).read_bytes(), binary)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge", type=Path, default=DEFAULT_EDGE, help="the binary (default .build/release/edge)")
    settings = parser.parse_args()
    settings.short, settings.long, settings.connections, settings.limit, settings.get = 2000, 12000, 16, 300, False
    Edge.binary = settings.edge
    try:
        rig.build()
        with Rig(nice=0, keep=False) as rig_:
            rig.install({"valgrind": "valgrind", "openssl": "openssl", **packages({"edge"})})
            results = [*linked(settings.edge), *costs(rig_, settings)]
            for name, ceiling in POLICY_CEILINGS.items():
                results += policy_costs(rig_, name, ceiling, settings)
    except Failed as reason:
        note(f"ceilings: {reason}")
        results = [False]
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
