// Built-in endpoints: one row each, handed to the workers by the command that starts them. Those of a configuration
// (`builtin: NAME`) have a case of `BuiltinName`; those of operators have a method and a path of their own.
// A new one is a row here; it never sees a connection.

/// The rows.
enum AdminTable {
  /// In the order of `BuiltinName`, then what operators can ask for.
  static let builtins = BuiltinTable(rows: BuiltinName.allCases.map(body), admin: admin)

  /// On `admin.sock`, and on listeners with `admin`.
  static let admin = [
    AdminEndpoint(method: .get, path: "/status", write: StatusEndpoint.write),
    AdminEndpoint(method: .post, path: "/reload", reloads: true, write: ReloadEndpoint.write),
    AdminEndpoint(method: .get, path: "/metrics", write: MetricsEndpoint.write),
  ]

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
