"""The stage's WebSocket client and its reading of the platform's messages are proven without an edge."""

import copy
import struct

from play import *
from stage.platform import *
from stage.websocket import *

ID = "01JD7Q4Z0000000000000000AB"
STAMP = "2026-01-02T03:04:05.678Z"
CHUNK = {"id": "a", "type": "chunk", "data": "hel"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"a":1}'}}
USED = {"promptTokens": 10, "completionTokens": 5, "totalTokens": 15, "credits": 0.015}
FACTS = {"model": "small", "provider": "p1", "latency": 12, "requestId": ID, "finishReason": "stop"}
DONE_OF_A = {"id": "a", "type": "done", "usage": USED, "metadata": FACTS, "timestamp": STAMP}
FAILURE = {"id": "a", "type": "error", "error": {"code": "CANCELLED", "message": "It was cancelled.", "requestId": ID},
           "timestamp": STAMP}


def refused(function, *words):
  """The failure that this leads to, whose text has these words."""
  try:
    function()
  except Failed as failure:
    for word in words:
      holds(word in str(failure), f"no {word!r} in {failure}")
    return failure
  raise Failed(f"nothing was found wrong, but wanted: {words}")


def said(opcode, payload=b"", **options):
  """A frame as servers send it."""
  return frame(opcode, payload, mask=b"", **options)


def agreeing(request, *rows, status=101, accept=None, upgrade="websocket", connection="Upgrade"):
  """The head that opens a WebSocket, or a spoilt one."""
  accept = accept or accept_of(request.fields.one("sec-websocket-key"))
  lines = [f"HTTP/1.1 {status} Switching Protocols", f"Upgrade: {upgrade}", f"Connection: {connection}",
           f"Sec-WebSocket-Accept: {accept}", *rows]
  return "\r\n".join(lines).encode() + b"\r\n\r\n"


@contextmanager
def server(*steps, kind=WebSocket, then=Line.close):
  """A WebSocket to a server that agrees, sends these bytes (a function of the line is called) and closes."""
  def script(request, line):
    line.send(agreeing(request))
    for step in steps:
      if callable(step):
        step(line)
      else:
        line.send(step)
    then(line)
  with Origin(script) as origin, Client(origin.address) as client:
    yield upgraded(client, kind=kind)


@play
def openings():
  """an answer that opens no WebSocket, or says more than was asked for, is found wrong"""
  bad = {"accept": {"accept": accept_of(new_key())}, "upgrade": {"upgrade": "h2c"}, "status": {"status": 200},
         "connection": {"connection": "keep-alive"}}
  rows = {"protocol": "Sec-WebSocket-Protocol: x", "extension": "Sec-WebSocket-Extensions: permessage-deflate",
          "length": "Content-Length: 0", "coding": "Transfer-Encoding: chunked"}
  found = {}
  with Origin(lambda request, line: (line.send(found["head"](request)), line.close())) as origin:
    for name in [None, *bad, *rows]:
      extra = [rows[name]] if name in rows else []
      found["head"] = lambda request, name=name, extra=extra: agreeing(request, *extra, **bad.get(name, {}))
      with Client(origin.address) as client:
        if name:
          refused(lambda client=client: upgraded(client))
        else:
          upgraded(client)
    found["head"] = lambda request: agreeing(request, "Sec-WebSocket-Protocol: Bearer")
    with Client(origin.address) as client:
      upgraded(client, protocol="Bearer")
  same(accept_of("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "the example of RFC 6455")


@play
def faults_in_frames():
  """every way in which a server can break the rules of frames is found"""
  hello = said(Op.TEXT, b"hello")
  faults = {
    "has a mask": frame(Op.TEXT, b"hello"), "reserved bits": said(Op.TEXT, b"hello", rsv=4),
    "opcode 3": said(3, b"hello"),
    "opcode 11": said(11), "a length of 5 in 2": said(Op.TEXT, b"hello", size=2),
    "a length of 5 in 8": said(Op.TEXT, b"hello", size=8), "a length of 126 in 8": said(Op.TEXT, b"x" * 126, size=8),
    "in pieces": said(Op.PING, b"", fin=False), "of 126 bytes": said(Op.PING, b"x" * 126),
    "without a message": said(Op.CONTINUATION, b"hello"),
    "within a message": said(Op.TEXT, b"he", fin=False) + said(Op.TEXT, b"llo"), "no UTF-8": said(Op.TEXT, b"\xff"),
    "one byte": said(Op.CLOSE, b"\x03"), "close code 1005": said(Op.CLOSE, b"\x03\xed"),
    "close code 999": said(Op.CLOSE, struct.pack("!H", 999)), "reason of a close": said(Op.CLOSE, b"\x03\xe8\xff"),
  }
  for words, data in faults.items():
    with server(hello, data) as socket:
      same(socket.message(), "hello")
      socket.answers = False
      refused(socket.message, words)
  for data in (hello[:-1], hello[:1], said(Op.TEXT, b"x" * 300)[:3], b""):
    with server(data) as socket:
      same(isinstance(refused(socket.message), Cut), True, "a cut")
  huge = bytes([129, 127]) + (1 << 62).to_bytes(8, "big")
  with server(huge) as socket:
    refused(socket.message, "a frame of")


@play
def whole_messages():
  """messages in pieces, with pings between, are put together, whatever the lengths; pings are answered or not"""
  long = "ä" * 40_000
  data = long.encode()
  pieces = said(Op.TEXT, data[:1], fin=False) + said(Op.PING, b"1") + said(Op.CONTINUATION, data[1:126], fin=False)
  pieces += said(Op.PONG, b"unasked") + said(Op.CONTINUATION, data[126:70_000], fin=False)
  pieces += said(Op.CONTINUATION, data[70_000:]) + said(Op.PING, b"2")
  for answers in (True, False):
    got = []
    with server(pieces, lambda line, got=got: got.append(line.reader.exactly(7 if answers else 1, Deadline())),
                said(Op.TEXT, b""), said(Op.BINARY, b"\xff")) as socket:
      socket.answers = answers
      same(socket.message(), long)
      socket.ping()
      socket.ping()
      if not answers:
        socket.send(b"x")
      same((socket.message(), socket.message(), socket.pongs), ("", b"\xff", [b"unasked"]))
    if answers:
      same((got[0][:2], masked(got[0][6:], got[0][2:6])), (bytes([138, 129]), b"1"), "the first pong")


@play
def frames_of_the_client():
  """frames of the client are masked, as long as they say, and say what they should"""
  mask = b"\x37\xfa\x21\x3d"
  same(frame(Op.TEXT, b"Hello", mask=mask), bytes.fromhex("818537fa213d7f9f4d5158"), "the example of RFC 6455")
  same(said(Op.TEXT, b"Hello"), bytes.fromhex("810548656c6c6f"))
  same(said(Op.BINARY, bytes(256))[:4], bytes.fromhex("827e0100"))
  same(said(Op.BINARY, bytes(65536))[:10], bytes.fromhex("827f0000000000010000"))
  same(frame(Op.TEXT, b"a", mask=b"", fin=False, rsv=2, size=8), bytes.fromhex("217f0000000000000001") + b"a")
  same(frame(Op.TEXT, b"a", mask=b"", count=300), bytes.fromhex("817e012c") + b"a")
  for size in (0, 1, 3, 4, 5, 125, 126, 65535, 65536):
    data = random_bytes(size)
    sent = frame(Op.BINARY, data, mask=mask)
    same(masked(sent[len(sent) - size:], mask), data, f"{size} bytes")
    holds(size < 4 or data not in sent, "a payload without its mask")
  same([one[0] for one in fragments("abc", 1, 2)], [1, 0, 128])
  same([masked(one[6:], one[2:6]) for one in fragments("abc", 1, 2)], [b"a", b"b", b"c"])
  same(len(fragments("abc")), 1)


@play
def ends():
  """the end of a WebSocket is told from a cut, from another code and from messages before it"""
  bye = said(Op.CLOSE, b"\x03\xe9bye")
  with server(bye) as socket:
    same(socket.assert_ended(1001), 1001)
  with server(said(Op.CLOSE)) as socket:
    same(socket.assert_ended(None), None)
  with server(bye) as socket:
    refused(lambda: socket.assert_ended(1000), "found 1001")
  with server(said(Op.TEXT, b"x") + bye) as socket:
    refused(lambda: socket.assert_ended(1001), "messages before the close")
  with server(said(Op.TEXT, b"x") + bye) as socket:
    socket.assert_ended(1001, passing=True)
    same(socket.message(), "x")
  with server(bye + said(Op.TEXT, b"x")) as socket:
    refused(lambda: socket.assert_ended(1001), "bytes before the close")
  with server(said(Op.TEXT, b"x")[:-1]) as socket:
    socket.await_cut()
  with server(bye) as socket:
    refused(socket.await_cut, "wanted a cut")
  with server(lambda line: line.send(said(Op.CLOSE, masked(*split(line)))), then=Line.close) as socket:
    socket.close(3000, b"over")
  with server(lambda line: (split(line), line.send(said(Op.CLOSE, b"\x03\xe8")))) as socket:
    refused(lambda: socket.close(3000, b"over"), "found 1000")


def split(line):
  """A short frame of the client: its payload under the mask, and the mask."""
  begin = line.reader.exactly(6, Deadline())
  return line.reader.exactly(begin[1] & 127, Deadline()), begin[2:6]


def changed(document, path, value=None):
  """A copy in which one member, at the end of a dotted path, has another value, or is gone."""
  found = copy.deepcopy(document)
  inner = found
  *way, last = path.split(".")
  for name in way:
    inner = inner[name]
  if value is None:
    inner.pop(last)
  else:
    inner[last] = value
  return found


@play
def faults_in_messages():
  """a message that is not exactly of the protocol is found"""
  good = [CHUNK, DONE_OF_A, {**DONE_OF_A, "data": "", "toolCalls": [CALL]}, FAILURE, {**FAILURE, "usage": USED},
          {**CHUNK, "data": "", "reasoning": "hm"}, {**FAILURE, "id": None}, changed(DONE_OF_A, "metadata.demo", True),
          {**CHUNK, "data": "", "toolCallDelta": {"index": 0, **CALL}}, {**DONE_OF_A, "type": "completion"},
          {**CHUNK, "data": "", "toolCallDelta": {"index": 0, "function": {"arguments": "x"}}}]
  for document in good:
    same(read_message(json.dumps(document))["type"], document["type"])
  bad = [changed(CHUNK, "data"), {**CHUNK, "more": 1}, {**CHUNK, "data": ""}, {**CHUNK, "type": "piece"},
         {**CHUNK, "reasoning": "hm"}, {**CHUNK, "data": "", "toolCallDelta": {"index": 0, "id": "x"}},
         {**CHUNK, "data": "", "toolCallDelta": {**CALL}}, changed(DONE_OF_A, "usage"),
         changed(DONE_OF_A, "usage.totalTokens", 16), changed(DONE_OF_A, "usage.credits", "0.1"),
         changed(DONE_OF_A, "usage.cachedTokens", -1), changed(DONE_OF_A, "usage.input_tokens", 1),
         changed(DONE_OF_A, "metadata.latency", 1.5), changed(DONE_OF_A, "metadata.requestId", "abc"),
         changed(DONE_OF_A, "metadata.finishReason", "end_turn"), changed(DONE_OF_A, "metadata.finishReason"),
         changed(DONE_OF_A, "metadata.demo", False), changed(DONE_OF_A, "timestamp", "2026-01-02T03:04:05Z"),
         {**DONE_OF_A, "toolCalls": []}, {**DONE_OF_A, "toolCalls": [{**CALL, "index": 0}]},
         changed(FAILURE, "error.requestId"), changed(FAILURE, "error.type", "x"),
         changed(FAILURE, "error.message", ""),
         changed(FAILURE, "error.retryAfter", "5"), changed(FAILURE, "error.details", []),
         changed(FAILURE, "timestamp")]
  for document in bad:
    refused(lambda document=document: read_message(json.dumps(document)))
  text_of_done = json.dumps(DONE_OF_A)
  for wrong in (text_of_done.replace("0.015", "1.5e-2"), text_of_done.replace("0.015", "0.0150000001"),
                text_of_done[:-1] + ',"id":"b"}', text_of_done[:-1], "[]", "1"):
    refused(lambda wrong=wrong: read_message(wrong))
  refused(lambda: read_message(b"{}"))


@play
def requests_apart():
  """answers to several requests that are mixed are told apart, and one that nobody asked for is found"""
  def of(name, document):
    return said(Op.TEXT, json.dumps({**document, "id": name}).encode())
  def calls(*pieces):
    return [{**CHUNK, "data": "", "toolCallDelta": one} for one in pieces]
  deltas = calls({"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather"}},
                 {"index": 0, "function": {"arguments": '{"a":'}}, {"index": 0, "function": {"arguments": "1}"}})
  rows = [of("b", deltas[0]), of("a", CHUNK), of("b", deltas[1]), of(None, FAILURE), of("a", {**CHUNK, "data": "lo"}),
          of("b", deltas[2]), of("b", {**DONE_OF_A, "toolCalls": [CALL]}), of("a", DONE_OF_A), of("c", FAILURE)]
  with server(*rows, kind=Session, then=Line.hang) as session:
    for name in "abc":
      session.ask(name)
    session.chunk("a", "hel")
    found = session.done("a")
    same((found.text, found.request), ("lo", ID))
    found = session.done("b")
    same((found.calls(), found.end["toolCalls"]), ([CALL], [CALL]))
    same(session.error(None, "CANCELLED")["message"], "It was cancelled.")
    refused(lambda: session.error("c", "TIMEOUT"), "CANCELLED")
  for late in (of("a", CHUNK), of("a", DONE_OF_A)):
    with server(of("a", DONE_OF_A), late, kind=Session, then=Line.hang) as session:
      session.ask("a")
      session.done("a")
      refused(session.next, "nothing of this id runs")
  with server(of("a", FAILURE), kind=Session, then=Line.hang) as session:
    session.ask("a")
    refused(lambda: session.done("a"), "CANCELLED")


@play
def asked_on_the_wire():
  """what a session asks and cancels stands on the wire as one text frame each"""
  got = []
  with server(lambda line: got.extend(json.loads(masked(*long_frame(line))) for _ in range(3)), kind=Session,
              then=lambda line: line.send(said(Op.TEXT, b"{}"))) as session:
    session.ask("a", stream=True)
    session.ask("b", prompt="hi", model="p1/small")
    session.cancel("a")
    refused(session.next)
  same(got, [{"id": "a", "type": "chat", "model": "small", "messages": [{"role": "user", "content": "Say hello."}],
              "stream": True}, {"id": "b", "type": "chat", "model": "p1/small", "prompt": "hi"},
             {"id": "a", "type": "cancel"}])


def long_frame(line):
  """A text frame of the client: its payload under the mask, and the mask."""
  first, second = line.reader.exactly(2, Deadline())
  same((first, second & 128), (129, 128), "a whole text under a mask")
  count = second & 127
  if count == 126:
    count = int.from_bytes(line.reader.exactly(2, Deadline()), "big")
  mask = line.reader.exactly(4, Deadline())
  return line.reader.exactly(count, Deadline()), mask
