"""The opening of a WebSocket: who may, with which words, and how everybody else is answered."""

import base64
from contextlib import ExitStack
from urllib.parse import quote

from play import *
from stage.credits import *
from stage.platform import *
from stage.policies import shipped
from stage.provider import *
from stage.websocket import *

OWN = ("https://app.example.com", "http://localhost:5173")


def knock(edge, path="/ws", fields=(), own=None, **options):
  """The answer to a request that opens a WebSocket, on a connection of its own, which ends with it."""
  with edge.client(own=own) as client:
    client.send(handshake(path, fields, **options))
    return client.read_response(options.get("method", "GET"), options.get("version", "1.1"))


def protocol(*values):
  return [("Sec-WebSocket-Protocol", value) for value in values]


def places(text):
  """Where a token may stand: a name, the path, fields, and the subprotocols that may be answered (None: none is)."""
  none = (None,)
  return [
    ("authorization", "/ws", [bearer(text)], none), ("small", "/ws", [("authorization", f"bearer {text}")], none),
    ("x-api-key", "/ws", [("X-API-Key", text)], none), ("query", f"/ws?token={text}", [], none),
    ("query of the root", f"/?token={text}", [], none), ("query with others", f"/ws?a=1&token={text}&b=2", [], none),
    ("query in percent", f"/ws?token={quote(text).replace('.', '%2E')}", [], none),
    ("one protocol", "/ws", protocol(f"Bearer {text}"), (None, "Bearer")),
    ("list of protocols", "/ws", protocol(f"Bearer, {text}"), ("Bearer",)),
    ("list without a space", "/", protocol(f"Bearer,{text}"), ("Bearer",)),
    ("two fields", "/ws", protocol("Bearer", text), ("Bearer",)),
  ]


@play
def every_place_of_a_token():
  """a token opens a WebSocket from each place where it may stand, and a list of protocols is answered with Bearer"""
  with speaking() as (session, client, edge, provider):
    for name, path, fields, answered in places(token(user="bob")):
      response = knock(edge, path, fields)
      same(response.status, 101, f"{name}: {response.body[:300]!r}")
      same(response.fields.one("sec-websocket-accept"), accept_of("AQIDBAUGBwgJCgsMDQ4PEA=="), name)
      among(response.fields.one("sec-websocket-protocol"), answered, f"the subprotocol for {name}")
    count = len(places(""))
    edge.wait(lambda: len(edge.matching(event="exchange", principal="bob")) == count, "a line for each opening")
    lines = edge.matching(event="exchange", principal="bob")
    same({(line["status"], line["route"], line["cause"]) for line in lines}, {(101, "platform", "completed")})
    same({line["path"] for line in lines}, {"/", "/ws"}, "paths in the log")
    assert_paid(edge, session.answered(), cost(15))


@play
def work_from_each_place():
  """whoever came in by any of these places is the user of the token, who works and pays"""
  text = token(user="bob")
  with speaking() as (session, client, edge, provider):
    for turn, (name, path, fields, answered) in enumerate(places(text), 1):
      with edge.client() as other:
        other.send(handshake(path, fields))
        response = other.read_head()
        same(response.status, 101, name)
        assert_paid(edge, Session(other, response).answered(), cost(15), principal="bob")
      same(settled(client, "bob"), 1000 - turn * cost(15))


@play
def the_same_token_twice():
  """the same token in several places is one token; two that differ are a 401"""
  one, two = token(), token(number=2)
  with speaking() as (session, client, edge, provider):
    for fields, path in (([bearer(one), ("X-API-Key", one)], "/ws"), ([bearer(one)], f"/ws?token={one}"),
                         ([("X-API-Key", one), *protocol(f"Bearer, {one}")], f"/ws?token={one}")):
      same(knock(edge, path, fields).status, 101, f"{fields}")
    for fields, path in (([bearer(one), ("X-API-Key", two)], "/ws"), ([bearer(one)], f"/ws?token={two}"),
                         ([bearer(one), *protocol(f"Bearer, {two}")], "/ws"),
                         ([("X-API-Key", one)], f"/ws?token={two}"),
                         (protocol(f"Bearer {one}"), f"/ws?token={two}"), ([], f"/ws?token={one}&token={two}"),
                         (protocol(f"Bearer, {one}", f"Bearer, {two}"), "/ws"), ([bearer(one), bearer(two)], "/ws")):
      response = knock(edge, path, fields)
      assert_error(response, 401, "UNAUTHORIZED")
      same(response.fields.one("www-authenticate"), "Bearer")


@play
def nobody():
  """without a token that is good, wherever it stands, the answer is a 401 before anything is opened"""
  bad = {"none of its kind": "abc", "another secret": token(secret="x" * 40), "long past": token(lifetime=-600),
         "no end": token(lifetime=None), "unsigned": signed({"alg": "none"}, {"sub": "alice", "exp": 1 << 40}),
         "cut": token()[:-1], "empty": ""}
  with speaking() as (session, client, edge, provider):
    assert_error(knock(edge), 401, "UNAUTHORIZED")
    assert_error(knock(edge, fields=[("Authorization", "Basic YTpi")]), 401, "UNAUTHORIZED")
    for name, text in bad.items():
      for place, path, fields, _ in places(text):
        try:
          assert_error(knock(edge, path, fields), 401, "UNAUTHORIZED")
        except Failed as failure:
          raise Failed(f"{name} in {place}: {failure}") from None
    edge.wait(lambda: len(edge.matching(event="exchange", status=401)) >= 2 + len(bad) * len(places("")), "lines")
    same(edge.matching(event="exchange", status=101)[1:], [], "openings beside the first")


@play
def refused_connections_live_on():
  """behind a refusal the connection either speaks HTTP or ends; frames that were sent along reach nobody"""
  with speaking() as (session, client, edge, provider):
    asked = text_frame(dumped(asking("a"))) + frame(Op.PING)
    for fields, options in (([], {}), ([bearer()], {"websocket": "12"}), ([bearer()], {"key": "x"}),
                            ([bearer(role="guest")], {})):
      with edge.client() as other:
        other.send(handshake(fields=fields, **options) + asked)
        other.finish()
        holds(400 <= other.read_response().status < 500, "refused")
        holds(b" 101 " not in other.read_to_end(), "opened after all")
    same(provider.lines, [])
    with edge.client() as other:
      other.send(handshake())
      same(other.read_response().status, 401)
      if not other.heard():
        upgraded(other, fields=[bearer()]).assert_alive()


@play
def query_tokens_where_they_are_taken():
  """a token in the query opens nothing where the route does not say so, and no other route takes it"""
  plain = {"other": {"path": "/other", "methods": ["GET"], "dialect": "platform-v1",
                     "policies": ["auth", "permissions", "credits"], "permission": "services:use"}}
  with speaking(routes=plain) as (session, client, edge, provider):
    text = token()
    same(knock(edge, "/other", [bearer(text)]).status, 101)
    assert_error(knock(edge, f"/other?token={text}"), 401, "UNAUTHORIZED")
    same(client.get(f"{BALANCE}?token={text}").status, 401)
    same(client.request("POST", f"{PATH}?token={text}", body=chat()).status, 401)
    same(client.get(f"{BALANCE}?token={text}", handshake_fields()).status, 401, "a handler that is asked to switch")


def handshake_fields():
  return [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Key", new_key()),
          ("Sec-WebSocket-Version", "13")]


@play
def query_tokens_stay_secret():
  """a token in the query stands in no line of the log, whatever becomes of the request"""
  texts = [token(number=number) for number in range(9)]
  with speaking(socket={"origins": OWN}) as (session, client, edge, provider):
    ways = [{}, {"websocket": "12"}, {"key": "x"}, {"upgrade": None}, {"method": "POST"}, {"version": "1.0"},
            {"fields": [("Origin", "https://evil.example.com")]}, {"fields": [bearer(user="bob")]}]
    found = [knock(edge, f"/ws?a=1&token={text}&b=2", **way).status for text, way in zip(texts, ways)]
    same(found[0], 101)
    holds(101 not in found[1:], f"{found}")
    same(knock(edge, f"/wsx?token={texts[8]}").status, 404, "a path that nobody serves")
    edge.exchanges(1 + len(texts))
    assert_paid(edge, session.answered(), cost(15))
    edge.stop()
    everything = json.dumps(edge.log) + edge.errors.decode()
    for text in texts:
      for piece in (text, text.split(".")[1], text.split(".")[2]):
        holds(piece not in everything, f"a token stands in the log: {piece}")


TELL = lua("""edge.refuse("CONTENT_REJECTED", {query = req.query or "none", token = req.args.token or "none",
  a = req.args.a or "none", path = req.path, protocol = req.headers["sec-websocket-protocol"] or "none",
  upgrade = req.upgrade, authorization = req.headers.authorization or "none"})""")


@play
def what_policies_see():
  """policies see that it is an opening and what else the query says, but a token nowhere, and requests are none"""
  with speaking(policies={"auth": AUTH, "permissions": PERMISSIONS, "credits": CREDITS, "tell": TELL},
                socket={"policies": ["auth", "permissions", "credits"]},
                routes={"told": {"path": "/told", "methods": ["GET"], "dialect": "platform-v1", "query_token": True,
                                 "policies": ["auth", "tell", "credits"]}}) as (session, client, edge, provider):
    text = token()
    rows = [(f"/told?token={text}", [], "none", "none"), (f"/told?a=1&token={text}&b=2", [], "a=1&b=2", "none"),
            (f"/told?a=1&token={text}", [], "a=1", "none"), (f"/told?token={text}&a=1", [], "a=1", "none"),
            ("/told?a=1&Token=2", [bearer(text)], "a=1&Token=2", "none"),
            ("/told", protocol(f"Bearer, {text}"), "none", "none"),
            ("/told", protocol(f"Bearer {text}"), "none", "none"),
            ("/told", [bearer(text), *protocol("chat, superchat")], "none", "chat, superchat")]
    for path, fields, query, seen in rows:
      found = assert_error(knock(edge, path, fields), 422, "CONTENT_REJECTED")["error"]["details"]
      same((found["query"] or "none", found["token"], found["protocol"], found["path"]), (query, "none", seen, "/told"))
      same((found["upgrade"], found["authorization"]), (True, "none"))
      same(found["a"], "1" if "a=1" in query else "none")


@play
def origins():
  """pages of origins that are listed may open, whatever the case of the letters; who names none is no browser"""
  with speaking(socket={"origins": OWN}) as (session, client, edge, provider):
    good = [*OWN, "HTTPS://App.Example.COM"]
    bad = ["https://evil.example.com", "null", "http://app.example.com", "https://app.example.com:8443",
           "https://app.example.com.evil.example", "https://app.example.com/", "https://xapp.example.com", "", "*"]
    for origin in good:
      same(knock(edge, fields=[bearer(), ("Origin", origin)]).status, 101, origin)
    for origin in bad:
      response = knock(edge, fields=[bearer(), ("Origin", origin)])
      assert_error(response, 403, "FORBIDDEN")
    among(knock(edge, fields=[bearer(), ("Origin", OWN[0]), ("Origin", bad[0])]).status, (400, 403), "two origins")
    same(knock(edge, fields=[bearer()]).status, 101)
  with speaking() as (session, client, edge, provider):
    for origin in ("https://anything.example.com", "null"):
      same(knock(edge, fields=[bearer(), ("Origin", origin)]).status, 101, "where none are listed")


def attempts(limit, **more):
  """The shipped limits of attempts, before and behind auth, the one for the other being wide."""
  text = shipped("connection_attempts.lua")
  return {"by-address": (text, {"limit": limit.get("address", "1000 per 1h")}), "auth": AUTH,
          "by-user": (text, {"limit": limit.get("user", "1000 per 1h")}), "permissions": PERMISSIONS,
          "credits": CREDITS, **more}


def assert_held_off(response, most=3600):
  """429 in the edge's own form, with a time to wait."""
  error = assert_error(response, 429, "RATE_LIMIT_EXCEEDED")["error"]
  holds(isinstance(error["retryAfter"], int) and 1 <= error["retryAfter"] <= most, f"{error}")
  same(response.fields.one("retry-after"), str(error["retryAfter"]))


@play
def attempts_of_an_address():
  """an address may try to open so many, whoever it says it is and whether or not it got in; another one is free"""
  with speaking(policies=attempts({"address": "5 per 1h"})) as (session, client, edge, provider):
    same([knock(edge, fields=fields).status for fields in ([bearer()], [], [bearer(user="bob")], [bearer("x")])],
         [101, 401, 101, 401])
    for fields in ([bearer()], [bearer(user="carol")], []):
      assert_held_off(knock(edge, fields=fields))
    same(knock(edge, fields=[bearer()], own="127.0.0.9").status, 101)
    assert_paid(edge, session.answered(), cost(15))
    same(client.get(BALANCE, [bearer()]).status, 200, "other routes")


@play
def attempts_of_a_user():
  """a user may try to open so many, from whatever address; other users are free, and messages are no attempts"""
  with speaking(policies=attempts({"user": "3 per 1h"})) as (session, client, edge, provider):
    same([knock(edge, fields=[bearer(number=number)], own=own).status
          for number, own in enumerate(("127.0.0.8", None))], [101, 101])
    assert_held_off(knock(edge, fields=[bearer()]))
    assert_held_off(knock(edge, f"/?token={token()}", own="127.0.0.7"))
    same(knock(edge, fields=[bearer(user="bob")]).status, 101)
    for number in range(10):
      session.answered(str(number))


@play
def exactly_as_many_attempts():
  """of 60 attempts at once on two workers a limit of 20 admits exactly 20"""
  with speaking(policies=attempts({"user": "20 per 1h"}), server={"workers": 2}, user="root") as (
      session, client, edge, provider), ExitStack() as stack:
    clients = [stack.enter_context(edge.client()) for _ in range(60)]
    for one in clients:
      one.send(handshake(fields=[bearer(user="bob")]))
    found = [one.read_final_head()[0].status for one in clients]
    same((found.count(101), found.count(429)), (20, 40))


@play
def other_versions():
  """another version of the protocol is a 426 that tells the right one"""
  with speaking() as (session, client, edge, provider):
    for version in ("12", "14", "8", "0", "255", "013", "13, 8", "x"):
      response = knock(edge, fields=[bearer()], websocket=version)
      among(response.status, (400, 426) if not version.isdigit() or version == "013" else (426,), f"for {version}")
      if response.status == 426:
        assert_error(response, 426, "UPGRADE_REQUIRED")
        same(response.fields.one("sec-websocket-version"), "13")
    among(knock(edge, fields=[bearer()], websocket=None).status, (400, 426), "without a version")
    among(knock(edge, fields=[bearer(), ("Sec-WebSocket-Version", "13")]).status, (400, 426), "two versions")


@play
def bad_keys():
  """a key that is no 16 bytes in Base64, or that stands there not at all or twice, is a 400"""
  with speaking() as (session, client, edge, provider):
    bad = [None, "", "x", base64.b64encode(bytes(15)).decode(), base64.b64encode(bytes(17)).decode(),
           "AQIDBAUGBwgJCgsMDQ4PEA", "AQIDBAUGBwgJCgsMDQ4PE$==", "AQIDBAUGBwgJCgsMDQ4PEA=A", "a" * 24, "a" * 300,
           "AQIDBAUGBwgJCgsM DQ4PEA==", base64.b64encode(bytes([255] * 16)).decode().replace("/", "_")]
    for key in bad:
      try:
        assert_error(knock(edge, fields=[bearer()], key=key), 400, "INVALID_REQUEST")
      except Failed as failure:
        raise Failed(f"key {key!r}: {failure}") from None
    assert_error(knock(edge, fields=[bearer(), ("Sec-WebSocket-Key", new_key())]), 400, "INVALID_REQUEST")
    for key in (base64.b64encode(bytes(16)).decode(), base64.b64encode(bytes([255] * 16)).decode(), new_key()):
      same(knock(edge, fields=[bearer()], key=key).fields.one("sec-websocket-accept"), accept_of(key))


@play
def bodies():
  """an opening that has a body is a 400, and what is in it is nothing that was said on a WebSocket"""
  asked = text_frame(dumped(asking("a")))
  with speaking() as (session, client, edge, provider):
    for fields, body in (([("Content-Length", len(asked))], asked),
                         ([("Transfer-Encoding", "chunked")], chunked(asked)),
                         ([("Content-Length", 5), ("Expect", "100-continue")], b"hello")):
      with edge.client() as other:
        other.send(handshake(fields=[bearer(), *fields]) + body)
        assert_error(other.read_response(), 400, "INVALID_REQUEST")
        other.finish()
        holds(b"101" not in other.read_to_end()[:20], "opened after all")
    same(provider.lines, [])


@play
def nothing_to_open():
  """a request that asks for no WebSocket is a 426 that says what is spoken there, and its connection serves on"""
  rows = [{"upgrade": None, "connection": None, "key": None, "websocket": None}, {"upgrade": None},
          {"connection": None}, {"upgrade": "h2c"}, {"connection": "keep-alive"}, {"upgrade": "websocket2"}]
  with speaking() as (session, client, edge, provider):
    for fields in ([bearer()], []):
      for options in rows:
        for path in ("/", "/ws"):
          client.send(handshake(path, fields, **options))
          response = client.read_response()
          assert_error(response, 426, "UPGRADE_REQUIRED")
          same((response.fields.one("upgrade") or "").lower(), "websocket", f"upgrade for {options}")
          holds("upgrade" in (response.fields.one("connection") or "").lower(), f"connection for {options}")
    same(client.get("/health").status, 200)


@play
def other_spellings():
  """the words of the opening are found whatever the case of their letters and whatever stands beside them"""
  with speaking() as (session, client, edge, provider):
    for options in ({"upgrade": "WebSocket"}, {"upgrade": "WEBSOCKET", "connection": "UPGRADE"},
                    {"connection": "keep-alive, Upgrade"}, {"connection": "upgrade,keep-alive"}):
      same(knock(edge, fields=[bearer()], **options).status, 101, f"{options}")
    for extra in ([("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits, x-webkit-deflate-frame")],
                  protocol("chat, superchat"), [("User-Agent", "x"), ("Cookie", "a=b"), ("Accept-Encoding", "gzip")]):
      with edge.client() as other:
        upgraded(other, fields=[bearer(), *extra]).assert_alive()


@play
def other_methods():
  """only GET opens a WebSocket: POST and others are a 405, with or without the words of an opening"""
  with speaking() as (session, client, edge, provider):
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
      for options in ({}, {"upgrade": None, "connection": None}):
        response = knock(edge, fields=[bearer()], method=method, **options)
        assert_error(response, 405, "METHOD_NOT_ALLOWED")
        same(response.fields.one("allow"), "GET")
    client.send(handshake(fields=[bearer()], method="HEAD"))
    response = client.read_response("HEAD")
    same((response.status, response.fields.one("allow")), (405, "GET"), "HEAD")
    same(client.get("/health").status, 200)


@play
def old_clients():
  """a client of HTTP/1.0 cannot open a WebSocket"""
  with speaking() as (session, client, edge, provider):
    for fields in ([bearer()], [bearer(), ("Connection", "keep-alive")]):
      with edge.client() as other:
        other.send(handshake(fields=fields, version="1.0"))
        among(other.read_response(version="1.0").status, (400, 426), "status")


@play
def frames_right_behind():
  """what a client sends in one piece with its opening is taken once it is open, however much of it has come"""
  asked = text_frame(dumped(asking("a", stream=True)))
  with speaking() as (session, client, edge, provider):
    with connected(edge, behind=frame(Op.PING, b"1") + asked + text_frame(dumped(asking("b")))) as other:
      other.running |= {"a", "b"}
      other.pong(b"1")
      same((other.done("a").text, other.done("b").end["data"]), ("hello", "hello"))
    for cut in (1, 2, 5, 6, 7, 50):
      with connected(edge, behind=asked[:cut]) as other:
        other.running.add("a")
        other.client.await_read()
        other.send(asked[cut:])
        same(other.done("a").text, "hello")
    big = text_frame(dumped(asking("a", "x" * 300_000)))
    with connected(edge, behind=big) as other:
      other.running.add("a")
      same(other.done("a").end["data"], "hello")
    with connected(edge, behind=goodbye(1000, b"never mind")) as other:
      other.told_end = True
      other.assert_ended(1000)


@play
def openings_in_pieces():
  """an opening that comes byte by byte, or behind another request in one piece, opens a WebSocket"""
  with speaking() as (session, client, edge, provider):
    with edge.client() as other:
      other.send_slowly(handshake(fields=[bearer()]))
      assert_opened(other.read_head(), "AQIDBAUGBwgJCgsMDQ4PEA==")
      same(Session(other).answered().end["data"], "hello")
    with edge.client() as other:
      other.send(head("GET", "/health") + handshake(fields=[bearer()]) + text_frame(dumped(asking("a"))))
      same(other.read_response().status, 200)
      assert_opened(other.read_head(), "AQIDBAUGBwgJCgsMDQ4PEA==")
      found = Session(other)
      found.running.add("a")
      same(found.done("a").end["data"], "hello")
    same(client.get(BALANCE, [bearer()]).status, 200)
    upgraded(client, fields=[bearer()]).assert_alive()


@play
def no_http_behind_it():
  """behind the opening HTTP is no longer spoken: a request there breaks the rules of frames"""
  with speaking() as (session, client, edge, provider):
    session.send(head("GET", "/health"))
    session.assert_ended(1002)


@play
def who_may_not():
  """whose role may not use models is refused with 403 before anything is opened"""
  with speaking(roles={"guest": {"permissions": ["mcp:read"]}, "user": {"permissions": ["services:use"]}}) as (
      session, client, edge, provider):
    error = assert_error(knock(edge, fields=[bearer(role="guest")]), 403, "FORBIDDEN")["error"]
    same(error["details"], {"permission": "services:use"})
    same(knock(edge, fields=[bearer(role="user")]).status, 101)


@play
def ids_of_openings():
  """the opening has a request id, which the log has, and so has each refusal"""
  with speaking() as (session, client, edge, provider):
    name = session.response.fields.one("x-request-id")
    assert_ulid(name)
    line = edge.log_line(requestId=name)
    same((line["status"], line["method"], line["path"], line["route"], line["principal"]),
         (101, "GET", "/ws", "platform", "alice"))
    holds(not {"provider", "model", "credits", "messageId"} & set(line), f"{line}")
    line = edge.line_of(knock(edge))
    same((line["status"], line["cause"], line["policy"]), (401, "refused", "auth"))


@play
def other_listeners():
  """the route is there on listeners where other routes are, and a path beside it is none of it"""
  with speaking(listeners={"second": {"bind": "127.0.0.1:0"}}) as (session, client, edge, provider):
    with connected(edge, listener="second") as other:
      same(other.answered().end["data"], "hello")
    for path in ("/ws/", "/ws/x", "/WS", "/other"):
      response = knock(edge, path, [bearer()])
      among(response.status, (404,) if path != "/ws/" else (101, 404), f"status for {path}")
