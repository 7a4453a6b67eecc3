#!/usr/bin/env python3
"""Runs the parts of `make test` (or `make sanitize`) and adds up what they count.

Usage: scripts/test.py [test|sanitize] [PART ...]

Every part's output is passed on as it comes. The last line is `N passed, N failed`; the exit code is 1 when anything
failed, when a part printed no count or counted nothing, and when the compiler warned about the project's own files.
"""
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# The sanitized build has a folder of its own, so that it and the plain debug build do not undo each other's work.
# lld, because gold warns about several hundred of the sanitizer's own symbols.
ASAN = ["--sanitize", "address", "--scratch-path", ".build/asan", "-Xswiftc", "-use-ld=lld"]
TSAN = ["--sanitize", "thread", "--scratch-path", ".build/tsan", "-Xswiftc", "-use-ld=lld"]
TSAN_EDGE = os.path.join(ROOT, ".build/tsan/debug/edge")
ASAN_EDGE = os.path.join(ROOT, ".build/asan/debug/edge")
# AddressSanitizer prints the stack of a trap itself; it and Swift's own backtracer wait for each other for ever.
SANITIZER = {
    "ASAN_OPTIONS": "detect_leaks=1:handle_sigill=1:handle_sigtrap=1:quarantine_size_mb=16",
    "LSAN_OPTIONS": f"suppressions={ROOT}/scripts/leaks.supp:print_suppressions=0",
    "SWIFT_BACKTRACE": "enable=no",
}
SCENARIOS = [sys.executable, "-u", "Tests/Scenarios/run.py"]
# Plays as well, with the clients that scripts/python.sh installs.
ACCEPTANCE = [os.path.join(ROOT, ".venv/bin/python"), "-u", "Tests/Scenarios/run.py", "Tests/Acceptance"]

# name; command; how it counts; minutes after which it is ended; additions to the environment
Part = namedtuple("Part", "name command counts minutes environment", defaults=[{}])


def sanitized(binary, memory):
    """The environment of scenarios against a sanitized binary, which needs `memory` times what a plain one does."""
    return {**SANITIZER, "EDGE_BINARY": binary, "PLAY_MEMORY_FACTOR": memory}


def parts(purpose):
    """The rows of a purpose, in order."""
    if purpose == "sanitize":
        return [
            Part("address-build", ["swift", "build", *ASAN, "--product", "edge"], exit_code, 15),
            Part("address", SCENARIOS, last_line, 30, sanitized(ASAN_EDGE, "8")),
            Part("thread-build", ["swift", "build", *TSAN, "--product", "edge"], exit_code, 15),
            Part("thread", SCENARIOS, last_line, 30, sanitized(TSAN_EDGE, "30")),
        ]
    return [
        Part("lint", ["make", "--no-print-directory", "lint"], exit_code, 5),
        Part("unit", ["swift", "test", "--disable-xctest", *ASAN], swift_testing, 30, SANITIZER),
        Part("release", ["make", "--no-print-directory", "build"], exit_code, 15),
        Part("ceilings", [sys.executable, "-u", "bench/ceilings.py"], last_line, 10),
        Part("scenarios", SCENARIOS, last_line, 20),
        Part("acceptance", ACCEPTANCE, last_line, 10),
    ]


# MARK: counting: (passed, failed) from a part's lines and exit code, None when it counted nothing


def exit_code(lines, code):
    """The part is one check."""
    return (1, 0) if code == 0 else (0, 1)


def swift_testing(lines, code):
    """The closing lines of Swift Testing: `Test run with 12 tests in 3 suites passed after …`."""
    total, failed = None, 0
    for line in lines:
        closing = re.search(r"\bTest run with (\d+) tests? .*?(passed|failed) after", line)
        if closing:
            total = (total or 0) + int(closing[1])
        elif re.search(r"^\S+ Test .+ failed after [\d.]+ seconds", line):
            failed += 1
        elif re.search(r"\bTest run with .*failed", line):
            failed = max(failed, 1)
    if total is None:
        return None
    failed = min(failed, total)
    return total - failed, failed


def last_line(lines, code):
    """`N passed, N failed` as the last line that is not empty."""
    filled = [line for line in lines if line.strip()]
    counted = re.fullmatch(r"(\d+) passed, (\d+) failed", filled[-1].strip()) if filled else None
    return (int(counted[1]), int(counted[2])) if counted else None


def judge(part, lines, code, warnings):
    """(passed, failed, complaints) of a part that ended."""
    complaints = []
    counted = part.counts(lines, code)
    if counted is None:
        return 0, 1, [f"it printed no count (exit code {code})"]
    passed, failed = counted
    if passed + failed == 0:
        complaints.append("it counted nothing")
    if warnings:
        complaints.append("the build warned: " + "; ".join(warnings[:5]))
    if code != 0 and failed == 0:
        complaints.append(f"exit code {code}, although nothing was counted as failed")
    return passed, failed + len(complaints), complaints


# MARK: running

WARNING = re.compile(r"^(?P<file>[^\s:][^:]*):\d+:\d+: warning: |^warning: ")


def own_warning(line, touched):
    """Whether a compiler or package manager warning is about this repository; its file joins `touched`."""
    found = WARNING.match(line)
    if not found:
        return False
    if not found["file"]:
        return True
    path = os.path.join(ROOT, found["file"])
    inside = os.path.relpath(path, ROOT)
    if inside.startswith(("..", ".build")) or not os.path.isfile(path):
        return False
    touched.add(path)
    return True


def end_session(leader):
    """Kills what a part left running: all of its session, since the build starts process groups of its own."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                # Behind the command's name, which may hold anything: state, parent, group, session.
                session = int(file.read().rpartition(")")[2].split()[3])
            if session == leader:
                os.kill(int(name), signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            pass


def run(part):
    """Runs one part; returns (passed, failed)."""
    print(f"\n=== {part.name}: {' '.join(part.command)}", flush=True)
    # What the caller set stays: a container that forbids ptrace needs ASAN_OPTIONS=detect_leaks=0.
    environment = {**part.environment, **os.environ}
    process = subprocess.Popen(
        part.command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
    lines, warnings, touched, late = [], [], set(), []

    def expire():
        late.append(f"ended after {part.minutes} minutes")
        end_session(process.pid)

    timer = threading.Timer(part.minutes * 60, expire)
    timer.daemon = True
    timer.start()
    try:
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line.rstrip("\n"))
            if own_warning(line, touched):
                warnings.append(line.strip())
        code = process.wait()
    finally:
        timer.cancel()
        end_session(process.pid)
    # The build would not repeat a warning about a file that did not change, and the next run would pass.
    for path in touched:
        os.utime(path)
    passed, failed, complaints = judge(part, lines, code, warnings)
    if late:
        complaints += late
        failed = max(failed, 1)
    for complaint in complaints:
        print(f"{part.name} failed: {complaint}")
    return passed, failed


def main(arguments):
    purpose = arguments.pop(0) if arguments and arguments[0] in ("test", "sanitize") else "test"
    rows = parts(purpose)
    unknown = set(arguments) - {part.name for part in rows}
    if unknown:
        names = " ".join(part.name for part in rows)
        print(f"no such part: {' '.join(sorted(unknown))}; there are: {names}", file=sys.stderr)
        return 2
    summary, total = [], [0, 0]
    for part in rows:
        if arguments and part.name not in arguments:
            continue
        start = time.monotonic()
        passed, failed = run(part)
        total[0] += passed
        total[1] += failed
        minutes = (time.monotonic() - start) / 60
        summary.append(f"{part.name:<12} {passed:>6} passed {failed:>4} failed {minutes:>7.2f} min")
    print("\n" + "\n".join(summary))
    print(f"{total[0]} passed, {total[1]} failed", flush=True)
    return 1 if total[1] or not total[0] else 0


if __name__ == "__main__":
    # An exception, so that the running part is ended too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
