"""Mixed traffic from a fixed seed: every exchange must carry exactly its own bytes, in both directions."""

import hashlib
import random
import threading

from play import *

SIZES = (0, 1, 2, 15, 16, 17, 255, 4095, 4096, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 300_000)
FRAMES = ("length", "chunked", "close")


def body_of(seed, size):
  return random.Random(seed).randbytes(size)


def script(request, line):
  """Answers `/seed/size/frame/step` with that body, and the hash of what came."""
  seed, size, frame, step = request.path[1:].split("/")
  rows = [("X-Hash", hashlib.sha256(request.body).hexdigest()), ("X-Path", request.path)]
  sent = []

  class Kept:
    """Stands for the connection while the answer is made, so that it can be sent in pieces."""
    send = staticmethod(sent.append)
    close = staticmethod(lambda: None)
  answer(200, body_of(int(seed), int(size)), rows, frame=frame)(request, Kept)
  data = b"".join(sent)
  for at in range(0, len(data), int(step)):
    line.send(data[at:at + int(step)])
  if frame == "close":
    line.close()


def ask(choice):
  """A random request: its bytes, its body's hash, its path and the answer's body."""
  seed, size, frame = choice.randrange(1 << 30), choice.choice(SIZES), choice.choice(FRAMES)
  path = f"/{seed}/{size}/{frame}/{choice.choice((977, 8191, 65_536, 1 << 20))}"
  body = body_of(seed + 1, choice.choice(SIZES))
  if choice.random() < 0.5:
    data = head("POST", path, [("Content-Length", len(body))]) + body
  else:
    pieces, at = [], 0
    while at < len(body):
      size_of_piece = choice.choice((1, 7, 500, 16_384, 70_000))
      pieces.append(body[at:at + size_of_piece])
      at += size_of_piece
    pieces = pieces if len(pieces) < 3000 else [body]
    data = head("POST", path, [("Transfer-Encoding", "chunked")]) + chunked(*pieces)
  return data, hashlib.sha256(body).hexdigest(), path, body_of(seed, size)


def talk(edge, seed, count, failures):
  """One client: bursts of pipelined requests, sent in odd pieces, answers compared."""
  choice = random.Random(seed)
  try:
    with edge.client() as client:
      done = 0
      while done < count:
        burst = [ask(choice) for _ in range(choice.choice((1, 1, 2, 5)))]
        if sum(len(data) + len(body) for data, _, _, body in burst) > 60_000:
          burst = burst[:1]  # more would have to be read while it is sent
        data = b"".join(row[0] for row in burst)
        step = choice.choice((len(data), 1013, 16_384, 100_000))
        for at in range(0, len(data), step):
          client.send(data[at:at + step])
        for _, digest, path, body in burst:
          response = client.read_response("POST")
          same(response.status, 200, path)
          same(response.fields.one("x-path"), path)
          same(response.fields.one("x-hash"), digest, f"hash of the request {path}")
          holds(response.body == body, f"the answer {path}: {len(response.body)} bytes, {len(body)} wanted")
        done += len(burst)
  except Exception as failure:
    failures.append(f"client {seed}: {failure}")


def crowd(workers, clients, count):
  failures = []
  with Origin(script) as origin, Edge(serving(origin, server={"workers": workers})) as edge:
    threads = [threading.Thread(target=talk, args=(edge, seed, count, failures)) for seed in range(clients)]
    for thread in threads:
      thread.start()
    for thread in threads:
      thread.join()
    edge.stop()
    lines = edge.matching(event="exchange")
    same(failures, [], "failures")
    same(len(lines), len(origin.requests), "access lines and requests at the service")
    same({(line["status"], line["cause"]) for line in lines}, {(200, "completed")}, "status and cause")
    same(len({line["requestId"] for line in lines}), len(lines), "distinct request ids")


@play
def one_client():
  """one client, 150 exchanges of every size and framing, pipelined and in odd pieces"""
  crowd(1, 1, 150)


@play
def many_clients():
  """twelve clients at once on two workers, 40 exchanges each, never mixed up"""
  crowd(2, 12, 40)
