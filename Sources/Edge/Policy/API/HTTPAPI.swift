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
  /// Nothing is made of the arguments before it is known that they are not too large.
  fileprivate func readFetch(_ call: HostCall) -> Result<FetchRequest, FetchFault> {
    let entries: FlatMap
    do { entries = try FlatMap(call, 1, flat, of: "edge.http.fetch") } catch {
      return .failure(FetchFault(text: error.message))
    }
    if let fault = fetchTypes(entries) ?? fetchSizes(entries) { return .failure(FetchFault(text: fault)) }
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
    if let fault = readFields(entries, into: &request) ?? readJSON(entries, into: &request) {
      return .failure(FetchFault(text: fault))
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
            + "tokens that Edge does not write itself, values are UTF-8 without line ends"))
    }
    return .success(request)
  }

  /// The headers; what is wrong with them.
  private func readFields(_ entries: FlatMap, into request: inout FetchRequest) -> String? {
    var hasType = false
    var reserved: String?
    entries.map("headers")?.forEach { name, place in
      if fieldRules.isReserved(name) { reserved = String(decoding: name, as: UTF8.self) }
      if let start = name.baseAddress, equalLowered(start, name.count, "content-type") { hasType = true }
      // What is no UTF-8 could not be kept as it is.
      let text = entries.string(at: place).flatMap {
        isUTF8($0.baseAddress ?? StaticBytes.empty.start, $0.count) ? $0 : nil
      }
      let value = text.map { String(decoding: $0, as: UTF8.self) }
      request.headers.append(FetchHeader(name: String(decoding: name, as: UTF8.self), value: value ?? "\n"))
    }
    if let reserved { return "'\(reserved)' is written by Edge itself" }
    if entries.place("json") != nil, !hasType {
      request.headers.append(FetchHeader(name: "content-type", value: "application/json"))
    }
    return nil
  }

  /// The body that is given as a value; what is wrong with it.
  private func readJSON(_ entries: FlatMap, into request: inout FetchRequest) -> String? {
    guard let json = entries.place("json") else { return nil }
    var fault: FlatJSON.Fault?
    let written = fetchBody.write { fault = FlatJSON.write(entries.values, at: json, into: &$0) }
    if let fault { return "\(fault.text)" }
    guard let written else { return "'json' of edge.http.fetch is longer than 64 KiB" }
    request.body = Array(written)
    return nil
  }

  /// What is larger than it may be.
  private func fetchSizes(_ entries: FlatMap) -> String? {
    func isLonger(_ name: StaticString, _ most: Int) -> Bool { (entries.string(name)?.count ?? 0) > most }
    if isLonger("service", Limits.fetchFieldBytes) { return "there is no such service in the configuration" }
    if isLonger("path", Limits.fetchPathBytes) { return "the path of edge.http.fetch is longer than 8 KiB" }
    if isLonger("method", Limits.methodBytesMax) { return "the method must be one such as \"GET\" or \"POST\"" }
    if isLonger("body", Limits.fetchBodyBytesMax) { return "the body of edge.http.fetch is longer than 64 KiB" }
    var (longest, all) = (0, 0)
    entries.map("headers")?.forEach { name, place in
      let count = entries.string(at: place)?.count ?? 0
      longest = max(longest, count)
      all += name.count + count
    }
    if longest > Limits.fetchFieldBytes { return "a header of edge.http.fetch is longer than 4 KiB" }
    return all > Limits.fetchFieldsBytes ? "the headers of edge.http.fetch are longer than 8 KiB" : nil
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
