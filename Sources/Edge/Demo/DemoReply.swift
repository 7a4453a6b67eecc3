// From a request to what is done about it, and the heads of answers, with the fields that OpenAI sends.
//
// Called by: the loop, when a request has come whole. Never: reads or writes a socket.

/// What the loop needs of a request beside its body.
struct DemoRequest {
  var method = Method.other
  /// The method as it was written, for messages.
  var methodName = ""
  /// Without the query.
  var path = ""
  var isVersion10 = false
  var keepAlive = true
  /// Monotonic milliseconds when it had come whole.
  var since: UInt64 = 0
}

/// What is done about a request.
enum DemoReply {
  case whole(DemoWhole)
  case stream(DemoStream)
  /// The same question again, later.
  case later(DemoQuestion)
  case never
}

/// An answer that is sent at once.
struct DemoWhole {
  var status: UInt16 = 200
  var body = DemoText()
  var promptTokens = 0
  /// Half of the body, then the connection ends.
  var isCut = false

  init(_ problem: DemoProblem) {
    status = problem.status
    body = problem.body
  }

  init(_ body: DemoText) { self.body = body }
}

extension DemoReply {
  /// The answer to a request.
  static func answer(
    _ request: DemoRequest, _ body: [UInt8], with document: JSONDocument, _ identity: DemoIdentity
  ) -> DemoReply {
    switch (request.method, request.path) {
    case (.post, "/v1/chat/completions"):
      do throws(DemoProblem) {
        return answer(try DemoQuestion.read(body, with: document), request, identity, isLate: false)
      } catch {
        return .whole(DemoWhole(error))
      }
    case (.get, "/v1/models"), (.head, "/v1/models"): return .whole(DemoWhole(models))
    case (.get, "/health"), (.head, "/health"):
      var body = DemoText()
      body.append("{\"status\":\"ok\"}")
      return .whole(DemoWhole(body))
    default:
      return .whole(
        DemoWhole(DemoProblem(status: 404, message: "There is no \(request.methodName) \(request.path) here.")))
    }
  }

  /// The answer to a question; `isLate`: whatever had to be waited for is over.
  static func answer(
    _ question: DemoQuestion, _ request: DemoRequest, _ identity: DemoIdentity, isLate: Bool
  ) -> DemoReply {
    switch question.behaviour {
    case .hang: return .never
    case .slow where !isLate: return .later(question)
    case .status429:
      return .whole(
        DemoWhole(
          DemoProblem(
            status: 429, message: "Too many requests for this model; ask again in 2 s.", type: "requests",
            code: "rate_limit_exceeded")))
    case .status500,
      .error where !question.isStreamed:
      return .whole(
        DemoWhole(
          DemoProblem(status: 500, message: "The demo provider failed, as this model does.", type: "server_error"))
      )
    case .status529:
      return .whole(
        DemoWhole(
          DemoProblem(
            status: 529, message: "The demo provider is overloaded, as this model is.", type: "overloaded_error",
            code: "overloaded")))
    default: break
    }
    let answer = DemoAnswer(question, identity)
    if question.isStreamed { return .stream(DemoStream(answer, isChunked: !request.isVersion10)) }
    var body = DemoText()
    body.append(whole: answer)
    var whole = DemoWhole(body)
    whole.promptTokens = question.promptTokens
    whole.isCut = question.behaviour == .cut
    return .whole(whole)
  }

  private static var models: DemoText {
    var text = DemoText()
    text.append("{\"object\":\"list\",\"data\":[")
    for (place, model) in DemoModel.listed.enumerated() {
      text.append(place > 0 ? "," : "")
      text.append("{\"id\":")
      text.append(json: model)
      text.append(",\"object\":\"model\",\"created\":1700000000,\"owned_by\":\"demo\"}")
    }
    text.append("]}")
    return text
  }
}

/// How a body is framed.
enum DemoFraming {
  case length(Int)
  case stream(isChunked: Bool)
}

extension DemoText {
  /// The head of an answer.
  mutating func append(
    head status: UInt16, _ framing: DemoFraming, keepAlive: Bool, promptTokens: Int, milliseconds: UInt64,
    _ identity: DemoIdentity
  ) {
    append("HTTP/1.1 ")
    append(decimal: Int(status))
    append(" ")
    append(DemoText.reason(status))
    append("\r\ndate: ")
    append(date: identity.wall)
    switch framing {
    case .length(let length):
      append("\r\ncontent-type: application/json\r\ncontent-length: ")
      append(decimal: length)
    case .stream(let isChunked):
      append("\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache")
      if isChunked { append("\r\ntransfer-encoding: chunked") }
    }
    if !keepAlive { append("\r\nconnection: close") }
    append("\r\nx-request-id: req_")
    append(hex: identity.high, width: 16)
    append(hex: identity.low, width: 16)
    append("\r\nopenai-organization: demo\r\nopenai-version: 2020-10-01\r\nopenai-processing-ms: ")
    append(decimal: Int(milliseconds))
    let isLimited = status == 429
    append("\r\nx-ratelimit-limit-requests: 10000\r\nx-ratelimit-limit-tokens: 2000000")
    append("\r\nx-ratelimit-remaining-requests: ")
    append(isLimited ? "0" : "9999")
    append("\r\nx-ratelimit-remaining-tokens: ")
    append(decimal: isLimited ? 0 : max(0, 2_000_000 - promptTokens))
    append(isLimited ? "\r\nx-ratelimit-reset-requests: 2s" : "\r\nx-ratelimit-reset-requests: 6ms")
    append(isLimited ? "\r\nx-ratelimit-reset-tokens: 2s\r\nretry-after: 2" : "\r\nx-ratelimit-reset-tokens: 0s")
    append("\r\n\r\n")
  }

  private static func reason(_ status: UInt16) -> StaticString {
    switch status {
    case 200: "OK"
    case 400: "Bad Request"
    case 404: "Not Found"
    case 413: "Content Too Large"
    case 417: "Expectation Failed"
    case 429: "Too Many Requests"
    case 431: "Request Header Fields Too Large"
    case 500: "Internal Server Error"
    case 501: "Not Implemented"
    case 503: "Service Unavailable"
    case 505: "HTTP Version Not Supported"
    case 529: "Overloaded"
    default: ""
    }
  }
}
