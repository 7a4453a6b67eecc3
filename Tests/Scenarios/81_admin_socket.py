"""The socket of operators: who reaches it, what it answers, and a reload that is asked for there."""

import os
import re
import signal
import stat
import threading

from play import *

NOWHERE = "http://127.0.0.1:1"
ADMIN = {"listeners": {"ops": {"bind": "127.0.0.1:0", "admin": True}}}
MEMBERS = ["version", "pid", "config", "development", "state", "started", "uptime", "workers", "generation",
           "generations", "listeners", "connections", "webSockets", "users", "exchanges", "cpuSeconds",
           "residentBytes", "descriptors", "bodies", "ledger", "creditsCharged", "reloads", "restart", "reload"]


def reloaded(edge, status=200):
  """What `POST /reload` answers."""
  with edge.operator() as operator:
    response = operator.request("POST", "/reload")
    same((response.status, response.fields.one("content-type")), (status, "application/json"))
    return json.loads(response.body)


def written(edge, **changes):
  edge.folder.fill(merged(edge.config, changes))


@play
def for_its_owner():
  """the socket is there when the edge is ready, for its owner alone in a folder of its owner, and goes with the edge"""
  with Edge(serving(NOWHERE)) as edge:
    found = os.lstat(edge.socket)
    same((stat.S_ISSOCK(found.st_mode), oct(found.st_mode & 0o7777)), (True, "0o600"))
    same(oct(os.stat(os.path.dirname(edge.socket)).st_mode & 0o7777), "0o700")
    same(edge.wait_line(event="ready")["admin"], os.path.join(edge.folder.path, "var", "admin.sock"))
    edge.stop()
    holds(not os.path.exists(edge.socket), "the socket is still there")


@play
def status():
  """GET /status says what runs: the process, its generations and listeners, what it counts and holds"""
  with Edge(serving(NOWHERE, **ADMIN)) as edge, edge.client() as client:
    client.get("/health")
    eventually(lambda: edge.status()["exchanges"]["running"] == 1, "the request has ended")
    found = edge.status()
    same(list(found), MEMBERS)
    same((found["pid"], found["config"], found["state"]),
         (edge.process.pid, os.path.realpath(os.path.join(edge.folder.path, "routes.yaml")), "serving"))
    same((found["development"], found["workers"], found["generation"]), (False, 1, 1))
    same([(row["number"], row["running"]) for row in found["generations"]], [(1, 1)])
    same({row["name"]: row["serves"] for row in found["listeners"]},
         {"main": "routes", "ops": "admin", "admin": "admin"})
    # Its own is one of them.
    same((found["exchanges"]["running"], found["connections"]), (1, 2))
    holds(found["exchanges"]["total"] >= 2, shown(found["exchanges"]))
    same((found["ledger"], found["restart"], found["reload"]), ({"failing": False, "queue": 0}, [], None))
    same(found["reloads"], {"done": 0, "unchanged": 0, "failed": 0, "refused": 0})
    same(found["bodies"], {"bytes": 0, "max": 256 << 20})
    holds(found["residentBytes"] > 1 << 20 and 0 < found["cpuSeconds"] < 100, shown(found))
    holds(0 < found["descriptors"]["open"] < found["descriptors"]["max"], shown(found["descriptors"]))


@play
def reload():
  """POST /reload does what SIGHUP does and answers when the new generation serves, with each difference's values"""
  with Edge(serving(NOWHERE, server={"workers": 1})) as edge, edge.client() as client:
    same(reloaded(edge)["outcome"], "unchanged")
    written(edge, server={"workers": 2, "drain": "6s"}, routes={"new": {"path": "/new", "builtin": "health"}},
            services={"app": {"timeouts": {"head": "7s"}}})
    report = reloaded(edge)
    same(client.get("/new").status, 200, "at once")
    same((report["outcome"], report["generation"], report["errors"], report["more"]), ("reloaded", 2, [], 0))
    same(report["changes"], [
      {"kind": "changed", "path": "server.drain", "before": "5s", "after": "6s"},
      {"kind": "changed", "path": "services.app.timeouts.head", "before": "30s", "after": "7s"},
      {"kind": "added", "path": "routes.new"},
      {"kind": "restart", "path": "server.workers", "before": "1", "after": "2"}])
    edge.wait_line(event="reloaded", generation=2)
    found = edge.status()
    same((found["reload"], found["restart"]), (report, ["server.workers"]))
    same(found["reloads"], {"done": 1, "unchanged": 1, "failed": 0, "refused": 0})
    # It still differs from what runs.
    written(edge, server={"workers": 2, "drain": "6s"})
    report = reloaded(edge)
    same([(row["kind"], row["path"]) for row in report["changes"]][-1], ("restart", "server.workers"))
    same(edge.status()["restart"], ["server.workers"])


@play
def secrets_of_a_report():
  """a report shows the values of keys, but no secret and nothing that came from a file of secrets"""
  def config(key, secret):
    return serving(NOWHERE, auth={"secret": secret}, log={"access": False},
                   providers={"p": {"dialect": "openai-chat", "endpoints": [NOWHERE], "key": key}})
  with Edge(config("first-key", "1" * 40), files={"name.txt": "warn"}, loud=True) as edge:
    edge.folder.fill(merged(config("${file:second.txt}", "2" * 40), {"log": {"level": "${file:name.txt}"}}),
                     {"second.txt": "second-key"})
    report = reloaded(edge)
    rows = {row["path"]: (row["before"], row["after"]) for row in report["changes"]}
    same(rows["providers.p.key"], ('"***"', '"***"'))
    same(rows["auth.secret"], ('["***"]', '["***"]'))
    same(rows["log.level"], ("info", '"***"'))
    holds("first-key" not in json.dumps(report) and "222" not in json.dumps(report), shown(report))


@play
def what_is_wrong():
  """a reload that fails answers 422 with every finding as `edge check` prints it, and the old generation serves"""
  with Edge(serving(NOWHERE), loud=True) as edge, edge.client() as client:
    edge.folder.fill("version: 1\nlisteners: {main: {bind: \"127.0.0.1:0\"}}\nroutes:\n"
                     "  a: {path: /a, biltin: health}\n")
    report = reloaded(edge, 422)
    same((report["outcome"], report["generation"], report["changes"]), ("failed", 1, []))
    holds(re.match(r".*routes\.yaml:4:17: error: unknown key 'biltin'", report["errors"][0]), report["errors"])
    holds("did you mean 'builtin'?" in report["errors"][0], report["errors"])
    same(client.get("/health").status, 200)
    found = edge.status()
    same((found["generation"], found["reloads"]["failed"], found["reload"]), (1, 1, report))
    edge.folder.fill(edge.config)
    same(reloaded(edge)["outcome"], "unchanged")


@play
def a_report_that_is_too_long():
  """a difference of thousands of routes is told as far as there is room, and the rest is counted"""
  many = {f"r{number}": {"path": f"/{number}/{'x' * 60}", "builtin": "health"} for number in range(4_000)}
  with Edge(serving(NOWHERE)) as edge:
    written(edge, routes=many)
    report = reloaded(edge)
    same(len(report["changes"]) + report["more"], 4_000)
    holds(1_000 < len(report["changes"]) < 4_000, len(report["changes"]))
    same(edge.status()["reload"], report)


@play
def many_at_once():
  """operators that ask while a reload runs share the next one, and everybody gets an answer"""
  with Edge(serving(NOWHERE)) as edge:
    answers = []
    with edge.frozen():
      clients = [edge.operator() for _ in range(20)]
      for client in clients:
        client.send(head("POST", "/reload"))
      written(edge, routes={"new": {"path": "/new", "builtin": "health"}})
    for client in clients:
      answers.append(json.loads(client.read_response("POST").body))
      client.close()
    same({answer["generation"] for answer in answers}, {2})
    edge.stop()
    # Who was answered by the reload that found the difference is told of it, whatever came after.
    told = [answer["changes"] for answer in answers if answer["outcome"] == "reloaded"]
    same({shown(changes) for changes in told}, {shown([{"kind": "added", "path": "routes.new"}])})
    same({answer["outcome"] for answer in answers} - {"reloaded", "unchanged"}, set())
    same([line["generation"] for line in edge.matching(event="reloaded")], [2])
    holds(len(edge.outcomes) <= 20, len(edge.outcomes))


@play
def who_leaves():
  """operators that leave while they wait for a reload change nothing"""
  with Edge(serving(NOWHERE)) as edge:
    for number in range(10):
      with edge.frozen():
        client = edge.operator()
        client.send(head("POST", "/reload"))
        client.close()
      same(reloaded(edge)["outcome"], "unchanged")
    eventually(lambda: edge.status()["exchanges"]["running"] == 1, "all have ended")


@play
def while_it_drains():
  """an edge that drains still answers operators, says so, and refuses to reload"""
  gate = Gate()
  with Origin(held(gate)) as origin:
    with Edge(serving(origin)) as edge, edge.client() as client:
      client.send(head("GET", "/slow"))
      gate.reached()
      edge.signal()
      edge.wait_line(event="draining")
      same(edge.status()["state"], "draining")
      report = reloaded(edge, 409)
      same((report["outcome"], report["reason"]), ("refused", "Edge is stopping"))
      gate.open()
      same(client.read_response().status, 200)
      edge.stop()


@play
def what_is_asked_wrongly():
  """other paths are 404 and other methods 405 on the socket; clients reach nothing of it on other listeners"""
  config = serving(NOWHERE, routes={"all": {"path": "/app/*"}})
  with Edge(config) as edge, edge.operator() as operator, edge.client() as client:
    same((operator.get("/health").status, operator.get("/").status), (404, 404))
    same((operator.get("/reload").status, operator.request("POST", "/status").status), (405, 405))
    same(operator.request("HEAD", "/status").status, 200)
    same([client.get(path).status for path in ("/status", "/metrics", "/reload")], [404, 404, 404])
    same(client.request("POST", "/reload").status, 404)


@play
def what_is_logged():
  """who only looks is not logged; a reload that was asked for is, and so is what was refused"""
  with Edge(serving(NOWHERE)) as edge:
    edge.status()
    with edge.operator() as operator:
      same(operator.get("/metrics").status, 200)
      operator.get("/nothing")
    reloaded(edge)
    lines = edge.exchanges(2)
    same([(line["path"], line["status"], line["listener"], line["client"]) for line in lines],
         [("/nothing", 404, "admin", "127.0.0.1"), ("/reload", 200, "admin", "127.0.0.1")])


@play
def bodies_of_requests():
  """no request of an operator has a body, in whatever framing; who closes the sending side is answered nevertheless"""
  with Edge(serving(NOWHERE, **ADMIN)) as edge:
    for fields, body in (([("Content-Length", "5")], b"hello"), ([("Transfer-Encoding", "chunked")], b"5\r\nhel"),
                         ([("Transfer-Encoding", "chunked")], b"")):
      with edge.operator() as operator:
        operator.send(head("POST", "/reload", fields) + body)
        same(operator.read_response("POST").status, 413, fields)
    same(edge.status()["reloads"], {"done": 0, "unchanged": 0, "failed": 0, "refused": 0})
    for _ in range(10):
      with edge.client("ops") as operator:
        operator.send(head("POST", "/reload", host="localhost"))
        operator.finish()
        same(json.loads(operator.read_response("POST").body)["outcome"], "unchanged")
    with edge.operator() as operator:
      operator.send(head("POST", "/reload", [("Transfer-Encoding", "chunked")]) + b"0\r\n\r\n")
      same(operator.read_response("POST").status, 200)


@play
def values_of_many_marks():
  """a value of one character and thousands of marks is cut as others are, and the answers are JSON"""
  policy = {"p": ("return {init = function() end, on_request = function() end}", {"text": "x"})}
  rows, files = furnished(policy)
  config = serving(NOWHERE, policies=rows, route={"policies": ["p"]})
  with Edge(config, files=files) as edge:
    marks = "a" + "\u0301" * 60_000
    edge.folder.fill(merged(config, {"policies": {"p": {"settings": {"text": marks}}}}))
    report = reloaded(edge)
    (change,) = report["changes"]
    holds(change["path"] == "policies.p.settings" and len(change["after"]) < 300, change["path"])
    same(edge.status()["reload"], report)


@play
def folders_that_others_can_write():
  """in a folder of state that others may write to there is no socket, for they could put theirs in its place"""
  with Folder(serving(NOWHERE)) as folder:
    var = os.path.join(folder.path, "var")
    os.mkdir(var)
    os.chmod(var, 0o777)
    with Edge(serving(NOWHERE), folder=folder) as edge, edge.client() as client:
      line = edge.wait_line(event="admin_unavailable")
      holds("others may write to the folder: its bits are 777; make them 700" in line["reason"], line)
      same(client.get("/health").status, 200)
    os.chmod(var, 0o750)
    with Edge(serving(NOWHERE), folder=folder) as edge:
      same(oct(os.stat(os.path.join(var, "edge.lock")).st_mode & 0o7777), "0o600")
      edge.status()


@play
def a_listener_of_clients_becomes_admin():
  """when a reload gives a listener to operators, who is connected there is served as one, and no reload is lost"""
  ops = {"bind": "127.0.0.1:0"}
  config = serving(NOWHERE, server={"workers": 2}, listeners={"ops": ops})
  with Edge(config) as edge:
    with edge.client("ops") as quiet, edge.client("ops") as used, edge.client("ops") as half:
      same(used.get("/health", host="localhost").status, 200)
      half.send(b"POST /reload HTTP/1.1\r\nhost: localhost\r\n")
      half.await_read()
      edge.adopt(merged(config, {"listeners": {"ops": {**ops, "admin": True}}}))
      for client in (quiet, used):
        same(json.loads(client.request("POST", "/reload", host="localhost").body)["outcome"], "unchanged")
        same(client.get("/health", host="localhost").status, 404)
      half.send(b"\r\n")
      same(half.read_response("POST").status, 503)
      half.assert_closed()
    edge.wait(lambda: len(edge.outcomes) == 3, "the log has every reload")
    with edge.client("ops") as client:
      edge.adopt(config)
      same(client.get("/health", host="localhost").status, 200)
      same(client.get("/status", host="localhost").status, 503, "of the service")
    eventually(lambda: len(edge.status()["generations"]) == 1, "old generations end")


@play
def on_loopback():
  """a listener with `admin` serves the same over TCP, but no page of a browser, whatever name it gives this machine"""
  with Edge(serving(NOWHERE, **ADMIN)) as edge:
    port = edge.address("ops")[1]
    with edge.client("ops") as client:
      for host in (f"127.0.0.1:{port}", f"localhost:{port}", "[::1]", "LOCALHOST"):
        same(client.get("/status", host=host).status, 200, host)
      for fields, host in (([("origin", "https://evil.test")], "127.0.0.1"), ([("origin", "null")], "localhost"),
                           ([("sec-fetch-site", "none")], "localhost"), ([], "evil.test"), ([], "localhost.evil.test"),
                           ([], "127.0.0.1.evil.test")):
        for method, path in (("GET", "/status"), ("POST", "/reload")):
          response = client.request(method, path, fields, host=host)
          same((response.status, json.loads(response.body)["error"]["code"]), (403, "FORBIDDEN"), (fields, host))
      same(json.loads(client.request("POST", "/reload", host="127.0.0.1").body)["outcome"], "unchanged")
    edge.wait_line(event="reload_unchanged")
    edge.stop()
    same([line["event"] for line in edge.outcomes], ["reload_unchanged"], "reloads")


@play
def one_edge_for_a_folder():
  """a second edge with the same folder of state does not start; after kill -9 the next one takes the socket over"""
  with Edge(serving(NOWHERE)) as edge:
    path = os.path.join(edge.folder.path, "routes.yaml")
    code, _, errors = command("run", "--config", path, folder=edge.folder.path)
    same(code, 1)
    holds(re.search(r"the folder '.*var/?' of server\.var is in use by another Edge; stop that one, or name another "
                    r"folder", errors), errors)
    same(edge.status()["pid"], edge.process.pid, "the first one is still reached")
    folder = edge.folder
    edge.lent = True
    edge.crash()
    holds(os.path.exists(edge.socket), "the play itself: nothing was left")
    with Edge(edge.config, folder=folder) as next_edge:
      same(next_edge.status()["pid"], next_edge.process.pid)
    holds(not os.path.exists(edge.socket), "the socket is still there")
    folder.__exit__()


@play
def a_long_path():
  """a folder whose path is longer than the name of a socket may be is no obstacle"""
  deep = "/".join("d" * 60 for _ in range(4))
  with Edge(serving(NOWHERE, server={"var": deep})) as edge:
    holds(len(edge.folder.path) + len(deep) > 200, "the play itself")
    with Client(os.path.join(edge.folder.path, deep, "admin.sock")) as operator:
      same(operator.get("/status").status, 200)


@play
def no_folder():
  """where the folder of state cannot be made, the edge serves all the same and says what is missing"""
  with Edge(serving(NOWHERE, server={"var": "routes.yaml/var"})) as edge, edge.client() as client:
    line = edge.wait_line(event="admin_unavailable")
    same((line["level"], set(line)), ("warn", {"time", "level", "event", "reason"}))
    holds("routes.yaml/var/admin.sock cannot be made" in line["reason"], line)
    same((client.get("/health").status, edge.wait_line(event="ready")["admin"]), (200, ""))


BUSY = lua(on_request="local s = 0 for i = 1, 600000 do s = s + i end")


@play
def watched_while_busy():
  """a listener that has only answers of Edge itself is served by the control worker, however busy the others are"""
  with ruled({"busy": BUSY}, routes={"metrics": {"path": "/metrics", "builtin": "metrics", "listeners": ["watch"]}},
             listeners={"watch": {"bind": "127.0.0.1:0", "only_named": True}}) as (client, edge, origin):
    same([row["serves"] for row in edge.status()["listeners"]], ["routes", "builtins", "admin"])
    with edge.client("watch") as watcher:
      same(watcher.get("/metrics").status, 200)
      same(edge.line_of(watcher.get("/metrics"))["worker"], 1, "the control worker")
      same((client.get("/").status, edge.exchanges(3)[-1]["worker"]), (200, 0))


@play
def a_listener_changes_sides():
  """a reload can give a listener to the other kind of workers and back, and no client is refused meanwhile"""
  watch = {"listeners": {"watch": {"bind": "127.0.0.1:0", "only_named": True}},
           "routes": {"ready": {"path": "/ready", "builtin": "ready", "listeners": ["watch"]}}}
  with Origin() as origin:
    config = serving(origin, server={"workers": 2}, **watch)
    both = merged(config, {"routes": {"all": {"listeners": ["main", "watch"]}}})
    with Edge(config) as edge:
      stop, failures, served = threading.Event(), [], [0]

      def ask():
        while not stop.is_set():
          try:
            with edge.client("watch") as client:
              if client.get("/ready").status == 200:
                served[0] += 1
          except (OSError, Failed) as failure:
            failures.append(str(failure))

      thread = threading.Thread(target=ask)
      thread.start()
      try:
        for number in range(6):
          edge.adopt(merged(both if number % 2 == 0 else config, {"server": {"drain": f"{number + 1}s"}}))
          before = served[0]
          eventually(lambda: served[0] > before + 20 or failures, "clients are served")
      finally:
        stop.set()
        thread.join()
      same(failures, [], "clients")
      same(len(edge.matching(event="listening", listener="watch")), 1)
      same({line["worker"] for line in edge.matching(event="exchange", path="/ready")} >= {2}, True, "workers")


@play
def sides_that_change_all_the_time():
  """however often a listener changes sides, who connects there meanwhile meets policies on workers and nowhere else"""
  watch = {"listeners": {"watch": {"bind": "127.0.0.1:0", "only_named": True}},
           "routes": {"ready": {"path": "/ready", "builtin": "ready", "listeners": ["watch"]}}}
  rows, files = furnished({"own": lua(on_request="edge.reply{json = {own = true}}")})
  with Origin() as origin:
    config = serving(origin, server={"workers": 2}, policies=rows, route={"policies": ["own"]}, **watch)
    both = merged(config, {"routes": {"all": {"listeners": ["main", "watch"]}}})
    with Edge(config, files=files) as edge:
      stop, failures, answers = threading.Event(), [], set()

      def ask():
        while not stop.is_set():
          try:
            with edge.client("watch") as client, edge.client("watch") as second:
              for one in (client, second, client):
                answers.add(one.get("/own").status)
          except OSError:
            pass
          except Failed as failure:
            # A connection may end at a change, but before an answer or behind it.
            if "after 0 bytes" not in str(failure):
              failures.append(str(failure))

      threads = [threading.Thread(target=ask) for _ in range(4)]
      for thread in threads:
        thread.start()
      try:
        for number in range(60):
          edge.folder.fill(merged(both if number % 2 else config, {"server": {"drain": f"{number + 1}s"}}))
          edge.signal(signal.SIGHUP)
          eventually(lambda: len(edge.outcomes) > number or edge.ended, "a reload is over")
      finally:
        stop.set()
        for thread in threads:
          thread.join()
      same((failures, answers - {200, 404, 503}), ([], set()), "answers")
      holds({200, 404} <= answers, answers)
      same({line["worker"] for line in edge.matching(event="exchange", path="/own", status=200)} - {0, 1}, set())


@play
def checked():
  """an `admin` listener off loopback, routes that name it, and `only_named` beside it are errors with their place"""
  rows = [
    ({"ops": {"bind": "0.0.0.0:3005", "admin": True}}, {}, r"'admin' listeners bind loopback only"),
    ({"ops": {"bind": "*:3005", "admin": True}}, {}, r"hint|write 127\.0\.0\.1:3005"),
    ({"ops": {"bind": "127.0.0.1:3005", "admin": True, "only_named": True}}, {}, r"'only_named' has no meaning"),
    ({"ops": {"bind": "127.0.0.1:3005", "admin": True}}, {"all": {"listeners": ["ops"]}},
     r"no route is reached on the listener 'ops': it has 'admin'"),
  ]
  for listeners, routes, wanted in rows:
    with Folder(serving(NOWHERE, listeners=listeners, routes=routes)) as folder:
      code, _, errors = command("check", folder=folder.path)
      holds(code == 1 and re.search(wanted, errors) and re.search(r"routes\.yaml:\d+:\d+: error: ", errors), errors)
