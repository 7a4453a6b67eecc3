"""on_log: policies are told how every exchange ended, exactly once, and can no longer change it."""

from play import *

# Says what it was told.
TELL = """edge.log.info(edge.json.encode{status = ctx.status, cause = ctx.cause, user = ctx.user, kept = ctx.kept,
  duration = ctx.duration, received = ctx.request_bytes, sent = ctx.response_bytes})"""


def told(edge, name="tell"):
  """What on_log of a policy was told, by request id; twice about one exchange is a failure."""
  found = {}
  for line in edge.matching(event="policy_log", policy=name):
    holds(line["requestId"] not in found, f"on_log twice for {line['requestId']}")
    found[line["requestId"]] = json.loads(line["text"])
  return found


def assert_told(edge, names=("tell",)):
  """Every access line of a client's request on the route has been told to each policy as it stands there."""
  lines = {line["requestId"]: line for line in edge.matching(event="exchange", route="all")}
  for name in names:
    found = told(edge, name)
    same(set(found), set(lines), f"exchanges told to {name}")
    for request, line in lines.items():
      facts = found[request]
      same((facts["status"], facts["cause"], facts["received"], facts["sent"]),
           (line["status"], line["cause"], line["requestBytes"], line["responseBytes"]), f"{line}")
      same(facts.get("user"), line.get("principal"), f"user of {line}")
      holds(0 <= facts["duration"] <= line["duration"] + 0.001, f"duration {facts['duration']} in {line}")
  return lines


def hang(_request, line):
  line.hang()


@play
def every_end():
  """on_log runs exactly once whatever the end: completed, refused, failed, left, unavailable, cut or too large"""
  policy = lua("""ctx.user = req.args.user ctx.kept = req.path
if req.args.refuse then edge.refuse(req.args.refuse) end
if req.args.reply then edge.reply{status = 202, body = "hello"} end
if req.args.fail then error("failed") end""", on_log=TELL)

  def cut(request, line):
    line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhell")
    line.close()
  scripts = {"/bad": raw(b"nonsense\r\n\r\n", "close"), "/cut": cut, "/hang": hang, "*": answer(201, b"created")}
  with ruled({"tell": policy}, scripts, loud=True, lenient=True, limits={"body_size": "1KiB"},
             service={"timeouts": {"head": "300ms"}}) as (client, edge, origin):
    same(client.request("POST", "/?user=alice", body=b"body").status, 201)
    same(client.get("/?refuse=FORBIDDEN&user=bob").status, 403)
    same(client.get("/?reply=1").status, 202)
    same(client.get("/?fail=1&user=carol").status, 500)
    same(client.get("/bad").status, 502)
    same(client.request("HEAD", "/").status, 201)
    with edge.client() as other:
      response, kind, length = (other.send(head("GET", "/cut")), other.read_final_head())[1]
      other.assert_cut(response, kind, length)
    with edge.client() as other:
      same(other.request("POST", "/large", body=bytes(2000)).status, 413)
    with edge.client() as other:
      other.send(head("GET", "/hang"))
      origin.wait_requests(5)
      other.reset()
    same(client.get("/hang").status, 504)
    edge.exchanges(10)
    edge.stop()
    lines = assert_told(edge)
    same(sorted((line["cause"], line["status"]) for line in lines.values()), sorted([
      ("completed", 201), ("refused", 403), ("completed", 202), ("policy_error", 500), ("upstream_error", 502),
      ("completed", 201), ("upstream_cut", 200), ("refused", 413), ("client_left", 0), ("upstream_timeout", 504)]))
    kept = {facts.get("kept") for request, facts in told(edge).items() if lines[request]["status"] == 413}
    same(kept, {None}, "what on_request left for a request that no policy was asked about")


@play
def unreachable():
  """on_log is told when no endpoint can be reached"""
  with refused_port() as down:
    rows, files = furnished({"tell": lua(on_log=TELL)})
    config = serving(f"http://127.0.0.1:{own_port(down)}", route={"policies": ["tell"]}, policies=rows)
    with Edge(config, files=files) as edge, edge.client() as client:
      same(client.get("/").status, 503)
      edge.log_line(path="/")
      edge.stop()
      same([line["cause"] for line in assert_told(edge).values()], ["unavailable"])


@play
def for_every_policy():
  """each policy of the route is told, also those behind the one that refused, and also when one of them fails"""
  policies = {"one": lua('if req.args.refuse == "one" then edge.refuse("CONFLICT") end', on_log=TELL),
              "broken": lua('if req.args.refuse == "broken" then error("x") end', on_log='error("always")'),
              "three": lua('if req.args.refuse == "three" then edge.refuse("CONFLICT") end', on_log=TELL)}
  with ruled(policies, loud=True) as (client, edge, origin):
    for name, status in (("one", 409), ("broken", 500), ("three", 409), ("nobody", 200)):
      same(client.get(f"/?refuse={name}").status, status)
    edge.exchanges(4)
    edge.stop()
    assert_told(edge, ["one", "three"])
    errors = edge.matching(event="policy_error", phase="on_log")
    same(([line["policy"] for line in errors], len({line["requestId"] for line in errors})), (["broken"] * 4, 4))


@play
def a_failure_changes_nothing():
  """an on_log that fails, loops, eats memory or tries to answer changes nothing for the client or the access line"""
  bodies = ['error("x")', "while true do end", "local s = ('x'):rep(1e10)", "edge.refuse('FORBIDDEN')", "return 1",
            "edge.reply{status = 500}", "local a = ctx.nothing.at_all", "edge.http.fetch{service = 'none', path = '/'}"]
  rows = "\n".join(f'if ctx.n == "{number}" then {body} end' for number, body in enumerate(bodies))
  with ruled({"tell": lua("ctx.n = req.args.n", on_log=rows)}, loud=True) as (client, edge, origin):
    for number, body in enumerate(bodies):
      response = client.get(f"/?n={number}")
      same((response.status, response.body), (200, b"ok"), body)
      line = edge.line_of(response)
      same((line["status"], line["cause"], line.get("policy")), (200, "completed", None), body)
      error = edge.line_of(response, event="policy_error")
      same((error["policy"], error["phase"]), ("tell", "on_log"), body)
    same(len({line.number for line in origin.lines}), 1, "connections to the service")


@play
def only_where_it_belongs():
  """on_log is not told of requests on other routes or on none"""
  other = {"other": {"path": "/other", "service": "app"}}
  with ruled({"tell": lua(on_log=TELL)}, routes=other) as (client, edge, origin):
    same([client.get(path).status for path in ("/health", "/other", "/x")], [200] * 3)
    with edge.client() as rude:
      rude.send(b"nonsense\r\n\r\n")
      rude.read_to_end()
    edge.exchanges(4)
    edge.stop()
    same(len(told(edge)), 1, "exchanges that were told")
    assert_told(edge)


@play
def may_fetch():
  """on_log may ask services; the client has its answer long before, and the access line comes when all is done"""
  policy = lua("ctx.user = req.args.user", on_log="""local a = edge.http.fetch{service = "app", method = "POST",
  path = "/audit", json = {user = ctx.user, status = ctx.status}}
edge.log.info("audit " .. a.status)""")
  with Origin() as origin:
    gate = origin.gate()
    rows, files = furnished({"audit": policy})

    def audit(request, line):
      gate.wait("the audit")
      answer(202)(request, line)
    origin.script = {"/audit": audit, "*": answer(200, b"ok")}
    with Edge(serving(origin, route={"policies": ["audit"]}, policies=rows), files=files) as edge:
      with edge.client() as client:
        first = client.get("/1?user=alice")
        gate.reached()
        same(client.get("/2?user=bob").status, 200, "the next request of the connection, while the first is told")
        same(edge.matching(event="exchange", route="all"), [], "access lines before on_log has ended")
        gate.open()
        line = edge.line_of(first)
        same((line["path"], line["cause"]), ("/1", "completed"))
        edge.log_line(path="/2")
        edge.stop()
        audits = [json.loads(request.body) for request in origin.requests if request.path == "/audit"]
        same(sorted(row["user"] for row in audits), ["alice", "bob"])
        same([line["text"] for line in edge.matching(event="policy_log")], ["audit 202"] * 2)
        children = edge.matching(event="exchange", origin="child")
        same({line["parent"] for line in children}, {line["requestId"] for line in edge.matching(route="all")})


@play
def client_left_and_fetch():
  """on_log of an exchange whose client has left may still ask services"""
  policy = lua("ctx.path = req.path", on_log="""if ctx.path == "/left" then
  edge.log.info(ctx.cause .. edge.http.fetch{service = "app", path = "/audit"}.status) end""")
  with ruled({"audit": policy}, {"/left": hang, "*": answer(200, b"ok")}) as (client, edge, origin):
    with edge.client() as other:
      other.send(head("GET", "/left"))
      origin.wait_requests(1)
      other.reset()
    same(edge.log_line(path="/left")["cause"], "client_left")
    edge.stop()
    same([line["text"] for line in edge.matching(event="policy_log")], ["client_left200"])


@play
def stopping_meanwhile():
  """an edge that stops while on_log waits writes the access line all the same and exits with 0"""
  policy = lua(on_log='edge.http.fetch{service = "app", path = "/audit", timeout = 60}')
  scripts = {"/audit": hang, "*": answer(200, b"ok")}
  with ruled({"audit": policy}, scripts, server={"drain": "300ms"}, loud=True) as (client, edge, origin):
    same(client.get("/1").status, 200)
    origin.wait_requests(2)
    edge.signal()
    same(edge.wait_exit(), 0, "exit code")
    line = edge.log_line(path="/1")
    same((line["status"], line["cause"]), (200, "completed"))


@play
def reload_meanwhile():
  """on_log belongs to the generation of its exchange, and holds it until it has ended"""
  def policy(name):
    return lua(on_log=f'edge.log.info("{name}" .. edge.http.fetch{{service = "app", path = "/audit"}}.status)')
  with Origin() as origin:
    gate = origin.gate()
    rows, files = furnished({"audit": policy("old")})
    origin.script = {"/audit": lambda request, line: (gate.wait(), answer(200)(request, line)), "*": answer(200, b"ok")}
    with Edge(serving(origin, route={"policies": ["audit"]}, policies=rows), files=files) as edge:
      with edge.client() as client:
        same(client.get("/1").status, 200)
        gate.reached()
        same(edge.adopt(files={file_of("audit"): policy("new")})["live"], 2, "live generations")
        same(client.get("/2").status, 200)
        gate.open()
        same([edge.log_line(path=path)["generation"] for path in ("/1", "/2")], [1, 2])
        edge.wait_line(event="generation_ended", generation=1)
        edge.stop()
        same(sorted(line["text"] for line in edge.matching(event="policy_log")), ["new200", "old200"])


@play
def many_at_once():
  """of 2000 requests on 20 connections and two workers on_log is told of each exactly once"""
  policy = lua('ctx.user = req.args.n if req.args.refuse then edge.refuse("CONFLICT") end', on_log=TELL)
  with ruled({"tell": policy}, server={"workers": 2}) as (client, edge, origin):
    clients = [Client(edge.address()) for _ in range(20)]
    for number, one in enumerate(clients):
      one.send(b"".join(head("GET", f"/?n={number}-{turn}" + ("&refuse=1" if turn % 3 == 0 else ""))
                        for turn in range(100)))
    for one in clients:
      same([one.read_response().status for _ in range(100)], [409 if turn % 3 == 0 else 200 for turn in range(100)])
      one.close()
    edge.exchanges(2000)
    edge.stop()
    lines = assert_told(edge)
    same(len({line["principal"] for line in lines.values()}), 2000, "principals")


@play
def the_request_is_over():
  """a script that keeps the request and reads it in on_log gets an error, and the client its answer as ever"""
  reads = ["req.path", "req.method", "req.route", "req.id", "req.network", "req.headers['x-kept']", "req.args.n",
           "req.credential"]
  rows = "\n".join(f'if ctx.n == "{number}" then local a = {read.replace("req", "ctx.req", 1)} end'
                   for number, read in enumerate(reads))
  wait = 'if ctx.wait == "{}" then edge.http.fetch{{service = "app", path = "/side"}} end\n'
  policy = lua("ctx.req, ctx.n, ctx.wait = req, req.args.n, req.args.wait\n" + wait.format("before") + """
if req.args["end"] == "refuse" then edge.refuse("CONFLICT") end
if req.args["end"] == "reply" then edge.reply{status = 202, body = "own"} end
if req.args["end"] == "fail" then error("failed") end""", on_log=wait.format("within") + rows)
  with ruled({"keep": policy}, loud=True) as (client, edge, origin):
    for how, status in (("pass", 200), ("refuse", 409), ("reply", 202), ("fail", 500)):
      # Two lines for each that fails, of which a second has room for 100.
      for when in ("never", "before", "within") if how != "fail" else ("never",):
        for number, read in enumerate(reads):
          what = f"{read}, wait: {when}, end: {how}"
          response = client.get(f"/own?n={number}&wait={when}&end={how}", [("X-Kept", "kept"), bearer()])
          same(response.status, status, what)
          among(response.body, (b"ok", b"own") if status < 300 else (response.body,), what)
          error = edge.line_of(response, event="policy_error", phase="on_log")
          holds("can be read in on_request and handle only" in error["message"], f"{what}: {error['message']}")


@play
def the_credential_is_over():
  """a credential that a script keeps for on_log is none there: edge.jwt.verify says nil and why"""
  policy = lua("""ctx.credential = req.credential
if req.args.wait then edge.http.fetch{service = "app", path = "/side"} end
if req.args.refuse then edge.refuse("CONFLICT") end""", on_log="""local who, why = edge.jwt.verify(ctx.credential)
local claims, lack = edge.jwt.claims(ctx.credential)
edge.log.info(edge.json.encode{who = who or false, why = why, claims = claims or false, lack = lack})""")
  with ruled({"keep": policy}) as (client, edge, origin):
    for query, status in (("", 200), ("?wait=1", 200), ("?refuse=1", 409)):
      response = client.get("/" + query, [bearer()])
      same(response.status, status, query)
      said = json.loads(edge.line_of(response, event="policy_log")["text"])
      same(said, {"who": False, "why": "no credential", "claims": False, "lack": "no credential"}, query)


@play
def told_when_the_time_is_used_up():
  """on_log is told of a request whose policy used up all of its CPU time, exactly once and with the status 500"""
  policy = lua("""ctx.kept = req.path
if req.args.how == "loop" then while true do end end
while true do for i = 1, 60000 do local a = i % 7 end edge.http.fetch{service = "app", path = "/side"} end""",
               on_log=TELL)
  with ruled({"tell": policy}, loud=True) as (client, edge, origin):
    for number in range(8):
      response = client.get(f"/{number}?how={'loop' if number % 2 else 'often'}")
      assert_error(response, 500, "POLICY_ERROR")
      edge.line_of(response, event="policy_log")
    edge.exchanges(8)
    edge.stop()
    same({line["phase"] for line in edge.matching(event="policy_error")}, {"on_request"}, "phases that failed")
    assert_told(edge)
    same(sorted((facts["status"], facts["kept"]) for facts in told(edge).values()),
         [(500, f"/{number}") for number in range(8)])
