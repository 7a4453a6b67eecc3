"""SIGHUP with policies: scripts, settings and what routes ask for change for the next request, or not at all."""

import re
import threading
from contextlib import ExitStack

from play import *

MIB = 1 << 20


def naming(name, **more):
  """A policy that tells the service its name."""
  return lua(f'req.headers["x-policy"] = "{name}"', **more)


@contextmanager
def named(policies=None, script=None, loud=False, **config):
  """`ruled` with one policy `own` that tells the service its name, and its configuration."""
  with ruled(policies or {"own": naming("first")}, script, loud=loud, **config) as (client, edge, origin):
    yield client, edge, origin, edge.config


def policy_of(client, origin, path="/"):
  """The policy that the service was told of."""
  same(client.get(path).status, 200)
  return origin.last().fields.one("x-policy")


@play
def script_changed():
  """a changed script decides about the next request of every connection, and the log names the policy"""
  with named(server={"workers": 2}) as (client, edge, origin, config), edge.client() as other:
    for one in (client, other):
      same(policy_of(one, origin), "first")
    line = edge.adopt(files={file_of("own"): naming("second")})
    same((line["generation"], difference(line)), (2, {"changed": {"policies.own"}}))
    for one in (client, other):
      same(policy_of(one, origin), "second")
    with edge.client() as fresh:
      same(policy_of(fresh, origin), "second")
    line = edge.adopt(files={file_of("own"): naming("second") + "-- a remark\n"})
    same(difference(line), {"changed": {"policies.own"}}, "with another comment in the script")


@play
def unchanged():
  """a script that was written again without a change, or one that nobody uses, is no reason for a new generation"""
  with named() as (client, edge, origin, config):
    for files in ({}, {file_of("own"): naming("first")}, {file_of("other"): "return {\n"}, {"policies/notes.txt": "x"}):
      line = edge.reload(files=files)
      same((line["event"], line["generation"]), ("reload_unchanged", 1))
    same(policy_of(client, origin), "first")


@play
def running_requests_keep_theirs():
  """a request that runs ends with the script it began with, also for on_log"""
  def text(name):
    return naming(name, on_log=f'edge.log.info("{name} " .. ctx.cause)')
  with Origin() as origin:
    gate = origin.gate()
    origin.script = {"/stream": held(gate), "*": answer(200, b"ok")}
    rows, files = furnished({"own": text("first")})
    with Edge(serving(origin, route={"policies": ["own"]}, policies=rows), files=files) as edge, ExitStack() as stack:
      streams = [Stream(stack.enter_context(edge.client()), "/stream") for _ in range(20)]
      same(edge.adopt(files={file_of("own"): text("second")})["live"], 2)
      with edge.client() as client:
        same(policy_of(client, origin), "second")
      gate.open()
      for stream in streams:
        stream.assert_whole()
      edge.wait_line(event="generation_ended", generation=1)
      edge.stop()
      said = sorted(line["text"] for line in edge.matching(event="policy_log"))
      same(said, ["first completed"] * 20 + ["second completed"])


@play
def settings_changed():
  """changed settings reach init of the next generation, and the log names the key but no value"""
  text = lua('req.headers["x-policy"] = name', init="name = settings.name", top="local name")
  with named({"own": (text, {"name": "first", "deep": {"list": ["a"]}})}) as (client, edge, origin, config):
    same(policy_of(client, origin), "first")
    line = edge.adopt(merged(config, {"policies": {"own": {"settings": {"name": "second"}}}}))
    same(difference(line), {"changed": {"policies.own.settings"}})
    same(policy_of(client, origin), "second")
    line = edge.adopt(merged(config, {"policies": {"own": {"settings": None}}}))
    same(difference(line), {"changed": {"policies.own.settings"}})
    same(client.get("/").status, 200)


@play
def policies_of_a_route():
  """a route gets, loses and reorders policies and its permission from one request to the next"""
  policies = {"one": lua('ctx.seen = (ctx.seen or "") .. "1" req.headers["x-policy"] = ctx.seen'),
              "two": lua('ctx.seen = (ctx.seen or "") .. "2" '
                         'req.headers["x-policy"] = ctx.seen .. (req.permission or "")')}
  with named(policies) as (client, edge, origin, config):
    def route(**changes):
      return merged(config, {"routes": {"all": changes}, "policies": config["policies"]})
    same(policy_of(client, origin), "12")
    line = edge.adopt(route(policies=["two", "one"]))
    same(difference(line), {"changed": {"routes.all.policies"}})
    same(policy_of(client, origin), "21")
    line = edge.adopt(route(policies=["one", "two"], permission="a:b"))
    same(difference(line), {"changed": {"routes.all.policies", "routes.all.permission"}})
    same(policy_of(client, origin), "12a:b")
    edge.adopt(route(policies=["one"]))
    same(policy_of(client, origin), "1")
    edge.adopt(merged(config, {"routes": {"all": {"policies": None}}, "policies": None}))
    same(policy_of(client, origin), None)
    line = edge.adopt(config)
    same(difference(line), {"added": {"policies.one", "policies.two"}, "changed": {"routes.all.policies"}})
    same(policy_of(client, origin), "12")


@play
def handler_instead_of_a_service():
  """a route may lead to a handler after a reload, and to a service again"""
  with named(handlers={"hello": lua(handle='edge.reply{body = "hello"}')}) as (client, edge, origin, config):
    same((client.get("/").body, client.get("/hello").body), (b"ok", b"hello"))
    line = edge.adopt(merged(config, {"routes": {"all": {"service": None, "handler": "hello"}}, "services": None}))
    same(difference(line), {"changed": {"routes.all.service", "routes.all.handler"}, "removed": {"services.app"}})
    same(client.get("/").body, b"hello")
    edge.adopt(config)
    same(client.get("/").body, b"ok")


def assert_failed(edge, line, *patterns):
  """The reload failed with these errors in front of it; their text."""
  same((line["level"], line["event"], line["generation"]), ("error", "reload_failed", 1))
  begin = max((edge.log.index(other) + 1 for other in edge.outcomes[:edge.outcomes.index(line)]), default=0)
  errors = [other["message"] for other in edge.log[begin:edge.log.index(line)] if other["event"] == "config_error"]
  same(len(errors), line["errors"], "config_error lines in front of reload_failed")
  text = "\n".join(errors)
  for pattern in patterns:
    holds(re.search(pattern, text), f"no {pattern!r} in {text!r}")
  return text


@play
def scripts_that_cannot_be():
  """a script with an error leaves the old one deciding, and the log tells file, line, column and shows the place"""
  at = r"policies/own\.lua:{}: error: "
  rows = [
    ("syntax", "local policy = {}\nfunction policy.on_request(req ctx)\nend\nreturn policy\n",
     [at.format(r"2:\d+"), r"function policy\.on_request\(req ctx\)\n *\^"]),
    ("the top level", "local a = nil\na.b = 1\n", [at.format(r"2:\d+")]),
    ("init", lua("", init="error('not so')"), [at.format(r"3:\d+"), "not so"]),
    ("a loop in init", lua("", init="while true do end"), [at.format(r"3:\d+"), "CPU"]),
    ("all memory in init", lua("", init="local t = {} while true do t[#t + 1] = ('x'):rep(1e6) .. #t end"), [
      r"policies/own\.lua"]),
    ("an unknown phase", "return {on_requst = function() end}\n", ["on_requst", r"(?i)did you mean.*on_request"]),
    ("no phase", "return {}\n", [r"routes\.yaml:\d+:\d+: error: "]),
    ("no table", "return 1\n", [r"policies/own\.lua"]),
    ("too large", "--" + "x" * 300_000, [r"routes\.yaml:\d+:\d+: error: "]),
  ]
  with named(loud=True) as (client, edge, origin, config):
    for name, text, patterns in rows:
      try:
        assert_failed(edge, edge.reload(files={file_of("own"): text}), *patterns)
        same(policy_of(client, origin), "first")
      except Failed as failure:
        raise Failed(f"{name}: {failure}") from None
    assert_failed(edge, edge.reload(files={file_of("own"): None}), r"routes\.yaml:\d+:\d+: error: ", r"own\.lua")
    line = edge.reload(files={file_of("own"): naming("first")})
    same((line["event"], line["generation"]), ("reload_unchanged", 1))
    same(edge.adopt(files={file_of("own"): naming("second")})["generation"], 2)
    same(policy_of(client, origin), "second")


@play
def settings_that_cannot_be():
  """settings that a script refuses leave the old generation with its limits as they are"""
  with named({"own": (RATE_LIMIT, {"limit": "3 per 1h"})}, loud=True) as (client, edge, origin, config):
    same([client.get("/").status for _ in range(2)], [200, 200])
    for settings in ({"limit": "many"}, {"limit": "3 per 1h", "rate": "1 per 1s"}, {"limit": None}):
      line = edge.reload(merged(config, {"policies": {"own": {"settings": settings}}}))
      assert_failed(edge, line, r"routes\.yaml:\d+:\d+: error: ", r"policies/own\.lua:\d+:\d+: note: ")
    same([client.get("/").status for _ in range(2)], [200, 429])


@play
def errors_cost_no_memory():
  """100 reloads of scripts that fail in every way leave memory as it is"""
  texts = ["return {\n", lua("", init="error('x')"), "local t = {} for i = 1, 1e5 do t[i] = {} end error('x')\n",
           lua("", init="local l = edge.limit.define('a' .. #tostring(settings), {limit = '1 per 1m'}) error('x')")]
  with named(loud=True) as (client, edge, origin, config):
    def fail(count):
      for number in range(count):
        same(edge.reload(files={file_of("own"): texts[number % 4] + f"-- {number}\n"})["event"], "reload_failed")
    fail(20)
    before = edge.memory()
    fail(100)
    grown = edge.memory() - before
    holds(grown < 2 * MIB * MEMORY_FACTOR, f"{grown} bytes beyond {before}")
    same(policy_of(client, origin), "first")


@play
def script_that_came_back():
  """a script that is gone when the reload comes fails it; its own generation has it in memory and decides on"""
  with named(loud=True) as (client, edge, origin, config):
    edge.folder.fill(files={file_of("own"): None})
    for _ in range(3):
      same(policy_of(client, origin), "first")
    assert_failed(edge, edge.reload(), r"own\.lua")
    same(policy_of(client, origin), "first")


@play
def shared_values_survive():
  """what edge.kv keeps outlives reloads, what a script keeps in its own tables does not"""
  text = """count = (count or 0)
local sum = edge.kv.add("sum", 1) own[1] = (own[1] or 0) + 1 edge.reply{json = {sum = sum, own = own[1]}}"""
  handler = lua(handle=text.split("\n")[1], top="local own = {}")
  with named(handlers={"count": handler}) as (client, edge, origin, config):
    def ask():
      document = json.loads(client.get("/count").body)
      return document["sum"], document["own"]
    same([ask(), ask()], [(1, 1), (2, 2)])
    edge.adopt(merged(config, {"limits": {"head_fields": 50}}))
    same([ask(), ask()], [(3, 1), (4, 2)])


def numbered(number):
  """A script whose every part tells the same number, and whose fetch waits between them."""
  return lua(f"""ctx.user = "u{number}"
local answer = edge.http.fetch{{service = "side", path = "/{number}"}}
if answer.body ~= "/{number}" or ctx.user ~= "u{number}" then error("mixed") end
req.headers["x-policy"] = "{number}" """, init=f'kept = "{number}" .. ("x"):rep(1000)', top="local kept")


@play
def under_load():
  """over 100 reloads of scripts eight clients get every answer from one generation, and memory stays flat"""
  with Origin(lambda request, line: answer(200, request.path.encode())(request, line)) as side:
    def script(request, line):
      answer(200, b"ok", [("X-Policy", request.fields.one("x-policy"))])(request, line)
    more = {"services": {"side": {"endpoints": [side.url]}}, "routes": {"side": {"path": "/side", "service": "side"}}}
    with named({"own": numbered(0)}, script, server={"workers": 2}, **more) as (client, edge, origin, config):
      leaving, failures, seen = threading.Event(), [], [[] for _ in range(8)]

      def run(number):
        try:
          with edge.client() as one:
            while not leaving.is_set():
              response = one.get(f"/{number}")
              same(response.status, 200)
              seen[number].append(int(response.fields.one("x-policy")))
        except Exception as failure:
          failures.append(f"client {number}: {type(failure).__name__}: {failure}")
      threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
      for thread in threads:
        thread.start()
      try:
        for number in range(1, 131):
          edge.adopt(files={file_of("own"): numbered(number)})
          eventually(lambda: failures or all(row and row[-1] >= number - 1 for row in seen), "every client goes on")
          if number == 30:
            edge.wait(lambda: len(edge.matching(event="generation_ended")) >= 28, "old generations end")
            before = edge.memory()
        edge.wait(lambda: len(edge.matching(event="generation_ended")) >= 128, "old generations end")
        grown = edge.memory() - before
      finally:
        leaving.set()
        for thread in threads:
          thread.join()
      same(failures, [], "failures")
      for row in seen:
        same(row, sorted(row), "the scripts that served one connection")
      holds(grown < 6 * MIB * MEMORY_FACTOR, f"100 reloads cost {grown} bytes beyond {before}")


@play
def memory_of_large_scripts():
  """what 60 generations of policies with much in their tables have used is given back"""
  init = "for i = 1, 2000 do kept[i] = ('x'):rep(1000) .. i end"
  def text(number):
    return lua(f"req.headers['x-policy'] = '{number}'", init=init, top="local kept = {}")
  with named({"own": text(0)}) as (client, edge, origin, config):
    def adopt(first, last):
      for number in range(first, last):
        generation = edge.adopt(files={file_of("own"): text(number)})["generation"]
        same(policy_of(client, origin), f"{number}")
        edge.wait_line(event="generation_ended", generation=generation - 1)
      return edge.memory()
    before = adopt(1, 11)
    grown = adopt(11, 71) - before
    holds(grown < 4 * MIB * MEMORY_FACTOR, f"60 reloads cost {grown} bytes beyond {before}")


@play
def live_generations_of_policies():
  """20 generations of policies that streams hold are each asked about their own exchange to the end"""
  def text(number):
    return naming(number, on_log=f'edge.log.info("{number}")')
  with Origin() as origin:
    gate = origin.gate()
    origin.script = held(gate, 60)
    rows, files = furnished({"own": text(1)})
    config = serving(origin, route={"policies": ["own"]}, policies=rows)
    with Edge(config, files=files) as edge, ExitStack() as stack:
      streams = []
      for number in range(2, 22):
        streams.append(Stream(stack.enter_context(edge.client())))
        same(edge.adopt(files={file_of("own"): text(number)})["live"], number)
      gate.open()
      for stream in streams:
        stream.assert_whole()
      edge.wait(lambda: len(edge.matching(event="generation_ended")) == 20, "all but the newest end")
      edge.stop()
      said = {line["requestId"]: line["text"] for line in edge.matching(event="policy_log")}
      same([said[stream.id] for stream in streams], [f"{number}" for number in range(1, 21)])
