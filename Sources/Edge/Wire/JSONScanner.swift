// The strict reading of a JSON text (RFC 8259) into flat nodes: one pass, no recursion, no memory but the nodes.
//
// Owns: the grammar, the check of UTF-8 and of escapes, the bounds on depth and on nodes.
// Called by: JSONDocument, which owns the memory of the nodes.
// Never: repairs anything, and never looks behind the end of the text.

/// Why a text is no JSON, and where.
struct JSONFault: Error, BitwiseCopyable, Equatable {
  /// What is wrong.
  enum Reason: UInt8 {
    case unfinished, unexpectedByte, byteOrderMark, controlCharacter, badEscape, loneSurrogate, notUTF8, badNumber
    case tooDeep, tooLarge, trailingBytes
  }

  let reason: Reason
  /// The byte that cannot stand where it stands; the text's length when the text ends too early.
  let offset: Int

  /// A short phrase for messages.
  var text: StaticString {
    switch reason {
    case .unfinished: "the text ends too early"
    case .unexpectedByte: "unexpected character"
    case .byteOrderMark: "byte order mark"
    case .controlCharacter: "control character in a string"
    case .badEscape: "bad escape in a string"
    case .loneSurrogate: "half of a surrogate pair"
    case .notUTF8: "not UTF-8"
    case .badNumber: "malformed number"
    case .tooDeep: "nested too deeply"
    case .tooLarge: "too large"
    case .trailingBytes: "something follows the value"
    }
  }
}

/// One pass over one text. The node of an open list or map keeps the index of the one around it in `next`.
struct JSONScanner {
  private let text: UnsafePointer<UInt8>
  private let count: Int
  private var index = 0
  private(set) var nodes: UnsafeMutablePointer<JSONNode>
  private(set) var capacity: Int
  private(set) var nodeCount = 0
  private let nodesMax: Int

  /// The node around the outermost one.
  private static let nothing = UInt32.max

  /// `nodes` holds `capacity` nodes, at least one, and is replaced by a larger area when they do not suffice; the
  /// caller takes back what is there after the pass.
  init(
    text: UnsafePointer<UInt8>, count: Int, nodes: UnsafeMutablePointer<JSONNode>, capacity: Int, nodesMax: Int
  ) {
    self.text = text
    self.count = count
    self.nodes = nodes
    self.capacity = capacity
    self.nodesMax = min(nodesMax, Int(Self.nothing) - 1)
  }

  /// Reads the whole text, or throws at the first byte that is wrong.
  mutating func scan(depthMax: Int) throws(JSONFault) {
    if count >= Int(UInt32.max) { throw JSONFault(reason: .tooLarge, offset: 0) }
    if count >= 3, text[0] == 0xef, text[1] == 0xbb, text[2] == 0xbf {
      throw JSONFault(reason: .byteOrderMark, offset: 0)
    }
    var open = Self.nothing
    var depth = 0
    while true {
      let byte = try visible()
      if byte == 0x7b || byte == 0x5b {
        depth += 1
        if depth > depthMax { throw fault(.tooDeep) }
        let isMap = byte == 0x7b
        let own = UInt32(truncatingIfNeeded: nodeCount)
        try push(JSONNode(start: index, kind: isMap ? .map : .list))
        index += 1
        if try visible() != (isMap ? 0x7d : 0x5d) {
          nodes[Int(own)].next = open
          open = own
          if isMap { try key() }
          continue
        }
        index += 1
        close(own)
        depth -= 1
      } else {
        try scalar(byte)
      }
      // A value is complete: close what ends with it, or go on to its sibling.
      while open != Self.nothing {
        let isMap = nodes[Int(open)].kind == .map
        nodes[Int(open)].members += 1
        let byte = try visible()
        if byte == 0x2c {
          index += 1
          if isMap { try key() }
          break
        }
        guard byte == (isMap ? 0x7d : 0x5d) else { throw fault(.unexpectedByte) }
        index += 1
        let parent = nodes[Int(open)].next
        close(open)
        depth -= 1
        open = parent
      }
      if open == Self.nothing { break }
    }
    skipBlanks()
    if index < count { throw fault(.trailingBytes) }
  }

  private func fault(_ reason: JSONFault.Reason) -> JSONFault { JSONFault(reason: reason, offset: index) }

  @inline(__always)
  private mutating func skipBlanks() {
    while index < count {
      let byte = text[index]
      guard byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 else { return }
      index &+= 1
    }
  }

  /// The next byte that is no blank.
  @inline(__always)
  private mutating func visible() throws(JSONFault) -> UInt8 {
    skipBlanks()
    if index < count { return text[index] }
    throw fault(.unfinished)
  }

  @inline(__always)
  private mutating func push(_ node: JSONNode) throws(JSONFault) {
    if nodeCount == capacity { try grow() }
    nodes[nodeCount] = node
    nodeCount &+= 1
  }

  private mutating func grow() throws(JSONFault) {
    if nodeCount >= nodesMax { throw fault(.tooLarge) }
    let wider = min(nodesMax, 2 * capacity)
    let area = UnsafeMutablePointer<JSONNode>.allocate(capacity: wider)
    area.update(from: nodes, count: nodeCount)
    nodes.deallocate()
    nodes = area
    capacity = wider
  }

  private func close(_ own: UInt32) {
    let node = nodes + Int(own)
    node.pointee.count = UInt32(truncatingIfNeeded: index) &- node.pointee.start
    node.pointee.next = UInt32(truncatingIfNeeded: nodeCount)
  }

  /// Adds a node without nodes inside, from `start` to here.
  @inline(__always)
  private mutating func finish(_ kind: JSONKind, from start: Int, flag: Bool) throws(JSONFault) {
    var node = JSONNode(start: start, kind: kind)
    node.count = UInt32(truncatingIfNeeded: index &- start)
    node.next = UInt32(truncatingIfNeeded: nodeCount &+ 1)
    node.flag = flag
    try push(node)
  }

  @inline(__always)
  private mutating func key() throws(JSONFault) {
    guard try visible() == 0x22 else { throw fault(.unexpectedByte) }
    try string()
    guard try visible() == 0x3a else { throw fault(.unexpectedByte) }
    index &+= 1
  }

  @inline(__always)
  private mutating func scalar(_ byte: UInt8) throws(JSONFault) {
    switch byte {
    case 0x22: try string()
    case 0x2d, 0x30...0x39: try number()
    case 0x74: try word("true", .true)
    case 0x66: try word("false", .false)
    case 0x6e: try word("null", .null)
    default: throw fault(.unexpectedByte)
    }
  }

  private mutating func word(_ word: StaticString, _ kind: JSONKind) throws(JSONFault) {
    let start = index
    for place in 0..<word.utf8CodeUnitCount {
      if index == count { throw fault(.unfinished) }
      guard text[index] == word.utf8Start[place] else { throw fault(.unexpectedByte) }
      index += 1
    }
    try finish(kind, from: start, flag: false)
  }

  // MARK: strings

  private mutating func string() throws(JSONFault) {
    let start = index
    var hasEscape = false
    index &+= 1
    while true {
      index &+= plainJSONBytes(text + index, count &- index)
      if index == count { throw fault(.unfinished) }
      let byte = text[index]
      if byte == 0x22 { break }
      if byte == 0x5c {
        hasEscape = true
        try escape()
      } else if byte < 0x20 {
        throw fault(.controlCharacter)
      } else {
        let width = utf8Width(text + index, count - index)
        if width == 0 { throw fault(.notUTF8) }
        index &+= width
      }
    }
    index &+= 1
    try finish(.string, from: start, flag: hasEscape)
  }

  /// Steps over the escape that begins here; a pair of surrogates is one.
  private mutating func escape() throws(JSONFault) {
    guard index + 1 < count else { throw JSONFault(reason: .unfinished, offset: count) }
    switch text[index + 1] {
    case 0x22, 0x5c, 0x2f, 0x62, 0x66, 0x6e, 0x72, 0x74: index += 2
    case 0x75:
      let unit = try hexadecimal(at: index + 2)
      if unit & 0xf800 != 0xd800 {
        index += 6
        return
      }
      if unit >= 0xdc00 { throw fault(.loneSurrogate) }
      for offset in 6...7 {
        if index + offset >= count { throw JSONFault(reason: .unfinished, offset: count) }
        guard text[index + offset] == (offset == 6 ? 0x5c : 0x75) else { throw fault(.loneSurrogate) }
      }
      guard try hexadecimal(at: index + 8) & 0xfc00 == 0xdc00 else { throw fault(.loneSurrogate) }
      index += 12
    default: throw fault(.badEscape)
    }
  }

  private func hexadecimal(at place: Int) throws(JSONFault) -> UInt32 {
    var unit: UInt32 = 0
    for offset in place..<(place + 4) {
      if offset >= count { throw JSONFault(reason: .unfinished, offset: count) }
      guard let digit = hexadecimalDigit(text[offset]) else { throw fault(.badEscape) }
      unit = unit << 4 | digit
    }
    return unit
  }

  // MARK: numbers

  private mutating func number() throws(JSONFault) {
    let start = index
    if text[index] == 0x2d { index &+= 1 }
    if index < count, text[index] == 0x30 {
      index &+= 1
      if index < count, text[index] &- 0x30 < 10 { throw fault(.badNumber) }
    } else {
      try digits()
    }
    var isWhole = true
    if index < count, text[index] == 0x2e {
      isWhole = false
      index &+= 1
      try digits()
    }
    if index < count, text[index] | 0x20 == 0x65 {
      isWhole = false
      index &+= 1
      if index < count, text[index] == 0x2b || text[index] == 0x2d { index &+= 1 }
      try digits()
    }
    try finish(.number, from: start, flag: isWhole)
  }

  /// At least one digit.
  private mutating func digits() throws(JSONFault) {
    if index == count { throw fault(.unfinished) }
    if text[index] &- 0x30 > 9 { throw fault(.badNumber) }
    repeat { index &+= 1 } while index < count && text[index] &- 0x30 < 10
  }
}
