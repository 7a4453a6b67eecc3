"""Metrics in the text format of Prometheus, read strictly."""

import re

from .check import holds, same

LABELS = r'(?:[a-z_]+="(?:[^"\\]|\\["\\n])*",?)*'
LINE = re.compile(r"([a-z_][a-z0-9_]*)(?:\{(" + LABELS + r")\})? (-?[0-9.]+(?:e[+-]?[0-9]+)?|\+Inf|NaN)")
# A listener for metrics alone, and their route.
LISTENERS = {"metrics": {"bind": "127.0.0.1:0", "only_named": True}}
METRICS = {"metrics": {"path": "/metrics", "methods": ["GET"], "builtin": "metrics", "listeners": ["metrics"]}}


def parsed(text):
  """The text format of Prometheus, read strictly: {(name, labels as a sorted tuple): value}, and {name: type}."""
  found, kinds, helped = {}, {}, set()
  holds(text.endswith("\n"), "no line end at the end")
  for line in text[:-1].split("\n"):
    if line.startswith("# HELP "):
      holds(line.split(" ")[2] not in helped, f"HELP twice: {line}")
      helped.add(line.split(" ")[2])
    elif line.startswith("# TYPE "):
      _, _, name, kind = line.split(" ")
      holds(name not in kinds and kind in ("counter", "gauge", "histogram"), line)
      kinds[name] = kind
    else:
      match = LINE.fullmatch(line)
      holds(match, f"no line of the format: {line!r}")
      name, labels, value = match.groups()
      rows = tuple(sorted(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', labels or "")))
      holds((name, rows) not in found, f"a series twice: {line}")
      found[name, rows] = float(value.replace("+Inf", "inf"))
  for name, _ in found:
    family = re.sub(r"_(bucket|sum|count)$", "", name)
    holds(name in kinds or kinds.get(family) == "histogram", f"no TYPE of {name}")
  return found, kinds


def scraped(watcher):
  response = watcher.get("/metrics")
  same(response.status, 200)
  same(response.fields.one("content-type"), "text/plain; version=0.0.4; charset=utf-8")
  return parsed(response.body.decode())[0]


def total(series, name, **labels):
  """The sum of a metric's series with these labels."""
  return sum(value for (found, rows), value in series.items() if found == name and set(labels.items()) <= set(rows))
