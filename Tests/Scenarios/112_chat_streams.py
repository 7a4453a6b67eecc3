"""Streams of models: every event whole and at once, the end only when the charge is written."""

from play import *
from stage.credits import *
from stage.kernel import unread
from stage.provider import *


@contextmanager
def gated(*events, **config):
  """A provider that sends each event when its gate opens; (client, edge, provider, gates)."""
  with chatting(**config) as (client, edge, provider):
    gates = [provider.gate() for _ in events]
    provider.script = streamed(*[step for pair in zip(gates, events) for step in pair])
    yield client, edge, provider, gates


def assert_events(found, wanted, used):
  """The client of a stream got these events; the usage reached it only where it asked."""
  same(found, b"".join(one for one in wanted if one != totals(used)), "the stream")


@play
def not_delayed():
  """each event reaches the client before the provider sends the next, up to those that wait for the ledger"""
  events = story("one", "two", "three", used=usage(10, 5))
  with gated(*events) as (client, edge, provider, gates):
    client.send(post(chat(stream=True, stream_options={"include_usage": True})))
    answered = None
    for gate, one in zip(gates[:-2], events):
      gate.reached()
      client.assert_open()
      gate.open()
      answered = answered or Events(client)
      same(answered.next(), one)
    for gate in gates[-2:]:
      gate.open()
    same(answered.rest(), b"".join(events[-2:]))


@play
def head_with_the_first_event():
  """the head of a stream comes with its first event, so that a provider that leaves before it is still a 502"""
  with chatting() as (client, edge, provider):
    for end in (Line.close, read_and_reset):
      provider.script = streamed(end)
      response = ask(client, chat(stream=True))
      assert_openai_error(response, "PROVIDER_ERROR")
      assert_charged(edge, response, 0, "none", (0, 0), cause="upstream_error")
    same(balance(client), 1000)


@play
def split_everywhere():
  """events that arrive byte by byte reach the client whole and unchanged, and their usage counts"""
  events = story("h\u00e9", '"quoted" \\ back', used=usage(10, 5))
  data = b"".join(events)
  with chatting() as (client, edge, provider):
    def bytewise(_request, line):
      line.send(STREAM_HEAD)
      line.send_slowly(b"".join(chunk(data[at:at + 1]) for at in range(len(data))), 6)
      line.send(b"0\r\n\r\n")
    provider.script = bytewise
    answered = begin(client)
    assert_events(answered.rest(), events, usage(10, 5))
    assert_charged(edge, answered.response, cost(15), tokens=(10, 5))


@play
def split_at_each_place():
  """wherever a stream is split in two, the client gets the same bytes and pays the same"""
  events = story("one", used=usage(10, 5))
  data = b"".join(events)
  with chatting() as (client, edge, provider):
    def halves(request, line):
      at = int(provider.asked()["user"])
      line.send(STREAM_HEAD + chunk(data[:at]))
      eventually(lambda: not unread(line.remote, line.local), "the edge reads the first half")
      line.send(chunk(data[at:]) + b"0\r\n\r\n")
    provider.script = halves
    for at in range(1, len(data), 3):
      assert_events(begin(client, chat(stream=True, user=str(at))).rest(), events, usage(10, 5))
    count = len(range(1, len(data), 3))
    edge.exchanges(count)
    same({exact(line["credits"]) for line in edge.matching(route="chat")}, {cost(15)}, "charges")


@play
def all_in_one():
  """a stream that arrives in one piece is the same stream"""
  events = story(*["word "] * 500, used=usage(10, 500))
  with chatting(streamed(b"".join(events))) as (client, edge, provider):
    answered = begin(client)
    assert_events(answered.rest(), events, usage(10, 500))
    assert_charged(edge, answered.response, cost(510), tokens=(10, 500))


@play
def whole_events_only():
  """what the client has at a cut ends with a whole event, however much of the next had arrived"""
  one, two = part("one"), part("two" * 20)
  with chatting() as (client, edge, provider):
    for extra in (b"", two[:1], two[:7], two[:30], two[:-1]):
      provider.script = streamed(one + extra, Line.close)
      with edge.client() as other:
        same(begin(other).cut(), one, f"bytes before a cut behind {extra!r}")


@play
def other_line_ends():
  """events whose lines end with CRLF or that have comments, names and ids pass unchanged, and their usage counts"""
  crlf = story("one", used=usage(10, 5), end=b"\r\n")
  mixed = [b": keep-alive\n\n", b"event: x\nid: 7\nretry: 5\n" + part("one"), b"data:" + part("two")[6:],
           part(finish="stop"), totals(usage(10, 5)), DONE]
  with chatting() as (client, edge, provider):
    for events, end in ((crlf, b"\r\n"), (mixed, b"\n")):
      provider.script = streamed(*events)
      answered = begin(client)
      same(answered.rest(), b"".join(one for one in events if one != totals(usage(10, 5), end=end)))
      assert_charged(edge, answered.response, cost(15), tokens=(10, 5))


@play
def many_long_events():
  """events of 100 KB pass whole, and 20,000 short ones in their order"""
  with chatting() as (client, edge, provider):
    long = story(*["x" * 100_000] * 5, used=usage(10, 5))
    short = story(*[str(number) for number in range(20_000)], used=usage(10, 5))
    for events in (long, short):
      provider.script = streamed(*[b"".join(events[at:at + 50]) for at in range(0, len(events), 50)])
      assert_events(begin(client).rest(), events, usage(10, 5))


@play
def an_event_without_end():
  """an event that never ends is given up at a bound instead of being kept for ever"""
  def endless(_request, line):
    line.send(STREAM_HEAD + chunk(part("one")))
    try:
      for _ in range(400):
        line.send(chunk(b"data: " + b"x" * 10_000))
    except OSError:
      pass
    line.hang()
  with chatting(endless, lenient=True) as (client, edge, provider):
    before = edge.memory()
    same(begin(client).cut(), part("one"), "the stream")
    holds(edge.memory() < before + (8 << 20) * MEMORY_FACTOR, f"memory grew from {before} to {edge.memory()}")


@play
def end_waits_for_the_ledger():
  """when the client has read [DONE] the charge stands on the disk, and a crash at that moment loses nothing"""
  with Provider() as provider, Folder() as folder:
    document, files = llm(provider)
    for turn in range(1, 5):
      with Edge(document, files=files, folder=folder) as edge, edge.client() as client:
        answered = begin(client)
        events = []
        while DONE not in events:
          events.append(answered.next())
        edge.crash()
      ledger = Ledger(folder.path).assert_sound()
      same(ledger.of("alice"), 1000 - turn * cost(15), f"balance after crash {turn}")
      same(len(ledger.settlements()), turn, "settlements")


@play
def whole_answer_waits_for_the_ledger():
  """when the client has read a whole answer its charge stands on the disk"""
  with Provider() as provider, Folder() as folder:
    document, files = llm(provider)
    for turn in range(1, 4):
      with Edge(document, files=files, folder=folder) as edge, edge.client() as client:
        same(ask(client).status, 200)
        edge.crash()
      same(Ledger(folder.path).assert_sound().of("alice"), 1000 - turn * cost(15), f"balance after crash {turn}")


@play
def slow_reader():
  """a client that reads slowly pauses the provider, and gets all in the end"""
  event_text = "x" * 10_000
  events = story(*[event_text] * 2000, used=usage(10, 5))
  sent = []

  def script(_request, line):
    line.send(STREAM_HEAD)
    for one in events:
      line.send(chunk(one))
      sent.append(len(one))
    line.send(b"0\r\n\r\n")
  with chatting(script) as (_, edge, provider), edge.client(receive_buffer=8192) as client:
    answered = begin(client)
    same(answered.next(), events[0])
    still = []

    def paused():
      still.append(len(sent))
      return len(still) > 50 and len(set(still[-50:])) == 1
    eventually(paused, "the provider is paused")
    holds(len(sent) < len(events), "everything was taken although nobody reads")
    assert_events(events[0] + answered.rest(), events, usage(10, 5))


@play
def stream_nobody_asked_for():
  """a streamed answer to a request that is not streamed is refused or paid, and a whole answer to a stream passes"""
  with chatting(streamed(*story("one", used=usage(10, 5)))) as (client, edge, provider):
    response = ask(client)
    charged = exact(edge.line_of(response)["credits"])
    same((response.status == 200, charged > 0), (charged > 0, response.status == 200), "answered, and charged")
    provider.script = told(used=usage(10, 5))
    response = ask(client, chat(stream=True))
    same((response.status, response.body), (200, dumped(completion(used=usage(10, 5)))))
    assert_charged(edge, response, cost(15))


@play
def several_at_once():
  """two hundred streams at once, on two workers, each get their own events and their own charge"""
  with chatting(server={"workers": 2}) as (_, edge, provider):
    gate = provider.gate()

    def script(request, line):
      number = int(json.loads(request.body)["user"])
      events = story(f"for {number}", used=usage(10, number))
      streamed(events[0], gate, *events[1:])(request, line)
    provider.script = script
    clients = [Client(edge.address()) for _ in range(200)]
    try:
      for number, one in enumerate(clients):
        one.send(post(chat(stream=True, user=f"{number:03}"), user=f"user-{number}"))
      answers = [Events(one) for one in clients]
      for number, answered in enumerate(answers):
        same(answered.next(), part(f"for {number}"))
      gate.open()
      for answered in answers:
        same(answered.rest(), part(finish="stop") + DONE)
      for number in (0, 1, 99, 199):
        same(settled(clients[0], f"user-{number}"), 1000 - cost(10 + number), f"balance of user-{number}")
    finally:
      for one in clients:
        one.close()


@play
def long_events_and_a_slow_reader():
  """events of 240 KiB reach a client whole that reads little at a time, but goes on reading"""
  long, short = part("y" * (240 << 10)), part("x" * 1000)
  pieces = [short] * 50 + [long + short * 60] * 120
  events = [*pieces, part(finish="stop"), totals(usage(10, 5)), DONE]
  with chatting(streamed(*events), lenient=True, balance=10_000_000, model={"max_output": 1_000_000}) as (
      quick, edge, provider), edge.client(receive_buffer=8192) as client:
    answered = begin(client)
    while not client.reader.buffer.endswith(b"\r\n0\r\n\r\n"):
      same(quick.get("/health").status, 200, "another request between two reads")
      if not client.reader.fill(Deadline(), 16_384):
        break
    assert_events(answered.rest(), events, usage(10, 5))
    assert_charged(edge, answered.response, cost(15), tokens=(10, 5), cause="completed")


@play
def whole_events_before_a_long_one():
  """whole events in front of one that is too large reach the client before the cut, however they arrive"""
  whole, long = part("one") + part("two"), b"data: " + b"x" * (300 << 10)
  with chatting(lenient=True) as (client, edge, provider):
    def at_once(_request, line):
      line.send(STREAM_HEAD + chunk(whole + long))
      line.hang()
    for script in (at_once, streamed(whole + long, Line.hang), streamed(whole, long, Line.hang),
                   streamed(whole + long[:7], long[7:], Line.hang)):
      provider.script = script
      with edge.client() as other:
        same(begin(other).cut(), whole, "bytes before the cut")


@play
def usage_before_the_end():
  """usage that is told first, or with each part, delays nothing, and the usage told last is charged"""
  parts = [part(str(number) * 1000) for number in range(8)]
  ends = [part(finish="stop"), totals(usage(10, 700)), DONE]
  told_first = [totals(usage(10, 0)), *parts, *ends]
  told_between = [one for number, name in enumerate(parts, 1) for one in (name, totals(usage(10, number)))] + ends
  told_within = [part("x" * 1000, usage=usage(10, number)) for number in range(1, 8)] + ends
  for events in (told_first, told_between, told_within):
    with gated(*events) as (client, edge, provider, gates):
      client.send(post(chat(stream=True)))
      answered = None
      for gate, one in zip(gates[:-3], events):
        gate.reached()
        gate.open()
        if b'"choices":[]' not in one:
          answered = answered or Events(client)
          same(answered.next(), one)
      for gate in gates[-3:]:
        gate.open()
      same(answered.rest(), ends[0] + DONE)
      assert_charged(edge, answered.response, cost(710), tokens=(10, 700), cause="completed")


@play
def much_behind_an_early_usage():
  """behind a usage that is told first a stream may be of any length"""
  parts = [part("x" * 1000) for _ in range(600)]
  with chatting(streamed(totals(usage(10, 0)), *parts, part(finish="stop"), totals(usage(10, 700)), DONE)) as (
      client, edge, provider):
    answered = begin(client)
    same(answered.rest() == b"".join([*parts, part(finish="stop"), DONE]), True, "the stream is whole")
    assert_charged(edge, answered.response, cost(710), tokens=(10, 700), cause="completed")
