"""on_response and on_chunk on WebSockets: policies judge what models answer to messages, before the client gets it."""

from play import *
from stage.credits import *
from stage.platform import *
from stage.policies import file_of, lua
from stage.provider import *

# Stops at a word, wherever it stands, also over the border of two messages.
GUARD = lua(on_chunk="""
ctx.count = (ctx.count or 0) + 1
if ctx.count ~= chunk.number then error("counted " .. ctx.count) end
ctx.said = (ctx.said or "") .. edge.json.decode(chunk.data).data
if ctx.said:find("FORBIDDEN", 1, true) then edge.refuse("CONTENT_REJECTED", {message = "Not for you.", at = 7}) end
if ctx.said:find("FAIL", 1, true) then error("failed") end
if ctx.said:find("LOOP", 1, true) then while true do end end
if ctx.said:find("WAIT", 1, true) then edge.http.fetch{service = "side", path = "/now"} end
if ctx.said:find("GATE", 1, true) then edge.http.fetch{service = "side", path = "/gate"} end
ctx.said = ctx.said:sub(-10)""", on_log="""
edge.log.info(table.concat({ctx.count or 0, ctx.cause}, " "))""")
# Tells what it is shown.
MIRROR = lua(on_response="""
local names = {} for _, name in ipairs{"content-type", "date", "x-request-id", "content-length"} do
  names[#names + 1] = res.headers[name] end
res.headers["x-set"] = "set"
edge.log.info(edge.json.encode{status = res.status, provider = res.provider, model = res.model, route = res.route,
  names = #names, id = res.id})""", on_chunk="""
edge.log.info(edge.json.encode{data = chunk.data, number = chunk.number, status = chunk.status,
  streamed = chunk.streamed})""")


@contextmanager
def guarded(script, policy=GUARD, **config):
  """As `speaking`, with a service `side` that the policy asks and a gate in front of one of its answers."""
  with beside(config) as (changes, gate):
    policies = {**USUAL, "guard": policy}
    with speaking(script, lenient=True, policies=policies, **changes) as (session, client, edge, provider):
      yield session, client, edge, provider, gate


def whole_or_streamed(*texts, used=usage(10, 5)):
  def script(request, line):
    if json.loads(request.body).get("stream"):
      streamed(*story(*texts, used=used))(request, line)
    else:
      told(completion("".join(texts), used))(request, line)
  return script


def logged(edge, count):
  edge.wait(lambda: len(edge.matching(event="policy_log")) >= count, f"{count} lines of policies")
  return [line["text"] for line in edge.matching(event="policy_log")]


def refused(session, name, code, said=None, **fields):
  """Asks, and gets this error, with what the answer has cost."""
  session.ask(name, **fields)
  session.error(name, code, said, usage=True)


@play
def what_passes():
  """what policies let pass arrives and is paid as without them, whole and streamed, waited for or not"""
  with guarded(whole_or_streamed("Hel", "lo ", "WAIT", "ing")) as (session, client, edge, provider, gate):
    for number, stream in enumerate((False, True, True, False)):
      found = session.answered(f"m{number}", stream=stream)
      same(found.text if stream else found.end["data"], "Hello WAITing")
      assert_paid(edge, found, "0.015", (10, 5), cause="completed", status=200)
    same(account(client), (1000 - 4 * cost(15), 0))
    # The opening has no answer that is judged.
    same(sorted(logged(edge, 5)), ["0 completed"] + ["1 completed"] * 2 + ["4 completed"] * 2)


@play
def what_is_seen():
  """of a stream each message as the client gets it, of a whole answer its content; there is no head to read or set"""
  with guarded(whole_or_streamed("Hel", "lo"), MIRROR) as (session, client, edge, provider, gate):
    for name, stream in (("s", True), ("w", False)):
      found = session.answered(name, stream=stream)
      rows = [json.loads(text) for text in logged(edge, 3 if stream else 5)][0 if stream else 3:]
      first = {"status": 200, "provider": "p1", "model": "small", "route": "platform", "names": 0, "id": found.request}
      same(rows[0], first)
      same([(row["number"], row["status"], row["streamed"]) for row in rows[1:]],
           [(1, 200, True), (2, 200, True)] if stream else [(1, 200, False)])
      told = [json.loads(row["data"]) for row in rows[1:]]
      same(told, found.chunks if stream else [{"data": "Hello"}])


@play
def whole_answers_are_refused():
  """a whole answer that holds the word is refused, is paid as it was used, and the session goes on"""
  with guarded(whole_or_streamed("it is FORBIDDEN")) as (session, client, edge, provider, gate):
    session.ask("a")
    document = session.next_of("a")
    same((document["error"]["code"], document["error"]["message"], document["error"]["details"]),
         ("CONTENT_REJECTED", "Not for you.", {"at": 7}))
    same(exact(document["usage"]["credits"]), exact("0.015"))
    line = line_of(edge, document["error"])
    same((line["cause"], line["policy"], line["status"], exact(line["credits"])),
         ("refused", "guard", 422, exact("0.015")))
    same(account(client), (1000 - cost(15), 0))
    session.assert_quiet()
    provider.script = whole_or_streamed("fine")
    same(session.answered("b").end["data"], "fine")


@play
def streams_are_refused():
  """a stream that is refused ends with the error: what passed before has arrived, the rest never, all is paid once"""
  for word, code, cause in (("FORBIDDEN", "CONTENT_REJECTED", "refused"), ("FAIL", "POLICY_ERROR", "policy_error"),
                            ("LOOP", "POLICY_ERROR", "policy_error")):
    script = streamed(*story("harmless ", word[:3], word[3:], " more", used=usage(10, 5)))
    with guarded(script, loud=True) as (session, client, edge, provider, gate):
      session.ask("a", stream=True)
      found = session.rest("a")
      same(found.end["error"]["code"], code)
      # What came in one piece with the refused word may be missing, too.
      holds(("harmless " + word[:3]).startswith(found.text), f"{found.text}")
      line = line_of(edge, found)
      same((line["cause"], line["policy"], line["messageId"]), (cause, "guard", "a"))
      eventually(lambda: account(client)[1] == 0, "nothing is held")
      holds(line["credits"] > 0, "something was charged")
      same(1000 - balance(client), exact(line["credits"]), "charged once")
      same(exact(found.end["usage"]["credits"]), exact(line["credits"]), "told is charged")
      session.assert_quiet()
      provider.script = whole_or_streamed("fine")
      same(session.answered("b", stream=True).text, "fine")


@play
def early_words():
  """a stream whose first word is refused, or an answer whose status is, gives the client nothing but the error"""
  with guarded(whole_or_streamed("FORBIDDEN", "more")) as (session, client, edge, provider, gate):
    refused(session, "a", "CONTENT_REJECTED", "Not for you.", stream=True)
    eventually(lambda: account(client)[1] == 0, "nothing is held")
    session.assert_quiet()
  judge = lua(on_response="""if res.status == 400 then edge.refuse("FORBIDDEN") end
if res.model == "small" then edge.reply{status = 200, body = "no"} end""")
  with guarded(whole_or_streamed("a"), judge) as (session, client, edge, provider, gate):
    for stream in (False, True):
      refused(session, f"r{stream}", "POLICY_ERROR", "A policy has answered where only a model can", stream=stream)
    provider.script = failing(400, "said by the provider")
    error = session.refused("b", "FORBIDDEN")  # Nobody pays for it.
    holds("said by the provider" not in error["message"], f"{error}")
    session.assert_quiet()


@play
def cancelled_meanwhile():
  """a message that is cancelled while its answer is judged ends at once, and others go on beside it"""
  for stream in (False, True):
    with guarded(whole_or_streamed("GATE", "more")) as (session, client, edge, provider, gate):
      session.ask("a", stream=stream)
      gate.reached()
      provider.script = whole_or_streamed("fine")
      same(session.answered("b", stream=True).text, "fine", "beside it")
      session.cancel("a")
      session.error("a", "CANCELLED", usage=True)
      gate.open()
      eventually(lambda: account(client)[1] == 0, "nothing is held")
      same(session.answered("c", stream=True).text, "fine", "behind it")
      session.assert_quiet()


@play
def those_who_leave():
  """a client that leaves while its answer is judged ends it, and a reload does not change who judges it"""
  with guarded(whole_or_streamed("GATE", "more")) as (session, client, edge, provider, gate):
    with connected(edge) as other:
      other.ask("x", stream=True)
      gate.reached()
      other.client.reset()
    same(edge.log_line(messageId="x")["cause"], "client_left")
    eventually(lambda: account(client)[1] == 0, "nothing is held")
    gate.open()
  with guarded(whole_or_streamed("GATE", "more"), loud=True) as (session, client, edge, provider, gate):
    session.ask("y", stream=True)
    gate.reached()
    edge.adopt(files={file_of("guard"): lua(on_chunk='error("new")')})
    gate.open()
    same(session.done("y").text, "GATEmore")
    refused(session, "z", "POLICY_ERROR", stream=True)


@play
def long_answers():
  """answers longer than a frame and many messages beside each other are judged and arrive whole"""
  text = "WAIT" + "x" * 300_000
  with guarded(whole_or_streamed(text[:200_000], text[200_000:])) as (session, client, edge, provider, gate):
    names = [f"l{number}" for number in range(6)]
    for number, name in enumerate(names):
      session.ask(name, stream=number % 2 == 0)
    for number, name in enumerate(names):
      found = session.done(name)
      same((found.text if number % 2 == 0 else found.end["data"]) == text, True, name)
    same(account(client), (1000 - 6 * cost(15), 0))
