"""Messages in Anthropic's words with a provider that speaks OpenAI's: requests, answers, streams, errors."""

from play import *
from stage.credits import *
from stage.messages import *
from stage.provider import *

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"name": "weather", "description": "The weather.", "input_schema": SCHEMA}
NOW = {"name": "now", "input_schema": {"type": "object", "properties": {}}}
LETTERS = 'a \u00e9 \u4e2d \U0001f600 "quoted" back\\slash \n\t /'
USED = usage(10, 50, cached=2, written=1, reasoning=20)
USED_HEARD = (10, 50, 2, 1, 20)
BEGUN = part(delta={"role": "assistant", "content": ""})


def parts_of(content):
  """The content of a message as a list of parts, however it was written."""
  return [text(content)] if isinstance(content, str) else content


def sent(client, provider, **fields):
  """What the provider gets of a message with these fields beside its model."""
  body = evened({"model": "small", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}], **fields})
  response = say(client, body)
  same(response.status, 200, f"status ({response.body[:300]!r}) for {fields}")
  same(provider.last().target, PATH, "path at the provider")
  return provider.asked()


def heard(client, body=None):
  """What a client hears of a streamed message, and the answer."""
  answered = begin_talk(client, body)
  return heard_events(answered.rest()), answered.response


# MARK: requests


@play
def plain_request():
  """a message reaches the provider as a chat with its key, and a stream asks for the usage"""
  with chatting(model={"upstream_name": "small-1"}) as (client, edge, provider):
    document = sent(client, provider)
    same([(one["role"], parts_of(one["content"])) for one in document["messages"]], [("user", [text("hello")])])
    same((document["model"], document["max_completion_tokens"], document.get("stream", False)),
         ("small-1", 100, False))
    holds(set(document) <= {"model", "max_completion_tokens", "messages", "stream"}, f"{document}")
    found = provider.last().fields
    same((found.all("authorization"), found.all("x-api-key")), ([f"Bearer {KEY}"], []), "keys at the provider")
    same(heard(client)[0].text, "hello")
    same((provider.asked()["stream"], provider.asked()["stream_options"]), (True, {"include_usage": True}))


@play
def conversations():
  """the system's text, turns, pictures and documents become messages that say the same"""
  with chatting() as (client, edge, provider):
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJDRA=="}}
    linked = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png?b=1"}}
    file = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}}
    plain = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": LETTERS}}
    parts = {"type": "document", "source": {"type": "content", "content": [text("a part"), picture]}}
    marked = {"type": "text", "text": "two", "cache_control": {"type": "ephemeral"}}
    for system, wanted in (("one", "one"), ([text("one"), marked], "onetwo")):
      document = sent(client, provider, system=system, messages=[
        {"role": "user", "content": [text(LETTERS), picture, linked, file, plain, parts]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "so", "signature": "c2ln"}, text("b")]},
        {"role": "user", "content": "c"}])
      said = document["messages"]
      first = [one for one in said if one["role"] in ("system", "developer")]
      same("".join(row["text"] for one in first for row in parts_of(one["content"])).replace("\n", ""), wanted)
      turns = said[len(first):]
      same([one["role"] for one in turns], ["user", "assistant", "user"])
      same([row["text"] for row in parts_of(turns[1]["content"])], ["b"])
      one, two, three, four, five, six, seven = turns[0]["content"]
      same((one, two["image_url"]["url"]), (text(LETTERS), "data:image/png;base64,QUJDRA=="))
      same(three["image_url"]["url"], "https://example.com/a.png?b=1")
      same((four["type"], four["file"]["file_data"]), ("file", "data:application/pdf;base64,JVBERi0="))
      same((five, six, seven), (text(LETTERS), text("a part"), two))


@play
def tools_and_their_results():
  """tools, calls and results become OpenAI's: a message of its own for each result, and what else was said behind"""
  shown_picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJDRA=="}}
  results = [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "4 degrees"},
             {"type": "tool_result", "tool_use_id": "toolu_2", "is_error": True,
              "content": [text("noon"), shown_picture]}, text("so?")]
  with chatting() as (client, edge, provider):
    document = sent(client, provider, tools=[WEATHER, {**NOW, "type": "custom", "strict": True}], messages=[
      {"role": "user", "content": "how is it?"},
      {"role": "assistant", "content": [text("one moment"), tool_use("weather", {"city": LETTERS}),
                                        tool_use("now", {}, "toolu_2")]},
      {"role": "user", "content": results}])
    first, second = document["tools"]
    same((first["type"], first["function"]), ("function", {"name": "weather", "description": "The weather.",
                                                           "parameters": SCHEMA}))
    same((second["function"]["name"], second["function"]["strict"]), ("now", True))
    asked, called_, one, two, *rest = document["messages"]
    same([row["text"] for row in parts_of(called_["content"])], ["one moment"])
    same([(call["id"], call["type"], call["function"]["name"], json.loads(call["function"]["arguments"]))
          for call in called_["tool_calls"]],
         [("toolu_1", "function", "weather", {"city": LETTERS}), ("toolu_2", "function", "now", {})])
    same([(row["role"], row["tool_call_id"], [one["text"] for one in parts_of(row["content"])]) for row in (one, two)],
         [("tool", "toolu_1", ["4 degrees"]), ("tool", "toolu_2", ["noon"])])
    behind = [row for turn in rest for row in parts_of(turn["content"])]
    same({turn["role"] for turn in rest}, {"user"})
    same(sorted(row["type"] for row in behind), ["image_url", "text"])
    holds(text("so?") in behind, f"{behind}")


@play
def settings():
  """settings with a twin are said in OpenAI's words, and those that only tune are left out"""
  shape = {"format": {"type": "json_schema", "schema": SCHEMA}}
  rows = [({"temperature": 0.25}, {"temperature": 0.25}), ({"top_p": 0.5}, {"top_p": 0.5}),
          ({"stop_sequences": ["a", "\u00e9\n"]}, {"stop": ["a", "\u00e9\n"]}),
          ({"metadata": {"user_id": "u-1"}}, {"user": "u-1"}), ({"top_k": 5}, {}),
          ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, {}), ({"service_tier": "auto"}, {}),
          ({"output_config": {"effort": "high"}}, {"reasoning_effort": "high"}), ({"metadata": {}}, {})]
  choices = [({"type": "auto"}, "auto"), ({"type": "none"}, "none"), ({"type": "any"}, "required"),
             ({"type": "tool", "name": "now"}, {"type": "function", "function": {"name": "now"}})]
  with chatting() as (client, edge, provider):
    for fields, wanted in rows:
      document = sent(client, provider, **fields)
      others = {name: value for name, value in document.items()
                if name not in ("model", "max_completion_tokens", "messages", "stream")}
      same(others, wanted, f"settings for {fields}")
    for choice, wanted in choices:
      same(sent(client, provider, tools=[WEATHER, NOW], tool_choice=choice)["tool_choice"], wanted)
    document = sent(client, provider, tools=[NOW], tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    same((document["tool_choice"], document["parallel_tool_calls"]), ("auto", False))
    found = sent(client, provider, output_config=shape)["response_format"]
    same((found["type"], found["json_schema"]["schema"], bool(found["json_schema"]["name"])),
         ("json_schema", SCHEMA, True))


@play
def what_cannot_be_said():
  """a tool that only Anthropic's models know is refused by its name, and no provider hears of it"""
  with chatting() as (client, edge, provider):
    for kind in ("bash_20250124", "text_editor_20250728", "memory_20250818", "computer_20250124"):
      body = talk(tools=[WEATHER, {"type": kind, "name": "a"}])
      assert_message_error(say(client, body), "INVALID_REQUEST", "tools")
    same((provider.requests, balance(client)), ([], 1000))


# MARK: answers


@play
def whole_answers():
  """a whole answer is Anthropic's: text, calls, why it ended and the same usage, which is charged"""
  calls = [{"id": "call_1", "type": "function", "function": {"name": "weather",
                                                             "arguments": json.dumps({"city": LETTERS})}},
           {"id": "call_2", "type": "function", "function": {"name": "now", "arguments": ""}}]
  said = {"role": "assistant", "content": LETTERS, "tool_calls": calls, "reasoning_content": "so"}
  document = completion(used=USED, choices=[{"index": 0, "message": said, "finish_reason": "tool_calls"}])
  with chatting(told(document)) as (client, edge, provider):
    response = say(client)
    found = heard_message(response)
    same(found.said(), (LETTERS, [("call_1", "weather", {"city": LETTERS}), ("call_2", "now", {})], "tool_use",
                        USED_HEARD))
    same((found.thinking, found.model, found.id[:4]), (None, "small", "msg_"))
    assert_ulid(found.id[4:], "id of the answer")
    same(response.fields.one("request-id"), response.fields.one("x-request-id"))
    assert_charged(edge, response, cost(60), tokens=(10, 50), cause="completed", provider="p1", stream=False)
    provider.script = told(completion(used=USED, choices=[{"index": 0, "finish_reason": "tool_calls",
                                                           "message": {**said, "content": None}}]))
    same(heard_message(say(client)).text, None)


@play
def why_it_ended():
  """each reason to stop has its twin, whole and streamed"""
  with chatting() as (client, edge, provider):
    for finish, wanted in (("stop", "end_turn"), ("length", "max_tokens"), ("content_filter", "refusal")):
      choice = {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": finish}
      provider.script = told(completion(used=USED, choices=[choice]))
      same(heard_message(say(client)).said(), ("hello", [], wanted, USED_HEARD), finish)
      provider.script = streamed(BEGUN, part("hello"), part(finish=finish), totals(USED), DONE)
      same(heard(client)[0].said(), ("hello", [], wanted, USED_HEARD), finish)
    choice = {"index": 0, "message": {"role": "assistant", "content": None, "refusal": "I will not."},
              "finish_reason": "stop"}
    provider.script = told(completion(used=USED, choices=[choice]))
    same(heard_message(say(client)).said(), ("I will not.", [], "refusal", USED_HEARD))


def much():
  """Everything that a stream may say, and what a client of Anthropic's hears of it."""
  calls = [call_of(0, "", "weather"), call_of(0, '{"city": "\u00c5'), call_of(0, 's"}'), call_of(1, "", "now"),
           call_of(2, "{}", "also")]
  events = [b": quiet\n\n", BEGUN, part(delta={"reasoning_content": "so"}), part("it is "), part(""), part(LETTERS),
            *calls, part(finish="tool_calls"), totals(USED), DONE]
  return events, ("it is " + LETTERS, [("call_0", "weather", {"city": "\u00c5s"}), ("call_1", "now", {}),
                                       ("call_2", "also", {})], "tool_use", USED_HEARD)


@play
def streams():
  """a stream is Anthropic's: one block at a time, calls with their arguments, or without, and the same usage"""
  events, wanted = much()
  with chatting(streamed(*events)) as (client, edge, provider):
    found, response = heard(client)
    same((found.said(), found.model, found.id[:4]), (wanted, "small", "msg_"))
    assert_charged(edge, response, cost(60), tokens=(10, 50), cause="completed", stream=True)
    same(response.fields.one("content-type").split(";")[0], "text/event-stream")
    same(response.fields.one("request-id"), response.fields.one("x-request-id"))
    same(client.get("/health").status, 200, "the next request of the connection")
    used_beside = [BEGUN, part("hello"), part(finish="stop", usage=USED), DONE]
    without_begun = [part("hello"), part(finish="stop"), totals(USED), DONE]
    without_finish = [BEGUN, part("hello"), totals(USED), DONE]
    for events in (used_beside, without_begun, without_finish):
      provider.script = streamed(*events)
      same(heard(client)[0].said(), ("hello", [], "end_turn", USED_HEARD), f"{events}")


@play
def calls_out_of_order():
  """arguments for a call that is not the last one cannot be told block by block: the stream is cut, not mangled"""
  events = [BEGUN, call_of(0, "", "weather"), call_of(1, "", "now"), call_of(0, '{"city":"Oslo"}')]
  with chatting(streamed(*events, Line.hang)) as (client, edge, provider), edge.client() as other:
    answered = begin_talk(other)
    found = heard_events(answered.cut(), whole=False)
    holds(not found.calls or found.calls[0][2] == {}, f"{found.calls}")
    provider.lines[0].await_end()
    edge.line_of(answered.response)
    settled(client)


@play
def not_delayed():
  """each piece reaches the client before the provider sends the next"""
  events = [BEGUN, *story("one", "two", "three", used=USED)]
  with chatting() as (client, edge, provider):
    gates = [provider.gate() for _ in events]
    provider.script = streamed(*[one for pair in zip(gates, events) for one in pair])
    client.send(post(talk(stream=True), path=MESSAGES))
    gates[0].open()
    answered, data = None, b""
    for gate, content in zip(gates[1:4], ("one", "onetwo", "onetwothree")):
      gate.reached()
      if not answered:
        client.assert_open()
      gate.open()
      answered = answered or Events(client)
      while not data or heard_events(data, whole=False).text != content:
        data += answered.next()
    for gate in gates[4:]:
      gate.open()
    same(heard_events(data + answered.rest()).said(), ("onetwothree", [], "end_turn", USED_HEARD))


@play
def split_at_each_place():
  """wherever a stream is split in two the client hears the same and pays the same"""
  events, wanted = much()
  data = b"".join(events)
  with chatting() as (client, edge, provider):
    def halves(request, line):
      at = int(json.loads(request.body)["user"])
      line.send(STREAM_HEAD + chunk(data[:at]))
      await_read(line)
      line.send(chunk(data[at:]) + b"0\r\n\r\n")
    provider.script = halves
    places = range(1, len(data), 17)
    for at in places:
      same(heard(client, talk(stream=True, metadata={"user_id": f"{at}"}))[0].said(), wanted, f"split at {at}")
    edge.exchanges(len(places))
    same({exact(line["credits"]) for line in edge.matching(route="messages")}, {cost(60)}, "charges")


@play
def long_streams():
  """long pieces and many of them come whole, to a slow reader too"""
  with chatting(balance=10 ** 6) as (client, edge, provider):
    for pieces in ([LETTERS * 2000] * 5, [f"{number} " for number in range(5000)]):
      events = [BEGUN, *story(*pieces, used=USED)]
      provider.script = streamed(*[b"".join(events[at:at + 50]) for at in range(0, len(events), 50)])
      same(heard(client)[0].said() == ("".join(pieces), [], "end_turn", USED_HEARD), True, "the stream is whole")
    with edge.client(receive_buffer=8192) as slow:
      same(heard(slow)[0].text == "".join(pieces), True, "the stream of a slow reader is whole")
    long = "x" * 2_000_000 + LETTERS
    provider.script = told(completion(long, USED))
    same(heard_message(say(client)).text == long, True, "a long whole answer")
    body = talk(long)
    same(say(client, body).status, 200)
    same(provider.asked()["messages"][-1]["content"] in (long, [text(long)]), True, "a long question")


# MARK: what goes wrong


@play
def failures():
  """errors before the answer are told in Anthropic's form, those of the client with what the provider says"""
  with chatting() as (client, edge, provider):
    for body in (talk(), talk(stream=True)):
      for status in (400, 413, 422):
        provider.script = failing(status, 'too "odd", \u00e9', "invalid_request_error")
        response = say(client, body)
        document = json.loads(response.body)
        same((response.status, document["type"], document["error"]["message"]), (status, "error", 'too "odd", \u00e9'))
        same((document["request_id"], set(document["error"])), (response.fields.one("request-id"), {"type", "message"}))
      for status, name in ((401, "PROVIDER_ERROR"), (500, "PROVIDER_ERROR"), (404, "MODEL_NOT_FOUND")):
        provider.script = failing(status)
        assert_message_error(say(client, body), name)
      provider.script = failing(429, fields=[("Retry-After", "3")])
      same(say(client, body).fields.one("retry-after"), "3")
    failed = event({"error": {"message": "overloaded", "type": "server_error", "param": None, "code": None}})
    for early in ([], [BEGUN]):
      provider.script = streamed(*early, failed)
      assert_message_error(say(client, talk(stream=True)), "PROVIDER_ERROR")
    for body in (b"{}", b"", dumped(message(used=tokens(1, 1)))):
      provider.script = told(body)
      with edge.client() as other:
        same(say(other).status, 502, f"status for {body!r}")
    same(balance(client), 1000)


@play
def within_a_stream():
  """an error behind content is told in Anthropic's form, without an end, and a cut is a cut; what came is charged"""
  failed = event({"error": {"message": "too busy, \u00e9", "type": "server_error", "param": None, "code": None}})
  body = talk(stream=True)
  counted = (len(body) // 2, 5)
  with chatting() as (client, edge, provider):
    provider.script = streamed(BEGUN, part("hello" * 4), failed)
    with edge.client() as other:
      answered, data = begin_talk(other, body), b""
      while b"event: error" not in data:
        data += answered.next()
      found = heard_events(data, whole=False)
      same((found.text, found.failure["message"]), ("hello" * 4, "too busy, \u00e9"))
      assert_charged(edge, answered.response, cost(sum(counted)), "estimated", counted)
    for end in (Line.close, read_and_reset):
      provider.script = streamed(BEGUN, part("hello" * 4), b"data: {", end)
      with edge.client() as other:
        answered = begin_talk(other, body)
        same(heard_events(answered.cut(), whole=False).text, "hello" * 4)
        assert_charged(edge, answered.response, cost(sum(counted)), "estimated", counted, cause="upstream_cut")
      provider.script = streamed(BEGUN, end)
      assert_message_error(say(client, body), "PROVIDER_ERROR")
    provider.script = streamed(BEGUN, part("hello" * 4), Line.hang)
    other = edge.client()
    answered = begin_talk(other, body)
    while b"hello" not in answered.next():
      pass
    other.close()
    assert_charged(edge, answered.response, cost(sum(counted)), "estimated", counted, cause="client_left")
    same(settled(client), 1000 - 4 * cost(sum(counted)))


@play
def cut_at_each_place():
  """wherever a stream is cut the client has whole events only, a beginning of what was said, and never an end"""
  events, (said, *_) = much()
  data = b"".join(events[:-1])
  with chatting(lenient=True) as (client, edge, provider):
    spent = Decimal(0)
    for at in range(1, len(data), 61):
      provider.script = streamed(data[:at], Line.close)
      with edge.client() as other:
        other.send(post(talk(stream=True), path=MESSAGES))
        response, kind, length = other.read_final_head("POST")
        if response.status == 200:
          found = heard_events(other.assert_cut(response, kind, length) or b"", whole=False)
          holds(said.startswith(found.text or ""), f"cut at {at}: {found.text!r}")
        else:
          same(response.status, 502, f"status of a cut at {at}")
        line = edge.line_of(response)
        same(exact(line["credits"]) > 0, response.status == 200, f"charge of a cut at {at}")
        spent += exact(line["credits"])
    same(settled(client), 1000 - spent)


@play
def end_waits_for_the_ledger():
  """when the client has read message_stop of a translated stream its charge stands on the disk"""
  with Provider() as provider, Folder() as folder:
    document, files = llm(provider)
    with Edge(document, files=files, folder=folder) as edge, edge.client() as client:
      answered = begin_talk(client)
      while b"message_stop" not in answered.next():
        pass
      edge.crash()
    same(Ledger(folder.path).assert_sound().of("alice"), 1000 - cost(15), "balance after a crash")
