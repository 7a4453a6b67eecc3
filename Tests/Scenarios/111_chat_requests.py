"""Chat requests that are refused, and by whom: what must be right before a provider is asked."""

from play import *
from stage.credits import *
from stage.provider import *

MESSAGES = b'"messages":[{"role":"user","content":"hello"}]'


def body_of(text):
  """A request for the model `small` with these members too."""
  return b'{"model":"small",' + MESSAGES + (b"," + text if text else b"") + b"}"


def assert_refused_with(client, provider, body, name, param=None, **options):
  """A refusal in OpenAI's form; the provider saw nothing and the connection goes on."""
  before = len(provider.requests)
  error = assert_openai_error(ask(client, body, **options), name, param)
  same(len(provider.requests), before, "requests at the provider")
  return error


@play
def no_json():
  """a body that is not one JSON object gets 400 in OpenAI's form, and the connection goes on"""
  with chatting() as (client, edge, provider):
    for body in (b"hello", b"{", b"[]", b'"model"', b"null", b"1", body_of(b"")[:-1], body_of(b"") + b"}",
                 body_of(b"") + body_of(b""), body_of(b'"a":01'), body_of(b'"a":NaN'), body_of(b'"a":\'b\''),
                 body_of(b'"a":"\x01"'), body_of(b'"a":"\\x"'), body_of(b'"a":"\xff"'), body_of(b'"a":1,'),
                 body_of(b'"a"'), b"\xef\xbb\xbf" + body_of(b""), body_of(b'"a":tru'), body_of(b"a:1"),
                 body_of(b'"a":' + b"[" * 2000 + b"]" * 2000)):
      try:
        assert_refused_with(client, provider, body, "INVALID_REQUEST")
      except Failed as failure:
        raise Failed(f"{shown(body, 200)}: {failure}") from None
    same(ask(client).status, 200, "a good request on the same connection")


@play
def no_body():
  """a request without a body gets 400"""
  with chatting() as (client, edge, provider):
    client.send(head("POST", PATH, [bearer(), ("Content-Length", "0")]) + head("POST", PATH, [bearer()]))
    for _ in range(2):
      assert_openai_error(client.read_response("POST"), "INVALID_REQUEST")
    same(provider.requests, [])


@play
def twice():
  """a key that the edge reads and that comes twice gets 400 that names it, also when one of them is escaped"""
  rows = [(b'"model":"small"', "model"), (b'"model":"other"', "model"), (b'"mod\\u0065l":"other"', "model"),
          (b'"stream":true,"stream":false', "stream"), (b'"n":1,"n":1', "n"), (b'"n":1,"\\u006e":2', "n"),
          (b'"max_tokens":1,"max_tokens":9', "max_tokens"),
          (b'"max_completion_tokens":1,"max_completion_tokens":9', "max_completion_tokens"),
          (b'"stream":true,"stream_options":{},"stream_options":{}', "stream_options"),
          (MESSAGES, "messages")]
  with chatting() as (client, edge, provider):
    for text, param in rows:
      try:
        assert_refused_with(client, provider, body_of(text), "INVALID_REQUEST", param)
      except Failed as failure:
        raise Failed(f"{text}: {failure}") from None
    same(ask(client, body_of(b'"other":1,"other":2')).status, 200, "status for a key that the edge does not read")


@play
def wrong_types():
  """a member that the edge reads and that is of a wrong type or out of range gets 400 that names it"""
  rows = [(b'"n":0', "n"), (b'"n":-1', "n"), (b'"n":129', "n"), (b'"n":1.5', "n"), (b'"n":"1"', "n"), (b'"n":[]', "n"),
          (b'"n":99999999999999999999', "n"), (b'"max_tokens":-1', "max_tokens"), (b'"max_tokens":"5"', "max_tokens"),
          (b'"max_tokens":1.5', "max_tokens"), (b'"max_tokens":99999999999999999999', "max_tokens"),
          (b'"max_completion_tokens":-1', "max_completion_tokens"),
          (b'"max_completion_tokens":true', "max_completion_tokens"), (b'"stream":"true"', "stream"),
          (b'"stream":1', "stream"), (b'"stream":true,"stream_options":1', "stream_options"),
          (b'"stream":true,"stream_options":[]', "stream_options")]
  with chatting() as (client, edge, provider):
    for text, param in rows:
      try:
        assert_refused_with(client, provider, body_of(text), "INVALID_REQUEST", param)
      except Failed as failure:
        raise Failed(f"{text}: {failure}") from None
    for body, param in ((b"{" + MESSAGES + b"}", "model"), (b'{"model":1,' + MESSAGES + b"}", "model"),
                        (b'{"model":"",' + MESSAGES + b"}", "model"), (b'{"model":null,' + MESSAGES + b"}", "model"),
                        (b'{"model":"' + b"x" * 300 + b'",' + MESSAGES + b"}", "model"),
                        (b'{"model":"small","messages":"hello"}', "messages"),
                        (b'{"model":"small","messages":[]}', "messages"), (b'{"model":"small"}', "messages"),
                        (b'{"model":"sm\\u0061ll",' + MESSAGES + b"}", "model")):
      try:
        assert_refused_with(client, provider, body, "INVALID_REQUEST", param)
      except Failed as failure:
        raise Failed(f"{shown(body, 120)}: {failure}") from None


@play
def what_changes_the_price():
  """what changes the price and has none is refused by name: service tiers, hosted tools"""
  with chatting() as (client, edge, provider):
    for text, param in ((b'"service_tier":"priority"', "service_tier"), (b'"service_tier":"flex"', "service_tier"),
                        (b'"web_search_options":{}', "web_search_options"), (b'"audio":{"voice":"x"}', "audio"),
                        (b'"modalities":["text","audio"]', "modalities"),
                        (b'"tools":[{"type":"web_search"}]', "tools")):
      assert_refused_with(client, provider, body_of(text), "INVALID_REQUEST", param)
    tools = b'"tools":[{"type":"function","function":{"name":"f","parameters":{}}}]'
    same(ask(client, body_of(tools)).status, 200, "status with a function")
    same(ask(client, body_of(b'"n":3,"max_tokens":5,"temperature":null')).status, 200)


@play
def other_spellings():
  """a key that differs only in case from one that the edge reads gets 400 that names it"""
  rows = (b'"Model":"other"', b'"MODEL":"other"', b'"mOdel":"other"', b'"Mod\\u0065l":"other"', b'"N":128',
          b'"MAX_TOKENS":99999', b'"Max_Tokens":1', b'"Max_Completion_Tokens":99999', b'"Stream":true',
          b'"Stream_Options":{}', b'"Messages":[]')
  with chatting() as (client, edge, provider):
    for text in rows:
      try:
        name = json.loads(text.partition(b":")[0])
        assert_refused_with(client, provider, body_of(text), "INVALID_REQUEST", name.lower())
      except Failed as failure:
        raise Failed(f"{text}: {failure}") from None
    same(ask(client, body_of(b'"Other":1,"metadata":{"Model":"x","N":2}')).status, 200, "status for other keys")


@play
def what_has_no_estimate():
  """what may cost more than can be held is refused by name: other models, plugins, best_of, predictions"""
  rows = ((b'"models":["other"]', "models"), (b'"plugins":[{"id":"web"}]', "plugins"), (b'"best_of":50', "best_of"),
          (b'"prediction":{"type":"content","content":"x"}', "prediction"))
  with chatting() as (client, edge, provider):
    for text, param in rows:
      try:
        assert_refused_with(client, provider, body_of(text), "INVALID_REQUEST", param)
      except Failed as failure:
        raise Failed(f"{text}: {failure}") from None


@play
def parts_of_a_message():
  """parts of a message whose tokens nobody can tell are refused: unknown ones, videos, files that are elsewhere"""
  words = {"type": "text", "text": "what is this?"}
  unknown = ({"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}},
             {"type": "file", "file": {"file_id": "file-1"}}, {"type": "hologram", "hologram": {"url": "https://x/y"}},
             {"type": "file", "file": {"file_id": "file-1", "file_data": "data:text/plain;base64,aGVsbG8="}})
  known = ({"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,aGVsbG8="}},
           {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}, words)
  with chatting() as (client, edge, provider):
    for one in unknown:
      try:
        assert_refused_with(client, provider, chat([words, one]), "INVALID_REQUEST", "messages")
      except Failed as failure:
        raise Failed(f"{one}: {failure}") from None
    for one in known:
      same(ask(client, chat([words, one])).status, 200, f"status with {one}")


@play
def unknown_model():
  """an unknown model gets 404 with OpenAI's code, and nothing is held or sent"""
  with chatting() as (client, edge, provider):
    for name in ("other", "Small", "small ", "p1/other", "p9/small", "small/p1", "/small", "p1/", "sm\u00e4ll"):
      response = ask(client, chat(model=name))
      if response.status != 400:
        assert_openai_error(response, "MODEL_NOT_FOUND")
    same(provider.requests, [])
    same(balance(client), 1000)
    same(ask(client, chat(stream=True, model="other")).status, 404, "status of a streamed request")


@play
def other_methods():
  """GET and HEAD get 405 with Allow"""
  with chatting() as (client, edge, provider):
    for method in ("GET", "HEAD", "PUT", "DELETE"):
      response = client.request(method, PATH, [bearer()])
      same((response.status, response.fields.one("allow")), (405, "POST"), method)
    same(provider.requests, [])


@play
def other_methods_by_no_route():
  """where a route names POST, or no method, all others get 405, and no provider hears of them"""
  for methods in (None, ["POST"]):
    with chatting(route={"methods": methods}) as (client, edge, provider):
      for method in ("HEAD", "GET", "PUT", "DELETE", "PATCH"):
        with edge.client() as other:
          response = other.request(method, PATH, [bearer()], chat())
          same((response.status, response.fields.one("allow")), (405, "POST"), method)
      same((provider.lines, balance(client)), ([], 1000))
      same(ask(client).status, 200)


@play
def refused_before_the_body():
  """who has no token or may not is refused while the body is still coming, in OpenAI's form"""
  with chatting(roles={"guest": {"permissions": ["other:use"]}}) as (client, edge, provider):
    for fields, name in (([], "UNAUTHORIZED"), ([bearer("nonsense")], "UNAUTHORIZED"),
                         ([bearer(role="guest")], "FORBIDDEN")):
      for framing_field in (("Content-Length", "100000"), ("Transfer-Encoding", "chunked")):
        with edge.client() as other:
          other.send(head("POST", PATH, [*fields, framing_field]) + b"5\r\n{\"mod")
          assert_openai_error(other.read_response("POST"), name)
          other.assert_closed()
      with edge.client() as other:
        other.send(head("POST", PATH, [*fields, ("Content-Length", "1000"), ("Expect", "100-continue")]))
        response = other.read_response("POST")
        assert_openai_error(response, name)
        same(response.interim, [], "interim answers to a request that is refused")
    same(provider.lines, [], "connections to the provider")


@play
def no_credit_before_the_price():
  """a policy refuses an empty account before the provider is connected to"""
  with chatting(balance=0) as (client, edge, provider):
    assert_openai_error(ask(client), "INSUFFICIENT_CREDITS")
    same(provider.lines, [], "connections to the provider")


@play
def limits_in_the_form_of_openai():
  """a policy's rate limit answers 429 in OpenAI's form with Retry-After, and holds nothing"""
  policies = {**USUAL, "rate-limit": (RATE_LIMIT, {"limit": "2 per 1h"})}
  with chatting(policies=policies) as (client, edge, provider):
    same([ask(client).status for _ in range(2)], [200, 200])
    response = ask(client)
    assert_openai_error(response, "RATE_LIMIT_EXCEEDED")
    holds(int(response.fields.one("retry-after")) > 3000, f"retry-after {response.fields.one('retry-after')}")
    same(len(provider.requests), 2)
    same(balance(client), 1000 - 2 * cost(15))


@play
def policy_reads_the_body():
  """a policy that reads the body gets all of it, however it comes, and the provider gets the same"""
  policy = lua("""local body = req.body
edge.log.info(#body .. " " .. edge.json.decode(body).messages[1].content:sub(1, 5))
if body:find("forbidden", 1, true) then edge.refuse("CONTENT_REJECTED") end""")
  with chatting(policies={"auth": AUTH, "look": policy, "permissions": PERMISSIONS, "credits": CREDITS}) as (
      client, edge, provider):
    body = chat("hello" * 20_000)
    same(ask(client, body).status, 200)
    same(provider.last().body, body)
    client.send(head("POST", PATH, [bearer(), ("Transfer-Encoding", "chunked")]))
    client.send_slowly(chunked(body[:7], body[7:20_000], body[20_000:]), 4096)
    same(client.read_response("POST").status, 200)
    same(provider.last().body, body)
    assert_openai_error(ask(client, chat("forbidden")), "CONTENT_REJECTED")
    same(len(provider.requests), 2)
    edge.stop()
    same({line["text"] for line in edge.matching(event="policy_log")},
         {f"{len(body)} hello", f"{len(chat('forbidden'))} forbi"})


@play
def without_a_hold():
  """where no policy holds credits nothing is sent: 500, and the log says why"""
  with chatting(policies={"auth": AUTH, "permissions": PERMISSIONS}, loud=True) as (client, edge, provider):
    for body in (chat(), chat(stream=True)):
      response = ask(client, body)
      assert_openai_error(response, "POLICY_ERROR")
    same(edge.wait_line(event="hold_missing")["route"], "chat")
    same(provider.lines, [], "connections to the provider")
    holds("hold" not in response.body.decode(), f"the client is told of it: {response.body}")


@play
def selecting_policy():
  """on_select orders the candidates, may leave some out, and none left is a refusal; nothing can be slipped in"""
  script = """local policy = {}
function policy.on_select(candidates, ctx)
  if ctx.want == "other" then return {candidates[2], candidates[1]} end
  if ctx.want == "none" then return {} end
  if ctx.want == "forged" then return {{provider = "p9", model = "small", estimate = 1}} end
  if ctx.want == "list" then
    local names = {}
    for at, one in ipairs(candidates) do
      names[at] = one.provider .. " " .. one.model .. " " .. math.type(one.estimate)
    end
    edge.log.info(table.concat(names, ", "))
  end
end
function policy.on_request(req, ctx) ctx.want = req.args.want end
return policy
"""
  policies = {"auth": AUTH, "permissions": PERMISSIONS, "choose": script, "credits": CREDITS}
  with Provider(told(completion("one", usage(1, 1)))) as one, Provider(told(completion("two", usage(1, 1)))) as two:
    document, files = llm(one, two, policies=policies)
    with Edge(document, files=files, loud=True) as edge, edge.client() as client:
      def answered(want):
        response = ask(client, path=f"{PATH}?want={want}")
        return json.loads(response.body)["choices"][0]["message"]["content"] if response.status == 200 else response
      same([answered(want) for want in ("list", "other", "list")], ["one", "two", "one"])
      edge.wait_line(event="policy_log", text="p1 small integer, p2 small integer")
      holds(answered("none").status >= 400, "none left, and yet answered")
      assert_openai_error(answered("forged"), "POLICY_ERROR")
      same((len(one.requests), len(two.requests)), (2, 1), "requests at the providers")
      same(balance(client), 1000 - 3 * cost(2))
