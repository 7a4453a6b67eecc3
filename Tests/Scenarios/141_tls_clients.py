"""Listeners with TLS: versions, keys, protocols, bytes both ways, ends and cuts, what services and the log are told."""

import select
import ssl

from play import *
from stage.kernel import unread
from stage.metrics import *
from stage.platform import *
from stage.provider import *

_TLS12, _TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def behind_tls(*origins, name="good", **config):
  """A configuration whose listener has a certificate of the stage."""
  return serving(*origins, **merged({"listeners": {"main": listening_place(name)}}, config))


@contextmanager
def encrypted(script=None, *, whole=True, tls=None, **config):
  """An origin, an edge whose listener speaks TLS, and a client that does."""
  with Origin(script, whole=whole) as origin, Edge(behind_tls(origin, **config)) as edge:
    with edge.client(tls=tls or ClientTLS()) as client:
      yield client, edge, origin


def refused_handshake(edge, tls):
  """The reason that a client gets for a handshake that fails."""
  try:
    with edge.client(tls=tls):
      raise Failed("the handshake was done")
  except ssl.SSLError as error:
    return error.reason


# MARK: handshakes


@play
def versions_and_keys():
  """TLS 1.2 and 1.3 are spoken with RSA and P-256 keys, under a chain that a strict client accepts"""
  for name in ("good", "rsa"):
    for version in (_TLS12, _TLS13):
      with encrypted(name=name, tls=ClientTLS(version=version)) as (client, edge, origin):
        same(client.sock.stream.version(), f"TLSv1.{2 if version == _TLS12 else 3}")
        same(client.get("/").status, 200)
        for body in (b"body", random_bytes(100_000)):
          same(client.request("POST", "/", [], body).status, 200)
          same(origin.last().body == body, True, "the body")
        same(edge.log_line(method="GET")["listener"], "main")
        same(edge.wait_line(event="listening")["scheme"], "https")


@play
def old_versions_and_suites():
  """TLS 1.1 and suites without forward secrecy are refused"""
  with Edge(behind_tls("http://127.0.0.1:1", name="rsa")) as edge:
    reason = refused_handshake(edge, ClientTLS(version=ssl.TLSVersion.TLSv1_1))
    same(reason, "TLSV1_ALERT_PROTOCOL_VERSION")
    for suite in ("AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA", "DHE-RSA-AES128-GCM-SHA256"):
      same(refused_handshake(edge, ClientTLS(version=_TLS12, ciphers=suite)), "SSLV3_ALERT_HANDSHAKE_FAILURE", suite)
    with edge.client() as client:
      same(client.get("/health").status, 200, "the next client is served")


@play
def protocols():
  """of the protocols that a client offers http/1.1 is chosen; a client that offers others only is refused"""
  with Edge(behind_tls("http://127.0.0.1:1")) as edge:
    for offered, chosen in (((), None), (("http/1.1",), "http/1.1"), (("h2", "http/1.1"), "http/1.1")):
      with edge.client(tls=ClientTLS(protocols=offered)) as client:
        same(client.sock.stream.selected_alpn_protocol(), chosen)
        same(client.get("/health").status, 200)
    for offered in (("h2",), ("http/1.0", "spdy/1")):
      refused_handshake(edge, ClientTLS(protocols=offered))
    same(edge.wait_line(event="tls_handshake_failed")["reason"], "no application protocol")


@play
def nothing_is_resumed():
  """a client gets no ticket and no session that it could resume"""
  for version in (_TLS12, _TLS13):
    with encrypted(tls=ClientTLS(version=version)) as (client, edge, origin):
      same(client.get("/").status, 200)
      session = client.sock.stream.session
      holds(not session or not session.has_ticket, "a ticket was given")
      holds(not client.sock.stream.session_reused, "the session was reused")


@play
def hello_in_pieces():
  """a handshake that comes one byte at a time, and a request that comes together with its end, are understood"""
  for version in (_TLS12, _TLS13):
    with encrypted(tls=ClientTLS(version=version, step=1)) as (client, edge, origin):
      same(client.get("/").status, 200)
    early = ClientTLS(version=version, early=head("GET", "/early") + head("GET", "/pipelined"))
    with encrypted(tls=early) as (client, edge, origin):
      same((client.read_response().status, client.read_response().status), (200, 200))
      same(origin.paths(), ["/early", "/pipelined"])


@play
def counted():
  """handshakes are counted by what came of them, and connections that fail are closed at once"""
  with Edge(merged(behind_tls("http://127.0.0.1:1", routes=METRICS), {"listeners": LISTENERS})) as edge:
    with edge.client("metrics") as watcher:
      for _ in range(3):
        with edge.client() as client:
          same(client.get("/health").status, 200)
      refused_handshake(edge, ClientTLS(protocols=("h2",)))
      with edge.client(tls=None) as plain:
        same(plain.get("/").status, 400)
      series = scraped(watcher)
      found = {result: total(series, "edge_tls_handshakes_total", result=result)
               for result in ("done", "failed", "timeout", "plain")}
      same(found, {"done": 3, "failed": 1, "timeout": 0, "plain": 1})


@play
def status_tells_it():
  """status says which listeners speak TLS, and check --full prints the paths and nothing of the key"""
  with Edge(behind_tls("http://127.0.0.1:1", listeners={"other": {"bind": "127.0.0.1:0"}})) as edge:
    found = {row["name"]: row["tls"] for row in edge.status()["listeners"]}
    same((found["main"], found["other"]), (True, False))
    code, output, _ = command("status", folder=edge.folder.path)
    same(code, 0)
    holds(re.search(r"main +127\.0\.0\.1:\d+ +routes \(TLS\)", output), output)
    code, output, _ = command("check", "--full", folder=edge.folder.path)
    same(code, 0)
    with open(certificate("good", "key"), encoding="ascii") as key:
      secret = key.read().splitlines()[1]
    holds(certificate("good", "key") in output and secret not in output, output)


# MARK: bytes


def writable(line, milliseconds):
  """Whether the kernel takes more of a connection within a time."""
  ready = select.poll()
  ready.register(line.sock, select.POLLOUT)
  return bool(ready.poll(milliseconds))


@play
def services_are_told():
  """services read that the client has come by https, and a URL of https is served"""
  with encrypted() as (client, edge, origin):
    same(client.get("/", [("X-Forwarded-Proto", "http"), ("Forwarded", "proto=http")]).status, 200)
    fields = origin.last().fields
    same(fields.one("x-forwarded-proto"), "https")
    same(fields.one("forwarded"), 'for=127.0.0.1;host="edge.test";proto=https')
    same(client.get("https://edge.test/absolute").status, 200)
    same(origin.last().target, "/absolute")
  with encrypted(server={"trusted": ["127.0.0.1"]}) as (client, edge, origin):
    same(client.get("/", [("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "http")]).status, 200)
    same(origin.last().fields.one("x-forwarded-proto"), "http", "what a trusted peer says of its client")
    same(client.get("/").status, 200)
    same(origin.last().fields.one("x-forwarded-proto"), "https", "where it says nothing")


@play
def many_requests():
  """requests on one connection, pipelined and in records of odd sizes, are answered in order"""
  with encrypted() as (client, edge, origin):
    count = 300
    requests = b"".join(head("POST", f"/{number}", [("Content-Length", 1000)]) + b"x" * 1000 for number in range(count))
    for at in range(0, len(requests), 1013):
      client.send(requests[at:at + 1013])
    for _ in range(count):
      same(client.read_response("POST").status, 200)
    same(origin.paths(), [f"/{number}" for number in range(count)])


@play
def large_bodies():
  """large bodies arrive unchanged in both directions, in records of every size"""
  up, down = random_bytes(4_000_000), random_bytes(6_000_000)
  with encrypted() as (client, edge, origin):
    for frame in ("length", "chunked", "close"):
      origin.script = answer(200, down, frame=frame)
      same(client.get("/").body == down, True, f"the answer, {frame}")
    origin.script = answer(200, b"ok")
    for step in (700, 1013, 16_384, 300_000):
      client.send(head("POST", "/", [("Content-Length", len(up))]))
      for at in range(0, len(up), step):
        client.send(up[at:at + step])
      same(client.read_response("POST").status, 200)
      same(origin.last().body == up, True, f"the request in pieces of {step}")


@play
def events_one_by_one():
  """each event of a stream reaches the client before the service sends the next"""
  with Origin() as origin:
    gates = [origin.gate() for _ in range(20)]

    def script(_request, line):
      line.send(_CHUNKED)
      for number, gate in enumerate(gates):
        line.send(b"8\r\nevent %02d\r\n" % number)
        gate.wait()
      line.send(b"0\r\n\r\n")
    origin.script = script
    with Edge(behind_tls(origin)) as edge, edge.client() as client:
      client.send(head("GET", "/"))
      response, kind, _ = client.read_final_head()
      for number, gate in enumerate(gates):
        same(client.read_piece(response, kind), b"event %02d" % number)
        gate.open()
      same(client.read_piece(response, kind), b"")


@play
def a_client_that_does_not_read():
  """a client that reads nothing stops the service, and gets every byte when it reads"""
  body = random_bytes(24_000_000)
  with Origin(send_buffer=65536) as origin:
    full = origin.gate()

    def script(_request, line):
      line.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
      sent = 0
      # Full when the edge leaves bytes unread and the kernel takes no more for a while.
      while not unread(line.remote, line.local) or writable(line, 500):
        sent += line.try_send(body[sent:sent + 16384])
      full.open()
      line.send(body[sent:])
    origin.script = script
    with Edge(behind_tls(origin)) as edge, edge.client(receive_buffer=65536) as client:
      client.send(head("GET", "/"))
      full.wait("the service is stopped")
      holds(edge.memory() < (64 << 20) * MEMORY_FACTOR, f"the edge holds {edge.memory()} bytes")
      same(client.read_response().body == body, True, "the answer")


@play
def sessions():
  """a WebSocket within TLS answers in streams and as a whole, and ends with 1001 when the edge does"""
  with speaking(streamed(*story("hello", used=usage(10, 5))), listeners={"main": listening_place("good")}) as (
      session, client, edge, provider):
    holds(hasattr(client.sock, "stream"), "the session is not within TLS")
    for name in ("a", "b"):
      session.ask(name, stream=True)
      same(session.done(name).text, "hello")
    edge.signal()
    session.assert_ended(1001)
    same(edge.wait_exit(), 0)
    same(session.reader.ended, "end", "the end of the connection")


# MARK: ends


@play
def orderly_ends():
  """connections that the edge ends in order end with close_notify: closed by wish, idle, drained, refused, lingering"""
  with encrypted(server={"timeouts": {"idle": "200ms"}}) as (client, edge, origin):
    with edge.client() as other, edge.client() as bad:
      same(other.get("/", [("Connection", "close")]).status, 200)
      bad.send(b"nonsense\r\n\r\n" + b"x" * 100_000)
      same(bad.read_response().status, 400)
      same(client.get("/").status, 200)
      for one in (other, bad, client):
        one.assert_closed()
        same(one.reader.ended, "end")
  with encrypted() as (client, edge, origin):
    same(client.get("/").status, 200)
    edge.signal()
    client.assert_closed()
    same((client.reader.ended, edge.wait_exit()), ("end", 0))


@play
def answers_that_end_with_the_connection():
  """to a client of HTTP/1.0 close_notify says that an answer is whole; one that is cut ends without it"""
  begun = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
  for rest, is_whole in ((b"0\r\n\r\n", True), (b"", False)):
    def script(_request, line, rest=rest):
      line.send(begun)
      go.wait("the client has the beginning")
      line.send(rest)
      line.close()
    with encrypted() as (client, edge, origin):
      go = origin.gate()
      origin.script = script
      client.send(head("GET", "/", version="1.0"))
      response, kind, _ = client.read_final_head(version="1.0")
      same(client.read_piece(response, kind), b"hello")
      go.open()
      same(client.read_to_end(), b"")
      same(client.reader.ended == "end", is_whole, f"the end {client.reader.ended!r} is one in order")


@play
def clients_that_are_cut():
  """a client whose connection ends within its request has gone, with close_notify, without it and with a reset"""
  for leave in (lambda client: client.close(), lambda client: (client.sock.drop(), client.finish()), Client.reset):
    with encrypted(whole=False) as (client, edge, origin):
      origin.script = lambda request, line: line.wait_end()
      client.send(head("POST", "/", [("Content-Length", 1000)]) + b"x" * 500)
      origin.wait_requests(1)
      leave(client)
      origin.lines[0].await_end()
      same(edge.log_line()["cause"], "client_left")


@play
def clients_that_leave_while_they_wait():
  """a client that leaves before its answer, or within a stream, ends the connection to the service"""
  for begun in (False, True):
    def script(_request, line, begun=begun):
      if begun:
        line.send(_CHUNKED + b"5\r\nhello\r\n")
      line.hang()
    with encrypted(script) as (client, edge, origin):
      client.send(head("GET", "/"))
      origin.wait_requests(1)
      if begun:
        response, kind, _ = client.read_final_head()
        same(client.read_piece(response, kind), b"hello")
      client.close()
      origin.lines[0].await_end()
      same(edge.log_line()["cause"], "client_left")


@play
def a_refusal_before_the_body_ends():
  """a refusal reaches a client that goes on sending"""
  with encrypted(limits={"body_size": "1KiB"}) as (client, edge, origin):
    client.send(head("POST", "/", [("Content-Length", 200_000)]) + b"x" * 200_000)
    assert_error(client.read_response("POST"), 413, "MESSAGE_TOO_LARGE")
    client.assert_closed()
    same(client.reader.ended, "end")


@play
def drain():
  """at SIGTERM a stream goes on to its end, and a handshake that has begun leads to one request that is answered"""
  with Origin() as origin:
    gate = origin.gate()
    origin.script = held(gate)
    with Edge(behind_tls(origin, server={"drain": "30s"})) as edge, edge.client() as client:
      stream = Stream(client)
      with edge.client(handshakes=False) as late, edge.client(handshakes=False) as silent:
        late.sock.hello()
        eventually(late.heard, "the hello is answered")
        edge.signal()
        silent.assert_closed("a connection without a handshake")
        assert_refused(edge.address())
        late.sock.handshake()
        response = late.get("/health")
        same((response.status, response.fields.one("connection")), (200, "close"))
        late.assert_closed()
      gate.open()
      stream.assert_whole()
      same(edge.wait_exit(), 0)
