"""A name service for one edge: names appear, change, vanish and hang as the play says."""

import os
import shutil
import subprocess
import tempfile

from .check import Failed

_SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "names.c")


class Names:
  """Use it in a `with`, around the edge that gets `environment` as `extra`; `rows` maps names to lists of addresses."""

  def __init__(self, rows=None):
    self.rows = dict(rows or {})

  def __enter__(self):
    self.folder = tempfile.mkdtemp(prefix="edge-names-")
    self.path = os.path.join(self.folder, "names")
    library = os.path.join(self.folder, "names.so")
    # clang comes with the Swift toolchain.
    compiler = shutil.which("clang") or shutil.which("cc")
    if not compiler:
      raise Failed("no C compiler for names.c: clang of the Swift toolchain is not on the PATH")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-D_GNU_SOURCE", "-Wall", "-Werror", "-o", library, _SOURCE,
                    "-ldl"], check=True)
    self.environment = {"LD_PRELOAD": library, "PLAY_NAMES": self.path}
    self.put()
    return self

  def __exit__(self, *failure):
    # A lookup that still hangs belongs to an edge that has ended.
    shutil.rmtree(self.folder, ignore_errors=True)

  def put(self, **rows):
    """Changes names: their first labels as keywords, under `.test`; None takes a name away."""
    for label, addresses in rows.items():
      self.rows[f"{label}.test"] = addresses
    text = "".join(f"{name} {' '.join(addresses)}\n" for name, addresses in self.rows.items() if addresses)
    with open(self.path + ".new", "w", encoding="ascii") as file:
      file.write(text)
    os.rename(self.path + ".new", self.path)

  def asked(self):
    """The names that were looked up so far, in order."""
    try:
      with open(self.path + ".asked", encoding="ascii") as file:
        return file.read().split()
    except FileNotFoundError:
      return []
