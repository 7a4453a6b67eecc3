#!/usr/bin/env python3
"""Keeps a development Edge running: rebuilds and restarts it when the code changes, reloads it when only the
configuration does.

Usage: scripts/dev.py [CONFIG]

Watches by polling modification times, which works on every file system. The running Edge stays until the new one is
built and has accepted the configuration, so a typing mistake takes nothing down. Ends with Ctrl-C.
"""
import os
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
EDGE = os.path.join(ROOT, ".build/debug/edge")
BUILD = ["swift", "build", "--product", "edge"]
POLL_SECONDS = 0.5
STOP_SECONDS = 35  # the shipped drain time and a little

CODE = ("Sources", "Package.swift")
CONFIGURATION = ("conf.d", "policies", ".env")  # beside the main file
ENDINGS = (".swift", ".h", ".c", ".modulemap", ".yaml", ".yml", ".lua", ".env")


def stamps(places):
    """Path → modification time of every watched file below the places."""
    found = {}

    def add(path):
        try:
            found[path] = os.stat(path).st_mtime_ns
        except FileNotFoundError:
            pass

    for place in places:
        path = os.path.join(ROOT, place)
        if os.path.isfile(path):
            add(path)
        for folder, _, names in os.walk(path):
            for name in names:
                if name.endswith(ENDINGS) and not name.startswith(".#"):
                    add(os.path.join(folder, name))
    return found


def say(text):
    print(f"dev: {text}", file=sys.stderr, flush=True)


class Edge:
    """The running process, if there is one."""

    def __init__(self, config):
        self.config = config
        self.process = None
        self.builds = 0  # how many have succeeded
        self.running = 0  # which of them the process is

    def build(self):
        say("building")
        if subprocess.run(BUILD, cwd=ROOT).returncode != 0:
            say("the build failed; waiting for a change")
            return
        self.builds += 1
        self.follow()

    def follow(self):
        """Brings the last build and the configuration into service; a wrong one leaves everything as it is."""
        if self.builds == 0:
            return
        if subprocess.run([EDGE, "check", "--dev", "--config", self.config], cwd=ROOT).returncode != 0:
            say("the configuration is refused; still running the old one" if self.alive() else "waiting for a change")
        elif self.alive() and self.running == self.builds:
            say("the configuration has changed: reloading")
            self.process.send_signal(signal.SIGHUP)
        else:
            self.stop()
            self.start()

    def start(self):
        self.process = subprocess.Popen([EDGE, "run", "--dev", "--config", self.config], cwd=ROOT)
        self.running = self.builds

    def stop(self):
        if not self.alive():
            return
        # The first signal drains, the second ends at once.
        for name, seconds in (("TERM", STOP_SECONDS), ("TERM", 2), ("KILL", None)):
            self.process.send_signal(getattr(signal, "SIG" + name))
            try:
                self.process.wait(seconds)
                return
            except subprocess.TimeoutExpired:
                pass

    def alive(self):
        return self.process is not None and self.process.poll() is None


def main(arguments):
    config = arguments[0] if arguments else "routes.yaml"
    configuration = (config, *(os.path.join(os.path.dirname(config), name) for name in CONFIGURATION))
    edge = Edge(config)
    code, settings = {}, {}
    reported = None
    try:
        while True:
            now_code, now_settings = stamps(CODE), stamps(configuration)
            builds = edge.builds
            if now_code != code:
                edge.build()
            if now_settings != settings and edge.builds == builds:
                edge.follow()
            if not edge.alive() and edge.process is not reported:
                reported = edge.process
                say(f"edge ended with code {reported.returncode}; waiting for a change")
            code, settings = now_code, now_settings
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        return 0
    finally:
        edge.stop()


if __name__ == "__main__":
    # A terminal that closes sends SIGHUP, which to Edge means something else.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    sys.exit(main(sys.argv[1:]))
