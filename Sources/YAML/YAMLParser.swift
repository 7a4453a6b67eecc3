// A YAML text in, a node tree with places out.
//
// Owns: the loop over libyaml's events and the limits that make a hostile text harmless.
// Called by: whoever has the bytes of a file.
// Never: reads files, expands aliases or accepts what the limits refuse. libyaml follows YAML 1.1 grammar, which for
// the texts accepted here differs from 1.2 only in corners; types are resolved by 1.2 rules (CoreSchema.swift).

import CYAML

/// Reads one YAML document.
public struct YAMLParser: ~Copyable {
  /// Bounds on what is read.
  public struct Limits: Sendable {
    /// Largest text, in bytes.
    public var bytesMax: Int
    /// Deepest nesting of collections.
    public var depthMax: Int

    /// Limits; the defaults are 1 MiB and 64 levels.
    public init(bytesMax: Int = 1 << 20, depthMax: Int = 64) {
      self.bytesMax = bytesMax
      self.depthMax = depthMax
    }
  }

  private let source: SourceMap
  private let raw: UnsafeMutablePointer<yaml_parser_t>
  private var tree: TreeBuilder

  /// Parses `bytes`; nil when they hold no document (empty, or comments only).
  public static func parse(_ bytes: [UInt8], limits: Limits = Limits()) throws(YAMLError) -> Node? {
    try parse(SourceMap(bytes), limits: limits)
  }

  /// Parses a text whose lines are already indexed; nil when it holds no document.
  public static func parse(_ source: SourceMap, limits: Limits = Limits()) throws(YAMLError) -> Node? {
    let start = Position(line: 1, column: 1, offset: 0)
    guard source.bytes.count <= limits.bytesMax else {
      throw YAMLError(
        .size, at: start, "the file is \(source.bytes.count) bytes long, at most \(limits.bytesMax) are read")
    }
    do { _ = try UTF8Span(validating: source.bytes.span) } catch {
      let place = source.position(at: error.byteOffsets.lowerBound)
      throw YAMLError(.encoding, at: place, "the text is not UTF-8 here", hint: "save the file as UTF-8")
    }
    let raw = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)
    defer { raw.deallocate() }
    guard yaml_parser_initialize(raw) == 1 else { throw YAMLError(.syntax, at: start, "out of memory") }
    defer { yaml_parser_delete(raw) }
    return try source.bytes.withUnsafeBufferPointer { buffer throws(YAMLError) -> Node? in
      let skip = SourceMap.textStart(source.bytes)
      yaml_parser_set_encoding(raw, YAML_UTF8_ENCODING)
      // libyaml wants a pointer even for no bytes.
      var none: UInt8 = 0
      return try withUnsafePointer(to: &none) { empty throws(YAMLError) -> Node? in
        yaml_parser_set_input_string(raw, buffer.baseAddress.map { $0 + skip } ?? empty, buffer.count - skip)
        var parser = YAMLParser(
          source: source, raw: raw, tree: TreeBuilder(source: source, depthMax: limits.depthMax))
        return try parser.document()
      }
    }
  }

  private init(source: SourceMap, raw: UnsafeMutablePointer<yaml_parser_t>, tree: TreeBuilder) {
    self.source = source
    self.raw = raw
    self.tree = tree
  }

  private mutating func document() throws(YAMLError) -> Node? {
    var firstStart: Position?
    while true {
      var event = yaml_event_t()
      guard yaml_parser_parse(raw, &event) == 1 else { throw failure() }
      defer { yaml_event_delete(&event) }
      let start = position(event.start_mark)
      let end = position(event.end_mark)
      switch event.type {
      case YAML_STREAM_END_EVENT, YAML_NO_EVENT:
        return tree.root
      case YAML_DOCUMENT_START_EVENT:
        if let firstStart {
          throw YAMLError(
            .documents, at: start, related: firstStart, "a second document begins here",
            hint: "put it into a file of its own")
        }
        firstStart = start
      case YAML_ALIAS_EVENT:
        throw YAMLError(
          .anchor, at: start, "aliases are not supported",
          hint: "put text that begins with '*' into quotes, or write out what the alias stands for")
      case YAML_SCALAR_EVENT:
        try refuseAnchor(event.data.scalar.anchor, at: start)
        try tree.add(try scalar(event, start: start), start: start, end: end)
      case YAML_SEQUENCE_START_EVENT:
        try refuseAnchor(event.data.sequence_start.anchor, at: start)
        try checkTag(event.data.sequence_start.tag, allowed: "seq", at: start)
        try tree.open(
          mapping: false, flow: event.data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE, start: start)
      case YAML_MAPPING_START_EVENT:
        try refuseAnchor(event.data.mapping_start.anchor, at: start)
        try checkTag(event.data.mapping_start.tag, allowed: "map", at: start)
        try tree.open(mapping: true, flow: event.data.mapping_start.style == YAML_FLOW_MAPPING_STYLE, start: start)
      case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT:
        try tree.close(end: end)
      default:
        break
      }
    }
  }

  private func scalar(_ event: yaml_event_t, start: Position) throws(YAMLError) -> Scalar {
    let data = event.data.scalar
    let bytes = UnsafeBufferPointer(start: data.value, count: data.length)
    let style: Scalar.Style =
      switch data.style {
      case YAML_SINGLE_QUOTED_SCALAR_STYLE, YAML_DOUBLE_QUOTED_SCALAR_STYLE: .quoted
      case YAML_LITERAL_SCALAR_STYLE, YAML_FOLDED_SCALAR_STYLE: .block
      default: .plain
      }
    let value = String(decoding: bytes, as: UTF8.self)
    guard let written = text(data.tag) else { return Scalar(value, style: style) }
    if written == "!" { return Scalar(value, style: style, tag: .str) }
    guard written.hasPrefix(YAMLParser.tagPrefix),
      let tag = Scalar.Tag(rawValue: String(written.dropFirst(YAMLParser.tagPrefix.count)))
    else { throw unknownTag(at: start) }
    let scalar = Scalar(value, style: style, tag: tag)
    let fits =
      switch tag {
      case .str: true
      case .null: scalar.isNull
      case .bool: scalar.boolean != nil
      case .int: scalar.integer != .none
      case .float: scalar.float != nil
      }
    guard fits else { throw YAMLError(.tag, at: start, "the value is not what its tag !!\(tag.rawValue) says") }
    return scalar
  }

  private static let tagPrefix = "tag:yaml.org,2002:"

  private func checkTag(_ raw: UnsafeMutablePointer<UInt8>?, allowed: String, at place: Position) throws(YAMLError) {
    guard let tag = text(raw), tag != "!", tag != YAMLParser.tagPrefix + allowed else { return }
    throw unknownTag(at: place)
  }

  /// Names of tags and anchors are not repeated: a secret that begins with such a sign looks like one.
  private func unknownTag(at place: Position) -> YAMLError {
    YAMLError(
      .tag, at: place, "this tag is not supported", hint: "put text that begins with '!' into quotes, or remove the tag"
    )
  }

  private func refuseAnchor(_ raw: UnsafeMutablePointer<UInt8>?, at place: Position) throws(YAMLError) {
    if raw == nil { return }
    throw YAMLError(
      .anchor, at: place, "anchors are not supported",
      hint: "put text that begins with '&' into quotes, or remove the anchor and write the value out where it is used")
  }

  private func text(_ raw: UnsafeMutablePointer<UInt8>?) -> String? { raw.map { String(cString: $0) } }

  private func position(_ mark: yaml_mark_t) -> Position { source.position(ofScalar: mark.index) }

  /// What usually lies behind libyaml's words.
  private static let hints: [(problem: String, hint: String)] = [
    ("mapping values are not allowed", "put a value that holds ': ' into quotes, and check the indentation"),
    ("did not find expected alphabetic or numeric", "put text that begins with '*' or '&' into quotes"),
    ("did not find expected node content", "put text with brackets, braces or a ':' at an edge into quotes"),
    (
      "did not find expected ',' or",
      "put text with brackets, braces or commas into quotes, and check for a missing one"
    ),
    ("did not find expected key", "check the indentation: keys of one mapping begin in one column"),
    ("did not find expected '-' indicator", "check the indentation: members of one list begin in one column"),
    ("could not find expected ':'", "a key is followed by ': '"),
    ("found character that cannot start any token", "put text that begins with '@', '`' or '%' into quotes"),
    ("found unexpected end of stream", "a quote is not closed"),
    ("found unexpected document indicator", "a quote is not closed"),
  ]

  /// What in the text itself explains why it cannot be read.
  private func cause(near line: Int) -> String? {
    for number in max(1, line - 1)...line {
      let bytes = source.bytes[source.range(ofLine: number)]
      let text = bytes.drop { $0 == 0x20 }
      if ["<<<<<<< ", ">>>>>>> "].contains(where: { bytes.starts(with: $0.utf8) }) {
        return "line \(number) is what a merge conflict leaves behind"
      }
      if text.starts(with: "{{".utf8) { return "line \(number) looks like a template that has not been filled in" }
      if zip(bytes, bytes.dropFirst()).contains(where: { $0 == 0xC2 && $1 == 0xA0 }) {
        return "line \(number) holds a no-break space (U+00A0), which only looks like a blank"
      }
      let word = text.prefix { (0x61...0x7A).contains($0) || $0 == 0x5F }
      let rest = text.dropFirst(word.count)
      if number < line, !word.isEmpty, rest.first == 0x3A, let next = rest.dropFirst().first,
        ![0x20, 0x09, 0x3A].contains(next), !rest.contains(0x20)
      {
        return "line \(number) has no blank behind its ':'"
      }
    }
    return nil
  }

  private func failure() -> YAMLError {
    let problem = raw.pointee.problem.map { String(cString: $0) } ?? "unknown error"
    switch raw.pointee.error {
    case YAML_READER_ERROR:
      let place = source.position(at: raw.pointee.problem_offset + SourceMap.textStart(source.bytes))
      return YAMLError(.encoding, at: place, problem)
    case YAML_MEMORY_ERROR:
      return YAMLError(.syntax, at: source.position(at: 0), "out of memory")
    default:
      let place = position(raw.pointee.problem_mark)
      if place.offset < source.bytes.count, source.bytes[place.offset] == 0x09 {
        return YAMLError(
          .syntax, at: place, "a tab cannot stand here", hint: "indent with spaces; YAML does not allow tabs")
      }
      var message = problem
      var related: Position?
      if let context = raw.pointee.context {
        related = position(raw.pointee.context_mark)
        message += " \(String(cString: context))"
      }
      var hint = YAMLParser.hints.first { problem.hasPrefix($0.problem) }?.hint
      if place.offset >= source.bytes.count, !problem.hasPrefix("found unexpected") { hint = "the file ends here" }
      hint = cause(near: place.line) ?? hint
      return YAMLError(.syntax, at: place, related: related == place ? nil : related, message, hint: hint)
    }
  }
}
