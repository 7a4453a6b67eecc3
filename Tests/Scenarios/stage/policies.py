"""Policies of a play: Lua text for the folder of an edge's configuration, and the rows that name it."""

import os

_FOLDER = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "..", "policies"))


def shipped(name):
  with open(os.path.join(_FOLDER, name), encoding="utf-8") as file:
    return file.read()


AUTH, PERMISSIONS = shipped("auth.lua"), shipped("permissions.lua")
RATE_LIMIT, WHOAMI = shipped("rate_limit.lua"), shipped("whoami.lua")


def lua(on_request=None, handle=None, on_log=None, init=None, top=None, on_response=None, on_chunk=None):
  """A script with these bodies of functions. Each begins on a line of its own; a lone one begins on line 3."""
  lines = ["local policy = {}"]
  if top:
    lines.append(top)
  for name, parameters, body in (("init", "settings", init), ("on_request", "req, ctx", on_request),
                                 ("on_response", "res, ctx", on_response), ("on_chunk", "chunk, ctx", on_chunk),
                                 ("handle", "req, ctx", handle), ("on_log", "ctx", on_log)):
    if body is not None:
      lines += [f"function policy.{name}({parameters})", body, "end"]
  return "\n".join([*lines, "return policy", ""])


def file_of(name):
  return f"policies/{name}.lua"


def furnished(policies):
  """Rows of `policies` and files for them, from a dictionary of names to text, or to text and settings."""
  rows, files = {}, {}
  for name, entry in policies.items():
    text, settings = entry if isinstance(entry, tuple) else (entry, None)
    rows[name] = {"script": f"{name}.lua"}
    if settings:
      rows[name]["settings"] = settings
    files[file_of(name)] = text
  return rows, files
