"""Clients that are slow, silent, rude or gone."""

import hashlib
import json
import select
import socket

from play import *

MIB = 1 << 20
GROWTH = 4 * MIB * MEMORY_FACTOR


@play
def head_timeout():
  """a head that does not come in time gets 408 and the connection closes"""
  with staged(server={"timeouts": {"head": "200ms"}}) as (client, edge, origin):
    client.send(b"GET / HTTP/1.1\r\nHost: edge")
    assert_error(client.read_response(), 408, "REQUEST_TIMEOUT")
    client.assert_closed()
    same(origin.requests, [])
    line = edge.log_line()
    same((line["status"], line["cause"]), (408, "client_timeout"))


@play
def trickled_head():
  """a head that trickles in is given up after the same time: single bytes do not prolong it"""
  with staged(server={"timeouts": {"head": "400ms"}}) as (client, edge, origin):
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ")
    deadline = Deadline(8)
    while not client.reader.poll.poll(30):
      holds(not deadline.passed(), "a trickling head is never given up")
      client.send(b"x")
    same(client.read_response().status, 408)
    client.assert_closed()


@play
def head_timeout_of_a_later_request():
  """the time limit of the head holds for every request of a connection, from its first byte"""
  with staged(server={"timeouts": {"head": "200ms", "idle": "5s"}}) as (client, edge, origin):
    same(client.get("/").status, 200)
    client.send(b"GET /again HTTP/1.1\r\n")
    same(client.read_response().status, 408)
    client.assert_closed()


@play
def idle_timeout():
  """an idle connection is closed without a word, and without an access line"""
  with staged(server={"timeouts": {"idle": "200ms"}}) as (client, edge, origin):
    same(client.get("/").status, 200)
    client.assert_closed("idle connection")
    edge.stop()
    same(len(edge.matching(event="exchange")), 1, "access lines")


@play
def silent_from_the_start():
  """a connection that never sends anything is closed without a word"""
  with staged(server={"timeouts": {"head": "200ms", "idle": "200ms"}}) as (client, edge, origin):
    client.assert_closed("silent connection")
    edge.stop()
    same(edge.matching(event="exchange"), [], "access lines")


@play
def idle_is_not_working():
  """an exchange that takes longer than the idle limit is not cut by it"""
  with Origin() as origin:
    def script(request, line):
      line.reader.poll.poll(600)
      answer(200, b"ok")(request, line)
    origin.script = script
    with Edge(serving(origin, server={"timeouts": {"idle": "200ms", "head": "200ms", "body": "200ms"}})) as edge:
      with edge.client() as client:
        same(client.get("/").body, b"ok")


@play
def body_timeout():
  """a body that falls silent gets 408; the service never gets it whole"""
  with staged(server={"timeouts": {"body": "200ms"}}) as (client, edge, origin):
    client.send(head("POST", "/", [("Content-Length", 10)]) + b"hello")
    same(client.read_response().status, 408)
    client.assert_closed()
    same(edge.log_line()["cause"], "client_timeout")
    edge.stop()
    same(origin.requests, [])


@play
def trickled_body():
  """a body that comes slowly but steadily is taken"""
  with staged(server={"timeouts": {"body": "400ms"}}) as (client, edge, origin):
    client.send(head("POST", "/", [("Content-Length", 10)]))
    for byte in b"0123456789":
      client.reader.poll.poll(80)
      client.send(bytes([byte]))
    same(client.read_response().status, 200)
    same(origin.last().body, b"0123456789")


def gone(leave, sent_first, route=None):
  """A client leaves while the service answers; the service must see its connection close."""
  with Origin() as origin:
    gate = origin.gate()

    def script(request, line):
      if sent_first:
        line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
      gate.open()
      line.hang()
    origin.script = script
    with Edge(serving(origin, route=route or {})) as edge:
      with edge.client() as client:
        client.send(head("GET", "/"))
        gate.wait("the service")
        if sent_first:
          response, kind, _ = client.read_final_head()
          same(client.read_at_least(5, response, kind), b"hello")
        getattr(client, leave)()
        origin.lines[0].await_end()
      line = edge.log_line()
      same(line["cause"], "client_left")
      with edge.client() as client:
        same(client.get("/health").status, 200)


@play
def gone_in_the_middle():
  """a client that closes within a stream: the service's connection is closed at once"""
  gone("close", True)


@play
def gone_before_the_answer():
  """a client that closes before the answer begins: the service's connection is closed at once"""
  gone("close", False)


@play
def reset_in_the_middle():
  """a client that resets within a stream: the service's connection is closed at once"""
  gone("reset", True)


@play
def reset_before_the_answer():
  """a client that resets before the answer begins: the service's connection is closed at once"""
  gone("reset", False)


@play
def finished_in_the_middle():
  """a client that closes its sending side has gone, unless its route says otherwise"""
  gone("finish", True)
  gone("finish", False)


@play
def finish_is_allowed():
  """with client_fin: finish a client may close its sending side and still gets its answer"""
  for frame in ("length", "chunked"):
    with Origin() as origin:
      gate = origin.gate()
      origin.script = lambda request, line: (gate.wait(), answer(200, b"hello", frame=frame)(request, line))
      with Edge(serving(origin, route={"client_fin": "finish"})) as edge, edge.client() as client:
        client.send(head("POST", "/", [("Content-Length", 2)]) + b"hi")
        client.finish()
        origin.wait_requests(1)
        gate.open()
        same(client.read_response().body, b"hello")
        client.assert_closed()
        same(edge.log_line()["cause"], "completed")


@play
def finish_is_allowed_and_reset_is_not():
  """with client_fin: finish a reset still ends the exchange"""
  gone("reset", True, {"client_fin": "finish"})


@play
def gone_within_the_body():
  """a client that leaves within its own body: the service gets no whole request and sees the close"""
  for leave in ("close", "reset", "finish"):
    for framing in ("Content-Length", "Transfer-Encoding"):
      with staged() as (client, edge, origin):
        value, piece = ("10", b"hello") if framing == "Content-Length" else ("chunked", b"5\r\nhello\r\n")
        client.send(head("POST", "/", [(framing, value)]) + piece)
        client.await_read()
        getattr(client, leave)()
        among(edge.log_line()["cause"], ("client_left", "client_error"), "cause")
        edge.stop()
        same(origin.requests, [])


def leaves_at_once(name, parts, leave, script=None, **config):
  """The last part and the client's leaving reach the edge together; the exchange must end as the client's doing."""
  with staged(script or (lambda request, line: line.hang()), whole=False, **config) as (client, edge, origin):
    for part in parts[:-1]:
      client.send(part)
      client.await_read()
      if b"100-continue" in part:
        same(client.read_head().status, 100)
    with edge.frozen():
      client.send(parts[-1])
      getattr(client, leave)()
    same(edge.log_line()["cause"], "client_left", f"{name}, {leave}")
    if origin.lines:
      origin.lines[0].await_end()


_BODIES = {
  "a length": (head("POST", "/", [("Content-Length", 5)]), b"hello"),
  "chunks": (head("POST", "/", [("Transfer-Encoding", "chunked")]), chunked(b"hello")),
  "a half": (head("POST", "/", [("Content-Length", 5)]) + b"he", b"llo"),
  "Expect": (head("POST", "/", [("Content-Length", 5), ("Expect", "100-continue")]), b"hello"),
  "all at once": (head("POST", "/", [("Content-Length", 5)]) + b"hello",),
  "no body": (head("GET", "/"),),
}


@play
def gone_right_behind_the_body():
  """a client that leaves right behind the last bytes of its body has gone: the service is cancelled"""
  for name, parts in _BODIES.items():
    for leave in ("finish", "close"):
      leaves_at_once(name, parts, leave)


@play
def gone_behind_the_body_of_an_answer_that_has_begun():
  """the same where the service answers before it has the body"""
  def early(_request, line):
    line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
    line.hang()
  for leave in ("finish", "close"):
    leaves_at_once("early", _BODIES["a length"], leave, early)


@play
def gone_behind_a_body_that_stalls():
  """the same where the service takes no more of the body"""
  with staged(whole=False, limits={"body_size": "64MiB"}) as (client, edge, origin):
    going = origin.gate()
    origin.script = lambda request, line: (going.wait(), line.await_end())
    client.send(head("POST", "/", [("Transfer-Encoding", "chunked")]))
    origin.wait_requests(1)
    piece = chunked(bytes(64 << 10)).removesuffix(b"0\r\n\r\n")

    def stalls():
      client.send(piece)
      deadline = Deadline(0.5)
      while client.unread_there():
        if deadline.passed():
          return True
      return False
    while not stalls():
      pass
    client.send(b"0\r\n\r\n")
    client.finish()
    same(edge.log_line()["cause"], "client_left")
    going.open()


@play
def gone_while_connecting():
  """a client that leaves while its service is being connected to is not waited for, whatever of its body was read"""
  with Unanswering() as silent:
    url = f"http://127.0.0.1:{silent.address[1]}"
    for parts in (_BODIES["a length"], _BODIES["all at once"], _BODIES["a half"]):
      with Edge(serving(url, service={"timeouts": {"connect": "30s"}})) as edge, edge.client() as client:
        for part in parts:
          client.send(part)
        client.finish()
        same(edge.log_line()["cause"], "client_left")


@play
def gone_while_a_policy_waits():
  """a client that leaves with its head, or behind a body that a policy has asked for, leaves the policy's fetch too"""
  policy = lua('local body = req.body edge.http.fetch{service = "app", path = "/asked"}')
  for parts in (_BODIES["a length"], _BODIES["all at once"], _BODIES["no body"]):
    for leave in ("finish", "close"):
      with ruled({"ask": policy}, lambda request, line: line.hang(), whole=False) as (client, edge, origin):
        for part in parts[:-1]:
          client.send(part)
          client.await_read()
        with edge.frozen():
          client.send(parts[-1])
          getattr(client, leave)()
        same(edge.log_line(origin=None)["cause"], "client_left", f"{leave} behind {parts[-1][:20]}")
        for line in origin.lines:
          line.await_end()


@play
def gone_while_pipelining():
  """a client that leaves with requests waiting: those behind the running one are not sent"""
  with Origin(lambda request, line: line.hang()) as origin, Edge(serving(origin)) as edge:
    with edge.client() as client:
      client.send(b"".join(head("GET", f"/{number}") for number in range(5)))
      origin.wait_requests(1)
    origin.lines[0].await_end()
    edge.stop()
    same(origin.paths(), ["/0"])


def pushed(line, piece, total, stalled):
  """Sends `total` bytes; calls `stalled` when the edge has taken none for half a second. Bytes sent before that."""
  sent, before = 0, None
  ready = select.poll()
  ready.register(line.sock, select.POLLOUT)
  while sent < total:
    if not ready.poll(500 if before is None else 10_000):
      holds(before is None, "the edge takes nothing any more")
      before = sent
      stalled(sent)
      continue
    sent += line.try_send(piece[:total - sent])
  return before


@play
def slow_reader():
  """while a client does not read, the edge stops reading a 50 MB answer and holds little of it"""
  total = 50 * MIB
  piece = random_bytes(64 << 10)
  with Origin(send_buffer=128 << 10) as origin:
    stalled, going = origin.gate(), origin.gate()
    seen = {}

    def at_stall(sent):
      seen["sent"] = sent
      stalled.open()
      going.wait("the client reads")

    def script(request, line):
      if request.path == "/warm":
        return answer(200, bytes(4 * MIB))(request, line)
      line.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
      seen["stalled"] = pushed(line, piece, total, at_stall)
      return None
    origin.script = script
    with Edge(serving(origin)) as edge:
      with edge.client() as client:
        same(client.get("/warm").status, 200)
      with edge.client(receive_buffer=64 << 10) as client:
        before = edge.memory()
        client.send(head("GET", "/"))
        stalled.wait("the edge stops reading")
        grown = edge.memory() - before
        # What the kernel keeps for a socket grows to 33 MB in one direction and 4 MB in the other.
        holds(seen["sent"] < 42 * MIB, f"the edge took {seen['sent']} bytes although its client reads nothing")
        holds(grown < GROWTH, f"the edge grew by {grown} bytes")
        with edge.client() as other:
          same(other.get("/health").status, 200, "another client meanwhile")
        going.open()
        response, kind, length = client.read_final_head()
        same(length, total)
        found = hashlib.sha256()
        while length:
          data = client.read_piece(response, kind)
          holds(data, f"the answer ends {length} bytes early")
          found.update(data)
          length -= len(data)
        wanted = hashlib.sha256(piece * (total // len(piece)))
        same(found.hexdigest(), wanted.hexdigest(), "hash of the answer")
        holds(seen["stalled"] is not None, "the service was never held back")


@play
def slow_service():
  """while a service does not read, the edge stops reading a 50 MB request and holds little of it"""
  total = 50 * MIB
  piece = bytes(64 << 10)
  with Origin(whole=False) as origin:
    going = origin.gate()
    arrived = {}

    def script(request, line):
      if request.path == "/warm":
        return answer(200, b"ok")(request, line)
      going.wait("the service reads")
      count = 0
      while count < total:
        count += len(line.read_piece(request))
      arrived["count"] = count
      line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
      return None
    origin.script = script
    with Edge(serving(origin, limits={"body_size": "1GiB"})) as edge, edge.client() as client:
      same(client.get("/warm").status, 200)
      before = edge.memory()
      client.send(head("POST", "/", [("Content-Length", total)]))
      ready = select.poll()
      ready.register(client.sock, select.POLLOUT)
      sent = 0
      while sent < total and ready.poll(500):
        sent += client.sock.send(piece[:total - sent], socket.MSG_DONTWAIT)
      grown = edge.memory() - before
      holds(sent < 30 * MIB, f"the edge took {sent} bytes although its service reads nothing")
      holds(grown < GROWTH, f"the edge grew by {grown} bytes")
      going.open()
      while sent < total:
        size = min(len(piece), total - sent)
        client.send(piece[:size])
        sent += size
      same(client.read_response().body, b"ok")
      same(arrived["count"], total)


@play
def reader_that_never_reads():
  """a client that does not read for timeouts.send is cut, and the service's connection closed"""
  with Origin(send_buffer=128 << 10) as origin:
    def script(request, line):
      try:
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (50 * MIB) + bytes(50 * MIB))
      except OSError:
        pass
      line.hang()
    origin.script = script
    with Edge(serving(origin, server={"timeouts": {"send": "300ms"}})) as edge:
      with edge.client(receive_buffer=64 << 10) as client:
        client.send(head("GET", "/"))
        origin.wait_connections(1).await_end()
        same(edge.log_line()["cause"], "client_timeout")
        client.reader.poll.poll()


@play
def reader_that_leaves():
  """a client that leaves while the edge waits for it to read: the service's connection is closed"""
  for leave in ("close", "reset"):
    with Origin(send_buffer=128 << 10) as origin:
      stalled = origin.gate()

      def script(request, line):
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (50 * MIB))
        try:
          pushed(line, bytes(64 << 10), 50 * MIB, lambda sent: stalled.open())
        except OSError:
          pass
        line.hang()
      origin.script = script
      with Edge(serving(origin)) as edge:
        with edge.client(receive_buffer=64 << 10) as client:
          client.send(head("GET", "/"))
          stalled.wait("the edge stops reading")
          getattr(client, leave)()
          origin.lines[0].await_end()
        same(edge.log_line()["cause"], "client_left")


@play
def many_that_leave():
  """five hundred clients that leave at every stage cost no memory and no connection"""
  with Origin() as origin:
    origin.script = {"/hang": lambda request, line: line.hang(), "*": answer(200, b"ok")}
    with Edge(serving(origin)) as edge:
      def storm():
        for number in range(100):
          with edge.client() as client:
            if number % 5 == 1:
              client.send(b"GET / HT")
            elif number % 5 == 2:
              client.send(head("GET", "/hang"))
            elif number % 5 == 3:
              client.send(head("POST", "/", [("Content-Length", 9)]) + b"a")
              client.reset()
            elif number % 5 == 4:
              same(client.get("/").status, 200)
      storm()
      before = edge.memory()
      for _ in range(4):
        storm()
      with edge.client() as client:
        same(client.get("/").status, 200)
        document = json.loads(client.get("/health").body)
      holds(edge.memory() - before < GROWTH, f"the edge grew by {edge.memory() - before} bytes")
      holds(document["connections"]["totalConnections"] >= 0, f"{document}")
      eventually(lambda: all(line.ended.is_set() for line in origin.lines[:-1]
                             if line.served == 0), "abandoned connections are closed")


@play
def one_silent_client_stops_nobody():
  """clients that hang in every phase do not hold up others"""
  with Origin() as origin:
    origin.script = {"/hang": lambda request, line: line.hang(), "*": answer(200, b"ok")}
    with Edge(serving(origin)) as edge, edge.client() as one, edge.client() as two, edge.client() as three:
      one.send(b"GET / HTTP/1.1\r\nHost")
      two.send(head("POST", "/", [("Content-Length", 10)]) + b"a")
      three.send(head("GET", "/hang"))
      origin.wait(lambda: "/hang" in origin.paths(), "the hanging request")
      with edge.client() as client:
        for _ in range(50):
          same(client.get("/").body, b"ok")
