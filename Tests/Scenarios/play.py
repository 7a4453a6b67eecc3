"""Everything a play needs, and the mark that makes a function one.

A play is a function without arguments, marked `@play`; its docstring is the sentence it proves."""

import json
import re
from contextlib import contextmanager

from stage.check import DEADLINE, Deadline, Failed, Late, among, eventually, holds, same, shown
from stage.client import (Client, Stream, Unanswering, assert_refused, chunked, free_port, head, own_port,
                          random_bytes, refused_port)
from stage.config import listening_place, merged, serving, yaml
from stage.edge import MEMORY_FACTOR, Edge, Folder, binary, command, difference, environment
from stage.kernel import listening, sockets
from stage.origin import Gate, Line, Origin, answer, held, raw
from stage.policies import AUTH, PERMISSIONS, RATE_LIMIT, WHOAMI, file_of, furnished, lua
from stage.tls import TLS, ClientTLS, certificate, pem
from stage.token import SECRET, bearer, part, signed, token
from stage.wire import Cut, Malformed, Message, Request, Response

PLAYS = []


def play(function):
  sentence = (function.__doc__ or "").strip()
  if not sentence or "\n" in sentence:
    raise ValueError(f"{function.__name__}: a play needs one sentence as its docstring")
  PLAYS.append((sentence, function))
  return function


@contextmanager
def staged(script=None, *, whole=True, loud=False, lenient=False, **config):
  """An origin with `script`, an edge in front of it and a client connected to the edge."""
  with Origin(script, whole=whole, lenient=lenient) as origin:
    with Edge(serving(origin, **config), loud=loud) as edge:
      with edge.client() as client:
        yield client, edge, origin


@contextmanager
def ruled(policies=None, script=None, *, handlers=None, route=None, whole=True, loud=False, lenient=False, extra=None,
          routes=None, **config):
  """As `staged`, with these policies, in their order, on all that goes to the service, and each handler at its name.

  Policies and handlers are dictionaries of names to Lua text, or to Lua text and settings."""
  rows, files = furnished({**(policies or {}), **(handlers or {})})
  own = {name: {"path": f"/{name}", "handler": name} for name in handlers or {}}
  with Origin(script, whole=whole, lenient=lenient) as origin:
    document = serving(origin, route=merged({"policies": list(policies or {})}, route or {}),
                       **merged({"routes": merged(own, routes or {}), "policies": rows}, config))
    with Edge(document, files=files, loud=loud, extra=extra) as edge, edge.client() as client:
      yield client, edge, origin


def trusting(*origins, ca="ca", service=None, **config):
  """A configuration whose service trusts an authority of the stage."""
  return serving(*origins, service=merged({"tls": {"ca_file": certificate(ca)}}, service or {}), **config)


@contextmanager
def secured(script=None, *, tls="good", whole=True, lenient=False, **config):
  """An origin that speaks TLS, an edge that trusts it and a client of the edge."""
  with Origin(script, whole=whole, lenient=lenient, tls=tls) as origin:
    with Edge(trusting(origin, **config)) as edge, edge.client() as client:
      yield client, edge, origin


ULID_LETTERS = frozenset("0123456789ABCDEFGHJKMNPQRSTVWXYZ")


def assert_ulid(text, what="request id"):
  holds(isinstance(text, str) and len(text) == 26 and set(text) <= ULID_LETTERS and text[0] <= "7",
        f"{what} is not a ULID: {text!r}")


def assert_error(response, status, code):
  """A local reply of the edge: status, JSON body and request id."""
  same(response.status, status, "status")
  content = response.fields.one("content-type") or ""
  same(content.split(";")[0], "application/json", "content-type")
  document = json.loads(response.body)
  same(set(document), {"error", "timestamp"}, "fields of the error body")
  error = document["error"]
  holds(set(error) - {"retryAfter", "details"} == {"code", "message", "requestId"}, f"fields of error: {error}")
  same(error["code"], code, "error code")
  holds(isinstance(error["message"], str) and len(error["message"]) > 3, f"message {error['message']!r}")
  same(error["requestId"], response.fields.one("x-request-id"), "request id in body and field")
  assert_ulid(error["requestId"])
  holds(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", document["timestamp"]), "timestamp of the error body")
  return document
