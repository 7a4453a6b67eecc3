"""WebSockets: what was found wrong once, and stays right."""

import time

from play import *
from stage.credits import *
from stage.platform import *
from stage.provider import *
from stage.websocket import *

LONG = {"timeouts": {"head": "10m", "answer": "10m", "idle": "10m"}}
MUCH = {"max_output": 1_000_000}
NOW = {"leeway": "0s"}


def endless(request, line):
  try:
    line.send(STREAM_HEAD)
    while True:
      line.send(chunk(part("x" * 10_000)))
  except (OSError, Failed):
    pass  # The other side has ended it, or takes no more.


@play
def who_takes_nothing_behind_the_end_of_the_token():
  """who takes nothing is cut after timeouts.send, also when the token has ended meanwhile, and nothing stays held"""
  with speaking(endless, auth=NOW, provider=LONG, model=MUCH, balance=100_000_000, lenient=True,
                server={"timeouts": {"send": "2s"}}) as (_, client, edge, provider):
    with connected(edge, receive_buffer=8192, lifetime=1) as session:
      session.ask("a", stream=True)
      same(edge.log_line(messageId="a")["cause"], "client_left")
      settled(client)


@play
def pings_behind_the_end_of_the_token():
  """pings go on while requests are in flight behind the end of the token, and then the session ends"""
  with speaking(auth=NOW, provider=LONG, socket={"ping": "1s"}) as (_, client, edge, provider):
    gate = provider.gate()
    provider.script = streamed(part("one"), gate, *story("two", used=usage(10, 5)))
    with connected(edge, lifetime=2) as session:
      session.ask("a", stream=True)
      session.chunk("a", "one")
      session.error(None, "SESSION_EXPIRED")
      session.pings.clear()
      session.ping()
      gate.open()
      same(session.rest("a").end["type"], "done")
      session.assert_ended(4401)


@play
def drains_whose_token_ends():
  """a drain ends the session when its time is over, also when the token ends meanwhile"""
  with speaking(auth=NOW, provider=LONG, socket={"on_reload": "drain 3s"}, lenient=True) as (_, client, edge, provider):
    gate = provider.gate()
    provider.script = streamed(part("one"), gate)
    with connected(edge, lifetime=2) as session:
      session.ask("a", stream=True)
      session.chunk("a", "one")
      edge.adopt(merged(edge.config, {"routes": {"platform": {"in_flight": 31}}}))
      session.assert_ended(1012)
    gate.open()
    settled(client)


@play
def streams_that_nobody_asked_for():
  """a provider that streams to a request for a whole answer has failed: no chunk is told, and nothing is charged"""
  told = streamed(part("one"), *story("two", used=usage(10, 5)))
  with speaking(told, lenient=True) as (session, client, edge, provider):
    session.ask("a", provider="p1")
    session.error("a", "PROVIDER_ERROR")
    same(settled(client), 1000)


@play
def long_messages():
  """a message that comes steadily for longer than two pings is taken: who sends is there"""
  with speaking(socket={"ping": "1s"}) as (session, client, edge, provider):
    whole = text_frame(dumped(asking("b", "x" * 100_000)))
    session.answers = False
    for start in range(0, len(whole), 4_000):
      session.send(whole[start:start + 4_000])
      time.sleep(0.1)  # The pace of this client, which is what the play is about.
    eventually(lambda: provider.requests, "the message has reached the provider")
