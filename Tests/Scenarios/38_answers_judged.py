"""on_response: policies judge answers of services and providers before the client has anything of them."""

from contextlib import ExitStack

from play import *
from stage.credits import *
from stage.messages import *
from stage.provider import *

JUDGE = lua(on_response="""
local how = res.headers["x-how"]
if how == "refuse" then edge.refuse("CONTENT_REJECTED", {message = "Not for you.", status = res.status}) end
if how == "reply" then edge.reply{status = 203, headers = {["x-own"] = res.service}, body = "own"} end
if how == "fail" then error("failed") end
if how == "loop" then while true do end end
if how == "value" then return 1 end
if how == "lost" then edge.http.fetch{service = "nobody", path = "/"} end
res.headers["x-seen"] = res.status .. " " .. res.service .. " " .. res.route .. " " .. res.id""")

ASK = """if res.headers["x-ask"] then
  res.headers["x-before"] = "b"
  local said = edge.http.fetch{service = "side", path = "/" .. res.headers["x-ask"]}
  if said.status ~= 200 then edge.refuse("FORBIDDEN") end
  res.headers["x-said"] = said.body .. (res.headers["x-before"] or "nothing") .. res.status
end"""


def how(what, body=b"ok", more=(), frame="length"):
  return answer(200, body, [("X-How", what), *more], frame)


@contextmanager
def asking(script=None, policies=None, **config):
  """As `ruled`, with a service `side` that policies ask and a gate in front of its answers."""
  with Origin(lenient=True) as side:
    gate = side.gate()
    side.script = {"/no": answer(404, b"no"), "/now": answer(200, b"now"),
                   "*": lambda request, line: (gate.wait("the side"), answer(200, b"yes")(request, line))}
    changes = {"services": {"side": {"endpoints": [side.url]}},
               "routes": {"side": {"path": "/side", "service": "side"}}}
    rules = policies or {"judge": lua(on_response=ASK)}
    with ruled(rules, script, **merged(changes, config)) as (client, edge, origin):
      origin.side = side
      yield client, edge, origin, gate


@play
def fields_are_set():
  """a policy sets, replaces and removes fields of the client's answer, however it is framed, and its body stays"""
  policy = lua(on_response="""res.headers["X-New"] = "new"
res.headers["x-old"] = res.headers["x-old"] .. "!"
res.headers.server, res.headers["x-twice"] = nil, nil""")
  body = random_bytes(60_000)
  fields = [("Server", "secret/1.0"), ("X-Old", "old"), ("X-Twice", "1"), ("X-Twice", "2"), ("X-Kept", "kept")]
  scripts = {f"/{frame}": answer(200, body, fields, frame) for frame in ("length", "chunked", "close")}
  scripts |= {"/none": answer(204, b"", fields, "none"), "/304": answer(304, b"", fields, "none")}
  with ruled({"judge": policy}, scripts) as (client, edge, origin):
    for path in ("/length", "/chunked", "/close", "/none", "/304"):
      response = client.get(path)
      same([response.fields.all(name) for name in ("x-new", "x-old", "server", "x-twice", "x-kept")],
           [["new"], ["old!"], [], [], ["kept"]], path)
      same(response.body, body if response.status == 200 else b"", path)
    response = client.request("HEAD", "/length")
    same((response.fields.one("x-new"), response.fields.one("content-length")), ("new", "60000"))
    same(len([line for line in origin.lines]), 2, "connections: one ended with the answer")


@play
def in_their_order():
  """policies judge in the route's order, each sees what those before it have set, and ctx lasts from request to log"""
  def policy(name):
    return lua('ctx.said = (ctx.said or "") .. "%s"' % name, on_response=f"""ctx.said = ctx.said .. "{name}"
res.headers["x-chain"] = (res.headers["x-chain"] or "") .. "{name}" """, on_log="edge.log.info(ctx.said)")
  policies = {"one": policy("1"), "quiet": lua(""), "two": policy("2")}
  with ruled(policies, answer(200, b"ok", [("X-Chain", "0")])) as (client, edge, origin):
    response = client.get("/")
    same((response.body, response.fields.all("x-chain")), (b"ok", ["012"]))
    edge.log_line(path="/")
    edge.stop()
    same([line["text"] for line in edge.matching(event="policy_log")], ["1212"] * 2)


@play
def what_it_is_told():
  """a policy learns who has answered what, and nothing of answers that Edge, handlers or other policies give"""
  policy = lua('if req.args.refuse then edge.refuse("CONFLICT") end', on_response="""
res.headers["x-seen"] = table.concat({res.status, res.service, res.route, res.id, tostring(res.provider),
  tostring(res.model)}, " ")""")
  own = {"own": lua(handle='edge.reply{body = edge.http.fetch{service = "app", path = "/x"}.body}')}
  with ruled({"judge": policy}, {"/404": answer(404, b"none"), "*": answer(201, b"made")}, handlers=own,
             routes={"own": {"policies": ["judge"]}}) as (client, edge, origin):
    for path, status in (("/", 201), ("/404", 404)):
      response = client.get(path)
      id = response.fields.one("x-request-id")
      same(response.fields.one("x-seen"), f"{status} app all {id} nil nil")
    for path in ("/?refuse=1", "/own", "/health"):
      holds("x-seen" not in client.get(path).fields, f"x-seen of {path}")


@play
def verdicts():
  """a refusal, an answer of its own or a failure stands in the place of the answer; the service's connection ends"""
  scripts = {f"/{what}": how(what, b"x" * 40_000, frame=frame) for what in
             ("refuse", "reply", "fail", "loop", "value", "lost") for frame in ("chunked",)}
  with ruled({"judge": JUDGE}, {**scripts, "*": answer(200, b"ok")}, loud=True, lenient=True) as (client, edge, origin):
    response = client.get("/refuse")
    error = assert_error(response, 422, "CONTENT_REJECTED")["error"]
    same((error["message"], error["details"]), ("Not for you.", {"status": 200}))
    line = edge.line_of(response, event="exchange")
    same((line["cause"], line["status"], line["policy"]), ("refused", 422, "judge"))
    response = client.get("/reply")
    same((response.status, response.body, response.fields.one("x-own")), (203, b"own", "app"))
    holds("x-how" not in response.fields, "the service's fields are with the client")
    same(edge.line_of(response, event="exchange")["cause"], "completed")
    for what in ("fail", "loop", "value", "lost"):
      response = client.get(f"/{what}")
      assert_error(response, 500, "POLICY_ERROR")
      line = edge.line_of(response, event="exchange")
      same((line["cause"], line["status"], line["policy"]), ("policy_error", 500, "judge"), what)
      same(edge.line_of(response, event="policy_error")["phase"], "on_response")
    holds(client.get("/").fields.one("x-seen").startswith("200 app all "), "the connection goes on")


@play
def other_requests_wait_not():
  """while a policy waits, what was answered waits, others are served, and then it goes on with what it has set"""
  scripts = {"/ask": answer(200, b"x" * 30_000, [("X-Ask", "a")], "chunked"),
             "/no": answer(200, b"x", [("X-Ask", "no")]), "*": answer(200, b"ok")}
  with asking(scripts) as (client, edge, origin, gate):
    client.send(head("GET", "/ask"))
    gate.reached()
    with edge.client() as other:
      same(other.get("/").status, 200)
      assert_error(other.get("/no"), 403, "FORBIDDEN")
    gate.open()
    response = client.read_response()
    same((response.status, response.body, response.fields.one("x-said"), response.fields.one("x-before")),
         (200, b"x" * 30_000, "yesb200", "b"))
    same(client.get("/").body, b"ok", "the next request")


@play
def the_service_ends_meanwhile():
  """a service that ends its answer while a policy waits, with its length or by closing, is heard all the same"""
  body = b"y" * 200_000
  for frame in ("length", "chunked", "close"):
    with asking({"*": answer(200, body, [("X-Ask", "a")], frame)}) as (client, edge, origin, gate):
      client.send(head("GET", "/"))
      gate.reached()
      gate.open()
      same(client.read_response().body == body, True, frame)
  def cut(request, line):
    line.send(b"HTTP/1.1 200 OK\r\nX-Ask: a\r\nContent-Length: 10\r\n\r\nhell")
    line.close()
  with asking(cut, lenient=True) as (client, edge, origin, gate):
    client.send(head("GET", "/"))
    gate.reached()
    gate.open()
    response, kind, length = client.read_final_head()
    client.assert_cut(response, kind, length)
    same(edge.log_line(path="/")["cause"], "upstream_cut")


@play
def the_service_may_be_slow():
  """the times in which a service must answer and go on do not run while a policy waits"""
  second = Gate()
  def halves(request, line):
    line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
    second.wait("the second half")
    line.send(b"cd")
  policy = lua(on_response="""pcall(edge.http.fetch, {service = "side", path = "/slow", timeout = 0.6})
edge.http.fetch{service = "side", path = "/opens"}""")
  with asking(halves, {"judge": policy}, service={"timeouts": {"head": "200ms", "idle": "200ms"}}) as (
      client, edge, origin, gate):
    opens = lambda request, line: (second.open(), answer(200)(request, line))
    origin.side.script = {"/slow": lambda request, line: line.hang(), "/opens": opens}
    same(client.get("/").body, b"abcd")


@play
def the_client_leaves():
  """a client that leaves while a policy waits ends the exchange, the fetch and the service's answer"""
  with asking({"*": answer(200, b"x" * 1_000_000, [("X-Ask", "a")])}, lenient=True, loud=True,
              policies={"judge": lua(on_response=ASK, on_log="edge.log.info(ctx.cause)")}) as (
      client, edge, origin, gate):
    with edge.client() as other:
      other.send(head("GET", "/left"))
      gate.reached()
      other.reset()
    same(edge.log_line(path="/left")["cause"], "client_left")
    gate.open()
    with edge.client() as other:
      other.send(head("GET", "/closed"))
      other.finish()
      among(edge.log_line(path="/closed")["cause"], ("client_left",))
    edge.stop()
    same([line["text"] for line in edge.matching(event="policy_log")], ["client_left"] * 2)


@play
def an_early_answer():
  """an answer that comes before the request is whole is judged while the upload waits, and the upload goes on"""
  def early(request, line):
    line.send(b"HTTP/1.1 200 OK\r\nX-Ask: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
    line.read_body(request)
    line.send(b"2\r\ncd\r\n0\r\n\r\n")
  with asking(early, whole=False) as (client, edge, origin, gate):
    body = random_bytes(300_000)
    client.send(head("POST", "/", [("Content-Length", len(body))]) + body[:1000])
    gate.reached()
    gate.open()
    client.send(body[1000:])
    same(client.read_response("POST").body, b"abcd")
    same(origin.last().body == body, True, "the service has the whole request")


@play
def a_reload_meanwhile():
  """an answer that a policy judges across a reload ends on its own generation"""
  with asking({"*": answer(200, b"ok", [("X-Ask", "a")])}) as (client, edge, origin, gate):
    client.send(head("GET", "/1"))
    gate.reached()
    edge.adopt(files={file_of("judge"): lua(on_response='res.headers["x-said"] = "new"')})
    same(edge.client().get("/2").fields.one("x-said"), "new")
    gate.open()
    same(client.read_response().fields.one("x-said"), "yesb200")
    same([edge.log_line(path=path)["generation"] for path in ("/1", "/2")], [1, 2])
    edge.wait_line(event="generation_ended", generation=1)


@play
def many_at_once():
  """of many answers on many connections and two workers, each is judged by itself and exactly once"""
  policy = lua("ctx.n = req.args.n", on_response="""ctx.judged = (ctx.judged or 0) + 1
if tonumber(ctx.n) % 3 == 0 then edge.http.fetch{service = "side", path = "/now"} end
if tonumber(ctx.n) % 5 == 0 then edge.refuse("CONFLICT") end
res.headers["x-n"] = ctx.n""", on_log="edge.log.info(tostring(ctx.judged))")
  with asking({"*": answer(200, b"z" * 5000, frame="chunked")}, policies={"judge": policy}, lenient=True,
              server={"workers": 2}) as (client, edge, origin, gate):
    with ExitStack() as stack:
      clients = [stack.enter_context(edge.client()) for _ in range(10)]
      for one in clients:
        one.send(b"".join(head("GET", f"/?n={n}") for n in range(30)))
      for one in clients:
        for n in range(30):
          response = one.read_response()
          same((response.status, response.fields.all("x-n")), (409, []) if n % 5 == 0 else (200, [str(n)]), f"{n}")
    edge.wait(lambda: len(edge.matching(event="exchange", route="all")) == 300, "300 exchanges")
    edge.stop()
    same([line["text"] for line in edge.matching(event="policy_log")], ["1"] * 300)


@play
def draining_meanwhile():
  """an edge that stops while a policy judges waits for it as for any exchange, and ends it when the time is over"""
  with asking({"*": answer(200, b"ok", [("X-Ask", "a")])}, lenient=True, loud=True, server={"drain": "300ms"}) as (
      client, edge, origin, gate):
    client.send(head("GET", "/1"))
    gate.reached()
    edge.signal()
    same(edge.wait_exit(), 0, "exit code")
    same(edge.log_line(path="/1")["cause"], "drain")


# MARK: models

MODEL_JUDGE = lua(on_response="""
ctx.judged = (ctx.judged or 0) + 1
local how = ctx.how
if how == "wait" then edge.http.fetch{service = "side", path = "/now"} end
if how == "gate" then edge.http.fetch{service = "side", path = "/gate"} end
if how == "refuse" then edge.refuse("CONTENT_REJECTED", {message = "Not for you."}) end
if how == "reply" then edge.reply{status = 203, body = "own"} end
if how == "fail" then error("failed") end
res.headers["x-seen"] = table.concat({res.status, tostring(res.service), res.provider, res.model, res.route,
  res.headers["content-type"], res.headers["edge-provider"]}, " ")
res.headers["x-accel-buffering"], res.headers["cache-control"] = nil, "private"
""", on_log="edge.log.info(tostring(ctx.judged))").replace(
  "return policy", 'function policy.on_request(req, ctx) ctx.how = req.headers["x-how"] end\nreturn policy')

JUDGING = {**USUAL, "judge": MODEL_JUDGE}


def whole_and_streamed(texts=("Hel", "lo")):
  """A script of a provider of OpenAI's kind."""
  def script(request, line):
    if json.loads(request.body).get("stream"):
      streamed(*story(*texts, used=usage(10, 5)))(request, line)
    else:
      told(completion("".join(texts), usage(10, 5)))(request, line)
  return script


def told_how(what):
  return [("X-How", what)]


@play
def models_are_judged():
  """an answer of a model is judged once, whole or streamed, in both dialects, and its head says what was set"""
  with chatting_beside(JUDGING, whole_and_streamed()) as (client, edge, provider, gate):
    for what in ("", "wait"):
      for path, body in ((PATH, chat), (MESSAGES, talk)):
        for stream in (False, True):
          response = ask(client, body(stream=stream), fields=told_how(what), path=path)
          same(response.status, 200, f"{path} {stream} ({response.body[:300]!r})")
          kind = "text/event-stream; charset=utf-8" if stream else "application/json"
          route = "chat" if path == PATH else "messages"
          same(response.fields.all("x-seen"), [f"200 nil p1 small {route} {kind} p1"])
          same([response.fields.all(name) for name in ("x-accel-buffering", "cache-control", "edge-provider")],
               [[], ["private"], ["p1"]])
          holds(b"Hel" in response.body and b"lo" in response.body, f"{response.body[:300]!r}")
    same(account(client), (1000 - 8 * cost(15), 0))
    edge.stop()
    same([line["text"] for line in edge.matching(event="policy_log", policy="judge")], ["1"] * 8)


@play
def models_are_refused():
  """a refused answer of a model is charged as if the client had left, once, and nothing stays held"""
  with chatting_beside(JUDGING, whole_and_streamed(), loud=True) as (client, edge, provider, gate):
    spent = 0
    for path, body, check in ((PATH, chat, assert_openai_error), (MESSAGES, talk, assert_message_error)):
      for stream in (False, True):
        for what, code in (("refuse", "CONTENT_REJECTED"), ("fail", "POLICY_ERROR"), ("reply", None)):
          before = balance(client)
          response = ask(client, body(stream=stream), fields=told_how(what), path=path)
          if code:
            check(response, code)
          else:
            same((response.status, response.body), (203, b"own"))
          line = edge.line_of(response, event="exchange")
          same(line["cause"], {"refuse": "refused", "fail": "policy_error", "reply": "completed"}[what])
          eventually(lambda: account(client)[1] == 0, "nothing is held")
          holds(balance(client) < before, f"{what} of {path}, streamed: {stream}: nothing was charged")
          holds(before - balance(client) <= cost(15) or stream, f"{before - balance(client)} charged")
    same(ask(client, fields=told_how("")).status, 200)


@play
def fallbacks_are_over():
  """what fails and is followed by another provider is not judged; the answer that the client gets is, once"""
  with ExitStack() as stack:
    first = stack.enter_context(Provider(failing(500), lenient=True))
    second = stack.enter_context(Provider(whole_and_streamed(), lenient=True))
    document, files = llm(first, second, policies=JUDGING)
    with Edge(document, files=files) as edge, edge.client() as client:
      for stream in (False, True):
        response = ask(client, chat(stream=stream))
        holds(response.fields.one("x-seen").startswith("200 nil p2 small chat"), "x-seen")
      edge.stop()
      same([line["text"] for line in edge.matching(event="policy_log", policy="judge")], ["1"] * 2)


@play
def clients_of_models_leave():
  """a client that leaves while a policy judges a model's answer pays for what came, and nothing stays held"""
  with chatting_beside(JUDGING, whole_and_streamed()) as (client, edge, provider, gate):
    for stream in (False, True):
      with edge.client() as other:
        other.send(post(chat(stream=stream), fields=told_how("gate")))
        gate.reached()
        gate.waited.clear()
        other.reset()
      edge.wait(lambda: len(edge.matching(event="exchange", cause="client_left")) == (2 if stream else 1), "the end")
      eventually(lambda: account(client)[1] == 0, "nothing is held")
    holds(balance(client) < 1000, "something was charged")


@play
def a_refusal_of_a_provider():
  """what a provider says is wrong with the request is judged like an answer, and costs nothing when it is refused"""
  script = failing(400)
  with chatting_beside(JUDGING, script) as (client, edge, provider, gate):
    response = ask(client, fields=told_how(""))
    holds(response.fields.one("x-seen").startswith("400 nil p1 small chat"), "x-seen")
    assert_openai_error(ask(client, fields=told_how("refuse")), "CONTENT_REJECTED")
    same(account(client), (1000, 0))
