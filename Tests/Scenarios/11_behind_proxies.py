"""Behind a load balancer: who asks is who a trusted peer says, as far as its word can be followed."""

from play import *
from stage.platform import *
from stage.provider import *
from stage.websocket import *

TRUSTED = {"trusted": ["127.0.0.0/8", "10.0.0.0/8", "fd00::/8"]}
WHO = lua(handle='edge.reply{body = req.address .. " " .. req.network}')
PEER = "127.0.0.1"


def given(*values):
  return [("X-Forwarded-For", value) for value in values]


def described(*values):
  return [("Forwarded", value) for value in values]


CHAINS = (
  ([], PEER),
  (given("203.0.113.9"), "203.0.113.9"),
  (given("198.51.100.1, 203.0.113.9"), "203.0.113.9"),
  (given("203.0.113.9, 10.1.2.3"), "203.0.113.9"),
  (given("198.51.100.1,203.0.113.9 ,10.1.2.3\t, 10.0.0.1"), "203.0.113.9"),
  (given("198.51.100.1", "203.0.113.9", "10.1.2.3"), "203.0.113.9"),
  (given("10.0.0.1, 10.0.0.2"), "10.0.0.1"),
  (given("203.0.113.9:4711"), "203.0.113.9"),
  (given("2001:db8:0:1::9"), "2001:db8:0:1::9"),
  (given("[2001:db8::9]:4711, fd00::1"), "2001:db8::9"),
  (given("::ffff:203.0.113.9"), "203.0.113.9"),
  (given("203.0.113.9, nonsense, 10.1.2.3"), "10.1.2.3"),
  (given("203.0.113.9, unknown"), PEER),
  (given("203.0.113.9", "127.1"), PEER),
  (given("203.0.113.9:x"), PEER),
  (given("[203.0.113.9]"), PEER),
  (given("[2001:db8::9"), PEER),
  (given("203.0.113.9 10.0.0.1"), PEER),
  (given("x" * 3000), PEER),
  (given(""), PEER),
  (given(",, 203.0.113.9 ,"), "203.0.113.9"),
  (described("for=203.0.113.9"), "203.0.113.9"),
  (described('For="[2001:db8::9]:4711";proto=https;by=10.0.0.1'), "2001:db8::9"),
  (described('for="203.0.113.9:_hidden"; host="a,b;c"'), "203.0.113.9"),
  (described("for=198.51.100.1, for=203.0.113.9;proto=http", "for=10.0.0.1"), "203.0.113.9"),
  (described('for=203.0.113.9, by="a\\", for=198.51.100.1";for=10.0.0.1'), "203.0.113.9"),
  (described("for=203.0.113.9, for=_hidden, for=10.0.0.1"), "10.0.0.1"),
  (described("for=203.0.113.9, for=unknown"), PEER),
  (described("for=203.0.113.9, proto=https"), PEER),
  (described('for="203.0.113.9'), PEER),
  (described('for="198.51.100.1', "for=10.0.0.1"), "10.0.0.1"),
  (described("for=203.0.113.9;for=10.0.0.1"), PEER),
  (described("203.0.113.9"), PEER),
  (described("for=203.0.113.9:80"), PEER),
  (given("203.0.113.9") + described("for=198.51.100.1"), "203.0.113.9"),
  (given("nonsense") + described("for=198.51.100.1"), PEER),
  (given("") + described("for=198.51.100.1"), "198.51.100.1"),
)


def network_of(address):
  """The address, of IPv6 the /64 around it."""
  if ":" not in address:
    return address
  return {"2001:db8:0:1::9": "2001:db8:0:1::", "2001:db8::9": "2001:db8::"}[address]


@play
def who_asks():
  """from the peer on, the nearest address that is not trusted asks; where the chain cannot be read, the last before"""
  with ruled(handlers={"who": WHO}, server=TRUSTED) as (client, edge, origin):
    for fields, wanted in CHAINS:
      response = client.get("/who", fields)
      same(response.body.decode(), f"{wanted} {network_of(wanted)}", f"who asks with {fields}"[:300])
      line = edge.line_of(response)
      same((line["client"], line.get("peer")), (wanted, None if wanted == PEER else PEER), f"line of {fields}"[:300])


@play
def strangers_speak_for_nobody():
  """an untrusted peer asks for itself, whatever it says"""
  with ruled(handlers={"who": WHO}, server={"trusted": ["10.0.0.0/8"]}) as (client, edge, origin):
    for fields, _ in CHAINS:
      response = client.get("/who", fields)
      same(response.body.decode(), f"{PEER} {PEER}", f"{fields}"[:300])
      line = edge.line_of(response)
      same((line["client"], "peer" in line), (PEER, False))


@play
def limits_behind_a_balancer():
  """a limit by network counts each client behind a trusted balancer for itself"""
  limited = """local policy = {} local limit
function policy.init(settings) limit = edge.limit.define("attempts", settings) end
function policy.on_request(req, ctx)
  local granted, wait = limit:take("network " .. req.network)
  if not granted then edge.refuse("RATE_LIMIT_EXCEEDED", {retry_after = wait}) end
end
return policy"""
  with ruled({"limited": (limited, {"limit": "2 per 1h"})}, server=TRUSTED) as (client, edge, origin):
    for _ in range(2):
      for number in range(5):
        same(client.get("/", given(f"198.51.100.1, 203.0.113.{number}")).status, 200)
    same(client.get("/", given("203.0.113.4")).status, 429)


@play
def websockets_behind_a_balancer():
  """a WebSocket keeps who has opened it: policies see that in each message, and so do the lines"""
  policy = """local policy = {}
function policy.on_message(msg, ctx) edge.log.info(msg.address .. " " .. msg.network) end
return policy"""
  with speaking(policies={"who": policy, **USUAL}, server=TRUSTED) as (_, _, edge, _):
    with connected(edge, "bob", fields=given("203.0.113.9, 10.0.0.1")) as session:
      session.ask("a")
      session.done("a")
      line = edge.wait_line(event="exchange", origin="message")
      same((line["client"], line["peer"]), ("203.0.113.9", PEER))
      same(edge.wait_line(event="policy_log", policy="who")["text"], "203.0.113.9 203.0.113.9")


def forwarded(fields, **config):
  """What the service gets of these fields from a trusted peer."""
  with staged(server=TRUSTED, **config) as (client, edge, origin):
    response = client.get("/", fields)
    same(response.status, 200)
    same(origin.last().fields.one("x-request-id"), response.fields.one("x-request-id"))
    return origin.last().fields


@play
def claims_that_cannot_be_read():
  """what a trusted peer says in a form that nobody can read is not passed on"""
  same(forwarded(given("")).all("x-forwarded-for"), [PEER])
  same(forwarded(given("203.0.113.9", "")).all("x-forwarded-for"), [f"203.0.113.9, {PEER}"])
  for scheme, wanted in (("javascript", "http"), ("https, http", "http"), ("", "http"), ("HTTPS", "https")):
    same(forwarded([("X-Forwarded-Proto", scheme)]).one("x-forwarded-proto"), wanted, scheme)
  own = f"for={PEER};host=\"edge.test\";proto=http"
  same(forwarded(described('for="198.51.100.1')).all("forwarded"), [own])
  same(forwarded(described('for="198.51.100.1', "for=203.0.113.9")).all("forwarded"), [f"for=203.0.113.9, {own}"])
  same(forwarded(described("")).all("forwarded"), [own])


@play
def request_ids():
  """a trusted peer that names a request twice has not named it"""
  twice = [("X-Request-Id", "one"), ("X-Request-Id", "two")]
  assert_ulid(forwarded(twice).one("x-request-id"))
  same(forwarded(twice[:1]).one("x-request-id"), "one")


OTHERS = [(name, "203.0.113.9") for name in ("X-Real-IP", "True-Client-IP", "X-Client-IP", "CF-Connecting-IP")]


@play
def other_claims():
  """claims that Edge does not write itself pass from a trusted peer, and from nobody else"""
  fields = forwarded(OTHERS + [("X-Forwarded-Port", "443")])
  for name, value in OTHERS:
    same(fields.one(name.lower()), value)
  same(fields.one("x-forwarded-port"), "443")
  with staged() as (client, edge, origin):
    same(client.get("/", OTHERS + [("X-Forwarded-Port", "443")]).status, 200)
    for name in [*(name for name, _ in OTHERS), "X-Forwarded-Port"]:
      holds(name.lower() not in origin.last().fields, f"{name} reached the service")


@play
def https_in_the_target():
  """a URL of https is served only where a trusted peer says that it was asked by https"""
  url = "https://edge.test/v"
  secure = [("X-Forwarded-Proto", "https")]
  with staged() as (client, edge, origin):
    assert_error(client.request("GET", url, secure), 421, "MISDIRECTED_REQUEST")
    same(origin.requests, [])
  rows = ((secure, 200), (described("for=203.0.113.9;proto=https"), 200), ([], 421),
          ([("X-Forwarded-Proto", "http")], 421), (described("proto=https, for=203.0.113.9"), 421),
          (described('proto=https, for="'), 421))
  for fields, status in rows:
    with staged(server=TRUSTED) as (client, edge, origin):
      same(client.request("GET", url, fields).status, status, f"{fields}")
      if status == 200:
        same(client.request("GET", "https://edge.test:443/v", fields).status, 200, "with the port of https")
        same(origin.last().target, "/v")
