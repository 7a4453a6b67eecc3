"""What the edge tells about itself: /stats, /ready, /metrics and /v1/models."""

from play import *
from stage.credits import *
from stage.metrics import *
from stage.provider import *

STATS = {"totalConnections", "totalUsers", "totalPendingRequests", "connectionsByRole", "timestamp"}
BUILTINS = {"stats": {"path": "/stats", "methods": ["GET"], "builtin": "stats", "policies": ["auth", "permissions"],
                      "permission": "gateway:read"},
            "ready": {"path": "/ready", "methods": ["GET"], "builtin": "ready"},
            "models": {"path": "/v1/models", "methods": ["GET"], "builtin": "models", "policies": ["auth"]}, **METRICS}


@contextmanager
def observed(script=None, **config):
  """As `chatting`, with the built-in answers, and a client of the listener for metrics."""
  changes = merged({"routes": BUILTINS, "listeners": LISTENERS}, config)
  with chatting(script, **changes) as (client, edge, provider), edge.client("metrics") as watcher:
    yield client, edge, provider, watcher


@play
def stats_are_guarded():
  """/stats is told to who has gateway:read only"""
  with observed() as (client, edge, provider, watcher):
    assert_error(client.get("/stats"), 401, "UNAUTHORIZED")
    assert_error(client.get("/stats", [bearer()]), 403, "FORBIDDEN")
    document = document_of(client.get("/stats", [bearer(role="admin")]))
    holds(STATS <= set(document), f"members of {document}")
    same((document["totalConnections"], document["totalUsers"], document["connectionsByRole"]), (0, 0, {}),
         "WebSockets, and who is on them")


@play
def stats_for_all():
  """with server.stats: public a route without policies tells /stats to all, and without it that is refused"""
  public = {"stats": {"policies": None, "permission": None}}
  with observed(server={"stats": "public"}, routes=public) as (client, edge, provider, watcher):
    holds(STATS <= set(document_of(client.get("/stats"))), "members")
  with Provider() as provider:
    document, files = llm(provider, routes=merged(BUILTINS, public), listeners=LISTENERS)
    with Folder(document, files) as folder:
      code, _, errors = command("check", folder=folder.path)
      same(code, 1, "exit code of check")
      holds("stats" in errors, errors)


@play
def stats_count():
  """/stats counts what runs and what was charged"""
  with observed() as (client, edge, provider, watcher):
    ask(client)
    gate = provider.gate()
    provider.script = streamed(part("one"), gate, *story("two", used=usage(10, 5)))
    with edge.client() as other:
      running = begin(other)
      running.next()
      document = document_of(client.get("/stats", [bearer(role="admin")]))
      same(document["totalPendingRequests"], 1, "requests that run")
      same(document["totalConnections"], 0, "WebSockets")
      same(exact(document["creditsCharged"]), cost(15))
      gate.open()
      running.rest()


@play
def ready():
  """/ready is 200 while the edge serves, and 503 while it drains, also on a connection that was there before"""
  with observed(server={"drain": "30s"}) as (client, edge, provider, watcher):
    with edge.client() as asker, edge.client() as idle:
      same(asker.get("/ready").status, 200)
      gate = provider.gate()
      provider.script = streamed(part("one"), gate, *story("two", used=usage(10, 5)))
      running = begin(client)
      running.next()
      # Half of this request has come when the drain begins, so that it is still answered.
      asker.send(head("GET", "/ready")[:-2])
      asker.await_read()
      edge.signal()
      idle.assert_closed()
      asker.send(b"\r\n")
      response = asker.read_response()
      same((response.status, response.fields.one("connection")), (503, "close"))
      gate.open()
      running.rest()
      same(edge.wait_exit(), 0)


@play
def metrics_are_kept_apart():
  """metrics are served on their own listener alone, and nothing else is there"""
  with observed() as (client, edge, provider, watcher):
    same(client.get("/metrics").status, 404, "status on the main listener")
    same(watcher.get("/metrics").status, 200, "status on its own")
    for path in ("/health", "/ready", "/v1/models", BALANCE, "/"):
      same(watcher.get(path, [bearer(role="admin")]).status, 404, f"{path} on the listener of metrics")


@play
def metrics_parse():
  """metrics are in the text format of Prometheus, each series once, each with its type, histograms adding up"""
  with observed() as (client, edge, provider, watcher):
    ask(client)
    begin(client).rest()
    found, kinds = parsed(watcher.get("/metrics").body.decode())
    holds(len(kinds) > 20, f"{len(kinds)} metrics")
    for name, kind in kinds.items():
      holds((kind == "counter") == name.endswith("_total"), f"{name} is a {kind}")
    for name in (name for name, kind in kinds.items() if kind == "histogram"):
      groups = {}
      for (row, labels), value in found.items():
        if row == f"{name}_bucket":
          bound = dict(labels)["le"]
          groups.setdefault(tuple(one for one in labels if one[0] != "le"), []).append(
            (float(bound.replace("+Inf", "inf")), value))
      for labels, buckets in groups.items():
        counts = [value for _, value in sorted(buckets)]
        same(counts, sorted(counts), f"buckets of {name} {labels}")
        same(counts[-1], found[f"{name}_count", labels], f"the last bucket and the count of {name} {labels}")


@play
def metrics_count():
  """metrics count what was done: requests by status, tokens, credits, holds, outcomes at providers"""
  with observed(lenient=True) as (client, edge, provider, watcher):
    usual = provider.script
    for _ in range(3):
      ask(client)
    for _ in range(2):
      begin(client).rest()
    ask(client, chat(model="other"))
    client.request("POST", PATH, body=b"{}")
    provider.script = failing(500)
    ask(client)
    provider.script = failing(400)
    ask(client)
    provider.script = streamed(part("hello"), Line.close)
    with edge.client() as other:
      begin(other).cut()
    provider.script = usual
    spent = 1000 - settled(client)
    edge.exchanges(10)
    series = eventually(lambda: (lambda one: total(one, "edge_exchanges_total", route="chat") == 10 and one)(
      scraped(watcher)), "ten exchanges are counted")
    same({status: total(series, "edge_exchanges_total", route="chat", status=status)
          for status in ("2xx", "4xx", "5xx")}, {"2xx": 6, "4xx": 3, "5xx": 1}, "exchanges by status")
    pair = {"provider": "p1", "model": "small"}
    same({outcome: total(series, "edge_model_requests_total", outcome=outcome, **pair)
          for outcome in ("completed", "failed", "refused", "cut")},
         {"completed": 5, "failed": 1, "refused": 1, "cut": 1}, "attempts by outcome")
    holds(total(series, "edge_model_tokens_total", kind="input", **pair) >= 50, "input tokens")
    holds(total(series, "edge_model_tokens_total", kind="output", **pair) >= 25, "output tokens")
    same(Decimal(repr(round(total(series, "edge_credits_charged_total", **pair), 9))), spent, "credits charged")
    same(total(series, "edge_model_first_byte_seconds_count", provider="p1") >= 6, True, "first bytes")
    holds(total(series, "edge_ledger_commits_total") > 0, "commits of the ledger")
    same(total(series, "edge_ledger_failing"), 0)


@play
def metrics_over_workers_and_reloads():
  """metrics are sums over all workers, and go on through a reload"""
  with observed(server={"workers": 2}) as (client, edge, provider, watcher):
    for _ in range(10):
      with edge.client() as other:
        ask(other)
    edge.adopt(merged(edge.config, {"routes": {"more": {"path": "/more", "handler": "credits-api",
                                                        "policies": ["auth"]}}}))
    for _ in range(10):
      with edge.client() as other:
        ask(other)
    edge.exchanges(20)
    series = eventually(lambda: (lambda one: total(one, "edge_exchanges_total", route="chat") == 20 and one)(
      scraped(watcher)), "twenty exchanges are counted")
    same(total(series, "edge_generation"), 2)
    same(total(series, "edge_reloads_total", result="done"), 1)
    same(Decimal(repr(round(total(series, "edge_credits_charged_total"), 9))), 20 * cost(15))


@play
def nothing_of_anybody_in_metrics():
  """no user, path, host or model that a client made up becomes a label"""
  with observed() as (client, edge, provider, watcher):
    for number in range(50):
      ask(client, chat(model=f"made-up-{number}"), user=f"somebody-{number}")
      client.get(f"/made-up/{number}", host=f"made-up-{number}.test")
    text = watcher.get("/metrics").body.decode()
    for piece in ("made-up", "somebody", "alice"):
      holds(piece not in text, f"{piece} stands in the metrics")


@play
def models_are_listed():
  """/v1/models lists the models in a form that OpenAI's clients and Anthropic's read, for who has a token"""
  with Provider() as provider:
    more = {"big": {"providers": ["p1"], "price": 2, "max_output": 10}}
    document, files = llm(provider, models=more, routes=BUILTINS, listeners=LISTENERS)
    with Edge(document, files=files) as edge, edge.client() as client:
      same(client.get("/v1/models").status, 401)
      found = document_of(client.get("/v1/models", [bearer()]))
      same(set(found), {"object", "data", "has_more", "first_id", "last_id"}, "members of the list")
      same((found["object"], found["has_more"]), ("list", False))
      same((found["first_id"], found["last_id"]), (found["data"][0]["id"], found["data"][-1]["id"]))
      same(sorted(row["id"] for row in found["data"]), ["big", "small"])
      for row in found["data"]:
        same((row["object"], isinstance(row["created"], int), isinstance(row["owned_by"], str)), ("model", True, True))
        same((row["type"], row["display_name"], row["created_at"][-1]), ("model", row["id"], "Z"))
      edge.adopt(merged(document, {"models": {"big": None}}))
      same([row["id"] for row in document_of(client.get("/v1/models", [bearer()]))["data"]], ["small"])
      # With this path alone there are no single models.
      assert_error(client.get("/v1/models/small", [bearer()]), 404, "NOT_FOUND")
  with Edge(document, files=files) as edge, edge.client() as client:
    assert_error(client.get("/v1/models/a%2Fb", [bearer()]), 400, "INVALID_REQUEST")


SINGLE = {"models": {"path": "/v1/models/*"}}
ODD = "ft:gpt-4.1_x"
VERSION = ("anthropic-version", "2023-06-01")


def single(**changes):
  """As `observed`, with single models, and with one whose id is as odd as ids may be."""
  more = {ODD: {"providers": ["p1"], "price": 2, "max_output": 10}}
  return observed(models=more, routes=merged(SINGLE, changes))


@play
def single_models():
  """/v1/models/{id} says of a model what the list does, its id with escapes or without, also to HEAD"""
  with single() as (client, edge, provider, watcher):
    same(client.get("/v1/models/small").status, 401)
    for path in ("/v1/models", "/v1/models/", "/v1/models?limit=1"):
      listed = {row["id"]: row for row in document_of(client.get(path, [bearer()]))["data"]}
      same(set(listed), {"small", ODD}, path)
    odd = "".join(f"%{byte:02x}" for byte in ODD.encode())
    for path, name in (
        ("small", "small"), ("small?x=1", "small"), ("%73mall", "small"), ("../models//small", "small"), (ODD, ODD),
        ("ft%3Agpt-4.1_x", ODD), ("ft%3agpt-4%2e1_x", ODD), (odd, ODD)):
      for fields in ([bearer()], [bearer(), VERSION]):
        same(document_of(client.get(f"/v1/models/{path}", fields)), listed[name], path)
    whole = client.get("/v1/models/small", [bearer()])
    response = client.request("HEAD", "/v1/models/small", [bearer()])
    same((response.status, response.fields.one("content-length")), (200, str(len(whole.body))))
    refused = client.request("POST", "/v1/models/small", [bearer()])
    assert_error(refused, 405, "METHOD_NOT_ALLOWED")
    same(refused.fields.one("allow"), "GET, HEAD")
    same(edge.log_line(requestId=whole.fields.one("x-request-id"))["cause"], "completed")


@play
def unknown_models():
  """a model that the list has not is a 404 in the form of OpenAI, or of Anthropic for who says its version"""
  with single() as (client, edge, provider, watcher):
    for path, name in (
        ("gpt-99", "gpt-99"), ("smal", "smal"), ("small/", "small/"), ("SMALL", "SMALL"), ("p1/small", "p1/small"),
        ("meta-llama/Llama-3-8b", "meta-llama/Llama-3-8b"), ("small%252F", "small%2F"), ("%ff", "\ufffd"),
        ("a%22%5e%0a%c3%a4", 'a"^\n\u00e4'), ("x" * 256, "x" * 256), ("x" * 257, None)):
      text = "this model" if name is None else f"the model '{name}'"
      message = f"No provider offers {text}; GET /v1/models lists them."
      response = client.get(f"/v1/models/{path}", [bearer()])
      same(document_of(response, 404), {"error": {"message": message, "type": "invalid_request_error", "param": "model",
                                                  "code": "model_not_found"}}, path)
      response = client.get(f"/v1/models/{path}", [bearer(), VERSION])
      request = response.fields.one("x-request-id")
      same(document_of(response, 404), {"type": "error", "error": {"type": "not_found_error", "message": message},
                                        "request_id": request}, path)
      same(response.fields.one("request-id"), request, "request-id")
    line = edge.log_line(requestId=request)
    same((line["status"], line["cause"], line["route"]), (404, "refused", "models"))
    response = client.request("HEAD", "/v1/models/gpt-99", [bearer()])
    same((response.status, response.body), (404, b""))
    same(client.get("/v1/models/small", [bearer()]).status, 200, "the next one on the connection")
