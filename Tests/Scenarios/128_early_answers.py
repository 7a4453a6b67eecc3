"""Providers that answer before they have the whole request, which is larger than what finds room on the way."""

import socket
from contextlib import ExitStack

from play import *
from stage.credits import *
from stage.messages import *
from stage.provider import *

ROLE = part(delta={"role": "assistant", "content": ""})
LARGE = 9_000_000


@contextmanager
def company(*kinds, **config):
  """Providers of these kinds, an edge that offers their model and a client: (client, edge, providers)."""
  with ExitStack() as stack:
    found = [stack.enter_context(kind(lenient=True)) for kind in kinds]
    document, files = llm(*found, **config)
    with Edge(document, files=files) as edge, edge.client() as client:
      yield client, edge, found


def who(response):
  """Who has answered."""
  same(response.status, 200, f"status ({response.body[:300]!r})")
  return response.fields.one("edge-provider")


def narrow(kind):
  """As `kind`, with little room for what it has not read, so that a large request waits at the edge."""
  class Narrow(kind):
    """A provider that reads requests as its script says."""

    def __init__(self, **options):
      super().__init__(whole=False, **options)
      self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
  return Narrow


def head_of(data):
  """The head of a whole answer with this body."""
  return (f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n").encode()


def begun(kind):
  """The first events of a stream of this kind, and the rest of them; they say `a`, then `b`."""
  events = tale("a", "b") if kind.dialect == "anthropic-messages" else [ROLE, *story("a", "b", used=usage(10, 5))]
  return events[:3], events[3:]


@play
def begins_early():
  """a provider that begins its answer while the request is still sent gets all of it, alone or with others behind it"""
  for kind in (Provider, MessagesProvider):
    for others in ((), (Provider,)):
      first, rest = begun(kind)
      with company(narrow(kind), *others, balance=10_000_000) as (client, edge, (one, *_)):
        gate = one.gate()

        def script(request, line):
          line.send(STREAM_HEAD + b"".join(map(chunk, first)))
          gate.wait()
          line.read_body(request)
          line.send(b"".join(map(chunk, rest)) + b"0\r\n\r\n")
        one.script = script
        body = chat("x" * LARGE, stream=True, stream_options={"include_usage": True})
        answered = begin(client, body)
        data = answered.next()
        while b'"a"' not in data:
          data += answered.next()
        gate.open()
        same(text_of(data + answered.rest()), "ab")
        arrived = one.last().body
        holds(arrived == body or kind is MessagesProvider, "the body is not the client's")
        same(json.loads(arrived)["model"], "small")
        holds(b"x" * LARGE in arrived, f"{len(arrived)} bytes of the request arrived")
        assert_charged(edge, answered.response, cost(15), tokens=(10, 5), cause="completed")
        one.script = lambda request, line: (line.read_body(request), one.usual(request, line))
        small = chat("another one's")
        same(who(ask(client, small, user="bob")), "p1")
        holds(b"another one's" in one.last().body and b"x" * 100 not in one.last().body, "the next body is its own")


@play
def whole_and_early():
  """a provider that begins a whole answer while the request is still sent gets all of it, and is asked again"""
  for kind, document in ((Provider, completion(used=usage(10, 5))), (MessagesProvider, message(used=tokens(10, 5)))):
    with company(narrow(kind), balance=10_000_000) as (client, edge, (one,)):
      data = dumped(document)

      def script(request, line):
        line.send(head_of(data) + data[:20])
        line.read_body(request)
        line.send(data[20:])
      one.script = script
      body = chat("x" * LARGE)
      for asked in (body, chat(), body):
        response = ask(client, asked)
        same(who(response), "p1")
        assert_charged(edge, response, cost(15), tokens=(10, 5), cause="completed")
        same(b"x" * LARGE in one.last().body, asked is body, "the body arrived whole")


@play
def fails_early():
  """a provider that fails within its opening while the request is still sent is followed by one who gets all of it"""
  for kind in (Provider, MessagesProvider):
    for other in (Provider, MessagesProvider):
      with company(narrow(kind), other, balance=10_000_000) as (client, edge, (one, two)):
        first = ROLE if kind is Provider else opening()
        for end in (Line.close, read_and_reset, lambda line: line.send(b"zz\r\n")):
          one.script = streamed(first, end)
          response = ask(client, chat("x" * LARGE, stream=True))
          same((who(response), text_of(response.body)), ("p2", "hello"))
          holds(b"x" * LARGE in two.last().body, "the body at the second is not whole")
        same(settled(client), 10_000_000 - 3 * cost(15))


@play
def ends_early():
  """behind an answer that ended before the request was sent nobody's request comes on that connection"""
  for kind, *others in ((Provider,), (Provider, Provider), (MessagesProvider,), (MessagesProvider, Provider)):
    first, rest = begun(kind)
    with company(narrow(kind), *others, balance=10_000_000) as (client, edge, (one, *_)):
      seen, heard, over = [], one.gate(), one.gate()

      def script(request, line):
        if line.number > 1:
          line.read_body(request)
          one.usual(request, line)
          return
        line.send(STREAM_HEAD + b"".join(map(chunk, first)))
        heard.wait()
        count = 0
        while count < 3_000_000:
          count += len(line.read_piece(request))
        line.send(b"".join(map(chunk, rest)) + b"0\r\n\r\n")
        over.wait()
        seen.append(line.wait_end())
      one.script = script
      answered = begin(client, chat("x" * LARGE, stream=True))
      data = answered.next()
      heard.open()
      same(text_of(data + answered.rest()), "ab")
      assert_charged(edge, answered.response, cost(15), tokens=(10, 5), cause="completed")
      over.open()
      same(who(ask(client, chat("another one's"), user="bob")), "p1")
      one.lines[0].await_end()
      eventually(lambda: seen, "the first connection is read to its end")
      holds(b"another one's" not in seen[0], "a request within the body of another")
      same((len(one.requests), one.last().line.number, balance(client, "bob")), (2, 2, 10_000_000 - cost(15)))
