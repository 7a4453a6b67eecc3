"""Bodies of chat requests: in pieces, slow, too large, more than there is room for, and what follows them."""

import socket

from play import *
from stage.credits import *
from stage.provider import *

# Keeps the body that it has read until the side answers.
KEEP = lua("""local body = req.body
local answer = edge.http.fetch{service = "side", path = "/" .. #body}
if answer.status ~= 200 then edge.refuse("FORBIDDEN") end""")


@play
def in_chunks():
  """a body in chunks reaches the provider whole, with a length, whatever the sizes of the chunks"""
  with chatting() as (client, edge, provider):
    for size in (3, 700, 60_000):
      body = chat("hello " * (size // 2))
      pieces = [body[at:at + size] for at in range(0, len(body), size)]
      client.send(head("POST", PATH, [bearer(), ("Transfer-Encoding", "chunked")]) + chunked(*pieces))
      same(client.read_response("POST").status, 200)
      request = provider.last()
      same((request.body, request.framing), (body, "length"), f"the body in chunks of {size}")


@play
def byte_by_byte():
  """a request that arrives byte by byte is the same request, streamed and not"""
  with chatting() as (client, edge, provider):
    body = chat("h\u00e9llo")
    client.send_slowly(post(body))
    same(client.read_response("POST").status, 200)
    same(provider.last().body, body)
    client.send_slowly(head("POST", PATH, [bearer(), ("Transfer-Encoding", "chunked")])
                       + chunked(*[bytes([one]) for one in chat(stream=True)]))
    same(Events(client).rest(), b"".join(story("he", "llo")))


@play
def expected():
  """a client that expects 100-continue gets it before its body is read"""
  with chatting() as (client, edge, provider):
    body = chat()
    client.send(head("POST", PATH, [bearer(), ("Content-Length", len(body)), ("Expect", "100-continue")]))
    same(client.read_head().status, 100)
    client.send(body)
    same(client.read_response("POST").status, 200)
    holds("expect" not in provider.last().fields, "Expect reached the provider")


@play
def too_large():
  """a body over body_size is a 413 in OpenAI's form, whether its length is told or not, and costs nothing"""
  with chatting(route={"body_size": "10KiB"}) as (client, edge, provider):
    body = chat("x" * 10_240)
    with edge.client() as other:
      assert_openai_error(ask(other, body), "MESSAGE_TOO_LARGE")
    with edge.client() as other:
      other.send(head("POST", PATH, [bearer(), ("Transfer-Encoding", "chunked")]) + chunked(body))
      assert_openai_error(other.read_response("POST"), "MESSAGE_TOO_LARGE")
    with edge.client() as other:
      other.send(head("POST", PATH, [bearer(), ("Content-Length", len(body)), ("Expect", "100-continue")]))
      response = other.read_response("POST")
      assert_openai_error(response, "MESSAGE_TOO_LARGE")
      same(response.interim, [], "interim answers")
    fitting = chat("x" * 10_000)
    same(ask(client, fitting).status, 200)
    same((len(provider.requests), balance(client)), (1, 1000 - cost(15)))


@play
def slow():
  """a body that stops coming is a 408 in OpenAI's form, and nothing is held or sent"""
  with chatting(server={"timeouts": {"body": "300ms"}}) as (client, edge, provider):
    for sent in (b"", chat()[:-1]):
      with edge.client() as other:
        other.send(head("POST", PATH, [bearer(), ("Content-Length", len(chat()))]) + sent)
        assert_openai_error(other.read_response("POST"), "REQUEST_TIMEOUT")
        other.assert_closed()
    same((provider.lines, balance(client)), ([], 1000))


@play
def one_after_the_other():
  """chats, other requests and refusals follow each other on one connection"""
  with chatting() as (client, edge, provider):
    for _ in range(3):
      same(ask(client).status, 200)
      same(begin(client).rest(), b"".join(story("he", "llo")))
      same(client.get("/health").status, 200)
      assert_openai_error(ask(client, b"{"), "INVALID_REQUEST")
      assert_openai_error(ask(client, chat(model="other")), "MODEL_NOT_FOUND")
      same(balance(client) < 1000, True)
    same(len(provider.lines), 1, "connections to the provider")


@play
def pipelined():
  """pipelined chats are answered in their order, each by its own answer, and each is charged"""
  with chatting(lambda request, line: told(completion(json.loads(request.body)["user"], usage(10, 5)))(request, line)) \
      as (client, edge, provider):
    numbers = [f"{number:02}" for number in range(20)]
    client.send(b"".join(post(chat(user=number)) + head("GET", "/health") for number in numbers))
    for number in numbers:
      response = client.read_response("POST")
      same(json.loads(response.body)["choices"][0]["message"]["content"], number)
      same(client.read_response().status, 200)
    same(balance(client), 1000 - 20 * cost(15))


@play
def pipelined_behind_a_stream():
  """a request behind a streamed chat waits for the stream's end"""
  with chatting() as (client, edge, provider):
    gate = provider.gate()
    provider.script = streamed(part("one"), gate, *story("two", used=usage(10, 5)))
    client.send(post(chat(stream=True)) + head("GET", "/health"))
    answered = Events(client)
    same(answered.next(), part("one"))
    gate.open()
    while answered.next() != DONE:
      pass
    same(answered.rest(), b"")
    same(client.read_response().status, 200)


@play
def half_closed():
  """a client that closes its sending side behind the request still gets its answer where client_fin is finish"""
  with chatting(route={"client_fin": "finish"}) as (client, edge, provider):
    client.send(post(chat()))
    client.finish()
    same(client.read_response("POST").status, 200)
    client.assert_closed()


@play
def one_zero():
  """an HTTP/1.0 client gets whole answers and streams that end with the connection"""
  with chatting() as (client, edge, provider):
    body = chat()
    with edge.client() as other:
      same(other.request("POST", PATH, [bearer()], body, version="1.0").status, 200)
    with edge.client() as other:
      response = other.request("POST", PATH, [bearer()], chat(stream=True), version="1.0")
      same((response.status, response.body), (200, b"".join(story("he", "llo"))))


@contextmanager
def keeping(**server):
  """An edge with room for 1 MiB of bodies, whose policy keeps each until the gate opens."""
  policies = {"auth": AUTH, "permissions": PERMISSIONS, "keep": KEEP, "credits": CREDITS}
  with Origin() as side:
    gate = side.gate()
    side.script = lambda request, line: (gate.wait("the side's answer"), answer(200, b"yes")(request, line))
    with chatting(policies=policies, services={"side": {"endpoints": [side.url]}}, limits={"body_size": "1MiB"},
                  server={"memory": {"bodies": "1MiB"}, **server}) as (client, edge, provider):
      yield client, edge, provider, side, gate


def send_some(client, data):
  """Sends what is taken without waiting; the rest."""
  while data:
    try:
      data = data[client.sock.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL):]
    except BlockingIOError:
      break
  return data


@play
def no_room_now():
  """a body for which there is no room waits unread, and goes on when another is done; small requests pass meanwhile"""
  with keeping() as (client, edge, provider, side, gate):
    body = chat("x" * 700_000)
    client.send(post(body))
    side.wait_requests(1)
    with edge.client() as other, edge.client() as third:
      rest, seen = [post(body)], []

      def stalled():
        rest[0] = send_some(other, rest[0])
        seen.append((len(rest[0]), other.unread_there()))
        return len(seen) > 50 and len(set(seen[-50:])) == 1
      eventually(stalled, "the second body stays unread")
      same(third.get("/health").status, 200, "a request without a body meanwhile")
      holds(other.unread_there() > 0, "the second body was read although there is no room")
      same((len(side.requests), len(provider.requests)), (1, 0), "requests at the side and the provider")
      gate.open()
      same(client.read_response("POST").status, 200)
      other.send(rest[0])
      same(other.read_response("POST").status, 200)
    same([request.body for request in provider.requests], [body] * 2)


@play
def no_room_for_long():
  """a body for which there is no room in time is a 503 in OpenAI's form, and the first goes on"""
  with keeping(timeouts={"body": "500ms"}) as (client, edge, provider, side, gate):
    body = chat("x" * 700_000)
    client.send(post(body))
    side.wait_requests(1)
    with edge.client() as other:
      send_some(other, post(body))
      assert_openai_error(other.read_response("POST"), "SERVICE_UNAVAILABLE")
    gate.open()
    same(client.read_response("POST").status, 200)
    same(balance(client), 1000 - cost(15))


def assert_waiting(edge, *clients):
  """Each has sent all that is taken, and gets no answer while other requests do."""
  with edge.client() as other:
    for _ in range(3):
      same(other.get("/health").status, 200, "a request without a body meanwhile")
  for one in clients:
    one.assert_open()


@play
def came_with_its_head():
  """a body that came with its head while there was no room is answered once there is"""
  with keeping() as (client, edge, provider, side, gate):
    client.send(post(chat("x" * 1_040_000)))
    side.wait_requests(1)
    bodies = [chat("y" * 60_000), chat("z" * 20_000)]
    with edge.client() as counted, edge.client() as in_chunks_:
      counted.send(post(bodies[0]))
      in_chunks_.send(head("POST", PATH, [bearer(), ("Transfer-Encoding", "chunked")]) + chunked(bodies[1]))
      assert_waiting(edge, counted, in_chunks_)
      same(len(side.requests), 1, "requests at the side")
      gate.open()
      same([one.read_response("POST").status for one in (client, counted, in_chunks_)], [200] * 3)
    same({request.body for request in provider.requests[1:]}, set(bodies), "bodies at the provider")


@play
def came_with_its_head_in_vain():
  """a body that came with its head and finds no room within timeouts.body is a 503"""
  with keeping(timeouts={"body": "500ms"}) as (client, edge, provider, side, gate):
    client.send(post(chat("x" * 1_040_000)))
    side.wait_requests(1)
    with edge.client() as other:
      other.send(post(chat("y" * 60_000)))
      assert_openai_error(other.read_response("POST"), "SERVICE_UNAVAILABLE")
    gate.open()
    same(client.read_response("POST").status, 200)
    same(len(provider.requests), 1)


@play
def announced_is_not_taken():
  """room for bodies is taken as bytes come: ten clients that announce 10 MiB and send little leave it to others"""
  for room in ("1MiB", "20MiB"):
    with chatting(server={"memory": {"bodies": room}}, route={"body_size": "10MiB"}, balance=100_000) as (
        client, edge, provider):
      slow = [edge.client() for _ in range(10)]
      try:
        for number, one in enumerate(slow):
          one.send(head("POST", PATH, [bearer(user=f"poor-{number}"), ("Content-Length", 10 << 20)]) + b'{"model"')
        for _ in range(5):
          same(ask(client, chat("x" * 600_000)).status, 200)
        assert_waiting(edge, *slow)
      finally:
        for one in slow:
          one.close()
      same(len(provider.requests), 5)


@play
def announced_within_the_room():
  """a body that announces less than there is room for, and does not come, takes none from others"""
  with chatting(server={"memory": {"bodies": "1MiB"}}) as (client, edge, provider), edge.client() as slow:
    slow.send(head("POST", PATH, [bearer(user="poor"), ("Content-Length", 1_000_000)]) + b"{")
    slow.await_read()
    for size in (60, 60_000, 600_000):
      same(ask(client, chat("x" * size)).status, 200, f"status of a body of {size}")
    assert_waiting(edge, slow)


@play
def trickling():
  """a body that only trickles is a 408 however steadily it does, and one that comes in good time is not"""
  with chatting(server={"timeouts": {"body": "1s"}}) as (client, edge, provider):
    for fields, byte in (([("Content-Length", 100_000)], b" "), ([("Transfer-Encoding", "chunked")], b"1\r\n \r\n")):
      with edge.client() as other:
        other.send(head("POST", PATH, [bearer(), *fields]))
        deadline = Deadline(10)  # ten times timeouts.body
        while not other.reader.poll.poll(100):
          holds(not deadline.passed(), "the body still trickles")
          other.send(byte)
        assert_openai_error(other.read_response("POST"), "REQUEST_TIMEOUT")
        other.assert_closed()
    body = chat("x" * 200_000)
    data = post(body)
    for at in range(0, len(data), 16_000):  # a second's worth, each fifth of a second
      same(client.reader.poll.poll(200), [], "an answer while the body comes")
      client.send(data[at:at + 16_000])
    same(client.read_response("POST").status, 200)
    same([request.body for request in provider.requests], [body])


@play
def room_is_given_back():
  """bodies that are refused, left or done give their room back: many times as much passes as there is room for"""
  with keeping() as (client, edge, provider, side, gate):
    gate.open()
    body = chat("x" * 600_000)
    for turn in range(12):
      same(ask(client, body).status, 200)
      assert_openai_error(ask(client, body[:-5]), "INVALID_REQUEST")
      with edge.client() as other:
        send_some(other, post(body)[:-1000])
        other.reset()
    same(balance(client), 1000 - 12 * cost(15))
