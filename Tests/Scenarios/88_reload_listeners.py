"""SIGHUP and listeners: new ones are bound first, others keep their sockets, removed ones end without a loss."""

import signal
import socket
from contextlib import ExitStack

from play import *
from stage.names import Names


def text(address):
  return f"{address[0]}:{address[1]}"


def fixed():
  """An address with a port that nobody uses."""
  return "127.0.0.1", free_port()


def listeners(**addresses):
  """A configuration's listeners, by name; None takes one away."""
  return {"listeners": {name: address and {"bind": text(address)} for name, address in addresses.items()}}


def assert_closed_listener(edge, name, address):
  line = edge.wait_line(event="listener_closed", listener=name)
  same((line["level"], line["address"]), ("info", text(address)))
  same(set(line), {"time", "level", "event", "listener", "address"}, "fields")
  assert_refused(address)


@play
def added():
  """an added listener is bound, told in the log and serves at once; the others go on"""
  with Origin() as origin:
    config = serving(origin, server={"workers": 2})
    with Edge(config) as edge, edge.client() as client:
      same(client.get("/1").status, 200)
      line = edge.adopt(merged(config, {"listeners": {"inner": {"bind": "127.0.0.1:0"}}}))
      same(difference(line), {"added": {"listeners.inner"}})
      for number in range(10):
        with edge.client("inner") as inner, edge.client() as other:
          same((inner.get("/inner").status, other.get("/main").status), (200, 200))
      same(client.get("/2").status, 200)
      same({line["listener"] for line in edge.exchanges(22) if line["path"] == "/inner"}, {"inner"}, "listeners")
      same([line["listener"] for line in edge.matching(event="listening")], ["main", "inner"], "listening lines")


@play
def routes_of_listeners():
  """a route bound to an added listener is served there alone, and one that is bound elsewhere by a reload moves"""
  with Origin() as origin:
    config = serving(origin)
    inner = {"listeners": {"inner": {"bind": "127.0.0.1:0"}}}
    with Edge(config) as edge, edge.client() as client:
      edge.adopt(merged(config, {**inner, "routes": {"all": {"listeners": ["inner"]}}}))
      with edge.client("inner") as other:
        same((client.get("/").status, other.get("/").status), (404, 200))
        line = edge.adopt(merged(config, {**inner, "routes": {"all": {"listeners": ["main"]}}}))
        same(difference(line), {"changed": {"routes.all.listeners"}})
        same((client.get("/").status, other.get("/").status), (200, 404))


@play
def any_free_port_is_kept():
  """a listener on port 0 keeps its socket and port over reloads, whatever else changes"""
  with Origin() as origin:
    config = serving(origin)
    with Edge(config) as edge, edge.client() as client:
      address = edge.address()
      inode = listening(address)
      holds(inode, "the play itself: nobody listens")
      for changes in ({"routes": {"b": {"path": "/b", "service": "app"}}},
                      {"listeners": {"aaa": {"bind": "127.0.0.1:0"}}}, {"limits": {"body_size": "1KiB"}}):
        edge.adopt(merged(config, changes))
        same(listening(address), inode, "the listening socket")
        with edge.client() as other:
          same((other.get("/").status, client.get("/").status), (200, 200))
      same(len(edge.matching(event="listening", listener="main")), 1, "listening lines of the listener")
      edge.wait_line(event="listener_closed")
      same([line["listener"] for line in edge.matching(event="listener_closed")], ["aaa"], "listeners that were closed")


@play
def removed():
  """a removed listener takes no new clients and closes its idle ones; other listeners go on"""
  with Origin() as origin:
    config = serving(origin, server={"workers": 2}, listeners={"inner": {"bind": "127.0.0.1:0"}})
    with Edge(config) as edge, ExitStack() as stack:
      address = edge.address("inner")
      used = [stack.enter_context(edge.client("inner")) for _ in range(10)]
      kept = stack.enter_context(edge.client())
      for client in (*used, kept):
        same(client.get("/").status, 200)
      fresh = [stack.enter_context(edge.client("inner")) for _ in range(10)]
      line = edge.adopt(merged(config, {"listeners": {"inner": None}}))
      same(difference(line), {"removed": {"listeners.inner"}})
      assert_closed_listener(edge, "inner", address)
      same(listening(address), None, "somebody who listens")
      for client in (*used, *fresh):
        client.assert_closed("idle connection")
      same(kept.get("/").status, 200)
      with edge.client() as other:
        same(other.get("/").status, 200)
      edge.wait_line(event="generation_ended", generation=1)


@play
def running_on_a_removed_one():
  """what runs on a removed listener ends whole, then its connection closes"""
  with Origin() as origin:
    gate = origin.gate()
    origin.script = {"/stream": held(gate), "/up": answer(200, b"up"),
                     "/waits": lambda request, line: (gate.wait(), answer(200, b"ok")(request, line))}
    config = serving(origin, listeners={"inner": {"bind": "127.0.0.1:0"}})
    with Edge(config) as edge, ExitStack() as stack:
      address = edge.address("inner")
      streaming, waiting, uploading = [stack.enter_context(edge.client("inner")) for _ in range(3)]
      stream = Stream(streaming, "/stream")
      waiting.send(head("GET", "/waits"))
      uploading.send(head("POST", "/up", [("Content-Length", 10)]) + b"hello")
      origin.wait_connections(3)
      edge.adopt(merged(config, {"listeners": {"inner": None}}))
      assert_closed_listener(edge, "inner", address)
      for client in (streaming, waiting, uploading):
        client.assert_open()
      uploading.send(b"world")
      response = uploading.read_response("POST")
      same((response.body, response.fields.one("connection")), (b"up", "close"))
      gate.open()
      response = waiting.read_response()
      same((response.body, response.fields.one("connection")), (b"ok", "close"))
      stream.assert_whole()
      for client in (streaming, waiting, uploading):
        client.assert_closed()
      lines = edge.exchanges(3)
      same({(line["listener"], line["generation"], line["cause"]) for line in lines}, {("inner", 1, "completed")})
      edge.wait_line(event="generation_ended", generation=1)


@play
def requests_before_the_end():
  """a request that was sent before its listener was removed is answered, on an open connection and on a new one"""
  with Origin() as origin:
    config = serving(origin, server={"workers": 2})
    more = merged(config, {"listeners": {"inner": {"bind": "127.0.0.1:0"}}})
    with Edge(more) as edge:
      for number in range(10):
        with ExitStack() as stack:
          clients = [stack.enter_context(edge.client("inner")) for _ in range(5)]
          for client in clients:
            same(client.get("/").status, 200)
          clients += [stack.enter_context(edge.client("inner")) for _ in range(5)]
          for client in clients:
            client.send(head("GET", f"/{number}"))
          edge.adopt(config)
          for client in clients:
            same(client.read_response().status, 200, f"round {number}")
            client.assert_closed()
        edge.adopt(more)
        edge.wait(lambda: len(edge.matching(event="listening", listener="inner")) == number + 2, "it listens again")
      same(len(origin.requests), 150, "requests at the service")


@play
def requests_in_the_queue():
  """requests on connections that wait in the queue of a listener while it is removed are answered"""
  with Origin() as origin:
    config = serving(origin, server={"workers": 4})
    more = merged(config, {"listeners": {"inner": {"bind": "127.0.0.1:0"}}})
    with Edge(more) as edge:
      for number in range(10):
        with ExitStack() as stack:
          with edge.frozen():
            clients = [stack.enter_context(edge.client("inner")) for _ in range(200)]
            for client in clients:
              client.send(head("GET", f"/{number}"))
            edge.folder.fill(config)
            edge.signal(signal.SIGHUP)
          edge.wait(lambda: len(edge.outcomes) == 2 * number + 1, "the reload ends")
          same(edge.outcomes[-1]["event"], "reloaded")
          statuses = [client.read_response().status for client in clients]
          same({status: statuses.count(status) for status in statuses}, {200: 200}, f"statuses in round {number}")
        edge.adopt(more)
        edge.wait(lambda: len(edge.matching(event="listening", listener="inner")) == number + 2, "it listens again")
      same(len(origin.requests), 2000, "requests at the service")


@play
def half_a_head_on_a_removed_one():
  """a request whose head is half sent when its listener is removed gets 503 and the connection's end, never 404"""
  with Origin() as origin:
    config = serving(origin, routes={"inner": {"path": "/inner", "service": "app", "listeners": ["main"]}})
    more = merged(config, {"listeners": {"inner": {"bind": "127.0.0.1:0"}},
                           "routes": {"inner": {"listeners": ["main", "inner"]}}})
    targets = ["/", "/health", "/inner"]
    with Edge(more) as edge, ExitStack() as stack:
      clients = {(target, used): stack.enter_context(edge.client("inner")) for target in targets for used in (0, 1)}
      for (target, used), client in clients.items():
        if used:
          same(client.get("/").status, 200)
        client.send(head("GET", f"{target}?{used}")[:-3])
        client.await_read()
      edge.adopt(config)
      edge.wait_line(event="listener_closed", listener="inner")
      for (target, used), client in clients.items():
        client.assert_open()
        client.send(head("GET", f"{target}?{used}")[-3:])
        response = client.read_response()
        assert_error(response, 503, "SERVICE_UNAVAILABLE")
        same(response.fields.one("connection"), "close")
        client.assert_closed()
        line = edge.log_line(requestId=response.fields.one("x-request-id"))
        same((line["status"], line["cause"], line["generation"]), (503, "refused", 2))
      same(len(origin.requests), 3, "requests at the service")


@play
def removed_and_added_back():
  """of two reloads right after each other the first removes a listener and the second adds it back: both succeed"""
  with Names() as names, Origin() as origin:
    address = fixed()
    config = serving(origin, server={"workers": 16})
    more = merged(config, listeners(inner=address))
    with Edge(more, names.environment) as edge:
      for turn in range(10):
        name = f"slow{turn}"
        names.put(**{name: ["hang"]})
        # Read, and not yet served: it waits for a name.
        edge.folder.fill(merged(config, {"services": {"slow": {"endpoints": [f"http://{name}.test:1"]}}}))
        edge.signal(signal.SIGHUP)
        eventually(lambda: f"{name}.test" in names.asked(), "the first reload waits")
        edge.folder.fill(more)
        edge.signal(signal.SIGHUP)
        names.put(**{name: ["127.0.0.1"]})
        edge.wait(lambda: len(edge.outcomes) == 2 * turn + 2, "both reloads end")
        same([line["event"] for line in edge.outcomes[-2:]], ["reloaded"] * 2, f"turn {turn}: {edge.outcomes[-2:]}")
        with Client(address) as client:
          same(client.get("/").status, 200)
      same(len(edge.matching(event="listener_closed")), 10, "times the listener was closed")


@play
def too_many_places():
  """listeners that move and are more than 63 with the old ones fail the reload with that reason; fewer can move"""
  def rows(ports):
    return listeners(**{f"l{at}": ("127.0.0.1", port) for at, port in enumerate(ports)})
  free = set()
  while len(free) < 80:
    free.add(free_port())
  old, new = sorted(free)[:40], sorted(free)[40:]
  with Origin() as origin:
    config = serving(origin)
    with Edge(merged(config, rows(old)), loud=True) as edge, edge.client() as client, edge.client("l0") as idle:
      same((client.get("/").status, idle.get("/").status), (200, 200))
      line = edge.reload(merged(config, rows(new)))
      same((line["level"], line["event"], line["generation"]), ("error", "reload_failed", 1))
      holds("listeners" in line["reason"] and "more than 63" in line["reason"], f"reason {line['reason']!r}")
      same(edge.matching(event="config_error"), [], "config_error lines")
      idle.assert_open()
      same((client.get("/").status, idle.get("/").status), (200, 200))
      for port in old:
        with Client(("127.0.0.1", port)) as other:
          same(other.get("/").status, 200)
      for port in new:
        assert_refused(("127.0.0.1", port))
      # 41 and 20 are 61.
      for ports in (new[:20] + old[20:], new):
        same(edge.reload(merged(config, rows(ports)))["event"], "reloaded")
        for port in ports:
          with Client(("127.0.0.1", port)) as other:
            same(other.get("/").status, 200)


@play
def another_address():
  """a listener that moves is bound at its new address; the old one takes no new clients"""
  with Origin() as origin:
    before, after = fixed(), fixed()
    config = merged(serving(origin), listeners(main=before))
    with Edge(config) as edge, edge.client() as client:
      same(client.get("/").status, 200)
      line = edge.adopt(merged(config, listeners(main=after)))
      same(difference(line), {"changed": {"listeners.main.bind"}})
      assert_closed_listener(edge, "main", before)
      client.assert_closed("idle connection of the old address")
      edge.wait_line(event="listening", listener="main", address=text(after))
      with Client(after) as other:
        same(other.get("/").status, 200)
      edge.adopt(config)
      with Client(before) as other:
        same(other.get("/").status, 200)
      edge.wait_line(event="listener_closed", listener="main", address=text(after))
      assert_refused(after)


@play
def another_name():
  """a listener under another name keeps its socket and its clients, and serves the routes of its new name"""
  with Origin() as origin:
    address = fixed()
    config = merged(serving(origin), listeners(main=address))
    with Edge(config) as edge, Client(address) as client:
      same(client.get("/").status, 200)
      inode = listening(address)
      new = merged(config, {**listeners(main=None, other=address), "routes": {"all": {"listeners": ["other"]}}})
      same(difference(edge.adopt(new)), {"added": {"listeners.other"}, "removed": {"listeners.main"},
                                         "changed": {"routes.all.listeners"}})
      same(listening(address), inode, "the listening socket")
      client.assert_open()
      same(client.get("/kept").status, 200)
      with Client(address) as later:
        same(later.get("/later").status, 200)
      same(edge.log_line(path="/later")["listener"], "other")
      same(edge.matching(event="listener_closed"), [], "listeners that were closed")


@play
def exchanged_addresses():
  """two listeners exchange their addresses and keep the sockets; each address serves its new name"""
  with Origin() as origin:
    one, two = fixed(), fixed()
    config = merged(serving(origin, routes={"all": {"listeners": ["main"]}}), listeners(main=one, inner=two))
    with Edge(config) as edge:
      inodes = listening(one), listening(two)
      for main, inner in ((one, two), (two, one), (one, two)):
        edge.reload(merged(config, listeners(main=main, inner=inner)))
        same((listening(one), listening(two)), inodes, "listening sockets")
        for address, status in ((main, 200), (inner, 404)):
          with Client(address) as client:
            same(client.get("/").status, status, f"status at {text(address)}")
      same([line["event"] for line in edge.outcomes], ["reload_unchanged", "reloaded", "reloaded"])
      same(len(edge.matching(event="listening")), 2, "listening lines")


@play
def address_in_use():
  """a listener that cannot be bound fails the reload: nothing changes, also for listeners that would have gone"""
  with Origin() as origin, socket.socket() as taken:
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    bound, free, leaving = taken.getsockname(), fixed(), fixed()
    config = merged(serving(origin), listeners(leaving=leaving))
    with Edge(config, loud=True) as edge, edge.client() as client, Client(leaving) as idle:
      same((client.get("/").status, idle.get("/").status), (200, 200))
      inode = listening(leaving)
      changes = {**listeners(leaving=None, aaa=free, more=bound), "routes": {"all": {"path": "/moved"}}}
      line = edge.reload(merged(config, changes))
      same((line["level"], line["event"], line["generation"]), ("error", "reload_failed", 1))
      holds(text(bound) in line["reason"] and "in use" in line["reason"].lower(), f"reason {line['reason']!r}")
      same(edge.matching(event="config_error"), [], "config_error lines")
      same((listening(leaving), listening(free)), (inode, None), "listening sockets")
      assert_refused(free)
      idle.assert_open()
      same((client.get("/").status, idle.get("/").status), (200, 200))
      with Client(leaving) as later:
        same(later.get("/").status, 200)
      same(edge.matching(event="listener_closed"), [], "listeners that were closed")
      taken.close()
      same(edge.adopt()["generation"], 2, "generation once the address is free")
      for address in (free, bound, edge.address()):
        with Client(address) as later:
          same((later.get("/moved").status, later.get("/").status), (200, 404), text(address))
      assert_closed_listener(edge, "leaving", leaving)
      idle.assert_closed("idle connection")


@play
def clients_meanwhile():
  """while other listeners come and go no client of the one that stays is refused or cut"""
  with Origin() as origin:
    config = serving(origin, server={"workers": 2})
    with Edge(config) as edge, edge.client() as client:
      for number in range(30):
        extra = {f"l{(number + at) % 5}": {"bind": "127.0.0.1:0"} for at in range(number % 4)}
        edge.folder.fill(merged(config, {"listeners": extra, "limits": {"head_fields": 100 + number}}))
        before = len(edge.outcomes)
        edge.signal(signal.SIGHUP)
        for _ in range(5):
          with edge.client() as other:
            same((other.get("/").status, client.get("/").status), (200, 200), f"round {number}")
        edge.wait(lambda: len(edge.outcomes) > before, "the reload ends")
        same(edge.outcomes[before]["event"], "reloaded")
