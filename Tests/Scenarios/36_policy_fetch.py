"""Policies that ask other services and wait: the request waits with them, and nobody else does."""

from contextlib import ExitStack

from play import *

MIB = 1 << 20

# Passes who the service named `side` answers with 200 to.
ASK = """local answer = edge.http.fetch{service = "side", path = "/ask" .. (req.args.who and "/" .. req.args.who or "")}
if answer.status ~= 200 then edge.refuse("FORBIDDEN", {status = answer.status, said = answer.body}) end
req.headers["x-said"] = answer.body"""


@contextmanager
def asking(policies, side_script=None, script=None, **config):
  """As `ruled`, with a service `side` that policies ask."""
  with Origin(side_script or answer(200, b"yes")) as side:
    changes = {"services": {"side": {"endpoints": [side.url]}},
               "routes": {"side": {"path": "/side", "service": "side"}}}
    with ruled(policies, script, **merged(changes, config)) as (client, edge, origin):
      yield client, edge, origin, side


def behind(gate, then=None):
  """A script that answers when the gate is open."""
  def script(request, line):
    gate.wait("the answer of the side")
    (then or answer(200, b"yes"))(request, line)
  return script


@contextmanager
def waiting(policies=None, script=None, **config):
  """An edge whose policy waits for the side until the gate is opened."""
  with asking(policies or {"ask": lua(ASK)}, None, script, **config) as (client, edge, origin, side):
    gate = side.gate()
    side.script = behind(gate)
    yield client, edge, origin, side, gate


@play
def pass_or_refuse():
  """a policy passes or refuses by what another service answers, and hands its answer on"""
  scripts = {"/ask/alice": answer(200, b"welcome"), "/ask/bob": answer(404, b"unknown"), "*": answer(500, b"")}
  with asking({"ask": lua(ASK)}, scripts) as (client, edge, origin, side):
    for _ in range(3):
      same(client.get("/?who=alice").status, 200)
      same(origin.last().fields.all("x-said"), ["welcome"])
      document = assert_error(client.get("/?who=bob"), 403, "FORBIDDEN")
      same(document["error"]["details"], {"status": 404, "said": "unknown"})
    same(len(origin.requests), 3, "requests at the service")
    same(len(side.lines), 1, "connections to the side")


@play
def waits_are_counted():
  """an exchange may wait 64 times and no pcall hides the end of it; on_log has as many again"""
  ask = 'edge.http.fetch, {service = "side", path = req and req.path or "/log"}'
  body = f"""for i = 1, tonumber(req.args.n) do pcall({ask}) end"""
  handlers = {"often": lua(handle=f"{body} edge.reply{{body = 'all'}}")}
  log = f'local req while true do pcall({ask}) end'
  with asking({"ask": lua(f"if req.args.loop then while true do pcall({ask}) end end", on_log=log)}, handlers=handlers,
              loud=True) as (client, edge, origin, side):
    same(client.get("/often?n=64").body, b"all")
    for path in ("/often?n=65", "/often?n=1000000", "/a?loop=1"):
      response = client.get(path)
      assert_error(response, 500, "POLICY_ERROR")
      error = edge.line_of(response, event="policy_error")
      holds("waited more than 64 times in one exchange" in error["message"], error["message"])
    # The line in the log comes when on_log is through.
    edge.log_line(requestId=response.fields.one("x-request-id"))
    paths = [request.path for request in side.requests]
    same([paths.count(path) for path in ("/often", "/a", "/log")], [64 * 3, 64, 64], "requests at the side")


@play
def the_request_of_a_fetch():
  """a fetch has the method, path, fields and body that the script gave it, and nothing of the client's credentials"""
  policy = """local a = edge.http.fetch{service = "side", method = "POST", path = "/v1/ask?q=a%20b",
  headers = {["X-Own"] = "own", accept = "text/plain"}, json = {name = "Zoë", list = {1, 2}}}
local b = edge.http.fetch{service = "side", method = "PUT", path = "/raw", body = "\\0\\255raw",
  headers = {["content-type"] = "application/octet-stream", authorization = "Bearer own"}}
local c = edge.http.fetch{service = "side", path = "/plain"}
local d = edge.http.fetch{service = "side", method = "DELETE", path = "/gone"}
edge.reply{json = {a.status, b.status, c.status, d.status}}"""
  with asking({"ask": lua(policy)}) as (client, edge, origin, side):
    fields = [bearer("of the client"), ("X-API-Key", "of the client"), ("Cookie", "a=b"), ("X-Secret", "c")]
    same(json.loads(client.get("/", fields).body), [200] * 4)
    post, put, get, delete = side.requests
    same([(r.method, r.target) for r in side.requests],
         [("POST", "/v1/ask?q=a%20b"), ("PUT", "/raw"), ("GET", "/plain"), ("DELETE", "/gone")])
    same(json.loads(post.body), {"name": "Zoë", "list": [1, 2]})
    same([post.fields.one(name) for name in ("x-own", "accept", "content-type")],
         ["own", "text/plain", "application/json"])
    same((put.body, put.fields.all("content-type"), put.fields.all("authorization")),
         (b"\0\xffraw", ["application/octet-stream"], ["Bearer own"]))
    same((get.body, get.framing, delete.framing), (b"", "none", "none"))
    for request in (post, get, delete):
      for name in ("authorization", "x-api-key", "cookie", "x-secret"):
        holds(name not in request.fields, f"{name} at the side")
      same(request.fields.one("host"), f"127.0.0.1:{side.address[1]}")


@play
def the_answer_of_a_fetch():
  """a script gets status, fields and body of an answer, however it is framed and whatever its status; redirects too"""
  policy = """local a = edge.http.fetch{service = "side", path = req.path, method = req.method}
edge.reply{json = {status = a.status, type = a.headers["content-type"], location = a.headers.location,
  own = a.headers["x-own"], size = #a.body, start = a.body:sub(1, 5)}}"""
  big = random_bytes(256).hex().encode() * 200
  fields = [("Content-Type", "text/x"), ("X-OWN", "own")]
  scripts = {"/length": answer(200, big, fields), "/chunked": answer(201, big, fields, "chunked"),
             "/close": answer(404, big, fields, "close"), "/none": answer(204, b"", fields, "none"),
             "/error": answer(500, b"x", fields),
             "/moved": answer(302, b"", [*fields, ("Location", "http://127.0.0.1:1/")])}
  with asking({"ask": lua(policy)}, scripts) as (client, edge, origin, side):
    for path, status, body in (("/length", 200, big), ("/chunked", 201, big), ("/close", 404, big), ("/none", 204, b""),
                               ("/moved", 302, b""), ("/error", 500, b"x")):
      document = json.loads(client.get(path).body)
      same((document["status"], document["type"], document["own"], document["size"], document["start"]),
           (status, "text/x", "own", len(body), body[:5].decode()), path)
      same(document.get("location"), "http://127.0.0.1:1/" if path == "/moved" else None)
    document = json.loads(client.request("HEAD", "/length").body or b"{}")
    same(side.last().method, "HEAD")


@play
def several_in_a_row():
  """several fetches in a row, in policies and the handler, each get their own answer, and what was set is kept"""
  def policy(name):
    return lua(f"""req.headers["x-before-{name}"] = "b"
ctx.said = ctx.said or {{}} for i = 1, 3 do
  ctx.said[#ctx.said + 1] = edge.http.fetch{{service = "side", path = "/{name}/" .. i .. req.args.n}}.body
end
req.headers["x-after-{name}"] = "a" """)

  def side_script(request, line):
    answer(200, request.target.encode())(request, line)
  handlers = {"own": lua(handle="""edge.reply{json = {said = ctx.said, seen = req.headers["x-before-one"],
  n = req.args.n, last = edge.http.fetch{service = "side", path = "/last"}.body}}""")}
  with asking({"one": policy("one"), "two": policy("two")}, side_script, handlers=handlers,
              routes={"own": {"policies": ["one", "two"]}}) as (client, edge, origin, side):
    for number in range(5):
      said = [f"/{name}/{i}{number}" for name in ("one", "two") for i in (1, 2, 3)]
      same(json.loads(client.get(f"/own?n={number}").body),
           {"said": said, "seen": "b", "n": f"{number}", "last": "/last"})
      same(client.get(f"/?n={number}", [("X-Client", "kept")]).status, 200)
      request = origin.last()
      for name in ("x-before-one", "x-after-one", "x-before-two", "x-after-two", "x-client"):
        same(len(request.fields.all(name)), 1, f"{name} at the service")


@play
def in_coroutines():
  """a fetch works within coroutine.wrap, pcall and iterators of the script"""
  policy = """local found = {}
local function each(paths)
  return coroutine.wrap(function() for _, path in ipairs(paths) do
    coroutine.yield(edge.http.fetch{service = "side", path = path}.body) end end)
end
for body in each{"/a", "/b"} do found[#found + 1] = body end
local ok, answer = pcall(edge.http.fetch, {service = "side", path = "/c"})
found[#found + 1] = ok and answer.body
ok, answer = pcall(function() return coroutine.wrap(function()
  return edge.http.fetch{service = "side", path = "/d"}.body end)() end)
found[#found + 1] = answer
edge.reply{json = found}"""
  with asking({"ask": lua(policy)}, lambda request, line: answer(200, request.target.encode())(request, line)) as (
      client, edge, origin, side):
    for _ in range(3):
      same(json.loads(client.get("/").body), ["/a", "/b", "/c", "/d"])


@play
def no_answer():
  """without an answer a fetch is an error that refuses the request, or that the script catches"""
  policy = """if req.args.catch then
  local ok, problem = pcall(edge.http.fetch, {service = req.args.to, path = "/", timeout = 0.2})
  edge.reply{json = {ok = ok, problem = problem}}
end
edge.http.fetch{service = req.args.to, path = "/", timeout = 0.2}"""
  with refused_port() as down, Origin(raw(b"hello\r\n\r\n", "close"), lenient=True) as odd:
    services = {"down": {"endpoints": [f"http://127.0.0.1:{own_port(down)}"]}, "odd": {"endpoints": [odd.url]}}
    with asking({"ask": lua(policy)}, lambda request, line: line.hang(), services=services, loud=True) as (
        client, edge, origin, side):
      for name, cause in (("side", "upstream_timeout"), ("down", "unavailable"), ("odd", "upstream_error")):
        response = client.get(f"/?to={name}")
        assert_error(response, 500, "POLICY_ERROR")
        line = edge.line_of(response, event="policy_error")
        holds("policies/ask.lua:7: no answer" in line["message"] and cause in line["message"], f"{line['message']}")
        document = json.loads(client.get(f"/?to={name}&catch=1").body)
        holds(document["ok"] is False and cause in document["problem"], f"{document}")
      same(origin.requests, [])


@play
def fetches_that_cannot_be():
  """a fetch to what is no configured service, or that cannot be written, is an error and reaches nobody"""
  bad = ['service = "nowhere", path = "/"', 'path = "/"', 'service = "side"', 'service = "side", path = "x"',
         'service = "side", path = "/a b"', 'service = "side", path = "/a\\r\\nx-injected: 1"',
         'service = "http://127.0.0.1:1", path = "/"', 'service = "side", path = "http://127.0.0.1:1/"',
         'service = "side", path = "/", method = "CONNECT"', 'service = "side", path = "/", method = "NOT A METHOD"',
         'service = "side", path = "/", headers = {["x-a"] = "b\\r\\nx-injected: 1"}',
         'service = "side", path = "/", headers = {["x a"] = "b"}',
         'service = "side", path = "/", headers = {host = "a"}', 'service = "side", path = "/", headers = "x-a: b"',
         'service = "side", path = "/", headers = {["content-length"] = "5"}',
         'service = "side", path = "/", headers = {["transfer-encoding"] = "chunked"}',
         'service = "side", path = "/", timeout = 0', 'service = "side", path = "/", timeout = -1',
         'service = "side", path = "/", timeout = 0/0', 'service = "side", path = "/", tiemout = 1',
         'service = "side", path = "/", body = {}', 'service = "side", path = "/", json = error',
         'service = "side", path = "/", body = ("x"):rep(1000000)', '"side", "/"']
  rows = "\n".join(f'if req.args.n == "{number}" then edge.http.fetch{{{text}}} end' for number, text in enumerate(bad))
  with asking({"ask": lua(rows)}, loud=True) as (client, edge, origin, side):
    for number, text in enumerate(bad):
      same(client.get(f"/?n={number}").status, 500, text)
    same((origin.requests, side.requests), ([], []), "requests that reached anybody")
    same(client.get("/").status, 200)


@play
def the_client_leaves():
  """when the client leaves the fetch is given up at once, the service is not asked and on_log runs once"""
  for leave in ("reset", "close", "finish"):
    policies = {"ask": lua(ASK, on_log='edge.log.info(ctx.cause)')}
    with waiting(policies) as (client, edge, origin, side, gate):
      with edge.client() as other:
        other.send(head("GET", "/left"))
        side.wait_requests(1)
        getattr(other, leave)()
        side.wait_connections(1)
        eventually(lambda: side.lines[0].reader.poll.poll(0), "the side sees the end")
      line = edge.log_line(path="/left")
      same((line["status"], line["cause"]), (0, "client_left"), leave)
      side.script = answer(200, b"yes")
      same(client.get("/next").status, 200)
      gate.open()
      edge.stop()
      same(origin.paths(), ["/next"])
      said = [row["text"] for row in edge.matching(event="policy_log")]
      same(sorted(said), ["client_left", "completed"], "what on_log said")


@play
def a_client_that_waits():
  """with client_fin: finish a client that closes its sending side gets its answer"""
  with waiting(route={"client_fin": "finish"}) as (client, edge, origin, side, gate):
    client.send(head("GET", "/"))
    side.wait_requests(1)
    client.finish()
    gate.open()
    same(client.read_response().status, 200)


@play
def lines_of_a_fetch():
  """a fetch has an access line of its own that names the exchange it was for; the exchange tells its own endpoint"""
  with asking({"ask": lua(ASK)}) as (client, edge, origin, side):
    response = client.get("/?who=alice")
    own = edge.line_of(response)
    child = edge.wait_line(event="exchange", origin="child")
    same((child["parent"], child["path"], child["service"], child["status"], child["cause"], child["attempts"]),
         (own["requestId"], "/ask/alice", "side", 200, "completed", 1))
    same((own["service"], own["endpoint"], own["attempts"]), ("app", f"127.0.0.1:{origin.address[1]}", 1))
    holds(own["upstreamDuration"] <= own["duration"] and child["duration"] <= own["duration"], f"{own} {child}")
    same(side.last().fields.one("x-request-id"), child["requestId"])


@play
def others_meanwhile():
  """while 50 requests of one worker wait, others are served, and each of the 50 gets its own answer"""
  with waiting() as (client, edge, origin, side, gate), ExitStack() as stack:
    side.script = lambda request, line: (gate.wait(), answer(200, request.path.encode())(request, line))
    clients = [stack.enter_context(edge.client()) for _ in range(50)]
    for number, one in enumerate(clients):
      one.send(head("GET", f"/?who=u{number}", [("X-Number", number)]))
    side.wait_requests(50)
    same(client.get("/health").status, 200)
    same(origin.requests, [])
    gate.open()
    same([one.read_response().status for one in clients], [200] * 50)
    same({request.fields.one("x-said") for request in origin.requests}, {f"/ask/u{number}" for number in range(50)})
    for request in origin.requests:
      same(request.fields.one("x-said"), f"/ask/u{request.fields.one('x-number')}")
    holds(len(side.lines) <= 50, f"{len(side.lines)} connections to the side")


@play
def pipelined():
  """requests behind one that waits are served after it, in their order, each with an own fetch"""
  with waiting() as (client, edge, origin, side, gate):
    client.send(b"".join(head("GET", f"/{number}?who=u{number}") for number in range(30)))
    gate.reached()
    same(len(side.requests), 1, "fetches before the first has its answer")
    gate.open()
    same([client.read_response().status for _ in range(30)], [200] * 30)
    same([request.path for request in origin.requests], [f"/{number}" for number in range(30)])
    same([request.path for request in side.requests], [f"/ask/u{number}" for number in range(30)])


@play
def pipelined_while_it_waits():
  """requests that arrive in pieces while the first waits are served when their turn comes"""
  with waiting() as (client, edge, origin, side, gate):
    client.send(head("GET", "/0"))
    gate.reached()
    text = b"".join(head("POST", f"/{number}", [("Content-Length", 5)]) + b"hello" for number in range(1, 8))
    for at in range(0, len(text), 97):
      client.send(text[at:at + 97])
    gate.open()
    same([client.read_response("POST").status for _ in range(8)], [200] * 8)
    same([(request.path, request.body) for request in origin.requests],
         [("/0", b"")] + [(f"/{number}", b"hello") for number in range(1, 8)])


@play
def bodies_meanwhile():
  """a body that comes while the policy waits reaches the service whole: small, large, counted and in chunks"""
  for size in (5, 20_000, 5 * MIB):
    body = random_bytes(size)
    for fields, sent in (([("Content-Length", size)], body),
                         ([("Transfer-Encoding", "chunked")], chunked(body[:size // 2], body[size // 2:]))):
      with waiting() as (client, edge, origin, side, gate):
        client.send(head("POST", "/", fields) + sent[:3])
        gate.reached()
        # As much as fits on the way; the rest must wait for the policy.
        taken = client.sock.send(sent[3:], 0x40) if sent[3:] else 0
        gate.open()
        client.send(sent[3 + taken:])
        same(client.read_response("POST").status, 200, f"{size} bytes")
        holds(origin.last().body == body, f"{size} bytes: {len(origin.last().body)} came")
        same(client.get("/next").status, 200)


@play
def slow_body_meanwhile():
  """a body that trickles before, while and after the policy waits is whole, and one that is refused closes"""
  with waiting() as (client, edge, origin, side, gate):
    client.send(head("POST", "/", [("Content-Length", 10)]) + b"01")
    gate.reached()
    client.send(b"23")
    client.send(b"45")
    gate.open()
    origin.wait_connections(1)
    client.send_slowly(b"6789")
    same(client.read_response("POST").status, 200)
    same(origin.last().body, b"0123456789")
  refusing = {"ask": lua(ASK + '\nedge.refuse("CONFLICT")')}
  with waiting(refusing) as (client, edge, origin, side, gate):
    client.send(head("POST", "/", [("Content-Length", 10)]) + b"01")
    gate.reached()
    client.send(b"23")
    gate.open()
    response = client.read_response("POST")
    same((response.status, response.fields.one("connection")), (409, "close"))
    client.assert_closed()
    with edge.client() as other:
      other.send(head("POST", "/a", [("Content-Length", 5)]) + b"hello" + head("GET", "/b"))
      same([other.read_response("POST").status for _ in range(2)], [409, 409], "with the whole body there")
    same(origin.requests, [])


@play
def expectations_meanwhile():
  """Expect: 100-continue is answered with 100 when the policy passes, and with the refusal alone when not"""
  with waiting() as (client, edge, origin, side, gate):
    client.send(head("POST", "/", [("Content-Length", 5), ("Expect", "100-continue")]))
    gate.reached()
    client.assert_open()
    gate.open()
    same(client.read_head().status, 100)
    client.send(b"hello")
    same((client.read_response("POST").status, origin.last().body), (200, b"hello"))
    side.script = answer(404, b"no")
    client.send(head("POST", "/", [("Content-Length", 5), ("Expect", "100-continue")]))
    response = client.read_response("POST")
    same((response.status, response.interim), (403, []))


@play
def longer_than_the_time_limits():
  """a request that waits longer than the limits for head, body and idling is not cut by them"""
  times = {"head": "200ms", "idle": "200ms", "body": "200ms", "send": "1s"}
  with waiting(server={"timeouts": times}) as (client, edge, origin, side, gate):
    with edge.client() as silent:
      client.send(head("POST", "/", [("Content-Length", 5)]))
      gate.reached()
      silent.assert_closed("a silent connection that was opened before the wait")
      gate.open()
      origin.wait_connections(1)
      client.send(b"hello")
      same((client.read_response("POST").status, origin.last().body), (200, b"hello"))


@play
def stopping_meanwhile():
  """an edge that stops lets a request that waits go on to its end"""
  with waiting(server={"drain": "30s"}) as (client, edge, origin, side, gate):
    client.send(head("GET", "/"))
    gate.reached()
    edge.signal()
    edge.wait_line(event="draining")
    gate.open()
    response = client.read_response()
    same((response.status, response.fields.one("connection")), (200, "close"))
    client.assert_closed()
    same(edge.wait_exit(), 0, "exit code")
    same(edge.log_line(path="/")["cause"], "completed")


@play
def stopped_meanwhile():
  """a request that still waits when the time to finish is over ends, and so does the edge"""
  policies = {"ask": lua(ASK, on_log='edge.log.info(ctx.cause)')}
  with waiting(policies, server={"drain": "200ms"}) as (client, edge, origin, side, gate):
    client.send(head("GET", "/"))
    gate.reached()
    edge.signal()
    client.assert_closed()
    same(edge.wait_exit(), 0, "exit code")
    same([line["text"] for line in edge.matching(event="policy_log")], ["drain"])
    same(edge.log_line(path="/")["cause"], "drain")
    same(origin.requests, [])


@play
def reload_meanwhile():
  """a request that waits over a reload ends on the script, the settings and the routes of its own generation"""
  def policy(name):
    return lua(ASK + f'\nreq.headers["x-generation"] = "{name}"')
  with waiting({"ask": policy("old")}) as (client, edge, origin, side, gate):
    with Origin(answer(200, b"new")) as new, edge.client() as later:
      client.send(head("GET", "/old"))
      gate.reached()
      line = edge.adopt(merged(edge.config, {"services": {"app": {"endpoints": [new.url]}}}),
                        {file_of("ask"): policy("new")})
      same(line["live"], 2, "live generations")
      side.script = answer(200, b"yes")
      response = later.get("/new")
      same((response.body, new.last().fields.one("x-generation")), (b"new", "new"))
      gate.open()
      response = client.read_response()
      same((response.body, origin.last().fields.one("x-generation")), (b"ok", "old"))
      same(edge.line_of(response)["generation"], 1)
      edge.wait_line(event="generation_ended", generation=1)
      same(client.get("/next").body, b"new", "the next request of the connection")


@play
def clients_that_leave_cost_nothing():
  """800 clients that leave while their requests wait leave nothing behind"""
  with waiting() as (client, edge, origin, side, gate):
    side.script = lambda request, line: line.hang()

    def leave(count):
      for number in range(count):
        with edge.client() as other:
          other.send(head("POST", f"/left{number}", [("Content-Length", 30_000)]) + b"x" * 20_000)
          side.wait_requests(len(edge.matching(event="exchange", origin="child")) + 1)
          other.reset()
        edge.wait(lambda: len(edge.matching(event="exchange", cause="client_left")) > done + number, "the access line")
    done, sizes = 0, []
    for done in range(0, 800, 200):
      leave(200)
      sizes.append(edge.memory())
    # What is left behind is left behind in every round; what is made once, such as the ring of the log, is not.
    grown = min(after - before for before, after in zip(sizes, sizes[1:]))
    holds(grown < MIB // 4 * MEMORY_FACTOR, f"each 200 clients take {grown} bytes: {sizes}")
    side.script = answer(200, b"yes")
    # The first connection was idle for too long by now, where the machine is slow.
    with edge.client() as other:
      same(other.get("/next").status, 200)
      same(json.loads(other.get("/health").body)["connections"]["totalPendingRequests"], 0, "requests that wait")


@play
def fields_of_edge_itself():
  """a fetch cannot set the fields that Edge writes itself, in whatever case their names are"""
  names = ["x-request-id", "host", "connection"]
  names += [name.title() for name in names] + [name.upper() for name in names]
  policy = """edge.http.fetch{service = "side", path = "/", headers = {accept = "a", [req.args.name] = "own"}}"""
  with asking({"ask": lua(policy)}, loud=True) as (client, edge, origin, side):
    for name in names:
      response = client.get(f"/?name={name}")
      assert_error(response, 500, "POLICY_ERROR")
      line = edge.line_of(response, event="policy_error")
      holds(f"'{name}' is written by Edge itself" in line["message"], f"{name}: {line['message']}")
    same((origin.requests, side.requests), ([], []), "requests that reached anybody")
    same(client.get("/?name=x-own").status, 200)
    same(side.last().fields.all("x-own"), ["own"])


@play
def fields_given_instead():
  """content-type and user-agent of a script stand in a fetch instead of the usual ones; the side sees one of each"""
  policy = """local headers = {} for _, name in ipairs{"type", "agent"} do
  if req.args[name] then headers[req.args[name]] = "own/" .. name end
end
edge.http.fetch{service = "side", method = "POST", path = "/", headers = headers, json = {a = 1}}"""
  with asking({"ask": lua(policy)}) as (client, edge, origin, side):
    same(client.get("/").status, 200)
    same(side.last().fields.all("content-type"), ["application/json"])
    usual = side.last().fields.all("user-agent")
    holds(len(usual) == 1 and usual[0].startswith("edge/"), f"user-agent {usual}")
    for kind, agent in (("content-type", "user-agent"), ("Content-Type", "User-Agent")):
      for query, wanted in ((f"type={kind}", (["own/type"], usual)),
                            (f"agent={agent}", (["application/json"], ["own/agent"])),
                            (f"type={kind}&agent={agent}", (["own/type"], ["own/agent"]))):
        same(client.get(f"/?{query}").status, 200, query)
        fields = side.last().fields
        same((fields.all("content-type"), fields.all("user-agent")), wanted, query)
        same(json.loads(side.last().body), {"a": 1})
