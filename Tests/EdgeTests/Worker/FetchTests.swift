import CLinux
import Glibc
import Testing

@testable import Edge

/// A worker on a thread of its own, as the control worker is: no listeners of its own, fetches through its inbox.
private final class WorkerStage {
  let shared: WorkerShared
  private let generation: Generation
  private let builder: GenerationBuilder
  private let resolver: Resolver
  private let folder: Fixture.Folder
  private var thread: RunningThread?

  /// Services by name, with their port.
  init(_ services: [String: UInt16], timeouts: String = "{}") throws {
    folder = try Fixture.Folder()
    var text = "version: 1\nlisteners: {main: {bind: \"127.0.0.1:0\"}}\nlog: {access: false}\nservices:\n"
    for (name, port) in services {
      text += "  \(name): {endpoints: \"http://127.0.0.1:\(port)\", timeouts: \(timeouts)}\n"
    }
    try folder.write("routes.yaml", text)
    let outcome = folder.load()
    let snapshot = try #require(outcome.snapshot)
    let resolved = try #require(outcome.resolved)
    resolver = Resolver(deliver: { _, _ in }, report: { _, _ in })
    let addresses = AddressBook(workers: 2)
    builder = GenerationBuilder(
      workers: 2, addresses: addresses, resolver: resolver, keyValues: try #require(KeyValueStore()),
      ledger: try memoryLedger(), metrics: try #require(Metrics(workers: 3)),
      log: try #require(Log(workers: 2, level: .error, descriptor: 2))
    )
    generation = try builder.build(snapshot, resolved: resolved, number: 1, place: 0)
    shared = WorkerShared(
      generations: GenerationBoard(workers: 2, first: generation.rows), addresses: addresses,
      builtins: BuiltinTable(rows: []), counters: Counters(workers: 2),
      metrics: try #require(Metrics(workers: 2)), log: try #require(Log(workers: 2, level: .error, descriptor: 2)),
      ledger: try memoryLedger(), bodies: BodyBudget(bytes: 1 << 20),
      inboxes: [try #require(Inbox()), try #require(Inbox())], control: try #require(Wake()),
      connectionsPerWorker: 256)
    // The worker leaves this thread for good.
    nonisolated(unsafe) let worker = try #require(Worker(index: 1, shared: shared))
    thread = try RunningThread.start { worker.run() }
  }

  deinit {
    stop()
    resolver.end()
    builder.listeners.abandon(generation.plan.listeners)
  }

  func stop() {
    guard let thread else { return }
    _ = shared.controlInbox.post(.stop)
    thread.join()
    self.thread = nil
  }

  @discardableResult
  func fetch(_ request: FetchRequest, of parent: FetchTicket? = nil) -> FetchTicket {
    let ticket = FetchTicket(request, parent: parent)
    #expect(shared.controlInbox.post(.fetch(ticket: Unmanaged.passRetained(ticket).toOpaque())))
    return ticket
  }

  func cancel(_ ticket: FetchTicket) {
    #expect(shared.controlInbox.post(.cancelFetch(ticket: Unmanaged.passRetained(ticket).toOpaque())))
  }
}

/// A service: one blocking socket, used by the test's own thread.
private final class Service {
  let port: UInt16
  private let listener: Int32
  private var open: [Int32] = []

  init() throws {
    let socket = try ListenerSocket.open(
      Listener(name: "service", address: HostPort(host: "127.0.0.1", port: 0)))
    listener = socket.fd
    _ = fcntl(listener, F_SETFL, 0)
    port = try #require(UInt16(socket.address.split(separator: ":").last ?? ""))
  }

  deinit { for fd in open + [listener] { _ = close(fd) } }

  /// The next connection.
  func accept() -> Int32 {
    let fd = Glibc.accept(listener, nil, nil)
    open.append(fd)
    return fd
  }

  /// A request's head and `bodyCount` bytes behind it.
  func read(_ fd: Int32, bodyCount: Int = 0) -> String {
    var bytes: [UInt8] = []
    var byte: UInt8 = 0
    while !String(decoding: bytes, as: UTF8.self).contains("\r\n\r\n"), recv(fd, &byte, 1, 0) == 1 {
      bytes.append(byte)
    }
    for _ in 0..<bodyCount where recv(fd, &byte, 1, 0) == 1 { bytes.append(byte) }
    return String(decoding: bytes, as: UTF8.self)
  }

  func send(_ fd: Int32, _ text: String) {
    let bytes = Array(text.utf8)
    #expect(Glibc.send(fd, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count)
  }

  /// Waits until Edge has closed the connection.
  func waitForEnd(_ fd: Int32) {
    var byte: UInt8 = 0
    #expect(recv(fd, &byte, 1, 0) <= 0)
  }

  func end(_ fd: Int32) {
    open.removeAll { $0 == fd }
    _ = close(fd)
  }
}

private func answered(_ outcome: FetchOutcome) throws -> FetchAnswer {
  guard case .answered(let answer) = outcome else {
    Issue.record("\(outcome)")
    throw CancellationError()
  }
  return answer
}

struct FetchTests {
  @Test func aFetchIsAnExchange() throws {
    let service = try Service()
    let stage = try WorkerStage(["keys": service.port])
    let ticket = stage.fetch(
      FetchRequest(
        service: "keys", method: .post, path: "/a?b=c", headers: [FetchHeader(name: "Accept", value: "x/y")],
        body: Array("hello".utf8)))
    let fd = service.accept()
    let lines = service.read(fd, bodyCount: 5).components("\r\n")
    #expect(lines.first == "POST /a?b=c HTTP/1.1")
    #expect(lines.contains("host: 127.0.0.1:\(service.port)"))
    #expect(lines.contains("Accept: x/y"))
    #expect(lines.contains("content-length: 5"))
    #expect(lines.contains("user-agent: edge/\(Version.text)"))
    #expect(lines.last == "hello")
    service.send(fd, "HTTP/1.1 201 Created\r\nContent-Length: 3\r\nX-One: 1\r\n\r\nyes")
    let answer = try answered(ticket.wait())
    #expect(answer.status == 201 && answer.body == Array("yes".utf8))
    #expect(answer.headers.contains(FetchHeader(name: "x-one", value: "1")))
    // The connection is kept for the next one.
    let next = stage.fetch(FetchRequest(service: "keys", path: "/"))
    #expect(service.read(fd).hasPrefix("GET / HTTP/1.1\r\n"))
    service.send(fd, "HTTP/1.1 204 No Content\r\n\r\n")
    #expect(try answered(next.wait()).status == 204)
    #expect(stage.shared.counters.sum(.exchanges) == 2 && stage.shared.counters.sum(.runningExchanges) == 0)
  }

  @Test func everyFramingIsTakenOff() throws {
    let service = try Service()
    let stage = try WorkerStage(["keys": service.port])
    let chunked = stage.fetch(FetchRequest(service: "keys", path: "/"))
    let fd = service.accept()
    _ = service.read(fd)
    // The head comes in two pieces.
    service.send(fd, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-")
    service.send(fd, "Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    service.send(fd, "2\r\nde\r\n0\r\n\r\n")
    #expect(try answered(chunked.wait()).body == Array("abcde".utf8))
    let unbounded = stage.fetch(FetchRequest(service: "keys", path: "/"))
    _ = service.read(fd)
    service.send(fd, "HTTP/1.1 200 OK\r\n\r\nall of it")
    service.end(fd)
    #expect(try answered(unbounded.wait()).body == Array("all of it".utf8))
  }

  @Test func aCutAnswerIsNone() throws {
    let service = try Service()
    let stage = try WorkerStage(["keys": service.port])
    let ticket = stage.fetch(FetchRequest(service: "keys", path: "/"))
    let fd = service.accept()
    _ = service.read(fd)
    service.send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    service.end(fd)
    #expect(ticket.wait() == .failed(.upstreamCut))
  }

  @Test func nobodyThere() throws {
    let port = try Service().port
    let stage = try WorkerStage(["keys": port])
    #expect(stage.fetch(FetchRequest(service: "keys", path: "/")).wait() == .failed(.unavailable))
    #expect(stage.fetch(FetchRequest(service: "other", path: "/")).wait() == .failed(.refused))
  }

  @Test func theDeadlineIsForEverything() throws {
    let service = try Service()
    let stage = try WorkerStage(["keys": service.port])
    var request = FetchRequest(service: "keys", path: "/")
    request.deadlineMilliseconds = 50
    let silent = stage.fetch(request)
    let fd = service.accept()
    _ = service.read(fd)
    #expect(silent.wait() == .failed(.upstreamTimeout))
    service.waitForEnd(fd)
    let slow = stage.fetch(request)
    let other = service.accept()
    _ = service.read(other)
    service.send(other, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    #expect(slow.wait() == .failed(.upstreamTimeout))
    service.waitForEnd(other)
  }

  @Test func cancelled() throws {
    let service = try Service()
    let stage = try WorkerStage(["keys": service.port])
    let ticket = stage.fetch(FetchRequest(service: "keys", path: "/"))
    let fd = service.accept()
    _ = service.read(fd)
    stage.cancel(ticket)
    #expect(ticket.wait() == .failed(.cancelled))
    service.waitForEnd(fd)
    // Too late is no harm.
    stage.cancel(ticket)
    #expect(stage.fetch(FetchRequest(service: "keys", path: "/"), of: ticket).wait() == .failed(.cancelled))
  }

  @Test func childrenEndWithTheirParent() throws {
    let service = try Service()
    let stage = try WorkerStage(["keys": service.port])
    let parent = stage.fetch(FetchRequest(service: "keys", path: "/parent"))
    let parentEnd = service.accept()
    _ = service.read(parentEnd)
    let children = (0..<3).map { stage.fetch(FetchRequest(service: "keys", path: "/\($0)"), of: parent) }
    let ends = children.map { _ in service.accept() }
    for end in ends { _ = service.read(end) }
    let grandchild = stage.fetch(FetchRequest(service: "keys", path: "/grandchild"), of: children[2])
    let grandchildEnd = service.accept()
    _ = service.read(grandchildEnd)
    // One of them ends by itself: the others stay its parent's.
    for (end, child) in zip(ends, children).dropFirst().prefix(1) {
      service.send(end, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
      #expect(try answered(child.wait()).status == 200)
    }
    stage.cancel(parent)
    for ticket in [parent, children[0], children[2], grandchild] { #expect(ticket.wait() == .failed(.cancelled)) }
    for end in [parentEnd, ends[0], ends[2], grandchildEnd] { service.waitForEnd(end) }
    #expect(stage.shared.generations.pins(0) == 0)
  }

  @Test func anAnswerIsBounded() throws {
    let service = try Service()
    let stage = try WorkerStage(["keys": service.port])
    var request = FetchRequest(service: "keys", path: "/")
    request.answerBytesMax = 100
    for framing in ["Content-Length: 90\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n5a\r\n"] {
      let ticket = stage.fetch(request)
      let fd = service.accept()
      _ = service.read(fd)
      service.send(fd, "HTTP/1.1 200 OK\r\n" + framing + String(repeating: "x", count: 90))
      #expect(ticket.wait() == .failed(.upstreamError))
      service.waitForEnd(fd)
    }
  }

  @Test func whatWouldChangeItsMeaningIsRefused() throws {
    let service = try Service()
    let stage = try WorkerStage(["keys": service.port])
    let good = FetchRequest(service: "keys", path: "/")
    #expect(good.isWellFormed)
    var bad: [FetchRequest] = []
    for path in ["", "a", "/a b", "/a\r\nx: y", "/#", "http://other/"] {
      bad.append(FetchRequest(service: "keys", path: path))
    }
    for (name, value) in [
      ("x", "a\r\ny: z"), ("x y", "1"), ("", "1"), ("Host", "other"), ("content-length", "3"), ("x", "\u{0}"),
      ("Transfer-Encoding", "chunked"), ("connection", "close"),
    ] {
      bad.append(FetchRequest(service: "keys", path: "/", headers: [FetchHeader(name: name, value: value)]))
    }
    var long = good
    long.body = [UInt8](repeating: 0x61, count: Limits.fetchBodyBytesMax + 1)
    var tunnel = good
    tunnel.method = .connect
    for request in bad + [long, tunnel] { #expect(stage.fetch(request).wait() == .failed(.refused)) }
  }

  @Test func nobodyWaitsForAWorkerThatHasStopped() throws {
    let service = try Service()
    let stage = try WorkerStage(["keys": service.port])
    let running = stage.fetch(FetchRequest(service: "keys", path: "/"))
    let fd = service.accept()
    _ = service.read(fd)
    stage.stop()
    #expect(running.wait() == .failed(.drain))
    service.waitForEnd(fd)
  }

  @Test func aStaleConnectionIsReplaced() throws {
    let service = try Service()
    let stage = try WorkerStage(["keys": service.port])
    let first = stage.fetch(FetchRequest(service: "keys", path: "/"))
    let fd = service.accept()
    _ = service.read(fd)
    service.send(fd, "HTTP/1.1 204 No Content\r\n\r\n")
    #expect(try answered(first.wait()).status == 204)
    let second = stage.fetch(FetchRequest(service: "keys", path: "/again"))
    #expect(service.read(fd).hasPrefix("GET /again"))
    service.end(fd)
    let fresh = service.accept()
    #expect(service.read(fresh).hasPrefix("GET /again"))
    service.send(fresh, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    #expect(try answered(second.wait()).body == Array("ok".utf8))
    #expect(stage.shared.counters.sum(.replays) == 1)
  }
}

extension String {
  /// The parts between a separator.
  fileprivate func components(_ separator: String) -> [String] {
    var parts: [String] = []
    var rest = self[...]
    while let range = rest.firstRange(of: separator) {
      parts.append(String(rest[..<range.lowerBound]))
      rest = rest[range.upperBound...]
    }
    return parts + [String(rest)]
  }
}
