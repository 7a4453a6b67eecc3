// JSON texts as flat arrays of nodes that point into the text: nothing is copied, and the nodes' memory is used again
// for the next text.
//
// Owns: the memory of the nodes, the ways around in them, the look-up of keys.
// Called by: the token verifier, policies, dialects: whoever must know what a JSON text says.
// Never: owns or changes the text, which must stay in place while its nodes are asked.

import Glibc

/// What a node is.
enum JSONKind: UInt8 {
  case null, `true`, `false`, number, string, list, map
}

/// A value or a key. A map is followed by its keys and values in turn, a list by its values, each with all it holds.
struct JSONNode: BitwiseCopyable {
  /// Where its text begins; that of a string begins with the quote.
  var start: UInt32
  /// The length of its text, quotes and brackets included.
  var count: UInt32 = 0
  /// The index of the first node behind it and everything in it: its next sibling, if there is one.
  var next: UInt32 = 0
  /// How many values a list holds, or how many pairs a map.
  var members: UInt32 = 0
  var kind: JSONKind
  /// Of a string: it holds a backslash. Of a number: it has neither fraction nor exponent.
  var flag = false

  init(start: Int, kind: JSONKind) {
    self.start = UInt32(truncatingIfNeeded: start)
    self.kind = kind
  }

  var hasEscape: Bool { kind == .string && flag }
  var isWhole: Bool { kind == .number && flag }
}

/// What a map says about a key; nodes are named by their index.
enum JSONLookup: Equatable {
  case missing
  case found(Int)
  /// The key stands there twice, so it says nothing.
  case duplicate
}

/// The nodes of one text at a time. Node 0 is the value itself.
final class JSONDocument {
  /// The text of the last reading.
  private(set) var text = StaticBytes.empty.start
  /// How many nodes it has; 0 when it was no JSON.
  private(set) var count = 0
  private var nodes: UnsafeMutablePointer<JSONNode>
  private var capacity: Int
  private let leastCapacity: Int

  /// Lists and maps in each other, unless a caller says otherwise.
  static let depthMax = 100

  /// Memory for `capacity` nodes; a text that has more makes it grow.
  init(capacity: Int = 64) {
    leastCapacity = max(1, capacity)
    self.capacity = leastCapacity
    nodes = .allocate(capacity: leastCapacity)
  }

  deinit { nodes.deallocate() }

  /// Reads a text, which must stay where it is while its nodes are asked. A node takes 20 bytes and a text can have one
  /// for every two of its bytes: whoever reads long texts of strangers sets `nodesMax`.
  func read(
    _ text: UnsafePointer<UInt8>, _ count: Int, depthMax: Int = JSONDocument.depthMax, nodesMax: Int = .max
  ) throws(JSONFault) {
    self.count = 0
    self.text = text
    var scanner = JSONScanner(text: text, count: count, nodes: nodes, capacity: capacity, nodesMax: nodesMax)
    defer {
      nodes = scanner.nodes
      capacity = scanner.capacity
    }
    try scanner.scan(depthMax: depthMax)
    self.count = scanner.nodeCount
  }

  /// Forgets the text and gives back what memory it took beyond the first capacity.
  func reset() {
    count = 0
    text = StaticBytes.empty.start
    guard capacity > leastCapacity else { return }
    nodes.deallocate()
    nodes = .allocate(capacity: leastCapacity)
    capacity = leastCapacity
  }

  // MARK: nodes

  @inline(__always)
  subscript(index: Int) -> JSONNode {
    assert(index >= 0 && index < count)
    return nodes[index]
  }

  @inline(__always)
  func kind(_ index: Int) -> JSONKind { self[index].kind }

  /// The text of a node as it stands there.
  func raw(_ index: Int) -> UnsafeBufferPointer<UInt8> {
    let node = self[index]
    return UnsafeBufferPointer(start: text + Int(node.start), count: Int(node.count))
  }

  /// The values of a list; nothing for other nodes.
  func elements(of list: Int) -> JSONElements {
    let node = self[list]
    return JSONElements(nodes: nodes, index: list + 1, end: node.kind == .list ? Int(node.next) : list + 1)
  }

  /// The keys and values of a map, in order; nothing for other nodes.
  func pairs(of map: Int) -> JSONPairs {
    let node = self[map]
    return JSONPairs(nodes: nodes, index: map + 1, end: node.kind == .map ? Int(node.next) : map + 1)
  }

  // MARK: keys

  /// The value of a key. Keys are compared by what they say, escapes resolved.
  func value(of key: StaticString, in map: Int) -> JSONLookup { value(of: StaticBytes(key), in: map) }

  /// The value of a key that is no literal.
  func value(of key: StaticBytes, in map: Int) -> JSONLookup {
    var found = JSONLookup.missing
    for (name, value) in pairs(of: map) where isString(name, key.start, key.count) {
      if found != .missing { return .duplicate }
      found = .found(value)
    }
    return found
  }

  /// Whether any two keys of a map are the same. Looks at every pair of keys: for small maps only.
  func hasDuplicates(in map: Int) -> Bool {
    for (key, value) in pairs(of: map) {
      let rest = JSONPairs(nodes: nodes, index: Int(self[value].next), end: Int(self[map].next))
      for (other, _) in rest where areSame(key, other) { return true }
    }
    return false
  }
}

/// The values of a list.
struct JSONElements: Sequence, IteratorProtocol {
  fileprivate let nodes: UnsafeMutablePointer<JSONNode>
  fileprivate var index: Int
  fileprivate let end: Int

  mutating func next() -> Int? {
    if index == end { return nil }
    defer { index = Int(nodes[index].next) }
    return index
  }
}

/// The pairs of a map.
struct JSONPairs: Sequence, IteratorProtocol {
  fileprivate let nodes: UnsafeMutablePointer<JSONNode>
  fileprivate var index: Int
  fileprivate let end: Int

  mutating func next() -> (key: Int, value: Int)? {
    if index == end { return nil }
    let key = index
    index = Int(nodes[key + 1].next)
    return (key, key + 1)
  }
}
