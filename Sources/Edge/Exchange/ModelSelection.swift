// Who may answer a request for a model, and what is set aside for that: everything that is decided between the content
// and the policies' choice.
//
//   content ─▶ request ─▶ model, named provider ─▶ candidates ─▶ what a header would make dearer ─▶ estimate
//
// Called by: the driver, once for each request, and the verb `explain`, which tells what came of it.
// Never: allocates, asks anybody, or knows whose request it is.

import Glibc

/// What decides about the models of one route.
struct ModelSelection: BitwiseCopyable {
  let models: ModelTable
  /// Others may answer where the provider that the client has named does not.
  let fallsBackFromNamed: Bool
  /// What each request costs beside what its model does.
  let flatPrice: Amount

  /// Reads the content: what is asked, who may answer and what the cheapest of them would hold, or a fault.
  func read(
    _ dialect: DialectName, _ content: StaticBytes, _ received: ReceivedHead, _ document: JSONDocument,
    into work: inout MeteredWork
  ) {
    do throws(DialectFault) {
      work.request = try Dialect.read(dialect, content.start, content.count, document)
      try findModel(content.start, received, &work)
      if dialect == .anthropicMessages { try refuseBetas(received, work.model) }
      try estimate(&work)
    } catch {
      work.fault = error
    }
  }

  /// What must be held for an answer of this model: what it may cost at the most, and the route's own price; nil: more
  /// than can be counted.
  func wantedHold(_ request: ModelRequest, _ model: Int32) -> Amount? {
    Pricing.hold(models.models[Int(model)].price, tokens(request, model))?.adding(flatPrice)
  }

  /// The tokens that this stands for.
  func tokens(_ request: ModelRequest, _ model: Int32) -> Estimate {
    let row = models.models[Int(model)]
    return Estimate(request, outputTokensMax: Int(row.outputTokensMax), imageTokens: Int(row.imageTokens))
  }

  // MARK: Who may answer

  /// Finds the model and who can answer for it. `provider/model` or the field `edge-provider` names one of them, who is
  /// asked alone or, where the route says so, first.
  private func findModel(
    _ content: UnsafePointer<UInt8>, _ received: ReceivedHead, _ work: inout MeteredWork
  ) throws(DialectFault) {
    var name = content + Int(work.request.model.start)
    var count = Int(work.request.model.count)
    var named: Int32 = -1
    let prefix = work.request.provider
    if !prefix.isNone, models.model(name, count) < 0 {
      named = models.provider(content + Int(prefix.start), Int(prefix.count))
      if named >= 0 {
        name += Int(prefix.count) + 1
        count -= Int(prefix.count) + 1
      }
    }
    let written = work.request.named
    if !written.isNone {
      let given = models.provider(content + Int(written.start), Int(written.count))
      if given < 0 || named >= 0 && named != given {
        throw DialectFault(
          param: "provider", message: "This names no provider that can be used; leave it out or send auto.")
      }
      named = given
    }
    if let field = ModelSelection.providerField(received) {
      let given = models.provider(field.start, field.count)
      if given < 0 || named >= 0 && named != given {
        throw DialectFault(
          message: "The header edge-provider names no provider that can be used; leave it out.")
      }
      named = given
    }
    work.named = named
    work.model = models.model(name, count)
    guard work.model >= 0 else {
      throw DialectFault(
        code: .modelNotFound, param: "model", message: "No provider offers this model; GET /v1/models lists them.")
    }
    try findCandidates(models.models[Int(work.model)], &work)
  }

  private func findCandidates(_ row: ModelRow, _ work: inout MeteredWork) throws(DialectFault) {
    let named = work.named
    work.candidateCount = 0
    if named >= 0 {
      addCandidates(row, areNamed: true, &work)
      guard work.candidateCount > 0 else {
        throw DialectFault(
          code: .modelNotFound, param: "model", message: "The named provider does not offer this model.")
      }
    }
    if named < 0 || fallsBackFromNamed { addCandidates(row, areNamed: false, &work) }
    guard work.candidateCount > 0 else {
      throw DialectFault(
        code: .serviceUnavailable, message: "No provider of this model can be used at the moment.")
    }
  }

  /// Adds those of a model's candidates that the client has named, or all others.
  private func addCandidates(_ row: ModelRow, areNamed: Bool, _ work: inout MeteredWork) {
    for place in row.firstCandidate..<(row.firstCandidate + row.candidateCount) {
      guard ModelSelection.isNamed(models.candidates[Int(place)], work.named) == areNamed else { continue }
      work.candidates[Int(work.candidateCount)] = place
      work.candidateCount += 1
    }
  }

  /// Whether the client has named this one: a provider with the model itself, not with an equivalent.
  @inline(__always)
  static func isNamed(_ candidate: CandidateRow, _ named: Int32) -> Bool {
    candidate.provider == named && !candidate.isEquivalent
  }

  /// The value of the field `edge-provider`; nil: there is none.
  static func providerField(_ received: ReceivedHead) -> StaticBytes? {
    let table = received.table
    for index in 0..<table.count {
      let field = table.fields[index]
      guard equalLowered(received.bytes + Int(field.name.start), Int(field.name.count), "edge-provider") else {
        continue
      }
      return StaticBytes(start: received.bytes + Int(field.value.start), count: Int(field.value.count))
    }
    return nil
  }

  // MARK: What it may cost

  /// Some of what can be asked for in a header changes the price. What is longer than the model gives out is not held
  /// for, and a long input is not where the model has no price for one.
  private func refuseBetas(_ received: ReceivedHead, _ model: Int32) throws(DialectFault) {
    let hasLong = models.models[Int(model)].price.longInputTokens > 0
    if received.hasBeta("output-") || !hasLong && received.hasBeta("context-1m") {
      throw DialectFault(message: "This beta has no price here; leave it out of the header anthropic-beta.")
    }
  }

  /// What the cheapest of those that could answer would hold. Who would cost more than can be counted is none of them.
  private func estimate(_ work: inout MeteredWork) throws(DialectFault) {
    var cheapest: Amount?
    var kept: Int32 = 0
    for place in 0..<Int(work.candidateCount) {
      let candidate = work.candidates[place]
      guard let held = wantedHold(work.request, models.candidates[Int(candidate)].model) else { continue }
      work.candidates[Int(kept)] = candidate
      kept += 1
      cheapest = min(cheapest ?? held, held)
    }
    work.candidateCount = kept
    guard let cheapest else {
      throw DialectFault(message: "What is asked for would cost more than can be counted; ask for less.")
    }
    work.estimate = cheapest
  }
}
