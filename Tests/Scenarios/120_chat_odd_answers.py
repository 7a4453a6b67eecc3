"""Answers of providers that are not as they should be: nothing is handed on for free, nothing is made up."""

import gzip

from play import *
from stage.credits import *
from stage.provider import *

JSON = [("Content-Type", "application/json")]


def assert_refused_or_paid(edge, response):
  """Either the client gets the answer and it is charged, or it gets a 502 and nothing is."""
  charged = exact(edge.line_of(response)["credits"])
  if response.status == 200:
    holds(charged > 0, f"an answer for nothing: {shown(response.body, 200)}")
  else:
    assert_openai_error(response, "PROVIDER_ERROR")
    same(charged, 0, "credits of a refusal")


@play
def no_answer_of_the_format():
  """a 200 that is no answer of the format is refused, or paid like one"""
  with chatting() as (client, edge, provider):
    for body, kind in ((b"<html>hello</html>", "text/html"), (b"", "application/json"), (b"[]", "application/json"),
                       (b"null", "application/json"), (b'{"choices":', "application/json"), (b"{}", "application/json"),
                       (b"\xff\xfe", "application/octet-stream"), (b"".join(story("one")), "text/event-stream")):
      provider.script = answer(200, body, [("Content-Type", kind)])
      for asked in (chat(), chat(stream=True)):
        with edge.client() as other:
          assert_refused_or_paid(edge, ask(other, asked))


@play
def coded():
  """an answer in a coding that nobody accepted is a 502, and costs nothing"""
  with chatting() as (client, edge, provider):
    body = gzip.compress(dumped(completion(used=usage(10, 5))))
    provider.script = answer(200, body, [*JSON, ("Content-Encoding", "gzip")])
    response = ask(client)
    assert_openai_error(response, "PROVIDER_ERROR")
    same(exact(edge.line_of(response)["credits"]), 0)


@play
def no_content():
  """a 204 of a provider is no answer, and what the client gets is whole HTTP"""
  with chatting(answer(204, frame="none")) as (client, edge, provider):
    for body in (chat(), chat(stream=True)):
      response = ask(client, body)
      among(response.status, (204, 502), "status")
      same(exact(edge.line_of(response)["credits"]), 0)
    same(client.get("/health").status, 200, "the next request of the connection")


@play
def interim_answers():
  """interim answers of a provider are left out"""
  def script(request, line):
    line.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    told(used=usage(10, 5))(request, line)
  with chatting(script) as (client, edge, provider):
    response = ask(client)
    same((response.status, response.interim), (200, []))
    assert_charged(edge, response, cost(15))


@play
def answered_before_it_was_asked():
  """a provider that answers before it has the whole body, and closes, is heard"""
  def early(request, line):
    failing(413, "too large for me")(request, line)
    line.finish()
  with chatting(early, whole=False, lenient=True, balance=100_000) as (client, edge, provider):
    for _ in range(5):
      with edge.client() as other:
        response = ask(other, chat("x" * 3_000_000))
        same(response.status, 413)
        same(json.loads(response.body)["error"]["message"], "too large for me")
    same(balance(client), 100_000)


@play
def odd_usages():
  """a usage that cannot be is not believed, and one beyond all bounds costs what was held"""
  good = {"prompt_tokens": 10, "completion_tokens": 5}
  with chatting() as (client, edge, provider):
    body = chat()
    for changes in ({"prompt_tokens": -5}, {"completion_tokens": -1}, {"prompt_tokens": "10"},
                    {"completion_tokens": None}, {"prompt_tokens": 1e40}):
      for script in (told(used={**good, **changes}), streamed(*story("hello", used={**good, **changes}))):
        provider.script = script
        response = ask(client, body)
        same(response.status, 200)
        charged = exact(edge.line_of(response)["credits"])
        holds(0 <= charged <= cost(len(body) // 2 + MAX_OUTPUT), f"{charged} credits for {changes}")
    held_at_most = estimate(client, body)
    provider.script = told(used=usage(10 ** 18, 10 ** 18))
    assert_charged(edge, ask(client, body), held_at_most)
    provider.script = told(used=usage(10, 5, cached=99, written=99, reasoning=99))
    same(ask(client, body).status, 200)
    same(settled(client) > 0, True)


@play
def ends_of_streams():
  """a stream may end with its connection, without [DONE], with more behind it, or stay open behind it"""
  def with_the_connection(_request, line):
    line.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + b"".join(story("one", used=usage(10, 5))))
    line.close()
  with chatting(with_the_connection, lenient=True) as (client, edge, provider):
    answered = begin(client)
    same(answered.rest(), b"".join(story("one")))
    assert_charged(edge, answered.response, cost(15))
    provider.script = streamed(*story("one", used=usage(10, 5))[:-1])
    answered = begin(client)
    same(answered.rest(), b"".join(story("one")[:-1]))
    assert_charged(edge, answered.response, cost(15))
    provider.script = streamed(*story("one", used=usage(10, 5)), part("more"))
    answered = begin(client)
    holds(answered.rest().startswith(b"".join(story("one")[:-1])), "the stream")
    assert_charged(edge, answered.response, cost(15))
    provider.script = streamed(*story("one", used=usage(10, 5)), Line.hang)
    answered = begin(client)
    same([answered.next() for _ in story("one")], story("one"))


@play
def nonsense_behind_the_end():
  """what is no HTTP behind [DONE] harms nobody: the stream is whole, charged by its usage, its connection given up"""
  events = story("he", "llo", used=usage(10, 5))
  with chatting(lenient=True) as (client, edge, provider):
    usual = provider.script

    def at_once(_request, line):
      line.send(STREAM_HEAD + b"".join(map(chunk, events)) + b"zz-not-a-chunk\r\n")
      line.hang()

    def in_pieces(_request, line):
      line.send(STREAM_HEAD)
      for one in events:
        line.send(chunk(one))
        await_read(line)
      line.send(b"zz-not-a-chunk\r\n")
      line.hang()
    for number, script in enumerate((at_once, in_pieces)):
      provider.script = script
      answered = begin(client)
      same(answered.rest(), b"".join(story("he", "llo")))
      assert_charged(edge, answered.response, cost(15), tokens=(10, 5), cause="completed")
      provider.lines[-1].await_end()
      provider.script = usual
      same(ask(client).status, 200)
      same(provider.last().line.number, 2 + number, "the connection of the next request")
    same(len(provider.lines), 3)


@play
def usage_behind_the_end():
  """usage that comes behind [DONE], with it or a little later, is charged, and the client gets its [DONE]"""
  events, late = [part("he"), part(finish="stop"), DONE], totals(usage(1000, 500))
  with chatting() as (client, edge, provider):
    def later(_request, line):
      line.send(STREAM_HEAD + b"".join(map(chunk, events)))
      await_read(line)
      line.send(chunk(late) + b"0\r\n\r\n")
    for script in (streamed(*events, late), streamed(b"".join(events) + late), streamed(*events[:-1], DONE + late),
                   later):
      provider.script = script
      answered = begin(client)
      same(answered.rest(), b"".join(events))
      assert_charged(edge, answered.response, cost(1500), tokens=(1000, 500), cause="completed")


@play
def almost_the_end():
  """an event that only begins with [DONE] is not the end of a stream"""
  events = [part("he"), b"data: [DONE]xyz\n\n", part("more"), part(finish="stop"), totals(usage(1000, 500)), DONE]
  with chatting() as (client, edge, provider):
    def one_by_one(_request, line):
      line.send(STREAM_HEAD)
      for one in events:
        line.send(chunk(one))
        await_read(line)
      line.send(b"0\r\n\r\n")
    for script in (one_by_one, streamed(b"".join(events))):
      provider.script = script
      answered = begin(client)
      same(answered.rest(), b"".join(one for one in events if one != events[4]))
      assert_charged(edge, answered.response, cost(1500), tokens=(1000, 500), cause="completed")


@play
def nothing_but_the_end():
  """a stream of [DONE] alone comes to its end though its connection stays open"""
  with chatting(streamed(DONE, Line.hang)) as (client, edge, provider):
    client.send(post(chat(stream=True)))
    response = client.read_response("POST", deadline=Deadline(10))  # ten times what the edge waits behind [DONE]
    same((response.status, response.body), (200, DONE))
    provider.lines[0].await_end()
    settled(client)


@play
def large_answers():
  """whole answers of 10 MB pass, and one beyond all bounds is refused without taking the edge with it"""
  with chatting(lenient=True) as (client, edge, provider):
    for size in (100_000, 10_000_000):
      said = dumped(completion("x" * size, usage(10, 5)))
      provider.script = told(said)
      same(ask(client).body == said, True, f"an answer of {size} bytes")
    before = edge.memory()

    def endless(_request, line):
      line.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 400000000\r\n\r\n")
      try:
        for _ in range(400):
          line.send(bytes(1_000_000))
      except OSError:
        pass
    provider.script = endless
    with edge.client() as other:
      response = ask(other)
      assert_openai_error(response, "PROVIDER_ERROR")
      same(exact(edge.line_of(response)["credits"]), 0)
    holds(edge.memory() < before + (100 << 20) * MEMORY_FACTOR, "memory behind an endless answer")
    provider.script = told(used=usage(10, 5))
    same(ask(client).status, 200)


@play
def over_tls():
  """a provider is spoken to over TLS, and one whose certificate is not trusted is not told the key"""
  with Provider(tls="good") as provider, Provider(tls="other") as stranger:
    for one, statuses in ((provider, [200]), (stranger, [502, 503])):
      document, files = llm(one, provider={"tls": {"ca_file": certificate("ca")}})
      with Edge(document, files=files) as edge, edge.client() as client:
        among(ask(client).status, statuses, f"status of {one.url}")
        same(balance(client), 1000 - cost(15) * (one is provider))
    same(provider.last().fields.all("authorization"), [f"Bearer {KEY}"])
    same(stranger.requests, [])
