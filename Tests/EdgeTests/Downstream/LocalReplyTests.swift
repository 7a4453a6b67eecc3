import Foundation
import Testing

@testable import Edge

struct LocalReplyTests {
  private let id = StaticBytes("01ARYZ6S410000000000000000")

  private func context(
    _ connection: WrittenConnection = .implied, toHead: Bool = false, allowed: UInt16 = 0
  ) -> ReplyContext {
    ReplyContext(
      requestID: id.start, requestIDCount: id.count, wall: 1_735_689_599_042_000_000,
      date: StaticBytes("Tue, 31 Dec 2024 23:59:59 GMT"), connection: connection, isToHead: toHead, allowed: allowed)
  }

  private func reply(_ context: ReplyContext, status: UInt16 = 200, reason: StaticString = "OK") -> String {
    let body = StaticBytes("{}")
    return text {
      $0.appendReply(
        status: status, reason: reason, contentType: "application/json", body: body.start,
        bodyCount: body.count, context)
    }
  }

  private static let start =
    "HTTP/1.1 200 OK\r\ndate: Tue, 31 Dec 2024 23:59:59 GMT\r\ncontent-type: application/json\r\ncontent-length: 2\r\n"
  private static let end = "cache-control: no-store\r\nx-request-id: 01ARYZ6S410000000000000000\r\n\r\n"

  @Test func replies() {
    let (start, end) = (LocalReplyTests.start, LocalReplyTests.end)
    #expect(reply(context()) == start + end + "{}")
    #expect(reply(context(.close)) == start + "connection: close\r\n" + end + "{}")
    #expect(reply(context(.keepAlive)) == start + "connection: keep-alive\r\n" + end + "{}")
  }

  /// The head of an answer to HEAD is that of the answer to GET.
  @Test func repliesToHead() {
    #expect(reply(context(toHead: true)) == LocalReplyTests.start + LocalReplyTests.end)
  }

  @Test func allowedMethods() {
    let some = reply(context(allowed: Method.post.bit | Method.get.bit | Method.head.bit), status: 405, reason: "No")
    #expect(some.contains("\r\nallow: GET, HEAD, POST\r\n"))
    let all = reply(context(allowed: Method.servedBits))
    #expect(all.contains("\r\nallow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS\r\n"))
    #expect(!reply(context()).contains("allow:"))
  }

  /// What is written is a response that the parser of responses takes.
  @Test func repliesAreWellFormed() {
    for row in ErrorRow.table {
      let bench = ParserBench()
      let bytes = raw(reply(context(.close, allowed: Method.get.bit), status: row.status, reason: row.reason))
      let facts = ResponseFacts(
        status: row.status, reason: row.reason.description, framing: .length(2), keepAlive: false)
      #expect(bench.response(bytes) == .response(facts))
    }
  }

  @Test func errorBodies() throws {
    for row in ErrorRow.table {
      let body = text { $0.appendErrorBody(row, message: row.message, context()) }
      let expected =
        "{\"error\":{\"code\":\"\(row.name)\",\"message\":\"\(row.message)\","
        + "\"requestId\":\"01ARYZ6S410000000000000000\"},\"timestamp\":\"2024-12-31T23:59:59.042Z\"}"
      #expect(body == expected)
      let object = try #require(try JSONSerialization.jsonObject(with: Data(raw(body))) as? [String: Any])
      #expect(Set(object.keys) == ["error", "timestamp"])
    }
  }

  @Test func repliesThatDoNotFit() {
    let body = StaticBytes("{}")
    let size = reply(context()).utf8.count
    for capacity in [size, size - 1, 100, 20, 0] {
      let outcome = written(capacity: capacity) {
        $0.appendReply(
          status: 200, reason: "OK", contentType: "application/json", body: body.start,
          bodyCount: body.count, context())
      }
      #expect(outcome.overflowed == (capacity < size))
    }
  }
}
