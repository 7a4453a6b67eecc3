"""The source documents: their messages sent word for word, and every field of the answers that they show.

`seeds/` holds what they say of WebSockets, `/health` and `/stats`. An answer may have more fields, never fewer."""

import pathlib
from contextlib import ExitStack

from openai_client import served
from websocket_client import *

from play import *

SEEDS = pathlib.Path(__file__).resolve().parent / "seeds"
# Whom to ask, by the provider that a request names.
MODELS = {"openai": "gpt-4", "claude": "claude-3-haiku", "auto": "gpt-4-turbo"}
VALUES = {"string": str, "number": (int, float, Decimal), "boolean": bool, "TokenUsage": dict, "ErrorDetails": dict}


def seed(name):
  return (SEEDS / name).read_text(encoding="utf-8")


def assert_like(found, shown_value, what="the answer"):
  """A value has every field of the one that is shown, of the same kind, times in the same form."""
  if isinstance(shown_value, dict):
    holds(isinstance(found, dict) and set(shown_value) <= set(found), f"fields of {what}: {shown(found)}")
    for name, value in shown_value.items():
      assert_like(found[name], value, f"{what}.{name}")
  elif is_time(shown_value):
    holds(is_time(found), f"{what} is no time: {found!r}")
  else:
    same(type(found), type(shown_value), f"type of {what}")


def is_time(value):
  return isinstance(value, str) and re.fullmatch(TIME, value) is not None


def interfaces(name):
  """The interfaces of a file: {name: {field: (is it optional, its type as text, or as fields)}}."""
  lines = iter([line.split("//")[0].strip() for line in seed(name).splitlines()])

  def fields():
    found = {}
    for line in lines:
      if line == "}" or line == "};":
        return found
      field, optional, kind = re.fullmatch(r"(\w+)(\??): (.+?);?", line).groups()
      found[field] = (bool(optional), fields() if kind == "{" else kind)
    raise Failed(f"an interface without an end in {name}")
  return {re.fullmatch(r"interface (\w+) \{", line)[1]: fields() for line in lines if line}


def assert_typed(found, fields, what="the message"):
  """A value is what an interface says: each field there unless it may be missing, each of its type."""
  for name, (optional, kind) in fields.items():
    if name not in found:
      holds(optional, f"{what} has no {name}: {found}")
    elif isinstance(kind, dict):
      assert_typed(found[name], kind, f"{what}.{name}")
    elif kind.startswith("'"):
      among(f"'{found[name]}'", kind.split(" | "), f"{what}.{name}")
    else:
      holds(isinstance(found[name], VALUES[kind]), f"{what}.{name} is no {kind}: {found[name]!r}")


def choices(fields, name):
  return [choice.strip("'") for choice in fields[name][1].split(" | ")]


@play
def the_example():
  """the example of seed 000 is answered with every field that it shows, at every address that it names"""
  with served() as place:
    key = place.token()
    for path, settings in ((f"?token={key}", {}), (f"/?token={key}", {}), ("/", carrying(key)),
                           ("/", {"additional_headers": {"Sec-WebSocket-Protocol": f"Bearer {key}"}})):
      with connected(place.edge, path=path, **settings) as session:
        session.send(seed("000_request.json"))
        answer_of_it = session.next()
      assert_like(answer_of_it, read(seed("000_response.json")))
      same((answer_of_it["id"], answer_of_it["type"]), ("req-123", "done"))
      holds(answer_of_it["data"].startswith("You said: Hello, how are you?"), answer_of_it["data"])


@play
def the_error():
  """the example of seed 000, sent without credits, gets the error that it shows"""
  with served("credits: {initial: 0}\n") as place, connected(place.edge, place.token()) as session:
    session.send(seed("000_request.json"))
    found, wanted = session.next(), read(seed("000_error.json"))
    assert_like(found, wanted)
    same((found["id"], found["type"], found["error"]["code"]),
         (wanted["id"], wanted["type"], wanted["error"]["code"]))


@play
def health_and_statistics():
  """`/health` and `/stats` have the fields of seed 000, and count connections, users and roles as it shows"""
  with served() as place:
    people = [("a", "user"), ("b", "user"), ("c", "user"), ("a", "admin"), ("b", "admin")]
    with ExitStack() as all_of_them, place.edge.client() as client:
      for user, role in people:
        all_of_them.enter_context(connected(place.edge, place.token(user, "--role", role)))
      health = read(client.get("/health").body)
      stats = read(client.get("/stats", [bearer(place.token("root", "--role", "admin"))]).body)
    for found, name in ((health, "000_health.json"), (stats, "000_stats.json")):
      wanted = read(seed(name))
      assert_like(found, wanted)
      counts, shown_counts = found.get("connections", found), wanted.get("connections", wanted)
      for key in ("totalConnections", "totalUsers", "connectionsByRole"):
        same(counts[key], shown_counts[key], f"{key} of {name}")


@play
def every_request_of_the_interfaces():
  """every request that the seeds' interfaces allow is taken, and its stream is what they say"""
  with served() as place, connected(place.edge, place.token()) as session:
    for name, answered in (("001_websocket.ts", "MCPStreamChunk"), ("003_websocket.ts", "MCPResponse")):
      found = interfaces(name)
      fields, answer_fields = found["MCPRequest"], found[answered]
      for kind in choices(fields, "type"):
        for provider in choices(fields, "provider"):
          document = {"id": f"{kind}-{provider}", "type": kind, "provider": provider, "model": MODELS[provider],
                      "messages": [{"role": "user", "content": "Hi."}], "prompt": "Hi.", "stream": True,
                      "maxTokens": 4, "temperature": 0.5}
          document = {key: value for key, value in document.items() if key in fields and
                      key != ("prompt" if kind == "chat" or "prompt" not in fields else "messages")}
          assert_typed({**document, "messages": "…"}, {**fields, "messages": (True, "string")}, "the request")
          session.send(document)
          chunks, end = session.until_end(document["id"])
          for message in [*chunks, end]:
            assert_typed(message, answer_fields)
          if kind == "embedding":
            assert_failed(end, document["id"], "NOT_IMPLEMENTED")
          else:
            assert_done(end, document["id"], streamed=True)
            same((text_of(chunks), end["usage"]["completionTokens"]), ("You said: Hi", 4), f"{document}")


@play
def every_answer_of_the_interfaces():
  """an answer that is not streamed is what seed 003's interface says, and with `nonstream_type` what seed 001's does"""
  for name, kind, rows in (("003_websocket.ts", "done", {}),
                           ("001_websocket.ts", "completion", {"nonstream_type": "completion"})):
    with talking(route=rows) as (edge, _), connected(edge, token()) as session:
      _, end = session.answer("1", model="small")
      assert_typed(assert_done(end, "1", kind=kind), interfaces(name)["MCPResponse"])
      same((end["data"], end["type"]), ("hello", kind))
