"""What the edge says about itself: health and log."""

import json
import re

from play import *

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
FIELDS = {"time", "level", "event", "requestId", "worker", "listener", "client", "method", "host", "path", "route",
          "service", "endpoint", "status", "cause", "attempts", "replays", "requestBytes", "responseBytes", "duration",
          "upstreamDuration", "generation"}


def whole(value):
  return isinstance(value, int) and not isinstance(value, bool)


@play
def health():
  """/health answers 200 with exactly its JSON"""
  with staged() as (client, edge, origin):
    response = client.get("/health")
    same((response.status, response.fields.one("content-type").split(";")[0]), (200, "application/json"))
    document = json.loads(response.body)
    same(set(document), {"status", "timestamp", "version", "connections"})
    same((document["status"], document["version"]), ("OK", "0.1.0"))
    holds(TIME.fullmatch(document["timestamp"]), f"timestamp {document['timestamp']}")
    connections = document["connections"]
    same(set(connections), {"totalConnections", "totalUsers", "totalPendingRequests", "connectionsByRole"})
    holds(whole(connections["totalPendingRequests"]), f"{connections}")
    same((connections["totalConnections"], connections["totalUsers"], connections["connectionsByRole"]), (0, 0, {}),
         "WebSockets, and who is on them")
    assert_ulid(response.fields.one("x-request-id"))
    same(origin.requests, [], "requests at the service")
    same(client.request("HEAD", "/health").status in (200, 405), True, "HEAD")
    same(client.get("/health?x=y").status, 200)


@play
def health_counts():
  """/health counts the requests that wait for a service, on all workers"""
  with Origin() as origin:
    gate = origin.gate()
    origin.script = lambda request, line: (gate.wait(), answer(200, b"ok")(request, line))
    with Edge(serving(origin, server={"workers": 2})) as edge, edge.client() as one, edge.client() as two:
      with edge.client() as client:
        one.send(head("GET", "/1"))
        two.send(head("GET", "/2"))
        origin.wait_requests(2)

        def pending():
          return json.loads(client.get("/health").body)["connections"]["totalPendingRequests"]
        eventually(lambda: pending() == 2, "two requests wait")
        gate.open()
        same((one.read_response().status, two.read_response().status), (200, 200))
        eventually(lambda: pending() == 0, "no request waits, and this one is not counted")


@play
def access_line():
  """the access line of an exchange, field by field"""
  with staged(answer(201, b"hello"), server={"workers": 2}) as (client, edge, origin):
    response = client.request("POST", "/a/b%20c?token=secret", [("User-Agent", "play")], b"body")
    line = edge.log_line()
    same(set(line), FIELDS, "fields")
    holds(TIME.fullmatch(line["time"]), f"time {line['time']}")
    same((line["level"], line["event"], line["listener"]), ("info", "exchange", "main"))
    same(line["requestId"], response.fields.one("x-request-id"))
    among(line["worker"], (0, 1, 2), "worker")
    holds(line["client"].startswith("127.0.0.1"), f"client {line['client']}")
    same((line["method"], line["host"], line["path"]), ("POST", "edge.test", "/a/b%20c"))
    same((line["route"], line["service"]), ("all", "app"))
    holds(f"127.0.0.1:{origin.address[1]}" in line["endpoint"], f"endpoint {line['endpoint']}")
    same((line["status"], line["cause"], line["attempts"], line["generation"]), (201, "completed", 1, 1))
    holds(whole(line["requestBytes"]) and line["requestBytes"] == 4, f"requestBytes {line['requestBytes']}")
    holds(whole(line["responseBytes"]) and line["responseBytes"] == 5, f"responseBytes {line['responseBytes']}")
    for name in ("duration", "upstreamDuration"):
      holds(isinstance(line[name], (int, float)) and 0 <= line[name] < 10_000, f"{name} {line[name]}")
    holds(line["upstreamDuration"] <= line["duration"], f"{line}")


@play
def durations_have_three_decimals():
  """durations are milliseconds with three decimals"""
  with staged() as (client, edge, origin):
    texts = []
    parse = edge.parse

    def kept(raw_line):
      texts.append(raw_line)
      return parse(raw_line)
    edge.parse = kept
    client.get("/")
    edge.log_line()
    text = b"".join(texts).decode()
    holds(re.search(r'"duration": ?\d+\.\d{3}[,}]', text), text)
    holds(re.search(r'"upstreamDuration": ?\d+\.\d{3}[,}]', text), text)


@play
def one_line_each():
  """every exchange has exactly one access line, whatever became of it"""
  script = {"/ok": answer(200, b"ok"), "/close": lambda request, line: line.close(), "/204": answer(204, frame="none"),
            "/cut": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "close")}
  with staged(script, routes={"all": {"path": ["/ok", "/close", "/204", "/cut"]}}) as (client, edge, origin):
    wanted = {}

    def note(response, cause, status=None):
      wanted[response.fields.one("x-request-id")] = (status or response.status, cause)
    note(client.get("/ok"), "completed")
    note(client.get("/204"), "completed")
    note(client.get("/none"), "refused")
    note(client.get("/health"), "completed")
    note(client.request("HEAD", "/ok"), "completed")
    note(client.get("/close"), "upstream_error")
    client.send(head("GET", "/cut"))
    response, kind, length = client.read_final_head()
    client.assert_cut(response, kind, length)
    note(response, "upstream_cut")
    with edge.client() as other:
      note(other.get("/ok", host="a b"), "client_error")
    edge.stop()
    found = {line["requestId"]: (line["status"], line["cause"]) for line in edge.matching(event="exchange")}
    same(len(edge.matching(event="exchange")), len(wanted), "access lines")
    same(found, wanted, "status and cause per request id")


@play
def nothing_secret():
  """no query string and no credential stands in any log line"""
  with staged() as (client, edge, origin):
    fields = [("Authorization", "Bearer HIDDEN"), ("X-API-Key", "HIDDEN"), ("Cookie", "a=HIDDEN"),
              ("Referer", "http://a/?HIDDEN")]
    client.get("/a?token=HIDDEN", fields)
    client.get("/none?HIDDEN", fields)
    client.get("http://edge.test/b?HIDDEN=1", fields)
    client.request("POST", "/c?HIDDEN", fields, b"HIDDEN")
    for data in (b"GET /HIDDEN HIDDEN HTTP/1.1\r\n\r\n", b"GET /?HIDDEN HTTP/1.1\r\nHost: a\r\nHIDDEN : b\r\n\r\n"):
      with edge.client() as other:
        other.send(data)
        other.read_to_end()
    edge.stop()
    holds(len(edge.matching(event="exchange")) >= 4, "access lines")
    holds("HIDDEN" not in json.dumps(edge.log), f"{[line for line in edge.log if 'HIDDEN' in json.dumps(line)]}")


@play
def credentials_in_odd_places():
  """a credential in a path, and one in a query that a policy raises as an error, is masked in the log"""
  token = ".".join(("eyJhbGciOiJIUzI1NiJ9", "eyJzdWIiOiJIIDDEN", "HIDDEN"))
  policy = lua('if req.args.fail then error(req.query) end')
  with ruled({"own": policy}, loud=True) as (client, edge, origin):
    for path, shown in ((f"/a/{token}/b", "/a/***/b"), ("/a;token=HIDDEN", "/a;token=***"),
                        ("/a%3Ftoken=HIDDEN%26b", "/a%3Ftoken=***%26b"), ("/a;code=HIDDEN;b=c", "/a;code=***;b=c"),
                        ("/a;api_key=HIDDEN", "/a;api_key=***"), ("/tokens/code", "/tokens/code")):
      same(edge.line_of(client.get(path))["path"], shown)
    for query in ("token=HIDDEN", "access_token=HIDDEN&a=b", "code=HIDDEN", f"a={token}"):
      response = client.get(f"/?fail=1&{query}")
      same(response.status, 500)
      line = edge.line_of(response, event="policy_error")
      holds("***" in line["message"] and "fail=1" in line["message"], f"{line}")
    edge.stop()
    holds("HIDDEN" not in json.dumps(edge.log), f"{[line for line in edge.log if 'HIDDEN' in json.dumps(line)]}")


@play
def log_injection():
  """nothing a client sends can break a log line"""
  with staged() as (client, edge, origin):
    for target, host in (("/%22%7d%0a", "edge.test"), ("/a'b", "edge.test"), ("/" + "x" * 8000, "edge.test")):
      with edge.client() as other:
        other.get(target, host=host)
    with edge.client() as other:
      other.send(b'GET /"}\n{"event":"exchange" HTTP/1.1\r\nHost: "}\r\n\r\n')
      other.read_to_end()
    with edge.client() as other:
      other.send(b'A"}{\x1b[0m /\xff\xfe HTTP/1.1\r\nHost: \xff"\r\n\r\n')
      other.read_to_end()


@play
def without_access_lines():
  """log.access: false writes no access line"""
  with staged(log={"access": False}) as (client, edge, origin):
    same(client.get("/").status, 200)
    edge.stop()
    same(edge.matching(event="exchange"), [])


@play
def start_up_lines():
  """the start-up lines tell each listener's address and that the edge is ready"""
  with Edge(serving("http://127.0.0.1:1", listeners={"inner": {"bind": "127.0.0.1:0"}})) as edge:
    same({line["listener"] for line in edge.matching(event="listening")}, {"main", "inner"})
    for line in edge.matching(event="listening"):
      holds(re.fullmatch(r"127\.0\.0\.1:[1-9]\d*", line["address"]), f"address {line['address']}")
      same((line["level"], bool(TIME.fullmatch(line["time"]))), ("info", True))
    ready = edge.wait_line(event="ready")
    same((ready["workers"], ready["generation"]), (1, 1))
    holds(edge.log.index(ready) > max(map(edge.log.index, edge.matching(event="listening"))), "ready comes last")
