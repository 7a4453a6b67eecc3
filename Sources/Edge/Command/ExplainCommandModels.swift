// The part of `edge explain` about models: which one is asked for, who may answer, in which order, what is held, and
// who is out. The decision is that of serving, `ModelSelection`.
//
// Called by: the verb `explain`. Never: asks a provider, or shows more of a body than the names in it.

import Glibc

/// What a request says about models, and what came of it.
struct ExplainModels {
  let sources: ExplainSources
  let route: Route
  /// nil: no body was given.
  let content: StaticBytes?
  /// Why the content is no request; WebSockets only.
  private(set) var messageFault: DialectFault?
  private(set) var messageID = StaticBytes.empty
  private(set) var messageType = StaticBytes.empty
  private let selection: ModelSelection
  private let received: ReceivedHead
  private let arena: Arena
  private var work = MeteredWork()
  /// A policy has chosen.
  private var isChosen = false

  private static let modelsMax = 100

  /// Reads the body as the driver does.
  init(sources: ExplainSources, route: Route, dialect: DialectName, wire: WireRequest, body: [UInt8]?) {
    self.sources = sources
    self.route = route
    arena = wire.arena
    received = wire.received
    content = body.map { StaticBytes(start: UnsafePointer(wire.arena.copy($0)), count: $0.count) }
    let snapshot = sources.snapshot
    let table = ModelTable.compile(
      snapshot, firstService: snapshot.services.count, names: MetricNames(), arena: wire.arena)
    selection = ModelSelection(
      models: table, fallsBackFromNamed: route.fallsBackFromNamed, flatPrice: route.price ?? .zero)
    guard let content else { return }
    let document = JSONDocument()
    if let socket = route.socket {
      readMessage(content, socket, document)
      if messageFault != nil { return }
    }
    selection.read(dialect, content, wire.received, document, into: &work)
  }

  private mutating func readMessage(_ content: StaticBytes, _ socket: SocketSettings, _ document: JSONDocument) {
    if content.count > socket.messageBytesMax {
      messageFault = DialectFault(
        code: .messageTooLarge, message: "The message is larger than the route's message_size.")
      return
    }
    let (message, fault) = PlatformV1.readMessage(content.start, content.count, document)
    messageFault = fault
    if message.kind == .cancel {
      messageFault = DialectFault(code: .invalidMessageID, message: "No request with this id is in flight.")
    }
    messageID = text(message.id, of: content)
    messageType = text(message.type, of: content)
  }

  private func text(_ range: BodyRange, of content: StaticBytes) -> StaticBytes {
    range.isNone ? .empty : StaticBytes(start: content.start + Int(range.start), count: Int(range.count))
  }

  // MARK: For the rehearsal

  /// What policies are told of the price.
  var price: PriceQuestion {
    guard content != nil else { return .needsBody }
    guard let fault = messageFault ?? work.fault else { return .known(work.estimate) }
    return .refused(fault.code, message: arena.text(ExplainModels.text(of: fault)))
  }

  /// Those who may answer, as policies see them.
  var policyCandidates: [PolicyCandidate] {
    places.enumerated().map { place, index in
      let row = selection.models.candidates[Int(index)]
      let provider = selection.models.providers[Int(row.provider)]
      return PolicyCandidate(
        place: Int32(place), name: provider.name, model: selection.models.models[Int(row.model)].name,
        estimate: selection.wantedHold(work.request, row.model) ?? .zero, priority: provider.priority,
        isEquivalent: row.isEquivalent, isNamed: ModelSelection.isNamed(row, work.named))
    }
  }

  /// The policies' choice, as places among the candidates.
  mutating func choose(_ order: [Int]) {
    let before = places
    for (place, index) in order.enumerated() { work.candidates[place] = before[index] }
    work.candidateCount = Int32(order.count)
    isChosen = true
  }

  /// The rows of those who may answer.
  private var places: [Int32] {
    work.fault == nil && messageFault == nil ? (0..<Int(work.candidateCount)).map { work.candidates[$0] } : []
  }

  /// Names of the providers that may be asked, in their order, each once.
  var providers: [String] {
    var names: [String] = []
    for place in places {
      let provider = selection.models.candidates[Int(place)].provider
      let name = selection.models.providers[Int(provider)].name.text
      if !names.contains(name) { names.append(name) }
    }
    return names
  }

  /// What is wrong, as the client is told.
  static func text(of fault: DialectFault) -> String {
    ExplainPage.written(capacity: 1 << 10) { $0.append(fault) }
  }

  // MARK: What is shown

  func explain(_ page: inout ExplainPage) {
    page.title("models")
    guard let content else {
      explainAll(&page)
      return
    }
    if let fault = messageFault ?? work.fault {
      let param = fault.param.map { " (\($0))" } ?? ""
      page.refusal(fault.code, ExplainModels.text(of: fault) + param)
    }
    if messageFault != nil || work.request.model.isNone { return }
    let written = text(work.request.model, of: content).text
    let name = work.model >= 0 ? selection.models.models[Int(work.model)].name.text : written
    var rows = [["model", name, sources.place(RootSection.models, name)]]
    if let named = namedBy(written, name) { rows.append(["provider", named]) }
    rows.append(["answer", work.request.streams ? "streamed" : "in one piece"])
    if work.fault == nil { rows.append(["estimate", "\(work.estimate.text) credits, what the cheapest would hold"]) }
    page.rows(rows)
    explainCandidates(&page)
    explainOut(name, &page)
    explainPrices(&page)
  }

  /// The provider that the client has named, and where.
  private func namedBy(_ written: String, _ name: String) -> String? {
    guard work.named >= 0, let content else { return nil }
    let provider = selection.models.providers[Int(work.named)].name.text
    var places: [String] = []
    if written != name { places.append("the model's name, \(written)") }
    if !text(work.request.named, of: content).text.isEmpty { places.append("the body's provider") }
    if ModelSelection.providerField(received) != nil { places.append("the header edge-provider") }
    let alone = route.fallsBackFromNamed ? "first, others behind it (fallback_explicit)" : "alone"
    return "\(provider), named by \(places.joined(separator: " and ")): asked \(alone)"
  }

  private func explainCandidates(_ page: inout ExplainPage) {
    if places.isEmpty { return }
    page.title(isChosen ? "who is asked, in the order that the policies have chosen" : "who is asked, in this order")
    let faults = places.map { translationFault($0) }
    page.rows(
      places.enumerated().map { place, index in
        let row = selection.models.candidates[Int(index)]
        let provider = selection.models.providers[Int(row.provider)]
        let settings = sources.snapshot.providers[Int(row.provider)]
        let tokens = selection.tokens(work.request, row.model)
        let held = selection.wantedHold(work.request, row.model)?.text ?? ""
        let endpoints =
          settings.isDemo ? "the demo provider" : settings.service.endpoints.map(\.text).joined(separator: ", ")
        return [
          "\(place + 1)", provider.name.text, selection.models.models[Int(row.model)].name.text, endpoints,
          "priority \(provider.priority)",
          "holds \(held) credits for \(tokens.inputTokens) tokens in, \(tokens.outputTokens) out",
          row.isEquivalent ? "equivalent" : ModelSelection.isNamed(row, work.named) ? "named" : "",
          faults[place].map { "passed over: \(ExplainModels.text(of: $0))" } ?? "",
        ]
      })
    // The last one who cannot be told what is asked says why.
    if faults.allSatisfy({ $0 != nil }), let last = faults.last ?? nil {
      page.refusal(last.code, ExplainModels.text(of: last))
    }
  }

  /// Why a candidate is passed over: its dialect has no words for what is asked.
  private func translationFault(_ place: Int32) -> DialectFault? {
    guard let content, case .models(let client) = route.target else { return nil }
    let row = selection.models.candidates[Int(place)]
    let dialect = sources.snapshot.providers[Int(row.provider)].dialect
    if dialect == client { return nil }
    let model = selection.models.models[Int(row.model)]
    let plan = RequestPlan(
      model: model.name, streams: work.request.streams, outputTokensMax: work.request.outputTokensMax,
      modelTokensMax: model.outputTokensMax)
    let document = JSONDocument()
    let parts = ModelParts()
    let room = 2 * content.count + (4 << 10)
    var writer = ByteWriter(base: arena.allocate(UInt8.self, count: room), capacity: room)
    do throws(DialectFault) {
      try Dialect.readRequest(client, content.start, content.count, document, into: parts)
      // What it would be is of no interest, so it need not fit.
      try Dialect.writeRequest(dialect, parts, plan, document, to: &writer)
      return nil
    } catch { return error }
  }

  // MARK: Who is out

  /// Those whom the configuration offers for the model and who are not asked.
  private func explainOut(_ name: String, _ page: inout ExplainPage) {
    guard let model = sources.fields(RootSection.models, name) else { return }
    let asked = places.map { place -> [String] in
      let row = selection.models.candidates[Int(place)]
      return [
        selection.models.providers[Int(row.provider)].name.text, selection.models.models[Int(row.model)].name.text,
      ]
    }
    var offers = ModelSection.providerNames(model).map { [$0, name] }
    for other in ModelSection.equivalentNames(model) {
      guard let fields = sources.fields(RootSection.models, other) else { continue }
      offers += ModelSection.providerNames(fields).map { [$0, other] }
    }
    let out = offers.filter { !asked.contains($0) }
    if out.isEmpty { return }
    page.title("who is not asked")
    page.rows(out.map { [$0[0], $0[1], reason($0[0], isEquivalent: $0[1] != name)] })
  }

  private func reason(_ provider: String, isEquivalent: Bool) -> String {
    let fields = sources.fields(RootSection.providers, provider)
    switch fields.map({ ProviderSection.state(of: $0, dev: sources.isDevelopment) }) {
    case .disabled: return "disabled: it has no key"
    case .leftOut: return "there under --dev only"
    case .usable, .demo, nil: break
    }
    if work.fault != nil { return "the request is refused" }
    if work.named >= 0, !route.fallsBackFromNamed {
      return isEquivalent ? "the client has named a provider" : "it is not the one that the client has named"
    }
    if isChosen { return "the policies have left it out, or what it would cost cannot be counted" }
    return "what it would cost cannot be counted, or \(ModelTable.candidatesMax) others come first"
  }

  // MARK: Prices

  private func explainPrices(_ page: inout ExplainPage) {
    var shown: [Int32] = []
    for place in places {
      let model = selection.models.candidates[Int(place)].model
      if !shown.contains(model) { shown.append(model) }
    }
    if shown.isEmpty { return }
    page.title("prices, credits per 1000 tokens")
    var rows = [["model", "input", "output", "cached", "cache_write", "reasoning", ""]]
    func text(_ price: Int64) -> String { Amount(units: price).text }
    for model in shown {
      let row = selection.models.models[Int(model)]
      let (name, price) = (row.name.text, row.price)
      let origin = ExplainSources.section(sources.fields(RootSection.models, name), ModelSection.price)?.place.label
      rows.append(
        [name] + [price.input, price.output, price.cached, price.cacheWrite, price.reasoning].map(text) + [
          origin ?? ExplainSources.origin(sources.fields(RootSection.models, name), ModelSection.price)
        ])
      guard price.longInputTokens > 0 else { continue }
      let long = [price.longInput, price.longOutput, price.longCached, price.longCacheWrite, price.longReasoning]
      rows.append(["  above \(price.longInputTokens) tokens in"] + long.map(text))
    }
    page.rows(rows)
    if let flat = route.price { page.line("and \(flat.text) credits for each request, the route's own price") }
  }

  // MARK: Without a body

  private func explainAll(_ page: inout ExplainPage) {
    page.line(
      route.socket == nil
        ? "the body names the model: give it with -d" : "a message names the model: give one with -d")
    let snapshot = sources.snapshot
    let names = snapshot.models.prefix(ExplainModels.modelsMax).map { model -> [String] in
      let own = model.providers.map { snapshot.providers[$0].name }
      let others = model.equivalents.flatMap { index in
        snapshot.models[index].providers.map { "\(snapshot.providers[$0].name) with \(snapshot.models[index].name)" }
      }
      let list = (own + others).joined(separator: ", ")
      return [model.name, list.isEmpty ? "nobody who can be used" : list]
    }
    page.rows(names)
    if snapshot.models.count > ExplainModels.modelsMax {
      page.line("and \(snapshot.models.count - ExplainModels.modelsMax) more")
    }
  }
}
