// Built-in endpoints: one row each, handed to the workers by the command that starts them.

/// The rows.
enum AdminTable {
  /// In the order of `BuiltinName`.
  static let builtins = BuiltinTable(rows: BuiltinName.allCases.map(body))

  private static func body(_ name: BuiltinName) -> BuiltinBody {
    switch name {
    case .health: HealthEndpoint.write
    }
  }
}
