"""Services behind TLS: bytes both ways, ends and cuts, reuse, verification, names, certificates that change."""

import select
import signal
import socket
import ssl

from play import *
from stage.kernel import unread
from stage.tls import CommandServer

_VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def assert_refused(response, edge, reason=None, attempts=1):
  """503 because no endpoint could be trusted; the log says why."""
  assert_error(response, 503, "SERVICE_UNAVAILABLE")
  line = edge.log_line(requestId=response.fields.one("x-request-id"))
  same((line["status"], line["cause"], line["attempts"]), (503, "unavailable", attempts))
  if reason:
    failed = edge.wait_line(event="upstream_tls_failed")
    same((failed["level"], failed["service"]), ("warn", "app"))
    holds(reason in failed["reason"], f"reason {failed['reason']!r}")


# Bytes


@play
def exchanges_over_tls():
  """requests and answers in every framing pass through TLS 1.2 and 1.3 as they do without"""
  for version in _VERSIONS:
    with secured(tls=TLS(version=version)) as (client, edge, origin):
      for frame in ("length", "chunked", "close"):
        origin.script = answer(200, b"hello", [("X-A", "1")], frame=frame)
        response = client.get("/a?b", [("X-B", "2")])
        same((response.status, response.body, response.fields.one("x-a")), (200, b"hello", "1"), frame)
        same((origin.last().target, origin.last().fields.one("x-b")), ("/a?b", "2"))
        same(client.request("POST", "/", [], b"body").body, b"hello")
        same((origin.last().body, origin.last().framing), (b"body", "length"))
        client.send(head("PUT", "/", [("Transfer-Encoding", "chunked")]) + chunked(b"a", b"bc"))
        same(client.read_response().body, b"hello")
        same((origin.last().body, origin.last().framing), (b"abc", "chunked"))
      origin.script = answer(200, b"hello")
      same(client.request("HEAD", "/").body, b"")
      same({line.sock.stream.version() for line in origin.lines}, {f"TLSv1.{2 if version == _VERSIONS[0] else 3}"})
      same({line.sock.stream.selected_alpn_protocol() for line in origin.lines}, {"http/1.1"})
      holds(all(b"HTTP" not in line.sock.seen for line in origin.lines), "something went in plain text")


@play
def large_bodies():
  """large bodies arrive unchanged in both directions, counted and chunked"""
  up, down = random_bytes(8_000_000), random_bytes(12_000_000)
  for frame in ("length", "chunked", "close"):
    with secured(answer(200, down, frame=frame)) as (client, edge, origin):
      same(client.get("/").body == down, True, f"the answer, {frame}")
  with secured() as (client, edge, origin):
    same(client.request("POST", "/", [], up).status, 200)
    same(origin.last().body == up, True, "the counted request")
    client.send(head("POST", "/", [("Transfer-Encoding", "chunked")]) + chunked(up[:1], up[1:300_000], up[300_000:]))
    same(client.read_response().status, 200)
    same(origin.last().body == up, True, "the chunked request")
    same(len(origin.lines), 1, "connections")


@play
def bytes_one_at_a_time():
  """records of one byte make a whole answer"""
  text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
  with secured(lambda request, line: line.send_slowly(text)) as (client, edge, origin):
    response = client.get("/")
    same((response.body, response.fields.one("x-a")), (b"abc", "b"))


@play
def events_one_by_one():
  """each event of a stream reaches the client before the service sends the next"""
  with Origin(tls="good") as origin:
    gates = [origin.gate() for _ in range(20)]

    def script(_request, line):
      line.send(_CHUNKED)
      for number, gate in enumerate(gates):
        line.send(b"8\r\nevent %02d\r\n" % number)
        gate.wait()
      line.send(b"0\r\n\r\n")
    origin.script = script
    with Edge(trusting(origin)) as edge, edge.client() as client:
      client.send(head("GET", "/"))
      response, kind, _ = client.read_final_head()
      for number, gate in enumerate(gates):
        same(client.read_piece(response, kind), b"event %02d" % number)
        client.assert_open()
        gate.open()
      same(client.read_piece(response, kind), b"")


@play
def uploads_one_by_one():
  """each piece of a request reaches the service before the client sends the next"""
  with Origin(whole=False, tls="good") as origin:
    pieces = [origin.gate() for _ in range(10)]

    def script(request, line):
      for gate in pieces:
        same(line.read_piece(request), b"piece")
        gate.open()
      same(line.read_piece(request), b"")
      answer(200, b"ok")(request, line)
    origin.script = script
    with Edge(trusting(origin)) as edge, edge.client() as client:
      client.send(head("POST", "/", [("Transfer-Encoding", "chunked")]))
      for gate in pieces:
        client.send(b"5\r\npiece\r\n")
        gate.wait("the service reads a piece")
      client.send(b"0\r\n\r\n")
      same(client.read_response().status, 200)


def writable(line, milliseconds):
  """Whether the kernel takes more of a connection within a time."""
  ready = select.poll()
  ready.register(line.sock, select.POLLOUT)
  return bool(ready.poll(milliseconds))


@play
def a_client_that_does_not_read():
  """a client that reads nothing stops the service, and gets every byte when it reads"""
  body = random_bytes(24_000_000)
  with Origin(tls="good", send_buffer=65536) as origin:
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
    with Edge(trusting(origin)) as edge, edge.client() as client:
      client.send(head("GET", "/"))
      full.wait("the service is stopped")
      holds(edge.memory() < 64 << 20, f"the edge holds {edge.memory()} bytes")
      same(client.read_response().body == body, True, "the answer")


@play
def an_answer_before_the_request_ends():
  """a service that answers early is heard, although the request still comes"""
  def script(_request, line):
    line.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nstop")
    line.hang()
  with secured(script, whole=False) as (client, edge, origin):
    client.send(head("POST", "/", [("Content-Length", 5_000_000)]) + b"x" * 100_000)
    response = client.read_response()
    same((response.status, response.body), (413, b"stop"))


# Reuse


@play
def one_connection():
  """requests share a connection, tickets of TLS 1.3 or not"""
  for version in _VERSIONS:
    with secured(tls=TLS(version=version)) as (client, edge, origin):
      for number in range(30):
        same(client.request("POST", f"/{number}", [], b"body").status, 200, f"request {number}")
      same(len(origin.lines), 1, "connections")
      same({line["attempts"] for line in edge.exchanges(30)}, {1})


@play
def keys_change_while_idle():
  """an idle connection on which the service changes keys is used again"""
  with CommandServer() as server, Edge(trusting(server.url)) as edge, edge.client() as client:
    for number in (b"one", b"two", b"three"):
      client.send(head("GET", f"/{number.decode()}"))
      server.read_until(b"GET /" + number, b"\r\n\r\n")
      server.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(number), number))
      same(client.read_response().body, number)
      server.send(b"K\n")
    same({line["attempts"] for line in edge.exchanges(3)}, {1})


@play
def connections_that_the_service_ends():
  """an idle connection that the service ends, in order or not, is noticed and not used again"""
  def end(line):
    line.sock.say_end()  # the connection below stays open
    line.wait_end()
    line.close()

  def cut_off(line):
    line.sock.drop()
    line.sock.raw.shutdown(socket.SHUT_WR)
    line.wait_end()
    line.close()
  for finish in (end, cut_off, Line.finish):
    with Origin(tls="good") as origin:
      def script(request, line, how=finish):
        answer(200, b"ok")(request, line)
        how(line)
      origin.script = script
      with Edge(trusting(origin)) as edge, edge.client() as client:
        for number in range(3):
          same(client.request("POST", "/", [], b"body").status, 200, f"request {number}")
          origin.lines[number].await_end()
        same((len(origin.lines), len(origin.requests)), (3, 3), "connections and requests")


@play
def stale_connection():
  """a GET that meets a connection just closing is sent once more on a fresh one"""
  for leave in (Line.close, Line.drop, Line.reset):
    with Origin(tls="good") as origin:
      def script(request, line, how=leave):
        if line.number == 1 and line.served == 1:
          how(line)
        else:
          answer(200, b"ok")(request, line)
      origin.script = script
      with Edge(trusting(origin)) as edge, edge.client() as client:
        same(client.get("/1").status, 200)
        same(client.get("/2").status, 200, "the request on the stale connection")
        same(origin.paths(), ["/1", "/2", "/2"])
        same(edge.log_line(path="/2")["attempts"], 2)


@play
def the_edge_says_goodbye():
  """an idle connection that the edge closes ends with close_notify, at its time and at the edge's end"""
  with secured(service={"pool": {"idle": "200ms"}}) as (client, edge, origin):
    same(client.get("/").status, 200)
    origin.lines[0].await_end()
    same(origin.lines[0].how, "end")
  with secured() as (client, edge, origin):
    same(client.get("/").status, 200)
    client.close()
    edge.stop()
    origin.lines[0].await_end()
    same(origin.lines[0].how, "end")


@play
def bytes_between_requests():
  """an idle connection on which the service speaks unasked is not used again"""
  with secured(lambda request, line: line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokPOISON")) as (
      client, edge, origin):
    for number in range(3):
      same(client.get("/").body, b"ok", f"answer {number}")
    same(len(origin.lines), 3, "connections")


# Ends


@play
def an_answer_that_ends_with_the_connection():
  """an answer without length is whole when close_notify ends it, and cut when the connection just closes"""
  for then in ("close", "drop", "reset"):
    with secured(raw(b"HTTP/1.1 200 OK\r\n\r\nhello", then)) as (client, edge, origin):
      if then == "close":
        same(client.get("/").body, b"hello")
        same(edge.log_line()["cause"], "completed")
      else:
        assert_no_whole_answer(client)
        among(edge.log_line()["cause"], ("upstream_cut", "upstream_error"), "cause")


def assert_no_whole_answer(client):
  """502, or an answer that breaks off: a reset may overtake the bytes before it."""
  client.send(head("GET", "/"))
  response, kind, length = client.read_final_head()
  if response.status != 502:
    client.assert_cut(response, kind, length)


@play
def answers_that_are_cut():
  """an answer that ends too early is cut for the client too, whether close_notify stands there or not"""
  for then in ("close", "drop", "reset"):
    for text in (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", _CHUNKED + b"5\r\nhello\r\n"):
      with secured(raw(text, then)) as (client, edge, origin):
        assert_no_whole_answer(client)


@play
def no_answer():
  """a fresh connection that ends without an answer is 502, whether close_notify stands there or not"""
  for then in ("close", "drop", "reset"):
    for text in (b"", b"HTTP/1.1 200 OK\r\nX-A"):
      with secured(raw(text, then)) as (client, edge, origin):
        assert_error(client.get("/"), 502, "PROVIDER_ERROR")
        same(len(origin.requests), 1, "requests at the service")


@play
def the_client_leaves():
  """a client that leaves ends the connection to the service"""
  def script(_request, line):
    line.send(_CHUNKED + b"5\r\nhello\r\n")
    line.hang()
  with secured(script) as (client, edge, origin):
    client.send(head("GET", "/"))
    response, kind, _ = client.read_final_head()
    same(client.read_piece(response, kind), b"hello")
    client.reset()
    origin.lines[0].await_end()
    same(edge.log_line()["cause"], "client_left")


# Verification


@play
def servers_that_are_not_trusted():
  """an unknown authority, a wrong name, an expired or self-signed certificate: 503, and the request is not sent"""
  for name, ca, reason in (
    ("good", "other-ca", "certificate verify failed: unable to get local issuer certificate"),
    ("wrong-name", "ca", "certificate verify failed: IP address mismatch"),
    ("expired", "ca", "certificate verify failed: certificate has expired"),
    ("self-signed", "ca", "certificate verify failed: self-signed certificate"),
  ):
    with secured(tls=name, ca=ca) as (client, edge, origin):
      assert_refused(client.request("POST", "/", [], b"secret"), edge, reason)
      same(client.get("/health").status, 200, "the connection goes on")
      origin.wait(lambda found=origin: found.refused, "the refusal")
      same(origin.requests, [])


@play
def wrong_name_of_a_named_endpoint():
  """the certificate must be for the host that the endpoint names"""
  with Origin(tls="wrong-name") as origin, Edge(trusting(origin.url_at("localhost"))) as edge, edge.client() as client:
    assert_refused(client.get("/"), edge, "certificate verify failed: hostname mismatch")
    same(origin.requests, [])


@play
def old_versions():
  """TLS 1.1 is refused"""
  with secured(tls=TLS(version=ssl.TLSVersion.TLSv1_1)) as (client, edge, origin):
    assert_refused(client.get("/"), edge, "protocol")
    same(origin.requests, [])


@play
def servers_without_tls():
  """a server that speaks plain text, or something else, gets nothing of the request"""
  for greeting in (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n"):
    with secured(tls=TLS(greeting=greeting)) as (client, edge, origin):
      assert_refused(client.request("POST", "/secret", [], b"secret"), edge, "does not speak TLS")
  with Origin(lenient=True) as origin:
    # A plain server waits for the end of what it takes for a head.
    url = origin.url.replace("http:", "https:")
    with Edge(trusting(url, service={"timeouts": {"connect": "200ms"}})) as edge, edge.client() as client:
      assert_refused(client.request("POST", "/secret", [], b"secret"), edge)
      origin.wait_cut()
      holds(b"secret" not in origin.cut[0].received, "the request was sent")


@play
def servers_that_leave():
  """a server that closes or resets instead of a handshake: 503"""
  for leave, reason in ((Line.finish, "connection closed during the handshake"), (Line.reset, "reset by peer")):
    with secured(tls=TLS(greeting=b"", then=leave)) as (client, edge, origin):
      assert_refused(client.get("/"), edge, reason)


@play
def reasons_that_alternate():
  """two reasons of one endpoint that come in turn are logged once each within ten seconds"""
  def leave(line):
    if line.number % 2:
      line.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    line.finish()
  with secured(tls=TLS(greeting=b"", then=leave)) as (client, edge, origin):
    for number in range(20):
      same(client.get(f"/{number}").status, 503)
    edge.stop()
    lines = edge.matching(event="upstream_tls_failed")
    same(sorted(line["reason"] for line in lines),
         ["connection closed during the handshake", "the server does not speak TLS"], "reasons")


@play
def the_next_endpoint():
  """an endpoint that cannot be trusted is passed over: every request is answered by the other"""
  with Origin(tls="other") as bad, Origin(tls="good") as good:
    with Edge(trusting(bad, good)) as edge, edge.client() as client:
      for number in range(10):
        response = client.request("POST", f"/{number}", [], b"body") if number % 2 else client.get(f"/{number}")
        same(response.status, 200, f"request {number}")
      same((len(bad.requests), len(good.requests)), (0, 10), "requests")
      holds(any(line["attempts"] == 2 for line in edge.exchanges(10)), "no second attempt in the log")
      same(len(edge.matching(event="upstream_tls_failed")), 1, "lines about one endpoint and reason")


@play
def all_endpoints_refused():
  """503 when no endpoint can be trusted, with a line for each and its reason"""
  with Origin(tls="other") as one, Origin(tls="expired") as two:
    with Edge(trusting(one, two)) as edge, edge.client() as client:
      for _ in range(3):
        assert_refused(client.get("/"), edge, attempts=2)
      lines = edge.matching(event="upstream_tls_failed")
      same(len(lines), 2, "lines")
      for origin, reason in ((one, "unable to get local issuer"), (two, "expired")):
        found = [line for line in lines if str(origin.address[1]) in line["endpoint"]]
        same([reason in line["reason"] for line in found], [True], f"the line of {origin.url}: {lines}")


@play
def plain_and_secure_endpoints():
  """one service may have endpoints with and without TLS"""
  with Origin() as plain, Origin(tls="good") as secure:
    with Edge(trusting(plain, secure)) as edge, edge.client() as client:
      for _ in range(10):
        same(client.get("/").status, 200)
      same((len(plain.requests), len(secure.requests)), (5, 5), "requests per endpoint")
      same((len(plain.lines), len(secure.lines)), (1, 1), "connections per endpoint")


# Names


@play
def names_that_are_sent():
  """the host of an endpoint is sent as SNI, an address is not, and server_name replaces it"""
  with Origin(tls="good") as origin:
    for url, name, sent in (
      (origin.url, None, None), (origin.url_at("localhost"), None, "localhost"),
      (origin.url, "App.test", "app.test"), (origin.url_at("localhost"), "app.test", "app.test"),
    ):
      service = {"tls": {"server_name": name}} if name else None
      with Edge(trusting(url, service=service)) as edge, edge.client() as client:
        same(client.get("/", host="front.test").status, 200, f"{url} as {name}")
        same(origin.lines[-1].sock.asked_name, sent, f"the name sent to {url} as {name}")
        same(origin.last().fields.one("host"), "front.test", "the request's own host")
    with Edge(trusting(origin, service={"tls": {"server_name": "elsewhere.test"}})) as edge, edge.client() as client:
      assert_refused(client.get("/"), edge, "certificate verify failed: hostname mismatch")


@play
def certificates_of_the_environment():
  """SSL_CERT_FILE names the authorities of a service that names none"""
  with Origin(tls="good") as origin:
    for ca, status in (("ca", 200), ("other-ca", 503)):
      with Edge(serving(origin), extra={"SSL_CERT_FILE": certificate(ca)}) as edge, edge.client() as client:
        same(client.get("/").status, status, ca)


@play
def certificates_of_the_system():
  """without any, the system's authorities count, which do not know the stage's"""
  with Origin(tls="good") as origin, Edge(serving(origin)) as edge, edge.client() as client:
    assert_refused(client.get("/"), edge, "certificate verify failed: unable to get local issuer certificate")


@play
def services_do_not_share_connections():
  """services that verify a server in different ways do not share connections to it"""
  with Origin(tls="good") as origin:
    services = {
      "strict": {"endpoints": [origin.url], "tls": {"ca_file": certificate("other-ca")}},
      "wide": {"endpoints": [origin.url], "tls": {"ca_file": certificate("both-ca")}},
      "named": {"endpoints": [origin.url], "tls": {"ca_file": certificate("ca"), "server_name": "app.test"}},
      "misnamed": {"endpoints": [origin.url], "tls": {"ca_file": certificate("ca"), "server_name": "b.test"}},
    }
    routes = {name: {"path": f"/{name}", "service": name} for name in services}
    with Edge(trusting(origin, services=services, routes=routes)) as edge, edge.client() as client:
      for _ in range(3):
        for path, status in (("/", 200), ("/strict", 503), ("/wide", 200), ("/named", 200), ("/misnamed", 503)):
          same(client.get(path).status, status, path)
      answered = {line.number: line.served for line in origin.lines if line.served}
      same(sorted(answered.values()), [3, 3, 3], "requests per connection")
      same({line.sock.asked_name for line in origin.lines if line.served}, {None, "app.test"})


# Time


@play
def slow_handshake():
  """timeouts.connect covers the handshake: 503, or the next endpoint"""
  with Origin(lenient=True, tls="good") as slow, Origin(tls="good") as good:
    slow.tls.hold = slow.gate()
    service = {"timeouts": {"connect": "200ms"}}
    with Edge(trusting(slow, service=service)) as edge, edge.client() as client:
      assert_refused(client.get("/"), edge)
    with Edge(trusting(slow, good, service=service)) as edge, edge.client() as client:
      for _ in range(4):
        same(client.request("POST", "/", [], b"body").status, 200)
    slow.tls.hold.open()
    slow.wait(lambda: slow.refused, "the edge has given the handshake up")
    same(slow.requests, [])


@play
def client_gone_in_the_handshake():
  """a client that leaves during the handshake leaves nothing behind"""
  with Origin(tls="good") as origin:
    origin.tls.hold = origin.gate()
    with Edge(trusting(origin)) as edge:
      with edge.client() as client:
        client.send(head("GET", "/"))
        origin.tls.hold.reached()
        client.reset()
      same(edge.log_line()["cause"], "client_left")
      origin.tls.hold.open()
      origin.wait(lambda: origin.refused, "the edge has given the handshake up")
      same(origin.requests, [])
      with edge.client() as client:
        same(client.get("/").status, 200, "the next client")


@play
def handshake_in_pieces():
  """a handshake whose bytes come one at a time succeeds"""
  with secured(tls=TLS(step=1)) as (client, edge, origin):
    same(client.get("/").status, 200)


# Reload


@play
def certificates_that_change():
  """a reload reads ca_file again: new connections are verified by it, old ones are not used for it"""
  config = serving("https://placeholder.invalid", service={"tls": {"ca_file": "ca.pem"}})
  with Origin(tls="good") as origin:
    config["services"]["app"]["endpoints"] = [origin.url]
    with Edge(config, files={"ca.pem": pem("ca")}) as edge, edge.client() as client:
      same(client.get("/").status, 200)
      for number, (ca, status) in enumerate((("other-ca", 503), ("both-ca", 200)), 1):
        edge.folder.write("ca.pem", pem(ca))
        edge.signal(signal.SIGHUP)
        edge.wait(lambda count=number: len(edge.matching(event="reloaded")) == count, f"reload {number}")
        same(client.get("/").status, status, ca)
      same(len(origin.requests), 2, "requests")


@play
def certificates_that_break():
  """a reload that finds ca_file broken is refused, and the old certificates go on to count"""
  config = serving("https://placeholder.invalid", service={"tls": {"ca_file": "ca.pem"}})
  with Origin(tls="good") as origin:
    config["services"]["app"]["endpoints"] = [origin.url]
    with Edge(config, files={"ca.pem": pem("ca")}, loud=True) as edge, edge.client() as client:
      same(client.get("/").status, 200)
      edge.folder.write("ca.pem", "nothing\n")
      edge.signal(signal.SIGHUP)
      found = edge.wait_line(event="config_error")
      holds("holds no certificate" in found["message"], f"message {found['message']!r}")
      edge.wait_line(event="reload_failed")
      same(client.get("/").status, 200)
