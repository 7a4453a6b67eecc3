"""An edge as `make run` starts it, on free ports, and OpenAI's own client in front of it."""

import os
import re
from contextlib import contextmanager

import openai

from stage.check import DEADLINE, same
from stage.edge import Edge, command

_ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
# Nobody has set a secret or a key.
_NOBODY = {"JWT_SECRET": None, "OPENAI_API_KEY": None, "PORT": "0", "METRICS_PORT": "0"}

MODEL = "gpt-4"
WEATHER = {"type": "function", "function": {
  "name": "weather", "description": "The weather at a place.",
  "parameters": {"type": "object", "required": ["city"], "properties": {
    "city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}}}}}


def _shipped():
  files = {}
  for folder, ending in (("conf.d", ".yaml"), ("policies", ".lua")):
    for name in sorted(os.listdir(os.path.join(_ROOT, folder))):
      if name.endswith(ending):
        with open(os.path.join(_ROOT, folder, name), encoding="utf-8") as file:
          files[f"{folder}/{name}"] = file.read()
  with open(os.path.join(_ROOT, "routes.yaml"), encoding="utf-8") as file:
    return file.read(), files


class Served:
  """A running edge and what leads to it."""

  def __init__(self, edge):
    self.edge = edge
    host, port = edge.address()
    self.url = f"http://{host}:{port}/v1"

  def token(self, user="dev", *options):
    """A token of development, as a newcomer makes one."""
    code, output, errors = command("token", "--user", user, *options, folder=self.edge.folder.path, extra=_NOBODY)
    same((code, errors), (0, ""), "edge token")
    return output.strip()

  @contextmanager
  def client(self, user="dev", *options, key=None, **settings):
    """OpenAI's client of a user. It tries nothing again unless the play says so, and asks no proxy."""
    settings = {"max_retries": 0, "timeout": DEADLINE, **settings}
    with openai.OpenAI(base_url=self.url, api_key=key or self.token(user, *options),
                       http_client=openai.DefaultHttpxClient(trust_env=False), **settings) as client:
      yield client

  def line(self, request):
    """The access line of the exchange with this id."""
    return self.edge.log_line(requestId=request)

  def chats(self):
    """The access lines of chats so far."""
    return self.edge.matching(event="exchange", path="/v1/chat/completions")


@contextmanager
def served(more=None):
  """`edge run --dev` with the shipped configuration; `more` is another file of conf.d."""
  config, files = _shipped()
  if more:
    files["conf.d/zz_more.yaml"] = more
  with Edge(config, _NOBODY, files, loud=True, options=["--dev"]) as edge:
    yield Served(edge)


def said(text="Hello there."):
  return [{"role": "user", "content": text}]


def demo_tokens(text):
  """As the demo provider counts: words and runs of punctuation."""
  return len(re.findall(r"\w+|[^\w\s]+", text))
