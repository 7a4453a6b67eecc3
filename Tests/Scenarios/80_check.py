"""The command line: exit codes and messages."""

import os
import pathlib
import re
import socket
import subprocess

from play import *

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOOD = serving("http://127.0.0.1:3007")


def checked(config, *arguments, files=None, extra=None):
  """Runs `check`: (exit code, all it wrote)."""
  with Folder(config, files) as folder:
    path = f"{folder.path}/routes.yaml"
    code, out, err = command("check", "--config", path, *arguments, folder=folder.path, extra=extra)
    return code, (out + err).replace(folder.path + "/", "")


def refused(config, *patterns, files=None, extra=None, file="routes.yaml"):
  """`check` fails and its message holds every pattern, with file, line and column."""
  code, text = checked(config, files=files, extra=extra)
  same(code, 1, f"exit code of check, which wrote {text!r}")
  holds(re.search(re.escape(file) + r":\d+:\d+: error: ", text), f"no file:line:column: error: in {text!r}")
  for pattern in patterns:
    holds(re.search(pattern, text), f"no {pattern!r} in {text!r}")
  return text


# A policy that may stand everywhere.
POLICY = "return {init = function() end, on_request = function() end, handle = function() edge.reply{} end}\n"


def text_of(config=None, **changes):
  return yaml(merged(config or GOOD, changes)) + "\n"


@play
def version():
  """version prints the version alone and exits with 0"""
  code, out, err = command("version")
  same((code, err), (0, ""))
  holds(re.search(r"\b0\.1\.0\b", out), out)


@play
def answers_that_are_lost():
  """a command whose answer cannot be written says so and exits with 1"""
  for arguments in (["version"], ["--help"], ["check", "--print-schema"], ["token", "--help"]):
    with open("/dev/full", "wb") as full:
      done = subprocess.run([binary(), *arguments], stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE,
                            env=environment(), timeout=DEADLINE, check=False)
    same((done.returncode, done.stderr.decode()),
         (1, f"edge: standard output cannot be written: {os.strerror(28)}\n"), f"{arguments}")


@play
def variables_without_an_effect():
  """a variable of the platform that has no effect yet is warned about, and the shipped files are free of warnings"""
  code, text = checked(GOOD, extra={"GATEWAY_LOAD_BALANCING": "round-robin", "GOOGLE_CLIENT_ID": "x"})
  same(code, 0, text)
  for name in ("GATEWAY_LOAD_BALANCING", "GOOGLE_CLIENT_ID"):
    holds(re.search(rf"warning: {name} is set, but has no effect yet: ", text), text)
  code, _, err = command("check", "--dev", folder=ROOT, extra={"JWT_SECRET": None})
  same((code, re.findall(".*warning.*", err)), (0, []))


@play
def help_texts():
  """--help exits with 0 and tells the verbs and their options"""
  code, out, err = command("--help")
  same((code, err), (0, ""))
  for verb in ("run", "check", "version"):
    holds(re.search(rf"\b{verb}\b", out), f"no {verb} in {out!r}")
    code, text, err = command(verb, "--help")
    same((code, err), (0, ""), f"{verb} --help")
    holds(len(text) > 20, f"{verb} --help: {text!r}")
  holds("--config" in command("run", "--help")[1], "run --help without --config")


@play
def usage():
  """unknown verbs and options, and none at all, exit with 2 and say so on standard error"""
  for arguments in (["frobnicate"], ["run", "--frobnicate"], ["check", "--frobnicate"], ["run", "--config"],
                    ["version", "x"], []):
    code, out, err = command(*arguments)
    same(code, 2, f"exit code of {arguments}; it wrote {out!r} {err!r}")
    holds(err, f"{arguments} says nothing on standard error")
  holds("check" in command("chekc")[2], "no suggestion for a verb that is near")


@play
def a_good_configuration():
  """check of a good configuration exits with 0"""
  code, text = checked(GOOD)
  same(code, 0, text)
  holds("error" not in text.lower(), text)


@play
def every_key():
  """a configuration that uses every key is good"""
  config = merged(GOOD, {
    "include": "conf.d/*.yaml",
    "server": {"workers": "auto", "drain": "30s", "trusted": ["10.0.0.0/8", "::1/128"], "var": "var/",
               "policies": "policies/",
               "timeouts": {"head": "15s", "idle": "75s", "body": "30s", "send": "60s"}},
    "limits": {"head_size": "16KiB", "head_fields": 100, "body_size": "10MiB"},
    "services": {"app": {"timeouts": {"connect": "3s", "head": "30s", "idle": "120s"},
                         "pool": {"size": 256, "idle": "10s"},
                         "pass": ["authorization", "x-api-key", "cookie"]}},
    "routes": {"all": {"host": ["a.test", "*.b.test"], "methods": ["GET", "POST"], "listeners": ["main"],
                       "body_size": "1MiB", "client_fin": "finish"}},
    "auth": {"secret": ["${env:JWT_SECRET}"], "issuer": "https://id.test", "audience": ["edge"], "require_exp": True,
             "leeway": "30s", "claims": {"user": ["sub"], "roles": "roles"}},
    "roles": {"user": {"permissions": ["services:use", "mcp:*"]}},
    "policies": {"auth": {"script": "auth.lua", "settings": {"limit": "100 per 1m", "strict": True}}},
    "log": {"level": "info", "access": True}})
  more = "services:\n  more:\n    endpoints: [\"http://127.0.0.1:3008\"]\n"
  guarded = "routes:\n  more: {path: /more, service: more, policies: [auth], permission: \"services:use\"}\n"
  handled = "  hello: {path: /hello, handler: auth, policies: auth}\n"
  code, text = checked(config, files={"conf.d/more.yaml": more + guarded + handled, "policies/auth.lua": POLICY})
  same(code, 0, text)


@play
def unknown_key():
  """an unknown key is an error at its line and column, with the nearest name"""
  text = text_of(limits={"head_size": "16KiB"}).replace("head_size", "head_sise")
  found = refused(text, "head_sise", r"(?i)did you mean.*head_size", r"\^")
  line = text.split("\n").index("  head_sise: 16KiB") + 1
  holds(f"routes.yaml:{line}:3: error:" in found, f"not at {line}:3: {found}")
  holds("head_sise: 16KiB" in found, f"the line itself is not shown: {found}")
  refused(text_of().replace("listeners:", "listners:"), r"(?i)did you mean.*listeners")
  refused(text_of(providers={"a": {"b": "c"}}), "providers")


@play
def every_error():
  """check tells every error, not only the first"""
  text = text_of(limits={"head_fields": 9999}, server={"drain": 30}).replace("listeners:", "listners:")
  found = refused(text)
  holds(len(re.findall(r":\d+:\d+: error: ", found)) >= 3, found)


@play
def wrong_values():
  """wrong types, missing units, values out of bounds and bad syntax are errors"""
  for changes in ({"server": {"drain": 30}}, {"server": {"drain": "30 parsecs"}}, {"server": {"workers": 0}},
                  {"server": {"workers": 65}}, {"server": {"workers": "many"}}, {"limits": {"head_size": 16384}},
                  {"limits": {"head_size": "16KB"}}, {"limits": {"head_size": "64KiB"}},
                  {"limits": {"head_size": "512B"}}, {"limits": {"head_fields": 7}}, {"limits": {"head_fields": "100"}},
                  {"limits": {"body_size": "-1MiB"}}, {"limits": {"body_size": "17GiB"}},
                  {"server": {"trusted": ["10.0.0.0/33"]}}, {"log": {"access": "yes"}}, {"log": {"level": "loud"}},
                  {"version": 2}, {"version": None}, {"listeners": {"main": {"bind": "3003"}}},
                  {"listeners": {"main": {"bind": "127.0.0.1:70000"}}},
                  {"listeners": {"Main!": {"bind": "127.0.0.1:0"}}},
                  {"services": {"app": {"endpoints": []}}}, {"services": {"app": {"endpoints": ["127.0.0.1:1"]}}},
                  {"services": {"app": {"endpoints": ["ftp://127.0.0.1:1"]}}},
                  {"services": {"app": {"endpoints": ["http://127.0.0.1:1/path"]}}},
                  {"services": {"app": {"pool": {"size": 5000}}}}, {"services": {"app": {"pass": ["x-other"]}}},
                  {"routes": {"all": {"path": "a"}}}, {"routes": {"all": {"path": "/a*"}}},
                  {"routes": {"all": {"path": "/*/a"}}}, {"routes": {"all": {"path": None}}},
                  {"routes": {"all": {"client_fin": "maybe"}}}, {"routes": {"all": {"host": "a.*.test"}}},
                  {"routes": {"health": {"builtin": "wealth"}}}, {"routes": {"all": {"methods": ["GE T"]}}}):
    try:
      refused(text_of(**changes))
    except Failed as failure:
      raise Failed(f"{changes}: {failure}") from None


@play
def password_in_an_endpoint():
  """a user and password in an endpoint are not shown, and the caret stands where the endpoint begins"""
  for url in ("http://alice:hunter2@a.test:80", "https://alice:hunter2@a.test", "http://hunter2@127.0.0.1:80"):
    text = text_of(services={"app": {"endpoints": ["http://127.0.0.1:1", url, url]}})
    code, found = checked(text)
    same((code, found.count("no user or password")), (1, 2), f"exit code and errors of check for {url}: {found}")
    holds("hunter2" not in found and "alice" not in found, f"the password of {url} is shown: {found}")
    lines, rows = text.split("\n"), found.split("\n")
    at = next(number for number, line in enumerate(lines) if url in line)
    hidden = url.split("//")[1].split("@")[0]
    first = lines[at].index(f'"{url}"')
    for column in (first, lines[at].index(f'"{url}"', first + 1)):
      place = f"routes.yaml:{at + 1}:{column + 1}: error: "
      heads = [number for number, row in enumerate(rows) if row.startswith(place)]
      same(len(heads), 1, f"errors at {place} in {found}")
      excerpt, caret = rows[heads[0] + 1:heads[0] + 3]
      same(excerpt.strip(), lines[at].replace(hidden, "*" * len(hidden)).strip(), "the line as it is shown")
      indent = excerpt.index("endpoints") - lines[at].index("endpoints")
      same(caret.index("^"), column + indent, f"place of the caret in {found}")


@play
def password_in_an_endpoint_that_is_wrong_otherwise():
  """a password in an endpoint with a path, without a scheme or with odd letters in it is not shown, also in no hint"""
  leaks = []
  for url in ("http://alice:hunter2@a.test:80/path", "http://alice:hunter2@a.test?a=b", "alice:hunter2@a.test:80",
              "http://alice:x@hunter2@a.test", "http://alice:x/hunter2@a.test", "http://alice:x hunter2@a.test",
              "http:/alice:hunter2@a.test"):
    code, found = checked(text_of(services={"app": {"endpoints": ["http://127.0.0.1:1", url]}}))
    same(code, 1, f"exit code of check for {url}, which wrote {found}")
    if "hunter2" in found:
      leaks.append(found)
  holds(not leaks, f"{len(leaks)} passwords are shown:\n{''.join(leaks)}")


@play
def dangling_names():
  """references to what does not exist are errors with the nearest name"""
  refused(text_of(routes={"all": {"service": "ap"}}), r"(?i)did you mean.*app")
  refused(text_of(routes={"all": {"listeners": ["mian"]}}), r"(?i)did you mean.*main")
  refused(text_of(routes={"all": {"builtin": "health"}}), "service")
  refused(text_of(routes={"all": {"service": None}}), "service")


@play
def broken_yaml():
  """broken YAML, duplicate keys, tabs and other YAML are errors with their place"""
  for text in ("version: 1\nserver: [\n", "version: 1\nversion: 1\n", "version: 1\n\tserver: {}\n", "- a\n- b\n",
               text_of() + "server:\n  workers: 1\n"):
    refused(text)


@play
def both_places_of_a_duplicate():
  """a name that stands in two files is an error that shows both places"""
  found = refused(text_of(include="conf.d/*.yaml"), "app", file="conf.d/more.yaml",
                  files={"conf.d/more.yaml": "services:\n  app:\n    endpoints: [\"http://127.0.0.1:3008\"]\n"})
  holds(re.search(r"routes\.yaml:\d+", found) and re.search(r"conf\.d/more\.yaml:\d+", found), found)


@play
def skipped_files():
  """dotfiles and files of other endings beside the included ones are told as skipped"""
  text = text_of(include="conf.d/*.yaml")
  code, found = checked(text, files={"conf.d/.hidden.yaml": "version: x\n", "conf.d/notes.txt": "hello\n",
                                     "conf.d/a.yaml": "log:\n  level: warn\n"})
  same(code, 0, found)
  for name in (".hidden.yaml", "notes.txt"):
    holds(re.search(rf"{re.escape(name)}.*skipped", found), f"{name} is not told as skipped: {found}")


@play
def environment_values():
  """${env:NAME} is replaced, has a default, and is an error when undefined"""
  text = text_of(listeners={"main": {"bind": "127.0.0.1:${env:PLAY_PORT}"}})
  refused(text, "PLAY_PORT")
  same(checked(text, extra={"PLAY_PORT": "0"})[0], 0)
  same(checked(text.replace("PLAY_PORT", "PLAY_PORT:-3003"))[0], 0)
  refused(text, extra={"PLAY_PORT": "many"})


@play
def secret_of_tokens():
  """without a secret of tokens, or with one that can be guessed, nothing starts; no message shows one"""
  for extra in ({"JWT_SECRET": None}, {"JWT_SECRET": ""}, {"JWT_SECRET": "hunter2-hunter2-hunter2-hunter2"}):
    for verb in ("check", "run"):
      with Folder(GOOD) as folder:
        code, out, err = command(verb, "--config", f"{folder.path}/routes.yaml", extra=extra)
        same(code, 1, f"exit code of {verb} with {extra}; it wrote {out!r} {err!r}")
        holds("environment JWT_SECRET: error: " in out + err, out + err)
        holds("hunter2" not in out + err, out + err)
  found = refused(text_of(auth={"secret": "hunter2-hunter2"}), "at least 32")
  holds("hunter2" not in found, found)
  code, text = checked(merged(GOOD, {"auth": {"secret": "hunter2-" * 4}}), "--full")
  same(code, 0, text)
  holds("secret: [\"***\"]" in text and "hunter2" not in text, text)
  same(checked(GOOD, "--env=placeholder", extra={"JWT_SECRET": None})[0], 0, "exit code with placeholders")


@play
def secret_of_development():
  """run --dev makes a secret that only its owner can read and keeps it; check --dev makes none"""
  with Folder(GOOD) as folder:
    path, kept = f"{folder.path}/routes.yaml", f"{folder.path}/var/dev_jwt_secret"
    code, out, err = command("check", "--dev", "--config", path, extra={"JWT_SECRET": None})
    same((code, os.path.exists(kept)), (0, False), f"check --dev, which wrote {out!r} {err!r}")
  with Edge(GOOD, {"JWT_SECRET": None}, loud=True, options=["--dev"]) as edge:
    kept = f"{edge.folder.path}/var/dev_jwt_secret"
    same(os.stat(kept).st_mode & 0o777, 0o600, "bits of the file")
    same(os.stat(os.path.dirname(kept)).st_mode & 0o777, 0o700, "bits of its folder")
    with open(kept, encoding="ascii") as file:
      secret = file.read().strip()
    holds(re.fullmatch("[0-9a-f]{64}", secret), f"the secret is {secret!r}")
    same(edge.reload()["event"], "reload_unchanged")
    path = f"{edge.folder.path}/routes.yaml"
    code, out, err = command("check", "--dev", "--full", "--config", path, extra={"JWT_SECRET": None})
    same(code, 0, f"exit code of check; it wrote {err!r}")
    holds(secret not in out + err + edge.errors.decode() + json.dumps(edge.log), "the secret is shown")
    os.chmod(kept, 0o640)
    code, out, err = command("check", "--dev", "--config", path, extra={"JWT_SECRET": None})
    same(code, 1, f"exit code of check with a file that others may read; it wrote {out!r}")
    holds("dev_jwt_secret: error: " in err and "640" in err, err)


@play
def secret_of_somebody_else():
  """run --dev, check --dev and token refuse a secret of development that is not the own user's alone"""
  unset = {"JWT_SECRET": None}
  with Folder(GOOD) as folder:
    path, kept = f"{folder.path}/routes.yaml", f"{folder.path}/var/dev_jwt_secret"
    secret = "0123456789abcdef" * 4
    folder.write("var/dev_jwt_secret", secret + "\n")
    os.chmod(kept, 0o600)
    code, out, err = command("token", "--config", path, extra=unset)
    same((code, out.count("."), err), (0, 2, ""), "token with a secret of the own user")
    if os.geteuid() == 0:
      os.chown(kept, 65534, 65534)
      problem = "another user"
    else:
      os.chmod(kept, 0o604)  # nobody but root can give a file away
      problem = "others may read it"
    for arguments in (["token"], ["check", "--dev"], ["run", "--dev"]):
      code, out, err = command(*arguments, "--config", path, extra=unset)
      same(code, 1, f"exit code of {arguments}; it wrote {out!r} {err!r}")
      holds("dev_jwt_secret: error: " in out + err and problem in out + err, f"{arguments}: {out!r} {err!r}")
      holds(secret not in out + err, f"{arguments} shows the secret")
    with open(kept, encoding="ascii") as file:
      same(file.read(), secret + "\n", "the file afterwards")


@play
def missing_file():
  """a configuration file that is not there: exit code 1 and its name"""
  for verb in ("check", "run"):
    code, out, err = command(verb, "--config", "nowhere/routes.yaml")
    same(code, 1, f"exit code of {verb}")
    holds("nowhere/routes.yaml" in out + err, f"{verb}: {out!r} {err!r}")


@play
def run_refuses_what_check_refuses():
  """run does not start with a bad configuration: exit code 1 and the same message"""
  with Folder(text_of().replace("listeners:", "listners:")) as folder:
    path = f"{folder.path}/routes.yaml"
    code, out, err = command("run", "--config", path)
    same(code, 1, "exit code")
    holds(re.search(r":\d+:\d+: error: ", out + err), out + err)
    holds("did you mean" in (out + err).lower(), out + err)


@play
def port_in_use():
  """run says which address is in use and exits with 1; check does not bind"""
  with socket.socket() as taken:
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    address = f"127.0.0.1:{own_port(taken)}"
    with Folder(merged(GOOD, {"listeners": {"main": {"bind": address}}})) as folder:
      code, out, err = command("run", "--config", f"{folder.path}/routes.yaml")
      same(code, 1, f"exit code; it wrote {out!r} {err!r}")
      holds(address in out + err, out + err)
      holds("in use" in (out + err).lower(), out + err)
      same(command("check", "--config", f"{folder.path}/routes.yaml")[0], 0, "exit code of check")


@play
def default_configuration_file():
  """without --config routes.yaml of the working folder is read"""
  with Folder(text_of().replace("listeners:", "listners:")) as folder:
    code, out, err = command("check", folder=folder.path)
    same(code, 1)
    holds("routes.yaml:" in out + err, out + err)
