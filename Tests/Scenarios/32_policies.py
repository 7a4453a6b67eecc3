"""Who is calling and what they may do: the shipped policies auth and permissions."""

import time

from play import *

GUARDED = {"auth": AUTH}
PERMITTED = {"auth": AUTH, "permissions": PERMISSIONS}
OTHER = "another secret that is long enough to be one"


def now(seconds=0):
  return int(time.time()) + seconds


def api_key(text):
  return ("X-API-Key", text)


def assert_refused_token(response, reason=None):
  """401 with a challenge and the reason; the reason that was told."""
  document = assert_error(response, 401, "UNAUTHORIZED")
  same(response.fields.one("www-authenticate"), "Bearer", "www-authenticate")
  found = document["error"]["details"]["reason"]
  if reason:
    same(found, reason, "reason")
  return found


def assert_passes(client, origin, fields, user="alice", path="/"):
  """The request reaches the service with the user and without what proves it."""
  before = len(origin.requests)
  response = client.get(path, fields)
  same(response.status, 200, f"status with {shown(fields)}")
  same(len(origin.requests), before + 1, "requests at the service")
  request = origin.last()
  same(request.fields.all("x-user-id"), [user], "x-user-id at the service")
  for name in ("authorization", "x-api-key"):
    holds(name not in request.fields, f"{name} reached the service")
  return response


@play
def both_places():
  """a valid token passes as bearer token, as API key and as both, and the service learns the user but not the token"""
  with ruled(GUARDED) as (client, edge, origin):
    text = token()
    for fields in ([bearer(text)], [api_key(text)], [bearer(text), api_key(text)], [api_key(text), ("Cookie", "a=b")],
                   [("authorization", f"bearer {text}")], [("AUTHORIZATION", f"BEARER {text}")]):
      assert_passes(client, origin, fields)


@play
def two_credentials():
  """two different credentials in one request are refused, also when both are valid"""
  with ruled(GUARDED) as (client, edge, origin):
    one, two = token("alice"), token("bob")
    for fields in ([bearer(one), api_key(two)], [api_key(two), bearer(one)], [bearer(one), bearer(two)],
                   [api_key(one), api_key(two)], [bearer(one), ("Authorization", "Basic YTpi")],
                   [api_key(one), bearer("x")], [bearer(one), api_key(one), bearer(two)]):
      with edge.client() as other:
        assert_refused_token(other.get("/", fields))
    same(origin.requests, [])


def bad_tokens():
  """Rows of (what is wrong, token, the reason that is told or None)."""
  good = token()
  start, middle, end = good.split(".")
  claims = {"sub": "alice", "exp": now(600)}
  return [
    ("no token", "", None), ("a word", "hello", None), ("two parts", f"{start}.{middle}", None),
    ("four parts", f"{good}.{end}", None), ("no signature", f"{start}.{middle}.", None),
    ("a cut signature", good[:-2], None), ("padding", good + "=", None),
    ("a space within", f"{good[:30]} {good[30:]}", None),
    ("another secret", token(secret=OTHER), "bad signature"), ("an empty secret", token(secret=""), "bad signature"),
    ("other claims", f"{start}.{part({**claims, 'sub': 'root'})}.{end}", "bad signature"),
    ("another header", f"{part({'alg': 'HS256'})}.{middle}.{end}", "bad signature"),
    ("expired", token(lifetime=-60), "expired"), ("expired long ago", token(exp=1), "expired"),
    ("not yet valid", token(nbf=now(60)), "not yet valid"),
    ("no end", token(lifetime=None), "no expiry"), ("an end that is text", token(exp="9999999999"), None),
    ("an end that is null", signed({"alg": "HS256"}, {"sub": "alice", "exp": None}), None),
    ("no algorithm", signed({"typ": "JWT"}, claims), None),
    ("alg none", signed({"alg": "none"}, claims), "unsupported algorithm"),
    ("alg none without signature", f"{part({'alg': 'none'})}.{part(claims)}.", "unsupported algorithm"),
    ("alg nOnE", signed({"alg": "nOnE"}, claims), "unsupported algorithm"),
    ("alg in small letters", signed({"alg": "hs256"}, claims), "unsupported algorithm"),
    *((name, token(algorithm=name), "unsupported algorithm") for name in ("HS384", "HS512", "RS256", "ES256")),
    ("alg twice", signed('{"alg":"HS256","alg":"none"}', claims), None),
    ("a critical extension", signed({"alg": "HS256", "crit": ["exp"], "exp": 1}, claims), None),
    ("no user", token(user=None), "no user"), ("an empty user", token(user=""), None),
    ("a user that is a list", token(user=["alice"]), None), ("a line end in the user", token("a\r\nx-admin: 1"), None),
    ("the user twice", signed({"alg": "HS256"}, f'{{"sub":"a","sub":"b","exp":{now(600)}}}'), "duplicate claim"),
    ("claims that are a list", signed({"alg": "HS256"}, [1]), None),
    ("claims that are no JSON", signed({"alg": "HS256"}, "{"), None),
    ("a token of 9 KiB", token(pad="x" * 9216), "too long"),
    ("a role that is a number", token(role=1), None),
  ]


@play
def tokens_that_are_refused():
  """a token that is not exactly right gets 401 with its reason, nothing reaches the service, the connection goes on"""
  with ruled(GUARDED) as (client, edge, origin):
    assert_refused_token(client.get("/"), "no credential")
    for name, text, reason in bad_tokens():
      try:
        for field in (bearer(text), api_key(text)):
          assert_refused_token(client.get("/", [field]), reason)
      except Failed as failure:
        raise Failed(f"{name}: {failure}") from None
    for value in ("Basic YWxpY2U6c2VjcmV0", "Bearer", token(), f"Token {token()}", f"Bearer{token()}"):
      assert_refused_token(client.get("/", [("Authorization", value)]))
    same(origin.requests, [])
    assert_passes(client, origin, [bearer()])
    edge.stop()
    lines = edge.matching(event="exchange", status=401)
    same({(line["cause"], line.get("policy"), line.get("principal")) for line in lines}, {("refused", "auth", None)})


@play
def refused_with_a_body():
  """a request with a body that is refused reaches nobody, and its body is not read as the next request"""
  with ruled(GUARDED) as (client, edge, origin):
    inner = head("GET", "/inner", [bearer()])
    client.send(head("POST", "/", [("Content-Length", len(inner))]) + inner + head("GET", "/next", [bearer()]))
    assert_refused_token(client.read_response("POST"))
    same(client.read_response().status, 200)
    same(origin.paths(), ["/next"])
    client.send(head("POST", "/", [("Transfer-Encoding", "chunked")]) + b"5\r\nhello\r\n")
    same(client.read_response("POST").fields.one("connection"), "close", "Connection with half a body")
    client.assert_closed()


@play
def clocks_that_differ():
  """a clock that is off by no more than the leeway does not matter, and one that is off by more does"""
  with ruled(GUARDED) as (client, edge, origin):
    for options in ({"lifetime": -15}, {"nbf": now(15)}, {"iat": now(3600)}):
      assert_passes(client, origin, [bearer(**options)])
    assert_refused_token(client.get("/", [bearer(lifetime=-45)]), "expired")
    assert_refused_token(client.get("/", [bearer(nbf=now(45))]), "not yet valid")
  with ruled(GUARDED, auth={"leeway": "0s"}) as (client, edge, origin):
    assert_refused_token(client.get("/", [bearer(lifetime=-1)]), "expired")
    assert_refused_token(client.get("/", [bearer(nbf=now(15))]), "not yet valid")
    assert_passes(client, origin, [bearer(nbf=now())])
  with ruled(GUARDED, auth={"leeway": "5m"}) as (client, edge, origin):
    assert_passes(client, origin, [bearer(lifetime=-200)])


@play
def expires_while_it_is_used():
  """a token that has been accepted is refused from the moment it expires, also on the same connection"""
  with ruled(GUARDED, auth={"leeway": "0s"}) as (client, edge, origin):
    text = token(lifetime=2)
    assert_passes(client, origin, [bearer(text)])

    def refused():
      response = client.get("/", [bearer(text)])
      return response if response.status != 200 else None
    assert_refused_token(eventually(refused, "the token expires"), "expired")
    assert_refused_token(client.get("/", [bearer(text)]), "expired")


@play
def issuer_and_audience():
  """with auth.issuer and auth.audience only tokens from there and for here pass"""
  rows = {"issuer": "https://id.example.com", "audience": ["edge", "gateway"]}
  with ruled(GUARDED, auth=rows) as (client, edge, origin):
    good = {"iss": "https://id.example.com", "aud": "edge"}
    for changes in ({}, {"aud": "gateway"}, {"aud": ["other", "edge"]}):
      assert_passes(client, origin, [bearer(**good | changes)])
    for changes, reason in (({"iss": None}, "wrong issuer"), ({"iss": "https://id.example.com/"}, "wrong issuer"),
                            ({"iss": ["https://id.example.com"]}, "wrong issuer"), ({"aud": None}, "wrong audience"),
                            ({"aud": "edge2"}, "wrong audience"), ({"aud": []}, "wrong audience"),
                            ({"aud": ["other"]}, "wrong audience"), ({"aud": "Edge"}, "wrong audience")):
      assert_refused_token(client.get("/", [bearer(**good | changes)]), reason)


@play
def without_an_end():
  """with auth.require_exp: false a token without an end passes, and one whose end has passed does not"""
  with ruled(GUARDED, auth={"require_exp": False}) as (client, edge, origin):
    assert_passes(client, origin, [bearer(lifetime=None)])
    assert_refused_token(client.get("/", [bearer(lifetime=-60)]), "expired")


@play
def claims_of_the_user():
  """the user is sub, else userId, else id, and auth.claims names others"""
  with ruled(GUARDED) as (client, edge, origin):
    for claims, user in (({"sub": "a", "userId": "b", "id": "c"}, "a"), ({"userId": "b", "id": "c"}, "b"),
                         ({"id": "c"}, "c"), ({"id": 42}, "42"), ({"sub": "Zoë"}, "Zoë".encode().decode("latin-1")),
                         ({"sub": "x" * 256}, "x" * 256)):
      assert_passes(client, origin, [bearer(**{"user": None, **claims})], user)
    assert_refused_token(client.get("/", [bearer(user=None, email="a@b")]), "no user")
  changes = {"claims": {"user": ["email", "login"], "roles": "groups"}}
  with ruled(PERMITTED, auth=changes, route={"permission": "a:b"}) as (client, edge, origin):
    assert_passes(client, origin, [bearer(email="a@b", login="c", groups=["admin"])], "a@b")
    assert_passes(client, origin, [bearer(login="c", groups="admin")], "c")
    same(client.get("/", [bearer(email="a@b", roles=["admin"])]).status, 403, "status with a role in another claim")
    assert_refused_token(client.get("/", [bearer(groups=["admin"])]), "no user")


@play
def several_secrets():
  """a token signed with any secret of the list passes"""
  with ruled(GUARDED, auth={"secret": [OTHER, SECRET]}) as (client, edge, origin):
    for secret in (OTHER, SECRET):
      assert_passes(client, origin, [bearer(secret=secret)])
    assert_refused_token(client.get("/", [bearer(secret=OTHER + "x")]), "bad signature")


@play
def secret_changed():
  """after a reload with another secret old tokens are refused and new ones pass, and the log shows neither secret"""
  with Origin() as origin:
    rows, files = furnished(GUARDED)
    config = serving(origin, route={"policies": ["auth"]}, policies=rows, auth={"secret": ["${file:secret}"]})
    with Edge(config, files={"secret": SECRET + "\n", **files}) as edge, edge.client() as client:
      assert_passes(client, origin, [bearer()])
      line = edge.adopt(files={"secret": OTHER + "\n"})
      same(difference(line), {"changed": {"auth.secret"}})
      assert_refused_token(client.get("/", [bearer()]), "bad signature")
      assert_passes(client, origin, [bearer(secret=OTHER)])
      both = merged(config, {"auth": {"secret": ["${file:secret}", "${file:former}"]}})
      edge.adopt(both, {"former": SECRET})
      for secret in (OTHER, SECRET):
        assert_passes(client, origin, [bearer(secret=secret)])
      edge.stop()
      for secret in (SECRET, OTHER):
        holds(secret not in json.dumps(edge.log), "a secret stands in the log")


@play
def nothing_of_a_token_in_the_log():
  """the access line has the principal, and no log line has anything of a token"""
  with ruled(GUARDED) as (client, edge, origin):
    texts = [token("alice"), token("mallory", secret=OTHER), token("old", lifetime=-90), "not.a.token"]
    for text in texts:
      for field in (bearer(text), api_key(text)):
        client.get("/", [field])
    edge.stop()
    lines = edge.matching(event="exchange")
    same([line.get("principal") for line in lines], ["alice"] * 2 + [None] * 6, "principals")
    log = json.dumps(edge.log)
    for piece in [piece for text in texts[:3] for piece in text.split(".")[1:]] + ["not.a", "mallory"]:
      holds(piece not in log, f"{piece} stands in the log")


@play
def forged_user():
  """a client cannot say who it is: what it sends as x-user-id never reaches the service, however it is written"""
  with ruled(GUARDED) as (client, edge, origin):
    for fields in ([("X-User-Id", "root")], [("x-user-id", "root"), ("X-USER-ID", "admin")], [("X-User-Id", "")],
                   [("Connection", "x-user-id")], [("Connection", "keep-alive, X-User-Id"), ("X-User-Id", "root")]):
      for order in (fields + [bearer()], [bearer()] + fields):
        assert_passes(client, origin, order)
  with ruled({"auth": (AUTH, {"user_header": "x-caller"})}) as (client, edge, origin):
    same(client.get("/", [bearer(), ("X-Caller", "root")]).status, 200)
    same(origin.last().fields.all("x-caller"), ["alice"])
  with ruled({"auth": (AUTH, {"user_header": False})}) as (client, edge, origin):
    same(client.get("/", [bearer()]).status, 200)
    holds("x-user-id" not in origin.last().fields, "x-user-id although the settings say none")


@play
def many_users():
  """of 600 tokens in turn each is taken for its own user, on two workers, the second time too"""
  with ruled(GUARDED, server={"workers": 2}) as (client, edge, origin):
    tokens = {f"user-{number}": token(f"user-{number}", pad="p" * (number % 97)) for number in range(600)}
    with edge.client() as second, edge.client() as third:
      clients = [client, second, third]
      for turn in range(2):
        for number, (user, text) in enumerate(tokens.items()):
          assert_passes(clients[(number + turn) % 3], origin, [bearer(text)], user)


@play
def other_routes_stay_open():
  """a route without policies asks for no token"""
  with ruled(GUARDED, routes={"open": {"path": "/open", "service": "app"}}) as (client, edge, origin):
    same([client.get(path).status for path in ("/open", "/", "/health")], [200, 401, 200])
    same(origin.paths(), ["/open"])


def forbidden(response, permission):
  """403 that names the permission."""
  document = assert_error(response, 403, "FORBIDDEN")
  same(document["error"]["details"], {"permission": permission}, "details")


def asking(permissions):
  """A route for each permission."""
  return {f"r{at}": {"path": f"/r{at}", "service": "app", "policies": list(PERMITTED), "permission": name}
          for at, name in enumerate(permissions)}


def matrix(client, permissions, rows):
  """Rows of (claims, the permissions that they allow); routes are those of `asking`."""
  for claims, allowed in rows:
    for at, name in enumerate(permissions):
      response = client.get(f"/r{at}", [bearer(**claims)])
      if name in allowed:
        same(response.status, 200, f"{name} with {claims}")
      else:
        forbidden(response, name)


@play
def standard_roles():
  """a user may use services and MCP, an admin everything, an unknown role nothing; who has no role is a user"""
  names = ["services:use", "mcp:read", "mcp:execute", "mcp:admin", "gateway:read", "credits:grant"]
  user = names[:3]
  with ruled(PERMITTED, routes=asking(names), route={"permission": "services:use"}) as (client, edge, origin):
    matrix(client, names, [
      ({}, user), ({"role": "user"}, user), ({"roles": ["user"]}, user), ({"role": "admin"}, names),
      ({"roles": ["guest", "admin"]}, names), ({"role": "guest"}, []), ({"roles": ["User"]}, []),
      ({"role": ["user", "user"]}, user), ({"role": "user", "roles": ["admin"]}, user)])
    edge.stop()
    lines = edge.matching(event="exchange", status=403)
    same({(line["cause"], line["policy"], line["principal"]) for line in lines}, {("refused", "permissions", "alice")})


@play
def own_roles():
  """roles of the configuration hold with their wildcards, and may say something else about user and admin"""
  names = ["mcp:read", "mcp:tools:call", "mcp", "mcpx:read", "services:use"]
  roles = {"mcp": {"permissions": ["mcp:*"]}, "reader": {"permissions": ["mcp:read"]}, "all": {"permissions": ["*"]},
           "none": {"permissions": []}, "user": {"permissions": ["mcp:read"]}, "admin": {"permissions": "services:use"}}
  # A start warns of 'mcp' and 'mcpx:read', which look misspelt.
  with ruled(PERMITTED, routes=asking(names), roles=roles, route={"permission": "a"}, loud=True) as (
      client, edge, origin):
    matrix(client, names, [({"role": "mcp"}, ["mcp:read", "mcp:tools:call"]), ({"role": "reader"}, ["mcp:read"]),
                           ({"role": "all"}, names), ({"role": "none"}, []), ({}, ["mcp:read"]),
                           ({"role": "admin"}, ["services:use"]), ({"roles": ["none", "reader"]}, ["mcp:read"]),
                           ({"roles": ["reader", "admin"]}, ["mcp:read", "services:use"])])


@play
def roles_changed():
  """a reload that takes a permission from a role takes it from the next request on"""
  with ruled(PERMITTED, route={"permission": "services:use"}) as (client, edge, origin):
    same(client.get("/", [bearer()]).status, 200)
    line = edge.adopt(merged(edge.config, {"roles": {"user": {"permissions": ["mcp:read"]}}}))
    holds("roles.user.permissions" in difference(line).get("changed", set()), f"{line}")
    forbidden(client.get("/", [bearer()]), "services:use")


@play
def route_without_permission():
  """a guarded route that names no permission is closed with 500, and the log says why"""
  with ruled(PERMITTED, loud=True) as (client, edge, origin):
    response = client.get("/", [bearer(role="admin")])
    assert_error(response, 500, "POLICY_ERROR")
    same(origin.requests, [])
    line = edge.line_of(response, event="policy_error")
    same((line["policy"], line["phase"]), ("permissions", "on_request"))
    holds("'all'" in line["message"] and "permission" in line["message"], f"{line['message']}")
  with ruled({"auth": AUTH, "permissions": (PERMISSIONS, {"permission": "services:use"})}) as (client, edge, origin):
    same(client.get("/", [bearer()]).status, 200)
    forbidden(client.get("/", [bearer(role="guest")]), "services:use")


@play
def permissions_without_auth():
  """permissions without auth before it let nobody in"""
  with ruled({"permissions": PERMISSIONS}, route={"permission": "services:use"}) as (client, edge, origin):
    for fields in ([], [bearer(role="admin")]):
      forbidden(client.get("/", fields), "services:use")
    same(origin.requests, [])


@play
def the_first_refusal_wins():
  """policies are asked in the order of the route; the first that refuses is heard and none behind it is asked"""
  def saying(name):
    return lua(f'edge.log.info("asked") if req.args.refuse == "{name}" then edge.refuse("CONFLICT", '
               f'{{by = "{name}"}}) end')
  names = ["one", "two", "three"]
  with ruled({name: saying(name) for name in names}) as (client, edge, origin):
    for name in [*names, "nobody"]:
      response = client.get(f"/?refuse={name}")
      if name == "nobody":
        same(response.status, 200)
      else:
        same(assert_error(response, 409, "CONFLICT")["error"]["details"], {"by": name})
        same(edge.line_of(response)["policy"], name, "policy of the access line")
    same(len(origin.requests), 1, "requests at the service")
    edge.stop()
    same([line["policy"] for line in edge.matching(event="policy_log")],
         ["one", "one", "two", "one", "two", "three", "one", "two", "three"], "who was asked")
  guarded = {"one": (RATE_LIMIT, {"limit": "1 per 1h"}), "auth": AUTH}
  for order, wanted in ((["one", "auth"], [401, 429]), (["auth", "one"], [401, 401])):
    with ruled(guarded, route={"policies": order}) as (client, edge, origin):
      same([client.get("/").status for _ in range(2)], wanted, f"statuses with {order}")
