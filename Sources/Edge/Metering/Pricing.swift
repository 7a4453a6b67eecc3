// What tokens cost. Holds and charges go through the same prices, so that a hold covers every charge of a usage that
// stays within its estimate.
//
// Owns: the arithmetic: exact products and sums, rounded once, up, to a billionth of a credit.
// Called by: policies' estimates, holds, the settlement.
// Never: knows where a usage comes from, and never answers with an amount that does not fit; it answers nothing then.

/// Prices times tokens.
enum Pricing {
  /// Prices are in 1e-12 credit, amounts in 1e-9.
  private static let pricesPerUnit: UInt128 = 1_000

  /// What a usage costs; nil when that is beyond what an amount can be, or a number is negative.
  static func charge(_ price: ModelPrice, _ usage: Usage) -> Amount? {
    guard usage.inputTokens >= 0, usage.outputTokens >= 0, usage.cachedTokens >= 0, usage.cacheWriteTokens >= 0,
      usage.reasoningTokens >= 0
    else { return nil }
    let rates = TokenRates(price, isLong: isLong(price, usage.inputTokens))
    // Parts are never more than the whole, whatever was said.
    let cached = min(usage.cachedTokens, usage.inputTokens)
    let written = min(usage.cacheWriteTokens, usage.inputTokens - cached)
    let reasoning = min(usage.reasoningTokens, usage.outputTokens)
    var bill = Bill()
    bill.add(usage.inputTokens - cached - written, rates.input)
    bill.add(cached, rates.cached)
    bill.add(written, rates.cacheWrite)
    bill.add(usage.outputTokens - reasoning, rates.output)
    bill.add(reasoning, rates.reasoning)
    return bill.amount
  }

  /// What must be set aside for an estimate: every token at the dearest kind that it can turn out to be.
  static func hold(_ price: ModelPrice, _ estimate: Estimate) -> Amount? {
    guard estimate.inputTokens >= 0, estimate.outputTokens >= 0 else { return nil }
    var rates = TokenRates(price, isLong: false).dearest
    if isLong(price, estimate.inputTokens) {
      let long = TokenRates(price, isLong: true).dearest
      rates = (max(rates.input, long.input), max(rates.output, long.output))
    }
    var bill = Bill()
    bill.add(estimate.inputTokens, rates.input)
    bill.add(estimate.outputTokens, rates.output)
    return bill.amount
  }

  private static func isLong(_ price: ModelPrice, _ inputTokens: Int64) -> Bool {
    price.longInputTokens > 0 && inputTokens > price.longInputTokens
  }

  /// A sum of products. The parts of one side are within Int64 together, so no sum is beyond 128 bits; what is wrong
  /// is noted and makes the sum nothing.
  private struct Bill {
    private var sum: UInt128 = 0
    private var isWrong = false

    mutating func add(_ tokens: Int64, _ rate: Int64) {
      guard tokens >= 0, rate >= 0 else {
        isWrong = true
        return
      }
      let (next, overflow) = sum.addingReportingOverflow(UInt128(tokens) * UInt128(rate))
      sum = next
      if overflow { isWrong = true }
    }

    var amount: Amount? {
      if isWrong { return nil }
      let (whole, rest) = sum.quotientAndRemainder(dividingBy: pricesPerUnit)
      let units = rest == 0 ? whole : whole + 1
      return Int64(exactly: units).map { Amount(units: $0) }
    }
  }
}

/// The prices of one tier, in 1e-12 credit per token.
private struct TokenRates {
  var input: Int64
  var output: Int64
  var cached: Int64
  var cacheWrite: Int64
  var reasoning: Int64

  init(_ price: ModelPrice, isLong: Bool) {
    input = isLong ? price.longInput : price.input
    output = isLong ? price.longOutput : price.output
    cached = isLong ? price.longCached : price.cached
    cacheWrite = isLong ? price.longCacheWrite : price.cacheWrite
    reasoning = isLong ? price.longReasoning : price.reasoning
  }

  /// The most that a token of each side can cost.
  var dearest: (input: Int64, output: Int64) { (max(input, cached, cacheWrite), max(output, reasoning)) }
}
