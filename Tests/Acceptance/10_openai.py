"""Chats with OpenAI's own client against the shipped configuration, whose models the demo provider plays."""

import asyncio
import base64
import json
import subprocess
import sys

import openai
from openai_client import MODEL, WEATHER, demo_tokens, said, served

from play import *


def assert_metered(place, request, used):
  """The log says of this exchange what the provider told the client."""
  line = place.line(request)
  tokens = line["usage"]
  same((tokens["source"], tokens["inputTokens"], tokens["outputTokens"]),
       ("reported", used.prompt_tokens, used.completion_tokens), "usage in the log")
  return line


@play
def as_it_is_shown():
  """the line with OpenAI's client that a newcomer is shown does what it says"""
  with served() as place:
    place.edge.wait(lambda: b"Ctrl-C" in place.edge.errors, "the greeting is not written")
    (line,) = re.findall(r"\.venv/bin/python -c 'import openai.+", place.edge.errors.decode())
    done = subprocess.run(["sh", "-c", line.replace(".venv/bin/python", sys.executable)], capture_output=True,
                          env=environment(), timeout=DEADLINE, check=False)
    same((done.returncode, done.stderr), (0, b""), f"exit code and errors of {line!r}")
    holds(b"You said" in done.stdout, done.stdout)


@play
def plain():
  """a plain chat is answered and marked as a demo, and its usage is the provider's, in the answer and in the log"""
  with served() as place, place.client() as client:
    raw_answer = client.chat.completions.with_raw_response.create(model=MODEL, messages=said())
    same(raw_answer.headers.get("edge-demo"), "true")
    answer = raw_answer.parse()
    content = answer.choices[0].message.content
    holds(content.startswith("You said: Hello there."), content)
    same((answer.object, answer.model, answer.choices[0].finish_reason), ("chat.completion", MODEL, "stop"))
    same(answer.usage.completion_tokens, demo_tokens(content), "tokens of the answer")
    same(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens)
    same(answer._request_id, raw_answer.headers["x-request-id"])
    line = assert_metered(place, answer._request_id, answer.usage)
    holds(abs(line["credits"] - answer.usage.total_tokens * 0.03 / 1000) < 1e-9, f"{line}")


@play
def streamed():
  """a streamed chat says the same as the plain one, in many parts, and its usage is in the log"""
  with served() as place, place.client() as client:
    whole = client.chat.completions.create(model=MODEL, messages=said())
    stream = client.chat.completions.create(model=MODEL, messages=said(), stream=True)
    with stream:
      parts = list(stream)
    holds(all(part.choices and part.usage is None for part in parts), "an event that nobody asked for")
    same("".join(part.choices[0].delta.content or "" for part in parts), whole.choices[0].message.content)
    same(parts[-1].choices[0].finish_reason, "stop")
    holds(len(parts) > 10, f"{len(parts)} parts")
    assert_metered(place, stream.response.headers["x-request-id"], whole.usage)


@play
def streamed_with_usage():
  """a streamed chat whose client asks for the usage ends with it"""
  with served() as place, place.client() as client:
    whole = client.chat.completions.create(model=MODEL, messages=said())
    with client.chat.completions.create(model=MODEL, messages=said(), stream=True,
                                        stream_options={"include_usage": True}) as stream:
      parts = list(stream)
    same((parts[-1].choices, parts[-1].usage.total_tokens), ([], whole.usage.total_tokens))
    same([part for part in parts[:-1] if not part.choices], [])
    assert_metered(place, stream.response.headers["x-request-id"], whole.usage)


@play
def helper_for_streams():
  """the client's own helper for streams assembles the whole answer"""
  with served() as place, place.client() as client:
    with client.chat.completions.stream(model=MODEL, messages=said(), stream_options={"include_usage": True}) as stream:
      kinds = {event.type for event in stream}
      answer = stream.get_final_completion()
    holds({"chunk", "content.delta", "content.done"} <= kinds, f"{kinds}")
    holds(answer.choices[0].message.content.startswith("You said: Hello there."), f"{answer}")
    same(answer.usage.completion_tokens, demo_tokens(answer.choices[0].message.content))


@play
def several_choices():
  """n choices are answered and paid n times"""
  with served() as place, place.client() as client:
    one = client.chat.completions.create(model=MODEL, messages=said())
    three = client.chat.completions.create(model=MODEL, messages=said(), n=3)
    same([choice.index for choice in three.choices], [0, 1, 2])
    same(three.usage.completion_tokens, 3 * one.usage.completion_tokens)
    assert_metered(place, three._request_id, three.usage)


@play
def as_many_as_asked_for():
  """max_tokens and max_completion_tokens are kept"""
  with served() as place, place.client() as client:
    for name in ("max_tokens", "max_completion_tokens"):
      answer = client.chat.completions.create(model="demo-max", messages=said(), **{name: 500})
      same((answer.usage.completion_tokens, answer.choices[0].finish_reason), (500, "length"), name)
      line = assert_metered(place, answer._request_id, answer.usage)
      same(line["credits"], 0.5, "credits of 500 tokens at 1 per 1000")


@play
def pictures_and_long_messages():
  """pictures in a message and messages of 500 KB pass"""
  with served() as place, place.client() as client:
    picture = "data:image/png;base64," + base64.b64encode(bytes(range(256)) * 400).decode()
    content = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": picture}}]
    answer = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}])
    holds("What is this?" in answer.choices[0].message.content, f"{answer}")
    answer = client.chat.completions.create(model="gpt-3.5-turbo", messages=said("word " * 100_000))
    holds(answer.usage.prompt_tokens >= 100_000, f"{answer.usage}")
    assert_metered(place, answer._request_id, answer.usage)


@play
def tools():
  """a tool is called, its result is sent back, and the answer quotes it"""
  with served() as place, place.client() as client:
    messages = said("What does the tool say of Oslo?")
    answer = client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER])
    same(answer.choices[0].finish_reason, "tool_calls")
    (call,) = answer.choices[0].message.tool_calls
    same((call.type, call.function.name), ("function", "weather"))
    holds("city" in json.loads(call.function.arguments), call.function.arguments)
    assert_metered(place, answer._request_id, answer.usage)
    messages += [answer.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "4 degrees, rain"}]
    second = client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER])
    holds("4 degrees, rain" in second.choices[0].message.content, f"{second}")


@play
def tools_streamed():
  """a streamed call of a tool is put together from its parts, and is that of the whole answer"""
  with served() as place, place.client() as client:
    asked = {"model": "demo-tools", "messages": said(), "tools": [WEATHER]}
    whole = client.chat.completions.create(**asked).choices[0].message.tool_calls[0].function
    name, arguments, ids = "", "", set()
    with client.chat.completions.create(**asked, stream=True) as stream:
      for part in stream:
        for call in part.choices[0].delta.tool_calls or []:
          name += call.function.name or ""
          arguments += call.function.arguments or ""
          ids |= {call.id} - {None}
    same((name, json.loads(arguments), len(ids)), (whole.name, json.loads(whole.arguments), 1))
    with client.chat.completions.stream(**asked) as stream:
      for _ in stream:
        pass
      found = stream.get_final_completion().choices[0].message.tool_calls[0].function
    same((found.name, json.loads(found.arguments)), (whole.name, json.loads(whole.arguments)))


@play
def both_fields():
  """the token is taken from Authorization and from x-api-key"""
  with served() as place:
    text = place.token()
    with place.client(key=text) as client:
      same(client.chat.completions.create(model=MODEL, messages=said()).model, MODEL)
    with place.client(key=text, default_headers={"Authorization": "", "x-api-key": text}) as client:
      client.chat.completions.create(model=MODEL, messages=said(), extra_headers={"Authorization": openai.omit})
    same({line["principal"] for line in place.chats()}, {"dev"})


@play
def listed():
  """models.list names the models that can be asked for"""
  with served() as place, place.client() as client:
    models = {model.id: model for model in client.models.list()}
    holds({"gpt-4", "gpt-3.5-turbo", "gpt-4-turbo", "demo-max"} <= set(models), f"{set(models)}")
    same({model.object for model in models.values()}, {"model"})
    for name in sorted(models)[:3]:
      holds(models[name].created >= 0 and models[name].owned_by, f"{models[name]}")


@play
def retrieved():
  """models.retrieve says of each model what the list does"""
  with served() as place, place.client() as client:
    models = {model.id: model for model in client.models.list()}
    holds("gpt-4" in models, f"{set(models)}")
    for name in models:
      same(client.models.retrieve(name), models[name], name)


@play
def closed_early():
  """a stream that is closed early ends at the provider too, is charged for what came, and nothing stays held"""
  with served() as place, place.client() as client:
    stream = client.chat.completions.create(model=MODEL, messages=said("word " * 500), stream=True)
    for number, _ in enumerate(stream):
      if number == 5:
        break
    stream.close()
    line = place.line(stream.response.headers["x-request-id"])
    same((line["cause"], line["usage"]["source"]), ("client_left", "estimated"))
    holds(0 < line["credits"] < 1, f"{line}")
    host, port = place.edge.address()
    with Client((host, int(port))) as plain_client:
      found = json.loads(plain_client.get("/api/credits/balance", [bearer(place.token())]).body)
    holds(found["held"] == 0 and abs(1000 - found["balance"] - line["credits"]) < 1e-9, f"{found} after {line}")


@play
def fifty_at_once():
  """fifty streams at once by one asynchronous client are all whole, and each is charged"""
  async def one(client, number):
    stream = await client.chat.completions.create(model=MODEL, messages=said(f"number {number}"), stream=True,
                                                  stream_options={"include_usage": True})
    parts = [part async for part in stream]
    return "".join(part.choices[0].delta.content or "" for part in parts if part.choices), parts[-1].usage

  async def all_of_them(place, key):
    http = openai.DefaultAsyncHttpxClient(trust_env=False)
    async with openai.AsyncOpenAI(base_url=place.url, api_key=key, max_retries=0, timeout=3 * DEADLINE,
                                  http_client=http) as client:
      return await asyncio.gather(*[one(client, number) for number in range(50)])
  with served() as place:
    answers = asyncio.run(all_of_them(place, place.token()))
    for number, (text, used) in enumerate(answers):
      holds(text.startswith(f"You said: number {number}\n"), text)
      same(used.completion_tokens, demo_tokens(text))
    place.edge.wait(lambda: len(place.chats()) == 50, "fifty access lines")
    same(sum(line["usage"]["outputTokens"] for line in place.chats()),
         sum(used.completion_tokens for _, used in answers), "tokens of all")
