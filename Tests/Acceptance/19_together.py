"""Fifty people at once with the three real clients, each with everything that they do: the shipped configuration, whose
models the demo provider plays in both formats."""

import asyncio
import json
from collections import Counter

import anthropic
import openai
from anthropic_client import WEATHER as ANTHROPIC_WEATHER
from openai_client import WEATHER, demo_tokens, served
from stage.credits import BALANCE, document_of, exact, ledger_of
from websocket_client import *
from websockets.asyncio.client import connect as connect_async

from play import *

PEOPLE = 50
USERS = 10
# One of either format, so that each client is translated for every other time.
MODELS = ("gpt-4", "claude-3-opus")
LONG = "word " * 300


class Person:
  """Who talks by one client, and what came of it: how often each thing happened."""

  def __init__(self, place, number, key):
    self.place, self.number, self.key, self.done = place, number, key, Counter()

  def words(self, turn):
    return f"person {self.number} turn {turn}"

  def heard(self, turn, text, tokens):
    """The answer is that of this question, and as long as its usage says."""
    holds(text.startswith(f"You said: {self.words(turn)}\n"), f"{self.words(turn)}: {text[:200]!r}")
    same(tokens, demo_tokens(text), f"tokens of {self.words(turn)}")
    self.done["answers"] += 1

  async def fails(self, kind, awaitable):
    try:
      await awaitable
    except kind:
      self.done["errors"] += 1
      return
    raise Failed(f"no {kind.__name__} for {self.number}")


class Chats(Person):
  """With OpenAI's client."""

  async def talk(self):
    http = openai.DefaultAsyncHttpxClient(trust_env=False)
    async with openai.AsyncOpenAI(base_url=self.place.url, api_key=self.key, max_retries=0, timeout=3 * DEADLINE,
                                  http_client=http) as client:
      create = client.chat.completions.create

      def said(text):
        return {"messages": [{"role": "user", "content": text}]}
      for turn, model in enumerate(MODELS):
        answer = await create(model=model, **said(self.words(turn)))
        self.heard(turn, answer.choices[0].message.content, answer.usage.completion_tokens)
        parts = [part async for part in await create(model=model, stream=True, **said(self.words(turn)),
                                                     stream_options={"include_usage": True})]
        self.heard(turn, "".join(part.choices[0].delta.content or "" for part in parts if part.choices),
                   parts[-1].usage.completion_tokens)
      called = await create(model="demo-tools", tools=[WEATHER], **said("What is the weather?"))
      same(called.choices[0].finish_reason, "tool_calls", "why the answer ended")
      self.done["calls"] += 1
      await self.fails(openai.NotFoundError, create(model="gpt-99", **said("?")))
      await self.fails(openai.InternalServerError, create(model="demo-500", **said("?")))
      # One try more, after the time that the provider asks for.
      again = client.with_options(max_retries=1).chat.completions.create
      await self.fails(openai.RateLimitError, again(model="demo-429", **said("?")))
      other = await create(model="demo-fallback", **said(self.words(9)))
      self.heard(9, other.choices[0].message.content, other.usage.completion_tokens)
      async with await create(model="gpt-4", stream=True, **said(LONG)) as stream:
        await anext(aiter(stream))
      self.done["cancelled"] += 1


class Messages(Person):
  """With Anthropic's client."""

  async def talk(self):
    host, port = self.place.edge.address()
    http = anthropic.DefaultAsyncHttpxClient(trust_env=False)
    async with anthropic.AsyncAnthropic(base_url=f"http://{host}:{port}", api_key=self.key, max_retries=0,
                                        timeout=3 * DEADLINE, http_client=http) as client:
      def asked(model, text, **changes):
        return {"model": model, "max_tokens": 2000, "messages": [{"role": "user", "content": text}], **changes}

      def text_of(answer):
        return "".join(block.text for block in answer.content if block.type == "text")
      create = client.messages.create
      for turn, model in enumerate(MODELS):
        answer = await create(**asked(model, self.words(turn)))
        self.heard(turn, text_of(answer), answer.usage.output_tokens)
        async with client.messages.stream(**asked(model, self.words(turn))) as stream:
          whole = await stream.get_final_message()
        self.heard(turn, text_of(whole), whole.usage.output_tokens)
      called = await create(**asked("demo-tools", "What is the weather?", tools=[ANTHROPIC_WEATHER]))
      same(called.stop_reason, "tool_use", "why the answer ended")
      self.done["calls"] += 1
      await self.fails(anthropic.NotFoundError, create(**asked("gpt-99", "?")))
      await self.fails(anthropic.InternalServerError, create(**asked("demo-500", "?")))
      again = client.with_options(max_retries=1).messages.create
      await self.fails(anthropic.RateLimitError, again(**asked("demo-429", "?")))
      other = await create(**asked("demo-fallback", self.words(9)))
      self.heard(9, text_of(other), other.usage.output_tokens)
      async with client.messages.stream(**asked("claude-3-opus", LONG)) as stream:
        await anext(aiter(stream))
      self.done["cancelled"] += 1


class Messengers(Person):
  """With a WebSocket, on which several requests run at the same time."""

  async def talk(self):
    asked = {}
    for turn, model in enumerate(MODELS):
      asked[f"whole-{turn}"] = request(f"whole-{turn}", self.words(turn), model=model)
      asked[f"stream-{turn}"] = request(f"stream-{turn}", self.words(turn), model=model, stream=True)
    asked["whole-9"] = request("whole-9", self.words(9), model="demo-fallback")
    asked["calls"] = request("calls", "What is the weather?", model="demo-tools", tools=[WEATHER])
    for code, model in (("MODEL_NOT_FOUND", "gpt-99"), ("PROVIDER_ERROR", "demo-500"),
                        ("RATE_LIMIT_EXCEEDED", "demo-429")):
      asked[code] = request(code, "?", model=model)
    asked["CANCELLED"] = request("CANCELLED", LONG, stream=True)
    async with connect_async(url_of(self.place.edge), proxy=None, **carrying(self.key)) as socket:
      for document in asked.values():
        await socket.send(json.dumps(document))
      pieces = {name: [] for name in asked}
      left = set(asked)
      while left:
        message = read(await socket.recv())
        name = message["id"]
        if message["type"] == "chunk":
          if name == "CANCELLED" and not pieces[name]:
            await socket.send(json.dumps({"id": name, "type": "cancel"}))
          pieces[name].append(message)
          continue
        left.remove(name)
        self.ended(name, message, pieces[name])

  def ended(self, name, message, pieces):
    if name.isupper():
      assert_failed(message, name, name)
      self.done["cancelled" if name == "CANCELLED" else "errors"] += 1
    elif name == "calls":
      same(message["metadata"]["finishReason"], "tool_calls", "why the answer ended")
      self.done["calls"] += 1
    else:
      text = text_of(pieces) if name.startswith("stream") else message["data"]
      self.heard(int(name[-1]), text, message["usage"]["completionTokens"])


@play
def fifty_people():
  """fifty people by three clients, plain, streamed, calling tools, failing, cancelling: each hears and pays his own"""
  kinds = (Chats, Messages, Messengers)

  async def everybody(people):
    async with asyncio.timeout(6 * DEADLINE):
      await asyncio.gather(*[person.talk() for person in people])
  with served() as place:
    keys = [place.token(f"u{number}") for number in range(USERS)]
    people = [kinds[number % len(kinds)](place, number, keys[number % USERS]) for number in range(PEOPLE)]
    asyncio.run(everybody(people))
    for person in people:
      same(person.done, {"answers": 5, "calls": 1, "errors": 3, "cancelled": 1}, f"{type(person)} {person.number}")
    # Ten requests of each, and the second try of those who try again; upgrades have lines of their own.
    count = PEOPLE * 10 + sum(not isinstance(person, Messengers) for person in people)
    place.edge.wait(lambda: len(worked(place)) == count, f"{count} access lines")
    found = worked(place)
    same({line["worker"] for line in found}, {0, 1}, "workers")
    for number in range(USERS):
      paid = sum(exact(line["credits"]) for line in found if line["principal"] == f"u{number}")
      with place.edge.client() as client:
        account = document_of(client.get(BALANCE, [bearer(keys[number])]))
      same((exact(account["balance"]), exact(account["held"])), (1000 - paid, 0), f"balance and holds of u{number}")
      holds(paid > 0, f"u{number} paid nothing")
    place.edge.stop()
    ledger = ledger_of(place.edge)
    same(sum(ledger.of(f"u{number}") for number in range(USERS)),
         1000 * USERS - sum(exact(line["credits"]) for line in found), "sum of the accounts in the file")


def worked(place):
  """The access lines of work for models."""
  return [line for line in place.edge.matching(event="exchange")
          if line.get("origin") == "message" or line["path"] in ("/v1/chat/completions", "/v1/messages")]
