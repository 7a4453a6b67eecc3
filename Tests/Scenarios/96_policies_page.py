"""The guide to policies: its examples do what it says, and what it shows of Lua is Lua."""

import pathlib
import re

from play import *

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def blocks(kind):
  """The fenced blocks of a kind, in order."""
  return [text for name, text in BLOCKS if name == kind]


def example(service_port, **replaced):
  """The example's configuration on a free port, and its scripts under the names that the page gives them."""
  config = blocks("yaml")[0].replace("127.0.0.1:3003", "127.0.0.1:0").replace("127.0.0.1:3007",
                                                                            f"127.0.0.1:{service_port}")
  for name, text in replaced.items():
    config = re.sub(rf"{name}: \[.*?\]", f"{name}: [{text}]", config)
  names = re.findall(r"as\s+`policies/(\w+\.lua)`", PAGE)
  same(names, ["office.lua", "rooms.lua"], "scripts that the page has saved")
  return config, {f"policies/{name}": text for name, text in zip(names, blocks("lua"))}


@play
def the_example():
  """the example of the guide answers from the office with what the chat service says, asked once in ten seconds"""
  with Origin(answer(200, b'["hall", "attic"]')) as origin:
    config, files = example(origin.address[1])
    with Edge(config, files=files) as edge, edge.client() as client:
      for _ in range(3):
        response = client.get("/api/rooms")
        same((response.status, json.loads(response.body)), (200, json.loads(blocks("json")[0])))
      same([request.target for request in origin.requests], ["/api/chat/rooms"], "requests at the service")
      same(client.get("/api/chat/rooms").status, 200)


@play
def from_elsewhere():
  """the example of the guide refuses other networks as the guide shows, for the handler and the service"""
  with Origin() as origin:
    config, files = example(origin.address[1], **{"from": "10.0.0.0/8, 192.168.0.0/16, 127.0.0.2/32"})
    shown_error = json.loads(blocks("json")[1])["error"]
    with Edge(config, files=files) as edge, edge.client() as client:
      for path in ("/api/rooms", "/api/chat/rooms"):
        response = client.get(path)
        assert_error(response, 403, shown_error["code"])
        same(json.loads(response.body)["error"]["message"], shown_error["message"])
    same(origin.requests, [], "requests at the service")


@play
def example_is_checked():
  """`edge check` accepts the example of the guide, and says of a broken setting what the guide shows"""
  wanted = blocks("")[0]
  config, files = example(1)
  with Folder(config, files) as folder:
    code, _, errors = command("check", "--dev", folder=folder.path, extra={"JWT_SECRET": None})
    same((code, errors), (0, ""), "check of the example")
    folder.write("routes.yaml", example(1, **{"from": "10.0.0.0"})[0])
    code, _, errors = command("check", "--dev", folder=folder.path)
    same(code, 1, "exit code of check")
    holds(errors.startswith(wanted), errors)


@play
def example_is_tested():
  """`edge test` runs the guide's tests of its example with the result that it shows, and notices a broken example"""
  config, files = example(1)
  tests = re.findall(r"^`(policies/tests/\w+\.lua)`[^`]*:\n\n```lua\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
  same(len(tests), 2, "files of tests")
  files |= dict(tests) | {"routes.test.yaml": blocks("yaml")[-1]}
  with Folder(config, files) as folder:
    code, output, errors = command("test", folder=folder.path, extra={"JWT_SECRET": None})
    same((code, output, errors), (0, blocks("")[1], ""), "edge test")
    folder.write("policies/office.lua", files["policies/office.lua"].replace("edge.refuse", "return --"))
    code, output, _ = command("test", folder=folder.path, extra={"JWT_SECRET": None})
    same((code, output.splitlines()[-1]), (1, "8 passed, 1 failed"), "edge test of a policy that lets everybody in")


@play
def a_limit():
  """the limit that the guide defines lets twenty in, and tells the next one when to come again"""
  config = {"version": 1, "listeners": {"main": {"bind": "127.0.0.1:0"}},
            "policies": {"uploads": {"script": "uploads.lua"}, "whoami": {"script": "whoami.lua"}},
            "routes": {"all": {"path": "/*", "handler": "whoami", "policies": ["uploads"]}}}
  files = {"policies/uploads.lua": next(text for text in blocks("lua") if '"uploads"' in text),
           "policies/whoami.lua": (ROOT / "policies/whoami.lua").read_text(encoding="utf-8")}
  with Edge(config, files=files) as edge, edge.client() as client:
    same([client.get("/").status for _ in range(20)], [200] * 20)
    response = client.get("/")
    assert_error(response, 429, "RATE_LIMIT_EXCEEDED")
    among(int(response.fields.one("retry-after")), range(3500, 3601))


@play
def credits():
  """what the guide shows of credits: its test passes, its policy takes the cheapest, its routes are accepted"""
  config = "version: 1\nlisteners: {main: {bind: 127.0.0.1:0}}\n" + re.sub(
    r"^policies:\n", "policies:\n  auth: {script: auth.lua}\n  permissions: {script: permissions.lua}\n",
    blocks("yaml")[1])
  files = {f"policies/{name}": (ROOT / "policies" / name).read_text(encoding="utf-8")
           for name in ("auth.lua", "permissions.lua", "credits.lua", "credits_api.lua")}
  cheapest = next(text for text in blocks("lua") if "table.sort(candidates" in text)
  files |= {"policies/cheapest.lua": cheapest, "policies/tests/paid_test.lua": blocks("lua")[-1],
            "policies/tests/cheapest_test.lua": """
return {takes_the_cheapest = function(t)
  local candidates = {{provider = "a", model = "m", estimate = 2}, {provider = "b", model = "m", estimate = 1}}
  t.equal(t.policy("cheapest.lua"):on_select{candidates = candidates}.order, {"b", "a"})
end}
"""}
  with Folder(config, files) as folder:
    code, _, errors = command("check", "--dev", folder=folder.path, extra={"JWT_SECRET": None})
    same((code, errors), (0, ""), "check of the routes")
    code, output, _ = command("test", folder=folder.path, extra={"JWT_SECRET": None})
    same((code, output.splitlines()[-1]), (0, "2 passed, 0 failed"), "edge test")


@play
def on_retry():
  """the policy that the guide shows for `on_retry` does what the test beside it says, and the test notices when not"""
  config = "version: 1\nlisteners: {main: {bind: 127.0.0.1:0}}\npolicies: {same: {script: same_model.lua}}\n"
  policy, test = [text for text in blocks("lua") if "on_retry" in text]
  files = {"policies/same_model.lua": policy, "policies/tests/same_model_test.lua": test}
  with Folder(config, files) as folder:
    code, output, _ = command("test", folder=folder.path, extra={"JWT_SECRET": None})
    same((code, output.splitlines()[-1]), (0, "1 passed, 0 failed"), "edge test")
    folder.write("policies/same_model.lua", policy.replace("not attempt.next.equivalent", "true"))
    code, output, _ = command("test", folder=folder.path, extra={"JWT_SECRET": None})
    same((code, output.splitlines()[-1]), (1, "0 passed, 1 failed"), "edge test of a policy that asks everybody")


@play
def on_message():
  """the policy that the guide shows for `on_message` does what its test says, and the test notices when not"""
  config = "version: 1\nlisteners: {main: {bind: 127.0.0.1:0}}\npolicies: {visitors: {script: visitors.lua, " \
           "settings: {model: small, limit: 5 per 1h}}}\n"
  policy, test = [text for text in blocks("lua") if "on_message" in text]
  files = {"policies/visitors.lua": policy, "policies/tests/visitors_test.lua": test}
  with Folder(config, files) as folder:
    code, output, _ = command("test", folder=folder.path, extra={"JWT_SECRET": None})
    same((code, output.splitlines()[-1]), (0, "2 passed, 0 failed"), "edge test")
    folder.write("policies/visitors.lua", policy.replace("not ctx.visitor", "ctx.visitor"))
    code, output, _ = command("test", folder=folder.path, extra={"JWT_SECRET": None})
    same((code, output.splitlines()[-1]), (1, "0 passed, 2 failed"), "edge test of a policy that takes all for staff")


@play
def on_response():
  """the policy that the guide shows for answers does what its test says, and the test notices when it does not"""
  config = "version: 1\nlisteners: {main: {bind: 127.0.0.1:0}}\npolicies: {house: {script: house.lua, " \
           "settings: {word: secret}}}\n"
  policy, test = [text for text in blocks("lua") if "on_response" in text]
  files = {"policies/house.lua": policy, "policies/tests/house_test.lua": test}
  with Folder(config, files) as folder:
    code, output, _ = command("test", folder=folder.path, extra={"JWT_SECRET": None})
    same((code, output.splitlines()[-1]), (0, "2 passed, 0 failed"), "edge test")
    changed = policy.replace("res.headers.server = nil", "").replace("ctx.said = said", "ctx.other = said")
    folder.write("policies/house.lua", changed)
    code, output, _ = command("test", folder=folder.path, extra={"JWT_SECRET": None})
    same((code, output.splitlines()[-1]), (1, "0 passed, 2 failed"), "edge test of a policy that hides nothing")


@play
def answers_are_judged():
  """the policy that the guide shows for answers hides and stops in front of a service what it says"""
  config = {"version": 1, "listeners": {"main": {"bind": "127.0.0.1:0"}},
            "policies": {"house": {"script": "house.lua", "settings": {"word": "secret"}}}}
  files = {"policies/house.lua": next(text for text in blocks("lua") if "on_response" in text)}
  with Origin({"/secret": answer(200, b"a secret"), "*": answer(200, b"none", [("Server", "app/1.2")])}) as origin:
    config |= {"services": {"app": {"endpoints": [origin.url]}},
               "routes": {"all": {"path": "/*", "service": "app", "policies": ["house"]}}}
    with Edge(config, files=files) as edge, edge.client() as client:
      response = client.get("/")
      same((response.body, response.fields.all("server"), response.fields.one("x-content-type-options")),
           (b"none", [], "nosniff"))
      assert_error(client.get("/secret"), 422, "CONTENT_REJECTED")


@play
def shipped_policies_are_told():
  """the guide tells of every shipped script and of every setting that its head names, and of no other"""
  rows = dict(re.findall(r"^\| `(\w+\.lua)` \|(.*)$", PAGE, re.MULTILINE))
  shipped = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "policies").glob("*.lua")}
  same(set(rows), set(shipped), "shipped scripts")
  for name, text in shipped.items():
    told = re.findall(r"^--(?: settings:| {7}or| {10}) +(\w+)  ", text, re.MULTILINE)
    same(bool(told), "-- settings:" in text, f"settings found in {name}")
    same(set(re.findall(r"`(\w+):", rows[name])), set(told), f"settings of {name}")
