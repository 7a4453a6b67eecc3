"""Money on the platform's WebSocket: what each message holds and pays, whatever becomes of its session."""

import random
import time
from contextlib import ExitStack

from play import *
from stage.credits import *
from stage.messages import *
from stage.platform import *
from stage.provider import *
from stage.websocket import *

SMALLEST = Decimal("0.000000001")
LONG = {"timeouts": {"head": "10m", "answer": "10m", "idle": "10m"}}
BODY = "hello" * 4


def priced(name="a", output=10, **fields):
  """A request of an even number of bytes, as text, and what it holds: half its bytes, and the output it may get."""
  data = dumped(asking(name, maxTokens=output, **fields))
  data += b" " * (len(data) % 2)
  return data, cost(len(data) // 2 + output)


def send(session, name, data):
  session.running.add(name)
  session.say(data)


@contextmanager
def sessions(edge, count, user="alice"):
  """So many sessions of one user; or of several, where `user` is a function of their number."""
  with ExitStack() as stack:
    yield [stack.enter_context(connected(edge, user(number) if callable(user) else user)) for number in range(count)]


def assert_broke(session, name):
  """The next message of a request says that there are too few credits, and what would be needed."""
  error = session.error(name, "INSUFFICIENT_CREDITS", "credit")
  same(set(error["details"]), {"required", "available"}, "details")
  holds(exact(error["details"]["required"]) > exact(error["details"]["available"]), f"{error}")
  return error


@play
def none_at_all():
  """without credits a WebSocket opens, each message is INSUFFICIENT_CREDITS, and no provider hears of it"""
  with speaking(balance=0) as (session, client, edge, provider):
    for fields in ({}, {"stream": True}, {"maxTokens": 1}, {"prompt": "hi"}):
      session.ask("a", **fields)
      line = line_of(edge, assert_broke(session, "a"))
      same((line["status"], line["messageId"], line["policy"]), (402, "a", "credits"))
    session.assert_quiet()
    same(provider.lines, [], "connections to the provider")
    same(balance(client), 0)
    same(grant(client, "alice", 10).status, 200)
    same(session.answered().end["data"], "hello", "with credits, on the same session")


@play
def free_models():
  """a model whose price is 0 is served without credits"""
  with speaking(model={"price": 0}, balance=0) as (session, client, edge, provider):
    for stream in (False, True):
      assert_paid(edge, session.answered(stream=stream), 0, tokens=(10, 5))


@play
def exactly_enough():
  """who has exactly what a message holds is served, and who has a billionth of a credit less is not"""
  for stream in (False, True):
    data, held_for = priced(stream=stream)
    for initial, served in ((held_for, True), (held_for - SMALLEST, False)):
      with speaking(balance=initial) as (session, client, edge, provider):
        send(session, "a", data)
        if served:
          assert_paid(edge, session.done("a"), cost(15))
          same(balance(client), initial - cost(15))
        else:
          same(exact(assert_broke(session, "a")["details"]["required"]), held_for)
          same((provider.lines, balance(client)), ([], initial))


@play
def held_while_it_runs():
  """each running message holds its own estimate, sessions of a user share one balance, and the rest is given back"""
  data, once = priced(stream=True)
  with speaking(balance=once * 3 - SMALLEST) as (session, client, edge, provider), connected(edge) as other:
    gate = provider.gate()
    provider.script = streamed(part("one"), gate, *story("two", used=usage(1, 1)))
    for count, one in ((1, session), (2, other)):
      send(one, "a", data)
      one.chunk("a", "one")
      same(account(client)[1], count * once, "what is held")
    for one in (session, other):
      send(one, "b", priced("b", stream=True)[0])
      assert_broke(one, "b")
    with connected(edge, "bob") as third:
      send(third, "a", data)
      third.chunk("a", "one")
      gate.open()
      third.done("a")
    for one in (session, other):
      assert_paid(edge, one.done("a"), cost(2))
    same(balance(client), once * 3 - SMALLEST - 2 * cost(2))
    same(len(provider.requests), 3)


def crowded(stream, count=100):
  """So many requests by name, all of one length; a script whose answers cost what each of them holds; and that."""
  data = {f"{number:03}": priced(f"{number:03}", stream=stream)[0] for number in range(count)}
  size = {len(one) for one in data.values()}.pop()
  used = usage(size // 2, 10)
  script = streamed(*story("one", used=used)) if stream else told(used=used)
  return data, script, cost(size // 2 + 10)


@play
def never_below_zero():
  """of 100 messages at once on ten sessions and two workers an account for 50 gets exactly 50, and then has nothing"""
  for stream in (False, True):
    data, script, each = crowded(stream)
    with speaking(script, user="root", balance=each * 50, server={"workers": 2}) as (session, client, edge, provider):
      with sessions(edge, 10) as found:
        names = list(data)
        for at, one in enumerate(found):
          mine = names[at::10]
          one.running |= set(mine)
          one.send(b"".join(text_frame(data[name]) for name in mine))
        ends = [one.rest(name).end for at, one in enumerate(found) for name in names[at::10]]
      same(sorted(end["type"] for end in ends), ["done"] * 50 + ["error"] * 50)
      same({end["error"]["code"] for end in ends if end["type"] == "error"}, {"INSUFFICIENT_CREDITS"})
      same((len(provider.requests), balance(client)), (50, 0), "requests at the provider, and the balance")
      edge.stop()
      ledger = ledger_of(edge)
      same((ledger.of("alice"), len(ledger.settlements())), (0, 50))


@play
def many_accounts():
  """at once on twenty accounts each gets what its own credits cover, no more and no less"""
  data, script, each = crowded(False)
  with speaking(script, user="root", balance=each * 4, server={"workers": 2}) as (session, client, edge, provider):
    with sessions(edge, 40, lambda number: f"user-{number % 20}") as found:
      names = list(data)[:5]
      for one in found:
        one.running |= set(names)
        one.send(b"".join(text_frame(data[name]) for name in names))
      served = [sum(one.rest(name).end["type"] == "done" for name in names) for one in found]
    same({served[number] + served[number + 20] for number in range(20)}, {4}, "messages served, by account")
    same({balance(client, f"user-{number}") for number in range(20)}, {0})


@play
def limits_count_messages():
  """of 100 messages on ten sessions and two workers a limit of 50 admits exactly 50; openings count nothing"""
  limited = {**USUAL, "limit": (RATE_LIMIT, {"limit": "50 per 1h"})}
  with speaking(user="root", policies=limited, server={"workers": 2}) as (session, client, edge, provider):
    with sessions(edge, 10) as found:
      names = [str(number) for number in range(10)]
      for one in found:
        one.running |= set(names)
        one.send(b"".join(text_frame(dumped(asking(name))) for name in names))
      ends = [one.rest(name).end for one in found for name in names]
      same(sorted(end["type"] for end in ends), ["done"] * 50 + ["error"] * 50)
      for end in (end for end in ends if end["type"] == "error"):
        same(end["error"]["code"], "RATE_LIMIT_EXCEEDED")
        holds(1 <= end["error"]["retryAfter"] <= 3600, f"{end}")
      for one in found:
        one.assert_quiet()
    same((len(provider.requests), settled(client)), (50, 1000 - 50 * cost(15)))
    same(session.answered().end["data"], "hello", "another user")


# MARK: clients that leave


@play
def who_leaves_mid_stream():
  """a client that leaves mid-stream, however it does, ends its requests at the provider at once and pays what came"""
  with speaking(streamed(part(BODY), Line.hang), provider=LONG) as (_, client, edge, provider):
    paid, count = Decimal(0), 0
    for leave in ("close", "reset", "finish"):
      with connected(edge) as session:
        for name in ("a", "b"):
          session.ask(name, stream=True)
          session.chunk(name, BODY)
        count += 2
        begin = time.monotonic()
        getattr(session.client, leave)()
        for line in provider.lines[count - 2:count]:
          line.await_end()
        holds(time.monotonic() - begin < 1, f"the provider heard of it after {time.monotonic() - begin:.1f} s")
        edge.wait(lambda count=count: len(edge.matching(event="exchange", cause="client_left")) == count, "lines")
    for line in edge.matching(event="exchange", cause="client_left"):
      same((line["usage"]["source"], line["usage"]["outputTokens"]), ("estimated", 5))
      holds(0 < exact(line["credits"]) < cost(MAX_OUTPUT), f"{line}")
      paid += exact(line["credits"])
    same(settled(client), 1000 - paid)
    edge.stop()
    ledger = ledger_of(edge)
    same((ledger.of("alice"), len(ledger.settlements())), (1000 - paid, 6))


@play
def who_leaves_before_an_answer():
  """a client that leaves before its answers begin ends them at the provider, and nothing stays held"""
  with speaking(lambda request, line: line.hang(), provider=LONG) as (_, client, edge, provider):
    with connected(edge) as session:
      for number in range(20):
        session.ask(str(number), stream=bool(number % 2))
      provider.wait_requests(20)
      holds(account(client)[1] > 0, "nothing is held")
      session.client.reset()
      for line in provider.lines:
        line.await_end()
    left = settled(client)
    edge.stop()
    lines = messages_of(edge)
    same((len(lines), {line["cause"] for line in lines}), (20, {"client_left"}))
    same((left, ledger_of(edge).of("alice")), (1000 - sum(exact(line["credits"]) for line in lines),) * 2)


@play
def who_leaves_at_the_end():
  """a client that leaves at any moment of its answers is charged once for each, as the ledger says"""
  events = story("one", "two", used=usage(10, 5))
  with speaking(streamed(*events), lenient=True) as (_, client, edge, provider):
    for turn in range(40):
      with connected(edge) as session:
        for name in "abc":
          session.ask(name, stream=True)
        for _ in range(turn % 10):
          session.next()
        (session.client.reset if turn % 2 else session.client.close)()
    edge.wait(lambda: len(messages_of(edge)) >= 100, "lines")
    settled(client)
    edge.stop()
    lines = messages_of(edge)
    # Of what had not been read when the connection was reset, nobody knows.
    holds(len(lines) <= 120, f"{len(lines)} lines for 120 messages")
    same(ledger_of(edge).of("alice"), 1000 - sum(exact(line.get("credits", 0)) for line in lines))


def messages_of(edge):
  """The access lines of messages."""
  return [line for line in edge.matching(event="exchange") if line.get("messageId")]


# MARK: crashes


@play
def ends_wait_for_the_ledger():
  """when the client has read the end of an answer its charge stands on the disk, and a crash then loses nothing"""
  with Provider(lenient=True) as provider, Folder() as folder:
    document, files = wired(provider)
    paid = Decimal(0)
    for turn in range(6):
      with Edge(document, files=files, folder=folder) as edge, connected(edge) as session:
        if turn < 4:
          provider.script = provider.usual
          found = session.answered("a", stream=bool(turn % 2))
        else:
          provider.script = streamed(part(BODY), *([Line.close] if turn % 2 else [Line.hang]))
          session.ask("a", stream=True)
          session.chunk("a")
          if not turn % 2:
            session.cancel("a")
          found = session.rest("a")
        edge.crash()
      paid += exact(found.end["usage"]["credits"])
      ledger = Ledger(folder.path).assert_sound()
      same((ledger.of("alice"), len(ledger.settlements())), (1000 - paid, turn + 1), f"behind crash {turn + 1}")
      same(ledger.settlements()[-1]["request_id"], found.request)


@play
def crashes_at_any_moment():
  """what clients were told that they paid stands in the ledger, at whatever moment the edge is killed"""
  with Provider(lenient=True) as provider, Folder() as folder:
    document, files = wired(provider, server={"workers": 2}, balance=1_000_000)
    told_ids = set()
    for turn in range(4):
      with Edge(document, files=files, folder=folder) as edge, sessions(edge, 5) as found:
        for one in found:
          for number in range(20):
            one.ask(str(number), stream=bool(number % 2))
        for _ in range(random.Random(turn).randrange(1, 38)):
          found[0].next()
        edge.crash()
        for one in found:
          told_ids |= ends_before_the_cut(one)
      ledger = Ledger(folder.path).assert_sound()
      same(told_ids - {row["request_id"] for row in ledger.settlements()}, set(), "ends told, and not in the ledger")
    holds(told_ids, "no end was told in any turn")


def ends_before_the_cut(session):
  """The request ids of the ends that have reached a client whose edge is dead."""
  found = set()
  while True:
    try:
      document = session.next()
    except (Cut, OSError):
      return found
    if "usage" in document:
      found.add((document.get("metadata") or document["error"])["requestId"])


@play
def the_history_of_a_user():
  """the history of a user has each paid message with its request id, its usage and what it has cost"""
  with speaking() as (session, client, edge, provider):
    ids = [session.answered(str(number), stream=bool(number % 2)).request for number in range(6)]
    session.refused("x", "MODEL_NOT_FOUND", model="other")
    found = [entry for entry in entries(client) if entry["kind"] == "settlement"]
    same([entry["requestId"] for entry in found], ids[::-1])
    same({(entry["provider"], entry["model"], -exact(entry["credits"])) for entry in found},
         {("p1", "small", cost(15))})


@play
def more_than_was_held():
  """usage above what was held takes the rest from the balance, never more than is there, and says so"""
  data, once = priced()
  with speaking(told(used=usage(200, 300)), balance=once + Decimal("0.1")) as (session, client, edge, provider):
    send(session, "a", data)
    found = session.done("a")
    line = assert_paid(edge, found, once + Decimal("0.1"), tokens=(200, 300))
    same(exact(line["shortfall"]), cost(500) - once - Decimal("0.1"))
    same(balance(client), 0)


@play
def the_ledger_of_two_ways():
  """messages and HTTP requests of a user are paid from one account, and each is told what it paid"""
  with speaking(server={"workers": 2}) as (session, client, edge, provider):
    for turn in range(5):
      assert_paid(edge, session.answered(stream=bool(turn % 2)), cost(15))
      assert_charged(edge, ask(client), cost(15))
    same(balance(client), 1000 - 10 * cost(15))
