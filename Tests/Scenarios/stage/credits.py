"""Models that cost credits: configurations with a provider, requests of users, balances, and the ledger's file."""

import glob
import json
import os
import sqlite3
from contextlib import contextmanager
from decimal import Decimal

from .check import eventually, holds, same
from .client import head
from .config import merged
from .edge import Edge
from .messages import MESSAGES, MessagesProvider
from .origin import Origin, answer
from .policies import AUTH, PERMISSIONS, shipped, furnished, lua
from .provider import KEY, PATH, Events, Provider
from .token import bearer

CREDITS, CREDITS_API = shipped("credits.lua"), shipped("credits_api.lua")
# On every route to models, in this order.
USUAL = {"auth": AUTH, "permissions": PERMISSIONS, "credits": CREDITS}
# Tells what the request would hold, instead of asking a model.
ESTIMATE = lua("edge.reply{json = {estimate = edge.credit.decimal(edge.price.estimate() or 0)}}")
# The price of the stage: a thousandth of a credit for each token.
PRICE = Decimal("1")
MAX_OUTPUT = 1000

# What the API of credits calls things.
BALANCE, HISTORY, GRANT = "/api/credits/balance", "/api/credits/history", "/api/credits/grant"

# Billionths of a credit, as the ledger's file counts.
UNITS = 1_000_000_000
# Stands before the name of a user there.
OF_USER = "user/"


def llm(*providers, provider=None, model=None, policies=None, route=None, balance=1000, **changes):
  """One listener, `/health`, a model `small` that these providers offer, and the API of credits; and files for it.

  `provider`, `model` and `route` are laid over their rows, `changes` over the whole. `policies` are dictionaries of
  names to Lua text, or to text and settings; every account begins with `balance`."""
  chosen = USUAL if policies is None else policies
  rows, files = furnished({"auth": AUTH, "permissions": PERMISSIONS, "credits-api": CREDITS_API, "estimate": ESTIMATE,
                           **chosen})
  names = [f"p{number}" for number in range(1, len(providers) + 1)]
  asked = {"methods": ["POST"], "dialect": "openai-chat", "policies": list(chosen), "permission": "services:use"}
  guarded = {"handler": "credits-api", "policies": ["auth"]}
  base = {
    "version": 1,
    "server": {"workers": 1, "drain": "5s"},
    "listeners": {"main": {"bind": "127.0.0.1:0"}},
    "credits": {"initial": Decimal(balance)},
    "providers": {name: merged({"dialect": getattr(found, "dialect", Provider.dialect), "endpoints": [found.url],
                                "key": KEY, "priority": at + 1}, provider or {})
                  for at, (name, found) in enumerate(zip(names, providers))},
    "models": {"small": merged({"providers": names, "price": PRICE, "max_output": MAX_OUTPUT}, model or {})},
    "policies": rows,
    "routes": {
      "health": {"path": "/health", "methods": ["GET"], "builtin": "health"},
      "chat": merged({"path": PATH, **asked}, route or {}),
      "messages": merged({"path": MESSAGES, **asked, "dialect": "anthropic-messages"}, route or {}),
      "estimate": {**asked, "path": "/estimate", "policies": ["auth", "permissions", "estimate"]},
      "estimate-messages": {**asked, "path": "/estimate-messages", "policies": ["auth", "permissions", "estimate"],
                            "dialect": "anthropic-messages"},
      "balance": {"path": BALANCE, "methods": ["GET"], **guarded},
      "history": {"path": HISTORY, "methods": ["GET"], **guarded},
      "grant": {"path": GRANT, "methods": ["POST"], "handler": "credits-api", "policies": ["auth", "permissions"],
                "permission": "credits:grant"},
    },
  }
  return merged(base, changes), files


@contextmanager
def chatting(script=None, *, kind=Provider, whole=True, lenient=False, loud=False, extra=None, files=None, **config):
  """A provider of this kind with `script`, an edge that offers its model and a client of the edge."""
  with kind(script, whole=whole, lenient=lenient) as provider:
    document, found = llm(provider, **config)
    with Edge(document, files={**found, **(files or {})}, loud=loud, extra=extra) as edge, edge.client() as client:
      yield client, edge, provider


@contextmanager
def beside(config):
  """A service `side` that policies ask: the configuration with it, and a gate in front of its answer to /gate."""
  with Origin(lenient=True) as side:
    gate = side.gate()
    side.script = {"/gate": lambda request, line: (gate.wait("the side"), answer(200)(request, line)),
                   "*": answer(200, b"now")}
    yield merged({"services": {"side": {"endpoints": [side.url]}},
                  "routes": {"side": {"path": "/side", "service": "side"}}}, config), gate


@contextmanager
def chatting_beside(policies, script, **config):
  """As `chatting`, with a service `side` that the policies ask, and a gate in front of its answer to /gate."""
  with beside(config) as (changes, gate):
    with chatting(script, lenient=True, policies=policies, **changes) as (client, edge, provider):
      yield client, edge, provider, gate


def messaging(script=None, **options):
  """As `chatting`, with a provider that speaks as Anthropic does."""
  return chatting(script, kind=MessagesProvider, **options)


def evened(document):
  """A body of an even number of bytes, so that half of them is a whole number."""
  body = json.dumps(document).encode()
  return body if len(body) % 2 == 0 else body + b" "


def chat(content="Say hello.", model="small", **fields):
  """The body of a chat request."""
  return evened({"model": model, "messages": [{"role": "user", "content": content}], **fields})


def talk(content="Say hello.", model="small", **fields):
  """The body of the same request in Anthropic's words."""
  return evened({"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": content}], **fields})


def post(body, user="alice", fields=(), path=PATH, **claims):
  """A whole request with a token of the user; `user` None: without one."""
  own = [] if user is None else [bearer(user=user, **claims)]
  return head("POST", path, [*own, ("Content-Type", "application/json"), ("Content-Length", len(body)), *fields]) + body


def ask(client, body=None, user="alice", fields=(), path=PATH, **claims):
  """Sends a chat request and reads its answer whole."""
  client.send(post(chat() if body is None else body, user, fields, path, **claims))
  return client.read_response("POST")


def say(client, body=None, user="alice", fields=(), **claims):
  """As `ask`, in Anthropic's words."""
  return ask(client, talk() if body is None else body, user, fields, MESSAGES, **claims)


def begin_talk(client, body=None, user="alice", fields=(), **claims):
  """As `begin`, in Anthropic's words."""
  return begin(client, talk(stream=True) if body is None else body, user, fields, path=MESSAGES, **claims)


def begin(client, body=None, user="alice", fields=(), **claims):
  """Sends a streamed chat request; its answer, of which the head has been read."""
  client.send(post(chat(stream=True) if body is None else body, user, fields, **claims))
  return Events(client)


def exact(value):
  """A number of JSON as the decimal that was written."""
  return value if isinstance(value, Decimal) else Decimal(str(value))


def document_of(response, status=200):
  """A JSON answer, its numbers read exactly."""
  same(response.status, status, f"status ({response.body[:300]!r})")
  return json.loads(response.body, parse_float=Decimal, parse_int=int)


def account(client, user="alice", **claims):
  """What the API says a user has: (balance, held)."""
  found = document_of(client.get(BALANCE, [bearer(user=user, **claims)]))
  same(exact(found["available"]), exact(found["balance"]) - exact(found["held"]), f"available in {found}")
  return exact(found["balance"]), exact(found["held"])


def balance(client, user="alice"):
  """A user's balance, of which nothing may be held."""
  found, on_hold = account(client, user)
  same(on_hold, 0, f"held of {user}")
  return found


def settled(client, user="alice"):
  """Waits until nothing of a user's is held; the balance."""
  eventually(lambda: account(client, user)[1] == 0, f"nothing is held of {user}")
  return account(client, user)[0]


def entries(client, user="alice", limit=None):
  """All entries of a user's history, newest first, page by page."""
  found, cursor = [], None
  while True:
    query = "&".join(f"{name}={value}" for name, value in (("limit", limit), ("cursor", cursor)) if value is not None)
    page = document_of(client.get(HISTORY + ("?" + query if query else ""), [bearer(user=user)]))
    found += page["entries"]
    cursor = page.get("next")
    if not cursor:
      return found


def grant(client, user, amount, by="root", key=None, **fields):
  """Asks for credits of a user as an administrator; the answer."""
  document = {"userId": user, "credits": amount, **({"idempotencyKey": key} if key else {}), **fields}
  body = json.dumps(document, default=float).encode()
  return client.request("POST", GRANT, [bearer(user=by, role="admin"), ("Content-Type", "application/json")], body)


def estimate(client, body, user="alice", path="/estimate", **claims):
  """What the edge would hold for a request."""
  return exact(document_of(ask(client, body, user, path=path, **claims))["estimate"])


def cost(tokens, price=PRICE):
  """Credits of so many tokens."""
  return Decimal(tokens) * Decimal(price) / 1000


def assert_charged(edge, response, charge, source="reported", tokens=None, **wanted):
  """The access line of a request for a model says this; the line. `tokens` are those in and those out."""
  line = edge.line_of(response)
  same(exact(line["credits"]), Decimal(charge), f"credits in {line}")
  same(line["usage"]["source"], source, "source of the usage")
  if tokens:
    same((line["usage"]["inputTokens"], line["usage"]["outputTokens"]), tokens, "tokens in and out")
  for name, value in wanted.items():
    same(line.get(name), value, name)
  return line


# MARK: the ledger's file


def ledger_file(folder):
  """The path of the ledger below a folder: the only file there that is a database."""
  found = []
  for path in glob.glob(os.path.join(folder, "var", "**"), recursive=True):
    if os.path.isfile(path):
      with open(path, "rb") as file:
        if file.read(15) == b"SQLite format 3":
          found.append(path)
  same(len(found), 1, f"databases below {folder}/var")
  return found[0]


class Ledger:
  """What stands in the ledger's file, once the edge that wrote it has ended."""

  def __init__(self, folder):
    database = sqlite3.connect(ledger_file(folder))
    try:
      database.row_factory = sqlite3.Row
      same([row[0] for row in database.execute("PRAGMA integrity_check")], ["ok"], "integrity of the file")
      self.accounts = {row["id"]: row for row in database.execute("SELECT id, name, balance FROM accounts")}
      self.transfers = database.execute("SELECT * FROM transfers ORDER BY id").fetchall()
      self.postings = database.execute("SELECT * FROM postings ORDER BY transfer, account").fetchall()
    finally:
      database.close()

  def of(self, user):
    """What a user has, in credits; None for one without an account."""
    found = [row["balance"] for row in self.accounts.values() if row["name"] == OF_USER + user]
    return Decimal(found[0]) / UNITS if found else None

  def settlements(self):
    return [row for row in self.transfers if row["kind"] == "settlement"]

  def assert_sound(self):
    """Each transfer has two sides; a user's balance is the sum of its transfers, and never was below zero."""
    sums, stand = dict.fromkeys(self.accounts, 0), {}
    sides = {row["id"]: [] for row in self.transfers}
    for row in self.postings:
      sides[row["transfer"]].append(row["amount"])
      sums[row["account"]] += row["amount"]
      if self.accounts[row["account"]]["name"].startswith(OF_USER):
        same(row["balance_after"], sums[row["account"]], f"balance behind transfer {row['transfer']}")
        stand[row["account"]] = min(stand.get(row["account"], 0), row["balance_after"])
    same({name for name, amounts in sides.items() if len(amounts) != 2 or sum(amounts)}, set(),
         "transfers that do not add up to nothing")
    users = {name: row for name, row in self.accounts.items() if row["name"].startswith(OF_USER)}
    same({name: row["balance"] for name, row in users.items()}, {name: sums[name] for name in users},
         "balances and the sums of their postings")
    same({name for name in users if stand.get(name, 0) < 0}, set(), "accounts that were below zero")
    names = [row["transaction"] for row in self.settlements()]
    same(len(set(names)), len(names), "attempts that are settled")
    return self


def ledger_of(edge):
  """The ledger of an edge that has ended."""
  holds(edge.code is not None, "the edge still runs")
  return Ledger(edge.folder.path).assert_sound()
