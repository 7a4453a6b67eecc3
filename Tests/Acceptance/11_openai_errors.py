"""What goes wrong, as OpenAI's own client tells its caller: which exception, and whether it is tried again."""

import time

import openai
from openai_client import MODEL, WEATHER, said, served

from play import *


def raised(kind, function):
  """The exception of exactly this kind that a function raises."""
  try:
    function()
  except openai.OpenAIError as error:
    same(type(error), kind, f"kind of {error!r}")
    return error
  raise Failed(f"no {kind.__name__}")


def chat(client, **changes):
  return client.chat.completions.create(**{"model": MODEL, "messages": said(), **changes})


def assert_told(error, status, code):
  """The error has what its caller is told: status, code, a message, the id of the exchange."""
  same((error.status_code, error.code), (status, code), "status and code")
  holds(error.message and isinstance(error.body, dict) and error.body["message"], f"message of {error!r}")
  assert_ulid(error.request_id)


@play
def without_a_token():
  """a key that is none is an AuthenticationError, and is not tried again"""
  with served() as place, place.client(key="sk-nonsense", max_retries=2) as client:
    for stream in (False, True):
      error = raised(openai.AuthenticationError, lambda: chat(client, stream=stream))
      assert_told(error, 401, "unauthorized")
    same(len(place.edge.exchanges(2)), 2, "exchanges")


@play
def without_the_permission():
  """a user who may not is a PermissionDeniedError, and is not tried again"""
  rows = "roles: {guest: {permissions: [other:use]}}\n"
  with served(rows) as place, place.client("guest", "--role", "guest", max_retries=2) as client:
    error = raised(openai.PermissionDeniedError, lambda: chat(client))
    assert_told(error, 403, "forbidden")
    same(error.response.headers["x-should-retry"], "false")
    same(len(place.edge.exchanges(1)), 1, "exchanges")


@play
def without_credits():
  """a user without credits gets a 402 that is raised at once, however often the client would try"""
  with served("credits: {initial: 0}\n") as place, place.client(max_retries=5) as client:
    for stream in (False, True):
      error = raised(openai.APIStatusError, lambda: chat(client, stream=stream))
      assert_told(error, 402, "insufficient_quota")
      same(error.response.headers["x-should-retry"], "false")
    same(len(place.edge.exchanges(2)), 2, "exchanges")


@play
def too_often():
  """the 101st request of a minute is a RateLimitError that says when to try again"""
  with served() as place, place.client() as client:
    for _ in range(100):
      chat(client, max_tokens=1)
    error = raised(openai.RateLimitError, lambda: chat(client))
    assert_told(error, 429, "rate_limit_exceeded")
    holds(0 < int(error.response.headers["retry-after"]) <= 60, f"{error.response.headers}")


@play
def busy_provider():
  """a provider that is busy is a RateLimitError with the provider's Retry-After, which the client waits for"""
  with served() as place, place.client() as client:
    error = raised(openai.RateLimitError, lambda: chat(client, model="demo-429"))
    assert_told(error, 429, "rate_limit_exceeded")
    same(error.response.headers["retry-after"], "2")
    begin = time.monotonic()
    raised(openai.RateLimitError, lambda: chat(client.with_options(max_retries=1), model="demo-429"))
    holds(time.monotonic() - begin > 1.9, "the client did not wait as long as it was told")
    same(len(place.edge.exchanges(3)), 3, "exchanges")
    same({line["credits"] for line in place.chats()}, {0}, "credits")


@play
def wrong_requests():
  """a wrong request is a BadRequestError that names the parameter, from the edge and from the provider"""
  with served() as place, place.client(max_retries=2) as client:
    for changes, param in (({"n": 0}, "n"), ({"max_tokens": -1}, "max_tokens"), ({"messages": []}, "messages"),
                           ({"service_tier": "priority"}, "service_tier")):
      error = raised(openai.BadRequestError, lambda: chat(client, **changes))
      assert_told(error, 400, "invalid_request")
      same((error.param, error.type), (param, "invalid_request_error"))
    named = {"type": "function", "function": {"name": "unknown"}}
    error = raised(openai.BadRequestError, lambda: chat(client, tools=[WEATHER], tool_choice=named))
    same((error.status_code, error.param), (400, "tool_choice"), "what the provider says")
    same(len(place.edge.exchanges(5)), 5, "exchanges")


@play
def unknown_models():
  """an unknown model is a NotFoundError"""
  with served() as place, place.client(max_retries=2) as client:
    for stream in (False, True):
      assert_told(raised(openai.NotFoundError, lambda: chat(client, model="gpt-99", stream=stream)), 404,
                  "model_not_found")
    same(len(place.edge.exchanges(2)), 2, "exchanges")
    for name in ("gpt-99", "ft:gpt-99"):
      error = raised(openai.NotFoundError, lambda: client.models.retrieve(name))
      assert_told(error, 404, "model_not_found")
      holds(f"'{name}'" in error.message and "GET /v1/models" in error.message, error.message)
      same((error.type, error.param), ("invalid_request_error", "model"))
    same(len(place.edge.exchanges(4)), 4, "exchanges")


@play
def failing_provider():
  """a provider that fails is an InternalServerError, and is tried again as often as the client wants"""
  with served() as place, place.client() as client:
    for model in ("demo-500", "demo-529"):
      assert_told(raised(openai.InternalServerError, lambda: chat(client, model=model)), 502, "provider_error")
    raised(openai.InternalServerError, lambda: chat(client.with_options(max_retries=1), model="demo-500"))
    same(len(place.edge.exchanges(4)), 4, "exchanges")
    same({line["credits"] for line in place.chats()}, {0}, "credits")


@play
def cut_stream():
  """a stream that the provider cuts is an error for the caller, never a whole answer"""
  with served() as place, place.client() as client:
    for stream in (True, False):
      try:
        if stream:
          with chat(client, model="demo-cut", stream=True) as found:
            parts = list(found)
        else:
          parts = chat(client, model="demo-cut")
      except Exception as error:
        name = type(error).__name__
        among(name, ("RemoteProtocolError", "APIConnectionError", "ReadError", "InternalServerError"), "the exception")
        continue
      raise Failed(f"taken for whole: {parts}")


@play
def gone_before_the_answer():
  """a client that waits no longer ends the request at the provider, and the input is charged as an estimate"""
  with served() as place, place.client(timeout=0.5) as client:
    raised(openai.APITimeoutError, lambda: chat(client, model="demo-hang"))
    (line,) = place.edge.exchanges(1)
    same((line["cause"], line["usage"]["source"], line["usage"]["outputTokens"]), ("client_left", "estimated", 0))
