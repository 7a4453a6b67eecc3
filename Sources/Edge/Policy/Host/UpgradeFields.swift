// The fields with which a WebSocket is opened, as they go on to a service and come back: which subprotocols are
// offered, but for those that carry a credential, and which extensions.
// Called by: whoever opens a WebSocket to a service. Never: keeps anything; all of it lies in the head.

import Glibc

/// What `Sec-WebSocket-Protocol` of a request offers.
struct Subprotocols: BitwiseCopyable {
  private let received: ReceivedHead
  private let passesCredentials: Bool

  /// A credential is no subprotocol, unless the service has asked to be handed credentials.
  init(_ received: ReceivedHead, passesCredentials: Bool) {
    self.received = received
    self.passesCredentials = passesCredentials
  }

  /// Whether this one is offered, letter for letter.
  func has(_ name: UnsafeBufferPointer<UInt8>) -> Bool {
    guard let wanted = name.baseAddress else { return false }
    var isFound = false
    forEach { start, count in isFound = isFound || count == name.count && equalBytes(start, wanted, count) }
    return isFound
  }

  /// The field, if it offers anything.
  func append(to writer: inout ByteWriter) {
    var written = writer
    var hasAny = false
    forEach { start, count in
      written.append(hasAny ? ", " : "sec-websocket-protocol: ")
      written.append(start, count)
      hasAny = true
    }
    if hasAny { written.appendLineEnd() }
    writer = written
  }

  /// In the forms in which credentials stand here, see `RequestCredential`.
  private func forEach(_ body: (UnsafePointer<UInt8>, Int) -> Void) {
    var skipsNext = false
    received.forEachField("sec-websocket-protocol") { start, count in
      forEachListElement(start, count) { element, length in
        if passesCredentials { return body(element, length) }
        if skipsNext {
          skipsNext = false
        } else if equalLowered(element, length, "bearer") {
          skipsNext = true
        } else if length < 7 || !equalLowered(element, 7, "bearer ") {
          body(element, length)
        }
      }
    }
  }
}

/// What `Sec-WebSocket-Extensions` of an answer agrees to.
struct UpgradeExtensions: BitwiseCopyable {
  private let answer: ReceivedHead
  private let lines: InlineArray<4, HeadRange>
  private let count: Int

  /// More lines than anybody sends are kept as a number.
  init(_ answer: ReceivedHead) {
    self.answer = answer
    var lines = InlineArray<4, HeadRange>(repeating: HeadRange())
    var count = 0
    for index in 0..<answer.table.count {
      let field = answer.table.fields[index]
      guard answer.isNamed(field, "sec-websocket-extensions") else { continue }
      if count < lines.count { lines[count] = field.value }
      count += 1
    }
    self.lines = lines
    self.count = count
  }

  var isEmpty: Bool { count == 0 }

  /// Whether a request has offered each of them. The fields of the answer may have been read over by now.
  func isOffered(by request: ReceivedHead) -> Bool {
    if count > lines.count { return false }
    var isOffered = true
    for place in 0..<count {
      forEachListElement(answer.bytes + Int(lines[place].start), Int(lines[place].count)) { element, length in
        let name = UpgradeExtensions.nameCount(element, length)
        var isFound = false
        request.forEachField("sec-websocket-extensions") { start, count in
          forEachListElement(start, count) { offered, offeredCount in
            isFound =
              isFound
              || UpgradeExtensions.nameCount(offered, offeredCount) == name && equalFolded(offered, element, name)
          }
        }
        isOffered = isOffered && isFound
      }
    }
    return isOffered
  }

  /// The name in front of an extension's parameters.
  private static func nameCount(_ element: UnsafePointer<UInt8>, _ count: Int) -> Int {
    var end = 0
    while end < count, element[end] != 0x3b, element[end] != 0x20, element[end] != 0x09 { end += 1 }
    return end
  }
}

extension ReceivedHead {
  /// A field of this name, in lower case.
  func isNamed(_ field: HeaderField, _ name: StaticString) -> Bool {
    equalLowered(bytes + Int(field.name.start), Int(field.name.count), name)
  }

  /// The values of the fields of this name, whether they go on or not.
  func forEachField(_ name: StaticString, _ body: (UnsafePointer<UInt8>, Int) -> Void) {
    for index in 0..<table.count where isNamed(table.fields[index], name) {
      body(bytes + Int(table.fields[index].value.start), Int(table.fields[index].value.count))
    }
  }

  /// Connection names `upgrade`.
  var agreesToUpgrade: Bool {
    var isNamed = false
    forEachField("connection") { start, count in
      forEachListElement(start, count) { element, length in
        isNamed = isNamed || equalLowered(element, length, "upgrade")
      }
    }
    return isNamed
  }

  /// What a WebSocket was opened with on one hop says nothing about the next.
  func dropHandshake(keepsExtensions: Bool) {
    for index in 0..<table.count {
      let field = table.fields[index]
      let isHandshake =
        isNamed(field, "sec-websocket-key") || isNamed(field, "sec-websocket-version")
        || isNamed(field, "sec-websocket-accept") || isNamed(field, "sec-websocket-protocol")
      if isHandshake || !keepsExtensions && isNamed(field, "sec-websocket-extensions") {
        table.fields[index].isDropped = true
      }
    }
  }
}
