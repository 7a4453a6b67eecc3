"""`edge test`: tests of policies and of the route table."""

import os
import re

from play import *

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
GOOD = serving("http://127.0.0.1:3007")
POLICY = """local policy = {}
function policy.on_request(req, ctx)
  if req.args.stop then edge.refuse("FORBIDDEN", {reason = req.args.stop}) end
  if req.args.ask then
    ctx.answer = edge.http.fetch{service = "app", path = "/users/" .. req.args.ask}.body
  end
end
return policy
"""


def tested(files, *arguments, config=None, extra=None):
  """Runs `test` on a configuration with these files: (exit code, standard output, standard error)."""
  with Folder(config or GOOD, {"policies/gate.lua": POLICY, **files}) as folder:
    code, out, err = command("test", "--config", f"{folder.path}/routes.yaml", *arguments, folder=folder.path,
                             extra=extra)
    return code, out.replace(folder.path + "/", ""), err.replace(folder.path + "/", "")


def test_file(*functions):
  return "local tests = {}\n" + "\n".join(functions) + "\nreturn tests\n"


PASSING = """function tests.lets_pass(t)
  t.passes(t.policy("gate.lua"):on_request{path = "/x"})
end"""


@play
def the_shipped_tests():
  """the tests that come with Edge pass, without a secret, and each file is named with its count"""
  code, out, err = command("test", folder=ROOT, extra={"JWT_SECRET": None})
  same((code, err), (0, ""), out)
  for name in ("auth", "permissions", "rate_limit", "whoami"):
    holds(re.search(rf"^policies/tests/{name}_test.lua: \d+ passed$", out, re.M), out)
  holds(re.search(r"^routes.test.yaml: \d+ passed$", out, re.M), out)
  holds(re.search(r"^\d+ passed, 0 failed$", out.strip().split("\n")[-1]), out)


@play
def a_test_that_fails():
  """a failing test gives exit code 1 and says file, line, test, what was expected and what was found"""
  failing = """function tests.is_wrong(t)
  local outcome = t.policy("gate.lua"):on_request{path = "/x", query = "stop=now"}
  t.refuses(outcome, "FORBIDDEN", {reason = "later"})
end"""
  code, out, err = tested({"policies/tests/gate_test.lua": test_file(PASSING, failing)})
  same((code, err), (1, ""), out)
  holds('policies/tests/gate_test.lua:7: is_wrong: details: at reason: expected "later", found "now"' in out, out)
  holds("policies/tests/gate_test.lua: 1 passed, 1 failed" in out, out)
  same(out.strip().split("\n")[-1], "1 passed, 1 failed", "last line")


@play
def wrong_outcomes():
  """what became of a request is told when it is not what was expected"""
  functions = [f"""function tests.number_{number}(t)
  t.{wanted}(t.policy("gate.lua"):on_request{{query = "{query}"}}{more})
end""" for number, (wanted, query, more) in enumerate([
    ("passes", "stop=now", ""), ("refuses", "a=b", ', "FORBIDDEN"'), ("replies", "a=b", ", 200")])]
  code, out, _ = tested({"policies/tests/gate_test.lua": test_file(*functions)})
  same(code, 1, out)
  for text in ('expected the request to pass, but it was refused with FORBIDDEN {reason = "now"}',
               "expected a refusal with FORBIDDEN, but the request passed",
               "expected an answer with 200, but the request passed"):
    holds(text in out, f"no {text!r} in {out}")


@play
def a_broken_file():
  """a file of tests that is no Lua is shown at its place, and the other files run all the same"""
  code, out, err = tested({"policies/tests/a_test.lua": "local tests = {}\nfunction tests.x(t\nreturn tests\n",
                           "policies/tests/b_test.lua": test_file(PASSING)})
  same((code, err), (1, ""), out)
  holds(re.search(r"^policies/tests/a_test.lua:3:\d+: error: .*\n  return tests\n  \^", out, re.M), out)
  holds("policies/tests/b_test.lua: 1 passed" in out, out)


@play
def files_that_hold_no_tests():
  """a file that returns no table, an empty one or other things than functions has failed"""
  for text, message in (("return 1\n", "must return a table"), ("return {}\n", "holds no test"),
                        ("return {a = 1}\n", "'a' must be a function")):
    code, out, _ = tested({"policies/tests/a_test.lua": text})
    same(code, 1, out)
    holds(message in out, out)
    same(out.strip().split("\n")[-1], "0 passed, 1 failed", "last line")


@play
def a_test_without_an_end():
  """a test that never ends is stopped, and so is a policy; the tests behind them run"""
  endless = "function tests.a(t)\n  while true do end\nend"
  policy = """function tests.b(t)
  t.fails(t.policy("endless.lua"):on_request{}, "CPU time")
end"""
  code, out, _ = tested({"policies/tests/gate_test.lua": test_file(endless, policy, PASSING),
                         "policies/endless.lua": "return {on_request = function() while true do end end}\n"})
  same(code, 1, out)
  holds(re.search(r"^policies/tests/gate_test.lua:3: a: took about \d+ ms of CPU time$", out, re.M), out)
  same(out.strip().split("\n")[-1], "2 passed, 1 failed", "last line")


@play
def fetches():
  """a policy gets the answers that the test has prepared; one without an answer, or one too many, is a failure"""
  asking = """function tests.a_asks(t)
  local outcome = t.policy("gate.lua"):on_request{query = "ask=ann", answers = {{status = 200, body = "yes"}}}
  t.passes(outcome)
  t.equal(outcome.ctx.answer, "yes")
  t.equal(#outcome.fetches, 1)
  t.equal(outcome.fetches[1].path, "/users/ann")
  t.equal(outcome.fetches[1].service, "app")
end"""
  failing = """function tests.b_fails(t)
  local outcome = t.policy("gate.lua"):on_request{query = "ask=ann", answers = {{failure = "upstream_timeout"}}}
  t.fails(outcome, "upstream_timeout")
end"""
  lacking = 'function tests.c_lacks(t) t.policy("gate.lua"):on_request{query = "ask=ann"} end'
  excess = 'function tests.d_has_more(t) t.policy("gate.lua"):on_request{answers = {{}}} end'
  code, out, _ = tested({"policies/tests/gate_test.lua": test_file(asking, failing, lacking, excess)})
  same(code, 1, out)
  holds("c_lacks: the policy asks for GET /users/ann of app, and the test has no answer for it" in out, out)
  holds("d_has_more: the test has 1 answers, the policy asked 0 times" in out, out)
  same(out.strip().split("\n")[-1], "2 passed, 2 failed", "last line")


SEEING = """local policy = {}
function policy.on_request(req, ctx)
  ctx.seen = {req.method, req.path, req.query, req.host, req.address, req.network, req.id, req.route, req.permission,
              req.listener, req.params.id, req.args.a, req.headers["x-many"]}
  ctx.hidden = req.headers.authorization
  ctx.times = {edge.time.now(), edge.time.now()}
  ctx.count = edge.kv.add("count", 1, 60)
  ctx.odd = {[7] = tostring, deep = {edge.json.null}}
  req.headers["x-set"], req.headers["x-taken"] = "1", nil
end
function policy.handle(req, ctx) edge.reply{status = 201, body = "made", headers = {["X-A"] = "b"}} end
function policy.on_log(ctx) ctx.noted = {ctx.status, ctx.cause, ctx.duration, ctx.request_bytes, ctx.user} end
return policy
"""


@play
def what_policies_see():
  """a policy sees the request, the time and the stores that the test gives it, in each of its phases"""
  seeing = """function tests.a_request(t)
  local policy = t.policy("seeing.lua")
  local outcome = policy:on_request{method = "POST", path = "/u/a%20b", query = "a=%41&b=2", host = "h.test:81",
    address = "2001:db8::7", listener = "inner", route = "users", permission = "users:read", pattern = "/u/:id",
    id = "me", token = {sub = "ann"}, headers = {["X-Many"] = {"1", "2"}}}
  t.passes(outcome)
  t.equal(outcome.ctx.seen, {"POST", "/u/a%20b", "a=%41&b=2", "h.test:81", "2001:db8::7", "2001:db8::", "me", "users",
    "users:read", "inner", "a b", "A", "1, 2"})
  t.equal(outcome.ctx.hidden, nil)
  t.equal(outcome.ctx.times, {t.now(), t.now()}, "time stands still")
  t.equal(outcome.ctx.odd, {["7"] = "<function>", deep = {edge.json.null}})
  t.equal(outcome.service_headers, {["x-set"] = "1", ["x-taken"] = false})
end"""
  time = """function tests.b_time(t)
  local policy = t.policy("seeing.lua")
  t.equal(policy:on_request{}.ctx.count, 1)
  t.sleep(59)
  t.equal(policy:on_request{}.ctx.count, 2)
  t.equal(t.policy("seeing.lua"):on_request{}.ctx.count, 1, "another policy has stores of its own")
  local before = t.now()
  t.sleep(2)
  t.equal(t.now() - before > 1.999, true)
  t.equal(policy:on_request{}.ctx.count, 1, "kept for a minute")
end"""
  phases = """function tests.c_phases(t)
  local policy = t.policy("seeing.lua")
  local answer = policy:handle{}
  t.replies(answer, 201)
  t.equal(answer.body, "made")
  t.equal(answer.headers, {["x-a"] = "b", ["content-type"] = "text/plain; charset=utf-8"})
  local ended = policy:on_log{ctx = {user = "ann"}, status = 502, cause = "upstream_cut", duration = 12.5,
    request_bytes = 3}
  t.passes(ended)
  t.equal(ended.ctx.noted, {502, "upstream_cut", 12.5, 3, "ann"})
end"""
  code, out, _ = tested({"policies/seeing.lua": SEEING,
                         "policies/tests/seeing_test.lua": test_file(seeing, time, phases)})
  same((code, out.strip().split("\n")[-1]), (0, "3 passed, 0 failed"), out)


@play
def mistakes_of_tests():
  """misspelt names, unknown scripts and requests that Edge would refuse are failures of the test"""
  for line, message in (
      ('t.policy("gate.lua"):on_request{pth = "/x"}', "the request has no 'pth'; did you mean 'path'?"),
      ('t.policy("gat.lua")', "'policies/gat.lua' cannot be read"),
      ('t.policy("../gate.lua")', "leads out of the folder"),
      ('t.policy("gate.lua", nil, {role = {}})', "the options has no 'role'; did you mean 'roles'?"),
      ('t.policy("gate.lua").on_request{}', "with a colon"),
      ('t.policy("gate.lua"):on_request{path = "/a b"}', "Edge refuses this request before any policy sees it"),
      ('t.policy("gate.lua"):on_request{headers = {["x-a"] = "b\\r\\nx-c: d"}}', "holds a line end"),
      ('t.refuses(t.policy("gate.lua"):on_request{}, "FORBIDEN")', "'FORBIDEN' is no error code"),
      ('t.policy("gate.lua"):handle{}', "the policy has no handle"),
      ('t.fails(function() end)', "expected an error, and there was none"),
      ('local x = os.time()', "os")):
    code, out, _ = tested({"policies/tests/gate_test.lua": test_file(f"function tests.x(t)\n  {line}\nend")})
    same(code, 1, out)
    holds(re.search(rf"^policies/tests/gate_test.lua:3: x: .*{re.escape(message)}", out, re.M),
          f"no {message!r} in {out!r}")


@play
def routes():
  """rows of routes.test.yaml are matched against the routes; one that does not hold is shown at its place"""
  rows = """- {request: GET /x, route: all}
- {request: GET /x, route: none}
- {request: GET /x, host: "bad host", route: all}
- {request: GET /a%2Fb, error: INVALID_REQUEST}
"""
  code, out, err = tested({"routes.test.yaml": rows})
  same((code, err), (1, ""), out)
  holds(re.search(r"^routes.test.yaml:2:13: error: GET /x: expected no route, found route 'all'\n"
                  r"  - \{request: GET /x, route: none\}\n {14}\^~+$", out, re.M), out)
  wrong = "routes.test.yaml:3:13: error: GET /x: expected route 'all', found INVALID_REQUEST: The Host header"
  holds(wrong in out, out)
  same(out.strip().split("\n")[-1], "2 passed, 2 failed", "last line")


@play
def wrong_rows():
  """rows that make no sense are shown at their place with what is meant"""
  for row, place, message in (
      ("{request: GET /x, rout: all}", "1:21", "unknown key 'rout'"),
      ("{request: GET /x, route: al}", "1:28", "there is no route 'al'"),
      ("{request: GET /x, listener: man, route: all}", "1:31", "there is no listener 'man'"),
      ("{request: GET /x, error: NOTFOUND}", "1:28", "there is no error 'NOTFOUND'"),
      ("{request: GET /x, error: NOT_FOUND, route: all}", "1:28", "not both"),
      ("{request: GET /x}", "1:3", "what must become of the request"),
      ("{request: /x, route: all}", "1:13", "'/x' is no request"),
      ("{route: all}", "1:3", "needs a 'request'"),
      ("GET /x", "1:3", "must be a mapping")):
    code, out, _ = tested({"routes.test.yaml": f"- {row}\n"})
    same(code, 1, out)
    holds(re.search(rf"^routes.test.yaml:{place}: error: .*{re.escape(message)}", out, re.M),
          f"no {message!r} at {place} in {out}")
  code, out, _ = tested({"routes.test.yaml": "request: GET /x\n"})
  holds(code == 1 and "the file must be a list" in out, out)


@play
def nothing_to_run():
  """without any test, or with none that the filter takes, the exit code is 1 and the places are named"""
  code, out, err = tested({})
  same((code, out), (1, ""), err)
  holds("policies/tests/*_test.lua" in err and "routes.test.yaml" in err, err)
  code, out, err = tested({"policies/tests/gate_test.lua": test_file(PASSING)}, "--filter", "nowhere")
  same((code, out), (1, ""), err)
  holds("nowhere" in err, err)


@play
def the_filter():
  """--filter runs the tests whose file and name hold all of its words"""
  other = PASSING.replace("lets_pass", "lets_others_pass")
  files = {"policies/tests/gate_test.lua": test_file(PASSING, other),
           "routes.test.yaml": "- {request: GET /x, route: all}\n"}
  for words, expected in (("gate", "2 passed"), ("GATE others", "1 passed"), ("routes GET", "1 passed"),
                          ("/", "3 passed")):
    code, out, _ = tested(files, "--filter", words)
    same((code, out.strip().split("\n")[-1]), (0, f"{expected}, 0 failed"), f"--filter {words!r}: {out}")


@play
def a_broken_configuration():
  """a configuration with errors is reported as check reports it, and nothing runs"""
  code, out, err = tested({"policies/tests/gate_test.lua": test_file(PASSING)}, config=merged(GOOD, {"version": 2}))
  same((code, out), (1, ""), err)
  holds(re.search(r"routes.yaml:\d+:\d+: error: ", err) and "nothing was run" in err, err)
  undefined = merged(GOOD, {"services": {"app": {"endpoints": ["http://${env:NOWHERE}:1"]}}})
  files = {"policies/tests/gate_test.lua": test_file(PASSING)}
  same(tested(files, config=undefined)[0], 1, "an undefined variable")
  same(tested(files, "--env=placeholder", config=undefined)[0], 0, "an undefined variable with placeholders")
