"""The library `websockets` in front of an edge, and what plays with it have in common."""

import json
import re
from contextlib import contextmanager
from decimal import Decimal

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from play import assert_ulid
from stage.check import DEADLINE, Deadline, Failed, holds, same
from stage.config import merged
from stage.credits import USUAL, llm
from stage.edge import Edge
from stage.provider import Provider

MODEL = "gpt-4"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
COUNTS = {"promptTokens", "completionTokens", "totalTokens"}


def url_of(edge, path="/ws"):
  host, port = edge.address()
  return f"ws://{host}:{port}{path}"


def carrying(key):
  """The settings of a client that sends its token in the usual field."""
  return {"additional_headers": {"Authorization": f"Bearer {key}"}}


def read(text):
  """A message, its numbers as they are written."""
  return json.loads(text, parse_float=Decimal)


def request(name, content="Hello there.", **changes):
  """A request; a change to None leaves a key out."""
  document = {"id": name, "type": "chat", "model": MODEL, "messages": [{"role": "user", "content": content}],
              **changes}
  return {key: value for key, value in document.items() if value is not None}


class Session:
  """A connection of the library's, whose messages are documents."""

  def __init__(self, socket):
    self.socket = socket

  def send(self, document):
    self.socket.send(document if isinstance(document, (str, bytes)) else json.dumps(document))

  def ask(self, name, content="Hello there.", **changes):
    self.send(request(name, content, **changes))

  def next(self):
    return read(self.socket.recv(timeout=DEADLINE))

  def until_end(self, name):
    """What is left of the one answer that runs: its chunks, and the message that ends it."""
    chunks = []
    while True:
      message = self.next()
      same(message["id"], name, f"id of {message}")
      if message["type"] != "chunk":
        return chunks, message
      chunks.append(message)

  def answer(self, name, content="Hello there.", **changes):
    """Asks, and reads the whole of the answer."""
    self.ask(name, content, **changes)
    return self.until_end(name)

  def refusal(self, code, document):
    """Sends what is refused with this code; the error. The id of the error is that of the document."""
    self.send(document)
    message = self.next()
    return assert_failed(message, document.get("id") if isinstance(document, dict) else None, code)

  def closed(self):
    """Waits until the edge has closed; its code. Messages that come before are an error of the play."""
    try:
      raise Failed(f"a message in the place of the end: {self.socket.recv(timeout=DEADLINE)}")
    except ConnectionClosed as error:
      holds(error.rcvd is not None, f"the connection ended without a close frame: {error}")
      return error.rcvd.code

  def leave(self):
    """Drops the connection without a word."""
    self.socket.close_socket()


def joined(socket):
  """Closes a connection, and waits for its threads to end."""
  socket.close()
  for thread in (socket.recv_events_thread, socket.keepalive_thread):
    if thread:
      thread.join(DEADLINE)


@contextmanager
def connected(edge, key=None, path="/ws", **settings):
  """A session with this token; the library asks no proxy, and its threads are at their end with it."""
  own = {"proxy": None, "open_timeout": DEADLINE, "close_timeout": DEADLINE, "max_queue": None,
         **(carrying(key) if key else {}), **settings}
  with connect(url_of(edge, path), **own) as socket:
    try:
      yield Session(socket)
    finally:
      joined(socket)


def rejected(edge, key=None, path="/ws", **settings):
  """The answer to an upgrade that is refused, and the document in it."""
  try:
    with connected(edge, key, path, **settings):
      pass
  except InvalidStatus as error:
    return error.response, json.loads(error.response.body)
  raise Failed("the upgrade was not refused")


def assert_told(used):
  """A usage as clients are told it."""
  holds(COUNTS | {"credits"} <= set(used) <= COUNTS | {"credits", "cachedTokens", "reasoningTokens", "estimated"},
        f"fields of {used}")
  same({type(used[name]) for name in COUNTS}, {int}, f"counts of {used}")
  same(used["totalTokens"], used["promptTokens"] + used["completionTokens"], f"sum in {used}")
  same({type(used[name]) for name in set(used) & {"cachedTokens", "reasoningTokens"}} - {int}, set(), f"{used}")
  same(used.get("estimated", True), True, "estimated, where it is there")
  holds(isinstance(used["credits"], (int, Decimal)) and used["credits"] >= 0, f"credits of {used}")
  return used


def assert_done(message, name, kind="done", streamed=False, **metadata):
  """The end of an answer, with everything a client may count on; `metadata` are values in it."""
  wanted = {"id", "type", "usage", "metadata", "timestamp"} | (set() if streamed else {"data"})
  same(set(message) - {"toolCalls"}, wanted, f"fields of {message}")
  same((message["id"], message["type"]), (name, kind), "id and type")
  assert_told(message["usage"])
  found = message["metadata"]
  same(set(found) - {"demo"}, {"model", "provider", "latency", "requestId", "finishReason"}, f"fields of {found}")
  assert_ulid(found["requestId"])
  holds(isinstance(found["latency"], int) and 0 <= found["latency"] < 60_000, f"latency of {found}")
  same({key: found.get(key) for key in metadata}, metadata, "metadata")
  holds(re.fullmatch(TIME, message["timestamp"]), f"timestamp of {message}")
  return message


def assert_failed(message, name, code):
  """An error about the request of this id, None for one about no request; its `error`."""
  same(set(message) - {"usage"}, {"id", "type", "error", "timestamp"}, f"fields of {message}")
  error = message["error"]
  same((message["id"], message["type"], error.get("code")), (name, "error", code), f"id, type and code of {message}")
  # What is said of the connection itself is about no exchange.
  is_own = name is None and code in ("SESSION_EXPIRED", "MESSAGE_TOO_LARGE")
  same(set(error) - {"retryAfter", "details"}, {"code", "message"} | (set() if is_own else {"requestId"}),
       f"fields of {error}")
  holds(isinstance(error["message"], str) and len(error["message"]) > 3, f"message of {error}")
  if not is_own:
    assert_ulid(error["requestId"])
  holds(re.fullmatch(TIME, message["timestamp"]), f"timestamp of {message}")
  if "usage" in message:
    assert_told(message["usage"])
  return error


def text_of(chunks):
  """What the chunks of an answer say."""
  for chunk in chunks:
    same(set(chunk) - {"toolCallDelta", "reasoning"}, {"id", "type", "data"}, f"fields of {chunk}")
  return "".join(chunk["data"] for chunk in chunks)


def whole_calls(chunks):
  """The calls of tools that streamed chunks tell, put together, as they stand in `toolCalls`."""
  calls = {}
  for delta in (chunk["toolCallDelta"] for chunk in chunks if "toolCallDelta" in chunk):
    call = calls.setdefault(delta["index"], {"function": {"arguments": ""}})
    call |= {key: delta[key] for key in ("id", "type") if key in delta}
    piece = delta.get("function") or {}
    call["function"] |= {key: piece[key] for key in ("name",) if key in piece}
    call["function"]["arguments"] += piece.get("arguments", "")
  return [calls[index] for index in sorted(calls)]


def platform(**changes):
  """A row of a route that speaks on WebSockets."""
  return merged({"path": ["/", "/ws"], "methods": ["GET"], "dialect": "platform-v1", "query_token": True,
                 "policies": list(USUAL), "permission": "services:use"}, changes)


def talked(provider, route=None, policies=None, **config):
  """A configuration that offers this provider's model on WebSockets, too, and its files."""
  row = platform(**({"policies": list(policies)} if policies else {}), **(route or {}))
  return llm(provider, policies=policies, **merged({"routes": {"platform": row}}, config))


@contextmanager
def talking(script=None, *, kind=Provider, lenient=False, loud=False, **config):
  """A scripted provider, and an edge that offers its model `small` on WebSockets."""
  with kind(script, lenient=lenient) as provider:
    document, files = talked(provider, **config)
    with Edge(document, files=files, loud=loud) as edge:
      yield edge, provider


def drained(session):
  """Every message up to the end of the connection, and its code."""
  messages, deadline = [], Deadline()
  try:
    while not deadline.passed():
      messages.append(session.next())
  except ConnectionClosed as error:
    holds(error.rcvd is not None, f"the connection ended without a close frame: {error}")
    return messages, error.rcvd.code
  raise Failed(f"the connection does not end; so far {messages}")
