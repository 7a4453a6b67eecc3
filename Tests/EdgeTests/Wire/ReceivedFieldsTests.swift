import Testing

@testable import Edge

@Suite struct ReceivedFieldsTests {
  private struct NoHead: Error {}

  /// Calls `body` with the head of a request that has these lines.
  private func with<Result>(_ lines: String, _ body: (ReceivedHead) -> Result) throws -> Result {
    let area = ByteArea(Array("GET / HTTP/1.1\r\nHost: h\r\n\(lines)\r\n\r\n".utf8))
    let arena = Arena()
    var parser = HTTP1Parser(arena: arena)
    var head = RequestHead()
    // The parser's tables stand in the arena, the head in the area.
    return try withExtendedLifetime((arena, area)) {
      let outcome = parser.readRequest(area.base, area.count, limits: HeadLimits(), into: &head)
      guard case .complete = outcome else { throw NoHead() }
      return body(ReceivedHead(bytes: UnsafePointer(area.base), table: parser.table))
    }
  }

  @Test(
    arguments: [
      ("anthropic-beta: output-128k-2025-02-19", true), ("Anthropic-Beta: a,OUTPUT-1", true),
      ("anthropic-beta: a , \toutput-1 ,b", true), ("anthropic-beta: a\r\nanthropic-beta: b,,output-", true),
      ("anthropic-beta: a-output-1", false), ("anthropic-beta: outpu", false), ("anthropic-beta: ,", false),
      ("anthropic-beta:", false), ("openai-beta: output-1", false), ("x: output-1", false),
    ])
  func betas(_ lines: String, isAsked: Bool) throws {
    #expect(try with(lines) { $0.hasBeta("output-") } == isAsked)
  }

  @Test(
    arguments: [
      ("Retry-After: 7", 7), ("Retry-After: 1.2", 2), ("Retry-After-Ms: 1500\r\nRetry-After: 7", 2),
      ("Retry-After: Wed, 21 Oct 2026 07:28:00 GMT", 0), ("X: 7", 0), ("Retry-After: 999999999", 86_400),
    ] as [(String, UInt64)])
  func retries(_ lines: String, seconds: UInt64) throws {
    #expect(try with(lines) { $0.retryAfterSeconds } == seconds)
  }
}
