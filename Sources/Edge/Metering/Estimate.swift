// What a request is taken for before the provider has said what it used.
// Called by: whoever asks for the price of a request, and the settlement when no usage was reported.

/// Tokens that a request may use.
struct Estimate: BitwiseCopyable, Equatable {
  var inputTokens: Int64 = 0
  /// Of all choices together.
  var outputTokens: Int64 = 0

  /// For one model: `outputTokensMax` is the most that it gives out for one choice, `imageTokens` what a picture is
  /// taken for. A token of text is at least two bytes of the body. What does not fit stays the largest number, which
  /// no price list covers.
  init(_ request: ModelRequest, outputTokensMax: Int, imageTokens: Int) {
    let text = max(0, request.bodyBytes - request.pictureBytes)
    let pictures = Self.product(request.images, Int64(imageTokens))
    let (input, overflow) = ((text + 1) / 2).addingReportingOverflow(pictures)
    inputTokens = overflow ? .max : input
    let most = Int64(outputTokensMax)
    let perChoice = request.outputTokensMax < 0 ? most : min(request.outputTokensMax, most)
    outputTokens = Self.product(perChoice, request.choices)
  }

  init(inputTokens: Int64, outputTokens: Int64) {
    self.inputTokens = inputTokens
    self.outputTokens = outputTokens
  }

  /// Tokens of so many bytes that came out.
  static func outputTokens(contentBytes: Int64) -> Int64 { max(0, contentBytes) / 4 + (contentBytes & 3 == 0 ? 0 : 1) }

  private static func product(_ left: Int64, _ right: Int64) -> Int64 {
    let (product, overflow) = max(0, left).multipliedReportingOverflow(by: max(0, right))
    return overflow ? .max : product
  }
}
