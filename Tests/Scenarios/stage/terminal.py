"""A command of the binary on a terminal of its own."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios

from .check import DEADLINE, Deadline, Failed, Late
from .edge import binary, environment

# What a screen begins and ends with.
ENTERED, LEFT = b"\x1b[?1049h", b"\x1b[?25h\x1b[?1049l"


class Terminal:
  """Runs `arguments` in `folder`; use it in a `with`. `output` is all that was written so far."""

  def __init__(self, *arguments, folder=None, columns=80, rows=24):
    self.arguments, self.folder, self.columns, self.rows = arguments, folder, columns, rows
    self.output = b""

  def __enter__(self):
    self.master, self.slave = pty.openpty()
    self.resize(self.columns, self.rows, tell=False)
    self.modes = termios.tcgetattr(self.slave)
    # The terminal is the process's own, so that Ctrl-C and a new size become signals.
    self.process = subprocess.Popen(
      [binary(), *self.arguments], cwd=self.folder, env=environment({"TERM": "xterm"}), stdin=self.slave,
      stdout=self.slave, stderr=subprocess.PIPE, start_new_session=True,
      preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    return self

  def resize(self, columns, rows, tell=True):
    fcntl.ioctl(self.master if tell else self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

  def press(self, keys):
    os.write(self.master, keys)

  def wait(self, condition, what):
    """Reads until `condition` over the output holds."""
    deadline = Deadline()
    while not condition(self.output):
      if not select.select([self.master], [], [], deadline.left())[0]:
        raise Late(f"{what}: {self.output[-2000:]!r}")
      try:
        self.output += os.read(self.master, 65536)
      except OSError:
        raise Failed(f"the command ended; {what}: {self.output[-2000:]!r}") from None

  def end(self):
    """The exit code, with the output read to its end."""
    try:
      while self.process.poll() is None or select.select([self.master], [], [], 0)[0]:
        if select.select([self.master], [], [], 0.01)[0]:
          self.output += os.read(self.master, 65536)
    except OSError:
      pass
    try:
      return self.process.wait(DEADLINE)
    except subprocess.TimeoutExpired:
      raise Late("the command did not end") from None

  def is_restored(self):
    return self.output.endswith(LEFT) and termios.tcgetattr(self.slave) == self.modes

  def __exit__(self, *failure):
    if self.process.poll() is None:
      self.process.kill()
      self.process.wait()
    self.process.stderr.close()
    os.close(self.master)
    os.close(self.slave)
