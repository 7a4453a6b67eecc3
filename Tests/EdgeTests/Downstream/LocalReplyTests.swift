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
        ReplyHead(status: status, reason: reason, contentType: "application/json"), bodyCount: body.count, context)
      if !context.isToHead { $0.append(body) }
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
      let body = text { $0.appendErrorBody(row, ErrorTexts(message: StaticBytes(row.message)), context()) }
      let expected =
        "{\"error\":{\"code\":\"\(row.name)\",\"message\":\"\(row.message)\","
        + "\"requestId\":\"01ARYZ6S410000000000000000\"},\"timestamp\":\"2024-12-31T23:59:59.042Z\"}"
      #expect(body == expected)
      let object = try #require(try JSONSerialization.jsonObject(with: Data(raw(body))) as? [String: Any])
      #expect(Set(object.keys) == ["error", "timestamp"])
    }
  }

  /// What a policy adds: when to try again, details, its own message with whatever is in it.
  @Test func errorsOfPolicies() throws {
    var context = context()
    context.retryAfterSeconds = 7
    context.challenges = true
    let head = reply(context, status: 429)
    #expect(head.contains("\r\nretry-after: 7\r\n") && head.contains("\r\nwww-authenticate: Bearer\r\n"))
    let texts = ErrorTexts(
      message: StaticBytes("a \"b\"\n"), retryAfterSeconds: 7, details: StaticBytes("{\"x\":1}"))
    let body = text { $0.appendErrorBody(ErrorCode.rateLimitExceeded.row, texts, context) }
    let object = try #require(try JSONSerialization.jsonObject(with: Data(raw(body))) as? [String: Any])
    let error = try #require(object["error"] as? [String: Any])
    #expect(error["message"] as? String == "a \"b\"\n" && error["retryAfter"] as? Int == 7)
    #expect((error["details"] as? [String: Int]) == ["x": 1])
  }

  /// The fields of a handler's answer stand beside those of Edge; there is one Cache-Control, and no length where there
  /// is no content.
  @Test func answersOfHandlers() {
    let fields = StaticBytes("content-type: text/css\r\ncache-control: max-age=60\r\n")
    var context = context()
    context.fields = UnsafeBufferPointer(start: fields.start, count: fields.count)
    context.saysCaching = true
    let answer = text { $0.appendReply(ReplyHead(status: 200, reason: "OK", contentType: nil), bodyCount: 3, context) }
    #expect(answer.contains("\r\ncontent-type: text/css\r\ncache-control: max-age=60\r\ncontent-length: 3\r\n"))
    #expect(!answer.contains("no-store"))
    for status in [UInt16(204), 304] {
      let head = ReplyHead(status: status, reason: ReplyHead.reason(of: status), contentType: nil)
      #expect(!text { $0.appendReply(head, bodyCount: 0, self.context()) }.contains("content-length"))
    }
  }

  /// The phrases of the error table and of handlers are the same words; what nobody knows has none.
  @Test func reasons() {
    for row in ErrorRow.table {
      let reason = "\(ReplyHead.reason(of: row.status))"
      #expect(reason.isEmpty || reason == "\(row.reason)", "\(row.status)")
    }
    let phrases: [UInt16: String] = [
      200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 301: "Moved Permanently", 302: "Found",
      303: "See Other", 304: "Not Modified", 307: "Temporary Redirect", 308: "Permanent Redirect", 404: "Not Found",
    ]
    for (status, phrase) in phrases { #expect("\(ReplyHead.reason(of: status))" == phrase) }
    for status in [UInt16(0), 100, 299, 418, 599, 999] { #expect("\(ReplyHead.reason(of: status))".isEmpty) }
  }

  /// An answer without a phrase, with all that can stand in a head: a parser reads back what was meant.
  @Test func answersWithEverything() throws {
    let fields = StaticBytes("x-a: 1\r\nX-B: \r\nset-cookie: a=b\r\nset-cookie: c=d\r\n")
    var context = context(.close, allowed: Method.get.bit)
    context.fields = UnsafeBufferPointer(start: fields.start, count: fields.count)
    context.retryAfterSeconds = 31_536_000
    context.challenges = true
    for status in [UInt16(200), 299, 401, 429, 599] {
      let head = ReplyHead(status: status, reason: ReplyHead.reason(of: status), contentType: nil)
      let bench = ParserBench()
      let bytes = raw(text { $0.appendReply(head, bodyCount: 123_456, context) })
      let facts = ResponseFacts(
        status: status, reason: "\(head.reason)", framing: .length(123_456), keepAlive: false)
      #expect(bench.response(bytes) == .response(facts))
      #expect(
        bench.fields.map { "\($0.name): \($0.value)" } == [
          "date: Tue, 31 Dec 2024 23:59:59 GMT", "x-a: 1", "X-B: ", "set-cookie: a=b", "set-cookie: c=d",
          "content-length: 123456", "allow: GET", "retry-after: 31536000", "www-authenticate: Bearer",
          "connection: close", "cache-control: no-store", "x-request-id: 01ARYZ6S410000000000000000",
        ])
    }
  }

  /// What a policy says in an error cannot leave its place in the JSON.
  @Test(arguments: [
    "", "\"", "\\", "\"},\"x\":{\"", "\u{0}\u{1}\u{1f}\u{7f}", "\r\n\t\u{8}", "ü\u{2028}\u{1F600}", "</script>",
  ])
  func messagesOfPolicies(_ message: String) throws {
    let area = ByteArea(Array(message.utf8))
    let texts = ErrorTexts(message: StaticBytes(start: area.base, count: area.count))
    let body = raw(text { $0.appendErrorBody(ErrorCode.forbidden.row, texts, context()) })
    let object = try #require(try JSONSerialization.jsonObject(with: Data(body)) as? [String: Any])
    let error = try #require(object["error"] as? [String: Any])
    #expect(error["message"] as? String == message)
    #expect(Set(error.keys) == ["code", "message", "requestId"])
  }

  @Test func repliesThatDoNotFit() {
    let body = StaticBytes("{}")
    let size = reply(context()).utf8.count
    for capacity in [size, size - 1, 100, 20, 0] {
      let outcome = written(capacity: capacity) {
        $0.appendReply(
          ReplyHead(status: 200, reason: "OK", contentType: "application/json"), bodyCount: body.count, context())
        $0.append(body)
      }
      #expect(outcome.overflowed == (capacity < size))
    }
  }
}
