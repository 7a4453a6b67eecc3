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
