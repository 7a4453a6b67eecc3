"""What goes wrong on WebSockets, as the library `websockets` tells its caller: refusals, errors, closes."""

import threading

from play import *
from openai_client import served
from stage.credits import USUAL, balance, cost, exact, settled
from stage.policies import shipped
from stage.provider import *
from websocket_client import *
from websockets.frames import Opcode
from websockets.sync.client import ClientConnection, reconnect

SMALL = {"model": "small"}
# What the stage's provider says of an answer: 10 tokens in, 5 out.
TOLD = {"promptTokens": 10, "completionTokens": 5, "totalTokens": 15, "credits": cost(15)}


def counted(script, limit):
  """A policy of the shipped kind with this limit."""
  return shipped(script), {"limit": limit}


def asking(name, content="Hello there.", **changes):
  return request(name, content, **{**SMALL, **changes})


@play
def without_a_good_token():
  """no token, a wrong one, two that differ and one in a place that is closed are a 401 before the upgrade"""
  with talking() as (edge, provider):
    good, other = token("alice"), token("bob")
    for path, settings in (("/ws", {}), ("/", {}), ("/ws", carrying("nonsense")), ("/ws?token=nonsense", {}),
                           ("/ws", {"subprotocols": ["Bearer", "nonsense"]}), (f"/ws?token={other}", carrying(good)),
                           ("/ws", {"subprotocols": ["Bearer", other], **carrying(good)}),
                           ("/ws", carrying(token("alice", lifetime=-60))),
                           ("/ws", carrying(token("alice", secret="another one, long enough for a secret")))):
      response, document = rejected(edge, path=path, **settings)
      same((response.status_code, document["error"]["code"]), (401, "UNAUTHORIZED"), f"{path} with {settings}")
      same((response.headers["WWW-Authenticate"], response.headers["x-request-id"]),
           ("Bearer", document["error"]["requestId"]))
    for settings in ({"path": f"/ws?token={good}", **carrying(good)}, {"subprotocols": ["Bearer", good], "key": good}):
      with connected(edge, **settings) as session:
        same(session.answer("1", **SMALL)[1]["type"], "done")
    same([request.path for request in provider.requests], [PATH] * 2, "requests at the provider")
  with talking(route={"query_token": None}) as (edge, _):
    same(rejected(edge, path=f"/ws?token={token()}")[0].status_code, 401, "a token in the query")


@play
def without_the_permission():
  """who may not, and who comes from another page than those that are listed, gets a 403 before the upgrade"""
  roles = {"guest": {"permissions": ["other:use"]}, "user": {"permissions": ["services:use"]}}
  with talking(roles=roles, route={"origins": ["https://app.example.com"]}) as (edge, _):
    key = token("alice")
    for settings in (carrying(token("guest", role="guest")), {**carrying(key), "origin": "https://evil.example.com"},
                     {**carrying(key), "origin": "null"}):
      response, document = rejected(edge, **settings)
      same((response.status_code, document["error"]["code"]), (403, "FORBIDDEN"), f"{settings}")
    for page in (None, "https://app.example.com"):
      with connected(edge, key, origin=page) as session:
        assert_done(session.answer("1", **SMALL)[1], "1")


@play
def attempts_of_a_user():
  """the 31st connection of a user in a minute is a 429 that says when to try again; another user still gets in"""
  with served() as place:
    key = place.token()
    for _ in range(30):
      with connected(place.edge, key):
        pass
    response, document = rejected(place.edge, key)
    same((response.status_code, document["error"]["code"]), (429, "RATE_LIMIT_EXCEEDED"))
    among(int(response.headers["Retry-After"]), range(1, 61), "seconds")
    with connected(place.edge, place.token("another")) as session:
      assert_done(session.answer("1")[1], "1")


@play
def attempts_of_an_address():
  """the 61st attempt from an address is a 429, whether or not somebody had a token"""
  with served() as place:
    keys = [place.token(user) for user in ("a", "b")]
    for number in range(60):
      if number < 40:
        with connected(place.edge, keys[number % 2]):
          pass
      else:
        same(rejected(place.edge, "nonsense")[0].status_code, 401)
    for key in ("nonsense", place.token("c")):
      same(rejected(place.edge, key)[0].status_code, 429, f"attempt 61 with {key}")


@play
def no_upgrade():
  """a plain request for the route is a 426 that says what is spoken there"""
  with talking() as (edge, _), edge.client() as client:
    for path in ("/", "/ws"):
      response = client.get(path, [bearer()])
      assert_error(response, 426, "UPGRADE_REQUIRED")
      same((response.fields.one("upgrade"), response.fields.one("connection").lower()), ("websocket", "upgrade"))


@play
def without_credits():
  """a request that nobody can pay is INSUFFICIENT_CREDITS, says what is missing, and no provider sees it"""
  with talking(balance=0) as (edge, provider), connected(edge, token()) as session:
    for stream in (False, True):
      error = session.refusal("INSUFFICIENT_CREDITS", asking("1", stream=stream))
      same((exact(error["details"]["available"]), exact(error["details"]["required"]) > 0), (0, True), f"{error}")
    same(provider.requests, [], "requests at the provider")
    edge.wait(lambda: len(edge.matching(origin="message")) == 2, "two access lines")
    same([exact(line["credits"]) for line in edge.matching(origin="message")], [0, 0], "credits in the log")


@play
def what_is_not_there():
  """an unknown model, an unknown provider and one without the model are told by their codes, and nobody is asked"""
  with talking(models={"other": {"providers": ["p1"], "price": 1, "max_output": 10}}) as (edge, provider):
    with connected(edge, token()) as session:
      session.refusal("MODEL_NOT_FOUND", asking("1", model="large"))
      session.refusal("INVALID_REQUEST", asking("2", provider="nobody"))
      session.refusal("MODEL_NOT_FOUND", asking("3", model="nobody/small"))
      session.refusal("NOT_IMPLEMENTED", {"id": "4", "type": "embedding", "model": "small", "input": "text"})
      session.refusal("INVALID_REQUEST", asking("5", n=2))
      session.refusal("INVALID_REQUEST", asking("6", model=None))
      session.refusal("INVALID_REQUEST", asking("7", messages=[]))
      same(provider.requests, [], "requests at the provider")
      assert_done(session.answer("8", provider="p1", **SMALL)[1], "8", provider="p1", model="small")


@play
def no_messages_of_the_protocol():
  """what is no message of the protocol is answered with id null, and the connection lives on"""
  with talking() as (edge, _), connected(edge, token()) as session:
    for text in ("nonsense", "", "{", '{"id": "1"', "[]", '"text"', "null", "7", '{"type": "none"}', "{} {}"):
      session.refusal("INVALID_MESSAGE_FORMAT", text)
    for kind in ("none", None, 7):
      session.refusal("INVALID_MESSAGE_FORMAT", asking("1", type=kind))
    for name in ("", "a b", "ä", "x" * 129, 7, None, ["1"], {"a": 1}, True):
      session.send({**asking("1"), "id": name})
      same(assert_failed(session.next(), None, "INVALID_MESSAGE_ID")["details"]["id"], name, "the id in the error")
    for name in ("x" * 128, "AZaz09._:-"):
      assert_done(session.answer(name, **SMALL)[1], name)


@play
def an_id_in_use():
  """an id that is in use is INVALID_MESSAGE_ID without disturbing its request, and is free when that has ended"""
  gate = Gate()
  with talking(streamed(part("he"), gate, *story("llo", used=usage(10, 5)))) as (edge, _):
    with connected(edge, token()) as session:
      session.ask("1", stream=True, **SMALL)
      same(session.next()["data"], "he")
      session.send(asking("1"))
      same(assert_failed(session.next(), None, "INVALID_MESSAGE_ID")["details"]["id"], "1")
      gate.open()
      chunks, end = session.until_end("1")
      same((text_of(chunks), assert_done(end, "1", streamed=True)["usage"]), ("llo", TOLD))
      same(assert_done(session.answer("1", stream=True, **SMALL)[1], "1", streamed=True)["usage"], TOLD)


@play
def too_many_at_once():
  """a request above `in_flight` is RATE_LIMIT_EXCEEDED with its id, and one that follows an end is taken"""
  gate = Gate()
  script = streamed(part("he"), gate, *story("llo", used=usage(10, 5)))
  with talking(script, route={"in_flight": 2}) as (edge, provider):
    with connected(edge, token()) as session:
      for name in ("1", "2"):
        session.ask(name, stream=True, **SMALL)
      same({session.next()["id"] for _ in range(2)}, {"1", "2"})
      session.refusal("RATE_LIMIT_EXCEEDED", asking("3"))
      same(len(provider.requests), 2, "requests at the provider")
      gate.open()
      ends = set()
      while len(ends) < 2:
        message = session.next()
        ends |= {message["id"]} if message["type"] == "done" else set()
      assert_done(session.answer("3", stream=True, **SMALL)[1], "3", streamed=True)


@play
def too_often():
  """messages above the shipped limit are refused one by one, with their id and when to try again"""
  policies = {**USUAL, "rate-limit": counted("rate_limit.lua", "3 per 1m")}
  with talking(policies=policies) as (edge, provider), connected(edge, token()) as session:
    for name in ("1", "2", "3"):
      assert_done(session.answer(name, **SMALL)[1], name)
    error = session.refusal("RATE_LIMIT_EXCEEDED", asking("4"))
    among(error["retryAfter"], range(1, 61), "seconds")
    same(len(provider.requests), 3, "requests at the provider")


@play
def a_provider_that_fails():
  """a failure before the answer costs nothing; one within it is an error with what it has cost"""
  with talking(failing(500)) as (edge, provider), connected(edge, token()) as session:
    among(session.answer("1", **SMALL)[1]["error"]["code"], ("PROVIDER_ERROR", "ALL_PROVIDERS_FAILED"))
    assert_failed(session.answer("2", provider="p1", **SMALL)[1], "2", "PROVIDER_ERROR")
    provider.script = failing(400, "this model thinks not")
    error = assert_failed(session.answer("3", **SMALL)[1], "3", "INVALID_REQUEST")
    holds("this model thinks not" in error["message"], f"{error}")
    provider.script = streamed(part("some words that came"), lambda line: line.close())
    chunks, end = session.answer("4", stream=True, **SMALL)
    assert_failed(end, "4", "PROVIDER_ERROR")
    same((text_of(chunks), end["usage"]["estimated"]), ("some words that came", True))
    with edge.client() as client:
      same(balance(client), 1000 - end["usage"]["credits"], "balance")
    provider.script = provider.usual
    assert_done(session.answer("5", **SMALL)[1], "5")


@play
def gone_at_the_provider():
  """a request that is cancelled, or whose client leaves, ends at the provider at once"""
  with talking(streamed(part("he"), Line.hang)) as (edge, provider):
    with connected(edge, token()) as session:
      session.ask("1", stream=True, **SMALL)
      same(session.next()["data"], "he")
      session.send({"id": "1", "type": "cancel"})
      provider.wait_connections(1).await_end()
      end = session.until_end("1")[1]
      assert_failed(end, "1", "CANCELLED")
      session.ask("2", stream=True, **SMALL)
      same(session.next()["data"], "he")
      session.leave()
      provider.wait_connections(2).await_end()
    edge.wait(lambda: len(edge.matching(event="exchange", origin="message")) == 2, "two access lines")
    with edge.client() as client:
      charged = sum(exact(line["credits"]) for line in edge.matching(event="exchange", origin="message"))
      same(settled(client), 1000 - charged, "balance")
    same(exact(edge.matching(messageId="1")[0]["credits"]), end["usage"]["credits"], "what the client was told")


@play
def closes():
  """bytes that are no text end a connection with 1003, a message that is too long with an error and 1009"""
  with talking(route={"message_size": "1KiB"}) as (edge, _):
    with connected(edge, token()) as session:
      session.send(json.dumps(asking("1")).encode())
      same(session.closed(), 1003)
    with connected(edge, token()) as session:
      edge_of_it = json.dumps(asking("1", "x" * 100))
      session.send(edge_of_it.replace("x" * 100, "x" * (1024 - len(edge_of_it) + 100)))
      assert_done(session.until_end("1")[1], "1")
      session.send(edge_of_it.replace("x" * 100, "x" * (1025 - len(edge_of_it) + 100)))
      assert_failed(session.next(), None, "MESSAGE_TOO_LARGE")
      same(session.closed(), 1009)
    with connected(edge, token()) as session:
      assert_done(session.answer("1", **SMALL)[1], "1")
      session.socket.close(1000, "done here")
      same(session.socket.close_code, 1000, "the code that the edge sent back")
  same([line for line in edge.log if line["level"] == "error"], [], "errors in the log")


@play
def a_token_that_expires():
  """when a token expires, what runs is answered, new requests are refused, and the connection ends with 4401"""
  gate = Gate()
  script = streamed(part("he"), gate, *story("llo", used=usage(10, 5)))
  with talking(script, auth={"leeway": "0s"}) as (edge, _):
    with connected(edge, token(lifetime=2)) as session, connected(edge, token("bob", lifetime=2)) as idle:
      session.ask("1", stream=True, **SMALL)
      same(session.next()["data"], "he")
      assert_failed(session.next(), None, "SESSION_EXPIRED")
      session.refusal("SESSION_EXPIRED", asking("2"))
      gate.open()
      assert_done(session.until_end("1")[1], "1", streamed=True)
      same(session.closed(), 4401)
      assert_failed(idle.next(), None, "SESSION_EXPIRED")
      same(idle.closed(), 4401)
    same(rejected(edge, session.socket.request.headers["Authorization"][7:])[0].status_code, 401, "the same token")


@play
def a_reload():
  """a session whose route a reload changes goes on by the new rules, or ends with 1012, as the route says"""
  with Provider() as provider:
    for rule, code in (("keep", None), ("close", 1012), ("drain 5m", 1012)):
      document, files = talked(provider, route={"on_reload": rule})
      with Edge(document, files=files) as edge, connected(edge, token()) as session:
        assert_done(session.answer("1", **SMALL)[1], "1")
        edge.adopt(talked(provider, route={"on_reload": rule}, models={"other": None}, credits={"initial": 7})[0])
        assert_done(session.answer("2", **SMALL)[1], "2")
        edge.adopt(talked(provider, route={"on_reload": rule, "nonstream_type": "completion"})[0])
        if code:
          same(session.closed(), code, f"close code with {rule}")
        else:
          assert_done(session.answer("3", **SMALL)[1], "3", kind="completion")


@play
def connecting_again():
  """the library's loop that connects again does so after 1012, with the same ids, and gives up at a 401"""
  with Provider() as provider:
    document, files = talked(provider, route={"on_reload": "close"})
    with Edge(document, files=files) as edge:
      sockets = []
      for socket in reconnect(url_of(edge), proxy=None, **carrying(token())):
        sockets.append(socket)
        assert_done(Session(socket).answer("1", **SMALL)[1], "1")
        if len(sockets) == 2:
          break
        edge.adopt(talked(provider, route={"on_reload": "close", "in_flight": 2})[0])
        same(Session(socket).closed(), 1012)
      for socket in sockets:
        joined(socket)
      try:
        for socket in reconnect(url_of(edge), proxy=None, **carrying("nonsense")):
          raise Failed("a connection without a token")
      except InvalidStatus as error:
        same(error.response.status_code, 401)


class Listening(ClientConnection):
  """A connection that tells which pings come."""

  def __init__(self, *arguments, **settings):
    self.pings = threading.Semaphore(0)
    super().__init__(*arguments, **settings)

  def process_event(self, event):
    """Called by the library for every frame that comes."""
    if getattr(event, "opcode", None) is Opcode.PING:
      self.pings.release()
    super().process_event(event)


@play
def pings_of_the_edge():
  """the edge pings by itself, and a client that the library keeps alive stays connected over several of them"""
  with talking(route={"ping": "1s"}) as (edge, _):
    with connected(edge, token(), create_connection=Listening, ping_interval=None) as session:
      for _ in range(3):
        holds(session.socket.pings.acquire(timeout=DEADLINE), "no ping came")
      assert_done(session.answer("1", **SMALL)[1], "1")


@play
def another_type_of_whole_answers():
  """`nonstream_type: completion` serves clients that expect it, and changes streams in nothing"""
  with talking(route={"nonstream_type": "completion"}) as (edge, _), connected(edge, token()) as session:
    _, whole = session.answer("1", **SMALL)
    same((assert_done(whole, "1", kind="completion")["data"], whole["usage"]), ("hello", TOLD))
    chunks, end = session.answer("2", stream=True, **SMALL)
    same((text_of(chunks), assert_done(end, "2", streamed=True)["usage"]), ("hello", TOLD))


@play
def rare_things_of_answers():
  """cached and reasoning tokens, thoughts and odd letters arrive as the provider said them"""
  letters = 'a \u00e9 \u4e2d \U0001f600 "quoted" back\\slash \n\t / \u2028 \x7f'
  used = usage(100, 50, cached=20, reasoning=30)
  with talking(told(completion(letters, used))) as (edge, provider), connected(edge, token()) as session:
    _, whole = session.answer("1", **SMALL)
    same(assert_done(whole, "1")["data"], letters)
    same((whole["usage"]["cachedTokens"], whole["usage"]["reasoningTokens"]), (20, 30))
    provider.script = streamed(part(delta={"reasoning_content": "let me think"}), *story(*letters, used=used))
    chunks, end = session.answer("2", letters, stream=True, **SMALL)
    same(text_of(chunks), letters)
    same(assert_done(end, "2", streamed=True)["usage"], whole["usage"])
    same(json.loads(provider.last().body)["messages"], [{"role": "user", "content": letters}], "what was asked")


@play
def long_answers():
  """an answer of 5 MB comes whole while others stream; a library that takes less ends its connection, not the edge's"""
  long = "0123456789" * 500_000

  def script(asked, line):
    is_streamed = json.loads(asked.body).get("stream")
    used = usage(10, 5)
    (streamed(*story(*["w"] * 200, used=used)) if is_streamed else told(completion(long, used)))(asked, line)
  with talking(script) as (edge, _):
    with connected(edge, token(), max_size=None) as session:
      session.ask("long", **SMALL)
      for name in ("1", "2", "3"):
        session.ask(name, stream=True, **SMALL)
      chunks, ends = {name: [] for name in ("1", "2", "3")}, {}
      while len(ends) < 4:
        message = session.next()
        if message["type"] == "chunk":
          chunks[message["id"]].append(message)
        else:
          ends[message["id"]] = message
      same((assert_done(ends["long"], "long")["data"], ends["long"]["usage"]), (long, TOLD))
      for name, found in chunks.items():
        same((text_of(found), assert_done(ends[name], name, streamed=True)["usage"]), ("w" * 200, TOLD), name)
    with connected(edge, token()) as session:
      session.ask("long", **SMALL)
      try:
        raise Failed(f"a message above the library's limit: {shown(session.next())}")
      except ConnectionClosed as error:
        same(error.sent.code, 1009, "what the library says")
    lines = [line for line in edge.exchanges(7) if line.get("messageId") == "long"]
    same([exact(line["credits"]) for line in lines], [TOLD["credits"]] * 2, "credits")
