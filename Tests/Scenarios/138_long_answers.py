"""Answers that are too long for one piece: what else happens on their session meanwhile, and how it may end then."""

from play import *
from stage.credits import *
from stage.messages import *
from stage.platform import *
from stage.provider import *
from stage.websocket import *

LONG = "0123456789abcdef" * 1_000_000
ANSWER = dumped(completion(LONG, usage(10, 5)))


def script(request, line):
  """A long answer for who asks for one, streams of small pieces and small answers for others."""
  document = json.loads(request.body)
  if document["messages"][0]["content"] == "long":
    told(ANSWER)(request, line)
  elif document.get("stream"):
    streamed(*story("he", "llo", used=usage(10, 5)))(request, line)
  else:
    told(used=usage(10, 5))(request, line)


@contextmanager
def begun(user="alice", count=1, lifetime=600, **config):
  """A session whose client has read the beginning of a long answer, of so many that it has asked for."""
  with speaking(script, lenient=True, user="bob", **config) as (other, client, edge, provider):
    with connected(edge, user, receive_buffer=16_384, lifetime=lifetime) as session:
      for number in range(count):
        session.ask(f"long{number}", "long")
      while not session.parts:
        session.step()
      yield session, client, edge, other


def assert_long(session, name="long0"):
  found = session.done(name)
  same(found.end["data"] == LONG, True, f"{name} is whole")
  return found


@play
def others_wait_their_turn():
  """what else is said on a session stands between long answers and never within one, and each is whole"""
  with begun(count=3) as (session, client, edge, other):
    for number in range(5):
      session.ask(f"small{number}")
      session.ask(f"stream{number}", stream=True)
    session.say("{")
    session.send(frame(Op.PING, b"meanwhile"))
    same(other.answered().end["data"], "hello", "another session")
    for number in range(3):
      assert_paid(edge, assert_long(session, f"long{number}"), cost(15))
    for number in range(5):
      same(session.done(f"small{number}").end["data"], "hello")
      same(session.done(f"stream{number}").text, "hello")
    session.error(None, "INVALID_MESSAGE_FORMAT")
    session.pong(b"meanwhile")
    session.assert_quiet()


@play
def a_cancel_too_late():
  """a cancel of a long answer that is on its way changes nothing, and one of another request is heard behind it"""
  with begun(provider={"timeouts": {"idle": "10m"}}) as (session, client, edge, other):
    session.cancel("long0")
    assert_long(session)
    session.assert_alive()
    while session.queue:
      session.error(None, "INVALID_MESSAGE_ID")
    same(session.answered().end["data"], "hello")


@play
def leaving_within():
  """a client that leaves within a long answer, however it does, is charged once, and nothing stays held"""
  for leave in ("close", "reset", "finish"):
    with begun(count=2) as (session, client, edge, other):
      getattr(session.client, leave)()
      edge.wait(lambda: len([line for line in edge.matching(event="exchange", principal="alice")
                             if line.get("messageId")]) == 2, "two lines")
      lines = [line for line in edge.matching(event="exchange", principal="alice") if line.get("messageId")]
      same(settled(client), 1000 - sum(exact(line["credits"]) for line in lines))
      same(other.answered().end["data"], "hello", "another session")


@play
def a_close_within():
  """a close within a long answer is answered between two of its pieces, or behind it"""
  with begun() as (session, client, edge, other):
    session.send(goodbye(4000, b"enough"))
    session.told_end = True
    session.assert_ended(4000, passing=True)
    settled(client)
    same(other.answered().end["data"], "hello", "another session")


@play
def the_end_of_a_token_within():
  """a token that ends within a long answer does not end that: it is whole, then comes the end of the session"""
  with begun(lifetime=2, auth={"leeway": "0s"}) as (session, client, edge, other):
    over = Deadline(2.2)
    eventually(over.passed, "the token is over", 5)
    assert_long(session)
    session.error(None, "SESSION_EXPIRED")
    session.assert_ended(4401)


@play
def the_end_of_the_edge_within():
  """at SIGTERM a long answer is sent to its end, and then the session is closed"""
  with begun(server={"drain": "10m"}) as (session, client, edge, other):
    edge.signal()
    other.assert_ended(1001)
    found = assert_long(session)
    session.assert_ended(1001)
    same(edge.wait_exit(), 0)
    assert_paid(edge, found, cost(15))


@play
def reloads_within():
  """a reload within a long answer ends it where the route says close, and leaves it whole where it says otherwise"""
  for on_reload in ("keep", "drain 5m", "close"):
    with begun(socket={"on_reload": on_reload}) as (session, client, edge, other):
      edge.adopt(merged(edge.config, {"routes": {"platform": {"in_flight": 5}}}))
      if on_reload == "close":
        session.assert_ended(1012, passing=True)
        same(list(session.queue), [], "whole messages behind the end")
      else:
        assert_long(session)
        if on_reload == "keep":
          session.assert_quiet()
        else:
          session.assert_ended(1012)
      settled(client)


@play
def who_takes_no_more():
  """a client that stops reading within a long answer is cut after timeouts.send, and has paid for it"""
  with begun(server={"timeouts": {"send": "1s"}}) as (session, client, edge, other):
    line = edge.log_line(messageId="long0")
    among(line["cause"], ("client_left", "client_timeout"), "cause")
    same((exact(line["credits"]), settled(client)), (cost(15), 1000 - cost(15)))
    same(other.answered().end["data"], "hello", "another session")


@play
def a_broken_rule_within():
  """a client that breaks a rule within a long answer is told so between two pieces, and the answer does not go on"""
  with begun() as (session, client, edge, other):
    session.send(frame(3))
    try:
      session.assert_ended(1002, passing=True)
    except Cut:
      raise Failed("the session is cut without a word") from None
    settled(client)
    same(other.answered().end["data"], "hello", "another session")
