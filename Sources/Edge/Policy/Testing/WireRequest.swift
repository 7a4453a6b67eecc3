// A request that tests make: written as bytes and read with the parser and the target reader that workers use, so that
// policies and routes see in tests what they see in production.
//
// Owns: the bytes and everything read from them.
// Called by: tests of policies and of the route table. Never: repairs a request that Edge would refuse.

import Glibc

/// Why Edge would refuse a request before it looks for a route.
struct WireRefusal: Error {
  let code: ErrorCode
  let message: String
}

/// A request that has been read.
final class WireRequest {
  let received: ReceivedHead
  let head: RequestHead
  let target: RequestTarget
  /// As it was given, with the port.
  let host: StaticBytes
  /// For routing: without port, brackets and trailing dot.
  let hostName: StaticBytes
  /// What all of it stands in, and what belongs to it.
  let arena: Arena

  /// Writes and reads a request. `fields` stand behind Host.
  init(
    method: String, target: String, host: String, fields: [(name: String, value: [UInt8])], limits: HeadLimits
  ) throws(WireRefusal) {
    let arena = Arena()
    var text = Array("\(method) \(target) HTTP/1.1\r\nhost: \(host)\r\n".utf8)
    for field in fields { text += Array(field.name.utf8) + [0x3a, 0x20] + field.value + [0x0d, 0x0a] }
    text += [0x0d, 0x0a]
    let (feeds, returns) = (text.count { $0 == 0x0a }, text.count { $0 == 0x0d })
    guard feeds == fields.count + 3, returns == feeds else {
      throw WireRefusal(code: .invalidRequest, message: "a part of the request holds a line end")
    }
    let bytes = UnsafePointer(arena.copy(text))
    var parser = HTTP1Parser(arena: arena)
    var head = RequestHead()
    switch parser.readRequest(bytes, text.count, limits: limits, into: &head) {
    case .complete: break
    case .refused(let fault): throw WireRefusal(fault)
    case .incomplete: throw WireRefusal(.tooLarge)
    }
    // No route takes them, whatever it says.
    if head.method == .connect || head.method == .trace {
      throw WireRefusal(code: .methodNotAllowed, message: "\(ErrorCode.methodNotAllowed.row.message)")
    }
    let targets = RequestTargetReader(arena: arena, classes: parser.classes)
    guard let target = targets.read(bytes + Int(head.target.start), Int(head.target.count), method: head.method)
    else { throw WireRefusal(.badTarget) }
    var given = StaticBytes(start: bytes + Int(head.host.start), count: Int(head.host.count))
    if target.authorityCount > 0 { given = StaticBytes(start: target.authority, count: target.authorityCount) }
    guard let name = targets.hostName(given.start, given.count) else { throw WireRefusal(.badHost) }
    self.arena = arena
    self.head = head
    self.target = target
    self.host = given
    let isBracketed = given.start[0] == 0x5b
    hostName = StaticBytes(
      start: given.start + (isBracketed ? 1 : 0), count: Int(name.count) - (isBracketed ? 2 : 0))
    received = ReceivedHead(bytes: bytes, table: parser.table)
  }

  /// The method as it was sent.
  var method: StaticBytes {
    StaticBytes(start: received.bytes + Int(head.methodRange.start), count: Int(head.methodRange.count))
  }
}

extension WireRefusal {
  fileprivate init(_ fault: HeadFault) { self.init(code: fault.row.code, message: "\(fault.row.message)") }
}
