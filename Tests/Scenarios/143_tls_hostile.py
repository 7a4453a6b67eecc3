"""Listeners with TLS under clients that mean no good: nonsense, half handshakes, silence, plain HTTP, renegotiation."""

import os
import select
import subprocess
from contextlib import ExitStack

from play import *
from stage.metrics import *

# The hello of a client, up to where it would go on.
_HALF_HELLO = bytes((0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3)) + bytes(20)


def guarded(timeout="10s", **config):
  """A configuration with TLS, and a listener for metrics."""
  base = serving("http://127.0.0.1:1", listeners={"main": listening_place("good"), **LISTENERS}, routes=METRICS)
  return merged(base, merged({"server": {"timeouts": {"handshake": timeout}}}, config))


def handshakes(edge, result):
  with edge.client("metrics") as watcher:
    return total(scraped(watcher), "edge_tls_handshakes_total", result=result)


def assert_serves(edge):
  """Whoever means well is served."""
  with edge.client() as client:
    same(client.get("/health").status, 200)


def assert_gone(client):
  """The edge closes; an alert may stand before that."""
  rest = client.read_to_end()
  holds(len(rest) < 100 and rest[:1] in (b"", b"\x15"), f"before the close: {rest!r}")


@play
def nonsense():
  """whatever is no handshake ends the connection, is counted, and is told once in a while"""
  cases = [b"nonsense", b"\r\n\r\n", bytes(100), b"\xff" * 1000, b"SSH-2.0-OpenSSH_9.2\r\n".lower(),
           b"\x16\x03\x01\xff\xff" + b"x" * 20_000, b"\x17\x03\x03\x00\x05hello", b"\x16\x03\x01\x00\x04\x05\0\0\0",
           b"\x80\x2e\x01\x00\x02" + bytes(40)]
  with Edge(guarded("2s")) as edge:
    for data in cases:
      with edge.client(tls=None) as client:
        client.send(data)
        assert_gone(client)
    same(handshakes(edge, "failed") + handshakes(edge, "timeout"), len(cases))
    assert_serves(edge)
    lines = edge.matching(event="tls_handshake_failed")
    same(len(lines), 1, "lines")
    same((lines[0]["level"], lines[0]["listener"], lines[0]["others"]), ("info", "main", 0))
    same((lines[0]["reason"], lines[0]["client"]), ("the client does not speak TLS", "127.0.0.1"))


@play
def half_a_hello():
  """half a hello and then silence, or one byte now and then, is cut at timeouts.handshake, counted from the accept"""
  with Edge(guarded("500ms")) as edge:
    with edge.client(tls=None) as half, edge.client(tls=None) as slow, edge.client(tls=None) as silent:
      half.send(_HALF_HELLO)
      begun = Deadline(4.5)
      for at in range(len(_HALF_HELLO)):
        if begun.passed() or slow.heard():
          break
        slow.send(_HALF_HELLO[at:at + 1])
        slow.reader.poll.poll(150)
      holds(not begun.passed(), "a hello may come slowly for ever")
      for client in (half, slow, silent):
        client.assert_closed()
    eventually(lambda: handshakes(edge, "timeout") == 3, "the timeouts are counted")
    assert_serves(edge)


@play
def half_handshakes_that_leave():
  """clients that leave within the handshake, in order or with a reset, leave nothing behind"""
  with Edge(guarded()) as edge:
    for leave in (Client.close, Client.reset, Client.finish):
      for handshakes_begun in (False, True):
        with edge.client(handshakes=False) as client:
          if handshakes_begun:
            client.sock.hello()
            eventually(client.heard, "the hello is answered")
          client.sock = client.sock.raw
          leave(client)
    eventually(lambda: edge.status()["connections"] == 1, "all are gone but the one that asks")
    same(handshakes(edge, "failed"), 3)
    same(handshakes(edge, "timeout"), 0)
    assert_serves(edge)


@play
def plain_requests():
  """a request without TLS is answered by a 400 that says so, whatever its method, and the connection ends"""
  with Edge(guarded()) as edge:
    for method in ("GET", "POST", "DELETE", "OPTIONS", "PRI"):
      with edge.client(tls=None) as client:
        client.send(head(method, "/", [("Content-Length", 100_000)]) + b"x" * 100_000)
        document = assert_error(client.read_response(), 400, "INVALID_REQUEST")
        holds("TLS" in document["error"]["message"], document["error"]["message"])
        client.assert_closed()
    same(handshakes(edge, "plain"), 5)
    same({(line["status"], line["cause"]) for line in edge.exchanges(5) if line["listener"] == "main"},
         {(400, "client_error")})


@play
def silence():
  """two hundred connections that say nothing cost their slots only, and end at the deadline"""
  with Edge(guarded("10m")) as edge, ExitStack() as stack:
    for _ in range(3):
      assert_serves(edge)
    before = edge.memory()
    clients = [stack.enter_context(edge.client(tls=None)) for _ in range(200)]
    eventually(lambda: edge.status()["connections"] >= 201, "all are accepted")
    grown = edge.memory() - before
    holds(grown < (1 << 20) * MEMORY_FACTOR, f"the edge grew by {grown} bytes")
    assert_serves(edge)
    for client in clients:
      client.assert_open()


@play
def a_flood_of_failures():
  """a thousand failed handshakes write one line and are all counted"""
  with Edge(guarded()) as edge:
    for _ in range(1000):
      with edge.client(tls=None) as client:
        client.send(b"nonsense")
        assert_gone(client)
    same(handshakes(edge, "failed"), 1000)
    holds(len(edge.matching(event="tls_handshake_failed")) <= 3, "lines")


@play
def renegotiation():
  """a client of TLS 1.2 that asks to renegotiate is refused"""
  with Edge(guarded()) as edge:
    host, port = edge.address()
    with subprocess.Popen(
        ["openssl", "s_client", "-connect", f"{host}:{port}", "-tls1_2", "-CAfile", certificate("ca")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
      try:
        output, deadline = b"", Deadline()
        def read_until(mark):
          nonlocal output
          ready = select.poll()
          ready.register(process.stdout, select.POLLIN)
          while mark not in output:
            holds(ready.poll(deadline.left() * 1000), f"{mark} did not come: {output[-600:]}")
            piece = os.read(process.stdout.fileno(), 65536)
            holds(piece, f"s_client ended before {mark}: {output[-600:]}")
            output += piece
        read_until(b"Verify return code: 0")
        process.stdin.write(b"R\n")
        process.stdin.flush()
        read_until(b"no renegotiation")
      finally:
        process.kill()
    assert_serves(edge)


@play
def after_the_handshake():
  """a head that does not come, and records that are damaged, end a connection as they do without TLS"""
  with Edge(guarded(server={"timeouts": {"head": "300ms"}})) as edge:
    with edge.client() as silent, edge.client() as half, edge.client() as damaged:
      half.send(b"GET / HT")
      same(half.read_response().status, 408)
      damaged.sock.raw.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
      for client in (silent, half, damaged):
        client.assert_closed()
    assert_serves(edge)
