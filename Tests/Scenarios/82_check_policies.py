"""What is wrong with a policy is found before anything starts: by check, and by run with the same words."""

import os
import re

from play import *

GOOD = lua("local a = req.path")


def document(policies, **changes):
  """A configuration whose route names these policies, and the files for it."""
  rows, files = furnished(policies)
  return serving("http://127.0.0.1:3007", **merged({"policies": rows, "routes": {"all": {"policies": list(rows)}}},
                                                   changes)), files


def checked(config, files, *arguments, verb="check", extra=None):
  """Runs a command: (exit code, all it wrote)."""
  with Folder(config, files) as folder:
    code, out, err = command(verb, "--config", f"{folder.path}/routes.yaml", *arguments, extra=extra)
    return code, (out + err).replace(folder.path + "/", "")


def refused(config, files, *patterns):
  """check and run fail with these patterns in what they write, and run writes what check writes."""
  code, text = checked(config, files)
  same(code, 1, f"exit code of check, which wrote {text!r}")
  for pattern in patterns:
    holds(re.search(pattern, text), f"no {pattern!r} in {text}")
  code, ran = checked(config, files, verb="run")
  same(code, 1, f"exit code of run, which wrote {ran!r}")
  same(*([line for line in found.split("\n") if ": error: " in line] for found in (ran, text)), "what run writes")
  return text


def at(name, line, column=r"\d+"):
  return rf"policies/{name}\.lua:{line}:{column}: error: "


@play
def good_policies():
  """the shipped policies, as a configuration names them, are good, and check --full shows no secret"""
  config, files = document(
    {"auth": AUTH, "permissions": PERMISSIONS, "limit": (RATE_LIMIT, {"limit": "100 per 1m"}), "whoami": WHOAMI},
    routes={"all": {"policies": ["auth", "permissions", "limit"], "permission": "services:use"},
            "whoami": {"path": "/whoami", "handler": "whoami", "policies": ["auth"]}},
    auth={"secret": "${env:JWT_SECRET}", "issuer": "https://id.example.com", "audience": "edge", "leeway": "10s",
          "claims": {"user": ["email"], "roles": "groups"}},
    roles={"ops": {"permissions": ["gateway:*"]}})
  code, text = checked(config, files, "--full")
  same(code, 0, text)
  holds(": warning: " not in text and ": error: " not in text, text)
  holds(SECRET not in text, "the secret is shown")


@play
def syntax_errors():
  """a syntax error of Lua is told with file, line, column, the line itself and a caret"""
  for text, line, column, word in (
      ("local policy = {}\nfunction policy.on_request(req ctx)\nend\nreturn policy\n", 2, 32, r"expected|'\)'"),
      ("return {\n  on_request = function(req, ctx)\n    if req.path then\n  end\n}\n", 5, 1, r"'\}'"),
      ("return {on_request = function() local a = 'x\nend}\n", 1, r"\d+", "string"),
      ("goto nowhere\nreturn {}\n", 1, r"\d+", "nowhere"), ("local a <close> <const> = 1\n", 1, r"\d+", ""),
      ("x = = 1\n", 1, 5, "="), ("-- only a comment\nreturn {on_request = function() end\n", 2, r"\d+", r"'\}'"),
      ("\n\n  @\n", 3, 3, "@"), ("return {on_request = function() break end}\n", 1, r"\d+", "break")):
    config, files = document({"bad": text})
    found = refused(config, files, at("bad", line, column), word, r"\n *\^")
    shown_line = text.split("\n")[line - 1].strip()
    holds(shown_line in found, f"the line {shown_line!r} is not shown: {found}")


@play
def errors_of_the_top_level():
  """a script that fails while it is loaded, or in init, is told with its line"""
  init = "error('not so')"
  for name, text, patterns in (
      ("raised", "local a = 1\nerror('not today')\n", [at("bad", 2), "not today"]),
      ("nil", "local a = nil\nreturn a.b\n", [at("bad", 2), "index"]),
      ("loop", "local a = 1\nwhile true do end\n", [at("bad", 2), "CPU"]),
      ("memory", "local a = ('x'):rep(1e10)\nreturn {}\n", [at("bad", 1)]),
      ("a loop in init", lua("", init="while true do end"), [at("bad", 3), "CPU"]),
      ("init", lua("", init=init), [at("bad", 3), "not so"]),
      ("a fetch in init", lua("", init="edge.http.fetch{service = 'app', path = '/'}"), [at("bad", 3), "init"]),
      ("a refusal in init", lua("", init="edge.refuse('FORBIDDEN')"), [at("bad", 3)]),
      ("a fetch at the top", "edge.http.fetch{service = 'app', path = '/'}\nreturn {}\n", [at("bad", 1)]),
      ("the request at the top", "local a = req.path\nreturn {}\n", [at("bad", 1)]),
      ("binary", "\x1bLua", [r"policies/bad\.lua"]), ("empty", "", [r"policies/bad\.lua"]),
      ("nothing returned", "local policy = {}\n", [r"policies/bad\.lua", "table"]),
      ("a function returned", "return function() end\n", [r"policies/bad\.lua", "table"])):
    config, files = document({"bad": text})
    try:
      refused(config, files, *patterns)
    except Failed as failure:
      raise Failed(f"{name}: {failure}") from None


@play
def phases():
  """a key that is no phase is an error with the nearest name, and so is one that is no function"""
  for text, patterns in (
      ("return {on_requst = function() end}\n", ["on_requst", r"(?i)did you mean.*on_request"]),
      ("return {on_request = function() end, onlog = function() end}\n", ["onlog", r"(?i)did you mean.*on_log"]),
      ("return {handel = function() end}\n", ["handel", r"(?i)did you mean.*handle"]),
      ("return {on_request = function() end, on_piece = function() end}\n", ["on_piece"]),
      ("return {on_request = true}\n", ["on_request", "function"]),
      ("return {on_request = function() end, version = 1}\n", ["version"])):
    config, files = document({"bad": text})
    refused(config, files, r"policies/bad\.lua.*: error: ", *patterns)


@play
def phases_that_are_missing():
  """a policy that has nothing to say to a request, and a handler that cannot answer, are errors where they are named"""
  config, files = document({"own": lua(handle="edge.reply{}")})
  refused(config, files, r"routes\.yaml:\d+:\d+: error: ", "own", "on_request")
  config, files = document({"own": GOOD}, routes={"all": {"policies": [], "service": None, "handler": "own"}})
  refused(config, files, r"routes\.yaml:\d+:\d+: error: ", "own", "handle")


@play
def settings_that_are_wrong():
  """settings that a policy does not take are found with its words"""
  for text, settings, word in (
      (RATE_LIMIT, {"limit": "100 in 1m"}, "100 per 1m"), (RATE_LIMIT, {"limit": "0 per 1m"}, "0 per 1m"),
      (RATE_LIMIT, {"limit": "100 per minute"}, "interval"), (RATE_LIMIT, {"limit": "20000 per 1m"}, "rate"),
      (RATE_LIMIT, {"rate": "1 per 1s", "burst": 0}, "burst"), (RATE_LIMIT, {"limit": "1 per 1s", "burst": 2}, "burst"),
      (RATE_LIMIT, {"limit": "1 per 1s", "rate": "1 per 1s"}, "both"), (RATE_LIMIT, {"burst": 2}, "limit"),
      (RATE_LIMIT, {"limt": "1 per 1s"}, "limt"), (RATE_LIMIT, None, "limit"),
      (AUTH, {"user_header": 1}, "user_header"), (PERMISSIONS, {"permission": ["a"]}, "permission")):
    config, files = document({"bad": (text, settings)})
    place = r"policies/bad\.lua" if settings is None else r"routes\.yaml"
    refused(config, files, place + r":\d+:\d+: error: ", r"policies/bad\.lua:\d+:\d+: ", re.escape(word))


@play
def files_that_are_wrong():
  """a script that is missing, too large, of another ending or outside of the folder is an error where it is named"""
  config, files = document({"auth": AUTH})
  rows = [("auht.lua", {}, r"(?i)did you mean.*auth\.lua"), ("other/auth.lua", {}, "other"), ("auth", {}, r"\.lua"),
          ("../auth.lua", {}, ""), ("/etc/passwd", {}, ""),
          ("big.lua", {"policies/big.lua": "-- " + "x" * 300_000}, ""),
          ("${env:PLAY_NONE}", {}, "PLAY_NONE")]
  for script, more, word in rows:
    refused(merged(config, {"policies": {"auth": {"script": script}}}), {**files, **more},
            r"routes\.yaml:\d+:\d+: error: ", word)
  code, text = checked(merged(config, {"server": {"policies": "elsewhere/"}}), {"elsewhere/auth.lua": AUTH})
  same(code, 0, text)
  deeper = merged(config, {"policies": {"auth": {"script": "more/auth.lua"}}})
  code, text = checked(deeper, {"policies/more/auth.lua": AUTH})
  same(code, 0, text)


@play
def names_that_are_wrong():
  """a policy or handler that does not exist is an error with the nearest name; a permission that nobody checks too"""
  config, files = document({"auth": AUTH, "whoami": WHOAMI}, routes={"all": {"policies": ["auth"]}})
  for route, patterns in (({"policies": ["auht"]}, [r"(?i)did you mean.*auth"]),
                          ({"service": None, "handler": "whaomi"}, [r"(?i)did you mean.*whoami"]),
                          ({"handler": "whoami"}, ["two targets"]),
                          ({"policies": [], "permission": "a:b"}, ["permission", "policies"]),
                          ({"policies": None, "permission": "a:b"}, ["permission", "policies"]),
                          ({"permission": "a b"}, []), ({"permission": "*"}, []), ({"permission": "mcp:*"}, [])):
    refused(merged(config, {"routes": {"all": route}}), files, r"routes\.yaml:\d+:\d+: error: ", *patterns)
  for changes, word in (({"roles": {"user": {"permissions": ["a b"]}}}, "a b"), ({"auth": {"leeway": "10m"}}, "leeway"),
                        ({"auth": {"leeway": 30}}, "leeway"), ({"auth": {"audience": []}}, "audience"),
                        ({"auth": {"secret": ["x" * 40] * 5}}, "secret"),
                        ({"auth": {"require_exp": "no"}}, "require_exp")):
    refused(merged(config, changes), files, r"routes\.yaml:\d+:\d+: error: ", word)


@play
def errors_in_several_files():
  """errors of several scripts are all told, each with its place"""
  config, files = document({"one": "return {\n", "two": "x = = 1\n"})
  refused(config, files, at("one", r"\d+"), at("two", 1))


@play
def nothing_happens():
  """check runs no request phase and leaves no file behind; what init says is not printed as a line of the log"""
  config, files = document({"own": lua("error('asked')", init="edge.log.info('init')", on_log="error('told')")})
  with Folder(config, files) as folder:
    before = sorted(os.listdir(folder.path))
    code, out, err = command("check", "--config", f"{folder.path}/routes.yaml", folder=folder.path)
    same((code, sorted(os.listdir(folder.path))), (0, before), out + err)
    holds("policy_log" not in out + err and "asked" not in out + err, out + err)


@play
def services_of_scripts():
  """a service that only policies ask is no reason for a warning"""
  config, files = document({"ask": lua("edge.http.fetch{service = 'side', path = '/'}")},
                           services={"side": {"endpoints": ["http://127.0.0.1:3008"]}})
  code, text = checked(config, files)
  same(code, 0, text)
  holds("warning" not in text, text)


@play
def secrets_in_settings():
  """a secret in the settings of a policy reaches init and is shown by no message"""
  rows = {"key": "${env:PLAY_KEY}", "plain": "shown"}
  text = lua("", init="if settings.key ~= 'hunter2-hunter2' then error('the key is ' .. #settings.key) end")
  config, files = document({"own": (text, rows)})
  code, found = checked(config, files, "--full", extra={"PLAY_KEY": "hunter2-hunter2"})
  same(code, 0, found)
  holds("hunter2" not in found and "shown" in found, found)
  code, found = checked(config, files, extra={"PLAY_KEY": "hunter3"})
  same(code, 1, found)
  holds("the key is 7" in found and "hunter3" not in found, found)
  code, found = checked(config, files, "--env=placeholder")
  same(code, 0, f"with placeholders: {found}")


@play
def no_token_for_production():
  """`edge token` signs with the secret of --dev only: where another one is configured, or in production, it refuses"""
  with Folder(serving("http://127.0.0.1:1")) as folder:
    code, out, err = command("token", folder=folder.path)
    same((code, out), (1, ""), "with JWT_SECRET")
    holds("a secret is configured" in err, err)
    holds(SECRET not in out + err, "the secret is shown")
    unset = {"JWT_SECRET": None}
    code, out, err = command("token", folder=folder.path, extra={**unset, "NODE_ENV": "production"})
    same((code, out), (1, ""), "in production")
    code, out, err = command("token", "--user", "ann", "--ttl", "1m", folder=folder.path, extra=unset)
    same((code, err), (0, ""), "for development")
    same(out.count("."), 2)
    for wrong in (["--role", "usr"], ["--ttl", "1"], ["--user", ""], ["--ttl", "31d"]):
      code, out, err = command("token", *wrong, folder=folder.path, extra=unset)
      holds(code in (1, 2) and out == "" and err.startswith("edge token: "), f"{wrong}: {code} {out!r} {err!r}")
