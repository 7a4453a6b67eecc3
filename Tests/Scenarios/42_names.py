"""Endpoints given by name: all their addresses are used, and followed while the edge runs."""

import os
import signal
from contextlib import ExitStack

from play import *
from stage.names import Names

ONE, TWO = "127.0.0.1", "127.0.0.2"


@contextmanager
def pair(script=None):
  """Two origins on the same port of two addresses."""
  with Origin(script) as one, Origin(script, bound=(TWO, one.address[1])) as two:
    yield one, two


def named(port, name="app", refresh="1s", **changes):
  """A configuration whose service is reached by a name; no connection is kept, so that each request chooses anew."""
  changes.setdefault("service", {"pool": {"size": 0}})
  return merged(serving(f"http://{name}.test:{port}", **changes), {"server": {"dns": {"refresh": refresh}}})


def resolved(edge, name, addresses):
  return edge.wait_line(event="name_resolved", name=f"{name}.test", addresses=addresses, level="info")


def unresolved(edge, name):
  line = edge.wait_line(event="name_unresolved", name=f"{name}.test", level="warn")
  holds(isinstance(line.get("reason"), str) and len(line["reason"]) > 3, f"reason in {line}")


def assert_unavailable(edge, client, path):
  assert_error(client.get(path), 503, "SERVICE_UNAVAILABLE")
  same(edge.log_line(path=path)["cause"], "unavailable", "cause")


def reload(edge, config):
  """A reload that works."""
  before = len(edge.matching(event="reloaded"))
  with open(os.path.join(edge.folder.path, "routes.yaml"), "w", encoding="utf-8") as file:
    file.write(yaml(config) + "\n")
  edge.signal(signal.SIGHUP)
  edge.wait(lambda: len(edge.matching(event="reloaded")) > before, "no reload")


def crowded(origin, count, labels, **changes):
  """A configuration with so many endpoints under these names, 50 in each service; the first one is the origin."""
  hosts = [f"http://{labels[at % len(labels)]}.test" for at in range(count)]
  urls = [f"{host}:{origin.address[1] if at == 0 else 10_000 + at}" for at, host in enumerate(hosts)]
  services = {f"s{at}": {"endpoints": urls[at * 50:at * 50 + 50]} for at in range(count // 50)}
  routes = {f"r{at}": {"path": f"/{at}/*", "service": f"s{at}"} for at in range(count // 50)}
  return serving(origin, **merged({"server": {"dns": {"refresh": "1s"}}, "services": services, "routes": routes},
                                  changes))


def threads(edge):
  return len(os.listdir(f"/proc/{edge.process.pid}/task"))


def lookups(names, count, name="app"):
  """Waits until a name has been looked up so many times more."""
  wanted = names.asked().count(f"{name}.test") + count
  eventually(lambda: names.asked().count(f"{name}.test") >= wanted, f"{count} more lookups of {name}")


@play
def one_address():
  """a name with one address works from the first request on, and the log says what it stands for"""
  with Origin() as origin, Names({"app.test": [ONE]}) as names:
    with Edge(named(origin.address[1], "App"), names.environment) as edge, edge.client() as client:
      same(client.get("/").status, 200)
      resolved(edge, "app", ONE)
      same(edge.matching(event="name_unresolved"), [])


@play
def two_addresses():
  """the addresses of a name are used in turn"""
  with pair() as origins, Names({"app.test": [TWO, ONE]}) as names:
    config = named(origins[0].address[1], service={})
    with Edge(config, names.environment) as edge, edge.client() as client:
      resolved(edge, "app", f"{ONE} {TWO}")
      order = []
      for number in range(20):
        same(client.get(f"/{number}").status, 200)
        order.append([f"/{number}" in origin.paths() for origin in origins].index(True))
      same(order, order[:2] * 10, "order of the addresses")
      same([len(origin.requests) for origin in origins], [10, 10], "requests per address")
      same([len(origin.lines) for origin in origins], [1, 1], "connections per address")


@play
def refused_address():
  """an address that refuses is left out while another works: requests succeed, and only the first one met it"""
  with Origin() as origin, Names({"app.test": [ONE, TWO]}) as names:
    with Edge(named(origin.address[1]), names.environment) as edge, edge.client() as client:
      for number in range(20):
        response = client.request("POST", f"/{number}", [], b"body") if number % 2 else client.get(f"/{number}")
        same(response.status, 200, f"request {number}")
      lines = edge.exchanges(20)
      same(sorted(line["attempts"] for line in lines), [1] * 19 + [2], "attempts")
      same({line["cause"] for line in lines}, {"completed"})


@play
def refused_address_that_is_back():
  """an address that was left out is used again after a while"""
  with Origin() as origin, Names({"app.test": [ONE, TWO]}) as names:
    with Edge(named(origin.address[1]), names.environment) as edge, edge.client() as client:
      for _ in range(4):
        same(client.get("/").status, 200)
      with Origin(bound=(TWO, origin.address[1])) as other:
        eventually(lambda: client.get("/").status == 200 and other.requests, "the address is used again", 25)
      same({line["status"] for line in edge.exchanges(5)}, {200}, "statuses")


@play
def all_addresses_refuse():
  """when every address refuses, each request tries them anew, so the first one that is back serves"""
  with refused_port() as dead, Names({"app.test": [ONE, TWO]}) as names:
    with Edge(named(own_port(dead)), names.environment) as edge, edge.client() as client:
      resolved(edge, "app", f"{ONE} {TWO}")
      for number in range(3):
        assert_unavailable(edge, client, f"/{number}")
      with Origin(bound=(TWO, own_port(dead))) as origin:
        same(client.get("/").status, 200, "the request after one is back")
        same(len(origin.requests), 1)


@play
def another_address():
  """a name that gets another address is followed within server.dns.refresh, without a reload"""
  with pair() as (one, two), Names({"app.test": [ONE]}) as names:
    with Edge(named(one.address[1]), names.environment) as edge, edge.client() as client:
      for _ in range(4):
        same(client.get("/").status, 200)
      same((len(one.requests), len(two.requests)), (4, 0), "requests before")
      names.put(app=[TWO])
      resolved(edge, "app", TWO)
      eventually(lambda: client.get("/").status == 200 and two.requests, "a request to the new address")
      before = len(one.requests)
      for _ in range(4):
        same(client.get("/").status, 200)
      same(len(one.requests), before, "requests to the old address")
      same(edge.matching(event="reloaded"), [])
      names.put(app=[ONE, TWO])
      resolved(edge, "app", f"{ONE} {TWO}")
      eventually(lambda: client.get("/").status == 200 and len(one.requests) > before, "both are used")
      same(len(edge.matching(event="name_resolved")), 3, "lines name_resolved")


@play
def every_worker_follows():
  """every worker follows a change of address"""
  with pair() as (one, two), Names({"app.test": [ONE]}) as names, ExitStack() as stack:
    config = merged(named(one.address[1]), {"server": {"workers": 3}})
    with Edge(config, names.environment) as edge:
      clients = [stack.enter_context(edge.client()) for _ in range(9)]
      for client in clients:
        same(client.get("/").status, 200)
      names.put(app=[TWO])
      resolved(edge, "app", TWO)
      for number, client in enumerate(clients):
        path = f"/{number}"
        eventually(lambda: client.get(path).status == 200 and path in two.paths(), f"client {number} is served by it")
      holds(len({line["worker"] for line in edge.exchanges(18)}) > 1, "one worker did it all")


@play
def unresolvable_at_the_start():
  """an edge starts without the address of a name, answers 503 for its service, and serves once it appears"""
  with Origin() as origin, Names() as names:
    with Edge(named(origin.address[1]), names.environment) as edge, edge.client() as client:
      unresolved(edge, "app")
      for number in range(3):
        assert_unavailable(edge, client, f"/{number}")
      same(client.get("/health").status, 200)
      names.put(app=[ONE])
      resolved(edge, "app", ONE)
      eventually(lambda: client.get("/").status == 200, "the service answers")
      for _ in range(3):
        same(client.get("/").status, 200)
      same(len(edge.matching(event="name_unresolved")), 1, "warnings")


@play
def unresolvable_beside_another_endpoint():
  """an endpoint whose name is not known is passed over while the service has another one"""
  with Origin() as origin, Names() as names:
    config = merged(named(1), {"services": {"app": {"endpoints": ["http://app.test:1", origin.url]}}})
    with Edge(config, names.environment) as edge, edge.client() as client:
      unresolved(edge, "app")
      for number in range(6):
        same(client.get(f"/{number}").status, 200, f"request {number}")


@play
def vanished_name():
  """a name that vanishes keeps its last addresses, and that is said once"""
  with Origin() as origin, Names({"app.test": [ONE]}) as names:
    with Edge(named(origin.address[1]), names.environment) as edge, edge.client() as client:
      same(client.get("/").status, 200)
      names.put(app=None)
      unresolved(edge, "app")
      same(client.get("/").status, 200, "with the old address")
      lookups(names, 3)
      same(client.get("/").status, 200, "after more failures")
      same(len(edge.matching(event="name_unresolved")), 1, "warnings")
      # As it was: nothing to tell. Gone again: a new failure.
      names.put(app=[ONE])
      lookups(names, 2)
      names.put(app=None)
      edge.wait(lambda: len(edge.matching(event="name_unresolved")) == 2, "no second warning")
      same(len(edge.matching(event="name_resolved")), 1, "lines name_resolved")
      same(client.get("/").status, 200)


@play
def thousands_of_endpoints():
  """5,000 endpoints under one name or a few are no hindrance: the edge starts, follows the names and stops"""
  for labels in (["one"], ["one", "two", "three"]):
    with pair() as (one, two), Names({f"{label}.test": [ONE] for label in labels}) as names:
      # One endpoint of the first service can be connected to: the others refuse.
      config = crowded(one, 5_000, labels, server={"workers": 2})
      with Edge(config, names.environment) as edge, edge.client() as client:
        for label in labels:
          resolved(edge, label, ONE)
        eventually(lambda: client.get("/0/").status == 200, "the service answers")
        names.put(**{label: [TWO] for label in labels})
        for label in labels:
          resolved(edge, label, TWO)
        eventually(lambda: client.get("/0/").status == 200 and two.requests, "a request to the new address")


@play
def names_that_change_at_the_end():
  """names that change again and again while one worker has ended and another one drains do not keep the process"""
  with Names({"many.test": [ONE]}) as names, Origin() as origin:
    gate = origin.gate()
    origin.script = held(gate, 6 * DEADLINE)
    config = crowded(origin, 4_000, ["many"], server={"workers": 2, "drain": "10m"})
    with Edge(config, names.environment) as edge, edge.client() as client:
      stream = Stream(client, "/stream")
      before = threads(edge)
      edge.signal()
      edge.wait_line(event="draining")
      eventually(lambda: threads(edge) < before, "the worker without clients ends")
      for address in (TWO, ONE, TWO):
        known = len(edge.matching(event="name_resolved"))
        names.put(many=[address])
        edge.wait(lambda: len(edge.matching(event="name_resolved")) > known, f"the name stands for {address}")
      gate.open()
      stream.assert_whole()
      client.close()
      same(edge.wait_exit(), 0, "exit code")


@play
def hanging_lookup():
  """a name server that does not answer holds up neither the start nor other names nor the end"""
  with pair() as (one, two), Names({"app.test": [ONE], "dead.test": ["hang"]}) as names:
    config = merged(named(one.address[1]), {
      "services": {"dead": {"endpoints": [f"http://dead.test:{one.address[1]}"]}},
      "routes": {"dead": {"path": "/dead/*", "service": "dead"}},
    })
    with Edge(config, names.environment) as edge, edge.client() as client:
      same(client.get("/1").status, 200)
      assert_unavailable(edge, client, "/dead/1")
      names.put(app=[TWO])
      resolved(edge, "app", TWO)
      eventually(lambda: client.get("/").status == 200 and two.requests, "a request to the new address")
      names.put(dead=[ONE])
      resolved(edge, "dead", ONE)
      eventually(lambda: client.get("/dead/2").status == 200, "the service answers")
      names.put(dead=["hang"])
      lookups(names, 1, "dead")
      same(client.get("/dead/3").status, 200, "with the old address")


@play
def new_name_by_reload():
  """a service that gets a new name by reload works from its first request on: no request meets a 503"""
  with pair() as (one, two), Names({"app.test": [ONE]}) as names:
    with Edge(named(one.address[1]), names.environment) as edge, edge.client() as client:
      same(client.get("/").status, 200)
      names.put(other=[TWO])
      with open(os.path.join(edge.folder.path, "routes.yaml"), "w", encoding="utf-8") as file:
        file.write(yaml(named(one.address[1], "other")) + "\n")
      edge.signal(signal.SIGHUP)
      eventually(lambda: (same(client.get("/").status, 200), two.requests)[1], "a request of the new generation")
      edge.wait_line(event="reloaded", generation=2)
      same({line["status"] for line in edge.exchanges(2)}, {200}, "statuses")
      resolved(edge, "other", TWO)
      edge.wait_line(event="exchange", generation=2)
      # Nobody needs the old name any more.
      edge.wait_line(event="generation_ended", generation=1)
      lookups(names, 2, "other")
      before = names.asked().count("app.test")
      lookups(names, 2, "other")
      same(names.asked().count("app.test"), before, "lookups of the old name")


@play
def unresolvable_name_by_reload():
  """a reload with a name that cannot be resolved works; its service answers 503 until the name appears"""
  with Origin() as origin, Names({"app.test": [ONE]}) as names:
    config = named(origin.address[1])
    with Edge(config, names.environment) as edge, edge.client() as client:
      same(client.get("/").status, 200)
      reload(edge, merged(config, {
        "services": {"late": {"endpoints": [f"http://late.test:{origin.address[1]}"]}},
        "routes": {"late": {"path": "/late/*", "service": "late"}},
      }))
      unresolved(edge, "late")
      assert_unavailable(edge, client, "/late/1")
      same(client.get("/").status, 200, "the other service")
      names.put(late=[ONE])
      resolved(edge, "late", ONE)
      eventually(lambda: client.get("/late/2").status == 200, "the service answers")
      same(edge.matching(event="reload_failed"), [])


@play
def kept_name_by_reload():
  """a name that is in use stays known across a reload, also when it has vanished meanwhile"""
  with Origin() as origin, Names({"app.test": [ONE]}) as names:
    config = named(origin.address[1])
    with Edge(config, names.environment) as edge, edge.client() as client:
      same(client.get("/").status, 200)
      names.put(app=None)
      unresolved(edge, "app")
      reload(edge, merged(config, {"services": {"app": {"timeouts": {"connect": "2s"}}}}))
      for number in range(4):
        same(client.get(f"/{number}").status, 200, f"request {number}")
      same(edge.log_line(path="/3")["generation"], 2)


@play
def refresh_by_reload():
  """server.dns.refresh acts with a reload"""
  with pair() as (one, two), Names({"app.test": [ONE]}) as names:
    with Edge(named(one.address[1], refresh="300s"), names.environment) as edge, edge.client() as client:
      same(client.get("/").status, 200)
      names.put(app=[TWO])
      reload(edge, named(one.address[1], refresh="1s"))
      resolved(edge, "app", TWO)
      eventually(lambda: client.get("/").status == 200 and two.requests, "a request to the new address")


@play
def one_name_twice():
  """two services on one name are told of it once"""
  with Origin() as one, Origin() as two, Names({"app.test": [ONE]}) as names:
    config = merged(named(one.address[1]), {
      "services": {"other": {"endpoints": [f"http://app.test:{two.address[1]}"]}},
      "routes": {"other": {"path": "/other/*", "service": "other"}},
    })
    with Edge(config, names.environment) as edge, edge.client() as client:
      same(client.get("/").status, 200)
      same(client.get("/other/").status, 200)
      same((len(one.requests), len(two.requests)), (1, 1), "requests per service")
      same(len(edge.matching(event="name_resolved")), 1, "lines name_resolved")


@play
def numeric_endpoints():
  """an address is never looked up"""
  with Origin() as origin, Names({"app.test": [ONE]}) as names:
    config = merged(named(origin.address[1]), {
      "services": {"plain": {"endpoints": [origin.url, f"http://[::1]:{origin.address[1]}"]}},
      "routes": {"plain": {"path": "/plain/*", "service": "plain"}},
    })
    with Edge(config, names.environment) as edge, edge.client() as client:
      for number in range(4):
        same(client.get(f"/plain/{number}").status, 200)
      lookups(names, 2)
      same(set(names.asked()), {"app.test"}, "names that were looked up")
      same({line["name"] for line in edge.log if line["event"].startswith("name_")}, {"app.test"}, "names in the log")
