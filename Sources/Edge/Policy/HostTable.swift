// The functions, objects and handles that scripts see: one row each. The machine is furnished from these rows, and the
// reference page is written from them.

/// All rows.
enum HostTable {
  static let functions: [HostRow] =
    VerdictAPI.rows + JWTAPI.rows + PermissionAPI.rows + LimitAPI.rows + CreditAPI.rows + PriceAPI.rows
    + ProviderAPI.rows + KeyValueAPI.rows + HTTPAPI.rows + JSONAPI.rows + CryptoAPI.rows + TimeAPI.rows + LogAPI.rows
    + MetricAPI.rows

  static let objects: [HostObject] = [
    HostObject(name: "req", fields: RequestAPI.fields, index: nil, assign: nil),
    HostObject(name: "req.headers", fields: [], index: RequestAPI.header, assign: RequestAPI.setHeader),
    HostObject(name: "req.params", fields: [], index: RequestAPI.parameter, assign: nil),
    HostObject(name: "req.args", fields: [], index: RequestAPI.argument, assign: nil),
    HostObject(name: "msg", fields: MessageAPI.fields, index: nil, assign: nil),
    HostObject(name: "res", fields: AnswerAPI.fields, index: nil, assign: nil),
    HostObject(name: "res.headers", fields: [], index: AnswerAPI.header, assign: AnswerAPI.setHeader),
    HostObject(name: "chunk", fields: ChunkAPI.fields, index: nil, assign: nil),
    HostObject(name: "credential", fields: [], index: nil, assign: nil),
  ]

  static let classes: [HostClass] = [
    HostClass(name: "limit", methods: LimitAPI.methods),
    HostClass(name: "decimal", methods: [], text: CreditAPI.decimalText),
    HostClass(name: "counter", methods: MetricAPI.methods),
  ]
}
