"""Corners of models: much behind the end, holds, retries, totals that tell little, what is free."""

import threading
import time
from contextlib import ExitStack

from play import *
from stage.credits import *
from stage.messages import *
from stage.provider import *

ROLE = part(delta={"role": "assistant", "content": ""})
HANG = (lambda request, line: line.hang())
JSON_OBJECT = {"type": "json_object"}
# Everything in the first event: what is said, why it stops, what was used.
AT_ONCE = part("hello", finish="stop", usage=usage(10, 5))


@contextmanager
def company(*kinds, **config):
  """Providers of these kinds, an edge that offers their model and a client: (client, edge, providers)."""
  with ExitStack() as stack:
    found = [stack.enter_context(kind(lenient=True)) for kind in kinds]
    document, files = llm(*found, **config)
    with Edge(document, files=files) as edge, edge.client() as client:
      yield client, edge, found


def selecting(body):
  """A policy whose on_select is this."""
  return f"local policy = {{}}\nfunction policy.on_select(candidates, ctx)\n{body}\nend\nreturn policy\n"


def retrying(body):
  """A policy whose on_retry is this."""
  return f"local policy = {{}}\nfunction policy.on_retry(attempt, ctx)\n{body}\nend\nreturn policy\n"


def who(response):
  """Who has answered."""
  same(response.status, 200, f"status ({response.body[:300]!r})")
  return response.fields.one("edge-provider")


def failed_at(edge, response):
  """Providers that failed on the way to an answer, with their codes."""
  name = response.fields.one("x-request-id")
  edge.line_of(response)
  return [(line["provider"], line["code"]) for line in edge.matching(event="provider_failed", requestId=name)]


def assert_free(edge, response):
  """The access line of a failure says that it costs nothing."""
  same(exact(edge.line_of(response).get("credits", 0)), 0, "credits")


def both(client):
  """The two dialects: how a client of each asks, whole and streamed, and how its errors are checked."""
  return ((lambda: ask(client, chat()), lambda: ask(client, chat(stream=True)), assert_openai_error),
          (lambda: say(client, talk()), lambda: say(client, talk(stream=True)), assert_message_error))


# MARK: much behind the end


@play
def much_behind_the_end():
  """what stands behind the last event, however much, changes nothing: it is charged once, and nobody else is asked"""
  small = event(b"x" * 1000)
  junk = (b"data: " + b"x" * 400_000, small * 400, b"data: " + b"x" * 400_000 + b"\n\n")
  ends = [(Provider, [AT_ONCE + DONE + one]) for one in junk] + [(Provider, [AT_ONCE + DONE, junk[0]])]
  ends += [(MessagesProvider, [b"".join(tale("hello")) + one]) for one in junk]
  for kind, pieces in ends:
    with company(kind, Provider) as (client, edge, (one, two)):
      one.script = HANG
      with edge.client() as slow:
        slow.send(post(chat(stream=True)))
        one.wait_requests(1)
        (_, held), spent = account(client), 0
        one.script = raw(STREAM_HEAD + b"".join(map(chunk, pieces)), "hang")
        for begins, last in ((begin, DONE), (begin_talk, STOP)):
          with edge.client() as other:
            answered = begins(other)
            data = answered.rest()
            said, end, rest = data.partition(last)
            same((text_of(said), end), ("hello", last), "what the client reads")
            same(rest.replace(small, b"") if pieces[-1].endswith(small) else rest, b"", "what stands behind the end")
            holds(rest.count(small) <= 400, f"{rest.count(small)} events behind the end, of 400")
            line = assert_charged(edge, answered.response, cost(15), tokens=(10, 5), cause="completed")
            same((line.get("fallbacks", 0), line["provider"]), (0, "p1"), "fallbacks and who answered")
            spent += cost(15)
            same(account(client), (1000 - spent, held), "balance, and what the other one holds")
      left = settled(client)
      same((two.lines, edge.matching(event="provider_failed")), ([], []), "who else was asked")
      edge.stop()
      ledger = ledger_of(edge)
      same((ledger.of("alice"), len(ledger.settlements())), (left, 3), "the ledger's balance and its settlements")


@play
def much_before_the_end():
  """however much stands between usage and end, the answer is charged once at most, and others keep their holds"""
  for junk in (b"data: " + b"x" * 400_000, event(b"x" * 1000) * 400):
    for pieces in ([AT_ONCE + junk], [AT_ONCE, junk]):
      with company(Provider, Provider) as (client, edge, (one, two)):
        one.script = HANG
        with edge.client() as slow:
          slow.send(post(chat(stream=True)))
          one.wait_requests(1)
          _, held = account(client)
          one.script = raw(STREAM_HEAD + b"".join(map(chunk, pieces)), "hang")
          with edge.client() as other:
            other.send(post(chat(stream=True)))
            try:
              among(other.read_response("POST").status, (200, 502), "status")
            except Cut:
              pass
          edge.wait(lambda: edge.matching(event="exchange", route="chat"), "the access line")
          line = edge.matching(event="exchange", route="chat")[0]
          eventually(lambda: account(client) == (1000 - exact(line["credits"]), held), "what the other one holds stays")
          among(exact(line["credits"]), (0, cost(15)), "credits")
        same(len(two.requests), line.get("fallbacks", 0), "who else was asked")
        settled(client)
        edge.stop()
        same(len(ledger_of(edge).settlements()), 2 + line.get("fallbacks", 0), "settlements")


# MARK: holds


DEAREST = selecting("table.sort(candidates, function(a, b) return a.estimate > b.estimate end)\nreturn candidates")
DEAREST_ONLY = selecting("table.sort(candidates, function(a, b) return a.estimate > b.estimate end)\n"
                         "return {candidates[1]}")


def dearer(order, initial):
  """A model of p1 and its equivalent of p2, fifty times as dear, put in this order behind the policy that holds."""
  return company(Provider, Provider, balance=initial, policies={**USUAL, "order": order},
                 model={"providers": ["p1"], "equivalents": ["big"]},
                 models={"big": {"providers": ["p2"], "price": 50, "max_output": 1000}})


@play
def ordered_behind_the_hold():
  """when a policy behind credits puts a dearer one first, its price is held before it is asked"""
  body = chat(max_tokens=1000)
  dear = cost(len(body) // 2 + 1000, 50)
  for initial in (dear, dear * 3):
    with dearer(DEAREST, initial) as (client, edge, (one, two)):
      gate = two.gate()
      two.script = lambda request, line: (gate.wait(), told(used=usage(40, 1000))(request, line))
      with edge.client() as other:
        other.send(post(body))
        gate.reached()
        same(account(client), (initial, dear), "balance and what is held")
        gate.open()
        response = other.read_response("POST")
      same((who(response), response.fields.one("edge-model"), one.lines), ("p2", "big", []))
      line = assert_charged(edge, response, cost(1040, 50), tokens=(40, 1000))
      same((exact(line.get("shortfall", 0)), balance(client)), (0, initial - cost(1040, 50)), "shortfall and balance")


@play
def ordered_beyond_the_account():
  """an account that cannot pay for who was put first gets the next one, or a 402 where there is none"""
  body = chat(max_tokens=1000)
  short = cost(len(body) // 2 + 1000, 50) - Decimal("0.000000001")
  with dearer(DEAREST, short) as (client, edge, (one, two)):
    response = ask(client, body)
    same((who(response), "edge-model" in response.fields, two.lines), ("p1", False, []))
    line = assert_charged(edge, response, cost(15))
    same((line.get("fallbacks", 0), exact(line.get("shortfall", 0))), (0, 0), "fallbacks and shortfall")
    same(balance(client), short - cost(15))
  with dearer(DEAREST_ONLY, short) as (client, edge, (one, two)):
    for stream in (False, True):
      response = ask(client, chat(max_tokens=1000, stream=stream))
      assert_openai_error(response, "INSUFFICIENT_CREDITS")
      assert_free(edge, response)
    assert_message_error(say(client, talk(max_tokens=1000)), "INSUFFICIENT_CREDITS")
    same((one.lines, two.lines, balance(client)), ([], [], short))
    edge.stop()
    same(ledger_of(edge).settlements(), [], "settlements")


# MARK: retries


@play
def asked_about_who_is_next():
  """on_retry is asked about each one who is asked next, also behind one whose dialect cannot say it"""
  told_next = 'edge.log.info(attempt.next.provider)\n'
  guard = 'if attempt.next.provider == "p3" then edge.refuse("FORBIDDEN") end'
  for body, wanted in ((told_next, ["p3", "p4"]), (told_next + guard, ["p3"])):
    with company(Provider, MessagesProvider, Provider, Provider, policies={**USUAL, "ask": retrying(body)}) as (
        client, edge, (one, two, three, four)):
      one.script = three.script = failing(500)
      for stream in (False, True):
        response = ask(client, chat(response_format=JSON_OBJECT, stream=stream))
        if len(wanted) == 1:
          assert_openai_error(response, "FORBIDDEN")
          assert_free(edge, response)
          same((three.lines, four.lines), ([], []), "who was asked all the same")
        else:
          same(who(response), "p4")
        name = response.fields.one("x-request-id")
        edge.line_of(response)
        asked = [line["text"] for line in edge.matching(event="policy_log", requestId=name)]
        same([one_asked for one_asked in asked if one_asked != "p2"], wanted, "whom the policy was asked about")
      same((two.lines, balance(client)), ([], 1000 - (0 if len(wanted) == 1 else 2 * cost(15))))
      edge.stop()
      same(len(ledger_of(edge).settlements()), 2 if len(wanted) == 1 else 6, "settlements")


# MARK: nothing to tell


def murmuring(*first, murmur):
  """A script that goes on with what says nothing until the edge has enough of it."""
  def script(_request, line):
    deadline, pause = Deadline(), threading.Event()
    try:
      line.send(STREAM_HEAD + b"".join(map(chunk, first)))
      while not deadline.passed():
        line.send(chunk(murmur))
        pause.wait(0.02)
    except OSError:
      line.close()
  return script


@play
def murmurs_for_ever():
  """comments and pings before anything that can be told do not keep an attempt alive beyond timeouts.idle"""
  comment = b": keep-alive\n\n"
  for kind, scripts in ((Provider, (murmuring(murmur=comment), murmuring(ROLE, murmur=comment))),
                        (MessagesProvider, (murmuring(murmur=PING), murmuring(opening(), murmur=PING),
                                            murmuring(opening(), murmur=comment)))):
    with company(kind, Provider, providers={"p1": {"timeouts": {"idle": "300ms"}}}) as (client, edge, (one, two)):
      for count, script in enumerate(scripts):
        one.script = script
        for asked, body in ((ask, chat(stream=True)), (say, talk(stream=True))):
          since = time.monotonic()
          response = asked(client, body)
          same((who(response), text_of(response.body)), ("p2", "hello"), f"behind script {count}")
          same(failed_at(edge, response), [("p1", "TIMEOUT")], f"who failed with script {count}")
          holds(time.monotonic() - since < 5, "it took longer than a silence may")
      same(settled(client), 1000 - 2 * len(scripts) * cost(15))
  for kind, murmur, asked, body in ((Provider, comment, say, talk(stream=True)),
                                    (MessagesProvider, PING, ask, chat(stream=True))):
    with company(kind, kind, providers={"p1": {"timeouts": {"idle": "300ms"}}}) as (client, edge, (one, two)):
      one.script = murmuring(murmur * 2000, murmur=murmur)
      response = asked(client, body)
      same((who(response), failed_at(edge, response)), ("p2", [("p1", "TIMEOUT")]), "much of it at once")
  with company(MessagesProvider, provider={"timeouts": {"idle": "300ms"}}) as (client, edge, (one,)):
    one.script = murmuring(opening(), murmur=PING)
    assert_openai_error(ask(client, chat(stream=True)), "TIMEOUT")
    assert_message_error(say(client, talk(stream=True)), "TIMEOUT")
    same(settled(client), 1000)


@play
def murmurs_within():
  """once something was told, comments and pings keep a stream alive"""
  for kind, first, rest, murmur in ((Provider, [ROLE, part("he")], story("llo", used=usage(10, 5)), b": on\n\n"),
                                    (MessagesProvider, tale("he", "llo")[:3], tale("he", "llo")[3:], PING)):
    with company(kind, provider={"timeouts": {"idle": "700ms"}}) as (client, edge, (one,)):
      def script(request, line):
        pause = threading.Event()
        line.send(STREAM_HEAD + b"".join(map(chunk, first)))
        for _ in range(50):  # a second in all, longer than a silence may be
          line.send(chunk(murmur))
          pause.wait(0.02)
        line.send(b"".join(map(chunk, rest)) + b"0\r\n\r\n")
      one.script = script
      same(text_of(begin(client).rest()), "hello")
      same(settled(client), 1000 - cost(15))


# MARK: totals that tell little


@play
def totals_without_the_cache():
  """totals that repeat what went in without the cache's part, or with 0, leave what the beginning said of it"""
  cached, zero = tokens(10, 1, read=1000, written=100), {"cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
  rows = [(cached, {"input_tokens": 10, "output_tokens": 5}, (1110, 5, 1000, 100)),
          (cached, {"input_tokens": 10, "output_tokens": 5, **zero}, (1110, 5, 1000, 100)),
          (cached, {"input_tokens": 0, "output_tokens": 5}, (1110, 5, 1000, 100)),
          (cached, {"input_tokens": 10, "output_tokens": 5, **dict.fromkeys(zero)}, (1110, 5, 1000, 100)),
          (tokens(1000, 1), {"input_tokens": 0, "output_tokens": 5}, (1000, 5, 0, 0)),
          (cached, tokens(40, 5, read=1000, written=100), (1140, 5, 1000, 100))]
  with company(MessagesProvider, balance=10_000) as (client, edge, (one,)):
    for first, last, wanted in rows:
      one.script = streamed(opening(first), *block(0, *spoken("hi")), closing(last), STOP)
      for body in (None, chat(stream=True, stream_options={"include_usage": True})):
        answered = begin_talk(client) if body is None else begin(client, body)
        data = answered.rest()
        line = assert_charged(edge, answered.response, cost(sum(wanted[:2])), tokens=wanted[:2])
        same((line["usage"].get("cachedTokens", 0), line["usage"].get("cacheWriteTokens", 0)), wanted[2:], f"{last}")
        if body:
          same(heard_chunks(data).used, (*wanted, 0), "the usage that the client is told")


def leaving(edge, provider, wanted, events, begins, body, marks):
  """A client that leaves a stream of these events once it has read these marks; what it is charged is this."""
  provider.script = streamed(*events, Line.hang)
  with edge.client() as client, edge.client() as other:
    before = settled(client)
    answered, data = begins(other, body), b""
    while not all(mark in data for mark in marks):
      data += answered.next()
    await_read(provider.lines[-1])
    other.close()
    assert_charged(edge, answered.response, cost(sum(wanted)), "estimated", wanted, cause="client_left")
    same(settled(client), before - cost(sum(wanted)))


@play
def thinking_that_is_hidden():
  """signatures and what was thought unreadably count as content where the client leaves before the totals"""
  hidden = "c2ln" * 500
  signed_ = block(0, {"type": "thinking", "thinking": "", "signature": ""},
                  {"type": "signature_delta", "signature": hidden})
  redacted = block(0, {"type": "redacted_thinking", "data": hidden})
  with company(MessagesProvider) as (client, edge, (one,)):
    for first in (signed_, redacted):
      events = [opening(tokens(10, 1)), *first, *block(1, *spoken("the answer"))]
      for begins, body in ((begin_talk, talk(stream=True, max_tokens=1000)), (begin, chat(stream=True))):
        leaving(edge, one, (10, -(-2010 // 4)), events, begins, body, [b"the answer"])


@play
def totals_in_the_middle():
  """totals that come before the reason to stop are only the least, where the client leaves behind more of the answer"""
  early, said = named("message_delta", delta={"stop_reason": None}, usage={"output_tokens": 1}), "y" * 4000
  whole = named("message_delta", delta={"stop_reason": None}, usage=tokens(10, 1))
  with company(MessagesProvider, model={"max_output": 5000}) as (client, edge, (one,)):
    for between in (early, whole):
      events = [opening(tokens(10, 1)), between, *block(0, *spoken(said, said + "z"))]
      for begins, body in ((begin_talk, talk(stream=True, max_tokens=5000)), (begin, chat(stream=True))):
        leaving(edge, one, (10, 2001), events, begins, body, [b'yz"'])
  with company(Provider, model={"max_output": 5000}) as (client, edge, (one,)):
    for told_last, wanted in ((2, 2001), (3000, 3000)):
      events = [part(said, usage=usage(10, 1)), part(said + "z", usage=usage(10, told_last))]
      for begins, body in ((begin, chat(stream=True)), (begin_talk, talk(stream=True, max_tokens=5000))):
        leaving(edge, one, (10, wanted), events, begins, body, [b'yz"'])
    one.script = streamed(part("he", usage=usage(10, 1)), part("llo", usage=usage(10, 2)),
                          part(finish="stop", usage=usage(10, 5)), DONE)
    answered = begin(client)
    answered.rest()
    assert_charged(edge, answered.response, cost(15), tokens=(10, 5), cause="completed")


# MARK: what the operator pays for


@play
def betas():
  """a beta that changes the price is a 400, one for long inputs where the model has no price for them; others pass"""
  long, output = "context-1m-2025-08-07", "output-300k-2026-03-24"
  priced = {"price": {"input": 1, "output": 1, "long": {"above": 200_000, "input": 2, "output": 2}}}
  for model, refused in (({}, [output, long, f"a-2025-01-01,{long}", f"a, \t{output} ,b", f"{long},{output}",
                               long.upper()]),
                         (priced, [output, f"{long},{output}"])):
    with company(MessagesProvider, Provider, model=model) as (client, edge, (one, two)):
      for beta in refused:
        for stream in (False, True):
          response = say(client, talk(stream=stream), fields=[("anthropic-beta", beta)])
          assert_message_error(response, "INVALID_REQUEST", said="anthropic-beta")
      response = say(client, fields=[("anthropic-beta", "a-2025-01-01"), ("Anthropic-Beta", output)])
      assert_message_error(response, "INVALID_REQUEST", said="anthropic-beta")
      same((one.lines, two.lines, balance(client)), ([], [], 1000))
      for beta in ["a-2025-01-01,b-2025-02-02", "no-output-x, not-context-1m", "outputs"] + ([long] if model else []):
        same(who(say(client, fields=[("anthropic-beta", beta)])), "p1")
        same(one.last().fields.all("anthropic-beta"), [beta], "betas at the provider")


@play
def account_of_the_operator():
  """a 400 that is about the operator's account is a failure of the provider, and its text reaches nobody"""
  broke = refusing(400, "Your credit balance is too low to access the API. Go to Plans.", "invalid_request_error")
  for kinds in ((MessagesProvider,), (MessagesProvider, MessagesProvider), (MessagesProvider, Provider)):
    with company(*kinds) as (client, edge, (one, *others)):
      for asks in both(client):
        for asked in asks[:2]:
          one.script = broke
          response = asked()
          holds(b"credit balance" not in response.body, f"the client reads {response.body!r}")
          if others:
            same((who(response), failed_at(edge, response)), ("p2", [("p1", "PROVIDER_ERROR")]))
          else:
            asks[2](response, "PROVIDER_ERROR")
            assert_free(edge, response)
          one.script = refusing(400, "messages: Your credit balance", "invalid_request_error")
          response = asked()
          same((response.status, b"messages: Your credit balance" in response.body), (400, True), "another 400")
      same(balance(client), 1000 - (4 * cost(15) if others else 0))


# MARK: answers that reach nobody


# Little room for bodies.
SMALL = {"server": {"memory": {"bodies": "1MiB"}}, "limits": {"body_size": "1MiB"}}


@play
def no_room_for_the_answer():
  """an answer for which there is no room is a 503 that costs nothing, and the room that it took comes back"""
  huge, large = "x" * 2_000_000, "x" * 700_000  # the second has room once, but not twice
  for kind, whole, at in ((Provider, lambda said: completion(said, usage(10, 5)), 0),
                          (MessagesProvider, lambda said: message(said, tokens(10, 5)), 1)):
    for others in ((), (Provider,)):
      with company(kind, *others, **SMALL) as (client, edge, (one, *_)):
        for number in range(6):
          asked, _, check = both(client)[number % 2]
          one.script = told(whole(huge if number % 2 == at else large))
          response = asked()
          check(response, "SERVICE_UNAVAILABLE")
          assert_free(edge, response)
          same(settled(client), 1000)
        one.script = one.usual
        same(who(ask(client)), "p1")
        same(balance(client), 1000 - cost(15))


@play
def no_room_within_a_stream():
  """a stream whose first event finds no room beside the request is a 503 that costs nothing, whatever it used"""
  said = "x" * 200_000
  for kind, body, events in (
      (Provider, chat("y" * 1_000_000, stream=True, stream_options={"include_usage": True}),
       [part(delta={"role": "assistant"}, usage=usage(10, 1)), part(said), *story(used=usage(10, 5))]),
      (MessagesProvider, talk("y" * 1_000_000, stream=True), tale(said))):
    with company(kind, kind, **SMALL) as (client, edge, (one, two)):
      for script in (streamed(*events), streamed(b"".join(events))):
        one.script = script
        response = (ask if kind is Provider else say)(client, body)
        same(response.status, 503, f"status ({response.body[:300]!r})")
        assert_free(edge, response)
        same((settled(client), two.lines), (1000, []))
      one.script = one.usual
      same(who((ask if kind is Provider else say)(client, body)), "p1")


def bad_call(request, line):
  """A call whose arguments are no JSON, whole or streamed, which only its own dialect can say; 10 in, 5 out."""
  if json.loads(request.body).get("stream"):
    streamed(call_of(0, "z" * 300), part(finish="tool_calls"), totals(usage(10, 5)), DONE)(request, line)
    return
  document = completion(None, usage(10, 5))
  document["choices"][0]["message"]["tool_calls"] = [
    {"id": "c", "type": "function", "function": {"name": "f", "arguments": "not json"}}]
  told(document)(request, line)


@play
def cannot_be_said():
  """an answer that the client's dialect cannot say is a 502 that costs nothing, or another provider's"""
  for others in ((), (Provider,), (MessagesProvider,)):
    with company(Provider, *others) as (client, edge, (one, *more)):
      for asked in both(client)[1][:2]:
        one.script = bad_call
        if more:
          response = asked()
          same((who(response), failed_at(edge, response)), ("p2", [("p1", "PROVIDER_ERROR")]))
          more[0].script = failing(500)
        response = asked()
        assert_message_error(response, "ALL_PROVIDERS_FAILED" if more else "PROVIDER_ERROR")
        assert_free(edge, response)
        if more:
          more[0].script = more[0].usual
      same(balance(client), 1000 - len(more) * 2 * cost(15))
      edge.stop()
      same(len(ledger_of(edge).settlements()), 8 if more else 2, "settlements")


@play
def failures_are_free():
  """however the last attempt fails before the client has anything, it costs nothing, whatever it used"""
  half = raw(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"id"', "close")
  told_role = part(delta={"role": "assistant", "content": ""}, usage=usage(10, 0))
  failed = event({"error": {"message": "x", "type": "server_error", "param": None, "code": None}})
  rows = ((half, False), (told(fields=[("Content-Encoding", "gzip")]), False), (failing(500), False),
          (streamed(ROLE, Line.close), True), (streamed(failed), True), (failing(500), True),
          (streamed(told_role, Line.close), True), (streamed(told_role, failed), True))
  for others in ((), (Provider,)):
    with company(Provider, *others) as (client, edge, found):
      for number, (script, stream) in enumerate(rows):
        for provider in found:
          provider.script = script
        response = ask(client, chat(stream=stream))
        assert_openai_error(response, "ALL_PROVIDERS_FAILED" if others else "PROVIDER_ERROR")
        assert_free(edge, response)
        same(settled(client), 1000, f"balance behind failure {number}")
