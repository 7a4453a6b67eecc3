"""The processes of an edge: the one that serves, and the spawner beside it."""

import os
import select
import signal
import subprocess

from play import *

# A sanitizer may run a thread of its own in every process.
SANITIZED = MEMORY_FACTOR > 1


def name_of(pid):
  with open(f"/proc/{pid}/comm", encoding="utf-8") as text:
    return text.read().strip()


def children_of(pid):
  """The ids of a process's children, those of all its threads."""
  found = []
  for task in os.listdir(f"/proc/{pid}/task"):
    with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as text:
      found += map(int, text.read().split())
  return found


def spawner_of(edge):
  """The id of the edge's only child, which is the spawner."""
  found = children_of(edge.process.pid)
  same([name_of(pid) for pid in found], ["edge-spawner"], "names of the edge's children")
  return found[0]


class Watched:
  """A process that is no child of this one, known by a descriptor that does not pass to another of its id."""

  def __init__(self, pid):
    self.descriptor = os.pidfd_open(pid)

  def has_ended(self, seconds=0.0):
    return bool(select.select([self.descriptor], [], [], seconds)[0])

  def assert_running(self, when):
    holds(not self.has_ended(0.2), f"the spawner has ended {when}")

  def assert_ended(self, when):
    holds(self.has_ended(DEADLINE), f"the spawner has not ended {when}")

  def __enter__(self):
    return self

  def __exit__(self, *failure):
    os.close(self.descriptor)


@play
def spawner():
  """an edge that is ready has one child, its spawner, and is itself the process that was started"""
  with Edge(serving("http://127.0.0.1:1", server={"workers": 2})) as edge:
    ready = edge.wait_line(event="ready")
    pid = spawner_of(edge)
    same(ready["pid"], edge.process.pid, "the pid of the ready line")
    same(name_of(edge.process.pid), "edge", "name of the edge")
    same(children_of(pid), [], "children of the spawner")
    if not SANITIZED:
      same(len(os.listdir(f"/proc/{pid}/task")), 1, "threads of the spawner")


@play
def forked_first():
  """the spawner is forked before the edge starts its first thread"""
  with open("/proc/sys/kernel/pid_max", encoding="ascii") as text:
    ids = int(text.read())
  with Edge(serving("http://127.0.0.1:1", server={"workers": 4})) as edge:
    pid = spawner_of(edge)
    threads = {int(task) for task in os.listdir(f"/proc/{edge.process.pid}/task")} - {edge.process.pid}
    holds(len(threads) >= 4, f"threads {threads}")
    # Ids are given in rising order, and begin again at the end.
    earlier = {thread for thread in threads if (thread - pid) % ids > ids // 2}
    holds(len(earlier) <= SANITIZED, f"threads {earlier} were there before the spawner {pid}")


@play
def nothing_of_the_environment():
  """the spawner's environment is empty, whatever the edge was started with"""
  with Edge(serving("http://127.0.0.1:1"), extra={"OPENAI_API_KEY": "HIDDEN", "PLAY_LONG": "x" * 5000}) as edge:
    pid = spawner_of(edge)
    with open(f"/proc/{edge.process.pid}/environ", "rb") as text:
      holds(b"HIDDEN" in text.read(), "the play itself: the edge has no environment")
    with open(f"/proc/{pid}/environ", "rb") as text:
      same(text.read().strip(b"\0"), b"", "environment of the spawner")


@play
def nothing_of_the_sockets():
  """the spawner holds no socket of the edge, neither those from the start nor those of a reload"""
  with Origin() as origin:
    config = serving(origin, listeners={"inner": {"bind": "127.0.0.1:0"}})
    with Edge(config) as edge, edge.client() as client:
      same(client.get("/").status, 200)
      pid = spawner_of(edge)

      def check(names):
        shared = sockets(edge.process.pid) & sockets(pid)
        same(shared, set(), "sockets that both hold")
        for name in names:
          inode = listening(edge.address(name))
          holds(inode in sockets(edge.process.pid), f"the play itself: the edge does not hold {name}")
      check(["main", "inner"])
      same(len(sockets(pid)), 1, "sockets of the spawner: its end of the pair")
      edge.adopt(merged(config, {"listeners": {"third": {"bind": "127.0.0.1:0"}}}))
      check(["main", "inner", "third"])
      same(spawner_of(edge), pid, "the spawner after a reload")


@play
def without_standard_streams():
  """an edge that is started without standard input and errors has a spawner that stays until it ends"""
  with Folder(serving("http://127.0.0.1:1")) as folder:
    line = ["sh", "-c", 'exec "$0" run --config routes.yaml <&- 2>&-', binary()]
    with subprocess.Popen(line, cwd=folder.path, env=environment(), stdout=subprocess.PIPE, process_group=0) as process:
      try:
        while json.loads(process.stdout.readline())["event"] != "ready":
          pass
        found = children_of(process.pid)
        same([name_of(pid) for pid in found], ["edge-spawner"], "names of the edge's children")
        with Watched(found[0]) as watched:
          watched.assert_running("before the edge")
          process.terminate()
          same(process.wait(DEADLINE), 0, "exit code")
          watched.assert_ended("after the edge")
      finally:
        process.kill()


@play
def end_after_terminate():
  """the spawner ends with an edge that is told to stop"""
  with Edge(serving("http://127.0.0.1:1")) as edge, Watched(spawner_of(edge)) as watched:
    edge.stop()
    watched.assert_ended("after SIGTERM of the edge")


@play
def end_after_kill():
  """the spawner ends with an edge that is killed, and keeps nobody waiting who reads the edge's log"""
  with Edge(serving("http://127.0.0.1:1")) as edge, Watched(spawner_of(edge)) as watched:
    edge.signal(signal.SIGKILL)
    watched.assert_ended("after SIGKILL of the edge")
    same(edge.wait_exit(), -signal.SIGKILL, "exit code")
    holds(edge.ended, "the log has not ended with the edge")


@play
def refused_start():
  """an edge that does not start leaves no spawner behind"""
  with Folder("version: 1\n") as folder:
    code, out, err = command("run", "--config", f"{folder.path}/routes.yaml")
    same(code, 1, f"exit code; it wrote {out!r} {err!r}")

    def left():
      found = []
      for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
          if os.readlink(f"/proc/{pid}/cwd") == folder.path or folder.path.encode() in command_line(pid):
            found.append(pid)
        except OSError:
          pass  # ended meanwhile, or somebody else's
      return found
    eventually(lambda: not left(), "no process of a refused start is left")


def command_line(pid):
  with open(f"/proc/{pid}/cmdline", "rb") as text:
    return text.read()


def signalled(number, event):
  """A signal to the whole group, as a terminal sends it: the spawner stays until the edge has ended."""
  with Origin() as origin:
    gate = origin.gate()
    origin.script = held(gate)
    with Edge(serving(origin, server={"drain": "30s"})) as edge, edge.client() as client:
      with Watched(spawner_of(edge)) as watched:
        stream = Stream(client)
        os.killpg(edge.process.pid, number)
        edge.wait_line(event=event)
        watched.assert_running("before the edge")
        gate.open()
        stream.assert_whole()
        if number == signal.SIGHUP:
          watched.assert_running("before the edge")
          edge.signal()
        same(edge.wait_exit(), 0, "exit code")
        watched.assert_ended("after the edge")


@play
def terminate_to_the_group():
  """SIGTERM to the whole process group does not end the spawner before the edge"""
  signalled(signal.SIGTERM, "draining")


@play
def interrupt_to_the_group():
  """SIGINT to the whole process group does not end the spawner before the edge"""
  signalled(signal.SIGINT, "draining")


@play
def hang_up_to_the_group():
  """SIGHUP to the whole process group is a reload for the edge and nothing for the spawner"""
  signalled(signal.SIGHUP, "reload_unchanged")


@play
def every_process_signalled():
  """a supervisor that sends SIGTERM, SIGINT and SIGHUP to every process ends the spawner only with the edge"""
  with Edge(serving("http://127.0.0.1:1")) as edge:
    pid = spawner_of(edge)
    with Watched(pid) as watched:
      for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
      edge.signal(signal.SIGHUP)
      edge.wait_line(event="reload_unchanged")
      watched.assert_running("before the edge")
      edge.stop()
      watched.assert_ended("after the edge")
    same(edge.matching(event="spawner_ended"), [], "lines about the spawner")


@play
def killed_spawner():
  """a spawner that is killed is told as an error, and the edge serves on"""
  with Origin() as origin, Edge(serving(origin), loud=True) as edge, edge.client() as client:
    os.kill(spawner_of(edge), signal.SIGKILL)
    same(edge.wait_line(event="spawner_ended")["level"], "error")
    same(client.get("/").status, 200)
    same(edge.reload()["event"], "reload_unchanged")
