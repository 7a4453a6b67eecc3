"""Chat requests in the provider's own format: bytes pass as they are, but for the edits that must be."""

from play import *
from stage.credits import *
from stage.provider import *

# A body that nobody would write, and everybody must keep.
ODD = (b'{ "temperature":1.0e0,\n\t"messages" : [ {"role":"user","content":"H\\u00e9 \\ud83d\\ude00 \xc3\xa9\\/",'
       b'"name":"\\"model\\":\\"x\\""} ] ,"unknown":{"model":"inner","stream":true,"a":[1,2.50,-0,1E5,null]},\r\n'
       b'  "model"  :  "small" ,"metadata":{ } , "stop":[ ]  }  \n')
# What of a client may reach a provider.
HANDED_ON = {"host", "content-type", "content-length", "accept", "accept-encoding", "authorization", "user-agent",
             "openai-beta", "openai-organization", "openai-project", "idempotency-key", "x-client-request-id",
             "x-request-id", "traceparent"}


@play
def whole_both_ways():
  """body and answer of a request that is not streamed pass byte for byte, whatever their spelling"""
  said = b' { "choices" : [ {"message":{"content":"\\u00e9 \xc3\xa9 \\/"}} ],\r\n "usage":{"prompt_tokens" : 10, ' \
         b'"completion_tokens":5.0e0, "total_tokens":15 }, "x":1.50 }\n\n'
  with chatting(told(said)) as (client, edge, provider):
    for body in (ODD, chat(), chat("x" * 200_000), chat("é" * 5000)):
      response = ask(client, body)
      same((response.status, response.body), (200, said))
      same(response.fields.one("content-type"), "application/json")
      same(provider.last().body, body, "the body at the provider")
    same({request.target for request in provider.requests}, {PATH}, "paths at the provider")
    same(len(provider.lines), 1, "connections to the provider")


@play
def whole_answers_in_every_framing():
  """a whole answer passes byte for byte however it is framed, and is charged by its usage"""
  said = dumped(completion("x" * 100_000, usage(10, 5)))
  with chatting() as (client, edge, provider):
    for frame in ("length", "chunked", "close"):
      provider.script = answer(200, said, [("Content-Type", "application/json")], frame)
      response = ask(client)
      same(response.body, said, frame)
      assert_charged(edge, response, cost(15), tokens=(10, 5))


@play
def stream_that_needs_no_edit():
  """a streamed request whose client asks for the usage passes byte for byte, and so does every event"""
  events = [b": a comment\n\n", *story("he", "llo", used=usage(10, 5))]
  with chatting(streamed(*events)) as (client, edge, provider):
    body = chat(stream=True, stream_options={"include_usage": True})
    answered = begin(client, body)
    same(answered.rest(), b"".join(events))
    same(provider.last().body, body, "the body at the provider")
    same(client.get("/health").status, 200, "the next request of the connection")


@play
def usage_is_asked_for():
  """where the client does not ask for the usage the edge does, and the extra event is left out of the answer"""
  with chatting() as (client, edge, provider):
    for body in (chat(stream=True), chat(stream=True, stream_options={}), chat(stream=True, stream_options=None),
                 chat(stream=True, stream_options={"include_usage": False}),
                 b' {"model":"small","messages":[{"role":"user","content":"a"}],"stream":true} '):
      answered = begin(client, body)
      same(answered.rest(), b"".join(story("he", "llo")), f"the answer to {body!r}")
      asked = provider.asked()
      same(asked.pop("stream_options"), {"include_usage": True}, f"stream_options for {body!r}")
      same(asked, {name: value for name, value in json.loads(body).items() if name != "stream_options"})
      assert_charged(edge, answered.response, cost(15), tokens=(10, 5), stream=True)


@play
def other_bytes_stay():
  """where the usage must be asked for, every other byte of the body stays as it is, and keys are not doubled"""
  with chatting() as (client, edge, provider):
    body = ODD.replace(b'"temperature"', b'"stream":true,"temperature"', 1)
    same(begin(client, body).rest(), b"".join(story("he", "llo")))
    found = provider.last().body
    holds(b"include_usage" in found, f"{found!r}")
    rest = body[2:]
    holds(found.endswith(rest), f"the rest of the body changed: {found!r}")
    same(json.loads(found, object_pairs_hook=lambda rows: len({name for name, _ in rows}) == len(rows)), True)


@play
def existing_options_stay():
  """other stream_options of the client are kept beside include_usage"""
  with chatting() as (client, edge, provider):
    for options in ({"include_obfuscation": False}, {"include_obfuscation": False, "include_usage": False},
                    {"include_usage": False, "other": {"a": [1]}}):
      same(begin(client, chat(stream=True, stream_options=options)).rest(), b"".join(story("he", "llo")))
      same(provider.asked()["stream_options"], {**options, "include_usage": True})


@play
def usage_beside_a_part():
  """an event with usage that has content too reaches the client, and so do nulls in the place of a usage"""
  parts = [part("hello", usage=None), part(finish="stop", usage=usage(10, 5)), DONE]
  with chatting(streamed(*parts)) as (client, edge, provider):
    answered = begin(client)
    same(answered.rest(), b"".join(parts))
    assert_charged(edge, answered.response, cost(15), tokens=(10, 5))


@play
def every_kind_of_token():
  """cached, written and reasoning tokens are told in the log and charged at their own prices, streamed or not"""
  prices = {"input": Decimal("1"), "output": Decimal("10"), "cached": Decimal("0.1"), "cache_write": Decimal("2"),
            "reasoning": Decimal("5")}
  used = usage(100, 50, cached=40, written=20, reasoning=30)
  wanted = (40 * prices["input"] + 40 * prices["cached"] + 20 * prices["cache_write"] + 20 * prices["output"]
            + 30 * prices["reasoning"]) / 1000
  with chatting(model={"price": prices}) as (client, edge, provider):
    provider.script = told(used=used)
    whole = ask(client)
    provider.script = streamed(*story("hello", used=used))
    stream = begin(client)
    stream.rest()
    for response in (whole, stream.response):
      line = assert_charged(edge, response, wanted, tokens=(100, 50))
      same({name: line["usage"][name] for name in ("cachedTokens", "cacheWriteTokens", "reasoningTokens")},
           {"cachedTokens": 40, "cacheWriteTokens": 20, "reasoningTokens": 30})


@play
def long_contexts():
  """above its limit a long request costs the prices of the long tier, at the limit it does not"""
  prices = {"input": Decimal("1"), "output": Decimal("2"), "long": {"above": 1000, "input": Decimal("3"),
                                                                    "output": Decimal("4")}}
  with chatting(model={"price": prices}) as (client, edge, provider):
    for tokens, wanted in ((1000, Decimal("1.02")), (1001, Decimal("3.043"))):
      provider.script = told(used=usage(tokens, 10))
      response = ask(client, chat("x" * 4000))
      same(response.status, 200)
      assert_charged(edge, response, wanted, tokens=(tokens, 10))


@play
def name_at_the_provider():
  """a model goes to its provider under its upstream_name, and not another byte of the body changes"""
  with chatting(model={"upstream_name": "small-2026-01-01"}) as (client, edge, provider):
    for body in (ODD, chat(), chat("small"), b'{"messages":[{"content":"small"}],"model":"small"}'):
      same(ask(client, body).status, 200)
      name = body.rindex(b'"small"') if b"metadata" in body or b"messages" in body[:12] else body.index(b'"small"')
      same(provider.last().body, body[:name] + b'"small-2026-01-01"' + body[name + 7:], "the body at the provider")
    same(begin(client, chat(stream=True)).rest(), b"".join(story("he", "llo")))
    same((provider.asked()["model"], provider.asked()["stream_options"]), ("small-2026-01-01", {"include_usage": True}))
    same({line["model"] for line in edge.exchanges(5)}, {"small"}, "models in the log")


@contextmanager
def pair(**config):
  """Two providers p1 and p2 of the model; what tells who answered."""
  with Provider(told(completion("one", usage(1, 1)))) as one, Provider(told(completion("two", usage(2, 2)))) as two:
    document, files = llm(one, two, **config)
    with Edge(document, files=files) as edge, edge.client() as client:
      yield client, edge, one, two


def said(response):
  same(response.status, 200, f"status ({response.body[:300]!r})")
  return json.loads(response.body)["choices"][0]["message"]["content"]


@play
def one_provider_by_name():
  """`provider/model` and the field edge-provider name one provider, and neither reaches it; else priority decides"""
  with pair() as (client, edge, one, two):
    same(said(ask(client)), "one", "by priority")
    same(said(ask(client, chat(model="p2/small"))), "two", "by the model's name")
    same(two.asked()["model"], "small", "the model at the provider")
    same(said(ask(client, fields=[("Edge-Provider", "p2")])), "two", "by the field")
    holds("edge-provider" not in two.last().fields, "edge-provider reached the provider")
    same(said(ask(client, chat(model="p1/small"), fields=[("Edge-Provider", "p1")])), "one", "by both")
    for body, fields in ((chat(model="p3/small"), []), (chat(), [("Edge-Provider", "p3")])):
      among(ask(client, body, fields=fields).status, (400, 404), f"status for {body!r} {fields}")
    same([line.get("provider") for line in edge.exchanges(6)][:4], ["p1", "p2", "p2", "p1"], "providers in the log")


@play
def priority_beats_order():
  """the provider with the lower number in `priority` answers, wherever it stands"""
  with pair(providers={"p1": {"priority": 5}, "p2": {"priority": 2}}) as (client, edge, one, two):
    same([said(ask(client)) for _ in range(3)], ["two"] * 3)


@play
def credentials_stay_here():
  """the client's credentials and cookies never reach the provider, and the provider's key does, never the client"""
  with chatting() as (client, edge, provider):
    secrets = [("Cookie", "session=HIDDEN"), ("Proxy-Authorization", "Basic HIDDEN"), ("X-Secret", "HIDDEN"),
               ("X-User-Id", "HIDDEN"), ("X-Forwarded-For", "10.9.8.7"), ("Forwarded", "for=HIDDEN"),
               ("Referer", "http://HIDDEN/"), ("Origin", "http://HIDDEN")]
    text = token()
    for own in ([bearer(text)], [("X-API-Key", text)], [bearer(text), ("X-API-Key", text)]):
      for body in (chat(), chat(stream=True)):
        client.send(head("POST", PATH, [*own, *secrets, ("Content-Length", len(body))]) + body)
        response = client.read_response("POST")
        same(response.status, 200)
        request = provider.last()
        same(request.fields.all("authorization"), [f"Bearer {KEY}"], "authorization at the provider")
        for piece in (b"HIDDEN", text.encode(), b"alice", b"10.9.8.7", b"127.0.0.1:" + edge_port(edge)):
          holds(piece not in request.raw_head, f"{piece} reached the provider: {request.raw_head}")
        for name in ("cookie", "x-api-key", "x-user-id", "proxy-authorization", "x-secret"):
          holds(name not in request.fields, f"{name} reached the provider")
        holds(KEY.encode() not in response.raw_head + response.body, "the provider's key reached the client")
    edge.stop()
    for secret in (KEY, text.split(".")[2], "HIDDEN"):
      holds(secret not in json.dumps(edge.log), f"{secret} stands in the log")


def edge_port(edge):
  return str(edge.address()[1]).encode()


@play
def fields_to_the_provider():
  """fields go to the provider by a list: what it needs, its host, and nothing else; no coding is accepted"""
  with chatting() as (client, edge, provider):
    fields = [("Accept", "application/json"), ("Accept-Encoding", "gzip, br"), ("OpenAI-Beta", "assistants=v2"),
              ("X-Own", "1"), ("X-Stainless-Lang", "python"), ("Accept-Language", "de"), ("Via", "1.1 x"),
              ("Connection", "x-own, keep-alive"), ("TE", "trailers"), ("If-None-Match", "x"), ("Range", "bytes=0-1")]
    same(ask(client, fields=fields).status, 200)
    found = provider.last().fields
    names = {name for name in found.names() if not name.startswith("x-stainless-")}
    holds(names <= HANDED_ON, f"fields at the provider: {sorted(names - HANDED_ON)}")
    same(found.one("accept-encoding"), "identity", "accept-encoding at the provider")
    same(found.one("host"), f"127.0.0.1:{provider.address[1]}", "host at the provider")
    same(found.one("content-type"), "application/json", "content-type at the provider")
    same(found.one("openai-beta"), "assistants=v2", "the version field at the provider")


@play
def fields_to_the_client():
  """the answer carries the edge's own request id and no mark of a demo"""
  with chatting(told(used=usage(10, 5), fields=[("X-Request-Id", "of-the-provider"), ("Edge-Demo", "true")])) as (
      client, edge, provider):
    response = ask(client)
    assert_ulid(response.fields.one("x-request-id"))
    same((response.status, len(response.fields.all("edge-demo"))), (200, 0), "marks of a demo")


@play
def line_of_a_chat():
  """the access line of a chat has the provider, model, attempt, usage and credits, and one of another route has none"""
  with chatting() as (client, edge, provider):
    whole, stream = ask(client), begin(client)
    stream.rest()
    for response, streams in ((whole, False), (stream.response, True)):
      line = assert_charged(edge, response, cost(15), tokens=(10, 5), provider="p1", model="small", route="chat",
                            status=200, cause="completed", principal="alice", attempts=1, stream=streams)
      assert_ulid(line["attempt"], "attempt")
      holds(line["attempt"] != line["requestId"], "the attempt has the id of the exchange")
      same(set(line["usage"]), {"source", "inputTokens", "cachedTokens", "cacheWriteTokens", "outputTokens",
                                "reasoningTokens"}, "fields of the usage")
      holds(0 <= line["firstByte"] <= line["duration"], f"firstByte {line['firstByte']} of {line['duration']}")
      holds("shortfall" not in line, f"shortfall in {line}")
    other = edge.line_of(client.get("/health"))
    same({"provider", "model", "attempt", "stream", "usage", "credits", "firstByte"} & set(other), set())
