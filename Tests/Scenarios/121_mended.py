"""Chats and priced services through reloads, on connections that die, and with bodies that are empty."""

import threading

from play import *
from stage.credits import *
from stage.provider import *

RELOADS = 300


class Short:
  """Threads that ask one short chat after the other until they are left, or until one of them fails."""

  def __init__(self, edge, count):
    self.address, self.leaving, self.failures, self.done = edge.address(), threading.Event(), [], [0] * count
    self.threads = [threading.Thread(target=self.ask, args=(number,)) for number in range(count)]

  def ask(self, number):
    try:
      with Client(self.address) as client:
        while not self.leaving.is_set():
          same(ask(client, user=f"user-{number}").status, 200)
          self.done[number] += 1
    except Exception as failure:
      self.failures.append(f"{type(failure).__name__}: {failure}")

  def __enter__(self):
    for thread in self.threads:
      thread.start()
    return self

  def __exit__(self, *failure):
    self.leaving.set()
    for thread in self.threads:
      thread.join()


@play
def reloads_without_a_log():
  """over 300 reloads without an access log chats are answered whole, those too that outlive their generation"""
  with Provider() as provider:
    usual, gates = provider.script, {}

    def script(request, line):
      name = json.loads(request.body).get("user")
      if name is None:
        usual(request, line)
      else:
        streamed(part("one"), gates[name], *story("two", used=usage(10, 5)))(request, line)
    provider.script = script
    document, files = llm(provider, balance=100_000, log={"access": False}, server={"workers": 2})
    with Edge(document, files=files) as edge, edge.client() as client, Short(edge, 3) as short:
      for number in range(RELOADS):
        name = str(number)
        gates[name] = provider.gate()
        answered = begin(client, chat(stream=True, user=name))
        same(answered.next(), part("one"))
        edge.adopt(merged(document, {"models": {"small": {"max_output": MAX_OUTPUT + 1 + number % 2}}}))
        gates[name].open()
        same(answered.rest(), b"".join(story("two")))
        same(short.failures, [], "failures of short chats")
      holds(min(short.done) > 0, f"short chats that were answered: {short.done}")
      edge.wait(lambda: len(edge.matching(event="generation_ended")) == RELOADS, "every old generation ends")


def dying(end):
  """A script whose connections answer one request and die on the next: on its head, or within its body by turns."""
  def script(request, line):
    if line.served == 1:
      if line.number % 2:
        line.read_piece(request)
      line.reset()
      return
    line.read_body(request)
    end(request, line)
  return script


# Requests that meet a dying connection, in one play.
DEATHS = 8


@play
def large_chats_on_dying_connections():
  """a chat of 1 MB that meets a dying connection is sent again whole on another, and answered and charged once"""
  for stream in (False, True):
    with Provider(whole=False, lenient=True) as provider:
      provider.script = dying(streamed(*story("hello", used=usage(10, 5))) if stream else told(used=usage(10, 5)))
      document, files = llm(provider, balance=100_000)
      with Edge(document, files=files) as edge, edge.client() as client:
        same(ask(client).status, 200, "the chat that leaves an idle connection")
        body = chat("x" * 1_000_000, stream=stream, stream_options={"include_usage": True} if stream else None)
        for number in range(DEATHS):
          response = ask(client, body)
          same(response.status, 200)
          same((provider.last().body == body, provider.last().line.number), (True, number + 2), "whole, on a fresh one")
          assert_charged(edge, response, cost(15), tokens=(10, 5), replays=1, cause="completed")
        same(balance(client), 100_000 - (1 + DEATHS) * cost(15))


@play
def large_bodies_on_dying_connections():
  """a priced request of 1 MB whose body a policy has read is sent again whole when it meets a dying connection"""
  look = lua("local body = req.body\nedge.log.info(tostring(#body))")
  priced = {"path": "/priced", "service": "app", "price": Decimal("0.5"), "permission": "services:use",
            "replay_on_stale": True, "policies": ["auth", "permissions", "look", "credits"]}
  with Origin(dying(answer(200, b"ok")), whole=False, lenient=True) as app, chatting(
      services={"app": {"endpoints": [app.url]}}, routes={"priced": priced}, policies={**USUAL, "look": look},
      route={"policies": list(USUAL)}) as (client, edge, provider):
    same(client.request("POST", "/priced", [bearer()], b"first").status, 200)
    body = random_bytes(1_000_000)
    for number in range(DEATHS):
      response = client.request("POST", "/priced", [bearer()], body)
      same((response.status, response.body), (200, b"ok"))
      same((app.last().body == body, app.last().line.number), (True, number + 2), "whole, and on a fresh one")
      same(edge.line_of(response).get("replays"), 1, "replays")
    same(balance(client), 1000 - (1 + DEATHS) * Decimal("0.5"))


@play
def empty_chunked_body():
  """an empty body in chunks that a policy reads reaches the service as one of length 0, and is answered"""
  look = lua("local body = req.body\nedge.log.info(\"[\" .. tostring(body) .. \"]\")")
  with ruled({"look": look}) as (client, edge, origin):
    for data in (b"0\r\n\r\n", b"0;a=b\r\nx-trailer: 1\r\n\r\n"):
      client.send(head("POST", "/x", [("Transfer-Encoding", "chunked")]) + data)
      response = client.read_response("POST")
      same((response.status, response.body), (200, b"ok"))
      same((origin.last().body, origin.last().fields.one("content-length")), (b"", "0"))
    client.send(head("POST", "/x", [("Transfer-Encoding", "chunked")]))
    client.await_read()
    client.send(b"0\r\n\r\n")
    same(client.read_response("POST").status, 200)
    same(origin.last().fields.one("content-length"), "0")
