"""Every row of the table of requests: whole, in one write with another request on either side, and byte by byte."""

from play import *
from stage.sending import AFTER, perform
from stage.vectors import TABLE


@play
def request_lines():
  """request lines: good ones pass, bad ones are refused and the connection closes"""
  perform(TABLE["request lines"])


@play
def hosts():
  """hosts: exactly one valid Host decides"""
  perform(TABLE["hosts"])


@play
def fields():
  """fields: good ones pass unchanged, malformed ones are refused"""
  perform(TABLE["fields"])


@play
def counted_bodies():
  """Content-Length: one plain number, or the request is refused"""
  perform(TABLE["counted bodies"])


@play
def transfer_codings():
  """Transfer-Encoding: exactly chunked in HTTP/1.1, or the request is refused"""
  perform(TABLE["transfer codings"])


@play
def chunks():
  """chunks: framing is exact, extensions and trailers go no further"""
  perform(TABLE["chunks"])


@play
def paths():
  """paths: one canonical form is forwarded, ambiguous ones are refused"""
  perform(TABLE["paths"])


@play
def the_table_is_large():
  """the table of requests has at least 340 rows"""
  holds(sum(map(len, TABLE.values())) >= 340, f"{sum(map(len, TABLE.values()))} rows")


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
