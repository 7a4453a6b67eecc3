"""Providers that talk nonsense: what they say is bent, doubled, cut and shuffled, by dice that always fall alike."""

import random
from contextlib import ExitStack

from play import *
from stage.credits import *
from stage.messages import *
from stage.metrics import *
from stage.provider import *

ROLE = part(delta={"role": "assistant", "content": ""})
WATCH = """local policy = {}
function policy.on_retry(attempt, ctx) edge.log.info(attempt.code) end
return policy
"""
# What stands in the place of what should.
ODD = [None, -1, 0, 1, 3, 255, -2**31, 2**63, -2**63, 1.5, "x", "", [], {}, True, "\u2028", "\U0001f600", "a" * 300,
       {"a": 1}, [1]]
BETWEEN = [b"data: \n\n", b"data\n\n", b": \n\n", b"\n\n", b"data: [1]\n\n", b"data: {\n\ndata: 1\ndata: }\n\n", DONE,
           b"event: x\n\n", event(b"x" * 70_000), b"\xff\xfe\n\n", event(b"[" * 200)]
TALES = [tale("he", "llo"), tale("x", used=tokens(10, 5, 3, 2, 1), repeats=True), [PING, b": c\n\n", *tale("p")],
         tale("he", blocks=[called("f", '{"a"', ":1}"), called("g", "{}"), thought("hm")], stop="tool_use"),
         [opening(), PING, failure()], [opening(), *tale("z")]]
STORIES = [story("he", "llo", used=usage(10, 5)), [b": c\n\n", ROLE, part("x"), event({"error": {"message": "e"}})],
           [call_of(0, '{"a"', "f"), call_of(0, ":1}"), call_of(1, "{}", "g"), part(finish="tool_calls"),
            totals(usage(10, 5, 3, 2, 1)), DONE],
           [call_of(1, "ab"), call_of(0, "{}", "f"), part(finish="stop", usage=usage(1, 1)), DONE],
           [part(delta={"reasoning_content": "t"}), part(delta={"refusal": "no"}), *story("x")]]
WHOLES = [completion("hi", usage(10, 5)), message("hi", tokens(10, 5)), completion(None, usage(1, 1)),
          message([text("a"), tool_use("f", {"a": [1]})], tokens(1, 2))]
FAULTS = [failing(500), failing(429), failing(404), failing(400, "bad"), raw(b"", "close"), raw(b"", "reset"),
          told(b"[]"), told(b""), raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "close"), refusing(529),
          refusing(422)]


@contextmanager
def company(*kinds, **config):
  """Providers of these kinds, an edge that offers their model and a client: (client, edge, providers)."""
  with ExitStack() as stack:
    found = [stack.enter_context(kind(lenient=True)) for kind in kinds]
    document, files = llm(*found, **config)
    with Edge(document, files=files) as edge, edge.client() as client:
      yield client, edge, found


def bent(dice, value, much):
  """A document in which some things are missing, doubled or something else."""
  if dice.random() < much:
    return dice.choice(ODD)
  if isinstance(value, dict):
    return {name: bent(dice, one, much) for name, one in value.items() if dice.random() > much / 3}
  if isinstance(value, list):
    return [bent(dice, one, much) for one in value for _ in range(dice.choice([1] * 18 + [0, 2]))]
  return value


def ruined(dice, events):
  """A stream of which little may be left."""
  much, found = dice.choice([0, 0, 0.02, 0.1, 0.3]), []
  for one in events:
    name, mark, data = one.partition(b"data: {")
    if mark and much:
      one = name + b"data: " + json.dumps(bent(dice, json.loads(b"{" + data), much)).encode() + b"\n\n"
    found += [one] * dice.choice([1] * 18 + [0, 2] if much else [1])
    if dice.random() < much / 2:
      found.append(dice.choice(BETWEEN))
  if dice.random() < much:
    dice.shuffle(found)
  data = b"".join(found)
  if dice.random() < 0.2:
    data = data.replace(b"\n", dice.choice([b"\r\n", b"\r"]))
  return data[:dice.randrange(len(data) + 1)] if dice.random() < 0.1 else data


def senseless(events, seed):
  """A script that answers each request as its `user` and this seed decide, so that each run is the same."""
  def script(request, line):
    document = json.loads(request.body)
    dice = random.Random(f"{seed} {document.get('user') or document['metadata']['user_id']}")
    if dice.random() < 0.15:
      dice.choice(FAULTS)(request, line)
    elif document.get("stream"):
      data = ruined(dice, dice.choice(events))
      places = sorted(dice.randrange(len(data) + 1) for _ in range(dice.choice([0, 0, 1, 5, 30])))
      pieces = [data[at:to] for at, to in zip([0, *places], [*places, len(data)]) if to > at]
      end, then = dice.choice([(b"0\r\n\r\n", None)] * 8 + [(b"zz\r\n", None), (b"", "close"), (b"", "reset")])
      raw(STREAM_HEAD + b"".join(map(chunk, pieces)) + end, then)(request, line)
    else:
      told(json.dumps(bent(dice, dice.choice(WHOLES), dice.choice([0, 0.05, 0.2]))).encode())(request, line)
  return script


def assert_sense(body, dialect):
  """What the edge has written itself is made of events of the client's dialect."""
  if dialect == "anthropic-messages":
    for _ in events_of(body):
      pass
  else:
    for row in body.split(b"\n\n")[:-1]:
      holds(row == b"data: [DONE]" or json.loads(row.removeprefix(b"data: ")), f"{row}")


@play
def nonsense():
  """whatever providers say, in whatever pieces, each request ends, nothing stays held, and the ledger is sound"""
  kinds = (MessagesProvider, Provider, MessagesProvider, Provider)
  with company(*kinds, balance=100_000, policies={**USUAL, "watch": WATCH}, routes=METRICS, listeners=LISTENERS,
               model={"providers": ["p1", "p2"], "equivalents": ["big"]},
               models={"big": {"providers": ["p4", "p3"], "price": 5, "max_output": 500}}) as (client, edge, found):
    for seed, provider in enumerate(found):
      provider.script = senseless(TALES if isinstance(provider, MessagesProvider) else STORIES, seed)
    dice, statuses = random.Random(1), []
    for number in range(300):
      stream, openai = dice.random() < 0.7, dice.random() < 0.5
      body = (chat(stream=stream, user=f"{number}") if openai
              else talk(stream=stream, metadata={"user_id": f"{number}"}))
      with edge.client() as other:
        other.send(post(body, f"user-{number % 10}", path=PATH if openai else MESSAGES))
        try:
          response = other.read_response("POST")
        except Cut:
          statuses.append(0)
          continue
        statuses.append(response.status)
        kind = kinds[int((response.fields.one("edge-provider") or "p0")[1:]) - 1]
        if stream and response.status == 200 and (kind is Provider) != openai:
          assert_sense(response.body, "openai-chat" if openai else "anthropic-messages")
    holds(statuses.count(200) > 100 and len(set(statuses)) > 4, f"answers: {statuses}")
    for number in range(10):
      settled(client, f"user-{number}")
    with edge.client("metrics") as watcher:
      eventually(lambda: total(scraped(watcher), "edge_provider_requests_running") == 0, "no request runs")
    edge.stop()
    ledger = ledger_of(edge)
    same(len(ledger.settlements()), len({row["transaction"] for row in ledger.settlements()}), "settled attempts")
