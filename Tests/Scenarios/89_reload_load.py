"""Many reloads under load: nobody notices, no generation is mixed with another, memory stays flat."""

import os
import threading
from contextlib import ExitStack

from play import *

MIB = 1 << 20
GROWTH = 3 * MIB * MEMORY_FACTOR
# An address sanitizer keeps what was freed for a while, which would look like a leak.
SPARING = {name: os.environ[name] + ":quarantine_size_mb=1" for name in ("ASAN_OPTIONS",) if os.environ.get(name)}


class Crowd:
  """Threads that each repeat `body(client, fresh, path)` until the crowd is left, or until one of them fails.

  `client` stays with its thread, `fresh()` opens another connection, no path comes twice."""

  def __init__(self, edge, count, body):
    self.address, self.body = edge.address(), body
    self.leaving = threading.Event()
    self.failures = []
    self.rounds = [0] * count
    self.threads = [threading.Thread(target=self.run, args=(number,)) for number in range(count)]

  def fresh(self):
    return Client(self.address)

  def run(self, number):
    try:
      with self.fresh() as client:
        while not self.leaving.is_set():
          self.body(client, self.fresh, f"/{number}/{self.rounds[number]}")
          self.rounds[number] += 1
    except Exception as failure:
      self.failures.append(f"client {number}, request {self.rounds[number]}: {type(failure).__name__}: {failure}")
      self.leaving.set()

  def await_rounds(self, more):
    """Waits until every client has gone on by `more` rounds."""
    wanted = [done + more for done in self.rounds]
    eventually(lambda: self.failures or all(done >= least for done, least in zip(self.rounds, wanted)),
               "every client goes on")
    same(self.failures, [], "failures")

  def __enter__(self):
    for thread in self.threads:
      thread.start()
    return self

  def __exit__(self, kind, *failure):
    self.leaving.set()
    for thread in self.threads:
      thread.join()
    if kind is None:
      same(self.failures, [], "failures")


SIZE = 30_000


def echo(request, line):
  """Answers with the path, repeated, in chunks."""
  answer(200, repeated(request.path), [("X-Path", request.path)], frame="chunked")(request, line)


def repeated(path):
  return (path.encode() * SIZE)[:SIZE]


@play
def under_load():
  """over 20 reloads eight clients get every answer whole, on kept and on new connections"""
  def ask(client, path):
    response = client.request("POST", path, body=path.encode() * 100)
    same((response.status, response.fields.one("x-path")), (200, path))
    holds(response.body == repeated(path), f"the answer to {path} is not whole: {len(response.body)} bytes")

  def body(client, fresh, path):
    ask(client, path)
    with fresh() as other:
      ask(other, path + "/fresh")
  with Origin(echo) as one, Origin(echo) as two:
    configs = [serving(one, server={"workers": 2}),
               serving(two, one, server={"workers": 2}, routes={"aaa": {"path": "/aaa", "builtin": "health"}},
                       services={"aaa": {"endpoints": [two.url]}}, limits={"body_size": "1MiB"})]
    with Edge(configs[0]) as edge:
      with Crowd(edge, 8, body) as crowd:
        for number in range(1, 21):
          crowd.await_rounds(2)
          same(edge.adopt(configs[number % 2])["generation"], number + 1)
        crowd.await_rounds(2)
      edge.wait(lambda: len(edge.matching(event="generation_ended")) == 20, "every old generation ends")
      edge.stop()
      lines = edge.matching(event="exchange")
      same({(line["status"], line["cause"]) for line in lines}, {(200, "completed")}, "status and cause")
      same(len(lines), 2 * sum(crowd.rounds), "access lines")
      same(len(one.requests) + len(two.requests), len(lines), "requests at the services")
      same({line["generation"] for line in lines}, set(range(1, 22)), "generations")


@play
def never_half():
  """no request sees the routes of one generation with the limits of another"""
  def body(client, fresh, path):
    with fresh() as other:
      other.send(head("POST", path + "/large", [("Content-Length", 600), ("Expect", "100-continue")]))
      response = other.read_head()
      if response.status == 100:
        other.send(bytes(600))
        same(other.read_response("POST").body, b"large")
      else:
        same(response.status, 413)
    among(client.request("POST", path, body=bytes(400)).body, (b"small", b"large"), "who answers a small body")
  with Origin(answer(200, b"small")) as small, Origin(answer(200, b"large")) as wide:
    configs = [serving(origin, server={"workers": 2}, limits={"body_size": size})
               for origin, size in ((small, "500B"), (wide, "1MiB"))]
    with Edge(configs[0]) as edge:
      with Crowd(edge, 6, body) as crowd:
        for number in range(1, 41):
          same(edge.adopt(configs[number % 2])["generation"], number + 1)
          crowd.await_rounds(1)
      edge.stop()
      for line in edge.matching(event="exchange"):
        is_wide = line["generation"] % 2 == 0
        if line["path"].endswith("/large"):
          same(line["status"], 200 if is_wide else 413, f"status of {line}")
        if line["status"] == 200:
          holds(line["endpoint"].endswith(f":{(wide if is_wide else small).address[1]}"), f"endpoint of {line}")
      same({len(request.body) for request in small.requests}, {400}, "sizes at the service of small bodies")
      same({len(request.body) for request in wide.requests}, {400, 600}, "sizes at the service of large bodies")


@play
def in_order():
  """the generations that serve one connection never go back"""
  with Origin() as origin:
    seen = {}

    def body(client, fresh, path):
      seen.setdefault(path.split("/")[1], []).append(client.get(path).fields.one("x-request-id"))
    with Edge(serving(origin, server={"workers": 2})) as edge:
      with Crowd(edge, 4, body) as crowd:
        for number in range(2, 32):
          edge.adopt(serving(origin, server={"workers": 2}, limits={"head_fields": 100 + number}))
          crowd.await_rounds(1)
      edge.stop()
      by_id = {line["requestId"]: line["generation"] for line in edge.matching(event="exchange")}
      same(len(seen), 4, "clients")
      for number, ids in seen.items():
        found = [by_id[name] for name in ids]
        same(found, sorted(found), f"generations of client {number}")
        holds(found[-1] >= 30, f"client {number} was served by {found[-1]} last")


@play
def pipelined():
  """of 200 pipelined requests those up to the running one are served by the old generation, the rest by the new"""
  with Origin() as origin:
    gate = origin.gate()

    def script(request, line):
      if request.path == "/99":
        gate.wait()
      answer(200, request.path.encode())(request, line)
    origin.script = script
    config = serving(origin)
    with Edge(config) as edge, edge.client() as client:
      client.send(b"".join(head("GET", f"/{number}", [("X-Pad", "p" * 300)]) for number in range(200)))
      gate.reached()
      edge.adopt(merged(config, {"limits": {"head_fields": 50}}))
      gate.open()
      same([client.read_response().body for _ in range(200)], [f"/{number}".encode() for number in range(200)])
      by_path = {line["path"]: line["generation"] for line in edge.exchanges(200)}
      same([by_path[f"/{number}"] for number in range(200)], [1] * 100 + [2] * 100, "generations")


def large(origin, number):
  """One of two configurations with 200 routes and 20 services, all of which differ from those of the other."""
  names = [f"s{at}{'ab'[number % 2]}" for at in range(20)]
  return serving(
    origin, service={"timeouts": {"idle": "10m"}}, server={"workers": 2}, log={"access": False},
    services={name: {"endpoints": [origin.url], "timeouts": {"head": f"{10 + number % 2}s"}} for name in names},
    routes={f"r{at}": {"path": f"/area{at}/:x/{'ab'[number % 2]}", "host": ["edge.test", "*.edge.test"],
                       "service": names[at % 20]} for at in range(200)})


@play
def memory():
  """after 300 reloads with requests in between, and a stream that outlives them, memory is what it was after 50"""
  figures = {}
  with Origin() as origin:
    gate = origin.gate()
    origin.script = {"/stream": held(gate, 600), "*": answer(200, b"ok")}
    with Edge(large(origin, 0), extra=SPARING) as edge, edge.client() as client, edge.client() as streaming:
      stream = Stream(streaming, "/stream")
      for number in range(1, 301):
        same(edge.adopt(large(origin, number))["generation"], number + 1)
        for at in range(3):
          target = f"/area{at}/x/{'ab'[number % 2]}"
          same(client.get(target).status, 200)
          with edge.client() as other:
            same(other.get(target).status, 200)
        if number in (50, 300):
          edge.wait(lambda: len(edge.matching(event="generation_ended")) == number - 1, "all but two end")
          figures[number] = edge.memory(), len(os.listdir(f"/proc/{edge.process.pid}/fd"))
      grown = figures[300][0] - figures[50][0]
      holds(grown < GROWTH, f"250 reloads cost {grown} bytes beyond {figures[50][0]}")
      opened = figures[300][1] - figures[50][1]
      holds(opened < 20, f"250 reloads cost {opened} descriptors beyond {figures[50][1]}")
      gate.open()
      stream.assert_whole()
      same(edge.wait_line(event="generation_ended", generation=1)["live"], 1, "live generations")


@play
def memory_of_what_was_held():
  """40 generations that streams have held give their memory back when the streams have ended, time after time"""
  with Origin() as origin, Edge(large(origin, 0), extra=SPARING) as edge:
    for number in range(1, 11):
      last = edge.adopt(large(origin, number))["generation"]
    edge.wait(lambda: len(edge.matching(event="generation_ended")) == last - 1, "every old generation ends")
    before = edge.memory()
    for turn in range(4):
      gate = origin.gate()
      origin.script = held(gate, 60)
      with ExitStack() as stack:
        streams = []
        for number in range(40):
          streams.append(Stream(stack.enter_context(edge.client())))
          last = edge.adopt(large(origin, number + 1))["generation"]
        gate.open()
        for stream in streams:
          stream.assert_whole()
      edge.wait(lambda: len(edge.matching(event="generation_ended")) == last - 1, "every old generation ends")
      if MEMORY_FACTOR > 1 and turn == 0:
        before = edge.memory()  # A sanitizer's allocator keeps what was used once; it must not need more each time.
        continue
      try:
        eventually(lambda: edge.memory() - before < GROWTH, "memory is given back")
      except Late as late:
        raise Failed(f"{late}; turn {turn} left {edge.memory() - before} bytes beyond {before}") from None
