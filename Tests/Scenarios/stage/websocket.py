"""A WebSocket client (RFC 6455) that decides about every byte it sends and reads frames without any leniency."""

import base64
import collections
import hashlib
import os

from .check import Deadline, Failed, holds, same, shown
from .client import head
from .wire import Cut, Malformed


class Op:
  """What a frame is."""

  CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
  ALL = {CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG}


SECRET_OF_ALL = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# The longest frame that a server may send here.
FRAME_MAX = 1 << 26
# Close codes that may stand on the wire (sections 7.4.1 and 7.4.2).
CODES = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}


class Closed(Failed):
  """The server has closed; `code` is None when it gave none."""

  def __init__(self, code, reason):
    super().__init__(f"the server closed with {code} {reason!r}")
    self.code, self.reason = code, reason


# MARK: what a client sends


def accept_of(key):
  """What a server answers to a key."""
  return base64.b64encode(hashlib.sha1(key.encode() + SECRET_OF_ALL).digest()).decode()


def new_key():
  return base64.b64encode(os.urandom(16)).decode()


def handshake(path="/ws", fields=(), key="AQIDBAUGBwgJCgsMDQ4PEA==", upgrade="websocket", connection="Upgrade",
              websocket="13", method="GET", host="edge.test", version="1.1"):
  """The request that opens a WebSocket; None leaves a field out. `websocket` is the protocol's version."""
  rows = [("Upgrade", upgrade), ("Connection", connection), ("Sec-WebSocket-Key", key),
          ("Sec-WebSocket-Version", websocket)]
  return head(method, path, [row for row in rows if row[1] is not None] + list(fields), host, version)


def masked(payload, mask):
  """A payload under a mask, and one under a mask without it."""
  pattern = (mask * (len(payload) // 4 + 1))[:len(payload)]
  return (int.from_bytes(payload, "big") ^ int.from_bytes(pattern, "big")).to_bytes(len(payload), "big")


def frame(opcode, payload=b"", fin=True, mask=None, rsv=0, size=None, count=None):
  """One frame as bytes. `mask`: four bytes, None for random ones, b"" for none. `size`: the bytes that the length takes
  behind the first seven bits (0, 2 or 8), the fewest when None. `count`: the length that is said, whatever is there."""
  count = len(payload) if count is None else count
  if size is None:
    size = 0 if count < 126 else 2 if count < 65536 else 8
  mask = os.urandom(4) if mask is None else mask
  short = {0: count, 2: 126, 8: 127}[size]
  size_bytes = count.to_bytes(size, "big") if size else b""
  begin = bytes([fin << 7 | rsv << 4 | opcode, (128 if mask else 0) | short]) + size_bytes
  return begin + mask + (masked(payload, mask) if mask else payload)


def text_frame(content, **options):
  """A text frame; bytes or a string."""
  return frame(Op.TEXT, content.encode() if isinstance(content, str) else content, **options)


def goodbye(code=1000, reason=b""):
  """A close frame; a code of None says nothing."""
  return frame(Op.CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)


def fragments(content, *places):
  """A text in several frames, cut at these places."""
  content = content.encode() if isinstance(content, str) else content
  ends = [0, *places, len(content)]
  pieces = [content[begin:end] for begin, end in zip(ends, ends[1:])]
  return [frame(Op.TEXT if number == 0 else Op.CONTINUATION, piece, fin=number == len(pieces) - 1)
          for number, piece in enumerate(pieces)]


# MARK: what a server sends


def assert_opened(response, key, protocol=None):
  """The head is the answer that opens a WebSocket for this key, with this subprotocol and no extension."""
  same(response.status, 101, f"status ({response.raw_head[:400]!r})")
  fields = response.fields
  same((fields.one("upgrade") or "").lower(), "websocket", "upgrade")
  same([word.strip().lower() for word in (fields.one("connection") or "").split(",")], ["upgrade"], "connection")
  same(fields.one("sec-websocket-accept"), accept_of(key), "sec-websocket-accept")
  same(fields.one("sec-websocket-protocol"), protocol, "sec-websocket-protocol")
  for name in ("sec-websocket-extensions", "content-length", "transfer-encoding"):
    holds(name not in fields, f"{name} in {fields}")
  return response


class WebSocket:
  """A WebSocket that is open on a client's connection.

  Pings of the server are answered, and its close too, unless `answers` is False. What comes while something else is
  awaited is kept: messages in `queue`, payloads of pings and pongs in `pings` and `pongs`."""

  def __init__(self, client, response=None):
    self.client, self.reader, self.response = client, client.reader, response
    self.answers = True
    self.queue, self.pings, self.pongs = collections.deque(), [], []
    self.parts, self.kind = [], None
    self.told_end = False
    self.frames = 0

  def __enter__(self):
    return self

  def __exit__(self, *failure):
    self.client.close()

  def send(self, data, deadline=None):
    self.client.send(data, deadline)

  def drip(self, data):
    """Sends one byte at a time, each after the server has read the one before, whatever it says meanwhile."""
    for at in range(len(data)):
      self.send(data[at:at + 1])
      self.client.await_read()

  def say(self, content):
    """Sends a text message as it is."""
    self.send(text_frame(content))

  def read_frame(self, deadline):
    """The next frame of the server: (fin, opcode, payload)."""
    first, second = self.reader.exactly(2, deadline)
    fin, opcode, count = bool(first & 128), first & 15, second & 127
    if first & 112:
      raise Malformed(f"reserved bits in the frame {first:02x} {second:02x}")
    if opcode not in Op.ALL:
      raise Malformed(f"opcode {opcode}")
    if second & 128:
      raise Malformed("a frame of the server has a mask")
    if opcode >= Op.CLOSE and (not fin or count > 125):
      raise Malformed(f"a control frame in pieces, or of {count} bytes")
    if count >= 126:
      size, least = (2, 126) if count == 126 else (8, 65536)
      count = int.from_bytes(self.reader.exactly(size, deadline), "big")
      if count < least:
        raise Malformed(f"a length of {count} in {size} bytes")
    if count > FRAME_MAX:
      raise Malformed(f"a frame of {count} bytes")
    self.frames += 1
    return fin, opcode, self.reader.exactly(count, deadline)

  def step(self, deadline=None):
    """Reads one frame and acts on it; the kind of what is whole with it, None where a message goes on.

    Raises Closed for a close frame, once it has been answered."""
    deadline = deadline or Deadline()
    fin, opcode, payload = self.read_frame(deadline)
    if opcode == Op.CLOSE:
      self.take_close(payload)
    if opcode in (Op.PING, Op.PONG):
      (self.pings if opcode == Op.PING else self.pongs).append(payload)
      if opcode == Op.PING and self.answers:
        self.send(frame(Op.PONG, payload), deadline)
      return opcode
    if (opcode == Op.CONTINUATION) != (self.kind is not None):
      raise Malformed(f"opcode {opcode} {'within' if self.kind is not None else 'without'} a message")
    self.kind = opcode if self.kind is None else self.kind
    self.parts.append(payload)
    if not fin:
      return None
    whole, kind = b"".join(self.parts), self.kind
    self.parts, self.kind = [], None
    try:
      self.queue.append(whole.decode() if kind == Op.TEXT else whole)
    except UnicodeDecodeError as error:
      raise Malformed(f"a text that is no UTF-8: {error}: {shown(whole)}") from None
    return kind

  def take_close(self, payload):
    """A close frame of the server: it is answered with the same code, then Closed is raised."""
    if len(payload) == 1:
      raise Malformed("a close frame of one byte")
    code, reason = int.from_bytes(payload[:2], "big") if payload else None, payload[2:]
    if code is not None and code not in CODES:
      raise Malformed(f"close code {code}")
    try:
      reason = reason.decode()
    except UnicodeDecodeError:
      raise Malformed(f"the reason of a close: {reason!r}") from None
    if self.answers and not self.told_end:
      try:
        self.send(goodbye(code))
      except OSError:
        pass  # a server that closes for a fault need not wait
    self.told_end = True
    raise Closed(code, reason)

  def message(self, deadline=None):
    """The next message."""
    deadline = deadline or Deadline()
    while not self.queue:
      self.step(deadline)
    return self.queue.popleft()

  def pong(self, payload=b"", deadline=None):
    """Awaits the next pong, which must say this."""
    deadline = deadline or Deadline()
    while not self.pongs:
      self.step(deadline)
    same(self.pongs.pop(0), payload, "payload of the pong")

  def ping(self, deadline=None):
    """Awaits the next ping of the server; its payload."""
    deadline = deadline or Deadline()
    while not self.pings:
      self.step(deadline)
    return self.pings.pop(0)

  def assert_alive(self, payload=b"alive?"):
    """The server answers a ping; messages that come before are kept."""
    self.send(frame(Op.PING, payload))
    self.pong(payload)

  def assert_ended(self, *codes, passing=False, deadline=None):
    """The server closes with one of these codes, and then the connection; nothing comes before it, unless `passing`.

    Gives the code."""
    deadline = deadline or Deadline()
    try:
      while True:
        self.step(deadline)
    except Closed as closed:
      found = closed
    if found.code not in codes:
      raise Failed(f"close code: wanted {codes}, found {found.code} {found.reason!r}; kept {shown(list(self.queue))}")
    if not passing and self.queue:
      raise Failed(f"messages before the close: {shown(list(self.queue))}")
    if self.answers:
      self.client.assert_closed("connection behind the close")
    return found.code

  def close(self, code=1000, reason=b""):
    """The closing handshake, begun here: the server answers with the same code, and closes the connection."""
    self.send(goodbye(code, reason))
    self.told_end = True
    self.assert_ended(code, *([1000] if code is None else []), passing=True)

  def await_cut(self):
    """The server ends the connection without a close frame, perhaps within a frame."""
    try:
      while True:
        self.step()
    except Cut:
      return
    except Closed as closed:
      raise Failed(f"wanted a cut, found {closed}") from None

  def assert_open(self):
    """Nothing has come, and the connection is there."""
    same(list(self.queue), [], "messages")
    self.client.assert_open()


def upgraded(client, path="/ws", fields=(), protocol=None, behind=b"", kind=WebSocket, **options):
  """Opens a WebSocket on a client's connection: the answer must agree to it, with this subprotocol. `behind` is sent
  in one piece with the request."""
  key = options.pop("key", None) or new_key()
  client.send(handshake(path, fields, key=key, **options) + behind)
  return kind(client, assert_opened(client.read_head(), key, protocol))
