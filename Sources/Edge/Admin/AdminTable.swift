// Built-in endpoints: one row each, handed to the workers by the command that starts them.
// A new one is a row here and a case of `BuiltinName`; it never sees a connection.

/// The rows.
enum AdminTable {
  /// In the order of `BuiltinName`.
  static let builtins = BuiltinTable(rows: BuiltinName.allCases.map(body))

  private static func body(_ name: BuiltinName) -> BuiltinBody {
    switch name {
    case .health: HealthEndpoint.write
    case .stats: StatsEndpoint.write
    case .ready: ReadyEndpoint.write
    case .metrics: MetricsEndpoint.write
    case .models: ModelsEndpoint.write
    }
  }
}
