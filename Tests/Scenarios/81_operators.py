"""What operators ask a running edge: `edge reload`, `edge status` and `edge top`."""

import os
import socket

from play import *
from stage.admin import Admin, metrics
from stage.terminal import ENTERED, Terminal

POLICY = "return {on_request = function() end}\n"
RELOADS = {"reloaded", "reload_unchanged", "reload_failed", "reload_refused"}


def ask(edge, *arguments, extra=None):
  """A command in the folder of an edge: (exit code, standard output, standard error)."""
  return command(*arguments, folder=edge.folder.path, extra=extra)


def text_of(config):
  return yaml(config) + "\n"


def outcomes(edge):
  return [line["event"] for line in edge.log if line["event"] in RELOADS]


@contextmanager
def guarded(**changes):
  """An edge with a policy, and an origin behind it; its configuration."""
  with Origin(answer(200, b"x")) as origin:
    config = serving(origin, route={"policies": ["guard"]}, policies={"guard": {"script": "guard.lua"}}, **changes)
    with Edge(config, files={"policies/guard.lua": POLICY}, loud=True) as edge:
      yield edge, config


# reload


@play
def reload_tells_what_changed():
  """edge reload names everything that changed, with the values of keys, and which generation serves"""
  with guarded(services={"old": {"endpoints": ["http://127.0.0.1:1"]}}) as (edge, config):
    code, out, err = ask(edge, "reload")
    same((code, out, err), (0, "nothing has changed; generation 1 serves\n", ""))
    edge.folder.fill(merged(config, {
      "services": {"old": None}, "server": {"workers": 2}, "limits": {"head_fields": 90},
      "routes": {"more": {"path": "/more", "service": "app"}}}),
      {"policies/guard.lua": POLICY + "-- changed\n"})
    code, out, err = ask(edge, "reload")
    same((code, err), (0, ""), out)
    lines = out.splitlines()
    holds(re.fullmatch(r"generation 2 serves \(\d+ ms\)", lines[0]), out)
    same(lines[1:3], ["  + routes.more", "  - services.old"])
    same(lines[5:], ["  ! server.workers: 1 -> 2, after a restart"])
    same(sorted(lines[3:5]), ["  ~ limits.head_fields: 100 -> 90", "  ~ policies.guard"])
    with edge.client() as client:
      same(client.get("/more").status, 200)
    edge.wait_line(event="reloaded")
    same(outcomes(edge), ["reload_unchanged", "reloaded"])


@play
def errors_are_told():
  """an error in YAML or Lua is told with file, line and column by edge reload, and the old generation serves"""
  with guarded() as (edge, config):
    edge.folder.fill(text_of(config).replace("listeners:", "listners:"))
    code, out, err = ask(edge, "reload")
    same((code, out), (1, ""))
    holds(re.search(r"routes\.yaml:\d+:1: error: .*listners", err), err)
    holds(re.search(r"^edge reload: generation 1 still serves: \S*routes\.yaml has errors$", err, re.M), err)
    edge.folder.fill(text_of(config) + "  - [\n")
    code, out, err = ask(edge, "reload")
    same((code, out), (1, ""))
    holds(re.search(r"routes\.yaml:\d+:\d+: error: ", err), err)
    edge.folder.fill(config, {"policies/guard.lua": "return {\n  on_request = function(\n}\n"})
    code, out, err = ask(edge, "reload")
    same((code, out), (1, ""))
    holds(re.search(r"policies/guard\.lua:\d+(:\d+)?: error: ", err), err)
    same(edge.status()["reloads"], {"done": 0, "unchanged": 0, "failed": 3, "refused": 0})
    with edge.client() as client:
      same(client.get("/x").status, 200)


@play
def variables_of_the_caller():
  """the variables of whoever calls edge reload decide nothing: neither what a file says nor what Edge refuses"""
  foreign = {"REDIS_URL": "redis://x", "NODE_ENV": "production", "LOG_LEVEL": "verbose", "GATEWAY_TIMEOUT_MS": "5s",
             "JWT_SECRET": None, "PLAY_FIELDS": "many"}
  with Origin(answer(200, b"x")) as origin:
    config = serving(origin, server={"var": "state"})
    with Edge(config, {"PLAY_FIELDS": "90"}, loud=True, options=["--dev"]) as edge:
      edge.folder.fill(merged(config, {"limits": {"head_fields": "${env:PLAY_FIELDS}"}}))
      code, out, err = ask(edge, "reload", extra=foreign)
      same((code, err), (0, ""), out)
      same(out.splitlines()[1:], ['  ~ limits.head_fields: 100 -> "***"'])
      for verb in (["status"], ["top", "--count", "1", "--interval", "200ms"]):
        code, _, err = ask(edge, *verb, extra=foreign)
        same((code, err), (0, ""))


@play
def moved_folder_of_state():
  """after an edit of server.var the verbs say how the running edge is reached, and reach it so"""
  with guarded() as (edge, config):
    edge.folder.fill(merged(config, {"server": {"var": "other"}}))
    for verb in (["reload"], ["status"], ["top", "--count", "1", "--interval", "200ms"]):
      code, out, err = ask(edge, *verb)
      same((code, out), (1, ""))
      holds("no Edge answers at other/admin.sock" in err and "--admin PATH" in err, err)
      code, out, err = ask(edge, *verb, "--admin", "var/admin.sock")
      same((code, err), (0, ""))
    holds("  ! server.var: var/ -> other, after a restart" in ask(edge, "reload", "--admin", "var/admin.sock")[1],
          "no word on the restart")


@play
def pending_restart():
  """what waits for a restart is named by every reload that does not fail, one that changes nothing included"""
  with guarded() as (edge, config):
    edge.folder.fill(merged(config, {"server": {"workers": 2}}))
    for first in (r"generation 2 serves \(\d+ ms\)", r"nothing has changed; generation 2 serves"):
      code, out, err = ask(edge, "reload")
      same((code, err), (0, ""))
      holds(re.fullmatch(first + r"\n  ! server\.workers: 1 -> 2, after a restart\n", out), out)
    same(edge.wait_line(event="reload_unchanged")["restart"], "server.workers")
    same(edge.status()["restart"], ["server.workers"])
    edge.folder.fill(config)
    holds(ask(edge, "reload")[1].startswith("generation 3 serves"), "the edit that is taken back")
    same(ask(edge, "reload")[1], "nothing has changed; generation 3 serves\n")


@play
def what_only_edge_can_find():
  """what only the running edge finds wrong is told by edge reload as well, and it exits with 1"""
  with guarded() as (edge, config), socket.socket() as taken:
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    more = {"listeners": {"more": {"bind": f"127.0.0.1:{taken.getsockname()[1]}"}}}
    edge.folder.fill(merged(config, more))
    code, out, err = ask(edge, "reload")
    same((code, out), (1, ""), err)
    holds(re.search(r"^edge reload: generation 1 still serves: .", err, re.M), err)
    code, out, err = ask(edge, "status")
    same((code, err), (0, ""))
    holds(out.startswith("! the last reload failed; generation 1 still serves: "), out)


# status


@play
def status_for_people_and_programs():
  """edge status tells what runs, by the socket or an admin listener, as a page or as JSON"""
  with guarded(listeners={"ops": {"bind": "127.0.0.1:0", "admin": True}}) as (edge, _), edge.client() as client:
    client.get("/x")
    code, out, err = ask(edge, "status")
    same((code, err), (0, ""))
    for pattern in (rf"^edge +0\.1\.0, pid {edge.process.pid}, 1 worker, serving$",
                    r"^configuration +/.*/routes\.yaml$", r"^listeners +main +127\.0\.0\.1:\d+ +routes$",
                    r"^ +ops +127\.0\.0\.1:\d+ +admin$", r"^generation +1 +since 20.*Z, \d+ running$",
                    r"^reloads +0 done"):
      holds(re.search(pattern, out, re.M), f"no {pattern!r} in {out}")
    host, port = edge.address("ops")
    for where in ((), ("--admin", "var/admin.sock"), ("--admin", f"{host}:{port}")):
      code, out, err = ask(edge, "status", "--json", *where)
      same((code, err), (0, ""))
      same(json.loads(out)["pid"], edge.process.pid)


@play
def no_edge():
  """where no edge answers, the verbs say so and why, and exit with 1"""
  with Folder(serving("http://127.0.0.1:1")) as folder:
    for verb in ("reload", "status", "top"):
      code, out, err = command(verb, folder=folder.path)
      same((code, out), (1, ""))
      same(err, f"edge {verb}: no Edge answers at var/admin.sock: there is no such socket; is it running?\n"
                "  if it was started with another server.var, name its socket with --admin PATH\n")
    os.mkdir(f"{folder.path}/var")
    with socket.socket(socket.AF_UNIX) as stale:
      stale.bind(f"{folder.path}/var/admin.sock")
    code, out, err = command("status", folder=folder.path)
    same((code, out), (1, ""))
    holds("nobody listens on this socket" in err and "is it running" in err, err)
    with refused_port() as refused:
      code, out, err = command("status", "--admin", f"127.0.0.1:{refused.getsockname()[1]}", folder=folder.path)
    same((code, out), (1, ""))
    holds("nobody listens there; is it running?" in err, err)
    folder.fill("listeners: [\n")
    code, out, err = command("status", "--admin", "other", folder=folder.path)
    holds(err.startswith("edge status: no Edge answers at other: there is no such socket"), err)
    err = command("reload", folder=folder.path)[2]
    holds("server.var of routes.yaml cannot be read" in err, err)


@play
def killed_edge():
  """the socket of an edge that was killed is told from a missing one, and the next edge takes it over"""
  with Folder() as folder:
    config = serving("http://127.0.0.1:1")
    with Edge(config, folder=folder) as edge:
      edge.crash()
      edge.code = 0
    code, out, err = command("status", folder=folder.path)
    same((code, out), (1, ""))
    holds("nobody listens on this socket" in err, err)
    with Edge(config, folder=folder) as edge:
      same(ask(edge, "status")[0], 0)
    holds("there is no such socket" in command("status", folder=folder.path)[2], "the socket stays after the end")


@play
def usage_of_the_verbs():
  """wrong options of the verbs exit with 2"""
  for arguments in (["reload", "--timeout", "5"], ["reload", "--timeout", "0s"], ["top", "--interval", "10ms"],
                    ["top", "--count", "0"], ["top", "--count", "x"], ["status", "--admin", "a:b"],
                    ["status", "--admin", ""]):
    code, out, err = command(*arguments)
    same((code, out), (2, ""), f"{arguments}, which says {err!r}")
    holds(err.startswith(f"edge {arguments[0]}: "), err)


# top


@play
def top_without_a_terminal():
  """edge top without a terminal prints as many plain frames as it should, with what happened between two readings"""
  with guarded() as (edge, _), edge.client() as client:
    client.get("/x")
    code, out, err = ask(edge, "top", "--count", "2", "--interval", "200ms")
    same((code, err), (0, ""))
    holds("\x1b" not in out, out)
    same(len(re.findall(rf"^edge 0\.1\.0  pid {edge.process.pid}  serving", out, re.M)), 2, out)
    same(len(re.findall(r"^ROUTE +req/s", out, re.M)), 2, out)
    holds(re.search(r"^all +0 ", out, re.M), out)


@play
def top_on_a_terminal():
  """edge top draws on a screen of its own and gives the terminal back after q, Ctrl-C and the end of the edge"""
  with guarded() as (edge, _), edge.client() as client:
    client.get("/x")
    for keys in (b"q", b"\x03"):
      with Terminal("top", "--interval", "200ms", folder=edge.folder.path) as terminal:
        terminal.wait(lambda output: output.count(b"\x1b[H") >= 3 and b"ROUTE" in output, "two frames")
        holds(terminal.output.startswith(ENTERED), terminal.output)
        terminal.press(keys)
        same(terminal.end(), 0)
        holds(terminal.is_restored(), f"after {keys!r}: {terminal.output[-100:]!r}")
    with Terminal("top", "--interval", "200ms", folder=edge.folder.path) as terminal:
      terminal.wait(lambda output: b"ROUTE" in output, "a frame")
      edge.stop()
      same(terminal.end(), 1)
      holds(terminal.is_restored(), terminal.output)
      holds(b"no Edge answers" in terminal.process.stderr.read(), "no word on the end")


@play
def top_takes_the_new_size():
  """edge top draws again at once when the terminal's size changes, and fits in it"""
  with Folder(serving("http://127.0.0.1:1")) as folder:
    text = lambda asked: metrics([(f"route-{number}", asked) for number in range(40)], asked)
    with Admin(f"{folder.path}/var/admin.sock", metrics_text=text):
      with Terminal("top", "--interval", "60s", folder=folder.path) as terminal:
        terminal.wait(lambda output: b" more" in output, "a frame")
        before = len(terminal.output)
        terminal.resize(40, 10)
        terminal.wait(lambda output: output.count(b"\x1b[H", before) >= 1 and b" more" in output[before:], "a frame")
        frame = terminal.output[before:].split(b"\x1b[H")[1]
        lines = re.sub(rb"\x1b\[[0-9;]*[a-zA-Z]", b"", frame).decode().replace("\r", "").split("\n")
        holds(len(lines) == 10 and all(len(line) <= 40 for line in lines), lines)
        terminal.press(b"q")
        same(terminal.end(), 0)
        holds(terminal.is_restored(), terminal.output)


@play
def top_sees_a_new_edge():
  """edge top goes on when the edge was started again, and says so"""
  with Folder(serving("http://127.0.0.1:1")) as folder:
    with Admin(f"{folder.path}/var/admin.sock", status=lambda asked: {"pid": 100 if asked < 1 else 200},
               metrics_text=lambda asked: metrics([("all", 1000 if asked < 1 else 5)])):
      code, out, err = command("top", "--count", "1", "--interval", "200ms", folder=folder.path)
      same((code, err), (0, ""))
      holds("! Edge was started again, pid 100 -> 200" in out, out)
      rate = float(re.search(r"^all +([0-9.]+)", out, re.M)[1])
      holds(1 <= rate <= 25, f"{rate} requests a second")


# An edge of another version, or something else


@play
def hostile_answers():
  """what an answer says cannot drive the terminal, and one that is not understood is told so"""
  with Folder(serving("http://127.0.0.1:1")) as folder:
    path = f"{folder.path}/var/admin.sock"
    with Admin(path, status={"config": "routes.yaml", "version": "\x1b[2J"}, code=200, metrics_text="\x1b[2J\n",
               report={"outcome": "reloaded", "changes": [{"kind": "added", "path": "routes.\x1b]0;x\x07"}]}) as admin:
      for verb, wanted in (("status", 0), ("reload", 0), ("top", 1)):
        code, out, err = command(verb, folder=folder.path)
        same(code, wanted, out + err)
        holds("\x1b" not in out + err, out + err)
      same(admin.requests[1:3], [("POST", "/reload"), ("GET", "/status")])
    with Admin(path, status={"pid": "1"}):
      code, out, err = command("status", folder=folder.path)
      same((code, out), (1, ""))
      holds("of another version: its answer has no 'pid'" in err, err)
      same(command("status", "--json", folder=folder.path)[0], 0)


@play
def silent_edge():
  """an edge that does not answer in time is not waited for longer"""
  with Edge(serving("http://127.0.0.1:1")) as edge, edge.frozen():
    code, out, err = ask(edge, "reload", "--timeout", "1s")
    same((code, out), (1, ""))
    holds("no answer within 1s" in err, err)
