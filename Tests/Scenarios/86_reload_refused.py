"""SIGHUP with a configuration that cannot be: the old generation goes on, and the log says what is wrong where."""

import os
import re
import resource

from play import *

GOOD = serving("http://127.0.0.1:1")


def text_of(**changes):
  return yaml(merged(GOOD, changes)) + "\n"


def assert_failed(edge, line, file="routes.yaml", *patterns):
  """The reload failed, the errors since the outcome before stand in front of it, each with its place."""
  same((line["level"], line["event"], line["generation"]), ("error", "reload_failed", 1))
  same(set(line), {"time", "level", "event", "generation", "errors", "reason"}, "fields")
  holds(isinstance(line["reason"], str) and len(line["reason"]) > 3, f"reason {line['reason']!r}")
  end = edge.log.index(line)
  begin = max((edge.log.index(other) + 1 for other in edge.outcomes[:edge.outcomes.index(line)]), default=0)
  errors = [other for other in edge.log[begin:end] if other["event"] == "config_error"]
  same(len(errors), line["errors"], "config_error lines in front of reload_failed")
  holds(errors, "no config_error in front of reload_failed")
  for error in errors:
    same((error["level"], set(error)), ("error", {"time", "level", "event", "message"}), "config_error")
    holds(re.search(rf"{re.escape(file)}:\d+:\d+: error: ", error["message"]), f"no {file}:line:column in {error}")
  text = "\n".join(error["message"] for error in errors)
  for pattern in patterns:
    holds(re.search(pattern, text), f"no {pattern!r} in {text!r}")
  return text


@contextmanager
def running(**options):
  """An edge with a loud log, and a client that has been served by its first generation."""
  with Edge(GOOD, loud=True, **options) as edge, edge.client() as client:
    same(client.get("/health").status, 200)
    yield edge, client


def assert_recovers(edge, client, config=None, files=None):
  """The old generation serves; a good configuration is the next one."""
  same(client.get("/health?after").status, 200)
  edge.exchanges(2)
  same({line["generation"] for line in edge.matching(event="exchange")}, {1}, "generations so far")
  line = edge.adopt(merged(config or GOOD, {"routes": {"again": {"path": "/again", "builtin": "health"}}}), files)
  same((line["generation"], difference(line)), (2, {"added": {"routes.again"}}))
  same(client.get("/again").status, 200)
  same(edge.log_line(path="/again")["generation"], 2)


@play
def every_kind_of_error():
  """bad syntax, unknown keys, wrong values, dangling and double names each leave the old generation serving"""
  rows = [
    ("syntax", "version: 1\nserver: [\n"),
    ("nothing", ""),
    ("not a mapping", "- a\n- b\n"),
    ("a tab", "version: 1\n\tserver: {}\n"),
    ("an unknown key", text_of().replace("listeners:", "listners:"), r"listners", r"(?i)did you mean.*listeners"),
    ("a missing unit", text_of(server={"drain": 30}), r"drain"),
    ("a value out of bounds", text_of(limits={"head_fields": 9999}), r"head_fields"),
    ("a dangling service", text_of(routes={"all": {"service": "ap"}}), r"(?i)did you mean.*app"),
    ("a dangling listener", text_of(routes={"all": {"listeners": ["mian"]}}), r"(?i)did you mean.*main"),
    ("a double key", text_of() + "version: 1\n", r"version"),
    ("an undefined variable", text_of(listeners={"main": {"bind": "127.0.0.1:${env:PLAY_NONE}"}}), r"PLAY_NONE"),
    ("no listener", text_of(listeners=None)),
    ("another version", text_of(version=2)),
  ]
  with running() as (edge, client):
    for name, text, *patterns in rows:
      try:
        assert_failed(edge, edge.reload(text), "routes.yaml", *patterns)
      except Failed as failure:
        raise Failed(f"{name}: {failure}") from None
      same(client.get("/health").status, 200, f"after {name}")
    assert_recovers(edge, client)


@play
def every_error():
  """every error has a line of its own, with the place, the text there and what may be meant"""
  with running() as (edge, client):
    text = text_of(limits={"head_sise": "16KiB", "head_fields": 9999}, server={"drain": 30})
    line = edge.reload(text)
    found = assert_failed(edge, line)
    same(line["errors"], 3, "errors")
    at = text.split("\n").index("  head_sise: 16KiB") + 1
    message = next(error["message"] for error in edge.matching(event="config_error") if "head_sise" in error["message"])
    holds(f"routes.yaml:{at}:3: error: " in message, f"not at {at}:3: {message!r}")
    holds("\n" in message and "head_sise: 16KiB" in message and "^" in message, f"no excerpt in {message!r}")
    holds(re.search(r"(?i)did you mean.*head_size", message), message)
    holds("drain" in found and "head_fields" in found, found)
    assert_recovers(edge, client)


@play
def the_same_error_again():
  """a configuration that is still wrong fails again; one that is put back as it was changes nothing"""
  with running() as (edge, client):
    for _ in range(3):
      assert_failed(edge, edge.reload(text_of(server={"drain": 30})))
    line = edge.reload(GOOD)
    same((line["event"], line["generation"]), ("reload_unchanged", 1))
    assert_recovers(edge, client)


@play
def included_file_with_an_error():
  """an error in an included file names that file, also when the file is new"""
  config = merged(GOOD, {"include": "conf.d/*.yaml"})
  with Edge(config, files={"conf.d/a.yaml": "log: {access: true}\n"}, loud=True) as edge, edge.client() as client:
    same(client.get("/health").status, 200)
    assert_failed(edge, edge.reload(files={"conf.d/a.yaml": "log: {acess: true}\n"}), "conf.d/a.yaml", "access")
    line = edge.reload(files={"conf.d/a.yaml": "log: {access: true}\n", "conf.d/b.yaml": "limits: [\n"})
    assert_failed(edge, line, "conf.d/b.yaml")
    twice = "services:\n  app:\n    endpoints: http://127.0.0.1:2\n"
    assert_failed(edge, edge.reload(files={"conf.d/b.yaml": twice}), "conf.d/b.yaml", r"routes\.yaml:\d+")
    assert_recovers(edge, client, config, {"conf.d/b.yaml": None})


@play
def included_file_that_vanished():
  """a file that is gone fails the reload: named by the include itself, or needed by a reference"""
  more = {"conf.d/more.yaml": "services:\n  more:\n    endpoints: http://127.0.0.1:2\n"}
  for pattern in ("conf.d/*.yaml", "conf.d/more.yaml"):
    config = merged(GOOD, {"include": pattern, "routes": {"more": {"path": "/more", "service": "more"}}})
    files = more | {"conf.d/other.yaml": "# so that the pattern finds a file\n"}
    with Edge(config, files=files, loud=True) as edge, edge.client() as client:
      same(client.get("/health").status, 200)
      assert_failed(edge, edge.reload(files={"conf.d/more.yaml": None}), "routes.yaml", r"more")
      same(edge.reload(files=more)["event"], "reload_unchanged", f"with the file of {pattern} back in place")
      same(client.get("/health").status, 200)
      same(client.get("/more").status, 503, "the route of the old generation")


@play
def main_file_that_vanished():
  """without a main file the old generation goes on, and the log names the file"""
  with running() as (edge, client):
    line = edge.reload(files={"routes.yaml": None})
    same((line["event"], line["generation"]), ("reload_failed", 1))
    messages = [error["message"] for error in edge.matching(event="config_error")]
    same((len(messages), line["errors"]), (1, 1), "errors")
    holds("routes.yaml" in messages[0] and os.strerror(2) in messages[0], f"{messages}")
    assert_recovers(edge, client)


@play
def secrets_are_not_shown():
  """a value from a file or variable that does not fit is refused without being shown"""
  with running(files={"secret": "HIDDEN"}) as (edge, client):
    for value in ("${file:secret}", "x${file:secret}y"):
      text = assert_failed(edge, edge.reload(text_of(limits={"body_size": value})), "routes.yaml", r"body_size")
      holds("secret}" in text, f"the reference itself is not shown: {text!r}")
    line = edge.reload(text_of(limits={"body_size": "${file:nowhere}"}))
    assert_failed(edge, line, "routes.yaml", r"nowhere")
    assert_recovers(edge, client)
    edge.stop()
    holds("HIDDEN" not in json.dumps(edge.log), f"{[line for line in edge.log if 'HIDDEN' in json.dumps(line)]}")


@play
def password_in_an_endpoint():
  """a user and password in an endpoint are refused without being shown in the log"""
  with running() as (edge, client):
    url = "http://alice:hunter2@127.0.0.1:80"
    text = assert_failed(edge, edge.reload(text_of(services={"app": {"endpoints": ["http://127.0.0.1:1", url]}})),
                         "routes.yaml", r"no user or password", r"http://\*+@127\.0\.0\.1:80")
    excerpt, caret = text.split("\n")[1:3]
    same(caret.index("^"), excerpt.index('"http://*'), f"place of the caret in {text}")
    assert_recovers(edge, client)
    edge.stop()
    for word in ("alice", "hunter2"):
      holds(word not in json.dumps(edge.log), f"{[line for line in edge.log if word in json.dumps(line)]}")


@play
def environment_file_with_an_error():
  """an error in .env names its line and leaves the old generation serving"""
  with Edge(GOOD, files={".env": "PLAY_A=1\n"}, loud=True, options=["--dev"]) as edge, edge.client() as client:
    same(client.get("/health").status, 200)
    assert_failed(edge, edge.reload(files={".env": "PLAY_A=1\nexport PLAY_B=2\n"}), ".env")
    assert_recovers(edge, client, files={".env": "PLAY_A=1\n"})


@play
def nothing_is_cut():
  """a reload that fails cuts no stream and closes no idle connection"""
  with Origin() as origin:
    gate = origin.gate()
    origin.script = held(gate)
    with Edge(serving(origin), loud=True) as edge, edge.client() as client, edge.client() as idle:
      same(idle.get("/health").status, 200)
      stream = Stream(client)
      for _ in range(5):
        assert_failed(edge, edge.reload(text_of(server={"drain": 30})))
      idle.assert_open()
      gate.open()
      stream.assert_whole()
      same((idle.get("/health").status, client.get("/health").status), (200, 200))
      same({line["generation"] for line in edge.exchanges(4)}, {1}, "generations")
      same(edge.matching(event="generation_ended"), [], "generations that ended")


@play
def out_of_descriptors():
  """a reload that cannot open what it needs fails with the reason, and the next one works"""
  with running() as (edge, client):
    _, most = resource.prlimit(edge.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(edge.process.pid, resource.RLIMIT_NOFILE, (3, most))
    for config in (GOOD, merged(GOOD, {"listeners": {"inner": {"bind": "127.0.0.1:0"}}})):
      line = edge.reload(config)
      same((line["event"], line["generation"]), ("reload_failed", 1))
      holds(line["reason"], f"{line}")
      same(client.get("/health").status, 200)
    resource.prlimit(edge.process.pid, resource.RLIMIT_NOFILE, (most, most))
    line = edge.adopt(config)
    same((line["generation"], difference(line)), (2, {"added": {"listeners.inner"}}))
    with edge.client("inner") as other:
      same(other.get("/health").status, 200)
