import Testing

@testable import Edge

@Suite struct PricingTests {
  static func price(_ numbers: [Int64]) -> ModelPrice {
    ModelPrice(
      input: numbers[0], output: numbers[1], cached: numbers[2], cacheWrite: numbers[3], reasoning: numbers[4],
      longInputTokens: numbers[5], longInput: numbers[6], longOutput: numbers[7], longCached: numbers[8],
      longCacheWrite: numbers[9], longReasoning: numbers[10])
  }

  static func usage(_ numbers: ArraySlice<Int64>) -> Usage {
    let numbers = Array(numbers)
    return Usage(
      source: .reported, inputTokens: numbers[0], cachedTokens: numbers[1], cacheWriteTokens: numbers[2],
      outputTokens: numbers[3], reasoningTokens: numbers[4])
  }

  @Test func vectors() throws {
    var refused = 0
    let text = String(decoding: try Vectors.bytes("pricing.txt"), as: UTF8.self)
    let lines = text.split(separator: "\n").filter { !$0.hasPrefix("#") }
    #expect(lines.count == 60)
    for line in lines {
      let words = line.split(separator: " ")
      let numbers = words.prefix(16).compactMap { Int64($0) }
      let charge = Pricing.charge(Self.price(numbers), Self.usage(numbers[11...]))
      #expect(charge?.units == Int64(words[16]), "\(line)")
      if charge == nil { refused += 1 }
    }
    #expect(refused > 0 && refused < lines.count)
  }

  /// 0.03 credits for 1,000 tokens.
  @Test func aPriceOfTheContract() {
    let price = Self.price([30_000_000, 30_000_000, 30_000_000, 30_000_000, 30_000_000, 0, 0, 0, 0, 0, 0])
    #expect(Pricing.charge(price, Self.usage([1_000, 0, 0, 0, 0]))?.text == "0.03")
    #expect(Pricing.charge(price, Self.usage([9, 0, 0, 12, 0]))?.text == "0.00063")
    #expect(Pricing.charge(price, Usage()) == .zero)
  }

  @Test func roundsOnceAndUp() {
    let price = Self.price([1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    #expect(Pricing.charge(price, Self.usage([1, 0, 0, 0, 0]))?.units == 1)
    #expect(Pricing.charge(price, Self.usage([500, 100, 100, 500, 200]))?.units == 1)
    #expect(Pricing.charge(price, Self.usage([500, 0, 0, 501, 0]))?.units == 2)
  }

  @Test func theLongTierIsAboveItsLength() {
    let price = Self.price([1_000, 0, 0, 0, 0, 200, 5_000, 0, 0, 0, 0])
    #expect(Pricing.charge(price, Self.usage([200, 0, 0, 0, 0]))?.units == 200)
    #expect(Pricing.charge(price, Self.usage([201, 0, 0, 0, 0]))?.units == 1_005)
  }

  @Test func nonsenseIsRefused() {
    let price = Self.price([1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    for index in 0..<5 {
      var numbers: [Int64] = [10, 1, 1, 10, 1]
      numbers[index] = -1
      #expect(Pricing.charge(price, Self.usage(numbers[...])) == nil)
    }
    #expect(Pricing.charge(Self.price([-1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]), Self.usage([1, 0, 0, 0, 0])) == nil)
    #expect(Pricing.hold(price, Estimate(inputTokens: -1, outputTokens: 0)) == nil)
    let most = [Int64](repeating: .max, count: 5)
    #expect(Pricing.charge(Self.price(most + [0, 0, 0, 0, 0, 0]), Self.usage([.max, 1, 1, .max, 1])) == nil)
    #expect(Pricing.hold(Self.price(most + [1] + most), Estimate(inputTokens: .max, outputTokens: .max)) == nil)
  }

  @Test func partsAreWithinTheWhole() {
    let price = Self.price([1_000, 1_000, 1_000, 1_000, 1_000, 0, 0, 0, 0, 0, 0])
    #expect(Pricing.charge(price, Self.usage([10, 20, 20, 5, 50]))?.units == 15)
  }

  /// No usage within an estimate costs more than what is held for it.
  @Test func aHoldCoversEveryCharge() throws {
    var random = SystemRandomNumberGenerator()
    func number(_ most: Int64) -> Int64 { Int64.random(in: 0...most, using: &random) }
    for _ in 0..<3_000 {
      var numbers = (0..<11).map { _ in number(5_000_000) }
      numbers[5] = Bool.random(using: &random) ? number(2_000) : 0
      let price = Self.price(numbers)
      let estimate = Estimate(inputTokens: number(3_000), outputTokens: number(3_000))
      let hold = try #require(Pricing.hold(price, estimate))
      for _ in 0..<10 {
        let input = number(estimate.inputTokens)
        let cached = number(input)
        let output = number(estimate.outputTokens)
        let usage = Self.usage([input, cached, number(input - cached), output, number(output)])
        let charge = try #require(Pricing.charge(price, usage))
        if charge > hold { Issue.record("\(price) \(estimate) \(usage)") }
      }
    }
  }

  @Test func holdsAreNoLargerThanTheyMust() {
    let price = Self.price([1_000, 2_000, 500, 1_250, 3_000, 100, 4_000, 5_000, 1, 1, 1])
    #expect(Pricing.hold(price, Estimate(inputTokens: 100, outputTokens: 10))?.units == 155)
    #expect(Pricing.hold(price, Estimate(inputTokens: 101, outputTokens: 10))?.units == 454)
    #expect(Pricing.hold(price, Estimate(inputTokens: 0, outputTokens: 0)) == .zero)
  }
}

@Suite struct EstimateTests {
  private func request(_ body: Int64, max: Int64 = -1, choices: Int64 = 1, images: Int64 = 0) -> ModelRequest {
    var request = ModelRequest()
    (request.bodyBytes, request.outputTokensMax, request.choices, request.images) = (body, max, choices, images)
    return request
  }

  private func estimate(_ request: ModelRequest, output: Int = 100, image: Int = 85) -> [Int64] {
    let estimate = Estimate(request, outputTokensMax: output, imageTokens: image)
    return [estimate.inputTokens, estimate.outputTokens]
  }

  @Test func tokens() {
    #expect(estimate(request(10)) == [5, 100])
    #expect(estimate(request(11)) == [6, 100])
    #expect(estimate(request(10, max: 20)) == [5, 20])
    #expect(estimate(request(10, max: 0)) == [5, 0])
    #expect(estimate(request(10, max: 200)) == [5, 100])
    #expect(estimate(request(10, max: 20, choices: 3)) == [5, 60])
    #expect(estimate(request(10, images: 2)) == [175, 100])
  }

  @Test func picturesAreNoText() {
    var picture = request(1_000_010, images: 1)
    picture.pictureBytes = 1_000_000
    #expect(estimate(picture) == [90, 100])
  }

  @Test func whatDoesNotFitIsTheMost() {
    #expect(estimate(request(10, max: .max, choices: 3), output: .max) == [5, .max])
    #expect(estimate(request(10, images: .max), image: 3) == [.max, 100])
  }

  @Test func contentBytes() {
    let tokens = ([0, 1, 4, 5, 8, 9] as [Int64]).map { Estimate.outputTokens(contentBytes: $0) }
    #expect(tokens == [0, 1, 1, 2, 2, 3])
    #expect(Estimate.outputTokens(contentBytes: .max) == .max / 4 + 1)
  }
}
