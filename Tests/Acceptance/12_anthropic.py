"""Messages with Anthropic's own client against the shipped configuration, whose models the demo provider plays."""

import asyncio
import base64

import anthropic
from anthropic_client import MODEL, WEATHER, asked, client_of, raised
from openai_client import demo_tokens, served

from play import *


def assert_metered(place, request, used):
  """The log says of this exchange what the provider told the client."""
  line = place.line(request)
  tokens = line["usage"]
  same((tokens["source"], tokens["inputTokens"], tokens["outputTokens"]),
       ("reported", used.input_tokens, used.output_tokens), "usage in the log")
  return line


def text_of(message):
  return "".join(block.text for block in message.content if block.type == "text")


def messages_of(place):
  """The access lines of messages so far."""
  return place.edge.matching(event="exchange", path="/v1/messages")


@play
def plain():
  """a plain message is answered and marked as a demo, and its usage is the provider's, in the answer and in the log"""
  with served() as place, client_of(place) as client:
    raw_answer = client.messages.with_raw_response.create(**asked())
    same(raw_answer.headers.get("edge-demo"), "true")
    answer = raw_answer.parse()
    holds(text_of(answer).startswith("You said: Hello there."), text_of(answer))
    same((answer.type, answer.role, answer.model, answer.stop_reason), ("message", "assistant", MODEL, "end_turn"))
    same(answer.usage.output_tokens, demo_tokens(text_of(answer)), "tokens of the answer")
    same((answer._request_id, raw_answer.headers["x-request-id"]), (raw_answer.headers["request-id"],) * 2)
    line = assert_metered(place, answer._request_id, answer.usage)
    holds(abs(line["credits"] - (answer.usage.input_tokens + answer.usage.output_tokens) * 0.001 / 1000) < 1e-9,
          f"{line}")


@play
def streamed():
  """a streamed message says the same as the plain one, in many parts, and its usage is in the log"""
  with served() as place, client_of(place) as client:
    whole = client.messages.create(**asked())
    with client.messages.create(**asked(), stream=True) as stream:
      events = list(stream)
    kinds = [one.type for one in events]
    same((kinds[0], kinds[-2:]), ("message_start", ["message_delta", "message_stop"]))
    pieces = [one.delta.text for one in events if one.type == "content_block_delta"]
    same("".join(pieces), text_of(whole))
    holds(len(pieces) > 10, f"{len(pieces)} parts")
    assert_metered(place, stream.response.headers["request-id"], whole.usage)


@play
def accumulated():
  """the client's own helper puts the message of a stream together, and it is the plain one"""
  with served() as place, client_of(place) as client:
    whole = client.messages.create(**asked())
    with client.messages.stream(**asked()) as stream:
      said = "".join(stream.text_stream)
      answer = stream.get_final_message()
    same((said, text_of(answer), answer.stop_reason), (text_of(whole), text_of(whole), whole.stop_reason))
    same((answer.usage.input_tokens, answer.usage.output_tokens),
         (whole.usage.input_tokens, whole.usage.output_tokens))
    assert_metered(place, stream.request_id, answer.usage)


@play
def shipped_models():
  """each of the shipped models of either provider is answered under its own name, whole and streamed"""
  with served() as place, client_of(place) as client:
    for name in ("claude-3-opus", "claude-3-sonnet", "claude-3-haiku", "gpt-4", "gpt-3.5-turbo", "demo-claude"):
      whole = client.messages.create(**asked(model=name))
      with client.messages.stream(**asked(model=name)) as stream:
        answer = stream.get_final_message()
      same((whole.model, answer.model), (name, name))
      for one in (whole, answer):
        holds(text_of(one).startswith("You said: Hello there."), f"{one}")
        same((one.stop_reason, one.usage.output_tokens), ("end_turn", demo_tokens(text_of(one))))


@play
def as_many_as_asked_for():
  """max_tokens is kept, and said to be why the answer ended"""
  with served() as place, client_of(place) as client:
    for name in ("demo-max", MODEL):
      answer = client.messages.create(**asked(model=name, max_tokens=3))
      same((answer.usage.output_tokens, answer.stop_reason), (3, "max_tokens"), name)


@play
def pictures_systems_and_long_messages():
  """a system's text, pictures, blocks and messages of 500 KB pass"""
  with served() as place, client_of(place) as client:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png",
                                           "data": base64.b64encode(bytes(range(256)) * 400).decode()}}
    content = [{"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}}, picture]
    for name in (MODEL, "gpt-4"):
      answer = client.messages.create(**asked(content, model=name, system="Be brief.",
                                              stop_sequences=["never said"], extra_body={"temperature": 0.5}))
      holds("What is this?" in text_of(answer), f"{answer}")
      answer = client.messages.create(**asked("word " * 100_000, model=name))
      holds(answer.usage.input_tokens >= 100_000, f"{answer.usage}")
      assert_metered(place, answer._request_id, answer.usage)


@play
def tools():
  """a tool is called, whole and streamed, its result is sent back, and the answer quotes it"""
  with served() as place, client_of(place) as client:
    for name in (MODEL, "demo-tools"):
      question = asked("What does the tool say of Oslo?", model=name, tools=[WEATHER])
      answer = client.messages.create(**question)
      same(answer.stop_reason, "tool_use")
      (call,) = [block for block in answer.content if block.type == "tool_use"]
      same(call.name, "weather")
      holds("city" in call.input, f"{call}")
      assert_metered(place, answer._request_id, answer.usage)
      with client.messages.stream(**question) as stream:
        found = stream.get_final_message()
      (streamed_call,) = [block for block in found.content if block.type == "tool_use"]
      same((streamed_call.name, streamed_call.input, found.stop_reason), (call.name, call.input, "tool_use"))
    messages = [*question["messages"], {"role": "assistant", "content": answer.content},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id,
                                              "content": "4 degrees, rain"}]}]
    second = client.messages.create(**{**question, "model": MODEL, "messages": messages})
    holds("4 degrees, rain" in text_of(second), f"{second}")


@play
def both_fields():
  """the token is taken from x-api-key and from Authorization"""
  with served() as place:
    text = place.token()
    with client_of(place, key=text) as client:
      same(client.messages.create(**asked()).model, MODEL)
    host, port = place.edge.address()
    with anthropic.Anthropic(base_url=f"http://{host}:{port}", auth_token=text, api_key=None, max_retries=0,
                             http_client=anthropic.DefaultHttpxClient(trust_env=False), timeout=DEADLINE) as client:
      same(client.messages.create(**asked()).model, MODEL)
    same({line["principal"] for line in messages_of(place)}, {"dev"})


@play
def listed():
  """models.list names the models that can be asked for"""
  with served() as place, client_of(place) as client:
    models = {model.id: model for model in client.models.list()}
    holds({"gpt-4", "claude-3-opus", "claude-3-haiku", "demo-claude"} <= set(models), f"{set(models)}")
    same({model.type for model in models.values()}, {"model"})
    holds(all(model.display_name and model.created_at for model in models.values()), f"{models}")


@play
def retrieved():
  """models.retrieve says of a model what the list does, and is a NotFoundError that names a model it does not know"""
  with served() as place, client_of(place, max_retries=2) as client:
    models = {model.id: model for model in client.models.list()}
    holds("demo-claude" in models, f"{set(models)}")
    for name in models:
      same(client.models.retrieve(name), models[name], name)
    before = len(place.edge.exchanges(len(models) + 1))
    for name in ("claude-99", "claude-99 odd"):
      error = raised(anthropic.NotFoundError, lambda: client.models.retrieve(name))
      same((error.status_code, error.body["error"]["type"]), (404, "not_found_error"))
      holds(f"'{name}'" in error.message and "GET /v1/models" in error.message, error.message)
      assert_ulid(error.request_id)
    same(len(place.edge.exchanges(before + 2)), before + 2, "exchanges")


@play
def equivalent():
  """a model whose provider fails is answered by its equivalent, and the answer says so"""
  with served() as place, client_of(place) as client:
    raw_answer = client.messages.with_raw_response.create(**asked(model="demo-fallback"))
    same((raw_answer.headers["edge-provider"], raw_answer.headers["edge-model"]), ("demo-anthropic", "demo-claude"))
    holds(text_of(raw_answer.parse()).startswith("You said: Hello there."), raw_answer.text())
    with client.messages.stream(**asked(model="demo-fallback")) as stream:
      holds(stream.get_final_text().startswith("You said: Hello there."), "the stream")
    place.edge.wait(lambda: len(messages_of(place)) == 2, "two access lines")
    same([(line["fallbacks"], line["failed"]["status"]) for line in messages_of(place)], [(1, 500)] * 2)


@play
def closed_early():
  """a stream that is closed early ends at the provider too, is charged for what came, and nothing stays held"""
  with served() as place, client_of(place) as client:
    with client.messages.stream(**asked("word " * 500, max_tokens=4000)) as stream:
      for number, _ in enumerate(stream.text_stream):
        if number == 5:
          break
    line = place.line(stream.request_id)
    same((line["cause"], line["usage"]["source"]), ("client_left", "estimated"))
    holds(0 < line["credits"] < 1, f"{line}")
    with place.edge.client() as plain_client:
      found = json.loads(plain_client.get("/api/credits/balance", [bearer(place.token())]).body)
    holds(found["held"] == 0 and abs(1000 - found["balance"] - line["credits"]) < 1e-9, f"{found} after {line}")


@play
def fifty_at_once():
  """fifty streams at once by one asynchronous client are all whole, and each is charged"""
  async def one(client, number):
    async with client.messages.stream(**asked(f"number {number}", model=(MODEL, "gpt-4")[number % 2])) as stream:
      return await stream.get_final_message()

  async def all_of_them(place, key):
    host, port = place.edge.address()
    async with anthropic.AsyncAnthropic(base_url=f"http://{host}:{port}", api_key=key, max_retries=0,
                                        timeout=3 * DEADLINE,
                                        http_client=anthropic.DefaultAsyncHttpxClient(trust_env=False)) as client:
      return await asyncio.gather(*[one(client, number) for number in range(50)])
  with served() as place:
    answers = asyncio.run(all_of_them(place, place.token()))
    for number, answer in enumerate(answers):
      holds(text_of(answer).startswith(f"You said: number {number}\n"), text_of(answer))
      same(answer.usage.output_tokens, demo_tokens(text_of(answer)))
    place.edge.wait(lambda: len(messages_of(place)) == 50, "fifty access lines")
    same(sum(line["usage"]["outputTokens"] for line in messages_of(place)),
         sum(answer.usage.output_tokens for answer in answers), "tokens of all")


# MARK: errors


def assert_told(error, status, kind):
  """The error has what its caller is told: status, type, a message, the id of the exchange."""
  same((error.status_code, error.type), (status, kind), "status and type")
  holds(error.api_message and error.body["request_id"] == error.request_id, f"{error.body}")
  assert_ulid(error.request_id)


@play
def refusals():
  """who has no token, permission or credits, or asks wrongly, gets the exception for it, and it is not tried again"""
  rows = "roles: {guest: {permissions: [other:use]}}\n"
  with served(rows) as place:
    with client_of(place, max_retries=3) as client, client_of(place, key="sk-nonsense", max_retries=3) as nobody:
      for stream in (False, True):
        assert_told(raised(anthropic.AuthenticationError, lambda: nobody.messages.create(**asked(), stream=stream)),
                    401, "authentication_error")
        assert_told(raised(anthropic.NotFoundError, lambda: client.messages.create(**asked(model="x"), stream=stream)),
                    404, "not_found_error")
        for changes in ({"max_tokens": -1}, {"messages": []}, {"service_tier": "priority"},
                        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}):
          error = raised(anthropic.BadRequestError, lambda: client.messages.create(**asked(**changes), stream=stream))
          assert_told(error, 400, "invalid_request_error")
          holds(next(iter(changes)) in error.api_message, error.api_message)
    with client_of(place, "guest", "--role", "guest", max_retries=3) as guest:
      assert_told(raised(anthropic.PermissionDeniedError, lambda: guest.messages.create(**asked())), 403,
                  "permission_error")
    same(len(place.edge.exchanges(13)), 13, "exchanges")
  with served("credits: {initial: 0}\n") as place, client_of(place, max_retries=5) as client:
    error = raised(anthropic.PaymentRequiredError, lambda: client.messages.create(**asked()))
    assert_told(error, 402, "billing_error")
    same((error.response.headers["x-should-retry"], len(place.edge.exchanges(1))), ("false", 1))


@play
def failing_providers():
  """a provider that fails or is busy is the exception for it, and is tried again as often as the client wants"""
  with served() as place, client_of(place) as client:
    for name in ("demo-500", "demo-529"):
      error = raised(anthropic.InternalServerError, lambda: client.messages.create(**asked(model=name)))
      assert_told(error, 502, "api_error")
    error = raised(anthropic.RateLimitError, lambda: client.messages.create(**asked(model="demo-429")))
    assert_told(error, 429, "rate_limit_error")
    same(error.response.headers["retry-after"], "2")
    again = client.with_options(max_retries=1)
    raised(anthropic.InternalServerError, lambda: again.messages.create(**asked(model="demo-500")))
    same(len(place.edge.exchanges(5)), 5, "exchanges")
    same({line["credits"] for line in messages_of(place)}, {0}, "credits")


@play
def cut_stream():
  """a stream that the provider cuts is an error for the caller, never a whole message"""
  with served() as place, client_of(place) as client:
    try:
      with client.messages.stream(**asked(model="demo-cut")) as stream:
        found = stream.get_final_message()
    except Exception as error:
      among(type(error).__name__, ("RemoteProtocolError", "APIConnectionError", "ReadError", "InternalServerError"),
            "the exception")
    else:
      raise Failed(f"taken for whole: {found}")


@play
def gone_before_the_answer():
  """a client that waits no longer ends the request at the provider, and the input is charged as an estimate"""
  with served() as place, client_of(place, timeout=0.5) as client:
    raised(anthropic.APITimeoutError, lambda: client.messages.create(**asked(model="demo-hang")))
    (line,) = place.edge.exchanges(1)
    same((line["cause"], line["usage"]["source"], line["usage"]["outputTokens"]), ("client_left", "estimated", 0))
