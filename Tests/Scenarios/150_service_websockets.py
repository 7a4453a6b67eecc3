"""WebSockets to services: how they are opened, what the service is asked, and what of its answer is believed."""

from play import *
from stage.credits import *
from stage.metrics import *
from stage.pairs import *
from stage.websocket import *

ASKED = ["Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version"]


def opening(client, path="/chat", fields=(), **options):
  """Sends an opening and reads whatever comes of it."""
  client.send(handshake(path, fields, **options))
  return client.read_response()


# MARK: what the service is asked


@play
def what_the_service_is_asked():
  """the service gets a handshake of the edge's own, with a fresh key, and the client an accept for its own key"""
  fields = [("Origin", "https://app.test"), ("Sec-WebSocket-Extensions", "permessage-deflate"), ("X-A", "1"),
            ("Sec-WebSocket-Protocol", "one, two"), ("Cookie", "a=b"), bearer(), ("Sec-WebSocket-Accept", "x")]
  keys = set()
  with Sockets() as service, fronted(service) as edge:
    for _ in range(3):
      with edge.client() as client, upgraded(client, "/chat?a=1", fields, key="AQIDBAUGBwgJCgsMDQ4PEA==") as one:
        two = service.take()
        found = two.request.fields
        same((two.request.method, two.request.target, two.request.version), ("GET", "/chat?a=1", "1.1"))
        same([found.one(name) for name in ("upgrade", "connection", "sec-websocket-version")],
             ["websocket", "upgrade", "13"])
        same([found.one(name) for name in ("origin", "x-a", "sec-websocket-protocol")],
             ["https://app.test", "1", "one, two"])
        for name in ("sec-websocket-extensions", "cookie", "authorization", "sec-websocket-accept"):
          holds(name not in found, f"{name} was handed on")
        same(found.one("x-forwarded-for"), "127.0.0.1")
        keys.add(found.one("sec-websocket-key"))
        crosses(one, two)
    holds(len(keys) == 3 and "AQIDBAUGBwgJCgsMDQ4PEA==" not in keys, f"keys {keys}")


@play
def what_the_client_is_answered():
  """fields of the service's 101 pass by the usual rules, and its handshake is the edge's own"""
  rows = ["Set-Cookie: a=b", "X-B: 2", "Sec-WebSocket-Protocol: two", "Keep-Alive: timeout=5", "Server: s"]
  with paired(rows=rows, fields=[("Sec-WebSocket-Protocol", "one,two")], protocol="two") as (one, two, edge, service):
    found = one.response.fields
    same([found.one(name) for name in ("set-cookie", "x-b", "server")], ["a=b", "2", "s"])
    holds("keep-alive" not in found and found.one("date"), f"{found}")
    line = edge.line_of(one.response)
    same((line["status"], line["cause"], line["route"], line["path"]), (101, "completed", "all", "/chat"))
    crosses(one, two)


@play
def pooled_connections():
  """a WebSocket may go out on a kept connection, which never comes back to the pool"""
  def script(request, line):
    if request.fields.one("upgrade"):
      service.agree(request, line)
    else:
      line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
  with Sockets() as service:
    service.script = script
    with fronted(service) as edge, edge.client() as client:
      same(client.get("/").body, b"ok")
      with edge.client() as other:
        one = upgraded(other)
        two = service.take()
        same(two.client.number, 1, "connection")
        same(client.get("/").body, b"ok")
        same(len(service.lines), 2)
        crosses(one, two)


@play
def stale_connections():
  """an opening on a kept connection that turns out to be dead is sent again on a fresh one"""
  def script(request, line):
    if request.fields.one("upgrade"):
      service.agree(request, line)
    else:
      line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
      gate.wait()
      line.reset()
  with Sockets(lenient=True) as service:
    gate = service.gate()
    service.script = script
    with fronted(service) as edge, edge.client() as client, edge.client() as other:
      same(client.get("/").body, b"ok")
      with edge.frozen():
        gate.open()
        eventually(lambda: service.lines[0].closed, "the service has reset the connection")
        key = new_key()
        other.send(handshake("/chat", key=key))
      one = WebSocket(other, assert_opened(other.read_head(), key))
      crosses(one, service.take())


@play
def credentials_in_subprotocols():
  """a token in the list of subprotocols is none: the service does not see it, and browsers get their answer"""
  text = token()
  auth = {"auth": AUTH}
  for offer, seen, chosen, answered in (
      (f"Bearer, {text}", None, None, "Bearer"), (f"Bearer, {text}, chat", "chat", "chat", "chat"),
      (f"chat, Bearer, {text}", "chat", None, "Bearer"), (f"Bearer {text}", None, None, None)):
    rows = [f"Sec-WebSocket-Protocol: {chosen}"] if chosen else []
    with paired(auth, rows=rows, fields=[("Sec-WebSocket-Protocol", offer)], protocol=answered) as (one, two, edge, _):
      same(two.request.fields.one("sec-websocket-protocol"), seen, f"for {offer[:12]}")
      holds(text not in two.request.raw_head.decode(), "the token was handed on")
      crosses(one, two)
      same(edge.log_line(status=101)["principal"], "alice")
  # A service that has asked for credentials gets it as it came.
  with paired(auth, service={"pass": ["authorization"]}, fields=[("Sec-WebSocket-Protocol", f"Bearer, {text}")],
              rows=["Sec-WebSocket-Protocol: Bearer"], protocol="Bearer") as (one, two, _, _):
    same(two.request.fields.one("sec-websocket-protocol"), f"Bearer, {text}")


@play
def tokens_in_the_query():
  """on a route with query_token a token of the URL is taken out of it, also of what the service gets"""
  text = token()
  with paired({"auth": AUTH}, route={"query_token": True}, path=f"/chat?a=1&token={text}&b=2") as (one, two, edge, _):
    same(two.request.target, "/chat?a=1&b=2")
    holds(text not in two.request.raw_head.decode(), "the token was handed on")
    crosses(one, two)
  with Sockets() as service, fronted(service, {"auth": AUTH}) as edge, edge.client() as client:
    assert_error(opening(client, f"/chat?token={text}"), 401, "UNAUTHORIZED")


# MARK: what is refused


@play
def wrong_openings():
  """what is no opening of RFC 6455 is refused by the edge, the connection ends, and the service hears nothing"""
  rows = [({"method": "POST"}, 400, "INVALID_REQUEST"), ({"websocket": "12"}, 426, "UPGRADE_REQUIRED"),
          ({"websocket": None}, 426, "UPGRADE_REQUIRED"), ({"key": None}, 400, "INVALID_REQUEST"),
          ({"key": "x"}, 400, "INVALID_REQUEST"), ({"key": "AQIDBAUGBwgJCgsMDQ4P"}, 400, "INVALID_REQUEST"),
          ({"fields": [("Content-Length", "5")]}, 400, "INVALID_REQUEST"),
          ({"fields": [("Sec-WebSocket-Key", new_key())]}, 400, "INVALID_REQUEST"),
          ({"fields": [("Sec-WebSocket-Version", "13")]}, 426, "UPGRADE_REQUIRED")]
  with Sockets() as service, fronted(service) as edge:
    for options, status, code in rows:
      with edge.client() as client:
        client.send(handshake("/chat", **options))
        response = client.read_response()
        same((response.status, json.loads(response.body)["error"]["code"]), (status, code), f"{options}")
        client.assert_closed(f"connection behind {options}")
    same(service.requests, [])


@play
def other_protocols():
  """an offer of another protocol, or one of HTTP/1.0, is no opening: the request goes to the service without it"""
  with Sockets() as service:
    service.script = answer(200, b"plain")
    with fronted(service) as edge:
      for options in ({"upgrade": "h2c"}, {"connection": "keep-alive"}, {"upgrade": None}, {"version": "1.0"}):
        with edge.client() as client:
          same(opening(client, **options).body, b"plain", f"{options}")
      for request in service.requests:
        holds("upgrade" not in request.fields and "connection" not in request.fields, f"{request.fields}")


@play
def what_routes_allow():
  """a route may refuse WebSockets, or let pages of some origins open them only"""
  with Sockets() as service:
    with fronted(service, route={"websocket": "refuse"}) as edge, edge.client() as client:
      assert_error(opening(client), 403, "FORBIDDEN")
      client.assert_closed()
      service.script = answer(200, b"plain")
      with edge.client() as other:
        same(other.get("/").body, b"plain")
    service.script = service.agree
    with fronted(service, route={"origins": ["https://app.test"]}) as edge:
      for fields, status in (([("Origin", "https://app.test")], 101), ([], 101), ([("Origin", "https://b.test")], 403),
                             ([("Origin", "https://app.test"), ("Origin", "https://app.test")], 403)):
        with edge.client() as client:
          client.send(handshake("/chat", fields))
          same(client.read_head().status, status, f"{fields}")


@play
def policies_of_openings():
  """policies are asked about the opening, as req.upgrade without req.messages, may wait, refuse, and set fields"""
  text = lua("""edge.log.info("said " .. tostring(req.upgrade) .. " " .. tostring(req.messages))
  if req.args.wait then edge.http.fetch{service = "app", path = "/ask"} end
  if req.args.no then edge.refuse("FORBIDDEN") end
  req.headers["x-set"] = "1"
  req.headers["sec-websocket-protocol"] = req.args.protocol""")
  def script(request, line):
    if request.path == "/ask":
      line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    else:
      service.agree(request, line)
  with Sockets() as service:
    service.script = script
    with fronted(service, {"rule": text}) as edge:
      for path in ("/chat", "/chat?wait=1"):
        with edge.client() as client, upgraded(client, path, behind=text_frame("early")) as one:
          edge.wait_line(event="policy_log", text="said true false")
          two = service.take()
          same(two.request.fields.one("x-set"), "1")
          same(two.message(), "early")
          crosses(one, two)
      with edge.client() as client:
        assert_error(opening(client, "/chat?no=1"), 403, "FORBIDDEN")
        client.assert_closed()
      # What a policy offers in the place of the client is what the service is offered.
      with edge.client() as client:
        upgraded(client, "/chat?protocol=mine")
        same(service.take().request.fields.one("sec-websocket-protocol"), "mine")
      with edge.client() as client:
        client.send(handshake("/chat?no=1") + text_frame("early") + head("GET", "/smuggled"))
        same(client.read_response().status, 403)
        client.assert_closed()
    holds("/smuggled" not in service.paths(), "bytes behind an opening were taken for a request")


@play
def judged_answers():
  """on_response is asked about a 101, may set fields of it, and may refuse it"""
  text = lua(on_response="""if res.headers["x-bad"] then edge.refuse("CONTENT_REJECTED") end
  res.headers["x-status"] = tostring(res.status)
  res.headers["server"] = nil""")
  for wait in ("", 'edge.http.fetch{service = "app", path = "/ask"}\n'):
    body = text.replace("function policy.on_response(res, ctx)\n", "function policy.on_response(res, ctx)\n" + wait)
    with Sockets(["Server: s"]) as service:
      agree = service.agree
      service.script = {"/ask": answer(200, b"ok"), "*": agree}
      with fronted(service, {"judge": body}) as edge, edge.client() as client, upgraded(client) as one:
        same((one.response.fields.one("x-status"), one.response.fields.one("server")), ("101", None))
        crosses(one, service.take())
        service.rows = ["X-Bad: 1"]
        with edge.client() as other:
          response = opening(other)
          holds(response.status >= 400 and response.status < 500, f"status {response.status}")
          other.assert_closed()
        service.take().await_gone()


@play
def limits_count_openings():
  """rate_limit counts an opening as a request, for nobody is asked about its messages"""
  policies = {"auth": AUTH, "limit": (RATE_LIMIT, {"limit": "2 per 1h"})}
  with Sockets() as service, fronted(service, policies) as edge:
    for _ in range(2):
      with edge.client() as client:
        one = upgraded(client, fields=[bearer()])
        two = service.take()
        for _ in range(5):
          crosses(one, two)
    with edge.client() as client:
      assert_error(opening(client, fields=[bearer()]), 429, "RATE_LIMIT_EXCEEDED")
    with edge.client() as client:
      upgraded(client, fields=[bearer(user="bob")])


@play
def openings_that_cost():
  """a route with a price charges an opening when the service has agreed, and nothing when it has not"""
  route = {"price": Decimal("0.5"), "permission": "services:use"}
  with Sockets() as service, fronted(service, USUAL, route=route, credits={"initial": 1},
                                     stores={"ledger": "sqlite"}) as edge:
    with edge.client() as client:
      one = upgraded(client, fields=[bearer()])
      crosses(one, service.take())
      same(exact(edge.log_line(status=101)["credits"]), Decimal("0.5"))
      service.script = raw(b"HTTP/1.1 101 No\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
      with edge.client() as other:
        same(opening(other, fields=[bearer()]).status, 502)
      service.script = service.agree
      with edge.client() as other:
        crosses(upgraded(other, fields=[bearer()]), service.take())
      with edge.client() as other:
        assert_error(opening(other, fields=[bearer()]), 402, "INSUFFICIENT_CREDITS")


# MARK: what of an answer is believed


def rejected(request, line, *rows, **options):
  line.send(agreeing(request, *rows, **options) + b"\x81\x05hello")
  line.hang()


@play
def wrong_answers():
  """a 101 that is not what was asked for is a 502, nothing behind it passes, and its connection is closed"""
  rows = [(dict(accept=accept_of(new_key())), ()), (dict(accept=False), ()), (dict(upgrade=None), ()),
          (dict(upgrade="h2c"), ()), (dict(upgrade="websocket, h2c"), ()), (dict(connection=None), ()),
          (dict(connection="keep-alive"), ()), ({}, ["Sec-WebSocket-Protocol: three"]),
          ({}, ["Sec-WebSocket-Protocol: one, two"]), ({}, ["Sec-WebSocket-Protocol: One"]),
          ({}, ["Sec-WebSocket-Protocol: one", "Sec-WebSocket-Protocol: one"]),
          ({}, ["Sec-WebSocket-Extensions: permessage-deflate"]), ({}, ["Transfer-Encoding: chunked"]),
          ({}, ["Upgrade: websocket"]), ({}, ["Sec-WebSocket-Accept: x"])]
  for options, extra in rows:
    def script(request, line, options=options, extra=extra):
      rejected(request, line, *extra, **options)
    with Sockets(lenient=True) as service:
      service.script = script
      with fronted(service) as edge, edge.client() as client:
        client.send(handshake("/chat", [("Sec-WebSocket-Protocol", "one, two"),
                                        ("Sec-WebSocket-Extensions", "permessage-deflate")]) + text_frame("early"))
        response = client.read_response()
        same(response.status, 502, f"{options} {extra}")
        client.assert_closed()
        service.wait_connections(1).await_end()
        same(service.lines[0].reader.buffer, b"", "bytes to the service")


@play
def good_answers():
  """a 101 may be written in any case, come byte by byte, behind interim answers, and with a Content-Length of 0"""
  def slowly(request, line):
    line.send(b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n")
    line.send_slowly(agreeing(request, "Content-Length: 0", upgrade="WebSocket", connection="keep-alive, UPGRADE"))
    service.opened.put(ServiceSocket(line, request))
    service.gate().wait("the end", 600)
  with Sockets() as service:
    service.script = slowly
    with fronted(service) as edge, edge.client() as client:
      crosses(upgraded(client), service.take())


@play
def unasked_answers():
  """a 101 to a request that asked for none is a 502"""
  with Sockets(lenient=True) as service:
    service.script = raw(b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
    with fronted(service) as edge, edge.client() as client:
      same(client.get("/").status, 502)


@play
def other_answers():
  """any other answer is passed on as one of HTTP, and the connection ends behind it, whatever the client has sent"""
  def script(request, line):
    if request.path == "/chat":
      answer(404, b"not here", [("X-C", "3")])(request, line)
    else:
      answer(200, b"smuggled")(request, line)
  with Sockets() as service:
    service.script = script
    with fronted(service) as edge:
      for behind in (b"", text_frame("early"), head("GET", "/smuggled"), text_frame("x") + head("GET", "/smuggled")):
        with edge.client() as client:
          client.send(handshake("/chat") + behind)
          response = client.read_response()
          same((response.status, response.body, response.fields.one("x-c")), (404, b"not here", "3"))
          same(response.fields.one("connection"), "close")
          client.assert_closed()
    same(set(service.paths()), {"/chat"})
    service.script = answer(200, b"whole", frame="chunked")
    with fronted(service) as edge, edge.client() as client:
      same(opening(client).body, b"whole")
      client.assert_closed()


@play
def no_answers():
  """a service that cannot be reached is a 503, one that does not answer a 504, and one that breaks off a 502"""
  with refused_port() as sock:
    with fronted(f"http://127.0.0.1:{own_port(sock)}") as edge, edge.client() as client:
      assert_error(opening(client), 503, "SERVICE_UNAVAILABLE")
      client.assert_closed()
  with Sockets(lenient=True) as service:
    service.script = raw(b"", "hang")
    with fronted(service, service={"timeouts": {"head": "200ms"}}) as edge, edge.client() as client:
      client.send(handshake("/chat") + text_frame("early"))
      same(client.read_response().status, 504)
      client.assert_closed()
    service.script = raw(b"HTTP/1.1 101 Swi", "close")
    with fronted(service) as edge, edge.client() as client:
      same(opening(client).status, 502)


@play
def early_frames():
  """frames that come with the heads are the first messages, a thousand as well as half of one"""
  many = b"".join(text_frame(f"m{number}") for number in range(1000))
  with paired(first=many, behind=frame(Op.TEXT, b"welcome", mask=b"") + b"\x81\x05he") as (one, two, edge, service):
    same([two.message() for _ in range(1000)], [f"m{number}" for number in range(1000)])
    same(one.message(), "welcome")
    two.send(b"llo")
    same(one.message(), "hello")
    crosses(one, two)
  part = text_frame("split")
  with paired(first=part[:3]) as (one, two, edge, service):
    one.send(part[3:])
    same(two.message(), "split")


@play
def clients_that_leave_early():
  """a client that leaves before the service has answered costs the service its connection"""
  with Sockets(lenient=True) as service:
    service.script = raw(b"", "hang")
    with fronted(service) as edge:
      with edge.client() as client:
        client.send(handshake("/chat"))
        service.wait_requests(1)
      service.lines[0].await_end()
      same(edge.log_line(path="/chat")["cause"], "client_left")


@play
def over_tls():
  """a service behind TLS is spoken to like any other"""
  with paired(tls="good", service={"tls": {"ca_file": certificate("ca")}}) as (one, two, edge, service):
    crosses(one, two)
    crosses(one, two, "x" * 300_000)
    crosses(one, two)
    one.send(goodbye(1000))
    two.assert_ended(1000)
    one.told_end = True
    one.assert_ended(1000)
