"""Anthropic's own client in front of an edge, and what plays with it have in common."""

from contextlib import contextmanager

import anthropic

from stage.check import DEADLINE, Failed, same

MODEL = "demo-claude"
WEATHER = {"name": "weather", "description": "The weather at a place.", "input_schema": {
  "type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}}


@contextmanager
def client_at(address, key, **settings):
  """The client with this key. It tries nothing again unless the play says so, and asks no proxy."""
  host, port = address
  settings = {"max_retries": 0, "timeout": DEADLINE, **settings}
  with anthropic.Anthropic(base_url=f"http://{host}:{port}", api_key=key,
                           http_client=anthropic.DefaultHttpxClient(trust_env=False), **settings) as client:
    yield client


def client_of(place, user="dev", *options, key=None, **settings):
  """The client of a user of the shipped configuration."""
  return client_at(place.edge.address(), key or place.token(user, *options), **settings)


def asked(content="Hello there.", **changes):
  """The parameters of a plain message."""
  return {"model": MODEL, "max_tokens": 500, "messages": [{"role": "user", "content": content}], **changes}


def raised(kind, function):
  """The exception of exactly this kind that a function raises."""
  try:
    function()
  except anthropic.AnthropicError as error:
    same(type(error), kind, f"kind of {error!r}")
    return error
  raise Failed(f"no {kind.__name__}")
