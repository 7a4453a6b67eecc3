"""Scripts that answer, and what policies see of a request and change in it."""

import datetime

from play import *

MIB = 1 << 20


def fields_of(response, *names):
  return tuple(response.fields.one(name) for name in names)


@play
def json_and_text():
  """a handler answers with JSON or text, and the type says which"""
  handlers = {
    "json": lua(handle='edge.reply{json = {text = "ü\\"\\n", n = 1, f = 1.5, yes = true, none = edge.json.null, '
                       'list = {1, "a"}, empty = edge.json.array({}), map = {}}}'),
    "text": lua(handle='edge.reply{body = "grüß\\n"}'), "scalar": lua(handle="edge.reply{json = 42}"),
    "empty": lua(handle='edge.reply{body = ""}'), "nothing": lua(handle="edge.reply{}")}
  with ruled(handlers=handlers) as (client, edge, origin):
    response = client.get("/json")
    same(response.status, 200)
    same(fields_of(response, "content-type", "cache-control"), ("application/json", "no-store"))
    same(json.loads(response.body), {"text": 'ü"\n', "n": 1, "f": 1.5, "yes": True, "none": None, "list": [1, "a"],
                                     "empty": [], "map": {}})
    same(response.fields.one("content-length"), str(len(response.body)))
    assert_ulid(response.fields.one("x-request-id"))
    holds("date" in response.fields, "no Date")
    response = client.get("/text")
    same((response.body.decode(), response.fields.one("content-type")), ("grüß\n", "text/plain; charset=utf-8"))
    same(client.get("/scalar").body, b"42")
    for path in ("/empty", "/nothing"):
      response = client.get(path)
      same((response.status, response.body, response.fields.one("content-length")), (200, b"", "0"), path)
    line = edge.line_of(response)
    same((line["route"], line["status"], line["cause"], line["service"], line["attempts"]),
         ("nothing", 200, "completed", "", 0))
    same(origin.requests, [])


@play
def statuses_and_fields():
  """a handler chooses the status and header fields; those that Edge writes itself it cannot write"""
  handle = """edge.reply{status = tonumber(req.args.status), body = req.args.body,
  headers = {["X-Own"] = "own", Location = "/b", ["content-type"] = "text/csv", ["Cache-Control"] = "max-age=60"}}"""
  with ruled(handlers={"own": lua(handle=handle)}) as (client, edge, origin):
    for status in (200, 201, 202, 302, 404, 418, 500, 599):
      response = client.get(f"/own?status={status}&body=a,b")
      same((response.status, response.body), (status, b"a,b"))
      same(fields_of(response, "x-own", "location", "content-type", "cache-control"),
           ("own", "/b", "text/csv", "max-age=60"))
      same(edge.line_of(response)["status"], status)
    for status in (204, 304):
      response = client.get(f"/own?status={status}")
      same((response.status, response.body), (status, b""))
      holds("content-length" not in response.fields, f"Content-Length with {status}")
  reserved = ["Content-Length", "transfer-encoding", "Connection", "Date", "x-request-id", "Keep-Alive", "Upgrade",
              "Via"]
  handle = 'edge.reply{body = "x", headers = {[req.args.name] = req.args.value}}'
  with ruled(handlers={"own": lua(handle=handle)}, loud=True) as (client, edge, origin):
    for name in reserved:
      assert_error(client.get(f"/own?name={name}&value=1"), 500, "POLICY_ERROR")
    same(client.get("/own?name=x-other&value=1").fields.one("x-other"), "1")


@play
def injection():
  """line ends and control bytes in what a handler or policy writes into a field are an error, never another field"""
  handlers = {"own": lua(handle='edge.reply{body = "x", headers = {[req.args.name] = req.args.value}}')}
  policy = lua('if req.args.name then req.headers[req.args.name] = req.args.value end')
  bad = [("x-a", "b%0d%0ax-injected:+1"), ("x-a", "b%0ax-injected:+1"), ("x-a", "b%0dx-injected:+1"), ("x-a", "b%00"),
         ("x-a", "b%7f"), ("x-a", "+b"), ("x-a", "b+"), ("x-a%0d%0ax-injected", "1"), ("x-a:", "1"), ("x+a", "1"),
         ("", "1"), ("x-a%00", "1"), ("x-%c3%a4", "1"), ("x-a", "b" * 5000)]
  with ruled({"set": policy}, handlers=handlers, loud=True) as (client, edge, origin):
    for name, value in bad:
      for path in ("/own", "/to/the/service"):
        response = client.get(f"{path}?name={name}&value={value}")
        assert_error(response, 500, "POLICY_ERROR")
        holds("x-injected" not in response.fields, f"{name}={value} injects a field")
    same(origin.requests, [])
    same(client.get("/own?name=x-a&value=b%09c").fields.one("x-a"), "b\tc")
    same(client.get("/to?name=x-a&value=%c3%a4").status, 200)
    same(origin.last().fields.one("x-a"), "ä".encode().decode("latin-1"))


@play
def head_requests():
  """HEAD gets the fields of GET without the body, and the connection goes on"""
  handle = 'edge.reply{json = {method = req.method, long = ("x"):rep(100000)}}'
  with ruled(handlers={"own": lua(handle=handle)}) as (client, edge, origin):
    length = len(client.get("/own").body) + 1
    for _ in range(3):
      response = client.request("HEAD", "/own")
      same((response.status, response.body, response.fields.one("content-length")), (200, b"", str(length)))
      same(edge.line_of(response)["responseBytes"], 0)
    same(client.get("/own").status, 200)


ALL = """edge.reply{json = {method = req.method, path = req.path, query = req.query, host = req.host,
  address = req.address, network = req.network, id = req.id, route = req.route, permission = req.permission,
  listener = req.listener, upgrade = req.upgrade, credential = req.credential ~= nil,
  own = req.headers["X-OWN"], agent = req.headers["user-agent"], authorization = req.headers.authorization,
  key = req.headers["x-api-key"], none = req.headers["x-none"], id_param = req.params.id, rest = req.params.rest,
  arg = req.args.a, flag = req.args.flag, gone = req.args.gone}}"""


@play
def what_a_script_sees():
  """a script sees method, path, query, host, address, ids, fields, parameters and arguments of the request, decoded"""
  routes = {"all_of_it": {"path": "/things/:id/*", "handler": "own", "policies": ["none"], "permission": "a:b"}}
  with ruled({"none": lua("")}, handlers={"own": lua(handle=ALL)}, routes=routes) as (client, edge, origin):
    response = client.request("PUT", "/things//a%20b%c3%a4/x%7e/y?a=1+2%26&a=3&flag&%61=4", [
      ("X-Own", "one"), ("User-Agent", "play"), ("x-own", "two"), bearer("token"), ("x-api-key", "token")], b"body")
    same(json.loads(response.body), {
      "method": "PUT", "path": "/things/a%20b%C3%A4/x~/y", "query": "a=1+2%26&a=3&flag&%61=4", "host": "edge.test",
      "address": "127.0.0.1", "network": "127.0.0.1", "id": response.fields.one("x-request-id"), "route": "all_of_it",
      "permission": "a:b", "listener": "main", "upgrade": False, "credential": True, "own": "one, two", "agent": "play",
      "id_param": "a bä", "arg": "1 2&", "flag": ""})
    document = json.loads(client.get("/own", host="a.test:8080").body)
    same({name: document.get(name) for name in ("path", "query", "host", "route", "permission", "arg", "credential")},
         {"path": "/own", "query": None, "host": "a.test:8080", "route": "own", "permission": None, "arg": None,
          "credential": False})
    document = json.loads(client.get("/things/%2525/x?gone=&a=%zz").body)
    same((document["id_param"], document["gone"]), ("%25", ""))


@play
def unusual_requests():
  """what a script reads of HTTP/1.0, of absolute targets and of long heads is right"""
  with ruled(handlers={"own": lua(handle=ALL)}) as (client, edge, origin):
    same(json.loads(client.get("http://a.test/own?a=b", host="a.test").body)["host"], "a.test")
    with edge.client() as other:
      document = json.loads(other.request("GET", "/own?a=1", version="1.0", host=None).body)
      same((document["host"], document["arg"]), ("", "1"))
    response = client.get("/own?" + "b=1&" * 1000 + "a=last", [(f"X-{n}", "v" * 50) for n in range(90)])
    same(json.loads(response.body)["arg"], "last")
    client.send_slowly(head("GET", "/own?a=slow", [("X-Own", "piece")]), 7)
    document = json.loads(client.read_response().body)
    same((document["arg"], document["own"]), ("slow", "piece"))


@play
def large_answers():
  """a body of up to 192 KiB arrives whole, also at a client that reads slowly; a longer one is an error"""
  handle = 'edge.reply{body = ("0123456789abcdef"):rep(64):rep(tonumber(req.args.n))}'
  with ruled(handlers={"own": lua(handle=handle)}, loud=True) as (client, edge, origin):
    for kib in (1, 15, 16, 17, 63, 64, 65, 191, 192):
      response = client.get(f"/own?n={kib}")
      holds(response.body == b"0123456789abcdef" * 64 * kib, f"{kib} KiB: {len(response.body)} bytes came")
      same(edge.line_of(response)["responseBytes"], kib * 1024)
    for kib in (193, 1024):
      assert_error(client.get(f"/own?n={kib}"), 500, "POLICY_ERROR")
    with edge.client(receive_buffer=4096) as slow:
      slow.send(head("GET", "/own?n=192") * 20)
      same(client.get("/own?n=1").status, 200, "another client meanwhile")
      for number in range(20):
        same(len(slow.read_response().body), 192 * 1024, f"length of answer {number}")
    with edge.client(receive_buffer=4096) as rude:
      rude.send(head("GET", "/own?n=192") * 100)

      def pending():
        return json.loads(client.get("/health").body)["connections"]["totalPendingRequests"]
      eventually(lambda: pending() > 0, "an answer waits for the rude client")
      rude.reset()
    eventually(lambda: edge.matching(event="exchange", cause="client_left"), "the rude client's line")


@play
def keep_alive_and_pipelining():
  """200 pipelined requests, for a handler and the service in turn, are answered in their order"""
  handlers = {"own": lua(handle="edge.reply{body = req.args.n}")}

  def script(request, line):
    answer(200, request.target.split("=")[1].encode())(request, line)
  with ruled({"none": lua("ctx.n = req.args.n")}, script, handlers=handlers) as (client, edge, origin):
    client.send(b"".join(head("GET", f"/{'own' if n % 3 else 'service'}?n={n}") for n in range(200)))
    same([client.read_response().body for _ in range(200)], [b"%d" % n for n in range(200)])
    same(len(origin.requests), 67, "requests at the service")


@play
def bodies_to_handlers():
  """a body that comes with its request is taken off a handler's connection; one that is not sent whole closes it"""
  with ruled(handlers={"own": lua(handle="edge.reply{body = req.method .. req.args.n}")}) as (client, edge, origin):
    inner = head("GET", "/own?n=inner")
    for fields, body in (([("Content-Length", len(inner))], inner),
                         ([("Transfer-Encoding", "chunked")], chunked(inner))):
      client.send(head("POST", "/own?n=1", fields) + body + head("GET", "/own?n=2"))
      same([client.read_response().body for _ in range(2)], [b"POST1", b"GET2"])
    for fields, body in (([("Content-Length", 100)], b"half"), ([("Transfer-Encoding", "chunked")], b"64\r\nhalf")):
      with edge.client() as other:
        other.send(head("POST", "/own?n=3", fields) + body)
        response = other.read_response()
        same((response.body, response.fields.one("connection")), (b"POST3", "close"))
        other.assert_closed()
    with edge.client() as other:
      other.send(head("POST", "/own?n=4", [("Content-Length", 5), ("Expect", "100-continue")]))
      response = other.read_response()
      same((response.status, response.interim), (200, []), "status and interim answers")
    with edge.client() as other:
      same(other.request("POST", "/own?n=5", [("Content-Length", 11 * MIB)]).status, 413)


@play
def without_an_answer():
  """a handler that returns without an answer, whatever it returns, is an error of 500"""
  ways = ["", "return 1", "return {status = 200}", "ctx.user = 'a'", "pcall(error)"]
  handlers = {f"h{number}": lua(handle=way) for number, way in enumerate(ways)}
  with ruled(handlers=handlers, loud=True) as (client, edge, origin):
    for number, way in enumerate(ways):
      response = client.get(f"/h{number}")
      assert_error(response, 500, "POLICY_ERROR")
      line = edge.line_of(response, event="policy_error")
      same((line["policy"], line["phase"]), (f"h{number}", "handle"), way)


@play
def handlers_behind_policies():
  """a handler runs behind the policies of its route and sees what they found out; whom they refuse it never sees"""
  routes = {"whoami": {"policies": ["auth"]}}
  with ruled({"auth": AUTH}, handlers={"whoami": WHOAMI}, routes=routes) as (client, edge, origin):
    response = client.get("/whoami", [bearer(roles=["user", "admin"])])
    same(json.loads(response.body), {"user": "alice", "roles": ["user", "admin"],
                                     "requestId": response.fields.one("x-request-id")})
    same(edge.line_of(response)["principal"], "alice")
    same(json.loads(client.get("/whoami", [bearer(user="bob")]).body)["user"], "bob")
    assert_error(client.get("/whoami"), 401, "UNAUTHORIZED")
    same(origin.requests, [])


@play
def handlers_refuse():
  """a handler refuses like a policy, with code, message, details and time to wait"""
  handle = """edge.refuse(req.args.code,
  {message = "No \\"more\\" of it.", retry_after = 1.2, left = 0, why = {"a", "b"}})"""
  with ruled(handlers={"own": lua(handle=handle)}) as (client, edge, origin):
    for code, status in (("CONFLICT", 409), ("RATE_LIMIT_EXCEEDED", 429), ("INSUFFICIENT_CREDITS", 402),
                         ("INVALID_REQUEST", 400), ("SERVICE_UNAVAILABLE", 503), ("NOT_IMPLEMENTED", 501)):
      response = client.get(f"/own?code={code}")
      error = assert_error(response, status, code)["error"]
      same((error["message"], error["retryAfter"], error["details"]),
           ('No "more" of it.', 2, {"left": 0, "why": ["a", "b"]}))
      same(response.fields.one("retry-after"), "2")
      line = edge.line_of(response)
      same((line["cause"], line["policy"], line["status"]), ("refused", "own", status))


@play
def policies_that_answer():
  """a policy may answer by itself: neither those behind it nor the service are asked"""
  policies = {"first": lua('if req.method == "OPTIONS" then edge.reply{status = 204, headers = {["x-a"] = "b"}} end'),
              "second": lua('edge.log.info("asked")')}
  with ruled(policies) as (client, edge, origin):
    response = client.request("OPTIONS", "/")
    same((response.status, response.fields.one("x-a")), (204, "b"))
    line = edge.line_of(response)
    same((line["cause"], line["status"]), ("completed", 204))
    same((client.get("/").status, len(origin.requests)), (200, 1))
    edge.stop()
    same(len(edge.matching(event="policy_log")), 1, "how often the second was asked")


@play
def fields_for_the_service():
  """policies set, replace and remove what the service gets; a later policy sees what an earlier one has written"""
  one = """req.headers["X-Set"] = "one" req.headers["x-replaced"] = "new" req.headers["X-Removed"] = nil
req.headers["x-twice"] = "first" req.headers["x-taken-back"] = "a" req.headers["x-gone"] = "a" """
  two = """edge.log.info(edge.json.encode{req.headers["x-set"], req.headers["X-REPLACED"], req.headers["x-twice"],
  req.headers["x-removed"] == nil})
req.headers["x-twice"] = req.headers["x-twice"] .. " second" req.headers["x-taken-back"] = nil
req.headers["X-GONE"] = nil"""
  with ruled({"one": lua(one), "two": lua(two)}) as (client, edge, origin):
    sent = [("X-Replaced", "old"), ("X-Removed", "a"), ("x-replaced", "older"), ("x-REMOVED", "b"), ("X-Kept", "kept"),
            ("X-Gone", "here"), ("Connection", "x-set, x-twice")]
    same(client.request("POST", "/", sent, b"hello").status, 200)
    request = origin.last()
    for name, wanted in (("x-set", ["one"]), ("x-replaced", ["new"]), ("x-removed", []), ("x-twice", ["first second"]),
                         ("x-taken-back", []), ("x-kept", ["kept"]), ("x-gone", [])):
      same(request.fields.all(name), wanted, name)
    same(request.body, b"hello")
    same(json.loads(edge.wait_line(event="policy_log")["text"]), ["one", "new", "first", True])
    same(client.get("/again").status, 200)
    same(origin.last().fields.all("x-kept"), [], "of an earlier request")


@play
def reserved_fields():
  """what frames the message, routes it or says who sent it no policy can write or remove"""
  names = ["host", "Content-Length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade",
           "expect", "x-forwarded-for", "X-Forwarded-Proto", "x-forwarded-host", "forwarded", "x-real-ip",
           "x-request-id", "via", "proxy-authorization", "date"]
  policy = """if req.args.set then req.headers[req.args.set] = "1" end
if req.args.remove then req.headers[req.args.remove] = nil end"""
  with ruled({"set": lua(policy)}, loud=True) as (client, edge, origin):
    for name in names:
      for how in ("set", "remove"):
        assert_error(client.get(f"/?{how}={name}"), 500, "POLICY_ERROR")
    same(origin.requests, [])
    same(client.request("POST", "/?set=x-fine", body=b"hello").status, 200)


@play
def as_many_fields_as_fit():
  """fields up to 8 KiB reach the service; more is an error and not a request without some of them"""
  policy = """for i = 1, tonumber(req.args.n) do req.headers["x-more-" .. i] = ("v"):rep(1000) end"""
  with ruled({"set": lua(policy)}, loud=True) as (client, edge, origin):
    same(client.get("/?n=7").status, 200)
    same([origin.last().fields.one(f"x-more-{n}") for n in range(1, 8)], ["v" * 1000] * 7)
    assert_error(client.get("/?n=20"), 500, "POLICY_ERROR")
    large = [(f"X-{n}", "v" * 1000) for n in range(14)]
    among(client.get("/?n=7", large).status, (200, 431, 500), "status with a large head of the client's own")
    same(client.get("/?n=0").status, 200)


@play
def one_context():
  """ctx is one table for all policies and the handler of an exchange, and every exchange has its own"""
  policies = {"one": lua("ctx.seen = {req.args.n} ctx.user = 'user-' .. req.args.n"),
              "two": lua("ctx.seen[2] = ctx.user")}
  handlers = {"own": lua(handle="ctx.seen[3] = #ctx.seen edge.reply{json = ctx.seen}")}
  with ruled(policies, handlers=handlers, routes={"own": {"policies": ["one", "two"]}}) as (client, edge, origin):
    for number in range(20):
      response = client.get(f"/own?n={number}")
      same(json.loads(response.body), [f"{number}", f"user-{number}", 2])
      same(edge.line_of(response)["principal"], f"user-{number}")


@play
def functions_for_scripts():
  """edge.crypto, edge.json and edge.time do what they say"""
  handle = """local c, t = edge.crypto, edge.time
local ok = pcall(edge.json.decode, "{") local none, problem = edge.json.try_decode('{"a":1,}')
edge.reply{json = {sha = c.sha256("abc"), hmac = c.hmac_sha256("key", "text"), b64 = c.base64("\\255\\254\\253"),
  url = c.base64url("\\255\\254\\253\\252"), back = c.unbase64("YWI="), burl = c.unbase64url("YWI"),
  bad = c.unbase64("*"),
  eq = {c.equal("a", "a"), c.equal("a", "b"), c.equal("a", "aa")}, r = {c.random(1), c.random(64), c.random(16)},
  now = t.now(), steady = t.monotonic() <= t.monotonic(), ok = ok, none = none == nil, problem = problem ~= nil,
  decoded = edge.json.decode('{"a":[1,2.5,null,"\\\\u00fc",{}],"b":[]}'), encoded = edge.json.encode({1, 2})}}"""
  with ruled(handlers={"own": lua(handle=handle)}) as (client, edge, origin):
    before = edge.wait_line(event="ready")["time"][:16]
    document = json.loads(client.get("/own").body)
    random, now, decoded = document.pop("r"), document.pop("now"), document.pop("decoded")
    same(document, {
      "sha": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
      "hmac": "6afa9046a9579cad143a384c1b564b9a250d27d6f6a63f9f20bf3a7594c9e2c6", "b64": "//79", "url": "__79_A",
      "back": "ab", "burl": "ab", "eq": [True, False, False], "steady": True, "ok": False, "none": True,
      "problem": True, "encoded": "[1,2]"})
    same([len(text) for text in random], [2, 128, 32])
    same((decoded["a"][:4], decoded["b"]), ([1, 2.5, None, "ü"], []))
    stamp = datetime.datetime.fromtimestamp(now, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M")
    holds(stamp >= before, f"edge.time.now() is {stamp}, earlier than {before}")
