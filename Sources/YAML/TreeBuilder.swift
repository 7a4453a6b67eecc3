// Puts nodes together while events arrive.
//
// Owns: the stack of open collections, the depth limit, and the rules for keys.
// Called by: YAMLParser only.
// Never: recurses, so that depth costs heap and not stack.

/// The tree under construction.
struct TreeBuilder {
  /// The finished top node, or nil while there is none.
  private(set) var root: Node?
  private var open: [Frame] = []
  private let source: SourceMap
  private let depthMax: Int

  /// One collection whose end has not been seen.
  private struct Frame {
    let start: Position
    let isMapping: Bool
    let isFlow: Bool
    var members: [Node] = []
    var entries: [Mapping.Entry] = []
    var places: [String: Position] = [:]
    var key: Node?
    var lastEnd: Position
  }

  /// A builder for one document.
  init(source: SourceMap, depthMax: Int) {
    self.source = source
    self.depthMax = depthMax
  }

  /// Adds a scalar where the text has it: as a key, a value or a member.
  mutating func add(_ scalar: Scalar, start: Position, end: Position) throws(YAMLError) {
    // The end mark of a block scalar lies behind its trailing blank lines.
    let shown = scalar.style == .block ? trimmed(end, from: start) : end
    try attach(Node(.scalar(scalar), start: start, end: shown))
  }

  /// Begins a collection.
  mutating func open(mapping isMapping: Bool, flow isFlow: Bool, start: Position) throws(YAMLError) {
    guard open.count < depthMax else {
      throw YAMLError(.depth, at: start, "nested deeper than \(depthMax) levels")
    }
    if let top = open.last, top.isMapping, top.key == nil {
      throw YAMLError(
        .key, at: start, "a key must be a single value, not a list or a mapping",
        hint: "put text that begins with '{' or '[' into quotes; fill in a template before it is read")
    }
    open.append(Frame(start: start, isMapping: isMapping, isFlow: isFlow, lastEnd: start))
  }

  /// Ends the innermost collection.
  mutating func close(end: Position) throws(YAMLError) {
    guard let frame = open.popLast() else { return }
    let content: Node.Content =
      frame.isMapping ? .mapping(Mapping(entries: frame.entries)) : .sequence(frame.members)
    try attach(Node(content, start: frame.start, end: frame.isFlow ? end : frame.lastEnd))
  }

  private mutating func attach(_ node: Node) throws(YAMLError) {
    guard var frame = open.popLast() else {
      root = node
      return
    }
    frame.lastEnd = node.end
    if !frame.isMapping {
      frame.members.append(node)
    } else if let key = frame.key {
      frame.entries.append(Mapping.Entry(key: key, name: key.scalar?.text ?? "", value: node))
      frame.key = nil
    } else {
      try check(key: node, places: &frame.places)
      frame.key = node
    }
    open.append(frame)
  }

  private func check(key: Node, places: inout [String: Position]) throws(YAMLError) {
    guard let scalar = key.scalar else { return }
    if scalar.text == "<<", scalar.style == .plain {
      throw YAMLError(.anchor, at: key.start, "merge keys are not supported", hint: "write the merged keys out")
    }
    if let first = places.updateValue(key.start, forKey: scalar.text) {
      throw YAMLError(
        .duplicateKey, at: key.start, related: first, key: scalar.text,
        "the key '\(scalar.text)' stands twice in this mapping",
        hint: "the first one is on line \(first.line)")
    }
  }

  private func trimmed(_ end: Position, from start: Position) -> Position {
    var offset = end.offset
    while offset > start.offset, [0x20, 0x09, 0x0A, 0x0D].contains(source.bytes[offset - 1]) { offset -= 1 }
    return source.position(at: offset)
  }
}
