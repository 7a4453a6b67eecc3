"""Who is asked, and what policies have to say about it: the order of providers, and what follows a failure."""

from contextlib import ExitStack

from play import *
from stage.credits import *
from stage.messages import *
from stage.policies import shipped
from stage.provider import *

SELECT = shipped("select_provider.lua")
CHOOSING = {"auth": AUTH, "permissions": PERMISSIONS, "select": SELECT, "credits": CREDITS}
# Tells the client what it is given of the candidates.
TELL = """local policy = {}
function policy.on_select(candidates, ctx)
  local found = {}
  for at, one in ipairs(candidates) do
    found[at] = {one.provider, one.model, one.priority, one.load, one.equivalent, one.named, one.estimate}
  end
  edge.refuse("CONTENT_REJECTED", {candidates = found})
end
return policy
"""


def retrying(body, top=""):
  """A policy whose on_retry is this."""
  return f"local policy = {{}}\n{top}\nfunction policy.on_retry(attempt, ctx)\n{body}\nend\nreturn policy\n"


def says(name):
  """A script that says who answers."""
  return lambda request, line: (streamed(*story(name, used=usage(10, 5))) if json.loads(request.body).get("stream")
                                else told(completion(name, usage(10, 5))))(request, line)


@contextmanager
def company(count, loud=False, **config):
  """Providers p1, p2 … that answer with their names, an edge that chooses among them and a client."""
  with ExitStack() as stack:
    found = [stack.enter_context(Provider(says(f"p{at}"), lenient=True)) for at in range(1, count + 1)]
    document, files = llm(*found, **config)
    with Edge(document, files=files, loud=loud) as edge, edge.client() as client:
      yield client, edge, found


def who(response):
  same(response.status, 200, f"status ({response.body[:300]!r})")
  return response.fields.one("edge-provider")


def told_candidates(response):
  """What the policy TELL says: rows of provider, model, priority, load, equivalent, named, estimate."""
  return assert_openai_error(response, "CONTENT_REJECTED")["details"]["candidates"]


# MARK: the order


@play
def by_priority():
  """the shipped policy asks the lowest priority first, then the next, however they stand in the configuration"""
  ranks = {"p1": {"priority": 3}, "p2": {"priority": 1}, "p3": {"priority": 2}}
  with company(3, policies=CHOOSING, providers=ranks) as (client, edge, providers):
    same([who(ask(client)) for _ in range(3)], ["p2"] * 3)
    providers[1].script = failing(500)
    same(who(ask(client)), "p3")
    providers[2].script = failing(500)
    same(who(ask(client, chat(stream=True))), "p1")
    providers[0].script = failing(500)
    assert_openai_error(ask(client), "ALL_PROVIDERS_FAILED")
    edge.wait(lambda: len(edge.matching(event="provider_failed")) == 6, "six lines of failed attempts")
    same([line["provider"] for line in edge.matching(event="provider_failed")], ["p2", "p2", "p3", "p2", "p3", "p1"])
    same(balance(client), 1000 - 5 * cost(15))


@play
def named_first():
  """who is named is asked first whatever its priority, and the others only behind it, where the route says so"""
  with company(3, policies=CHOOSING, route={"fallback_explicit": True}) as (client, edge, providers):
    same(who(ask(client, chat(model="p3/small"))), "p3")
    providers[2].script = failing(500)
    same(who(ask(client, fields=[("Edge-Provider", "p3")])), "p1")


@play
def equivalents_last():
  """equivalents come behind the model's own providers, even where their priority is better"""
  more = {"big": {"providers": ["p1"], "price": 1, "max_output": 10},
          "huge": {"providers": ["p2"], "price": 1, "max_output": 10}}
  with company(3, policies=CHOOSING, models=more, model={"providers": ["p3"], "equivalents": ["big", "huge"]}) as (
      client, edge, providers):
    same(who(ask(client)), "p3")
    providers[2].script = failing(500)
    response = ask(client)
    same((who(response), response.fields.one("edge-model")), ("p1", "big"))
    providers[0].script = failing(500)
    response = ask(client)
    same((who(response), response.fields.one("edge-model")), ("p2", "huge"))


@play
def by_load():
  """among equal priorities who is answering fewer requests is asked, counted over all workers, until they have ended"""
  for workers in (1, 2):
    with company(2, policies=CHOOSING, provider={"priority": 1}, server={"workers": workers}) as (
        client, edge, providers):
      gates = [provider.gate() for provider in providers]
      for at, (provider, gate) in enumerate(zip(providers, gates), 1):
        provider.script = streamed(part(f"p{at}"), gate, *story("more", used=usage(10, 5)))
      others = [edge.client() for _ in range(20)]
      try:
        running = []
        for other in others:
          running.append(begin(other))
          running[-1].next()
        found = [one.response.fields.one("edge-provider") for one in running]
        same((found.count("p1"), found.count("p2")), (10, 10), "streams that run")
        gates[0].open()
        for one in (one for one, name in zip(running, found) if name == "p1"):
          one.rest()
        providers[0].script = says("p1")
        same([who(ask(client)) for _ in range(3)], ["p1"] * 3)
        gates[1].open()
        for one in (one for one, name in zip(running, found) if name == "p2"):
          one.rest()
        same(settled(client), 1000 - 23 * cost(15))
      finally:
        for other in others:
          other.close()


@play
def load_is_given_back():
  """requests that failed, were refused, left or cut count no more: the first of equals is asked again"""
  with company(2, policies=CHOOSING, provider={"priority": 1, "timeouts": {"head": "300ms"}}) as (
      client, edge, (one, two)):
    for script in (failing(500), failing(400), raw(b"", "close"), lambda request, line: line.hang()):
      one.script = script
      with edge.client() as other:
        among(ask(other, chat(stream=True)).status, (200, 400), "status")
    one.script = streamed(part("a"), Line.close)
    with edge.client() as other:
      begin(other).cut()
    one.script = streamed(part("a"), Line.hang)
    with edge.client() as other:
      answered = begin(other)
      answered.next()
    edge.line_of(answered.response)
    one.script = says("p1")
    settled(client)
    same([who(ask(client)) for _ in range(3)], ["p1"] * 3)


@play
def facts_of_candidates():
  """a policy sees of each candidate its model, priority, load, what it would hold, and why it is one"""
  more = {"big": {"providers": ["p3"], "price": 5, "max_output": 10}}
  with company(3, policies={"auth": AUTH, "permissions": PERMISSIONS, "tell": TELL}, models=more,
               model={"providers": ["p1", "p2"], "equivalents": ["big"]},
               route={"fallback_explicit": True}) as (client, edge, providers):
    body = chat()
    own, dear = cost(len(body) // 2 + MAX_OUTPUT) * UNITS, cost(len(body) // 2 + 10, 5) * UNITS
    same(told_candidates(ask(client, body)), [
      ["p1", "small", 1, 0, False, False, own], ["p2", "small", 2, 0, False, False, own],
      ["p3", "big", 3, 0, True, False, dear]])
    found = told_candidates(ask(client, chat(model="p2/small")))
    same(sorted((row[0], row[5]) for row in found if not row[4]), [("p1", False), ("p2", True)])


@play
def own_order():
  """a policy's own order decides, and whom it leaves out is not asked, not even behind a failure"""
  script = """local policy = {}
function policy.on_select(candidates, ctx) return {candidates[3], candidates[1]} end
return policy
"""
  with company(3, policies={"auth": AUTH, "permissions": PERMISSIONS, "own": script, "credits": CREDITS}) as (
      client, edge, (one, two, three)):
    same(who(ask(client)), "p3")
    three.script = failing(500)
    same(who(ask(client)), "p1")
    one.script = failing(500)
    assert_openai_error(ask(client), "ALL_PROVIDERS_FAILED")
    same(two.lines, [])


# MARK: on_retry


@play
def what_a_retry_sees():
  """on_retry sees who failed and how, which attempt it was and who is next; behind the last failure it is not asked"""
  script = retrying("""local next = attempt.next
  edge.log.info(table.concat({attempt.provider, attempt.model, attempt.code, attempt.status, attempt.number,
    next.provider, next.model, next.estimate, tostring(next.equivalent), ctx.mark}, " "))""",
                    top="function policy.on_select(candidates, ctx) ctx.mark = 'kept' end")
  more = {"big": {"providers": ["p3"], "price": 5, "max_output": 10}}
  with company(3, policies={**USUAL, "watch": script}, models=more,
               model={"providers": ["p1", "p2"], "equivalents": ["big"]}) as (client, edge, (one, two, three)):
    body = chat()
    own, dear = cost(len(body) // 2 + MAX_OUTPUT), cost(len(body) // 2 + 10, 5)
    one.script, two.script = failing(429), raw(b"", "close")
    same(who(ask(client, body)), "p3")
    edge.wait(lambda: len(edge.matching(event="policy_log")) == 2, "two lines of the policy")
    rows = [line["text"].split(" ") for line in edge.matching(event="policy_log")]
    same([row[:7] + row[8:] for row in rows], [
      ["p1", "small", "RATE_LIMIT_EXCEEDED", "429", "1", "p2", "small", "false", "kept"],
      ["p2", "small", "PROVIDER_ERROR", "0", "2", "p3", "big", "true", "kept"]])
    same([Decimal(row[7]) / UNITS for row in rows], [own, dear], "estimates")
    three.script = failing(500)
    assert_openai_error(ask(client, body), "ALL_PROVIDERS_FAILED")
    edge.wait(lambda: len(edge.matching(event="policy_log")) == 4, "two more lines of the policy")
    one.script = says("p1")
    same(who(ask(client)), "p1")
    same(len(edge.matching(event="policy_log")), 4, "lines of a request that nobody failed")


@play
def a_retry_that_is_refused():
  """a policy that refuses a retry ends the exchange with its error; nobody else is asked and nothing is paid"""
  script = retrying('if attempt.code == "RATE_LIMIT_EXCEEDED" then edge.refuse("RATE_LIMIT_EXCEEDED", '
                    '{retry_after = 7}) end')
  with company(2, policies={**USUAL, "last": script}) as (client, edge, (one, two)):
    one.script = failing(429)
    for body in (chat(), chat(stream=True)):
      response = ask(client, body)
      assert_openai_error(response, "RATE_LIMIT_EXCEEDED")
      same(response.fields.one("retry-after"), "7")
      line = edge.line_of(response)
      same(exact(line.get("credits", 0)), 0)
      assert_message_error(say(client), "RATE_LIMIT_EXCEEDED")
    same((two.lines, balance(client)), ([], 1000))
    one.script = failing(500)
    same(who(ask(client)), "p2")
    edge.stop()
    same(ledger_of(edge).of("alice"), 1000 - cost(15))


@contextmanager
def waiting(count=2, **config):
  """Providers of which the first fails, a policy that waits for a side before the next is asked, and that side."""
  script = retrying('local answer = edge.http.fetch{service = "side", path = "/" .. attempt.provider}\n'
                    'if answer.status ~= 200 then edge.refuse("FORBIDDEN") end')
  with Origin() as side:
    with company(count, policies={**USUAL, "ask": script}, services={"side": {"endpoints": [side.url]}},
                 **config) as (client, edge, providers):
      providers[0].script = failing(500)
      yield client, edge, providers, side


@play
def a_retry_that_waits():
  """a policy may wait before the next provider is asked, streamed or not, and other requests go on meanwhile"""
  with waiting() as (client, edge, (one, two), side):
    for body in (chat(), chat(stream=True)):
      gate = side.gate()
      side.script = lambda request, line, gate=gate: (gate.wait(), answer(200, b"yes")(request, line))
      client.send(post(body))
      gate.reached()
      with edge.client() as other:
        same(other.get("/health").status, 200)
        same(account(other)[1] > 0, True, "credits are held meanwhile")
      same(two.requests[1:] if body == chat(stream=True) else two.requests, [], "requests at the second meanwhile")
      gate.open()
      same(who(client.read_response("POST")), "p2")
    same((side.paths(), balance(client)), (["/p1"] * 2, 1000 - 2 * cost(15)))
    side.script = answer(500)
    assert_openai_error(ask(client), "FORBIDDEN")


@play
def client_leaves_meanwhile():
  """a client that leaves while a policy waits pays nothing, nobody else is asked, and nothing stays held"""
  with waiting() as (client, edge, (one, two), side):
    gate = side.gate()
    side.script = lambda request, line: (gate.wait(), answer(200, b"yes")(request, line))
    for turn, body in enumerate((chat(), chat(stream=True))):
      with edge.client() as other:
        other.send(post(body))
        side.wait_requests(turn + 1)
        other.reset()
      edge.wait(lambda: len(edge.matching(event="exchange", route="chat", cause="client_left")) == turn + 1,
                "no access line of who left")
    same(settled(client), 1000)
    gate.open()
    same((len(one.requests), two.lines), (2, []), "requests at the providers")
    same({exact(line.get("credits", 0)) for line in edge.matching(event="exchange", route="chat")}, {0})


@play
def reload_meanwhile():
  """a request whose policy waits goes on with the policy and providers it began with"""
  with waiting() as (client, edge, (one, two), side):
    gate = side.gate()
    side.script = lambda request, line: (gate.wait(), answer(200, b"yes")(request, line))
    client.send(post(chat()))
    side.wait_requests(1)
    refusing_ = retrying('edge.refuse("FORBIDDEN")')
    edge.adopt(merged(edge.config, {"providers": {"p2": None}, "models": {"small": {"providers": ["p1"]}}}),
               {file_of("ask"): refusing_})
    gate.open()
    same(who(client.read_response("POST")), "p2")
    assert_openai_error(ask(client), "PROVIDER_ERROR")


@play
def what_a_retry_may_not():
  """a policy that replies, holds credits, returns something or breaks before a retry is a 500, and nothing is paid"""
  bodies = ['edge.reply{status = 200, body = "x"}', "return {}", 'error("broken")', "return true",
            'edge.credit.hold(ctx.user, 1)', "while true do end"]
  for body in bodies:
    with company(2, policies={**USUAL, "last": retrying(body)}, loud=True) as (client, edge, (one, two)):
      one.script = failing(500)
      response = ask(client)
      assert_openai_error(response, "POLICY_ERROR")
      edge.wait_line(event="policy_error", requestId=response.fields.one("x-request-id"))
      same((two.lines, balance(client)), ([], 1000), body)
      one.script = says("p1")
      same(who(ask(client)), "p1")


@play
def end_of_the_exchange():
  """on_log runs once however many attempts there were"""
  script = """local policy = {}
function policy.on_log(ctx) edge.log.info("ended") end
return policy
"""
  with company(3, policies={**USUAL, "end": script}) as (client, edge, (one, two, three)):
    one.script = two.script = failing(500)
    for body in (chat(), chat(stream=True)):
      response = ask(client, body)
      same(who(response), "p3")
      edge.line_of(response)
    edge.stop()
    same([line["text"] for line in edge.matching(event="policy_log")], ["ended"] * 2)
