"""Credits: what is held before a provider is asked, and what is charged behind it."""

from play import *
from stage.credits import *
from stage.provider import *

SMALLEST = Decimal("0.000000001")


def held_for(body, output, price=PRICE):
  """What a request holds: half of its bytes as input, and the output it may get."""
  return cost(len(body) // 2 + output, price)


@play
def estimate_of_a_request():
  """the estimate is half the body's bytes and the output asked for, at most what the model gives, for each choice"""
  with chatting() as (client, edge, provider):
    for fields, output in (({}, MAX_OUTPUT), ({"max_tokens": 10}, 10), ({"max_completion_tokens": 20}, 20),
                           ({"max_tokens": 1_000_000}, MAX_OUTPUT), ({"n": 3, "max_tokens": 10}, 30),
                           ({"n": 2}, 2 * MAX_OUTPUT), ({"stream": True, "max_tokens": 10}, 10),
                           ({"max_tokens": 10, "max_completion_tokens": 30}, 30), ({"max_tokens": None}, MAX_OUTPUT)):
      body = chat(**fields)
      same(estimate(client, body), held_for(body, output), f"estimate with {fields}")
    long = chat("x" * 100_000, max_tokens=1)
    same(estimate(client, long), held_for(long, 1), "estimate of a long request")
    same(provider.lines, [], "connections to the provider")


@play
def dearest_kind():
  """an estimate takes the dearest price that can apply"""
  rows = [({"input": Decimal(1), "output": Decimal(2)}, (1, 2)),
          ({"input": Decimal(1), "output": Decimal(2), "reasoning": Decimal(9)}, (1, 9)),
          ({"input": Decimal(1), "output": Decimal(2), "cache_write": Decimal(3), "cached": Decimal("0.1")}, (3, 2))]
  for prices, (dear_in, dear_out) in rows:
    with chatting(model={"price": prices}) as (client, edge, provider):
      body = chat(max_tokens=100)
      same(estimate(client, body), cost(len(body) // 2, dear_in) + cost(100, dear_out), f"estimate with {prices}")


@play
def pictures():
  """a picture in the input holds the tokens that the model names for one"""
  with chatting(model={"image_tokens": 700}) as (client, edge, provider):
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    body = chat([{"type": "text", "text": "what is this?"}, picture, picture], max_tokens=10)
    found = estimate(client, body)
    holds(found >= cost(1400 + 10), f"{found} for two pictures of 700 tokens")
    same(ask(client, body).status, 200)


@play
def none_at_all():
  """without credits a request is a 402 that must not be tried again, and no provider hears of it"""
  with chatting(balance=0) as (client, edge, provider):
    for body in (chat(), chat(stream=True), chat(max_tokens=1)):
      error = assert_openai_error(ask(client, body), "INSUFFICIENT_CREDITS")
      holds("credit" in error["message"].lower(), error["message"])
    same(provider.lines, [], "connections to the provider")
    same(balance(client), 0)
    same(client.get("/health").status, 200)


@play
def exactly_enough():
  """who has exactly what a request holds is served, and who has a billionth of a credit less is not"""
  body = chat(max_tokens=10)
  for initial, served in ((held_for(body, 10), True), (held_for(body, 10) - SMALLEST, False)):
    with chatting(balance=initial) as (client, edge, provider):
      response = ask(client, body)
      if served:
        same(response.status, 200)
        same(balance(client), initial - cost(15))
      else:
        assert_openai_error(response, "INSUFFICIENT_CREDITS")
        same((provider.lines, balance(client)), ([], initial))


@play
def held_while_it_runs():
  """while a request runs its estimate is held, a second one may not have it too, and the rest is given back"""
  body = chat(max_tokens=10, stream=True)
  once = held_for(body, 10)
  with chatting(balance=once + SMALLEST) as (client, edge, provider):
    gate = provider.gate()
    provider.script = streamed(part("one"), gate, *story("two", used=usage(1, 1)))
    with edge.client() as other:
      answered = begin(other, body)
      same(answered.next(), part("one"))
      same(account(client), (once + SMALLEST, once), "balance and what is held")
      assert_openai_error(ask(client, body), "INSUFFICIENT_CREDITS")
      gate.open()
      same(ask(client, body, user="bob").status, 200, "another user's request")
      answered.rest()
      same(balance(client), once + SMALLEST - cost(2))
    same(len(provider.requests), 2, "requests at the provider")


def crowd(edge, count, body):
  """`count` requests at once, each on a connection of its own; their answers."""
  clients = [Client(edge.address()) for _ in range(count)]
  try:
    for one in clients:
      one.send(post(body))
    return [one.read_response("POST") for one in clients]
  finally:
    for one in clients:
      one.close()


@play
def never_below_zero():
  """of 200 requests at once on an account that covers 100 exactly 100 are served and nothing is left, on two workers"""
  for stream in (False, True):
    data = chat(max_tokens=10, stream=stream)
    each = held_for(data, 10)
    used = usage(len(data) // 2, 10)
    script = streamed(*story("one", used=used)) if stream else told(used=used)
    with chatting(script, balance=each * 100, server={"workers": 2}) as (client, edge, provider):
      answers = crowd(edge, 200, data)
      same(sorted(answer.status for answer in answers), [200] * 100 + [402] * 100, "statuses")
      same((len(provider.requests), balance(client)), (100, 0), "requests at the provider, and the balance")
      edge.stop()
      ledger = ledger_of(edge)
      same((ledger.of("alice"), len(ledger.settlements())), (0, 100))


@play
def many_accounts():
  """at once on twenty accounts, each gets what its own credits cover, no more and no less"""
  body = chat(max_tokens=10)
  each = held_for(body, 10)
  with chatting(told(used=usage(len(body) // 2, 10)), balance=each * 4, server={"workers": 2}) as (
      client, edge, provider):
    clients = [Client(edge.address()) for _ in range(200)]
    for number, one in enumerate(clients):
      one.send(post(body, f"user-{number % 20}"))
    served = {}
    for number, one in enumerate(clients):
      response = one.read_response("POST")
      among(response.status, (200, 402), "status")
      served[number % 20] = served.get(number % 20, 0) + (response.status == 200)
      one.close()
    same(set(served.values()), {4}, "requests that were served, by account")
    same({balance(client, f"user-{number}") for number in range(20)}, {0}, "balances")


@play
def more_than_was_held():
  """usage above the hold takes the rest from the balance, never more than is there, and what is missing is told"""
  body = chat(max_tokens=10)
  once = held_for(body, 10)
  for spare, used, charge, missing in ((Decimal(1), usage(200, 300), cost(500), 0),
                                       (Decimal("0.1"), usage(200, 300), once + Decimal("0.1"), None)):
    with chatting(told(used=used), balance=once + spare) as (client, edge, provider):
      response = ask(client, body)
      same(response.status, 200)
      shortfall = cost(500) - charge if missing is None else Decimal(0)
      line = assert_charged(edge, response, charge, tokens=(200, 300))
      same(exact(line.get("shortfall", 0)), shortfall, "shortfall")
      same(balance(client), once + spare - charge)
      edge.stop()
      (settlement,) = ledger_of(edge).settlements()
      same(Decimal(settlement["shortfall"]) / UNITS, shortfall, "shortfall in the ledger")


@play
def rounded_up_once():
  """a charge is rounded once, up, to a billionth of a credit"""
  with chatting(model={"price": {"input": Decimal("0.000000001"), "output": Decimal("0.000000001")}}) as (
      client, edge, provider):
    for used, wanted in ((usage(1, 0), "0.000000001"), (usage(500, 500), "0.000000001"),
                         (usage(501, 500), "0.000000002"), (usage(0, 0), "0")):
      provider.script = told(used=used)
      response = ask(client)
      assert_charged(edge, response, Decimal(wanted))
    found = client.get(BALANCE, [bearer()]).body
    holds(b"999.999999996" in found and b"e-" not in found.lower(), f"{found}")


@play
def what_a_free_model_costs():
  """a model whose price is 0 is served without credits, and charged nothing"""
  with chatting(model={"price": 0}, balance=0) as (client, edge, provider):
    response = ask(client)
    same(response.status, 200)
    assert_charged(edge, response, 0, tokens=(10, 5))


@play
def priced_service():
  """a route to a service with a price charges it for each answer, but not for the service's own errors"""
  prices = {"priced": {"path": "/priced", "service": "app", "price": Decimal("0.5"), "permission": "services:use",
                       "policies": ["auth", "permissions", "credits"]}}
  with Origin() as app, chatting(balance=2, services={"app": {"endpoints": [app.url]}}, routes=prices) as (
      client, edge, provider):
    response = client.get("/priced", [bearer()])
    same(response.status, 200)
    line = edge.line_of(response)
    same((exact(line["credits"]), line["service"]), (Decimal("0.5"), "app"))
    body = random_bytes(100_000)
    same(client.request("POST", "/priced", [bearer()], body).status, 200)
    same(app.last().body, body)
    same(balance(client), 1)
    app.script = answer(500, b"failed")
    same(client.get("/priced", [bearer()]).status, 500)
    app.script = lambda request, line: line.close()
    same(client.get("/priced", [bearer()]).status, 502)
    same(balance(client), 1, "balance behind a service that failed and one that gave no answer")
    app.script = answer(404, b"none")
    same(client.get("/priced", [bearer()]).status, 404)
    same(balance(client), Decimal("0.5"))
    app.script = answer(200, b"ok")
    while balance(client) >= Decimal("0.5"):
      same(client.get("/priced", [bearer()]).status, 200)
    seen = len(app.requests)
    document = assert_error(client.get("/priced", [bearer()]), 402, "INSUFFICIENT_CREDITS")
    holds(document["error"]["message"], "no message")
    same(len(app.requests), seen, "requests at the service")


@play
def priced_service_knows_the_caller():
  """what policies set for a service reaches it where the route has a price too, and the client's own does not"""
  prices = {"priced": {"path": "/priced", "service": "app", "price": Decimal("0.5"), "permission": "services:use",
                       "policies": ["auth", "permissions", "credits"]}}
  with Origin() as app, chatting(balance=2, services={"app": {"endpoints": [app.url]}}, routes=prices) as (
      client, edge, provider):
    for body in (b"", b"some content"):
      same(client.request("POST", "/priced", [bearer(), ("X-User-Id", "admin")], body).status, 200)
      same(app.last().fields.all("x-user-id"), ["alice"])


@play
def priced_service_without_a_hold():
  """a priced route whose policies hold nothing is a 500, and the service hears of nothing"""
  prices = {"priced": {"path": "/priced", "service": "app", "price": Decimal("0.5"), "policies": ["auth"]}}
  with Origin() as app, chatting(services={"app": {"endpoints": [app.url]}}, routes=prices, loud=True) as (
      client, edge, provider):
    response = client.get("/priced", [bearer()])
    assert_error(response, 500, "POLICY_ERROR")
    edge.wait_line(event="hold_missing", requestId=response.fields.one("x-request-id"))
    same(app.lines, [], "connections to the service")


@play
def refused_behind_the_hold():
  """a policy that refuses behind the hold gives it back, and nothing stands in the ledger of it"""
  refuse = """local policy = {}
function policy.on_select(candidates, ctx) edge.refuse("CONTENT_REJECTED") end
return policy
"""
  with chatting(policies={**USUAL, "last": refuse}) as (client, edge, provider):
    same(ask(client).status, 422)
    same((balance(client), provider.lines), (1000, []))
    edge.stop()
    same(ledger_of(edge).settlements(), [])


@play
def new_price():
  """after a reload with another price running streams cost the old one and new requests the new one"""
  with chatting() as (client, edge, provider):
    gate = provider.gate()
    provider.script = streamed(part("one"), gate, *story("two", used=usage(100, 100)))
    with edge.client() as other:
      running = begin(other)
      same(running.next(), part("one"))
      document = merged(edge.config, {"models": {"small": {"price": Decimal("10")}}})
      same(difference(edge.adopt(document)), {"changed": {"models.small.price"}})
      provider.script = told(used=usage(100, 100))
      assert_charged(edge, ask(client), cost(200, 10))
      gate.open()
      running.rest()
      assert_charged(edge, running.response, cost(200))
    same(balance(client), 1000 - cost(200) - cost(200, 10))


@play
def balances_stay_through_reloads():
  """a reload changes no balance, and what it held is held still"""
  with chatting() as (client, edge, provider):
    ask(client)
    gate = provider.gate()
    provider.script = streamed(part("one"), gate, *story("two", used=usage(10, 5)))
    with edge.client() as other:
      running = begin(other)
      running.next()
      before = account(client)
      edge.adopt(merged(edge.config, {"credits": {"initial": 5}}))
      same(account(client), before)
      same(balance(client, "later"), 5, "what a new account begins with")
      gate.open()
      running.rest()
    same(balance(client), 1000 - 2 * cost(15))
