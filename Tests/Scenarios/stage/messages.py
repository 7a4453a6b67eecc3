"""The scripted provider's other half: Anthropic's messages (docs.anthropic.com, Messages API), whole and streamed."""

import json
import re

from .check import among, holds, same
from .origin import answer
from .provider import Provider, dumped, streamed

MESSAGES = "/v1/messages"
VERSION = "2023-06-01"
PING = b'event: ping\ndata: {"type": "ping"}\n\n'

# What an error of the edge says in Anthropic's form: status and `type` by the name of the error.
MESSAGE_ERRORS = {
  "UNAUTHORIZED": (401, "authentication_error"),
  "INSUFFICIENT_CREDITS": (402, "billing_error"),
  "FORBIDDEN": (403, "permission_error"),
  "MODEL_NOT_FOUND": (404, "not_found_error"),
  "REQUEST_TIMEOUT": (408, "timeout_error"),
  "MESSAGE_TOO_LARGE": (413, "request_too_large"),
  "CONTENT_REJECTED": (422, "invalid_request_error"),
  "RATE_LIMIT_EXCEEDED": (429, "rate_limit_error"),
  "INVALID_REQUEST": (400, "invalid_request_error"),
  "POLICY_ERROR": (500, "api_error"),
  "PROVIDER_ERROR": (502, "api_error"),
  "ALL_PROVIDERS_FAILED": (502, "api_error"),
  "SERVICE_UNAVAILABLE": (503, "overloaded_error"),
  "TIMEOUT": (504, "timeout_error"),
}


def tokens(uncached, output, read=0, written=0, thinking=0):
  """A usage in Anthropic's words: what came from the cache or went into it stands beside the other input."""
  found = {"input_tokens": uncached, "cache_creation_input_tokens": written, "cache_read_input_tokens": read,
           "output_tokens": output}
  return {**found, "output_tokens_details": {"thinking_tokens": thinking}} if thinking else found


def text(content):
  return {"type": "text", "text": content}


def tool_use(name, given, call="toolu_1"):
  return {"type": "tool_use", "id": call, "name": name, "input": given}


def message(content="hello", used=None, model="small", stop="end_turn", **fields):
  """The document of a whole answer: its text, or a list of blocks; without `used` it has no usage."""
  document = {"id": "msg_1", "type": "message", "role": "assistant", "model": model,
              "content": [text(content)] if isinstance(content, str) else content,
              "stop_reason": stop, "stop_sequence": None}
  if used:
    document["usage"] = used
  return {**document, **fields}


def named(kind, end=b"\n", **fields):
  """One event of a stream."""
  return b"event: " + kind.encode() + end + b"data: " + dumped({"type": kind, **fields}) + end * 2


def opening(used=None, model="small", end=b"\n"):
  """The first event, which tells the tokens that went in."""
  begun = {**message([], model=model, stop=None), "usage": used or tokens(10, 1)}
  return named("message_start", end, message=begun)


def piece(content, index=0, end=b"\n"):
  """A piece of a text."""
  return named("content_block_delta", end, index=index, delta={"type": "text_delta", "text": content})


def block(index, first, *deltas, end=b"\n"):
  """All events of a block: how it begins, and its deltas."""
  return [named("content_block_start", end, index=index, content_block=first),
          *[named("content_block_delta", end, index=index, delta=delta) for delta in deltas],
          named("content_block_stop", end, index=index)]


def spoken(*contents):
  """A block of text in pieces, for `tale`."""
  return text(""), *[{"type": "text_delta", "text": content} for content in contents]


def thought(*contents, signature="c2lnbmVk"):
  """A block of thinking in pieces, with its signature."""
  return ({"type": "thinking", "thinking": "", "signature": ""},
          *[{"type": "thinking_delta", "thinking": content} for content in contents],
          {"type": "signature_delta", "signature": signature})


def called(name, *arguments, call="toolu_1"):
  """A block that calls a tool, with the pieces of the arguments."""
  return tool_use(name, {}, call), *[{"type": "input_json_delta", "partial_json": one} for one in arguments]


def closing(used=None, stop="end_turn", end=b"\n", **fields):
  """The event that tells why the model stopped and how many tokens came out in all."""
  return named("message_delta", end, delta={"stop_reason": stop, "stop_sequence": None},
               usage=used or {"output_tokens": 5}, **fields)


STOP = named("message_stop")


def tale(*contents, blocks=(), used=None, stop="end_turn", repeats=False, end=b"\n"):
  """The events of a whole stream: a block of text with these pieces, other blocks, the totals, the end.

  `repeats`: the totals tell all tokens once more, as newer servers do, not only those that came out."""
  used = used or tokens(10, 5)
  events, rows = [opening({**used, "output_tokens": 1}, end=end)], [spoken(*contents)] if contents else []
  for index, (first, *deltas) in enumerate([*rows, *blocks]):
    events += block(index, first, *deltas, end=end)
  told_last = used if repeats else {name: used[name] for name in used if name.startswith("output")}
  return [*events, closing(told_last, stop, end), named("message_stop", end)]


def replied(document=None, used=None, status=200, fields=()):
  """A script that gives a whole answer: bytes, or a document, `message()` with this usage when there is none."""
  body = document if isinstance(document, bytes) else dumped(document or message(used=used or tokens(10, 5)))
  return answer(status, body, [("Content-Type", "application/json"), ("request-id", "req_of_the_provider"), *fields])


def refusing(status, said="said by the provider", kind="some_error", fields=()):
  """A script that answers with an error in Anthropic's form."""
  return replied({"type": "error", "error": {"type": kind, "message": said}, "request_id": "req_of_the_provider"},
                  status=status, fields=fields)


def failure(said="Overloaded", kind="overloaded_error"):
  """The event of an error within a stream."""
  return named("error", error={"type": kind, "message": said})


class MessagesProvider(Provider):
  """As `Provider`, in Anthropic's words: 10 tokens went in and 5 came out."""

  dialect = "anthropic-messages"

  def usual(self, request, line):
    if json.loads(request.body).get("stream"):
      streamed(*tale("he", "llo"))(request, line)
    else:
      replied()(request, line)


def assert_message_error(response, name, param=None, said=None, final=None):
  """A local reply of the edge in Anthropic's form: the document's `error`. The message begins with `param`."""
  status, kind = MESSAGE_ERRORS[name]
  same(response.status, status, f"status ({response.body[:300]!r})")
  same((response.fields.one("content-type") or "").split(";")[0], "application/json", "content-type")
  document = json.loads(response.body)
  same(set(document), {"type", "error", "request_id"}, "fields of the body")
  error = document["error"]
  same(set(error) - {"details"}, {"type", "message"}, "fields of the error")
  same((document["type"], error["type"]), ("error", kind), "types")
  holds(isinstance(error["message"], str) and len(error["message"]) > 3, f"message {error['message']!r}")
  if param:
    holds(error["message"].startswith(f"{param}: "), f"{param} is not named first: {error['message']!r}")
  if said:
    holds(said in error["message"], f"no {said!r} in {error['message']!r}")
  told_final = name in ("INSUFFICIENT_CREDITS", "FORBIDDEN") if final is None else final
  same(response.fields.one("x-should-retry"), "false" if told_final else None, "x-should-retry")
  same_ids = (document["request_id"], response.fields.one("request-id"), response.fields.one("x-request-id"))
  holds(same_ids[0] and len(set(same_ids)) == 1, f"ids of the exchange: {same_ids}")
  return error


# MARK: what a client reads


class Heard:
  """An answer put together by a client that believes nothing: its texts, calls, why it stopped and what it used.

  `calls` are (id, name, arguments as JSON or as text that is none); `used` are input, output, read from the cache,
  written to it, and thinking, where input is all that went in."""

  def __init__(self, document):
    self.id, self.model = document["id"], document["model"]
    self.text, self.thinking, self.calls, self.stop, self.used = None, None, [], None, None
    self.failure = None

  def said(self):
    """All but the identity, to be compared."""
    return self.text, self.calls, self.stop, self.used


def text_of(data):
  """What a stream says, in either dialect, however it is made up."""
  found = ""
  for row in re.findall(rb"^data: ({.*)$", data, re.M):
    document = json.loads(row)
    deltas = [choice["delta"] for choice in document.get("choices") or ()] or [document.get("delta") or {}]
    found += "".join(delta.get("content") or delta.get("text") or "" for delta in deltas)
  return found


def arguments_of(written):
  try:
    return json.loads(written)
  except ValueError:
    return written


def of_usage(used):
  """OpenAI's usage as a `Heard` has it."""
  if used is None:
    return None
  same(used["total_tokens"], used["prompt_tokens"] + used["completion_tokens"], "total_tokens")
  went_in, came_out = used.get("prompt_tokens_details") or {}, used.get("completion_tokens_details") or {}
  return (used["prompt_tokens"], used["completion_tokens"], went_in.get("cached_tokens", 0),
          went_in.get("cache_write_tokens", 0), came_out.get("reasoning_tokens", 0))


def of_tokens(used):
  """Anthropic's usage as a `Heard` has it."""
  read, written = used.get("cache_read_input_tokens") or 0, used.get("cache_creation_input_tokens") or 0
  return (used["input_tokens"] + read + written, used["output_tokens"], read, written,
          (used.get("output_tokens_details") or {}).get("thinking_tokens", 0))


def heard_completion(response):
  """A whole answer in OpenAI's form."""
  same(response.status, 200, f"status ({response.body[:300]!r})")
  document = json.loads(response.body)
  same(document["object"], "chat.completion", "object")
  holds(isinstance(document["created"], int) and document["created"] > 1_600_000_000, f"created {document['created']}")
  (choice,) = document["choices"]
  same((choice["index"], choice["message"]["role"]), (0, "assistant"), "index and role")
  found, said = Heard(document), choice["message"]
  found.text, found.thinking, found.stop = said["content"], said.get("reasoning_content"), choice["finish_reason"]
  for call in said.get("tool_calls") or []:
    same(call["type"], "function", "type of a call")
    found.calls.append((call["id"], call["function"]["name"], arguments_of(call["function"]["arguments"])))
  found.used = of_usage(document.get("usage"))
  return found


def heard_chunks(data, whole=True):
  """The stream of an answer in OpenAI's form, read strictly; `whole`: with its end, otherwise without."""
  frames = data.split(b"\n\n")
  same(frames.pop(), b"", "bytes behind the last event")
  if whole:
    same(frames.pop(), b"data: [DONE]", "the last event")
  found, calls, stopped = None, [], False
  for number, frame in enumerate(frames):
    holds(frame.startswith(b"data: ") and b"\n" not in frame, f"no event of the form: {frame!r}")
    document = json.loads(frame[6:])
    if "error" in document:
      same(number, len(frames) - 1, "the place of the error")
      same(set(document["error"]) - {"details"}, {"message", "type", "param", "code"}, "fields of the error")
      found = found or Heard({"id": None, "model": None})
      found.failure = document["error"]
      break
    same(document["object"], "chat.completion.chunk", "object")
    found = found or Heard(document)
    same((document["id"], document["model"]), (found.id, found.model), "id and model")
    if not document["choices"]:
      same((stopped, found.used), (True, None), "usage once, and behind the end")
      found.used = of_usage(document["usage"])
      continue
    holds(not document.get("usage"), f"usage beside a choice: {document}")
    (choice,) = document["choices"]
    same(choice["index"], 0, "index")
    same(stopped, False, "more behind the finish")
    add_delta(found, calls, choice["delta"], first=number == 0)
    found.stop = choice["finish_reason"]
    stopped = found.stop is not None
  found.calls = [(call, name, arguments_of(written)) for call, name, written in calls]
  return found


def add_delta(found, calls, delta, first):
  """One delta of OpenAI's form joins what was heard."""
  same(delta.get("role"), "assistant" if first else None, "role")
  holds(set(delta) <= {"role", "content", "reasoning_content", "tool_calls", "refusal"}, f"fields of {delta}")
  if delta.get("content") is not None:
    holds(first or delta["content"], "an empty piece")
    found.text = (found.text or "") + delta["content"]
  if delta.get("reasoning_content") is not None:
    found.thinking = (found.thinking or "") + delta["reasoning_content"]
  for call in delta.get("tool_calls") or []:
    if call["index"] == len(calls):
      same(call["type"], "function", "type of a call")
      calls.append((call["id"], call["function"]["name"], call["function"].get("arguments") or ""))
    else:
      holds(0 <= call["index"] < len(calls) and not call.get("id"), f"out of order: {call}")
      begun = calls[call["index"]]
      calls[call["index"]] = (*begun[:2], begun[2] + call["function"]["arguments"])


def heard_blocks(found, blocks):
  """The blocks of a message join what was heard."""
  for one in blocks:
    if one["type"] == "text":
      found.text = (found.text or "") + one["text"]
    elif one["type"] == "tool_use":
      found.calls.append((one["id"], one["name"], one["input"]))
    else:
      same(one["type"], "thinking", "type of a block")
      found.thinking = (found.thinking or "") + one["thinking"]
  return found


def heard_message(response):
  """A whole answer in Anthropic's form."""
  same(response.status, 200, f"status ({response.body[:300]!r})")
  document = json.loads(response.body)
  same((document["type"], document["role"], document["stop_sequence"]), ("message", "assistant", None), "its fields")
  found = heard_blocks(Heard(document), document["content"])
  found.stop, found.used = document["stop_reason"], of_tokens(document["usage"])
  return found


def events_of(data):
  """The documents of a stream in Anthropic's form, each with its name before it."""
  frames = data.split(b"\n\n")
  same(frames.pop(), b"", "bytes behind the last event")
  for frame in frames:
    name, mark, rest = frame.partition(b"\ndata: ")
    holds(name.startswith(b"event: ") and mark and b"\n" not in rest, f"no event of the form: {frame!r}")
    document = json.loads(rest)
    same(document["type"].encode(), name[7:], "the event's name and its type")
    yield document


def heard_events(data, whole=True):
  """The stream of an answer in Anthropic's form, read strictly: one block at a time, in order."""
  found, blocks, open_block, used, ended = None, [], None, {}, False
  for document in events_of(data):
    kind = document["type"]
    in_place = not ended and not found.failure if found else kind == "message_start"
    holds(in_place, f"{kind} out of its place")
    if kind == "message_start":
      same((found, document["message"]["content"], document["message"]["stop_reason"]), (None, [], None), "the start")
      found = Heard(document["message"])
      used = document["message"]["usage"]
    elif kind == "content_block_start":
      same((open_block, document["index"], found.stop), (None, len(blocks), None), "a block's place")
      open_block = (document["content_block"], [])
      blocks.append(open_block)
    elif kind == "content_block_delta":
      same(document["index"], len(blocks) - 1, "index")
      holds(open_block, "a delta outside of a block")
      open_block[1].append(document["delta"])
    elif kind == "content_block_stop":
      same((document["index"], bool(open_block)), (len(blocks) - 1, True), "the end of a block")
      open_block = None
    elif kind == "message_delta":
      same((open_block, found.stop), (None, None), "totals behind the last block, once")
      found.stop = document["delta"]["stop_reason"]
      used = {**used, **document["usage"]}
    elif kind == "error":
      same(set(document["error"]), {"type", "message"}, "fields of the error")
      found.failure = document["error"]
    elif kind == "message_stop":
      holds(found.stop, "no totals before the end")
      ended = True
    else:
      same(kind, "ping", "an event")
  same(ended, whole, "whether the stream has its end")
  found.used = of_tokens(used)
  return heard_blocks(found, [finished(*one) for one in blocks])


def finished(first, deltas):
  """A block and its deltas as one block."""
  names = {"text": ("text_delta", "text"), "thinking": ("thinking_delta", "thinking"),
           "tool_use": ("input_json_delta", "partial_json")}
  kind, name = names[first["type"]]
  for delta in deltas:
    among(delta["type"], (kind, "signature_delta"), "type of a delta")
  written = "".join(delta[name] for delta in deltas if delta["type"] == kind)
  if first["type"] == "tool_use":
    same(first["input"], {}, "the input of a call that begins")
    return {**first, "input": arguments_of(written) if written else {}}
  holds(all(delta.get(name) for delta in deltas if delta["type"] == kind), "an empty piece")
  return {**first, name: first[name] + written}
