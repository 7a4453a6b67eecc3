"""Bodies are taken out of one framing and put into another; nothing is held back."""

import hashlib

from play import *
from stage.kernel import unread


@play
def chunked_answer():
  """a chunked answer is framed afresh: no extension or trailer goes on"""
  data = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n"
          b'3;a=b\r\nabc\r\n02;q="x"\r\nde\r\n0;z\r\nX-End: 1\r\nSet-Cookie: a=b\r\n\r\n')
  with staged(raw(data)) as (client, edge, origin):
    for _ in range(2):
      response = client.get("/")
      among(response.framing, ("length", "chunked"), "framing")
      same((response.body, response.extensions, response.trailers), (b"abcde", [], []))
      holds("x-end" not in response.fields and "set-cookie" not in response.fields, f"{response.fields}")
    same(len(origin.lines), 1, "connections to the service")


@play
def closed_answer():
  """an answer that ends with its connection reaches an HTTP/1.1 client with its end marked"""
  with staged(answer(200, b"hello", frame="close")) as (client, edge, origin):
    response = client.get("/")
    same(response.body, b"hello")
    if response.framing == "chunked":
      same(client.get("/").body, b"hello")
      same(len(origin.lines), 2, "connections to the service")
    else:
      same(response.framing, "close")


@play
def old_service():
  """an HTTP/1.0 answer is understood, and its connection not used again unless it says so"""
  with staged(answer(200, b"hello", version="1.0")) as (client, edge, origin):
    for _ in range(2):
      same(client.get("/").body, b"hello")
    same(len(origin.lines), 2, "connections to the service")
  with staged(answer(200, b"hello", [("Connection", "keep-alive")], version="1.0")) as (client, edge, origin):
    for _ in range(2):
      same(client.get("/").body, b"hello")
    same(len(origin.lines), 1, "connections to the service")


@play
def chunked_answer_to_an_old_client():
  """an HTTP/1.0 client gets a chunked answer without chunks, ended by the close"""
  for fields in ([], [("Connection", "keep-alive")]):
    with staged(answer(200, b"hello", frame="chunked")) as (client, edge, origin):
      response = client.request("GET", "/", fields, version="1.0")
      same(response.body, b"hello")
      if response.framing == "close":
        holds("keep-alive" not in (response.fields.one("connection") or "").lower(), f"{response.fields}")


@play
def chunk_boundaries():
  """an answer in chunks of every small size is relayed byte for byte, however it is cut"""
  body = random_bytes(3000)
  pieces, at, size = [], 0, 1
  while at < len(body):
    pieces.append(body[at:at + size])
    at, size = at + size, size + 1
  data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(*pieces)

  def script(request, line):
    line.send_slowly(data, int(request.path[1:]))
  with staged(script) as (client, edge, origin):
    for step in (1, 2, 3, 7, 1460):
      same(client.get(f"/{step}").body, body, f"body in steps of {step}")


@play
def request_chunk_boundaries():
  """a request in chunks of every small size is relayed byte for byte, however it is cut"""
  body = random_bytes(2000)
  pieces, at, size = [], 0, 1
  while at < len(body):
    pieces.append(body[at:at + size])
    at, size = at + size, size + 1
  with staged() as (client, edge, origin):
    for step in (1, 2, 3, 7, 1460):
      client.send_slowly(head("POST", "/", [("Transfer-Encoding", "chunked")]) + chunked(*pieces), step)
      same(client.read_response().status, 200)
      same(origin.last().body, body, f"body in steps of {step}")


@play
def expectation():
  """Expect: 100-continue is answered by the edge and does not go on"""
  with staged() as (client, edge, origin):
    for _ in range(2):
      client.send(head("POST", "/", [("Content-Length", "5"), ("Expect", "100-continue")]))
      same(client.read_head().status, 100)
      client.send(b"hello")
      response = client.read_response()
      same((response.status, response.interim), (200, []))
      same(origin.last().body, b"hello")
      holds("expect" not in origin.last().fields, f"{origin.last().fields}")


@play
def expectation_with_chunks():
  """Expect: 100-Continue works with a chunked body and in any case of letters"""
  with staged() as (client, edge, origin):
    client.send(head("POST", "/", [("Transfer-Encoding", "chunked"), ("Expect", "100-Continue")]))
    same(client.read_head().status, 100)
    client.send(chunked(b"hello"))
    same(client.read_response().status, 200)
    same(origin.last().body, b"hello")


@play
def expectation_refused():
  """an expectation in front of a body that is refused gets the refusal, not a 100"""
  with staged() as (client, edge, origin):
    client.send(head("POST", "/", [("Content-Length", str(11 << 20)), ("Expect", "100-continue")]))
    response = client.read_response()
    same((response.status, response.interim), (413, []))
    same(origin.requests, [])
  with staged(routes={"all": {"path": "/a/*"}}) as (client, edge, origin):
    client.send(head("POST", "/b", [("Content-Length", "5"), ("Expect", "100-continue")]))
    response = client.read_response()
    same((response.status, response.interim), (404, []))


@play
def interim_answers():
  """interim answers of the service do not stand for the final one"""
  data = (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
          b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
  with staged(raw(data)) as (client, edge, origin):
    for _ in range(2):
      response = client.get("/")
      same((response.status, response.body), (200, b"ok"))
    same(client.request("GET", "/", version="1.0").status, 200)


def stream(frame, version="1.1"):
  """Every event must reach the client before the next one is released."""
  events = [f"data: {number}\n\n".encode() for number in range(8)] + [b"data: " + b"x" * 40_000 + b"\n\n", b": end\n\n"]
  with Origin() as origin:
    gates = [origin.gate() for _ in events]

    def script(request, line):
      fields = b"Transfer-Encoding: chunked\r\n" if frame == "chunked" else (
        b"" if frame == "close" else b"Content-Length: %d\r\n" % sum(map(len, events)))
      line.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + fields + b"\r\n")
      for gate, event in zip(gates, events):
        gate.wait("event")
        line.send(b"%x\r\n%s\r\n" % (len(event), event) if frame == "chunked" else event)
      if frame == "chunked":
        line.send(b"0\r\n\r\n")
      elif frame == "close":
        line.close()
    origin.script = script
    with Edge(serving(origin)) as edge, edge.client() as client:
      client.send(head("GET", "/events", version=version))
      response, kind, _ = client.read_final_head(version=version)  # the head comes before any event
      same(response.fields.one("content-type"), "text/event-stream")
      for gate, event in zip(gates, events):
        client.assert_open()
        gate.open()
        same(client.read_at_least(len(event), response, kind), event)
      if kind != "length":
        same(client.read_piece(response, kind), b"", "the end of the stream")


@play
def events_in_chunks():
  """each event of a chunked stream reaches the client before the next is sent"""
  stream("chunked")


@play
def events_until_close():
  """each event of a stream that ends with its connection reaches the client before the next is sent"""
  stream("close")


@play
def events_counted():
  """each piece of a counted answer reaches the client before the next is sent"""
  stream("length")


@play
def events_to_an_old_client():
  """each event of a chunked stream reaches an HTTP/1.0 client before the next is sent"""
  stream("chunked", "1.0")


@play
def requests_are_not_held_back():
  """each piece of a request body reaches the service before the next is sent"""
  for framing in ("length", "chunked"):
    with Origin(whole=False) as origin:
      pieces = [b"a" * 10, b"b" * 20_000, b"c"]
      arrived = [origin.gate() for _ in pieces]

      def script(request, line):
        for gate, piece in zip(arrived, pieces):
          data = b""
          while len(data) < len(piece):
            data += line.read_piece(request)
          same(data, piece, "piece of the request")
          gate.open()
        if request.framing == "chunked":
          same(line.read_piece(request), b"", "end of the request")
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
      origin.script = script
      with Edge(serving(origin)) as edge, edge.client() as client:
        counted = ("Content-Length", sum(map(len, pieces)))
        client.send(head("POST", "/", [counted if framing == "length" else ("Transfer-Encoding", "chunked")]))
        for gate, piece in zip(arrived, pieces):
          client.send(b"%x\r\n%s\r\n" % (len(piece), piece) if framing == "chunked" else piece)
          gate.wait("piece at the service")
        if framing == "chunked":
          client.send(b"0\r\n\r\n")
        same(client.read_response().body, b"ok")


@play
def early_answer():
  """a service that answers before the body is there is relayed at once, and nothing is mixed up after"""
  with Origin(whole=False) as origin:
    def script(request, line):
      line.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
      line.hang()
    origin.script = {"/early": script, "*": answer(200, b"ok")}
    with Edge(serving(origin)) as edge:
      with edge.client() as client:
        client.send(head("POST", "/early", [("Content-Length", "1000000")]) + b"some")
        response = client.read_response()
        same((response.status, response.body), (401, b"no"))
      with edge.client() as client:
        same(client.get("/").body, b"ok")
      origin.wait_connections(2)
      origin.lines[0].await_end()


@play
def early_answer_and_the_rest():
  """behind an early answer the unread body is not taken for a request"""
  smuggled = b"GET /smuggled HTTP/1.1\r\nHost: edge.test\r\n\r\n"
  with Origin(whole=False) as origin:
    def script(request, line):
      line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")
      line.hang()
    origin.script = {"/early": script, "*": answer(200, b"smuggled")}
    with Edge(serving(origin)) as edge:
      with edge.client() as client:
        client.send(head("POST", "/early", [("Content-Length", len(smuggled))]))
        same(client.read_response().body, b"no")
        try:
          client.send(smuggled + head("GET", "/last", [("Connection", "close")]))
        except OSError:
          pass
        client.read_to_end()
      edge.stop()
      holds("/smuggled" not in origin.paths(), f"{origin.paths()}")


def stop_and_go(frame, version="1.1"):
  """A client that reads now and then gets every byte of an answer in this framing."""
  piece = random_bytes(10_007)
  count = 1500
  seen = {"all": False}
  with Origin(send_buffer=64 << 10) as origin:
    def script(request, line):
      fields = b"Transfer-Encoding: chunked\r\n" if frame == "chunked" else b""
      line.send(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n")
      data = b"%x\r\n%s\r\n" % (len(piece), piece) if frame == "chunked" else piece
      for _ in range(count):
        line.send(data)
      seen["all"] = True
      if frame == "chunked":
        line.send(b"0\r\n\r\n")
      else:
        line.close()
    origin.script = script
    with Edge(serving(origin)) as edge, edge.client(receive_buffer=16 << 10) as client:
      client.send(head("GET", "/", version=version))
      response, kind, _ = client.read_final_head(version=version)
      found, total, pause = hashlib.sha256(), 0, 1
      while True:
        data = client.read_piece(response, kind)
        if not data:
          break
        found.update(data)
        total += len(data)
        if total > pause * 2_000_000:  # a pause long enough for every buffer on the way to fill
          pause += 1
          holds(client.reader.poll.poll(1000 * DEADLINE), "no bytes wait")
          line = origin.lines[0]
          eventually(lambda: unread(line.remote, line.local) or seen["all"], "every buffer on the way is full")
      same((total, found.hexdigest()), (count * len(piece), hashlib.sha256(piece * count).hexdigest()), "the answer")


@play
def stop_and_go_chunked():
  """a client that pauses while it reads gets a large chunked answer unchanged"""
  stop_and_go("chunked")
  stop_and_go("chunked", "1.0")


@play
def stop_and_go_until_close():
  """a client that pauses while it reads gets a large answer that ends with its connection unchanged"""
  stop_and_go("close")


@play
def service_that_refuses_a_large_body():
  """a service that refuses a large body at once is heard although the client is still sending"""
  with Origin(whole=False) as origin:
    def script(request, line):
      line.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
      line.finish()
    origin.script = script
    with Edge(serving(origin, limits={"body_size": "1GiB"})) as edge, edge.client() as client:
      try:
        client.send(head("POST", "/", [("Content-Length", 30_000_000)]) + bytes(30_000_000))
      except OSError:
        pass  # the edge has answered and takes no more
      response = client.read_response()
      same((response.status, response.body), (413, b"no"))
      client.assert_closed()


@play
def request_behind_chunks():
  """a request behind a chunked body arrives as it was sent, wherever the two are cut apart"""
  first = head("POST", "/first", [("Transfer-Encoding", "chunked")]) + b"5\r\nhello\r\n0\r\nX-End: 1\r\n\r\n"
  data = first + head("GET", "/second")
  with staged() as (_, edge, origin):
    for cut in range(len(first) - 30, len(first) + 4):
      with edge.client() as client:
        before = len(origin.requests)
        client.send(data[:cut])
        client.await_read()
        client.send(data[cut:])
        same([client.read_response().status for _ in range(2)], [200, 200], f"cut at {cut - len(first)}: statuses")
        arrived = [(request.method, request.target, request.body) for request in origin.requests[before:]]
        same(arrived, [("POST", "/first", b"hello"), ("GET", "/second", b"")], f"cut at {cut - len(first)}")
