"""SIGHUP: what a changed configuration changes, and what the log says about it."""

import signal

from play import *

LINE = {"time", "level", "event", "generation", "live", "milliseconds"}


@contextmanager
def pair(**changes):
  """Origins that answer with their names; a configuration that sends /other to the second, all else to the first."""
  with Origin(answer(200, b"one")) as one, Origin(answer(200, b"two")) as two:
    config = serving(one, services={"other": {"endpoints": [two.url]}},
                     routes={"other": {"path": "/other", "service": "other"}})
    yield one, two, merged(config, changes)


def text_of(config):
  return yaml(config) + "\n"


def assert_taken(client, target, wanted):
  """The name of the service that answers, or the status of a refusal."""
  response = client.get(target)
  same(response.body.decode() if response.status == 200 else response.status, wanted, target)
  return response


@play
def route_added():
  """an added route is served to every client from then on, and the log names it and nothing else"""
  with pair(routes={"all": {"path": "/a/*"}}) as (_, _, config), Edge(config) as edge, edge.client() as client:
    assert_taken(client, "/b", 404)
    line = edge.adopt(merged(config, {"routes": {"b": {"path": "/b", "service": "other"}}}))
    same(difference(line), {"added": {"routes.b"}})
    assert_taken(client, "/b", "two")
    assert_taken(client, "/a/x", "one")
    with edge.client() as later:
      assert_taken(later, "/b", "two")


@play
def route_changed():
  """a changed route leads to its new service, and the log names the keys that differ"""
  with pair() as (_, two, config), Edge(config) as edge, edge.client() as client:
    assert_taken(client, "/", "one")
    changes = {"routes": {"all": {"service": "other"}, "other": {"service": "app"}}}
    line = edge.adopt(merged(config, changes))
    same(difference(line), {"changed": {"routes.all.service", "routes.other.service"}})
    assert_taken(client, "/", "two")
    assert_taken(client, "/other", "one")
    changes["routes"]["all"] |= {"path": ["/c", "/d"], "methods": ["GET"]}
    line = edge.adopt(merged(config, changes))
    same(difference(line), {"changed": {"routes.all.path", "routes.all.methods"}})
    assert_taken(client, "/c", "two")
    assert_taken(client, "/", 404)
    same(client.request("POST", "/c").status, 405)
    same(len(two.requests), 2, "requests at the second service")


@play
def route_removed():
  """a removed route is unknown from then on"""
  with pair(routes={"b": {"path": "/b", "service": "other"}}) as (_, _, config), Edge(config) as edge:
    with edge.client() as client:
      assert_taken(client, "/b", "two")
      line = edge.adopt(merged(config, {"routes": {"all": {"path": "/a"}, "b": None}}))
      same(difference(line), {"removed": {"routes.b"}, "changed": {"routes.all.path"}})
      assert_error(assert_taken(client, "/b", 404), 404, "NOT_FOUND")
      same(client.get("/health").status, 200)


@play
def renamed():
  """a route and a service under new names are one removed and one added each"""
  with pair() as (_, two, config), Edge(config) as edge, edge.client() as client:
    assert_taken(client, "/", "one")
    changes = {"services": {"other": None, "more": {"endpoints": [two.url]}},
               "routes": {"other": None, "again": {"path": "/other", "service": "more"}}}
    line = edge.adopt(merged(config, changes))
    same(difference(line), {"added": {"services.more", "routes.again"}, "removed": {"services.other", "routes.other"}})
    assert_taken(client, "/other", "two")
    access = edge.log_line(generation=2)
    same((access["route"], access["service"]), ("again", "more"))


@play
def endpoint_changed():
  """requests go to the new endpoints of a service and no longer to the old ones"""
  with pair() as (one, two, config), Edge(config) as edge, edge.client() as client:
    for _ in range(3):
      assert_taken(client, "/", "one")
    line = edge.adopt(merged(config, {"services": {"app": {"endpoints": [two.url]}}}))
    same(difference(line), {"changed": {"services.app.endpoints"}})
    for _ in range(3):
      assert_taken(client, "/", "two")
    same((len(one.requests), len(two.requests)), (3, 3), "requests")
    edge.adopt(merged(config, {"services": {"app": {"endpoints": [two.url, one.url]}}}))
    for _ in range(4):
      client.get("/")
    same((len(one.requests), len(two.requests)), (5, 5), "requests with both")


@play
def the_line():
  """the line of a reload has its generation, how many live, how long it took, and the differences alone"""
  with pair() as (_, _, config), Edge(config) as edge:
    line = edge.adopt(merged(config, {"routes": {"b": {"path": "/b", "service": "other"}}}))
    same(set(line), LINE | {"added"}, "fields")
    same((line["level"], line["event"], line["generation"]), ("info", "reloaded", 2))
    for name in ("live", "milliseconds"):
      holds(isinstance(line[name], int) and line[name] >= 0, f"{name} {line[name]!r}")
    among(line["live"], (1, 2), "live generations")
    same(edge.adopt(config)["generation"], 3)
    same(edge.wait_line(event="ready")["generation"], 1, "generation of the start")


@play
def many_differences():
  """a report of many differences has each once, in its place"""
  before = {"limits": {"body_size": "1MiB", "head_fields": 50}, "server": {"timeouts": {"idle": "10s"}},
            "services": {"app": {"timeouts": {"idle": "100s", "head": "10s"}, "pool": {"size": 8}}},
            "routes": {"old": {"path": "/old", "service": "other"}}, "log": {"level": "info"}}
  after = {"limits": {"body_size": "2MiB", "head_fields": 50}, "server": {"timeouts": {"idle": "20s"}},
           "services": {"app": {"timeouts": {"idle": "90s", "head": "10s"}, "pool": {"size": 9}}, "other": None,
                        "more": {"endpoints": "http://127.0.0.1:1"}},
           "routes": {"old": None, "other": None, "new": {"path": "/new", "service": "more"},
                      "health": {"path": "/up"}},
           "log": {"level": "debug"}, "listeners": {"inner": {"bind": "127.0.0.1:0"}}}
  with pair(**before) as (_, _, config), Edge(config) as edge:
    same(difference(edge.adopt(merged(config, after))), {
      "added": {"services.more", "routes.new", "listeners.inner"},
      "removed": {"services.other", "routes.old", "routes.other"},
      "changed": {"limits.body_size", "server.timeouts.idle", "services.app.timeouts.idle", "services.app.pool.size",
                  "routes.health.path", "log.level"}})


@play
def a_hundred_routes():
  """a report names each of a hundred routes that come and go, however long their names"""
  with pair() as (_, _, config), Edge(config) as edge:
    more = {f"some_route_with_a_long_name_{at}": {"path": f"/area{at}", "service": "other"} for at in range(100)}
    wanted = {f"routes.{name}" for name in more}
    same(difference(edge.adopt(merged(config, {"routes": more}))), {"added": wanted})
    same(difference(edge.adopt(config)), {"removed": wanted})


@play
def a_value_instead_of_a_default():
  """a key that replaces its default is a changed one, and so is one that is left to its default again"""
  with pair() as (_, _, config), Edge(config) as edge:
    changes = {"limits": {"body_size": "1MiB"}, "services": {"app": {"timeouts": {"connect": "1s"}}}}
    wanted = {"changed": {"limits.body_size", "services.app.timeouts.connect"}}
    same(difference(edge.adopt(merged(config, changes))), wanted)
    same(difference(edge.adopt(config)), wanted)


@play
def unchanged():
  """a signal without any change is told and changes nothing, also when the file was written again"""
  with pair() as (one, _, config), Edge(config) as edge, edge.client() as client:
    assert_taken(client, "/", "one")
    for files in ({}, {"routes.yaml": text_of(config)}, {"beside.yaml": "not: [included\n"}):
      line = edge.reload(files=files)
      same((line["level"], line["event"], line["generation"]), ("info", "reload_unchanged", 1))
      same(set(line), {"time", "level", "event", "generation"}, "fields")
    assert_taken(client, "/", "one")
    same([line["generation"] for line in edge.exchanges(2)], [1, 1], "generations")
    same(len(one.lines), 1, "connections to the service")
    same(edge.adopt(text_of(config) + "# changed\n")["generation"], 2)


@play
def comment():
  """a change of a comment makes a new generation that differs in nothing"""
  with pair() as (_, _, config), Edge(config) as edge, edge.client() as client:
    line = edge.adopt(text_of(config) + "# only a remark\n")
    same((line["generation"], difference(line)), (2, {}))
    assert_taken(client, "/", "one")
    same(edge.log_line()["generation"], 2)


@play
def another_order():
  """routes and services in another order differ in nothing"""
  with pair() as (_, _, config), Edge(config) as edge, edge.client() as client:
    turned = {key: dict(reversed(entry.items())) if isinstance(entry, dict) else entry
              for key, entry in reversed(config.items())}
    same(difference(edge.adopt(turned)), {})
    assert_taken(client, "/", "one")
    same(client.get("/health").status, 200)


@play
def burst():
  """of many signals in a burst one reloads and the others change nothing"""
  with pair() as (_, _, config), Edge(config) as edge:
    edge.folder.fill(text_of(config) + "# two\n")
    for _ in range(20):
      edge.signal(signal.SIGHUP)
    edge.wait(lambda: edge.outcomes, "no log line tells how the reload ended")
    edge.folder.fill(text_of(config) + "# three\n")
    edge.signal(signal.SIGHUP)
    edge.wait_line(event="reloaded", generation=3)
    same([line["generation"] for line in edge.matching(event="reloaded")], [2, 3], "generations")
    holds({line["event"] for line in edge.outcomes} <= {"reloaded", "reload_unchanged"}, f"{edge.outcomes}")


@play
def no_signal_is_lost():
  """of two signals close together the second is not lost: what was written last is served"""
  with pair() as (_, _, config), Edge(config) as edge, edge.client() as client:
    for number in range(30):
      for target in (f"/first{number}", f"/second{number}"):
        edge.folder.fill(merged(config, {"routes": {"all": {"path": target}}}))
        edge.signal(signal.SIGHUP)
      eventually(lambda: client.get(target).status == 200, f"{target} is served")
    same(edge.matching(event="reload_failed"), [])


@play
def environment_file():
  """a changed value in .env counts as a change"""
  with pair() as (one, two, config):
    config["services"]["app"]["endpoints"] = ["http://127.0.0.1:${env:PLAY_PORT}"]
    files = {".env": f"PLAY_PORT={one.address[1]}\n"}
    with Edge(config, files=files, loud=True, options=["--dev"]) as edge, edge.client() as client:
      assert_taken(client, "/", "one")
      same(edge.reload()["event"], "reload_unchanged")
      line = edge.adopt(files={".env": f"PLAY_PORT={two.address[1]}\n"})
      same(difference(line), {"changed": {"services.app.endpoints"}})
      assert_taken(client, "/", "two")


@play
def secret_file():
  """changed content of a file that a value comes from counts as a change, and is not shown"""
  with pair() as (_, _, config):
    config["limits"] = {"body_size": "${file:size}"}
    with Edge(config, files={"size": "1021B"}) as edge, edge.client() as client:
      same(client.request("POST", "/", body=bytes(1022)).status, 413)
      same(edge.reload(files={"size": "1021B"})["event"], "reload_unchanged")
      line = edge.adopt(files={"size": "2043B"})
      same(difference(line), {"changed": {"limits.body_size"}})
      with edge.client() as other:
        same(other.request("POST", "/", body=bytes(2043)).status, 200)
      for number in ("1021", "2043"):
        holds(all(number not in str(line.get(name)) for name in ("added", "removed", "changed")), f"{line}")


@play
def included_files():
  """files that an include finds newly are read, and what stood in one that is gone is removed"""
  with pair() as (_, two, config), Edge(config | {"include": "conf.d/*.yaml"},
                                        files={"conf.d/a.yaml": "log: {access: true}\n"}) as edge:
    with edge.client() as client:
      more = {"services": {"more": {"endpoints": [two.url]}}, "routes": {"more": {"path": "/m", "service": "more"}}}
      line = edge.adopt(files={"conf.d/more.yaml": text_of(more)})
      same(difference(line), {"added": {"services.more", "routes.more"}})
      assert_taken(client, "/m", "two")
      same(edge.reload(files={"conf.d/notes.txt": "nothing\n"})["event"], "reload_unchanged")
      same(difference(edge.adopt(files={"conf.d/empty.yaml": "# nothing\n"})), {})
      line = edge.adopt(files={"conf.d/more.yaml": None})
      same(difference(line), {"removed": {"services.more", "routes.more"}})
      assert_taken(client, "/m", "one")


@play
def restart_settings():
  """settings that act only after a restart are named as such, and everything else acts"""
  with pair() as (_, _, config), Edge(config) as edge, edge.client() as client:
    changes = {"server": {"workers": 3, "var": "elsewhere/"}, "routes": {"all": {"path": "/new"}}}
    line = edge.adopt(merged(config, changes))
    same(difference(line), {"restart": {"server.workers", "server.var"}, "changed": {"routes.all.path"}})
    assert_taken(client, "/new", "one")
    same(edge.reload()["event"], "reload_unchanged")
    for _ in range(10):
      with edge.client() as other:
        assert_taken(other, "/new", "one")
    same({line["worker"] for line in edge.exchanges(11)}, {0}, "workers")


@play
def a_restart_that_is_due():
  """a setting that needs a restart is named by every reload while it differs from what runs, and not once set back"""
  with pair(server={"var": "here/"}) as (_, _, config), Edge(config) as edge:
    one = merged(config, {"server": {"workers": 2}})
    same(difference(edge.adopt(one)), {"restart": {"server.workers"}})
    for at in range(3):
      line = edge.adopt(merged(one, {"routes": {"all": {"path": f"/{at}/*"}}}))
      same(difference(line), {"restart": {"server.workers"}, "changed": {"routes.all.path"}})
    both = merged(one, {"server": {"workers": 3, "var": "elsewhere/"}})
    wanted = {"restart": {"server.workers", "server.var"}, "changed": {"routes.all.path"}}
    same(difference(edge.adopt(both)), wanted)
    one = merged(both, {"server": {"workers": 1}})
    same(difference(edge.adopt(one)), {"restart": {"server.var"}})
    same(difference(edge.adopt(config)), {})
    line = edge.adopt(merged(config, {"routes": {"all": {"path": "/new"}}}))
    same(difference(line), {"changed": {"routes.all.path"}})


@play
def limits():
  """limits of size act on the next request"""
  with Origin() as origin:
    config = serving(origin, limits={"body_size": "1KiB", "head_size": "2KiB", "head_fields": 20})
    with Edge(config) as edge, edge.client() as client:
      same(client.request("POST", "/", body=bytes(1024)).status, 200)
      line = edge.adopt(merged(config, {"limits": {"body_size": "2KiB", "head_size": "4KiB", "head_fields": 40}}))
      same(difference(line), {"changed": {"limits.body_size", "limits.head_size", "limits.head_fields"}})
      same(client.request("POST", "/", body=bytes(2048)).status, 200, "a larger body")
      same(client.get("/", [("A", "b" * 3000)]).status, 200, "a larger head")
      same(client.get("/", [(f"A{number}", "b") for number in range(30)]).status, 200, "more fields")
      edge.adopt(merged(config, {"limits": {"body_size": "512B", "head_size": "2KiB"}}))
      same(client.get("/", [("A", "b" * 1000)]).status, 200)
      assert_error(client.request("POST", "/", body=bytes(600)), 413, "MESSAGE_TOO_LARGE")
      with edge.client() as other:
        same(other.get("/", [("A", "b" * 3000)]).status, 431, "a head that is too large now")


@play
def client_time_limits():
  """time limits towards clients act on connections that are open and on new ones"""
  with Origin() as origin:
    config = serving(origin, server={"timeouts": {"idle": "60s", "head": "60s", "body": "60s"}})
    with Edge(config) as edge, edge.client() as client:
      same(client.get("/").status, 200)
      edge.adopt(merged(config, {"server": {"timeouts": {"idle": "1s", "head": "300ms", "body": "400ms"}}}))
      same(client.get("/").status, 200)
      client.assert_closed("idle connection that was open before")
      with edge.client() as fresh:
        fresh.assert_closed("silent connection")
      with edge.client() as slow:
        slow.send(b"GET / HTTP/1.1\r\n")
        same(slow.read_response().status, 408, "half a head")
      with edge.client() as slow:
        slow.send(head("POST", "/", [("Content-Length", 10)]) + b"hello")
        same(slow.read_response().status, 408, "half a body")


@play
def service_time_limits():
  """time limits towards a service act on the next request, and not on one that runs"""
  with Origin() as origin:
    gate = origin.gate()
    origin.script = {"/runs": lambda request, line: (gate.wait(), answer(200, b"late")(request, line)),
                     "*": lambda request, line: line.hang()}
    config = serving(origin, service={"timeouts": {"head": "60s"}})
    with Edge(config) as edge, edge.client() as client, edge.client() as later:
      client.send(head("GET", "/runs"))
      origin.wait_requests(1)
      edge.adopt(merged(config, {"services": {"app": {"timeouts": {"head": "200ms"}}}}))
      assert_error(later.get("/"), 504, "TIMEOUT")
      gate.open()
      same(client.read_response().body, b"late")


@play
def other_settings():
  """log.access, server.trusted and server.drain act without a restart"""
  chosen = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
  with Origin(lambda request, line: line.hang() if request.path == "/hang" else answer()(request, line)) as origin:
    config = serving(origin, log={"access": False}, server={"drain": "10m"})
    with Edge(config) as edge, edge.client() as client:
      holds(client.get("/1", [("X-Request-Id", chosen)]).fields.one("x-request-id") != chosen, "a client's own id")
      changes = {"log": {"access": True}, "server": {"drain": "200ms", "trusted": ["127.0.0.0/8"]}}
      line = edge.adopt(merged(config, changes))
      same(difference(line), {"changed": {"log.access", "server.drain", "server.trusted"}})
      same(client.get("/2", [("X-Request-Id", chosen)]).fields.one("x-request-id"), chosen, "a trusted client's id")
      same(edge.log_line(requestId=chosen)["path"], "/2")
      client.send(head("GET", "/hang"))
      origin.wait_requests(3)
      edge.stop()
      same([line["path"] for line in edge.matching(event="exchange")], ["/2", "/hang"], "access lines")


@play
def large_configuration():
  """a thousand routes are reloaded within ten times 200 ms, and all of them are the new ones"""
  def table(name):
    return {f"r{number}": {"path": f"/area{number}/{name}", "service": "app"} for number in range(1000)}
  with pair() as (_, _, config), Edge(merged(config, {"routes": {"all": {"path": "/rest"}, **table("old")}})) as edge:
    line = edge.adopt(merged(config, {"routes": {"all": {"path": "/rest"}, **table("new")}}))
    holds(line["milliseconds"] < 2000 * MEMORY_FACTOR, f"{line['milliseconds']} ms")
    holds("changed" in line and "added" not in line and "removed" not in line, f"fields {sorted(line)}")
    with edge.client() as client:
      for number in range(0, 1000, 37):
        assert_taken(client, f"/area{number}/new", "one")
        assert_taken(client, f"/area{number}/old", 404)
