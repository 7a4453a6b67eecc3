"""How the edge stops."""

import signal

from play import *


@play
def at_rest():
  """without connections SIGTERM ends the edge at once with 0"""
  with Edge(serving("http://127.0.0.1:1", server={"workers": 2})) as edge:
    edge.signal()
    same(edge.wait_exit(), 0)


@play
def interrupt():
  """SIGINT ends the edge like SIGTERM"""
  with Edge(serving("http://127.0.0.1:1")) as edge:
    edge.signal(signal.SIGINT)
    same(edge.wait_exit(), 0)


@play
def idle_connections():
  """idle connections close without a word, new ones and those of services too"""
  with Origin() as origin, Edge(serving(origin, server={"workers": 2, "drain": "30s"})) as edge:
    with edge.client() as fresh, edge.client() as used, edge.client() as other:
      same((used.get("/").status, other.get("/").status), (200, 200))
      edge.signal()
      for client in (fresh, used, other):
        client.assert_closed("idle connection")
      same(edge.wait_exit(), 0)
      for line in origin.lines:
        line.await_end()


@play
def running_stream():
  """a running stream goes on to its end, new connections are refused, then the edge exits with 0"""
  with Origin() as origin:
    events = [f"data: {number}\n\n".encode() for number in range(5)]
    gates = [origin.gate() for _ in events]

    def script(request, line):
      line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
      for gate, event in zip(gates, events):
        gate.wait("event")
        line.send(b"%x\r\n%s\r\n" % (len(event), event))
      line.send(b"0\r\n\r\n")
    origin.script = script
    with Edge(serving(origin, server={"drain": "30s"})) as edge, edge.client() as client, edge.client() as idle:
      client.send(head("GET", "/"))
      response, kind, _ = client.read_final_head()
      gates[0].open()
      same(client.read_piece(response, kind), events[0])
      edge.signal()
      idle.assert_closed("idle connection")
      assert_refused(edge.address())
      for gate, event in zip(gates[1:], events[1:]):
        gate.open()
        same(client.read_piece(response, kind), event)
      same(client.read_piece(response, kind), b"")
      client.assert_closed()
      same(edge.wait_exit(), 0)
      same(edge.log_line()["cause"], "completed")
      same(len(origin.requests), 1)


@play
def running_request():
  """a request whose answer has not begun is answered with Connection: close"""
  with Origin() as origin:
    gate = origin.gate()
    origin.script = lambda request, line: (gate.wait(), answer(200, b"ok")(request, line))
    with Edge(serving(origin, server={"drain": "30s"})) as edge, edge.client() as client, edge.client() as idle:
      client.send(head("GET", "/"))
      origin.wait_requests(1)
      edge.signal()
      idle.assert_closed()
      gate.open()
      response = client.read_response()
      same((response.body, response.fields.one("connection")), (b"ok", "close"))
      client.assert_closed()
      same(edge.wait_exit(), 0)


@play
def running_upload():
  """a request whose body is still coming is taken to its end"""
  with Origin() as origin, Edge(serving(origin, server={"drain": "30s"})) as edge:
    with edge.client() as client, edge.client() as idle:
      client.send(head("POST", "/", [("Content-Length", "10"), ("Expect", "100-continue")]))
      same(client.read_head().status, 100)
      client.send(b"hello")
      edge.signal()
      idle.assert_closed()
      client.send(b"world")
      same(client.read_response().status, 200)
      same(origin.last().body, b"helloworld")
      same(edge.wait_exit(), 0)


@play
def pipelined_behind():
  """of pipelined requests the running one is answered, then the connection closes"""
  with Origin() as origin:
    gate = origin.gate()
    origin.script = lambda request, line: (gate.wait(), answer(200, request.path.encode())(request, line))
    with Edge(serving(origin, server={"drain": "30s"})) as edge, edge.client() as client, edge.client() as idle:
      client.send(head("GET", "/1") + head("GET", "/2"))
      origin.wait_requests(1)
      edge.signal()
      idle.assert_closed()
      gate.open()
      response = client.read_response()
      same((response.body, response.fields.one("connection")), (b"/1", "close"))
      client.assert_closed()
      same(edge.wait_exit(), 0)
      same(origin.paths(), ["/1"])


@play
def deadline():
  """what has not ended after server.drain is cut, and the edge exits with 0"""
  with Origin() as origin:
    def script(request, line):
      if request.path == "/stream":
        line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
      line.hang()
    origin.script = script
    with Edge(serving(origin, server={"drain": "300ms"})) as edge, edge.client() as client, edge.client() as waiting:
      client.send(head("GET", "/stream"))
      response, kind, _ = client.read_final_head()
      same(client.read_at_least(5, response, kind), b"hello")
      waiting.send(head("GET", "/waiting"))
      origin.wait_requests(2)
      edge.signal()
      client.assert_cut(response, kind)
      same(edge.wait_exit(), 0)
      for line in origin.lines:
        line.await_end()
      same([line["cause"] for line in edge.exchanges(2)], ["drain", "drain"], "causes")


@play
def no_deadline_for_the_quick():
  """the edge does not wait for server.drain when nothing runs any more"""
  with Origin() as origin:
    gate = origin.gate()
    origin.script = lambda request, line: (gate.wait(), answer(200, b"ok")(request, line))
    with Edge(serving(origin, server={"drain": "10m"})) as edge, edge.client() as client:
      client.send(head("GET", "/"))
      origin.wait_requests(1)
      edge.signal()
      gate.open()
      same(client.read_response().status, 200)
      same(edge.wait_exit(), 0)


@play
def second_signal():
  """a second SIGTERM ends at once, whatever is running"""
  with Origin() as origin:
    origin.script = lambda request, line: line.hang()
    with Edge(serving(origin, server={"drain": "10m"})) as edge, edge.client() as client, edge.client() as idle:
      client.send(head("GET", "/"))
      origin.wait_requests(1)
      edge.signal()
      idle.assert_closed()
      edge.signal()
      edge.wait_exit()
      client.read_to_end()


@play
def port_is_free_again():
  """behind the edge's end its port can be bound at once"""
  with Edge(serving("http://127.0.0.1:1")) as edge:
    address = edge.address()
    with edge.client() as client:
      same(client.get("/health").status, 200)
      edge.stop()
  with Edge(serving("http://127.0.0.1:1", listeners={"main": {"bind": f"127.0.0.1:{address[1]}"}})) as edge:
    same(edge.address(), address)
