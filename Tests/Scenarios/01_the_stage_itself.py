"""The stage is proven without an edge: client and origin talk to each other directly."""

import socket
import ssl

from play import *
from stage.kernel import unread
from stage.tls import CommandServer, telling_cuts
from stage.wire import parse_request, parse_response


def refused(function, kind):
  try:
    function()
  except kind as failure:
    return failure
  raise Failed(f"no {kind.__name__}")


@play
def exchange():
  """client and origin understand each other in every framing"""
  for frame in ("length", "chunked", "close"):
    with Origin(answer(200, b"hello", frame=frame)) as origin, Client(origin.address) as client:
      response = client.request("POST", "/a?b", [("X-A", "1")], b"body")
      same((response.status, response.body, response.framing), (200, b"hello", frame), "answer")
      request = origin.wait_requests(1)
      same((request.method, request.target, request.body, request.framing), ("POST", "/a?b", b"body", "length"))
      same(request.fields.one("x-a"), "1")
      if frame != "close":
        same(client.request("HEAD", "/").body, b"")
        same(len(origin.lines), 1, "connections")


@play
def one_byte_at_a_time():
  """bytes sent one at a time are read one at a time"""
  with Origin() as origin, Client(origin.address) as client:
    client.send_slowly(head("POST", "/", [("Transfer-Encoding", "chunked")]) + chunked(b"ab", b"c"))
    same(client.read_response().body, b"ok")
    same(origin.last().body, b"abc")
    same(origin.last().chunks, [2, 1])


@play
def gates():
  """a gate holds a script until it is opened"""
  with Origin() as origin:
    gate = origin.gate()

    def script(_request, line):
      line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
      gate.wait()
      line.send(b"1\r\nb\r\n0\r\n\r\n")
    origin.script = script
    with Client(origin.address) as client:
      client.send(head("GET", "/"))
      response, kind, _ = client.read_final_head()
      same(client.read_piece(response, kind), b"a")
      gate.reached()
      client.assert_open()
      gate.open()
      same(client.read_piece(response, kind), b"b")
      same(client.read_piece(response, kind), b"")


@play
def endings():
  """an end, a reset and a body that is too short are told apart"""
  with Origin(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "close")) as origin:
    with Client(origin.address) as client:
      client.send(head("GET", "/"))
      same(refused(client.read_response, Cut).received, b"abc")
  with Origin(raw(b"", "reset")) as origin, Client(origin.address) as client:
    client.send(head("GET", "/"))
    client.assert_closed()
    same(client.reader.ended, "reset")
  with Origin() as origin:
    with Client(origin.address) as client:
      client.send(b"GET / HTTP/1.1\r\nHo")
      client.finish()
      client.assert_closed()
    origin.wait_cut()
    same(origin.requests, [])


@play
def faults_of_the_edge_are_found():
  """an origin that receives a malformed request fails the play"""
  for text in (b"GET / HTTP/1.1\nHost: a\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
               b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"):
    def attempt():
      with Origin() as origin, Client(origin.address) as client:
        client.send(text)
        client.assert_closed()
    refused(attempt, Failed)


@play
def strict_heads():
  """the strict parsers refuse what the protocol forbids"""
  for text in (b"HTTP/1.1 200\r\n\r\n", b"HTTP/1.1 20 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
               b"HTTP/1.1 200 OK\r\nA: b\n\r\n\r\n", b"HTTP/1.1 200 OK\r\n a: b\r\n\r\n"):
    refused(lambda: parse_response(text), Malformed)
  for text in (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", b"GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n"):
    refused(lambda: parse_request(text), Malformed)


@play
def the_kernel_is_asked():
  """unread bytes of the other side are counted, and a closed socket is gone"""
  with Origin(whole=False) as origin:
    gate = origin.gate()
    origin.script = lambda request, line: gate.wait()
    with Client(origin.address) as client:
      client.send(head("POST", "/", [("Content-Length", "5")]))
      gate.reached()
      client.send(b"12345")
      same(client.unread_there(), 5)
      client.reset()
    local, remote = client.local, client.remote
    eventually(lambda: unread(remote, local) is None, "the reset reached the origin")


@play
def ports():
  """refused and unanswering ports behave so"""
  sock = refused_port()
  with sock:
    refused(lambda: Client(sock.getsockname()), ConnectionRefusedError)
  with Unanswering() as silent:
    import socket
    attempt = socket.socket()
    with attempt:
      attempt.settimeout(0.2)
      refused(lambda: attempt.connect(silent.address), TimeoutError)


@play
def who_listens():
  """a listening socket is found by its address, and a free port is one where nobody listens"""
  with Origin() as origin:
    inode = listening(origin.address)
    holds(inode in sockets("self"), "the origin's socket is not found")
    with Client(origin.address) as client:
      same(listening(client.local), None, "a socket that is connected")
  same(listening(origin.address), None, "a socket that is closed")
  assert_refused(origin.address)
  assert_refused(("127.0.0.1", free_port()))


@play
def reported_differences():
  """the differences a reload reports are read by kind, and a list with gaps or doubles is refused"""
  same(difference({"event": "reloaded", "added": "routes.a", "changed": "limits.body_size routes.b.path"}),
       {"added": {"routes.a"}, "changed": {"limits.body_size", "routes.b.path"}})
  for text in ("", "routes.a ", "routes.a  routes.b", "routes.a routes.a"):
    refused(lambda: difference({"added": text}), Failed)


@play
def configuration():
  """the configuration of a play is written as YAML"""
  text = yaml(serving("http://127.0.0.1:1", server={"workers": 2}, log={"access": True, "level": "on"}))
  holds("  workers: 2\n" in text, text)
  holds('level: "on"' in text and "access: true" in text, text)
  holds('endpoints: ["http://127.0.0.1:1"]' in text or "endpoints: [http://127.0.0.1:1]" in text, text)


def secured(origin, ca="ca", host="localhost"):
  """A client of an origin that speaks TLS, over Python's own sockets."""
  context = telling_cuts(ssl.create_default_context(cafile=certificate(ca)))
  sock = socket.create_connection(origin.address, timeout=DEADLINE)
  try:
    return context.wrap_socket(sock, server_hostname=host, suppress_ragged_eofs=False)
  except BaseException:
    sock.close()
    raise


def read_all(stream):
  data = b""
  while True:
    piece = stream.recv(65536)
    if not piece:
      return data
    data += piece


@play
def tls():
  """an origin speaks TLS: both directions, large bodies, the client's name and end"""
  body = random_bytes(3_000_000)
  with Origin(answer(200, body, frame="close"), tls="good") as origin:
    with secured(origin) as stream:
      stream.sendall(head("POST", "/", [("Content-Length", len(body))]) + body)
      data = read_all(stream)
      same(data.partition(b"\r\n\r\n")[2], body, "the answer's body")
      same(origin.last().body, body, "the request's body")
      same(origin.lines[0].sock.asked_name, "localhost")
      holds(b"POST" not in origin.lines[0].sock.seen, "the request went in plain text")
      stream.unwrap()


@play
def tls_of_the_client_ends():
  """an origin tells a client's end from a cut"""
  with Origin(tls="good", lenient=True) as origin:
    with secured(origin) as stream:
      stream.sendall(head("GET", "/"))
      holds(stream.recv(4096).startswith(b"HTTP/1.1 200"), "no answer")
      stream.shutdown(socket.SHUT_RDWR)
    origin.lines[0].await_end()
    same(origin.lines[0].how, "not ended by close_notify: UNEXPECTED_EOF_WHILE_READING")
    with secured(origin) as stream:
      stream.sendall(head("GET", "/"))
      holds(stream.recv(4096).startswith(b"HTTP/1.1 200"), "no answer")
      try:
        stream.unwrap()
      except OSError:  # the origin closes at once
        pass
      origin.lines[1].await_end()
    same(origin.lines[1].how, "end")


@play
def tls_cut():
  """an origin can end TLS and can cut it off"""
  for then in ("close", "drop", "reset"):
    with Origin(raw(b"HTTP/1.1 200 OK\r\n\r\nok", then), tls="good") as origin, secured(origin) as stream:
      stream.sendall(head("GET", "/"))
      try:
        same(read_all(stream), b"HTTP/1.1 200 OK\r\n\r\nok")
        same(then, "close", "the end that was seen")
      except (ssl.SSLError, ConnectionResetError) as error:
        holds(isinstance(error, ConnectionResetError) or "EOF" in str(error), f"{error!r}")
        among(then, ("drop", "reset"), "the cut that was seen")


@play
def tls_that_is_refused():
  """clients refuse the origin's bad certificates, and the origin notes it"""
  with Origin(tls="good") as origin, secured(origin, "both-ca") as stream:
    same(stream.version(), "TLSv1.3")
  for name in ("good", "other", "wrong-name", "expired", "self-signed"):
    ca = "other-ca" if name == "good" else "ca"
    with Origin(tls=name) as origin:
      error = refused(lambda found=origin, authority=ca: secured(found, authority), ssl.SSLCertVerificationError)
      holds("certificate" in str(error), f"{name}: {error}")
      origin.wait(lambda found=origin: found.refused, "the refusal")


@play
def key_changes():
  """the command server sends what it is told and changes keys"""
  with CommandServer() as server:
    server.address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    with secured(server) as stream:
      stream.sendall(b"question\n")
      server.read_until(b"question")
      server.send(b"K\n")
      server.send(b"answer\n")
      same(stream.recv(100), b"answer\n")
