"""The page about the protocol, docs/websocket.md: what it shows is sent, and what comes is what it shows."""

import pathlib

from openai_client import WEATHER, served
from websocket_client import *

from play import *

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "websocket.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SENT, TOLD, MORE = "→ ", "← ", "…"
# What is good for each key that the page lists; a prompt stands in the place of messages.
VALUES = {"id": "all", "type": "chat", "model": "gpt-4", "provider": "openai", "stream": True, "maxTokens": 5,
          "messages": [{"role": "user", "content": "Hello"}], "prompt": "Hello", "temperature": 0.5, "topP": 0.5,
          "stop": ["never"], "user": "somebody", "tools": [WEATHER], "toolChoice": "none", "parallelToolCalls": False,
          "responseFormat": {"type": "text"}, "reasoningEffort": "low"}


def blocks(kind):
  return [text for name, text in BLOCKS if name == kind]


def talks():
  """The talks that the page shows, each as a list of what is sent and told."""
  found = []
  for text in blocks(""):
    lines = re.sub(r"\n +", " ", text).splitlines()
    same([line for line in lines if line[:2] not in (SENT, TOLD)], [], "lines of nobody")
    found.append([(line[:2], line[2:]) for line in lines])
  return found


def assert_shown(found, wanted, what="", loose=False):
  """A value is the one that the page shows, but for what differs from time to time. `loose`: numbers do."""
  name = what.rpartition(".")[2]
  if isinstance(wanted, dict):
    holds(isinstance(found, dict), f"{what}: {found!r}")
    same(set(found), set(wanted), f"fields of {what or 'the message'}, {found}")
    for key, value in wanted.items():
      assert_shown(found[key], value, f"{what}.{key}", loose or "estimated" in wanted)
  elif isinstance(wanted, list):
    same(len(found), len(wanted), f"length of {what}")
    for one, value in zip(found, wanted):
      assert_shown(one, value, what, loose)
  elif name == "requestId":
    assert_ulid(found)
  elif name == "timestamp":
    holds(re.fullmatch(TIME, found), f"{what}: {found!r}")
  elif name == "latency" or name == "id" and "toolCall" in what or loose and name != "estimated":
    holds(type(found) is type(wanted) or {type(found), type(wanted)} == {int, Decimal}, f"{what}: {found!r}")
  elif isinstance(wanted, str) and wanted.endswith(MORE):
    holds(found.startswith(wanted[:-1]) and len(found) >= len(wanted), f"{what}: wanted {wanted!r}, found {found!r}")
  else:
    same(found, wanted, what)


@play
def what_is_shown_is_said():
  """every talk that the page shows takes place as it is shown"""
  with served() as rich, served("credits: {initial: 0}\n") as poor:
    for steps in talks():
      place = poor if "INSUFFICIENT_CREDITS" in str(steps) else rich
      with connected(place.edge, place.token()) as session:
        ahead = None
        for mark, text in steps:
          if mark == SENT:
            session.send(text)
          elif text == MORE:
            ahead = session.next()
            while ahead["type"] == "chunk":
              ahead = session.next()
          else:
            assert_shown(ahead or session.next(), read(text))
            ahead = None


@play
def in_a_browser():
  """the address and the subprotocols that the page gives to browsers lead to a session"""
  shown_call = r'new WebSocket\("ws://127\.0\.0\.1:3003(\S+)", \["(\w+)", token\]\)'
  path, first = re.search(shown_call, blocks("js")[0]).groups()
  with served() as place, connected(place.edge, path=path, subprotocols=[first, place.token()]) as session:
    same(session.socket.subprotocol, first)
    assert_done(session.answer("1")[1], "1")


@play
def keys_that_are_listed():
  """every key that the page lists is taken, and the spellings of OpenAI's beside it"""
  rows = re.search(r"^\| key \| \|\n\|---\|---\|\n((?:\|.+\n)+)", PAGE, re.MULTILINE)[1]
  keys = {key for row in rows.splitlines() for key in re.findall(r"`(\w+)`", row.split("|")[1])}
  same(keys, set(VALUES), "keys")
  spellings = set(re.search(r"The names of OpenAI are taken as well: (.+?)\. One", PAGE, re.DOTALL)[1]
                  .replace("`", "").replace("\n", " ").split(", "))
  with served() as place, connected(place.edge, place.token()) as session:
    for own in ("messages", "prompt"):
      session.send({key: VALUES[key] for key in keys - ({"messages", "prompt"} - {own})})
      chunks, end = session.until_end("all")
      assert_done(end, "all", streamed=True, finishReason="length")
      same(text_of(chunks), "You said: Hello\nI")
    in_messages = {"tool_calls", "tool_call_id"}
    for name in spellings - in_messages:
      twin = re.sub(r"_(\w)", lambda found: found[1].upper(), name.replace("completion_", ""))
      document = {**request("other", stream=True), twin: VALUES[twin], "tools": [WEATHER]}
      session.refusal("INVALID_REQUEST", {**document, name: VALUES[twin]})
      document[name] = document.pop(twin)
      session.send(document)
      assert_done(session.until_end("other")[1], "other", streamed=True)


@play
def the_route():
  """the route that the page shows is accepted, and its codes are those of the table of errors"""
  own = (ROOT / "routes.yaml").read_text(encoding="utf-8")
  rows = re.search(r"^policies:\n(?:  .+\n)+", own, re.MULTILINE)[0]
  files = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
           for path in [ROOT / "conf.d" / "providers.yaml", *(ROOT / "policies").glob("*.lua")]}
  config = "version: 1\ninclude: conf.d/*.yaml\nlisteners: {main: {bind: 127.0.0.1:0}}\n" + rows + blocks("yaml")[0]
  with Folder(config, files) as folder:
    code, _, errors = command("check", "--dev", folder=folder.path, extra={"JWT_SECRET": None})
    same((code, "platform" in errors), (0, False), f"check of the route, which said {errors}")
  known = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
  codes = {code for row in re.findall(r"^\| ([A-Z_, ]+?) \|", PAGE, re.MULTILINE) for code in row.split(", ")}
  holds(len(codes) > 10, f"{codes}")
  same({code for code in codes if code not in known}, set(), "codes that are none")
