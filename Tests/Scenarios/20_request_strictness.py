"""Every row of the table of requests, sent whole, with another request right behind it, and one byte at a time."""

import json

from play import *
from stage.vectors import AFTER, TABLE
from stage.wire import parse_response

# Long rows go in steps of more than one byte, so that a row costs at most this many steps.
STEPS = 400


def method_of(row):
  return row.data.lstrip(b"\r\n").split(b" ", 1)[0].decode("latin-1")


def check_passed(row, request):
  """What the origin saw of a request that passed."""
  if row.target is not None:
    same(request.target, row.target, "target at the origin")
    same(request.body, row.body, "body at the origin")
  same(request.method, method_of(row), "method at the origin")
  same((request.extensions, request.trailers), ([], []), "chunk extensions and trailers at the origin")
  for name, value in row.has.items():
    same(request.fields.one(name), value, f"field {name} at the origin")
  for name in row.lacks:
    holds(name not in request.fields, f"field {name} reached the origin")


def check_refusal(row, data):
  """All that came until the close is one answer that says it closes."""
  end = data.find(b"\r\n\r\n") + 4
  response = parse_response(data[:end])
  among(response.status, row.statuses, "status")
  same((response.fields.one("connection") or "").lower(), "close", "Connection")
  assert_ulid(response.fields.one("x-request-id"))
  body = data[end:]
  if method_of(row) == "HEAD" and not body:
    return response
  same(len(body), int(response.fields.one("content-length")), "Content-Length of the only answer")
  same(json.loads(body)["error"]["requestId"], response.fields.one("x-request-id"), "request id")
  return response


def perform(row, client, send, origin, coalesced):
  """One row in one delivery; returns how many requests the origin must have got."""
  before = len(origin.requests)
  try:
    send(row.data + (AFTER if coalesced else b""))
  except OSError:
    pass  # the edge has answered and closed before the whole was sent
  if row.closes and 200 not in row.statuses:
    check_refusal(row, client.read_to_end())
    same(len(origin.requests) - before, 0, "requests at the origin")
    return 0
  version = "1.0" if b" HTTP/1.0\r\n" in row.data else "1.1"
  response = client.read_response(method_of(row), version)
  among(response.status, row.statuses, "status")
  forwarded = [request for request in origin.requests[before:] if request.target != "/after"]
  holds(len(forwarded) <= (response.status == 200), f"{len(forwarded)} requests at the origin, answer {response}")
  if response.status == 200 and row.target is not None:
    holds(forwarded, f"nothing at the origin, answer {response}")
    check_passed(row, forwarded[0])
  closing = "close" in (response.fields.one("connection") or "").lower()
  holds(row.closes is not False or not closing, "the connection is closed without need")
  if row.closes or closing:
    client.assert_closed()
    same(len(origin.requests) - before, len(forwarded), "requests at the origin")
    return len(forwarded)
  if not coalesced:
    client.send(AFTER)
  same(client.read_response().status, 200, "status of the request behind")
  same([request.target for request in origin.requests[before + len(forwarded):]], ["/after"], "requests behind")
  return len(forwarded) + 1


def deliveries(client, row):
  step = max(1, len(row.data) // STEPS)
  return {"whole": client.send, "coalesced": client.send, "slowly": lambda data: client.send_slowly(data, step)}


def table(topic):
  """Performs all rows of a topic; every row that fails is told."""
  failures, expected = [], 0
  with Origin() as origin, Edge(serving(origin, server={"workers": 2})) as edge:
    for row in TABLE[topic]:
      for delivery in ("whole", "coalesced", "slowly"):
        with edge.client() as client:
          before = len(origin.requests)
          try:
            expected += perform(row, client, deliveries(client, row)[delivery], origin, delivery == "coalesced")
          except (Failed, ValueError, TypeError) as failure:
            failures.append(f"[{row.name}] {delivery}: {failure}")
            expected += len(origin.requests) - before
    edge.stop()
    same(len(origin.requests), expected, "requests at the origin in all")
  if failures:
    raise Failed(f"{len(failures)} of {3 * len(TABLE[topic])} deliveries:\n" + "\n".join(failures))


@play
def request_lines():
  """request lines: good ones pass, bad ones are refused and the connection closes"""
  table("request lines")


@play
def hosts():
  """hosts: exactly one valid Host decides"""
  table("hosts")


@play
def fields():
  """fields: good ones pass unchanged, malformed ones are refused"""
  table("fields")


@play
def counted_bodies():
  """Content-Length: one plain number, or the request is refused"""
  table("counted bodies")


@play
def transfer_codings():
  """Transfer-Encoding: exactly chunked in HTTP/1.1, or the request is refused"""
  table("transfer codings")


@play
def chunks():
  """chunks: framing is exact, extensions and trailers go no further"""
  table("chunks")


@play
def paths():
  """paths: one canonical form is forwarded, ambiguous ones are refused"""
  table("paths")


@play
def the_table_is_large():
  """the table of requests has at least 120 rows and no name twice within a topic"""
  holds(sum(map(len, TABLE.values())) >= 120, f"{sum(map(len, TABLE.values()))} rows")
  for topic, rows in TABLE.items():
    names = [row.name for row in rows]
    same(len(names), len(set(names)), f"names of {topic}")


@play
def pipelined_behind_a_framing_error():
  """requests pipelined around a malformed one: those before are answered, those behind never"""
  with staged() as (client, edge, origin):
    client.send(head("GET", "/1") + head("GET", "/2") + b"GET /3 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + AFTER)
    same([client.read_response().status for _ in range(3)], [200, 200, 400], "statuses")
    client.assert_closed()
    same(origin.paths(), ["/1", "/2"], "targets at the origin")


@play
def a_body_cut_short():
  """a request whose body is cut short never becomes a whole one at the origin"""
  for data in (head("POST", "/v", [("Content-Length", 10)]) + b"hello",
               head("POST", "/v", [("Transfer-Encoding", "chunked")]) + b"5\r\nhello\r\n",
               head("POST", "/v", [("Transfer-Encoding", "chunked")]) + b"5\r\nhel"):
    for leave in ("finish", "reset"):
      with staged() as (client, edge, origin):
        client.send(data)
        client.await_read()
        getattr(client, leave)()
        edge.exchanges(1)
        edge.stop()
        same(origin.requests, [], "whole requests at the origin")


@play
def a_smuggled_request_in_the_body():
  """a whole request inside a refused body is not read as one"""
  smuggled = b"GET /smuggled HTTP/1.1\r\nHost: edge.test\r\n\r\n"
  with staged() as (client, edge, origin):
    client.send(head("POST", "/v", [("Content-Length", len(smuggled)), ("Transfer-Encoding", "chunked")]) + smuggled)
    same(client.read_response().status, 400)
    client.assert_closed()
    edge.stop()
    same(origin.requests, [])
