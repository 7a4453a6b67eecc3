"""Performs a table of requests: each row in every way that its bytes can come, and the origin counts what it gets.

A row is sent whole, in one write in front of another request, in one write behind another request, and byte by byte.
What the origin has seen must be what the client has sent, and nothing else: not a request less, not one more."""

import json
from dataclasses import dataclass, field

from .check import Failed, among, holds, same
from .client import chunked, head
from .config import merged, serving
from .edge import Edge
from .origin import Origin
from .wire import parse_response

BEFORE, AFTER = head("GET", "/before"), head("GET", "/after")
# For the slowest of machines to take the longest head byte by byte.
PATIENT = {"server": {"workers": 2, "timeouts": {"head": "2m"}}}
WAYS = ("whole", "in front of a request", "behind a request", "byte by byte")


@dataclass
class Row:
  """A request and what must become of it.

  `status` is the answer's, `served` whether it is the origin's, and `closes` whether the connection ends behind it
  (None: it may, if some of the request has not come by then).
  The origin must see `target` (None: whatever it is), `body`, the fields of `has` and none of `lacks`."""
  name: str
  data: bytes
  status: int = 200
  served: bool = False
  closes: bool | None = True
  target: str | None = None
  body: bytes = b""
  has: dict = field(default_factory=dict)
  lacks: tuple = ()

  @property
  def method(self):
    return self.data.lstrip(b"\r\n").split(b" ", 1)[0].decode("latin-1")

  @property
  def version(self):
    return "1.0" if b" HTTP/1.0\r\n" in self.data else "1.1"

  @property
  def framing(self):
    """How the request says where its body ends, in the words of the origin."""
    fields = self.data.lstrip(b"\r\n").split(b"\r\n\r\n")[0].lower().split(b"\r\n")[1:]
    names = [text.split(b":")[0] for text in fields]
    return "chunked" if b"transfer-encoding" in names else "length" if b"content-length" in names else "none"


def good(name, data, target="/v", body=b"", has=None, lacks=(), closes=False):
  """Served, and the connection goes on."""
  return Row(name, data, 200, True, closes, target, body, has or {}, lacks)


def refused(name, data, status=400):
  """Refused, and the connection ends: where the next request would begin is not known, or not believed."""
  return Row(name, data, status)


def answered(name, data, status, closes=False):
  """Answered by Edge itself; where the request ends is beyond doubt, and the connection goes on."""
  return Row(name, data, status, closes=closes)


def line(text, host=b"Host: edge.test\r\n"):
  """A request of one request line and a Host field."""
  return text + b"\r\n" + host + b"\r\n"


def with_fields(*lines, method=b"GET", version=b"1.1", body=b"", host=b"Host: edge.test\r\n", target=b"/v"):
  rest = b"".join(text + b"\r\n" for text in lines)
  return method + b" " + target + b" HTTP/" + version + b"\r\n" + host + rest + b"\r\n" + body


def post(*lines, body=b"", version=b"1.1", target=b"/v"):
  return with_fields(*lines, method=b"POST", version=version, body=body, target=target)


def coded(body, *lines):
  """A chunked request with these raw bytes as its body."""
  return post(b"Transfer-Encoding: chunked", *lines, body=body)


def counted(body, *lines, **options):
  return post(b"Content-Length: %d" % len(body), *lines, body=body, **options)


def ends(response):
  """Whether an answer says that its connection ends."""
  options = ",".join(response.fields.all("connection")).lower().split(",")
  return "close" in [option.strip() for option in options]


def check_served(row, request):
  """What the origin saw of a request is what was sent."""
  if row.target is not None:
    same(request.target, row.target, "target at the origin")
  same((request.method, request.body), (row.method, row.body), "method and body at the origin")
  among(request.framing, (row.framing,) if row.body else (row.framing, "none"), "framing at the origin")
  same((request.extensions, request.trailers), ([], []), "chunk extensions and trailers at the origin")
  for name, value in row.has.items():
    same(request.fields.one(name), value, f"field {name} at the origin")
  for name in row.lacks:
    holds(name not in request.fields, f"field {name} reached the origin")


def check_closing(row, data):
  """All that came until the close is one answer of Edge's own that says it closes."""
  end = data.find(b"\r\n\r\n") + 4
  response = parse_response(data[:end])
  same(response.status, row.status, "status")
  holds(ends(response), f"the connection ends, and the answer does not say so: {response.fields}")
  if row.method == "HEAD" and end == len(data):
    return
  same(len(data) - end, int(response.fields.one("content-length")), "Content-Length of the only answer")
  same(json.loads(data[end:])["error"]["requestId"], response.fields.one("x-request-id"), "request id")


def send(row, client, way):
  try:
    if way == "byte by byte":
      client.send_slowly(row.data, whole=row.served or row.closes is None)
    else:
      client.send((BEFORE if way == WAYS[2] else b"") + row.data + (AFTER if way == WAYS[1] else b""))
  except OSError:
    pass  # the edge has answered and closed before the whole was sent


def deliver(row, client, origin, way, check):
  """Performs a row in one way; `check` is asked about the answer and the request, if the origin is to get it."""
  before = len(origin.requests)
  expected = []
  send(row, client, way)
  if way == WAYS[2]:
    same(client.read_response().status, 200, "status of the request in front")
    expected.append("/before")
  if row.closes and not row.served:
    check_closing(row, client.read_to_end())
  else:
    response = client.read_response(row.method, row.version)
    same(response.status, row.status, "status")
    if row.served:
      holds(len(origin.requests) - before > len(expected), f"nothing at the origin, answer {response}")
      request = origin.requests[before + len(expected)]
      check_served(row, request)
      check(row, response, request)
      expected.append(request.target)
    if row.closes or row.closes is None and ends(response):
      client.assert_closed()
    else:
      holds(not ends(response), "the connection is closed without need")
      if way != WAYS[1]:
        client.send(AFTER)
      same(client.read_response().status, 200, "status of the request behind")
      expected.append("/after")
  same([request.target for request in origin.requests[before:]], expected, "targets at the origin")


def perform(rows, config=serving, script=None, check=None, files=None, loud=False):
  """Performs all rows in all ways; every one that fails is told. `config` makes the configuration for an origin."""
  names = [row.name for row in rows]
  same(len(names), len(set(names)), "names of rows")
  failures, sent = [], 0
  with Origin(script) as origin, Edge(merged(config(origin), PATIENT), files=files, loud=loud) as edge:
    for row in rows:
      for way in WAYS:
        before = len(origin.requests)
        with edge.client() as client:
          try:
            deliver(row, client, origin, way, lambda *what: check and check(edge, *what))
          except (Failed, ValueError, TypeError) as failure:
            failures.append(f"[{row.name}] {way}: {failure}")
        sent += len(origin.requests) - before
    edge.stop()
    same(len(origin.requests), sent, "requests at the origin in all")
  if failures:
    raise Failed(f"{len(failures)} of {len(WAYS) * len(rows)} deliveries:\n" + "\n".join(failures))
