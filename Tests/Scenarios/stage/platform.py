"""The platform's own protocol, version 1, as a client speaks it on a WebSocket: requests by id, and what comes back,
each message read strictly."""

import json
import re
from contextlib import contextmanager
from decimal import Decimal

from .check import Failed, among, holds, same, shown
from .config import merged
from .credits import USUAL, exact, llm
from .edge import Edge
from .provider import Provider, dumped
from .token import bearer
from .websocket import WebSocket, upgraded

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
NUMBER = re.compile(r"\d+\.\d{1,9}")
REASONS = ("stop", "length", "tool_calls", "content_filter")
# An answer that was not streamed ends with the second of these on some routes.
ENDS = ("done", "completion")


# MARK: reading messages


def _plain(number):
  if not NUMBER.fullmatch(number):
    raise Failed(f"no plain decimal number: {number}")
  return Decimal(number)


def _pairs(rows):
  if len({name for name, _ in rows}) != len(rows):
    raise Failed(f"a member twice: {shown(rows)}")
  return dict(rows)


def read_message(content):
  """One message of the edge as a document; anything that does not belong into it is a failure."""
  holds(isinstance(content, str), f"a message that is no text: {shown(content)}")
  try:
    document = json.loads(content, parse_float=_plain, object_pairs_hook=_pairs)
  except ValueError as error:
    raise Failed(f"no JSON: {error}: {shown(content)}") from None
  holds(isinstance(document, dict), f"no object: {shown(content)}")
  kind = document.get("type")
  check = {"chunk": check_chunk, "error": check_error, **dict.fromkeys(ENDS, check_end)}.get(kind)
  holds(check, f"type of {shown(document)}")
  try:
    check(document)
  except (KeyError, TypeError) as error:
    raise Failed(f"{error!r} in {shown(document)}") from None
  return document


def fields_of(document, needed, more=(), what="message"):
  """An object has these members, and of others only `more`."""
  holds(isinstance(document, dict), f"{what} is no object: {shown(document)}")
  missing, odd = set(needed) - set(document), set(document) - set(needed) - set(more)
  holds(not missing and not odd, f"members of the {what}: missing {missing}, odd {odd} in {shown(document)}")


def check_stamp(document):
  holds(TIMESTAMP.fullmatch(document["timestamp"]), f"timestamp {document['timestamp']!r}")


def check_request_id(value):
  holds(isinstance(value, str) and ULID.fullmatch(value), f"request id {value!r}")


def check_count(value, least=0):
  holds(type(value) is int and value >= least, f"a count: {value!r}")


def check_chunk(document):
  fields_of(document, ("id", "type", "data"), ("toolCallDelta", "reasoning"), "chunk")
  holds(isinstance(document["id"], str) and isinstance(document["data"], str), f"{document}")
  if "toolCallDelta" in document:
    delta = document["toolCallDelta"]
    fields_of(delta, ("index",), ("id", "type", "function"), "toolCallDelta")
    check_count(delta["index"])
    function = delta.get("function", {})
    fields_of(function, (), ("name", "arguments"), "function")
    same(len({"id" in delta, "type" in delta, "name" in function}), 1, f"id, type and name together in {delta}")
    same(delta.get("type", "function"), "function", "type of a call")
  if "reasoning" in document:
    holds(isinstance(document["reasoning"], str) and document["reasoning"], f"{document}")
  if "toolCallDelta" in document or "reasoning" in document:
    same(document["data"], "", "data beside something else")
  else:
    holds(document["data"], f"an empty chunk: {document}")


def check_usage(used):
  fields_of(used, ("promptTokens", "completionTokens", "totalTokens", "credits"),
            ("cachedTokens", "reasoningTokens", "estimated"), "usage")
  for name in ("promptTokens", "completionTokens", "totalTokens"):
    check_count(used[name])
  same(used["totalTokens"], used["promptTokens"] + used["completionTokens"], "totalTokens")
  holds(isinstance(used["credits"], (int, Decimal)) and used["credits"] >= 0, f"credits in {used}")
  for name in ("cachedTokens", "reasoningTokens"):
    check_count(used.get(name, 1), 1)
  same(used.get("estimated", True), True, "estimated")


def check_end(document):
  fields_of(document, ("id", "type", "usage", "metadata", "timestamp"), ("data", "toolCalls", "reasoning"),
            "answer's end")
  check_usage(document["usage"])
  check_stamp(document)
  facts = document["metadata"]
  fields_of(facts, ("model", "provider", "latency", "requestId", "finishReason"), ("demo",), "metadata")
  check_count(facts["latency"])
  check_request_id(facts["requestId"])
  among(facts["finishReason"], REASONS, "finishReason")
  same(facts.get("demo", True), True, "demo")
  holds(isinstance(document.get("data", ""), str), f"data of {document}")
  if "reasoning" in document:
    holds("data" in document and isinstance(document["reasoning"], str) and document["reasoning"], f"{document}")
  for call in document.get("toolCalls", ()):
    fields_of(call, ("id", "type", "function"), (), "call")
    fields_of(call["function"], ("name", "arguments"), (), "function")
    same((call["type"], type(call["id"]), type(call["function"]["arguments"])), ("function", str, str), "a call")
  holds(document.get("toolCalls", True), "an empty list of calls")


def check_error(document):
  fields_of(document, ("id", "type", "error", "timestamp"), ("usage",), "error message")
  check_stamp(document)
  holds(document["id"] is None or isinstance(document["id"], str), f"id {document['id']!r}")
  error = document["error"]
  # What no request has led to, such as the end of a token, has no id of one.
  fields_of(error, ("code", "message") if document["id"] is None else ("code", "message", "requestId"),
            ("requestId", "retryAfter", "details"), "error")
  holds(isinstance(error["message"], str) and len(error["message"]) > 3, f"message {error['message']!r}")
  if "requestId" in error:
    check_request_id(error["requestId"])
  check_count(error.get("retryAfter", 1), 1)
  holds(isinstance(error.get("details", {}), dict), f"details {error.get('details')!r}")
  if "usage" in document:
    check_usage(document["usage"])


class Answer:
  """All that came to one request: its chunks in their order, and its end."""

  def __init__(self):
    self.chunks, self.end = [], None

  @property
  def text(self):
    return "".join(one["data"] for one in self.chunks)

  @property
  def reasoning(self):
    return "".join(one.get("reasoning", "") for one in self.chunks)

  def calls(self):
    """The calls of tools, put together from the chunks as the end tells them."""
    found = []
    for delta in (one["toolCallDelta"] for one in self.chunks if "toolCallDelta" in one):
      function = delta.get("function", {})
      if "id" in delta:
        same(delta["index"], len(found), "index of a call that begins")
        found.append({"id": delta["id"], "type": "function",
                      "function": {"name": function["name"], "arguments": ""}})
      holds(delta["index"] < len(found), f"out of order: {delta}")
      found[delta["index"]]["function"]["arguments"] += function.get("arguments", "")
    return found

  @property
  def request(self):
    """The id of the request in the log."""
    return (self.end.get("metadata") or self.end["error"])["requestId"]


# MARK: a client


def asking(name, content="Say hello.", kind="chat", model="small", **fields):
  """The document of a request; one with `prompt`, or with `messages`, has that instead of the usual message."""
  document = {"id": name, "type": kind, "model": model}
  if "prompt" not in fields and "messages" not in fields:
    document["messages"] = [{"role": "user", "content": content}]
  return {**document, **fields}


class Session(WebSocket):
  """A WebSocket of the platform. Messages are read once and kept until somebody asks for those of their id."""

  def __init__(self, client, response=None):
    super().__init__(client, response)
    self.running, self.kept = set(), []

  def tell(self, document):
    """Sends a document, as a request if it is one."""
    if isinstance(document.get("id"), str) and document.get("type") != "cancel":
      self.running.add(document["id"])
    self.say(dumped(document))

  def ask(self, name, content="Say hello.", **fields):
    self.tell(asking(name, content, **fields))

  def cancel(self, name):
    self.tell({"id": name, "type": "cancel"})

  def next(self, deadline=None):
    """The next message, of whichever request; chunks and ends are of one that runs."""
    if self.kept:
      return self.kept.pop(0)
    return self.read_next(deadline)

  def read_next(self, deadline=None):
    document = read_message(self.message(deadline))
    if document["type"] != "error":
      holds(document["id"] in self.running, f"nothing of this id runs: {shown(document)}")
    if document["type"] != "chunk":
      self.running.discard(document["id"])
    return document

  def next_of(self, name, deadline=None):
    """The next message of one request (None: of no request); others are kept."""
    for at, one in enumerate(self.kept):
      if one["id"] == name:
        return self.kept.pop(at)
    while True:
      document = self.read_next(deadline)
      if document["id"] == name:
        return document
      self.kept.append(document)

  def chunk(self, name, data=None):
    """The next message of a request, which is a chunk, with this content when one is given."""
    document = self.next_of(name)
    same(document["type"], "chunk", f"type ({shown(document)})")
    if data is not None:
      same(document["data"], data, f"data of a chunk of {name}")
    return document

  def rest(self, name, deadline=None):
    """What comes of a request up to its end."""
    found = Answer()
    while not found.end:
      document = self.next_of(name, deadline)
      if document["type"] == "chunk":
        found.chunks.append(document)
      else:
        found.end = document
    return found

  def done(self, name, kind="done"):
    """As `rest`; the end is no error."""
    found = self.rest(name)
    same(found.end["type"], kind, f"type of the end ({shown(found.end)})")
    return found

  def error(self, name, code, said=None, usage=False):
    """The next message of a request (None: of no request) is this error, with or without usage; its `error`."""
    document = self.next_of(name)
    same((document["type"], document.get("error", {}).get("code")), ("error", code), f"({shown(document)})")
    holds(said is None or said in document["error"]["message"], f"no {said!r} in {document['error']['message']!r}")
    if usage is not None:
      same("usage" in document, usage, f"usage in {shown(document)}")
    return document["error"]

  def answered(self, name="a", content="Say hello.", **fields):
    """Asks, and awaits the whole answer."""
    self.ask(name, content, **fields)
    return self.done(name)

  def refused(self, name, code, said=None, **fields):
    """Asks, and gets this error at once."""
    self.ask(name, **fields)
    return self.error(name, code, said)

  def assert_quiet(self):
    """Nothing is kept that nobody has asked for, and the server answers a ping."""
    self.assert_alive()
    same((self.kept, list(self.queue)), ([], []), "messages that nobody asked for")


@contextmanager
def connected(edge, user="alice", path="/ws", fields=(), protocol=None, behind=b"", listener="main", own=None,
              receive_buffer=None, **claims):
  """A session of a user; `user` None: the fields alone say who it is."""
  identity = [] if user is None else [bearer(user=user, **claims)]
  with edge.client(listener, own=own, receive_buffer=receive_buffer) as client:
    yield upgraded(client, path, [*identity, *fields], protocol, behind, Session)


# MARK: an edge


def speaks_of_requests(entry):
  """Whether a policy has more to say than about messages: only such ones may stand on routes of HTTP."""
  text = entry[0] if isinstance(entry, tuple) else entry
  return any(name in text for name in ("on_request", "on_select", "on_retry", "on_response", "on_chunk", "on_log"))


def wired(*providers, socket=None, policies=None, routes=None, **changes):
  """As `llm`, with the route `platform` at `/` and `/ws`, over which `socket` is laid; configuration and files."""
  chosen = USUAL if policies is None else policies
  # At the end of a play clients do not answer any more, and need not be waited for.
  changes = merged({"server": {"drain": "1s"},
                    "route": {"policies": [name for name in chosen if speaks_of_requests(chosen[name])]}}, changes)
  row = {"path": ["/", "/ws"], "methods": ["GET"], "dialect": "platform-v1", "query_token": True,
         "policies": list(chosen), "permission": "services:use"}
  return llm(*providers, policies=policies, routes=merged({"platform": merged(row, socket or {})}, routes or {}),
             **changes)


@contextmanager
def speaking(script=None, *, kind=Provider, whole=True, lenient=False, loud=False, extra=None, files=None,
             user="alice", **config):
  """A provider with `script`, an edge that offers its model, a session of a user, and a client of the edge for HTTP:
  (session, client, edge, provider)."""
  with kind(script, whole=whole, lenient=lenient) as provider:
    document, found = wired(provider, **config)
    with Edge(document, files={**found, **(files or {})}, loud=loud, extra=extra) as edge:
      with edge.client() as client, connected(edge, user) as session:
        yield session, client, edge, provider


def line_of(edge, request):
  """The access line of a request by its id: of a message, an answer or an error."""
  if isinstance(request, Answer):
    request = request.request
  elif isinstance(request, dict):
    request = request["requestId"]
  return edge.log_line(requestId=request)


def assert_paid(edge, found, charge, tokens=None, source="reported", **wanted):
  """What the client was told an answer or an error has cost, and its access line, are this; the line."""
  used = found.end["usage"]
  same(exact(used["credits"]), Decimal(charge), f"credits in {shown(found.end)}")
  line = line_of(edge, found)
  same(exact(line["credits"]), Decimal(charge), f"credits in {line}")
  same(line["usage"]["source"], source, "source of the usage")
  same(used.get("estimated", False), source == "estimated", "estimated")
  told = (used["promptTokens"], used["completionTokens"])
  same(told, (line["usage"]["inputTokens"], line["usage"]["outputTokens"]), "tokens, told and in the log")
  if tokens:
    same(told, tokens, "tokens in and out")
  for name, value in wanted.items():
    same(line.get(name), value, name)
  return line
