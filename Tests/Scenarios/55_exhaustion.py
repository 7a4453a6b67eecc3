"""What the edge does when something runs out, and that it recovers."""

import os
import resource
import select
import socket
from contextlib import ExitStack

from play import *

MIB = 1 << 20
GROWTH = 4 * MIB * MEMORY_FACTOR


def limit_files(edge, count):
  """From now on the edge has at most this many file descriptors."""
  _, most = resource.prlimit(edge.process.pid, resource.RLIMIT_NOFILE)
  resource.prlimit(edge.process.pid, resource.RLIMIT_NOFILE, (count, most))


@play
def no_descriptor_for_clients():
  """without descriptors for new clients the edge waits and serves again when others have left"""
  with Origin() as origin, Edge(serving(origin), loud=True) as edge:
    with edge.client() as served:
      same(served.get("/").status, 200)
      limit_files(edge, 40)
      with ExitStack() as stack:
        crowd = [stack.enter_context(edge.client()) for _ in range(100)]
        for client in crowd:
          client.send(head("GET", "/health"))
        same(served.get("/").status, 200, "a client that is already in")
      with edge.client() as later:
        same(later.get("/health").status, 200, "a client that comes later")
        same(later.get("/").status, 200)


@play
def no_descriptor_for_services():
  """without descriptors for a connection to the service the client gets an error at once, not silence"""
  with Origin() as origin:
    gate = origin.gate()
    origin.script = lambda request, line: (gate.wait(), answer(200, b"ok")(request, line))
    with Edge(serving(origin), loud=True) as edge, ExitStack() as stack:
      clients = [stack.enter_context(edge.client()) for _ in range(12)]
      for client in clients:
        same(client.get("/health").status, 200)
      limit_files(edge, len(os.listdir(f"/proc/{edge.process.pid}/fd")) + 4)
      for client in clients:
        client.send(head("GET", "/"))
      eventually(lambda: any(client.heard() for client in clients), "an error for those who cannot be served")
      gate.open()
      statuses = [client.read_response().status for client in clients]
      holds(set(statuses) <= {200, 503} and statuses.count(200) >= 1, f"statuses {statuses}")
      limit_files(edge, 1024)
      same(clients[0].get("/").status, 200, "afterwards")


@play
def endless_pipelining():
  """a client that pipelines without end is not read further than a bounded amount"""
  data = head("GET", "/", [("X-Pad", "p" * 900)]) * 64
  with Origin(lambda request, line: line.hang()) as origin, Edge(serving(origin)) as edge, edge.client() as client:
    client.send(head("GET", "/"))
    origin.wait_requests(1)
    before = edge.memory()
    ready = select.poll()
    ready.register(client.sock, select.POLLOUT)
    sent = 0
    while sent < 200 * MIB and ready.poll(500):
      sent += client.sock.send(data, socket.MSG_DONTWAIT)
    holds(sent < 30 * MIB, f"the edge took {sent} bytes of pipelined requests")
    holds(edge.memory() - before < GROWTH, f"the edge grew by {edge.memory() - before} bytes")
    client.reset()  # the end of a plain close would wait behind the unread bytes, where nobody can see it
    origin.lines[0].await_end()
    same(edge.log_line()["cause"], "client_left")
    same(len(origin.requests), 1, "requests at the service")


@play
def a_thousand_idle_connections():
  """a thousand idle connections cost less than 4 MiB"""
  with Origin() as origin, Edge(serving(origin)) as edge, ExitStack() as stack:
    with edge.client() as first:
      same(first.get("/").status, 200)
    before = edge.memory()
    clients = [stack.enter_context(edge.client()) for _ in range(1000)]
    for client in clients:
      same(client.get("/").status, 200)
    grown = edge.memory() - before
    holds(grown < GROWTH, f"the edge grew by {grown} bytes")
    same(len(origin.lines), 1, "connections to the service")
