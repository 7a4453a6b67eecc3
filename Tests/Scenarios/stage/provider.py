"""A scripted provider of models: answers as OpenAI's chat completions do, byte by byte as the play says."""

import json

from .check import Failed, among, eventually, holds, same
from .kernel import unread
from .origin import Gate, Origin, answer

PATH = "/v1/chat/completions"
KEY = "sk-of-the-provider-0123456789"
DONE = b"data: [DONE]\n\n"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

# What an error of the edge says in OpenAI's form: status, `type` and `code` by the name of the error.
ERRORS = {
  "UNAUTHORIZED": (401, "authentication_error", "unauthorized"),
  "INSUFFICIENT_CREDITS": (402, "insufficient_quota", "insufficient_quota"),
  "FORBIDDEN": (403, "permission_error", "forbidden"),
  "NOT_FOUND": (404, "invalid_request_error", "not_found"),
  "MODEL_NOT_FOUND": (404, "invalid_request_error", "model_not_found"),
  "METHOD_NOT_ALLOWED": (405, "invalid_request_error", "method_not_allowed"),
  "REQUEST_TIMEOUT": (408, "invalid_request_error", "request_timeout"),
  "MESSAGE_TOO_LARGE": (413, "invalid_request_error", "message_too_large"),
  "RATE_LIMIT_EXCEEDED": (429, "rate_limit_error", "rate_limit_exceeded"),
  "CONTENT_REJECTED": (422, "invalid_request_error", "content_rejected"),
  "INVALID_REQUEST": (400, "invalid_request_error", "invalid_request"),
  "POLICY_ERROR": (500, "server_error", "policy_error"),
  "PROVIDER_ERROR": (502, "server_error", "provider_error"),
  "ALL_PROVIDERS_FAILED": (502, "server_error", "all_providers_failed"),
  "SERVICE_UNAVAILABLE": (503, "server_error", "service_unavailable"),
  "TIMEOUT": (504, "server_error", "timeout"),
}
# Those that the client must not try again.
FINAL = {"INSUFFICIENT_CREDITS", "FORBIDDEN"}


def dumped(document):
  """JSON as the stage's provider writes it."""
  return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def usage(prompt, completion, cached=0, written=0, reasoning=0):
  """A usage in OpenAI's words."""
  return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
          "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
          "completion_tokens_details": {"reasoning_tokens": reasoning}}


def completion(content="hello", used=None, model="small", **fields):
  """The document of a whole answer; without `used` it has no usage."""
  document = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1700000000, "model": model,
              "choices": [{"index": 0, "message": {"role": "assistant", "content": content},
                           "logprobs": None, "finish_reason": "stop"}]}
  if used:
    document["usage"] = used
  return {**document, **fields}


def event(document, end=b"\n"):
  """One event of a stream; `end` is how its lines end."""
  return b"data: " + (document if isinstance(document, bytes) else dumped(document)) + end * 2


def part(content=None, finish=None, model="small", end=b"\n", delta=None, **fields):
  """An event with a piece of the content, with another `delta`, or with none."""
  delta = delta or ({} if content is None else {"content": content})
  return event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": model,
                "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}], **fields}, end)


def totals(used, model="small", end=b"\n"):
  """The event that only clients get that asked for the usage."""
  return event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": model,
                "choices": [], "usage": used}, end)


def call_of(index, arguments=None, name=None, call=None):
  """An event with a piece of a tool's call; the first one of a call has its id and name."""
  function = {**({"name": name} if name else {}), **({} if arguments is None else {"arguments": arguments})}
  first = {"id": call or f"call_{index}", "type": "function"} if name else {}
  return part(delta={"tool_calls": [{"index": index, **first, "function": function}]})


def story(*contents, used=None, end=b"\n"):
  """The events of a whole stream: a part for each content, the finish, the usage if there is one, the end."""
  events = [part(content, end=end) for content in contents] + [part(finish="stop", end=end)]
  return events + ([totals(used, end=end)] if used else []) + [b"data: [DONE]" + end * 2]


def chunk(data):
  return b"%x\r\n%s\r\n" % (len(data), data)


def told(document=None, used=None, status=200, fields=()):
  """A script that gives a whole answer: bytes, or a document, `completion()` with this usage when there is none."""
  body = document if isinstance(document, bytes) else dumped(document or completion(used=used or usage(10, 5)))
  return answer(status, body, [("Content-Type", "application/json"), *fields])


def streamed(*steps):
  """A script that streams: bytes as one chunk each; a gate is awaited; a function of the line is called, and is the
  end of the script. Otherwise the stream ends as it should."""
  def script(_request, line):
    line.send(STREAM_HEAD)
    for step in steps:
      if isinstance(step, Gate):
        step.wait("the next event of the stream")
      elif callable(step):
        step(line)
        return
      else:
        line.send(chunk(step))
    line.send(b"0\r\n\r\n")
  return script


def await_read(line):
  """Waits until the edge has read all that was sent on a provider's connection."""
  eventually(lambda: not unread(line.remote, line.local), "the edge reads the answer")


def read_and_reset(line):
  """The end of a script: a reset that overtakes nothing."""
  await_read(line)
  line.reset()


def failing(status, message="said by the provider", kind="some_error", fields=()):
  """A script that answers with an error in OpenAI's form."""
  return told({"error": {"message": message, "type": kind, "param": None, "code": None}}, status=status, fields=fields)


class Provider(Origin):
  """An origin that answers chat requests: whole ones with `hello`, streamed ones with `he`, `llo`; 10 tokens went in
  and 5 came out. It tells the usage of a stream only when it is asked to, as OpenAI does."""

  dialect = "openai-chat"

  def __init__(self, script=None, **options):
    super().__init__(script or self.usual, **options)

  def usual(self, request, line):
    document = json.loads(request.body)
    used = usage(10, 5)
    if not document.get("stream"):
      told(used=used)(request, line)
    elif (document.get("stream_options") or {}).get("include_usage"):
      streamed(*story("he", "llo", used=used))(request, line)
    else:
      streamed(*story("he", "llo"))(request, line)

  def asked(self, at=-1):
    """The document of a request that arrived."""
    return json.loads(self.requests[at].body)


class Events:
  """The answer to a streamed request as a client reads it, event by event."""

  def __init__(self, client):
    self.client = client
    self.response, self.kind, self.length = client.read_final_head("POST")
    same(self.response.status, 200, "status of the stream")
    content = self.response.fields.one("content-type") or ""
    same(content.split(";")[0], "text/event-stream", "content-type of the stream")
    self.id = self.response.fields.one("x-request-id")
    self.buffer = b""
    self.over = False

  def more(self):
    """What arrives next joins the buffer; False at the end of a whole stream."""
    piece = self.client.read_piece(self.response, self.kind)
    self.buffer += piece
    self.over = self.over or not piece
    return bool(piece)

  def next(self, end=b"\n"):
    """The next event with its empty line."""
    while end * 2 not in self.buffer:
      if not self.more():
        raise Failed(f"the stream ended before the end of an event: {self.buffer!r}")
    found, mark, self.buffer = self.buffer.partition(end * 2)
    return found + mark

  def rest(self):
    """Every byte to the end of the stream, which must be whole."""
    while not self.over and self.more():
      pass
    found, self.buffer = self.buffer, b""
    return found

  def cut(self):
    """Every byte to a cut: an end that no client can take for a whole stream."""
    found = self.buffer + (self.client.assert_cut(self.response, self.kind, self.length) or b"")
    holds(DONE.strip() not in found and b"event: message_stop" not in found, f"an end in a cut stream: {found!r}")
    return found


def assert_openai_error(response, name, param=None, message=None, final=None):
  """A local reply of the edge in OpenAI's form: the document's `error`. `final`: the client must not try again, where
  that is not what the name says."""
  status, kind, code = ERRORS[name]
  same(response.status, status, f"status ({response.body[:300]!r})")
  same((response.fields.one("content-type") or "").split(";")[0], "application/json", "content-type")
  document = json.loads(response.body)
  same(set(document), {"error"}, "fields of the body")
  error = document["error"]
  same(set(error) - {"details"}, {"message", "type", "param", "code"}, "fields of the error")
  same((error["type"], error["code"]), (kind, code), "type and code")
  among(error["param"], (None, "model") if name == "MODEL_NOT_FOUND" else (param,), "param")
  holds(isinstance(error["message"], str) and len(error["message"]) > 3, f"message {error['message']!r}")
  if message:
    holds(message in error["message"], f"no {message!r} in {error['message']!r}")
  told_final = name in FINAL if final is None else final
  same(response.fields.one("x-should-retry"), "false" if told_final else None, "x-should-retry")
  holds(response.fields.one("x-request-id"), "no x-request-id")
  return error
