"""Requests on the platform's WebSocket: what may be asked, what is answered, and how several of them live together."""

from play import *
from stage.credits import *
from stage.messages import *
from stage.platform import *
from stage.provider import *
from stage.websocket import *

KINDS = (Provider, MessagesProvider)
HANG = (lambda request, line: line.hang())
CALLS = [("weather", {"city": "Oslo"}), ("now", {})]


def whole_and_streamed(whole, events):
  """A script that gives this document, or these events to who streams."""
  def script(request, line):
    (streamed(*events) if json.loads(request.body).get("stream") else told(whole))(request, line)
  return script


def calling(kind):
  """A script of a provider of this kind that calls two tools."""
  if kind is MessagesProvider:
    blocks = [called("weather", '{"city":', '"Oslo"}'), called("now", "{}", call="toolu_2")]
    said = [text("ok"), tool_use("weather", {"city": "Oslo"}), tool_use("now", {}, "toolu_2")]
    return whole_and_streamed(message(said, tokens(10, 5), stop="tool_use"),
                              tale("ok", blocks=blocks, stop="tool_use"))
  functions = [{"id": f"call_{at}", "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
               for at, (name, given) in enumerate(CALLS)]
  document = completion("ok", usage(10, 5))
  document["choices"][0]["message"]["tool_calls"] = functions
  document["choices"][0]["finish_reason"] = "tool_calls"
  events = [part("ok"), call_of(0, "", "weather"), call_of(0, '{"city":'), call_of(0, '"Oslo"}'),
            call_of(1, "{}", "now"), part(finish="tool_calls"), totals(usage(10, 5)), DONE]
  return whole_and_streamed(document, events)


# MARK: asking


@play
def whole_answers():
  """a request that is not streamed gets one message, with all that it says and costs, from providers of either kind"""
  for kind in KINDS:
    with speaking(kind=kind) as (session, client, edge, provider):
      for fields in ({}, {"stream": False}, {"kind": "completion"}, {"kind": "completion", "prompt": "Say hello."},
                     {"prompt": "Say hello."}, {"provider": "auto"}, {"provider": None}, {"unknown": {"a": [1]}}):
        found = session.answered("a", **fields)
        same((found.chunks, found.end["data"], found.end["metadata"]["finishReason"]), ([], "hello", "stop"))
        same((found.end["metadata"]["model"], found.end["metadata"]["provider"]), ("small", "p1"))
        assert_paid(edge, found, cost(15), tokens=(10, 5), messageId="a", status=200, cause="completed", stream=False,
                    provider="p1", model="small", route="platform", path="/ws", principal="alice")
        asked = provider.asked()["messages"][0]
        same((asked["role"], asked["content"] if isinstance(asked["content"], str) else asked["content"][0]["text"]),
             ("user", "Say hello."))
      session.assert_quiet()
      same(len({line["requestId"] for line in edge.matching(messageId="a")}), 8, "request ids")


@play
def streamed_answers():
  """a streamed request gets each piece as it comes, and then an end without data, from providers of either kind"""
  for kind in KINDS:
    with speaking(kind=kind) as (session, client, edge, provider):
      for fields in ({}, {"kind": "completion", "prompt": "Say hello."}):
        found = session.answered("a", stream=True, **fields)
        same([one["data"] for one in found.chunks], ["he", "llo"])
        same(("data" in found.end, found.end["type"]), (False, "done"))
        assert_paid(edge, found, cost(15), tokens=(10, 5), stream=True, cause="completed", messageId="a")
      gate = provider.gate()
      first, rest = part("one"), story("two", used=usage(10, 5))
      if kind is MessagesProvider:
        events = tale("one", "two")
        first, rest = b"".join(events[:3]), events[3:]
      provider.script = streamed(first, gate, *rest)
      session.ask("b", stream=True)
      session.chunk("b", "one")
      session.assert_quiet()
      gate.open()
      same(session.done("b").text, "two")


@play
def other_name_of_the_end():
  """with nonstream_type: completion an answer that is not streamed has this type, and the end of a stream has not"""
  with speaking(socket={"nonstream_type": "completion"}) as (session, client, edge, provider):
    session.ask("a")
    same(session.done("a", "completion").end["data"], "hello")
    session.ask("b", stream=True)
    same(session.done("b", "done").text, "hello")


@play
def texts_of_all_kinds():
  """whatever letters a text has, it arrives at the provider and at the client as it was, streamed or not"""
  odd = 'q"b\\s/ \b\f\n\r\t\x01\x7f \u00e9 \u2028\u2029 \ufeff \U0001f600 </script> \\u0041 {"a":1}'
  with speaking() as (session, client, edge, provider):
    for raw_text in (False, True):
      def written(content, raw_text=raw_text):
        return json.dumps(content, ensure_ascii=not raw_text).encode()
      document = completion("X", usage(10, 5))
      provider.script = whole_and_streamed(dumped(document).replace(b'"X"', written(odd)),
                                           [part("X").replace(b'"X"', written(odd)), *story("", used=usage(10, 5))[1:]])
      session.running |= {"a", "b"}
      session.say(json.dumps(asking("a", odd), ensure_ascii=not raw_text))
      same(session.done("a").end["data"], odd)
      session.say(json.dumps(asking("b", odd, stream=True), ensure_ascii=not raw_text))
      same(session.done("b").text, odd)
      same({one["messages"][0]["content"] for one in (provider.asked(), provider.asked(-2))}, {odd})


def heard_settings(asked):
  """What a provider of either kind was asked for, in the same words."""
  found = {name: asked.get(name) for name in ("temperature", "top_p")}
  found["most"] = asked.get("max_completion_tokens", asked.get("max_tokens"))
  found["stop"] = asked.get("stop_sequences", asked.get("stop"))
  return found


@play
def settings():
  """what a request says about its answer reaches the provider in the provider's words, in either spelling"""
  tool = {"type": "function", "function": {"name": "weather", "description": "d",
                                           "parameters": {"type": "object", "properties": {}}}}
  wanted = {"temperature": 0.5, "top_p": 0.25, "most": 7, "stop": ["x", "y"]}
  rows = [{"maxTokens": 7, "temperature": 0.5, "topP": 0.25, "stop": ["x", "y"]},
          {"max_tokens": 7, "temperature": 0.5, "top_p": 0.25, "stop": ["x", "y"]},
          {"max_completion_tokens": 7, "temperature": 0.5, "topP": 0.25, "stop": ["x", "y"]}]
  for kind in KINDS:
    with speaking(kind=kind) as (session, client, edge, provider):
      for row in rows:
        session.answered("a", **row)
        same(heard_settings(provider.asked()), wanted, f"for {row}")
      for row in ({"tools": [tool], "toolChoice": "required"}, {"tools": [tool], "tool_choice": "required"}):
        session.answered("a", **row)
        asked = provider.asked()
        name = asked["tools"][0].get("function", asked["tools"][0])["name"]
        same((name, asked["tool_choice"]), ("weather", "required" if kind is Provider else {"type": "any"}))
      for row in ({"maxTokens": 7, "max_tokens": 7}, {"topP": 1, "top_p": 1},
                  {"toolChoice": "auto", "tool_choice": "auto", "tools": [tool]}):
        session.refused("a", "INVALID_REQUEST", **row)
  with speaking() as (session, client, edge, provider):
    for row in ({"responseFormat": {"type": "json_object"}, "reasoningEffort": "low", "user": "u"},
                {"response_format": {"type": "json_object"}, "reasoning_effort": "low", "user": "u"}):
      session.answered("a", **row)
      asked = provider.asked()
      same((asked["response_format"], asked["reasoning_effort"], asked["user"]), ({"type": "json_object"}, "low", "u"))
    session.refused("a", "INVALID_REQUEST", responseFormat={"type": "text"}, response_format={"type": "text"})


@play
def forms_of_answers():
  """a schema for the answer reaches the provider in its own words, with what the client says and nothing more"""
  schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
  for kind in KINDS:
    with speaking(kind=kind) as (session, client, edge, provider):
      for more in ({}, {"strict": False}, {"strict": True}):
        wish = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, **more}}
        session.answered("a", responseFormat=wish)
        asked = provider.asked()
        if kind is Provider:
          found = asked["response_format"]
          same((found["type"], found["json_schema"]["schema"]), ("json_schema", schema))
          same(found["json_schema"].get("strict", False), more.get("strict", False), f"strict for {more}")
        else:
          same(asked["output_config"]["format"], {"type": "json_schema", "schema": schema})
      session.answered("a", responseFormat={"type": "text"})


@play
def conversations():
  """a conversation of several turns, with parts and calls of tools in either spelling, reaches the provider"""
  call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
  for calls, name in (("toolCalls", "toolCallId"), ("tool_calls", "tool_call_id")):
    turns = [{"role": "system", "content": "Be brief."},
             {"role": "user", "content": [{"type": "text", "text": "rain?"}]},
             {"role": "assistant", "content": None, calls: [call]},
             {"role": "tool", name: "call_1", "content": "yes"}]
    with speaking() as (session, client, edge, provider):
      same(session.answered("a", messages=turns).end["data"], "hello")
      asked = provider.asked()["messages"]
      same([one["role"] for one in asked], ["system", "user", "assistant", "tool"])
      same((asked[2]["tool_calls"], asked[3]["tool_call_id"]), ([call], "call_1"))
    with speaking(kind=MessagesProvider) as (session, client, edge, provider):
      same(session.answered("a", messages=turns).end["data"], "hello")
      asked = provider.asked()
      holds("Be brief." in json.dumps(asked["system"]), f"{asked}")
      same(asked["messages"][1]["content"][0]["input"], {"city": "Oslo"})
      same(asked["messages"][2]["content"][0]["tool_use_id"], "call_1")


@play
def what_is_no_request():
  """what nobody could do, or say the cost of, is INVALID_REQUEST with the request's id, and no provider hears of it"""
  say = [{"role": "user", "content": "hi"}]
  rows = [{"messages": say, "prompt": "hi"}, {"messages": None}, {"messages": []}, {"messages": "hi"},
          {"messages": [1]}, {"messages": {}}, {"prompt": 1}, {"prompt": ["a"]}, {"prompt": None},
          {"messages": [{"role": "user"}]}, {"messages": [{"role": "king", "content": "hi"}]}, {"model": None},
          {"model": 1}, {"model": ""}, {"model": ["small"]}, {"provider": 1}, {"provider": {}}, {"stream": "yes"},
          {"stream": 1}, {"maxTokens": -1}, {"maxTokens": 1.5}, {"maxTokens": "5"}, {"maxTokens": 1 << 80},
          {"n": 2}, {"service_tier": "flex"}, {"audio": {"voice": "x", "format": "mp3"}}, {"modalities": ["audio"]},
          {"web_search_options": {}}, {"prediction": {"type": "content", "content": "x"}},
          {"tools": [{"type": "web_search"}]}]
  with speaking() as (session, client, edge, provider):
    for row in rows:
      try:
        session.ask("a", **row)
        error = session.error("a", "INVALID_REQUEST")
      except Failed as failure:
        raise Failed(f"{row}: {failure}") from None
      same(line_of(edge, error)["messageId"], "a")
    for content in ('{"id":"a","type":"chat","model":"small"}',
                    '{"id":"a","type":"chat","model":"small","model":"small","prompt":"x"}',
                    '{"id":"a","type":"chat","model":"small","prompt":"x","prompt":"y"}',
                    '{"id":"a","type":"chat","prompt":"x"}'):
      session.say(content)
      session.error("a", "INVALID_REQUEST")
    same(provider.lines, [])
    same(balance(client), 1000)
    same(session.answered().end["data"], "hello")


@play
def no_messages_at_all():
  """what is no JSON object with a known type is INVALID_MESSAGE_FORMAT, and the session goes on"""
  rows = ["", " ", "x", "{", '{"id":"a"', '{"id":"a",}', "[]", '["a"]', '"a"', "1", "null", "true", "\ufeff{}",
          '{"id":"a","type":"chat"} x', "{'id':'a'}", '{"id":"a","type":"chat","model":"small","prompt":"\x01"}',
          '{"id":"a","type":"chat","temperature":01}', '{"id":"a","type":"chat","model":NaN}', "[" * 5000,
          '{"a":' * 5000 + "1" + "}" * 5000, '{"id":"a","type":"chat","model":"\\x"}']
  typeless = ['{"id":"a"}', '{"id":"a","type":null}', '{"id":"a","type":1}', '{"id":"a","type":"Chat"}',
              '{"id":"a","type":""}', '{"id":"a","type":"dance","model":"small","prompt":"x"}']
  with speaking() as (session, client, edge, provider):
    for content in rows:
      session.say(content)
      try:
        error = session.error(None, "INVALID_MESSAGE_FORMAT")
      except Failed as failure:
        raise Failed(f"{content[:80]!r}: {failure}") from None
      among(line_of(edge, error)["status"], (400,), "status in the log")
    for content in typeless:
      session.say(content)
      session.error("a", "INVALID_MESSAGE_FORMAT")
    for content in ('{}', '{"type":"dance"}', '{"id":1,"type":"dance"}'):
      session.say(content)
      session.error(None, "INVALID_MESSAGE_FORMAT")
    same(provider.lines, [])
    same(session.answered().end["data"], "hello")


@play
def good_ids():
  """an id of 1 to 128 of the allowed characters is taken and given back, also in escapes, again and again"""
  with speaking() as (session, client, edge, provider):
    for name in ("a", "0", "A-Z.a_z:0-9", "x" * 128, "...", "-", "null", "a"):
      same(session.answered(name).end["id"], name)
    session.running.add("ab")
    session.say('{"id":"a\\u0062","type":"chat","model":"small","prompt":"hi"}')
    among(session.next()["id"], ("ab", None), "an id in escapes")
    with connected(edge) as other:
      gate = provider.gate()
      provider.script = streamed(part("one"), gate, *story("two", used=usage(10, 5)))
      for one in (session, other):
        one.ask("a", stream=True)
        one.chunk("a", "one")
      gate.open()
      same((session.done("a").text, other.done("a").text), ("two", "two"), "the same id on two sessions")


@play
def bad_ids():
  """what is no id, or one in use, is INVALID_MESSAGE_ID with the value beside it, and disturbs nobody"""
  bad = ["", "x" * 129, "a b", "a/b", "\u00e9", "a\n", "a\u0000", "a,b", 1, 1.5, True, None, [], ["a"], {}, {"a": 1}]
  with speaking() as (session, client, edge, provider):
    gate = provider.gate()
    provider.script = streamed(part("one"), gate, *story("two", used=usage(10, 5)))
    session.ask("used", stream=True)
    session.chunk("used", "one")
    for name in [*bad, "used"]:
      session.say(dumped(asking(name)))
      try:
        same(session.error(None, "INVALID_MESSAGE_ID")["details"], {"id": name}, "details")
      except Failed as failure:
        raise Failed(f"id {name!r}: {failure}") from None
    session.say('{"type":"chat","model":"small","prompt":"hi"}')
    same(session.error(None, "INVALID_MESSAGE_ID")["details"], {"id": None}, "without one")
    session.say(dumped(asking("y" * 300)))
    found = session.error(None, "INVALID_MESSAGE_ID")["details"]["id"]
    holds(100 <= len(found) <= 256 and set(found) == {"y"}, f"a long id: {found!r}")
    gate.open()
    same(session.done("used").text, "two")
    same(len(provider.requests), 1)
    provider.script = provider.usual
    same(session.answered("used").end["data"], "hello", "the id again")


@play
def not_yet():
  """a request for an embedding is NOT_IMPLEMENTED"""
  with speaking() as (session, client, edge, provider):
    session.tell({"id": "a", "type": "embedding", "model": "small", "input": "hi"})
    session.error("a", "NOT_IMPLEMENTED")
    session.assert_quiet()


@play
def unknown_models():
  """a model that nobody offers is MODEL_NOT_FOUND, and a provider that there is none of, or without it, is refused"""
  with speaking() as (session, client, edge, provider):
    for fields in ({"model": "other"}, {"model": "Small"}, {"model": "p1/other"}, {"model": "other", "provider": "p1"}):
      session.refused("a", "MODEL_NOT_FOUND", **fields)
    for fields in ({"provider": "p9"}, {"model": "p9/small"}, {"provider": ""}, {"provider": "P1"},
                   {"provider": "p1", "model": "p9/small"}):
      session.ask("a", **fields)
      among(session.next_of("a").get("error", {}).get("code"), ("MODEL_NOT_FOUND", "INVALID_REQUEST"), f"{fields}")
    same(provider.lines, [])


# MARK: answers


@play
def calls_of_tools():
  """calls of tools come in pieces where the answer is streamed and whole at its end, from providers of either kind"""
  tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
  for kind in KINDS:
    with speaking(calling(kind), kind=kind) as (session, client, edge, provider):
      for stream in (False, True):
        found = session.answered("a", stream=stream, tools=[tool])
        told_calls = [(one["function"]["name"], json.loads(one["function"]["arguments"]))
                      for one in found.end["toolCalls"]]
        same((told_calls, found.end["metadata"]["finishReason"]), (CALLS, "tool_calls"))
        same(found.text if stream else found.end["data"], "ok")
        if stream:
          same(found.calls(), found.end["toolCalls"], "the calls in pieces")
        assert_paid(edge, found, cost(15), tokens=(10, 5))


@play
def thinking_aloud():
  """what a model thinks comes apart from what it says"""
  events = [part(delta={"reasoning_content": "hm "}), part(delta={"reasoning_content": "yes"}),
            *story("hello", used=usage(10, 5, reasoning=3))]
  blocks = [thought("hm ", "yes"), spoken("hello")]
  for kind, script in ((Provider, streamed(*events)), (MessagesProvider, streamed(*tale(blocks=blocks)))):
    with speaking(script, kind=kind) as (session, client, edge, provider):
      found = session.answered("a", stream=True)
      same((found.reasoning, found.text), ("hm yes", "hello"))
      if kind is Provider:
        same(found.end["usage"].get("reasoningTokens"), 3)


@play
def reasons_to_stop():
  """the end of an answer says why the model stopped, in the platform's words, whoever answered"""
  rows = {Provider: {"stop": "stop", "length": "length", "content_filter": "content_filter"},
          MessagesProvider: {"end_turn": "stop", "max_tokens": "length", "stop_sequence": "stop",
                             "refusal": "content_filter"}}
  for kind, reasons in rows.items():
    with speaking(kind=kind) as (session, client, edge, provider):
      for theirs, ours in reasons.items():
        if kind is Provider:
          document = completion("hello", usage(10, 5))
          document["choices"][0]["finish_reason"] = theirs
          events = [part("hello"), part(finish=theirs), totals(usage(10, 5)), DONE]
        else:
          document, events = message("hello", tokens(10, 5), stop=theirs), tale("hello", stop=theirs)
        provider.script = whole_and_streamed(document, events)
        for stream in (False, True):
          same(session.answered("a", stream=stream).end["metadata"]["finishReason"], ours, f"{theirs}, {stream}")


@play
def every_kind_of_token():
  """cached and reasoning tokens are told where there are any, and the credits are those of the log and the ledger"""
  prices = {"input": Decimal("1"), "output": Decimal("10"), "cached": Decimal("0.1"), "reasoning": Decimal("5")}
  used = usage(100, 50, cached=40, reasoning=30)
  with speaking(whole_and_streamed(completion(used=used), story("hello", used=used)), model={"price": prices}) as (
      session, client, edge, provider):
    paid = 0
    for stream in (False, True):
      found = session.answered("a", stream=stream)
      same((found.end["usage"]["cachedTokens"], found.end["usage"]["reasoningTokens"]), (40, 30))
      assert_paid(edge, found, Decimal("0.414"), tokens=(100, 50))
      paid += found.end["usage"]["credits"]
    same(balance(client), 1000 - paid)
    edge.stop()
    same(ledger_of(edge).of("alice"), 1000 - paid)


@play
def answers_without_usage():
  """where the provider tells no usage, what is charged is an estimate, and the client is told that it is one"""
  with speaking(whole_and_streamed(completion("hello" * 4), story("hello" * 4))) as (session, client, edge, provider):
    for stream in (False, True):
      found = session.answered("a", stream=stream)
      line = assert_paid(edge, found, exact(found.end["usage"]["credits"]), source="estimated")
      same(line["usage"]["outputTokens"], 5)
      holds(found.end["usage"]["credits"] > 0, "nothing was charged")


@play
def answers_that_say_nothing():
  """an answer without a word has the data "", and one without a piece has none"""
  with speaking(whole_and_streamed(completion("", usage(10, 0)), story(used=usage(10, 0)))) as (
      session, client, edge, provider):
    same(session.answered("a").end["data"], "")
    found = session.answered("a", stream=True)
    same((found.chunks, "data" in found.end), ([], False))


@play
def how_long_it_took():
  """latency is the time in milliseconds from the message to its end"""
  with speaking() as (session, client, edge, provider):
    waiting = Deadline(0.3)
    provider.script = lambda request, line: (eventually(waiting.passed, "time passes", 5),
                                             told(used=usage(1, 1))(request, line))
    found = session.answered()
    holds(200 <= found.end["metadata"]["latency"] <= 9000, f"{found.end['metadata']}")
    line = line_of(edge, found)
    holds(line["duration"] > 0.2 or line["duration"] > 200, f"{line['duration']} in the log")


# MARK: several at once


@play
def interleaved():
  """several requests of a session run at once: each piece comes when its provider gives it, none waits for another"""
  with speaking() as (session, client, edge, provider):
    gates = {name: [provider.gate() for _ in range(3)] for name in "abc"}

    def script(request, line):
      name = json.loads(request.body)["messages"][0]["content"]
      one, two, three = gates[name]
      streamed(one, part(f"{name}1"), two, part(f"{name}2"), three, *story(used=usage(10, 5)))(request, line)
    provider.script = script
    for name in "abc":
      session.ask(name, name, stream=True)
    for turn in (0, 1):
      for name in "cab":
        gates[name][turn].open()
        same(session.next()["data"], f"{name}{turn + 1}")
    for name in "bca":
      gates[name][2].open()
      found = session.next()
      same((found["id"], found["type"]), (name, "done"))
    provider.script = provider.usual
    session.assert_quiet()


@play
def as_many_at_once():
  """32 requests of a session run at once, or as many as its route says; one more is RATE_LIMIT_EXCEEDED with its id"""
  for options, most in (({}, 32), ({"in_flight": 2}, 2), ({"in_flight": 1}, 1)):
    with speaking(socket=options, lenient=True) as (session, client, edge, provider):
      gate = provider.gate()
      provider.script = streamed(part("one"), gate, *story("two", used=usage(10, 5)))
      names = [str(number) for number in range(most)]
      for name in names:
        session.ask(name, stream=True)
      for name in names:
        session.chunk(name, "one")
      for _ in range(3):
        session.refused("more", "RATE_LIMIT_EXCEEDED", stream=True)
      session.cancel(names[0])
      session.error(names[0], "CANCELLED", usage=None)
      session.ask("more", stream=True)
      session.chunk("more", "one")
      with connected(edge) as other:
        other.ask("x", stream=True)
        other.chunk("x", "one")
        gate.open()
        other.done("x")
      for name in [*names[1:], "more"]:
        same(session.done(name).text, "two")
      session.assert_quiet()
      settled(client)
