"""Servers that speak OpenAI's dialect in shapes of their own: calls, reasons, texts; and what a model thinks."""

from play import *
from stage.credits import *
from stage.messages import *
from stage.platform import speaking
from stage.provider import *

GIVEN = {"city": "Paris"}
ENDED = [part(finish="tool_calls"), totals(usage(10, 5)), DONE]


def calling(**fields):
  """An event with one piece of a call, whatever its fields."""
  return part(delta={"tool_calls": [fields]})


def function(name=None, given=None, **fields):
  """The fields of a piece of a call."""
  said = {**({} if name is None else {"name": name}), **({} if given is None else {"arguments": given})}
  return {**fields, "function": said}


def with_calls(*calls, content=None):
  """A whole answer with these calls."""
  document = completion(content, usage(10, 5))
  document["choices"][0]["message"]["tool_calls"] = list(calls)
  document["choices"][0]["finish_reason"] = "tool_calls"
  return document


def running(index, content=None, reason=None, out=1):
  """An event with a piece of one of several choices, and the usage so far."""
  delta = {} if content is None else {"content": content}
  return event({"id": "x", "object": "chat.completion.chunk", "created": 1700000000, "model": "small",
                "choices": [{"index": index, "delta": delta, "finish_reason": reason}], "usage": usage(10, out)})


# MARK: calls


@play
def calls_of_one_number():
  """calls that all have the same number, or none, are as many calls; an id in each piece of one is one call"""
  with chatting() as (client, edge, provider):
    for number in ({"index": 0}, {}, {"index": None}):
      provider.script = streamed(
        calling(**function("weather", '{"city":"Paris"}', id="a", type="function", **number)),
        calling(**function("weather", '{"city":', id="b", type="function", **number)),
        calling(**function(None, '"London"}', id="b", **number)),
        calling(**function("now", "", id="c", **number)), calling(**function("now", "{}", id="c", **number)), *ENDED)
      found = heard_events(begin_talk(client).rest())
      same(found.calls, [("a", "weather", GIVEN), ("b", "weather", {"city": "London"}), ("c", "now", {})], f"{number}")
      same((found.stop, found.used), ("tool_use", (10, 5, 0, 0, 0)), "the end")
    # Without ids, another name behind arguments is another call.
    provider.script = streamed(calling(**function("f", "{}", index=0)), calling(**function("g", "{}", index=0)), *ENDED)
    same([one[1:] for one in heard_events(begin_talk(client).rest()).calls], [("f", {}), ("g", {})])


@play
def calls_of_one_number_on_a_websocket():
  """the same on a session of the platform's own"""
  script = streamed(calling(**function("f", '{"a":1}', id="a", index=0)),
                    calling(**function("g", "{", id="b", index=0)),
                    calling(**function(None, "}", id="b", index=0)), *ENDED)
  with speaking(script) as (session, *_):
    session.ask("a", stream=True)
    found = session.next()
    while found["type"] == "chunk":
      found = session.next()
    same([(one["id"], one["function"]["arguments"]) for one in found["toolCalls"]], [("a", '{"a":1}'), ("b", "{}")])


@play
def arguments_that_are_an_object():
  """arguments that are the object itself, and no string that holds it, reach the client"""
  with chatting() as (client, edge, provider):
    provider.script = streamed(calling(**function("f", GIVEN, id="a", index=0)), *ENDED)
    same(heard_events(begin_talk(client).rest()).calls, [("a", "f", GIVEN)])
    provider.script = told(with_calls(function("f", GIVEN, id="a", type="function")))
    same(heard_message(say(client)).calls, [("a", "f", GIVEN)])


@play
def shapes_that_cannot_be_said():
  """calls and texts of which something would be lost are a 502 that costs nothing, or cut the stream"""
  named_in_two = [calling(**function("get_", "", id="a", index=0)), calling(**function("weather", "", index=0)),
                  calling(**function(None, "{}", index=0))]
  calls = [function("f", [1], id="a"), function("f", 7, id="a"), function("", "{}", id="a"),
           {"id": "a", "type": "custom", "custom": {"name": "f", "input": "x"}}]
  with chatting(lenient=True) as (client, edge, provider):
    provider.script = streamed(*named_in_two, *ENDED)
    with edge.client() as other:
      data = begin_talk(other).cut()
      holds(b'"get_"' in data, f"{data!r}")
    for odd in calls:
      provider.script = told(with_calls(odd))
      assert_message_error(say(client), "PROVIDER_ERROR")
      if odd.get("function", {}).get("name") != "":
        provider.script = streamed(calling(**odd), *ENDED)
        assert_message_error(say(client, talk(stream=True)), "PROVIDER_ERROR")
    before = settled(client)
    for content in (7, {"text": "a"}, ["a"], [{"type": "text", "text": 7}], [{"type": "video"}]):
      provider.script = told(completion(content, usage(10, 5)))
      assert_message_error(say(client), "PROVIDER_ERROR")
      provider.script = streamed(part(delta={"content": content}), part(finish="stop"), totals(usage(10, 5)), DONE)
      assert_message_error(say(client, talk(stream=True)), "PROVIDER_ERROR")
    same(settled(client), before, "what it has cost")


@play
def texts_in_pieces():
  """a content that is a list of texts, and of what was thought, is said; and it counts where no usage is told"""
  pieces = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm" * 8}]}, {"type": "text", "text": "good "},
            {"type": "reference", "reference_ids": [1]}, {"type": "text", "text": "day"}]
  with chatting() as (client, edge, provider):
    provider.script = told(completion(pieces, usage(10, 5)))
    same(heard_message(say(client)).text, "good day")
    provider.script = streamed(part(delta={"content": pieces}), part(finish="stop"), totals(usage(10, 5)), DONE)
    same(heard_events(begin_talk(client).rest()).text, "good day")
    provider.script = streamed(part(delta={"content": pieces}), part(finish="stop"), DONE)
    answered = begin(client)
    answered.rest()
    same(edge.line_of(answered.response)["usage"]["outputTokens"], 6, "tokens for 24 bytes")


# MARK: reasons to stop


@play
def empty_reasons():
  """a reason to stop that is empty is none: nothing waits for it, and what opens a stream is held as ever"""
  with chatting() as (client, edge, provider):
    for begins in (begin, begin_talk):
      gate = Gate()
      provider.script = streamed(running(0, "", "", 0), running(0, "one", "", 1), gate, running(0, "two", "", 2),
                                 running(0, None, "stop", 3), DONE)
      answered, data = begins(client), b""
      while b'"one"' not in data:
        data += answered.next()
      gate.open()
      data += answered.rest()
      same(text_of(data), "onetwo")
      assert_charged(edge, answered.response, cost(13), tokens=(10, 3))
    provider.script = streamed(running(0, "", "", 0), Line.close)
    assert_message_error(say(client, talk(stream=True)), "PROVIDER_ERROR")


@play
def one_choice_ends_before_another():
  """of several choices one may end: what the others say goes on as it comes, and only their end waits"""
  with chatting() as (client, edge, provider):
    gate = Gate()
    provider.script = streamed(running(0, "a"), running(0, None, "stop"), running(1, "b", None, 2), gate,
                               *[running(1, "c" * 1000, None, 3) for _ in range(400)], running(1, None, "stop", 5),
                               DONE)
    answered, data = begin(client, chat(stream=True, n=2, stream_options={"include_usage": True})), b""
    while b'"b"' not in data:
      data += answered.next()
    gate.open()
    data += answered.rest()
    holds(data.endswith(DONE) and data.count(b"c" * 1000) == 400, "not all of the second choice")
    assert_charged(edge, answered.response, cost(15), tokens=(10, 5))


@play
def a_client_leaves_between_choices():
  """a usage that is told while a choice still runs is only the least, where the client leaves behind more of it"""
  with chatting(model={"max_output": 5000}) as (client, edge, provider):
    provider.script = streamed(running(0, "a"), running(0, None, "stop"), running(1, "y" * 4000, None, 2), Line.hang)
    with edge.client() as other:
      answered, data = begin(other, chat(stream=True, n=2)), b""
      while b"yyy" not in data:
        data += answered.next()
      await_read(provider.lines[-1])
      other.close()
      assert_charged(edge, answered.response, cost(1011), "estimated", (10, 1001), cause="client_left")


# MARK: what a model thinks


@play
def a_model_that_thinks():
  """what a model thinks is told to Anthropic's clients as a ping, which opens the answer, and not with each piece"""
  with chatting(provider={"timeouts": {"idle": "2s"}}) as (client, edge, provider):
    gate, thoughts = Gate(), [part(delta={"reasoning_content": "hm"}) for _ in range(20)]
    provider.script = streamed(*thoughts, gate, *thoughts, *story("hi", used=usage(10, 5)))
    answered = begin_talk(client)
    data = answered.next() + answered.next()
    same([one["type"] for one in events_of(data)], ["message_start", "ping"])
    gate.open()
    data += answered.rest()
    same(data.count(b"event: ping"), 1, "pings")
    same(heard_events(data).text, "hi")


# MARK: requests


@play
def audio_of_the_model():
  """what a model has spoken before is audio, too: it is refused, and null is none"""
  with chatting() as (client, edge, provider):
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "audio": {"id": "a"}},
             {"role": "user", "content": "again"}]
    assert_openai_error(ask(client, evened({"model": "small", "messages": turns})), "INVALID_REQUEST", "messages")
    same(provider.lines, [], "what the provider has heard")
    turns[1] = {"role": "assistant", "content": "a", "audio": None}
    same(ask(client, evened({"model": "small", "messages": turns})).status, 200)


@play
def a_picture_twice():
  """a picture's address that stands in its part twice is refused: the provider might read the other one"""
  one, other = b'"image_url":{"url":"data:image/png;base64,AAAA"}', b'"image_url":{"url":"https://x/y"}'
  rows = [one + b"," + other, b'"image_url":{"url":"https://x","url":"https://y"}']
  with chatting() as (client, edge, provider):
    for row in rows:
      body = b'{"model":"small","messages":[{"role":"user","content":[{"type":"image_url",' + row + b"}]}]}"
      assert_openai_error(ask(client, body), "INVALID_REQUEST", "messages")
    same(provider.lines, [], "what the provider has heard")


@play
def blank_texts():
  """texts of white space alone, which Anthropic refuses, are left out, and a request of nothing else is refused"""
  with messaging() as (client, edge, provider):
    turns = [{"role": "system", "content": " "}, {"role": "user", "content": [text("\n\t "), text("a")]},
             {"role": "assistant", "content": "\n"}, {"role": "user", "content": " b "}]
    same(ask(client, evened({"model": "small", "messages": turns})).status, 200)
    found = provider.asked()
    same((found["messages"], "system" in found), ([{"role": "user", "content": [text("a"), text(" b ")]}], False))
    assert_openai_error(ask(client, chat(" \n")), "INVALID_REQUEST", "messages")


@play
def tools_that_fail():
  """a tool that has failed and says nothing has something to say to a provider without a word for that"""
  with chatting() as (client, edge, provider):
    call = {"role": "assistant", "content": [tool_use("f", {}, "t")]}
    for content, flag, wanted in (([], True, "The tool has failed."), ([text("boom")], True, "boom"), ([], False, "")):
      result = {"type": "tool_result", "tool_use_id": "t", "is_error": flag, "content": content}
      turns = [{"role": "user", "content": "q"}, call, {"role": "user", "content": [result]}]
      same(say(client, evened({"model": "small", "max_tokens": 9, "messages": turns})).status, 200)
      same(provider.asked()["messages"][-1], {"role": "tool", "tool_call_id": "t", "content": wanted})
