"""What a client is told of usage and ends is what the ledger and the log say, whatever the provider leaves out."""

import threading
import time

from play import *
from stage.credits import *
from stage.messages import *
from stage.provider import *

ASKING = chat(stream=True, stream_options={"include_usage": True})
LONG = "x" * 40


def used_of(client):
  """Of the newest entry: source, tokens in and out."""
  used = entries(client)[0]["usage"]
  return used["source"], used["inputTokens"], used["outputTokens"]


def half_bytes(body):
  """What a request is taken for where nobody says what went in."""
  return (len(body) + 1) // 2


# MARK: usage that is told more than once, or not at all


@play
def the_last_usage_is_told():
  """of a usage that a stream tells several times the client is told the last in its own dialect, as it is charged"""
  twice = [opening(), *block(0, *spoken("hi")), closing({"output_tokens": 5}),
           closing({"output_tokens": 9, "input_tokens": 12}), STOP]
  with messaging(streamed(*twice)) as (client, edge, provider):
    same(heard_chunks(begin(client, ASKING).rest()).used[:2], (12, 9), "told to OpenAI's client")
    same(used_of(client), ("reported", 12, 9))
  twice = [part("hi"), part(finish="stop", usage=usage(10, 5)), totals(usage(12, 9)), DONE]
  with chatting(streamed(*twice)) as (client, edge, provider):
    same(heard_events(begin_talk(client).rest()).used[:2], (12, 9), "told to Anthropic's client")
    same(used_of(client), ("reported", 12, 9))


@play
def estimates_are_told():
  """where the provider tells no usage, a client of the other dialect is told the estimate that it pays"""
  with chatting(streamed(*story(LONG))) as (client, edge, provider):
    same(heard_events(begin_talk(client).rest()).used[:2], (half_bytes(talk(stream=True)), 10), "of a stream")
    same(used_of(client), ("estimated", half_bytes(talk(stream=True)), 10))
  with chatting(told(completion(LONG))) as (client, edge, provider):
    same(heard_message(say(client)).used[:2], (half_bytes(talk()), 10), "of a whole answer")
    same(used_of(client), ("estimated", half_bytes(talk()), 10))
  silent = named("message_delta", delta={"stop_reason": "end_turn"})
  begun = named("message_start", message=message([], stop=None))
  with messaging(streamed(begun, *block(0, *spoken(LONG)), silent, STOP)) as (client, edge, provider):
    same(heard_chunks(begin(client, ASKING).rest()).used[:2], (half_bytes(ASKING), 10), "of Anthropic's stream")
    same(used_of(client), ("estimated", half_bytes(ASKING), 10))


@play
def late_usage():
  """a usage behind the last event is still told to a client of the other dialect, as it is charged"""
  with chatting(streamed(part("hi"), part(finish="stop"), DONE, totals(usage(12, 9)))) as (client, edge, provider):
    same(heard_events(begin_talk(client).rest()).used[:2], (12, 9))
    same(used_of(client), ("reported", 12, 9))


@play
def usage_before_the_content():
  """a usage that was told before the content is not the last word: what came counts, however the stream ends"""
  begun = [totals(usage(10, 1)), *[part("x" * 100) for _ in range(10)]]
  for end in ([part(finish="stop"), DONE], [DONE], [part(finish="stop")]):
    with chatting(streamed(*begun, *end)) as (client, edge, provider):
      begin(client, ASKING).rest()
      same(used_of(client)[1:], (10, 250), f"behind {end}")
    with chatting(streamed(*begun, *end)) as (client, edge, provider):
      same(heard_events(begin_talk(client).rest()).used[:2], (10, 250), "told to a client of the other dialect")
      same(used_of(client)[1:], (10, 250))


@play
def nothing_behind_the_end():
  """what a provider sends behind the end reaches nobody, costs nothing, and does not keep the stream open"""
  ended = threading.Event()

  def chatters(line):
    try:
      while True:
        line.send(chunk(b": ping\n\n" + part("more") + totals(usage(10, 1000))))
        time.sleep(0.05)
    except OSError:
      ended.set()
  for told_of in ([totals(usage(10, 5))], []):
    told_usage = ("reported", 10, 5) if told_of else ("reported", 10, 1000)
    steps = [part("hi"), part(finish="stop"), *told_of, DONE]
    for begins, name in ((lambda client: begin(client, ASKING), "completion_tokens"), (begin_talk, "output_tokens")):
      with chatting(streamed(*steps, chatters), lenient=True) as (client, edge, provider):
        rest = begins(client).rest()
        holds(b"more" not in rest and b"ping" not in rest, f"{rest[-300:]!r}")
        same([int(one) for one in re.findall(rf'"{name}": ?(\d+)'.encode(), rest)][-1], told_usage[2], "told")
        same(used_of(client), told_usage, "charged")
        eventually(ended.is_set, "the end of the connection to the provider")
        ended.clear()


@play
def half_a_usage():
  """of a usage with one half the other one is estimated, streamed and whole, and null is no zero"""
  asked, said = chat(), talk()
  for used, wanted in (({"completion_tokens": 5}, ("estimated", half_bytes(asked), 5)),
                       ({"prompt_tokens": None, "completion_tokens": 5}, ("estimated", half_bytes(asked), 5)),
                       ({"prompt_tokens": 7}, ("estimated", 7, 10)),
                       ({"prompt_tokens": 7, "completion_tokens": None}, ("estimated", 7, 10)),
                       ({"prompt_tokens": 0, "completion_tokens": 0}, ("reported", 0, 0))):
    with chatting(told(completion(LONG, used))) as (client, edge, provider):
      ask(client, asked)
      same(used_of(client), wanted, f"of a whole answer with {used}")
    streams = chat(stream=True)
    wanted = (wanted[0], half_bytes(streams) if wanted[1] == half_bytes(asked) else wanted[1], wanted[2])
    with chatting(streamed(*story(LONG, used=used))) as (client, edge, provider):
      begin(client, streams).rest()
      same(used_of(client), wanted, f"of a stream with {used}")
  for used, wanted in (({"output_tokens": 5}, ("estimated", half_bytes(said), 5)),
                       ({"input_tokens": 7}, ("estimated", 7, 10)),
                       ({"input_tokens": 7, "output_tokens": None}, ("estimated", 7, 10)),
                       ({"input_tokens": 0, "output_tokens": 0}, ("reported", 0, 0))):
    with messaging(replied(message(LONG, used))) as (client, edge, provider):
      say(client, said)
      same(used_of(client), wanted, f"of a message with {used}")
  # Nothing about the input where a stream begins, and at its end only what came out.
  begun = named("message_start", message=message([], {"output_tokens": 1}, stop=None))
  streams = talk(stream=True)
  with messaging(streamed(begun, *block(0, *spoken(LONG)), closing({"output_tokens": 5}), STOP)) as (client, edge, _):
    begin_talk(client, streams).rest()
    same(used_of(client), ("estimated", half_bytes(streams), 5))


# MARK: ends


@play
def streams_without_an_end():
  """a stream that ends in order, but without a reason to stop or an end, is a cut: for the client and in the log"""
  openai = (chatting, [part("hello" * 4)])
  anthropic = (messaging, [opening(), *block(0, *spoken("hello" * 4))])
  for (stage, events), start in ((openai, begin), (openai, begin_talk), (anthropic, begin), (anthropic, begin_talk)):
    with stage(streamed(*events)) as (client, edge, provider):
      answered = start(client)
      holds("hello" in text_of(answered.cut()), "the content")
      line = edge.wait_line(event="exchange", provider="p1")
      same((line["cause"], line["usage"]["source"], line["usage"]["outputTokens"]), ("upstream_cut", "estimated", 5))
  with chatting(streamed(part(delta={"role": "assistant", "content": ""}))) as (client, edge, provider):
    assert_openai_error(ask(client, chat(stream=True)), "PROVIDER_ERROR")
    same(balance(client), 1000)


@play
def ends_without_their_mark():
  """a stream with a reason to stop is complete, whether or not its last event follows"""
  openai = (chatting, story("hello", used=usage(10, 5))[:-1])
  anthropic = (messaging, tale("hello")[:-1])
  for (stage, events), start in ((openai, begin), (openai, begin_talk), (anthropic, begin), (anthropic, begin_talk)):
    with stage(streamed(*events)) as (client, edge, provider):
      holds("hello" in text_of(start(client).rest()), "the content")
      same(used_of(client), ("reported", 10, 5))
      same(edge.wait_line(event="exchange", provider="p1")["cause"], "completed")


# MARK: errors within a stream


def openai_failure(kind, code=None):
  return event({"error": {"message": "said in the stream", "type": kind, "param": None, "code": code}})


@play
def limits_within_a_stream():
  """a limit that a provider tells in its stream before any content is the 429 that its status would have been"""
  fields = (("Retry-After", "7"),)
  for stage, event_ in ((chatting, openai_failure("requests", "rate_limit_exceeded")),
                        (chatting, openai_failure("rate_limit_error")), (chatting, openai_failure("x", 429)),
                        (messaging, failure("slow down", "rate_limit_error"))):
    with stage(streamed(event_)) as (client, edge, provider):
      assert_openai_error(ask(client, chat(stream=True)), "RATE_LIMIT_EXCEEDED")
      assert_message_error(say(client, talk(stream=True)), "RATE_LIMIT_EXCEEDED")
      same(balance(client), 1000)
  for stage, event_ in ((chatting, openai_failure("invalid_request_error", "model_not_found")),
                        (messaging, failure("no such model", "not_found_error"))):
    with stage(streamed(event_)) as (client, edge, provider):
      assert_openai_error(ask(client, chat(stream=True)), "MODEL_NOT_FOUND")
  for stage, event_ in ((chatting, openai_failure("server_error")), (messaging, failure()),
                        (chatting, openai_failure("invalid_request_error", "invalid_api_key")),
                        (chatting, openai_failure("AuthenticationError", 401)),
                        (messaging, failure("Your credit balance is too low", "invalid_request_error"))):
    with stage(streamed(event_)) as (client, edge, provider):
      document = assert_openai_error(ask(client, chat(stream=True)), "PROVIDER_ERROR")
      holds("credit" not in document["message"] and "stream" not in document["message"], f"{document}")


@play
def requests_refused_within_a_stream():
  """a request that a provider refuses in its stream is refused with what it says, and nobody else is asked"""
  for kind, blame in ((Provider, openai_failure("invalid_request_error", "context_length_exceeded")),
                      (Provider, openai_failure("BadRequestError", 400)),
                      (MessagesProvider, failure("said in the stream", "invalid_request_error"))):
    for first in ([], [part(delta={"role": "assistant", "content": ""})] if kind is Provider else [opening()]):
      with kind(streamed(*first, blame)) as refuses, Provider() as other:
        document, files = llm(refuses, other)
        with Edge(document, files=files) as edge, edge.client() as client:
          response = ask(client, chat(stream=True))
          same(response.status, 400, f"{response.body}")
          same(response.fields.one("content-type"), "application/json")
          same(json.loads(response.body)["error"]["message"], "said in the stream")
          response = say(client, talk(stream=True))
          same((response.status, json.loads(response.body)["error"]["message"]), (400, "said in the stream"))
          same((balance(client), len(other.requests)), (1000, 0))
          line = edge.wait_line(event="exchange", provider="p1")
          same((line["cause"], line["status"]), ("completed", 400))


# MARK: a whole answer to who waits for a stream


@play
def whole_answers_told_as_streams():
  """a whole answer of a provider of the other dialect reaches a client that waits for a stream as one"""
  call = {"id": "call_1", "type": "function", "function": {"name": "now", "arguments": '{"a":1}'}}
  answer = completion("hello", usage(10, 5))
  answer["choices"][0]["message"]["tool_calls"] = [call]
  answer["choices"][0]["finish_reason"] = "tool_calls"
  with chatting(told(answer)) as (client, edge, provider):
    response = say(client, talk(stream=True))
    same((response.status, response.fields.one("content-type")), (200, "text/event-stream; charset=utf-8"))
    found = heard_events(response.body)
    same((found.text, found.used[:2], len(found.calls)), ("hello", (10, 5), 1))
    same(used_of(client), ("reported", 10, 5))
  with messaging(replied(message([text("hello"), tool_use("now", {"a": 1})], tokens(10, 5), stop="tool_use"))) as (
      client, edge, provider):
    response = ask(client, ASKING)
    same((response.status, response.fields.one("content-type")), (200, "text/event-stream; charset=utf-8"))
    found = heard_chunks(response.body)
    same((found.text, found.used[:2], len(found.calls)), ("hello", (10, 5), 1))
    same(used_of(client), ("reported", 10, 5))
