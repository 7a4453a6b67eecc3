"""Endpoints: balancing, failures, time limits, reuse of connections, limits of size."""

import socket
from contextlib import ExitStack

from play import *
from stage.kernel import unread


@contextmanager
def several(count, script=None):
  with ExitStack() as stack:
    yield [stack.enter_context(Origin(script)) for _ in range(count)]


@play
def round_robin():
  """three endpoints get equal numbers of requests, in turn"""
  with several(3) as origins, Edge(serving(*origins)) as edge, edge.client() as client:
    order = []
    for number in range(30):
      same(client.get(f"/{number}").status, 200)
      order.append([f"/{number}" in origin.paths() for origin in origins].index(True))
    same([len(origin.requests) for origin in origins], [10, 10, 10], "requests per endpoint")
    same(order, order[:3] * 10, "order of the endpoints")
    same([len(origin.lines) for origin in origins], [1, 1, 1], "connections per endpoint")


@play
def dead_endpoint():
  """a dead endpoint is passed over: every request is answered by the others"""
  with several(2) as origins, refused_port() as dead:
    urls = [origins[0].url, f"http://127.0.0.1:{own_port(dead)}", origins[1].url]
    with Edge(serving(*urls)) as edge, edge.client() as client:
      for number in range(30):
        response = client.request("POST", f"/{number}", [], b"body") if number % 2 else client.get(f"/{number}")
        same(response.status, 200, f"request {number}")
      same(sum(len(origin.requests) for origin in origins), 30, "requests at the living")
      lines = edge.exchanges(30)
      same({line["cause"] for line in lines}, {"completed"})
      holds(any(line["attempts"] == 2 for line in lines), "no second attempt in the log")
      same({line["attempts"] for line in lines} - {1, 2}, set(), "attempts")


@play
def body_of_a_second_attempt():
  """a request whose first endpoint refuses arrives whole at the second, also when its body streams"""
  with Origin() as origin, refused_port() as dead:
    with Edge(serving(f"http://127.0.0.1:{own_port(dead)}", origin)) as edge, edge.client() as client:
      for _ in range(4):
        body = random_bytes(300_000)
        client.send(head("POST", "/", [("Transfer-Encoding", "chunked")]) + chunked(body[:100_000], body[100_000:]))
        same(client.read_response().status, 200)
        same(origin.last().body, body)


@play
def all_dead():
  """503 when no endpoint can be reached; the connection goes on"""
  with refused_port() as one, refused_port() as two:
    urls = [f"http://127.0.0.1:{own_port(sock)}" for sock in (one, two)]
    with Edge(serving(*urls)) as edge, edge.client() as client:
      for _ in range(2):
        response = client.get("/")
        assert_error(response, 503, "SERVICE_UNAVAILABLE")
      line = edge.log_line(requestId=response.fields.one("x-request-id"))
      same((line["status"], line["cause"]), (503, "unavailable"))
      same(client.get("/health").status, 200)
      same(client.request("POST", "/", [], b"body").status, 503)


@play
def back_again():
  """an endpoint that was dead is used once it lives"""
  sock = refused_port()
  port = own_port(sock)
  with Edge(serving(f"http://127.0.0.1:{port}")) as edge, edge.client() as client:
    same(client.get("/").status, 503)
    sock.close()
    origin = Origin()
    origin.listener.close()
    origin.listener = socket.socket()
    origin.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    origin.listener.bind(("127.0.0.1", port))
    origin.listener.listen()
    with origin:
      eventually(lambda: client.get("/").status == 200, "the endpoint is used again")


@play
def no_answer_to_a_connection_attempt():
  """an endpoint that does not answer a connection attempt is given up after timeouts.connect"""
  with Unanswering() as silent, Origin() as origin:
    url = f"http://127.0.0.1:{silent.address[1]}"
    with Edge(serving(url, service={"timeouts": {"connect": "200ms"}})) as edge, edge.client() as client:
      assert_error(client.get("/"), 503, "SERVICE_UNAVAILABLE")
    with Edge(serving(url, origin, service={"timeouts": {"connect": "200ms"}})) as edge, edge.client() as client:
      for _ in range(4):
        same(client.get("/").status, 200)


@play
def head_timeout():
  """504 when the answer does not begin in time, and the connection to the service is given up"""
  with staged(lambda request, line: line.hang(), service={"timeouts": {"head": "200ms"}}) as (client, edge, origin):
    response = client.get("/slow")
    assert_error(response, 504, "TIMEOUT")
    origin.lines[0].await_end()
    line = edge.log_line()
    same((line["status"], line["cause"], line["attempts"]), (504, "upstream_timeout", 1))
    holds(line["duration"] >= 190, f"duration {line['duration']}")
    origin.script = answer(200, b"ok")
    same(client.get("/").status, 200, "the next request")
    same(len(origin.requests), 2, "requests at the service")


@play
def half_a_head():
  """a head that begins in time but does not end gets 504 too"""
  def script(request, line):
    line.send(b"HTTP/1.1 200 OK\r\nX-A: b")
    line.hang()
  with staged(script, service={"timeouts": {"head": "200ms"}}) as (client, edge, origin):
    assert_error(client.get("/"), 504, "TIMEOUT")


@play
def interim_answers_do_not_prolong():
  """interim answers do not put off the time limit of the head"""
  def script(request, line):
    deadline = Deadline(5)
    while not deadline.passed() and not line.reader.poll.poll(20):
      line.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    line.hang()
  with staged(script, service={"timeouts": {"head": "200ms"}}, lenient=True) as (client, edge, origin):
    client.send(head("GET", "/"))
    response = client.read_response()
    among(response.status, (502, 504), "status")


@play
def head_timeout_from_the_environment():
  """GATEWAY_TIMEOUT_MS is the default time limit of the answer's head"""
  with Origin(lambda request, line: line.hang()) as origin:
    with Edge(serving(origin), extra={"GATEWAY_TIMEOUT_MS": "200"}) as edge, edge.client() as client:
      assert_error(client.get("/"), 504, "TIMEOUT")


@play
def silent_stream():
  """a stream that falls silent for timeouts.idle is cut, one that speaks is not"""
  with Origin() as origin:
    def script(request, line):
      line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
      for _ in range(8):
        line.reader.poll.poll(100)  # the pace of the stream: below the limit
        line.send(b"5\r\nhello\r\n")
      line.hang()
    origin.script = script
    config = serving(origin, service={"timeouts": {"head": "200ms", "idle": "400ms"}})
    with Edge(config) as edge, edge.client() as client:
      client.send(head("GET", "/"))
      response, kind, length = client.read_final_head()
      same(client.assert_cut(response, kind, length), b"hello" * 8)
      client.assert_closed()
      origin.lines[0].await_end()
      among(edge.log_line()["cause"], ("upstream_timeout", "upstream_cut"), "cause")


@play
def closing_service():
  """an idle connection that the service closes is noticed and not used again"""
  with Origin() as origin:
    def script(request, line):
      answer(200, b"ok")(request, line)
      line.finish()  # returns when the edge has closed its side
    origin.script = script
    with Edge(serving(origin)) as edge, edge.client() as client:
      for number in range(5):
        response = client.request("POST", "/", [], b"body")
        same(response.status, 200, f"request {number}")
        origin.lines[number].await_end()
      same((len(origin.lines), len(origin.requests)), (5, 5), "connections and requests")


@play
def resetting_service():
  """an idle connection that the service resets is not used again"""
  with Origin() as origin:
    def script(request, line):
      answer(200, b"ok")(request, line)
      eventually(lambda: origin.seen >= len(origin.requests), "the client has its answer")
      line.reset()
    origin.seen = 0
    origin.script = script
    with Edge(serving(origin)) as edge, edge.client() as client:
      for number in range(5):
        same(client.get("/").status, 200, f"request {number}")
        local, remote = origin.lines[number].remote, origin.lines[number].local
        origin.seen += 1
        eventually(lambda: unread(local, remote) is None, "the reset has arrived")


@play
def stale_connection():
  """a GET that meets a connection just closing is sent once more on a fresh one"""
  with Origin() as origin:
    def script(request, line):
      if line.number == 1 and line.served == 1:
        line.close()
      else:
        answer(200, b"ok")(request, line)
    origin.script = script
    with Edge(serving(origin)) as edge, edge.client() as client:
      same(client.get("/1").status, 200)
      same(client.get("/2").status, 200, "the request on the stale connection")
      same(origin.paths(), ["/1", "/2", "/2"])
      same(edge.log_line(path="/2")["attempts"], 2)


@play
def stale_connection_and_post():
  """a POST that a closing connection may have taken is not sent twice: 502"""
  with Origin() as origin:
    def script(request, line):
      if line.served == 1:
        line.close()
      else:
        answer(200, b"ok")(request, line)
    origin.script = script
    with Edge(serving(origin)) as edge, edge.client() as client:
      same(client.get("/1").status, 200)
      assert_error(client.request("POST", "/2", [], b"pay"), 502, "PROVIDER_ERROR")
      same(origin.paths(), ["/1", "/2"])


@play
def fresh_connection_that_closes():
  """a request on a fresh connection that closes without an answer is not repeated: 502"""
  with staged(lambda request, line: line.close()) as (client, edge, origin):
    response = client.get("/")
    assert_error(response, 502, "PROVIDER_ERROR")
    same(len(origin.requests), 1, "requests at the service")
    line = edge.log_line()
    same((line["status"], line["cause"], line["attempts"]), (502, "upstream_error", 1))


@play
def idle_pool():
  """an idle connection is closed after pool.idle"""
  with staged(service={"pool": {"idle": "200ms"}}) as (client, edge, origin):
    same(client.get("/").status, 200)
    origin.lines[0].await_end()
    same(client.get("/").status, 200)
    same(len(origin.lines), 2, "connections to the service")


@play
def no_pool():
  """a pool of size 0 keeps no connection"""
  with staged(service={"pool": {"size": 0}}) as (client, edge, origin):
    for number in range(3):
      same(client.get("/").status, 200)
      origin.lines[number].await_end()
    same(len(origin.lines), 3, "connections to the service")


@play
def full_pool():
  """a pool keeps no more idle connections than its size"""
  with Origin() as origin:
    gate = origin.gate()
    origin.script = lambda request, line: (gate.wait(), answer(200, b"ok")(request, line))
    with Edge(serving(origin, service={"pool": {"size": 2}})) as edge, ExitStack() as stack:
      clients = [stack.enter_context(edge.client()) for _ in range(5)]
      for client in clients:
        client.send(head("GET", "/"))
      origin.wait_requests(5)
      gate.open()
      for client in clients:
        same(client.read_response().status, 200)
      eventually(lambda: sum(line.ended.is_set() for line in origin.lines) == 3, "three connections are closed")


@play
def service_that_closes():
  """Connection: close of the service ends only the connection to the service"""
  with staged(answer(200, b"ok", [("Connection", "close")])) as (client, edge, origin):
    for number in range(3):
      response = client.get("/")
      same(response.body, b"ok")
      holds("close" not in (response.fields.one("connection") or "").lower(), f"{response.fields}")
      origin.lines[number].await_end()
    same(len(origin.lines), 3, "connections to the service")


@play
def counted_body_too_large():
  """413 for a Content-Length above the limit, before the service sees anything"""
  with staged(limits={"body_size": "1KiB"}) as (client, edge, origin):
    same(client.request("POST", "/", [], b"x" * 1024).status, 200, "at the limit")
    client.send(head("POST", "/", [("Content-Length", 1025)]))
    response = client.read_response()
    assert_error(response, 413, "MESSAGE_TOO_LARGE")
    same(response.fields.one("connection"), "close")
    client.assert_closed()
    same(len(origin.requests), 1, "requests at the service")


@play
def counted_body_too_large_and_sent():
  """413 reaches a client that sends its too large body all the same"""
  with staged(limits={"body_size": "1KiB"}) as (client, edge, origin):
    try:
      client.send(head("POST", "/", [("Content-Length", 1_000_000)]) + b"x" * 1_000_000)
    except OSError:
      pass
    assert_error(client.read_response(), 413, "MESSAGE_TOO_LARGE")
    client.assert_closed()


@play
def chunked_body_too_large():
  """413 for a chunked body that passes the limit; the service never gets it whole"""
  with staged(limits={"body_size": "1KiB"}) as (client, edge, origin):
    client.send(head("POST", "/", [("Transfer-Encoding", "chunked")]) + chunked(b"x" * 1000, b"y" * 24))
    same(client.read_response().status, 200, "at the limit")
    client.send(head("POST", "/", [("Transfer-Encoding", "chunked")]) + chunked(b"x" * 1000, b"y" * 25))
    assert_error(client.read_response(), 413, "MESSAGE_TOO_LARGE")
    client.assert_closed()
    edge.stop()
    same(len(origin.requests), 1, "whole requests at the service")


@play
def body_limit_of_a_route():
  """body_size of a route replaces the general one"""
  with staged(limits={"body_size": "1KiB"}, route={"body_size": "2KiB"}) as (client, edge, origin):
    same(client.request("POST", "/", [], b"x" * 2048).status, 200)
    same(client.request("POST", "/", [], b"x" * 2049).status, 413)
  with staged(route={"body_size": 0}) as (client, edge, origin):
    same(client.get("/").status, 200)
    same(client.request("POST", "/", [], b"x").status, 413)


@play
def head_limits():
  """431 for a head above head_size or with more fields than head_fields"""
  limits = {"head_size": "2KiB", "head_fields": 10}
  with staged(limits=limits) as (client, edge, origin):
    same(client.get("/", [(f"A{number}", "b") for number in range(9)]).status, 200, "at the limit of fields")
    text = head("GET", "/", [("A", "")])
    client.send(text.replace(b"A: ", b"A: " + b"b" * (2048 - len(text))))
    same(client.read_response().status, 200, "at the limit of size")
  for fields in ([(f"A{number}", "b") for number in range(10)], [("A", "b" * 2048)]):
    with staged(limits=limits) as (client, edge, origin):
      response = client.get("/", fields)
      assert_error(response, 431, "HEADERS_TOO_LARGE")
      client.assert_closed()
      same(origin.requests, [])


@play
def head_limit_before_the_end():
  """431 comes although the head never ends"""
  with staged(limits={"head_size": "2KiB"}) as (client, edge, origin):
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"b" * 4000)
    same(client.read_response().status, 431)
    client.assert_closed()


@play
def service_named_by_hostname():
  """an endpoint given by name is resolved"""
  with Origin() as origin:
    with Edge(serving(f"http://localhost:{origin.address[1]}")) as edge, edge.client() as client:
      same(client.get("/").status, 200)
