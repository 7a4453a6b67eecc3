// What can be wrong with a YAML text, always with a place.
//
// Owns: the closed list of refusals of this module and their wording.
// Called by: the parser, which throws it, and readers that turn it into a message.
// Never: names the file; only the caller knows it.

/// A text that is not acceptable YAML.
public struct YAMLError: Error, Sendable, Equatable {
  /// The kind of refusal.
  public enum Kind: Sendable, Hashable, CaseIterable {
    /// The text breaks YAML grammar.
    case syntax
    /// The text is not UTF-8, or holds a control character.
    case encoding
    /// The text is larger than the limit.
    case size
    /// Collections are nested deeper than the limit.
    case depth
    /// A key stands twice in one mapping; `related` is its first place.
    case duplicateKey
    /// A second document follows; `related` is the start of the first.
    case documents
    /// An anchor, an alias or a merge key.
    case anchor
    /// A tag outside the core schema, or a core tag that its value does not fit.
    case tag
    /// A mapping or sequence used as a key.
    case key
  }

  /// The kind of refusal.
  public let kind: Kind
  /// Where it is.
  public let position: Position
  /// A second place that belongs to it, if there is one.
  public let related: Position?
  /// The key that stands twice; nil for all other kinds.
  public let key: String?
  /// What is wrong, in one sentence without a final stop.
  public let message: String
  /// What to do about it, if that can be said.
  public let hint: String?

  /// An error from its parts.
  public init(
    _ kind: Kind, at position: Position, related: Position? = nil, key: String? = nil, _ message: String,
    hint: String? = nil
  ) {
    self.kind = kind
    self.position = position
    self.related = related
    self.key = key
    self.message = message
    self.hint = hint
  }
}
