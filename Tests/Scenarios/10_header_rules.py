"""Which header fields go on, which are dropped and which are written by the edge."""

from play import *


@contextmanager
def asked(fields, script=None, **config):
  """One GET with these fields: what the origin saw, and the answer."""
  with staged(script, **config) as (client, edge, origin):
    response = client.get("/", fields)
    same(response.status, 200)
    yield origin.last(), response


@play
def hop_by_hop_in_requests():
  """hop-by-hop fields of a request end at the edge"""
  sent = [("Connection", "keep-alive"), ("Keep-Alive", "timeout=5"), ("Proxy-Connection", "keep-alive"),
          ("TE", "trailers"), ("Trailer", "X-A"), ("Upgrade", "h2c"), ("Proxy-Authorization", "Basic eDp5"),
          ("Proxy-Authenticate", "Basic"), ("X-Stays", "1")]
  with asked(sent) as (request, _):
    for name, _ in sent[1:-1]:
      holds(name not in request.fields, f"{name} reached the service")
    same(request.fields.one("x-stays"), "1")
    holds((request.fields.one("connection") or "keep-alive").lower() == "keep-alive", f"{request.fields}")


@play
def hop_by_hop_in_answers():
  """hop-by-hop fields of an answer end at the edge"""
  sent = [("Connection", "X-Hop, keep-alive"), ("X-Hop", "1"), ("Keep-Alive", "timeout=5"), ("Upgrade", "h2c"),
          ("Proxy-Connection", "keep-alive"), ("Proxy-Authenticate", "Basic"), ("Trailer", "X-A"), ("X-Stays", "1")]
  with asked([], answer(200, b"ok", sent)) as (_, response):
    for name, _ in sent[1:-1]:
      holds(name not in response.fields, f"{name} reached the client")
    same(response.fields.one("x-stays"), "1")
    holds("x-hop" not in (response.fields.one("connection") or "").lower(), f"{response.fields}")


@play
def named_by_connection():
  """fields that Connection names are dropped, in every spelling and over several lines"""
  with asked([("Connection", "x-one , X-TWO,,"), ("Connection", "X-three"), ("X-One", "1"), ("x-two", "2"),
              ("X-Three", "3"), ("X-Two", "again"), ("X-Four", "4")]) as (request, _):
    for name in ("x-one", "x-two", "x-three"):
      holds(name not in request.fields, f"{name} reached the service")
    same(request.fields.one("x-four"), "4")


@play
def protected_from_connection():
  """Connection cannot take away Host, credentials or the fields of the edge"""
  named = "Host, Authorization, X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto, Forwarded, X-Request-Id, Via"
  with asked([("Connection", named), ("Authorization", "Bearer a")],
             service={"pass": ["authorization"]}) as (request, _):
    same(request.fields.one("host"), "edge.test")
    same(request.fields.one("authorization"), "Bearer a")
    holds("127.0.0.1" in (request.fields.one("x-forwarded-for") or ""), f"X-Forwarded-For: {request.fields}")
    for name in ("x-forwarded-host", "x-forwarded-proto", "x-request-id", "via"):
      holds(request.fields.one(name), f"{name} is missing: {request.fields}")


@play
def length_named_by_connection():
  """Connection cannot take away the framing of a request"""
  with staged() as (client, edge, origin):
    response = client.request("POST", "/", [("Connection", "Content-Length"), ("Content-Length", "5")], b"hello")
    if response.status == 200:
      same(origin.last().body, b"hello")
      same(client.get("/after").status, 200)
    else:
      same((response.status, len(origin.requests)), (400, 0))


@play
def forwarded_by_an_unknown_client():
  """an untrusted client's X-Forwarded-* and Forwarded are replaced by what the edge knows"""
  sent = [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "7.7.7.7"), ("X-Forwarded-Proto", "https"),
          ("X-Forwarded-Host", "evil.test"), ("Forwarded", "for=6.6.6.6;host=evil.test;proto=https"),
          ("X-Request-Id", "chosen-by-client")]
  with asked(sent) as (request, response):
    same(request.fields.one("x-forwarded-for"), "127.0.0.1")
    same(request.fields.one("x-forwarded-proto"), "http")
    same(request.fields.one("x-forwarded-host"), "edge.test")
    forwarded = ", ".join(request.fields.all("forwarded"))
    holds("6.6.6.6" not in forwarded and "evil" not in forwarded, f"Forwarded: {forwarded}")
    assert_ulid(response.fields.one("x-request-id"))
    same(request.fields.one("x-request-id"), response.fields.one("x-request-id"))


@play
def forwarded_by_a_trusted_client():
  """a trusted client's X-Forwarded-For and Forwarded are kept and added to, its request id is kept"""
  sent = [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "shop.test"),
          ("Forwarded", "for=203.0.113.9;proto=https"), ("X-Request-Id", "01ARZ3NDEKTSV4RRFFQ69G5FAV")]
  with asked(sent, server={"trusted": ["127.0.0.0/8"]}) as (request, response):
    entries = [entry.strip() for value in request.fields.all("x-forwarded-for") for entry in value.split(",")]
    same(entries, ["203.0.113.9", "127.0.0.1"], "X-Forwarded-For")
    same(request.fields.one("x-forwarded-proto"), "https")
    same(request.fields.one("x-forwarded-host"), "shop.test")
    forwarded = ", ".join(request.fields.all("forwarded"))
    holds(forwarded.startswith("for=203.0.113.9;proto=https"), f"Forwarded: {forwarded}")
    same(request.fields.one("x-request-id"), "01ARZ3NDEKTSV4RRFFQ69G5FAV")
    same(response.fields.one("x-request-id"), "01ARZ3NDEKTSV4RRFFQ69G5FAV")


@play
def trusted_range_of_others():
  """a trusted range that does not hold the client's address changes nothing"""
  with asked([("X-Forwarded-For", "6.6.6.6")], server={"trusted": ["10.0.0.0/8", "fd00::/8"]}) as (request, _):
    same(request.fields.one("x-forwarded-for"), "127.0.0.1")


@play
def via():
  """requests carry Via, behind that of an earlier proxy"""
  with asked([]) as (request, _):
    same(request.fields.one("via"), "1.1 edge")
  with asked([("Via", "1.0 before")]) as (request, _):
    entries = [entry.strip() for value in request.fields.all("via") for entry in value.split(",")]
    same(entries, ["1.0 before", "1.1 edge"], "Via")
  with staged() as (client, edge, origin):
    same(client.request("GET", "/", version="1.0").status, 200)
    same(origin.last().fields.one("via"), "1.0 edge", "Via of a request that came by HTTP/1.0")


@play
def options_that_go_no_farther():
  """OPTIONS with Max-Forwards 0 is answered by the edge, with the methods that are taken there"""
  routes = {"one": {"path": "/one", "methods": ["GET", "POST"], "service": "app"},
            "two": {"path": "/one", "methods": ["OPTIONS"], "service": "app"}, "all": {"path": "/v"}}
  with staged(routes=routes) as (client, edge, origin):
    for path, wanted in (("/one", "GET, HEAD, POST, OPTIONS"), ("/v", "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS")):
      response = client.request("OPTIONS", path, [("Max-Forwards", "0")])
      same((response.status, response.fields.one("allow")), (204, wanted))
      holds("content-length" not in response.fields, f"{response.fields}")
    same(origin.requests, [])
    response = client.request("OPTIONS", "/v", [("Max-Forwards", "0"), ("Content-Length", "2")], b"hi")
    same((response.status, client.get("/v").status, origin.paths()), (204, 200, ["/v"]))


@play
def length_of_nothing():
  """204 has no Content-Length, also where HEAD was asked and the service sends one"""
  for method in ("GET", "HEAD"):
    with staged(raw(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")) as (client, edge, origin):
      client.send(head(method, "/"))
      response = client.read_head()
      same((response.status, "content-length" in response.fields), (204, False), method)


@play
def credentials_are_removed():
  """Authorization, x-api-key and Cookie do not reach a service that did not ask for them"""
  sent = [("Authorization", "Bearer secret"), ("X-API-Key", "secret"), ("Cookie", "a=secret"), ("COOKIE", "b=secret")]
  with asked(sent) as (request, _):
    holds(b"secret" not in request.raw_head, f"a credential reached the service: {request.fields}")


@play
def credentials_are_passed():
  """each credential reaches a service that asks for it, and only that one"""
  sent = [("Authorization", "Bearer secret"), ("X-API-Key", "secret"), ("Cookie", "a=secret")]
  for name, value in sent:
    with asked(sent, service={"pass": [name.lower()]}) as (request, _):
      same(request.fields.one(name), value)
      same(request.raw_head.count(b"secret"), 1, f"credentials beside {name}")


@play
def underscores():
  """field names with an underscore, and Proxy, are dropped"""
  with asked([("X_Forwarded_For", "6.6.6.6"), ("Author_ization", "a"), ("_", "a"), ("Proxy", "http://evil.test"),
              ("X-Stays", "1")]) as (request, _):
    holds(not [name for name in request.fields.names() if "_" in name or name == "proxy"], f"{request.fields}")
    same(request.fields.one("x-stays"), "1")


@play
def host_is_preserved():
  """the service sees the Host of the client"""
  with staged() as (client, edge, origin):
    for host in ("edge.test", "Other.Test:8080", "[::1]:90"):
      client.get("/", host=host)
      same(origin.last().fields.one("host"), host)
      same(origin.last().fields.one("x-forwarded-host"), host)


@play
def host_of_the_absolute_form():
  """a request without Host still carries one to the service"""
  with staged() as (client, edge, origin):
    same(client.request("GET", "http://edge.test/a", version="1.0", host=None).status, 200)
    same((origin.last().target, origin.last().fields.one("host")), ("/a", "edge.test"))


@play
def order_and_spelling():
  """end-to-end fields keep their order, repetition and values"""
  sent = [("X-B", "1"), ("X-a", "2"), ("X-B", "3, 4"), ("Accept", "*/*"), ("x-C", "")]
  with asked(sent, answer(200, b"ok", sent)) as (request, response):
    for fields in (request.fields, response.fields):
      same([(name.lower(), value) for name, value in fields.rows if name.lower() in ("x-a", "x-b", "x-c", "accept")],
           [(name.lower(), value) for name, value in sent])


@play
def encodings_are_left_alone():
  """Accept-Encoding and Content-Encoding pass in both directions"""
  packed = answer(200, b"\x1f\x8b\x08", [("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")])
  with asked([("Accept-Encoding", "gzip, br")], packed) as (request, response):
    same(request.fields.one("accept-encoding"), "gzip, br")
    same((response.fields.one("content-encoding"), response.body), ("gzip", b"\x1f\x8b\x08"))


@play
def no_sign_of_the_inside():
  """an answer does not name the endpoint"""
  with staged() as (client, edge, origin):
    response = client.get("/")
    holds(str(origin.address[1]).encode() not in response.raw_head, f"{response.fields}")
