// A client of the demo provider with a plain blocking socket: it sends what it is given, byte for byte, and reads
// answers strictly. Reads wait for bytes or the connection's end; the suites' time limits are their only clock.

import CLinux
import Foundation
import Testing

@testable import Edge

/// A demo provider that answers while `body` runs.
func withDemo(gap: Int = 0, _ body: (DemoProvider) throws -> Void) throws {
  let provider = try DemoProvider(port: 0, gapMilliseconds: gap)
  try provider.start()
  defer { provider.end() }
  try body(provider)
}

/// An answer as it was read.
struct DemoHeard: Equatable {
  var status = 0
  var fields: [String: String] = [:]
  var body = ""
  /// The connection ended before the body did.
  var isCut = false
  /// The payloads of the chunks, one by one.
  var chunks: [String] = []

  /// What stands behind `data: ` in each frame.
  var frames: [String] {
    body.components(separatedBy: "\n\n").dropLast().map { String($0.dropFirst("data: ".count)) }
  }

  /// What stands behind `data: ` in each event that has its name in front; its type must repeat the name.
  func events() throws -> [String] {
    try body.components(separatedBy: "\n\n").dropLast().map { event in
      let parts = try #require(event.wholeMatch(of: /event: ([a-z_]+)\ndata: (.*)/), "\(event)").output
      try #require(parts.2.hasPrefix("{\"type\":\"\(parts.1)\""), "\(event)")
      return String(parts.2)
    }
  }
}

/// One connection.
final class DemoClient {
  let socket: Int32
  private var unread: [UInt8] = []

  init(_ provider: DemoProvider) throws {
    let address = try #require(SocketAddress(numeric: "127.0.0.1", port: provider.address.port))
    socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    let connected = address.withKernelForm { Glibc.connect(socket, $0, $1) }
    if connected != 0 { throw DemoError(message: Syscall.describe(errno)) }
  }

  deinit { close(socket) }

  func send(_ text: String) throws { try send(Array(text.utf8)) }

  /// Sends all of it, or what the other side takes.
  func send(_ bytes: [UInt8]) throws {
    let area = ByteArea(bytes)
    var sent = 0
    while sent < area.count, case .bytes(let count) = Syscall.write(socket, area.base + sent, area.count - sent) {
      sent += count
    }
  }

  /// The text of a request for a chat completion.
  static func request(_ body: String, fields: String = "") -> String {
    "POST /v1/chat/completions HTTP/1.1\r\nhost: demo\r\ncontent-type: application/json\r\n"
      + "authorization: Bearer any\r\n\(fields)content-length: \(body.utf8.count)\r\n\r\n\(body)"
  }

  /// The text of a request for a message.
  static func message(_ body: String, fields: String = "anthropic-version: 2023-06-01\r\n") -> String {
    "POST /v1/messages HTTP/1.1\r\nhost: demo\r\ncontent-type: application/json\r\n"
      + "x-api-key: any\r\n\(fields)content-length: \(body.utf8.count)\r\n\r\n\(body)"
  }

  /// Asks by Anthropic's wire and reads the answer.
  func askMessage(_ body: String) throws -> DemoHeard {
    try send(DemoClient.message(body))
    return try answer()
  }

  /// Asks and reads the answer.
  func ask(_ body: String) throws -> DemoHeard {
    try send(DemoClient.request(body))
    return try answer()
  }

  func fetch(_ method: String, _ path: String) throws -> DemoHeard {
    try send("\(method) \(path) HTTP/1.1\r\nhost: demo\r\n\r\n")
    return try answer(toHead: method == "HEAD")
  }

  func endSending() { shutdown(socket, Int32(SHUT_WR)) }

  /// Nothing has come and the connection stands.
  var isSilent: Bool {
    var byte: UInt8 = 0
    return unread.isEmpty && recv(socket, &byte, 1, Int32(MSG_DONTWAIT) | Int32(MSG_PEEK)) < 0
      && errno == EAGAIN
  }

  // MARK: reading

  /// Waits for more; false when the connection has ended.
  private func more() -> Bool {
    let area = BytePointer.allocate(capacity: 65_536)
    defer { area.deallocate() }
    guard case .bytes(let count) = Syscall.read(socket, area, 65_536) else { return false }
    unread.append(contentsOf: UnsafeBufferPointer(start: area, count: count))
    return true
  }

  /// All up to the connection's end.
  func rest() -> String {
    while more() {}
    defer { unread = [] }
    return String(decoding: unread, as: UTF8.self)
  }

  private func take(_ count: Int) -> [UInt8]? {
    while unread.count < count { if !more() { return nil } }
    defer { unread.removeFirst(count) }
    return Array(unread[..<count])
  }

  /// A line without its end.
  func line() -> String? {
    var searched = 0
    while true {
      if let place = unread[searched...].firstIndex(of: 0x0a) {
        defer { unread.removeFirst(place + 1) }
        guard place > 0, unread[place - 1] == 0x0d else { return nil }
        return String(decoding: unread[..<(place - 1)], as: UTF8.self)
      }
      searched = unread.count
      if !more() { return nil }
    }
  }

  /// The next answer.
  func answer(toHead: Bool = false) throws -> DemoHeard {
    var heard = DemoHeard()
    let first = try #require(line(), "no answer")
    try #require(first.hasPrefix("HTTP/1.1 "))
    heard.status = try #require(Int(first.dropFirst(9).prefix(3)))
    while let field = line(), !field.isEmpty {
      let parts = field.components(separatedBy: ": ")
      try #require(parts.count == 2 && heard.fields[parts[0]] == nil, "\(field)")
      heard.fields[parts[0]] = parts[1]
    }
    if toHead || heard.status == 100 { return heard }
    if heard.fields["transfer-encoding"] == "chunked" {
      readChunks(&heard)
    } else if let length = heard.fields["content-length"].flatMap(Int.init) {
      if let body = take(length) {
        heard.body = String(decoding: body, as: UTF8.self)
      } else {
        heard.body = rest()
        heard.isCut = true
      }
    } else {
      heard.body = rest()
    }
    return heard
  }

  private func readChunks(_ heard: inout DemoHeard) {
    var body: [UInt8] = []
    defer { heard.body = String(decoding: body, as: UTF8.self) }
    while let size = line().flatMap({ Int($0, radix: 16) }) {
      guard let chunk = take(size) else {
        body += Array(rest().utf8)
        break
      }
      guard line() == "" else { break }
      if size == 0 { return }
      body += chunk
      heard.chunks.append(String(decoding: chunk, as: UTF8.self))
    }
    heard.isCut = true
  }
}

/// A text with what differs from run to run replaced.
func steady(_ text: String) -> String {
  text.replacing(/chatcmpl-[0-9a-f]{29}/, with: "CHAT").replacing(/"created":[0-9]{10},/, with: "\"created\":0,")
    .replacing(/call_[0-9a-f]{16}/, with: "CALL").replacing(/msg_[0-9a-f]{24}/, with: "MSG")
    .replacing(/toolu_[0-9a-f]{16}/, with: "TOOL").replacing(/req_[0-9a-f]{32}/, with: "REQ")
}

/// The body of a request with one message of the user; `members` stand in front, each with its comma.
func asked(_ words: String, model: String = "gpt-4", _ members: String = "") -> String {
  "{\"model\":\"\(model)\",\(members)\"messages\":[{\"role\":\"user\",\"content\":\"\(words)\"}]}"
}
