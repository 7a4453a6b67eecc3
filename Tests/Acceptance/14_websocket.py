"""Chats on WebSockets with the library `websockets` and the shipped configuration, whose models are played."""

import asyncio
import subprocess
import sys

from openai_client import WEATHER, demo_tokens, served
from stage.credits import BALANCE, document_of, exact, ledger_of
from websocket_client import *
from websockets.asyncio.client import connect as connect_async

from play import *

PRICE_OF_MODEL = Decimal("0.03")
LONG = "word " * 500
# A page of a browser, as it says where it comes from.
PAGE = "https://app.example.com"


def line_of(place, message):
  """The access line of the message that an answer or an error ends."""
  return place.line((message.get("metadata") or message["error"])["requestId"])


def assert_metered(place, message, name):
  """The log says of this message what its client was told."""
  line, used = line_of(place, message), message["usage"]
  same((line["origin"], line["messageId"], line["status"]), ("message", name, 200), f"message and status of {line}")
  tokens = line["usage"]
  same((tokens["source"], tokens["inputTokens"], tokens["outputTokens"], exact(line["credits"])),
       ("reported", used["promptTokens"], used["completionTokens"], used["credits"]), "usage in the log")
  return line


def account_of(place, user="dev"):
  """What the API says a user has: (balance, held)."""
  with place.edge.client() as client:
    found = document_of(client.get(BALANCE, [bearer(place.token(user))]))
  return exact(found["balance"]), exact(found["held"])


def running(place):
  """What `/health` says of connections."""
  with place.edge.client() as client:
    return json.loads(client.get("/health").body)["connections"]


@play
def as_it_is_shown():
  """the line with a WebSocket client that a newcomer is shown prints the chunks and what they have cost"""
  with served() as place:
    place.edge.wait(lambda: b"Ctrl-C" in place.edge.errors, "the greeting is not written")
    (line,) = re.findall(r"\.venv/bin/python -c 'import json, websockets.+", place.edge.errors.decode())
    done = subprocess.run(["sh", "-c", line.replace(".venv/bin/python", sys.executable)], capture_output=True,
                          env=environment(), timeout=DEADLINE, check=False)
    same((done.returncode, done.stderr), (0, b""), f"exit code and errors of {line!r}")
    holds(done.stdout.startswith(b"You said: Hello\nI am the demo provider"), done.stdout)
    holds(b"'type': 'done'" in done.stdout and b"'credits': " in done.stdout, done.stdout)
    (chat_line,) = place.edge.matching(event="exchange", origin="message")
    same((chat_line["path"], chat_line["principal"], chat_line["messageId"]), ("/ws", "dev", "1"))


@play
def every_place_of_a_token():
  """a token is taken from each field, from the query and from the subprotocols, on / and on /ws"""
  with served() as place:
    places = [
      lambda key: carrying(key),
      lambda key: {"additional_headers": {"x-api-key": key}},
      lambda key: {"path_token": key},
      lambda key: {"subprotocols": ["Bearer", key]},
      lambda key: {"additional_headers": {"Sec-WebSocket-Protocol": f"Bearer {key}"}},
    ]
    for path in ("/", "/ws"):
      for number, settings in enumerate(places):
        user = f"user-{path.count('w')}-{number}"
        found = settings(place.token(user))
        query = f"?token={found.pop('path_token')}" if "path_token" in found else ""
        with connected(place.edge, path=path + query, **found) as session:
          _, end = session.answer("1")
          assert_done(end, "1")
          same(session.socket.subprotocol, "Bearer" if "subprotocols" in found else None, f"subprotocol of {user}")
        line = line_of(place, end)
        same((line["principal"], line["path"]), (user, path), "user and path in the log")
    same([line for line in place.edge.log if "token" in json.dumps(line)], [], "lines with a token")


@play
def plain():
  """a chat that is not streamed is answered in one message, and its usage is the provider's, there and in the log"""
  with served() as place, connected(place.edge, place.token()) as session:
    before = account_of(place)[0]
    chunks, end = session.answer("req-1")
    same(chunks, [], "chunks nobody asked for")
    assert_done(end, "req-1", model=MODEL, provider="openai", finishReason="stop", demo=True)
    holds(end["data"].startswith("You said: Hello there."), end["data"])
    used = end["usage"]
    same(used["completionTokens"], demo_tokens(end["data"]), "tokens of the answer")
    same(used["credits"], used["totalTokens"] * PRICE_OF_MODEL / 1000, "credits")
    assert_metered(place, end, "req-1")
    same(account_of(place), (before - used["credits"], 0), "balance and holds behind the answer")


@play
def streamed():
  """a streamed chat says the same as the plain one, in many chunks, at the same price"""
  with served() as place, connected(place.edge, place.token()) as session:
    _, whole = session.answer("1")
    chunks, end = session.answer("2", stream=True)
    assert_done(end, "2", streamed=True, model=MODEL, provider="openai", finishReason="stop", demo=True)
    same(text_of(chunks), whole["data"])
    holds(len(chunks) > 10, f"{len(chunks)} chunks")
    same(end["usage"], whole["usage"], "usage")
    assert_metered(place, end, "2")


@play
def prompts():
  """a prompt is one message of the user, for both types, and exactly one of the two must be there"""
  with served() as place, connected(place.edge, place.token()) as session:
    _, wanted = session.answer("0", "Hello there.")
    for kind in ("completion", "chat"):
      for own in ({"prompt": "Hello there.", "messages": None}, {}):
        _, end = session.answer(kind, type=kind, **own)
        same((assert_done(end, kind)["data"], end["usage"]), (wanted["data"], wanted["usage"]), f"{kind} with {own}")
    for own in ({"prompt": "Hello there."}, {"messages": None}):
      session.refusal("INVALID_REQUEST", request("x", **own))


@play
def settings_of_a_request():
  """maxTokens, stop and the spellings of OpenAI's are kept; both spellings of one key are refused"""
  with served() as place, connected(place.edge, place.token()) as session:
    for name in ("maxTokens", "max_tokens", "max_completion_tokens"):
      _, end = session.answer(name, model="demo-max", **{name: 500})
      assert_done(end, name, finishReason="length")
      same((end["usage"]["completionTokens"], end["usage"]["credits"]), (500, Decimal("0.5")), name)
      assert_metered(place, end, name)
    _, end = session.answer("stop", stop=["demo"], temperature=0.2, topP=0.9, user="somebody")
    same(end["data"], "You said: Hello there.\nI am the ", "an answer that stops in front of a word")
    session.refusal("INVALID_REQUEST", request("both", maxTokens=5, max_tokens=5))


@play
def other_formats():
  """models of a provider that speaks otherwise are answered in the same words; a provider may be named two ways"""
  with served() as place, connected(place.edge, place.token()) as session:
    for stream in (False, True):
      for number, own in enumerate([{}, {"provider": "auto"}, {"provider": None}, {"provider": "claude"}]):
        chunks, end = session.answer(f"{number}", model="claude-3-haiku", stream=stream, **own)
        assert_done(end, f"{number}", streamed=stream, model="claude-3-haiku", provider="claude", finishReason="stop")
        said = text_of(chunks) if stream else end["data"]
        holds(said.startswith("You said: Hello there."), said)
        assert_metered(place, end, f"{number}")
    _, end = session.answer("slash", model="claude/claude-3-haiku")
    assert_done(end, "slash", provider="claude")
    _, end = session.answer("next", model="demo-fallback")
    assert_done(end, "next", provider="demo-anthropic", model="demo-claude")


@play
def tools():
  """a tool is called, streamed and not, its result is sent back, and the answer quotes it"""
  with served() as place, connected(place.edge, place.token()) as session:
    for model in ("gpt-4", "claude-3-haiku"):
      asked = {"model": model, "tools": [WEATHER]}
      question = "What does the tool say of Oslo?"
      _, whole = session.answer("whole", question, **asked)
      assert_done(whole, "whole", finishReason="tool_calls")
      (call,) = whole["toolCalls"]
      same((call["type"], call["function"]["name"], set(call)), ("function", "weather", {"id", "type", "function"}))
      holds("city" in json.loads(call["function"]["arguments"]), f"{call}")
      chunks, end = session.answer("parts", question, stream=True, **asked)
      assert_done(end, "parts", streamed=True, finishReason="tool_calls")
      same(whole_calls(chunks), end["toolCalls"], f"calls of the chunks of {model} and of their end")
      same([one["function"] for one in end["toolCalls"]], [call["function"]], "calls streamed and whole")
      assert_metered(place, end, "parts")
      for calls, answered in (("toolCalls", "toolCallId"), ("tool_calls", "tool_call_id")):
        talk = [{"role": "user", "content": question}, {"role": "assistant", "content": "", calls: [call]},
                {"role": "tool", answered: call["id"], "content": "4 degrees, rain"}]
        _, second = session.answer(calls, messages=talk, **asked)
        holds("4 degrees, rain" in assert_done(second, calls)["data"], f"{second}")


@play
def fragmented():
  """a request that the library sends in fragments, and one of 500 KB, are requests like others"""
  with served() as place, connected(place.edge, place.token()) as session:
    text = json.dumps(request("pieces", "grüße 中 \U0001f600", stream=True), ensure_ascii=False)
    session.socket.send(iter([text[:1], text[1:40], "", text[40:90], text[90:]]))
    chunks, end = session.until_end("pieces")
    assert_done(end, "pieces", streamed=True)
    holds(text_of(chunks).startswith("You said: grüße 中 \U0001f600\n"), text_of(chunks))
    _, end = session.answer("long", "word " * 100_000, model="gpt-3.5-turbo")
    holds(assert_done(end, "long")["usage"]["promptTokens"] >= 100_000, f"{end['usage']}")


@play
def many_on_one_connection():
  """thirty requests on one connection are answered at the same time, each whole, and each by its own id"""
  names = [f"n{number}" for number in range(30)]
  with served() as place, connected(place.edge, place.token()) as session:
    for name in names:
      session.ask(name, f"this is {name}", stream=True)
    chunks, ends, first_end = {name: [] for name in names}, {}, None
    while len(ends) < len(names):
      message = session.next()
      if message["type"] == "chunk":
        chunks[message["id"]].append(message)
        continue
      if first_end is None:
        first_end = {name for name in names if chunks[name]}
      holds(message["id"] not in ends, f"two ends of {message['id']}")
      ends[message["id"]] = assert_done(message, message["id"], streamed=True)
    same(first_end, set(names), "requests whose answer had begun when the first one ended")
    for name in names:
      holds(text_of(chunks[name]).startswith(f"You said: this is {name}\n"), text_of(chunks[name]))
      same(ends[name]["usage"]["completionTokens"], demo_tokens(text_of(chunks[name])), f"tokens of {name}")
    told = sum(end["usage"]["credits"] for end in ends.values())
    same(account_of(place), (1000 - told, 0), "balance and holds behind all of them")


@play
def fifty_connections():
  """fifty connections of ten users stream at once, are counted while they are there, and each is charged"""
  async def one(place, keys, number, barrier):
    user = f"u{number % 10}"
    settings = {"proxy": None, **carrying(keys[user])}
    async with connect_async(url_of(place.edge), **settings) as socket:
      if await barrier.arrive():
        found = await asyncio.to_thread(running, place)
        same((found["totalConnections"], found["totalUsers"], found["connectionsByRole"]), (50, 10, {"user": 50}))
        barrier.counted.set()
      await barrier.counted.wait()
      await socket.send(json.dumps(request("same", f"number {number}", stream=True)))
      chunks = []
      async for text in socket:
        message = read(text)
        if message["type"] != "chunk":
          return user, text_of(chunks), assert_done(message, "same", streamed=True)
        chunks.append(message)

  async def all_of_them(place, keys):
    async with asyncio.timeout(3 * DEADLINE):
      return await asyncio.gather(*[one(place, keys, number, barrier) for number in range(50)])

  class Barrier:
    """Opens when all have come and one of them has counted."""

    def __init__(self):
      self.left, self.counted = 50, asyncio.Event()

    async def arrive(self):
      self.left -= 1
      return self.left == 0

  barrier = Barrier()
  with served() as place:
    keys = {f"u{number}": place.token(f"u{number}") for number in range(10)}
    answers = asyncio.run(all_of_them(place, keys))
    for number, (_, text, end) in enumerate(answers):
      holds(text.startswith(f"You said: number {number}\n"), text)
      same(end["usage"]["completionTokens"], demo_tokens(text), "tokens")
    for user in keys:
      told = sum(end["usage"]["credits"] for name, _, end in answers if name == user)
      same(account_of(place, user), (1000 - told, 0), f"balance and holds of {user}")
    eventually(lambda: running(place)["totalConnections"] == 0, "no connection is counted any more")
    same(running(place)["connectionsByRole"], {}, "roles of nobody")


@play
def cancelled():
  """a request that is cancelled ends with what it has cost, at the provider too, and the connection goes on"""
  with served() as place, connected(place.edge, place.token()) as session:
    session.ask("long", LONG, stream=True)
    for _ in range(5):
      same(session.next()["type"], "chunk")
    session.send({"id": "long", "type": "cancel"})
    _, end = session.until_end("long")
    assert_failed(end, "long", "CANCELLED")
    line = line_of(place, end)
    same(exact(line["credits"]), end["usage"]["credits"], "credits of the log and of the error")
    holds(0 < end["usage"]["credits"] < 1, f"{end}")
    same(account_of(place), (1000 - end["usage"]["credits"], 0), "balance and holds")
    _, again = session.answer("long")
    assert_done(again, "long")
    error = session.refusal("INVALID_MESSAGE_ID", json.dumps({"id": "long", "type": "cancel"}))
    same(error["details"]["id"], "long", "the id that nobody uses")


@play
def left_and_came_back():
  """a client that drops its connection pays what came, nothing stays held, and its ids can be used again"""
  with served() as place:
    key = place.token()
    with connected(place.edge, key) as session:
      for name in ("a", "b"):
        session.ask(name, LONG, stream=True)
      seen = set()
      while seen != {"a", "b"}:
        seen.add(session.next()["id"])
      session.leave()
    place.edge.wait(lambda: len(place.edge.matching(event="exchange", origin="message")) == 2, "two access lines")
    lines = place.edge.matching(event="exchange", origin="message")
    same({(line["cause"], line["usage"]["source"]) for line in lines}, {("client_left", "estimated")})
    charged = sum(exact(line["credits"]) for line in lines)
    holds(0 < charged < 1, f"{lines}")
    same(account_of(place), (1000 - charged, 0), "balance and holds")
    with connected(place.edge, key) as session:
      for name in ("a", "b"):
        assert_done(session.answer(name)[1], name)


@play
def like_a_browser():
  """a client that can set no field, as a browser's page, sends its token as a subprotocol and offers compression"""
  with served() as place:
    settings = {"subprotocols": ["Bearer", place.token()], "origin": PAGE, "compression": "deflate"}
    with connected(place.edge, **settings) as session:
      same((session.socket.subprotocol, session.socket.protocol.extensions), ("Bearer", []), "what was agreed upon")
      holds("deflate" in session.socket.request.headers["Sec-WebSocket-Extensions"], "no compression was offered")
      chunks, end = session.answer("1", stream=True)
      assert_done(end, "1", streamed=True)
      holds(text_of(chunks).startswith("You said: Hello there."), text_of(chunks))


@play
def keepalive_of_the_library():
  """the pings that the library sends by itself are answered, also while an answer streams"""
  async def talk(place, key):
    settings = {"proxy": None, "ping_interval": 0.05, "ping_timeout": DEADLINE, **carrying(key)}
    async with asyncio.timeout(DEADLINE), connect_async(url_of(place.edge), **settings) as socket:
      await socket.send(json.dumps(request("1", "word " * 50, stream=True)))
      latencies, kinds = set(), []
      async for text in socket:
        kinds.append(read(text)["type"])
        latencies.add(socket.latency)
        if kinds[-1] != "chunk":
          break
      waiter = await socket.ping(b"the last one")
      return latencies - {0}, kinds, await waiter
  with served() as place:
    latencies, kinds, latency = asyncio.run(talk(place, place.token()))
    same(set(kinds[:-1]) | {kinds[-1]}, {"chunk", "done"}, "types of messages")
    holds(len(latencies) > 3, f"pongs while the answer came: {latencies}")
    holds(0 < latency < DEADLINE, f"{latency}")


@play
def told_and_written():
  """what clients were told they paid, whole, streamed, cancelled and refused, is what the ledger's file says"""
  with served() as place:
    told = []
    with connected(place.edge, place.token()) as session:
      for number, own in enumerate([{}, {"stream": True}, {"model": "claude-3-opus"}, {"tools": [WEATHER]},
                                    {"model": "demo-fallback", "stream": True}, {"model": "demo-500"},
                                    {"model": "gpt-99"}, {"maxTokens": 3}, {"model": "demo-cut", "stream": True}]):
        told.append(session.answer(f"{number}", "Hello, tool.", **own)[1])
      session.ask("long", LONG, stream=True)
      session.next()
      session.send({"id": "long", "type": "cancel"})
      told.append(session.until_end("long")[1])
    same([end["type"] for end in told], ["done"] * 5 + ["error"] * 2 + ["done"] + ["error"] * 2, f"ends: {told}")
    paid = sum((end.get("usage") or {"credits": 0})["credits"] for end in told)
    same(account_of(place), (1000 - paid, 0), "balance and holds")
    with place.edge.client() as client:
      key = place.token()
      found = document_of(client.get("/api/credits/history?limit=200", [bearer(key)]))["entries"]
    attempts = {entry["id"]: entry for entry in found}
    for end in told:
      line = line_of(place, end)
      same(exact(line["credits"]), (end.get("usage") or {"credits": 0})["credits"], f"credits of {line}")
      if line["attempt"]:
        same(abs(exact(attempts[line["attempt"]]["credits"])), exact(line["credits"]), f"entry of {line}")
    place.edge.stop()
    ledger = ledger_of(place.edge)
    same(ledger.of("dev"), 1000 - paid, "the account in the file")


@play
def drained_at_the_end():
  """at SIGTERM what runs is answered whole, new requests are refused, and the connection ends with 1001"""
  with served() as place, connected(place.edge, place.token()) as session:
    session.ask("runs", "word " * 100, stream=True)
    same(session.next()["type"], "chunk")
    place.edge.signal()
    # Until the worker has heard of it, it answers.
    end, late = {"type": "done"}, 0
    while end["type"] == "done":
      late += 1
      session.ask(f"late-{late}", maxTokens=1)
      end = session.next()
      while end["id"] == "runs":
        same(end["type"], "chunk")
        end = session.next()
    assert_failed(end, f"late-{late}", "SERVICE_UNAVAILABLE")
    messages, code = drained(session)
    same(({message["id"] for message in messages}, code), ({"runs"}, 1001), "what comes at the end")
    assert_done(messages[-1], "runs", streamed=True)
    same(place.edge.wait_exit(), 0, "exit code")
