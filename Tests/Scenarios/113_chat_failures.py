"""When a provider fails or a client leaves: what the client gets, what is charged, and that nothing stays held."""

import time

from play import *
from stage.credits import *
from stage.provider import *

# Ten times the tenth of a second within which a provider must see that the client has left.
LEFT_SECONDS = 1.0 * MEMORY_FACTOR


def assert_free(edge, client, response, cause=None):
  """The exchange was charged nothing and nothing is held."""
  line = edge.line_of(response)
  same(exact(line.get("credits", 0)), 0, f"credits in {line}")
  if cause:
    same(line["cause"], cause, "cause")
  same(balance(client), 1000)
  return line


def estimated(body, content=""):
  """The tokens of an estimate: in and out."""
  return len(body) // 2, -(-len(content.encode()) // 4)


@play
def fault_of_the_client():
  """400, 413 and 422 of a provider reach the client as they are, streamed or not, and cost nothing"""
  with chatting() as (client, edge, provider):
    for status in (400, 413, 422):
      provider.script = failing(status, "your fault", "invalid_request_error", [("X-Request-Id", "other")])
      for body in (chat(), chat(stream=True)):
        response = ask(client, body)
        same(response.status, status)
        same(json.loads(response.body)["error"]["message"], "your fault")
        assert_ulid(response.fields.one("x-request-id"))
        assert_free(edge, client, response)
    same(len(provider.lines), 1, "connections to the provider")


@play
def fault_of_the_provider():
  """other errors of a provider become 502 that tell nothing of it, and cost nothing"""
  with chatting() as (client, edge, provider):
    for status in (401, 403, 402, 405, 409, 500, 502, 503, 529, 599, 302):
      provider.script = failing(status, f"bad key {KEY}")
      for body in (chat(), chat(stream=True)):
        response = ask(client, body)
        assert_openai_error(response, "PROVIDER_ERROR")
        for piece in (KEY.encode(), b"bad key", b"127.0.0.1"):
          holds(piece not in response.body, f"{piece} reached the client: {response.body}")
        assert_free(edge, client, response)


@play
def model_the_provider_does_not_know():
  """404 of a provider becomes MODEL_NOT_FOUND and costs nothing"""
  with chatting(failing(404, "no such model here")) as (client, edge, provider):
    response = ask(client)
    assert_openai_error(response, "MODEL_NOT_FOUND")
    assert_free(edge, client, response)


@play
def provider_that_is_busy():
  """429 of a provider becomes RATE_LIMIT_EXCEEDED, its Retry-After is handed on, and it costs nothing"""
  with chatting() as (client, edge, provider):
    for fields, wanted in (([("Retry-After", "17")], "17"), ([], None)):
      provider.script = failing(429, "slow down", "rate_limit_error", fields)
      response = ask(client)
      assert_openai_error(response, "RATE_LIMIT_EXCEEDED")
      if wanted:
        same(response.fields.one("retry-after"), wanted)
      assert_free(edge, client, response)


@play
def no_http():
  """a provider that answers nonsense, or closes, is a 502, and costs nothing"""
  with chatting(lenient=True) as (client, edge, provider):
    for data, then in ((b"SSH-2.0-OpenSSH\r\n\r\n", "hang"), (b"", "close"), (b"HTTP/1.1 200 OK\r\nConte", "close"),
                       (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "hang"), (b"", "reset")):
      provider.script = raw(data, then)
      response = ask(client)
      assert_openai_error(response, "PROVIDER_ERROR")
      assert_free(edge, client, response, "upstream_error")


@play
def unreachable():
  """a provider that cannot be reached is a 502, and costs nothing"""
  with refused_port() as dead, Provider() as provider:
    document, files = llm(provider, providers={"p1": {"endpoints": [f"http://127.0.0.1:{own_port(dead)}"]}})
    with Edge(document, files=files) as edge, edge.client() as client:
      for body in (chat(), chat(stream=True)):
        response = ask(client, body)
        assert_openai_error(response, "PROVIDER_ERROR")
        assert_free(edge, client, response, "unavailable")
      same(client.get("/health").status, 200)


@play
def one_endpoint_of_two():
  """a provider of which one endpoint is dead is reached at the other, and charged once"""
  with refused_port() as dead, Provider() as provider:
    urls = [f"http://127.0.0.1:{own_port(dead)}", provider.url]
    document, files = llm(provider, providers={"p1": {"endpoints": urls}})
    with Edge(document, files=files) as edge, edge.client() as client:
      body = chat("hello" * 1000)
      for number in range(1, 5):
        same(ask(client, body).status, 200)
        same(provider.last().body, body)
        same(balance(client), 1000 - number * cost(15))


@play
def silent_provider():
  """a provider that does not answer in time is a 504, its connection is given up, and it costs nothing"""
  limits = {"timeouts": {"head": "300ms", "answer": "300ms"}}
  with chatting(lambda request, line: line.hang(), provider=limits) as (client, edge, provider):
    for number, body in enumerate((chat(), chat(stream=True))):
      response = ask(client, body)
      assert_openai_error(response, "TIMEOUT")
      provider.lines[number].await_end()
      assert_free(edge, client, response, "upstream_timeout")


@play
def time_for_a_whole_answer():
  """an answer that is not streamed may take timeouts.answer, which does not bound a stream"""
  limits = {"timeouts": {"head": "400ms", "answer": "10m"}}
  with chatting(provider=limits) as (client, edge, provider):
    def late(request, line):
      line.reader.poll.poll(600)  # longer than timeouts.head
      told(used=usage(10, 5))(request, line)
    provider.script = late
    same(ask(client).status, 200)
  limits = {"timeouts": {"head": "10s", "answer": "300ms"}}
  with chatting(provider=limits) as (client, edge, provider):
    gate = provider.gate()
    provider.script = streamed(part("one"), gate, *story("two", used=usage(10, 5)))
    answered = begin(client)
    same(answered.next(), part("one"))
    assert_openai_error_on(edge, provider)
    gate.open()
    same(answered.rest(), b"".join(story("two")))


def assert_openai_error_on(edge, provider):
  """Another request, whole and too slow, is given up meanwhile."""
  usual, provider.script = provider.script, lambda request, line: line.hang()
  with edge.client() as other:
    assert_openai_error(ask(other), "TIMEOUT")
  provider.script = usual


@play
def stream_that_falls_silent():
  """a stream that says nothing for timeouts.idle is cut, and what came is charged as an estimate"""
  with chatting(streamed(part("hello" * 4), Line.hang), provider={"timeouts": {"idle": "300ms"}}) as (
      client, edge, provider):
    with edge.client() as other:
      body = chat(stream=True)
      answered = begin(other, body)
      same(answered.cut(), part("hello" * 4))
      provider.lines[0].await_end()
      tokens = estimated(body, "hello" * 4)
      assert_charged(edge, answered.response, cost(sum(tokens)), "estimated", tokens, cause="upstream_timeout")
      same(settled(client), 1000 - cost(sum(tokens)))


@play
def provider_that_cuts():
  """a provider that ends a stream early cuts the client's too, and what came is charged as an estimate"""
  with chatting() as (client, edge, provider):
    spent = Decimal(0)
    for content in ("x", "four", "h\u00e9llo" * 8):
      for end in (Line.close, read_and_reset):
        provider.script = streamed(part(content), end)
        with edge.client() as other:
          body = chat(stream=True)
          answered = begin(other, body)
          same(answered.cut(), part(content))
          tokens = estimated(body, content)
          assert_charged(edge, answered.response, cost(sum(tokens)), "estimated", tokens, cause="upstream_cut")
          spent += cost(sum(tokens))
    same(settled(client), 1000 - spent)


@play
def cut_behind_the_usage():
  """a stream that is cut behind its usage is charged by the usage"""
  with chatting(streamed(*story("hello", used=usage(10, 5))[:-1], Line.close)) as (client, edge, provider):
    with edge.client() as other:
      answered = begin(other)
      answered.cut()
      assert_charged(edge, answered.response, cost(15), tokens=(10, 5), cause="upstream_cut")
    same(settled(client), 1000 - cost(15))


@play
def end_without_usage():
  """a whole stream and a whole answer without usage are charged as estimates, at most what was held"""
  with chatting() as (client, edge, provider):
    for document, script in ((chat(stream=True), streamed(*story("hello " * 8))),
                             (chat(), told(completion("hello " * 8)))):
      provider.script = script
      response = ask(client, document)
      same(response.status, 200)
      tokens = estimated(document, "hello " * 8)
      assert_charged(edge, response, cost(sum(tokens)), "estimated", tokens, cause="completed")
    provider.script = streamed(*story("x" * 4000))
    body = chat(stream=True, max_tokens=10)
    response = ask(client, body)
    line = edge.line_of(response)
    same(exact(line["credits"]), estimate(client, body), "the charge of an answer that is too long")


@play
def error_within_a_stream():
  """an error within a stream reaches the client, and what came before is charged as an estimate"""
  failed = event({"error": {"message": "overloaded", "type": "server_error", "param": None, "code": None}})
  with chatting(streamed(part("hello"), failed)) as (client, edge, provider):
    body = chat(stream=True)
    with edge.client() as other:
      answered = begin(other, body)
      same((answered.next(), answered.next()), (part("hello"), failed))
      line = edge.line_of(answered.response)
      same((exact(line["credits"]), line["usage"]["source"]), (cost(sum(estimated(body, "hello"))), "estimated"))


def leaves(client, how):
  """The client goes away; when."""
  if how == "reset":
    client.reset()
  else:
    client.close()
  return time.monotonic()


@play
def client_leaves_within_a_stream():
  """when the client leaves mid-stream the provider sees it at once, and what came is charged as an estimate"""
  with chatting(streamed(part("hello" * 4), Line.hang), provider={"timeouts": {"idle": "10m"}}) as (
      client, edge, provider):
    spent = Decimal(0)
    for turn, how in enumerate(("close", "reset")):
      other, body = edge.client(), chat(stream=True)
      answered = begin(other, body)
      same(answered.next(), part("hello" * 4))
      holds(account(client)[1] > 0, "nothing is held while the stream runs")
      since = leaves(other, how)
      provider.lines[turn].await_end()
      holds(time.monotonic() - since < LEFT_SECONDS, f"the provider saw it after {time.monotonic() - since:.3f} s")
      tokens = estimated(body, "hello" * 4)
      assert_charged(edge, answered.response, cost(sum(tokens)), "estimated", tokens, cause="client_left")
      spent += cost(sum(tokens))
      same(settled(client), 1000 - spent)


@play
def client_leaves_before_the_answer():
  """when the client leaves before the answer the provider sees it at once, and the input is charged as an estimate"""
  with chatting(lambda request, line: line.hang(), provider={"timeouts": {"head": "10m", "answer": "10m"}}) as (
      client, edge, provider):
    spent = Decimal(0)
    for turn, body in enumerate((chat(), chat(stream=True))):
      other = edge.client()
      other.send(post(body))
      provider.wait_requests(turn + 1)
      since = leaves(other, "close")
      provider.lines[turn].await_end()
      holds(time.monotonic() - since < LEFT_SECONDS, f"the provider saw it after {time.monotonic() - since:.3f} s")
      spent += cost(len(body) // 2)
      eventually(lambda: settled(client) == 1000 - spent, f"the charge for {body!r}")
    for line in (line for line in edge.exchanges(2) if line.get("route") == "chat"):
      same((line["cause"], line["usage"]["source"], line["usage"]["outputTokens"]), ("client_left", "estimated", 0))


@play
def client_leaves_within_its_body():
  """a client that leaves before its body is whole costs nothing and reaches nobody"""
  with chatting() as (client, edge, provider):
    body = chat("hello" * 1000)
    for count in (0, 1, len(body) - 1):
      with edge.client() as other:
        data = post(body)
        other.send(data[:len(data) - len(body) + count])
        other.await_read()
        other.reset()
    edge.exchanges(3)
    same((settled(client), provider.lines), (1000, []))


@play
def client_leaves_at_the_end():
  """a client that leaves at any moment of a stream is charged once, and nothing stays held"""
  events = story("one", "two", used=usage(10, 5))
  with chatting() as (client, edge, provider):
    for count in range(1, len(events) + 1):
      before = settled(client)
      sent = provider.gate()
      provider.script = streamed(*events[:count], sent, *([Line.hang] if count < len(events) else []))
      other = edge.client()
      answered = begin(other)
      for _ in range(min(count, 3)):
        answered.next()
      sent.reached()
      await_read(provider.lines[-1])
      other.reset()
      sent.open()
      line = edge.line_of(answered.response)
      same(settled(client), before - exact(line["credits"]), f"balance after leaving behind {count} events")
      if count > 3:
        same(line["usage"]["source"], "reported", f"source of the usage after {count} events")


@play
def unused_connections_only():
  """a connection to a provider is used again behind a whole answer, and never behind one that was cut or left"""
  with chatting() as (client, edge, provider):
    usual = provider.script
    same([ask(client).status for _ in range(3)], [200] * 3)
    same(len(provider.lines), 1, "connections after whole answers")
    provider.script = streamed(part("one"), Line.hang)
    other = edge.client()
    begin(other).next()
    other.close()
    provider.lines[0].await_end()
    provider.script = usual
    same(begin(client).rest(), b"".join(story("he", "llo")))
    same(ask(client).status, 200)
    same(len(provider.lines), 2, "connections in the end")
