// Requests that Edge itself makes: what is asked and what came of it. Plain values, so that a policy can ask for one, a
// worker can make it and a test can answer it.
// Called by: policies, the worker that performs them, and other threads through their tickets.

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
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F: true
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
