"""Chats in OpenAI's words with a provider that speaks Anthropic's: requests, answers, streams, errors."""

from play import *
from stage.credits import *
from stage.messages import *
from stage.provider import *

ASKING = {"stream": True, "stream_options": {"include_usage": True}}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": SCHEMA}}
NOW = {"type": "function", "function": {"name": "now"}}
# Letters of every length in UTF-8, and what must be escaped in JSON.
LETTERS = 'a \u00e9 \u4e2d \U0001f600 "quoted" back\\slash \n\t /'
USED = tokens(7, 50, read=2, written=1, thinking=20)
USED_HEARD = (10, 50, 2, 1, 20)


def blocks_of(content):
  """The content of a message as a list of blocks, however it was written."""
  return [text(content)] if isinstance(content, str) else content


def turns_of(document):
  """The turns of a request at the provider: (role, blocks)."""
  return [(turn["role"], blocks_of(turn["content"])) for turn in document["messages"]]


def sent(client, provider, **fields):
  """What the provider gets of a chat with these fields beside its model."""
  body = evened({"model": "small", "messages": [{"role": "user", "content": "hello"}], **fields})
  response = ask(client, body)
  same(response.status, 200, f"status ({response.body[:300]!r}) for {fields}")
  same(provider.last().target, MESSAGES, "path at the provider")
  return provider.asked()


def streamed_chat(client, **fields):
  """What a client hears of a streamed chat that asks for the usage, and the answer."""
  answered = begin(client, chat(**ASKING, **fields))
  return heard_chunks(answered.rest()), answered.response


# MARK: requests


@play
def plain_request():
  """a chat reaches the provider as a message with its key and version, and with the most tokens that may come out"""
  with messaging(model={"upstream_name": "small-1"}) as (client, edge, provider):
    document = sent(client, provider)
    same(turns_of(document), [("user", [text("hello")])])
    same((document["model"], document["max_tokens"], document.get("stream", False)), ("small-1", MAX_OUTPUT, False))
    holds(set(document) <= {"model", "max_tokens", "messages", "stream"}, f"{document}")
    found = provider.last().fields
    same((found.all("x-api-key"), found.all("anthropic-version"), found.all("authorization")), ([KEY], [VERSION], []))
    same(found.one("content-type"), "application/json")
    for fields, wanted in (({"max_tokens": 7}, 7), ({"max_completion_tokens": 8}, 8), ({"max_tokens": 10 ** 6},
                                                                                     MAX_OUTPUT)):
      same(sent(client, provider, **fields)["max_tokens"], wanted, f"max_tokens for {fields}")
    begin(client).rest()
    same(provider.asked()["stream"], True)


@play
def instructions():
  """messages of the system and of the developer become the system's text, wherever they stood, in their order"""
  with messaging() as (client, edge, provider):
    document = sent(client, provider, messages=[
      {"role": "system", "content": "one"}, {"role": "user", "content": "a"},
      {"role": "developer", "content": [{"type": "text", "text": "two"}, {"type": "text", "text": LETTERS}]},
      {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}])
    same(blocks_of(document["system"]), [text("one"), text("two"), text(LETTERS)])
    same(turns_of(document), [("user", [text("a")]), ("assistant", [text("b")]), ("user", [text("c")])])


@play
def turns():
  """turns of one side that follow each other become one, and an empty turn of the assistant none"""
  with messaging() as (client, edge, provider):
    document = sent(client, provider, messages=[
      {"role": "user", "content": "a"}, {"role": "user", "content": [{"type": "text", "text": "b"}]},
      {"role": "assistant", "content": None}, {"role": "user", "content": "c"},
      {"role": "assistant", "content": "d"}, {"role": "assistant", "content": None, "refusal": "no"},
      {"role": "user", "content": LETTERS}])
    same(turns_of(document), [("user", [text("a"), text("b"), text("c")]), ("assistant", [text("d"), text("no")]),
                              ("user", [text(LETTERS)])])


@play
def pictures_and_files():
  """pictures in the body and by address, and files in the body, become the blocks that say the same"""
  with messaging() as (client, edge, provider):
    document = sent(client, provider, messages=[{"role": "user", "content": [
      {"type": "text", "text": "look"},
      {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJDRA=="}},
      {"type": "image_url", "image_url": {"url": "https://example.com/a.png?b=1&c=%20", "detail": "low"}},
      {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}}]}])
    (_, (first, one, two, file)), = turns_of(document)
    same(first, text("look"))
    same(one, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJDRA=="}})
    same(two, {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png?b=1&c=%20"}})
    same((file["type"], file["source"]),
         ("document", {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}))


@play
def tools_and_their_results():
  """tools, calls and results become Anthropic's: results first in one turn of the user, whose words follow"""
  call = [{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "\u00c5s"}'}},
          {"id": "call_2", "type": "function", "function": {"name": "now", "arguments": ""}}]
  with messaging() as (client, edge, provider):
    document = sent(client, provider, tools=[WEATHER, NOW], messages=[
      {"role": "user", "content": "how is it?"}, {"role": "assistant", "content": "one moment", "tool_calls": call},
      {"role": "tool", "tool_call_id": "call_1", "content": "4 degrees"},
      {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "noon"}]},
      {"role": "user", "content": "so?"}])
    same([(tool["name"], tool.get("description"), tool["input_schema"]) for tool in document["tools"]],
         [("weather", "The weather.", SCHEMA), ("now", None, {"type": "object", "properties": {}})])
    turns_found = turns_of(document)
    same(turns_found[1], ("assistant", [text("one moment"), tool_use("weather", {"city": "\u00c5s"}, "call_1"),
                                        tool_use("now", {}, "call_2")]))
    role, blocks = turns_found[2]
    same((role, [one["type"] for one in blocks]), ("user", ["tool_result", "tool_result", "text"]))
    same([(one["tool_use_id"], blocks_of(one["content"])) for one in blocks[:2]],
         [("call_1", [text("4 degrees")]), ("call_2", [text("noon")])])
    same((blocks[2], len(turns_found)), (text("so?"), 3))


@play
def choices_of_tools():
  """which tool must be called, and whether several may be, is said in Anthropic's words"""
  rows = [({}, None), ({"tool_choice": "auto"}, {"type": "auto"}), ({"tool_choice": "none"}, {"type": "none"}),
          ({"tool_choice": "required"}, {"type": "any"}),
          ({"tool_choice": {"type": "function", "function": {"name": "now"}}}, {"type": "tool", "name": "now"}),
          ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
          ({"parallel_tool_calls": False, "tool_choice": "required"},
           {"type": "any", "disable_parallel_tool_use": True})]
  with messaging() as (client, edge, provider):
    for fields, wanted in rows:
      found = sent(client, provider, tools=[WEATHER, NOW], **fields).get("tool_choice")
      same(found, wanted, f"tool_choice for {fields}")


@play
def settings():
  """settings with a twin are said in Anthropic's words, and those that only tune are left out"""
  shape = {"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA, "strict": True}}
  rows = [({"temperature": 0.25}, {"temperature": 0.25}), ({"temperature": 1.5}, {"temperature": 1}),
          ({"top_p": 0.5}, {"top_p": 0.5}), ({"stop": "END"}, {"stop_sequences": ["END"]}),
          ({"stop": ["a", "\u00e9\n"]}, {"stop_sequences": ["a", "\u00e9\n"]}), ({"stop": None}, {}),
          ({"user": "u-1"}, {"metadata": {"user_id": "u-1"}}), ({"reasoning_effort": "none"}, {}),
          ({"reasoning_effort": "high"}, {"output_config": {"effort": "high"}}), ({"reasoning_effort": "minimal"}, {}),
          ({"response_format": shape}, {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}),
          ({"response_format": {"type": "text"}, "n": 1, "logprobs": False, "modalities": ["text"]}, {})]
  rows += [({name: value}, {}) for name, value in (
    ("seed", 1), ("presence_penalty", 0.5), ("frequency_penalty", 0.5), ("logit_bias", {"1": 2}), ("store", False),
    ("metadata", {"a": "b"}), ("prompt_cache_key", "k"), ("safety_identifier", "s"), ("verbosity", "low"),
    ("service_tier", "auto"), ("temperature", None))]
  with messaging() as (client, edge, provider):
    for fields, wanted in rows:
      document = sent(client, provider, **fields)
      others = {name: value for name, value in document.items() if name not in ("model", "max_tokens", "messages",
                                                                                "stream")}
      same(others, wanted, f"settings for {fields}")


@play
def the_same_bytes():
  """what is sent does not depend on the order of the client's keys, so that a provider's cache stays warm"""
  fields = {"model": "small", "temperature": 0.5, "tools": [WEATHER], "stop": ["x"], "max_tokens": 9,
            "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": LETTERS}]}
  with messaging() as (client, edge, provider):
    for rows in (list(fields.items()), list(fields.items())[::-1]):
      same(ask(client, dumped(dict(rows))).status, 200)
    one, two = (request.body for request in provider.requests)
    holds(one == two, f"{one!r} and {two!r}")
    same(turns_of(json.loads(one)), [("user", [text(LETTERS)])])


@play
def what_cannot_be_said():
  """what would change the answer and has no twin is refused by its name, and no provider hears of it"""
  audio = {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}
  wrong = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "[1]"}}]
  rows = [({"n": 2}, "n"), ({"logprobs": True}, "logprobs"), ({"logprobs": True, "top_logprobs": 2}, None),
          ({"response_format": {"type": "json_object"}}, "response_format"),
          ({"functions": [{"name": "f"}]}, "functions"),
          ({"tools": [{"type": "custom", "custom": {"name": "c"}}]}, "tools"),
          ({"messages": [{"role": "user", "content": [audio]}]}, "messages"),
          ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": wrong}]}, "messages")]
  with messaging() as (client, edge, provider):
    for fields, param in rows:
      response = ask(client, chat(**fields) if "messages" not in fields else evened({"model": "small", **fields}))
      same(response.status, 400, f"status for {fields} ({response.body[:200]!r})")
      found = json.loads(response.body)["error"]
      same(found["code"], "invalid_request", f"code for {fields}")
      holds(param is None or found["param"] == param, f"param of {found} for {fields}")
      holds(len(found["message"]) > 20, f"{found}")
    same((provider.requests, balance(client)), ([], 1000))


# MARK: answers


@play
def whole_answers():
  """a whole answer is OpenAI's: text, thinking, calls, why it ended and the same usage, which is charged"""
  said = [{"type": "thinking", "thinking": "so", "signature": "c2ln"}, text("it is "), text(LETTERS),
          tool_use("weather", {"city": LETTERS, "n": [1.5, None, True]}), tool_use("now", {}, "toolu_2")]
  with messaging(replied(message(said, USED, "claude-x", "tool_use"))) as (client, edge, provider):
    response = ask(client)
    found = heard_completion(response)
    same(found.said(), ("it is " + LETTERS, [("toolu_1", "weather", {"city": LETTERS, "n": [1.5, None, True]}),
                                             ("toolu_2", "now", {})], "tool_calls", USED_HEARD))
    same((found.thinking, found.model, found.id[:9]), ("so", "small", "chatcmpl-"))
    assert_ulid(found.id[9:], "id of the answer")
    same(response.fields.one("content-type"), "application/json")
    assert_charged(edge, response, cost(60), tokens=(10, 50), cause="completed", provider="p1", stream=False)
    provider.script = replied(message([tool_use("now", {})], USED, stop="tool_use"))
    same(heard_completion(ask(client)).said(), (None, [("toolu_1", "now", {})], "tool_calls", USED_HEARD))


@play
def why_it_ended():
  """each reason to stop has its twin, whole and streamed"""
  with messaging() as (client, edge, provider):
    for stop, wanted in (("end_turn", "stop"), ("stop_sequence", "stop"), ("max_tokens", "length"),
                         ("model_context_window_exceeded", "length"), ("refusal", "content_filter"),
                         ("pause_turn", "stop")):
      provider.script = replied(message("hello", USED, stop=stop))
      same(heard_completion(ask(client)).stop, wanted, stop)
      provider.script = streamed(*tale("hello", used=USED, stop=stop))
      same(streamed_chat(client)[0].said(), ("hello", [], wanted, USED_HEARD), stop)


def much():
  """Everything that a stream may say, and what a client of OpenAI's hears of it."""
  blocks = [thought("so ", "so"), spoken("it is ", LETTERS), called("weather", "", '{"city": "\u00c5', 's"}'),
            called("now", call="toolu_2"), called("also", "{}", call="toolu_3")]
  events = tale(blocks=blocks, used=USED, stop="tool_use")
  calls = [("toolu_1", "weather", {"city": "\u00c5s"}), ("toolu_2", "now", {}), ("toolu_3", "also", {})]
  return [events[0], PING, *events[1:5], PING, b": quiet\n\n", *events[5:]], \
    ("it is " + LETTERS, calls, "tool_calls", USED_HEARD)


@play
def streams():
  """a stream is OpenAI's: parts as they come, calls side by side, also one without arguments, and the same usage"""
  events, wanted = much()
  with messaging(streamed(*events)) as (client, edge, provider):
    found, response = streamed_chat(client)
    same((found.said(), found.thinking, found.model, found.id[:9]), (wanted, "so so", "small", "chatcmpl-"))
    assert_charged(edge, response, cost(60), tokens=(10, 50), cause="completed", stream=True)
    answered = begin(client)
    found = heard_chunks(answered.rest())
    same(found.said(), (*wanted[:3], None), "what is heard by who did not ask for the usage")
    assert_charged(edge, answered.response, cost(60), tokens=(10, 50))
    same(answered.response.fields.one("content-type").split(";")[0], "text/event-stream")
    same(client.get("/health").status, 200, "the next request of the connection")


@play
def not_delayed():
  """each piece reaches the client before the provider sends the next"""
  events = tale("one", "two", "three")
  with messaging() as (client, edge, provider):
    gates = [provider.gate() for _ in events]
    provider.script = streamed(*[one for pair in zip(gates, events) for one in pair])
    client.send(post(chat(stream=True)))
    for gate in gates[:2]:
      gate.reached()
      client.assert_open()
      gate.open()
    answered, heard = None, b""
    for gate, content in zip(gates[2:5], ("one", "onetwo", "onetwothree")):
      gate.reached()
      gate.open()
      answered = answered or Events(client)
      while (heard_chunks(heard, whole=False) if heard else Heard({"id": 0, "model": 0})).text != content:
        heard += answered.next()
    for gate in gates[5:]:
      gate.open()
    same(heard_chunks(heard + answered.rest()).text, "onetwothree")


@play
def split_at_each_place():
  """wherever a stream is split in two, and where it comes byte by byte, the client hears the same and pays the same"""
  events, wanted = much()
  for line_end, step in ((b"\n", 23), (b"\r\n", 71)):
    data = b"".join(events).replace(b"\n", line_end)
    with messaging() as (client, edge, provider):
      def halves(request, line):
        at = int(json.loads(request.body)["metadata"]["user_id"])
        line.send(STREAM_HEAD + chunk(data[:at]))
        await_read(line)
        line.send(chunk(data[at:]) + b"0\r\n\r\n")
      provider.script = halves
      places = range(1, len(data), step)
      for at in places:
        same(streamed_chat(client, user=f"{at}")[0].said(), wanted, f"split at {at}")
      edge.exchanges(len(places))
      same({exact(line["credits"]) for line in edge.matching(route="chat")}, {cost(60)}, "charges")

      def bytewise(_request, line):
        line.send(STREAM_HEAD)
        line.send_slowly(b"".join(chunk(data[at:at + 1]) for at in range(len(data) // 4)), 6)
        line.send(chunk(data[len(data) // 4:]) + b"0\r\n\r\n")
      provider.script = bytewise
      same(streamed_chat(client)[0].said(), wanted, "byte by byte")


@play
def long_streams():
  """long pieces and many of them come whole, to a slow reader too"""
  with messaging(balance=10 ** 6) as (client, edge, provider):
    for pieces in ([LETTERS * 2000] * 5, [f"{number} " for number in range(5000)]):
      events = tale(*pieces, used=USED)
      provider.script = streamed(*[b"".join(events[at:at + 50]) for at in range(0, len(events), 50)])
      same(streamed_chat(client)[0].said() == ("".join(pieces), [], "stop", USED_HEARD), True, "the stream is whole")
    with edge.client(receive_buffer=8192) as slow:
      same(streamed_chat(slow)[0].text == "".join(pieces), True, "the stream of a slow reader is whole")
    long = "x" * 2_000_000
    provider.script = replied(message(long + LETTERS, USED))
    same(heard_completion(ask(client)).text == long + LETTERS, True, "a long whole answer")


# MARK: what goes wrong


@play
def error_within_a_stream():
  """an error behind content is told in OpenAI's form, without an end; before content it is a 502 for free"""
  with messaging() as (client, edge, provider):
    for early in ([], [opening()], [opening(), PING, *tale("")[1:2]]):
      provider.script = streamed(*early, failure())
      response = ask(client, chat(stream=True))
      assert_openai_error(response, "PROVIDER_ERROR")
      same(exact(edge.line_of(response)["credits"]), 0)
    provider.script = streamed(*tale("hello")[:3], failure("too busy, \u00e9"))
    with edge.client() as other:
      answered = begin(other, chat(stream=True))
      data = b""
      while b'"error"' not in data:
        data += answered.next()
      found = heard_chunks(data, whole=False)
      same((found.text, found.failure["message"]), ("hello", "too busy, \u00e9"))
      assert_charged(edge, answered.response, cost(12), "estimated", (10, 2))
    same(settled(client), 1000 - cost(12))


@play
def stream_that_is_cut():
  """a stream that the provider cuts is cut for the client, and what came is charged, also where the client leaves"""
  events = tale("hello" * 5)[:3]
  with messaging() as (client, edge, provider):
    for end in (Line.close, read_and_reset):
      provider.script = streamed(*events, b"event: content_block_de", end)
      with edge.client() as other:
        answered = begin(other)
        same(heard_chunks(answered.cut(), whole=False).text, "hello" * 5)
        assert_charged(edge, answered.response, cost(17), "estimated", (10, 7), cause="upstream_cut")
      provider.script = streamed(*events[:2], end)
      assert_openai_error(ask(client, chat(stream=True)), "PROVIDER_ERROR")
    same(settled(client), 1000 - 2 * cost(17))
    provider.script = streamed(*events, Line.hang)
    other = edge.client()
    answered = begin(other)
    while b"hello" not in answered.next():
      pass
    other.close()
    assert_charged(edge, answered.response, cost(17), "estimated", (10, 7), cause="client_left")
    same(settled(client), 1000 - 3 * cost(17))


@play
def cut_at_each_place():
  """wherever a stream is cut the client has whole events only, a beginning of what was said, and never an end"""
  events, (said, _, _, used) = much()
  data = b"".join(events[:-1])
  with messaging(lenient=True) as (client, edge, provider):
    spent = Decimal(0)
    for at in range(1, len(data), 61):
      provider.script = streamed(data[:at], Line.close)
      with edge.client() as other:
        other.send(post(chat(**ASKING)))
        response, kind, length = other.read_final_head("POST")
        if response.status == 200:
          found = heard_chunks(other.assert_cut(response, kind, length) or b"", whole=False)
          holds(said.startswith(found.text or ""), f"cut at {at}: {found.text!r}")
          holds(not found.used or found.used == used, f"cut at {at}: {found.used}")
          came = bool(found.thinking or found.text or found.calls)
        else:
          same(response.status, 502, f"status of a cut at {at}")
          came = False
        line = edge.line_of(response)
        same(exact(line["credits"]) > 0, came, f"charge of a cut at {at}")
        spent += exact(line["credits"])
    same(settled(client), 1000 - spent)


@play
def cuts_of_whole_answers():
  """a whole answer that is cut, or is none, is a 502 for free"""
  whole = dumped(message(used=USED))
  with messaging(lenient=True) as (client, edge, provider):
    for body in (whole[:1], whole[:60], whole[:-1]):
      provider.script = raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                            % (len(whole), body), "close")
      assert_openai_error(ask(client), "PROVIDER_ERROR")
    for body in (b"", b"{}", b"[]", b"<html>", b'{"type":"message"}', whole[:-1],
                 dumped(completion(used=usage(10, 5)))):
      provider.script = replied(body)
      with edge.client() as other:
        response = ask(other)
        same((response.status, exact(edge.line_of(response)["credits"])), (502, 0), f"status for {body!r}")
    same(balance(client), 1000)


@play
def faults_of_the_client():
  """400, 413 and 422 of the provider are told in OpenAI's form, with what the provider says; other errors as usual"""
  with messaging() as (client, edge, provider):
    for body in (chat(), chat(stream=True)):
      for status in (400, 413, 422):
        provider.script = refusing(status, 'messages: too "odd", \u00e9', "invalid_request_error")
        response = ask(client, body)
        same(response.status, status)
        error = json.loads(response.body)["error"]
        same((error["message"], error["type"]), ('messages: too "odd", \u00e9', "invalid_request_error"))
        same(set(error), {"message", "type", "param", "code"}, "fields of the error")
        provider.script = answer(status, b"<html>no</html>", [("Content-Type", "text/html")])
        response = ask(client, body)
        same(response.status, status)
        holds(json.loads(response.body)["error"]["message"], "a message of the edge's own")
      for status, name in ((401, "PROVIDER_ERROR"), (529, "PROVIDER_ERROR"), (404, "MODEL_NOT_FOUND")):
        provider.script = refusing(status)
        assert_openai_error(ask(client, body), name)
      provider.script = refusing(429, fields=[("Retry-After", "3")])
      response = ask(client, body)
      assert_openai_error(response, "RATE_LIMIT_EXCEEDED")
      same(response.fields.one("retry-after"), "3")
    same(balance(client), 1000)


@play
def end_waits_for_the_ledger():
  """when the client has read [DONE] of a translated stream its charge stands on the disk"""
  with MessagesProvider() as provider, Folder() as folder:
    document, files = llm(provider)
    for turn in range(1, 3):
      with Edge(document, files=files, folder=folder) as edge, edge.client() as client:
        answered = begin(client)
        while answered.next() != DONE:
          pass
        edge.crash()
      same(Ledger(folder.path).assert_sound().of("alice"), 1000 - turn * cost(15), f"balance after crash {turn}")


@play
def many_at_once():
  """two hundred translated streams at once, on two workers, each hear their own words"""
  with messaging(server={"workers": 2}) as (_, edge, provider):
    gate = provider.gate()

    def script(request, line):
      name = json.loads(request.body)["metadata"]["user_id"]
      events = tale(f"for {name}", f" and {name}", blocks=[called("now", json.dumps({"a": name}))], stop="tool_use")
      streamed(*events[:3], gate, *events[3:])(request, line)
    provider.script = script
    clients = [Client(edge.address()) for _ in range(200)]
    try:
      for number, one in enumerate(clients):
        one.send(post(chat(**ASKING, user=f"{number}"), user=f"user-{number}"))
      answers = [Events(one) for one in clients]
      gate.open()
      for number, answered in enumerate(answers):
        same(heard_chunks(answered.rest()).said(), (f"for {number} and {number}",
             [("toolu_1", "now", {"a": f"{number}"})], "tool_calls", (10, 5, 0, 0, 0)))
      for number in (0, 99, 199):
        same(settled(clients[0], f"user-{number}"), 1000 - cost(15))
    finally:
      for one in clients:
        one.close()


@play
def older_clients():
  """an HTTP/1.0 client hears a translated stream that ends with the connection, pipelined ones hear all in order"""
  with messaging() as (client, edge, provider):
    with edge.client() as other:
      response = other.request("POST", PATH, [bearer()], chat(stream=True), version="1.0")
      same(heard_chunks(response.body).text, "hello")
    client.send(b"".join(post(chat(stream=bool(number % 2))) + head("GET", "/health") for number in range(10)))
    for number in range(10):
      if number % 2:
        same(heard_chunks(client.read_response("POST").body).text, "hello")
      else:
        same(heard_completion(client.read_response("POST")).text, "hello")
      same(client.read_response().status, 200)
