"""What stands between requests and what ends out of turn: nothing waits for ever, nothing is mixed up."""

import re
import select
import signal
import subprocess

from play import *

MIB = 1 << 20
TIMEOUTS = {"head": "400ms", "idle": "1500ms"}


@play
def empty_line_behind_a_request():
  """an empty line behind a request is no beginning of one: the connection idles, and drains at once"""
  with staged(server={"timeouts": TIMEOUTS}) as (client, edge, origin):
    same(client.request("POST", "/", body=b"hello").status, 200)
    client.send(b"\r\n")
    client.await_read()
    client.assert_closed()
  with staged(server={"timeouts": {"idle": "60s"}, "drain": "60s"}) as (client, edge, origin):
    same(client.get("/").status, 200)
    client.send(b"\r\n")
    client.await_read()
    edge.stop()


@play
def slow_head_behind_a_request():
  """the start of a head that came along with the request before it has the time limit of a head"""
  with staged(server={"timeouts": {"head": "400ms", "idle": "60s"}}) as (client, edge, origin):
    client.send(head("GET", "/") + b"GET /")
    same(client.read_response().status, 200)
    assert_error(client.read_response(), 408, "REQUEST_TIMEOUT")
    client.assert_closed()


@play
def waiting_request_of_a_client_that_finished():
  """a request that waits behind another is answered although its client has closed the sending side"""
  with staged(route={"client_fin": "finish"}) as (client, edge, origin):
    client.send(head("GET", "/a") + head("GET", "/b"))
    client.finish()
    same([client.read_response().status for _ in range(2)], [200, 200])
    client.assert_closed()
    same(origin.paths(), ["/a", "/b"])


@play
def refusals_reach_their_clients():
  """a client that goes on sending still gets the refusal of its head: the connection is not reset under it"""
  bad = head("POST", "/", [("Transfer-Encoding", "chunked"), ("Content-Length", 5)])
  for data, status in ((bad, 400), (head("CONNECT", "edge.test:443"), 405)):
    with staged() as (client, edge, origin):
      client.send(data)
      client.await_read()
      for _ in range(3):
        client.send(bytes(1024))
        client.await_read()
      same(client.read_response().status, status)
      client.assert_closed()


@play
def details_stay_with_their_exchange():
  """what was wrong with one client's body is not told to another"""
  with Origin(whole=False) as origin:
    begun = origin.gate()

    def early(request, line):
      line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n")
      begun.open()
      line.hang()
    origin.script = early
    config = serving(origin, routes={"all": {"path": "/up"}})
    with Edge(config) as edge, edge.client() as one, edge.client() as other:
      one.send(head("POST", "/up", [("Transfer-Encoding", "chunked")]))
      same(one.read_final_head()[0].status, 200)
      one.send(b"no chunk\r\n")
      edge.log_line(path="/up", cause="client_error")
      document = assert_error(other.get("/nowhere"), 404, "NOT_FOUND")
      holds("chunk" not in document["error"]["message"], f"{document}")


@play
def both_sides_stop():
  """a client that neither reads nor ends is cut, also when its service goes away while it is waited for"""
  with Origin(whole=False, send_buffer=128 << 10) as origin:
    stalled = origin.gate()

    def script(request, line):
      line.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MIB))
      ready = select.poll()
      ready.register(line.sock, select.POLLOUT)
      # Quiet for much shorter than the edge waits, so that this comes first however slow everybody is.
      while ready.poll(250):
        line.try_send(bytes(64 << 10))
      stalled.open()
      line.reset()
    origin.script = script
    with Edge(serving(origin, server={"timeouts": {"send": "5s"}})) as edge:
      with edge.client(receive_buffer=64 << 10) as client:
        client.send(head("POST", "/", [("Content-Length", 10 * MIB)]) + bytes(64 << 10))
        stalled.wait("the edge stops reading")
        same(edge.matching(event="exchange"), [], "lines before the time is over")
        client.send(bytes(64 << 10))
        edge.log_line(status=200)


@play
def answers_have_a_date():
  """an answer without a Date gets one, an answer with a Date keeps it"""
  with staged(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as (client, edge, origin):
    date = client.get("/").fields.one("date")
    holds(re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", date or ""), f"Date: {date}")
    origin.script = raw(b"HTTP/1.1 200 OK\r\nDate: Sat, 31 Jan 2026 08:15:00 GMT\r\nContent-Length: 0\r\n\r\n")
    same(client.get("/").fields.one("date"), "Sat, 31 Jan 2026 08:15:00 GMT")


@play
def unread_log():
  """a log that nobody reads does not keep the process from ending"""
  with Origin() as origin, Folder(serving(origin)) as folder:
    with subprocess.Popen([binary(), "run"], cwd=folder.path, env=environment(), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
      try:
        address = next(line["address"] for line in map(json.loads, process.stdout) if line["event"] == "listening")
        host, port = address.rsplit(":", 1)
        with Client((host, int(port))) as client:
          for _ in range(500):
            same(client.get("/health").status, 200)
        process.send_signal(signal.SIGTERM)
        same(process.wait(DEADLINE), 0, "exit code")
      finally:
        process.kill()
        process.stdout.close()
