"""How often: the shipped policy rate_limit, and what scripts of all workers share."""

import threading
import time

from play import *


def limited(rule, **changes):
  """Policies: who is calling, when they say so, then a limit."""
  return {"who": lua('ctx.user = req.headers["x-who"]'), "limit": (RATE_LIMIT, rule), **changes}


def who(name):
  return [("X-Who", name)]


def crowd(edge, count, body):
  """`body(client, number)` on so many connections at once; what each returned."""
  found, failures, start = [None] * count, [], threading.Barrier(count)

  def run(number):
    try:
      with edge.client() as client:
        start.wait(DEADLINE)
        found[number] = body(client, number)
    except Exception as failure:
      failures.append(f"client {number}: {type(failure).__name__}: {failure}")
  threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  same(failures, [], "failures")
  return found


def assert_limited(response, most):
  """429 with a time to wait of 1 to `most` seconds, in the field as in the body; that time."""
  document = assert_error(response, 429, "RATE_LIMIT_EXCEEDED")
  wait = document["error"]["retryAfter"]
  holds(isinstance(wait, int) and 1 <= wait <= most, f"retryAfter {wait!r}")
  same(response.fields.one("retry-after"), str(wait), "retry-after")
  holds("details" not in document["error"], f"{document}")
  return wait


def statuses(client, count, path="/", fields=()):
  return [client.get(path, fields).status for _ in range(count)]


@play
def exactly_as_many():
  """of 400 requests on 50 connections to two workers a limit of 100 admits exactly 100, for each of two users"""
  with ruled(limited({"limit": "100 per 1h"}), server={"workers": 2}) as (client, edge, origin):
    def body(client, number):
      return statuses(client, 8, "/", who("ab"[number % 2]))
    found = crowd(edge, 50, body)
    for at, name in enumerate("ab"):
      codes = [code for row in found[at::2] for code in row]
      same((codes.count(200), codes.count(429)), (100, 100), f"statuses of {name}")
    same(len(origin.requests), 200, "requests at the service")
    edge.stop()
    lines = edge.matching(event="exchange")
    same({line["worker"] for line in lines}, {0, 1}, "workers")
    same({(line["status"], line["cause"], line.get("policy")) for line in lines},
         {(200, "completed", None), (429, "refused", "limit")})


@play
def exactly_as_many_of_a_burst():
  """of 200 requests on 50 connections to two workers a rate with a burst of 60 admits exactly 60"""
  with ruled(limited({"rate": "1 per 1h", "burst": 60}), server={"workers": 2}) as (client, edge, origin):
    codes = [code for row in crowd(edge, 50, lambda client, number: statuses(client, 4)) for code in row]
    same((codes.count(200), codes.count(429), len(origin.requests)), (60, 140, 60))


@play
def users_and_routes_apart():
  """each user has a limit of its own on each route, on whatever connection the requests come"""
  more = {"more": {"path": "/more", "service": "app", "policies": ["who", "limit"]}}
  with ruled(limited({"limit": "2 per 1h"}), routes=more) as (client, edge, origin):
    for path in ("/", "/more"):
      for name in ("alice", "bob", "alic", "alice "):
        same(statuses(client, 2, path, who(name)), [200, 200] if name != "alice " else [429, 429], f"{name} at {path}")
      with edge.client() as other:
        same(statuses(other, 1, path, who("alice")), [429])
    same(statuses(client, 3, "/more/", who("alice")), [429] * 3, "another path of the first route")
    same(statuses(client, 2, "/x", who("carol")), [200, 200])


@play
def tokens_on_the_limit():
  """behind auth the user of the token counts, whichever of its tokens comes; requests without one do not count"""
  with ruled({"auth": AUTH, "limit": (RATE_LIMIT, {"limit": "2 per 1h"})}) as (client, edge, origin):
    same(statuses(client, 5), [401] * 5)
    same([client.get("/", [bearer(number=number)]).status for number in range(3)], [200, 200, 429])
    same(client.get("/", [bearer(user="bob")]).status, 200)
    edge.stop()
    same([line.get("principal") for line in edge.matching(event="exchange", status=429)], ["alice"])


@play
def anonymous():
  """where nobody says who is calling the address of the client counts"""
  with ruled({"limit": (RATE_LIMIT, {"limit": "2 per 1h"})}) as (client, edge, origin):
    with edge.client() as again, edge.client(own="127.0.0.9") as other:
      same([one.get("/").status for one in (client, again, client, again, other, other, other)],
           [200, 200, 429, 429, 200, 200, 429])
      forged = [("X-Forwarded-For", "10.1.1.1"), ("Forwarded", "for=10.1.1.1"), ("X-Real-IP", "10.1.1.1")]
      same(client.get("/", forged).status, 429, "with a forged address")


@play
def time_to_wait():
  """a refusal says in whole seconds how long to wait, never 0 and never more than the window"""
  for rule, most in (({"limit": "1 per 200ms"}, 1), ({"limit": "1 per 1m"}, 60), ({"limit": "1 per 30d"}, 2_592_000),
                     ({"rate": "1 per 1m", "burst": 1}, 60), ({"rate": "100 per 1h", "burst": 1}, 36)):
    with ruled(limited(rule)) as (client, edge, origin):
      codes = statuses(client, 1)
      response = client.get("/")
      if rule == {"limit": "1 per 200ms"} and response.status == 200:
        continue  # slow as this machine is, the window had passed
      same(codes, [200])
      wait = assert_limited(response, most)
      holds(most < 60 or wait > most - 30, f"{wait} s with {rule}")


@play
def the_connection_goes_on():
  """after a refusal the connection serves on, also when the refused request had a body"""
  with ruled(limited({"limit": "1 per 1h"})) as (client, edge, origin):
    same(statuses(client, 1, "/", who("alice")), [200])
    for number in range(20):
      assert_limited(client.request("POST", "/", who("alice"), body=b"x" * number), 3600)
    same(client.get("/", who("bob")).status, 200)
    pipelined = b"".join(head("GET", f"/{name}", who(name)) for name in ("alice", "carol", "alice", "dave"))
    client.send(pipelined)
    same([client.read_response().status for _ in range(4)], [429, 200, 429, 200])


def granted(client, seconds, fields=()):
  """Asks as fast as answers come for so long; for each granted request when it was sent and when it was answered."""
  found, deadline = [], Deadline(seconds)
  while not deadline.passed():
    begin = time.monotonic()
    if client.get("/", fields).status == 200:
      found.append((begin, time.monotonic()))
  return found


@play
def window_slides():
  """whoever asks without a pause gets at most 3 in any 300 ms, and again and again 3"""
  with ruled(limited({"limit": "3 per 300ms"})) as (client, edge, origin):
    found = granted(client, 2)
    for (begin, _), (_, end) in zip(found, found[3:]):
      holds(end - begin >= 0.3, f"4 requests within {end - begin:.3f} s")
    holds(len(found) >= 6, f"only {len(found)} in 2 s: refused requests must not count")
    # A pause is forgotten too: what was not used is not saved up.
    eventually(lambda: client.get("/").status == 429, "the window is full")
    deadline = Deadline(0.4)
    eventually(deadline.passed, "the window is over", 1)
    found = granted(client, 1)
    holds(len(found) >= 3, f"only {len(found)} after a pause")
    for (begin, _), (_, end) in zip(found, found[3:]):
      holds(end - begin >= 0.3, f"4 requests within {end - begin:.3f} s after a pause")


@play
def steady_rate():
  """a rate of 20 a second with a burst of 5 gives 5 at once and then no more than 20 a second"""
  with ruled(limited({"rate": "20 per 1s", "burst": 5})) as (client, edge, origin):
    begin = time.monotonic()
    same(statuses(client, 5), [200] * 5, "the burst")
    found = granted(client, 1.5)
    total, seconds = len(found) + 5, time.monotonic() - begin
    holds(total <= 5 + 20 * seconds + 1, f"{total} in {seconds:.2f} s")
    holds(len(found) >= 5, f"only {len(found)} after the burst in 1.5 s")


@play
def usual_burst():
  """without burst a rate gives at once what it gives in a second, and at least 1"""
  for rate, burst in (("600 per 1m", 10), ("1 per 1h", 1), ("90 per 1m", 2)):
    with ruled(limited({"rate": rate})) as (client, edge, origin):
      begin = time.monotonic()
      same(statuses(client, burst), [200] * burst, f"the burst of {rate}")
      response = client.get("/")
      if response.status == 200:
        # Only whoever waited for it gets one more.
        count, seconds = int(rate.split()[0]), 3600 if rate.endswith("h") else 60
        holds(time.monotonic() - begin >= seconds / count, f"one more than the burst of {rate}")


@play
def outlives_a_reload():
  """a limit goes on counting over reloads that leave its rule as it is, and begins anew with another rule"""
  with ruled(limited({"limit": "3 per 1h"})) as (client, edge, origin):
    config = edge.config
    same(statuses(client, 2), [200, 200])
    edge.adopt(merged(config, {"routes": {"more": {"path": "/more", "service": "app"}}}))
    same(statuses(client, 2), [200, 429])
    edge.adopt(files={file_of("limit"): RATE_LIMIT + "-- another comment\n"})
    edge.wait_line(event="generation_ended", generation=2)
    same(statuses(client, 2), [429, 429], "with the same rule in another script")
    line = edge.adopt(merged(config, {"policies": {"limit": {"settings": {"limit": "4 per 1h"}}}}))
    holds("policies.limit.settings" in difference(line).get("changed", set()), f"{line}")
    same(statuses(client, 5), [200] * 4 + [429], "with another rule")
    edge.adopt(config)
    among(statuses(client, 4), ([429] * 4, [200] * 3 + [429]), "with the first rule again")


@play
def shared_over_generations():
  """while an old generation still runs a request, both count together"""
  with Origin() as origin:
    gate = origin.gate()
    origin.script = {"/stream": held(gate), "*": answer(200, b"ok")}
    rows, files = furnished(limited({"limit": "3 per 1h"}))
    config = serving(origin, route={"policies": list(rows)}, policies=rows)
    with Edge(config, files=files) as edge, edge.client() as client, edge.client() as streaming:
      stream = Stream(streaming, "/stream")
      edge.adopt(merged(config, {"limits": {"head_fields": 50}}))
      same(statuses(client, 3), [200, 200, 429])
      gate.open()
      stream.assert_whole()
      edge.wait_line(event="generation_ended", generation=1)
      same(statuses(client, 1), [429], "when the old generation has ended")


@play
def own_limits():
  """a script may count whatever it wants: limit:take tells how many are left, then how long to wait"""
  top = "local limit"
  init = 'limit = edge.limit.define("uploads", {limit = "3 per 1h"})'
  handle = "local granted, rest = limit:take(req.args.key) edge.reply{json = {granted = granted, rest = rest}}"
  with ruled(handlers={"count": lua(handle=handle, init=init, top=top)}) as (client, edge, origin):
    def take(key):
      document = json.loads(client.get(f"/count?key={key}").body)
      return document["granted"], document["rest"]
    same([take("a") for _ in range(3)], [(True, 2), (True, 1), (True, 0)])
    granted, rest = take("a")
    holds(granted is False and 3500 < rest <= 3600, f"{granted} {rest}")
    same(take("b"), (True, 2))


@play
def shared_values():
  """of 1000 additions on 50 connections to two workers edge.kv loses none, and keeps what was set for its time only"""
  handle = """if req.args.add then edge.reply{json = edge.kv.add("sum", 1)} end
if req.args.set then edge.kv.set("word", req.args.set, tonumber(req.args.ttl)) end
if req.args.delete then edge.kv.delete("word") end
edge.reply{json = {word = edge.kv.get("word"), sum = edge.kv.get("sum")}}"""
  with ruled(handlers={"kv": lua(handle=handle)}, server={"workers": 2}) as (client, edge, origin):
    def add(client, number):
      return [json.loads(client.get("/kv?add=1").body) for _ in range(20)]
    sums = [number for row in crowd(edge, 50, add) for number in row]
    same(sorted(sums), list(range(1, 1001)), "sums")

    def values(query=""):
      return json.loads(client.get(f"/kv?{query}").body)
    same(values(), {"sum": "1000"})
    same(values("set=hello"), {"word": "hello", "sum": "1000"})
    with edge.client() as other:
      for one in (client, other):
        same(json.loads(one.get("/kv").body)["word"], "hello")
    same(values("delete=1"), {"sum": "1000"})
    same(values("set=short&ttl=0.2")["word"], "short")
    eventually(lambda: "word" not in values(), "the value is forgotten after its time")
    edge.adopt(merged(edge.config, {"limits": {"head_fields": 50}}))
    same(values()["sum"], "1000", "after a reload")


@play
def no_room_for_another_key():
  """a limit without room for another key refuses it for a second and says so once in the log; others count on"""
  with ruled(limited({"limit": "10000 per 1h"})) as (client, edge, origin):
    begin, codes = time.monotonic(), []
    for first in range(0, 2400, 100):
      names = [f"user{number}" for number in range(first, first + 100)]
      client.send(b"".join(head("GET", "/", who(name)) for name in names))
      for _ in names:
        response = client.read_response()
        codes.append(response.status)
        if response.status != 200:
          same(assert_limited(response, 1), 1, "time to wait")
    holds(codes.count(429) > 500 and codes[:16] == [200] * 16, f"{codes.count(429)} of {len(codes)} refused")
    served = codes.index(429) - 1
    same(statuses(client, 3, "/", who(f"user{served}")), [200] * 3, "a key that has its room")
    seconds = time.monotonic() - begin
    edge.stop()
    lines = edge.matching(event="limit_full")
    holds(1 <= len(lines) <= 1 + seconds / 10, f"{len(lines)} lines in {seconds:.1f} s")
    same((lines[0]["level"], lines[0]["policy"]), ("warn", "limit"))
    refused = {line["requestId"] for line in edge.matching(event="exchange", status=429)}
    holds(lines[0]["requestId"] in refused, f"{lines[0]} names no refused request")
    same(len(origin.requests), codes.count(200) + 3, "requests at the service")
