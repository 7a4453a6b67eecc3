"""TLS: certificates made by the openssl command, and either side of a connection, for origins and for clients."""

import fcntl
import os
import select
import shutil
import socket
import ssl
import subprocess
import tempfile
import termios

from .check import DEADLINE, Deadline, Failed, Late, eventually
from .kernel import unread

_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
_RSA = ["-newkey", "rsa:2048", "-nodes"]
_LOCAL = "DNS:localhost,DNS:app.test,IP:127.0.0.1"

# name: the authority that signs, the names it is for, days until it ends
LEAVES = {
  "good": ("ca", _LOCAL, 2),
  "wrong-name": ("ca", "DNS:other.test,IP:192.0.2.1", 2),
  "expired": ("ca", _LOCAL, -1),
  "other": ("other-ca", _LOCAL, 2),
  "rsa": ("ca", _LOCAL, 2),
}


def _openssl(folder, *arguments):
  done = subprocess.run(["openssl", *arguments], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True,
                        timeout=DEADLINE, check=False)
  if done.returncode:
    raise RuntimeError(f"openssl {' '.join(arguments)}: {done.stderr.decode()}")


def _make(folder):
  for name in ("ca", "other-ca", "self-signed"):
    kind = "CA:FALSE" if name == "self-signed" else "CA:TRUE"
    _openssl(folder, "req", "-x509", *_KEY, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "2", "-subj",
             f"/CN={name}", "-addext", f"basicConstraints=critical,{kind}", "-addext", f"subjectAltName={_LOCAL}")
  for name, (authority, names, days) in LEAVES.items():
    kind = _RSA if name == "rsa" else _KEY
    _openssl(folder, "req", "-new", *kind, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}",
             "-addext", f"subjectAltName={names}")
    _openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
             "-days", str(days), "-copy_extensions", "copyall", "-out", f"{name}.pem")
  with open(os.path.join(folder, "both-ca.pem"), "w", encoding="ascii") as both:
    both.write(pem("ca", folder) + pem("other-ca", folder))


def certificate(name, ending="pem"):
  """The path of a certificate: an authority (ca, other-ca, both-ca) or one of a server (good, wrong-name …).

  They are made once in a run, in the folder that all files of plays share."""
  shared = os.path.join(os.environ["PLAY_FOLDER"], "certificates")
  if not os.path.isdir(shared):
    own = tempfile.mkdtemp(dir=os.environ["PLAY_FOLDER"])
    _make(own)
    try:
      os.rename(own, shared)
    except OSError:  # another file of plays was faster
      shutil.rmtree(own)
  return os.path.join(shared, f"{name}.{ending}")


def pem(name, folder=None):
  """The text of a certificate."""
  path = os.path.join(folder, f"{name}.pem") if folder else certificate(name)
  with open(path, encoding="ascii") as file:
    return file.read()


def telling_cuts(context):
  """The context, for which a cut is no end: the Python of Debian 12 takes both for the same unless it is told."""
  context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
  return context


class TLS:
  """How an origin speaks TLS: its certificate, the versions it knows, the protocols it offers (ALPN).

  `hold` is a gate before the handshake, `step` how many bytes of it go out at a time, `early` are bytes that go out
  together with its end; `greeting` are plain bytes sent instead of one, after which `then` is done with the line."""

  def __init__(self, name="good", version=None, protocols=("http/1.1",), greeting=None, then=None, step=None,
               early=b""):
    self.hold, self.greeting, self.then, self.step, self.early = None, greeting, then, step, early
    self.context = telling_cuts(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    self.context.load_cert_chain(certificate(name), certificate(name, "key"))
    self.context.set_alpn_protocols(list(protocols))
    self.context.sni_callback = lambda stream, name, _context: setattr(stream, "asked_name", name)
    if version:
      if version < ssl.TLSVersion.TLSv1_2:
        self.context.set_ciphers("DEFAULT:@SECLEVEL=0")
      self.context.minimum_version = self.context.maximum_version = version


class ClientTLS:
  """How a client speaks TLS: whom it trusts and asks for, the versions it knows, the protocols it offers (ALPN).

  `step` is how many bytes of the handshake go out at a time, `early` are bytes that go out together with its end."""

  def __init__(self, ca="ca", name="localhost", version=None, protocols=(), ciphers=None, step=None, early=b""):
    self.name, self.step, self.early = name, step, early
    self.context = telling_cuts(ssl.create_default_context(cafile=certificate(ca)))
    if protocols:
      self.context.set_alpn_protocols(list(protocols))
    if version:
      if version < ssl.TLSVersion.TLSv1_2:
        self.context.set_ciphers("DEFAULT:@SECLEVEL=0")
      self.context.minimum_version = self.context.maximum_version = version
    if ciphers:
      self.context.set_ciphers(ciphers)


class Secured:
  """One side of TLS over a socket, with as much of a socket's face as the stage uses.

  The TLS engine works on memory, so that what goes over the wire, and when, is decided here."""

  def __init__(self, sock, tls):
    self.raw, self.step, self.early = sock, tls.step, tls.early
    self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    name = getattr(tls, "name", None)
    self.stream = tls.context.wrap_bio(self.incoming, self.outgoing, server_side=name is None, server_hostname=name)
    self.stream.asked_name = None
    self.unsent = b""
    self.waiting = 0
    self.ready = False
    self.seen = b""

  @property
  def asked_name(self):
    """The name that the client sent (SNI), None for none."""
    return self.stream.asked_name

  def hello(self):
    """The first step of a client's handshake alone."""
    try:
      self.stream.do_handshake()
    except ssl.SSLWantReadError:
      self.flush()

  def handshake(self):
    """Returns what came behind it. Raises ssl.SSLError when both do not agree, OSError when the other side goes."""
    deadline = Deadline()
    while True:
      try:
        self.stream.do_handshake()
        break
      except ssl.SSLWantReadError:
        self.flush()
        self.take(deadline)
      except ssl.SSLError:
        self.flush_quietly()
        raise
    if self.early:
      self.stream.write(self.early)
    self.flush()
    self.ready, self.step = True, None
    try:
      return self.decrypted(65536)
    except BlockingIOError:
      return b""

  def take(self, deadline):
    waiting = select.poll()
    waiting.register(self.raw, select.POLLIN)
    if not waiting.poll(deadline.left() * 1000):
      raise Late("the other side does not go on with the handshake")
    self.feed()

  def feed(self):
    piece = self.raw.recv(262144, socket.MSG_DONTWAIT)
    self.seen = (self.seen + piece)[:65536]
    if piece:
      self.incoming.write(piece)
    else:
      self.incoming.write_eof()

  def flush(self):
    """Sends what the engine has written; raises BlockingIOError when the kernel takes no more."""
    self.unsent += self.outgoing.read()
    while self.unsent:
      sent = self.raw.send(self.unsent[:self.step], socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
      self.unsent = self.unsent[sent:]
      if self.step:
        eventually(lambda: not unread(self.raw.getpeername(), self.raw.getsockname()), "the handshake is read")

  def send_part(self, data, count):
    """Sends only the first bytes of the record that `data` makes."""
    self.flush()
    self.stream.write(data)
    record = self.outgoing.read()
    if not 0 < count < len(record):
      raise Failed(f"{count} bytes are no part of a record of {len(record)}")
    self.raw.sendall(record[:count])

  def send(self, data, _flags=0):
    """One record of `data`; after BlockingIOError the same data must come again."""
    if not self.waiting:
      self.waiting = self.stream.write(data[:16384])
    self.flush()
    taken, self.waiting = self.waiting, 0
    return taken

  def recv(self, size, _flags=0):
    """Everything that has come; b"" when the other side has said that it is done. An end without that is an OSError."""
    self.feed()
    return self.decrypted(size)

  def decrypted(self, size):
    pieces = b""
    while True:
      try:
        piece = self.stream.read(size)
      except ssl.SSLWantReadError:
        break
      except ssl.SSLError as error:
        if isinstance(error, ssl.SSLZeroReturnError) or pieces:
          return pieces
        raise OSError(f"not ended by close_notify: {error.reason}") from None
      if not piece:
        return pieces
      pieces += piece
    self.flush_quietly()
    if not pieces:
      raise BlockingIOError
    return pieces

  def flush_quietly(self):
    """Answers of the engine itself, such as to a change of keys."""
    try:
      self.flush()
    except OSError:
      pass

  def say_end(self):
    """Sends close_notify; the connection stays open below."""
    if not self.ready:
      return
    self.ready = False
    try:
      self.stream.unwrap()
    except (ssl.SSLError, ValueError):  # the other side has not said the same yet
      pass
    self.flush_quietly()

  def drop(self):
    """From now on the connection ends without close_notify, as if it were cut."""
    self.ready = False

  def shutdown(self, how):
    if how == socket.SHUT_WR:
      self.say_end()
    self.raw.shutdown(how)

  def setsockopt(self, level, option, value):
    if option == socket.SO_LINGER:  # a reset comes
      self.drop()
    self.raw.setsockopt(level, option, value)

  def close(self):
    self.say_end()
    self.raw.close()

  def fileno(self):
    return self.raw.fileno()


class CommandServer:
  """`openssl s_server` for one connection: it can do what Python's ssl cannot, such as change keys at any moment.

  Its input is what it sends; a line that begins with K changes the keys of both sides."""

  def __enter__(self):
    self.process = subprocess.Popen(
      ["openssl", "s_server", "-accept", "127.0.0.1:0", "-naccept", "1", "-cert", certificate("good"), "-key",
       certificate("good", "key"), "-tls1_3"],
      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)
    self.output = b""
    self.read_until(b"ACCEPT ", b"\n")
    port = int(self.output.split(b"ACCEPT ")[1].split(b"\n")[0].rpartition(b":")[2])
    self.url = f"https://127.0.0.1:{port}"
    return self

  def read_until(self, *marks):
    """Reads on until each of the marks has come, one behind the other."""
    deadline = Deadline()
    while True:
      at = 0
      for mark in marks:
        at = self.output.find(mark, at) + len(mark) if at >= 0 and mark in self.output[at:] else -1
      if at >= 0:
        return
      waiting = select.poll()
      waiting.register(self.process.stdout, select.POLLIN)
      if not waiting.poll(deadline.left() * 1000):
        raise Late(f"s_server did not print {marks}: {self.output[-600:]}")
      piece = os.read(self.process.stdout.fileno(), 65536)
      if not piece:
        raise Late(f"s_server ended before it printed {marks}: {self.output[-600:]}")
      self.output += piece

  def send(self, data):
    """One input, which is read before the next is written: a command must stand alone."""
    self.process.stdin.write(data)
    left = bytearray(4)
    eventually(lambda: not fcntl.ioctl(self.process.stdin, termios.FIONREAD, left) and not any(left),
               "s_server reads its input")

  def __exit__(self, *failure):
    self.process.kill()
    self.process.wait()
    self.process.stdin.close()
    self.process.stdout.close()
