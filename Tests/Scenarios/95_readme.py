"""The README: what it shows is what happens, with the files as they are shipped."""

import pathlib
import re
import subprocess

from play import *

ROOT = pathlib.Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(kind):
  """The fenced blocks of a kind, in order."""
  fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
  return [text for name, text in fenced if name == kind]


def curl_lines():
  return [line for block in blocks("sh") for line in block.splitlines() if line.startswith("curl ")]


def shipped(service_port):
  """The shipped configuration as files, its chat service moved to a port of this play."""
  files = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in (ROOT / "conf.d").iterdir()}
  files["conf.d/services.yaml"] = files["conf.d/services.yaml"].replace("127.0.0.1:3007", f"127.0.0.1:{service_port}")
  return (ROOT / "routes.yaml").read_text(encoding="utf-8"), files


def newcomer(service_port):
  """What `make run` starts, on a free port."""
  config, files = shipped(service_port)
  return Edge(config, {"PORT": "0"}, files, loud=True, options=["--dev"])


def typed(line, edge):
  host, port = edge.address()
  done = subprocess.run(["bash", "-c", line.replace("127.0.0.1:3003", f"{host}:{port}")], stdin=subprocess.DEVNULL,
                        capture_output=True, timeout=DEADLINE, check=False)
  same(done.returncode, 0, f"exit code of {line!r}, which said {done.stderr!r}")
  return done.stdout.decode()


def shape(value):
  """A JSON value with everything that differs from run to run taken out."""
  if isinstance(value, dict):
    kept = {"status", "code", "message", "version"}
    return {name: member if name in kept else shape(member) for name, member in value.items()}
  return type(value).__name__


@play
def printed_answers():
  """the commands of the README print what it shows"""
  lines, shown_answers = curl_lines(), blocks("json")
  same(len(shown_answers), 2, "answers shown")
  with refused_port() as nobody, newcomer(nobody.getsockname()[1]) as edge:
    for line, wanted in zip(lines, shown_answers):
      same(shape(json.loads(typed(line, edge))), shape(json.loads(wanted)), f"what {line!r} prints")


@play
def with_a_service():
  """with a service there, the README's last command gets the service's own answer"""
  with Origin(answer(404, b"no such room")) as origin, newcomer(origin.address[1]) as edge:
    same(typed(curl_lines()[2], edge), "404\n")
    same(edge.log_line(path="/api/chat/rooms")["service"], "chat-service")


@play
def greeting():
  """a newcomer is greeted on standard error with an address that answers, and the log stays a log"""
  with refused_port() as nobody, newcomer(nobody.getsockname()[1]) as edge:
    host, port = edge.address()
    edge.wait(lambda: b"Ctrl-C" in edge.errors, "the greeting is not written")
    command_shown = re.search(rb"curl \S+", edge.errors)[0].decode()
    holds(f"{host}:{port}" in command_shown, command_shown)
    same(json.loads(typed(command_shown, edge))["status"], "OK")


@play
def checked_example():
  """the README's configuration is good, and its broken one gets exactly the message shown"""
  (config,) = blocks("yaml")
  (wanted,) = [block for block in blocks("") if "did you mean" in block]
  with Folder(config) as folder:
    same(command("check", folder=folder.path)[0], 0, "exit code of check")
    folder.write("routes.yaml", config.replace(", service:", ", servce:"))
    code, _, errors = command("check", folder=folder.path)
    same(code, 1, "exit code of check")
    same(errors.removesuffix("routes.yaml: 1 error\n"), wanted)


@play
def commands_are_told():
  """every command the README lists is one, and every command is listed"""
  listed = set(re.findall(r"^\| `edge (\w+)", README, re.MULTILINE))
  known = set(re.findall(r"^  (\w+)  ", command("--help")[1], re.MULTILINE))
  same(listed, known)
