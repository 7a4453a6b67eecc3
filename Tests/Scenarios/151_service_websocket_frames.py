"""WebSockets to services: what passes between both ends, what breaks the rules, and how closing is handed on."""

import random
import threading

from play import *
from stage.metrics import *
from stage.pairs import *
from stage.websocket import *

MIB = 1 << 20
TEXTS = ["", "a", "x" * 125, "x" * 126, "é" * 4000, "x" * 16_000, "x" * 65_535, "x" * 65_536, "€" * 100_000]


def closed(series, reason):
  return total(series, "edge_websocket_closed_total", reason=reason)


def ends(one, two, first, second):
  """The client's end is closed with one code, the service's with the other."""
  one.assert_ended(first, passing=True)
  two.assert_ended(second, passing=True)


# MARK: what passes


@play
def messages():
  """texts and bytes of any length pass in both directions as they are, under fresh masks towards the service"""
  with paired() as (one, two, edge, service):
    for content in TEXTS + [text.encode() for text in TEXTS]:
      if isinstance(content, bytes):
        one.send(frame(Op.BINARY, content))
      else:
        one.say(content)
      same(two.message(), content)
      two.say(content)
      same(one.message(), content)
    assert_mask_fresh(two)


@play
def borders_of_frames():
  """a frame that is not long passes as one, fragments stay fragments, and of a long frame what has come passes"""
  with paired() as (one, two, edge, service):
    pieces = [frame(Op.TEXT, b"he", fin=False), frame(Op.CONTINUATION, b"l", fin=False), frame(Op.CONTINUATION, b"lo")]
    for data, frames in ((text_frame("x" * 10_000), 1), (b"".join(pieces), 3), (text_frame("y" * 16_000), 1)):
      for step in (len(data), 1447, 7):
        before = two.frames
        for at in range(0, len(data), step):
          one.send(data[at:at + step])
          if step > 7:
            one.client.await_read()
        two.message()
        same(two.frames - before, frames, f"frames for {len(data)} bytes in steps of {step}")
    # The beginning of a long frame is there before its end.
    data = text_frame("z" * 100_000)
    one.send(data[:50_000])
    two.step()
    holds(two.parts and two.kind == Op.TEXT, "nothing of a long frame has come")
    one.send(data[50_000:])
    same(two.message(), "z" * 100_000)
    half = frame(Op.BINARY, b"z" * 100_000, mask=b"")
    two.send(half[:50_000])
    one.step()
    holds(one.parts, "nothing of a long frame has come")
    two.send(half[50_000:])
    same(one.message(), b"z" * 100_000)


@play
def byte_by_byte():
  """frames that come one byte at a time pass as those that come whole"""
  with paired() as (one, two, edge, service):
    one.drip(text_frame("grüße") + frame(Op.BINARY, b"\xff" * 130) + frame(Op.PING, b"p") + b"".join(
      fragments("€uro", 1, 2, 3)))
    same([two.message(), two.message(), two.message()], ["grüße", b"\xff" * 130, "€uro"])
    same(two.pings, [b"p"])
    one.pong(b"p")
    two.client.send_slowly(frame(Op.TEXT, "grüße".encode(), mask=b"") + frame(Op.BINARY, b"\0" * 130, mask=b""))
    same([one.message(), one.message()], ["grüße", b"\0" * 130])


@play
def controls():
  """pings and pongs are handed through, also between fragments, and Edge answers none of them"""
  with paired() as (one, two, edge, service):
    two.answers = one.answers = False
    one.send(frame(Op.TEXT, b"a", fin=False) + frame(Op.PING, b"1" * 125) + frame(Op.PONG, b"2") +
             frame(Op.CONTINUATION, b"b"))
    same(two.message(), "ab")
    same((two.pings, two.pongs), ([b"1" * 125], [b"2"]))
    two.send(frame(Op.PING, b"3", mask=b"") + frame(Op.PONG, b"", mask=b""))
    same(one.ping(), b"3")
    one.pong(b"")
    crosses(one, two)
    same((one.pings, one.pongs, two.pings, two.pongs), ([], [], [b"1" * 125], [b"2"]))


@play
def random_traffic():
  """random messages in random frames and random pieces arrive whole and in order, in both directions at once"""
  def traffic(seed, masks):
    source = random.Random(seed)
    wanted, data = [], bytearray()
    for _ in range(120):
      count = source.choice([0, 1, 20, 200, 5000, 30_000, 70_000])
      text = "".join(source.choice("aé€😀") for _ in range(count // 2))
      places = sorted(source.randrange(len(text.encode()) + 1) for _ in range(source.randrange(4)))
      content = text.encode()
      limits = [0, *places, len(content)]
      pieces = [content[begin:end] for begin, end in zip(limits, limits[1:])]
      for number, piece in enumerate(pieces):
        data += frame(Op.TEXT if number == 0 else Op.CONTINUATION, piece, fin=number == len(pieces) - 1, mask=masks)
        if source.random() < 0.1:
          data += frame(Op.PONG, b"x", mask=masks)
      wanted.append(text)
    return wanted, bytes(data), source

  def speak(end, data, source):
    at = 0
    while at < len(data):
      step = source.choice([1, 3, 100, 1447, 65_536, 200_000])
      end.send(data[at:at + step], Deadline(60))
      at += step

  for seed in range(3):
    with paired() as (one, two, edge, service):
      sides = [(one, two, *traffic(seed, None)), (two, one, *traffic(seed + 100, b""))]
      threads = [threading.Thread(target=speak, args=(sender, data, source)) for sender, _, _, data, source in sides]
      for thread in threads:
        thread.start()
      results = {}

      def listen(receiver, wanted):
        results[receiver] = [receiver.message(Deadline(60)) for _ in wanted] == wanted
      ears = [threading.Thread(target=listen, args=(receiver, wanted)) for _, receiver, wanted, _, _ in sides]
      for thread in ears:
        thread.start()
      for thread in threads + ears:
        thread.join(90)
      same(results, {one: True, two: True}, f"seed {seed}")


# MARK: what breaks the rules


def broken():
  """Rows of RFC 6455: what a client sends, and the code that it gets."""
  rows = [("no mask", frame(Op.TEXT, b"a", mask=b""), 1002), ("no mask of a ping", frame(Op.PING, b"", mask=b""), 1002)]
  rows += [(f"reserved bit {bit}", frame(Op.TEXT, b"a", rsv=bit), 1002) for bit in (1, 2, 4)]
  rows += [(f"opcode {code}", frame(code, b"a"), 1002) for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)]
  rows += [("a long ping", frame(Op.PING, b"x" * 126), 1002),
           ("a ping in pieces", frame(Op.PING, b"x", fin=False), 1002),
           ("a close in pieces", frame(Op.CLOSE, b"", fin=False), 1002),
           ("a continuation of nothing", frame(Op.CONTINUATION, b"x"), 1002),
           ("a text within a text", frame(Op.TEXT, b"a", fin=False) + frame(Op.TEXT, b"b"), 1002),
           ("a length with its highest bit", b"\x82\xff\x80" + bytes(7) + bytes(4), 1002),
           ("a length of 125 in two bytes", frame(Op.BINARY, b"x" * 125, size=2), 1002),
           ("a length of 65535 in eight bytes", frame(Op.BINARY, b"x" * 65_535, size=8), 1002),
           ("a close of one byte", frame(Op.CLOSE, b"\x03"), 1002)]
  rows += [(f"close code {code}", goodbye(code), 1002)
           for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535)]
  rows += [("a reason that is no text", goodbye(1000, b"\xff"), 1007), ("no text", frame(Op.TEXT, b"\xff"), 1007),
           ("a surrogate", frame(Op.TEXT, b"\xed\xa0\x80"), 1007),
           ("too long a form", frame(Op.TEXT, b"\xc0\x80"), 1007),
           ("a cut character", frame(Op.TEXT, b"\xe2\x82"), 1007),
           ("a cut character over fragments", b"".join([frame(Op.TEXT, b"\xe2", fin=False),
                                                       frame(Op.CONTINUATION, b"\x82")]), 1007),
           ("a bad byte behind a good fragment", b"".join([frame(Op.TEXT, b"good", fin=False),
                                                           frame(Op.CONTINUATION, b"\x80", fin=False)]), 1007)]
  return rows


@play
def broken_by_clients():
  """a client that breaks a rule is told 1002 or 1007, the service 1001, and nothing that is wrong reaches it"""
  with Sockets(lenient=True) as service, fronted(service) as edge:
    for name, data, code in broken():
      for slowly in (False, True):
        if slowly and len(data) > 1000:
          continue
        with edge.client() as client:
          one = upgraded(client)
          two = service.take()
          one.say("before")
          same(two.message(), "before", name)
          if slowly:
            client.send_slowly(data)
          else:
            one.send(data)
          same((name, one.assert_ended(code)), (name, code))
          two.assert_ended(1001)


@play
def broken_by_services():
  """a service that breaks a rule is told 1002 or 1007, and its client 1011"""
  with Sockets(lenient=True) as service, fronted(service) as edge:
    for name, data, code in broken():
      if "mask" in name:
        continue
      # The same without masks.
      plain = unmasked(data)
      with edge.client() as client:
        one = upgraded(client)
        two = service.take()
        two.send(plain)
        same((name, two.assert_ended(code)), (name, code))
        one.assert_ended(1011)
    with edge.client() as client:
      one = upgraded(client)
      two = service.take()
      two.send(text_frame("a mask"))
      two.assert_ended(1002)
      one.assert_ended(1011)


def unmasked(data):
  """Frames of a client as a service would send them, whatever is wrong with them."""
  found = b""
  while data:
    first, second = data[0], data[1]
    size = {126: 2, 127: 8}.get(second & 127, 0)
    count = int.from_bytes(data[2:2 + size], "big") if size else second & 127
    mask, rest = data[2 + size:6 + size], data[6 + size:]
    found += bytes([first, second & 127]) + data[2:2 + size]
    count = min(count, len(rest))
    found += masked(rest[:count], mask) if count else b""
    data = rest[count:]
  return found


@play
def faults_in_long_frames():
  """what is wrong in the middle of a long frame is told at once, and what has passed ends where a close may follow"""
  data = b"x" * 50_000 + b"\xff" + b"x" * 50_000
  with paired() as (one, two, edge, service):
    sent = frame(Op.TEXT, data)
    one.send(sent[:30_000])
    two.step()
    one.send(sent[30_000:80_000])
    ends(one, two, 1007, 1001)
    holds(b"".join(two.parts).startswith(b"x" * 16_000), "nothing of the good beginning has come")
  with paired() as (one, two, edge, service):
    sent = frame(Op.TEXT, data, mask=b"")
    two.send(sent[:30_000])
    one.step()
    two.send(sent[30_000:80_000])
    one.assert_ended(1011, passing=True)
    two.assert_ended(1007)


@play
def sizes_of_messages():
  """message_size bounds a client's messages, in frames and fragments, before they come; the service's are free"""
  with Sockets(lenient=True) as service:
    with fronted(service, route={"message_size": "1MiB"}, listeners=LISTENERS, routes=METRICS) as edge:
      with edge.client() as client:
        one, two = upgraded(client), service.take()
        one.say("x" * MIB)
        same(len(two.message()), MIB)
        two.say("x" * (MIB + 1))
        same(len(one.message()), MIB + 1)
        one.send(frame(Op.TEXT, b"", count=MIB + 1)[:10])
        ends(one, two, 1009, 1001)
      with edge.client() as client:
        one, two = upgraded(client), service.take()
        one.send(frame(Op.TEXT, b"x" * MIB, fin=False) + frame(Op.CONTINUATION, b"x"))
        ends(one, two, 1009, 1001)
      with edge.client("metrics") as watcher:
        eventually(lambda: closed(scraped(watcher), "too_large") == 2, "two were too large")


@play
def floods_of_controls():
  """more than a hundred pings in a second end it, whoever sends them"""
  with paired() as (one, two, edge, service):
    two.answers = False
    one.send(frame(Op.PING, b"x") * 1000)
    ends(one, two, 1008, 1001)
  with paired() as (one, two, edge, service):
    one.answers = False
    two.send(frame(Op.PONG, b"x", mask=b"") * 1000)
    one.assert_ended(1011, passing=True)
    two.assert_ended(1008)


# MARK: closing


@play
def closes():
  """a close is handed on with its code and reason, and its answer back, whoever begins"""
  rows = [(1000, b""), (1001, "grüße".encode()), (3000, b"x" * 123), (4999, b""), (1013, b""), (None, b"")]
  with Sockets() as service, fronted(service) as edge:
    for code, reason in rows:
      with edge.client() as client:
        one, two = upgraded(client), service.take()
        crosses(one, two)
        one.send(goodbye(code, reason))
        one.told_end = True
        try:
          two.step()
          raise Failed("no close came")
        except Closed as found:
          same((found.code, found.reason.encode()), (code, reason))
        one.assert_ended(code)
        two.await_gone()
      with edge.client() as client:
        one, two = upgraded(client), service.take()
        two.closes(code, reason)
        try:
          one.step()
          raise Failed("no close came")
        except Closed as found:
          same((found.code, found.reason.encode()), (code, reason))
        two.assert_ended(code)
        client.assert_closed()


@play
def answers_behind_a_close():
  """what the service says before it answers a close reaches the client, what the client says behind its own nobody"""
  with paired() as (one, two, edge, service):
    two.answers = False
    one.send(goodbye(1000) + text_frame("behind"))
    one.told_end = True
    two.told_end = True
    try:
      two.step()
    except Closed as found:
      same(found.code, 1000)
    two.say("x" * 100_000)
    same(one.message(), "x" * 100_000)
    two.send(frame(Op.CLOSE, goodbye_of(1000), mask=b""))
    one.assert_ended(1000)
    two.await_gone()
    same(list(two.queue), [])


@play
def lost_connections():
  """a connection that ends without a close frame is a 1011 for the other side"""
  with Sockets(lenient=True) as service:
    with fronted(service, listeners=LISTENERS, routes=METRICS) as edge:
      for leave in (Client.reset, Client.finish, Client.close):
        with edge.client() as client:
          one, two = upgraded(client), service.take()
          two.say("unread")
          leave(client)
          two.assert_ended(1011)
      for leave in (Line.reset, Line.close):
        with edge.client() as client:
          one, two = upgraded(client), service.take()
          leave(two.client)
          one.assert_ended(1011)
      with edge.client("metrics") as watcher:
        eventually(lambda: [closed(scraped(watcher), why) for why in ("client", "service")] == [3, 2], "the reasons")
        same(total(scraped(watcher), "edge_websocket_sessions"), 0)


@play
def unanswered_closes():
  """a side that does not answer a close is waited for no longer than some seconds"""
  with Sockets(lenient=True) as service, fronted(service) as edge:
    with edge.client() as client:
      one, two = upgraded(client), service.take()
      one.send(goodbye(1000))
      one.told_end = True
      one.assert_ended(1011, deadline=Deadline(30))
    with edge.client() as client:
      one, two = upgraded(client), service.take()
      two.answers = False
      one.send(b"\xff\xff")
      one.assert_ended(1002)
      two.assert_ended(1001, deadline=Deadline(30))
    eventually(lambda: sessions(edge) == 0, "all are over", 30)
