"""Sessions whose clients read slowly, send slowly, or do nothing at all: what they may cost the edge and others."""

import threading
import time
from contextlib import ExitStack

from play import *
from stage.credits import *
from stage.messages import *
from stage.metrics import *
from stage.platform import *
from stage.provider import *
from stage.websocket import *

MIB = 1 << 20
GROWTH = 4 * MIB * MEMORY_FACTOR
PIECE = "x" * 10_000
LONG = {"timeouts": {"head": "10m", "answer": "10m", "idle": "10m"}}
MUCH = {"max_output": 1_000_000}


@contextmanager
def narrow(script=None, **config):
  """As `speaking`, with a provider whose kernel keeps little of what it sends."""
  config = merged({"provider": LONG, "model": MUCH, "balance": 100_000_000}, config)
  with Provider(script, send_buffer=128 << 10, lenient=True) as provider:
    document, files = wired(provider, **config)
    with Edge(document, files=files) as edge, edge.client() as client, connected(edge, "bob") as session:
      yield session, client, edge, provider


class Flow:
  """A script that streams pieces without end, or so many, and counts those that were taken."""

  def __init__(self, count=None):
    self.count, self.taken, self.over = count, 0, threading.Event()

  def __call__(self, request, line):
    if json.loads(request.body)["messages"][0]["content"] != "flow":
      told(used=usage(10, 5))(request, line)
      return
    try:
      line.send(STREAM_HEAD)
      one = chunk(part(PIECE))
      while self.count is None or self.taken < self.count:
        line.send(one, Deadline(60))
        self.taken += 1
      line.send(b"".join(map(chunk, [part(finish="stop"), totals(usage(10, 5)), DONE])) + b"0\r\n\r\n")
    except OSError:
      pass
    finally:
      self.over.set()

  def await_pause(self):
    """Waits until the edge takes nothing any more for a while."""
    seen = {}

    def still():
      # When each count was seen first; the last one for a while now.
      return self.taken and time.monotonic() - seen.setdefault(self.taken, time.monotonic()) > 0.4
    eventually(still, "the provider is paused", 20)


@play
def who_does_not_read():
  """while a client does not read, its provider is paused, little is kept for it, and others go on; then it gets all"""
  flow = Flow(6000)
  with narrow(flow) as (other, client, edge, provider), connected(edge, receive_buffer=64 << 10) as session:
    same(session.answered("warm").end["data"], "hello")
    before = edge.memory()
    session.ask("a", "flow", stream=True)
    session.chunk("a", PIECE)
    flow.await_pause()
    holds(flow.taken * len(PIECE) < 50 * MIB, f"the edge took {flow.taken} pieces although its client reads nothing")
    grown = edge.memory() - before
    holds(grown < GROWTH, f"the edge grew by {grown} bytes")
    same(other.answered().end["data"], "hello", "another session")
    found = session.done("a")
    same((len(found.chunks), found.text == PIECE * 5999), (5999, True), "the rest")
    assert_paid(edge, found, cost(15))


@play
def several_streams_to_who_does_not_read():
  """twenty streams to one client that does not read are all paused, and little is kept for them"""
  flow = Flow()
  with narrow(flow) as (other, client, edge, provider), connected(edge, receive_buffer=64 << 10) as session:
    same(session.answered("warm").end["data"], "hello")
    before = edge.memory()
    # All are read before the first answer is more than the client takes.
    with edge.frozen():
      for number in range(20):
        session.ask(str(number), "flow", stream=True)
    flow.await_pause()
    grown = edge.memory() - before
    holds(grown < 4 * GROWTH, f"the edge grew by {grown} bytes")
    same(other.answered().end["data"], "hello", "another session")
    session.client.reset()
    edge.wait(lambda: len([one for one in edge.matching(event="exchange") if one.get("messageId")]) == 22, "22 lines")
    settled(client)


@play
def streams_that_begin_while_nobody_reads():
  """streams that begin, all at once, while the client takes nothing wait like others, and arrive whole when it reads"""
  flow = Flow(2000)
  with narrow() as (other, client, edge, provider), connected(edge, receive_buffer=8192) as session:
    gate, pieces = provider.gate(), [part(PIECE)] * 20

    def script(request, line):
      if b'"flow"' in request.body:
        flow(request, line)
      else:
        gate.wait()
        events = b"".join(map(chunk, [*pieces, part(finish="stop"), totals(usage(10, 5)), DONE]))
        line.send(STREAM_HEAD + events + b"0\r\n\r\n", Deadline(60))
    provider.script = script
    names = [str(number) for number in range(31)]
    for name in names:
      session.ask(name, stream=True)
    provider.wait_requests(31)
    session.ask("flow", "flow", stream=True)
    flow.await_pause()
    gate.open()
    for name in names:
      same(len(session.done(name).chunks), 20, f"chunks of {name}")
    same(len(session.done("flow").chunks), 2000)


@play
def who_never_reads():
  """a client that takes nothing for timeouts.send is cut, its requests end at the provider, and are paid"""
  flow = Flow()
  with narrow(flow, server={"timeouts": {"send": "1s"}}) as (other, client, edge, provider):
    with connected(edge, receive_buffer=64 << 10) as session:
      for name in "ab":
        session.ask(name, "flow", stream=True)
      edge.wait(lambda: len([one for one in edge.matching(event="exchange") if one.get("messageId")]) == 2, "two lines")
      for line in provider.lines:
        line.await_end()
      lines = [one for one in edge.matching(event="exchange") if one.get("messageId")]
      among({line["cause"] for line in lines}, ({"client_timeout"}, {"client_left"}), "causes")
      same(settled(client), 100_000_000 - sum(exact(line["credits"]) for line in lines))
      session.client.reader.rest(Deadline())
      holds(session.reader.ended, "the session is not cut")
    same(other.answered().end["data"], "hello", "another session")


@play
def who_reads_slowly():
  """a client that reads little at a time, but goes on reading, is not cut and gets everything"""
  flow = Flow(1000)
  with narrow(flow, server={"timeouts": {"send": "2s"}}) as (other, client, edge, provider):
    with connected(edge, receive_buffer=64 << 10) as session:
      session.ask("a", "flow", stream=True)
      following = begin = time.monotonic()
      session.chunk("a", PIECE)
      # Slow is who takes longer for all of it than the time there is to take any. What has come is read when all of it
      # has: whoever reads what others have said does not read what more they say.
      while b'"type":"done"' not in session.reader.buffer[-1000:]:
        holds(session.reader.fill(Deadline(), 64 << 10), "the session is cut")
        following += 0.025
        while True:
          same(other.answered().end["data"], "hello", "another session between two reads")
          if time.monotonic() >= following:
            break
      holds(time.monotonic() - begin > 2, "nothing was slow")
      same(len(session.done("a").chunks), 999)


@play
def large_answers():
  """whole answers of several MB, small ones, streams and pings of one session all arrive, whoever reads how fast"""
  large = ["".join(chr(97 + at) * 1000 for at in range(26)) * count for count in (150, 60, 250)]
  with narrow() as (other, client, edge, provider):
    def script(request, line):
      content = json.loads(request.body)["messages"][0]["content"]
      if content.isdigit():
        told(completion(large[int(content)], usage(10, 5)))(request, line)
      else:
        provider.usual(request, line)
    provider.script = script
    for buffer in (None, 16_384):
      with connected(edge, receive_buffer=buffer) as session:
        for number in range(3):
          session.ask(f"large{number}", str(number))
          session.ask(f"small{number}")
          session.ask(f"stream{number}", stream=True)
          session.send(frame(Op.PING, b"%d" % number))
        for number in range(3):
          same(session.done(f"small{number}").end["data"], "hello")
          same(session.done(f"stream{number}").text, "hello")
        for number in range(3):
          same(session.done(f"large{number}").end["data"] == large[number], True, f"the large answer {number}")
          session.pong(b"%d" % number)
        session.assert_quiet()


@play
def large_answers_to_who_does_not_read():
  """large answers to clients that do not read are bounded by server.memory.bodies, which is free again behind them"""
  large = dumped(completion("y" * (4 * MIB), usage(10, 5)))
  script = lambda request, line: (told(large) if b"large" in request.body else told(used=usage(10, 5)))(request, line)
  metrics = {"listeners": LISTENERS, "routes": METRICS}
  with narrow(script, server={"memory": {"bodies": "32MiB"}}, **metrics) as (other, client, edge, provider):
    same(other.answered().end["data"], "hello")
    before = edge.memory()
    with ExitStack() as stack:
      found = [stack.enter_context(connected(edge, receive_buffer=16_384)) for _ in range(5)]
      for one in found:
        for number in range(8):
          one.ask(str(number), "large")
      provider.wait_requests(9)
      grown = settled_memory(edge) - before
      holds(grown < (64 * MIB + GROWTH) * MEMORY_FACTOR, f"the edge grew by {grown} bytes")
    with edge.client("metrics") as watcher:
      eventually(lambda: total(scraped(watcher), "edge_body_memory_bytes") == 0, "the memory is free again")
    same(other.answered().end["data"], "hello", "another session")
    settled(client)


@play
def messages_that_never_end():
  """messages of which half has come are bounded by server.memory.bodies, and it is free again behind them"""
  metrics = {"listeners": LISTENERS, "routes": METRICS}
  half = text_frame(dumped(asking("a", "x" * (MIB - 2000))))[:900_000]
  with narrow(server={"memory": {"bodies": "8MiB"}}, **metrics) as (other, client, edge, provider):
    same(other.answered().end["data"], "hello")
    before = edge.memory()
    with ExitStack() as stack:
      found = [stack.enter_context(connected(edge)) for _ in range(30)]
      for one in found:
        one.client.sock.settimeout(0.2)
        try:
          one.client.sock.sendall(half)
        except OSError:
          pass  # not taken, or the session is over
      grown = edge.memory() - before
      holds(grown < (16 * MIB + GROWTH) * MEMORY_FACTOR, f"the edge grew by {grown} bytes")
      same(client.get("/health").status, 200)
    with edge.client("metrics") as watcher:
      eventually(lambda: total(scraped(watcher), "edge_body_memory_bytes") == 0, "the memory is free again")
    same(other.answered().end["data"], "hello", "another session")


@play
def floods_of_nonsense():
  """a client that sends nonsense without reading what it is told is no longer read, costs little, and hurts nobody"""
  with narrow() as (other, client, edge, provider), connected(edge, receive_buffer=8192) as session:
    same(session.answered("warm").end["data"], "hello")
    before = edge.memory()
    piece = text_frame("{") * 2000
    session.client.sock.settimeout(1)
    sent = 0
    try:
      while sent < 60 * MIB:
        sent += session.client.sock.send(piece)
    except OSError:
      pass  # it is not read any more, or it is over
    holds(sent < 60 * MIB, "everything is read and answered although nobody reads")
    grown = edge.memory() - before
    holds(grown < 2 * GROWTH, f"the edge grew by {grown} bytes")
    same(other.answered().end["data"], "hello", "another session")


@play
def idle_sessions_hold_nothing():
  """five hundred sessions that have worked and are idle cost little each, and give it back when they end"""
  with narrow(server={"workers": 2}, socket={"ping": "10m"}) as (other, client, edge, provider):
    def crowd(stack, count):
      found = [stack.enter_context(connected(edge, f"user-{number % 50}")) for number in range(count)]
      for number, one in enumerate(found):
        one.answered("a", "hi", stream=bool(number % 2))
      return found
    with ExitStack() as stack:
      crowd(stack, 100)
      settled_memory(edge)
      before = edge.memory()
      found = crowd(stack, 500)
      each = (settled_memory(edge) - before) / 500
      holds(each < 12_000 * MEMORY_FACTOR, f"{each:.0f} bytes for each idle session")
      for one in found[::50]:
        one.assert_quiet()
    with ExitStack() as stack:
      crowd(stack, 600)
      again = settled_memory(edge)
      holds(again < before + (500 * 12_000 + 2 * MIB) * MEMORY_FACTOR, f"the second crowd grew it to {again}")
    same(other.answered().end["data"], "hello")


def settled_memory(edge):
  """What the edge holds, when that does not shrink any more."""
  found = [edge.memory()]

  def calm():
    found.append(edge.memory())
    return len(found) > 20 and min(found[-10:]) == max(found[-10:])
  eventually(calm, "the memory is calm")
  return found[-1]


@play
def sessions_that_come_and_go():
  """a thousand sessions that come and go at every stage leave nothing behind"""
  with narrow(server={"workers": 2}) as (other, client, edge, provider):
    def storm(count):
      for number in range(count):
        with connected(edge, f"user-{number % 20}") as session:
          way = number % 5
          if way == 1:
            session.send(text_frame(dumped(asking("a")))[:20])
          elif way == 2:
            session.ask("a", stream=True)
          elif way == 3:
            session.answered()
            session.close()
          elif way == 4:
            session.send(frame(Op.PING, b"x") + frame(3))
            session.client.reset()
    storm(300)
    before = settled_memory(edge)
    storm(900)
    grown = settled_memory(edge) - before
    holds(grown < GROWTH, f"the edge grew by {grown} bytes")
    same(other.answered().end["data"], "hello")
    with edge.client() as fresh:
      for number in range(20):
        settled(fresh, f"user-{number}")


@play
def one_loud_session():
  """a session that keeps 32 streams running does not hold up the small requests of another one"""
  flow = Flow()
  with narrow(flow) as (other, client, edge, provider), connected(edge) as loud:
    for number in range(32):
      loud.ask(str(number), "flow", stream=True)
    leaving, failures = threading.Event(), []

    def read():
      try:
        while not leaving.is_set():
          loud.next()
      except Failed as failure:
        failures.append(f"{failure}"[:300])
    thread = threading.Thread(target=read)
    thread.start()
    try:
      for number in range(20):
        begin = time.monotonic()
        same(other.answered().end["data"], "hello")
        holds(time.monotonic() - begin < 3, f"a small request took {time.monotonic() - begin:.1f} s")
    finally:
      leaving.set()
      thread.join()
    same(failures, [], "what went wrong with the loud one")
