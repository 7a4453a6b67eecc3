// `edge.refuse` and `edge.reply`: how a policy ends an exchange. Neither returns to the script, so a policy that
// forgets to stop after a refusal has stopped all the same.

import Glibc
import LuaBridge

/// The rows of `edge.refuse` and `edge.reply`.
enum VerdictAPI {
  static let rows = [
    HostRow(
      "edge.refuse", "edge.refuse(CODE[, details])",
      "Ends the exchange with an error of the table. Of `details`, `retry_after` (seconds) and `message` have their "
        + "own places in the answer; the rest becomes `error.details`. Does not return.", refuse),
    HostRow(
      "edge.reply", "edge.reply{status=200, headers={}, json=VALUE | body=STRING}",
      "Ends the exchange with this answer. Does not return.", reply),
  ]

  private static let refuse: HostFunction = { state, context, result in
    let call = HostCall(state, result)
    guard let host = PolicyHost.of(context) else { return call.nothing() }
    guard host.mayRefuse else {
      return call.raise("edge.refuse has no meaning in \(host.phase.rawValue)")
    }
    guard let name = call.string(1), let code = ErrorCode(name: name) else {
      return call.raise("edge.refuse needs an error code such as \"FORBIDDEN\"")
    }
    host.verdict = PolicyVerdict(code: code)
    if call.kind(2) == .nothing { return call.end() }
    guard call.kind(2) == .map else { return call.raise("the details of edge.refuse must be a table") }
    return host.readDetails(call) ?? call.end()
  }

  private static let reply: HostFunction = { state, context, result in
    let call = HostCall(state, result)
    guard let host = PolicyHost.of(context) else { return call.nothing() }
    guard host.mayReply else {
      return host.phase == .onMessage || host.phase == .onChunk
        ? call.raise(
          "edge.reply has a meaning in on_request, on_response and handle only; \(host.phase.rawValue) has edge.refuse")
        : call.raise("edge.reply has a meaning in on_request, on_response and handle only")
    }
    guard call.kind(1) == .map else {
      return call.raise("edge.reply needs a table such as {status=200, json={ok=true}}")
    }
    host.verdict = PolicyVerdict()
    return host.readReply(call) ?? call.end()
  }
}

extension ErrorCode {
  /// The first code with this name on the wire.
  init?(name: UnsafeBufferPointer<UInt8>) {
    let row = ErrorRow.table.first { row in
      row.name.utf8CodeUnitCount == name.count
        && memcmp(row.name.utf8Start, name.baseAddress ?? row.name.utf8Start, name.count) == 0
    }
    guard let row else { return nil }
    self = row.code
  }
}

extension PolicyHost {
  /// Whether the phase is one that may end the exchange with an error.
  var mayRefuse: Bool { phase != .start && phase != .onLog }

  /// Whether the phase is one that decides before anything goes anywhere, and may ask what that would cost.
  var mayAsk: Bool { phase == .onRequest || phase == .handle || phase == .onMessage }

  /// Whether the phase is one that may answer in the place of whoever would be asked, or was.
  var mayReply: Bool { phase == .onRequest || phase == .handle || phase == .onResponse }

  /// The second argument of a refusal; what the function returns when it cannot be used.
  fileprivate func readDetails(_ call: HostCall) -> Int32? {
    let entries: FlatMap
    do { entries = try FlatMap(call, 2, flat, of: "edge.refuse") } catch { return call.raise(error.message) }
    if entries.place("retry_after") != nil {
      guard let seconds = entries.number("retry_after"), seconds.isFinite, seconds >= 0 else {
        return call.raise("'retry_after' of edge.refuse is a number of seconds")
      }
      // Said in whole seconds, and never too early.
      verdict.retryAfterSeconds = UInt64(max(1, min(seconds.rounded(.up), 31_536_000)))
    }
    let message = entries.string("message")
    let isText = message.map { isUTF8($0.baseAddress ?? StaticBytes.empty.start, $0.count) } ?? false
    if entries.place("message") != nil, !isText || (message?.count ?? 0) > Limits.errorMessageBytes {
      return call.raise("'message' of edge.refuse is a string of UTF-8 of at most 1 KiB")
    }
    let rest = entries.without(["retry_after", "message"])
    if message == nil, rest.isEmpty { return nil }
    // Both stand in one text: the second write would free the first.
    var split = 0
    var fault: FlatJSON.Fault?
    let written = details.write { writer in
      if let message { writer.append(message.baseAddress ?? UnsafePointer(writer.base), message.count) }
      split = writer.count
      if !rest.isEmpty { fault = FlatJSON.write(rest, into: &writer) }
    }
    if let fault { return call.raise(fault.text) }
    guard let written else { return call.raise("the details of edge.refuse are longer than 16 KiB") }
    if message != nil { verdict.message = UnsafeBufferPointer(rebasing: written[..<split]) }
    if !rest.isEmpty { verdict.details = UnsafeBufferPointer(rebasing: written[split...]) }
    return nil
  }

  /// The argument of an answer; what the function returns when it cannot be used.
  fileprivate func readReply(_ call: HostCall) -> Int32? {
    let entries: FlatMap
    do { entries = try FlatMap(call, 1, flat, of: "edge.reply") } catch { return call.raise(error.message) }
    if let stranger = entries.stranger(among: ["status", "headers", "json", "body"]) {
      return call.raise("edge.reply does not know '\(stranger)'; it takes status, headers, json and body")
    }
    if entries.place("status") != nil {
      guard let status = entries.number("status"), status >= 200, status <= 599, status == status.rounded() else {
        return call.raise("the status of edge.reply must be a whole number from 200 to 599")
      }
      verdict.status = UInt16(status)
    }
    let json = entries.place("json")
    let body = entries.string("body")
    if json != nil, entries.place("body") != nil { return call.raise("edge.reply takes json or body, not both") }
    if entries.place("body") != nil, body == nil { return call.raise("the body of edge.reply must be a string") }
    var fault: FlatJSON.Fault?
    let written = replyBody.write { writer in
      if let body, let start = body.baseAddress { writer.append(start, body.count) }
      if let json { fault = FlatJSON.write(entries.values, at: json, into: &writer) }
    }
    if let fault { return call.raise(fault.text) }
    guard let written else { return call.raise("the answer of edge.reply is longer than 192 KiB") }
    if !written.isEmpty, [204, 205, 304].contains(verdict.status) {
      return call.raise("an answer with the status \(verdict.status) has no content")
    }
    verdict.body = written
    return readReplyFields(call, entries, isJSON: json != nil)
  }

  private func readReplyFields(_ call: HostCall, _ entries: FlatMap, isJSON: Bool) -> Int32? {
    var fault: String?
    let headers = entries.map("headers")
    if entries.place("headers") != nil, headers == nil {
      return call.raise("the headers of edge.reply must be a table from names to strings")
    }
    let written = fields.write { writer in
      var hasType = false
      headers?.forEach { name, place in
        guard let value = entries.string(at: place), fieldRules.isName(name), fieldRules.isValue(value),
          let nameStart = name.baseAddress
        else {
          fault = "a header of edge.reply is no field: names are tokens, values strings without line ends"
          return
        }
        if fieldRules.isReserved(name) {
          fault = "'\(String(decoding: name, as: UTF8.self))' is written by Edge itself"
          return
        }
        if equalLowered(nameStart, name.count, "content-type") {
          if hasType { fault = "an answer of edge.reply has one content-type" }
          hasType = true
        }
        if equalLowered(nameStart, name.count, "cache-control") { verdict.saysCaching = true }
        writer.append(nameStart, name.count)
        writer.append(": ")
        if let start = value.baseAddress { writer.append(start, value.count) }
        writer.appendLineEnd()
      }
      if hasType || verdict.body.isEmpty { return }
      writer.append(isJSON ? "content-type: application/json\r\n" : "content-type: text/plain; charset=utf-8\r\n")
    }
    if let fault { return call.raise(fault) }
    guard let written else { return call.raise("the headers of edge.reply are longer than 8 KiB") }
    verdict.fields = written
    return nil
  }
}
