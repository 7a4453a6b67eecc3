"""The real binary: started with a configuration, listened to, stopped and checked."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from contextlib import contextmanager

from .check import DEADLINE, Failed, Late, eventually, holds, same, shown
from .client import Client
from .config import yaml
from .kernel import cpu, resident
from .tls import ClientTLS
from .token import SECRET

_ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
_KEPT = ("PATH", "HOME", "ASAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS", "SWIFT_BACKTRACE",
         "LD_LIBRARY_PATH")

# How a reload can end; each signal that was not merged with another has one of these lines.
_OUTCOMES = {"reloaded", "reload_unchanged", "reload_failed", "reload_refused"}
_DIFFERENCE = ("added", "removed", "changed", "restart")

# A sanitized binary needs several times the memory of a plain one.
MEMORY_FACTOR = int(os.environ.get("PLAY_MEMORY_FACTOR") or 1)


def binary():
  return os.path.abspath(os.environ.get("EDGE_BINARY") or os.path.join(_ROOT, ".build", "release", "edge"))


def environment(extra=None):
  """The variables of an edge: some of this process, a secret of tokens, then `extra`, where None takes one away."""
  found = {name: os.environ[name] for name in _KEPT if name in os.environ}
  found["JWT_SECRET"] = SECRET
  found.update(extra or {})
  return {name: value for name, value in found.items() if value is not None}


class Folder:
  """A temporary folder with the files of a configuration; `files` maps names to text, or to None for none."""

  def __init__(self, config=None, files=None):
    self.path = tempfile.mkdtemp(prefix="edge-play-")
    self.fill(config, files)

  def fill(self, config=None, files=None):
    """Writes the main file and others; what is not named stays as it is."""
    if config is not None:
      self.write("routes.yaml", config if isinstance(config, str) else yaml(config) + "\n")
    for name, text in (files or {}).items():
      if text is None:
        os.unlink(os.path.join(self.path, name))
      else:
        self.write(name, text)

  def write(self, name, text):
    """Replaces a file at once: whoever reads meanwhile gets the old text or the new one."""
    path, fresh = os.path.join(self.path, name), os.path.join(self.path, ".fresh")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(fresh, "w", encoding="utf-8") as file:
      file.write(text)
    if name.endswith(".key"):
      os.chmod(fresh, 0o600)
    os.replace(fresh, path)
    return path

  def __enter__(self):
    return self

  def __exit__(self, *failure):
    shutil.rmtree(self.path, ignore_errors=True)


def command(*arguments, folder=None, extra=None):
  """Runs one command of the binary to its end: (exit code, standard output, standard error)."""
  done = subprocess.run([binary(), *arguments], cwd=folder, env=environment(extra), stdin=subprocess.DEVNULL,
                        capture_output=True, timeout=DEADLINE, check=False)
  return done.returncode, done.stdout.decode(), done.stderr.decode()


def difference(line):
  """What a reload reports to differ: sets of dotted paths by kind, for the kinds the line has."""
  found = {}
  for name in _DIFFERENCE:
    if name in line:
      entries = line[name].split(" ")
      found[name] = set(entries)
      if len(found[name]) != len(entries) or "" in entries:
        raise Failed(f"{name} of a reload: empty or repeated entries in {line}")
  return found


class Edge:
  """A running edge; use it in a `with`. `loud` plays expect lines of level error or text on stderr;
  `options` follow `run --config FILE`. With a `folder` it runs there, and the folder stays when it has ended.
  `before` stands before the command, such as a shell that becomes it."""

  def __init__(self, config, extra=None, files=None, loud=False, options=(), folder=None, before=()):
    self.config, self.extra, self.files, self.loud, self.options = config, extra, files, loud, options
    self.folder, self.before, self.lent = folder, before, folder is not None
    self.change = threading.Condition()
    self.log, self.outcomes, self.unreadable, self.threads = [], [], [], []
    self.errors = b""
    self.reading = threading.Event()
    self.reading.set()
    self.ended = False
    self.code = None
    self.process = None

  def __enter__(self):
    if self.lent:
      self.folder.fill(self.config, self.files)
    else:
      self.folder = Folder(self.config, self.files)
    try:
      self.process = subprocess.Popen(
        [*self.before, binary(), "run", "--config", os.path.join(self.folder.path, "routes.yaml"), *self.options],
        cwd=self.folder.path, env=environment(self.extra), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, process_group=0)
      for body in (self.read_log, self.read_errors):
        self.threads.append(threading.Thread(target=body))
        self.threads[-1].start()
      self.wait_line(event="ready")
    except BaseException:
      self.kill()
      raise
    return self

  def read_log(self):
    for raw in self.process.stdout:
      self.reading.wait()
      line = self.parse(raw)
      with self.change:
        if line is not None:
          self.log.append(line)
          if line.get("event") in _OUTCOMES:
            self.outcomes.append(line)
        self.change.notify_all()
    with self.change:
      self.ended = True
      self.change.notify_all()

  def parse(self, raw):
    def pairs(rows):
      names = [name for name, _ in rows]
      if len(set(names)) != len(names):
        self.unreadable.append(f"a field twice in {raw!r}")
      return dict(rows)
    try:
      return json.loads(raw, object_pairs_hook=pairs)
    except ValueError:
      self.unreadable.append(f"not JSON: {raw!r}")
      return None

  def read_errors(self):
    for raw in self.process.stderr:
      with self.change:
        self.errors += raw
        self.change.notify_all()

  def said(self):
    """What the edge wrote last, for messages."""
    tail = "\n    ".join(json.dumps(line) for line in self.log[-6:])
    return f"log:\n    {tail}\n  stderr: {self.errors[-1500:].decode(errors='replace')!r}"

  def wait(self, condition, what):
    """Waits until `condition` over the log holds; fails at once when the edge has ended."""
    def settled():
      return condition() or self.ended
    with self.change:
      if not self.change.wait_for(settled, DEADLINE):
        raise Late(f"{what}\n  {self.said()}")
      if not condition():
        raise Failed(f"the edge ended; {what}\n  {self.said()}")

  def matching(self, **where):
    def fits(line):
      return all(wanted(line.get(name)) if callable(wanted) else line.get(name) == wanted
                 for name, wanted in where.items())
    return [line for line in self.log if fits(line)]

  def wait_line(self, **where):
    """The first log line whose fields are these; a function as value is asked."""
    self.wait(lambda: self.matching(**where), f"no log line {where}")
    return self.matching(**where)[0]

  def log_line(self, **where):
    """The first access line with these fields, which must be the only one."""
    self.wait_line(event="exchange", **where)
    found = self.matching(event="exchange", **where)
    if len(found) != 1:
      raise Failed(f"{len(found)} access lines {where}: {shown(found)}")
    return found[0]

  def line_of(self, response, **where):
    """The line about the exchange of an answer: its access line, unless `where` names another event."""
    name = response.fields.one("x-request-id")
    return self.wait_line(requestId=name, **where) if where else self.log_line(requestId=name)

  def exchanges(self, count):
    """All access lines, when at least `count` are there."""
    self.wait(lambda: len(self.matching(event="exchange")) >= count,
              f"fewer than {count} access lines: {len(self.matching(event='exchange'))}")
    return self.matching(event="exchange")

  def address(self, listener="main"):
    """Where a listener was bound last."""
    self.wait_line(event="listening", listener=listener)
    host, port = self.matching(event="listening", listener=listener)[-1]["address"].rsplit(":", 1)
    return host, int(port)

  def client(self, listener="main", **options):
    """A client of a listener, within TLS where it speaks that."""
    address = self.address(listener)
    if self.matching(event="listening", listener=listener)[-1]["scheme"] == "https":
      if "tls" not in options:
        options["tls"] = ClientTLS()
    return Client(address, **options)

  @property
  def socket(self):
    """The path of the socket of operators."""
    return os.path.join(self.folder.path, "var", "admin.sock")

  def operator(self):
    return Client(self.socket)

  def status(self):
    """What `GET /status` says."""
    with self.operator() as operator:
      response = operator.get("/status")
      same((response.status, response.fields.one("content-type")), (200, "application/json"))
      return json.loads(response.body)

  def memory(self):
    return resident(self.process.pid)

  def cpu(self):
    return cpu(self.process.pid)

  def signal(self, number=signal.SIGTERM):
    self.process.send_signal(number)

  def await_taken(self, number):
    """Waits until a signal that was sent is no longer pending: the edge acts on it, and has acted on those before."""
    def pending():
      with open(f"/proc/{self.process.pid}/status", encoding="ascii") as lines:
        return next(int(line.split()[1], 16) for line in lines if line.startswith("ShdPnd:"))
    eventually(lambda: not pending() >> (number - 1) & 1, f"signal {number} is taken")

  @contextmanager
  def frozen(self):
    """The edge does nothing meanwhile: what arrives waits in the kernel, and is found in its order afterwards."""
    self.signal(signal.SIGSTOP)
    os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)
    try:
      yield
    finally:
      self.signal(signal.SIGCONT)

  @contextmanager
  def log_unread(self):
    """Nobody reads the log meanwhile, and little of it finds room in the pipe."""
    fcntl.fcntl(self.process.stdout, fcntl.F_SETPIPE_SZ, 4096)
    self.reading.clear()
    try:
      yield
    finally:
      self.reading.set()

  def reload(self, config=None, files=None):
    """Writes the main file and others, sends SIGHUP; the log line that tells how the reload ended."""
    self.folder.fill(config, files)
    before = len(self.outcomes)
    self.signal(signal.SIGHUP)
    self.wait(lambda: len(self.outcomes) > before, "no log line tells how the reload ended")
    return self.outcomes[before]

  def adopt(self, config=None, files=None):
    """A reload that must lead to a new generation; its log line."""
    line = self.reload(config, files)
    if line["event"] != "reloaded":
      raise Failed(f"the reload ended with {line}")
    return line

  def wait_exit(self):
    """The exit code, with the log read to its end."""
    if self.code is None:
      try:
        self.code = self.process.wait(DEADLINE)
      except subprocess.TimeoutExpired:
        raise Late(f"the edge did not exit\n  {self.said()}") from None
      for thread in self.threads:
        thread.join(DEADLINE)
      self.process.stdout.close()
      self.process.stderr.close()
    return self.code

  def stop(self):
    """SIGTERM, then exit code 0; afterwards the log is complete."""
    if self.code is None:
      self.signal()
      code = self.wait_exit()
      holds(code == 0, f"exit code after SIGTERM: {code}\n  {self.said()}")

  def crash(self):
    """SIGKILL, at once; what it has written stays."""
    if self.process and self.code is None:
      try:
        os.killpg(self.process.pid, signal.SIGKILL)
      except ProcessLookupError:
        pass
      self.wait_exit()

  def kill(self):
    self.crash()
    if not self.lent:
      shutil.rmtree(self.folder.path, ignore_errors=True)

  def __exit__(self, kind, failure, _trace):
    try:
      if kind is None:
        self.stop()
        self.assert_quiet()
      elif isinstance(failure, Failed) and not getattr(failure, "edge_said", False):
        failure.edge_said = True
        failure.args = (f"{failure}\n  {self.said()}",)
    finally:
      self.kill()

  def assert_quiet(self):
    if self.unreadable:
      raise Failed(f"log lines: {self.unreadable[:5]}")
    if not self.loud:
      same(self.errors.decode(errors="replace"), "", "stderr")
      same(self.matching(level="error"), [], "log lines of level error")
