"""A stand-in for a running edge's admin socket: says what a play wants it to say."""

import copy
import json
import os
import socketserver
import threading
from http.server import BaseHTTPRequestHandler

STATUS = {
  "version": "0.1.0", "pid": 4711, "config": "routes.yaml", "development": False, "state": "serving",
  "started": "2026-01-31T12:00:00.000Z", "uptime": 7384, "workers": 2, "generation": 5,
  "generations": [{"number": 4, "since": "2026-01-31T12:00:00.000Z", "running": 12},
                  {"number": 5, "since": "2026-01-31T13:00:00.000Z", "running": 3}],
  "listeners": [{"name": "main", "address": "127.0.0.1:3003", "serves": "routes"},
                {"name": "ops", "address": "127.0.0.1:3005", "serves": "admin"}],
  "connections": 10, "webSockets": 3, "users": 2, "exchanges": {"running": 4, "total": 1000}, "cpuSeconds": 1.234,
  "residentBytes": 12345678, "descriptors": {"open": 20, "max": 1048576}, "bodies": {"bytes": 0, "max": 268435456},
  "ledger": {"failing": False, "queue": 0}, "creditsCharged": 1.25,
  "reloads": {"done": 1, "unchanged": 0, "failed": 2, "refused": 0}, "restart": [], "reload": None,
}

REPORT = {"outcome": "unchanged", "generation": 5, "time": "2026-01-31T13:00:00.000Z", "milliseconds": 12, "errors": [],
          "warnings": [], "changes": [], "more": 0}


def metrics(routes, ends=0):
  """A short answer of `/metrics`: (route, exchanges)."""
  lines = ["# TYPE edge_exchange_ends_total counter", f'edge_exchange_ends_total{{cause="completed"}} {ends}']
  for name, count in routes:
    lines.append(f'edge_exchanges_total{{route="{name}",status="2xx"}} {count}')
    for bound in ("0.0005", "0.001", "1", "+Inf"):
      lines.append(f'edge_exchange_duration_seconds_bucket{{route="{name}",le="{bound}"}} {count}')
  return "\n".join(lines) + "\n"


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
  daemon_threads = True


class Admin:
  """Answers at `path`; use it in a `with`. `status` and `report` are laid over good ones, and functions of the number
  of earlier questions may stand for `status` and `metrics`. `requests` has what was asked."""

  def __init__(self, path, status=None, report=None, code=200, metrics_text=""):
    self.path, self.status, self.report, self.code, self.metrics_text = path, status, report, code, metrics_text
    self.requests = []

  def answer(self, method, path):
    asked = sum(entry == (method, path) for entry in self.requests)
    self.requests.append((method, path))
    def now(value):
      return value(asked) if callable(value) else value
    if (method, path) == ("GET", "/status"):
      return 200, "application/json", json.dumps({**copy.deepcopy(STATUS), **(now(self.status) or {})})
    if (method, path) == ("POST", "/reload"):
      return self.code, "application/json", json.dumps({**REPORT, **(self.report or {})})
    if (method, path) == ("GET", "/metrics"):
      return 200, "text/plain; version=0.0.4", now(self.metrics_text)
    error = {"code": "NOT_FOUND", "message": "Nothing is there.", "requestId": "0" * 26}
    return 404, "application/json", json.dumps({"error": error, "timestamp": "2026-01-31T12:00:00.000Z"})

  def __enter__(self):
    stand_in = self

    class Handler(BaseHTTPRequestHandler):
      protocol_version = "HTTP/1.1"

      def respond(self):
        code, kind, text = stand_in.answer(self.command, self.path)
        body = text.encode()
        self.send_response(code)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

      do_GET = do_POST = respond

      def log_message(self, *arguments):
        pass

      def address_string(self):
        return "-"

    os.makedirs(os.path.dirname(self.path), exist_ok=True)
    self.server = _Server(self.path, Handler)
    self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
    self.thread.start()
    return self

  def __exit__(self, *failure):
    self.server.shutdown()
    self.server.server_close()
    self.thread.join()
    os.unlink(self.path)
