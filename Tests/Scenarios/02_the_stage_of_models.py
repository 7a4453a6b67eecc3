"""The stage's provider of models and its reading of ledgers are proven without an edge."""

import os
import sqlite3

from play import *
from stage.credits import *
from stage.messages import *
from stage.provider import *

# As much of a ledger as is read.
TABLES = """CREATE TABLE accounts (id INTEGER PRIMARY KEY, name TEXT, balance INTEGER);
CREATE TABLE transfers (id INTEGER PRIMARY KEY, kind TEXT, "transaction" TEXT, exchange TEXT, request_id TEXT);
CREATE TABLE postings (transfer INTEGER, account INTEGER, amount INTEGER, balance_after INTEGER);
INSERT INTO accounts VALUES (1, 'edge/revenue', NULL), (2, 'edge/issued', NULL), (3, 'user/alice', 900);
INSERT INTO transfers VALUES (1, 'initial', 'i', NULL, NULL), (2, 'settlement', 'a', 'e', 'r');
INSERT INTO postings VALUES (1, 2, -1000, NULL), (1, 3, 1000, 1000), (2, 1, 100, NULL), (2, 3, -100, 900);
"""


def refused(function):
  try:
    function()
  except Failed as failure:
    return failure
  raise Failed("nothing was found wrong")


@play
def answers_of_a_provider():
  """a provider answers whole and streamed chats, tells usage only where it is asked to, and keeps what it was asked"""
  with Provider() as provider, Client(provider.address) as client:
    same(json.loads(ask(client).body), completion(used=usage(10, 5)))
    same(provider.asked()["model"], "small")
    same(begin(client).rest(), b"".join(story("he", "llo")))
    asking = chat(stream=True, stream_options={"include_usage": True})
    same(begin(client, asking).rest(), b"".join(story("he", "llo", used=usage(10, 5))))
    same((len(provider.requests), len(provider.lines)), (3, 1))
    same(provider.requests[0].fields.one("content-type"), "application/json")


@play
def steps_of_a_stream():
  """a stream of the stage waits at gates and ends as the play says"""
  with Provider() as provider:
    gate = provider.gate()
    for end in (Line.close, read_and_reset):
      provider.script = streamed(part("one"), gate, part("two"), end)
      with Client(provider.address) as client:
        answered = begin(client)
        same(answered.next(), part("one"))
        if not gate.event.is_set():
          client.assert_open()
        gate.open()
        same(answered.cut(), part("two"))
    provider.script = streamed(*story("one", end=b"\r\n"))
    with Client(provider.address) as client:
      answered = begin(client)
      same(answered.next(b"\r\n"), part("one", end=b"\r\n"))
      same(answered.rest().endswith(b"data: [DONE]\r\n\r\n"), True)
      refused(answered.next)


@play
def errors_in_the_form_of_openai():
  """errors that are not exactly in OpenAI's form are found"""
  good = {"error": {"message": "no model", "type": "invalid_request_error", "param": "model",
                    "code": "model_not_found"}}
  fields = [("X-Request-Id", "a")]
  with Provider() as provider, Client(provider.address) as client:
    provider.script = told(good, status=404, fields=fields)
    assert_openai_error(ask(client), "MODEL_NOT_FOUND", message="model")
    for changes in ({"code": "other"}, {"type": "other"}, {"param": "n"}, {"message": ""}, {"more": 1}):
      provider.script = told({"error": {**good["error"], **changes}}, status=404, fields=fields)
      refused(lambda: assert_openai_error(ask(client), "MODEL_NOT_FOUND"))
    for script in (told(good, status=400, fields=fields), told({**good, "timestamp": "x"}, status=404, fields=fields),
                   told(good, status=404), told(good, status=404, fields=[*fields, ("X-Should-Retry", "false")])):
      provider.script = script
      refused(lambda: assert_openai_error(ask(client), "MODEL_NOT_FOUND"))


@play
def errors_in_the_form_of_anthropic():
  """errors that are not exactly in Anthropic's form are found"""
  good = {"type": "error", "error": {"type": "not_found_error", "message": "model: no model"}, "request_id": "a"}
  fields = [("X-Request-Id", "a"), ("Request-Id", "a")]
  with MessagesProvider() as provider, Client(provider.address) as client:
    def scripted(document, rows, status=404):
      provider.script = answer(status, dumped(document), [("Content-Type", "application/json"), *rows])
      return say(client)
    assert_message_error(scripted(good, fields), "MODEL_NOT_FOUND", "model", said="no model")
    for document, rows, status in (({**good, "more": 1}, fields, 404), (good, fields, 400), (good, fields[:1], 404),
                                   ({**good, "request_id": "b"}, fields, 404), ({**good, "type": "x"}, fields, 404),
                                   ({**good, "error": {**good["error"], "param": None}}, fields, 404),
                                   (good, [*fields, ("X-Should-Retry", "false")], 404)):
      response = scripted(document, rows, status)
      refused(lambda: assert_message_error(response, "MODEL_NOT_FOUND"))
    response = scripted(good, fields)
    refused(lambda: assert_message_error(response, "MODEL_NOT_FOUND", "max_tokens"))


@play
def answers_in_words_of_anthropic():
  """messages of the stage, whole and streamed, are put together again, and streams out of order are found"""
  used = tokens(10, 5, read=3, written=2, thinking=4)
  blocks = [called("weather", '{"city":', '"Oslo"}'), called("now", call="toolu_2")]
  wanted = ("hello", [("toolu_1", "weather", {"city": "Oslo"}), ("toolu_2", "now", {})], "tool_use", (15, 5, 3, 2, 4))
  whole = [text("hello"), tool_use("weather", {"city": "Oslo"}), tool_use("now", {}, "toolu_2")]
  with MessagesProvider(replied(message(whole, used, stop="tool_use"))) as provider:
    with Client(provider.address) as client:
      same(heard_message(say(client)).said(), wanted)
      provider.script = provider.usual
      same(heard_message(say(client)).said(), ("hello", [], "end_turn", (10, 5, 0, 0, 0)))
      same(heard_events(begin_talk(client).rest()).said(), ("hello", [], "end_turn", (10, 5, 0, 0, 0)))
  events = tale("he", "llo", blocks=blocks, used=used, stop="tool_use")
  for one in (events, tale("hello", blocks=blocks, used=used, stop="tool_use", repeats=True)):
    same(heard_events(b"".join(one)).said(), wanted)
  same(heard_events(b"".join([*events[:3], failure()]), whole=False).failure["type"], "overloaded_error")
  for wrong in (events[1:], events[:-1], events[:-2] + events[-1:], [events[0]] * 2 + events[1:],
                events[:4] + events[5:], [*events, PING], events[:1] + events[2:], events + events[-1:]):
    refused(lambda one=wrong: heard_events(b"".join(one)))


@play
def answers_in_words_of_openai():
  """chats of the stage, whole and streamed, are put together again, and streams out of order are found"""
  calls = [call_of(0, "", "weather"), call_of(0, '{"city":'), call_of(0, '"Oslo"}'), call_of(1, "{}", "now")]
  begun = part(delta={"role": "assistant", "content": ""})
  events = [begun, part("hello"), *calls, part(finish="tool_calls"), totals(usage(10, 5, 3, 2, 4)), DONE]
  wanted = ("hello", [("call_0", "weather", {"city": "Oslo"}), ("call_1", "now", {})], "tool_calls", (10, 5, 3, 2, 4))
  same(heard_chunks(b"".join(events)).said(), wanted)
  same(heard_chunks(b"".join(events[:2]), whole=False).text, "hello")
  failed = event({"error": {"message": "overloaded", "type": "server_error", "param": None, "code": None}})
  same(heard_chunks(begun + failed, whole=False).failure["message"], "overloaded")
  for wrong in (events[:-1], events[1:], [begun, *events], events[:2] + events[5:],
                [*events[:-2], part("more"), DONE], [*events[:-1], totals(usage(1, 1)), DONE],
                [begun, part(""), *events[1:]]):
    refused(lambda one=wrong: heard_chunks(b"".join(one)))
  with Provider() as provider, Client(provider.address) as client:
    same(heard_completion(ask(client)).said(), ("hello", [], "stop", (10, 5, 0, 0, 0)))


@play
def ledgers():
  """a sound ledger is read, and one whose sums are wrong is found out"""
  wrong = ["UPDATE accounts SET balance = 901 WHERE id = 3", "DELETE FROM postings WHERE account = 1",
           "UPDATE postings SET amount = 1001 WHERE balance_after = 1000",
           "UPDATE postings SET balance_after = 899 WHERE balance_after = 900",
           "INSERT INTO transfers VALUES (3, 'settlement', 'b', 'e', 'r')",
           "INSERT INTO transfers VALUES (3, 'settlement', 'a', 'e', 'r');"
           "INSERT INTO postings VALUES (3, 1, 0, NULL), (3, 3, 0, 900)"]
  for statement in [None, *wrong]:
    with Folder(files={"var/ledger": ""}) as folder:
      database = sqlite3.connect(os.path.join(folder.path, "var", "ledger"))
      database.executescript(TABLES + (statement or "") + ";")
      database.close()
      ledger = Ledger(folder.path)
      if statement:
        refused(ledger.assert_sound)
      else:
        ledger.assert_sound()
        same((ledger.of("alice") * UNITS, ledger.of("bob"), len(ledger.settlements())), (900, None, 1))
