"""The API of credits: what a user has, where it went, and how an administrator grants more."""

import threading

from play import *
from stage.credits import *
from stage.provider import *

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@play
def own_balance():
  """a user's balance is its own, a plain decimal, and there from the first request on"""
  with chatting(balance=Decimal("12.5")) as (client, edge, provider):
    response = client.get(BALANCE, [bearer()])
    same(response.fields.one("content-type").split(";")[0], "application/json")
    holds(b"12.5" in response.body and b"12.50" not in response.body, f"{response.body}")
    document = document_of(response)
    same((document["userId"], document["balance"], document["held"]), ("alice", Decimal("12.5"), 0))
    same(ask(client).status, 200)
    same((balance(client), balance(client, "bob")), (Decimal("12.5") - cost(15), Decimal("12.5")))


@play
def nobody_without_a_token():
  """without a token no balance, no history and no grant"""
  with chatting() as (client, edge, provider):
    for method, path in (("GET", BALANCE), ("GET", HISTORY), ("POST", GRANT)):
      assert_error(client.request(method, path, body=b"{}" if method == "POST" else b""), 401, "UNAUTHORIZED")
    for method, path in (("POST", BALANCE), ("DELETE", HISTORY), ("GET", GRANT)):
      same(client.request(method, path, [bearer(role="admin")]).status, 405, f"{method} {path}")


@play
def nobody_elses():
  """a user cannot reach another's balance or history, whatever it sends"""
  with chatting() as (client, edge, provider):
    ask(client, user="bob")
    for query in ("?userId=bob", "?user=bob", "?account=bob", "?userId=user/bob"):
      for path in (BALANCE, HISTORY):
        response = client.get(path + query, [bearer(user="alice")])
        among(response.status, (200, 400, 403, 404), f"status of {path + query}")
        if response.status == 200:
          holds(b"bob" not in response.body, f"{path + query}: {response.body}")
          same(balance(client, "alice"), 1000)
    response = client.get(BALANCE, [bearer(user="alice"), ("X-User-Id", "bob")])
    same(document_of(response)["userId"], "alice")


@play
def history_of_a_user():
  """the history has each entry once, newest first, with what it was for, and its amounts add up to the balance"""
  with chatting(model={"upstream_name": "other"}) as (client, edge, provider):
    responses = [ask(client), ask(client, chat(stream=True))]
    document_of(grant(client, "alice", 5, reason="a gift"))
    found = entries(client)
    same([entry["kind"] for entry in found], ["grant", "settlement", "settlement", "initial"], "kinds")
    same([exact(entry["credits"]) for entry in found], [5, -cost(15), -cost(15), 1000], "amounts")
    stand = [exact(entry["balance"]) for entry in found]
    same(stand, [1005 - 2 * cost(15), 1000 - 2 * cost(15), 1000 - cost(15), 1000], "balances")
    same(balance(client), stand[0])
    same([entry["requestId"] for entry in found[1:3]],
         [response.fields.one("x-request-id") for response in reversed(responses)], "request ids")
    for entry in found[1:3]:
      same((entry["provider"], entry["model"]), ("p1", "small"))
      same((entry["usage"]["inputTokens"], entry["usage"]["outputTokens"]), (10, 5))
    for entry in found:
      assert_ulid(entry["id"], "id")
      holds(TIME.fullmatch(entry["timestamp"]), f"timestamp {entry['timestamp']}")
    same(len({entry["id"] for entry in found}), 4, "ids of transactions")


@play
def pages():
  """the history comes in pages that follow each other without gap or double, also when entries are added meanwhile"""
  with chatting() as (client, edge, provider):
    for number in range(25):
      document_of(grant(client, "alice", number + 1))
    for limit in (1, 7, 26, 200):
      found = entries(client, limit=limit)
      same([exact(entry["credits"]) for entry in found], [*range(25, 0, -1), 1000], f"amounts by {limit}")
    first = document_of(client.get(f"{HISTORY}?limit=10", [bearer()]))
    same(len(first["entries"]), 10)
    document_of(grant(client, "alice", 99))
    second = document_of(client.get(f"{HISTORY}?limit=10&cursor={first['next']}", [bearer()]))
    same([exact(entry["credits"]) for entry in second["entries"]], [*range(15, 5, -1)], "the second page")
    for query in ("limit=0", "limit=201", "limit=x", "limit=-1", "cursor=x", "cursor=-1", "limit=1.5"):
      assert_error(client.get(f"{HISTORY}?{query}", [bearer()]), 400, "INVALID_REQUEST")


@play
def history_is_nobody_elses():
  """a cursor of one user shows another nothing that is not its own"""
  with chatting() as (client, edge, provider):
    for user in ("alice", "bob"):
      for _ in range(3):
        document_of(grant(client, user, 7 if user == "bob" else 3))
    cursor = document_of(client.get(f"{HISTORY}?limit=1", [bearer(user="bob")]))["next"]
    found = document_of(client.get(f"{HISTORY}?cursor={cursor}", [bearer(user="alice")]))["entries"]
    same({exact(entry["credits"]) for entry in found} - {3, 1000}, set(), "amounts of another user")


@play
def grants_need_a_permission():
  """only who has credits:grant may grant, also to oneself"""
  with chatting(roles={"clerk": {"permissions": ["credits:grant"]}}) as (client, edge, provider):
    body = json.dumps({"userId": "alice", "credits": 5}).encode()
    for claims in ({}, {"role": "user"}, {"role": "nobody"}):
      document = assert_error(client.request("POST", GRANT, [bearer(**claims)], body), 403, "FORBIDDEN")
      same(document["error"]["details"], {"permission": "credits:grant"})
    same(balance(client), 1000)
    same(client.request("POST", GRANT, [bearer(role="clerk")], body).status, 200)
    same(balance(client), 1005)


@play
def granted():
  """a grant answers with its transaction and the new balance, and can be spent at once"""
  with chatting(balance=0) as (client, edge, provider):
    assert_openai_error(ask(client), "INSUFFICIENT_CREDITS")
    document = document_of(grant(client, "alice", 12.5))
    assert_ulid(document["transactionId"], "transactionId")
    same(exact(document["balance"]), Decimal("12.5"))
    same(ask(client).status, 200)
    text = b'{"userId":"alice","credits":0.000000001}'
    document = document_of(client.request("POST", GRANT, [bearer(role="admin")], text))
    same(exact(document["balance"]), Decimal("12.5") - cost(15) + Decimal("0.000000001"))
    text = b'{"userId":"carl","credits":"7.25"}'
    among(client.request("POST", GRANT, [bearer(role="admin")], text).status, (200, 400), "an amount as text")


@play
def wrong_grants():
  """a grant that is not exactly right is a 400 and changes nothing"""
  rows = [b"", b"{", b"[]", b"{}", b'{"userId":"alice"}', b'{"credits":5}', b'{"userId":"alice","credits":0}',
          b'{"userId":"alice","credits":-5}', b'{"userId":"alice","credits":"x"}', b'{"userId":"alice","credits":null}',
          b'{"userId":"alice","credits":1e300}', b'{"userId":"alice","credits":0.0000000001}',
          b'{"userId":"alice","credits":99999999999999999999}', b'{"userId":"alice","credits":true}',
          b'{"userId":"","credits":5}', b'{"userId":7,"credits":5}', b'{"userId":["alice"],"credits":5}',
          b'{"userId":"alice","userId":"bob","credits":5}', b'{"userId":"alice","credits":5,"credits":6}',
          b'{"userId":"alice","credits":5,"idempotencyKey":7}', b'{"userId":"alice","credits":5,"idempotencyKey":""}',
          b'{"userId":"' + b"x" * 300 + b'","credits":5}', b'{"userId":"alice","credits":5,"reason":7}']
  with chatting() as (client, edge, provider):
    for body in rows:
      try:
        assert_error(client.request("POST", GRANT, [bearer(role="admin")], body), 400, "INVALID_REQUEST")
      except Failed as failure:
        raise Failed(f"{shown(body, 120)}: {failure}") from None
    same((balance(client), balance(client, "bob")), (1000, 1000))


@play
def exact_grants():
  """a number of credits is what its digits say, however many there are, as number and as text"""
  with chatting(balance=0) as (client, edge, provider):
    texts = ["999999999.999999999", "123456789.123456789", "0.000000001", "1e-9", "0.1", "1.5e3", "1000000000"]
    for at, text in enumerate(texts):
      for user, amount in (f"number-{at}", text), (f"text-{at}", '"%s"' % format(Decimal(text), "f")):
        body = b'{"userId":"%s","credits":%s}' % (user.encode(), amount.encode())
        response = client.request("POST", GRANT, [bearer(role="admin")], body)
        same(exact(document_of(response)["creditsGranted"]), Decimal(text), f"granted of {amount}")
        same(balance(client, user), Decimal(text), f"balance by {amount}")
    for text in ("1000000000.000000001", "0.30000000000000004", "1e-10", "9223372036.854775808", "1e18"):
      response = client.request("POST", GRANT, [bearer(role="admin")], b'{"userId":"x","credits":%s}' % text.encode())
      assert_error(response, 400, "INVALID_REQUEST")


@play
def grants_beyond_counting():
  """more credits than can be counted are a 400 that says so, with and without a key, and nothing changes"""
  with chatting(balance=0) as (client, edge, provider):
    for _ in range(9):
      document_of(grant(client, "rich", 1000000000))
    for key in (None, "key"):
      error = assert_error(grant(client, "rich", 1000000000, key=key), 400, "INVALID_REQUEST")["error"]
      holds("credits" in error["message"] and "Key" not in error["message"], error["message"])
    same(balance(client, "rich"), 9000000000)
    same(document_of(grant(client, "rich", 1, key="key"))["balance"], 9000000001, "the key is still free")


@play
def users_without_tokens():
  """nobody can be given credits under a name that no token can have"""
  with chatting() as (client, edge, provider):
    for user in (" alice", "alice ", "line\nbreak", "a\0b", "\u0085"):
      error = assert_error(grant(client, user, 5), 400, "INVALID_REQUEST")["error"]
      holds("userId" in error["message"], error["message"])


@play
def once_per_key():
  """the same key grants once and answers the same, and with anything else in it is a conflict"""
  with chatting() as (client, edge, provider):
    first = document_of(grant(client, "alice", 5, key="key-1", reason="a"))
    again = document_of(grant(client, "alice", 5, key="key-1", reason="a"))
    same((again["transactionId"], balance(client)), (first["transactionId"], 1005))
    for user, amount, reason in (("bob", 5, "a"), ("alice", 6, "a"), ("alice", 5, "b")):
      assert_error(grant(client, user, amount, key="key-1", reason=reason), 409, "CONFLICT")
    same((balance(client), balance(client, "bob")), (1005, 1000))
    document_of(grant(client, "alice", 5, key="key-2", reason="a"))
    same(balance(client), 1010)


@play
def once_per_key_at_once():
  """of fifty grants at once with one key one is made, on two workers"""
  with chatting(server={"workers": 2}) as (client, edge, provider):
    body = json.dumps({"userId": "alice", "credits": 5, "idempotencyKey": "key"}).encode()
    clients = [Client(edge.address()) for _ in range(50)]
    for one in clients:
      one.send(post(body, "root", path=GRANT, role="admin"))
    answers = [document_of(one.read_response("POST")) for one in clients]
    for one in clients:
      one.close()
    same(len({document["transactionId"] for document in answers}), 1, "transactions")
    same(balance(client), 1005)


@play
def grants_and_charges_at_once():
  """grants and charges of one account at the same time lose nothing"""
  with chatting(server={"workers": 2}) as (client, edge, provider):
    failures = []

    def repeat(body):
      try:
        with Client(edge.address()) as own:
          for _ in range(25):
            same(body(own).status, 200)
      except Exception as failure:
        failures.append(failure)
    threads = [threading.Thread(target=repeat, args=(body,))
               for body in (ask, lambda own: grant(own, "alice", 1), ask, lambda own: grant(own, "alice", 2))]
    for one in threads:
      one.start()
    for one in threads:
      one.join()
    same(failures, [])
    same(balance(client), 1075 - 50 * cost(15))
    edge.stop()
    same(ledger_of(edge).of("alice"), 1075 - 50 * cost(15))


@play
def strange_users():
  """users of any name have accounts of their own"""
  with chatting() as (client, edge, provider):
    names = ["user/alice", "edge/revenue", "edge/issued", "al ice", "Zo\u00eb", "a" * 256, "'; DROP TABLE accounts; --",
             "alice/", "%", "ALICE", "0"]
    for at, name in enumerate(names):
      document_of(grant(client, name, at + 1))
    for at, name in enumerate(names):
      same(balance(client, name), 1000 + at + 1, f"balance of {name!r}")
    same(balance(client), 1000)
