"""WebSockets through an edge to a service: the service's end, read without any leniency, and both ends for a play."""

import json
import queue
from contextlib import contextmanager

from .check import DEADLINE, Deadline, Failed, Late, holds, same
from .config import merged, serving
from .edge import Edge
from .origin import Origin
from .policies import furnished
from .websocket import Op, WebSocket, accept_of, frame, goodbye, masked, upgraded
from .wire import Malformed

# The longest frame that is expected here; longer ones come in pieces.
HELD = 16 << 10


def agreeing(request, *rows, status=101, accept=None, upgrade="websocket", connection="Upgrade", reason="Switching"):
  """The head that opens a WebSocket, or a spoilt one. None leaves a field out."""
  accept = accept_of(request.fields.one("sec-websocket-key") or "") if accept is None else accept
  lines = [f"HTTP/1.1 {status} {reason}", *([f"Upgrade: {upgrade}"] if upgrade else []),
           *([f"Connection: {connection}"] if connection else []),
           *([f"Sec-WebSocket-Accept: {accept}"] if accept else []), *rows]
  return "\r\n".join(lines).encode() + b"\r\n\r\n"


class ServiceSocket(WebSocket):
  """The service's end of a WebSocket: what it says has no mask, what it reads must have a fresh one each."""

  def __init__(self, line, request):
    super().__init__(line)
    self.request = request
    self.masks = []

  def send(self, data, deadline=None):
    self.client.send(data, deadline)

  def say(self, content, opcode=None, **options):
    data = content.encode() if isinstance(content, str) else content
    opcode = (Op.TEXT if isinstance(content, str) else Op.BINARY) if opcode is None else opcode
    self.send(frame(opcode, data, mask=b"", **options))

  def read_frame(self, deadline):
    first, second = self.reader.exactly(2, deadline)
    fin, opcode, count = bool(first & 128), first & 15, second & 127
    if first & 112:
      raise Malformed(f"reserved bits in the frame {first:02x} {second:02x}")
    if opcode not in Op.ALL:
      raise Malformed(f"opcode {opcode}")
    if not second & 128:
      raise Malformed("a frame to the service has no mask")
    if opcode >= Op.CLOSE and (not fin or count > 125):
      raise Malformed(f"a control frame in pieces, or of {count} bytes")
    if count >= 126:
      size, least = (2, 126) if count == 126 else (8, 65536)
      count = int.from_bytes(self.reader.exactly(size, deadline), "big")
      if count < least:
        raise Malformed(f"a length of {count} in {size} bytes")
    mask = self.reader.exactly(4, deadline)
    self.masks.append(mask)
    self.frames += 1
    return fin, opcode, masked(self.reader.exactly(count, deadline), mask)

  def step(self, deadline=None):
    """As a client's, but for the masks of what is sent."""
    answers, self.answers = self.answers, False
    try:
      opcode = super().step(deadline)
    finally:
      self.answers = answers
    if opcode == Op.PING and answers:
      self.send(frame(Op.PONG, self.pings[-1], mask=b""))
    return opcode

  def take_close(self, payload):
    """A close frame is answered with the same code."""
    if self.told_end:
      return super().take_close(payload)
    self.told_end = True
    try:
      self.send(frame(Op.CLOSE, payload[:2], mask=b""))
    except OSError:
      pass
    return super().take_close(payload)

  def closes(self, code=1000, reason=b""):
    """Begins the closing handshake."""
    self.told_end = True
    self.send(frame(Op.CLOSE, goodbye_of(code, reason), mask=b""))

  def assert_ended(self, *codes, passing=False, deadline=None):
    """A close frame with one of these codes comes, nothing before it, and then the edge closes the connection."""
    deadline = deadline or Deadline()
    try:
      while True:
        self.step(deadline)
    except Failed as closed:
      if not hasattr(closed, "code"):
        raise
      found = closed
    if found.code not in codes:
      raise Failed(f"close code: wanted {codes}, found {found.code} {found.reason!r}")
    if not passing and self.queue:
      raise Failed(f"messages before the close: {list(self.queue)}")
    same(self.reader.rest(deadline), b"", "bytes behind the close")
    return found.code

  def await_gone(self):
    """The connection ends without a close frame."""
    same(self.reader.rest(Deadline()), b"", "bytes before the end")


def goodbye_of(code, reason=b""):
  """The payload of a close frame."""
  return b"" if code is None else code.to_bytes(2, "big") + reason


class Sockets(Origin):
  """A service that opens every WebSocket it is asked for; each stands in `opened` until the play takes it.

  `rows` are fields of its answers, or a function of the request; `behind` is sent in one piece with the head."""

  def __init__(self, rows=(), behind=b"", **options):
    super().__init__(self.agree, **options)
    self.rows, self.behind = rows, behind
    self.opened = queue.Queue()

  def agree(self, request, line):
    rows = self.rows(request) if callable(self.rows) else self.rows
    line.send(agreeing(request, *rows) + self.behind)
    self.opened.put(ServiceSocket(line, request))
    self.gate().wait("the end of the play", 600)

  def take(self):
    """The next WebSocket that was opened."""
    try:
      return self.opened.get(timeout=DEADLINE)
    except queue.Empty:
      raise Late("the service was not asked for a WebSocket") from None


@contextmanager
def fronted(origin, policies=None, *, route=None, loud=False, extra=None, files=None, **config):
  """An edge in front of an origin, with these policies on the route to it."""
  rows, scripts = furnished(policies or {})
  document = serving(origin, route=merged({"policies": list(policies)} if policies else {}, route or {}),
                     **merged({"policies": rows} if rows else {}, config))
  with Edge(document, files={**scripts, **(files or {})}, loud=loud, extra=extra) as edge:
    yield edge


@contextmanager
def paired(policies=None, *, rows=(), behind=b"", path="/chat", fields=(), first=b"", protocol=None, send_buffer=None,
           receive_buffer=None, tls=None, **options):
  """A WebSocket through an edge: the client's end, the service's, the edge and the service.

  `first` is sent by the client in one piece with its request."""
  with Sockets(rows, behind, send_buffer=send_buffer, lenient=True, tls=tls) as service:
    with fronted(service, policies, **options) as edge, edge.client(receive_buffer=receive_buffer) as client:
      one = upgraded(client, path, fields, protocol, behind=first)
      yield one, service.take(), edge, service


def another(edge, service, path="/chat", **options):
  """One more WebSocket on the same edge: the client's end and the service's."""
  one = upgraded(edge.client(), path, **options)
  return one, service.take()


def crosses(one, two, content=None):
  """A message of each side comes to the other."""
  for sender, receiver in ((one, two), (two, one)):
    said = content or f"hello from {type(sender).__name__}"
    sender.say(said)
    same(receiver.message(), said)


def sessions(edge):
  """How many WebSockets `/health` counts."""
  with edge.client() as client:
    return json.loads(client.get("/health").body)["connections"]["totalConnections"]


def assert_mask_fresh(two):
  """No mask came twice."""
  holds(len(set(two.masks)) == len(two.masks), "a mask came twice")
