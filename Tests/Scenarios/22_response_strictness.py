"""Hostile and broken services: the client gets 502 or a cut answer, and nobody gets what was not for them."""

import hashlib

from play import *
from stage.answers import CHUNKS, TABLE
from stage.wire import read_body


# For the slowest of machines to take the longest row byte by byte.
SLOW_SECONDS = 120


def outcome(row, client, sent):
  """What became of a row: its word, and the answer that came, read when all but its last byte is `sent`."""
  client.send(head(row.method, "/row"))
  sent.wait("the end of a row", SLOW_SECONDS)
  try:
    response, kind, length = client.read_final_head(row.method)
  except Cut:
    return "cut", None
  if response.status == 502:
    read_body(client.reader, response, kind, length, Deadline())
    assert_error(response, 502, "PROVIDER_ERROR")
    return "502", response
  try:
    read_body(client.reader, response, kind, length, Deadline())
  except Cut:
    return "cut", response
  same((response.status, response.body), (row.status, row.body), "answer")
  return "passed", response


def sending(row, way, sent):
  """The script of a row: all of it at once, or byte by byte up to the last byte of the answer."""
  def script(request, line):
    slow = len(row.data) - 1 if way == "byte by byte" else 0
    line.send_slowly(row.data[:slow])
    sent.open()
    raw(row.data[slow:] + row.tail, row.then)(request, line)
  return script


def perform(row, way, edge, origin):
  """One row, then a request of another client: it must get its own answer, from a connection of its own."""
  sent = origin.gate()
  origin.script = {"/row": sending(row, way, sent), "/clean": answer(200, b"clean")}
  before = len(origin.requests)
  with edge.client() as client:
    found, response = outcome(row, client, sent)
    among(found, row.outcomes, "outcome")
    for name in row.lacks:
      holds(response is None or all(name not in told.fields for told in (response, *response.interim)),
            f"field {name} reached the client")
    if found == "cut":
      client.assert_closed()
    elif "close" in (response.fields.one("connection") or "").lower() or response.framing == "close":
      client.assert_closed()
    else:
      clean = client.get("/clean")
      same((clean.status, clean.body), (200, b"clean"), "the same client's next answer")
  with edge.client() as client:
    clean = client.get("/clean")
    same((clean.status, clean.body), (200, b"clean"), "another client's answer")
  asked = [request for request in origin.requests[before:] if request.target == "/row"]
  if row.reused is not None:
    same(origin.last().line.number == asked[-1].line.number, row.reused, "the connection was used again")


def table(topic):
  """Performs all rows of a topic in both ways; every row that fails is told."""
  failures = []
  patient = {"timeouts": {"head": f"{SLOW_SECONDS}s"}}
  with Origin(lenient=True) as origin, Edge(serving(origin, service=patient)) as edge:
    for row in TABLE[topic]:
      for way in ("whole", "byte by byte"):
        try:
          perform(row, way, edge, origin)
        except (Failed, ValueError, TypeError) as failure:
          failures.append(f"[{row.name}] {way}: {failure}")
  if failures:
    raise Failed(f"{len(failures)} of {2 * len(TABLE[topic])} deliveries:\n" + "\n".join(failures))


@play
def status_lines():
  """malformed status lines and interim answers end in 502"""
  table("status lines")


@play
def fields():
  """malformed or too large heads of a service end in 502"""
  table("fields")


@play
def framings():
  """contradictory framing ends in 502, extra bytes reach nobody"""
  table("framings")


@play
def chunks_after_the_head():
  """what is no chunk cuts an answer that has begun, so that no client takes it for whole"""
  failures = []
  with Origin(lenient=True) as origin, Edge(serving(origin)) as edge:
    for name, data, slowly in [(name, data, slowly) for name, data in CHUNKS.items() for slowly in (False, True)]:
      gate = origin.gate()

      def script(request, line):
        line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        gate.wait()
        if slowly:
          line.send_slowly(data)
        raw(b"" if slowly else data, "close")(request, line)
      origin.script = {"/row": script, "/clean": answer(200, b"clean")}
      try:
        with edge.client() as client:
          client.send(head("GET", "/row"))
          response, kind, _ = client.read_final_head()
          same(client.read_at_least(3, response, kind), b"abc")
          gate.open()
          body = client.assert_cut(response, kind)
          holds(b"hello".startswith(body[:5]), f"body {shown(body)}")
          client.assert_closed()
        with edge.client() as client:
          same(client.get("/clean").body, b"clean")
      except Failed as failure:
        failures.append(f"[{name}] {'byte by byte' if slowly else 'whole'}: {failure}")
      gate.open()
  if failures:
    raise Failed(f"{len(failures)} of {2 * len(CHUNKS)} deliveries:\n" + "\n".join(failures))


@play
def counted_answer_cut():
  """a counted answer that ends early is cut for the client too, and told in the log"""
  with Origin() as origin:
    gate = origin.gate()

    def script(request, line):
      line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
      gate.wait()
      line.close()
    origin.script = script
    with Edge(serving(origin)) as edge, edge.client() as client:
      client.send(head("GET", "/"))
      response, kind, length = client.read_final_head()
      gate.open()
      same(client.assert_cut(response, kind, length), b"hello")
      same(edge.log_line()["cause"], "upstream_cut")


@play
def unasked_answer():
  """an answer that comes on an idle connection reaches nobody: the connection is closed"""
  with Origin() as origin:
    gate = origin.gate()

    def script(request, line):
      answer(200, b"ok")(request, line)
      gate.wait()
      line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON")
      line.wait_end()
      line.close()
    origin.script = {"/first": script, "*": answer(200, b"clean")}
    with Edge(serving(origin)) as edge, edge.client() as client:
      same(client.get("/first").body, b"ok")
      gate.open()
      origin.lines[0].await_end()
      same(client.get("/second").body, b"clean")
      same(len(origin.lines), 2, "connections to the service")


@play
def poison_race():
  """bytes that follow an answer at once never become the next client's answer"""
  data = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON"
  with Origin(lenient=True) as origin, Edge(serving(origin)) as edge:
    origin.script = {"/poison": raw(data), "*": lambda request, line: answer(200, request.path.encode())(request, line)}
    with edge.client() as client:
      for number in range(50):
        same(client.get("/poison").body, b"ok")
        same(client.get(f"/{number}").body, f"/{number}".encode())


@play
def large_answer_with_a_tail():
  """behind 5 MB and a tail of other bytes the client gets exactly the 5 MB"""
  body = random_bytes(5_000_000)
  with Origin(lenient=True) as origin, Edge(serving(origin)) as edge:
    origin.script = {"/": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n" + body + b"POISON" * 1000),
                     "/clean": answer(200, b"clean")}
    with edge.client() as client:
      same(hashlib.sha256(client.get("/").body).hexdigest(), hashlib.sha256(body).hexdigest())
      same(client.get("/clean").body, b"clean")
