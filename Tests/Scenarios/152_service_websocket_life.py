"""WebSockets to services over time: slow sides, silence, reloads, ends of tokens and of the edge, tunnels, memory."""

import socket
import threading
import time
from contextlib import ExitStack

from play import *
from stage.metrics import *
from stage.pairs import *
from stage.websocket import *

MIB = 1 << 20
GROWTH = 2 * MIB * MEMORY_FACTOR
# What an idle one may take, in bytes.
IDLE_BYTES = 2048
TUNNEL = {"websocket": "tunnel"}
OPEN = """local policy = {}
function policy.on_request(req, ctx) end
return policy
"""


class Flood(threading.Thread):
  """Sends messages of 10,000 bytes from one end until it is told to stop, and counts those that were taken."""

  def __init__(self, end, mask):
    super().__init__()
    self.end, self.data = end, frame(Op.BINARY, b"x" * 10_000, mask=mask)
    self.taken, self.halt = 0, threading.Event()

  def run(self):
    try:
      while not self.halt.is_set():
        self.end.send(self.data, Deadline(120))
        self.taken += 1
    except (OSError, Failed):
      pass

  def await_pause(self):
    """Waits until nothing more is taken for a while."""
    seen = {}

    def still():
      return self.taken and time.monotonic() - seen.setdefault(self.taken, time.monotonic()) > 0.4
    eventually(still, "the sender is paused", 30)


def paused(end, other, mask, edge):
  """Lets one end send while the other does not read: it is paused, little is kept, and then all of it arrives."""
  before = edge.memory()
  flood = Flood(end, mask)
  flood.start()
  try:
    flood.await_pause()
    holds(flood.taken < 2000, f"the edge took {flood.taken} messages although nobody reads them")
    grown = edge.memory() - before
    holds(grown < GROWTH, f"the edge grew by {grown} bytes")
    return flood
  finally:
    flood.halt.set()


# MARK: slow sides


@play
def clients_that_do_not_read():
  """while a client does not read, the service is paused and little is kept; others go on, and then it gets all"""
  with paired(receive_buffer=32 << 10, send_buffer=64 << 10) as (one, two, edge, service):
    crosses(one, two)
    client, other = another(edge, service)
    crosses(client, other)
    flood = paused(two, one, b"", edge)
    crosses(client, other)
    count = 0
    while flood.is_alive() or count < flood.taken:
      same(len(one.message()), 10_000)
      count += 1
    crosses(one, two)
    client.client.close()


@play
def services_that_do_not_read():
  """while a service does not read, the client is paused and little is kept; then it gets all"""
  with paired() as (one, two, edge, service):
    two.client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 10)
    flood = paused(one, two, None, edge)
    two.say("the other way")
    same(one.message(), "the other way")
    count = 0
    while flood.is_alive() or count < flood.taken:
      same(len(two.message()), 10_000)
      count += 1
    crosses(one, two)


@play
def who_takes_nothing():
  """a client that takes nothing within server.timeouts.send is let go, and the service is told 1011"""
  with paired(receive_buffer=16 << 10, server={"timeouts": {"send": "500ms"}}, listeners=LISTENERS,
              routes=METRICS) as (one, two, edge, service):
    flood = Flood(two, b"")
    flood.start()
    two.assert_ended(1011, deadline=Deadline(30))
    flood.join()
    with edge.client("metrics") as watcher:
      eventually(lambda: total(scraped(watcher), "edge_websocket_closed_total", reason="slow") == 1, "one was slow")


@play
def frames_that_never_end():
  """a short frame of which the end does not come is a 1008 after server.timeouts.body"""
  with paired(server={"timeouts": {"body": "300ms"}}) as (one, two, edge, service):
    crosses(one, two)
    one.send(text_frame("x" * 1000)[:500])
    one.assert_ended(1008, deadline=Deadline(30))
    two.assert_ended(1001)


@play
def huge_messages():
  """a message of 64 MiB passes in each direction while the edge holds next to nothing of it"""
  content = b"0123456789abcdef" * (4 * MIB)
  with paired() as (one, two, edge, service):
    crosses(one, two)
    before = edge.memory()
    for sender, receiver, mask in ((one, two, b"\1\2\3\4"), (two, one, b"")):
      data = frame(Op.BINARY, content, mask=mask)
      thread = threading.Thread(target=sender.send, args=(data, Deadline(120)))
      thread.start()
      holds(receiver.message(Deadline(120)) == content, "the message is another")
      thread.join()
    grown = edge.memory() - before
    holds(grown < GROWTH, f"the edge grew by {grown} bytes")


# MARK: memory


@play
def idle_ones():
  """500 that have spoken and are idle hold no buffer, and take less than 2 KiB each"""
  with Sockets(lenient=True) as service, fronted(service) as edge, ExitStack() as stack:
    def opened(count):
      found = []
      for _ in range(count):
        client = stack.enter_context(edge.client())
        found.append((upgraded(client), service.take()))
        crosses(*found[-1], "x" * 5000)
      return found
    opened(20)
    before = edge.memory()
    found = opened(500)
    grown = edge.memory() - before
    holds(grown < 500 * IDLE_BYTES * MEMORY_FACTOR, f"{grown / 500} bytes for each")
    for one, two in found[::50]:
      crosses(one, two)
    same(sessions(edge), 520)


# MARK: silence


@play
def silence():
  """who is silent for websocket_idle is closed with 1001 on both sides, and any byte is a sign of life, pings too"""
  for treatment in ("proxy", "tunnel"):
    with Sockets(lenient=True) as service, fronted(
        service, route={"websocket": treatment, "websocket_idle": "1s"}) as edge:
      with edge.client() as client, edge.client() as other:
        one, two = upgraded(client), service.take()
        living, there = upgraded(other), service.take()
        # Not so often that it is a flood.
        while not client.reader.poll.poll(100):
          alive(living, there)
        if treatment == "proxy":
          one.assert_ended(1001)
          two.assert_ended(1001)
        else:
          client.assert_closed()
          two.await_gone()
        crosses(living, there)


def alive(one, two):
  """A ping goes one way and its answer the other."""
  one.send(frame(Op.PING, b"alive?"))
  two.step()
  one.pong(b"alive?")


# MARK: the end of a token


@play
def ends_of_tokens():
  """when the token ends that it was opened with, the client is told 4401 and the service 1001; a tunnel is cut"""
  for treatment in ("proxy", "tunnel"):
    with Sockets(lenient=True) as service, fronted(service, {"auth": AUTH}, route={"websocket": treatment},
                                                   auth={"leeway": "0s"}) as edge:
      with edge.client() as client, edge.client() as other:
        one, two = upgraded(client, fields=[bearer(lifetime=2)]), service.take()
        lasting, there = upgraded(other, fields=[bearer()]), service.take()
        crosses(one, two)
        if treatment == "proxy":
          one.assert_ended(4401)
          two.assert_ended(1001)
        else:
          client.assert_closed()
          two.await_gone()
        crosses(lasting, there)


# MARK: the end of the edge


@play
def the_end_of_the_edge():
  """at SIGTERM both sides are told 1001, and the edge ends without waiting for server.drain"""
  with Sockets(lenient=True) as service, fronted(service, server={"workers": 2, "drain": "10m"}) as edge:
    with ExitStack() as stack:
      found = [(upgraded(stack.enter_context(edge.client())), service.take()) for _ in range(10)]
      found[0][0].send(text_frame("x" * 1000)[:100])
      found[0][0].client.await_read()
      edge.signal()
      for one, two in found:
        one.assert_ended(1001)
        two.assert_ended(1001)
      same(edge.wait_exit(), 0)


@play
def tunnels_at_the_end():
  """at SIGTERM a tunnel goes on until server.drain is over, and openings are refused"""
  with Sockets(lenient=True) as service, fronted(service, route=TUNNEL, server={"drain": "2s"}) as edge:
    with edge.client() as client, edge.client() as late:
      one, two = upgraded(client), service.take()
      # Half a request keeps its connection from being closed.
      late.send(handshake("/chat")[:-2])
      late.await_read()
      address = edge.address()
      edge.signal()
      eventually(lambda: not listening(address), "nobody listens any more")
      crosses(one, two)
      late.send(b"\r\n")
      same(late.read_response().status, 503)
      crosses(one, two)
      client.assert_closed()
      same(edge.wait_exit(), 0)


@play
def listeners_that_go():
  """when its listener is removed a WebSocket ends with 1001 on both sides"""
  with Sockets(lenient=True) as service, fronted(service, listeners={"second": {"bind": "127.0.0.1:0"}}) as edge:
    with edge.client("second") as client, edge.client() as other:
      one, two = upgraded(client), service.take()
      staying, there = upgraded(other), service.take()
      edge.adopt(merged(edge.config, {"listeners": {"second": None}}))
      one.assert_ended(1001)
      two.assert_ended(1001)
      crosses(staying, there)


# MARK: reloads


@play
def reloads():
  """over reloads one of an unchanged route goes on, and of a changed one as on_reload says; no generation is kept"""
  for on_reload, code in (("keep", None), ("close", 1012), ("drain 1s", 1012)):
    with Sockets(lenient=True) as service, fronted(service, {"watch": OPEN}, route={"on_reload": on_reload}) as edge:
      with edge.client() as client:
        one, two = upgraded(client), service.take()
        edge.adopt(merged(edge.config, {"routes": {"other": {"path": "/other", "builtin": "health"}}}))
        crosses(one, two)
        edge.wait_line(event="generation_ended", generation=1)
        edge.adopt(None, {file_of("watch"): OPEN + "-- another\n"})
        if on_reload != "close":
          crosses(one, two)
        if code:
          one.assert_ended(code)
          two.assert_ended(code)
        edge.wait_line(event="generation_ended", generation=2)
        with edge.client() as other:
          crosses(upgraded(other), service.take())


@play
def routes_that_go():
  """one whose route is removed, or opens none any more, ends with 1012 on both sides, also a tunnel"""
  for treatment in ("proxy", "tunnel"):
    for change in ({"routes": {"all": {"path": "/*", "builtin": "health", "service": None, "websocket": None}}},
                   {"routes": {"all": {"websocket": "refuse"}}}):
      with Sockets(lenient=True) as service, fronted(service, route={"websocket": treatment}) as edge:
        with edge.client() as client:
          one, two = upgraded(client), service.take()
          edge.adopt(merged(edge.config, change))
          if treatment == "proxy":
            one.assert_ended(1012)
            two.assert_ended(1012)
          else:
            client.assert_closed()
            two.await_gone()


@play
def new_bounds():
  """message_size and websocket_idle of a changed route hold for those that are open"""
  with Sockets(lenient=True) as service, fronted(service, route={"message_size": "1MiB"}) as edge:
    with edge.client() as client, edge.client() as other:
      one, two = upgraded(client), service.take()
      silent, there = upgraded(other), service.take()
      one.say("x" * 5000)
      same(len(two.message()), 5000)
      edge.adopt(merged(edge.config, {"routes": {"all": {"message_size": "1KiB", "websocket_idle": "1s"}}}))
      one.say("x" * 5000)
      one.assert_ended(1009)
      two.assert_ended(1001)
      silent.assert_ended(1001)


@play
def reloads_under_load():
  """messages that go back and forth notice nothing of twenty reloads on two workers"""
  with Sockets(lenient=True) as service, fronted(service, {"watch": OPEN}, server={"workers": 2}) as edge:
    with ExitStack() as stack:
      found = [(upgraded(stack.enter_context(edge.client())), service.take()) for _ in range(20)]
      for turn in range(20):
        edge.adopt(None, {file_of("watch"): OPEN + f"-- {turn}\n"})
        for one, two in found:
          crosses(one, two, f"turn {turn}")


# MARK: tunnels


@play
def blind_bytes():
  """through a tunnel any bytes pass as they are, with the client's own key and extensions, and nothing is checked"""
  fields = [("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")]
  rows = ["Sec-WebSocket-Extensions: permessage-deflate", "Sec-WebSocket-Protocol: two"]
  with Sockets(rows) as service, fronted(service, route=TUNNEL) as edge, edge.client() as client:
    key = new_key()
    client.send(handshake("/chat", [*fields, ("Sec-WebSocket-Protocol", "one, two")], key=key) + b"early")
    response = client.read_head()
    same(response.status, 101)
    same([response.fields.one(name) for name in ("sec-websocket-accept", "sec-websocket-extensions",
                                                 "sec-websocket-protocol", "connection", "upgrade")],
         [accept_of(key), "permessage-deflate", "two", "upgrade", "websocket"])
    line = service.take()
    same([line.request.fields.one(name) for name in ("sec-websocket-key", "sec-websocket-extensions")],
         [key, fields[0][1]])
    same(line.reader.exactly(5, Deadline()), b"early")
    for size in (1, 1000, 300_000):
      data = random_bytes(size)
      for sender, receiver in ((client, line.client), (line.client, client)):
        thread = threading.Thread(target=sender.send, args=(data,))
        thread.start()
        holds(receiver.reader.exactly(size, Deadline()) == data, f"{size} bytes are others")
        thread.join()


@play
def extensions_of_tunnels():
  """an extension that was not offered is a 502 also for a tunnel"""
  with Sockets(["Sec-WebSocket-Extensions: x-other"], lenient=True) as service:
    with fronted(service, route=TUNNEL) as edge:
      for offer in ([], [("Sec-WebSocket-Extensions", "permessage-deflate")]):
        with edge.client() as client:
          client.send(handshake("/chat", offer))
          same(client.read_response().status, 502)
          client.assert_closed()


@play
def ends_of_tunnels():
  """the end of one direction of a tunnel passes on behind its last byte, and the other direction goes on"""
  with paired(route=TUNNEL) as (one, two, edge, service):
    one.send(b"x" * 200_000)
    one.client.finish()
    same(len(two.reader.rest(Deadline())), 200_000)
    two.send(b"y" * 200_000)
    same(len(one.reader.exactly(200_000, Deadline())), 200_000)
    two.client.close()
    one.client.assert_closed()
  with paired(route=TUNNEL) as (one, two, edge, service):
    two.send(b"y" * 200_000)
    two.client.sock.shutdown(socket.SHUT_WR)
    same(len(one.client.read_to_end()), 200_000)
    one.send(b"late")
    same(two.reader.exactly(4, Deadline()), b"late")
    one.client.close()
    two.await_gone()
    eventually(lambda: sessions(edge) == 0, "it is over")


@play
def broken_tunnels():
  """when one side of a tunnel breaks off, so does the other, and half a tunnel does not last"""
  for leave in (lambda one, two: one.client.reset(), lambda one, two: two.client.reset()):
    with paired(route=TUNNEL) as (one, two, edge, service):
      crosses(one, two)
      leave(one, two)
      eventually(lambda: sessions(edge) == 0, "it is over")
  with paired(route=TUNNEL) as (one, two, edge, service):
    one.client.finish()
    two.reader.rest(Deadline())
    one.client.read_to_end(Deadline(30))
    eventually(lambda: sessions(edge) == 0, "it is over")


@play
def slow_tunnels():
  """a tunnel pauses one side while the other does not read, and keeps little"""
  with paired(route=TUNNEL, receive_buffer=32 << 10, send_buffer=64 << 10) as (one, two, edge, service):
    flood = paused(two, one, b"", edge)
    count = 0
    while flood.is_alive() or count < flood.taken:
      same(len(one.message()), 10_000)
      count += 1


# MARK: observed


@play
def who_is_counted():
  """/health counts them with their users and roles, the log has the opening, and metrics the reasons of their ends"""
  with Sockets(lenient=True) as service, fronted(service, {"auth": AUTH}, listeners=LISTENERS, routes=METRICS) as edge:
    with edge.client() as client, edge.client() as other, edge.client("metrics") as watcher:
      one, two = upgraded(client, fields=[bearer()]), service.take()
      upgraded(other, fields=[bearer(user="bob", role="admin")])
      service.take()
      with edge.client() as asking:
        found = json.loads(asking.get("/health").body)["connections"]
        same([found[name] for name in ("totalConnections", "totalUsers", "totalPendingRequests")], [2, 2, 0])
        same(sum(found["connectionsByRole"].values()), 2)
      same(total(scraped(watcher), "edge_websocket_sessions"), 2)
      line = edge.log_line(principal="alice")
      same((line["status"], line["service"], line["cause"]), (101, "app", "completed"))
      one.send(goodbye(1000))
      two.assert_ended(1000)
      other.reset()
      eventually(lambda: sessions(edge) == 0, "both are over")
      same(total(scraped(watcher), "edge_websocket_closed_total", reason="client"), 2)
      with edge.client() as asking:
        found = json.loads(asking.get("/health").body)["connections"]
        same((found["totalUsers"], found["connectionsByRole"]), (0, {}))
