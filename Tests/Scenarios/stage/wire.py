"""HTTP/1.1 as it stands in RFC 9110 and 9112, read without any leniency."""

import re
import select
import socket

from .check import Deadline, Failed, Late, shown

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[\t \x21-\x7e\x80-\xff]*")
_REQUEST = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e]+) HTTP/1\.([01])")
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9]) ([\t \x21-\x7e\x80-\xff]*)")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})(.*)", re.DOTALL)


class Malformed(Failed):
  """The other side broke the protocol."""


class Cut(Failed):
  """The other side closed before a message was whole; `received` holds its bytes so far."""

  def __init__(self, what, received):
    super().__init__(f"{what} after {len(received)} bytes: {shown(received[-400:])}")
    self.received = bytes(received)


def send_all(sock, data, deadline=None):
  """Sends every byte; raises Late when the other side does not read, OSError when it has gone."""
  deadline = deadline or Deadline()
  view = memoryview(data)
  sent = 0
  while sent < len(view):
    try:
      sent += sock.send(view[sent:sent + 262144], socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    except BlockingIOError:
      ready = select.poll()
      ready.register(sock, select.POLLOUT)
      if not ready.poll(deadline.left() * 1000):
        raise Late(f"only {sent} of {len(view)} bytes were taken by the other side") from None


class Fields:
  """Header fields in the order of arrival."""

  def __init__(self, rows):
    self.rows = rows

  def all(self, name):
    return [value for found, value in self.rows if found.lower() == name.lower()]

  def one(self, name):
    """The only value of a field, None when absent; several lines of it are a failure."""
    values = self.all(name)
    if len(values) > 1:
      raise Failed(f"field {name} came {len(values)} times: {values}")
    return values[0] if values else None

  def __contains__(self, name):
    return bool(self.all(name))

  def names(self):
    return [name.lower() for name, _ in self.rows]

  def __repr__(self):
    return repr(self.rows)


class Message:
  """A request or a response as it was received."""

  def __init__(self, fields, raw_head):
    self.fields = fields
    self.raw_head = raw_head
    self.body = b""
    self.framing = "none"
    self.trailers = []
    self.extensions = []
    self.chunks = []


class Request(Message):
  def __init__(self, method, target, version, fields, raw_head):
    super().__init__(fields, raw_head)
    self.method, self.target, self.version = method, target, version

  @property
  def path(self):
    return self.target.split("?", 1)[0]

  def __repr__(self):
    return f"<{self.method} {self.target} {self.framing} {len(self.body)} bytes>"


class Response(Message):
  def __init__(self, status, reason, version, fields, raw_head):
    super().__init__(fields, raw_head)
    self.status, self.reason, self.version = status, reason, version
    self.interim = []

  def __repr__(self):
    return f"<{self.status} {self.reason} {self.framing} {shown(self.body, 200)}>"


class Reader:
  """Buffered reading from a socket with deadlines; `taken` counts the bytes handed out."""

  def __init__(self, sock):
    self.sock = sock
    self.buffer = bytearray()
    self.ended = None
    self.poll = select.poll()
    self.poll.register(sock, select.POLLIN)

  def fill(self, deadline, size=262144):
    """Takes what has arrived; False at the end of the stream, with `ended` = "end" or "reset"."""
    if self.ended:
      return False
    if not self.poll.poll(deadline.left() * 1000):
      raise Late(f"nothing more within the deadline; unread so far {shown(self.buffer[-400:])}")
    try:
      piece = self.sock.recv(size, socket.MSG_DONTWAIT)
    except BlockingIOError:
      return True
    except ConnectionResetError:
      self.ended = "reset"
      return False
    except OSError as error:
      self.ended = f"{error}"
      return False
    if not piece:
      self.ended = "end"
      return False
    self.buffer += piece
    return True

  def take(self, count):
    piece = bytes(self.buffer[:count])
    del self.buffer[:count]
    return piece

  def exactly(self, count, deadline):
    while len(self.buffer) < count:
      if not self.fill(deadline):
        raise Cut(f"closed ({self.ended}) {count - len(self.buffer)} bytes early", self.buffer)
    return self.take(count)

  def through(self, mark, deadline, limit=1 << 20):
    """The bytes up to and including `mark`."""
    start = 0
    while True:
      at = self.buffer.find(mark, start)
      if at >= 0:
        return self.take(at + len(mark))
      if len(self.buffer) > limit:
        raise Malformed(f"no {mark!r} within {limit} bytes")
      start = max(0, len(self.buffer) - len(mark) + 1)
      if not self.fill(deadline):
        raise Cut(f"closed ({self.ended}) before {mark!r}", self.buffer)

  def rest(self, deadline, limit=1 << 28):
    while self.fill(deadline):
      if len(self.buffer) > limit:
        raise Malformed(f"more than {limit} bytes")
    return self.take(len(self.buffer))


def parse_fields(lines):
  rows = []
  for line in lines:
    name, colon, value = line.partition(b":")
    if not colon or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
      raise Malformed(f"field line {shown(line)}")
    rows.append((name.decode("ascii"), value.strip(b" \t").decode("latin-1")))
  return Fields(rows)


def _lines(head):
  lines = head[:-4].split(b"\r\n")
  for line in lines:
    if b"\r" in line or b"\n" in line or b"\0" in line:
      raise Malformed(f"stray control byte in head line {shown(line)}")
  return lines


def parse_request(head):
  lines = _lines(head)
  found = _REQUEST.fullmatch(lines[0])
  if not found:
    raise Malformed(f"request line {shown(lines[0])}")
  method, target, minor = (part.decode("ascii") for part in found.groups())
  request = Request(method, target, f"1.{minor}", parse_fields(lines[1:]), head)
  if len(request.fields.all("host")) != 1:
    raise Malformed(f"{len(request.fields.all('host'))} Host fields in {shown(head)}")
  return request


def parse_response(head):
  lines = _lines(head)
  found = _STATUS.fullmatch(lines[0])
  if not found:
    raise Malformed(f"status line {shown(lines[0])}")
  minor, status, reason = (part.decode("latin-1") for part in found.groups())
  return Response(int(status), reason, f"1.{minor}", parse_fields(lines[1:]), head)


def framing(message, otherwise):
  """How the body is delimited: none, length, chunked or close."""
  codings, lengths = message.fields.all("transfer-encoding"), message.fields.all("content-length")
  if codings and lengths:
    raise Malformed("both Transfer-Encoding and Content-Length")
  if codings:
    if codings != ["chunked"]:
      raise Malformed(f"Transfer-Encoding {codings}")
    return "chunked", 0
  if lengths:
    if len(lengths) != 1 or not re.fullmatch("[0-9]+", lengths[0]):
      raise Malformed(f"Content-Length {lengths}")
    return "length", int(lengths[0])
  return otherwise, 0


def read_chunk(reader, message, deadline):
  """One chunk's data; empty bytes after the last one, when the trailer section has been read too."""
  line = reader.through(b"\r\n", deadline, 16384)[:-2]
  found = _SIZE.fullmatch(line)
  if not found or b"\n" in line or b"\r" in line or (found[2] and not found[2].lstrip(b" \t").startswith(b";")):
    raise Malformed(f"chunk size line {shown(line)}")
  if found[2]:
    message.extensions.append(found[2])
  size = int(found[1], 16)
  if size:
    data = reader.exactly(size, deadline)
    if reader.exactly(2, deadline) != b"\r\n":
      raise Malformed("no line end after the data of a chunk")
    message.chunks.append(size)
    return data
  trailers = []
  while True:
    line = reader.through(b"\r\n", deadline, 65536)[:-2]
    if not line:
      message.trailers = parse_fields(trailers).rows
      return b""
    trailers.append(line)


def read_body(reader, message, kind, length, deadline):
  """Reads the body of `message`; on Cut the part that came stands in `message.body`."""
  message.framing = kind
  parts = bytearray()
  try:
    if kind == "length":
      while len(parts) < length:
        if not reader.buffer and not reader.fill(deadline):
          raise Cut(f"body closed ({reader.ended}) {length - len(parts)} of {length} bytes early", parts)
        parts += reader.take(min(len(reader.buffer), length - len(parts)))
    elif kind == "chunked":
      while True:
        data = read_chunk(reader, message, deadline)
        if not data:
          break
        parts += data
    elif kind == "close":
      parts += reader.rest(deadline)
      if reader.ended != "end":
        raise Cut(f"body ended by {reader.ended}", parts)
  finally:
    message.body = bytes(parts)
  return message
