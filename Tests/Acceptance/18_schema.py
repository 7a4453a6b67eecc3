"""The JSON Schema for editors, judged by a validator that is not Edge's own: files that are right and files that are
not. Needs the packages `jsonschema` and `ruamel.yaml`."""

import pathlib

import jsonschema
from ruamel.yaml import YAML

from play import *

ROOT = pathlib.Path(__file__).resolve().parents[2]
BROKEN = ROOT / "Tests" / "Config" / "broken"

# Cases of the corpus whose mistake stands in the shape of one file, where an editor can show it while it is made.
SEEN = """
  10 14 15 16 17 18 20 23 24 25 26 27 28 29 30 31 32 33 34 36 38 39 40 41 42 43 44 45 46 48 49 50 51 52 53 54 58 59
  60 88 91 92 99 100 103 104 105 108 110 115 116 117 119 120 123 125 126 127 132 133 143 144
""".split()


def document_in(text):
  """A file as editors read it, by YAML 1.2."""
  return YAML(typ="safe", pure=True).load(text)


def validator():
  code, out, err = command("check", "--print-schema")
  same((code, err), (0, ""))
  same(out, (ROOT / "docs/routes.schema.json").read_text(encoding="utf-8"), "the printed schema and the committed one")
  schema = json.loads(out)
  jsonschema.Draft202012Validator.check_schema(schema)
  return jsonschema.Draft202012Validator(schema)


def complaints(judge, document):
  return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in judge.iter_errors(document)]


def broken(number):
  """The main file of a case of the corpus."""
  (place, *_) = [path for path in sorted(BROKEN.glob(f"{number}-*")) if path.suffix != ".txt"]
  return (place / "routes.yaml" if place.is_dir() else place).read_text(encoding="utf-8")


@play
def shipped_files():
  """the printed schema is a right one of draft 2020-12, and accepts the files that ship, which name it to editors"""
  judge = validator()
  for path in [ROOT / "routes.yaml", *sorted((ROOT / "conf.d").glob("*.yaml"))]:
    text = path.read_text(encoding="utf-8")
    same(complaints(judge, document_in(text)), [], path.name)
    (named,) = re.findall(r"^# yaml-language-server: \$schema=(\S+)$", text, re.MULTILINE)
    same((path.parent / named).resolve(), ROOT / "docs/routes.schema.json", path.name)


@play
def other_right_files():
  """what the loader takes the schema takes: addresses of every kind, references, numbers in any base, null"""
  text = """
version: 1
server: {workers: "${env:PLAY_NONE:-2}", trusted: [10.0.0.0/8, "fd00::/8", 192.0.2.7, "${env:PLAY_NONE:-::1}"]}
limits: {head_fields: 0o144, body_size: "${env:PLAY_NONE:-1MiB}"}
listeners:
  a: {bind: 127.0.0.1:0}
  b: {bind: "[::1]:0"}
  c: {bind: "127.0.0.1:${env:PLAY_NONE:-0}"}
  d: {bind: "*:0"}
services: {app: {endpoints: "https://app.example.com", tls: {server_name: app.example.com}}}
policies:
  one: {script: one.lua, settings: {any: [thing, 1, null]}}
  two: {script: one.lua, settings: 5}
routes:
  plain: {path: /, builtin: health}
  hosts:
    {path: /, host: [example.com, "*.example.com", 192.0.2.7, "[::1]", a_b.c-d, "${env:PLAY_NONE:-x}"], service: app}
  asked: {path: /asked, service: app, policies: [one, two]}
log:
"""
  script = "return {init = function() end, on_request = function() end}\n"
  with Folder(text, {"policies/one.lua": script}) as folder:
    code, _, err = command("check", folder=folder.path)
    same(code, 0, err)
  same(complaints(validator(), document_in(text)), [])


@play
def broken_files():
  """mistakes that stand in the shape of one file are seen by the schema, too"""
  judge = validator()
  same([number for number in SEEN if judge.is_valid(document_in(broken(number)))], [], "cases that it accepts")


@play
def one_target():
  """a route leads to exactly one thing, and editors are told so"""
  judge = validator()
  targets = {"service": "app", "builtin": "health", "handler": "app", "dialect": "openai-chat"}
  for name, value in targets.items():
    same(complaints(judge, {"routes": {"r": {"path": "/", name: value}}}), [])
    for other in targets.keys() - {name}:
      holds(not judge.is_valid({"routes": {"r": {"path": "/", name: value, other: targets[other]}}}), f"{name} {other}")
  holds(not judge.is_valid({"routes": {"r": {"path": "/"}}}), "none")
