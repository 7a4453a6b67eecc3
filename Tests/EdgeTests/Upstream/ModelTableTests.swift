// Providers and models as rows: who can answer for a model, in which order.

import Testing

@testable import Edge

@Suite struct ModelTableTests {
  private let arena = Arena()
  private let names = MetricNames()

  /// The table of a configuration without its beginning.
  private func table(_ body: String) throws -> ModelTable {
    let (outcome, findings) = try Fixture.load("version: 1\nlisteners: {main: {bind: \"127.0.0.1:0\"}}\n" + body)
    let snapshot = try #require(outcome.snapshot, "\(findings)")
    return ModelTable.compile(snapshot, firstService: 3, names: names, arena: arena)
  }

  private func providers(_ names: [String]) -> String {
    "providers:\n"
      + names.enumerated().map { index, name in
        "  \(name): {dialect: openai-chat, endpoints: \"http://h\", key: none, priority: \(names.count - index)}\n"
      }.joined()
  }

  private func find(_ name: StaticString, _ table: ModelTable) -> ModelRow? {
    let place = table.model(name.utf8Start, name.utf8CodeUnitCount)
    return place < 0 ? nil : table.models[Int(place)]
  }

  private func candidates(_ name: StaticString, _ table: ModelTable) throws -> [CandidateRow] {
    let row = try #require(find(name, table))
    return (0..<Int(row.candidateCount)).map { table.candidates[Int(row.firstCandidate) + $0] }
  }

  /// Its own providers by priority, then those of its equivalents in the order written, none of theirs.
  @Test func ownProvidersThenThoseOfEquivalents() throws {
    let table = try table(
      providers(["a", "b", "c"])
        + """
        models:
          z: {providers: [a, b], price: 1, max_output: 1, equivalents: [y, x]}
          x: {providers: [a, c], price: 2, max_output: 2, equivalents: z}
          y: {providers: b, price: 3, max_output: 3, equivalents: x}
          w: {providers: c, price: 4, max_output: 4}

        """)
    func shown(_ name: StaticString) throws -> String {
      try candidates(name, table).map { candidate in
        let provider = table.providers[Int(candidate.provider)].name.text
        return "\(provider)/\(table.models[Int(candidate.model)].name.text)" + (candidate.isEquivalent ? "=" : "")
      }.joined(separator: " ")
    }
    #expect(try shown("z") == "b/z a/z b/y= c/x= a/x=")
    #expect(try shown("x") == "c/x a/x b/z= a/z=")
    #expect(try shown("y") == "b/y c/x= a/x=")
    #expect(try shown("w") == "c/w")
    #expect(find("v", table) == nil)
    #expect(
      (0..<table.modelCount).map { table.models[$0].name.text } == ["w", "x", "y", "z"], "by name, in byte order")
    #expect(find("y", table)?.outputTokensMax == 3)
  }

  /// What an equivalent answers counts for the equivalent, with the same number wherever it stands.
  @Test func numbersInMetrics() throws {
    let table = try table(
      providers(["a", "b"])
        + """
        models:
          one: {providers: a, price: 1, max_output: 1, equivalents: two}
          two: {providers: b, price: 1, max_output: 1, equivalents: one}

        """)
    let (one, two) = (try candidates("one", table), try candidates("two", table))
    #expect(one.map(\.pair) == two.map(\.pair).reversed())
    #expect(Set(one.map(\.pair)).count == 2)
    let pairs = names.listing.pairs
    #expect(one.map { pairs[Int($0.pair)].provider } == one.map { table.providers[Int($0.provider)].metric })
    #expect(pairs[Int(one[1].pair)].model == names.claim(.model, "two"))
  }

  /// A model whose own providers cannot be used is answered for by its equivalents.
  @Test func nobodyOfItsOwn() throws {
    let table = try table(
      """
      providers:
        a: {dialect: openai-chat, endpoints: "http://h"}
        b: {dialect: anthropic-messages, endpoints: "http://h", key: x}
      models:
        one: {providers: a, price: 1, max_output: 1, equivalents: two}
        two: {providers: b, price: 1, max_output: 1}
        three: {providers: a, price: 1, max_output: 1}

      """)
    let found = try candidates("one", table)
    #expect(found.map(\.isEquivalent) == [true])
    #expect(table.providers[Int(found[0].provider)].dialect == .anthropicMessages)
    #expect(try candidates("three", table).isEmpty)
  }

  @Test func asManyAsAreConsidered() throws {
    let names = (0..<8).map { "p\($0)" }
    let list = names.joined(separator: ", ")
    let table = try table(
      providers(names)
        + """
        models:
          one: {providers: [\(list)], price: 1, max_output: 1, equivalents: two}
          two: {providers: [\(list)], price: 1, max_output: 1}

        """)
    #expect(try candidates("one", table).count == ModelTable.candidatesMax)
    #expect(try candidates("two", table).count == 8)
  }
}
