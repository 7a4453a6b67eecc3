"""`edge reload` with a price, a policy and a route that have changed, while many chats are streamed."""

from play import *
from stage.credits import *
from stage.provider import *

STREAMS = 200
MARKED = {**USUAL, "mark": lua(on_request="if req.headers['x-ask'] then edge.reply{json = {mark = 'old'}} end")}


@play
def everything_at_once():
  """while 200 chats stream, edge reload prints what differs, no stream breaks, and new requests follow the new files"""
  with chatting(server={"workers": 2}, policies=MARKED) as (client, edge, provider):
    gate = provider.gate()
    provider.script = streamed(part("one"), gate, *story("two", used=usage(100, 100)))
    clients = [Client(edge.address()) for _ in range(STREAMS)]
    try:
      for number, one in enumerate(clients):
        one.send(post(chat(stream=True), user=f"user-{number}"))
      answers = [Events(one) for one in clients]
      for answered in answers:
        same(answered.next(), part("one"))
      edge.folder.fill(
        merged(edge.config, {"models": {"small": {"price": Decimal("10")}}, "routes": {"chat": {"path": "/chat"}}}),
        {file_of("mark"): MARKED["mark"].replace("old", "new")})
      code, out, err = command("reload", folder=edge.folder.path)
      lines = out.splitlines()
      holds(re.fullmatch(r"generation 2 serves \(\d+ ms\); 1 older generation still runs", lines[0]), out)
      same((code, err, lines[1:]), (0, "", [
        "  ~ models.small.price: 1 -> 10", f"  ~ routes.chat.path: [{PATH}] -> [/chat]", "  ~ policies.mark"]))
      same([(row["number"], row["running"]) for row in edge.status()["generations"]], [(1, STREAMS), (2, 1)])
      provider.script = told(used=usage(100, 100))
      assert_charged(edge, ask(client, path="/chat"), cost(200, 10))
      same(json.loads(ask(client, path="/chat", fields=[("X-Ask", "1")]).body), {"mark": "new"})
      same(ask(client).status, 404, "the old path")
      gate.open()
      for answered in answers:
        same(answered.rest(), part("two") + part(finish="stop") + DONE)
      for number in (0, 1, 99, STREAMS - 1):
        same(settled(client, f"user-{number}"), 1000 - cost(200), f"balance of user-{number}, at the old price")
    finally:
      for one in clients:
        one.close()
    edge.wait_line(event="generation_ended", generation=1)
    same({line["cause"] for line in edge.exchanges(STREAMS + 3) if line["generation"] == 1}, {"completed"})
