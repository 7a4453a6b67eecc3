"""Answers and requests over TLS that end in the middle: by a reset, in the first record, with the handshake."""

import socket
import ssl

from play import *


def early_answer(tls, method, route, status):
  """An upload on a reused connection finds its answer, a reset behind it, before its next piece can be sent.

  The answer refuses the rest with 413, or is one to all of the body with 200."""
  with Origin(whole=False, lenient=True, tls=tls) as origin:
    begun, go, gone = origin.gate(), origin.gate(), origin.gate()

    def script(request, line):
      if request.path != "/up" or line.number > 1:
        answer(200, b"another")(request, line)
        return
      same(line.read_piece(request), b"x" * 10, "the beginning of the body")
      begun.open()
      go.wait()
      line.send(b"HTTP/1.1 %d Early\r\nContent-Length: 5\r\n\r\nearly" % status)
      line.reset()
      gone.open()
    origin.script = script
    with Edge((trusting if tls else serving)(origin, route=route)) as edge, edge.client() as client:
      same(client.get("/first").status, 200)
      client.send(head(method, "/up", [("Content-Length", 30)]) + b"x" * 10)
      begun.wait("the beginning of the body")
      with edge.frozen():
        rest = b"y" * (20 if status == 200 else 10)
        client.send(rest)
        eventually(lambda: client.unread_there() == len(rest), "the next piece waits")
        go.open()
        gone.wait("the answer and the reset")
      response = client.read_response(method)
      what = f"{method} {'over TLS' if tls else 'without TLS'} {route}"
      same((response.status, response.body), (status, b"early"), what)
      line = edge.log_line(path="/up")
      same((line["status"], line["replays"], line["attempts"]), (status, 0, 1), what)
      same(origin.paths(), ["/first", "/up"], f"requests at the service, {what}")


_UPLOADS = [(tls, method, route) for tls in (None, "good")
            for method, route in (("PUT", {}), ("POST", {}), ("POST", {"replay_on_stale": True}))]


@play
def a_refusal_and_a_reset():
  """an upload that is refused by 413 with a reset behind it: the client gets the refusal, nothing is sent again"""
  for tls, method, route in _UPLOADS:
    early_answer(tls, method, route, 413)


@play
def an_answer_and_a_reset():
  """an upload that has its whole answer, with a reset behind it, is answered by that and not sent again"""
  for tls, method, route in _UPLOADS:
    early_answer(tls, method, route, 200)


@play
def an_answer_cut_in_its_first_record():
  """a request on a reused connection whose answer breaks off within its first record is 502 and not sent again"""
  for method, body in (("POST", b"pay"), ("GET", b"")):
    for count in (1, 4, 5, 6, 30):
      with secured(route={"replay_on_stale": True}) as (client, edge, origin):
        def script(request, line, count=count):
          if request.path == "/first" or line.number > 1:
            answer(200, b"ok")(request, line)
            return
          line.sock.send_part(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone", count)
          line.drop()
        origin.script = script
        same(client.get("/first").status, 200)
        assert_error(client.request(method, "/cut", body=body), 502, "PROVIDER_ERROR")
        same(origin.paths(), ["/first", "/cut"], f"requests at the service, {method} cut at {count} bytes")
        line = edge.log_line(path="/cut")
        same((line["status"], line["replays"], line["attempts"]), (502, 0, 1))


@play
def a_request_that_left_in_part():
  """a request of which records have left on a dying connection is not sent elsewhere without permission"""
  body = random_bytes(40_000)
  for tls in (None, "good"):
    for method, again in (("POST", False), ("PUT", True)):
      with Origin(lenient=True, tls=tls) as origin:
        with Edge((trusting if tls else serving)(origin)) as edge, edge.client() as client:
          same(client.get("/first").status, 200)
          # One more turn, so that the edge has nothing to hear of the service's connection before the client's.
          same(client.get("/health").status, 200)
          text = head(method, "/up", [("Content-Length", len(body))]) + body
          with edge.frozen():
            client.send(text)
            eventually(lambda: client.unread_there() == len(text), "the request waits")
            # The edge will hear of this only after it has written.
            origin.lines[0].sock.shutdown(socket.SHUT_RDWR)
          response = client.read_response(method)
          what = f"{method} {'over TLS' if tls else 'without TLS'}"
          if again:
            same((response.status, origin.last().body == body), (200, True), what)
          else:
            assert_error(response, 502, "PROVIDER_ERROR")
          same(len(origin.lines), 1 + again, f"connections, {what}")
          same(origin.paths(), ["/first", "/up"][:1 + again], f"requests at the service, {what}")
          line = edge.log_line(path="/up")
          same((line["replays"], line["attempts"]), (int(again), 1 + again), what)


@play
def an_answer_at_the_end_of_the_handshake():
  """an answer in the segment that ends the handshake is heard"""
  for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    for status in (200, 503):
      early = b"HTTP/1.1 %d Early\r\nConnection: close\r\nContent-Length: 5\r\n\r\nearly" % status
      with secured(lambda request, line: line.hang(), tls=TLS(version=version, early=early),
                   service={"timeouts": {"head": "2s"}}) as (client, edge, origin):
        response = client.get("/")
        same((response.status, response.body), (status, b"early"), f"{version.name}")
        same(edge.log_line()["status"], status)
