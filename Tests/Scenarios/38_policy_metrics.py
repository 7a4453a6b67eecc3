"""What policies count, and what they are told of providers."""

from contextlib import ExitStack

from play import *
from stage.credits import *
from stage.metrics import *
from stage.provider import *

COUNTING = lua('seen:add() if req.args.n then seen:add(tonumber(req.args.n)) end',
               init='seen = edge.metric.counter("seen", "Requests that were seen.")', top="local seen")
LIST = lua(handle="edge.reply{json = edge.json.array(edge.provider.list(req.args.model))}")


@contextmanager
def counting(policies, **config):
  """`ruled` on two workers, with a client of the listener for metrics."""
  changes = merged({"routes": METRICS, "listeners": LISTENERS, "server": {"workers": 2}}, config)
  with ruled(policies, **changes) as (client, edge, origin), edge.client("metrics") as watcher:
    yield client, edge, watcher


def seen(watcher, policy="own"):
  return scraped(watcher).get(("edge_script_seen_total", (("policy", policy),)))


@play
def counted_by_all_workers():
  """a counter of a policy stands in /metrics, over all workers, from the start on"""
  with counting({"own": COUNTING, "second": COUNTING}) as (client, edge, watcher), ExitStack() as stack:
    same([seen(watcher, name) for name in ("own", "second")], [0, 0])
    for one in [client, *(stack.enter_context(edge.client()) for _ in range(9))]:
      same(one.get("/").status, 200)
    same(client.get("/?n=5").status, 200)
    same([seen(watcher, name) for name in ("own", "second")], [16, 16])
    _, kinds = parsed(watcher.get("/metrics").body.decode())
    same(kinds["edge_script_seen_total"], "counter")


@play
def outlives_reloads():
  """a counter goes on over reloads that keep the policy and its name, and ends when one of them goes"""
  with counting({"own": COUNTING}, loud=True) as (client, edge, watcher):
    same(client.get("/?n=9").status, 200)
    edge.adopt(files={file_of("own"): COUNTING + "-- a remark\n"})
    same(client.get("/").status, 200)
    same(seen(watcher), 11)
    edge.reload(files={file_of("own"): "return {"})
    same(seen(watcher), 11, "after a reload that was refused")
    edge.adopt(files={file_of("own"): COUNTING.replace('"seen"', '"found"')})
    same(client.get("/").status, 200)
    eventually(lambda: seen(watcher) is None, "the old counter is gone")
    same(scraped(watcher)["edge_script_found_total", (("policy", "own"),)], 1)


@play
def sixty_four():
  """the 65th counter is an error of the configuration, with file and line"""
  def text(count):
    return lua("", init=f'for i = 1, {count} do edge.metric.counter("c" .. i, "One.") end')
  rows, files = furnished({"own": text(64)})
  with Origin() as origin:
    document = serving(origin, policies=rows, route={"policies": ["own"]})
    with Folder(document, files) as folder:
      same(command("check", folder=folder.path)[0], 0)
      folder.write(file_of("own"), text(65))
      code, _, errors = command("check", folder=folder.path)
      same(code, 1, "exit code of check")
      holds("own.lua:3:" in errors and "64 counters exist already" in errors, errors)


@play
def providers():
  """a script is told of the providers, the best first, and how busy each of them is"""
  with Provider(lenient=True) as first, Provider(lenient=True) as second:
    ranks = {"p1": {"priority": 2}, "p2": {"priority": 1}}
    document, files = llm(first, second, providers=ranks, routes={"list": {"path": "/list", "handler": "list"}})
    rows, more = furnished({"list": LIST})
    with Edge(merged(document, {"policies": rows}), files={**files, **more}) as edge, edge.client() as client:
      def listed(query=""):
        return json.loads(client.get("/list" + query).body)
      row = {"dialect": "openai-chat", "load": 0, "healthy": True, "models": ["small"]}
      rows = [{"name": "p2", "priority": 1, **row}, {"name": "p1", "priority": 2, **row}]
      same(listed(), rows)
      same((listed("?model=small"), listed("?model=none")), (rows, []))
      gate = second.gate()
      second.script = streamed(part("one"), gate, *story("two", used=usage(10, 5)))
      with edge.client() as other:
        running = begin(other)
        running.next()
        same([one["load"] for one in listed()], [1, 0])
        gate.open()
        running.rest()
      eventually(lambda: [one["load"] for one in listed()] == [0, 0], "nobody is busy")
