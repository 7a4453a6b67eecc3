// `edge.http`: requests of scripts to configured services. The policy waits without holding anybody up.
// Called by scripts; never opens a socket: the fetch is left as an operation for whoever runs the policy.

import Glibc
import LuaBridge

/// The row of `edge.http`.
enum HTTPAPI {
  static let rows = [
    HostRow(
      "edge.http.fetch",
      "edge.http.fetch{service=, path=, method=\"GET\", headers={}, json=VALUE | body=STRING, timeout=10}",
      "Asks a configured service and waits: `{status=, headers=, body=}`. Redirects are not followed. Without an "
        + "answer in time it is an error, which refuses the request unless the script catches it.", fetch)
  ]

  private static let fetch: HostFunction = { state, context, result in
    let call = HostCall(state, result)
    guard let host = PolicyHost.of(context) else { return call.nothing() }
    guard host.phase != .start else { return call.raise("edge.http.fetch waits for an answer, and init cannot wait") }
    switch host.readFetch(call) {
    case .success(let request):
      host.operation = .fetch(request)
      return call.pause()
    case .failure(let fault): return call.raise(fault.text)
    }
  }
}

/// Why a fetch cannot be made.
private struct FetchFault: Error { let text: String }

extension PolicyHost {
  fileprivate func readFetch(_ call: HostCall) -> Result<FetchRequest, FetchFault> {
    let entries: FlatMap
    do { entries = try FlatMap(call, 1, flat) } catch { return .failure(FetchFault(text: "\(error.message)")) }
    if let fault = fetchTypes(entries) { return .failure(FetchFault(text: fault)) }
    func text(_ name: StaticString) -> String? { entries.string(name).map { String(decoding: $0, as: UTF8.self) } }
    let known: [StaticString] = ["service", "path", "method", "headers", "json", "body", "timeout"]
    if let stranger = entries.stranger(among: known) {
      return .failure(FetchFault(text: "edge.http.fetch does not know '\(stranger)'"))
    }
    guard let service = text("service"), tools.services.contains(service) else {
      return .failure(FetchFault(text: "there is no service '\(text("service") ?? "")' in the configuration"))
    }
    guard let path = text("path") else {
      return .failure(FetchFault(text: "edge.http.fetch needs a path such as \"/v1/users\""))
    }
    var request = FetchRequest(service: service, path: path)
    if entries.place("method") != nil {
      guard let method = text("method").flatMap(Method.init(name:)) else {
        return .failure(FetchFault(text: "the method must be one such as \"GET\" or \"POST\""))
      }
      request.method = method
    }
    if let body = entries.string("body") { request.body = Array(body) }
    if let json = entries.place("json") {
      var fault: FlatJSON.Fault?
      let written = self.text.write { fault = FlatJSON.write(entries.values, at: json, into: &$0) }
      if let fault { return .failure(FetchFault(text: "\(fault.text)")) }
      guard let written else { return .failure(FetchFault(text: "'json' of edge.http.fetch is longer than 64 KiB")) }
      request.body = Array(written)
    }
    var hasType = false
    var reserved: String?
    entries.map("headers")?.forEach { name, place in
      if FieldRules.isReserved(name) { reserved = String(decoding: name, as: UTF8.self) }
      if let start = name.baseAddress, equalLowered(start, name.count, "content-type") { hasType = true }
      // What is no UTF-8 could not be kept as it is.
      let text = entries.string(at: place).flatMap {
        isUTF8($0.baseAddress ?? StaticBytes.empty.start, $0.count) ? $0 : nil
      }
      let value = text.map { String(decoding: $0, as: UTF8.self) }
      request.headers.append(FetchHeader(name: String(decoding: name, as: UTF8.self), value: value ?? "\n"))
    }
    if let reserved { return .failure(FetchFault(text: "'\(reserved)' is written by Edge itself")) }
    if entries.place("json") != nil, !hasType {
      request.headers.append(FetchHeader(name: "content-type", value: "application/json"))
    }
    if entries.place("timeout") != nil {
      guard let seconds = entries.number("timeout"), seconds > 0, seconds <= 600 else {
        return .failure(FetchFault(text: "the timeout must be above 0 and at most 600 seconds"))
      }
      request.deadlineMilliseconds = max(1, Int(seconds * 1_000))
    }
    guard request.isWellFormed else {
      return .failure(
        FetchFault(
          text: "the request cannot be written: the path begins with a slash and is encoded, names of headers are "
            + "tokens that Edge does not write itself, values are UTF-8 without line ends, and the body has at most "
            + "64 KiB"))
    }
    return .success(request)
  }

  /// What has another type than it must have: a mistake that were better not passed over.
  private func fetchTypes(_ entries: FlatMap) -> String? {
    let strings: [StaticString] = ["service", "path", "method", "body"]
    for name in strings where entries.place(name) != nil && entries.string(name) == nil {
      return "'\(name)' of edge.http.fetch must be a string"
    }
    if entries.place("headers") != nil, entries.map("headers") == nil {
      return "'headers' of edge.http.fetch must be a table from names to strings"
    }
    return entries.place("body") != nil && entries.place("json") != nil
      ? "edge.http.fetch takes json or body, not both" : nil
  }
}
