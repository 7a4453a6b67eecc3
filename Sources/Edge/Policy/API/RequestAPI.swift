// `req`: the request, read field by field when a script asks. There is one such object in a machine and it is always
// the request of the policy that runs, so a script that keeps it sees nothing of others.

import Glibc
import LuaBridge

/// The fields of `req`.
enum RequestAPI {
  static let fields = [
    HostRow("method", "req.method", "The method, such as `GET`.") {
      read($0, $1, $2) { call, host, view in call.text(view.pointee.method) }
    },
    HostRow("path", "req.path", "The path in its canonical form, without the query.") {
      read($0, $1, $2) { call, host, view in call.text(view.pointee.target.path, view.pointee.target.pathCount) }
    },
    HostRow("query", "req.query", "What follows the question mark; nil when there is none.") {
      read($0, $1, $2) { call, host, view in
        view.pointee.target.query.map { call.text($0, view.pointee.target.queryCount) } ?? call.nothing()
      }
    },
    HostRow("host", "req.host", "The host that the client asked for, with its port; empty when it named none.") {
      read($0, $1, $2) { call, host, view in call.text(view.pointee.host) }
    },
    HostRow("address", "req.address", "The address of the client.") {
      read($0, $1, $2) { call, host, view in call.address(view.pointee.client, host) }
    },
    HostRow("network", "req.network", "The address of the client; of an IPv6 address the /64 around it.") {
      read($0, $1, $2) { call, host, view in call.address(view.pointee.client.network, host) }
    },
    HostRow("id", "req.id", "The id of the request, as the answer and the log have it.") {
      read($0, $1, $2) { call, host, view in call.text(view.pointee.id) }
    },
    HostRow("route", "req.route", "The name of the route.") {
      read($0, $1, $2) { call, host, view in call.value(view.pointee.route.value(view.pointee.route.name)) }
    },
    HostRow("permission", "req.permission", "The permission that the route asks for; nil when it asks for none.") {
      read($0, $1, $2) { call, host, view in
        view.pointee.route.permission.count == 0
          ? call.nothing() : call.value(view.pointee.route.value(view.pointee.route.permission))
      }
    },
    HostRow("listener", "req.listener", "The name of the listener.") {
      read($0, $1, $2) { call, host, view in call.text(view.pointee.listener) }
    },
    HostRow("upgrade", "req.upgrade", "Whether the request opens a WebSocket.") {
      read($0, $1, $2) { call, host, view in call.value(.boolean(view.pointee.isUpgrade)) }
    },
    HostRow(
      "messages", "req.messages",
      "Whether `on_message` will be asked about each message of the WebSocket that the request opens: true on routes "
        + "with `dialect: platform-v1`. On one to a service messages pass unread, and its opening is all that is asked."
    ) {
      read($0, $1, $2) { call, host, view in call.value(.boolean(view.pointee.asksMessages)) }
    },
    HostRow("credential", "req.credential", "The bearer token or API key, for edge.jwt; nil when there is none.") {
      read($0, $1, $2) { call, host, view in
        guard let credential = host.credential else { return call.nothing() }
        if case .none = credential { return call.nothing() }
        return call.value(.object(HostObject.credential))
      }
    },
    HostRow(
      "body", "req.body",
      "The whole body, read when it is first asked for; nil when there is none. Waits until it is there."
    ) {
      read($0, $1, $2) { call, host, view in
        switch host.body {
        case .none: return call.nothing()
        case .known(let bytes): return call.value(.string(bytes))
        case .needsBody:
          host.wait = .body
          host.operation = .body
          return call.pause()
        }
      }
    },
    HostRow(
      "headers", "req.headers[\"name\"]",
      "A header field, whatever the case of its name; several of one name stand behind each other with commas. Bearer "
        + "tokens and API keys cannot be read. Assigning sets what the service gets; nil removes it."
    ) {
      read($0, $1, $2) { call, host, view in call.value(.object(HostObject.headers)) }
    },
    HostRow("params", "req.params.name", "What stands for `:name` in the route's path, decoded.") {
      read($0, $1, $2) { call, host, view in call.value(.object(HostObject.parameters)) }
    },
    HostRow("args", "req.args.name", "The first argument of that name in the query, decoded.") {
      read($0, $1, $2) { call, host, view in call.value(.object(HostObject.arguments)) }
    },
  ]

  /// `req.headers[name]`.
  static let header: HostFunction = {
    read($0, $1, $2) { call, host, view in
      guard let name = call.string(2), let start = name.baseAddress else { return call.nothing() }
      if let edit = host.edits.find(name) {
        return edit.value.map { call.text($0, edit.valueCount) } ?? call.nothing()
      }
      if RequestCredential.isSubprotocol(name), !RequestCredential.subprotocol(view.pointee.received).isNone {
        return call.nothing()
      }
      return host.values(of: name, start, view.pointee.received, call)
    }
  }

  /// `req.headers[name] = value`.
  static let setHeader: HostFunction = {
    read($0, $1, $2) { call, host, view in
      host.setField(call)
    }
  }

  /// `req.params[name]`.
  static let parameter: HostFunction = {
    read($0, $1, $2) { call, host, view in
      guard let name = call.string(2),
        let value = view.pointee.route.parameters.value(
          of: name, in: view.pointee.target.path, view.pointee.target.pathCount)
      else { return call.nothing() }
      return call.decoded(value, host, plusIsSpace: false)
    }
  }

  /// `req.args[name]`.
  static let argument: HostFunction = {
    read($0, $1, $2) { call, host, view in
      guard let name = call.string(2), let query = view.pointee.target.query else { return call.nothing() }
      var start = 0
      while start <= view.pointee.target.queryCount {
        var end = start
        while end < view.pointee.target.queryCount, query[end] != 0x26 { end += 1 }
        var split = start
        while split < end, query[split] != 0x3d { split += 1 }
        if PercentText.equals(query + start, split - start, name) {
          let first = min(split + 1, end)
          return call.decoded(UnsafeBufferPointer(start: query + first, count: end - first), host, plusIsSpace: true)
        }
        start = end + 1
      }
      return call.nothing()
    }
  }

  @inline(__always)
  private static func read(
    _ state: OpaquePointer?, _ context: UnsafeMutableRawPointer?, _ result: HostResult?,
    _ body: (HostCall, PolicyHost, UnsafePointer<RequestView>) -> Int32
  ) -> Int32 {
    let call = HostCall(state, result)
    let answer = PolicyHost.with(context) { host in
      guard let view = host.shown else {
        return call.raise("the request can be read in on_request and handle only")
      }
      return body(call, host, view)
    }
    return answer ?? call.nothing()
  }
}

extension HostCall {
  @inline(__always)
  func text(_ bytes: StaticBytes) -> Int32 { value(.string(bytes.start, bytes.count)) }

  @inline(__always)
  func text(_ start: UnsafePointer<UInt8>, _ count: Int) -> Int32 { value(.string(start, count)) }

  func address(_ address: SocketAddress, _ host: PolicyHost) -> Int32 {
    let text = host.text.write { $0.append(host: address) }
    return text.flatMap { text in text.baseAddress.map { self.text($0, text.count) } } ?? nothing()
  }

  /// A piece of a path or query with its escapes replaced.
  fileprivate func decoded(_ bytes: UnsafeBufferPointer<UInt8>, _ host: PolicyHost, plusIsSpace: Bool) -> Int32 {
    let text = host.text.write { PercentText.append(bytes, plusIsSpace: plusIsSpace, to: &$0) }
    return text.flatMap { text in text.baseAddress.map { self.text($0, text.count) } } ?? nothing()
  }
}

extension PolicyHost {
  /// `headers[name] = value`, for the service or the client.
  func setField(_ call: HostCall) -> Int32 {
    guard let name = call.string(2), fieldRules.remembers(name) || fieldRules.isName(name) else {
      return call.raise("the name of a header must be a token such as \"x-user-id\"")
    }
    if !fieldRules.remembers(name) {
      if fieldRules.isReserved(name) {
        return call.raise("'\(String(decoding: name, as: UTF8.self))' is written by Edge itself")
      }
      fieldRules.remember(name)
    }
    let value = call.string(3)
    guard value != nil || call.kind(3) == .nothing else {
      return call.raise("the value of a header must be a string, or nil to remove it")
    }
    if let value, !fieldRules.isValue(value) {
      return call.raise("the value of a header must have no line ends and at most 4 KiB")
    }
    return edits.set(name, value) ? call.nothing() : call.raise("the headers that policies set pass 8 KiB")
  }

  /// All values of a field, joined; a single one is not copied.
  func values(
    of name: UnsafeBufferPointer<UInt8>, _ start: UnsafePointer<UInt8>, _ received: ReceivedHead, _ call: HostCall
  ) -> Int32 {
    var first: UnsafeBufferPointer<UInt8>?
    var isSeveral = false
    for index in 0..<received.table.count {
      let field = received.table.fields[index]
      guard matches(field, name, start, received) else { continue }
      if first != nil {
        isSeveral = true
        break
      }
      first = UnsafeBufferPointer(start: received.bytes + Int(field.value.start), count: Int(field.value.count))
    }
    guard let first, let value = first.baseAddress else { return call.nothing() }
    if !isSeveral { return call.text(value, first.count) }
    let joined = text.write { writer in
      var isFirst = true
      for index in 0..<received.table.count {
        let field = received.table.fields[index]
        guard matches(field, name, start, received) else { continue }
        if !isFirst { writer.append(", ") }
        isFirst = false
        writer.append(received.bytes + Int(field.value.start), Int(field.value.count))
      }
    }
    return joined.flatMap { text in text.baseAddress.map { call.text($0, text.count) } } ?? call.nothing()
  }

  @inline(__always)
  private func matches(
    _ field: HeaderField, _ name: UnsafeBufferPointer<UInt8>, _ start: UnsafePointer<UInt8>, _ received: ReceivedHead
  ) -> Bool {
    Int(field.name.count) == name.count && field.known != .authorization && field.known != .apiKey
      && equalFolded(received.bytes + Int(field.name.start), start, name.count)
  }
}
