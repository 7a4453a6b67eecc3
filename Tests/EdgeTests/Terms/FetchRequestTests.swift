// Which requests of Edge itself can be written without changing their meaning.

import Testing

@testable import Edge

@Suite("Fetch requests") struct FetchRequestTests {
  private func isWellFormed(
    path: String = "/", method: Method = .get, name: String = "a", value: String = "b", body: Int = 0
  ) -> Bool {
    FetchRequest(
      service: "s", method: method, path: path, headers: [FetchHeader(name: name, value: value)],
      body: [UInt8](repeating: 0, count: body)
    ).isWellFormed
  }

  @Test func theUsual() {
    #expect(FetchRequest(service: "s", path: "/").isWellFormed)
    let request = FetchRequest(service: "s", path: "/")
    #expect(request.method == .get && request.headers.isEmpty && request.body.isEmpty)
    #expect(request.deadlineMilliseconds == 10_000 && request.answerBytesMax == Limits.fetchAnswerBytesMax)
  }

  @Test func everyByteOfAPath() {
    for byte in UInt8.min..<0x80 {
      let isPlain = byte > 0x20 && byte < 0x7f && byte != 0x23
      #expect(isWellFormed(path: "/a" + latin([byte])) == isPlain, "\(byte)")
    }
    for path in ["", "a", "*", "http://h/", "?a", " /", "/ü", "/a\r\nb"] { #expect(!isWellFormed(path: path)) }
    for path in ["//", "/a?b=c&d", "/%00", "/?"] { #expect(isWellFormed(path: path)) }
  }

  @Test func methods() {
    let refused: Set<Method> = [.connect, .trace, .other]
    for method in Method.allCases { #expect(isWellFormed(method: method) == !refused.contains(method)) }
  }

  @Test func everyByteOfAName() {
    let taken = Set("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-._".utf8)
    for byte in UInt8.min..<0x80 { #expect(isWellFormed(name: "a" + latin([byte])) == taken.contains(byte), "\(byte)") }
    #expect(!isWellFormed(name: "") && !isWellFormed(name: "ü") && !isWellFormed(name: "a\r\nb"))
  }

  @Test func everyByteOfAValue() {
    for byte in UInt8.min..<0x80 {
      let isPlain = byte >= 0x20 && byte != 0x7f || byte == 0x09
      #expect(isWellFormed(value: "a" + latin([byte]) + "b") == isPlain, "\(byte)")
    }
    #expect(isWellFormed(value: "") && isWellFormed(value: "ü\u{1F600}") && !isWellFormed(value: "a\r\nb: c"))
  }

  /// Framing, the host and the connection are Edge's own to write, in any case of their letters.
  @Test(arguments: ["host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect"])
  func namesOfEdgeItself(_ name: String) {
    #expect(!isWellFormed(name: name) && !isWellFormed(name: name.uppercased()))
    #expect(isWellFormed(name: name + "x") && isWellFormed(name: "x-" + name))
  }

  @Test func oneBadHeaderIsEnough() {
    var request = FetchRequest(service: "s", path: "/")
    request.headers = ["a", "b", "c"].map { FetchHeader(name: $0, value: "v") }
    #expect(request.isWellFormed)
    for index in 0..<3 {
      var bad = request
      bad.headers[index] = FetchHeader(name: "a", value: "\n")
      #expect(!bad.isWellFormed)
    }
  }

  @Test func bodies() {
    #expect(isWellFormed(body: Limits.fetchBodyBytesMax) && !isWellFormed(body: Limits.fetchBodyBytesMax + 1))
  }
}
