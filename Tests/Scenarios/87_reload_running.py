"""SIGHUP while requests run: each ends on the generation it began on, and the next one uses the newest."""

import signal
from contextlib import ExitStack

from play import *

# How many generations may be alive at once.
GENERATIONS = 64


def numbered(config, number):
  """The same configuration under another hash."""
  return yaml(config) + f"\n# {number}\n"


@contextmanager
def pair(script=None, **changes):
  """Two origins, the second answering `two`; configurations that send everything to the first, and to the second.

  In the second neither the first service nor its route is left."""
  with Origin(script or answer(200, b"one")) as one, Origin(answer(200, b"two")) as two:
    old = serving(one, **changes)
    new = merged(old, {"services": {"app": None, "new": {"endpoints": [two.url]}},
                       "routes": {"all": None, "new": {"path": "/new/*", "service": "new"}}})
    yield one, two, old, new


def generation(edge, response):
  return edge.log_line(requestId=response.fields.one("x-request-id"))["generation"]


@play
def streams():
  """200 streams on two workers outlive a reload and end whole on their generation; new requests use the next"""
  with pair(server={"workers": 2}) as (one, two, old, new):
    gate = one.gate()
    one.script = held(gate)
    with Edge(old) as edge, ExitStack() as stack:
      streams_of_old = [Stream(stack.enter_context(edge.client()), f"/{number}") for number in range(200)]
      line = edge.adopt(new)
      same((line["generation"], line["live"]), (2, 2))
      for number in range(20):
        with edge.client() as client:
          same(client.get(f"/new/{number}").body, b"two")
          same(client.get("/old").status, 404)
      gate.open()
      for stream in streams_of_old:
        stream.assert_whole()
        same(stream.client.get("/new/again").body, b"two", "the next request of the connection")
      edge.wait_line(event="generation_ended", generation=1)
      edge.stop()
      by_id = {line["requestId"]: line for line in edge.matching(event="exchange")}
      for stream in streams_of_old:
        access = by_id.pop(stream.id)
        same((access["generation"], access["cause"], access["route"], access["service"]),
             (1, "completed", "all", "app"))
      same(({line["generation"] for line in by_id.values()}, len(by_id)), ({2}, 240), "all others")


@play
def kept_alive():
  """the next request of a connection uses the newest generation, however many have come"""
  with pair() as (one, two, old, new), Edge(old) as edge, edge.client() as client:
    for number in range(1, 21):
      response = client.get("/new/x")
      same(response.body, b"one" if number % 2 else b"two", f"in generation {number}")
      same(generation(edge, response), number)
      same(edge.adopt(new if number % 2 else old)["generation"], number + 1)


@play
def half_a_head():
  """a request whose head is half sent at the reload uses the newest generation"""
  with pair() as (one, two, old, new), Edge(old) as edge, edge.client() as fresh, edge.client() as used:
    same(used.get("/new/before").body, b"one")
    text = head("GET", "/new/half", [("X-Pad", "p" * 500)])
    for client in (fresh, used):
      client.send(text[:-3])
      client.await_read()
    edge.adopt(new)
    for client in (fresh, used):
      client.send(text[-3:])
      response = client.read_response()
      same((response.body, generation(edge, response)), (b"two", 2))
    same(one.paths(), ["/new/before"])


@play
def pipelined_behind():
  """a request that waits behind a running one uses the newest generation when its turn comes"""
  with pair() as (one, two, old, new):
    gate = one.gate()
    one.script = held(gate)
    with Edge(old) as edge, edge.client() as client:
      stream = Stream(client, "/new/first")
      client.send(head("GET", "/new/second"))
      edge.adopt(new)
      gate.open()
      stream.assert_whole()
      response = client.read_response()
      same((response.body, generation(edge, response)), (b"two", 2))
      same(edge.log_line(requestId=stream.id)["generation"], 1)


@play
def upload():
  """a request body that is on its way completes on the old generation, whose service and route are gone"""
  for fields, pieces in (([("Content-Length", 10)], (b"01234", b"56789")),
                         ([("Transfer-Encoding", "chunked")], (b"5\r\n01234\r\n", b"5\r\n56789\r\n0\r\n\r\n"))):
    with pair() as (one, two, old, new), Edge(old) as edge, edge.client() as client:
      client.send(head("POST", "/up", fields) + pieces[0])
      one.wait_connections(1)
      line = edge.adopt(new)
      same(difference(line), {"added": {"services.new", "routes.new"}, "removed": {"services.app", "routes.all"}})
      same(line["live"], 2, "live generations")
      client.send(pieces[1])
      response = client.read_response("POST")
      same((response.body, generation(edge, response)), (b"one", 1))
      same(one.last().body, b"0123456789")
      same(client.get("/up").status, 404, "the next request")
      edge.wait_line(event="generation_ended", generation=1)


@play
def upload_under_its_own_limit():
  """a request body that is on its way keeps the limit it began with; the next has the new one"""
  with Origin() as origin:
    config = serving(origin, limits={"body_size": "1MiB"})
    body = random_bytes(500_000)
    with Edge(config) as edge, edge.client() as client:
      client.send(head("POST", "/", [("Transfer-Encoding", "chunked")]) + b"5\r\nhello\r\n")
      origin.wait_connections(1)
      edge.adopt(merged(config, {"limits": {"body_size": "1KiB"}}))
      client.send(chunked(body))
      same(client.read_response("POST").status, 200)
      same(origin.last().body == b"hello" + body, True, "the body came whole")
      assert_error(client.request("POST", "/", body=bytes(1025)), 413, "MESSAGE_TOO_LARGE")


@play
def second_attempt():
  """an attempt after the reload goes to the next endpoint of the request's own generation"""
  with Unanswering() as silent, Origin(answer(200, b"one")) as one, Origin(answer(200, b"two")) as two:
    changes = {"service": {"timeouts": {"connect": "1s"}}}
    old = serving(f"http://127.0.0.1:{silent.address[1]}", one, **changes)
    with Edge(old) as edge, edge.client() as client, edge.client() as later:
      client.send(head("GET", "/"))
      client.await_read()
      edge.adopt(serving(two, **changes))
      same(later.get("/").body, b"two")
      response = client.read_response()
      same(response.body, b"one")
      line = edge.log_line(requestId=response.fields.one("x-request-id"))
      same((line["generation"], line["attempts"]), (1, 2))


@play
def names_of_its_own():
  """the access line of an old exchange names its own route, service and listener, whatever comes before them now"""
  with Origin() as origin:
    gate = origin.gate()
    origin.script = held(gate)
    config = serving(origin)
    with Edge(config) as edge, edge.client() as client:
      stream = Stream(client)
      edge.adopt({
        "version": 1, "server": config["server"],
        "listeners": {"aaa": {"bind": "127.0.0.1:0"}, **config["listeners"]},
        "services": {"aaa": {"endpoints": "http://127.0.0.1:1"}, **config["services"]},
        "routes": {"aaa": {"path": "/aaa", "service": "aaa"}, "health": config["routes"]["health"]}})
      gate.open()
      stream.assert_whole()
      line = edge.log_line(requestId=stream.id)
      same((line["listener"], line["route"], line["service"], line["generation"]), ("main", "all", "app", 1))
      holds(f"127.0.0.1:{origin.address[1]}" in line["endpoint"], f"endpoint {line['endpoint']}")
      response = client.get("/health")
      line = edge.log_line(requestId=response.fields.one("x-request-id"))
      same((line["listener"], line["route"], line["generation"]), ("main", "health", 2))
      with edge.client("aaa") as other:
        same(other.get("/aaa").status, 503)
      line = edge.log_line(path="/aaa")
      same((line["listener"], line["route"], line["service"]), ("aaa", "aaa", "aaa"))


@play
def pool_is_kept():
  """a service that a reload does not touch keeps its idle connection, also when others come before it"""
  with Origin() as origin, Origin() as other:
    config = serving(origin, service={"pool": {"idle": "1h"}})
    first = {"aaa": {"endpoints": [other.url]}, **config["services"]}
    with Edge(config) as edge, edge.client() as client:
      same(client.get("/1").status, 200)
      edge.adopt(merged(config, {"routes": {"b": {"path": "/b", "service": "app"}}}))
      same(client.get("/2").status, 200)
      edge.adopt(config | {"services": first})
      same(client.get("/3").status, 200)
      edge.adopt(config | {"services": {**config["services"], "zzz": {"endpoints": [other.url]}}})
      same(client.get("/4").status, 200)
      same((len(origin.lines), origin.paths()), (1, ["/1", "/2", "/3", "/4"]), "connections and requests")
      same(other.lines, [], "connections to the other service")


@play
def given_back_after_the_reload():
  """a connection on which an old exchange ended serves the new generation too"""
  with Origin() as origin:
    gate = origin.gate()
    origin.script = {"/stream": held(gate), "*": answer(200, b"ok")}
    config = serving(origin, service={"pool": {"idle": "1h"}})
    with Edge(config) as edge, edge.client() as client:
      stream = Stream(client, "/stream")
      edge.adopt(numbered(config, 2))
      gate.open()
      stream.assert_whole()
      edge.wait_line(event="generation_ended", generation=1)
      same(client.get("/after").status, 200)
      same(len(origin.lines), 1, "connections to the service")


@play
def pool_of_a_former_endpoint():
  """an idle connection to an endpoint that no service has any more gets no request and is closed"""
  with Origin(answer(200, b"one")) as one, Origin(answer(200, b"two")) as two:
    pool = {"pool": {"idle": "1h"}}
    with Edge(serving(one, service=pool)) as edge, edge.client() as client:
      same(client.get("/").body, b"one")
      edge.adopt(serving(two, service=pool))
      for _ in range(3):
        same(client.get("/").body, b"two")
      one.lines[0].await_end()
      same((len(one.requests), len(one.lines)), (1, 1), "requests and connections at the former endpoint")


@play
def former_endpoint_in_use():
  """a connection to a former endpoint that an old exchange still uses is closed when that has ended"""
  with Origin() as one, Origin(answer(200, b"two")) as two:
    gate = one.gate()
    one.script = held(gate)
    pool = {"pool": {"idle": "1h"}}
    with Edge(serving(one, service=pool)) as edge, edge.client() as client:
      stream = Stream(client)
      edge.adopt(serving(two, service=pool))
      gate.open()
      stream.assert_whole()
      same(client.get("/").body, b"two")
      one.lines[0].await_end()
      same(len(one.requests), 1, "requests at the former endpoint")


@play
def old_generations_end():
  """a generation ends when its last exchange has ended, in whatever order, and the log counts those that live"""
  with Origin() as origin:
    gates = {f"/{number}": origin.gate() for number in (1, 2, 3)}
    origin.script = lambda request, line: held(gates[request.path])(request, line)
    config = serving(origin, server={"workers": 2})
    with Edge(config) as edge, ExitStack() as stack:
      running = {}
      for number in (1, 2, 3):
        running[number] = Stream(stack.enter_context(edge.client()), f"/{number}")
        line = edge.adopt(numbered(config, number))
        same((line["generation"], line["live"]), (number + 1, number + 1))
      same(edge.matching(event="generation_ended"), [], "generations that ended while streams ran")
      for live, number in ((3, 2), (2, 1), (1, 3)):
        gates[f"/{number}"].open()
        running[number].assert_whole()
        line = edge.wait_line(event="generation_ended", generation=number)
        same((line["level"], line["live"]), ("info", live), f"end of generation {number}")
        same(set(line), {"time", "level", "event", "generation", "live"}, "fields")
      same([line["generation"] for line in edge.matching(event="generation_ended")], [2, 1, 3])


@play
def who_holds_no_generation():
  """neither an idle connection, nor half a head, nor an idle connection to a service keeps a generation"""
  with Origin() as origin:
    config = serving(origin, server={"workers": 2}, service={"pool": {"idle": "1h"}})
    with Edge(config) as edge, ExitStack() as stack:
      clients = [stack.enter_context(edge.client()) for _ in range(20)]
      for client in clients[:10]:
        same(client.get("/").status, 200)
      for client in clients[5:15]:
        client.send(b"GET / HTTP/1.1\r\nHost: a")
        client.await_read()
      edge.adopt(numbered(config, 2))
      same(edge.wait_line(event="generation_ended", generation=1)["live"], 1)
      edge.adopt(numbered(config, 3))
      same(edge.wait_line(event="generation_ended", generation=2)["live"], 1)
      for client in clients[5:15]:
        client.send(b"\r\n\r\n")
        same(client.read_response().status, 200)


@play
def client_that_leaves():
  """a client that leaves its stream gives its generation back"""
  with Origin() as origin:
    def script(request, line):
      line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n")
      line.hang()
    origin.script = script
    config = serving(origin)
    with Edge(config) as edge:
      with edge.client() as client:
        Stream(client)
        edge.adopt(numbered(config, 2))
        client.reset()
      edge.wait_line(event="generation_ended", generation=1)
      same(edge.log_line()["cause"], "client_left")


@play
def as_many_as_may_live():
  """at 64 live generations a reload is refused with the reason, nothing is cut, and one that ends makes room"""
  with Origin() as origin:
    gates = [origin.gate() for _ in range(GENERATIONS - 1)]
    origin.script = {"/late": answer(200, b"ok"),
                     "*": lambda request, line: held(gates[int(request.path[1:])], 6 * DEADLINE)(request, line)}
    config = serving(origin)
    with Edge(config) as edge, ExitStack() as stack:
      running = []
      for number in range(GENERATIONS - 1):
        running.append(Stream(stack.enter_context(edge.client()), f"/{number}"))
        line = edge.adopt(numbered(config, number))
        same((line["generation"], line["live"]), (number + 2, number + 2))
      changed = merged(config, {"routes": {"late": {"path": "/late", "builtin": "health"}}})
      client = stack.enter_context(edge.client())
      for _ in range(2):
        line = edge.reload(changed)
        same((line["level"], line["event"], line["generation"]), ("warn", "reload_refused", GENERATIONS))
        same(set(line), {"time", "level", "event", "generation", "reason"}, "fields")
        holds(str(GENERATIONS) in line["reason"], f"reason {line['reason']!r}")
      same(client.get("/late").body, b"ok", "the newest generation serves")
      gates[9].open()
      running[9].assert_whole()
      same(edge.wait_line(event="generation_ended", generation=10)["live"], GENERATIONS - 1)
      same(edge.adopt(changed)["generation"], GENERATIONS + 1)
      holds(client.get("/late").body != b"ok", "the route of the last reload is not served")
      for gate, stream in zip(gates, running):
        gate.open()
        if stream is not running[9]:
          stream.assert_whole()
      edge.wait(lambda: len(edge.matching(event="generation_ended")) == GENERATIONS, "all but the newest end")
      lines = {line["requestId"]: line["generation"] for line in edge.exchanges(GENERATIONS + 1)}
      same([lines[stream.id] for stream in running], list(range(1, GENERATIONS)), "generations of the streams")


@play
def log_that_nobody_reads():
  """while nobody reads the log reloads go on until 64 generations are alive; the refusal says why, and ends with it"""
  with Origin() as origin:
    config = serving(origin)

    def numbered_route(number):
      return merged(config, {"routes": {"number": {"path": f"/{number}", "builtin": "health"}}})
    with Edge(numbered_route(1)) as edge, edge.client() as client:
      with edge.log_unread():
        # More lines than the writer takes before it has to wait.
        for _ in range(1000):
          same(client.get("/health").status, 200)
        for number in range(2, GENERATIONS + 1):
          edge.folder.fill(numbered_route(number))
          edge.signal(signal.SIGHUP)
          eventually(lambda: client.get(f"/{number}").body != b"ok", f"generation {number} serves")
        edge.folder.fill(numbered_route(GENERATIONS + 1))
        # When the second signal is taken the first one has had its answer; the second may already find room.
        for _ in range(2):
          edge.signal(signal.SIGHUP)
          edge.await_taken(signal.SIGHUP)
        same(client.get("/health").status, 200, "the newest generation serves on")
      edge.wait(lambda: len(edge.outcomes) == GENERATIONS + 1, "the log tells how every reload ended")
      same([(line["event"], line["generation"]) for line in edge.outcomes[:GENERATIONS]],
           [("reloaded", number) for number in range(2, GENERATIONS + 1)] + [("reload_refused", GENERATIONS)])
      line = edge.outcomes[GENERATIONS - 1]
      same(line["level"], "warn")
      holds("log is not read" in line["reason"], f"reason {line['reason']!r}")
      edge.wait_line(event="generation_ended", generation=GENERATIONS - 1)
      same(edge.adopt(numbered_route("again"))["generation"], edge.outcomes[GENERATIONS]["generation"] + 1)


@play
def while_it_stops():
  """a reload of an edge that is stopping is refused with the reason and cuts nothing"""
  with Origin() as origin:
    gate = origin.gate()
    origin.script = held(gate)
    config = serving(origin, server={"drain": "30s"})
    with Edge(config) as edge, edge.client() as client:
      stream = Stream(client)
      edge.signal()
      edge.wait_line(event="draining")
      line = edge.reload(numbered(config, 2))
      same((line["level"], line["event"], line["generation"]), ("warn", "reload_refused", 1))
      holds("stop" in line["reason"].lower(), f"reason {line['reason']!r}")
      gate.open()
      stream.assert_whole()
      same(edge.wait_exit(), 0, "exit code")
      same((edge.log_line()["cause"], edge.log_line()["generation"]), ("completed", 1))


@play
def stop_with_old_generations():
  """an edge that stops waits for the streams of every generation"""
  with Origin() as origin:
    gate = origin.gate()
    origin.script = held(gate)
    config = serving(origin, server={"drain": "30s", "workers": 2})
    with Edge(config) as edge, ExitStack() as stack:
      running = []
      for number in range(4):
        running.append(Stream(stack.enter_context(edge.client())))
        edge.adopt(numbered(config, number))
      edge.signal()
      edge.wait_line(event="draining")
      gate.open()
      for stream in running:
        stream.assert_whole()
        stream.client.assert_closed()
      same(edge.wait_exit(), 0, "exit code")
      same([line["cause"] for line in edge.exchanges(4)], ["completed"] * 4, "causes")
