"""Large bodies of known length: every byte arrives, no byte of another message is taken, whoever fails or dawdles.

The lengths are no multiples of what one read or a pipe takes, and the contents show every place that is wrong."""

import hashlib
import os
import resource
from contextlib import ExitStack

from play import *
from stage.kernel import unread

MIB = 1 << 20
PATTERN = random_bytes(1_000_003)
LARGE = 4 * MIB + 12_345
HUGE = 200 * MIB + 7


def slices(total):
  """The bytes of a body of this length, in pieces."""
  while total > 0:
    yield PATTERN[:total]
    total -= len(PATTERN)


def body(total):
  return b"".join(slices(total))


def digest(total):
  found = hashlib.sha256()
  for piece in slices(total):
    found.update(piece)
  return found.hexdigest()


def sized(total):
  """The head of an answer of this length."""
  return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total


def sending(total):
  """A script that answers with a body of this length."""
  def script(request, line):
    line.send(sized(total))
    for piece in slices(total if request.method != "HEAD" else 0):
      line.send(piece)
  return script


def taking(request, line):
  """A script that reads the body as it comes and answers with its hash."""
  length = int(request.fields.one("content-length"))
  found = hashlib.sha256()
  while length:
    data = line.read_piece(request)
    length -= len(data)
    holds(length >= 0, "bytes behind the body")
    found.update(data)
  answer(200, found.hexdigest().encode())(request, line)


def assert_rest(client, left, wanted):
  """Reads the rest of an answer, piece by piece; its bytes must have this digest."""
  found = hashlib.sha256()
  while left:
    holds(client.reader.buffer or client.reader.fill(Deadline()), f"the answer ends {left} bytes early")
    data = client.reader.take(left)
    found.update(data)
    left -= len(data)
  same(found.hexdigest(), wanted, "hash of the answer")


def assert_body(client, total):
  """The next answer is this one."""
  response, _kind, length = client.read_final_head()
  same((response.status, length), (200, total))
  assert_rest(client, total, digest(total))


def pipes(edge):
  """Ends of pipes that the edge holds, but for those of its output."""
  folder = f"/proc/{edge.process.pid}/fd"
  names = [name for name in os.listdir(folder) if int(name) > 2]
  return sum(os.readlink(os.path.join(folder, name)).startswith("pipe:") for name in names)


@play
def two_hundred_mebibytes_down():
  """an answer of 200 MiB arrives as it was sent, and its bytes are counted"""
  with staged(sending(HUGE)) as (client, edge, origin):
    client.send(head("GET", "/"))
    assert_body(client, HUGE)
    line = edge.log_line()
    same((line["cause"], line["responseBytes"]), ("completed", HUGE))


@play
def two_hundred_mebibytes_up():
  """a request of 200 MiB arrives as it was sent, and its bytes are counted"""
  with staged(taking, whole=False, limits={"body_size": "1GiB"}) as (client, edge, origin):
    client.send(head("POST", "/", [("Content-Length", HUGE)]))
    for piece in slices(HUGE):
      client.send(piece)
    same(client.read_response().body.decode(), digest(HUGE), "hash of the request")
    line = edge.log_line()
    same((line["cause"], line["requestBytes"]), ("completed", HUGE))


@play
def one_connection_for_many():
  """answers and requests of many lengths follow each other on one connection, and one to the service"""
  lengths = [LARGE, 1, 128 << 10, (128 << 10) - 1, 256 << 10, (64 << 10) + 1, 2 * MIB, 0, 333_333]
  with Origin(whole=False) as origin:
    def script(request, line):
      if request.method == "POST":
        return taking(request, line)
      return sending(int(request.path[1:]))(request, line)
    origin.script = script
    with Edge(serving(origin)) as edge, edge.client() as client:
      for total in lengths:
        client.send(head("GET", f"/{total}"))
        assert_body(client, total)
        if total:
          same(client.request("POST", "/", body=body(total)).body.decode(), digest(total), f"a request of {total}")
    same(len(origin.lines), 1, "connections to the service")


@play
def pipelined_behind_bodies():
  """what follows a large request in the same bytes is the next request, however large"""
  with staged(taking, whole=False) as (client, edge, origin):
    lengths = (LARGE, LARGE + 1, 200_001)
    parts = (head("POST", f"/{total}", [("Content-Length", total)]) + body(total) for total in lengths)
    client.send(b"".join(parts))
    found = [client.read_response().body.decode() for _ in lengths]
    same(found, [digest(total) for total in lengths])


@play
def about_a_body():
  """the answer to HEAD tells a length and brings no body: the next answer stands behind it"""
  with staged(sending(LARGE)) as (client, edge, origin):
    for _ in range(2):
      response = client.request("HEAD", "/")
      same((response.status, response.fields.one("content-length")), (200, str(LARGE)))
      client.send(head("GET", "/"))
      assert_body(client, LARGE)
    same(len(origin.lines), 1, "connections to the service")


@play
def cut_answers():
  """a service that ends or resets within a large body cuts it, and what had come is counted"""
  for end in ("close", "reset"):
    for sent in (200_000, LARGE - 1):
      def script(_request, line, sent=sent, end=end):
        line.send(sized(LARGE) + body(sent))
        eventually(lambda: not unread(line.remote, line.local), "the edge reads what was sent")
        getattr(line, end)()
      with Origin(script) as origin:
        with Edge(serving(origin)) as edge, edge.client() as client:
          client.send(head("GET", "/"))
          response, kind, length = client.read_final_head()
          got = client.assert_cut(response, kind, length)
          same(got, body(len(got)), "what came before the cut")
          line = edge.log_line()
          same((line["cause"], line["responseBytes"]), ("upstream_cut", sent), f"{end} after {sent}")


@play
def answers_that_are_too_long():
  """bytes behind a large body reach nobody, and the connection they came on is not used again"""
  def script(request, line):
    line.send(sized(LARGE) + body(LARGE) + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
  with staged(script, lenient=True) as (client, edge, origin):
    for _ in range(2):
      client.send(head("GET", "/"))
      assert_body(client, LARGE)
    client.assert_open()
    same(len(origin.lines), 2, "connections to the service")


@play
def cut_requests():
  """a client that leaves within a large body: the service gets no whole request and sees the close"""
  for leave in ("close", "reset", "finish"):
    with staged(whole=True) as (client, edge, origin):
      client.send(head("POST", "/", [("Content-Length", LARGE)]) + body(LARGE - 1))
      client.await_read()
      getattr(client, leave)()
      origin.wait_cut()
      same(edge.log_line()["cause"], "client_left", leave)
      same(origin.requests, [])


@play
def refused_within_the_body():
  """a service that answers and closes within a large body: the client gets that answer"""
  def script(_request, line):
    line.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
    line.finish()
  with staged(script, whole=False, lenient=True) as (client, edge, origin):
    client.send(head("POST", "/", [("Content-Length", LARGE)]) + body(300_000))
    response = client.read_response()
    same((response.status, response.body), (413, b"no"))


@play
def stalled_readers_cost_nothing():
  """forty clients that stop within large answers cost the edge no memory, and get the rest when they go on"""
  total = 20 * MIB + 5
  with Origin(sending(total), lenient=True) as origin, Edge(serving(origin)) as edge, ExitStack() as stack:
    with edge.client() as client:
      client.send(head("GET", "/"))
      assert_body(client, total)
    before = edge.memory()
    crowd = [stack.enter_context(edge.client(receive_buffer=64 << 10)) for _ in range(40)]
    for client in crowd:
      client.send(head("GET", "/"))
    eventually(lambda: pipes(edge) >= 2 * len(crowd), "the edge waits for all of them")
    grown = edge.memory() - before
    holds(grown < MIB * MEMORY_FACTOR, f"the edge grew by {grown} bytes")
    for client in crowd[:4]:
      assert_body(client, total)
    for client in crowd:
      client.reset()
    edge.exchanges(1 + len(crowd))
    holds(pipes(edge) <= 2 * 32, f"{pipes(edge)} ends of pipes are kept")


@play
def no_descriptor_for_a_pipe():
  """without descriptors for pipes large bodies go their way all the same"""
  with staged(sending(LARGE), loud=True) as (client, edge, origin):
    same(client.request("HEAD", "/").status, 200)
    _, most = resource.prlimit(edge.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(edge.process.pid, resource.RLIMIT_NOFILE, (3, most))
    for _ in range(2):
      client.send(head("GET", "/"))
      assert_body(client, LARGE)
    same(pipes(edge), 0, "pipes")


@play
def judged_bodies():
  """a policy that judges pieces sees every byte of a large answer"""
  policy = lua(on_chunk="ctx.count = (ctx.count or 0) + #chunk.data", on_log="edge.log.info(tostring(ctx.count))")
  with ruled({"count": policy}, sending(LARGE)) as (client, edge, origin):
    client.send(head("GET", "/"))
    assert_body(client, LARGE)
    same(edge.wait_line(event="policy_log")["text"], str(LARGE))


@play
def large_bodies_within_tls():
  """large bodies arrive whole where the client or the service speaks TLS"""
  with secured(sending(LARGE)) as (client, edge, origin):
    client.send(head("GET", "/"))
    assert_body(client, LARGE)
  with secured(taking, whole=False) as (client, edge, origin):
    same(client.request("POST", "/", body=body(LARGE)).body.decode(), digest(LARGE))
  with Origin(sending(LARGE)) as origin:
    document = serving(origin, listeners={"main": listening_place("good")})
    with Edge(document) as edge, edge.client() as client:
      client.send(head("GET", "/"))
      assert_body(client, LARGE)


@play
def drained_within_a_body():
  """a large answer that runs when the edge is told to end comes to its end"""
  with Origin() as origin:
    gate = origin.gate()

    def script(_request, line):
      data = body(LARGE)
      line.send(sized(LARGE) + data[:MIB])
      gate.wait("the edge ends")
      line.send(data[MIB:])
    origin.script = script
    with Edge(serving(origin, server={"drain": "30s"})) as edge, edge.client() as client:
      client.send(head("GET", "/"))
      response, kind, length = client.read_final_head()
      edge.signal()
      edge.wait_line(event="draining")
      gate.open()
      assert_rest(client, length, digest(LARGE))
      same(edge.wait_exit(), 0)
