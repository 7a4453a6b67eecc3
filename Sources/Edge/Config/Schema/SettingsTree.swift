// Settings of a policy: a tree whose shape only the script knows.
//
// Owns: the shape of such trees and their bounds.
// Called by: the settings reader, which makes them, and the policy host, which hands them to `init`.
// Never: refers to text or places.

/// A value of a policy's settings.
indirect enum SettingsTree: Sendable, Equatable {
  /// Nothing.
  case null
  /// A truth value.
  case boolean(Bool)
  /// A whole number.
  case integer(Int)
  /// A number with a fraction or exponent.
  case number(Double)
  /// A text.
  case text(String)
  /// Members in order.
  case list([SettingsTree])
  /// Pairs in the order of the file, with distinct keys.
  case map([SettingsPair])

  /// Deepest nesting of lists and maps.
  static let depthMax = 16
  /// Most values in one tree, lists and maps included.
  static let nodesMax = 1_000
}

/// One entry of a map.
struct SettingsPair: Sendable, Equatable {
  /// The key.
  let key: String
  /// Its value.
  let value: SettingsTree
}

/// A tree as it was read: what it says, and what of it may be shown.
struct SettingsReading: Sendable, Equatable {
  /// The values.
  let tree: SettingsTree
  /// The same, with `***` for every value that came from the environment or a `${file:…}`, or has a name like that of
  /// a secret.
  let shown: SettingsTree
  /// The references that took part, such as `env KEY`.
  let references: [String]
  /// Texts of `tree` that nobody may see.
  let concealed: [String]
  /// A placeholder stands for one of the values: what a script says about them means nothing.
  let isOpen: Bool

  /// No settings at all.
  static let none = SettingsReading(tree: .map([]), shown: .map([]), references: [], concealed: [], isOpen: false)

  /// Equal values, wherever they come from.
  static func == (left: SettingsReading, right: SettingsReading) -> Bool { left.tree == right.tree }
}
