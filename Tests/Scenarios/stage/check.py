"""Checks and deadlines. Every wait of the stage ends within DEADLINE seconds, one way or the other."""

import os
import time

# Seconds a single wait may take. Sanitizer builds are slower and may ask for more.
DEADLINE = float(os.environ.get("PLAY_DEADLINE", "10"))


class Failed(AssertionError):
  """Something a play expected did not happen."""


class Late(Failed):
  """A wait reached its deadline."""


class Deadline:
  """An absolute moment, taken once and handed down to every wait on the way."""

  def __init__(self, seconds=None):
    self.moment = time.monotonic() + (DEADLINE if seconds is None else seconds)

  def left(self):
    return max(0.0, self.moment - time.monotonic())

  def passed(self):
    return time.monotonic() >= self.moment


def shown(value, limit=600):
  """A value as text short enough for a message."""
  text = repr(bytes(value)) if isinstance(value, (bytearray, memoryview)) else repr(value)
  return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def same(found, wanted, what="value"):
  if found != wanted:
    raise Failed(f"{what}: wanted {shown(wanted)}, found {shown(found)}")


def holds(condition, what):
  if not condition:
    raise Failed(what)


def among(found, wanted, what="value"):
  if found not in wanted:
    raise Failed(f"{what}: wanted one of {shown(wanted)}, found {shown(found)}")


def eventually(condition, what, seconds=None):
  """Waits for a state outside this process that cannot be awaited by an event, such as a kernel queue."""
  deadline = Deadline(seconds)
  while True:
    value = condition()
    if value:
      return value
    if deadline.passed():
      raise Late(f"{what}: not within {DEADLINE if seconds is None else seconds} s")
    time.sleep(0.001)
