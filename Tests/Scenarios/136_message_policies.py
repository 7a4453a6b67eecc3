"""Policies on WebSockets: what they know of an opening and of each message, and what they may do."""

import re
from contextlib import ExitStack

from play import *
from stage.credits import *
from stage.platform import *
from stage.policies import shipped
from stage.provider import *
from stage.websocket import *

SELECT = shipped("select_provider.lua")
PARAMETERS = {"init": "settings", "on_request": "req, ctx", "on_message": "msg, ctx", "on_select": "candidates, ctx",
              "on_retry": "attempt, ctx", "on_log": "ctx"}


def phases(top="", **bodies):
  """A script with these bodies of functions, by the names of the phases. Without `top` the first begins on line 3."""
  lines = ["local policy = {}"] + ([top] if top else [])
  for name, body in bodies.items():
    lines += [f"function policy.{name}({PARAMETERS[name]})", body, "end"]
  return "\n".join([*lines, "return policy", ""])


def ruling(text, script=None, *, behind=False, **config):
  """As `speaking`, with a policy `own` before those of credits, or behind them."""
  own = {"own": text}
  policies = {**USUAL, **own} if behind else {"auth": AUTH, **own, "permissions": PERMISSIONS, "credits": CREDITS}
  return speaking(script, policies=policies, **config)


def logged(edge, count):
  """The first so many texts that scripts have logged, when they are there."""
  edge.wait(lambda: len(edge.matching(event="policy_log")) >= count, f"{count} lines of policies")
  return [line["text"] for line in edge.matching(event="policy_log")][:count]


def assert_broken(edge, session, name="a", policy="own", phase="on_message", line=None, **fields):
  """A request fails for its policy: the client is told nothing, the log everything; the log's line."""
  session.ask(name, **fields)
  error = session.error(name, "POLICY_ERROR")
  for word in (".lua", "traceback", "stack", edge.folder.path):
    holds(word not in json.dumps(error), f"{word} in {error}")
  told_line = edge.wait_line(event="policy_error", requestId=error["requestId"])
  same((told_line["level"], told_line["policy"], told_line["phase"]), ("error", policy, phase))
  if line:
    holds(re.search(rf"policies/{policy}\.lua:{line}: ", told_line["message"]), f"no line {line} in {told_line}")
  access = line_of(edge, error)
  same((access["status"], access["cause"], access["messageId"]), (500, "policy_error", name))
  return told_line


# MARK: refusing


@play
def refusals():
  """a policy refuses a message with a code, a text, a time to wait and details; the session and other messages go on"""
  text = phases(on_message="""if msg.message_id == "wait" then
  edge.refuse("RATE_LIMIT_EXCEEDED", {retry_after = 6.5, message = "Not so fast.", left = 0, names = {"a", "b"}})
elseif msg.message_id == "no" then edge.refuse("FORBIDDEN") end""")
  with ruling(text) as (session, client, edge, provider):
    for stream in (False, True):
      error = session.refused("wait", "RATE_LIMIT_EXCEEDED", stream=stream)
      same((error["message"], error["retryAfter"], error["details"]),
           ("Not so fast.", 7, {"left": 0, "names": ["a", "b"]}))
      line = line_of(edge, error)
      same((line["status"], line["cause"], line["policy"], line["messageId"]), (429, "refused", "own", "wait"))
      error = session.refused("no", "FORBIDDEN", stream=stream)
      same(set(error), {"code", "message", "requestId"})
      same(session.answered("yes", stream=stream).end["type"], "done")
    same((len(provider.requests), balance(client)), (2, 1000 - 2 * cost(15)))


@play
def what_a_message_is():
  """a policy sees of a message its ids, type, body, route, permission, address and listener"""
  text = phases(on_message="""edge.refuse("CONTENT_REJECTED", {id = msg.id, message_id = msg.message_id,
  type = msg.type, body = msg.body, route = msg.route, permission = msg.permission, address = msg.address,
  network = msg.network,
  listener = msg.listener})""")
  with ruling(text) as (session, client, edge, provider), connected(edge, own="127.0.0.9") as other:
    for one, address in ((session, "127.0.0.1"), (other, "127.0.0.9")):
      for kind in ("chat", "completion"):
        body = json.dumps(asking("a.1", "h\u00e9llo", kind=kind), ensure_ascii=False)
        one.say(body)
        error = one.error("a.1", "CONTENT_REJECTED")
        same(error["details"], {"id": error["requestId"], "message_id": "a.1", "type": kind, "body": body,
                                "route": "platform", "permission": "services:use", "address": address,
                                "network": address, "listener": "main"})


@play
def what_is_no_work():
  """messages that are none, and cancels, reach no policy"""
  text = phases(on_message='edge.log.info("message " .. msg.message_id)')
  with ruling(text) as (session, client, edge, provider):
    session.say("{")
    session.error(None, "INVALID_MESSAGE_FORMAT")
    session.say(dumped(asking("a b")))
    session.error(None, "INVALID_MESSAGE_ID")
    session.cancel("never")
    session.error(None, "INVALID_MESSAGE_ID")
    session.answered("a")
    same(logged(edge, 1), ["message a"])
    edge.stop()
    same(len(edge.matching(event="policy_log")), 1)


@play
def phases_apart():
  """on_request runs for the opening alone, on_message for each message, and neither for the other's"""
  text = phases(on_request='edge.log.info("request " .. tostring(req.upgrade))',
                on_message='edge.log.info("message " .. msg.message_id)')
  with ruling(text) as (session, client, edge, provider):
    session.answered("a")
    session.answered("b", stream=True)
    same(ask(client).status, 200, "the same policies on a route of HTTP")
    same(logged(edge, 4), ["request true", "message a", "message b", "request false"])


@play
def in_their_order():
  """policies are asked in the order of the route, the first that refuses ends the message, and on_log runs for all"""
  def saying(name, **more):
    return phases(on_message=f'edge.log.info("{name}")', on_log=f'edge.log.info("{name} ended")', **more)
  policies = {"auth": AUTH, "a": saying("a"), "permissions": PERMISSIONS, "b": saying("b"),
              "stop": phases(on_message='if msg.message_id == "x" then edge.refuse("FORBIDDEN") end'),
              "c": saying("c"), "credits": CREDITS}
  with speaking(policies=policies) as (session, client, edge, provider):
    edge.wait(lambda: len(edge.matching(event="policy_log")) == 3, "the end of the opening")
    session.answered("y")
    edge.wait(lambda: len(edge.matching(event="policy_log")) == 9, "the end of the first message")
    session.refused("x", "FORBIDDEN")
    found = logged(edge, 14)
    same((sorted(found[:3]), found[3:6], sorted(found[6:9])),
         (["a ended", "b ended", "c ended"], ["a", "b", "c"], ["a ended", "b ended", "c ended"]))
    same((found[9:11], sorted(found[11:])), (["a", "b"], ["a ended", "b ended", "c ended"]))


# MARK: what is remembered


FACTS = """ctx.text = "h\\u{e9}\\0x"
ctx.number = 1.5
ctx.whole = 1 << 53
ctx.yes = true
ctx.no = false
ctx.list = {"a", 2, true}
ctx.nested = {a = {b = 1}}
ctx.call = function() end
ctx.gone = nil"""
SHOW = """local function show(value)
  if type(value) ~= "table" then return tostring(value) end
  local parts = {}
  for at, one in ipairs(value) do parts[at] = show(one) end
  return "{" .. table.concat(parts, ",") .. "}"
end"""


@play
def facts_of_an_opening():
  """texts, numbers, booleans and lists that policies set at the opening are there for each message; the rest is not"""
  text = phases(top=SHOW, on_request=FACTS, on_message="""edge.log.info(table.concat({show(ctx.user), show(ctx.roles),
  tostring(ctx.text == "h\\u{e9}\\0x"), show(ctx.number), math.type(ctx.whole), show(ctx.whole), show(ctx.yes),
  show(ctx.no), show(ctx.list), show(ctx.call), show(ctx.gone), show(ctx.changed)}, " "))
ctx.changed = "by a message"
ctx.number = 7""")
  with ruling(text, routes={"chat": {"policies": ["auth", "permissions", "credits"]}}) as (
      session, client, edge, provider):
    for name in "ab":
      session.answered(name)
    wanted = "alice {user} true 1.5 integer 9007199254740992 true false {a,2,true} nil nil nil"
    same(logged(edge, 2), [wanted] * 2, "what a message sees, whatever the one before has set")
    edge.adopt(None, {file_of("own"): text + "-- another\n"})
    session.answered("c")
    same(logged(edge, 3)[2], wanted, "behind a reload")
    with connected(edge, "bob", role="admin") as other:
      other.answered()
      holds(logged(edge, 4)[3].startswith("bob {admin} "), "another session")


@play
def within_one_message():
  """what a policy sets for a message is there until its on_log, and for no other message that runs meanwhile"""
  text = phases(on_message="ctx.mine = msg.message_id", on_select='ctx.mine = ctx.mine .. " selected"',
                on_log='edge.log.info(ctx.mine or "none")')
  with ruling(text, behind=True) as (session, client, edge, provider):
    gate = provider.gate()
    provider.script = streamed(part("one"), gate, *story("two", used=usage(10, 5)))
    for name in "abc":
      session.ask(name, stream=True)
    for name in "abc":
      session.chunk(name)
    gate.open()
    for name in "abc":
      session.done(name)
    same(sorted(logged(edge, 4)), ["a selected", "b selected", "c selected", "none"])


@play
def too_many_facts():
  """facts of more than 4 KiB are a 500 before anything is opened, whose line in the log names the limit"""
  size = 'ctx.pad = ("x"):rep(tonumber(req.args.size))'
  with ruling(phases(on_request=f"if req.args.size then {size} end"), loud=True,
              routes={"chat": {"policies": ["auth", "permissions", "credits"]}}) as (session, client, edge, provider):
    with connected(edge, path="/ws?size=3500") as other:
      same(other.answered().end["data"], "hello")
    for count in (4200, 1_000_000):
      with edge.client() as other:
        other.send(handshake(f"/ws?size={count}", [bearer()]))
        response = other.read_response()
        assert_error(response, 500, "POLICY_ERROR")
        line = edge.wait_line(event="policy_error", requestId=response.fields.one("x-request-id"))
        holds(re.search(r"4 ?KiB|4096", line["message"]), f"{line}")


# MARK: waiting


@play
def waiting_for_a_service():
  """a policy may ask a service about a message; other messages of the session are answered meanwhile"""
  text = phases(on_message="""
local found = edge.http.fetch{service = "side", path = "/" .. msg.message_id, method = "POST", body = msg.body}
if found.status ~= 200 then edge.refuse("CONTENT_REJECTED", {said = found.body}) end
ctx.said = found.body""", on_log='edge.log.info(ctx.said or "nothing")')
  with Origin() as side, ruling(text, services={"side": {"endpoints": [side.url]}}) as (
      session, client, edge, provider):
    gate = side.gate()

    def script(request, line):
      if request.path == "/slow":
        gate.wait()
      answer(403 if request.path == "/bad" else 200, b"said")(request, line)
    side.script = script
    session.ask("slow", stream=True)
    side.wait_requests(1)
    same(session.answered("quick").end["data"], "hello")
    same(session.refused("bad", "CONTENT_REJECTED")["details"], {"said": "said"})
    same(len(provider.requests), 1)
    gate.open()
    same(session.done("slow").text, "hello")
    same([json.loads(request.body)["id"] for request in side.requests], ["slow", "quick", "bad"])
    same(sorted(logged(edge, 4)), ["nothing", "nothing", "said", "said"])
    side.script = lambda request, line: line.close()
    edge.loud = True
    session.refused("a", "POLICY_ERROR")


@play
def leaving_while_a_policy_waits():
  """a client that leaves while a policy waits pays nothing, no provider is asked, and on_log runs once"""
  text = phases(on_message='edge.http.fetch{service = "side", path = "/"}',
                on_log='edge.log.info("ended " .. ctx.cause)')
  with Origin(lenient=True) as side, ruling(text, services={"side": {"endpoints": [side.url]}}) as (
      session, client, edge, provider):
    gate = side.gate()
    side.script = lambda request, line: (gate.wait(), answer(200, b"yes")(request, line))
    for turn, leave in enumerate(("close", "reset", "finish")):
      with connected(edge) as other:
        for name in "ab":
          other.ask(name)
        side.wait_requests(2 * turn + 2)
        getattr(other.client, leave)()
        edge.wait(lambda turn=turn: len(edge.matching(event="exchange", cause="client_left")) == 2 * turn + 2, "lines")
    gate.open()
    same((settled(client), provider.lines), (1000, []))
    session.answered()
    edge.stop()
    ended = [line["text"] for line in edge.matching(event="policy_log")]
    same((ended.count("ended client_left"), ended.count("ended completed")), (6, 5), "openings and messages")


# MARK: breaking


@play
def broken_policies():
  """a policy that breaks costs its message alone: POLICY_ERROR that tells nothing, and file and line in the log"""
  bodies = ['error("boom")', "local a = nil + 1", "nothing()", "return true", 'edge.refuse("NOT_A_CODE")',
            "local a = msg.nothing", 'msg.body = "x"', 'edge.refuse("FORBIDDEN", {why = error})',
            'edge.credit.hold(ctx.user, 1)']
  text = phases(on_message="\n".join(f'if msg.message_id == "{at}" then {body} end' for at, body in enumerate(bodies)))
  with ruling(text, loud=True) as (session, client, edge, provider):
    for number, body in enumerate(bodies):
      try:
        assert_broken(edge, session, str(number), line=None if body == "return true" else number + 3)
      except Failed as failure:
        raise Failed(f"{body}: {failure}") from None
      same(session.answered("good").end["data"], "hello", f"behind {body}")
    same((len(provider.requests), settled(client)), (len(bodies), 1000 - len(bodies) * cost(15)))


@play
def replies_are_for_requests():
  """edge.reply is no answer to a message: it is a POLICY_ERROR, whose line in the log says what to use instead"""
  with ruling(phases(on_message="edge.reply{status = 200}"), loud=True) as (session, client, edge, provider):
    holds("edge.refuse" in assert_broken(edge, session)["message"], "no word of edge.refuse")
    session.assert_quiet()


@play
def endless_policies():
  """a policy that loops for ever over a message is stopped, while other messages and sessions are answered"""
  text = phases(on_message="""if msg.message_id:sub(1, 4) == "loop" then
  while true do pcall(function() while true do end end) end
end""")
  with ruling(text, loud=True, server={"workers": 1}) as (session, client, edge, provider), connected(edge) as other:
    before = edge.cpu()
    names = [f"loop{number}" for number in range(5)]
    for name in names:
      session.ask(name)
      session.ask(f"good{name}")
    other.ask("good")
    for name in names:
      session.error(name, "POLICY_ERROR")
      same(session.done(f"good{name}").end["data"], "hello")
    same(other.done("good").end["data"], "hello")
    holds(edge.cpu() - before < 5 * MEMORY_FACTOR, f"it took {edge.cpu() - before:.2f} s of CPU")
    session.assert_quiet()
    settled(client)


@play
def endings():
  """on_log runs once for the opening and once for each message, however it ends, and knows how"""
  text = phases(on_message='ctx.name = msg.message_id',
                on_log='edge.log.info((ctx.name or "opening") .. " " .. ctx.status .. " " .. ctx.cause)')
  with ruling(text, lenient=True) as (session, client, edge, provider):
    session.answered("good")
    session.answered("stream", stream=True)
    session.refused("none", "MODEL_NOT_FOUND", model="other")
    provider.script = failing(500)
    session.refused("failed", "PROVIDER_ERROR")
    provider.script = streamed(part("one"), Line.hang)
    session.ask("cancelled", stream=True)
    session.chunk("cancelled")
    session.cancel("cancelled")
    session.error("cancelled", "CANCELLED", usage=True)
    session.ask("left", stream=True)
    session.chunk("left")
    session.client.reset()
    found = dict(one.split(" ", 1) for one in logged(edge, 7))
    same(set(found), {"opening", "good", "stream", "none", "failed", "cancelled", "left"})
    same((found["opening"], found["good"], found["stream"]), ("101 completed", "200 completed", "200 completed"))
    same((found["none"][:3], found["failed"][:3], found["cancelled"][:3]), ("404", "502", "499"))
    holds(found["left"].endswith(" client_left"), f"{found['left']}")
    edge.stop()
    same(len(edge.matching(event="policy_log")), 7)


# MARK: the shipped policies


@play
def permissions_of_messages():
  """each message needs the permission: when a reload takes it from the role, the next one is FORBIDDEN"""
  with speaking(roles={"user": {"permissions": ["services:use"]}}) as (session, client, edge, provider):
    same(session.answered().end["data"], "hello")
    edge.adopt(merged(edge.config, {"roles": {"user": {"permissions": ["mcp:read"]}}}))
    same(session.refused("a", "FORBIDDEN")["details"], {"permission": "services:use"})
    edge.adopt(merged(edge.config, {"roles": {"user": {"permissions": ["*"]}}}))
    same(session.answered().end["data"], "hello")


@play
def limits_of_messages():
  """each message counts for the user's limit of the route, over all sessions; openings, cancels and nonsense do not"""
  policies = {"auth": AUTH, "permissions": PERMISSIONS, "select": SELECT, "credits": CREDITS,
              "limit": (RATE_LIMIT, {"limit": "4 per 1h"})}
  with speaking(policies=policies) as (session, client, edge, provider), connected(edge) as other:
    with connected(edge) as third:
      third.assert_quiet()
    session.say("{")
    session.error(None, "INVALID_MESSAGE_FORMAT")
    session.cancel("x")
    session.error(None, "INVALID_MESSAGE_ID")
    for number in range(2):
      session.answered(str(number))
      other.answered(str(number), stream=True)
    for one in (session, other):
      error = one.refused("more", "RATE_LIMIT_EXCEEDED")
      holds(3000 < error["retryAfter"] <= 3600, f"{error}")
    with connected(edge, "bob") as third:
      third.answered()
    same(ask(client).status, 200, "another route")
    same(settled(client), 1000 - 5 * cost(15))


@play
def estimates_of_messages():
  """a policy can ask what a message would hold, and it is what is held then"""
  text = phases(on_message="edge.log.info(tostring(edge.credit.decimal(edge.price.estimate())))")
  with ruling(text) as (session, client, edge, provider):
    gate = provider.gate()
    provider.script = streamed(part("one"), gate, *story("two", used=usage(10, 5)))
    session.ask("a", stream=True, maxTokens=50)
    session.chunk("a", "one")
    same([Decimal(one) for one in logged(edge, 1)], [account(client)[1]])
    gate.open()
    session.done("a")
    session.refused("b", "MODEL_NOT_FOUND", model="other")
    same(len(edge.matching(event="policy_log")), 1, "lines of the policy")


@play
def choosing_and_trying_again():
  """on_select chooses among candidates for a message, and on_retry hears of a failure and may refuse what follows"""
  text = phases(on_select="return {candidates[2], candidates[1]}",
                on_retry="""edge.log.info(attempt.provider .. " " .. attempt.next.provider .. " " .. attempt.code)
if ctx.user == "bob" then edge.refuse("CONTENT_REJECTED") end""")
  with ExitStack() as stack:
    one, two = (stack.enter_context(Provider(lenient=True)) for _ in range(2))
    policies = {"auth": AUTH, "permissions": PERMISSIONS, "own": text, "credits": CREDITS}
    document, files = wired(one, two, policies=policies)
    edge = stack.enter_context(Edge(document, files=files))
    session, other = (stack.enter_context(connected(edge, user)) for user in ("alice", "bob"))
    same(session.answered().end["metadata"]["provider"], "p2")
    two.script = failing(500)
    for stream in (False, True):
      same(session.answered(stream=stream).end["metadata"]["provider"], "p1")
      other.refused("a", "CONTENT_REJECTED", stream=stream)
    same(sorted(logged(edge, 4)), ["p2 p1 PROVIDER_ERROR"] * 4)


@play
def no_candidates():
  """a policy that leaves no candidate, or refuses behind the hold, refuses the message, and nothing stays held"""
  for body, code in (("return {}", None), ('edge.refuse("CONTENT_REJECTED")', "CONTENT_REJECTED")):
    with ruling(phases(on_select=body), behind=True, loud=True) as (session, client, edge, provider):
      session.ask("a")
      error = session.next_of("a")
      same(error["type"], "error")
      holds(code in (None, error["error"]["code"]), f"{error}")
      same((settled(client), provider.lines), (1000, []))
      session.assert_quiet()


@play
def credentials_stay_away():
  """policies of messages see no token, wherever it stood, and neither does a provider"""
  text = phases(on_message='edge.log.info(msg.body) edge.log.info(tostring(ctx.token)) edge.log.info(tostring(msg.id))')
  with ruling(text) as (session, client, edge, provider):
    secret = token(user="bob")
    with connected(edge, None, path=f"/ws?token={secret}") as other:
      same(other.answered().end["data"], "hello")
    request = provider.last()
    holds(secret.encode() not in request.raw_head + request.body, "the provider has the token")
    same(request.fields.one("authorization"), f"Bearer {KEY}")
    edge.stop()
    holds(secret.split(".")[2] not in json.dumps(edge.log), "the log has the token")
