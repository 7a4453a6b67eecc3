"""Messages in the provider's own format: bytes pass as they are, but for the model's name; what they cost."""

import time

from play import *
from stage.credits import *
from stage.messages import *
from stage.provider import *

# A body that nobody would write, and everybody must keep.
ODD = (b'{ "temperature":1.0e0,\n\t"system":[{"type":"text","text":"\\u00e9 \xc3\xa9","cache_control":'
       b'{"type":"ephemeral"}}],"messages" : [ {"role":"user","content":"H\\u00e9 \\ud83d\\ude00 \xc3\xa9\\/"},'
       b'{"role":"assistant","content":[{"type":"thinking","thinking":"\\"model\\":","signature":"c2ln+/="}]} ] ,'
       b'"unknown":{"model":"inner","stream":true,"a":[1,2.50,-0,1E5,null]},\r\n'
       b'  "model"  :  "small" ,"metadata":{ } ,"max_tokens" :100, "stop_sequences":[ ]  }  \n')
# What of a client may reach a provider.
HANDED_ON = {"host", "content-type", "content-length", "accept", "accept-encoding", "x-api-key", "user-agent",
             "anthropic-version", "anthropic-beta", "idempotency-key", "x-client-request-id", "x-request-id",
             "traceparent"}
LEFT_SECONDS = 1.0 * MEMORY_FACTOR


def estimated(used, content):
  """The tokens of a stream without its totals: the input as reported, the output by its bytes."""
  return used["input_tokens"] + used["cache_read_input_tokens"] + used["cache_creation_input_tokens"], \
    max(used["output_tokens"], -(-len(content.encode()) // 4))


# MARK: bytes


@play
def whole_both_ways():
  """body and answer of a request that is not streamed pass byte for byte, whatever their spelling"""
  said = b' { "content" : [ {"type":"text","text":"\\u00e9 \xc3\xa9 \\/"} ],\r\n "usage":{"input_tokens" : 10, ' \
         b'"output_tokens":5.0e0 }, "type":"message","x":1.50 }\n\n'
  with messaging(replied(said)) as (client, edge, provider):
    for body in (ODD, talk(), talk("x" * 200_000), talk("é" * 5000)):
      response = say(client, body)
      same((response.status, response.body), (200, said))
      same(response.fields.one("content-type"), "application/json")
      same(provider.last().body, body, "the body at the provider")
    same({request.target for request in provider.requests}, {MESSAGES}, "paths at the provider")
    same(len(provider.lines), 1, "connections to the provider")


@play
def stream_both_ways():
  """body and events of a streamed request pass byte for byte: pings, comments, names and kinds nobody knows included"""
  events = tale("he", "llo", blocks=[thought("so ", "so"), called("weather", "", '{"a":', "1}"), called("now")],
                stop="tool_use")
  odd = [b": a comment\n\n", events[0], PING, *events[1:4], named("novel_event", more={"a": [1.50]}), PING, *events[4:]]
  spelled = [one.replace(b'":', b'" : ').replace(b"event: ", b"event:") for one in events]
  with messaging() as (client, edge, provider):
    for found in (events, odd, spelled):
      provider.script = streamed(*found)
      body = ODD.replace(b'"temperature"', b'"stream" : true,"temperature"', 1)
      answered = begin_talk(client, body)
      same(answered.rest(), b"".join(found))
      same(provider.last().body, body, "the body at the provider")
      assert_charged(edge, answered.response, cost(15), tokens=(10, 5), stream=True)
    same(client.get("/health").status, 200, "the next request of the connection")


@play
def name_at_the_provider():
  """a model goes to its provider under its upstream_name, and not another byte of the body changes"""
  last = b'{"max_tokens":9,"messages":[{"role":"user","content":"small"}],"model":"small"}'
  with messaging(model={"upstream_name": "small-2026-01-01"}) as (client, edge, provider):
    for body, name in ((ODD, ODD.rindex(b'"small"')), (talk(), talk().index(b'"small"')),
                       (last, last.rindex(b'"small"'))):
      same(say(client, body).status, 200)
      same(provider.last().body, body[:name] + b'"small-2026-01-01"' + body[name + 7:], "the body at the provider")
    same({line["model"] for line in edge.exchanges(3)}, {"small"}, "models in the log")


@play
def one_provider_by_name():
  """`provider/model` and the field edge-provider name one provider, and neither reaches it"""
  with MessagesProvider(replied(message("one", tokens(1, 1)))) as one:
    with MessagesProvider(replied(message("two", tokens(1, 1)))) as two:
      document, files = llm(one, two)
      with Edge(document, files=files) as edge, edge.client() as client:
        for body, fields, wanted in ((talk(), [], "one"), (talk(model="p2/small"), [], "two"),
                                     (talk(), [("Edge-Provider", "p2")], "two")):
          response = say(client, body, fields=fields)
          same(heard_message(response).text, wanted)
          same(response.fields.one("edge-provider"), {"one": "p1", "two": "p2"}[wanted])
        same(two.asked()["model"], "small", "the model at the provider")
        holds("edge-provider" not in two.last().fields, "edge-provider reached the provider")


@play
def split_at_each_place():
  """wherever a stream is split in two, the client gets the same bytes and pays the same"""
  data = b"".join(tale("h\u00e9", blocks=[called("weather", '{"a":1}')], stop="tool_use"))
  with messaging() as (client, edge, provider):
    def halves(request, line):
      at = json.loads(request.body)["top_k"]
      line.send(STREAM_HEAD + chunk(data[:at]))
      await_read(line)
      line.send(chunk(data[at:]) + b"0\r\n\r\n")
    provider.script = halves
    places = range(1, len(data), 7)
    for at in places:
      same(begin_talk(client, talk(stream=True, top_k=at)).rest(), data, f"split at {at}")
    edge.exchanges(len(places))
    same({exact(line["credits"]) for line in edge.matching(route="messages")}, {cost(15)}, "charges")


@play
def not_delayed():
  """from the first content on each event reaches the client before the next is sent, up to those told last"""
  events = [*tale("one", "two", blocks=[called("now", "{}")])]
  with messaging() as (client, edge, provider):
    gates = [provider.gate() for _ in events]
    provider.script = streamed(*[one for pair in zip(gates, events) for one in pair])
    client.send(post(talk(stream=True), path=MESSAGES))
    for gate in gates[:2]:
      gate.reached()
      client.assert_open()
      gate.open()
    gates[2].reached()
    client.assert_open()  # nothing of the answer is said by then, and another provider could still say it
    gates[2].open()
    answered = Events(client)
    same([answered.next() for _ in range(3)], events[:3])
    for gate, one in zip(gates[3:-2], events[3:-2]):
      gate.reached()
      client.assert_open()
      gate.open()
      same(answered.next(), one)
    for gate in gates[-2:]:
      gate.open()
    same(answered.rest(), b"".join(events[-2:]))


@play
def fields_to_the_provider():
  """a provider gets its own key in x-api-key and the version as the client says it, or the usual one"""
  with messaging() as (client, edge, provider):
    secrets = [("Cookie", "session=HIDDEN"), ("X-Secret", "HIDDEN"), ("X-User-Id", "HIDDEN")]
    text_of = token()
    for own in ([bearer(text_of)], [("X-Api-Key", text_of)], [bearer(text_of), ("X-Api-Key", text_of)]):
      for body in (talk(), talk(stream=True)):
        response = say(client, body, None, [*own, *secrets])
        same(response.status, 200)
        request = provider.last()
        same(request.fields.all("x-api-key"), [KEY], "x-api-key at the provider")
        same(request.fields.all("anthropic-version"), [VERSION], "the version that nobody named")
        names = {name for name in request.fields.names() if not name.startswith("x-stainless-")}
        holds(names <= HANDED_ON, f"fields at the provider: {sorted(names - HANDED_ON)}")
        for hidden in (b"HIDDEN", text_of.encode(), b"alice"):
          holds(hidden not in request.raw_head, f"{hidden} reached the provider: {request.raw_head}")
        holds(KEY.encode() not in response.raw_head + response.body, "the provider's key reached the client")
    say(client, fields=[("Anthropic-Version", "2024-10-22"), ("anthropic-beta", "a-2025-01-01,b-2025-02-02")])
    found = provider.last().fields
    same((found.all("anthropic-version"), found.all("anthropic-beta")),
         (["2024-10-22"], ["a-2025-01-01,b-2025-02-02"]), "version and betas of the client")
    same((found.one("host"), found.one("accept-encoding")), (f"127.0.0.1:{provider.address[1]}", "identity"))


@play
def fields_to_the_client():
  """the answer carries the exchange's id in request-id and in x-request-id, and not that of the provider"""
  with messaging() as (client, edge, provider):
    for body in (talk(), talk(stream=True)):
      response = say(client, body)
      assert_ulid(response.fields.one("request-id"))
      same(response.fields.one("x-request-id"), response.fields.one("request-id"))
      same((response.fields.one("edge-provider"), "edge-model" in response.fields), ("p1", False))
      edge.line_of(response)


# MARK: what it costs


@play
def every_kind_of_token():
  """tokens read from a cache, written to it and thought are told in the log and charged at their own prices"""
  prices = {"input": Decimal("1"), "output": Decimal("10"), "cached": Decimal("0.1"), "cache_write": Decimal("2"),
            "reasoning": Decimal("5")}
  used = tokens(40, 50, read=30, written=20, thinking=35)
  wanted = (40 * prices["input"] + 30 * prices["cached"] + 20 * prices["cache_write"] + 15 * prices["output"]
            + 35 * prices["reasoning"]) / 1000
  with messaging(model={"price": prices}) as (client, edge, provider):
    for script, body in ((replied(used=used), talk()), (streamed(*tale("hello", used=used)), talk(stream=True)),
                         (streamed(*tale("hello", used=used, repeats=True)), talk(stream=True))):
      provider.script = script
      line = assert_charged(edge, say(client, body), wanted, tokens=(90, 50), provider="p1", model="small",
                            route="messages", cause="completed")
      same({name: line["usage"][name] for name in ("cachedTokens", "cacheWriteTokens", "reasoningTokens")},
           {"cachedTokens": 30, "cacheWriteTokens": 20, "reasoningTokens": 35})
    same(balance(client), 1000 - 3 * wanted)


@play
def totals_of_a_stream():
  """the totals told last count, for what they tell; what they leave out stays as it was told first"""
  events = tale("hello", used=tokens(10, 5, read=20))
  rows = [([closing({"output_tokens": 2}, stop=None), closing({"output_tokens": 7})], (30, 7)),
          ([closing({"output_tokens": 7, "input_tokens": 40, "cache_read_input_tokens": 0})], (40, 7)),
          ([closing({"output_tokens": 7, "input_tokens": None, "cache_read_input_tokens": None})], (30, 7)),
          ([closing({"output_tokens": 0})], (30, 0))]
  with messaging() as (client, edge, provider):
    for ends, wanted in rows:
      provider.script = streamed(*events[:-2], *ends, STOP)
      answered = begin_talk(client)
      same(answered.rest(), b"".join([*events[:-2], *ends, STOP]))
      assert_charged(edge, answered.response, cost(sum(wanted)), tokens=wanted)


@play
def estimate_of_a_request():
  """the estimate is half the body's bytes and max_tokens, at most the model's; a picture is the model's number"""
  picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD" * 5000}}
  with messaging(model={"image_tokens": 700}) as (client, edge, provider):
    for fields, output in (({}, 100), ({"max_tokens": 10}, 10), ({"max_tokens": 1_000_000}, MAX_OUTPUT),
                           ({"max_tokens": 0}, 0), ({"stream": True, "max_tokens": 7}, 7)):
      body = talk(**fields)
      same(estimate(client, body, path="/estimate-messages"), cost(len(body) // 2 + output), f"estimate with {fields}")
    body = talk([text("what is this?"), picture, {"type": "image", "source": {"type": "url", "url": "https://a.b/c"}}])
    found = estimate(client, body, path="/estimate-messages")
    holds(cost(1400 + 100) <= found <= cost(1400 + 100 + 1000), f"{found} for two pictures of 700 tokens")
    same(provider.lines, [], "connections to the provider")
    same(say(client, talk(max_tokens=0)).status, 200, "a request that only warms the cache")


@play
def client_leaves_within_a_stream():
  """a client that leaves mid-stream is charged the input as reported and what came by its bytes"""
  used = tokens(10, 3, read=4, written=2)
  deltas = (("hello" * 4, piece("hello" * 4)), ("so so so",
            named("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "so so so"})))
  with messaging(provider={"timeouts": {"idle": "10m"}}) as (client, edge, provider):
    spent = Decimal(0)
    for turn, (content, delta) in enumerate(deltas):
      events = [opening(used), PING, *tale("")[1:2], delta]
      provider.script = streamed(*events, Line.hang)
      other = edge.client()
      answered = begin_talk(other)
      same(b"".join(answered.next() for _ in events), b"".join(events))
      holds(account(client)[1] > 0, "nothing is held while the stream runs")
      since = time.monotonic()
      other.close()
      provider.lines[turn].await_end()
      holds(time.monotonic() - since < LEFT_SECONDS, f"the provider saw it after {time.monotonic() - since:.3f} s")
      counted = estimated(used, content)
      assert_charged(edge, answered.response, cost(sum(counted)), "estimated", counted, cause="client_left")
      spent += cost(sum(counted))
      same(settled(client), 1000 - spent)


@play
def client_leaves_before_the_answer():
  """a client that leaves before the answer is charged the input as an estimate"""
  with messaging(lambda request, line: line.hang(), provider={"timeouts": {"head": "10m", "answer": "10m"}}) as (
      client, edge, provider):
    for turn, body in enumerate((talk(), talk(stream=True))):
      before = settled(client)
      other = edge.client()
      other.send(post(body, path=MESSAGES))
      provider.wait_requests(turn + 1)
      other.close()
      provider.lines[turn].await_end()
      eventually(lambda: settled(client) == before - cost(len(body) // 2), f"the charge for {body!r}")


@play
def provider_that_cuts():
  """a stream cut behind content is cut for the client, and what came is charged; cut before it, it is a 502 for free"""
  used = tokens(10, 2, read=5)
  begun, content = [opening(used), *tale("")[1:2]], [piece("hello" * 5)]
  with messaging() as (client, edge, provider):
    for end in (Line.close, read_and_reset):
      before = settled(client)
      for events in ([], begun[:1], [*begun, PING]):
        provider.script = streamed(*events, end)
        response = say(client, talk(stream=True))
        assert_message_error(response, "PROVIDER_ERROR")
        same(exact(edge.line_of(response)["credits"]), 0)
      provider.script = streamed(*begun, *content, b"event: content_bl", end)
      with edge.client() as other:
        answered = begin_talk(other)
        same(answered.cut(), b"".join(begun + content))
        counted = estimated(used, "hello" * 5)
        assert_charged(edge, answered.response, cost(sum(counted)), "estimated", counted, cause="upstream_cut")
      same(settled(client), before - cost(sum(counted)))


@play
def cut_behind_the_totals():
  """a stream that is cut behind its totals is charged by them"""
  with messaging(streamed(*tale("hello")[:-1], Line.close)) as (client, edge, provider):
    with edge.client() as other:
      answered = begin_talk(other)
      answered.cut()
      assert_charged(edge, answered.response, cost(15), tokens=(10, 5), cause="upstream_cut")
    same(settled(client), 1000 - cost(15))


@play
def error_within_a_stream():
  """an error behind content passes as it is, and what came is charged; before content it is a 502 for free"""
  begun = [opening(tokens(10, 1)), *tale("")[1:2]]
  with messaging() as (client, edge, provider):
    for early in ([], begun[:1], [*begun, PING]):
      provider.script = streamed(*early, failure())
      response = say(client, talk(stream=True))
      assert_message_error(response, "PROVIDER_ERROR")
      same(exact(edge.line_of(response)["credits"]), 0)
    provider.script = streamed(*begun, piece("hello"), failure())
    with edge.client() as other:
      answered = begin_talk(other)
      wanted = [*begun, piece("hello"), failure()]
      same([answered.next() for _ in wanted], wanted)
      assert_charged(edge, answered.response, cost(12), "estimated", (10, 2))
    same(settled(client), 1000 - cost(12))


@play
def end_waits_for_the_ledger():
  """when the client has read message_stop the charge stands on the disk, and a crash at that moment loses nothing"""
  with MessagesProvider() as provider, Folder() as folder:
    document, files = llm(provider)
    for turn in range(1, 4):
      with Edge(document, files=files, folder=folder) as edge, edge.client() as client:
        answered = begin_talk(client)
        while answered.next() != STOP:
          pass
        edge.crash()
      ledger = Ledger(folder.path).assert_sound()
      same(ledger.of("alice"), 1000 - turn * cost(15), f"balance after crash {turn}")
      same(len(ledger.settlements()), turn, "settlements")


# MARK: what goes wrong


@play
def refusals_of_the_edge():
  """what the edge refuses is told in Anthropic's form, with the exchange's id in the body and the fields"""
  with messaging(route={"body_size": "20KiB"}) as (client, edge, provider):
    assert_message_error(say(client, user=None), "UNAUTHORIZED")
    assert_message_error(say(client, fields=[], role="nobody"), "FORBIDDEN")
    assert_message_error(say(client, talk(model="other")), "MODEL_NOT_FOUND")
    with edge.client() as other:
      assert_message_error(say(other, talk("x" * 30_000)), "MESSAGE_TOO_LARGE")
    error = assert_message_error(say(client, talk(max_tokens=-1)), "INVALID_REQUEST", "max_tokens")
    holds("details" not in error, f"{error}")
    for body in (b"", b"{", b"[]", b"hello", talk()[:-5]):
      with edge.client() as other:
        assert_message_error(say(other, body), "INVALID_REQUEST")
    same(provider.lines, [], "connections to the provider")
  with messaging(balance=0) as (client, edge, provider):
    for body in (talk(), talk(stream=True)):
      error = assert_message_error(say(client, body), "INSUFFICIENT_CREDITS", said="credit")
      holds(isinstance(error["details"], dict), f"{error}")
    same((provider.lines, balance(client)), ([], 0))


@play
def wrong_requests():
  """members that the edge reads must be there once, of their type; what no price list covers is refused, by its name"""
  base = '"model":"small","max_tokens":9,"messages":[{"role":"user","content":"hello"}]'
  rows = [('"model":"small","max_tokens":9', "messages"), (base.replace('"max_tokens":9,', ""), "max_tokens"),
          (base.replace('"model":"small",', ""), "model"), (base + ',"model":"other"', "model"),
          (base + ',"mod\\u0065l":"other"', "model"), (base + ',"Model":"other"', "model"),
          (base + ',"max_tokens":9', "max_tokens"), (base + ',"stream":1', "stream"),
          (base + ',"stream":true,"stream":false', "stream"), (base.replace("9", '"9"'), "max_tokens"),
          (base.replace("9", "1.5"), "max_tokens"), (base + ',"service_tier":"priority"', "service_tier"),
          (base + ',"speed":"fast"', "speed"), (base + ',"inference_geo":"us"', "inference_geo"),
          (base + ',"container":"c"', "container"), (base + ',"mcp_servers":[{"type":"url"}]', "mcp_servers"),
          (base + ',"tools":[{"type":"web_search_20250305","name":"web_search"}]', "tools"),
          (base + ',"tools":[{"type":"code_execution_20250825","name":"code_execution"}]', "tools"),
          (base + ',"tools":[{"name":"a","input_schema":{},"cache_control":{"type":"ephemeral","ttl":"1h"}}]', None),
          (base + ',"system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral","ttl":"1h"}}]', None),
          (base.replace('"hello"', '[{"type":"text","text":"a","cache_control":{"type":"ephemeral","ttl":"1h"}}]'),
           None),
          (base.replace('"hello"', '[{"type":"document","source":{"type":"url","url":"https://a.b/c.pdf"}}]'),
           "messages"),
          (base.replace('"hello"', '[{"type":"document","source":{"type":"file","file_id":"f"}}]'), "messages"),
          (base.replace('"hello"', '[{"type":"image","source":{"type":"file","file_id":"f"}}]'), "messages")]
  with messaging() as (client, edge, provider):
    for row, param in rows:
      try:
        assert_message_error(say(client, b"{%s}" % row.encode()), "INVALID_REQUEST", param)
      except Failed as failed:
        raise Failed(f"{row}: {failed}") from None
    same(provider.lines, [], "connections to the provider")


@play
def passed_requests():
  """what only the client runs, or costs what the price list says, passes as it is"""
  base = '"model":"small","max_tokens":9,"messages":[{"role":"user","content":"hello"}]'
  rows = ['"service_tier":"auto"', '"service_tier":"standard_only"', '"speed":null', '"inference_geo":"global"',
          '"tools":[{"type":"custom","name":"a","input_schema":{}},{"name":"b","input_schema":{}}]',
          '"tools":[{"type":"bash_20250124","name":"bash"},{"type":"text_editor_20250728","name":"e"}]',
          '"thinking":{"type":"enabled","budget_tokens":1024},"top_k":5', '"other":1,"other":2',
          '"system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral","ttl":"5m"}}]']
  with messaging() as (client, edge, provider):
    for row in rows:
      body = b"{%s,%s}" % (base.encode(), row.encode())
      same(say(client, body).status, 200, f"status for {row}")
      same(provider.last().body, body)


@play
def errors_of_the_provider():
  """400, 413 and 422 pass as they are; other errors are told as the edge's own, in Anthropic's form, and are free"""
  with messaging() as (client, edge, provider):
    for body in (talk(), talk(stream=True)):
      for status in (400, 413, 422):
        provider.script = refusing(status, "your fault", "invalid_request_error")
        response = say(client, body)
        same(response.status, status)
        same(json.loads(response.body)["error"], {"type": "invalid_request_error", "message": "your fault"})
        assert_ulid(response.fields.one("request-id"))
      for status, name in ((401, "PROVIDER_ERROR"), (403, "PROVIDER_ERROR"), (500, "PROVIDER_ERROR"),
                           (529, "PROVIDER_ERROR"), (302, "PROVIDER_ERROR"), (404, "MODEL_NOT_FOUND")):
        provider.script = refusing(status, f"bad key {KEY}")
        response = say(client, body)
        assert_message_error(response, name)
        holds(KEY.encode() not in response.body and b"bad key" not in response.body, f"{response.body}")
      provider.script = refusing(429, fields=[("Retry-After", "17")])
      response = say(client, body)
      assert_message_error(response, "RATE_LIMIT_EXCEEDED")
      same(response.fields.one("retry-after"), "17")
    same(balance(client), 1000)
    same({exact(line.get("credits", 0)) for line in edge.exchanges(20) if line["route"] == "messages"}, {0}, "credits")


@play
def silent_provider():
  """a provider that does not answer in time is a 504 in Anthropic's form, and costs nothing"""
  limits = {"timeouts": {"head": "300ms", "answer": "300ms"}}
  with messaging(lambda request, line: line.hang(), provider=limits) as (client, edge, provider):
    for body in (talk(), talk(stream=True)):
      assert_message_error(say(client, body), "TIMEOUT")
    same(balance(client), 1000)


@play
def one_after_the_other():
  """messages, chats' refusals and other requests follow each other on one connection, pipelined too"""
  def script(request, line):
    replied(message(json.loads(request.body)["metadata"]["user_id"], tokens(10, 5)))(request, line)
  with messaging(script) as (client, edge, provider):
    numbers = [f"{number:02}" for number in range(20)]
    client.send(b"".join(post(talk(metadata={"user_id": number}), path=MESSAGES) + head("GET", "/health")
                         for number in numbers))
    for number in numbers:
      same(heard_message(client.read_response("POST")).text, number)
      same(client.read_response().status, 200)
    assert_message_error(say(client, b"{}"), "INVALID_REQUEST")
    same((len(provider.lines), balance(client)), (1, 1000 - 20 * cost(15)))
