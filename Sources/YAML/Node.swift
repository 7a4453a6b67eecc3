// The node tree: what a YAML text means, each node with its place.
//
// Owns: the shape of a parsed text.
// Called by: the parser, which builds it, and readers that walk it.
// Never: gives a plain scalar a type by itself; see CoreSchema.swift for the readings a caller may ask for.

/// A scalar, sequence or mapping with its place in the text.
public struct Node: Sendable {
  /// What a node holds.
  public enum Content: Sendable {
    /// A single value.
    case scalar(Scalar)
    /// An ordered list.
    case sequence([Node])
    /// Ordered pairs with distinct scalar keys.
    case mapping(Mapping)
  }

  /// What the node holds.
  public let content: Content
  /// The first character of the node.
  public let start: Position
  /// Just after its last character. For a block collection, the end of its last member.
  public let end: Position

  /// A node from its parts.
  public init(_ content: Content, start: Position, end: Position) {
    self.content = content
    self.start = start
    self.end = end
  }

  /// The scalar, or nil when the node is a collection.
  public var scalar: Scalar? { if case .scalar(let scalar) = content { scalar } else { nil } }
  /// The members, or nil when the node is not a sequence.
  public var sequence: [Node]? { if case .sequence(let members) = content { members } else { nil } }
  /// The pairs, or nil when the node is not a mapping.
  public var mapping: Mapping? { if case .mapping(let mapping) = content { mapping } else { nil } }
}

/// A single value as it was written.
public struct Scalar: Sendable, Hashable {
  /// How a scalar was written.
  public enum Style: Sendable, Hashable {
    /// Bare text, whose type the core schema decides.
    case plain
    /// In single or double quotes: always a string.
    case quoted
    /// A `|` or `>` block: always a string.
    case block
  }

  /// The tags of the core schema that a scalar may carry.
  public enum Tag: String, Sendable, Hashable, CaseIterable {
    case null, bool, int, float, str
  }

  /// The text after folding and escapes.
  public let text: String
  /// How it was written.
  public let style: Style
  /// The core tag written before it (`!!int`), if any; `!` counts as `!!str`.
  public let tag: Tag?

  /// A scalar from its parts.
  public init(_ text: String, style: Style, tag: Tag? = nil) {
    self.text = text
    self.style = style
    self.tag = tag
  }
}

/// Ordered pairs with distinct keys.
public struct Mapping: Sendable {
  /// One pair.
  public struct Entry: Sendable {
    /// The key; always a scalar.
    public let key: Node
    /// The key's text.
    public let name: String
    /// The value.
    public let value: Node
  }

  /// The pairs in the order of the text.
  public let entries: [Entry]

  /// The value under `name`, by linear search, or nil.
  public subscript(name: String) -> Node? { entries.first { $0.name == name }?.value }
}
