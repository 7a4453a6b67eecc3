// `edge.provider`: who is listed, in which order, and what is said of each.

import Testing

@testable import Edge

@Suite("edge: provider") struct ProviderAPITests {
  private static let yaml = """
    providers:
      late: {dialect: openai-chat, endpoints: "http://127.0.0.1:9", key: none, priority: 9}
      first: {dialect: anthropic-messages, endpoints: "http://127.0.0.1:9", key: none, priority: 1}
      off: {dialect: openai-chat, endpoints: "http://127.0.0.1:9", priority: 2}
      also: {dialect: openai-chat, endpoints: "http://127.0.0.1:9", key: none, priority: 9}
    models:
      big: {providers: [late, first, off], price: 1, max_output: 100, equivalents: [small]}
      small: {providers: [also], price: 1, max_output: 100}
      own: {providers: [late], price: 1, max_output: 100}

    """

  private func listed(_ model: String = "", metrics: Metrics? = nil) throws -> String {
    let bench = try PolicyBench.runner(more: PolicyBench.services + ProviderAPITests.yaml, metrics: metrics)
    return try bench.run("return edge.provider.list(\(model))")
  }

  private func row(_ name: String, _ dialect: String, _ models: String, _ priority: Int, load: Int? = nil) -> String {
    let load = load.map { "load: \($0), " } ?? ""
    return "{dialect: '\(dialect)', healthy: true, \(load)models: [\(models)], name: '\(name)', priority: \(priority)}"
  }

  @Test func all() throws {
    let rows = [
      row("first", "anthropic-messages", "'big'", 1), row("late", "openai-chat", "'big', 'own'", 9),
      row("also", "openai-chat", "'small'", 9),
    ]
    #expect(try listed() == "[" + rows.joined(separator: ", ") + "]")
    #expect(try listed("nil") == "[" + rows.joined(separator: ", ") + "]")
  }

  static let offers: [(String, [String])] = [
    ("'big'", ["first", "late", "also"]), ("'small'", ["also"]), ("'own'", ["late"]), ("'none'", []), ("''", []),
    ("'BIG'", []),
  ]

  @Test(arguments: offers) func ofAModel(_ model: String, _ names: [String]) throws {
    let text = try listed(model)
    let found = text.matches(of: /name: '(\w+)'/).map { String($0.1) }
    #expect(found == names, "\(text)")
  }

  /// What a provider is doing is told where somebody counts it.
  @Test func loads() throws {
    let metrics = try #require(Metrics(workers: 2))
    let late = metrics.names.claim(.provider, "late")
    for worker in [0, 1, 1] { metrics.noteProviderBegan(late, worker: worker) }
    metrics.noteProviderEnded(late, worker: 0)
    #expect(try listed("'own'", metrics: metrics) == "[" + row("late", "openai-chat", "'big', 'own'", 9, load: 2) + "]")
    #expect(try listed("'small'", metrics: metrics) == "[" + row("also", "openai-chat", "'small'", 9, load: 0) + "]")
  }

  @Test(arguments: ["5", "{}", "true", "req"]) func whatIsNoModel(_ value: String) throws {
    #expect(try listed(value) == "error: edge.provider.list takes the name of a model, or nothing")
  }

  @Test func withoutProviders() throws {
    let bench = try PolicyBench.runner()
    #expect(try bench.run("return #edge.provider.list(), #edge.provider.list('x')") == "0, 0")
  }
}
