"""Plain requests and answers through the edge."""

import hashlib

from play import *


@play
def get():
  """a GET reaches the service and its answer comes back with fields, body and reason"""
  fields = [("Content-Type", "text/plain"), ("X-Two", "1"), ("X-Two", "2"), ("Set-Cookie", "a=b")]
  script = answer(200, b"hello", fields, reason="Fine")
  with staged(script) as (client, edge, origin):
    response = client.get("/a/b?x=1&y=%20", [("Accept", "text/*"), ("X-Custom", "v")])
    same((response.status, response.body, response.framing), (200, b"hello", "length"))
    same(response.fields.one("content-type"), "text/plain")
    same(response.fields.all("x-two"), ["1", "2"])
    same(response.fields.one("set-cookie"), "a=b")
    request = origin.last()
    same((request.method, request.target, request.version), ("GET", "/a/b?x=1&y=%20", "1.1"))
    same((request.body, request.framing), (b"", "none"))
    same(request.fields.one("accept"), "text/*")
    same(request.fields.one("x-custom"), "v")


@play
def post():
  """a POST carries its body and type to the service"""
  with staged(answer(201, b"made")) as (client, edge, origin):
    response = client.request("POST", "/", [("Content-Type", "application/json")], b'{"a":1}')
    same((response.status, response.body), (201, b"made"))
    same((origin.last().method, origin.last().body, origin.last().framing), ("POST", b'{"a":1}', "length"))
    same(origin.last().fields.one("content-type"), "application/json")


@play
def other_methods():
  """PUT, PATCH, DELETE, OPTIONS and unknown methods are forwarded as they are"""
  with staged() as (client, edge, origin):
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "M-SEARCH"):
      same(client.request(method, "/").status, 200, method)
      same(origin.last().method, method)


@play
def head_request():
  """HEAD gets the head of the answer, its length included, and no body; the connection goes on"""
  def script(request, line):
    body = b"" if request.method == "HEAD" else b"hello"
    line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\n" + body)
  with staged(script) as (client, edge, origin):
    response = client.request("HEAD", "/")
    same((response.status, response.fields.one("content-length"), response.fields.one("x-a")), (200, "5", "b"))
    same(client.get("/").body, b"hello")
    same(origin.last().line.number, 1, "connection to the service")


@play
def head_of_a_chunked_answer():
  """HEAD of an answer that would be chunked has no body and the connection goes on"""
  with staged(answer(200, b"hello", frame="chunked")) as (client, edge, origin):
    same(client.request("HEAD", "/").status, 200)
    same(client.get("/").body, b"hello")


@play
def answers_without_a_body():
  """204 and 304 end with their head, and the connection goes on"""
  script = {"/204": answer(204, frame="none"), "/304": answer(304, frame="none", fields=[("ETag", '"a"')]),
            "/304-length": raw(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"), "*": answer(200, b"ok")}
  with staged(script) as (client, edge, origin):
    same(client.get("/204").status, 204)
    response = client.get("/304", [("If-None-Match", '"a"')])
    same((response.status, response.fields.one("etag")), (304, '"a"'))
    same(origin.last().fields.one("if-none-match"), '"a"')
    same(client.get("/304-length").status, 304)
    same(client.get("/").body, b"ok")
    same(len(origin.lines), 1, "connections to the service")


@play
def empty_bodies():
  """bodies of no bytes stay so in both directions, in both framings"""
  for frame in ("length", "chunked"):
    with staged(answer(200, b"", frame=frame)) as (client, edge, origin):
      same(client.request("POST", "/", [("Content-Length", "0")]).body, b"")
      same(origin.last().body, b"")
      client.send(head("POST", "/", [("Transfer-Encoding", "chunked")]) + chunked())
      same(client.read_response().body, b"")
      same(origin.last().body, b"")


@play
def large_bodies():
  """bodies of 5 MB arrive unchanged both ways at once, in every framing"""
  body = random_bytes(5_000_000)
  print_of = hashlib.sha256(body).hexdigest()
  for frame in ("length", "chunked", "close"):
    with staged(answer(200, body, frame=frame)) as (client, edge, origin):
      response = client.request("POST", "/", [], body)
      same(hashlib.sha256(response.body).hexdigest(), print_of, "hash of the answer")
      same(hashlib.sha256(origin.last().body).hexdigest(), print_of, "hash of the request")
      if frame == "length":
        same((response.framing, origin.last().framing), ("length", "length"))


@play
def large_chunked_request():
  """a chunked request of 5 MB arrives unchanged"""
  body = random_bytes(5_000_000)
  with staged() as (client, edge, origin):
    pieces = [body[at:at + 70_001] for at in range(0, len(body), 70_001)]
    client.send(head("POST", "/", [("Transfer-Encoding", "chunked")]) + chunked(*pieces))
    same(client.read_response().status, 200)
    same(hashlib.sha256(origin.last().body).hexdigest(), hashlib.sha256(body).hexdigest(), "hash of the request")


@play
def kept_alive():
  """twenty requests in a row use one connection on either side"""
  with staged() as (client, edge, origin):
    for number in range(20):
      response = client.request("POST", f"/{number}", [], b"x" * number) if number % 2 else client.get(f"/{number}")
      same(response.body, b"ok")
      holds("close" not in (response.fields.one("connection") or "").lower(), "Connection: close")
    same(len(origin.lines), 1, "connections to the service")
    same(origin.paths(), [f"/{number}" for number in range(20)])


@play
def connections_are_shared():
  """clients one after the other share one connection to the service"""
  with Origin() as origin, Edge(serving(origin)) as edge:
    for _ in range(5):
      with edge.client() as client:
        same(client.get("/").status, 200)
    same(len(origin.lines), 1, "connections to the service")


@play
def two_at_once():
  """two requests at the same time use two connections to the service"""
  with Origin() as origin:
    gate = origin.gate()
    origin.script = lambda request, line: (gate.wait(), answer(200, request.path.encode())(request, line))
    with Edge(serving(origin)) as edge, edge.client() as one, edge.client() as two:
      one.send(head("GET", "/one"))
      two.send(head("GET", "/two"))
      origin.wait_requests(2)
      gate.open()
      same((two.read_response().body, one.read_response().body), (b"/two", b"/one"))
      same(len(origin.lines), 2, "connections to the service")


@play
def asked_to_close():
  """Connection: close from the client is honoured; the connection to the service is kept"""
  with staged() as (client, edge, origin):
    response = client.get("/", [("Connection", "close")])
    same((response.body, (response.fields.one("connection") or "").lower()), (b"ok", "close"))
    client.assert_closed()
    with edge.client() as second:
      same(second.get("/").status, 200)
    same(len(origin.lines), 1, "connections to the service")


@play
def old_client():
  """an HTTP/1.0 client is answered and its connection closed"""
  with staged() as (client, edge, origin):
    response = client.request("GET", "/", version="1.0", host=None)
    same((response.status, response.body), (200, b"ok"))
    client.assert_closed()
    same(origin.last().version, "1.1", "version towards the service")


@play
def old_client_that_keeps_alive():
  """an HTTP/1.0 client that asks for keep-alive gets it and is told so"""
  with staged() as (client, edge, origin):
    for _ in range(3):
      response = client.request("GET", "/", [("Connection", "keep-alive")], version="1.0")
      same((response.body, (response.fields.one("connection") or "").lower()), (b"ok", "keep-alive"))
    client.request("GET", "/", version="1.0")
    client.assert_closed()


@play
def pipelined():
  """pipelined requests are answered in their order, however slow the first is"""
  with Origin() as origin:
    gate = origin.gate()

    def script(request, line):
      if request.path == "/1":
        gate.wait()
      answer(200, request.path.encode() + request.body)(request, line)
    origin.script = script
    with Edge(serving(origin)) as edge, edge.client() as client:
      client.send(head("GET", "/1") + head("POST", "/2", [("Content-Length", "1")]) + b"x" + head("GET", "/3")
                  + head("POST", "/4", [("Transfer-Encoding", "chunked")]) + chunked(b"y") + head("GET", "/5"))
      gate.reached()
      client.assert_open()
      gate.open()
      same([client.read_response().body for _ in range(5)], [b"/1", b"/2x", b"/3", b"/4y", b"/5"])


@play
def many_pipelined():
  """a hundred pipelined requests that do not fit one read are all answered in order"""
  with staged(lambda request, line: answer(200, request.target.encode())(request, line)) as (client, edge, origin):
    client.send(b"".join(head("GET", f"/{number}", [("X-Pad", "p" * 900)]) for number in range(100)))
    same([client.read_response().body for _ in range(100)], [f"/{number}".encode() for number in range(100)])


@play
def request_id():
  """the request id is a ULID, new for each exchange and the same in answer, log and towards the service"""
  with staged() as (client, edge, origin):
    found = []
    for _ in range(3):
      response = client.get("/")
      found.append(response.fields.one("x-request-id"))
      assert_ulid(found[-1])
      same(origin.last().fields.one("x-request-id"), found[-1], "towards the service")
      edge.log_line(requestId=found[-1])
    same(len(set(found)), 3, "distinct request ids")
    same(found, sorted(found), "request ids in the order of time")


@play
def request_id_of_the_service():
  """a request id that the service answers with does not replace or double the edge's"""
  with staged(answer(200, b"ok", [("X-Request-Id", "other")])) as (client, edge, origin):
    response = client.get("/")
    same(response.fields.one("x-request-id"), origin.last().fields.one("x-request-id"))


@play
def slow_bytes():
  """a request and an answer that come one byte at a time are relayed whole"""
  def script(request, line):
    line.send_slowly(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
  with staged(script) as (client, edge, origin):
    client.send_slowly(head("POST", "/slow", [("Content-Length", "5")]) + b"hello")
    response = client.read_response()
    same((response.status, response.body, response.fields.one("x-a")), (200, b"hello", "b"))
    same((origin.last().target, origin.last().body), ("/slow", b"hello"))
    same(client.get("/").body, b"hello")


@play
def head_of_an_error():
  """an error that answers HEAD has no body, and the connection goes on"""
  with staged(routes={"all": {"path": "/a"}}) as (client, edge, origin):
    response = client.request("HEAD", "/nowhere")
    same((response.status, response.fields.one("content-type")), (404, "application/json"))
    same(client.get("/a").body, b"ok")


@play
def error_for_an_old_client():
  """an error for an HTTP/1.0 client is framed for it"""
  with staged(routes={"all": {"path": "/a"}}) as (client, edge, origin):
    assert_error(client.request("GET", "/nowhere", version="1.0"), 404, "NOT_FOUND")
    client.assert_closed()
