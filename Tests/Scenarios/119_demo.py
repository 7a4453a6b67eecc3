"""The demo provider, beside `edge run --dev` and by itself, and what happens without it."""

import pathlib
import select
import subprocess

from play import *
from stage.credits import *
from stage.provider import *

ROOT = pathlib.Path(__file__).resolve().parents[2]
NO_KEYS = {"JWT_SECRET": None, "OPENAI_API_KEY": None, "PORT": "0", "METRICS_PORT": "0"}


def shipped():
  """The shipped configuration: the main file's text, and the other files."""
  paths = [*(ROOT / "conf.d").glob("*.yaml"), *(ROOT / "policies").glob("*.lua")]
  return (ROOT / "routes.yaml").read_text(encoding="utf-8"), {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


@contextmanager
def developing():
  """`edge run --dev` with the shipped configuration, without any key; a client, and the field of its user."""
  config, files = shipped()
  with Edge(config, NO_KEYS, files, loud=True, options=["--dev"]) as edge, edge.client() as client:
    made = subprocess.run([binary(), "token"], cwd=edge.folder.path, env=environment(NO_KEYS), capture_output=True,
                          timeout=DEADLINE, check=True)
    yield client, edge, ("Authorization", f"Bearer {made.stdout.decode().strip()}")


def question(content="Hello there.", model="gpt-4", **fields):
  return json.dumps({"model": model, "messages": [{"role": "user", "content": content}], **fields}).encode()


def told_by(client, own, body):
  """The answer to a chat of the shipped configuration."""
  return client.request("POST", PATH, [own, ("Content-Type", "application/json")], body)


def demo_tokens(text):
  """As the demo provider counts: words and runs of punctuation."""
  return len(re.findall(r"\w+|[^\w\s]+", text))


@play
def chat_without_a_key():
  """under --dev a chat is answered by the demo provider, marked so, and charged by the shipped price"""
  with developing() as (client, edge, own):
    response = told_by(client, own, question())
    same((response.status, response.fields.one("edge-demo")), (200, "true"))
    document = json.loads(response.body)
    said, used = document["choices"][0]["message"]["content"], document["usage"]
    holds(said.startswith("You said: Hello there."), said)
    same((document["model"], used["completion_tokens"]), ("gpt-4", demo_tokens(said)))
    line = assert_charged(edge, response, cost(used["total_tokens"], "0.03"),
                          tokens=(used["prompt_tokens"], used["completion_tokens"]), provider="openai", model="gpt-4")
    holds(line["attempt"], "no attempt")
    found = document_of(client.get(BALANCE, [own]))
    same(exact(found["balance"]), 1000 - cost(used["total_tokens"], "0.03"))


@play
def stream_without_a_key():
  """under --dev a stream of the demo provider arrives in parts, says the same as the whole answer and costs the same"""
  with developing() as (client, edge, own):
    whole = told_by(client, own, question())
    body = question(stream=True, stream_options={"include_usage": True})
    client.send(head("POST", PATH, [own, ("Content-Length", len(body))]) + body)
    answered = Events(client)
    same(answered.response.fields.one("edge-demo"), "true")
    events = answered.rest().split(b"\n\n")
    same(events[-2:], [b"data: [DONE]", b""])
    documents = [json.loads(one.removeprefix(b"data: ")) for one in events[:-2]]
    said = "".join(choice["delta"].get("content") or "" for one in documents for choice in one["choices"])
    wanted = json.loads(whole.body)
    same((said, documents[-1]["usage"]["total_tokens"]),
         (wanted["choices"][0]["message"]["content"], wanted["usage"]["total_tokens"]))
    holds(len(documents) > 10, f"{len(documents)} events")
    same(edge.line_of(answered.response)["credits"], edge.line_of(whole)["credits"])


@play
def models_of_the_demo():
  """the shipped models that only the demo provider offers fail as their names say"""
  with developing() as (client, edge, own):
    response = told_by(client, own, question(model="demo-429"))
    assert_openai_error(response, "RATE_LIMIT_EXCEEDED")
    same(response.fields.one("retry-after"), "2")
    for model in ("demo-500", "demo-529"):
      assert_openai_error(told_by(client, own, question(model=model)), "PROVIDER_ERROR")
    with edge.client() as other:
      body = question(model="demo-cut", stream=True)
      other.send(head("POST", PATH, [own, ("Content-Length", len(body))]) + body)
      holds(Events(other).cut().count(b"data: ") >= 1, "nothing came before the cut")
    response = told_by(client, own, question(model="demo-max", max_tokens=1000))
    same(json.loads(response.body)["usage"]["completion_tokens"], 1000)
    assert_charged(edge, response, 1)
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {
      "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]
    document = json.loads(told_by(client, own, question(model="demo-tools", tools=tools)).body)
    same(document["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "weather")
    models = document_of(client.get("/v1/models", [own]))["data"]
    holds({"gpt-4", "demo-max"} <= {row["id"] for row in models}, f"{models}")


def greeted(edge):
  """The Python lines of the greeting."""
  edge.wait(lambda: b"Ctrl-C" in edge.errors, "the greeting is not written")
  return re.findall(r"\.venv/bin/python .+", edge.errors.decode())


@play
def printed_clients():
  """the Python clients that the greeting shows print what the demo provider says; without its route one is not shown"""
  with developing() as (_, edge, _):
    lines = greeted(edge)
    same([re.search(r"import (?:json, )?(\w+)", line)[1] for line in lines], ["openai", "anthropic", "websockets"])
    for line in lines:
      done = subprocess.run(["bash", "-c", line.replace(".venv/", f"{ROOT}/.venv/")], stdin=subprocess.DEVNULL,
                            cwd=edge.folder.path, env=environment(), capture_output=True, timeout=DEADLINE,
                            check=False)
      same((done.returncode, done.stderr), (0, b""), line)
      said = done.stdout.decode()
      holds(said.startswith("You said: Hello\n") and said.endswith("\n"), f"{line!r} printed {said!r}")
  config, files = shipped()
  config, found = re.subn(r"^  platform:\n(?:    .+\n)+", "", config, flags=re.MULTILINE)
  same(found, 1, "rows of the route")
  with Edge(config, NO_KEYS, files, loud=True, options=["--dev"]) as edge:
    same([line for line in greeted(edge) if "websockets" in line], [])


@play
def a_real_key_is_used():
  """under --dev a provider with a key is asked itself, and its answers bear no mark"""
  with Provider() as provider:
    config, files = shipped()
    files["conf.d/providers.yaml"] = files["conf.d/providers.yaml"].replace("https://api.openai.com", provider.url)
    with Edge(config, {**NO_KEYS, "OPENAI_API_KEY": KEY}, files, loud=True, options=["--dev"]) as edge:
      made = command("token", folder=edge.folder.path, extra=NO_KEYS)[1].strip()
      with edge.client() as client:
        response = told_by(client, ("Authorization", f"Bearer {made}"), question())
        same((response.status, len(response.fields.all("edge-demo"))), (200, 0))
        same(provider.last().fields.all("authorization"), [f"Bearer {KEY}"])


def without_dev(extra=None):
  config, files = shipped()
  return Edge(config, {**NO_KEYS, "JWT_SECRET": SECRET, **(extra or {})}, files, loud=True)


@play
def disabled_without_a_key():
  """without --dev a provider without a key is disabled and named, and its models are a 503; no account has credits"""
  with without_dev() as edge, edge.client() as client:
    assert_openai_error(told_by(client, bearer(role="admin"), question()), "SERVICE_UNAVAILABLE")
    holds(b"'openai' is disabled" in edge.errors, "the provider is not named")
    same(exact(document_of(client.get(BALANCE, [bearer()]))["balance"]), 0)
    code, output, errors = command("check", folder=edge.folder.path, extra={**NO_KEYS, "JWT_SECRET": SECRET})
    same(code, 0, "exit code of check")
    holds("openai" in output + errors and "OPENAI_API_KEY" in output + errors, output + errors)
    holds("demo" in output + errors, "check does not name the rows that are left out")


@play
def left_out_without_dev():
  """without --dev rows with `dev: true` are left out: their models are unknown and not listed"""
  with without_dev() as edge, edge.client() as client:
    assert_openai_error(told_by(client, bearer(), question(model="demo-max")), "MODEL_NOT_FOUND")
    found = document_of(client.get("/v1/models", [bearer()]))["data"]
    same([row["id"] for row in found if row["id"].startswith("demo")], [])


@play
def no_mark_in_production():
  """--dev is refused where NODE_ENV is production, and so is a ledger in memory"""
  config, files = shipped()
  with Folder(config, files) as folder:
    code, _, errors = command("run", "--dev", folder=folder.path, extra={**NO_KEYS, "NODE_ENV": "production"})
    same(code != 0, True, "the edge started")
    holds("production" in errors, errors)
    folder.write("conf.d/zz.yaml", "stores: {ledger: memory}\n")
    extra = {**NO_KEYS, "JWT_SECRET": SECRET, "NODE_ENV": "production"}
    code, _, errors = command("check", folder=folder.path, extra=extra)
    same(code, 1, "exit code of check")
    holds("memory" in errors, errors)


class DemoProvider:
  """`edge demo-provider` on a free port; `url` is what it printed."""

  dialect = "openai-chat"

  def __init__(self, *options):
    self.options = options

  def __enter__(self):
    self.process = subprocess.Popen([binary(), "demo-provider", "--port", "0", *self.options], env=environment(),
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    holds(select.select([self.process.stdout], [], [], DEADLINE)[0], "nothing was printed")
    self.url = self.process.stdout.readline().decode().strip()
    host, port = self.url.removeprefix("http://").rsplit(":", 1)
    self.address = (host, int(port))
    return self

  def __exit__(self, *failure):
    self.process.terminate()
    try:
      self.code = self.process.wait(DEADLINE)
    finally:
      self.process.kill()
      self.process.wait()
      self.said = self.process.stderr.read().decode()
      self.process.stdout.close()
      self.process.stderr.close()


@play
def by_itself():
  """`edge demo-provider` prints its address, answers on loopback like OpenAI and Anthropic, and ends with 0"""
  with DemoProvider("--gap", "0") as demo:
    holds(re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d*", demo.url), demo.url)
    with Client(demo.address) as client:
      response = client.request("POST", PATH, body=question())
      same(response.status, 200)
      same(json.loads(response.body)["object"], "chat.completion")
      same(client.request("POST", PATH, body=b"{").status, 400)
      fields = [("anthropic-version", "2023-06-01"), ("x-api-key", "any")]
      message = client.request("POST", "/v1/messages", fields, question(model="claude-3-opus", max_tokens=100))
      same((message.status, json.loads(message.body)["type"]), (200, "message"))
      refused = client.request("POST", "/v1/messages", fields, question(model="claude-3-opus"))
      told = json.loads(refused.body)
      same((refused.status, told["type"], told["request_id"]), (400, "error", refused.fields.one("request-id")))
      models = json.loads(client.get("/v1/models").body)
      same((models["has_more"], models["first_id"]), (False, models["data"][0]["id"]))
      holds("edge-demo" not in response.fields, "it marks its answers itself")
  same((demo.code, demo.said), (0, ""))


@play
def behind_an_edge():
  """an edge without --dev uses `edge demo-provider` like any provider, a hundred streams at once"""
  with DemoProvider("--gap", "1") as demo:
    document, files = llm(demo, server={"workers": 2})
    with Edge(document, files=files) as edge, edge.client() as client:
      clients = [edge.client() for _ in range(100)]
      for number, one in enumerate(clients):
        one.send(post(chat(f"stream {number}", stream=True), f"user-{number}"))
      for number, one in enumerate(clients):
        answered = Events(one)
        data = answered.rest()
        holds(data.endswith(DONE) and b"edge-demo" not in answered.response.raw_head, f"stream {number}")
        documents = [json.loads(text.removeprefix("data: ")) for text in data.decode().split("\n\n")[:-2]]
        said = "".join(choice["delta"].get("content") or "" for one in documents for choice in one["choices"])
        holds(said.startswith(f"You said: stream {number}\n"), said)
        one.close()
        line = edge.line_of(answered.response)
        same((line["usage"]["source"], line["usage"]["outputTokens"]), ("reported", demo_tokens(said)))


@play
def wrong_options():
  """`edge demo-provider` refuses options that are none with exit code 2, and a port that is taken with 1"""
  for options in (["--port", "x"], ["--port", "70000"], ["--gap", "-1"], ["--other"]):
    same(command("demo-provider", *options)[0], 2, f"exit code with {options}")
  with Origin() as origin:
    code, _, errors = command("demo-provider", "--port", str(origin.address[1]))
    same(code, 1, "exit code with a port that is taken")
    holds(str(origin.address[1]) in errors, errors)
