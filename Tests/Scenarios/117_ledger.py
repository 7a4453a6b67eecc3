"""The ledger outlives processes: restarts, crashes, drains, full disks, and who may have it."""

import os
import resource
import select
import sqlite3
import threading

from play import *
from stage.credits import *
from stage.kernel import unread
from stage.provider import *
from stage.wire import read_body

CRASHES = 10
# Becomes the edge, which then is not ended by the kernel when a file may not grow.
PATIENT = ("sh", "-c", 'trap "" XFSZ; exec "$@"', "sh")


@play
def restart():
  """balances, history and keys of grants are kept through a restart"""
  with Provider() as provider, Folder() as folder:
    document, files = llm(provider)
    with Edge(document, files=files, folder=folder) as edge, edge.client() as client:
      ask(client)
      first = document_of(grant(client, "alice", 5, key="key"))
      before = (balance(client), entries(client))
    with Edge(document, files=files, folder=folder) as edge, edge.client() as client:
      same((balance(client), entries(client)), before)
      same(document_of(grant(client, "alice", 5, key="key"))["transactionId"], first["transactionId"])
      assert_error(grant(client, "alice", 6, key="key"), 409, "CONFLICT")
      same(ask(client).status, 200)
      same(balance(client), before[0] - cost(15))
    Ledger(folder.path).assert_sound()


@play
def file_for_its_owner():
  """the ledger's files can be read by their owner only"""
  with chatting() as (client, edge, provider):
    ask(client)
    for name in os.listdir(os.path.join(edge.folder.path, "var")):
      if "ledger" in name:
        same(os.stat(os.path.join(edge.folder.path, "var", name)).st_mode & 0o077, 0, f"access bits of {name}")
    edge.stop()
    same(os.stat(ledger_file(edge.folder.path)).st_mode & 0o777, 0o600, "access bits of the ledger")


@play
def in_memory():
  """stores.ledger: memory keeps nothing on the disk and nothing through a restart"""
  with Provider() as provider, Folder() as folder:
    document, files = llm(provider, stores={"ledger": "memory"})
    for _ in range(2):
      with Edge(document, files=files, folder=folder) as edge, edge.client() as client:
        same(balance(client), 1000)
        same(ask(client).status, 200)
        same(balance(client), 1000 - cost(15))
        same(len(entries(client)), 2)
    var = os.path.join(folder.path, "var")
    same([name for name in (os.listdir(var) if os.path.isdir(var) else []) if "ledger" in name], [], "files")


@play
def relaxed():
  """with stores.durability: relaxed an ordinary end loses nothing"""
  with Provider() as provider, Folder() as folder:
    document, files = llm(provider, stores={"durability": "relaxed"})
    with Edge(document, files=files, folder=folder) as edge, edge.client() as client:
      same([ask(client).status for _ in range(20)], [200] * 20)
      edge.stop()
    same(Ledger(folder.path).assert_sound().of("alice"), 1000 - 20 * cost(15))


class Spenders:
  """Threads that each make requests of an own user until the edge is gone; ids of what they saw the end of."""

  def __init__(self, edge, count, turn):
    self.address, self.turn = edge.address(), turn
    self.acknowledged, self.failures = [], []
    self.threads = [threading.Thread(target=self.spend, args=(number,)) for number in range(count)]
    for thread in self.threads:
      thread.start()

  def spend(self, number):
    try:
      with Client(self.address) as client:
        while True:
          if number % 2:
            client.send(post(chat(stream=True), f"user-{number}"))
            answered = Events(client)
            while answered.next() != DONE:
              pass
            self.acknowledged.append((number, answered.id))
            answered.rest()
          else:
            response = ask(client, user=f"user-{number}")
            same(response.status, 200)
            self.acknowledged.append((number, response.fields.one("x-request-id")))
    except (Cut, OSError):
      pass  # the crash
    except Exception as failure:
      self.failures.append(f"user-{number} in turn {self.turn}: {type(failure).__name__}: {failure}")

  def await_some(self, count):
    eventually(lambda: self.failures or len(self.acknowledged) >= count, f"{count} requests are done")

  def end(self):
    for thread in self.threads:
      thread.join(DEADLINE)
    same(self.failures, [], "failures")


@play
def crashes():
  """after ten crashes under load balances are the sums of their entries, and all that was acknowledged is there"""
  with Provider(lenient=True) as provider, Folder() as folder:
    document, files = llm(provider, balance=100_000, server={"workers": 2})
    acknowledged = []
    for turn in range(CRASHES):
      with Edge(document, files=files, folder=folder) as edge:
        spenders = Spenders(edge, 8, turn)
        spenders.await_some(20 + 7 * turn)
        edge.crash()
        spenders.end()
        acknowledged += spenders.acknowledged
      settled_ids = [row["request_id"] for row in Ledger(folder.path).assert_sound().settlements()]
      same(len(set(settled_ids)), len(settled_ids), "requests that are settled")
      missing = {name for _, name in acknowledged} - set(settled_ids)
      same(missing, set(), f"requests that were acknowledged and are not settled, after crash {turn + 1}")
    with Edge(document, files=files, folder=folder) as edge, edge.client() as client:
      for number in range(8):
        found = entries(client, f"user-{number}", limit=200)
        same(balance(client, f"user-{number}"), sum(exact(entry["credits"]) for entry in found),
             f"balance of user-{number}")
        own = {name for whose, name in acknowledged if whose == number}
        same(own - {entry.get("requestId") for entry in found}, set(), f"requests not in the history of user-{number}")


@play
def drained():
  """SIGTERM lets streams end and settles them; those it must cut are settled by an estimate"""
  with chatting(server={"drain": "700ms"}) as (client, edge, provider):
    gate = provider.gate()
    cut_body = chat(stream=True, user="cut!")

    def script(request, line):
      if request.body.find(b'"cut!"') >= 0:
        streamed(part("hello" * 4), Line.hang)(request, line)
      else:
        streamed(part("one"), gate, *story("two", used=usage(10, 5)))(request, line)
    provider.script = script
    with edge.client() as other, edge.client() as idle:
      whole, cut = begin(client), begin(other, cut_body, user="bob")
      same((whole.next(), cut.next()), (part("one"), part("hello" * 4)))
      edge.signal()
      idle.assert_closed()
      gate.open()
      holds(whole.rest().endswith(DONE), "the stream did not come to its end")
      cut.cut()
    same(edge.wait_exit(), 0)
    line = edge.line_of(cut.response)
    same((line["cause"], line["usage"]["source"]), ("drain", "estimated"))
    ledger = ledger_of(edge)
    same((ledger.of("alice"), ledger.of("bob")), (1000 - cost(15), 1000 - cost(len(cut_body) // 2 + 5)))


@play
def full_disk():
  """while the ledger cannot be written new chats are a 503 and other routes go on; afterwards all is well again"""
  with Provider() as provider, Origin() as app:
    document, files = llm(provider, services={"app": {"endpoints": [app.url]}},
                          routes={"plain": {"path": "/plain", "service": "app"}})
    with Edge(document, files=files, loud=True, before=PATIENT) as edge, edge.client() as client:
      same(ask(client).status, 200)
      sizes = [os.path.getsize(os.path.join(folder, name)) for folder, _, names in
               os.walk(os.path.join(edge.folder.path, "var")) for name in names]
      _, hard = resource.prlimit(edge.process.pid, resource.RLIMIT_FSIZE)
      resource.prlimit(edge.process.pid, resource.RLIMIT_FSIZE, (max(sizes), hard))
      waiting = []

      def refused():
        """A refusal of another chat; None when it waits for the ledger, or is served because there is still room."""
        waiting.append(edge.client())
        waiting[-1].send(post(chat()))
        if not waiting[-1].reader.poll.poll(200):
          return None
        response, kind, length = waiting[-1].read_final_head("POST")
        return read_body(waiting[-1].reader, response, kind, length, Deadline()) if response.status != 200 else None
      assert_openai_error(eventually(refused, "chats are refused"), "SERVICE_UNAVAILABLE")
      same([client.get("/plain").status, client.get("/health").status], [200, 200], "other routes")
      resource.prlimit(edge.process.pid, resource.RLIMIT_FSIZE, (hard, hard))

      def served():
        with edge.client() as one:
          return ask(one).status == 200
      eventually(served, "chats are served again")
      for one in waiting:
        one.close()
      edge.stop()
      ledger = ledger_of(edge)
      done = [line for line in edge.matching(route="chat") if line["status"] == 200 and line["cause"] == "completed"]
      settled_ids = {row["request_id"] for row in ledger.settlements()}
      same({line["requestId"] for line in done} - settled_ids, set(), "answers that were whole and are not settled")


@play
def told_twice_to_end():
  """a second SIGTERM while a stream runs charges what came, by an estimate, and the stream has its access line"""
  with chatting(server={"drain": "10m"}, provider={"timeouts": {"idle": "10m"}}) as (client, edge, provider):
    provider.script = streamed(part("hello" * 4), part("world" * 4), Line.hang)
    with edge.client() as idle:
      body = chat(stream=True)
      answered = begin(client, body)
      same((answered.next(), answered.next()), (part("hello" * 4), part("world" * 4)))
      edge.signal()
      idle.assert_closed()
      edge.signal()
      edge.wait_exit()
    charge = cost(len(body) // 2 + 10)
    assert_charged(edge, answered.response, charge, "estimated", cause="drain")
    ledger = ledger_of(edge)
    same(ledger.of("alice"), 1000 - charge)
    (settlement,) = ledger.settlements()
    same((settlement["request_id"], settlement["cause"]), (answered.id, "drain"))


def limit_files(edge, size=None):
  """From now on no file of the edge may grow beyond `size`; None: all may grow."""
  _, hard = resource.prlimit(edge.process.pid, resource.RLIMIT_FSIZE)
  resource.prlimit(edge.process.pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))


@play
def full_disk_behind_an_answer():
  """a whole answer whose charge cannot be written for 10 s is a 503 that must not be tried again"""
  with Provider() as provider:
    gate = provider.gate()
    provider.script = lambda request, line: (gate.wait(), told(used=usage(1000, 500))(request, line))
    document, files = llm(provider)
    with Edge(document, files=files, loud=True, before=PATIENT) as edge, edge.client() as client:
      client.send(post(chat()))
      provider.wait_requests(1)
      limit_files(edge, 1)
      gate.open()
      response = client.read_response("POST", deadline=Deadline(10 + DEADLINE))
      assert_openai_error(response, "SERVICE_UNAVAILABLE", final=True)
      limit_files(edge)

      def served():
        with edge.client() as one:
          return ask(one).status == 200
      eventually(served, "chats are served again")
      settled(client)


def at_rest(measure, what):
  """Waits until a measure stays the same."""
  found = []

  def still():
    found.append(measure())
    return len(found) > 100 and len(set(found[-100:])) == 1
  eventually(still, what, 60)


class Readers:
  """Clients of streams that have read nothing yet; then how each of them came to its end."""

  def __init__(self, edge, count):
    self.clients = [edge.client(receive_buffer=4096) for _ in range(count)]
    for one in self.clients:
      one.send(post(chat(stream=True)))

  def read(self, deadline):
    """Reads all of them side by side; the positions of those that come to no end."""
    open_ones = {one.sock.fileno(): at for at, one in enumerate(self.clients)}
    tails, poll = {}, select.poll()
    for one in self.clients:
      one.sock.setblocking(False)
      poll.register(one.sock, select.POLLIN)
    while open_ones and not deadline.passed():
      for number, _ in poll.poll(100):
        at = open_ones[number]
        try:
          data = self.clients[at].sock.recv(1 << 18)
        except ConnectionError:
          data = b""
        tails[at] = (tails.get(at, b"") + data)[-8:]
        if not data or tails[at].endswith(b"\r\n0\r\n\r\n"):
          del open_ones[number]
          poll.unregister(number)
    return sorted(open_ones.values())

  def close(self):
    for one in self.clients:
      one.close()


@play
def full_disk_behind_unread_streams():
  """streams that end while the ledger cannot be written come to an end for clients too that read late"""
  filler, sent = part("x" * 1000), []
  with Provider(lenient=True) as provider:
    gate = provider.gate()

    def script(_request, line):
      # From what fits into the kernel's buffers to more than the edge takes.
      count = 1800 + 40 * line.number
      line.send(STREAM_HEAD, Deadline(60))
      for _ in range(count // 40):
        line.send(chunk(filler * 40), Deadline(60))
        sent.append(line.number)
      gate.wait(seconds=60)
      line.send(chunk(b"".join(story("end", used=usage(10, 5)))) + b"0\r\n\r\n", Deadline(60))
      sent.append(line.number)
    provider.script = script
    document, files = llm(provider, balance=100_000_000, model={"max_output": 1_000_000})
    with Edge(document, files=files, loud=True, before=PATIENT) as edge:
      readers = Readers(edge, 64)
      try:
        provider.wait_requests(64)
        def progress():
          return len(sent), sum(unread(line.remote, line.local) or 0 for line in provider.lines)
        at_rest(progress, "the edge takes no more")
        limit_files(edge, 1)
        gate.open()
        at_rest(progress, "the ends have come")
        same(readers.read(Deadline(10 + DEADLINE)), [], "streams that come to no end")
        limit_files(edge)
      finally:
        readers.close()


def refusal(folder):
  """What an edge says that must not start in this folder."""
  code, output, errors = command("run", "--config", os.path.join(folder.path, "routes.yaml"), folder=folder.path)
  same(code, 1, "exit code")
  return output + errors


@play
def one_edge_at_a_time():
  """a second edge on the same state is refused and says so, and the first goes on"""
  with chatting() as (client, edge, provider):
    holds("in use" in refusal(edge.folder), refusal(edge.folder))
    same(ask(client).status, 200)


def edited(folder, statement):
  database = sqlite3.connect(ledger_file(folder.path))
  try:
    database.execute(statement)
    database.commit()
  finally:
    database.close()


@play
def newer_file():
  """a ledger written by a newer edge is refused with a message, and is not touched"""
  with Provider() as provider, Folder() as folder:
    document, files = llm(provider)
    with Edge(document, files=files, folder=folder) as edge, edge.client() as client:
      ask(client)
    edited(folder, "PRAGMA user_version = 99")
    with open(ledger_file(folder.path), "rb") as file:
      before = file.read()
    text = refusal(folder)
    holds("newer" in text and "99" in text, text)
    with open(ledger_file(folder.path), "rb") as file:
      same(file.read() == before, True, "the file is as it was")


@play
def no_ledger_at_all():
  """a file that is no ledger, or that cannot be read, is refused with its path"""
  with Provider() as provider, Folder() as folder:
    document, files = llm(provider)
    with Edge(document, files=files, folder=folder):
      pass
    path = ledger_file(folder.path)
    with open(path, "wb") as file:
      file.write(b"this is a text and no database\n" * 300)
    holds(os.path.basename(path) in refusal(folder), refusal(folder))


@play
def immutable():
  """what stands in the ledger cannot be changed or removed by a slip"""
  with Provider() as provider, Folder() as folder:
    document, files = llm(provider)
    with Edge(document, files=files, folder=folder) as edge, edge.client() as client:
      ask(client)
    for statement in ("UPDATE transfers SET wall = 0", "DELETE FROM transfers", "UPDATE postings SET amount = 0",
                      "DELETE FROM accounts"):
      try:
        edited(folder, statement)
      except sqlite3.DatabaseError:
        continue
      raise Failed(f"{statement} was carried out")
