// The part of `edge explain` about what the policies would say: they are really asked, in the order and the phases of
// serving, with stores that nobody else has.
//
// Called by: the verb `explain`. Never: goes on where a client would have its answer already.

import Glibc

/// Asks the policies of a route beforehand.
struct ExplainRehearsal {
  let sources: ExplainSources
  let wire: WireRequest
  let request: ExplainedRequest
  let route: Route
  let view: RequestView
  let listener: Listener
  let rehearsal: PolicyRehearsal

  /// What was said so far.
  private struct Statements {
    var rows: [[String]] = []
    var isRefused = false

    mutating func line(_ text: String) { rows.append([text]) }

    mutating func refusal(_ code: ErrorCode, _ message: String) {
      isRefused = true
      line(ExplainPage.text(of: code, message))
    }
  }

  private var snapshot: Snapshot { sources.snapshot }

  func explain(_ models: inout ExplainModels?, _ page: inout ExplainPage) {
    let isAnswered = if case .handler = route.target { true } else { false }
    if route.policies.isEmpty, !route.costs, !isAnswered { return }
    var said = Statements()
    ask(&models, &said)
    page.title("the policies, asked with empty stores: limits have counted nothing, every account has plenty")
    page.rows(said.rows)
    if said.isRefused { page.isRefused = true }
  }

  private func ask(_ models: inout ExplainModels?, _ said: inout Statements) {
    if sources.isSecretOpen {
      said.line("not asked: the secret of tokens is a placeholder")
      return
    }
    var body = BodyQuestion.none
    if let bytes = request.body, route.socket == nil {
      let kept = wire.arena.copy(bytes)
      body = .known(UnsafeBufferPointer(start: UnsafePointer(kept), count: bytes.count))
    }
    // On a WebSocket each message costs, not its opening.
    let price = route.socket == nil ? models?.price ?? route.price.map { .known($0) } ?? .free : .free
    let stakes = RehearsedStakes(price: price, body: body)
    guard take(rehearsal.ask(route.policies, about: view, stakes), &said) else { return }
    if route.socket != nil {
      askAboutMessage(&models, &said)
    } else if route.costs {
      select(&models, view: view, message: nil, stakes, &said)
    } else if case .handler(let index) = route.target {
      said.rows.append([snapshot.policies[index].name, PolicyPhase.handle.rawValue, "would answer; it is not run"])
    }
  }

  /// The opening has passed: what it has found out goes to the message.
  private func askAboutMessage(_ models: inout ExplainModels?, _ said: inout Statements) {
    let expires = rehearsal.expires
    guard rehearsal.open() else {
      said.refusal(.policyError, "what ctx holds for the messages of a WebSocket passes 4 KiB")
      return
    }
    if let expires, expires <= Int64(Clock.wallNow() / 1_000_000_000) {
      said.refusal(.sessionExpired, "\(ErrorCode.sessionExpired.row.message)")
      return
    }
    guard let found = models, let content = found.content else {
      said.line("the WebSocket opens; give a message with -d to see what becomes of it")
      return
    }
    said.line("the WebSocket opens; the message:")
    if let fault = found.messageFault {
      said.refusal(fault.code, ExplainModels.text(of: fault))
      return
    }
    let stakes = RehearsedStakes(
      price: found.price, body: .known(UnsafeBufferPointer(start: content.start, count: content.count)))
    let message = MessageView(
      body: content, messageID: found.messageID, type: found.messageType, client: view.client, id: view.id,
      listener: view.listener, route: view.route)
    guard take(rehearsal.ask(route.policies, about: message, stakes), &said) else { return }
    select(&models, view: nil, message: message, stakes, &said)
  }

  private func select(
    _ models: inout ExplainModels?, view: RequestView?, message: MessageView?, _ stakes: RehearsedStakes,
    _ said: inout Statements
  ) {
    if case .refused(let code, let text) = stakes.price {
      said.refusal(code, text.text)
      return
    }
    guard case .known(let estimate) = stakes.price else {
      said.line("who would be chosen depends on the body: give it with -d")
      return
    }
    var candidates = models?.policyCandidates ?? []
    if case .service(let index) = route.target {
      let name = wire.arena.text(snapshot.services[index].name)
      candidates = [PolicyCandidate(place: 0, name: name, model: .empty, estimate: estimate)]
    }
    let steps = rehearsal.select(route.policies, among: candidates, view: view, message: message, stakes)
    guard take(steps, &said) else { return }
    if rehearsal.order.isEmpty {
      said.refusal(.serviceUnavailable, "The policies have left no one who could answer; try again later.")
    } else if !rehearsal.holds {
      said.refusal(.policyError, "no policy has held credits in on_select; name 'credits' in the route's policies")
    } else {
      models?.choose(rehearsal.order)
    }
  }

  /// Notes what policies have said; false when that is the end.
  private func take(_ steps: [RehearsedStep], _ said: inout Statements) -> Bool {
    for step in steps { said.rows.append([snapshot.policies[step.policy].name, step.phase.rawValue, text(of: step)]) }
    switch steps.last?.outcome {
    case nil, .passed: return true
    case .asks, .needsBody, .isOpen: return false
    case .replied(let status):
      if status >= 400 { said.isRefused = true }
      // A message has no other answer than a model's.
      if steps.last?.phase == .onMessage { said.refusal(.policyError, "a policy has answered where only a model can") }
      return false
    case .refused, .failed:
      said.isRefused = true
      return false
    }
  }

  private func text(of step: RehearsedStep) -> String {
    switch step.outcome {
    case .passed:
      var facts: [String] = []
      if let user = step.user {
        facts.append("user \(user)" + (step.roles.isEmpty ? "" : ", roles \(step.roles.joined(separator: ", "))"))
      }
      if let held = step.held { facts.append("would hold \(held.text) credits") }
      return facts.isEmpty ? "passes" : "passes: \(facts.joined(separator: "; "))"
    case .refused(let code, let message, let details):
      return "answers \(ExplainPage.text(of: code, message, details: details))"
    case .replied(let status): return "answers by itself with status \(status)"
    case .failed(let message): return "fails, which the client is told as 500 POLICY_ERROR: \(message)"
    case .asks(let method, let service, let path):
      let endpoint = snapshot.services.first { $0.name == service }?.endpoints.first?.text ?? ""
      return "asks \(method.name) \(endpoint)\(path) of \(service): not sent, so nobody knows what follows"
    case .needsBody: return "asks for the body, or for what it would cost: give it with -d"
    case .isOpen: return "not asked: a placeholder stands for one of its settings"
    }
  }
}
