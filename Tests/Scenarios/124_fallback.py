"""When a provider fails another one is asked: which failures, what the client sees, what is charged and written."""

from contextlib import ExitStack

from play import *
from stage.credits import *
from stage.messages import *
from stage.metrics import *
from stage.provider import *

ROLE = part(delta={"role": "assistant", "content": ""})
FAILED = event({"error": {"message": "overloaded", "type": "server_error", "param": None, "code": None}})
QUICK = {"timeouts": {"head": "300ms", "answer": "300ms", "idle": "300ms"}}
HANG = (lambda request, line: line.hang())
# How a provider fails, whether a stream was asked for or not: its script, the code in the log, its status (None: any).
FAILURES = {
  "500": (failing(500), "PROVIDER_ERROR", 500), "503": (failing(503), "PROVIDER_ERROR", 503),
  "529": (failing(529), "PROVIDER_ERROR", 529), "401": (failing(401), "PROVIDER_ERROR", 401),
  "403": (failing(403), "PROVIDER_ERROR", 403), "404": (failing(404), "MODEL_NOT_FOUND", 404),
  "302": (failing(302), "PROVIDER_ERROR", 302), "429": (failing(429), "RATE_LIMIT_EXCEEDED", 429),
  "a close": (raw(b"", "close"), "PROVIDER_ERROR", 0), "a reset": (raw(b"", "reset"), "PROVIDER_ERROR", 0),
  "no HTTP": (raw(b"SSH-2.0-OpenSSH\r\n\r\n", "hang"), "PROVIDER_ERROR", 0),
  "half a head": (raw(b"HTTP/1.1 200 OK\r\nConte", "close"), "PROVIDER_ERROR", 0),
  "a page": (answer(200, b"<html>busy</html>", [("Content-Type", "text/html")]), "PROVIDER_ERROR", None),
  "a coding": (told(fields=[("Content-Encoding", "gzip")]), "PROVIDER_ERROR", None),
  "half a body": (raw(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"id"', "close"),
                  "PROVIDER_ERROR", None),
}
# How a stream fails before anything of it is said.
EARLY = {
  "a cut": streamed(Line.close), "a cut behind the role": streamed(ROLE, Line.close),
  "a reset behind the role": streamed(ROLE, read_and_reset), "an error": streamed(FAILED),
  "an error behind the role": streamed(ROLE, FAILED), "no event": streamed(),
  "an error in one piece with the role": streamed(ROLE + FAILED),
}


def named_answer(name, used=None):
  """A script that says who answers, whole or streamed; 10 tokens go in and 5 come out."""
  def script(request, line):
    document = json.loads(request.body)
    if document.get("stream"):
      streamed(ROLE, *story(name, used=used or usage(10, 5)))(request, line)
    else:
      told(completion(name, used or usage(10, 5)))(request, line)
  return script


@contextmanager
def company(*kinds, loud=False, extra=None, **config):
  """Providers of these kinds, an edge that offers their model and a client: (client, edge, providers). Each answers
  with its name, p1, p2 …"""
  with ExitStack() as stack:
    found = []
    for at, kind in enumerate(kinds, 1):
      found.append(stack.enter_context(kind(lenient=True)))
      if kind is Provider:
        found[-1].script = named_answer(f"p{at}")
    document, files = llm(*found, **config)
    with Edge(document, files={**files, **(extra or {})}, loud=loud) as edge, edge.client() as client:
      yield client, edge, found


def said_by(response):
  """What a whole or streamed answer says, which must be whole."""
  same(response.status, 200, f"status ({response.body[:300]!r})")
  if response.body.startswith(b"{"):
    return heard_completion(response).text
  found = heard_chunks(response.body)
  return found.text


def assert_fell_back(edge, response, *failed, who="p2"):
  """The answer's access line and those of its failed attempts (provider, code, status) say what happened; the lines."""
  line = edge.line_of(response)
  same((line["fallbacks"], line["provider"]), (len(failed), who), "fallbacks and who answered")
  def lines_of():
    return edge.matching(event="provider_failed", requestId=line["requestId"])
  edge.wait(lambda: len(lines_of()) >= len(failed), "no line of a failed attempt")
  lines = lines_of()
  same(len(lines), len(failed), "lines of failed attempts")
  following = [one[0] for one in failed[1:]] + [who]
  for one, (name, code, status), after in zip(lines, failed, following):
    same((one["level"], one["provider"], one["code"], one["next"]), ("warn", name, code, after))
    if status is not None:
      same(one["status"], status, "status of the failed attempt")
    same((one["route"], bool(one["reason"])), (line["route"], True), f"{one}")
    if one["attempt"] or not one["reason"].startswith("it cannot be reached"):  # then there was none
      assert_ulid(one["attempt"], "attempt")
  last = line["failed"]
  same((last["provider"], last["code"], last["status"]), (*failed[-1][:2], lines[-1]["status"]), "the last failure")
  same(len({one["attempt"] for one in [line, *lines]}), len(lines) + 1, "attempts have ids of their own")
  return line, lines


# MARK: which failures


@play
def every_failure():
  """whatever a provider does instead of answering, the next one answers, whole and streamed, and only it is paid"""
  with company(Provider, Provider) as (client, edge, (one, two)):
    count = 0
    for body in (chat(), chat(stream=True)):
      for name, (script, code, status) in FAILURES.items():
        one.script = script
        response = ask(client, body)
        same(said_by(response), "p2", f"who answers behind {name}")
        same((response.fields.one("edge-provider"), "edge-model" in response.fields), ("p2", False))
        line, _ = assert_fell_back(edge, response, ("p1", code, status))
        same((exact(line["credits"]), line["cause"], line["usage"]["inputTokens"]), (cost(15), "completed", 10))
        count += 1
        same(two.last().body if not json.loads(body).get("stream") else body, body, "the body at the second")
    same(balance(client), 1000 - count * cost(15))
    same((len(two.requests), len(two.lines)), (count, 1), "requests and connections of the second")


@play
def streams_that_fail_early():
  """a stream that fails before it says anything is answered by the next provider, as if nothing had been"""
  with company(Provider, Provider) as (client, edge, (one, two)):
    for name, script in EARLY.items():
      one.script = script
      response = ask(client, chat(stream=True))
      same(response.body, ROLE + b"".join(story("p2")), f"the stream behind {name}")
      assert_fell_back(edge, response, ("p1", "PROVIDER_ERROR", None))
    same(balance(client), 1000 - len(EARLY) * cost(15))


@play
def unreachable():
  """a provider that refuses connections, or whose TLS is not trusted, is followed by the next"""
  with refused_port() as dead, Provider(tls="other", lenient=True) as stranger, Provider(named_answer("p2")) as good:
    for urls, tls in ((f"http://127.0.0.1:{own_port(dead)}", {}), (stranger.url, {"tls": {
        "ca_file": certificate("ca")}})):
      document, files = llm(good, good, providers={"p1": {"endpoints": [urls], **tls}})
      with Edge(document, files=files) as edge, edge.client() as client:
        for body in (chat(), chat(stream=True)):
          response = ask(client, body)
          same(said_by(response), "p2")
          assert_fell_back(edge, response, ("p1", "PROVIDER_ERROR", 0))
        same(balance(client), 1000 - 2 * cost(15))
    same(stranger.requests, [])


@play
def silent():
  """a provider that does not answer in time is followed by the next"""
  with company(Provider, Provider, providers={"p1": QUICK}) as (client, edge, (one, two)):
    for number, (body, script) in enumerate(((chat(), HANG), (chat(stream=True), HANG),
                                             (chat(stream=True), streamed(ROLE, Line.hang)))):
      one.script = script
      response = ask(client, body)
      same(said_by(response), "p2")
      assert_fell_back(edge, response, ("p1", "TIMEOUT", None))
      one.lines[number].await_end()
    same(balance(client), 1000 - 3 * cost(15))


@play
def faults_of_the_client():
  """400, 413 and 422 are the client's own fault: they are told, and nobody else is asked"""
  with company(Provider, Provider) as (client, edge, (one, two)):
    for status in (400, 413, 422):
      one.script = failing(status, "your fault")
      for body in (chat(), chat(stream=True)):
        response = ask(client, body)
        same((response.status, json.loads(response.body)["error"]["message"]), (status, "your fault"))
        line = edge.line_of(response)
        same((line.get("fallbacks", 0), "failed" in line, line["provider"]), (0, False, "p1"))
    same((two.lines, balance(client), edge.matching(event="provider_failed")), ([], 1000, []))


@play
def nothing_behind_a_byte():
  """once something of the answer is with the client nobody else is asked: the stream ends as it does"""
  with company(Provider, Provider) as (client, edge, (one, two)):
    for ends in ((Line.close,), (read_and_reset,)):
      one.script = streamed(ROLE, part("hello"), *ends)
      with edge.client() as other:
        same(begin(other).cut(), ROLE + part("hello"))
    one.script = streamed(ROLE, part("hello"), FAILED)
    with edge.client() as other:
      answered = begin(other)
      same(b"".join(answered.next() for _ in range(3)), ROLE + part("hello") + FAILED)
      line = edge.line_of(answered.response)
    same((line.get("fallbacks", 0), line["provider"], line["usage"]["source"]), (0, "p1", "estimated"))
    settled(client)
    same((two.lines, edge.matching(event="provider_failed")), ([], []))


# MARK: who is asked


@play
def named_providers():
  """who names a provider gets its own error, and another's answer only where the route says so"""
  asked = ((chat(model="p1/small"), []), (chat(), [("Edge-Provider", "p1")]), (chat(model="p1/small", stream=True), []))
  for explicit in (False, True):
    with company(Provider, Provider, route={"fallback_explicit": explicit}) as (client, edge, (one, two)):
      for script, code in ((failing(500), "PROVIDER_ERROR"), (failing(429), "RATE_LIMIT_EXCEEDED")):
        one.script = script
        for body, fields in asked:
          response = ask(client, body, fields=fields)
          if explicit:
            same(said_by(response), "p2")
            assert_fell_back(edge, response, ("p1", code, None))
          else:
            assert_openai_error(response, code)
      same(len(two.requests), 6 if explicit else 0, "requests at the other")
      two.script = failing(500)
      one.script = named_answer("p1")
      same(said_by(ask(client, fields=[("Edge-Provider", "p1")])), "p1")


@play
def all_of_them():
  """when all have failed the client is told so, with the smallest Retry-After where all were busy"""
  rows = [(failing(500), failing(500), None), (failing(429, fields=[("Retry-After", "9")]), failing(500), None),
          (failing(429, fields=[("Retry-After", "9")]), failing(429, fields=[("Retry-After", "4")]), "4"),
          (raw(b"", "close"), failing(404), None)]
  with company(Provider, Provider) as (client, edge, (one, two)):
    for one.script, two.script, wait in rows:
      for body in (chat(), chat(stream=True)):
        response = ask(client, body)
        assert_openai_error(response, "ALL_PROVIDERS_FAILED")
        same(response.fields.one("retry-after"), wait)
        holds("edge-provider" not in response.fields, f"{response.fields}")
        line = edge.line_of(response)
        same((line["fallbacks"], exact(line["credits"]), line["status"]), (1, 0, 502))
        response = say(client, talk(stream=json.loads(body).get("stream", False)))
        assert_message_error(response, "ALL_PROVIDERS_FAILED")
    same((balance(client), len(one.requests), len(two.requests)), (1000, 16, 16))
  with chatting(failing(500)) as (client, edge, provider):
    assert_openai_error(ask(client), "PROVIDER_ERROR")
    same(edge.exchanges(1)[0].get("fallbacks", 0), 0)


@play
def several():
  """as many providers as there are, one behind the other, each asked once"""
  with company(*[Provider] * 5) as (client, edge, providers):
    scripts = [failing(500), failing(429), raw(b"", "close"), failing(404)]
    for provider, script in zip(providers, scripts):
      provider.script = script
    for body in (chat(), chat(stream=True)):
      response = ask(client, body)
      same(said_by(response), "p5")
      assert_fell_back(edge, response, ("p1", "PROVIDER_ERROR", 500), ("p2", "RATE_LIMIT_EXCEEDED", 429),
                       ("p3", "PROVIDER_ERROR", 0), ("p4", "MODEL_NOT_FOUND", 404), who="p5")
    same([len(provider.requests) for provider in providers], [2] * 5)
    same(balance(client), 1000 - 2 * cost(15))


@play
def of_another_dialect():
  """the next provider may speak otherwise: a chat is answered by a provider of messages, and the other way round"""
  with company(Provider, MessagesProvider) as (client, edge, (one, two)):
    for script in (failing(500), streamed(ROLE, FAILED), raw(b"", "close")):
      one.script = script
      for body in (chat(), chat(stream=True)):
        response = ask(client, body)
        same(said_by(response), "hello")
        same(response.fields.one("edge-provider"), "p2")
        same(two.last().target, MESSAGES)
      response = say(client)
      same(heard_message(response).said(), ("hello", [], "end_turn", (10, 5, 0, 0, 0)))
      same(two.last().body, talk(), "the client's own bytes, in its own dialect")
  with company(MessagesProvider, Provider) as (client, edge, (one, two)):
    for script in (refusing(529), streamed(opening(), PING, failure()), streamed(*tale("")[:2], Line.close)):
      one.script = script
      body = chat(stream=True, stream_options={"include_usage": True})
      same(ask(client, body).body, ROLE + b"".join(story("p2", used=usage(10, 5))))
      same(two.last().body, body, "the client's own bytes, in its own dialect")
      found = heard_events(begin_talk(client).rest())
      same(found.said(), ("p2", [], "end_turn", (10, 5, 0, 0, 0)))


@play
def who_cannot_say_it():
  """a provider whose dialect cannot say the request is passed over; when none can, the client is told why"""
  with company(MessagesProvider, Provider) as (client, edge, (one, two)):
    response = ask(client, chat(response_format={"type": "json_object"}))
    same((said_by(response), response.fields.one("edge-provider"), one.requests), ("p2", "p2", []))
    two.script = failing(500)
    response = ask(client, chat(response_format={"type": "json_object"}))
    same(response.status, 502, f"{response.body}")
  with company(MessagesProvider, MessagesProvider) as (client, edge, (one, two)):
    assert_openai_error(ask(client, chat(response_format={"type": "json_object"})), "INVALID_REQUEST",
                        "response_format")
    same((one.requests, two.requests, balance(client)), ([], [], 1000))


# MARK: equivalents


BIG = {"providers": ["p2"], "price": 5, "max_output": 500, "upstream_name": "big-1"}


def equivalents(*kinds, initial=1000, more=None, **config):
  """A model small of p1, whose equivalent is big of p2, five times as dear."""
  return company(*(kinds or (Provider, Provider)), balance=initial, model={"providers": ["p1"], "equivalents": ["big"]},
                 models={"big": BIG, **(more or {})}, **config)


@play
def other_model():
  """an equivalent answers when none of the model's own providers does, under its own name and price"""
  with equivalents() as (client, edge, (one, two)):
    response = ask(client)
    same((said_by(response), "edge-model" in response.fields, two.requests), ("p1", False, []))
    one.script = failing(500)
    for body in (chat(), chat(stream=True)):
      response = ask(client, body)
      same(said_by(response), "p2")
      same((response.fields.one("edge-model"), response.fields.one("edge-provider")), ("big", "p2"))
      same(two.asked()["model"], "big-1", "the model at its provider")
      line, lines = assert_fell_back(edge, response, ("p1", "PROVIDER_ERROR", 500))
      same((line["model"], lines[0]["model"], exact(line["credits"])), ("big", "small", cost(15, 5)))
    same(balance(client), 1000 - cost(15) - 2 * cost(15, 5))
    response = ask(client, chat(model="big"))
    same((said_by(response), "edge-model" in response.fields), ("p2", False))
    two.script = failing(500)
    assert_openai_error(ask(client, chat(model="big")), "PROVIDER_ERROR")
    same(len(one.requests), 3, "requests at who does not offer the equivalent")


@play
def equivalent_of_another_dialect():
  """an equivalent may speak otherwise, and is answered with the name that was asked for or with its own, not another"""
  with equivalents(Provider, MessagesProvider) as (client, edge, (one, two)):
    one.script = failing(500)
    for body in (chat(), chat(stream=True)):
      response = ask(client, body)
      same((said_by(response), response.fields.one("edge-model")), ("hello", "big"))
      document = json.loads(response.body if response.body.startswith(b"{") else response.body.split(b"\n")[0][6:])
      among(document["model"], ("small", "big"), "the model in the answer")
    response = say(client)
    same((heard_message(response).text, response.fields.one("edge-model")), ("hello", "big"))


@play
def hold_of_the_dearer():
  """a dearer equivalent holds what it may cost, exactly, and who cannot pay that is not served by it"""
  for body in (chat(max_tokens=100), chat(max_tokens=900)):
    output = min(json.loads(body)["max_tokens"], 500)
    dear = cost(len(body) // 2 + output, 5)
    for initial, served in ((dear, True), (dear - Decimal("0.000000001"), False), (dear * 3, True)):
      with equivalents(initial=initial) as (client, edge, (one, two)):
        one.script = failing(500)
        gate = two.gate()
        two.script = lambda request, line: (gate.wait(), named_answer("p2")(request, line))
        with edge.client() as other:
          other.send(post(body))
          if served:
            gate.reached()
            same(account(client), (initial, dear), "balance and what is held")
            gate.open()
            same(said_by(other.read_response("POST")), "p2")
            same(balance(client), initial - cost(15, 5))
          else:
            response = other.read_response("POST")
            among(response.status, (402, 502), "status")
            same((two.lines, balance(client)), ([], initial))


@play
def passed_over_for_its_price():
  """an equivalent that the balance does not cover is passed over, and a cheaper one behind it answers"""
  cheap = {"providers": ["p3"], "price": 1, "max_output": 100}
  body = chat(max_tokens=100)
  with company(Provider, Provider, Provider, balance=cost(len(body) // 2 + 100),
               model={"providers": ["p1"], "equivalents": ["big", "cheap"]},
               models={"big": BIG, "cheap": cheap}) as (client, edge, (one, two, three)):
    one.script = failing(500)
    response = ask(client, body)
    same((said_by(response), response.fields.one("edge-model"), two.lines), ("p3", "cheap", []))
    same(balance(client), cost(len(body) // 2 + 100) - cost(15))


@play
def usage_above_the_hold():
  """an attempt behind a fallback that uses more than was held takes the rest, never more than there is"""
  body = chat(max_tokens=10)
  dear = cost(len(body) // 2 + 10, 5)
  with equivalents(initial=dear + 1) as (client, edge, (one, two)):
    one.script, two.script = failing(500), named_answer("p2", usage(300, 300))
    line, _ = assert_fell_back(edge, ask(client, body), ("p1", "PROVIDER_ERROR", 500))
    same((exact(line["credits"]), exact(line["shortfall"])), (dear + 1, cost(600, 5) - dear - 1))
    same(balance(client), 0)


# MARK: what is written


@play
def ledger_of_attempts():
  """each attempt that reached a provider has its settlement, those that failed cost nothing, and the ledger is sound"""
  with company(Provider, Provider, Provider) as (client, edge, (one, two, three)):
    one.script, two.script = failing(500), streamed(ROLE, FAILED)
    response = ask(client, chat(stream=True))
    line, lines = assert_fell_back(edge, response, ("p1", "PROVIDER_ERROR", 500), ("p2", "PROVIDER_ERROR", None),
                                   who="p3")
    same([exact(entry["credits"]) for entry in entries(client) if exact(entry["credits"]) < 0], [-cost(15)],
         "charges in the history")
    edge.stop()
    ledger = ledger_of(edge)
    same((ledger.of("alice"), len(ledger.settlements())), (1000 - cost(15), 3))
    same(len({row["transaction"] for row in ledger.settlements()}), 3, "attempts")
    same(len({row["exchange"] for row in ledger.settlements()}), 1, "exchanges")
    charged = {row["transfer"] for row in ledger.postings if row["amount"]}
    same(len(charged & {row["id"] for row in ledger.settlements()}), 1, "settlements that moved something")


@play
def metrics_of_providers():
  """attempts that were given up, and requests that run, are counted for each provider"""
  with company(Provider, Provider, routes=METRICS, listeners=LISTENERS) as (client, edge, (one, two)):
    with edge.client("metrics") as watcher:
      one.script = failing(500)
      for _ in range(3):
        same(said_by(ask(client)), "p2")
      gate = two.gate()
      two.script = streamed(ROLE, part("a"), gate, *story("b", used=usage(10, 5)))
      answered = begin(client)
      answered.next()

      def running(name, count):
        return lambda: total(scraped(watcher), "edge_provider_requests_running", provider=name) == count
      eventually(running("p2", 1), "one request runs at p2")
      same(running("p1", 0)(), True, "requests that run at p1")
      gate.open()
      answered.rest()
      eventually(running("p2", 0), "no request runs at p2")
      series = eventually(lambda: (lambda found: total(found, "edge_provider_fallbacks_total", provider="p1") == 4
                                   and found)(scraped(watcher)), "four attempts are given up at p1")
      same(total(series, "edge_provider_fallbacks_total", provider="p2"), 0)
      same((total(series, "edge_model_requests_total", provider="p1", outcome="failed"),
            total(series, "edge_model_requests_total", provider="p2", outcome="completed")), (4, 4))


# MARK: bodies, connections, ends


@play
def large_bodies():
  """a body of 1 MiB is sent again whole, wherever the first provider stopped listening"""
  body = chat("x" * (1 << 20))

  def deaf(request, line):
    failing(503)(request, line)
    line.close()
  with Provider(whole=False, lenient=True) as one, Provider(named_answer("p2")) as two:
    document, files = llm(one, two, balance=10_000)
    with Edge(document, files=files) as edge, edge.client() as client:
      for script in (deaf, lambda request, line: line.reset(),
                     lambda request, line: (line.read_body(request), failing(500)(request, line))):
        one.script = script
        for framed in (post(body), head("POST", PATH, [bearer(), ("Transfer-Encoding", "chunked")])
                       + chunked(body[:70_000], body[70_000:])):
          client.send(framed)
          same(said_by(client.read_response("POST")), "p2")
          same(two.last().body == body, True, "the body at the second provider")
      same(balance(client), 10_000 - 6 * cost(15))


@play
def connections_stay():
  """connections go on behind a fallback: the client's and the second provider's; one given up is not used again"""
  with company(Provider, Provider) as (client, edge, (one, two)):
    for turn in range(5):
      one.script = failing(500)
      same(said_by(ask(client)), "p2")
      one.script = named_answer("p1")
      same(said_by(ask(client, chat(stream=True))), "p1")
      same(client.get("/health").status, 200)
    same(len(two.lines), 1, "connections to the second")
  with company(Provider, Provider, providers={"p1": QUICK}) as (client, edge, (one, two)):
    one.script = streamed(ROLE, Line.hang)
    same(said_by(ask(client, chat(stream=True))), "p2")
    one.script = named_answer("p1")
    same(said_by(ask(client)), "p1")
    same((len(one.lines), len(two.lines)), (2, 1), "connections")


@play
def pipelined():
  """requests behind one that fell back are answered in their order, each by its own answer"""
  def second(request, line):
    named_answer(json.loads(request.body)["user"])(request, line)
  with company(Provider, Provider) as (client, edge, (one, two)):
    one.script, two.script = failing(500), second
    client.send(b"".join(post(chat(user=f"{number:02}", stream=bool(number % 2))) + head("GET", "/health")
                         for number in range(20)))
    for number in range(20):
      same(said_by(client.read_response("POST")), f"{number:02}")
      same(client.read_response().status, 200)
    same(balance(client), 1000 - 20 * cost(15))


@play
def client_leaves_at_the_second():
  """a client that leaves while the second provider is asked is charged that attempt's input, and nothing stays held"""
  with company(Provider, Provider) as (client, edge, (one, two)):
    one.script, two.script = failing(500), HANG
    spent = Decimal(0)
    for turn, body in enumerate((chat(), chat(stream=True))):
      other = edge.client()
      other.send(post(body))
      two.wait_requests(turn + 1)
      other.close()
      two.lines[turn].await_end()
      spent += cost(len(body) // 2)
      eventually(lambda: settled(client) == 1000 - spent, "the charge")
    edge.wait(lambda: len(edge.matching(event="exchange", route="chat")) == 2, "two access lines")
    same({(line["cause"], line["fallbacks"]) for line in edge.matching(event="exchange", route="chat")},
         {("client_left", 1)})


@play
def reload_meanwhile():
  """a request goes on among the providers it began with, whatever a reload takes away"""
  with company(Provider, Provider, Provider) as (client, edge, (one, two, three)):
    gate = one.gate()
    one.script = lambda request, line: (gate.wait(), failing(500)(request, line))
    client.send(post(chat()))
    one.wait_requests(1)
    document = merged(edge.config, {"providers": {"p1": None, "p2": None}, "models": {"small": {
      "providers": ["p3"], "price": Decimal(9)}}})
    edge.adopt(document)
    with edge.client() as other:
      same(said_by(ask(other)), "p3")
      gate.open()
      response = client.read_response("POST")
      same(said_by(response), "p2")
      assert_charged(edge, response, cost(15))
      same(balance(other), 1000 - cost(15) - cost(15, 9))


@play
def many_at_once():
  """two hundred requests at once, on two workers, all fall back, each to its own answer and its own charge"""
  with company(Provider, Provider, server={"workers": 2}) as (_, edge, (one, two)):
    one.script = failing(503)
    two.script = lambda request, line: named_answer(json.loads(request.body)["user"])(request, line)
    clients = [Client(edge.address()) for _ in range(200)]
    try:
      for number, one_of_them in enumerate(clients):
        one_of_them.send(post(chat(user=f"{number}", stream=bool(number % 2)), user=f"user-{number % 10}"))
      for number, one_of_them in enumerate(clients):
        same(said_by(one_of_them.read_response("POST")), f"{number}")
      for number in range(10):
        same(settled(clients[0], f"user-{number}"), 1000 - 20 * cost(15))
    finally:
      for one_of_them in clients:
        one_of_them.close()


@play
def drain_meanwhile():
  """a request that fell back comes to its end while the edge drains"""
  with company(Provider, Provider) as (client, edge, (one, two)):
    gate = one.gate()
    one.script = lambda request, line: (gate.wait(), failing(500)(request, line))
    client.send(post(chat()))
    one.wait_requests(1)
    edge.signal()
    edge.wait_line(event="draining")
    gate.open()
    same(said_by(client.read_response("POST")), "p2")
    same(edge.wait_exit(), 0)
    same(ledger_of(edge).of("alice"), 1000 - cost(15))
