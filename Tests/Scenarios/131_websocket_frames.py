"""Frames of clients (RFC 6455 sections 5 to 8): what is taken, and with which code everything else ends."""

from contextlib import ExitStack

from play import *
from stage.credits import *
from stage.platform import *
from stage.provider import *
from stage.websocket import *

CONTENT = "h\u00e9llo \u2713 \U0001f600"
ASKED = dumped(asking("a", CONTENT))
MIB = 1 << 20


def control(opcode, payload=b"x" * 126, **options):
  return frame(opcode, payload, **options)


# What breaks the rules of frames: 1002.
BROKEN = {
  "a text without a mask": frame(Op.TEXT, ASKED, mask=b""),
  "a ping without a mask": frame(Op.PING, b"", mask=b""),
  "a close without a mask": frame(Op.CLOSE, b"\x03\xe8", mask=b""),
  "an empty text without a mask": frame(Op.TEXT, b"", mask=b""),
  **{f"reserved bit {bit} in a text": frame(Op.TEXT, ASKED, rsv=bit) for bit in (1, 2, 4)},
  **{f"reserved bit {bit} in a ping": frame(Op.PING, rsv=bit) for bit in (1, 2, 4)},
  "a reserved bit in a continuation": frame(Op.TEXT, ASKED[:9], fin=False) + frame(Op.CONTINUATION, ASKED[9:], rsv=4),
  **{f"opcode {code}": frame(code, b"") for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
  "opcode 3 within a message": frame(Op.TEXT, ASKED[:9], fin=False) + frame(3, b"x"),
  **{f"a long control frame {code}": control(code) for code in (Op.PING, Op.PONG, Op.CLOSE)},
  "a control frame of 64 bits": control(Op.PING, b"x" * 70_000),
  **{f"a control frame {code} in pieces": control(code, b"", fin=False) for code in (Op.PING, Op.PONG, Op.CLOSE)},
  "a control frame with a longer length": control(Op.PING, b"x", size=2),
  "a continuation of nothing": frame(Op.CONTINUATION, ASKED),
  "a continuation of nothing, not the last": frame(Op.CONTINUATION, ASKED, fin=False),
  "a text within a message": frame(Op.TEXT, ASKED[:9], fin=False) + text_frame(ASKED),
  "a binary frame within a message": frame(Op.TEXT, ASKED[:9], fin=False) + frame(Op.BINARY, ASKED),
  "a text within a message behind a ping": frame(Op.TEXT, b"", fin=False) + frame(Op.PING) + text_frame(ASKED),
  "16 bits for a length of 125": text_frame(b"x" * 125, size=2),
  "64 bits for a length of 125": text_frame(b"x" * 125, size=8),
  "64 bits for a length of 65535": text_frame(b"x" * 65535, size=8, mask=bytes(4))[:400],
  "16 bits for a length of 0": text_frame(b"", size=2),
  "a length with its first bit": text_frame(b"x", size=8, count=1 << 63),
  "the longest length": text_frame(b"x", size=8, count=(1 << 64) - 1),
  "a close of one byte": frame(Op.CLOSE, b"\x03"),
  **{f"a close with {code}": goodbye(code) for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000,
                                                        65535)},
  "a request of HTTP": head("GET", "/ws"),
  "TLS": bytes.fromhex("16030100c6010000c2"),
}
# Bytes that are no text: 1007.
GARBLED = {
  "a byte that never is": b"ok\xff", "a lone continuation": b"\x80", "a slash too long": b"\xc0\xaf",
  "NUL too long": b"\xc0\x80", "three bytes too long": b"\xe0\x80\xaf", "a surrogate": b"\xed\xa0\x80",
  "a pair of surrogates": b"\xed\xa0\xbd\xed\xb8\x80",
  "above the last": b"\xf4\x90\x80\x80", "five bytes": b"\xf8\x88\x80\x80\x80", "half a letter": b"ok\xe2\x82",
  "half a letter and another": b"\xe2\x82a", "the first of four bytes": b"\xf0",
}


def deliveries(data, good=False):
  """How bytes may arrive: at once, one by one, and in the same piece behind a ping that is answered."""
  yield lambda session: session.send(data)
  yield lambda session: session.drip(data) if good else session.client.send_slowly(data)
  yield lambda session: (session.pongs.clear(), session.send(frame(Op.PING, b"before") + data),
                         session.pong(b"before"))


def assert_fault(edge, name, data, *codes, whole_only=False, passing=False):
  """However the bytes arrive, they end a session of their own with one of these codes."""
  for number, deliver in enumerate(deliveries(data)):
    if whole_only and number == 1:
      continue
    try:
      with connected(edge) as session:
        deliver(session)
        session.assert_ended(*codes, passing=passing)
    except Failed as failure:
      raise Failed(f"{name}, delivery {number + 1}: {failure}") from None


@play
def broken_frames():
  """whatever breaks the rules of frames ends the session with 1002, however its bytes arrive, and reaches nobody"""
  with speaking() as (session, client, edge, provider):
    for name, data in BROKEN.items():
      assert_fault(edge, name, data, 1002, whole_only=len(data) > 1000)
    same(provider.lines, [], "connections to the provider")
    same(session.answered().end["data"], "hello", "another session")


@play
def texts_that_are_none():
  """a text that is no UTF-8 ends the session with 1007, in one frame, in several, and as soon as it is plain"""
  with speaking() as (session, client, edge, provider):
    for name, data in GARBLED.items():
      assert_fault(edge, name, text_frame(data), 1007)
      assert_fault(edge, f"{name} in a message", text_frame(b'{"id":"' + data + b'"}'), 1007)
      for at in range(len(data)):
        assert_fault(edge, f"{name} cut at {at}", b"".join(fragments(data, at)), 1007)
      if not name.startswith("half a letter") and not name.startswith("the first"):
        assert_fault(edge, f"{name}, to be continued", frame(Op.TEXT, data, fin=False), 1007)
    same(session.answered().end["data"], "hello", "another session")


@play
def binary_messages():
  """a binary message ends the session with 1003, whatever is in it, also when only its first piece has come"""
  with speaking() as (session, client, edge, provider):
    for name, data in {"a request": frame(Op.BINARY, ASKED), "nothing": frame(Op.BINARY, b""),
                       "no UTF-8": frame(Op.BINARY, b"\xff"), "a piece": frame(Op.BINARY, ASKED, fin=False)}.items():
      # Of a frame that is not sent to its end the rest would be the close.
      assert_fault(edge, name, data, 1003, whole_only=len(data) > 20)
    same(provider.lines, [])


def assert_asked(session, provider, count):
  """The request of ASKED is answered, and its content has reached the provider as it was."""
  session.running.add("a")
  same(session.done("a").end["data"], "hello")
  same(provider.wait_requests(count) and provider.asked(count - 1)["messages"][0]["content"], CONTENT)


@play
def good_frames():
  """a request arrives as it was said however it is framed, masked, split and spread, with control frames between"""
  places = range(len(ASKED) - 30, len(ASKED))
  good = {
    "one frame": text_frame(ASKED), "a mask of zeros": text_frame(ASKED, mask=bytes(4)),
    "a mask of ones": text_frame(ASKED, mask=b"\xff" * 4), "two frames": b"".join(fragments(ASKED, 10)),
    "every byte alone": b"".join(fragments(ASKED, *range(1, len(ASKED)))),
    "empty pieces": b"".join(fragments(ASKED, 0, 0, 5, 5, len(ASKED), len(ASKED))),
    "pings between": frame(Op.PING, b"1").join(fragments(ASKED, 10, 20, 30)),
    "pongs between": frame(Op.PONG, b"1" * 125).join(fragments(ASKED, 10, 20, 30)),
    "a pong that nobody asked for": frame(Op.PONG, b"unasked") + text_frame(ASKED),
    "spaces around": text_frame(b" \n\t" + ASKED + b"\r\n "), "16 bits": text_frame(ASKED + b" " * 300),
    "64 bits": text_frame(ASKED + b" " * 70_000), "pieces of all lengths": b"".join(
      fragments(ASKED + b" " * 140_000, 1, 126, 252, 378, 70_000)),
    **{f"cut at {at}": b"".join(fragments(ASKED, at)) for at in places},
  }
  with speaking() as (session, client, edge, provider):
    count = 0
    for name, data in good.items():
      for number, deliver in enumerate(deliveries(data, good=True)):
        if number == 1 and len(data) > 2000:
          continue
        count += 1
        try:
          deliver(session)
          assert_asked(session, provider, count)
        except Failed as failure:
          raise Failed(f"{name}, delivery {number + 1}: {failure}") from None
    session.pings.clear()
    session.pongs.clear()
    session.assert_quiet()


@play
def many_in_one_piece():
  """many messages that arrive in one piece are each taken, and so are two that share pieces at every cut"""
  with speaking() as (session, client, edge, provider):
    names = [str(number) for number in range(30)]
    session.running |= set(names)
    session.send(b"".join(text_frame(dumped(asking(name))) for name in names))
    for name in names:
      same(session.done(name).end["data"], "hello")
    both = text_frame(dumped(asking("x"))) + text_frame(dumped(asking("y")))
    for at in range(1, len(both), 7):
      session.running |= {"x", "y"}
      session.send(both[:at])
      session.client.await_read()
      session.send(both[at:])
      same((session.done("x").end["data"], session.done("y").end["data"]), ("hello", "hello"), f"cut at {at}")
    session.assert_quiet()


@play
def pings_and_pongs():
  """a ping is answered with what it says, also while an answer streams and within a message in pieces"""
  with speaking() as (session, client, edge, provider):
    for payload in (b"", b"1", b"\xff\x00", b"x" * 125):
      session.assert_alive(payload)
    for number in range(50):
      session.send(frame(Op.PING, b"%d" % number))
    for number in range(50):
      session.pong(b"%d" % number)
    gate = provider.gate()
    provider.script = streamed(part("one"), gate, *story("two", used=usage(10, 5)))
    session.ask("a", stream=True)
    session.chunk("a", "one")
    session.assert_alive(b"meanwhile")
    first, last = fragments(dumped({"id": "a", "type": "cancel", "more": "x" * 200}), 100)
    session.send(first)
    session.assert_alive(b"within a message")
    gate.open()
    same(session.done("a").text, "two")
    session.send(last)
    session.error(None, "INVALID_MESSAGE_ID")
    session.assert_quiet()


@play
def a_missed_pong():
  """a client that does not answer a ping is left with 1001, and one that does stays"""
  with speaking(socket={"ping": "1s"}) as (session, client, edge, provider):
    with connected(edge) as silent:
      silent.answers = False
      silent.ping()
      session.ping()
      silent.assert_ended(1001)
      for _ in range(2):
        session.ping()
      same(session.answered().end["data"], "hello")


@play
def a_missed_pong_while_it_works():
  """requests of a client that no longer answers pings end at the provider and are paid"""
  with speaking(streamed(part("hello" * 4), Line.hang), socket={"ping": "1s"},
                provider={"timeouts": {"idle": "10m"}}) as (session, client, edge, provider):
    session.answers = False
    session.ask("a", stream=True)
    session.chunk("a", "hello" * 4)
    session.assert_ended(1001, passing=True)
    provider.lines[0].await_end()
    holds(settled(client) < 1000, "nothing was paid")


@play
def a_flood_of_control_frames():
  """a client that floods with pings or pongs is left with 1008, and another one does not suffer"""
  with speaking() as (session, client, edge, provider):
    for opcode in (Op.PING, Op.PONG):
      with connected(edge) as other:
        other.answers = False
        try:
          other.send(frame(opcode, b"x" * 100) * 5000)
        except OSError:
          pass  # it was noticed before all were sent
        other.assert_ended(1008)
    same(session.answered().end["data"], "hello")


@play
def closing_handshakes():
  """a close of the client is answered with its code, and then the connection ends"""
  with speaking() as (session, client, edge, provider):
    for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999, None):
      with connected(edge) as other:
        other.close(code)
    for reason in (b"over", b"x" * 123, "\u2713".encode() * 41):
      with connected(edge) as other:
        other.close(1000, reason)
    for data in (goodbye(1000, b"\xff"), goodbye(1000, b"ok\xe2\x82")):
      assert_fault(edge, "a reason that is no text", data, 1002, 1007)
    with connected(edge) as other:
      other.client.send_slowly(goodbye(4000, b"slow"))
      other.told_end = True
      other.assert_ended(4000)
    same(session.answered().end["data"], "hello")


@play
def nothing_behind_a_close():
  """what a client sends behind its close is not read: no request, no pong, no fault"""
  with speaking() as (session, client, edge, provider):
    for data in (text_frame(ASKED), frame(Op.PING, b"late"), frame(3), goodbye(4000)):
      with connected(edge) as other:
        other.send(goodbye(1000) + data)
        other.told_end = True
        other.assert_ended(1000)
        same(other.pongs, [], "pongs behind the close")
    with connected(edge) as other:
      other.send(frame(Op.TEXT, ASKED[:20], fin=False) + goodbye(1000))
      other.told_end = True
      other.assert_ended(1000)
    same(provider.lines, [])
    same(session.answered().end["data"], "hello")


@play
def a_close_while_it_works():
  """a close ends the requests in flight at their provider, and the session's messages end there"""
  with speaking(streamed(part("hello" * 4), Line.hang), provider={"timeouts": {"idle": "10m"}}) as (
      session, client, edge, provider):
    session.ask("a", stream=True)
    session.chunk("a")
    session.close()
    provider.lines[0].await_end()
    line = edge.log_line(messageId="a")
    same((line["cause"], line["usage"]["source"]), ("client_left", "estimated"))
    same(settled(client), 1000 - exact(line["credits"]))


@play
def a_close_that_is_not_answered():
  """a client that does not answer a close is cut after a while, whatever it sends meanwhile, and reaches nobody"""
  with speaking() as (session, client, edge, provider):
    session.answers = False
    session.send(frame(Op.BINARY, b"x"))
    session.assert_ended(1003)
    try:
      session.send(text_frame(ASKED) + frame(Op.PING, b"late"))
    except OSError:
      pass  # it is over already
    session.client.assert_closed()
    same(provider.lines, [])


@play
def ends_without_a_word():
  """a client that ends its sending side, its connection, or both by a reset has gone, also within a frame"""
  with speaking(streamed(part("hello" * 4), Line.hang), provider={"timeouts": {"idle": "10m"}}) as (
      session, client, edge, provider):
    count = 0
    for leave in ("finish", "close", "reset"):
      for last in (b"", frame(Op.PING)[:1], text_frame(ASKED)[:30], frame(Op.TEXT, ASKED[:9], fin=False)):
        with connected(edge) as other:
          count += 1
          other.ask("b", stream=True)
          other.chunk("b", "hello" * 4)
          other.send(last)
          other.client.await_read()
          getattr(other.client, leave)()
          provider.wait_connections(count).await_end()
          if leave == "finish":
            other.answers = False
            other.client.read_to_end()
    edge.wait(lambda: len(edge.matching(event="exchange", messageId="b")) == count, "a line for each request")
    same({line["cause"] for line in edge.matching(event="exchange", messageId="b")}, {"client_left"})
    settled(client)
    session.assert_alive()


def sized(count, name="a"):
  """A request of exactly so many bytes."""
  empty = dumped(asking(name, ""))
  return dumped(asking(name, "x" * (count - len(empty))))


@play
def size_of_messages():
  """a message of message_size is taken; one byte more is MESSAGE_TOO_LARGE and 1009, in however many frames"""
  for options, most in (({"message_size": "1KiB"}, 1024), ({"message_size": "100KiB"}, 102_400), ({}, MIB)):
    with speaking(socket=options, balance=10_000) as (session, client, edge, provider):
      for data in ([text_frame(sized(most))], fragments(sized(most), 10, most // 2)):
        session.running.add("a")
        session.send(b"".join(data))
        same(session.done("a").end["data"], "hello")
      same(len(provider.asked()["messages"][0]["content"]), len(json.loads(sized(most))["messages"][0]["content"]))
      over = sized(most + 1)
      for data in (text_frame(over), b"".join(fragments(over, most // 2)), b"".join(fragments(over, most)),
                   b"".join(fragments(over, *range(500, most + 1, 500)))):
        with connected(edge) as other:
          try:
            other.send(data)
          except OSError:
            pass  # it was noticed before all was sent
          other.error(None, "MESSAGE_TOO_LARGE")
          other.assert_ended(1009)
      session.assert_alive()
      same(len(provider.requests), 2)


@play
def size_is_known_early():
  """a message that says that it will be too long is refused before it has come"""
  with speaking() as (session, client, edge, provider):
    for count in (MIB + 1, 1 << 31, 1 << 32, 1 << 40, (1 << 63) - 1):
      with connected(edge) as other:
        other.send(text_frame(b"{", size=8, count=count))
        other.error(None, "MESSAGE_TOO_LARGE")
        other.assert_ended(1009)
    with connected(edge) as other:
      other.send(frame(Op.TEXT, b"x" * (MIB - 10), fin=False) + frame(Op.CONTINUATION, b"x", count=11)[:6])
      other.error(None, "MESSAGE_TOO_LARGE")
      other.assert_ended(1009)
    session.assert_alive()


@play
def too_large_while_it_works():
  """a message that is too large ends the session with its requests in flight, and they are paid"""
  with speaking(streamed(part("hello" * 4), Line.hang), provider={"timeouts": {"idle": "10m"}}) as (
      session, client, edge, provider):
    session.ask("a", stream=True)
    session.chunk("a")
    session.send(text_frame(b"{", size=8, count=MIB + 1))
    session.error(None, "MESSAGE_TOO_LARGE")
    session.assert_ended(1009, passing=True)
    provider.lines[0].await_end()
    line = edge.log_line(messageId="a")
    same(settled(client), 1000 - exact(line["credits"]))
    holds(exact(line["credits"]) > 0, f"{line}")


@play
def dripping_messages():
  """a message that comes byte by byte is taken when it is whole, and meanwhile others are served"""
  data = text_frame(sized(3000))
  with speaking() as (session, client, edge, provider), connected(edge) as other:
    session.running.add("a")
    for at in range(0, len(data), 500):
      session.client.send_slowly(data[at:at + 500])
      same(other.answered().end["data"], "hello", "another session")
    same(session.done("a").end["data"], "hello")


@play
def many_sessions_in_pieces():
  """two hundred sessions on two workers, whose frames come in turns a few bytes at a time, mix up nothing"""
  with speaking(server={"workers": 2}) as (session, client, edge, provider), ExitStack() as stack:
    provider.script = lambda request, line: told(
      completion(json.loads(request.body)["messages"][0]["content"], usage(10, 5)))(request, line)
    others = [stack.enter_context(connected(edge, f"user-{number % 20}")) for number in range(200)]
    data = []
    for number, other in enumerate(others):
      other.running.add("a")
      data.append(b"".join(fragments(dumped(asking("a", f"for {number}")), 7, 30)))
    for at in range(0, max(map(len, data)), 11):
      for other, one in zip(others, data):
        other.send(one[at:at + 11])
    for number, other in enumerate(others):
      same(other.done("a").end["data"], f"for {number}")
