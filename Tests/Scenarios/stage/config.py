"""The configuration of a play: a dictionary, written as YAML."""

import copy
import os
import json
import re
from decimal import Decimal

from .tls import certificate

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./:*-]*|[0-9]+(ms|s|m|h|B|KiB|MiB|GiB)")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off"}


def scalar(value):
  if isinstance(value, bool):
    return "true" if value else "false"
  if isinstance(value, int):
    return str(value)
  if isinstance(value, Decimal):
    return f"{value:f}"
  if _PLAIN.fullmatch(value) and value.lower() not in _WORDS and not value.endswith(":"):
    return value
  return json.dumps(value)


def yaml(value, indent=0):
  """Block mappings, flow lists."""
  lines = []
  for key, entry in value.items():
    pad = "  " * indent
    if isinstance(entry, dict) and entry:
      lines += [f"{pad}{key}:", yaml(entry, indent + 1)]
    elif isinstance(entry, dict):
      lines.append(f"{pad}{key}: {{}}")
    elif isinstance(entry, (list, tuple)):
      lines.append(f"{pad}{key}: [{', '.join(scalar(item) for item in entry)}]")
    else:
      lines.append(f"{pad}{key}: {scalar(entry)}")
  return "\n".join(lines)


def merged(base, changes):
  """`base` with `changes` laid over it; None takes a key away."""
  result = copy.deepcopy(base)
  for key, value in changes.items():
    if value is None:
      result.pop(key, None)
    elif isinstance(value, dict) and isinstance(result.get(key), dict):
      result[key] = merged(result[key], value)
    else:
      result[key] = copy.deepcopy(value)
  return result


def listening_place(name=None):
  """A listener on any port of loopback; with TLS under a certificate of the stage when it has a name.

  With PLAY_TLS=1 in the environment all have TLS, so that what is promised of plain ones is seen there, too."""
  if os.environ.get("PLAY_TLS"):
    name = name or "good"
  tls = {"tls": {"certificate": certificate(name), "key": certificate(name, "key")}} if name else {}
  return {"bind": "127.0.0.1:0", **tls}


def serving(*origins, service=None, route=None, **changes):
  """One listener, `/health`, and everything else to a service `app` with these origins as endpoints.

  `service` and `route` are laid over that service and its route, `changes` over the whole."""
  urls = [origin if isinstance(origin, str) else origin.url for origin in origins]
  base = {
    "version": 1,
    "server": {"workers": 1, "drain": "5s"},
    "listeners": {"main": listening_place()},
    "services": {"app": merged({"endpoints": urls}, service or {})},
    "routes": {
      "health": {"path": "/health", "methods": ["GET"], "builtin": "health"},
      "all": merged({"path": "/*", "service": "app"}, route or {}),
    },
  }
  return merged(base, changes)
