"""Which route a request takes."""

from contextlib import ExitStack

from play import *


def named(name):
  """A script that answers with the name of its service."""
  return answer(200, name.encode(), [("X-Service", name)])


@contextmanager
def routed(routes, **changes):
  """An edge whose routes name services a, b, c …, each an origin that answers with its own name."""
  names = sorted({route["service"] for route in routes.values() if "service" in route})
  origins = {name: Origin(named(name)) for name in names}
  config = merged(serving("http://127.0.0.1:1"), {
    "services": {"app": None, **{name: {"endpoints": [origin.url]} for name, origin in origins.items()}},
    "routes": {"all": None, **routes}, **changes})
  with ExitStack() as stack:
    for origin in origins.values():
      stack.enter_context(origin)
    edge = stack.enter_context(Edge(config))
    yield edge, origins


def taken(client, target, host="edge.test", method="GET"):
  """The service that answered, or the status of a refusal."""
  response = client.request(method, target, host=host)
  return response.body.decode() if response.status == 200 else response.status


def table(edge, rows, listener="main"):
  """Rows of (target, wanted) or (target, wanted, host)."""
  with edge.client(listener) as client:
    for target, wanted, *host in rows:
      same(taken(client, target, *host), wanted, f"{target} {host}")


@play
def exact_paths():
  """an exact path matches itself and nothing else"""
  with routed({"one": {"path": "/a/b", "service": "a"}, "two": {"path": "/c/", "service": "b"}}) as (edge, _):
    table(edge, [("/a/b", "a"), ("/a/b?x=/c", "a"), ("/a/b/", 404), ("/a/bc", 404), ("/a", 404), ("/A/b", 404),
                 ("/", 404), ("/a/b/c", 404), ("/c/", "b"), ("/c", 404)])


@play
def prefixes():
  """a prefix matches its root and everything below, by whole segments"""
  with routed({"one": {"path": "/a/*", "service": "a"}}) as (edge, _):
    table(edge, [("/a", "a"), ("/a/", "a"), ("/a/b", "a"), ("/a/b/c?d", "a"), ("/ab", 404), ("/", 404), ("/b/a", 404)])


@play
def parameters():
  """a parameter matches exactly one segment"""
  with routed({"one": {"path": "/users/:id/posts", "service": "a"}, "two": {"path": "/files/:name/*", "service": "b"}}
              ) as (edge, _):
    table(edge, [("/users/7/posts", "a"), ("/users/a%20b/posts", "a"), ("/users/posts", 404), ("/users//posts", 404),
                 ("/users/7/8/posts", 404), ("/users/7/posts/", 404), ("/files/x/y/z", "b"), ("/files/x", "b"),
                 ("/files", 404)])


@play
def everything():
  """the path of everything takes what nothing else takes"""
  with routed({"one": {"path": "/*", "service": "a"}, "two": {"path": "/b", "service": "b"}}) as (edge, _):
    table(edge, [("/", "a"), ("/x/y", "a"), ("/b", "b"), ("/b/", "a"), ("/bb", "a")])


@play
def more_specific_wins():
  """a literal segment beats a parameter, a parameter beats a prefix, a longer prefix a shorter"""
  with routed({"prefix": {"path": "/a/*", "service": "a"}, "deep": {"path": "/a/b/*", "service": "b"},
               "exact": {"path": "/a/b/c", "service": "c"}, "param": {"path": "/a/:x", "service": "d"},
               "mixed": {"path": "/a/:x/c", "service": "e"}}) as (edge, _):
    table(edge, [("/a", "a"), ("/a/z", "d"), ("/a/z/y", "a"), ("/a/z/c", "e"), ("/a/b/c", "c"), ("/a/b/d", "b"),
                 ("/a/b/c/d", "b")])


@play
def no_way_back_is_lost():
  """a literal that leads nowhere does not hide the parameter or prefix beside it"""
  with routed({"literal": {"path": "/a/b/c", "service": "a"}, "param": {"path": "/a/:x/d", "service": "b"},
               "prefix": {"path": "/*", "service": "c"}}) as (edge, _):
    table(edge, [("/a/b/c", "a"), ("/a/b/d", "b"), ("/a/b/e", "c"), ("/a/q/c", "c")])


@play
def several_paths():
  """a route with a list of paths matches each of them"""
  with routed({"one": {"path": ["/a", "/b/*"], "service": "a"}}) as (edge, _):
    table(edge, [("/a", "a"), ("/b/c", "a"), ("/c", 404)])


@play
def hosts():
  """an exact host beats a wildcard, a wildcard beats any host; case, port and a last dot do not count"""
  with routed({"exact": {"path": "/*", "host": "api.example.com", "service": "a"},
               "wild": {"path": "/*", "host": "*.example.com", "service": "b"},
               "any": {"path": "/*", "service": "c"}}) as (edge, _):
    table(edge, [("/", "a", "api.example.com"), ("/", "a", "API.Example.COM"), ("/", "a", "api.example.com:8080"),
                 ("/", "a", "api.example.com."), ("/", "b", "www.example.com"), ("/", "c", "example.com"),
                 ("/", "c", "example.org"), ("/", "c", "badexample.com"), ("/", "c", "www.example.com.evil.test")])


@play
def host_lists():
  """a route with a list of hosts matches each, and without any other route others get 404"""
  with routed({"one": {"path": "/*", "host": ["a.test", "*.b.test"], "service": "a"}}) as (edge, _):
    table(edge, [("/", "a", "a.test"), ("/", "a", "x.b.test"), ("/", 404, "b.test"), ("/", 404, "c.test")])


@play
def host_before_path():
  """a route of the request's host is found although another host has a closer path"""
  with routed({"one": {"path": "/a/b/c", "host": "a.test", "service": "a"},
               "two": {"path": "/a/*", "host": "b.test", "service": "b"}, "any": {"path": "/a/b/c", "service": "c"}}
              ) as (edge, _):
    table(edge, [("/a/b/c", "a", "a.test"), ("/a/b/c", "b", "b.test"), ("/a/b/c", "c", "c.test")])


@play
def unknown_route():
  """an unknown route gets 404 NOT_FOUND with the error body, and the connection goes on"""
  with routed({"one": {"path": "/a", "service": "a"}}) as (edge, _), edge.client() as client:
    response = client.get("/nowhere")
    assert_error(response, 404, "NOT_FOUND")
    same(client.get("/a").body, b"a")
    line = edge.log_line(requestId=response.fields.one("x-request-id"))
    same((line["status"], line["cause"], line["path"]), (404, "refused", "/nowhere"))


@play
def unknown_route_with_a_body():
  """a body behind a 404 is not read as a request"""
  with routed({"one": {"path": "/a", "service": "a"}}) as (edge, origins), edge.client() as client:
    inner = head("GET", "/a")
    client.send(head("POST", "/nowhere", [("Content-Length", len(inner))]) + inner + head("GET", "/a?last"))
    same(client.read_response().status, 404)
    rest = client.reader
    try:
      same(client.read_response().body, b"a")
      same(origins["a"].paths(), ["/a?last"])
    except Cut:  # closing instead is right too
      same((bytes(rest.buffer), origins["a"].paths()), (b"", []))


@play
def methods():
  """a known path with another method gets 405 and Allow; methods choose between routes of one path"""
  routes = {"read": {"path": "/a", "methods": ["GET"], "service": "a"},
            "write": {"path": "/a", "methods": ["POST", "PUT"], "service": "b"}}
  with routed(routes) as (edge, _), edge.client() as client:
    same(taken(client, "/a"), "a")
    same(taken(client, "/a", method="POST"), "b")
    response = client.request("DELETE", "/a")
    assert_error(response, 405, "METHOD_NOT_ALLOWED")
    allowed = {word.strip() for word in response.fields.one("allow").split(",")}
    holds({"GET", "POST", "PUT"} <= allowed <= {"GET", "HEAD", "POST", "PUT", "OPTIONS"}, f"Allow: {allowed}")
    same(taken(client, "/a"), "a", "after a 405")
    response = client.request("POST", "/health")
    assert_error(response, 405, "METHOD_NOT_ALLOWED")


@play
def methods_and_prefixes():
  """a route that does not take the method leaves the request to a wider one that does"""
  with routed({"narrow": {"path": "/a/b", "methods": ["GET"], "service": "a"}, "wide": {"path": "/*", "service": "b"}}
              ) as (edge, _), edge.client() as client:
    same(taken(client, "/a/b"), "a")
    among(taken(client, "/a/b", method="POST"), ("b", 405), "POST")


@play
def listeners():
  """a route bound to a listener is not served on another, nor is its health"""
  with routed({"public": {"path": "/a/*", "service": "a", "listeners": ["main"]},
               "private": {"path": "/b/*", "service": "b", "listeners": ["inner"]},
               "both": {"path": "/c/*", "service": "c"},
               "health": {"path": "/health", "methods": ["GET"], "builtin": "health", "listeners": ["inner"]}},
              listeners={"inner": {"bind": "127.0.0.1:0"}}) as (edge, _):
    table(edge, [("/a", "a"), ("/b", 404), ("/c", "c"), ("/health", 404)])
    table(edge, [("/a", 404), ("/b", "b"), ("/c", "c")], "inner")
    with edge.client("inner") as client:
      response = client.get("/health")
      same((response.status, response.fields.one("content-type").split(";")[0]), (200, "application/json"))
      same(edge.log_line(requestId=response.fields.one("x-request-id"))["listener"], "inner")


@play
def two_services():
  """services of several routes get only their own requests"""
  with routed({"one": {"path": "/a/*", "service": "a"}, "two": {"path": "/b/*", "service": "b"}}) as (edge, origins):
    with edge.client() as client:
      for number in range(10):
        for name in "ab":
          same(taken(client, f"/{name}/{number}"), name)
    for name in "ab":
      same(origins[name].paths(), [f"/{name}/{number}" for number in range(10)])
      same(len(origins[name].lines), 1, "connections")


@play
def thousand_routes():
  """a thousand routes are told apart"""
  routes = {f"r{number}": {"path": f"/area{number}/*", "service": "ab"[number % 2]} for number in range(1000)}
  with routed(routes) as (edge, _):
    table(edge, [(f"/area{number}/x", "ab"[number % 2]) for number in range(0, 1000, 7)] + [("/area1000/x", 404)])


@play
def server_as_a_whole():
  """OPTIONS * is no request for the root, and an absolute target without a path means the same"""
  with Origin() as origin:
    config = serving(origin, routes=None)
    config["routes"] = {"root": {"path": "/", "builtin": "health"}, "rest": {"path": "/*", "service": "app"}}
    with Edge(config) as edge, edge.client() as client:
      for target in ("*", "http://edge.test"):
        same(client.request("OPTIONS", target).status, 200)
        same(origin.last().target, "*", f"target of OPTIONS {target}")
      same(len(origin.requests), 2, "requests at the service")


@play
def head_of_its_own():
  """a route that names HEAD takes it; otherwise the route of GET does"""
  with Origin() as gets, Origin() as heads:
    config = serving(gets, routes=None)
    config["services"]["heads"] = {"endpoints": [f"http://127.0.0.1:{heads.address[1]}"]}
    config["routes"] = {"a": {"path": "/both", "methods": ["GET"], "service": "app"},
                        "b": {"path": "/both", "methods": ["HEAD"], "service": "heads"},
                        "c": {"path": "/one", "methods": ["GET"], "service": "app"}}
    with Edge(config) as edge, edge.client() as client:
      same([client.request("HEAD", path).status for path in ("/both", "/one")], [200, 200])
    same(([request.target for request in heads.requests], [request.target for request in gets.requests]),
         (["/both"], ["/one"]))
