"""A scripted HTTP/1.1 server on raw sockets that reads requests strictly and counts everything."""

import socket
import ssl
import struct
import threading

from .check import DEADLINE, Deadline, Failed, Late, eventually, shown
from .kernel import unread
from .tls import TLS, Secured
from .wire import Cut, Reader, framing, parse_request, read_body, read_chunk, send_all


class Gate:
  """Holds a script until the play opens it."""

  def __init__(self):
    self.event = threading.Event()
    self.waited = threading.Event()

  def open(self):
    self.event.set()

  def wait(self, what="gate", seconds=DEADLINE):
    self.waited.set()
    if not self.event.wait(seconds):
      raise Late(f"{what} was not opened")

  def reached(self):
    """Waits until the script stands at the gate."""
    if not self.waited.wait(DEADLINE):
      raise Late("the script never came to the gate")


class Line:
  """One connection the edge opened, as a script sees it."""

  def __init__(self, origin, sock, number):
    self.origin, self.sock, self.number = origin, sock, number
    self.local, self.remote = sock.getsockname(), sock.getpeername()
    self.reader = Reader(sock)
    self.ended = threading.Event()
    self.how = None
    self.closed = False
    self.served = 0

  def send(self, data, deadline=None):
    send_all(self.sock, data, deadline)

  def send_slowly(self, data, step=1):
    """Sends `step` bytes at a time, each after the edge has read the one before."""
    for at in range(0, len(data), step):
      try:
        send_all(self.sock, data[at:at + step])
      except OSError:
        return
      eventually(lambda: not unread(self.remote, self.local), "the edge reads the answer")

  def try_send(self, data):
    """Sends without waiting; the number of bytes taken, 0 when the edge does not read."""
    try:
      return self.sock.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    except BlockingIOError:
      return 0

  def finish(self):
    """Closes the sending side and waits for the edge to close the other."""
    self.sock.shutdown(socket.SHUT_WR)
    self.wait_end()
    self.close()

  def wait_end(self):
    """Waits until the edge has closed the connection; returns the bytes it still sent."""
    rest = self.reader.rest(Deadline())
    self.how = self.reader.ended
    self.ended.set()
    return rest

  def await_end(self):
    """For the play: waits until a script or the serving loop has seen the edge close."""
    if not self.ended.wait(DEADLINE):
      raise Late(f"the edge did not close connection {self.number}")

  def close(self):
    self.closed = True
    self.sock.close()

  def reset(self):
    self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    self.close()

  def drop(self):
    """Closes without the close_notify that ends TLS."""
    self.sock.drop()
    self.close()

  def hang(self):
    """Says nothing until the edge goes away."""
    self.wait_end()
    self.close()

  def read_body(self, request):
    kind, length = framing(request, "none")
    return read_body(self.reader, request, kind, length, Deadline())

  def read_piece(self, request):
    """The next piece of a request body: one chunk, or what has arrived of a counted one."""
    if request.framing == "chunked":
      return read_chunk(self.reader, request, Deadline())
    if not self.reader.buffer and not self.reader.fill(Deadline()):
      raise Cut("request body ended", b"")
    return self.reader.take(len(self.reader.buffer))


def answer(status=200, body=b"", fields=(), frame="length", reason=None, version="1.1"):
  """A script that answers every request alike; `frame` is length, chunked, close or none."""
  texts = {200: "OK", 204: "No Content", 304: "Not Modified", 404: "Not Found"}
  lines = [f"HTTP/{version} {status} {reason or texts.get(status, 'Status')}"]
  lines += [f"{name}: {value}" for name, value in fields]
  if frame == "length":
    lines.append(f"Content-Length: {len(body)}")
  elif frame == "chunked":
    lines.append("Transfer-Encoding: chunked")
  head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

  def script(request, line):
    data = head
    if request.method != "HEAD" and frame != "none":
      data += b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if frame == "chunked" and body else (
        b"0\r\n\r\n" if frame == "chunked" else body)
    line.send(data)
    if frame == "close":
      line.close()
  return script


def raw(data, then=None):
  """A script that sends exactly these bytes, then does `then`: None, "close", "drop", "reset" or "hang"."""
  def script(_request, line):
    try:
      line.send(data)
    except OSError:
      if then is None:
        raise
    if then == "close":
      line.close()
    elif then == "drop":
      line.drop()
    elif then == "reset":
      line.reset()
    elif then == "hang":
      line.hang()
  return script


def held(gate, seconds=DEADLINE):
  """A script that streams `begin`, and `end` when the gate is open."""
  def script(_request, line):
    line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n")
    gate.wait("the end of a stream", seconds)
    line.send(b"3\r\nend\r\n0\r\n\r\n")
  return script


class Origin:
  """Serves on a port of its own; `script` is a function (request, line) or a dictionary by path.

  Requests are read whole before the script runs unless `whole` is False. A script that raises, and
  a request that breaks the protocol, fail the play when the origin closes, unless `lenient`.

  `tls` makes it speak TLS: the name of its certificate, or a TLS. Handshakes that fail are in `refused`.
  `bound` is where it listens."""

  def __init__(self, script=None, whole=True, lenient=False, send_buffer=None, tls=None, bound=("127.0.0.1", 0)):
    self.script = script or answer(200, b"ok")
    self.whole, self.lenient, self.send_buffer = whole, lenient, send_buffer
    self.change = threading.Condition()
    self.tls = TLS(tls) if isinstance(tls, str) else tls
    self.lines, self.requests, self.cut, self.faults, self.refused = [], [], [], [], []
    self.gates, self.threads = [], []
    self.stopping = False
    self.listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if send_buffer:
      self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    self.listener.bind(bound)
    self.listener.listen(1024)
    self.address = self.listener.getsockname()
    self.url = self.url_at(self.address[0])

  def url_at(self, host):
    return f"{'https' if self.tls else 'http'}://{host}:{self.address[1]}"

  def gate(self):
    gate = Gate()
    self.gates.append(gate)
    return gate

  def __enter__(self):
    self.start(self.accept)
    return self

  def start(self, body, *arguments):
    thread = threading.Thread(target=body, args=arguments)
    self.threads.append(thread)
    thread.start()

  def accept(self):
    while True:
      try:
        sock, _ = self.listener.accept()
      except OSError:
        return
      with self.change:
        if self.stopping:
          sock.close()
          return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = Line(self, sock, len(self.lines) + 1)
        self.lines.append(line)
        self.change.notify_all()
        self.start(self.serve, line)

  def serve(self, line):
    try:
      if self.tls and not self.secure(line):
        return
      while not line.closed:
        request = self.read_request(line)
        if request is None:
          return
        self.choose(request)(request, line)
        line.served += 1
    except Exception as error:  # the play is told when the origin closes
      if not self.stopping:
        self.note(self.faults, f"connection {line.number}: {type(error).__name__}: {error}")
    finally:
      if line.reader.ended:
        line.how = line.how or line.reader.ended
        line.ended.set()
      line.close()

  def secure(self, line):
    """Turns a connection into one of TLS; False when that fails."""
    try:
      if self.tls.hold:
        self.tls.hold.wait()
      if self.tls.greeting is not None:
        if not self.tls.greeting:
          # Whoever leaves without a word does so in the handshake, not while the connection still comes to be.
          line.sock.recv(1, socket.MSG_PEEK)
        line.send(self.tls.greeting)
        (self.tls.then or Line.hang)(line)
        return False
      line.sock = Secured(line.sock, self.tls)
      line.reader = Reader(line.sock)
      line.reader.buffer += line.sock.handshake()
      return True
    except (ssl.SSLError, OSError) as error:
      self.note(self.refused, f"{getattr(error, 'reason', None) or error}")
      return False

  def choose(self, request):
    if not isinstance(self.script, dict):
      return self.script
    script = self.script.get(request.path) or self.script.get("*")
    if not script:
      raise Failed(f"no script for {request}")
    return script

  def read_request(self, line):
    """The next request of a connection, None when it ended between requests or within one."""
    try:
      if not line.reader.buffer and not self.await_bytes(line):
        return None
      head = line.reader.through(b"\r\n\r\n", Deadline())
      request = parse_request(head)
      request.line = line
      kind, length = framing(request, "none")
      request.framing = kind
      if self.whole:
        read_body(line.reader, request, kind, length, Deadline())
    except Cut as cut:
      self.note(self.cut, cut)
      return None
    self.note(self.requests, request)
    return request

  def await_bytes(self, line):
    """Waits without deadline, since an idle connection may stay; closing the origin ends it."""
    line.reader.poll.poll()
    return line.reader.fill(Deadline())

  def note(self, where, what):
    with self.change:
      where.append(what)
      self.change.notify_all()

  def wait(self, condition, what):
    with self.change:
      if not self.change.wait_for(condition, DEADLINE):
        raise Late(f"{what}; so far {len(self.lines)} connections, requests {shown(self.requests)}, "
                   f"cut {shown(self.cut)}, faults {self.faults}")

  def wait_requests(self, count):
    self.wait(lambda: len(self.requests) >= count, f"origin waits for {count} requests")
    return self.requests[count - 1]

  def wait_connections(self, count):
    self.wait(lambda: len(self.lines) >= count, f"origin waits for {count} connections")
    return self.lines[count - 1]

  def wait_cut(self, count=1):
    self.wait(lambda: len(self.cut) >= count, f"origin waits for {count} cut requests")

  def paths(self):
    return [request.target for request in self.requests]

  def last(self):
    return self.requests[-1]

  def __exit__(self, kind, *failure):
    with self.change:
      self.stopping = True
    for gate in self.gates:
      gate.open()
    self.listener.shutdown(socket.SHUT_RDWR)
    self.listener.close()
    for line in self.lines:
      try:
        line.sock.shutdown(socket.SHUT_RDWR)
      except OSError:
        pass
    for thread in self.threads:
      thread.join(DEADLINE + 2)
    if kind is None and self.faults and not self.lenient:
      raise Failed(f"origin: {'; '.join(map(str, self.faults))}")
