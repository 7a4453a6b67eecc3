#!/usr/bin/env python3
"""Performs plays: `run.py [--filter WORDS] [FILE or FOLDER …]`. The last line is `N passed, N failed`.

Files run two at a time, each in a process of its own; EDGE_BINARY names the binary under test."""

import argparse
import glob
import importlib.util
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
FILE_SECONDS = float(os.environ.get("PLAY_FILE_SECONDS", "300"))
STRAGGLER_SECONDS = 5
AT_ONCE = 2


def load(path):
  """The plays of one file as (sentence, function)."""
  sys.path[:0] = [HERE, os.path.dirname(path)]
  import play
  name = os.path.basename(path)[:-3]
  spec = importlib.util.spec_from_file_location(f"play_{name}", path)
  module = importlib.util.module_from_spec(spec)
  before = len(play.PLAYS)
  spec.loader.exec_module(module)
  return play.PLAYS[before:]


def children():
  """Processes this one has started and not waited for."""
  found = []
  for task in os.listdir("/proc/self/task"):
    try:
      with open(f"/proc/self/task/{task}/children", encoding="ascii") as text:
        found += text.read().split()
    except (FileNotFoundError, ProcessLookupError):
      pass  # a thread that has just ended
  return found


def perform(sentence, function):
  """One play: None when it passed, else what went wrong."""
  failure = None
  try:
    function()
  except AssertionError as error:
    where = [frame for frame in traceback.extract_tb(error.__traceback__) if os.sep + "stage" + os.sep
             not in frame.filename and not frame.filename.endswith("run.py")]
    at = f" ({os.path.basename(where[-1].filename)}:{where[-1].lineno})" if where else ""
    failure = f"{error}{at}"
  except Exception:
    failure = traceback.format_exc()
  threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
  left = children()
  for pid in left:
    os.kill(int(pid), signal.SIGKILL)
  if threads or left:
    failure = f"{failure or 'passed'}; left behind: threads {threads}, processes {left}"
  return failure


def perform_file(path, words):
  """The body of a child process: one line of JSON per play."""
  for sentence, function in load(path):
    if not wanted(path, sentence, function, words):
      continue
    begin = time.monotonic()
    failure = perform(sentence, function)
    row = {"sentence": sentence, "failure": failure, "seconds": round(time.monotonic() - begin, 2)}
    print(json.dumps(row), flush=True)
  print(json.dumps({"end": True}), flush=True)
  os._exit(0)


def wanted(path, sentence, function, words):
  text = f"{os.path.basename(path)} {sentence} {function.__name__}".lower()
  return not words or words.lower() in text


def plays_in(place):
  """The files of a folder in the order of their numbers; a file is itself."""
  if not os.path.isdir(place):
    return [place]
  found = glob.glob(os.path.join(place, "[0-9]*_*.py"))
  return sorted(found, key=lambda path: (int(re.match(r"\d+", os.path.basename(path))[0]), path))


class Company:
  """The files still to be performed and what came of the others."""

  def __init__(self, paths, words, times):
    self.paths, self.words, self.times = list(paths), words, times
    self.lock = threading.Lock()
    self.passed = self.failed = 0
    self.sessions = set()

  def work(self):
    while True:
      with self.lock:
        if not self.paths:
          return
        path = self.paths.pop(0)
      self.file(path)

  def file(self, path):
    arguments = [sys.executable, os.path.abspath(__file__), "--file", path]
    if self.words:
      arguments += ["--filter", self.words]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, start_new_session=True, text=True) as process:
      with self.lock:
        self.sessions.add(process.pid)
      late = threading.Timer(FILE_SECONDS, lambda: end_session(process.pid))
      late.start()
      whole = False
      for text in process.stdout:
        try:
          row = json.loads(text)
        except ValueError:  # something a play printed
          print(f"  {os.path.basename(path)}: {text}", end="", flush=True)
          continue
        whole = whole or "end" in row
        if "sentence" in row:
          self.tell(path, row)
      code = process.wait()
      late.cancel()
    if not whole:
      why = f"exit code {code}" if code >= 0 else f"killed by signal {-code}; the limit is {FILE_SECONDS:g} s"
      self.tell(path, {"sentence": "the file is performed to its end", "failure": why, "seconds": 0})
    self.sweep(process.pid, path)

  def sweep(self, session, path):
    """No process of the file's session may be left, once those that are just ending have had their time."""
    for pid in members(session):
      await_end(int(pid))
    left = end_session(session)
    with self.lock:
      self.sessions.discard(session)
    if left:
      self.tell(path, {"sentence": "no process is left behind", "failure": f"processes {left}", "seconds": 0})

  def tell(self, path, row):
    with self.lock:
      name, time_text = os.path.basename(path), f" [{row['seconds']} s]" if self.times else ""
      if row["failure"] is None:
        self.passed += 1
        print(f"ok {name}: {row['sentence']}{time_text}", flush=True)
      else:
        self.failed += 1
        details = row["failure"].strip().replace("\n", "\n  ")
        print(f"FAILED {name}: {row['sentence']}{time_text}\n  {details}", flush=True)


  def end(self, *_signal):
    """Ends everything that was started; for when this process itself is told to end."""
    for session in list(self.sessions):
      end_session(session)
    shutil.rmtree(os.environ["PLAY_FOLDER"], ignore_errors=True)
    os._exit(1)


def members(session):
  """The ids of a session's processes."""
  return [pid for pid in filter(str.isdigit, os.listdir("/proc")) if session_of(pid) == session]


def await_end(pid):
  """Waits for a process that nobody here started, such as the symbolizer a sanitizer leaves to end by itself."""
  try:
    descriptor = os.pidfd_open(pid)
  except ProcessLookupError:
    return
  try:
    select.select([descriptor], [], [], STRAGGLER_SECONDS)
  finally:
    os.close(descriptor)


def end_session(session):
  """Kills the processes of a session; their ids."""
  left = members(session)
  for pid in left:
    try:
      os.kill(int(pid), signal.SIGKILL)
    except ProcessLookupError:
      pass
  return left


def session_of(pid):
  """The session of a process; None for one that has ended, also when its parent has not asked how."""
  try:
    with open(f"/proc/{pid}/stat", encoding="latin-1") as text:
      fields = text.read().rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[3])
  except (OSError, ValueError):
    return None


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("paths", nargs="*", metavar="FILE", help="files or folders of plays; otherwise those beside this")
  parser.add_argument("--filter", default="", help="only plays whose file, name or sentence holds these words")
  parser.add_argument("--times", action="store_true", help="print seconds per play")
  parser.add_argument("--file", help=argparse.SUPPRESS)
  options = parser.parse_args()
  if options.file:
    perform_file(options.file, options.filter)
  paths = [path for place in options.paths or [HERE] for path in plays_in(place)]
  sys.path.insert(0, HERE)
  from stage.edge import binary
  if not os.access(binary(), os.X_OK):
    print(f"FAILED no binary at {binary()}: build it, or name it in EDGE_BINARY\n0 passed, 1 failed")
    return 1
  # What plays share and is dear to make, such as certificates.
  os.environ["PLAY_FOLDER"] = tempfile.mkdtemp(prefix="edge-plays-")
  company = Company(map(os.path.abspath, paths), options.filter, options.times)
  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, company.end)
  threads = [threading.Thread(target=company.work) for _ in range(AT_ONCE)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  shutil.rmtree(os.environ["PLAY_FOLDER"], ignore_errors=True)
  print(f"{company.passed} passed, {company.failed} failed", flush=True)
  return 1 if company.failed or not company.passed else 0


if __name__ == "__main__":
  sys.exit(main())
