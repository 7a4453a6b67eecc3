// What Edge answers by itself: errors, verdicts of policies, built-in endpoints. The driver has decided that there is
// such an answer; here it is written and sent. The texts stand in Downstream/LocalReply.swift.

import Glibc

extension Worker {
  // MARK: Errors

  /// Refuses for a fault in what the client sent; the connection ends with the answer.
  func refuse(_ exchange: Int32, _ fault: HeadFault) {
    exchanges.slots[Int(exchange)].keepsServer = false
    replyDetail.message = StaticBytes(fault.row.message)
    refuse(exchange, fault.row.code, .clientError)
  }

  /// Refuses before anything was sent anywhere.
  func refuse(_ exchange: Int32, _ code: ErrorCode, _ cause: EndCause) {
    perform(exchange, exchanges.slots[Int(exchange)].machine.refused(code, cause))
  }

  /// Writes an error as the client's answer.
  func reply(_ exchange: Int32, _ code: ErrorCode) {
    let row = code.row
    switch exchanges.slots[Int(exchange)].origin {
    case .client: break
    case .message:
      tellError(exchange, code)
      flushOrWait(exchange)
      return
    case .child, .background:
      replyDetail = ReplyDetail()
      flushOrWait(exchange)
      return
    }
    let detail = replyDetail
    replyDetail = ReplyDetail()
    var context = replyContext(exchange)
    context.allowed = detail.allowed
    context.retryAfterSeconds = detail.retryAfterSeconds
    context.challenges = row.status == 401
    let texts = ErrorTexts(
      message: detail.message ?? StaticBytes(row.message), retryAfterSeconds: detail.retryAfterSeconds,
      details: detail.details)
    var body = ByteWriter(base: scratch, capacity: Limits.readBytes)
    if let dialect = detail.dialect ?? dialect(of: exchange), dialect != .platformV1 {
      if let fault = fault(of: exchange), fault.code == code {
        Dialect.appendError(dialect, fault, requestID: requestID(of: exchange), to: &body)
      } else {
        Dialect.appendError(
          dialect, row, param: detail.param, message: texts.message, details: texts.details,
          requestID: requestID(of: exchange), to: &body)
      }
      if row.isTerminal || detail.isTerminal { context.fields = Worker.terminalField }
      context.requestIDField = Dialect.requestIDField(dialect)
    } else {
      if code == .upgradeRequired { context.fields = Worker.upgradeFields }
      body.appendErrorBody(row, texts, context)
    }
    sendReply(
      exchange, ReplyHead(status: row.status, reason: row.reason, contentType: "application/json"),
      UnsafeBufferPointer(start: body.base, count: body.count), context)
  }

  /// What the client speaks, where a model answers.
  func dialect(of exchange: Int32) -> DialectName? {
    let route = exchanges.slots[Int(exchange)].route
    return route < 0 ? nil : rows(of: exchange).routeRows[Int(route)].dialect
  }

  /// Why the request for a model cannot be served, if that is so.
  func fault(of exchange: Int32) -> DialectFault? {
    exchanges.slots[Int(exchange)].hasWork ? work(of: exchange).pointee.fault : nil
  }

  /// Clients of models try again by themselves; here that would be in vain.
  private static var terminalField: UnsafeBufferPointer<UInt8> {
    let line: StaticString = "x-should-retry: false\r\n"
    return UnsafeBufferPointer(start: line.utf8Start, count: line.utf8CodeUnitCount)
  }

  /// What a client must ask for instead (RFC 9110 section 15.5.22, RFC 6455 section 4.4).
  private static var upgradeFields: UnsafeBufferPointer<UInt8> {
    let lines: StaticString = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    return UnsafeBufferPointer(start: lines.utf8Start, count: lines.utf8CodeUnitCount)
  }

  // MARK: Answers

  /// An answer that a policy or a handler made.
  func sendAnswer(_ exchange: Int32, _ verdict: PolicyVerdict) {
    var context = replyContext(exchange)
    context.fields = verdict.fields
    context.saysCaching = verdict.saysCaching
    sendReply(
      exchange, ReplyHead(status: verdict.status, reason: ReplyHead.reason(of: verdict.status), contentType: nil),
      verdict.body, context)
  }

  /// On a route that tells of single models: the one that the path names, or all of them when it names none.
  func answerModels(_ exchange: Int32, _ request: ArrivedRequest, _ row: RouteRow) {
    guard let id = row.modelPaths.id(in: request.target.path, request.target.pathCount) else {
      discardEarlyBody(exchange, request)
      return answerBuiltin(exchange, row.builtin)
    }
    // The request is gone when the answer is written. The area is free until then, and longer than any path.
    var name = ByteWriter(base: outgoing, capacity: Limits.scratchBytes)
    PercentText.append(id, plusIsSpace: false, to: &name)
    let isAnthropic = request.received.count(named: "anthropic-version") > 0
    discardEarlyBody(exchange, request)
    if let model = rows(of: exchange).modelList.entry(name.base, name.count) {
      return answerBuiltin(exchange, row.builtin, model: model)
    }
    replyDetail.dialect = isAnthropic ? .anthropicMessages : .openAIChat
    replyDetail.param = "model"
    var message = ByteWriter(base: outgoing + name.count, capacity: Limits.scratchBytes - name.count)
    message.append("No provider offers ")
    if name.count <= ModelLimits.modelBytesMax {
      message.append("the model '")
      message.append(name.base, name.count)
      message.append("'")
    } else {
      message.append("this model")
    }
    message.append("; GET /v1/models lists them.")
    if !message.overflowed {
      replyDetail.message = StaticBytes(start: UnsafePointer(message.base), count: message.count)
    }
    refuse(exchange, .modelNotFound, .refused)
  }

  /// A built-in endpoint answers; `reload` is what came of the one that was asked for, `model` what is said instead of
  /// the list of models.
  func answerBuiltin(
    _ exchange: Int32, _ builtin: Int32, _ reload: ReloadReport? = nil, model: StaticBytes? = nil
  ) {
    let slot = exchanges.slots + Int(exchange)
    let write = shared.builtins.body(Int(builtin))
    var facts = BuiltinFacts(
      counters: counters, metrics: metrics, wall: clock.wall, isDraining: isDraining || !shared.isAnyAccepting,
      generation: rows(of: exchange).number, models: model ?? rows(of: exchange).modelList.text)
    if Int(builtin) >= shared.builtins.rows.count { (facts.process, facts.reload) = (shared.board, reload) }
    refreshFigures()
    var body = ByteWriter(base: scratch, capacity: Limits.readBytes)
    var answer = write(&body, facts)
    // Few answers are longer than the scratch area, and those are asked for rarely.
    var pages: UnsafeMutableRawPointer?
    defer { if let pages { Pages.unmap(pages, bytes: Limits.replyBodyBytes) } }
    if body.overflowed {
      pages = Pages.map(bytes: Limits.replyBodyBytes)
      guard let pages else { return refuse(exchange, .internalError, .internalError) }
      body = ByteWriter(base: pages.assumingMemoryBound(to: UInt8.self), capacity: Limits.replyBodyBytes)
      answer = write(&body, facts)
      // Half an answer is none.
      if body.overflowed { return refuse(exchange, .internalError, .internalError) }
    }
    perform(exchange, slot.pointee.machine.replied(.completed))
    sendReply(
      exchange, ReplyHead(status: answer.status, reason: answer.reason, contentType: answer.contentType),
      UnsafeBufferPointer(start: body.base, count: body.count), replyContext(exchange))
  }

  /// OPTIONS that may go no farther is answered here (RFC 9110 section 7.6.2).
  func answerOptions(_ exchange: Int32, _ allowed: UInt16) {
    var context = replyContext(exchange)
    context.allowed = allowed
    perform(exchange, exchanges.slots[Int(exchange)].machine.replied(.completed))
    sendReply(
      exchange, ReplyHead(status: 204, reason: "No Content", contentType: nil),
      UnsafeBufferPointer(start: nil, count: 0), context)
  }

  private func replyContext(_ exchange: Int32) -> ReplyContext {
    let slot = exchanges.slots + Int(exchange)
    // A body that is not read to its end cannot be told from the next request.
    if !slot.pointee.request.isEnded || isLeaving(slot.pointee.server) { slot.pointee.keepsServer = false }
    return ReplyContext(
      requestID: UnsafePointer(text(of: exchange) + RecordText.requestIDOffset),
      requestIDCount: Int(slot.pointee.record.requestIDCount), wall: clock.wall, date: date(),
      connection: connectionField(exchange), isToHead: slot.pointee.isToHead)
  }

  private func sendReply(
    _ exchange: Int32, _ head: ReplyHead, _ body: UnsafeBufferPointer<UInt8>, _ context: ReplyContext
  ) {
    let slot = exchanges.slots + Int(exchange)
    slot.pointee.record.status = head.status
    slot.pointee.record.responseBytes = context.isToHead ? 0 : UInt64(body.count)
    var writer = ByteWriter(base: outgoing, capacity: Limits.scratchBytes)
    writer.appendReply(head, bodyCount: body.count, context)
    var isSent = true
    if !context.isToHead, let start = body.baseAddress {
      // One write for both, but for a body so long that both do not fit.
      if body.count <= writer.room {
        writer.append(start, body.count)
      } else {
        isSent = send(slot.pointee.server, outgoing, writer.count)
        isSent = isSent && send(slot.pointee.server, start, body.count)
        writer.rewind(to: 0)
      }
    }
    if isSent, send(slot.pointee.server, outgoing, writer.count) {
      flushOrWait(exchange)
    } else {
      perform(exchange, slot.pointee.machine.clientLeft())
    }
  }
}
