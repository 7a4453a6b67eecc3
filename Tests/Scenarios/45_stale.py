"""Requests that meet a reused connection just dying: which are sent again, and which never."""

from contextlib import ExitStack

from play import *

KIB = 1 << 10
REPLAYED = 64 * KIB
BODY = b"pay"


def dying(count=1, end="close"):
  """A script whose first `count` connections answer one request and end on the next, read whole."""
  def script(request, line):
    if line.number <= count and line.served == 1:
      getattr(line, end)()
    else:
      answer(200, b"ok")(request, line)
  return script


@contextmanager
def warm(script=None, route=None, whole=True, **config):
  """An edge with one idle connection to the service, which dies on the next request unless `script` says else."""
  rows = {"replay_on_stale": True} if route is None else route
  with staged(script or dying(), whole=whole, route=rows, **config) as (client, edge, origin):
    same(client.get("/first").status, 200, "the request that leaves an idle connection")
    yield client, edge, origin


def assert_replayed(edge, origin, path, body=BODY):
  """The request came twice, the second time whole on a connection of its own, and the access line counts it once."""
  came = [request for request in origin.requests if request.path == path]
  holds(came and came[-1].body == body, f"the body that came last: {shown(came and came[-1].body)}")
  same([request.line.number for request in came], [1, 2][-len(came):], "connections it came on")
  same(len({request.fields.one("x-request-id") for request in came}), 1, "request ids at the service")
  line = edge.log_line(path=path)
  same((line["status"], line["cause"], line.get("replays")), (200, "completed", 1))
  same(line["requestBytes"], len(body), "requestBytes")


def assert_not_replayed(edge, origin, path, status=502):
  same(origin.paths().count(path), 1, "times the service saw the request")
  line = edge.log_line(path=path)
  same((line["status"], line.get("replays")), (status, 0))


@play
def post_that_may_be_repeated():
  """with replay_on_stale a POST that meets a dying connection is sent once more on a fresh one"""
  for end in ("close", "reset"):
    with warm(dying(end=end)) as (client, edge, origin):
      same(client.request("POST", "/pay", body=BODY).status, 200)
      same(origin.paths(), ["/first", "/pay", "/pay"])
      same([request.body for request in origin.requests[1:]], [BODY, BODY])
      assert_replayed(edge, origin, "/pay")
      same(edge.log_line(path="/first").get("replays"), 0, "replays of a request that met no dying connection")


@play
def each_route_for_itself():
  """replay_on_stale holds for its route alone: the other one of the same service gets 502"""
  routes = {"safe": {"path": "/safe", "service": "app", "replay_on_stale": True},
            "all": {"replay_on_stale": False}}
  with warm(dying(count=3), route={}, routes=routes) as (client, edge, origin):
    same(client.request("POST", "/safe", body=BODY).status, 200)
    assert_error(client.request("POST", "/other", body=BODY), 502, "PROVIDER_ERROR")
    same(origin.paths(), ["/first", "/safe", "/safe", "/other"])
    assert_not_replayed(edge, origin, "/other")


@play
def methods():
  """without replay_on_stale idempotent methods are sent again, all others are not"""
  for method, again in (("GET", True), ("HEAD", True), ("OPTIONS", True), ("PUT", True), ("DELETE", True),
                        ("POST", False), ("PATCH", False), ("M-SEARCH", False)):
    with warm(route={}) as (client, edge, origin):
      body = b"" if method in ("GET", "HEAD") else BODY
      same(client.request(method, "/again", body=body).status, 200 if again else 502, f"status of {method}")
      same(origin.paths().count("/again"), 2 if again else 1, f"times the service saw {method}")
      same(edge.log_line(path="/again").get("replays"), int(again), f"replays of {method}")


@play
def any_method_that_may_be_repeated():
  """with replay_on_stale every method is sent again"""
  for method in ("POST", "PATCH", "PUT", "M-SEARCH"):
    with warm() as (client, edge, origin):
      same(client.request(method, "/again", body=BODY).status, 200, f"status of {method}")
      assert_replayed(edge, origin, "/again")


@play
def body_in_pieces():
  """a body that the edge got in several reads is sent again whole"""
  body = random_bytes(48 * KIB)
  with warm() as (client, edge, origin):
    client.send(head("POST", "/pieces", [("Content-Length", len(body))]))
    for at in range(0, len(body), 5000):
      client.await_read()
      client.send(body[at:at + 5000])
    same(client.read_response("POST").status, 200)
    assert_replayed(edge, origin, "/pieces", body)


@play
def chunked_body():
  """a chunked body is sent again whole, however it came"""
  body = random_bytes(40 * KIB)
  with warm() as (client, edge, origin):
    client.send(head("POST", "/chunked", [("Transfer-Encoding", "chunked")]))
    for at in range(0, len(body), 4000):
      client.await_read()
      piece = body[at:at + 4000]
      client.send(b"%x\r\n%s\r\n" % (len(piece), piece))
    client.await_read()
    client.send(b"0\r\n\r\n")
    same(client.read_response("POST").status, 200)
    assert_replayed(edge, origin, "/chunked", body)


def dying_early(heard):
  """Ends the first connection when the head of its second request has come, and opens the gate; reads others whole."""
  def script(request, line):
    if line.number == 1 and line.served == 1:
      line.reset()
      heard.open()
      return
    line.read_body(request)
    answer(200, b"ok")(request, line)
  return script


@play
def death_before_the_body():
  """a connection that dies on the head is replaced, and the body that comes later goes to the fresh one"""
  for fields, data in (([("Content-Length", 10)], b"0123456789"),
                       ([("Transfer-Encoding", "chunked")], chunked(b"01234", b"56789"))):
    heard = Gate()
    with warm(dying_early(heard), whole=False) as (client, edge, origin):
      client.send(head("POST", "/late", fields))
      heard.wait("the death of the connection")
      client.send(data)
      same(client.read_response("POST").status, 200)
      assert_replayed(edge, origin, "/late", b"0123456789")


@play
def death_within_the_body():
  """a connection that dies within a small body is replaced: what has been sent is repeated, the rest follows"""
  for fields, pieces in (([("Content-Length", 10)], (b"01234", b"56789")),
                         ([("Transfer-Encoding", "chunked")], (b"5\r\n01234\r\n", b"5\r\n56789\r\n0\r\n\r\n"))):
    heard = Gate()

    def script(request, line, end=dying_early(heard)):
      if line.number == 1 and line.served == 1:
        same(line.read_piece(request), b"01234", "the beginning of the body")
      end(request, line)
    with warm(script, whole=False) as (client, edge, origin):
      client.send(head("POST", "/within", fields) + pieces[0])
      heard.wait("the death of the connection")
      client.send(pieces[1])
      same(client.read_response("POST").status, 200)
      assert_replayed(edge, origin, "/within", b"0123456789")


@play
def as_much_as_is_kept():
  """a request of 64 KiB as sent to the service, its head included, is sent again; one byte more is not"""
  with warm(dying(count=9)) as (client, edge, origin):
    same(client.request("POST", "/x", body=bytes(60_000)).status, 200, "the request that is measured")
    size = REPLAYED - len(origin.last().raw_head)
    holds(size > 10_000, f"a head of {len(origin.last().raw_head)} bytes")
    body = random_bytes(size)
    same(client.request("POST", "/y", body=body).status, 200, "a request of 64 KiB")
    same((origin.paths().count("/y"), origin.last().body == body), (2, True), "times it came, and came whole")
    same(len(origin.last().raw_head) + len(body), REPLAYED, "the play itself: bytes of the request")
    assert_error(client.request("POST", "/z", body=body + b"x"), 502, "PROVIDER_ERROR")
    assert_not_replayed(edge, origin, "/z")


@play
def larger_body():
  """a request larger than 64 KiB is not sent again, in either framing and by no method"""
  body = random_bytes(100_000)
  for method, fields, data in (("POST", [("Content-Length", len(body))], body),
                               ("POST", [("Transfer-Encoding", "chunked")], chunked(body[:50_000], body[50_000:])),
                               ("PUT", [("Content-Length", len(body))], body)):
    with warm() as (client, edge, origin):
      client.send(head(method, "/large", fields) + data)
      assert_error(client.read_response(method), 502, "PROVIDER_ERROR")
      assert_not_replayed(edge, origin, "/large")


@play
def death_within_a_large_body():
  """a connection that dies on the head of a large body: what is sent again is whole, or the client gets 502"""
  body = random_bytes(1 << 20)
  heard = Gate()
  with warm(dying_early(heard), whole=False, lenient=True) as (client, edge, origin):
    try:
      client.send(head("POST", "/large", [("Content-Length", len(body))]) + body)
    except OSError:
      pass  # the edge has answered and closed
    response = client.read_response("POST")
    among(response.status, (200, 502), "status")
    if response.status == 200:
      same((origin.last().body == body, edge.log_line(path="/large").get("replays")), (True, 1))


@play
def death_within_the_answer():
  """nothing is sent again when one byte of an answer has come"""
  for begun in (b"H", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 100 Continue\r\n\r\n",
                b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"):
    def script(request, line, data=begun):
      if line.served == 1:
        line.send(data)
        line.close()
      else:
        answer(200, b"ok")(request, line)
    with warm(script) as (client, edge, origin):
      assert_error(client.request("POST", "/begun", body=BODY), 502, "PROVIDER_ERROR")
      assert_not_replayed(edge, origin, "/begun")


@play
def only_once():
  """a request whose fresh connection dies too gets 502 and is not sent a third time"""
  def script(request, line):
    if request.path == "/first":
      answer(200, b"ok")(request, line)
    else:
      line.close()
  for method in ("POST", "GET"):
    with warm(script) as (client, edge, origin):
      body = BODY if method == "POST" else b""
      assert_error(client.request(method, "/twice", body=body), 502, "PROVIDER_ERROR")
      same(origin.paths(), ["/first", "/twice", "/twice"])
      same(len(origin.lines), 2, "connections")
      line = edge.log_line(path="/twice")
      same((line["status"], line.get("replays")), (502, 1))


@play
def not_on_another_idle_one():
  """a request is sent again on a fresh connection although other idle ones are there"""
  with Origin() as origin:
    gate = origin.gate()

    def script(request, line):
      if request.path == "/fill":
        gate.wait()
      if line.number <= 4 and line.served == 1:
        line.close()
      else:
        answer(200, b"ok")(request, line)
    origin.script = script
    with Edge(serving(origin, route={"replay_on_stale": True})) as edge, ExitStack() as stack:
      clients = [stack.enter_context(edge.client()) for _ in range(4)]
      for client in clients:
        client.send(head("GET", "/fill"))
      origin.wait_requests(4)
      gate.open()
      same([client.read_response().status for client in clients], [200] * 4)
      same(clients[0].request("POST", "/pay", body=BODY).status, 200)
      same(origin.paths().count("/pay"), 2, "times the service saw the request")
      same(origin.last().line.number, 5, "the connection that answered")
      same(edge.log_line(path="/pay").get("replays"), 1)


@play
def fresh_connection():
  """a request on a fresh connection that closes without an answer is not sent again, whatever the route says"""
  with staged(lambda request, line: line.close(), route={"replay_on_stale": True}) as (client, edge, origin):
    assert_error(client.request("POST", "/fresh", body=BODY), 502, "PROVIDER_ERROR")
    assert_not_replayed(edge, origin, "/fresh")


@play
def silence_is_no_death():
  """a reused connection that stays silent is a timeout: nothing is sent again"""
  def script(request, line):
    if line.served == 1:
      line.hang()
    else:
      answer(200, b"ok")(request, line)
  with warm(script, service={"timeouts": {"head": "200ms"}}) as (client, edge, origin):
    assert_error(client.request("POST", "/silent", body=BODY), 504, "TIMEOUT")
    assert_not_replayed(edge, origin, "/silent", 504)


@play
def many_in_a_row():
  """every dying connection costs one repetition, and no client sees any of them"""
  with warm(dying(count=1000)) as (client, edge, origin):
    for number in range(50):
      body = random_bytes(number * 997)
      same(client.request("POST", f"/{number}", [("Content-Length", len(body))], body).status, 200, f"POST {number}")
      same(origin.last().body, body, f"body of POST {number}")
    same({line.get("replays") for line in edge.exchanges(51) if line["path"] != "/first"}, {1}, "replays")
    same(len(origin.requests), 101, "requests at the service")


@play
def the_key_is_a_boolean():
  """replay_on_stale takes true or false and nothing else"""
  for value, code in (("true", 0), ("false", 0), ("1", 1), ("once", 1), ("[POST]", 1)):
    text = yaml(serving("http://127.0.0.1:1", route={"methods": ["POST"]})) + f"\n    replay_on_stale: {value}\n"
    with Folder(text) as folder:
      found, out, err = command("check", "--config", f"{folder.path}/routes.yaml")
      same(found, code, f"exit code of check for {value}, which wrote {out!r} {err!r}")
      if code:
        holds("replay_on_stale" in out + err and "unknown" not in out + err, f"{out!r} {err!r}")
