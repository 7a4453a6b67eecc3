"""Several workers share the work."""

import os
import socket
from collections import Counter
from contextlib import ExitStack

from play import *


@play
def connections_are_shared_out():
  """of 400 connections kept open neither of two workers holds over 10 % more than half"""
  with Origin() as origin, Edge(serving(origin, server={"workers": 2})) as edge, ExitStack() as stack:
    clients = [stack.enter_context(edge.client()) for _ in range(400)]
    for number, client in enumerate(clients):
      same(client.get(f"/{number}").status, 200)
    counts = Counter(line["worker"] for line in edge.exchanges(400))
    same(sum(counts.values()), 400)
    holds(len(counts) == 2 and max(counts.values()) <= 220, f"connections per worker: {dict(counts)}")


@play
def a_burst_is_shared_out():
  """400 connections opened at once are shared out as well"""
  with Origin() as origin, Edge(serving(origin, server={"workers": 2})) as edge, ExitStack() as stack:
    sockets = [stack.enter_context(socket.socket()) for _ in range(400)]
    for sock in sockets:
      sock.setblocking(False)
      sock.connect_ex(edge.address())
    for number, sock in enumerate(sockets):
      sock.setblocking(True)
      sock.settimeout(DEADLINE)
      sock.sendall(head("GET", f"/{number}"))
    for sock in sockets:
      holds(sock.recv(64).startswith(b"HTTP/1.1 200"), "answer")
    counts = Counter(line["worker"] for line in edge.exchanges(400))
    holds(len(counts) == 2 and max(counts.values()) <= 220, f"connections per worker: {dict(counts)}")


@play
def a_connection_stays():
  """all requests of a connection are served by one worker"""
  with Origin() as origin, Edge(serving(origin, server={"workers": 2})) as edge, ExitStack() as stack:
    clients = [stack.enter_context(edge.client()) for _ in range(10)]
    for round_number in range(10):
      for number, client in enumerate(clients):
        same(client.get(f"/{number}").status, 200)
    lines = edge.exchanges(100)
    for number in range(10):
      same(len({line["worker"] for line in lines if line["path"] == f"/{number}"}), 1, f"workers of client {number}")


@play
def as_many_as_asked():
  """the ready line tells the number of workers; auto means one per core"""
  for asked, wanted in ((1, 1), (3, 3), ("auto", len(os.sched_getaffinity(0)))):
    with Edge(serving("http://127.0.0.1:1", server={"workers": asked})) as edge:
      same(edge.wait_line(event="ready")["workers"], wanted)


@play
def a_thousand_requests():
  """four workers answer a thousand requests over a hundred connections, each exactly once"""
  with Origin() as origin, Edge(serving(origin, server={"workers": 4})) as edge, ExitStack() as stack:
    origin.script = lambda request, line: answer(200, request.path.encode())(request, line)
    clients = [stack.enter_context(edge.client()) for _ in range(100)]
    for number in range(10):
      for index, client in enumerate(clients):
        client.send(head("GET", f"/{index}/{number}"))
      for index, client in enumerate(clients):
        same(client.read_response().body, f"/{index}/{number}".encode())
    lines = edge.exchanges(1000)
    same(len({line["requestId"] for line in lines}), 1000, "distinct request ids")
    same(len(set(origin.paths())), 1000, "distinct requests at the service")
