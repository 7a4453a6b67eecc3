"""Sessions on WebSockets over time: the end of the edge, the end of a token, and reloads."""

from contextlib import ExitStack

from play import *
from stage.credits import *
from stage.platform import *
from stage.provider import *
from stage.websocket import *

LONG = {"timeouts": {"head": "10m", "answer": "10m", "idle": "10m"}}
# A policy that refuses each message.
CLOSED = """local policy = {}
function policy.on_message(msg, ctx) edge.refuse("CONTENT_REJECTED", {message = "Not today."}) end
return policy
"""
OPEN = """local policy = {}
function policy.init(settings) end
function policy.on_message(msg, ctx) end
return policy
"""
WATCHED = {**USUAL, "watch": OPEN}


def gated(provider):
  """The provider streams `one`, and `two` when the gate is open, which is given back."""
  gate = provider.gate()
  provider.script = streamed(part("one"), gate, *story("two", used=usage(10, 5)))
  return gate


def running(session, name="a"):
  """Begins a stream that waits at its gate."""
  session.ask(name, stream=True)
  session.chunk(name, "one")


# MARK: the end of the edge


@play
def idle_sessions_at_the_end():
  """at SIGTERM idle sessions are closed with 1001, and the edge ends without waiting for server.drain"""
  with speaking(server={"workers": 2, "drain": "10m"}) as (session, client, edge, provider), ExitStack() as stack:
    others = [stack.enter_context(connected(edge, f"user-{number}")) for number in range(20)]
    session.answered()
    edge.signal()
    for one in [session, *others]:
      one.assert_ended(1001)
    same(edge.wait_exit(), 0)


@play
def running_requests_at_the_end():
  """at SIGTERM what runs ends well, new requests are SERVICE_UNAVAILABLE, and then the session is closed with 1001"""
  with speaking(server={"drain": "10m"}) as (session, client, edge, provider), connected(edge) as idle:
    gate = gated(provider)
    running(session)
    edge.signal()
    idle.assert_ended(1001)
    assert_refused(edge.address())
    session.assert_alive()
    for stream in (False, True):
      session.refused("b", "SERVICE_UNAVAILABLE", stream=stream)
    gate.open()
    found = session.done("a")
    same((found.text, len(provider.requests)), ("two", 1))
    session.assert_ended(1001)
    same(edge.wait_exit(), 0)
    assert_paid(edge, found, cost(15))
    same(ledger_of(edge).of("alice"), 1000 - cost(15))


@play
def no_end_of_waiting():
  """what has not ended after server.drain is cut and paid, and the edge exits with 0"""
  with speaking(streamed(part("hello" * 4), Line.hang), server={"drain": "300ms"}, provider=LONG) as (
      session, client, edge, provider):
    session.ask("a", stream=True)
    session.chunk("a")
    edge.signal()
    session.client.read_to_end()
    same(edge.wait_exit(), 0)
    line = edge.log_line(messageId="a")
    same((line["cause"], line["usage"]["outputTokens"]), ("drain", 5))
    same(ledger_of(edge).of("alice"), 1000 - exact(line["credits"]))


@play
def who_does_not_answer_at_the_end():
  """a client that does not answer the close does not keep the edge from ending, nor does a second SIGTERM wait"""
  with speaking(server={"drain": "1s"}) as (session, client, edge, provider):
    session.answers = False
    edge.signal()
    session.assert_ended(1001)
    same(edge.wait_exit(), 0)
  with speaking(server={"drain": "10m"}, lenient=True) as (session, client, edge, provider), connected(edge) as idle:
    gated(provider)
    running(session)
    edge.signal()
    idle.assert_ended(1001)
    session.refused("b", "SERVICE_UNAVAILABLE")
    edge.signal()
    edge.wait_exit()


# MARK: the end of a token


@play
def the_end_of_a_token():
  """when its token ends a session is told, takes no more requests, and is closed with 4401 behind those in flight"""
  with speaking(auth={"leeway": "0s"}) as (session, client, edge, provider):
    gate = gated(provider)
    with connected(edge, lifetime=2) as short, connected(edge, lifetime=2) as idle:
      running(short)
      for one in (idle, short):
        one.error(None, "SESSION_EXPIRED")
      idle.assert_ended(4401)
      for stream in (False, True):
        short.refused("b", "SESSION_EXPIRED", stream=stream)
      short.assert_alive()
      gate.open()
      same(short.done("a").text, "two")
      short.assert_ended(4401)
    same(len(provider.requests), 1)
    provider.script = provider.usual
    same(session.answered().end["data"], "hello", "a session whose token lasts")


@play
def tokens_that_last():
  """a session goes on while its token does, also behind a reload, and one whose token has no end stays"""
  with speaking(auth={"leeway": "0s", "require_exp": False}) as (session, client, edge, provider):
    with connected(edge, lifetime=None) as lasting, connected(edge, lifetime=2) as short:
      edge.adopt(merged(edge.config, {"limits": {"head_fields": 50}}))
      same(short.answered().end["data"], "hello")
      short.error(None, "SESSION_EXPIRED")
      short.assert_ended(4401)
      same((lasting.answered().end["data"], session.answered().end["data"]), ("hello", "hello"))


# MARK: reloads


def touched(config):
  """The configuration with everything changed that is none of the route's business."""
  return merged(config, {"limits": {"head_fields": 50}, "routes": {"more": {"path": "/more", "handler": "credits-api",
                                                                           "policies": ["auth"]}},
                         "models": {"small": {"price": Decimal("2"), "max_output": 500},
                                    "new": {"providers": ["p1"], "price": 1, "max_output": 10}},
                         "providers": {"p1": {"timeouts": {"head": "20s"}}}})


@play
def unchanged_routes():
  """a reload that does not touch a route touches no session of it, and sessions keep no generation alive"""
  for on_reload in ("keep", "drain 5m", "close"):
    with speaking(socket={"on_reload": on_reload}) as (session, client, edge, provider), connected(edge) as idle:
      gate = gated(provider)
      running(session)
      config = edge.config
      line = edge.adopt(touched(config))
      session.assert_alive()
      idle.assert_quiet()
      gate.open()
      same(session.done("a").text, "two")
      edge.wait_line(event="generation_ended", generation=1)
      edge.adopt(config)
      edge.wait_line(event="generation_ended", generation=line["generation"])
      for one in (session, idle):
        provider.script = provider.usual
        found = one.answered()
        same(line_of(edge, found)["generation"], line["generation"] + 1)


def changes(config):
  """Ways to change a route: name → configuration and files of a reload."""
  def with_route(**fields):
    return merged(config, {"routes": {"platform": fields}}), {}
  return {
    "another limit": with_route(in_flight=5), "another permission": with_route(permission="mcp:read"),
    "another policy": with_route(policies=["auth", "permissions", "credits"]),
    "the order of policies": with_route(policies=["watch", "auth", "permissions", "credits"]),
    "another script": (None, {file_of("watch"): OPEN + "-- another\n"}),
    "other settings": (merged(config, {"policies": {"watch": {"settings": {"a": 1}}}}), {}),
  }


@play
def changed_routes_keep():
  """with on_reload: keep the sessions of a changed route go on, and the next message follows the new rules"""
  with speaking(policies=WATCHED) as (session, client, edge, provider):
    config = edge.config
    for name, (document, files) in changes(config).items():
      edge.adopt(document or config, files)
      same(session.answered("a").end["data"], "hello", name)
    gate = gated(provider)
    running(session)
    edge.adopt(config, {file_of("watch"): CLOSED})
    same(session.refused("b", "CONTENT_REJECTED")["message"], "Not today.")
    gate.open()
    same(session.done("a").text, "two")
    edge.adopt(config, {file_of("watch"): OPEN})
    provider.script = provider.usual
    same(session.answered("b").end["data"], "hello")


@play
def changed_routes_drain():
  """with on_reload: drain a changed route's sessions end with 1012 behind what is in flight, and take nothing new"""
  for name in ("another limit", "another policy", "the order of policies", "another script", "other settings"):
    with speaking(policies=WATCHED, socket={"on_reload": "drain 5m"}) as (session, client, edge, provider):
      with connected(edge) as idle:
        gate = gated(provider)
        running(session)
        document, files = changes(edge.config)[name]
        edge.adopt(document or edge.config, files)
        idle.assert_ended(1012)
        session.refused("b", "SERVICE_UNAVAILABLE")
        session.assert_alive()
        gate.open()
        same(session.done("a").text, "two")
        session.assert_ended(1012)
      with connected(edge) as fresh:
        fresh.assert_quiet()


@play
def draining_has_an_end():
  """a session that drains for a reload is closed when its time is over, and what runs on it ends and is paid"""
  with speaking(streamed(part("hello" * 4), Line.hang), policies=WATCHED, socket={"on_reload": "drain 1s"},
                provider=LONG) as (session, client, edge, provider):
    session.ask("a", stream=True)
    session.chunk("a")
    edge.adopt(None, {file_of("watch"): CLOSED})
    session.assert_ended(1012, passing=True)
    provider.lines[0].await_end()
    line = edge.log_line(messageId="a")
    same(settled(client), 1000 - exact(line["credits"]))
    holds(exact(line["credits"]) > 0, f"{line}")


@play
def changed_routes_close():
  """with on_reload: close a changed route's sessions end with 1012 at once, and what runs on them is paid"""
  with speaking(streamed(part("hello" * 4), Line.hang), policies=WATCHED, socket={"on_reload": "close"},
                provider=LONG, server={"workers": 2}) as (session, client, edge, provider):
    with connected(edge, "bob") as idle:
      session.ask("a", stream=True)
      session.chunk("a")
      edge.adopt(None, {file_of("watch"): OPEN + "-- another\n"})
      idle.assert_ended(1012)
      session.assert_ended(1012, passing=True)
      provider.lines[0].await_end()
      line = edge.log_line(messageId="a")
      same(settled(client), 1000 - exact(line["credits"]))
    provider.script = provider.usual
    with connected(edge) as fresh:
      same(fresh.answered().end["data"], "hello")
    edge.wait_line(event="generation_ended", generation=1)


@play
def removed_routes():
  """the sessions of a route that a reload takes away end with 1012 behind what is in flight"""
  for on_reload in ("keep", "drain 5m"):
    with speaking(socket={"on_reload": on_reload}) as (session, client, edge, provider), connected(edge) as idle:
      gate = gated(provider)
      running(session)
      edge.adopt(merged(edge.config, {"routes": {"platform": None}}))
      idle.assert_ended(1012)
      gate.open()
      same(session.done("a").text, "two")
      session.assert_ended(1012)
      with edge.client() as other:
        other.send(handshake(fields=[bearer()]))
        same(other.read_response().status, 404)


@play
def removed_listeners():
  """the sessions of a listener that a reload takes away end behind what is in flight, and those of others stay"""
  with speaking(listeners={"second": {"bind": "127.0.0.1:0"}}) as (session, client, edge, provider):
    with connected(edge, listener="second") as busy, connected(edge, listener="second") as idle:
      gate = gated(provider)
      running(busy)
      edge.adopt(merged(edge.config, {"listeners": {"second": None}}))
      idle.assert_ended(1001, 1012)
      gate.open()
      same(busy.done("a").text, "two")
      busy.assert_ended(1001, 1012)
    provider.script = provider.usual
    same(session.answered().end["data"], "hello")


@play
def refused_reloads():
  """a reload that is refused touches no session"""
  with speaking(policies=WATCHED, socket={"on_reload": "close"}, loud=True) as (session, client, edge, provider):
    line = edge.reload(None, {file_of("watch"): "this is no Lua"})
    same(line["event"], "reload_failed")
    session.assert_quiet()
    same(session.answered().end["data"], "hello")


@play
def streams_over_reloads():
  """streams of fifty sessions on two workers are whole over reloads, each on the generation it began on"""
  with speaking(policies=WATCHED, server={"workers": 2}) as (_, client, edge, provider), ExitStack() as stack:
    found = [stack.enter_context(connected(edge, f"user-{number}")) for number in range(50)]
    gate = gated(provider)
    for one in found:
      running(one)
    config = edge.config
    for turn in range(5):
      edge.adopt(touched(config) if turn % 2 == 0 else config, {file_of("watch"): OPEN + f"-- {turn}\n"})
    gate.open()
    for one in found:
      ended = one.done("a")
      same(ended.text, "two")
      same(line_of(edge, ended)["generation"], 1)
    provider.script = provider.usual
    for one in found:
      same(line_of(edge, one.answered("b"))["generation"], 6)


@play
def new_prices():
  """a message costs what its model cost when it came: one that runs the old price, the next one the new"""
  with speaking() as (session, client, edge, provider):
    gate = gated(provider)
    running(session)
    edge.adopt(merged(edge.config, {"models": {"small": {"price": Decimal("10")}}}))
    provider.script = provider.usual
    assert_paid(edge, session.answered("b"), cost(15, 10))
    gate.open()
    assert_paid(edge, session.done("a"), cost(15))
    same(balance(client), 1000 - cost(15) - cost(15, 10))


@play
def half_a_message():
  """a message of which half has come when the reload does follows the newest rules"""
  data = text_frame(dumped(asking("a", "x" * 500)))
  with speaking(policies=WATCHED) as (session, client, edge, provider):
    session.running.add("a")
    session.send(data[:300])
    session.client.await_read()
    edge.adopt(None, {file_of("watch"): CLOSED})
    session.send(data[300:])
    same(line_of(edge, session.error("a", "CONTENT_REJECTED"))["generation"], 2)


@play
def idle_sessions_over_reloads():
  """300 idle sessions on two workers survive reloads that change their route, and cost no generation its end"""
  with speaking(policies=WATCHED, server={"workers": 2}, user="root") as (_, client, edge, provider):
    with ExitStack() as stack:
      found = [stack.enter_context(connected(edge, f"user-{number}")) for number in range(300)]
      config = edge.config
      for turn in range(5):
        edge.adopt(touched(config) if turn % 2 == 0 else config, {file_of("watch"): OPEN + f"-- {turn}\n"})
      edge.wait_line(event="generation_ended", generation=5)
      for number, one in enumerate(found):
        one.assert_quiet()
        if number % 10 == 0:
          line = line_of(edge, one.answered())
          same((line["generation"], line["principal"]), (6, f"user-{number}"))


@play
def reloads_under_load():
  """sessions that ask one thing after the other notice nothing of twenty reloads"""
  with speaking(policies=WATCHED, server={"workers": 2}) as (_, client, edge, provider), ExitStack() as stack:
    found = [stack.enter_context(connected(edge, f"user-{number}")) for number in range(8)]
    config = edge.config
    for turn in range(20):
      for one in found:
        for name in "abc":
          one.ask(name, stream=name == "a")
      edge.adopt(config, {file_of("watch"): OPEN + f"-- {turn}\n"})
      for one in found:
        same([one.done(name).end["usage"]["credits"] for name in "abc"], [cost(15)] * 3)
    for number in range(8):
      same(settled(client, f"user-{number}"), 1000 - 60 * cost(15))
