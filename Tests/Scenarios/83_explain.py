"""`edge explain`: what a request would meet, told by the code that serves; nothing is sent."""

import json
import os
import pathlib
import re
import subprocess
from decimal import Decimal

from play import *
from stage.credits import chatting, llm
from stage.platform import wired

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "Tests" / "Golden" / "explain"
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
# Nobody must find this anywhere.
KEYS = {"OPENAI_API_KEY": "sk-explain-openai", "CLAUDE_API_KEY": "sk-explain-claude"}
CHAT = '{"model":"gpt-4","messages":[{"role":"user","content":"Hello"}]}'


def explained(*arguments, config=None, files=None, extra=None, folder=None):
  """Runs `explain`: (exit code, standard output, standard error), without the folder's path."""
  with Folder(config or serving("http://127.0.0.1:3007"), files) as made:
    place = folder or made.path
    code, out, err = command("explain", *arguments, folder=place, extra=extra)
    return code, out.replace(place + "/", ""), err.replace(place + "/", "")


def shipped(*arguments, extra=None):
  """The same beside the configuration that comes with Edge, with placeholders."""
  return explained(*arguments, "--env=placeholder", folder=str(ROOT),
                   extra={"JWT_SECRET": None, **KEYS, **(extra or {})})


def part(text, title):
  """The lines below a title."""
  for section in text.split("\n\n"):
    lines = section.rstrip("\n").split("\n")
    if lines[0].startswith(title):
      return [" ".join(line.split()) for line in lines[1:]]
  raise Failed(f"no part {title!r} in {text!r}")


def without_lines(text):
  """Places in files, without the lines, which change with any edit of the file above them."""
  return re.sub(r"(\.yaml):\d+(:\d+)?", r"\1:LINE", text)


def golden(name, code, *arguments):
  found = shipped(*arguments)
  same((found[0], found[2]), (code, ""), name)
  same(without_lines(found[1]), (GOLDEN / f"{name}.txt").read_text(encoding="utf-8"), name)


@play
def whole_texts():
  """three requests of the shipped configuration are explained as the goldens say: a chat, a service, a 405"""
  golden("chat", 0, "POST", "/v1/chat/completions", "-d", CHAT)
  golden("service", 0, "GET", "/api/chat/rooms?page=2")
  golden("method-not-allowed", 1, "PUT", "/api/whoami")


# MARK: the request


@play
def the_request():
  """the request is told as Edge reads it: canonical path, host, listener, the names of fields and the size of a body"""
  config = serving("http://127.0.0.1:3007", listeners={"main": {"bind": "127.0.0.1:3401"}, "other": {"bind": "*:3402"}})
  code, out, err = explained("GET", "//a/./%7Eb?x=1", "-H", "Accept: x", "-HX-Secret: hidden", config=config)
  same((code, err), (0, ""), out)
  same(part(out, "request"), ["method GET", "path /a/~b", "query x=1",
                              "host 127.0.0.1:3401 (the listener's: neither URL nor -H names one)",
                              "listener main, 127.0.0.1:3401", "fields accept, x-secret"])
  holds("hidden" not in out, "the value of a field")
  out = explained("PUT", "http://Shop.test:3402/a", "-d", "hello", config=config)[1]
  same(part(out, "request"), ["method PUT", "path /a", "host Shop.test:3402", "listener other, *:3402",
                              "fields content-length", "body 5 bytes"])
  out = explained("GET", "/a", "-H", "host: b.test", "--listener", "other", config=config)[1]
  same(part(out, "request")[2:], ["host b.test", "listener other, *:3402"])
  out = explained("PURGE", "/a", config=config)[1]
  same(part(out, "request")[0], "method PURGE")


@play
def refused_at_once():
  """what Edge refuses before it looks for a route is told with its code, and exits with 1"""
  for method, url, fields, wanted in (
      ("GET", "/../x", [], "400 INVALID_REQUEST"), ("GET", "/a%2Fb", [], "400 INVALID_REQUEST"),
      ("CONNECT", "a.test:443", [], "405 METHOD_NOT_ALLOWED"), ("TRACE", "/", [], "405 METHOD_NOT_ALLOWED"),
      ("GET", "http://user:pass@a.test/", [], "400 INVALID_REQUEST"),
      ("GET", "/", ["-H", "content-length: 1", "-H", "content-length: 2"], "400 INVALID_REQUEST"),
      ("GET", "/", ["-H", "x: " + "y" * 20000], "431 HEADERS_TOO_LARGE")):
    code, out, err = explained(method, url, *fields)
    same((code, err), (1, ""), out)
    holds(part(out, "refused before any route")[0].startswith(wanted), f"{method} {url}: {out}")
    holds("pass" not in out and "yyyy" not in out, out)


@play
def usage():
  """a wrong command line exits with 2, says what to write, and repeats no secret"""
  for arguments, wanted in (
      ([], "METHOD is missing"), (["GET"], "URL is missing"), (["get", "/"], "did you mean 'GET'?"),
      (["GET", "v1/models"], "did you mean '/v1/models'?"), (["GET", "ws://a/"], "http:// and https:// are known"),
      (["GET", "/", "secret"], "too many arguments"), (["GET", "/", "-H", "secret"], "-H takes a field"),
      (["GET", "/", "--listener", "mian"], "did you mean 'main'?"), (["GET", "/", "-d", "@none"], "cannot be read"),
      (["GET", "ws?token=secret"], "did you mean '/ws'?"), (["GET", "/", "--env", "x"], "--env knows only")):
    code, out, err = explained(*arguments)
    same((code, out), (2, ""), f"{arguments}: {err}")
    holds(wanted in err and "secret" not in err, f"{arguments}: {err}")
  code, out, err = explained("GET", "/", config="version: 1\n")
  same((code, out), (1, ""), err)
  holds("edge explain METHOD URL [OPTIONS]" in command("explain", "--help")[1], "the usage line of the help")
  holds("-H 'NAME: VALUE' …" in command("explain", "--help")[1], "what may be given several times")


# MARK: routes

NEAR = {
  "listeners": {"main": {"bind": "127.0.0.1:0"}, "ops": {"bind": "127.0.0.1:0", "only_named": True}},
  "routes": {
    "all": {"path": "/*", "service": "app"}, "api": {"path": "/api/*", "service": "app"},
    "chat": {"path": "/api/chat/*", "service": "app"},
    "one": {"path": "/api/chat/:id", "service": "app", "methods": ["GET"]},
    "any": {"path": "/api/chat/:name", "service": "app"},
    "shop": {"path": "/api/*", "service": "app", "host": ["shop.test", "*.shop.test"]},
    "write": {"path": "/api/chat/7", "service": "app", "methods": ["PUT", "GET"], "listeners": ["ops"]},
    "elsewhere": {"path": "/api/chat/8", "service": "app"},
  }}


@play
def other_routes():
  """the routes that take the path and lost are told with the reason of each, the nearest first"""
  config = serving("http://127.0.0.1:3007", **NEAR)
  code, out, _ = explained("HEAD", "/api/chat/7", config=config)
  same(code, 0, out)
  holds(re.search(r"^route  one  routes.yaml:\d+:3$", out, re.M), out)
  same(part(out, "route "), ["path /api/chat/:id", "method its GET stands for HEAD", "leads to service app"])
  same([re.sub(r" routes.yaml:\d+:3 ", ": ", line) for line in part(out, "other routes")], [
    "any: takes any method, and one names GET", "chat: /api/chat/* is less specific than /api/chat/:id",
    "api: /api/* is less specific than /api/chat/:id", "all: /* is less specific than /api/chat/:id",
    "write: not reached on main: it is on ops", "shop: another host: it is for shop.test, *.shop.test"])
  out = explained("GET", "http://a.shop.test/api/x", config=config)[1]
  holds(any(line.endswith("any host is less specific than *.shop.test") for line in part(out, "other routes")), out)
  out = explained("GET", "/api/x", "--listener", "ops", config=config)[1]
  holds("404 NOT_FOUND" in part(out, "route  none")[0], out)
  holds(any("not reached on ops: it is on main; ops has only_named" in line for line in part(out, "other")), out)


@play
def many_other_routes():
  """at most twelve other routes are told, and how many more there are"""
  hosts = {f"r{number}": {"path": "/*", "service": "app", "host": f"h{number}.test"} for number in range(20)}
  code, out, _ = explained("GET", "/", config=serving("http://127.0.0.1:3007", routes=hosts))
  same((code, len(part(out, "other routes")), part(out, "other routes")[-1]), (0, 13, "and 8 more"), out)


@play
def no_route():
  """without a route the answer is told: 404, or 405 with what Allow would say"""
  code, out, _ = explained("GET", "/x", config=serving("http://127.0.0.1:3007", routes={"all": None}))
  same((code, part(out, "route  none")[0][:13]), (1, "404 NOT_FOUND"), out)
  code, out, _ = explained("POST", "/health", config=serving("http://127.0.0.1:3007", routes={"all": None}))
  same((code, part(out, "route  none")[1]), (1, "allow: GET, HEAD"), out)
  holds(part(out, "other routes")[0].endswith("takes GET; HEAD with it"), out)


# MARK: policies


def guarded(policies, **route):
  rows, files = furnished(policies)
  config = serving("http://127.0.0.1:3007", route={"policies": list(policies), **route}, policies=rows)
  return {"config": config, "files": files}


@play
def callers():
  """a token is judged and never shown: whose it is, until when, what its roles may do, or what is wrong with it"""
  setting = guarded({"auth": AUTH, "permissions": PERMISSIONS}, permission="services:use")
  good, expired = token("ann", role=["user", "extra"]), token("ann", lifetime=-100)
  for given in (["--token", good], ["-H", f"x-api-key: {good}"], ["-H", f"Authorization: Bearer {good}"]):
    code, out, _ = explained("GET", "/x", *given, **setting)
    same(code, 0, out)
    rows = part(out, "caller")
    holds(re.fullmatch(r"token good until \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z", rows[0]), out)
    same(rows[1:], ["user ann", "roles user, extra", "permission has services:use, as user"])
    same(part(out, "the policies"), ["auth on_request passes: user ann, roles user, extra",
                                     "permissions on_request passes"])
    holds(good not in out and good.split(".")[2] not in out, "the token")
  for given, told in ((["--token", expired], "refused: expired"), (["--token", good[:-3]], "refused: bad signature"),
                      (["--token", good, "-H", f"x-api-key: {expired}"], "refused: two credentials"),
                      (["-H", "Authorization: Basic abcdef"], "none: Authorization has another scheme than Bearer"),
                      ([], "none")):
    code, out, _ = explained("GET", "/x", *given, **setting)
    same((code, part(out, "caller")[0]), (1, f"token {told}"), out)
    holds(part(out, "the policies")[0].startswith("auth on_request answers 401 UNAUTHORIZED: "), out)
    same(len(part(out, "the policies")), 1, "lines about policies")
    holds("abcdef" not in out and good not in out and expired not in out, out)
  out = explained("GET", "/x", "--token", token("bob", role="guest"), **setting)[1]
  same(part(out, "caller")[3], "permission has no services:use", out)
  holds("answers 403 FORBIDDEN: " in part(out, "the policies")[1], out)


@play
def demands():
  """what is asked first is told with its place: the limit of bodies, the permission, each policy with its phases"""
  setting = guarded({"auth": AUTH, "end": lua("", on_log="")}, permission="services:use", body_size="2KiB")
  code, out, _ = explained("POST", "/x", "--token", token(), "-d", "x" * 2000, **setting)
  same(code, 0, out)
  rows = [re.sub(r"routes.yaml:\d+", "PLACE", line) for line in part(out, "before anything leaves")]
  same(rows, ["body limit 2KiB PLACE", "permission services:use PLACE",
              "policy 1 auth policies/auth.lua on_request", "policy 2 end policies/end.lua on_request, on_log"])
  code, out, _ = explained("POST", "/x", "--token", token(), "-d", "x" * 2049, **setting)
  same((code, part(out, "refused before any policy")[0][:22]), (1, "413 MESSAGE_TOO_LARGE:"), out)
  holds("the policies" not in out, "policies were asked about a body that is too large")


@play
def other_ends():
  """a policy that fails, answers by itself, reads the body or asks a service ends the telling as it should"""
  with Origin() as origin:
    def ask(body, *arguments):
      setting = guarded({"own": lua(body)})
      setting["config"]["services"]["app"]["endpoints"] = [origin.url]
      code, out, _ = explained("POST", "/x?token=secret&code=secret&a=b&%74oken=secret", *arguments, **setting)
      holds("secret" not in out.replace("own", ""), out)
      same(part(out, "request")[2], "query token=***&code=***&a=b&***")
      return code, part(out, "the policies")[-1]
    same(ask("error('oh', 0)"), (1, "own on_request fails, which the client is told as 500 POLICY_ERROR: oh"))
    same(ask("edge.reply{status = 204}"), (0, "own on_request answers by itself with status 204"))
    same(ask("edge.http.fetch{service = 'app', path = '/who?key=secret'}"),
         (0, f"own on_request asks GET {origin.url}/who of app: not sent, so nobody knows what follows"))
    same(ask("edge.refuse('FORBIDDEN', {n = #req.body})", "-d", "abc")[1][-7:], '{"n":3}')
    same((origin.lines, origin.requests), ([], []), "connections at the service")


@play
def handlers():
  """a handler is named and not run"""
  rows, files = furnished({"auth": AUTH, "hello": lua(handle="error('it runs')")})
  config = serving("http://127.0.0.1:3007", policies=rows,
                   routes={"hello": {"path": "/hello", "handler": "hello", "policies": ["auth"]}})
  code, out, err = explained("GET", "/hello", "--token", token("ann"), config=config, files=files)
  same((code, err), (0, ""), out)
  same(part(out, "route  hello")[1], "leads to handler hello, policies/hello.lua")
  same(part(out, "the policies")[1], "hello handle would answer; it is not run")


@play
def prices_of_routes():
  """a route with a price of its own is told with the hold, and is refused where no policy holds"""
  for names, wanted in ((["auth", "credits"], (0, "credits on_select passes: would hold 0.25 credits")),
                        (["auth"], (1, "500 POLICY_ERROR: no policy has held credits in on_select; "
                                    "name 'credits' in the route's policies"))):
    config, files = llm(services={"app": {"endpoints": ["http://127.0.0.1:3007"]}},
                        routes={"paid": {"path": "/paid", "service": "app", "policies": names,
                                         "price": Decimal("0.25")}},
                        providers={"p": {"dialect": "openai-chat", "endpoints": ["http://127.0.0.1:1"], "key": "none"}},
                        models={"small": {"providers": ["p"]}})
    code, out, err = explained("GET", "/paid", "--token", token("ann"), config=config, files=files)
    same((code, part(out, "the policies")[-1]), wanted, out + err)
    holds(any(line.startswith("price 0.25 credits a request routes.yaml:") for line in part(out, "service  app")), out)


@play
def scripts_without_an_end():
  """a policy that never comes to an end is stopped, as in serving"""
  code, out, err = explained("GET", "/x", **guarded({"loop": lua("while true do end")}))
  same((code, err), (1, ""), out)
  holds(part(out, "the policies")[0].startswith("loop on_request fails, which the client is told as 500"), out)


# MARK: models


def told(out):
  """Who is asked, as provider/model, in order."""
  return ["/".join(line.split()[1:3]) for line in part(out, "who is asked")]


@play
def models():
  """of a request for a model is told who is asked in which order, what is held, who is out and why, and the prices"""
  with Origin() as one, Origin() as two:
    config, files = llm()
    provider = {"dialect": "openai-chat", "endpoints": [one.url], "key": "none"}
    config["providers"] = {"p1": {**provider, "priority": 2}, "p2": {**provider, "endpoints": [two.url]},
                           "off": {"dialect": "openai-chat", "endpoints": [one.url]}, "dev": {**provider, "dev": True}}
    config["models"] = {
      "small": {"providers": ["p1", "p2", "off", "dev"], "price": 1, "max_output": 1000, "equivalents": ["big"]},
      "big": {"providers": ["p1"], "max_output": 10,
              "price": {"input": 2, "output": 3, "long": {"above": 100, "input": 4, "output": 5}}}}
    turn = """return {on_select = function(list)
  table.sort(list, function(a, b) return a.priority > b.priority end)
  return list
end}"""
    config["policies"]["turn"] = {"script": "turn.lua"}
    config["routes"]["turned"] = {**config["routes"]["chat"], "path": "/turned",
                                  "policies": ["auth", "permissions", "turn", "credits"]}
    config["routes"]["behind"] = {**config["routes"]["chat"], "path": "/behind", "fallback_explicit": True}
    files["policies/turn.lua"] = turn

    def ask(model, *arguments, path="/v1/chat/completions", **more):
      body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}], **more})
      return explained("POST", path, "--token", token(), "-d", body, *arguments, config=config, files=files)

    code, out, err = ask("small", max_tokens=7)
    same((code, err), (0, ""), out)
    same(told(out), ["p2/small", "p1/small", "p1/big"])
    same(part(out, "who is not asked"), ["off small disabled: it has no key", "dev small there under --dev only"])
    tokens = (len('{"model": "small", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 7}') + 1) // 2
    holds(f"holds {(tokens + 7) / 1000:g} credits for {tokens} tokens in, 7 out" in part(out, "who is asked")[0], out)
    holds(part(out, "who is asked")[2].endswith("equivalent"), out)
    same([line.split(" routes")[0] for line in part(out, "prices")], [
      "model input output cached cache_write reasoning", "small 1 1 1 1 1", "big 2 3 2 2 3",
      "above 100 tokens in 4 5 4 4 5"])
    same(part(out, "the policies")[-1], f"credits on_select passes: would hold {(tokens + 7) / 1000:g} credits")
    out = ask("small", path="/turned")[1]
    same(told(out), ["p1/small", "p1/big", "p2/small"])
    holds("who is asked, in the order that the policies have chosen" in out, out)
    out = ask("p1/small")[1]
    same((told(out), part(out, "models")[1]),
         (["p1/small"], "provider p1, named by the model's name, p1/small: asked alone"))
    holds("p2 small it is not the one that the client has named" in part(out, "who is not asked"), out)
    out = ask("p1/small", path="/behind")[1]
    same(told(out), ["p1/small", "p2/small", "p1/big"])
    holds("asked first, others behind it (fallback_explicit)" in out, out)
    holds("named by the header edge-provider" in ask("small", "-H", "edge-provider: p2")[1], "the header")
    for model, wanted in (("none", "404 MODEL_NOT_FOUND"), ("off/small", "404 MODEL_NOT_FOUND")):
      code, out, _ = ask(model)
      holds(code == 1 and part(out, "models")[0].startswith(wanted), out)
      holds(wanted in part(out, "the policies")[-1], out)
    code, out, _ = explained("POST", "/v1/chat/completions", "-d", "{", config=config, files=files)
    holds(code == 1 and "400 INVALID_REQUEST: The body is not valid JSON" in part(out, "models")[0], out)
    code, out, _ = explained("POST", "/v1/chat/completions", "--token", token(), config=config, files=files)
    same((code, part(out, "models")), (0, ["the body names the model: give it with -d", "small p2, p1, p1 with big",
                                           "big p1"]), out)
    anyway = merged(config, {"routes": {"turned": {"methods": None}}})
    code, out, _ = explained("GET", "/turned", config=anyway, files=files)
    same((code, part(out, "refused before any policy")[1]), (1, "allow: POST"), out)
    same((one.lines, two.lines), ([], []), "connections at the providers")


@play
def what_cannot_be_said():
  """candidates whose format has no words for the request are passed over, which is a refusal where no other is left"""
  two = json.dumps({"model": "claude-3-opus", "n": 2, "messages": [{"role": "user", "content": "Hello"}]})
  code, out, _ = shipped("POST", "/v1/chat/completions", "-d", two)
  rows = part(out, "who is asked")
  holds("passed over: This can only be asked of a provider that speaks openai-chat" in rows[0], rows)
  same((code, "passed over" in rows[1], rows[1].split(" ")[:3]), (0, False, ["2", "openai", "gpt-4"]))
  code, out, _ = shipped("POST", "/v1/chat/completions", "--dev", "-d", two.replace("claude-3-opus", "demo-claude"))
  rows = part(out, "who is asked")
  same((code, rows[-1]), (1, "400 INVALID_REQUEST: This can only be asked of a provider that speaks openai-chat; "
                           "leave it out or name another model."))
  message = {"id": "1", "type": "chat", "model": "gpt-4", "temperature": "x",
             "messages": [{"role": "user", "content": "Hello"}]}
  code, out, _ = shipped("GET", "/ws", "-d", json.dumps(message))
  same((code, "INVALID_REQUEST" in out), (1, True), out)


@play
def credentials_of_a_url():
  """nothing that may be a credential is repeated: a password in front of a host, keys in a query"""
  code, out, err = shipped("GET", "alice:S3CRET@api.example.com/v1/models")
  same((code, "S3CRET" in out + err), (2, False), err)
  code, out, err = shipped("GET", "/health?access_token=S3CRET&api_key=S3CRET&key=S3CRET&page=2")
  same((code, "S3CRET" in out + err, "page=2" in out), (0, False, True), out)


@play
def as_it_is_served():
  """the estimate that is told is the one that policies are told while serving"""
  with chatting() as (client, edge, provider):
    body = json.dumps({"model": "small", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 9})
    path = os.path.join(edge.folder.path, "body.json")
    pathlib.Path(path).write_text(body, encoding="utf-8")
    code, out, err = command("explain", "POST", "/estimate", "-d", f"@{path}", "--token", token(),
                             folder=edge.folder.path)
    told_estimate = re.search(r"estimate +(\S+) credits", out)
    response = client.request("POST", "/estimate", [bearer()], body.encode())
    same(json.loads(response.body)["estimate"], float(told_estimate[1]), f"{out} {err}")
    same(provider.requests, [], "requests at the provider")


@play
def web_sockets():
  """on a WebSocket the opening is told, then the message: its policies, its hold, its candidates"""
  with Origin() as origin:
    config, files = wired(socket={"ping": "20s", "query_token": True, "origins": ["https://app.test"]})
    config["providers"] = {"p1": {"dialect": "openai-chat", "endpoints": [origin.url], "key": "none"}}
    config["models"]["small"]["providers"] = ["p1"]
    secret = token("ann")
    message = '{"id":"1","type":"chat","model":"small","messages":[{"role":"user","content":"hi"}]}'

    def ask(*arguments, url="/ws?token=" + secret):
      code, out, err = explained("GET", url, *arguments, config=config, files=files)
      holds(secret not in out and err == "", out + err)
      return code, out

    code, out = ask("-d", message)
    same(code, 0, out)
    holds("read as the opening of a WebSocket" in part(out, "request")[-2], out)
    rows = part(out, "the policies")
    holds("the WebSocket opens; the message:" in rows, out)
    middle = rows.index("the WebSocket opens; the message:")
    opening, after = rows[:middle], rows[middle:]
    holds(any("auth on_request passes: user ann" in line for line in opening), out)
    holds(any("on_message passes" in line for line in after) and "would hold" in after[-1], out)
    same(told(out), ["p1/small"])
    holds(any(re.match(r"routes\.\S+\.ping 20s routes.yaml:\d+", line) for line in part(out, "timeouts")), out)
    holds("give a message with -d" in part(ask()[1], "the policies")[-1], "without a message")
    code, out = ask("-d", '{"id":"1","type":"cancel"}')
    holds(code == 1 and "INVALID_MESSAGE_ID" in part(out, "the policies")[-1], out)
    code, out = ask("-d", "[")
    holds(code == 1 and "400 INVALID_MESSAGE_FORMAT" in part(out, "the policies")[-1], out)
    code, out = ask("-H", "Origin: https://evil.test")
    holds(code == 1 and part(out, "refused before any policy")[0].startswith("403 FORBIDDEN"), out)
    same(origin.lines, [], "connections at the provider")


# MARK: services and timeouts


@play
def services():
  """of a service are told its endpoints in order, what it is passed, and each timeout with where it comes from"""
  config = serving("http://127.0.0.1:3007", "https://b.test", service={
    "pass": ["authorization", "cookie"], "tls": {"ca_file": "own.pem", "server_name": "in.test"},
    "timeouts": {"connect": "700ms"}}, route={"replay_on_stale": True})
  files = {"own.pem": pathlib.Path(certificate("ca")).read_text(encoding="ascii")}
  code, out, err = explained("GET", "/x", config=config, files=files, extra={"GATEWAY_TIMEOUT_MS": "1234"})
  same((code, err), (0, ""), out)
  rows = [re.sub(r"routes.yaml:\d+", "PLACE", line) for line in part(out, "service  app")]
  same(rows, ["endpoints http://127.0.0.1:3007 PLACE", "https://b.test:443", "ca_file own.pem PLACE",
              "server_name in.test PLACE", "passes on authorization, cookie PLACE", "replay_on_stale true PLACE"])
  same([re.sub(r"routes.yaml:\d+", "PLACE", line) for line in part(out, "timeouts")], [
    "server.timeouts.head 15s default", "server.timeouts.body 30s default", "server.timeouts.send 1m default",
    "server.timeouts.idle 75s default", "services.app.timeouts.connect 700ms PLACE",
    "services.app.timeouts.head 1234ms env GATEWAY_TIMEOUT_MS", "services.app.timeouts.idle 2m default"])


@play
def placeholders():
  """with placeholders nothing is told that depends on them"""
  config = serving("http://127.0.0.1:3007", routes={"open": {"path": "/open", "service": "${env:NOWHERE}"}},
                   policies={"auth": {"script": "auth.lua"}}, route={"policies": ["auth"]})
  code, out, err = explained("GET", "/open", "--env=placeholder", "--token", token(), config=config,
                             files={"policies/auth.lua": AUTH}, extra={"JWT_SECRET": None})
  same((code, err), (0, ""), out)
  same(part(out, "caller"), ["token not verified: its secret is a placeholder"])
  same(part(out, "the policies"), ["not asked: the secret of tokens is a placeholder"])
  holds(part(out, "routes that were not looked at")[0].startswith("open routes.yaml:"), out)


# MARK: the page


@play
def the_page():
  """the example of the page on running Edge prints what the page shows"""
  section = PAGE.split("## Explaining a request\n")[1].split("\n## ")[0]
  typed, shown = [text for _, text in re.findall(r"^```(\w*)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)]
  names = [*(ROOT / "conf.d").glob("*.yaml"), *(ROOT / "policies").glob("*.lua")]
  files = {name.relative_to(ROOT).as_posix(): name.read_text(encoding="utf-8") for name in names}
  with Folder((ROOT / "routes.yaml").read_text(encoding="utf-8"), files) as folder:
    text = typed.replace("edge ", binary() + " ").replace("\\\n", " ")
    done = subprocess.run(["bash", "-c", "set -e\n" + text], cwd=folder.path, env=environment({"JWT_SECRET": None}),
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE, check=False)
    same((done.returncode, done.stderr), (0, b""))
  times = re.compile(r"good until \S+")
  same(without_lines(times.sub("good until TIME", done.stdout.decode())),
       without_lines(times.sub("good until TIME", shown)))
