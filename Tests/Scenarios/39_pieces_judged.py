"""on_chunk: policies judge the content of answers piece by piece, before the client gets it."""

from play import *
from stage.credits import *
from stage.messages import *
from stage.provider import *

# Stops at a word, wherever it stands, also over the border of two pieces.
GUARD = lua(on_chunk="""
ctx.said = (ctx.said or "") .. chunk.data
ctx.count = (ctx.count or 0) + 1
if ctx.count ~= chunk.number then error("counted " .. ctx.count) end
ctx.last = chunk.last
if ctx.said:find("FORBIDDEN", 1, true) then edge.refuse("CONTENT_REJECTED", {message = "Not for you."}) end
if ctx.said:find("FAIL", 1, true) then error("failed") end
if ctx.said:find("LOOP", 1, true) then while true do end end
if ctx.said:find("WAIT", 1, true) then edge.http.fetch{service = "side", path = "/now"} end
if ctx.said:find("GATE", 1, true) then edge.http.fetch{service = "side", path = "/gate"} end
ctx.said = ctx.said:sub(-10)""", on_log="""
edge.log.info(table.concat({ctx.count or 0, tostring(ctx.last), ctx.cause}, " "))""")


@contextmanager
def guarded(script, policies=None, **config):
  """As `ruled`, with a service `side` that policies ask and a gate in front of one of its answers."""
  with beside(config) as (changes, gate):
    with ruled(policies or {"guard": GUARD}, script, lenient=True, **changes) as (client, edge, origin):
      yield client, edge, origin, gate


def pieces(*parts, end=True):
  """A service that sends these pieces, each when the gate in front of it is open."""
  def script(_request, line):
    line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for part in parts:
      if isinstance(part, Gate):
        part.wait("the next piece")
      else:
        line.send(b"%x\r\n%s\r\n" % (len(part), part))
    if end:
      line.send(b"0\r\n\r\n")
  return script


def said(edge, policy="guard"):
  edge.stop()
  return [line["text"].split() for line in edge.matching(event="policy_log", policy=policy)]


@play
def nothing_is_changed():
  """what policies let pass arrives byte for byte, however it is framed, waited for or not; without content: none"""
  body = random_bytes(700_000).replace(b"F", b"f").replace(b"W", b"w").replace(b"G", b"g").replace(b"L", b"l")
  scripts = {f"/{frame}{what.decode()}": answer(200, what + body, frame=frame)
             for frame in ("length", "chunked", "close") for what in (b"", b"WAIT")}
  scripts |= {"/204": answer(204, frame="none"), "/304": answer(304, frame="none")}
  with guarded(scripts) as (client, edge, origin, gate):
    for path in sorted(scripts):
      with edge.client() as other:
        response = other.get(path)
        wanted = b"" if path in ("/204", "/304") else (b"WAIT" if path.endswith("WAIT") else b"") + body
        same((response.status, response.body == wanted), (200 if wanted else int(path[1:]), True), path)
    same(client.request("HEAD", "/length").status, 200)
    found = said(edge)
    same(sorted(int(row[0]) > 1 for row in found), [False] * 3 + [True] * 6, "counts of pieces")
    same(sorted(row[1] for row in found if int(row[0]) == 0), ["nil"] * 3, "none of an answer without content")


@play
def early_words():
  """what is refused before the client has anything is answered with the error, and a failure with POLICY_ERROR"""
  scripts = {"/a": answer(200, b"FORBIDDEN"), "/b": answer(200, b"LOOP", frame="chunked"),
             "/c": answer(200, b"FAIL", frame="close"), "*": answer(200, b"fine")}
  with guarded(scripts, loud=True) as (client, edge, origin, gate):
    for path, status, code, cause in (("/a", 422, "CONTENT_REJECTED", "refused"),
                                      ("/b", 500, "POLICY_ERROR", "policy_error"),
                                      ("/c", 500, "POLICY_ERROR", "policy_error")):
      response = client.get(path)
      assert_error(response, status, code)
      line = edge.line_of(response, event="exchange")
      same((line["cause"], line["status"], line["policy"]), (cause, status, "guard"))
    same(client.get("/").body, b"fine", "the connection goes on")


@play
def late_words():
  """what is refused when the client has a part is cut there: nothing of the refused piece arrives"""
  for word, cause in ((b"FORBIDDEN", "refused"), (b"FAIL", "policy_error"), (b"LOOP", "policy_error")):
    with Origin() as gates:
      gate = gates.gate()
      with guarded(pieces(b"first ", gate, b"then " + word, end=False), loud=True) as (client, edge, origin, _):
        client.send(head("GET", "/"))
        response, kind, length = client.read_final_head()
        same(client.read_piece(response, kind), b"first ")
        gate.open()
        rest = client.read_to_end()
        same(rest, b"", "behind the first piece")
        line = edge.log_line(path="/")
        same((line["cause"], line["status"], line["policy"], line["responseBytes"]), (cause, 200, "guard", 6))
        eventually(lambda: origin.lines[0].ended.is_set(), "the end of the connection to the service")


@play
def many_waits():
  """many pieces with a wait each arrive whole, to a client that reads and to one that is slow"""
  body = b"WAIT" * 100_000
  for receive in (None, 4096):
    with guarded(answer(200, body, frame="chunked")) as (client, edge, origin, gate):
      with edge.client(receive_buffer=receive) as other:
        other.send(head("GET", "/"))
        same(other.read_response().body == body, True, "the body")
      found = said(edge)
      holds(int(found[0][0]) >= 400_000 // 65_536, f"pieces: {found}")


@play
def the_client_leaves():
  """a client that leaves while a piece is judged ends the exchange and the service's answer"""
  gate_of_piece = Gate()
  with guarded(pieces(b"first ", gate_of_piece, b"GATE", b"x" * 100_000), loud=True) as (client, edge, origin, gate):
    with edge.client() as other:
      other.send(head("GET", "/"))
      response, kind, _ = other.read_final_head()
      same(other.read_piece(response, kind), b"first ")
      gate_of_piece.open()
      gate.reached()
      other.reset()
    line = edge.log_line(path="/")
    same((line["cause"], line["responseBytes"]), ("client_left", 6))
    gate.open()
    same(said(edge), [["2", "false", "client_left"]])


@play
def the_service_ends_meanwhile():
  """a service that ends while a piece is judged, in order or not, is heard when the piece is"""
  def cut(_request, line):
    line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nGATE")
    line.reset()
  for script, cause in ((answer(200, b"GATE", frame="close"), "completed"), (cut, "upstream_cut")):
    with guarded(script, loud=True) as (client, edge, origin, gate):
      client.send(head("GET", "/"))
      gate.reached()
      gate.open()
      response, kind, length = client.read_final_head()
      if cause == "completed":
        same(client.read_piece(response, kind), b"GATE")
      edge.wait_line(event="exchange", route="all", cause=cause)


@play
def a_reload_meanwhile():
  """a piece that is judged across a reload ends on its own generation, and so does the rest of its answer"""
  other_policy = lua(on_chunk='error("new")')
  with guarded(answer(200, b"GATE" + b"x" * 300_000, frame="chunked"), loud=True) as (client, edge, origin, gate):
    client.send(head("GET", "/1"))
    gate.reached()
    edge.adopt(files={file_of("guard"): other_policy})
    with edge.client() as other:
      assert_error(other.get("/2"), 500, "POLICY_ERROR")
    gate.open()
    same(len(client.read_response().body), 300_004)
    same(edge.log_line(path="/1")["generation"], 1)


# MARK: models


GUARDED = {**USUAL, "guard": GUARD}


def whole_or_streamed(*texts):
  def script(request, line):
    if json.loads(request.body).get("stream"):
      streamed(*story(*texts, used=usage(10, 5)))(request, line)
    else:
      told(completion("".join(texts), usage(10, 5)))(request, line)
  return script


@play
def models_are_judged():
  """answers of models that pass arrive as without policies, whole and streamed, in both dialects, and are paid"""
  with chatting_beside(GUARDED, whole_or_streamed("Hel", "lo WAIT")) as (client, edge, provider, gate):
    for path, body in ((PATH, chat), (MESSAGES, talk)):
      for stream in (False, True):
        response = ask(client, body(stream=stream), path=path)
        same(response.status, 200, f"{response.body[:300]!r}")
        holds(b"Hel" in response.body and b"lo WAIT" in response.body, f"{response.body[:300]!r}")
        if stream:
          holds((b"[DONE]" if path == PATH else b"message_stop") in response.body, "the end of the stream")
    same(account(client), (1000 - 4 * cost(15), 0))
    same([row[1:] for row in said(edge)], [["true", "completed"]] * 4)


@play
def models_are_cut():
  """a stream that is refused in the middle ends with an error in the client's dialect, and what came is paid once"""
  for path, body, mark in ((PATH, chat, b'data: {"error":'), (MESSAGES, talk, b"event: error\ndata: ")):
    with Origin() as gates:
      gate = gates.gate()
      script = streamed(part("harmless "), gate, *story("FORBIDDEN ", "more", used=usage(10, 5)))
      with chatting_beside(GUARDED, script, loud=True) as (client, edge, provider, _):
        client.send(post(body(stream=True), path=path))
        events = Events(client)
        while b"harmless" not in events.buffer:
          events.more()
        gate.open()
        data = events.cut()
        holds(b"harmless" in data and mark in data and b"Not for you." in data, f"{data[-600:]!r}")
        holds(b"FORBIDDEN" not in data and b"more" not in data, f"more came: {data[-600:]!r}")
        line = edge.log_line(path=path)
        same((line["cause"], line["policy"], line["status"]), ("refused", "guard", 200))
        with edge.client() as other:
          eventually(lambda: account(other)[1] == 0, "nothing is held")
          holds(line["credits"] > 0, "something was charged")
          same(1000 - balance(other), exact(line["credits"]), "charged once")


@play
def whole_answers_are_refused():
  """a whole answer that holds the word is refused with the error, and paid as it was used"""
  with chatting_beside(GUARDED, whole_or_streamed("it is FORBIDDEN")) as (client, edge, provider, gate):
    assert_openai_error(ask(client), "CONTENT_REJECTED")
    same(account(client), (1000 - cost(15), 0))
    assert_message_error(say(client), "CONTENT_REJECTED")
    same(account(client), (1000 - 2 * cost(15), 0))


@play
def both_phases():
  """with on_response and on_chunk both: the head first, once, then the pieces, and what was set stays over waits"""
  both = lua(on_response="""ctx.order = "r" edge.http.fetch{service = "side", path = "/now"}
res.headers["x-set"] = "set" """, on_chunk="""edge.http.fetch{service = "side", path = "/now"}
ctx.order = ctx.order .. "c" """, on_log="edge.log.info(ctx.order)")
  with chatting_beside({**USUAL, "both": both}, whole_or_streamed("Hel", "lo")) as (client, edge, provider, _):
    for stream in (False, True):
      same(ask(client, chat(stream=stream)).fields.all("x-set"), ["set"])
    same(account(client), (1000 - 2 * cost(15), 0))
    edge.stop()
    for line in edge.matching(event="policy_log", policy="both"):
      holds(re.fullmatch("rc+", line["text"]), line["text"])
  with guarded(answer(200, b"z" * 100_000, frame="chunked"), {"both": both}) as (client, edge, origin, gate):
    response = client.get("/")
    same((response.fields.all("x-set"), response.body == b"z" * 100_000), (["set"], True))
    holds(re.fullmatch("rcc+", said(edge, "both")[0][0]), "the order")
