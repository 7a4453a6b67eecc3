// Requests that Edge itself makes: what is asked, what came of it, and the ticket by which another thread waits for
// it. A fetch is an exchange like any other, with its own id, deadline, attempts and log line; the worker runs it,
// nothing here touches a socket.

import Glibc

/// A request to a service.
struct FetchRequest: Sendable {
  /// A configured one: nothing else can be reached.
  let service: String
  var method = Method.get
  /// Path and query, beginning with a slash.
  let path: String
  var headers: [FetchHeader] = []
  /// At most `Limits.fetchBodyBytesMax`.
  var body: [UInt8] = []
  /// For everything: connecting, all attempts, the whole answer.
  var deadlineMilliseconds = 10_000
  /// An answer whose head and content are larger is a failure.
  var answerBytesMax = Limits.fetchAnswerBytesMax

  /// Whether it can be written without changing its meaning: a line end in a field would begin another one.
  var isWellFormed: Bool {
    path.utf8.first == 0x2f && path.utf8.allSatisfy { (0x21...0x7e).contains($0) && $0 != 0x23 }
      && body.count <= Limits.fetchBodyBytesMax && method.isFetchable && headers.allSatisfy(\.isWellFormed)
  }
}

extension Method {
  fileprivate var isFetchable: Bool {
    switch self {
    case .connect, .trace, .other: false
    default: true
    }
  }
}

/// A header field of a fetch.
struct FetchHeader: Sendable, Equatable {
  let name: String
  let value: String

  /// Framing, the host and the connection are Edge's own to write.
  fileprivate var isWellFormed: Bool {
    let isToken =
      !name.isEmpty
      && name.utf8.allSatisfy { byte in
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E: true
        default: false
        }
      }
    return isToken && value.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f || $0 == 0x09 }
      && !["host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect"]
        .contains(name.lowercased())
  }
}

/// What came back.
struct FetchAnswer: Sendable, Equatable {
  let status: UInt16
  /// In their order, names in lower case.
  let headers: [FetchHeader]
  let body: [UInt8]
}

/// How a fetch ended.
enum FetchOutcome: Sendable, Equatable {
  /// The service's final answer, whatever its status.
  case answered(FetchAnswer)
  case failed(EndCause)
}

/// A fetch of a thread that is no worker: posted to a worker's inbox, then awaited.
final class FetchTicket: Sendable {
  let request: FetchRequest
  /// The fetch whose work this one is part of: it is cancelled with it.
  let parent: FetchTicket?
  private let outcome = Monitor<FetchOutcome?>(nil)
  /// Which exchange runs it.
  nonisolated(unsafe) var exchange: Handle?  // only the worker that was posted to reads and writes it

  init(_ request: FetchRequest, parent: FetchTicket? = nil) {
    self.request = request
    self.parent = parent
  }

  /// Sleeps until the fetch has ended. It always ends: it has a deadline.
  func wait() -> FetchOutcome {
    outcome.awaiting { $0.map { .found($0) } ?? .sleep(untilNanoseconds: .max) }
  }

  /// The fetch has ended. The first outcome counts.
  func complete(_ result: FetchOutcome) {
    outcome.withLock { if $0 == nil { $0 = result } }
    outcome.wakeAll()
  }
}
