"""What the edge tells about its WebSockets: /stats, /health, /metrics and the log."""

from play import *
from stage.credits import *
from stage.metrics import *
from stage.platform import *
from stage.provider import *
from stage.websocket import *

STATS = {"stats": {"path": "/stats", "methods": ["GET"], "builtin": "stats", "policies": ["auth", "permissions"],
                   "permission": "gateway:read"}, **METRICS}
PING_FLOOD = frame(Op.PING, b"x") * 3000


@contextmanager
def observed(script=None, **config):
  """As `speaking`, with /stats, and with a client of the listener for metrics."""
  changes = merged({"routes": STATS, "listeners": LISTENERS}, config)
  with speaking(script, lenient=True, **changes) as (session, client, edge, provider):
    with edge.client("metrics") as watcher:
      yield session, client, edge, provider, watcher


def stats(client):
  return document_of(client.get("/stats", [bearer(user="root", role="admin")]))


def await_stats(client, **wanted):
  """Waits until /stats says this."""
  eventually(lambda: {name: value for name, value in stats(client).items() if name in wanted} == wanted,
             f"/stats says {wanted}")


@play
def who_is_connected():
  """/stats and /health count sessions that are open, the users of them, and sessions by the first role of each"""
  with observed(server={"workers": 2}, roles={"user": {"permissions": ["services:use"]},
                                              "admin": {"permissions": ["*"]}}) as (session, client, edge, provider, _):
    await_stats(client, totalConnections=1, totalUsers=1, connectionsByRole={"user": 1})
    with connected(edge) as again, connected(edge, "bob") as bob, connected(edge, "root", role="admin") as root:
      with connected(edge, "eve", roles=["admin", "user"]):
        await_stats(client, totalConnections=5, totalUsers=4, connectionsByRole={"user": 3, "admin": 2})
        found = json.loads(client.get("/health").body)["connections"]
        same((found["totalConnections"], found["totalUsers"]), (5, 4), "/health")
      await_stats(client, totalConnections=4, totalUsers=3, connectionsByRole={"user": 3, "admin": 1})
      again.close()
      await_stats(client, totalConnections=3, totalUsers=3)
      bob.client.reset()
      root.client.finish()
      await_stats(client, totalConnections=1, totalUsers=1, connectionsByRole={"user": 1})
    with edge.client() as other:
      other.send(handshake())
      same(other.read_response().status, 401)
      same(stats(client)["totalConnections"], 1, "a refused opening")


@play
def what_runs():
  """totalPendingRequests counts messages that run, and not the sessions"""
  with observed() as (session, client, edge, provider, watcher):
    gate = provider.gate()
    provider.script = streamed(part("one"), gate, *story("two", used=usage(10, 5)))
    same(stats(client)["totalPendingRequests"], 0)
    for name in "abc":
      session.ask(name, stream=True)
    for name in "abc":
      session.chunk(name)
    same(stats(client)["totalPendingRequests"], 3)
    gate.open()
    for name in "abc":
      session.done(name)
    await_stats(client, totalPendingRequests=0)


def series_of(watcher):
  """The series about WebSockets: sessions, messages, and those that were closed by reason."""
  found = scraped(watcher)
  reasons = {dict(labels)["reason"]: value for (name, labels), value in found.items()
             if name == "edge_websocket_closed_total" and value}
  return total(found, "edge_websocket_sessions"), total(found, "edge_websocket_messages_total"), reasons


def await_series(watcher, *wanted):
  try:
    eventually(lambda: series_of(watcher) == wanted, f"metrics say {wanted}")
  except Late as late:
    raise Failed(f"{late}; they say {series_of(watcher)}") from None


@play
def sessions_in_metrics():
  """metrics count sessions that are open, messages that were taken, and why sessions ended"""
  with observed(socket={"ping": "2s"}, auth={"leeway": "0s"}, server={"workers": 2}) as (
      session, client, edge, provider, watcher):
    await_series(watcher, 1, 0, {})
    session.answered("a")
    session.answered("b", stream=True)
    session.say("{")
    session.error(None, "INVALID_MESSAGE_FORMAT")
    await_series(watcher, 1, 3, {})
    ways = {"client": lambda one: one.close(), "protocol": lambda one: (one.send(frame(3)), one.assert_ended(1002)),
            "too_large": lambda one: (one.send(text_frame(b"", size=8, count=1 << 40)), one.next(),
                                      one.assert_ended(1009)),
            "limit": lambda one: (one.send(PING_FLOOD), one.assert_ended(1008)),
            "idle": lambda one: (setattr(one, "answers", False), one.ping(), session.assert_alive(),
                                 one.assert_ended(1001))}
    closed = {}
    for reason, end in ways.items():
      with connected(edge) as other:
        end(other)
      closed[reason] = 1
      session.assert_alive()
      await_series(watcher, 1, 3, closed)
    with connected(edge, lifetime=2) as other:
      other.error(None, "SESSION_EXPIRED")
      other.assert_ended(4401)
    session.assert_alive()
    with connected(edge) as other:
      other.client.reset()
    await_series(watcher, 1, 3, {**closed, "expired": 1, "client": 2})
    edge.adopt(merged(edge.config, {"routes": {"platform": None}}))
    session.assert_ended(1012)
    await_series(watcher, 0, 3, {**closed, "expired": 1, "client": 2, "reload": 1})


@play
def exchanges_in_metrics():
  """openings and messages count as exchanges of their route, messages with what they say about models"""
  with observed() as (session, client, edge, provider, watcher):
    for number in range(3):
      session.answered(str(number), stream=bool(number % 2))
    session.refused("x", "MODEL_NOT_FOUND", model="other")
    series = eventually(lambda: (lambda one: total(one, "edge_exchanges_total", route="platform") == 5 and one)(
      scraped(watcher)), "five exchanges are counted")
    same(total(series, "edge_exchanges_total", route="platform", status="4xx"), 1)
    pair = {"provider": "p1", "model": "small"}
    same(total(series, "edge_model_requests_total", outcome="completed", **pair), 3)
    same(total(series, "edge_model_tokens_total", kind="input", **pair), 30)
    same(Decimal(repr(round(total(series, "edge_credits_charged_total", **pair), 9))), 3 * cost(15))


@play
def lines_of_the_log():
  """the opening has a line, and so has each message, with a request id of its own and the id that the client gave it"""
  with observed() as (session, client, edge, provider, watcher):
    opening_line = edge.log_line(requestId=session.response.fields.one("x-request-id"))
    found = [session.answered("a"), session.answered("b", stream=True)]
    lines = [line_of(edge, one) for one in found]
    error = session.refused("c", "MODEL_NOT_FOUND", model="other")
    lines.append(line_of(edge, error))
    same([line["messageId"] for line in lines], ["a", "b", "c"])
    same([line["status"] for line in lines], [200, 200, 404])
    same({line["client"] for line in [opening_line, *lines]}, {opening_line["client"]}, "clients")
    same({(line["route"], line["path"], line["listener"], line["principal"], line["worker"]) for line in lines},
         {("platform", "/ws", "main", "alice", opening_line["worker"])})
    same(len({line["requestId"] for line in [opening_line, *lines]}), 4, "request ids")
    session.say("{")
    line = line_of(edge, session.error(None, "INVALID_MESSAGE_FORMAT"))
    same((line["status"], line.get("messageId") or None), (400, None))


@play
def no_lines_of_messages():
  """log.access: false keeps the lines of messages away, too"""
  with observed(log={"access": False}) as (session, client, edge, provider, watcher):
    session.answered()
    edge.signal()
    session.assert_ended(1001)
    edge.wait_exit()
    same(edge.matching(event="exchange"), [])
