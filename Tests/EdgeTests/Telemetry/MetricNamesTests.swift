import Testing

@testable import Edge

struct MetricNamesTests {
  @Test func aNameKeepsItsNumber() {
    let names = MetricNames()
    let first = names.claim(.route, "a")
    let second = names.claim(.route, "b")
    #expect(first != second && ![MetricNames.other, MetricNames.none].contains(first))
    #expect(names.claim(.route, "a") == first && names.claim(.route, "b") == second)
    #expect(names.claim(.provider, "b") == first, "each label has numbers of its own")
  }

  /// Names that mean the two fixed series are those, so that there are never two of the same labels.
  @Test func fixedNames() {
    let names = MetricNames()
    for label in MetricLabel.allCases {
      #expect(names.claim(label, "other") == MetricNames.other)
      #expect(names.claim(label, "-") == MetricNames.none)
    }
    #expect(names.claimPair(provider: MetricNames.other, model: MetricNames.other) == MetricNames.other)
    #expect(names.claimPair(provider: MetricNames.none, model: MetricNames.none) == MetricNames.none)
  }

  @Test(arguments: MetricLabel.allCases)
  func aFullTableGivesOther(_ label: MetricLabel) throws {
    let metrics = try #require(Metrics(workers: 1))
    let names = metrics.names
    let numbers = (2..<label.places).map { names.claim(label, "name-\($0)") }
    #expect(numbers == (2..<label.places).map { UInt16($0) })
    #expect(names.claim(label, "late") == MetricNames.other)
    #expect(names.claim(label, "later") == MetricNames.other)
    #expect(names.claim(label, "name-2") == 2, "those that have a number keep it")
    let told = try metrics.told()
    for table in MetricLabel.allCases.map({ "\($0.name)" }) + ["pair"] {
      #expect(told["edge_metric_names_refused_total", ["table": table]] == (table == "\(label.name)" ? 2 : 0))
    }
  }

  @Test func longNames() {
    let names = MetricNames()
    #expect(names.claim(.model, String(repeating: "m", count: MetricNames.nameBytesMax)) == 2)
    #expect(names.claim(.model, String(repeating: "m", count: MetricNames.nameBytesMax + 1)) == MetricNames.other)
  }

  @Test func pairs() throws {
    let metrics = try #require(Metrics(workers: 1))
    let names = metrics.names
    let provider = names.claim(.provider, "p")
    let models = (0..<254).map { names.claim(.model, "m-\($0)") }
    let first = names.claimPair(provider: provider, model: models[0])
    #expect(names.claimPair(provider: provider, model: models[0]) == first)
    #expect(names.claimPair(provider: models[0], model: provider) != first || provider == models[0])
    #expect(names.claimPair(provider: 60, model: models[0]) == MetricNames.other, "a number that nobody has")
    let second = names.claim(.provider, "q")
    let third = names.claim(.provider, "r")
    let numbers = Set(
      [provider, second, third].flatMap { one in models.map { names.claimPair(provider: one, model: $0) } })
    #expect(numbers.count == MetricNames.pairPlaces - 2 + 1 && numbers.contains(MetricNames.other))
    #expect(names.listing.pairs.count == MetricNames.pairPlaces)
    var use = ModelUse(provider: third, pair: MetricNames.other)
    use.charge = Amount(units: Amount.unitsPerCredit)
    metrics.noteModelUse(use, worker: 0)
    let told = try metrics.told()
    #expect(told["edge_credits_charged_total", ["provider": "other", "model": "other"]] == 1)
  }
}
