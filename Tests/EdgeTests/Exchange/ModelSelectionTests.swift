// Who may answer a request for a model, and what the cheapest of them would hold.

import Testing

@testable import Edge

@Suite struct ModelSelectionTests {
  private let arena = Arena()
  private let document = JSONDocument()

  private static let offers = """
    providers:
      a: {dialect: openai-chat, endpoints: "http://h", key: none}
      b: {dialect: openai-chat, endpoints: "http://h", key: none, priority: 2}
      c: {dialect: anthropic-messages, endpoints: "http://h", key: none}
      off: {dialect: openai-chat, endpoints: "http://h"}
    models:
      one: {providers: [b, a], price: 1, max_output: 10, equivalents: two}
      two: {providers: c, price: {input: 0.001, output: 0.001}, max_output: 10}
      none: {providers: off, price: 1, max_output: 10}
      huge: {providers: a, price: 1000000, max_output: 100000000}

    """

  /// What comes of a body: the candidates, or the code of the fault.
  private func select(
    _ model: String, more: String = "", dialect: DialectName = .openAIChat,
    fields: [(name: String, value: String)] = [], fallsBack: Bool = false, flat: Amount = .zero
  ) throws -> String {
    let (outcome, findings) = try Fixture.load(
      "version: 1\nlisteners: {main: {bind: \"127.0.0.1:0\"}}\n" + ModelSelectionTests.offers)
    let snapshot = try #require(outcome.snapshot, "\(findings)")
    let table = ModelTable.compile(snapshot, firstService: 0, names: MetricNames(), arena: arena)
    let selection = ModelSelection(models: table, fallsBackFromNamed: fallsBack, flatPrice: flat)
    let head = try WireRequest(
      method: "POST", target: "/", host: "h", fields: fields.map { ($0.name, Array($0.value.utf8)) },
      limits: HeadLimits())
    let text = "{\"model\":\"\(model)\",\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]\(more)}"
    var work = MeteredWork()
    selection.read(dialect, arena.text(text), head.received, document, into: &work)
    if let fault = work.fault { return "\(fault.code.row.name)" }
    let names = (0..<Int(work.candidateCount)).map { place -> String in
      let row = table.candidates[Int(work.candidates[place])]
      let name = "\(table.providers[Int(row.provider)].name.text)/\(table.models[Int(row.model)].name.text)"
      return name + (ModelSelection.isNamed(row, work.named) ? "!" : "")
    }
    let cheapest = (0..<Int(work.candidateCount)).compactMap { place in
      selection.wantedHold(work.request, table.candidates[Int(work.candidates[place])].model)
    }.min()
    #expect(work.estimate == cheapest)
    return names.joined(separator: " ")
  }

  @Test func nobodyIsNamed() throws {
    #expect(try select("one") == "a/one b/one c/two")
    #expect(try select("two") == "c/two")
    #expect(try select("three") == "MODEL_NOT_FOUND")
    #expect(try select("none") == "SERVICE_UNAVAILABLE")
  }

  @Test func oneIsNamed() throws {
    #expect(try select("b/one") == "b/one!")
    #expect(try select("b/one", fallsBack: true) == "b/one! a/one c/two")
    #expect(try select("one", fields: [("edge-provider", "a")]) == "a/one!")
    #expect(try select("b/one", fields: [("edge-provider", "b")]) == "b/one!")
    #expect(try select("b/one", fields: [("edge-provider", "a")]) == "INVALID_REQUEST", "two differ")
    #expect(try select("one", fields: [("edge-provider", "off")]) == "INVALID_REQUEST")
    #expect(try select("c/one") == "MODEL_NOT_FOUND", "an equivalent is not offered by name")
    #expect(try select("off/one") == "MODEL_NOT_FOUND")
  }

  @Test func whatCannotBeCountedIsOut() throws {
    #expect(try select("huge", more: ",\"n\":128,\"max_completion_tokens\":100000000") == "INVALID_REQUEST")
    #expect(try select("one", flat: Amount(units: .max)) == "INVALID_REQUEST")
  }

  @Test func betasWithoutAPrice() throws {
    let long = [(name: "anthropic-beta", value: "context-1m-2025-08-07")]
    #expect(try select("two", dialect: .anthropicMessages, fields: long) == "INVALID_REQUEST")
    #expect(try select("two", fields: long) == "c/two", "another dialect does not know it")
  }
}
