#!/usr/bin/env python3
"""Keeps a development Edge running: rebuilds on a change of Swift, restarts on a change of the configuration.

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
CONFIGURATION = ("conf.d", "policies", ".env")
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

    def start(self):
        self.process = subprocess.Popen([EDGE, "run", "--dev", "--config", self.config], cwd=ROOT)

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        # The first signal drains, the second ends at once.
        for name, seconds in (("TERM", STOP_SECONDS), ("TERM", 2), ("KILL", None)):
            self.process.send_signal(getattr(signal, "SIG" + name))
            try:
                self.process.wait(seconds)
                return
            except subprocess.TimeoutExpired:
                pass

    def replace(self):
        """Starts anew when the configuration is right; otherwise the old one goes on."""
        if subprocess.run([EDGE, "check", "--config", self.config], cwd=ROOT).returncode != 0:
            say("the configuration is refused; still running the old one" if self.alive() else "waiting for a change")
            return
        self.stop()
        self.start()

    def alive(self):
        return self.process is not None and self.process.poll() is None


def main(arguments):
    config = arguments[0] if arguments else "routes.yaml"
    configuration = (config, *CONFIGURATION)
    edge = Edge(config)
    code, settings = {}, {}
    reported = None
    try:
        while True:
            now_code, now_settings = stamps(CODE), stamps(configuration)
            if now_code != code:
                say("building")
                if subprocess.run(BUILD, cwd=ROOT).returncode == 0:
                    edge.replace()
                else:
                    say("the build failed; waiting for a change")
            elif now_settings != settings:
                say("configuration changed, restarting")
                edge.replace()
            elif not edge.alive() and edge.process is not None and edge.process is not reported:
                reported = edge.process
                say(f"edge ended with code {reported.returncode}; waiting for a change")
            code, settings = now_code, now_settings
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        return 0
    finally:
        edge.stop()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
