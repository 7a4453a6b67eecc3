import Testing

@testable import Edge

@Suite struct SettlementRuleTests {
  /// 1e-9 credit for a token of any kind.
  private static let price = PricingTests.price([1_000, 1_000, 1_000, 1_000, 1_000, 0, 0, 0, 0, 0, 0])
  private static let estimate = Estimate(inputTokens: 100, outputTokens: 1_000)
  private static let held = Amount(units: 1_100)
  private static let reported = Usage(source: .reported, inputTokens: 30, outputTokens: 40)
  private static let zero = Usage(source: .reported)

  private static func cost(
    _ progress: AttemptProgress, _ cause: EndCause, usage: Usage = Usage(), content: Int64 = 0, error: Bool = false,
    open: Bool = false, lacksInput: Bool = false, held: Amount = held, price: ModelPrice? = price, flat: Int64 = 0
  ) -> AttemptCost {
    let facts = AttemptFacts(
      progress: progress, usage: usage, usageIsOpen: open, inputIsOpen: lacksInput, contentBytes: content,
      sawError: error, cause: cause,
      estimate: estimate, held: held)
    return SettlementRule.settle(facts, price: price, flat: Amount(units: flat))
  }

  private static func estimated(_ input: Int64, _ output: Int64) -> Usage {
    Usage(source: .estimated, inputTokens: input, outputTokens: output)
  }

  private static let clients: [EndCause] = [.clientLeft, .clientError, .clientTimeout, .cancelled]
  private static let providers: [EndCause] = [
    .upstreamError, .upstreamTimeout, .upstreamCut, .unavailable, .policyError, .internalError,
  ]

  @Test(arguments: EndCause.allCases) func neverDispatched(_ cause: EndCause) {
    #expect(Self.cost(.notDispatched, cause, content: 9, flat: 7) == AttemptCost(isEntered: false))
  }

  @Test(arguments: EndCause.allCases) func aFailureCostsNothing(_ cause: EndCause) {
    #expect(Self.cost(.failed, cause, usage: Self.reported, content: 50, flat: 7) == AttemptCost(isEntered: true))
  }

  @Test(arguments: EndCause.allCases) func reportedUsageIsChargedWhateverTheEnd(_ cause: EndCause) {
    for (content, error) in [(0, false), (0, true), (400, false), (400, true)] as [(Int64, Bool)] {
      let cost = Self.cost(.answered, cause, usage: Self.reported, content: content, error: error)
      #expect(cost == AttemptCost(isEntered: true, usage: Self.reported, charge: Amount(units: 70)))
    }
  }

  @Test(arguments: EndCause.allCases) func zeroIsNotAbsent(_ cause: EndCause) {
    let cost = Self.cost(.answered, cause, usage: Self.zero, content: 400)
    #expect(cost == AttemptCost(isEntered: true, usage: Self.zero, charge: .zero))
  }

  @Test(arguments: EndCause.allCases) func contentWithoutUsageIsEstimated(_ cause: EndCause) {
    for error in [false, true] {
      let cost = Self.cost(.answered, cause, content: 401, error: error)
      #expect(cost == AttemptCost(isEntered: true, usage: Self.estimated(100, 101), charge: Amount(units: 201)))
    }
  }

  @Test(arguments: EndCause.allCases) func anAnswerWithNothingInIt(_ cause: EndCause) {
    let isFree = Self.providers.contains(cause)
    let input = AttemptCost(isEntered: true, usage: Self.estimated(100, 0), charge: Amount(units: 100))
    #expect(Self.cost(.answered, cause) == (isFree ? AttemptCost(isEntered: true) : input))
    #expect(Self.cost(.answered, cause, error: true) == AttemptCost(isEntered: true))
  }

  @Test(arguments: EndCause.allCases) func noAnswer(_ cause: EndCause) {
    let input = AttemptCost(isEntered: true, usage: Self.estimated(100, 0), charge: Amount(units: 100))
    #expect(Self.cost(.dispatched, cause) == (Self.clients.contains(cause) ? input : AttemptCost(isEntered: true)))
  }

  /// What went in was reported, and that something comes out.
  @Test(arguments: EndCause.allCases) func anOpenUsageIsCompletedByAnEstimate(_ cause: EndCause) {
    let begun = Usage(
      source: .reported, inputTokens: 30, cachedTokens: 10, cacheWriteTokens: 5, outputTokens: 3, reasoningTokens: 2)
    func estimated(_ output: Int64) -> AttemptCost {
      var usage = begun
      (usage.source, usage.outputTokens) = (.estimated, output)
      return AttemptCost(isEntered: true, usage: usage, charge: Amount(units: 30 + output))
    }
    for error in [false, true] {
      let cost = Self.cost(.answered, cause, usage: begun, content: 401, error: error, open: true)
      #expect(cost == estimated(101))
      #expect(Self.cost(.answered, cause, usage: begun, content: 5, error: error, open: true) == estimated(3))
    }
    let isFree = Self.providers.contains(cause)
    let empty = Self.cost(.answered, cause, usage: begun, open: true)
    #expect(empty == (isFree ? AttemptCost(isEntered: true) : estimated(3)))
    #expect(Self.cost(.answered, cause, usage: begun, error: true, open: true) == AttemptCost(isEntered: true))
    #expect(Self.cost(.failed, cause, usage: begun, content: 401, open: true) == AttemptCost(isEntered: true))
    let low = Amount(units: 50)
    #expect(Self.cost(.answered, cause, usage: begun, content: 401, open: true, held: low).charge == low)
    // Without any usage there is nothing to complete.
    let unknown = Self.cost(.answered, cause, content: 401, open: true)
    #expect(unknown == Self.cost(.answered, cause, content: 401))
  }

  /// What came out was reported, and not what went in.
  @Test(arguments: EndCause.allCases) func anInputThatIsNotReportedIsEstimated(_ cause: EndCause) {
    var half = Usage(source: .reported, outputTokens: 5, reasoningTokens: 2)
    var charged = half
    (charged.source, charged.inputTokens) = (.estimated, 100)
    let cost = Self.cost(.answered, cause, usage: half, content: 401, lacksInput: true)
    #expect(cost == AttemptCost(isEntered: true, usage: charged, charge: Amount(units: 105)))
    // The beginning of what came out, and nothing of what went in.
    charged.outputTokens = 101
    let open = Self.cost(.answered, cause, usage: half, content: 401, open: true, lacksInput: true)
    #expect(open == AttemptCost(isEntered: true, usage: charged, charge: Amount(units: 201)))
    let isFree = Self.providers.contains(cause)
    let empty = Self.cost(.answered, cause, usage: half, lacksInput: true)
    #expect((empty.usage == Usage()) == isFree && (empty.charge == .zero) == isFree)
    // What the cache gave is a part of an input that nobody knows.
    (half.cachedTokens, half.cacheWriteTokens) = (400, 300)
    charged.outputTokens = 5
    #expect(Self.cost(.answered, cause, usage: half, content: 401, lacksInput: true).usage == charged)
  }

  @Test func anEstimateIsAtMostTheHold() {
    let low = Amount(units: 150)
    #expect(Self.cost(.answered, .upstreamCut, content: 400, held: low).charge.units == 150)
    #expect(Self.cost(.answered, .upstreamCut, content: 400, held: low).usage == Self.estimated(100, 100))
    // What was reported may be more; the ledger knows the shortfall.
    #expect(Self.cost(.answered, .completed, usage: Self.reported, held: Amount(units: 10)).charge.units == 70)
    // The flat price has its own part of the hold.
    #expect(Self.cost(.answered, .completed, content: 400, held: low, flat: 30).charge.units == 150)
    #expect(Self.cost(.answered, .completed, content: 400, held: .zero, flat: 30).charge.units == 30)
  }

  @Test func whatDoesNotFitIsTheHold() {
    let most = [Int64](repeating: .max, count: 5)
    let price = PricingTests.price(most + [0, 0, 0, 0, 0, 0])
    let usage = Usage(source: .reported, inputTokens: 2_000)
    #expect(Self.cost(.answered, .completed, usage: usage, price: price).charge == Self.held)
  }

  @Test func flatPrices() {
    for (status, charge) in [(200, 7), (404, 7), (499, 7), (500, 0), (503, 0)] as [(UInt16, Int64)] {
      let progress = AttemptProgress(serviceStatus: status)
      #expect(Self.cost(progress, .completed, price: nil, flat: 7).charge.units == charge)
    }
    for cause in EndCause.allCases {
      let cost = Self.cost(.dispatched, cause, price: nil, flat: 7)
      #expect(cost.charge.units == (Self.clients.contains(cause) ? 7 : 0))
      #expect(cost.isEntered && cost.usage == Usage())
      #expect(Self.cost(.answered, cause, price: nil, flat: 7).charge.units == 7)
    }
    #expect(Self.cost(.answered, .completed, usage: Self.reported, flat: 7).charge.units == 77)
    #expect(Self.cost(.dispatched, .clientLeft, flat: 7).charge.units == 107)
  }
}
