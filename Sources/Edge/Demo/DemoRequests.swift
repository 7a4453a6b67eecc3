// Requests of the demo provider's loop: heads, bodies, and the answers they get.
//
// Called by: the loop's turns. Never: reads from or writes to a socket; it works on what the connection holds.

extension DemoLoop {
  /// Reads a head that begins at `start`; returns how many bytes it took, 0 when it is not complete.
  func readHead(_ connection: DemoConnection, from start: Int) -> Int {
    var head = RequestHead()
    let progress = connection.input.withUnsafeBufferPointer { input -> HeadProgress in
      guard let base = input.baseAddress else { return .incomplete }
      let progress = parser.readRequest(base + start, input.count - start, limits: HeadLimits(), into: &head)
      if case .complete = progress {
        connection.request = DemoLoop.request(head, ReceivedHead(bytes: base + start, table: parser.table))
      }
      return progress
    }
    switch progress {
    case .incomplete:
      connection.hasUntriedInput = false
      return 0
    case .refused(let fault):
      refuse(connection, fault)
      return 0
    case .complete: break
    }
    connection.reader = BodyReader(head.framing)
    if case .length(let length) = head.framing, length > UInt64(DemoBounds.bodyBytes) {
      refuse(connection, tooLarge)
      return head.count
    }
    connection.phase = .body
    if head.expectsContinue, head.framing != .none, start + head.count == connection.input.count {
      connection.output.append("HTTP/1.1 100 Continue\r\n\r\n")
    }
    return head.count
  }

  private static func request(_ head: RequestHead, _ fields: ReceivedHead) -> DemoRequest {
    func text(_ range: HeadRange) -> Substring {
      Substring(
        decoding: UnsafeBufferPointer(start: fields.bytes + Int(range.start), count: Int(range.count)),
        as: UTF8.self)
    }
    return DemoRequest(
      method: head.method, methodName: String(text(head.methodRange)),
      path: String(text(head.target).prefix { $0 != "?" }),
      isVersion10: head.isVersion10, keepAlive: head.keepAlive,
      tellsVersion: fields.value(named: "anthropic-version") != nil)
  }

  private var tooLarge: DemoProblem {
    DemoProblem(status: 413, message: "The body is longer than \(DemoBounds.bodyBytes) bytes.")
  }

  /// Reads on in a body; false when more of it has to come.
  func readBody(_ connection: DemoConnection, _ taken: inout Int) -> Bool {
    if !connection.reader.isEnded {
      let start = taken
      guard start < connection.input.count else { return false }
      var step = BodyStep()
      connection.input.withUnsafeMutableBufferPointer { input in
        guard let base = input.baseAddress else { return }
        step = connection.reader.read(base + start, input.count - start, parser.classes)
        connection.body.append(contentsOf: UnsafeBufferPointer(start: base + start, count: step.payload))
      }
      bodyBytes += step.payload
      taken += step.consumed
      if let fault = step.fault {
        refuse(connection, fault)
        return true
      }
      if connection.body.count > DemoBounds.bodyBytes {
        refuse(connection, tooLarge)
        return true
      }
      if bodyBytes > DemoBounds.bodiesBytes {
        refuse(
          connection, DemoProblem(status: 503, message: "There are too many long requests.", type: "server_error"))
        return true
      }
    }
    guard connection.reader.isEnded else { return false }
    connection.request.since = clock.milliseconds
    let body = connection.body
    forgetBody(connection)
    reply(connection, .answer(connection.request, body, with: document, identity()))
    return true
  }

  private func forgetBody(_ connection: DemoConnection) {
    bodyBytes -= connection.body.count
    connection.body = []
  }

  private func identity() -> DemoIdentity { DemoIdentity(high: random.next(), low: random.next(), wall: clock.wall) }

  /// The wait for an answer is over.
  func answer(_ connection: DemoConnection, _ question: DemoQuestion) {
    reply(connection, .answer(question, connection.request, identity(), isLate: true))
  }

  // MARK: replies

  private func reply(_ connection: DemoConnection, _ reply: DemoReply) {
    switch reply {
    case .never: connection.phase = .hanging
    case .later(let question):
      connection.question = question
      connection.due = clock.milliseconds + DemoBounds.slow
      connection.phase = .waiting
    case .stream(let stream):
      if !stream.isChunked { connection.request.keepAlive = false }
      append(
        head: 200, .stream(isChunked: stream.isChunked), promptTokens: stream.answer.question.promptTokens,
        stream.answer.identity, to: connection)
      connection.stream = stream
      connection.due = clock.milliseconds
      connection.phase = .streaming
    case .whole(let whole):
      append(
        head: whole.status, .length(whole.body.count), promptTokens: whole.promptTokens, whole.identity, to: connection)
      if connection.request.method == .head {
        connection.finishRequest()
      } else if whole.isCut {
        connection.output.append(whole.body.bytes[..<(whole.body.count / 2)])
        connection.close(lingering: false)
      } else {
        connection.output.append(whole.body.bytes)
        connection.finishRequest()
      }
    }
  }

  private func append(
    head status: UInt16, _ framing: DemoFraming, promptTokens: Int, _ identity: DemoIdentity,
    to connection: DemoConnection
  ) {
    connection.output.append(
      head: status, framing, of: connection.request, promptTokens: promptTokens, now: clock.milliseconds, identity)
  }

  private func refuse(_ connection: DemoConnection, _ fault: HeadFault) {
    connection.request = DemoRequest()
    refuse(
      connection, DemoProblem(status: fault.row.code.row.status, message: fault.row.message.description))
  }

  /// Answers and ends: where the next request would begin is not known, or not waited for.
  private func refuse(_ connection: DemoConnection, _ problem: DemoProblem) {
    forgetBody(connection)
    connection.request.keepAlive = false
    connection.request.since = clock.milliseconds
    reply(connection, .whole(DemoWhole(problem, connection.request.wire, identity())))
    connection.close(lingering: true)
  }

  // MARK: streams

  /// Makes what is due of a stream; false when the rest is due later.
  func stepStream(_ connection: DemoConnection) -> Bool {
    guard var stream = connection.stream else {
      connection.close(lingering: false)
      return true
    }
    guard connection.due <= clock.milliseconds else { return false }
    connection.stream = nil
    let step = stream.step(into: &connection.output)
    switch step {
    case .more:
      if stream.hasGap { connection.due = clock.milliseconds + gap }
      connection.stream = stream
    case .ended: connection.finishRequest()
    case .cut: connection.close(lingering: false)
    }
    return true
  }
}
