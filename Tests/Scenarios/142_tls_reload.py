"""Listeners with TLS over reloads: certificates that change, pairs that are broken, listeners that come and go."""

import hashlib
import ssl

from play import *

_FILES = {"certificate": "own.pem", "key": "own.key"}


def files_of(name, key=None):
  """Certificate and key under names that stay."""
  with open(certificate(key or name, "key"), encoding="ascii") as file:
    return {"own.pem": pem(name), "own.key": file.read()}


def own(*origins, **config):
  """A configuration whose listener has the two files."""
  listener = {"bind": "127.0.0.1:0", "tls": _FILES}
  return merged(serving(*origins, server={"workers": 2}), merged({"listeners": {"main": listener}}, config))


def shown_by(client):
  """The hash of the certificate that a client was shown."""
  return hashlib.sha256(client.sock.stream.getpeercert(True)).hexdigest()


def hash_of(name):
  """The hash of one of the stage's certificates."""
  return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem(name))).hexdigest()


@play
def another_certificate():
  """after a reload new connections are shown the new certificate, while old ones go on and streams end well"""
  with Origin() as origin:
    gate = origin.gate()
    origin.script = held(gate)
    with Edge(own(origin), files=files_of("good")) as edge, edge.client() as old, edge.client() as idle:
      stream = Stream(old)
      same((shown_by(old), idle.get("/health").status), (hash_of("good"), 200))
      line = edge.adopt(files=files_of("rsa"))
      same(difference(line), {"changed": {"listeners.main.tls.certificate"}})
      for _ in range(8):
        with edge.client() as new:
          same((shown_by(new), new.get("/health").status), (hash_of("rsa"), 200))
      same(idle.get("/health").status, 200, "an old connection")
      gate.open()
      stream.assert_whole()
      same(old.get("/health").status, 200)
      edge.wait_line(event="generation_ended", generation=1)
      same((old.get("/health").status, idle.get("/health").status), (200, 200), "when its generation has ended")


@play
def nothing_new():
  """a reload without another certificate changes nothing"""
  with Edge(own("http://127.0.0.1:1"), files=files_of("good")) as edge:
    same(edge.reload()["event"], "reload_unchanged")
    same(edge.reload(files={"own.pem": "# renewed\n" + pem("good")})["event"], "reload_unchanged")


@play
def broken_pairs():
  """a reload with a pair that is broken fails with its place, and the old certificate serves on"""
  with Edge(own("http://127.0.0.1:1"), files=files_of("good"), loud=True) as edge:
    for files, reason in (
      (files_of("rsa", key="good"), "does not belong to the certificate"),
      ({**files_of("good"), "own.pem": ""}, "no certificate"),
      ({**files_of("good"), "own.key": pem("good")}, "no private key"),
      ({**files_of("good"), "own.key": None}, "No such file"),
    ):
      before = len(edge.matching(event="config_error"))
      same(edge.reload(files=files)["event"], "reload_failed")
      lines = [line["message"] for line in edge.matching(event="config_error")[before:]]
      same(len(lines), 1, "errors")
      holds(reason in lines[0] and re.match(r"\S+routes\.yaml:\d+:\d+: error:", lines[0]), lines[0])
      with edge.client() as client:
        same((shown_by(client), client.get("/health").status), (hash_of("good"), 200))
    same(edge.reload(files=files_of("good"))["event"], "reload_unchanged")


@play
def with_and_without():
  """a listener may change between TLS and plain HTTP; connections that are open go on as they began"""
  with Origin() as origin:
    plain = own(origin, listeners={"main": {"bind": f"127.0.0.1:{free_port()}", "tls": None}})
    secure = merged(plain, {"listeners": {"main": {"tls": _FILES}}})
    with Edge(plain, files=files_of("good")) as edge, edge.client(tls=None) as old:
      same(old.get("/").status, 200)
      edge.adopt(secure)
      with edge.client(tls=ClientTLS()) as new, edge.client(tls=None) as late:
        same((old.get("/").status, new.get("/").status), (200, 200))
        same(late.get("/").status, 400, "plain HTTP")
        edge.adopt(plain)
        with edge.client(tls=None) as last:
          same((old.get("/").status, new.get("/").status, last.get("/").status), (200, 200, 200))


@play
def removed():
  """a listener that a reload removes ends its streams well, closes its idle connections, and takes no handshake"""
  with Origin() as origin:
    gate = origin.gate()
    origin.script = held(gate)
    config = own(origin)
    more = merged(config, {"listeners": {"inner": {"bind": "127.0.0.1:0", "tls": _FILES}}})
    with Edge(more, files=files_of("good")) as edge:
      address = edge.address("inner")
      with edge.client("inner") as client, edge.client("inner") as idle, edge.client("inner", handshakes=False) as raw:
        stream = Stream(client)
        same(idle.get("/health").status, 200)
        edge.adopt(config)
        idle.assert_closed("idle connection")
        same(idle.reader.ended, "end")
        raw.assert_closed("a connection without a handshake")
        edge.wait_line(event="listener_closed")
        assert_refused(address)
        gate.open()
        stream.assert_whole()
        client.assert_closed()


@play
def many_reloads():
  """contexts of certificates that are gone are given back: memory does not grow with reloads"""
  with Edge(own("http://127.0.0.1:1"), files=files_of("good")) as edge:
    def change(count):
      for number in range(count):
        edge.adopt(files=files_of("rsa" if number % 2 == 0 else "good"))
        with edge.client() as client:
          same(client.get("/health").status, 200)
    change(20)
    before = edge.memory()
    change(60)
    # What the last generation had goes back to the system when all have left it.
    eventually(lambda: edge.memory() - before < (1 << 20) * MEMORY_FACTOR, "memory is back")
