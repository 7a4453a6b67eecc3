import CLinux
import Foundation
import Testing

@testable import Edge

@Suite(.timeLimit(.minutes(1)))
struct AdminClientTests {
  private static let whole = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
  private static let chunks =
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2;a=b\r\nlo\r\n0\r\nx: y\r\n\r\n"
  private static let open = "HTTP/1.1 200 OK\r\n\r\nhello"

  /// What a question brings, or the kind of its failure.
  private func ask(
    _ client: AdminClient, _ method: StaticString = "GET", milliseconds: Int = 30_000
  ) -> Result<AdminAnswer, AdminFault> {
    do throws(AdminFault) { return .success(try client.ask(method, "/status", milliseconds: milliseconds)) } catch {
      return .failure(error)
    }
  }

  private func kind(_ result: Result<AdminAnswer, AdminFault>) -> AdminFault.Kind? {
    if case .failure(let fault) = result { fault.kind } else { nil }
  }

  private let hello = AdminAnswer(status: 200, body: raw("hello"))

  @Test(arguments: [whole, chunks, open], [false, true])
  func answers(_ text: String, _ trickles: Bool) throws {
    let server = try AdminServer([[.read, trickles ? .trickle(text) : .send(text)]])
    defer { server.end() }
    let client = AdminClient(.socket(server.path))
    #expect(try ask(client).get() == hello)
    #expect(server.requests == ["GET /status HTTP/1.1"])
  }

  @Test func interimAnswersAreSteppedOver() throws {
    let server = try AdminServer([[.read, .send("HTTP/1.1 100 Continue\r\n\r\n" + Self.whole)]])
    defer { server.end() }
    #expect(try ask(AdminClient(.socket(server.path))).get() == hello)
  }

  @Test func aConnectionIsKept() throws {
    let server = try AdminServer([[.read, .send(Self.whole), .read, .send(Self.chunks), .read, .send(Self.whole)]])
    defer { server.end() }
    let client = AdminClient(.socket(server.path))
    for _ in 0..<3 { #expect(try ask(client).get() == hello) }
    #expect(server.connections == 1)
  }

  @Test func aQuestionOnADeadConnectionIsAskedAgain() throws {
    let server = try AdminServer([[.read, .send(Self.whole)], [.read, .send(Self.whole)]])
    defer { server.end() }
    let client = AdminClient(.socket(server.path))
    for _ in 0..<2 { #expect(try ask(client).get() == hello) }
    #expect(server.connections == 2)
  }

  @Test func anOrderIsNeverSentTwice() throws {
    let server = try AdminServer([[.read, .send(Self.whole), .hold], [.read], [.read, .send(Self.whole)]])
    let client = AdminClient(.socket(server.path))
    #expect(try ask(client).get() == hello)
    // On a connection of its own: the kept one may be dead.
    #expect(kind(ask(client, "POST")) == .cut)
    #expect(server.connections == 2)
    server.end()
  }

  @Test(arguments: [
    "", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n",
  ])
  func cutAnswers(_ text: String) throws {
    let server = try AdminServer([[.read, .send(text)]])
    defer { server.end() }
    #expect(kind(ask(AdminClient(.socket(server.path)))) == .cut)
  }

  @Test(arguments: [
    "SSH-2.0-OpenSSH_9.2", "\u{15}\u{3}", "HTTP/2 200\r\n\r\n", "HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
  ])
  func whatIsNoHTTP(_ text: String) throws {
    // It stays open: nobody waits for the rest of what cannot become an answer.
    let server = try AdminServer([[.read, .send(text), .hold]])
    #expect(kind(ask(AdminClient(.socket(server.path)))) == .notHTTP)
    server.end()
  }

  @Test(arguments: ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell"])
  func silence(_ text: String) throws {
    let server = try AdminServer([[.read, .send(text), .hold]])
    let result = ask(AdminClient(.socket(server.path)), milliseconds: 50)
    #expect(result == .failure(AdminFault(.timeout, "no answer within 50ms")))
    server.end()
  }

  @Test func theEndOfWhoeverWaits() throws {
    let server = try AdminServer([[.read, .hold]])
    var pipe: [Int32] = [0, 0]
    try #require(Glibc.pipe(&pipe) == 0)
    defer { for end in pipe { close(end) } }
    let client = AdminClient(.socket(server.path))
    var asked = 0
    client.interruption = AdminInterruption(descriptor: pipe[0]) {
      asked += 1
      return asked == 3
    }
    _ = write(pipe[1], "x", 1)
    #expect(kind(ask(client)) == .interrupted)
    #expect(asked == 3)
    server.end()
  }

  @Test func longPaths() throws {
    let name = String(repeating: "long/", count: 40) + "admin.sock"
    let server = try AdminServer([[.read, .send(Self.whole)]], name: name)
    defer { server.end() }
    #expect(server.path.utf8.count > AdminDial.pathBytes)
    #expect(try ask(AdminClient(.socket(server.path))).get() == hello)
  }

  @Test func pathsWithoutAnEdge() throws {
    let folder = try Fixture.Folder()
    try folder.write("file", "")
    #expect(kind(ask(AdminClient(.socket("\(folder.path)/none")))) == .absent)
    #expect(kind(ask(AdminClient(.socket("\(folder.path)/file/none")))) == .absent)
    #expect(kind(ask(AdminClient(.socket("\(folder.path)/file")))) == .absent)
    #expect(kind(ask(AdminClient(.socket("a\u{0}b")))) == .absent)
    let name = "\(folder.path)/" + String(repeating: "x", count: 120)
    let stale = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    try AdminServer.bind(stale, "\(folder.path)/stale")
    close(stale)
    let fault = ask(AdminClient(.socket("\(folder.path)/stale")))
    #expect(kind(fault) == .absent)
    if case .failure(let fault) = fault { #expect(fault.reason.contains("left it behind")) }
    #expect(kind(ask(AdminClient(.socket(name)))) == .absent)
  }

  @Test func addresses() throws {
    // Bound and not listening: refused, and nobody else can take it meanwhile.
    let taken = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(taken) }
    var bound = try #require(SocketAddress(numeric: "127.0.0.1", port: 0))
    try #require(bound.withKernelForm { Glibc.bind(taken, $0, $1) } == 0)
    var storage = sockaddr_storage()
    var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
    _ = withUnsafeMutablePointer(to: &storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(taken, $0, &size) }
    }
    bound = SocketAddress(storage)
    #expect(kind(ask(AdminClient(.address(bound)))) == .absent)
    try withDemo { provider in
      let address = try #require(SocketAddress(numeric: "127.0.0.1", port: provider.address.port))
      #expect(try ask(AdminClient(.address(address))).get().status == 404)
    }
  }

  @Test func places() throws {
    #expect(try AdminPlace.read("var/admin.sock") == .socket("var/admin.sock"))
    #expect(try AdminPlace.read("admin.sock") == .socket("admin.sock"))
    #expect(try AdminPlace.read("./a:1") == .socket("./a:1"))
    for text in ["127.0.0.1:3005", "[::1]:3005", "localhost:3005"] {
      guard case .address(let address) = try AdminPlace.read(text) else {
        Issue.record("\(text)")
        continue
      }
      #expect(address.port == 3005 && address.isLoopback)
    }
    for text in ["", "a:b", "edge.test:3005", "127.0.0.1:0", "::1:5"] {
      #expect(throws: UsageError.self) { try AdminPlace.read(text) }
    }
  }
}
