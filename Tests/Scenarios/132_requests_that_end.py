"""Requests on the platform's WebSocket that end otherwise than well: cancelled, failed, answered by somebody else."""

from contextlib import ExitStack

from play import *
from stage.credits import *
from stage.kernel import unread
from stage.messages import *
from stage.platform import *
from stage.provider import *
from stage.websocket import *

HANG = (lambda request, line: line.hang())
LONG = {"timeouts": {"head": "10m", "answer": "10m", "idle": "10m"}}
CANCEL = text_frame(dumped({"id": "a", "type": "cancel"}))
BODY = "hello" * 4  # five tokens, where nobody counts them


@contextmanager
def hanging(*events, **config):
  """As `speaking`, with a provider that sends these events and then nothing, and may take its time."""
  script = streamed(*events, Line.hang) if events else HANG
  with speaking(script, provider=LONG, **config) as stage:
    yield stage


# MARK: cancelled


def assert_answered_cancel(session):
  """A cancel that met the end of its request: it was too late, or found nothing any more."""
  session.assert_alive()
  while session.queue:
    session.error(None, "INVALID_MESSAGE_ID")


@play
def cancelled_in_a_stream():
  """a stream that is cancelled ends with CANCELLED and what it has cost, and at its provider, while others go on"""
  with hanging(part(BODY)) as (session, client, edge, provider):
    for name in "ab":
      session.ask(name, stream=True)
      session.chunk(name, BODY)
    session.cancel("a")
    found = session.rest("a")
    same((found.chunks, found.end["error"]["code"]), ([], "CANCELLED"))
    provider.lines[0].await_end()
    line = assert_paid(edge, found, exact(found.end["usage"]["credits"]), source="estimated", messageId="a", status=499)
    same(line["usage"]["outputTokens"], 5)
    holds(not provider.lines[1].ended.is_set(), "the other request has ended too")
    session.assert_quiet()
    session.cancel("b")
    other = session.rest("b")
    provider.lines[1].await_end()
    same(settled(client), 1000 - found.end["usage"]["credits"] - other.end["usage"]["credits"])
    provider.script = provider.usual
    same(session.answered("a").end["data"], "hello", "the id again")


@play
def cancelled_before_an_answer():
  """a request that is cancelled before its answer begins ends at its provider, and nothing stays held"""
  with hanging() as (session, client, edge, provider):
    for turn, stream in enumerate((False, True)):
      session.ask("a", stream=stream)
      provider.wait_requests(turn + 1)
      session.cancel("a")
      session.error("a", "CANCELLED", usage=None)
      provider.wait_connections(turn + 1).await_end()
    paid = [exact(line.get("credits", 0)) for line in edge.exchanges(3) if line.get("messageId")]
    same((len(paid), settled(client)), (2, 1000 - sum(paid)))
    session.assert_quiet()


@play
def cancelled_at_once():
  """a cancel that comes in one piece with its request ends it, wherever it is by then, exactly once"""
  with speaking(lenient=True) as (session, client, edge, provider):
    for turn in range(20):
      session.running.add("a")
      session.send(text_frame(dumped(asking("a", stream=bool(turn % 2)))) + CANCEL)
      end = session.rest("a").end
      if end["type"] == "error":
        same(end["error"]["code"], "CANCELLED")
      else:
        assert_answered_cancel(session)
    session.assert_quiet()
    edge.wait(lambda: len(edge.matching(messageId="a")) == 20, "20 lines")
    same(settled(client), 1000 - sum(exact(line.get("credits", 0)) for line in edge.matching(messageId="a")))


@play
def cancelled_at_the_end():
  """a cancel that meets the end of its request leads to one end, which says what the ledger says"""
  with speaking(lenient=True) as (session, client, edge, provider):
    paid, ends = Decimal(0), []
    for turn in range(60):
      gate = provider.gate()
      provider.script = streamed(part("one"), gate, *story("two", used=usage(10, 5)))
      session.ask("a", stream=True)
      session.chunk("a", "one")
      if turn % 2:
        gate.open()
        session.cancel("a")
      else:
        session.cancel("a")
        gate.open()
      end = session.rest("a").end
      ends.append(end["type"])
      paid += exact(end.get("usage", {}).get("credits", 0))
      if end["type"] == "done":
        assert_answered_cancel(session)
      else:
        same(end["error"]["code"], "CANCELLED")
    session.assert_quiet()
    same(settled(client), 1000 - paid)
    holds("error" in ends, f"{ends}")


@play
def nothing_to_cancel():
  """a cancel of what does not run, any more or at all, is INVALID_MESSAGE_ID, and disturbs nobody"""
  with speaking() as (session, client, edge, provider):
    session.answered("a")
    for name in ("a", "never", "x" * 128):
      session.cancel(name)
      same(session.error(None, "INVALID_MESSAGE_ID")["details"], {"id": name})
    for name in ("", "a b", 1, None, {}):
      session.tell({"id": name, "type": "cancel"})
      same(session.error(None, "INVALID_MESSAGE_ID")["details"], {"id": name})
    session.tell({"type": "cancel"})
    same(session.error(None, "INVALID_MESSAGE_ID")["details"], {"id": None})
    with connected(edge) as other:
      gate = provider.gate()
      provider.script = streamed(part("one"), gate, *story("two", used=usage(10, 5)))
      session.ask("mine", stream=True)
      session.chunk("mine", "one")
      other.cancel("mine")
      other.error(None, "INVALID_MESSAGE_ID")
      gate.open()
      same(session.done("mine").text, "two")
    edge.stop()
    same(len(edge.matching(messageId="never")), 0, "lines of cancels")


@play
def cancelled_twice():
  """a second cancel changes nothing any more, also when both come in one piece"""
  with hanging(part(BODY)) as (session, client, edge, provider):
    session.ask("a", stream=True)
    session.chunk("a")
    session.send(CANCEL * 2)
    session.error("a", "CANCELLED", usage=True)
    assert_answered_cancel(session)
    session.cancel("a")
    same(session.error(None, "INVALID_MESSAGE_ID")["details"], {"id": "a"})
    session.assert_quiet()
    settled(client)


@play
def cancelled_while_a_policy_waits():
  """a request whose policy waits for a service is cancelled there: no provider hears of it, and it costs nothing"""
  ask_side = """local policy = {}
function policy.on_message(msg, ctx) edge.http.fetch{service = "side", path = "/"} end
return policy
"""
  with Origin(lenient=True) as side:
    gate = side.gate()
    side.script = lambda request, line: (gate.wait(), answer(200, b"yes")(request, line))
    with speaking(policies={**USUAL, "ask": ask_side}, services={"side": {"endpoints": [side.url]}}) as (
        session, client, edge, provider):
      session.ask("a")
      side.wait_requests(1)
      session.cancel("a")
      session.error("a", "CANCELLED")
      same((settled(client), provider.lines), (1000, []))
      gate.open()
      session.assert_quiet()
      same(session.answered("a").end["data"], "hello")


# MARK: providers that fail

# How a provider may fail before it says anything: a script, and the code that the client gets.
FAILURES = {
  "500": (failing(500), "PROVIDER_ERROR"), "503": (failing(503), "PROVIDER_ERROR"),
  "401": (failing(401), "PROVIDER_ERROR"), "404": (failing(404), "MODEL_NOT_FOUND"),
  "429": (failing(429, fields=[("Retry-After", "7")]), "RATE_LIMIT_EXCEEDED"),
  "a close": (raw(b"", "close"), "PROVIDER_ERROR"), "no HTTP": (raw(b"SSH-2.0\r\n\r\n", "hang"), "PROVIDER_ERROR"),
  "a page": (answer(200, b"<html></html>", [("Content-Type", "text/html")]), "PROVIDER_ERROR"),
  "silence": (HANG, "TIMEOUT"),
}
QUICK = {"timeouts": {"head": "300ms", "answer": "300ms", "idle": "300ms"}}


@play
def failures_before_content():
  """a provider that fails before it says anything is an error of the request, costs nothing, and ends no session"""
  with speaking(provider=QUICK, lenient=True) as (session, client, edge, provider):
    for name, (script, code) in FAILURES.items():
      provider.script = script
      for stream in (False, True):
        try:
          session.ask("a", stream=stream)
          error = session.error("a", code)
        except Failed as failure:
          raise Failed(f"{name}, {stream}: {failure}") from None
        same(error.get("retryAfter"), 7 if name == "429" else None, "retryAfter")
        line = line_of(edge, error)
        same((exact(line.get("credits", 0)), line["messageId"]), (0, "a"))
        holds("said by the provider" not in error["message"], f"{error}")
    provider.script = provider.usual
    assert_paid(edge, session.answered("a"), cost(15))
    same(settled(client), 1000 - cost(15))


@play
def faults_of_the_request():
  """what the provider finds wrong with the request itself reaches the client as an error with its words"""
  with speaking() as (session, client, edge, provider):
    for status in (400, 422):
      provider.script = failing(status, "temperature: too hot")
      for stream in (False, True):
        session.ask("a", stream=stream)
        document = session.next_of("a")
        among(document["error"]["code"], ("INVALID_REQUEST", "CONTENT_REJECTED"), "code")
        holds("temperature: too hot" in document["error"]["message"], f"{document}")
        same("usage" in document, False)
    same(balance(client), 1000)


@play
def failures_within_a_stream():
  """a stream that fails when something was said ends with an error and what it has cost, as the ledger says"""
  failed = event({"error": {"message": "overloaded", "type": "server_error", "param": None, "code": None}})
  rows = [((Line.close,), "PROVIDER_ERROR"), ((read_and_reset,), "PROVIDER_ERROR"), ((failed,), "PROVIDER_ERROR"),
          ((Line.hang,), "TIMEOUT")]
  with speaking(provider=QUICK, lenient=True) as (session, client, edge, provider):
    paid = Decimal(0)
    for end, code in rows:
      provider.script = streamed(part("hello" * 2), part("hello" * 2), *end)
      session.ask("a", stream=True)
      found = session.rest("a")
      same((found.text, found.end["type"], found.end["error"]["code"]), (BODY, "error", code))
      line = assert_paid(edge, found, exact(found.end["usage"]["credits"]), source="estimated")
      same(line["usage"]["outputTokens"], 5)
      paid += found.end["usage"]["credits"]
    provider.script = streamed(*story("hello", used=usage(10, 5))[:-1], Line.close)
    session.ask("a", stream=True)
    found = session.rest("a")
    same((found.text, exact(found.end["usage"]["credits"])), ("hello", cost(15)))
    paid += cost(15)
    same(settled(client), 1000 - paid)
    edge.stop()
    same(ledger_of(edge).of("alice"), 1000 - paid)


@play
def failures_of_anthropic():
  """a stream of the other kind of provider that fails, early or late, is told in the same words"""
  with speaking(kind=MessagesProvider, provider=QUICK, lenient=True) as (session, client, edge, provider):
    provider.script = streamed(opening(), failure())
    session.ask("a", stream=True)
    session.error("a", "PROVIDER_ERROR", usage=None)
    provider.script = streamed(*tale("hello")[:3], failure())
    session.ask("a", stream=True)
    found = session.rest("a")
    same((found.text, found.end["error"]["code"], found.end["usage"]["credits"] > 0), ("hello", "PROVIDER_ERROR", True))
    assert_paid(edge, found, exact(found.end["usage"]["credits"]), source=line_of(edge, found)["usage"]["source"])
    provider.script = refusing(529)
    session.refused("a", "PROVIDER_ERROR")
    provider.script = refusing(429, fields=[("retry-after", "9")])
    same(session.refused("a", "RATE_LIMIT_EXCEEDED")["retryAfter"], 9)


# MARK: fallback


def says(name, kind):
  """A script of a provider of this kind that says who answers."""
  def script(request, line):
    stream = json.loads(request.body).get("stream")
    if kind is MessagesProvider:
      (streamed(*tale(name)) if stream else replied(message(name, tokens(10, 5))))(request, line)
    else:
      (streamed(*story(name, used=usage(10, 5))) if stream else told(completion(name, usage(10, 5))))(request, line)
  return script


@contextmanager
def company(*kinds, **config):
  """Providers p1, p2 … of these kinds that answer with their names, an edge and a session."""
  with ExitStack() as stack:
    found = [stack.enter_context(kind(says(f"p{at}", kind), lenient=True)) for at, kind in enumerate(kinds, 1)]
    document, files = wired(*found, **config)
    with Edge(document, files=files) as edge, edge.client() as client, connected(edge) as session:
      yield session, client, edge, found


def who(session, **fields):
  """Who answered, by what it says and by the metadata."""
  found = session.answered("a", **fields)
  text_of_it = found.text if fields.get("stream") else found.end["data"]
  same(found.end["metadata"]["provider"], text_of_it, "who answered")
  return text_of_it


@play
def the_next_one_answers():
  """where the choice is Edge's another provider answers for one that failed, of whichever kind, and one only is paid"""
  for kinds in ((Provider, Provider), (Provider, MessagesProvider), (MessagesProvider, Provider)):
    with company(*kinds, provider=QUICK) as (session, client, edge, (one, two)):
      one.script = failing(500)
      for fields in ({}, {"stream": True}, {"provider": "auto"}):
        same(who(session, **fields), "p2")
      same({line["fallbacks"] for line in edge.exchanges(4) if line.get("messageId")}, {1})
      for stream in (False, True):
        one.script = failing(500)
        two.script = failing(503)
        session.refused("a", "ALL_PROVIDERS_FAILED", stream=stream)
      same(settled(client), 1000 - 3 * cost(15))


@play
def the_named_one_alone():
  """a provider that is named answers alone: its failure is the request's, unless the route says otherwise"""
  for explicit, fails in ((False, True), (True, False)):
    options = {"fallback_explicit": True} if explicit else {}
    with company(Provider, Provider, socket=options) as (session, client, edge, (one, two)):
      same([who(session, provider="p2"), who(session, model="p2/small"), who(session, provider="p1")],
           ["p2", "p2", "p1"])
      same(two.asked(-1)["model"], "small", "the model at the provider")
      two.script = failing(500)
      for fields in ({"provider": "p2"}, {"model": "p2/small"}, {"provider": "p2", "model": "p2/small"}):
        for stream in (False, True):
          if fails:
            session.refused("a", "PROVIDER_ERROR", stream=stream, **fields)
          else:
            same(who(session, stream=stream, **fields), "p1")


@play
def an_equivalent_answers():
  """an equivalent that answers is named in the metadata, and costs what it costs"""
  more = {"big": {"providers": ["p2"], "price": 5, "max_output": 100}}
  with company(Provider, Provider, models=more, model={"providers": ["p1"], "equivalents": ["big"]}) as (
      session, client, edge, (one, two)):
    one.script = failing(500)
    for stream in (False, True):
      found = session.answered("a", stream=stream)
      same((found.end["metadata"]["model"], found.end["metadata"]["provider"]), ("big", "p2"))
      assert_paid(edge, found, cost(15, 5), tokens=(10, 5), model="big")


@play
def nobody_else_behind_content():
  """behind the first content of a stream no other provider is asked"""
  with company(Provider, Provider) as (session, client, edge, (one, two)):
    one.script = streamed(part("hello"), Line.close)
    session.ask("a", stream=True)
    found = session.rest("a")
    same((found.text, found.end["error"]["code"], two.lines), ("hello", "PROVIDER_ERROR", []))
    one.script = streamed(part(delta={"role": "assistant", "content": ""}), Line.close)
    same(who(session, stream=True), "p2", "behind an opening that says nothing")


@play
def cancelled_between_two():
  """a request that is cancelled while the next provider is asked ends there, and only that one is paid for, if any"""
  with company(Provider, Provider, provider=LONG) as (session, client, edge, (one, two)):
    one.script, two.script = failing(500), HANG
    session.ask("a", stream=True)
    two.wait_requests(1)
    session.cancel("a")
    session.error("a", "CANCELLED", usage=None)
    two.lines[0].await_end()
    line = edge.log_line(messageId="a")
    same(settled(client), 1000 - exact(line.get("credits", 0)))


@play
def a_slow_client_is_not_a_gone_one():
  """a session whose client reads nothing for a moment gets everything in its order when it reads again"""
  pieces = [part(f"{number:05}" * 100) for number in range(2000)]
  with speaking(streamed(*pieces, *story(used=usage(10, 5)))) as (_, client, edge, provider):
    with connected(edge, receive_buffer=8192) as session:
      session.ask("a", stream=True)
      provider.wait_requests(1)
      line = provider.lines[0]
      eventually(lambda: unread(session.client.local, session.client.remote), "something waits for the client")
      eventually(lambda: unread(line.remote, line.local), "the provider waits")
      found = session.done("a")
      same(found.text, "".join(f"{number:05}" * 100 for number in range(2000)))
