"""A client that decides about every byte it sends and reads answers strictly."""

import os
import random
import select
import socket
import struct

from .check import Deadline, Failed, Late, eventually, same, shown
from .kernel import unread
from .tls import Secured
from .wire import Cut, Malformed, Reader, framing, parse_response, read_body, read_chunk, send_all


def head(method, target, fields=(), host="edge.test", version="1.1"):
  """A request head as bytes; `host=None` leaves the Host field out."""
  lines = [f"{method} {target} HTTP/{version}"]
  if host is not None:
    lines.append(f"Host: {host}")
  lines += [f"{name}: {value}" for name, value in fields]
  return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunked(*pieces):
  """A chunked body of these pieces."""
  return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece) + b"0\r\n\r\n"


class Client:
  """One connection, to (host, port) or to the path of a Unix socket; use it in a `with`.

  With `tls`, a `ClientTLS`, it speaks that from the beginning; `handshakes=False` leaves the handshake to the play."""

  def __init__(self, address, receive_buffer=None, own=None, tls=None, handshakes=True):
    is_path = isinstance(address, str)
    self.sock = socket.socket(socket.AF_UNIX if is_path else socket.AF_INET, socket.SOCK_STREAM)
    if own:
      self.sock.bind((own, 0))
    if receive_buffer:
      self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    self.sock.settimeout(Deadline().left())
    if is_path:
      # The name of a socket has 107 bytes; the way through the folder's descriptor is short.
      folder = os.open(os.path.dirname(address), os.O_PATH)
      try:
        self.sock.connect(f"/proc/self/fd/{folder}/{os.path.basename(address)}")
      finally:
        os.close(folder)
    else:
      self.sock.connect(address)
      self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    self.sock.setblocking(True)
    self.local, self.remote = self.sock.getsockname(), self.sock.getpeername()
    if tls:
      self.sock = Secured(self.sock, tls)
    self.reader = Reader(self.sock)
    if tls and handshakes:
      try:
        self.reader.buffer += self.sock.handshake()
      except BaseException:
        self.sock.close()
        raise

  def __enter__(self):
    return self

  def __exit__(self, *failure):
    self.close()

  def close(self):
    self.sock.close()

  def reset(self):
    """Leaves with an RST."""
    self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    self.sock.close()

  def finish(self):
    """Closes the sending side only."""
    self.sock.shutdown(socket.SHUT_WR)

  def send(self, data, deadline=None):
    send_all(self.sock, data, deadline)

  def send_slowly(self, data, step=1, whole=False):
    """Sends `step` bytes at a time, each after the other side has read the one before.

    Ends early, without failure, when the other side closes or, unless `whole`, has answered and reads no more."""
    for at in range(0, len(data), step):
      try:
        send_all(self.sock, data[at:at + step])
      except OSError:
        return
      eventually(lambda: not self.unread_there() or self.heard() and not whole, "the other side reads what was sent")
      if self.heard() and self.unread_there():
        return

  def unread_there(self):
    """Bytes sent that the other side has not read; None when its socket is gone."""
    return unread(self.remote, self.local)

  def await_read(self):
    """Waits until the other side has read all that was sent."""
    eventually(lambda: not self.unread_there(), "the other side reads what was sent")

  def heard(self):
    """Whether something can be read here (bytes, end or reset), without waiting."""
    return bool(self.reader.buffer) or bool(self.reader.poll.poll(0))

  def read_head(self, deadline=None):
    """The next response head, interim ones included."""
    raw = self.reader.through(b"\r\n\r\n", deadline or Deadline())
    return parse_response(raw)

  def read_response(self, method="GET", version="1.1", deadline=None):
    """A whole response; interim responses before it are in its `interim`."""
    response, kind, length = self.read_final_head(method, version, deadline)
    return read_body(self.reader, response, kind, length, deadline or Deadline())

  def read_final_head(self, method="GET", version="1.1", deadline=None):
    """The head of the final response, with the framing of the body to come and its length."""
    interim = []
    response = self.read_head(deadline)
    while 100 <= response.status < 200 and response.status != 101:
      if version == "1.0":
        raise Malformed(f"interim {response.status} to an HTTP/1.0 client")
      if "content-length" in response.fields or "transfer-encoding" in response.fields:
        raise Malformed(f"framing fields in interim {response.status}")
      interim.append(response)
      response = self.read_head(deadline)
    response.interim = interim
    kind, length = framing(response, "close")
    if response.status == 204 and kind != "close":
      raise Malformed(f"framing fields in a 204: {response.fields}")
    if method == "HEAD" or response.status in (204, 304) or response.status == 101:
      kind, length = "none", 0
    if kind == "chunked" and version == "1.0":
      raise Malformed("a chunked answer to an HTTP/1.0 client")
    return response, kind, length

  def read_piece(self, response, kind, deadline=None):
    """What arrives next of a streamed body, without waiting for more than one chunk or read."""
    deadline = deadline or Deadline()
    if kind == "chunked":
      return read_chunk(self.reader, response, deadline)
    # Within TLS a part of a record is nothing yet.
    while not self.reader.buffer and self.reader.fill(deadline):
      pass
    return self.reader.take(len(self.reader.buffer))

  def read_at_least(self, count, response, kind):
    """Pieces of a streamed body until `count` bytes are there."""
    data = b""
    while len(data) < count:
      piece = self.read_piece(response, kind)
      if not piece:
        raise Cut("stream ended", data)
      data += piece
    return data

  def request(self, method, target, fields=(), body=b"", host="edge.test", version="1.1"):
    """Sends a request, with Content-Length when there is a body, and reads its answer."""
    rows = list(fields)
    if body and not any(name.lower() in ("content-length", "transfer-encoding") for name, _ in rows):
      rows.append(("Content-Length", len(body)))
    self.send(head(method, target, rows, host, version) + body)
    return self.read_response(method, version)

  def get(self, target="/", fields=(), host="edge.test"):
    return self.request("GET", target, fields, host=host)

  def read_to_end(self, deadline=None):
    """Every byte until the other side closes."""
    return self.reader.rest(deadline or Deadline())

  def assert_closed(self, what="connection"):
    """The other side closes (end or reset) and sends nothing more."""
    try:
      rest = self.read_to_end()
    except Late as late:
      raise Failed(f"{what} is not closed: {late}") from None
    same(rest, b"", f"bytes before the close of the {what}")

  def assert_cut(self, response, kind, length=0):
    """The body ends in a way no client can take for a whole one."""
    try:
      read_body(self.reader, response, kind, length, Deadline())
    except Cut:
      return response.body
    raise Failed(f"body looks whole: {shown(response.body)}")

  def assert_open(self):
    """The other side has sent nothing and has not closed."""
    if self.heard():
      self.reader.fill(Deadline())
      raise Failed(f"connection is not quiet: {self.reader.ended or shown(self.reader.buffer)}")


class Stream:
  """An answer of the script `held` that has begun and not ended."""

  def __init__(self, client, target="/", fields=()):
    self.client = client
    client.send(head("GET", target, fields))
    self.response, self.kind, self.length = client.read_final_head()
    same(self.response.status, 200, f"status of the stream {target}")
    same(client.read_at_least(5, self.response, self.kind), b"begin", f"the stream {target}")
    self.id = self.response.fields.one("x-request-id")

  def assert_whole(self):
    """The rest comes to its end; the gate must be open."""
    data = b""
    while piece := self.client.read_piece(self.response, self.kind):
      data += piece
    same(data, b"end", "the rest of the stream")


def own_port(sock):
  """The port of a socket of this process."""
  return sock.getsockname()[1]


def free_port():
  """A port that nobody uses and the kernel gives to nobody by itself."""
  with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as text:
    lowest = int(text.read().split()[0])
  while True:
    with socket.socket() as sock:
      try:
        sock.bind(("127.0.0.1", random.randrange(min(10_000, lowest // 2), lowest)))
        return own_port(sock)
      except OSError:
        pass  # taken


def refused_port():
  """A socket bound but not listening: connecting to its port is refused until it is closed."""
  sock = socket.socket()
  sock.bind(("127.0.0.1", 0))
  return sock


def assert_refused(address):
  """No new connection is taken: refused by the kernel, since nobody listens there."""
  with socket.socket() as sock:
    sock.settimeout(Deadline().left())
    try:
      sock.connect(address)
    except ConnectionRefusedError:
      return
  raise Failed(f"a new connection to {address} was taken although nobody should listen")


class Unanswering:
  """A listening port whose queue is full, so that a connection attempt gets no answer at all."""

  def __enter__(self):
    self.listener = socket.socket()
    self.listener.bind(("127.0.0.1", 0))
    self.listener.listen(0)
    self.address = self.listener.getsockname()
    self.fillers = []
    while True:
      filler = socket.socket()
      filler.setblocking(False)
      self.fillers.append(filler)
      filler.connect_ex(self.address)
      ready = select.poll()
      ready.register(filler, select.POLLOUT)
      if not ready.poll(300):
        return self

  def __exit__(self, *failure):
    for filler in self.fillers:
      filler.close()
    self.listener.close()


def random_bytes(count):
  return os.urandom(count)
