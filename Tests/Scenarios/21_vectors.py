"""Fields, paths, upgrades and bodies that nobody asked for: tables of requests, sent in every way, as in 20_."""

from play import *
from stage.sending import Row, answered, coded, counted, good, line, perform, post, refused, with_fields

SMUGGLED = head("GET", "/smuggled")
OWN = {"x-user-id": "alice", "host": "edge.test", "x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http",
       "x-forwarded-host": "edge.test", "via": "1.1 edge"}
STAMP = {"stamp": lua('req.headers["x-user-id"] = "alice"')}


def table(rows, policies, handlers=(), routes=None, check=None, loud=False, **changes):
  """Performs rows on an edge whose service is behind these policies, with each handler at its name."""
  named, files = furnished({**policies, **dict(handlers)})
  own = {name: {"path": f"/{name}", "handler": name} for name in dict(handlers)}

  def config(origin):
    return serving(origin, route={"policies": list(policies)}, policies=named, routes=merged(own, routes or {}),
                   **changes)
  perform(rows, config, check=check, files=files, loud=loud)


def named_by_connection(name, value, *, stays):
  """A field that Connection names, before and behind it, in other letters."""
  text = f"{name}: {value}".encode()
  outcome = {"has": {**OWN, **({name.lower(): value} if stays is True else {})}} if stays else {
    "has": OWN, "lacks": (name.lower(),)}
  return [good(f"Connection names {name}", with_fields(b"Connection: " + name.encode(), text), **outcome),
          good(f"Connection names {name} in capitals, behind it",
               with_fields(text, b"Connection: keep-alive , " + name.upper().encode() + b",,"), **outcome)]


# `stays`: True, the client's value; "own", what Edge writes itself; False, gone.
CONNECTION = [
  *named_by_connection("X-One", "1", stays=False),
  *named_by_connection("Accept", "a/b", stays=False),
  *named_by_connection("Authorization", "Bearer a", stays=True),
  *named_by_connection("Max-Forwards", "7", stays=True),
  *named_by_connection("X-User-Id", "root", stays="own"),
  *named_by_connection("X-Forwarded-For", "6.6.6.6", stays="own"),
  *named_by_connection("X-Forwarded-Proto", "https", stays="own"),
  *named_by_connection("X-Forwarded-Host", "other.test", stays="own"),
  *named_by_connection("X-Real-IP", "6.6.6.6", stays=False),
  good("Connection names Host", with_fields(b"Connection: Host"), has=OWN),
  good("Connection names Forwarded, X-Request-Id and Via", with_fields(b"Connection: forwarded, x-request-id, VIA"),
       has={**OWN, "forwarded": 'for=127.0.0.1;host="edge.test";proto=http'}),
  good("Connection names Content-Length", counted(b"hello", b"Connection: Content-Length"), body=b"hello"),
  good("Connection names Transfer-Encoding", coded(chunked(b"hello"), b"Connection: Transfer-Encoding"), body=b"hello"),
  good("Connection in two fields", with_fields(b"Connection: X-One", b"X-One: 1", b"X-Two: 2", b"Connection: X-Two"),
       lacks=("x-one", "x-two")),
  good("Connection names a field that comes twice", with_fields(b"X-One: 1", b"Connection: X-One", b"x-one: 2"),
       lacks=("x-one",)),
  good("Connection: close and a name", with_fields(b"Connection: close, X-One", b"X-One: 1"), lacks=("x-one",),
       closes=True),
  refused("Connection with 33 names", with_fields(b"Connection: " + b",".join(b"X-%d" % n for n in range(33)))),
  refused("Connection with a quoted name", with_fields(b'Connection: "X-One"', b"X-One: 1")),
  *[good(f"{name} ends at the edge", with_fields(f"{name}: {value}".encode()), has=OWN, lacks=(name.lower(),))
    for name, value in (("Keep-Alive", "timeout=5"), ("Proxy-Connection", "keep-alive"), ("TE", "trailers"),
                        ("Trailer", "X-A"), ("Proxy-Authorization", "Basic eDp5"), ("Proxy-Authenticate", "Basic"),
                        ("Proxy", "http://evil.test"), ("X_User_Id", "root"), ("X_Forwarded_For", "6.6.6.6"),
                        ("Content_Length", "5"), ("_", "a"), ("Cookie", "a=b"))],
]

CLAIMS = [
  good("X-Forwarded-For", with_fields(b"X-Forwarded-For: 6.6.6.6"), has=OWN),
  good("two X-Forwarded-For", with_fields(b"X-Forwarded-For: 6.6.6.6", b"x-forwarded-for: 7.7.7.7"), has=OWN),
  good("X-Forwarded-Proto and -Host", with_fields(b"X-Forwarded-Proto: https", b"X-Forwarded-Host: other.test"),
       has=OWN),
  good("Forwarded", with_fields(b"Forwarded: for=6.6.6.6;host=other.test;proto=https"),
       has={**OWN, "forwarded": 'for=127.0.0.1;host="edge.test";proto=http'}),
  good("X-Request-Id", with_fields(b"X-Request-Id: 01ARZ3NDEKTSV4RRFFQ69G5FAV"), has=OWN),
  *[good(name, with_fields(f"{name}: 6.6.6.6".encode()), has=OWN, lacks=(name.lower(),))
    for name in ("X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "X-Forwarded-Port",
                 "X-Forwarded-Server")],
]


def chain(value, wanted):
  """What a trusted peer says in X-Forwarded-For, and who asks then."""
  return good(f"{value} is {wanted}", with_fields(f"X-Forwarded-For: {value}".encode()), has={"x-asks": wanted})


TRUSTED = [
  chain("203.0.113.9", "203.0.113.9"), chain("198.51.100.1, 203.0.113.9", "203.0.113.9"),
  chain("198.51.100.1,203.0.113.9 ,10.1.2.3\t, 10.0.0.1", "203.0.113.9"), chain("10.0.0.1, 10.0.0.2", "10.0.0.1"),
  chain("[2001:db8::9]:4711, fd00::1", "2001:db8::9"), chain("203.0.113.9, nonsense, 10.1.2.3", "10.1.2.3"),
  chain("203.0.113.9, unknown", "127.0.0.1"), chain("203.0.113.9, 127.1", "127.0.0.1"),
  good("two fields", with_fields(b"X-Forwarded-For: 198.51.100.1", b"X-Forwarded-For: 203.0.113.9, 10.0.0.1"),
       has={"x-asks": "203.0.113.9"}),
  good("Forwarded", with_fields(b"Forwarded: for=198.51.100.1, for=203.0.113.9;proto=https"),
       has={"x-asks": "203.0.113.9", "x-forwarded-proto": "https"}),
]


def trailer(text, *gone):
  return good(f"a trailer {text}", coded(b"5\r\nhello\r\n0\r\n" + text.encode() + b"\r\n\r\n", b"Trailer: X-End"),
              body=b"hello", has=OWN, lacks=("x-end", "trailer", *gone))


TRAILERS = [
  trailer("X-End: 1"), trailer("Content-Length: 9"), trailer("Transfer-Encoding: gzip"), trailer("Host: other.test"),
  trailer("Authorization: Bearer a", "authorization"), trailer("Cookie: a=b", "cookie"),
  trailer("X-User-Id: root"), trailer("X-Forwarded-For: 6.6.6.6"), trailer("Via: 1.0 before"),
  trailer("Connection: X-User-Id, close"), trailer("Upgrade: websocket", "upgrade"), trailer("Expect: 100-continue"),
  trailer("Content-Type: text/html", "content-type"), trailer("Max-Forwards: 0", "max-forwards"),
  trailer("X_End: 1", "x_end"),
]

EXPECTATIONS = [
  good("100-continue with a counted body", counted(b"hello", b"Expect: 100-continue"), body=b"hello",
       lacks=("expect",)),
  good("100-continue with chunks", coded(chunked(b"hello"), b"Expect: 100-Continue"), body=b"hello",
       lacks=("expect",)),
  good("100-continue with a body that looks like a request", counted(SMUGGLED, b"Expect: 100-continue"),
       body=SMUGGLED, lacks=("expect",)),
  good("100-continue and a count of 0", counted(b"", b"Expect: 100-continue"), lacks=("expect",)),
  good("100-continue and no body", with_fields(b"Expect: 100-continue"), lacks=("expect",)),
  good("100-continue in HTTP/1.0", counted(b"hello", b"Expect: 100-continue", version=b"1.0"), body=b"hello",
       lacks=("expect",), closes=True),
  good("Connection names Expect", counted(b"hello", b"Expect: 100-continue", b"Connection: Expect"), body=b"hello",
       lacks=("expect",)),
  *[refused(f"Expect: {value}", counted(b"hello", b"Expect: " + value.encode()), 417)
    for value in ("", "x", "100", "100-continuex", "x 100-continue", "100-continue;a=b", "100-continue, x",
                  "100-continue x", "200-ok")],
  refused("100-continue and both framings",
          counted(b"hello", b"Expect: 100-continue", b"Transfer-Encoding: chunked")),
]

KEY, VERSION = b"Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==", b"Sec-WebSocket-Version: 13"
ASKS, OFFER = b"Connection: Upgrade", b"Upgrade: websocket"


def opening(name, *lines, **options):
  """Good, but answered with a plain 200: bytes behind it are no longer HTTP, nor frames of a WebSocket."""
  return good(name, with_fields(*lines), has={"upgrade": "websocket"}, closes=True, **options)


UPGRADES = [
  opening("WebSocket", ASKS, OFFER, KEY, VERSION),
  opening("WebSocket in other letters", b"connection: keep-alive, UPGRADE", b"UPGRADE: WebSocket", KEY, VERSION),
  opening("WebSocket beside h2c", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c, websocket",
          b"HTTP2-Settings: AAMAAABk", KEY, VERSION, lacks=("http2-settings",)),
  opening("WebSocket with a count of 0", ASKS, OFFER, KEY, VERSION, b"Content-Length: 0"),
  *[good(f"an offer of {name}", with_fields(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: " + name.encode(),
                                            b"HTTP2-Settings: AAMAAABk"), lacks=("upgrade", "http2-settings"))
    for name in ("h2c", "h2", "HTTP/2.0", "TLS/1.0", "websocket2", "h2c, h2", "")],
  good("an offer of h2c with a body", counted(b"hello", ASKS, b"Upgrade: h2c"), body=b"hello", lacks=("upgrade",)),
  good("Upgrade and no Connection", with_fields(OFFER, KEY, VERSION), lacks=("upgrade",)),
  good("Connection and no Upgrade", with_fields(ASKS, KEY, VERSION), lacks=("upgrade",)),
  good("WebSocket in HTTP/1.0", with_fields(ASKS, OFFER, KEY, VERSION, version=b"1.0"), lacks=("upgrade",),
       closes=True),
  refused("POST", post(ASKS, OFFER, KEY, VERSION)),
  refused("HEAD", with_fields(ASKS, OFFER, KEY, VERSION, method=b"HEAD")),
  refused("a counted body", with_fields(ASKS, OFFER, KEY, VERSION, b"Content-Length: 5", body=b"hello")),
  refused("a chunked body",
          with_fields(ASKS, OFFER, KEY, VERSION, b"Transfer-Encoding: chunked", body=chunked(SMUGGLED))),
  refused("an empty chunked body",
          with_fields(ASKS, OFFER, KEY, VERSION, b"Transfer-Encoding: chunked", body=chunked())),
  refused("no key", with_fields(ASKS, OFFER, VERSION)),
  refused("two keys", with_fields(ASKS, OFFER, KEY, KEY, VERSION)),
  *[refused(f"a key {key}", with_fields(ASKS, OFFER, b"Sec-WebSocket-Key: " + key.encode(), VERSION))
    for key in ("", "x", "AQIDBAUGBwgJCgsMDQ4P", "AQIDBAUGBwgJCgsMDQ4PEBE=", "AQIDBAUGBwgJCgsMDQ4PEA",
                "AQIDBAUGBwgJCgsMDQ4PE$==", "a" * 300)],
  refused("no version", with_fields(ASKS, OFFER, KEY), 426),
  refused("two versions", with_fields(ASKS, OFFER, KEY, VERSION, VERSION), 426),
  *[refused(f"version {version}", with_fields(ASKS, OFFER, KEY, b"Sec-WebSocket-Version: " + version.encode()), 426)
    for version in ("", "12", "013", "13, 8", "x")],
]


def unread(place, status):
  """Requests that Edge answers before anybody has asked for their body, which looks like another request."""
  return [answered(f"{name} to {place}", data, status, closes=None) for name, data in (
    ("a counted body", counted(SMUGGLED, target=place.encode())),
    ("a counted body and 100-continue", counted(SMUGGLED, b"Expect: 100-continue", target=place.encode())),
    ("chunks", post(b"Transfer-Encoding: chunked", body=chunked(SMUGGLED), target=place.encode())))]


UNREAD = [
  *unread("/nowhere", 404), *unread("/gets", 405), *unread("/health", 405), *unread("/forbidden", 403),
  *unread("/handled", 200),
]


def seen(name, target, route, to, host=b"edge.test", version=b"1.1"):
  text = line(b"GET " + target + b" HTTP/" + version, b"Host: " + host + b"\r\n" if host else b"")
  return good(name, text, to, has={"x-seen": f"{route} {to.split('?')[0]}"}, closes=version == b"1.0")


CANONICAL = [
  *[seen(target, target.encode(), route, to) for target, route, to in (
    ("/secret", "secret", "/secret"), ("/secret/x", "secret", "/secret/x"), ("/%73ecret/x", "secret", "/secret/x"),
    ("//secret//x", "secret", "/secret/x"), ("/./secret/x", "secret", "/secret/x"),
    ("/open/../secret/x", "secret", "/secret/x"), ("/secret/../open", "any", "/open"),
    ("/open/..//./secret", "secret", "/secret"), ("/secret%7e", "any", "/secret~"), ("/Secret", "any", "/Secret"),
    ("/%2573ecret", "any", "/%2573ecret"), ("/%252e%252e/secret", "any", "/%252e%252e/secret"),
    ("/open/%252e%252e%252fsecret", "any", "/open/%252e%252e%252fsecret"),
    ("/secret;x", "any", "/secret;x"), ("/secret%3bx", "any", "/secret%3Bx"), ("/secret%3fx", "any", "/secret%3Fx"),
    ("/secret%23x", "any", "/secret%23x"), ("/secret%20", "any", "/secret%20"), ("/secret%25", "any", "/secret%25"),
    ("/open%c3%a4", "any", "/open%C3%A4"), ("/secret?/../open", "secret", "/secret?/../open"),
    ("/open?/../secret", "any", "/open?/../secret"), ("/open/..;/secret", "any", "/open/..;/secret"))],
  *[refused(target, line(b"GET " + target.encode() + b" HTTP/1.1")) for target in (
    "/open/..%2fsecret", "/open%2f..%2fsecret", "/open%2F..%2Fsecret", "/open%5csecret", "/open%5Csecret",
    "/open\\..\\secret", "/open/..\\secret", "/open/..%5csecret", "/secret%00", "/secret%00.png",
    "/open/%2e%2e/secret", "/open/%2E%2E/secret", "/open/.%2e/secret", "/open/%2e./secret", "/%2e/secret",
    "/open/%2e%2e%2fsecret", "/../secret", "/open/../../secret", "/secret%", "/secret%2", "/secret%u002f")],
  seen("an absolute target", b"http://edge.test//%73ecret/./x", "secret", "/secret/x"),
  seen("a host of its own", b"/secret", "host", "/secret", b"a.test"),
  seen("a host of its own in an absolute target", b"http://A.test:80/secret", "host", "/secret", b"a.test"),
  seen("the host of an absolute target in HTTP/1.0", b"http://a.test/secret", "host", "/secret", b"", b"1.0"),
  refused("a host of its own in the target alone", line(b"GET http://a.test/secret HTTP/1.1")),
  refused("a host of its own in Host alone", line(b"GET http://edge.test/secret HTTP/1.1", b"Host: a.test\r\n")),
  refused("two hosts in HTTP/1.0", line(b"GET http://a.test/secret HTTP/1.0")),
]

VALUES = ("a%0d%0ax-injected:1", "a%0ax-injected:1", "a%0dx-injected:1", "a%00", "a%01", "a%7f", "%0d%0a%0d%0aGET%20/",
          "+a", "a+")


def injection(value):
  """A value that a script puts into a field of the answer, of the request to the service, of the service's answer."""
  return [
    answered(f"{value} into an answer", line(f"GET /own?v={value} HTTP/1.1".encode()), 500),
    answered(f"{value} into a request", line(f"GET /v?request={value} HTTP/1.1".encode()), 500),
    Row(f"{value} into a service's answer", line(f"GET /v?answer={value} HTTP/1.1".encode()), 500, True, False),
  ]


INJECTIONS = [row for value in VALUES for row in injection(value)] + [
  good("a tab and a byte above 127 into a request", line(b"GET /v?request=a%09b%c3%a4 HTTP/1.1"), None,
       has={"x-set": "a\tb\xc3\xa4"}),
]


@play
def connection_options():
  """hop-by-hop fields end at the edge, Connection takes away what it names but no field that protects the service"""
  table(CONNECTION, STAMP, service={"pass": ["authorization"]})


@play
def claims_about_the_sender():
  """what a stranger says about itself is replaced by what the edge knows, however it is written"""
  def check(_edge, _row, response, request):
    assert_ulid(response.fields.one("x-request-id"))
    same(request.fields.one("x-request-id"), response.fields.one("x-request-id"), "request id")
    holds(request.fields.one("x-request-id") != "01ARZ3NDEKTSV4RRFFQ69G5FAV", "the client has chosen its request id")
  table(CLAIMS, STAMP, check=check)


@play
def claims_of_trusted_peers():
  """the chain of a trusted peer is read from the right, up to the first address that is not trusted"""
  table(TRUSTED, {"asks": lua('req.headers["x-asks"] = req.address')},
        server={"trusted": ["127.0.0.0/8", "10.0.0.0/8", "fd00::/8"]})


@play
def trailers():
  """no trailer becomes a field of the request, whatever its name"""
  table(TRAILERS, STAMP)


@play
def expectations():
  """100-continue is answered by the edge and goes no further, every other expectation is refused"""
  table(EXPECTATIONS, {})


@play
def upgrades():
  """an upgrade is one to WebSocket, complete and without a body, and behind another answer than 101 nothing is read"""
  table(UPGRADES, {})


@play
def unread_bodies():
  """a body that nobody has asked for is not read as a request"""
  routes = {"all": {"path": ["/v", "/before", "/after"]}, "handled": {"path": "/handled", "handler": "handles"},
            "gets": {"path": "/gets", "methods": ["GET"], "service": "app"},
            "forbidden": {"path": "/forbidden", "service": "app", "policies": ["forbids"]}}
  named, files = furnished({"forbids": lua('edge.refuse("FORBIDDEN")'),
                            "handles": lua(handle='edge.reply{body = "x"}')})
  perform(UNREAD, lambda origin: serving(origin, policies=named, routes=routes), files=files)


@play
def canonical_paths():
  """route, policy, log and service have one and the same path, and one and the same host decides"""
  def check(edge, row, response, request):
    told = edge.line_of(response)
    same(f"{told['route']} {told['path']}", row.has["x-seen"], "route and path in the log")
    same(request.path, told["path"], "path at the service")
  routes = {"secret": {"path": "/secret/*", "service": "app", "policies": ["seen"]},
            "host": {"path": "/*", "host": "a.test", "service": "app", "policies": ["seen"]}, "all": None,
            "any": {"path": "/*", "service": "app", "policies": ["seen"]}}
  named, files = furnished({"seen": lua('req.headers["x-seen"] = req.route .. " " .. req.path')})
  perform(CANONICAL, lambda origin: serving(origin, policies=named, routes=routes), check=check, files=files)


@play
def fields_of_scripts():
  """a line end or another control byte that a script puts into a field is an error, and never becomes a field"""
  def check(_edge, row, response, _request):
    holds("x-injected" not in response.fields, f"{row.name}: {response.fields}")
  policy = lua('ctx.answer = req.args.answer req.headers["x-set"] = req.args.request',
               on_response='if ctx.answer then res.headers["x-set"] = ctx.answer end')
  own = lua(handle='edge.reply{body = "x", headers = {["x-set"] = req.args.v}}')
  table(INJECTIONS, {"sets": policy}, {"own": own}, check=check, loud=True)
