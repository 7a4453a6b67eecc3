"""The README: what it shows is what happens, with the files as they are shipped."""

import pathlib
import re
import subprocess

from play import *

ROOT = pathlib.Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# The official clients alone take seconds to be loaded where others use the processor, too.
CLIENT_SECONDS = 3 * DEADLINE


def blocks(kind):
  """The fenced blocks of a kind, in order."""
  fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
  return [text for name, text in fenced if name == kind]


def shell_lines():
  """Commands of one line each; one that goes on behind a backslash is one."""
  return [line for block in blocks("sh") for line in block.replace("\\\n", " ").splitlines()]


def told_answers():
  """The commands behind which the README shows what they print, with that."""
  pairs = re.findall(r"^```sh\n((?:(?!^```).)*?)^```\n\n```json\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
  return [([line for line in commands.replace("\\\n", " ").splitlines() if line.startswith("curl ")][-1], answer)
          for commands, answer in pairs]


def curl_lines():
  return [line for line in shell_lines() if line.startswith("curl ")]


def shipped(service_port):
  """The shipped configuration as files, its chat service moved to a port of this play."""
  paths = [*(ROOT / "conf.d").glob("*.yaml"), *(ROOT / "policies").glob("*.lua")]
  files = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}
  files["conf.d/services.yaml"] = files["conf.d/services.yaml"].replace("127.0.0.1:3007", f"127.0.0.1:{service_port}")
  return (ROOT / "routes.yaml").read_text(encoding="utf-8"), files


def newcomer(service_port):
  """What `make run` starts, on a free port: nobody has set a secret."""
  config, files = shipped(service_port)
  return Edge(config, {"PORT": "0", "METRICS_PORT": "0", "JWT_SECRET": None}, files, loud=True, options=["--dev"])


def typed(line, edge):
  """What a command prints that is typed beside the files of the edge, after the line that keeps a token."""
  host, port = edge.address()
  (keeps_token,) = [line for line in shell_lines() if line.startswith("TOKEN=")]
  text = f"set -e\nedge() {{ .build/release/edge \"$@\"; }}\n{keeps_token}\n{line}"
  text = text.replace("127.0.0.1:3003", f"{host}:{port}")
  done = subprocess.run(["bash", "-c", text.replace(".build/release/edge", binary())], stdin=subprocess.DEVNULL,
                        cwd=edge.folder.path, env=environment({"JWT_SECRET": None}), capture_output=True,
                        timeout=CLIENT_SECONDS, check=False)
  same(done.returncode, 0, f"exit code of {line!r}, which said {done.stderr!r}")
  return done.stdout.decode()


def shape(value):
  """A JSON value with everything that differs from run to run taken out."""
  if isinstance(value, dict):
    kept = {"status", "code", "message", "version", "user", "roles", "details"}
    return {name: member if name in kept else shape(member) for name, member in value.items()}
  return type(value).__name__


@play
def printed_answers():
  """the commands of the README print what it shows"""
  told = told_answers()
  same(len(told), len(blocks("json")), "answers shown")
  with refused_port() as nobody, newcomer(nobody.getsockname()[1]) as edge:
    (chat,) = [line for line in curl_lines() if '"gpt-4"' in line]
    answer = json.loads(typed(chat, edge))
    holds("Hello" in answer["choices"][0]["message"]["content"], f"the model's answer: {answer}")
    for line, wanted in told:
      same(shape(json.loads(typed(line, edge))), shape(json.loads(wanted)), f"what {line!r} prints")


@play
def printed_client():
  """the official clients, as the README shows them, print what the demo provider says for each model they ask"""
  for name, models in (("openai", 1), ("anthropic", 2)):
    (client,) = [block for block in blocks("sh") if f"import os, {name}\n" in block]
    with refused_port() as nobody, newcomer(nobody.getsockname()[1]) as edge:
      said = typed(client.replace(".venv/", f"{ROOT}/.venv/"), edge)
      same(said.count("You said: Hello"), models, f"answers in {said!r}")


@play
def printed_socket():
  """the client on a WebSocket that the README shows prints both answers, and what each has cost"""
  (client,) = [block for block in blocks("sh") if "websockets.sync.client" in block]
  with refused_port() as nobody, newcomer(nobody.getsockname()[1]) as edge:
    said = typed(client.replace(".venv/", f"{ROOT}/.venv/"), edge)
    for name in ("a", "b"):
      holds(f"You said: Hello, says {name}\n" in said, said)
    same(said.count("'credits': "), 2, f"ends in {said!r}")
    same({line["messageId"] for line in edge.matching(origin="message", status=200)}, {"a", "b"}, "messages")


@play
def printed_fallback():
  """the README's request whose provider fails is answered by the one it shows, and the log says what it promises"""
  (fallback,) = [line for line in curl_lines() if "demo-fallback" in line]
  (wanted,) = [block for block in blocks("") if block.startswith("edge-provider")]
  with refused_port() as nobody, newcomer(nobody.getsockname()[1]) as edge:
    same(typed(fallback, edge).replace("\r", ""), wanted)
    same(edge.log_line(path="/v1/chat/completions")["fallbacks"], 1)
    edge.wait_line(event="provider_failed", provider="demo", next="demo-anthropic")


@play
def with_a_service():
  """with a service there, the README's last command gets the service's own answer, and the service is told the user"""
  with Origin(answer(404, b"no such room")) as origin, newcomer(origin.address[1]) as edge:
    same(typed(curl_lines()[-1], edge), "404\n")
    line = edge.log_line(path="/api/chat/rooms")
    same((line["service"], line["principal"]), ("chat-service", "dev"))
    same(origin.last().fields.all("x-user-id"), ["dev"])


@play
def own_decision():
  """the README's policy lets everybody read and refuses who may not write"""
  (policy,) = blocks("lua")
  scripts = {"policies/auth.lua": (ROOT / "policies/auth.lua").read_text(encoding="utf-8"), "policies/own.lua": policy}
  with Origin() as origin:
    config = serving(origin, route={"policies": ["auth", "own"]},
                     policies={"auth": {"script": "auth.lua"}, "own": {"script": "own.lua"}})
    with Edge(config, files=scripts) as edge, edge.client() as client:
      for role, status in (("user", 403), ("admin", 200)):
        fields = [bearer(role=role)]
        same(client.get("/", fields).status, 200, f"reading as {role}")
        same(client.request("POST", "/", fields, b"{}").status, status, f"writing as {role}")


def greeted(edge):
  """What a newcomer is greeted with, and the curl commands in it."""
  edge.wait(lambda: b"Ctrl-C" in edge.errors, "the greeting is not written")
  text = edge.errors.decode()
  return text, re.findall(r"curl .+", text)


@play
def greeting():
  """a newcomer is greeted on standard error with commands that answer, and the log stays a log"""
  with refused_port() as nobody, newcomer(nobody.getsockname()[1]) as edge:
    host, port = edge.address()
    text, commands = greeted(edge)
    for shown_command in commands:
      holds(f"{host}:{port}" in shown_command, shown_command)
    health, whoami, chat = [
      json.loads(typed("curl -s" + shown_command.removeprefix("curl"), edge)) for shown_command in commands]
    same((health["status"], whoami["user"]), ("OK", "dev"))
    holds("Hello" in chat["choices"][0]["message"]["content"], f"the model's answer: {chat}")
    holds("  token" not in text, text)


@play
def greeting_with_a_secret():
  """with a secret of somebody's own the greeting has no token, says why, and how to get one"""
  config, files = shipped(1)
  with Edge(config, {"PORT": "0", "METRICS_PORT": "0"}, files, loud=True, options=["--dev"]) as edge:
    text, commands = greeted(edge)
    host, port = edge.address()
    same(commands, [f"curl http://{host}:{port}/health"])
    holds(re.search(r"^  token  a secret is configured \(JWT_SECRET.*; unset\n +it for dev", text, re.MULTILINE), text)


@play
def greeting_of_other_files():
  """the greeting shows commands for the routes that are there, on the listener where they are, and none for others"""
  with Origin() as origin:
    config = merged(serving(origin), {"listeners": {"main": None}, "routes": {"health": None}})
    config["listeners"] = {"inner": {"bind": "127.0.0.1:0", "only_named": True}, "main": {"bind": "127.0.0.1:0"}}
    config["routes"]["inner"] = {"path": "/inner", "builtin": "health", "listeners": ["inner"]}
    unset = {"JWT_SECRET": None}
    with Edge(config, unset, loud=True, options=["--dev"]) as edge:
      same(greeted(edge)[1], [])
    config["routes"]["alive"] = {"path": "/alive", "builtin": "health"}
    with Edge(config, unset, loud=True, options=["--dev"]) as edge:
      host, port = edge.address("main")
      same(greeted(edge)[1], [f"curl http://{host}:{port}/alive"])


@play
def development_secret():
  """the secret of development is made once, for its owner's eyes only, and `edge token` takes the same"""
  with refused_port() as nobody, newcomer(nobody.getsockname()[1]) as edge:
    secret = pathlib.Path(edge.folder.path) / "var" / "dev_jwt_secret"
    same(secret.stat().st_mode & 0o7777, 0o600, "access bits")
    before = secret.read_text(encoding="ascii")
    (whoami,) = [line for line in curl_lines() if "/api/whoami" in line and "Bearer" in line]
    same(json.loads(typed(whoami, edge))["user"], "dev")
    same(secret.read_text(encoding="ascii"), before, "the secret after `edge token`")


@play
def checked_example():
  """the README's configuration is good, its models fit in, and its broken one gets exactly the message shown"""
  config, models = blocks("yaml")
  (wanted,) = [block for block in blocks("") if "did you mean" in block]
  unset = {"JWT_SECRET": None}
  with Folder(config + "include: models.yaml\n", {**shipped(1)[1], "models.yaml": models}) as folder:
    code, out, errors = command("check", "--dev", folder=folder.path, extra=unset)
    same(code, 0, errors)
    holds("2 providers, 2 models" in out, out)
    folder.write("routes.yaml", config.replace(", service:", ", servce:"))
    code, _, errors = command("check", "--dev", folder=folder.path, extra=unset)
    same(code, 1, "exit code of check")
    same(errors.removesuffix("routes.yaml: 1 error\n"), wanted)


@play
def reload_example():
  """what the README shows of a reload is what it prints after these changes of the shipped files"""
  (wanted,) = [block for block in blocks("") if block.startswith("$ edge reload\n")]
  with newcomer(1) as edge:
    config, files = shipped(1)
    prices = files["conf.d/providers.yaml"]
    edge.folder.fill(config.replace("limit: 100 per 1m", "limit: 200 per 1m"), {
      "conf.d/providers.yaml": prices.replace("gpt-4: {providers: [openai], price: 0.03", "gpt-4: {providers: "
                                              "[openai], price: 0.04"),
      "conf.d/files.yaml": "routes: {files: {path: /files, builtin: health}}\n"})
    code, out, _ = command("reload", folder=edge.folder.path)
    same((code, re.sub(r"\d+ ms", "63 ms", out)), (0, wanted.removeprefix("$ edge reload\n")))


@play
def shown_commands():
  """every `edge` command in the README's text and at the head of routes.yaml does what it should for a newcomer"""
  text = README[:README.index("## Commands")]
  shown = re.findall(r"`(edge [a-z][^`]*)`", text)
  head = re.findall(r"^#   (edge .*?)  ", (ROOT / "routes.yaml").read_text(encoding="utf-8"), re.MULTILINE)
  same(head, ["edge check --dev", "edge check --dev --full", "edge run --dev"])
  same([line for line in shown if " --dev" in line],
       ["edge check --dev", "edge check --dev --full", "edge explain GET /api/chat/1 --dev --token $TOKEN"])
  with refused_port() as nobody, newcomer(nobody.getsockname()[1]) as edge:
    for line in [*shown, *head]:
      if not line.startswith("edge run"):
        typed(f"{line} --count 1" if line == "edge top" else line, edge)


@play
def ways_to_begin():
  """`make run` and `make dev` install the Python clients that the greeting shows"""
  makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
  for target in ("run", "dev"):
    rule = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)[1]
    holds("scripts/python.sh" in rule, rule)


@play
def commands_are_told():
  """every command the README lists is one, and every command is listed"""
  listed = set(re.findall(r"^\| `edge ([\w-]+)", README, re.MULTILINE))
  known = set(re.findall(r"^  ([\w-]+)  ", command("--help")[1], re.MULTILINE))
  same(listed, known)
