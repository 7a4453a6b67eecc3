"""Each of the two official clients with a provider of the other one's format: what is heard is what was sent."""

import anthropic
import openai
from anthropic_client import client_at, raised

from play import *
from stage.credits import *
from stage.messages import *
from stage.provider import *

LETTERS = 'a \u00e9 \u4e2d \U0001f600 "quoted" back\\slash \n\t /'
ARGUMENTS = {"city": LETTERS, "days": [1, 2.5, None, True], "more": {"a": {}}}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
FUNCTIONS = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}},
             {"type": "function", "function": {"name": "now"}}]
TOOLS = [{"name": "weather", "input_schema": SCHEMA}, {"name": "now", "input_schema": {"type": "object"}}]
# What goes in, comes out, is read from the cache, written to it, and thought.
HEARD = (100, 50, 20, 10, 30)
USED = usage(100, 50, cached=20, written=10, reasoning=30)
TOKENS = tokens(70, 50, read=20, written=10, thinking=30)


@contextmanager
def openai_client(address, **settings):
  host, port = address
  with openai.OpenAI(base_url=f"http://{host}:{port}/v1", api_key=token(), max_retries=0, timeout=DEADLINE,
                     http_client=openai.DefaultHttpxClient(trust_env=False), **settings) as client:
    yield client


def question(**changes):
  """The parameters of a chat or a message, but for those of tools."""
  return {"model": "small", "max_tokens": 500, "messages": [{"role": "user", "content": LETTERS}], **changes}


def assert_charged_once(edge, request):
  line = edge.log_line(requestId=request)
  same(exact(line["credits"]), cost(150), "credits")
  same(tuple(line["usage"][name] for name in ("inputTokens", "outputTokens", "cachedTokens", "cacheWriteTokens",
                                              "reasoningTokens")), HEARD, "usage in the log")


@play
def the_stage_is_understood():
  """what the stage's providers say is understood by the clients of those whom they play, without an edge between"""
  blocks = [thought("so"), spoken(*LETTERS), called("weather", *pieces_of(ARGUMENTS)), called("now", call="toolu_2")]
  wanted = (LETTERS, [("toolu_1", "weather", ARGUMENTS), ("toolu_2", "now", {})], "tool_use", HEARD)
  with MessagesProvider(streamed(*tale(blocks=blocks, used=TOKENS, stop="tool_use", repeats=True))) as provider:
    with client_at(provider.address, "key") as client:
      with client.messages.stream(**question(tools=TOOLS)) as stream:
        same(of_anthropic(stream.get_final_message()), wanted)
      provider.script = streamed(opening(), PING, failure("too busy"))
      with client.messages.create(**question(), stream=True) as stream:
        same(raised(anthropic.APIStatusError, lambda: list(stream)).type, "overloaded_error")
      provider.script = replied(used=TOKENS)
      same(of_anthropic(client.messages.create(**question())), ("hello", [], "end_turn", HEARD))
      provider.script = refusing(529, kind="overloaded_error")
      same(raised(anthropic.OverloadedError, lambda: client.messages.create(**question())).type, "overloaded_error")
  calls = [call_of(0, "", "weather"), *[call_of(0, one) for one in pieces_of(ARGUMENTS)], call_of(1, "{}", "now")]
  events = [part(delta={"role": "assistant", "content": ""}), *map(part, LETTERS), *calls, part(finish="tool_calls"),
            totals(USED), DONE]
  with Provider(streamed(*events)) as provider, openai_client(provider.address) as client:
    with client.chat.completions.stream(**question(tools=FUNCTIONS)) as stream:
      found = of_openai(stream.get_final_completion())
    same(found, (LETTERS, [("call_0", "weather", ARGUMENTS), ("call_1", "now", {})], "tool_calls", HEARD))


# MARK: OpenAI's client


def of_openai(answer):
  """An answer as OpenAI's client has it: text, calls, why it ended, usage."""
  (choice,), used = answer.choices, answer.usage
  calls = [(call.id, call.function.name, json.loads(call.function.arguments))
           for call in choice.message.tool_calls or []]
  return choice.message.content or None, calls, choice.finish_reason, (
    used.prompt_tokens, used.completion_tokens, used.prompt_tokens_details.cached_tokens,
    used.prompt_tokens_details.cache_write_tokens, used.completion_tokens_details.reasoning_tokens)


@play
def chats_with_messages():
  """OpenAI's client hears text, calls, reason and usage of a provider of messages, whole, streamed and by its helper"""
  rows = [(LETTERS, [], "end_turn", "stop"), (LETTERS, [], "max_tokens", "length"),
          (LETTERS, [("weather", ARGUMENTS)], "tool_use", "tool_calls"),
          (None, [("weather", ARGUMENTS), ("now", {}), ("now", {})], "tool_use", "tool_calls")]
  with messaging() as (_, edge, provider), openai_client(edge.address()) as client:
    for said, calls, stop, finish in rows:
      wanted = (said, [(f"toolu_{at}", name, given) for at, (name, given) in enumerate(calls)], finish, HEARD)
      whole = [text(said)] if said else []
      whole += [tool_use(name, given, f"toolu_{at}") for at, (name, given) in enumerate(calls)]
      provider.script = replied(message(whole, TOKENS, stop=stop))
      answer = client.chat.completions.create(**question(tools=FUNCTIONS))
      same(of_openai(answer), wanted)
      assert_charged_once(edge, answer._request_id)
      blocks = [called(name, *pieces_of(given), call=f"toolu_{at}") for at, (name, given) in enumerate(calls)]
      provider.script = streamed(*tale(*(said or ""), blocks=blocks, used=TOKENS, stop=stop))
      asking = question(tools=FUNCTIONS, stream_options={"include_usage": True})
      with client.chat.completions.stream(**asking) as stream:
        try:
          answer = stream.get_final_completion()
        except openai.LengthFinishReasonError as error:  # what its helper makes of an answer that was too long
          answer = error.completion
      same(of_openai(answer), wanted)
      assert_charged_once(edge, stream._response.headers["x-request-id"])


def pieces_of(given):
  """Arguments in pieces; none at all for those of nothing."""
  written = json.dumps(given, ensure_ascii=False) if given else ""
  return [written[at:at + 5] for at in range(0, len(written), 5)]


@play
def conversation_of_openai():
  """calls that OpenAI's client sends back with their results reach a provider of messages as they were"""
  calls = [tool_use("weather", ARGUMENTS, "toolu_0"), tool_use("now", {}, "toolu_1")]
  script = replied(message(calls, TOKENS, stop="tool_use"))
  with messaging(script) as (_, edge, provider), openai_client(edge.address()) as client:
    answer = client.chat.completions.create(**question(tools=FUNCTIONS))
    results = [{"role": "tool", "tool_call_id": call.id, "content": f"of {call.id}"}
               for call in answer.choices[0].message.tool_calls]
    first = question()["messages"]
    client.chat.completions.create(**question(tools=FUNCTIONS, messages=[*first, answer.choices[0].message, *results]))
    _, said, told_back = provider.asked()["messages"]
    same((said["role"], said["content"]), ("assistant", calls))
    same([(one["type"], one["tool_use_id"]) for one in told_back["content"]],
         [("tool_result", "toolu_0"), ("tool_result", "toolu_1")])


@play
def errors_of_openai():
  """errors of a provider of messages are the exceptions of OpenAI's client, within a stream too"""
  with messaging() as (_, edge, provider), openai_client(edge.address()) as client:
    for status, kind, said in ((400, openai.BadRequestError, "your fault"), (404, openai.NotFoundError, None),
                               (429, openai.RateLimitError, None), (529, openai.InternalServerError, None)):
      provider.script = refusing(status, "your fault")
      for stream in (False, True):
        try:
          client.chat.completions.create(**question(), stream=stream)
          raise Failed(f"no exception for {status}")
        except openai.APIStatusError as error:
          same(type(error), kind)
          holds(said is None or said in error.message, f"{error.message}")
    provider.script = streamed(*tale("hello")[:3], failure("too busy"))
    try:
      with client.chat.completions.create(**question(), stream=True) as stream:
        parts = list(stream)
      raise Failed(f"taken for whole: {parts}")
    except openai.APIError as error:
      holds("too busy" in error.message, f"{error}")


# MARK: Anthropic's client


def of_anthropic(answer):
  """An answer as Anthropic's client has it, input with what the cache gave and took."""
  said = "".join(block.text for block in answer.content if block.type == "text")
  calls = [(block.id, block.name, block.input) for block in answer.content if block.type == "tool_use"]
  used = answer.usage
  read, written = used.cache_read_input_tokens or 0, used.cache_creation_input_tokens or 0
  return said or None, calls, answer.stop_reason, (
    used.input_tokens + read + written, used.output_tokens, read, written, used.output_tokens_details.thinking_tokens)


@play
def messages_with_chats():
  """Anthropic's client hears text, calls, reason and usage of a provider of chats, whole and streamed"""
  rows = [(LETTERS, [], "stop", "end_turn"), (LETTERS, [], "length", "max_tokens"),
          (LETTERS, [("weather", ARGUMENTS)], "tool_calls", "tool_use"),
          (None, [("weather", ARGUMENTS), ("now", {}), ("now", {})], "tool_calls", "tool_use")]
  begun = part(delta={"role": "assistant", "content": None})
  with chatting() as (_, edge, provider), client_at(edge.address(), token()) as client:
    for said, calls, finish, stop in rows:
      wanted = (said, [(f"call_{at}", name, given) for at, (name, given) in enumerate(calls)], stop, HEARD)
      whole = {"role": "assistant", "content": said}
      if calls:
        whole["tool_calls"] = [{"id": f"call_{at}", "type": "function",
                                "function": {"name": name, "arguments": json.dumps(given) if given else ""}}
                               for at, (name, given) in enumerate(calls)]
      choice = {"index": 0, "message": whole, "finish_reason": finish}
      provider.script = told(completion(used=USED, choices=[choice]))
      answer = client.messages.create(**question(tools=TOOLS))
      same(of_anthropic(answer), wanted)
      assert_charged_once(edge, answer._request_id)
      parts = [part(letter) for letter in said or ""]
      for at, (name, given) in enumerate(calls):
        parts += [call_of(at, "", name), *[call_of(at, one) for one in pieces_of(given)]]
      provider.script = streamed(begun, *parts, part(finish=finish), totals(USED), DONE)
      with client.messages.stream(**question(tools=TOOLS)) as stream:
        answer = stream.get_final_message()
      same(of_anthropic(answer), wanted)
      assert_charged_once(edge, stream.request_id)


@play
def conversation_of_anthropic():
  """calls that Anthropic's client sends back with their results reach a provider of chats as they were"""
  calls = [{"id": "call_0", "type": "function", "function": {"name": "weather", "arguments": json.dumps(ARGUMENTS)}},
           {"id": "call_1", "type": "function", "function": {"name": "now", "arguments": "{}"}}]
  choice = {"index": 0, "finish_reason": "tool_calls",
            "message": {"role": "assistant", "content": None, "tool_calls": calls}}
  with chatting(told(completion(used=USED, choices=[choice]))) as (_, edge, provider):
    with client_at(edge.address(), token()) as client:
      answer = client.messages.create(**question(tools=TOOLS))
      results = [{"type": "tool_result", "tool_use_id": block.id, "content": f"of {block.id}"}
                 for block in answer.content]
      client.messages.create(**question(tools=TOOLS, messages=[
        *question()["messages"], {"role": "assistant", "content": answer.content},
        {"role": "user", "content": results}]))
    _, said, *told_back = provider.asked()["messages"]
    same([(call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
          for call in said["tool_calls"]], [("call_0", "weather", ARGUMENTS), ("call_1", "now", {})])
    same([(one["role"], one["tool_call_id"]) for one in told_back], [("tool", "call_0"), ("tool", "call_1")])


@play
def errors_of_anthropic():
  """errors of a provider of chats are the exceptions of Anthropic's client, within a stream too"""
  with chatting() as (_, edge, provider), client_at(edge.address(), token()) as client:
    for status, kind, said in ((400, anthropic.BadRequestError, "your fault"), (404, anthropic.NotFoundError, None),
                               (429, anthropic.RateLimitError, None), (529, anthropic.InternalServerError, None)):
      provider.script = failing(status, "your fault")
      for stream in (False, True):
        error = raised(kind, lambda: client.messages.create(**question(), stream=stream))
        holds(said is None or error.api_message == said, f"{error}")
        assert_ulid(error.request_id)
    failed = event({"error": {"message": "too busy", "type": "server_error", "param": None, "code": None}})
    provider.script = streamed(part("hello"), failed)
    try:
      with client.messages.stream(**question()) as stream:
        raise Failed(f"taken for whole: {stream.get_final_message()}")
    except anthropic.APIStatusError as error:
      same(error.api_message, "too busy")
