// From a request to what is done about it.
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
  /// It has the field `anthropic-version`.
  var tellsVersion = false
  /// Monotonic milliseconds when it had come whole.
  var since: UInt64 = 0

  /// How it is answered; what both wires have is answered as the client looks like.
  var wire: DemoWire { path == DemoWire.messagesPath || tellsVersion ? .anthropic : .openAI }
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
  var body: DemoText
  let identity: DemoIdentity
  var promptTokens = 0
  /// Half of the body, then the connection ends.
  var isCut = false

  init(_ problem: DemoProblem, _ wire: DemoWire, _ identity: DemoIdentity) {
    status = problem.status
    body = problem.body(wire, identity)
    self.identity = identity
  }

  init(_ body: DemoText, _ identity: DemoIdentity) {
    self.body = body
    self.identity = identity
  }
}

extension DemoReply {
  /// The answer to a request.
  static func answer(
    _ request: DemoRequest, _ body: [UInt8], with document: JSONDocument, _ identity: DemoIdentity
  ) -> DemoReply {
    do throws(DemoProblem) {
      switch (request.method, request.path) {
      case (.post, "/v1/chat/completions"):
        return answer(try .read(body, .openAI, with: document), request, identity, isLate: false)
      case (.post, DemoWire.messagesPath):
        guard request.tellsVersion else {
          throw DemoProblem(message: "The header is required", parameter: "anthropic-version")
        }
        return answer(try .read(body, .anthropic, with: document), request, identity, isLate: false)
      case (.get, "/v1/models"), (.head, "/v1/models"): return .whole(DemoWhole(models, identity))
      case (.get, "/health"), (.head, "/health"):
        var body = DemoText()
        body.append("{\"status\":\"ok\"}")
        return .whole(DemoWhole(body, identity))
      default: throw DemoProblem(status: 404, message: "There is no \(request.methodName) \(request.path) here.")
      }
    } catch {
      return .whole(DemoWhole(error, request.wire, identity))
    }
  }

  /// The answer to a question; `isLate`: whatever had to be waited for is over.
  static func answer(
    _ question: DemoQuestion, _ request: DemoRequest, _ identity: DemoIdentity, isLate: Bool
  ) -> DemoReply {
    switch question.behaviour {
    case .hang: return .never
    case .slow where !isLate: return .later(question)
    default: break
    }
    if let problem = problem(question) { return .whole(DemoWhole(problem, question.wire, identity)) }
    let answer = DemoAnswer(question, identity)
    if question.isStreamed { return .stream(DemoStream(answer, isChunked: !request.isVersion10)) }
    var whole = DemoWhole(answer.whole, identity)
    whole.promptTokens = question.promptTokens
    whole.isCut = question.behaviour == .cut
    return .whole(whole)
  }

  /// How the model fails before it says a word; nil: it does not.
  private static func problem(_ question: DemoQuestion) -> DemoProblem? {
    switch question.behaviour {
    case .status429:
      return DemoProblem(
        status: 429, message: "Too many requests for this model; ask again in 2 s.", type: "requests",
        code: "rate_limit_exceeded")
    case .status500,
      .error where !question.isStreamed:
      return DemoProblem(status: 500, message: "The demo provider failed, as this model does.", type: "server_error")
    case .status529:
      return DemoProblem(
        status: 529, message: "The demo provider is overloaded, as this model is.", type: "overloaded_error",
        code: "overloaded")
    default: return nil
    }
  }

  private static var models: DemoText {
    let arena = Arena()
    let models = DemoModel.listed.map { ListedModel(name: $0, provider: "demo", created: 1_700_000_000) }
    let list = ModelList.write(models, into: arena).text
    var text = DemoText()
    text.append(Array(UnsafeBufferPointer(start: list.start, count: list.count)))
    return text
  }
}
