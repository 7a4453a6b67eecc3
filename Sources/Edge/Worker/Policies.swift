// The driver asks the policies of a route before a request goes anywhere, lets its handler answer, and tells them at
// the end. A policy that waits leaves the request where it came in; when the answer is there the head is read again,
// and everything goes on as if nothing had been.
//
//   route ─▶ askPolicies ─▶ each policy, then the handler ─▶ lead (to the service, to the built-in answer)
//                 │ waiting                │                └▶ Selecting.swift, where it costs something
//                 │                        │ answered, failed
//                 ▼                        ▼
//              suspend … answerCame      the verdict is the answer

import Glibc
import LuaBridge

/// What lets the policies of an exchange go on.
struct PolicyAnswer {
  let exchange: Handle
  let wait: UInt32
  /// What a policy has waited for; nil: the policies have waited for their turn.
  let answer: OperationAnswer?
  /// What was set aside, if that is what was waited for.
  var held = Amount.zero
}

/// A head that has been read, with what came behind it.
struct ArrivedRequest: BitwiseCopyable {
  let received: ReceivedHead
  let head: RequestHead
  let target: RequestTarget
  let host: RequestHost
  let bytes: BytePointer
  /// Less once the content was taken out of it.
  var count: Int
}

extension Worker {
  /// The machine of an exchange's generation.
  @inline(__always)
  func machine(of exchange: Int32) -> PolicyMachine { rows(of: exchange).policyMachine(worker: index) }

  /// Calls `body` with it. What is done for every request goes this way: nothing is retained and released.
  @inline(__always)
  func withMachine<Result>(of exchange: Int32, _ body: (PolicyMachine) -> Result) -> Result {
    rows(of: exchange).withPolicyMachine(worker: index, body)
  }

  // MARK: Before the request goes anywhere

  /// Asks the policies of a route, from where they are.
  func askPolicies(_ exchange: Int32, _ request: ArrivedRequest) {
    let slot = exchanges.slots + Int(exchange)
    if turnIsSpent {
      postpone(exchange, request)
      return
    }
    var request = request
    show(exchange, request)
    if slot.pointee.policyPhase == .onRetry {
      askRetriers(exchange, request)
      return
    }
    if slot.pointee.selects {
      askSelectors(exchange, request)
      return
    }
    let row = route(of: exchange)
    while slot.pointee.policyStep < row.pointee.askedCount {
      // The first policy says who is calling. Whoever comes next may look at the content; when it is here, it need not
      // be waited for.
      if row.pointee.dialect != nil, slot.pointee.policyStep == 1, !slot.pointee.request.isEnded, isHere(request) {
        if case .refused = collect(exchange, &request) { return }
        // Where there is no room now, whoever asks waits for it.
        slot.pointee.awaitsRoom = false
        showContent(exchange, request)
      }
      let isHandler = slot.pointee.policyStep == row.pointee.policyCount
      let asked: PolicyPhase = slot.pointee.origin == .message ? .onMessage : .onRequest
      slot.pointee.policyPhase = isHandler ? .handle : asked
      let policy = Int(policy(exchange))
      guard withMachine(of: exchange, { $0.has(slot.pointee.policyPhase, policy: policy) }) else {
        slot.pointee.policyStep += 1
        continue
      }
      let outcome = withMachine(of: exchange) {
        $0.start(
          slot.pointee.policyPhase, policy: policy, context: &slot.pointee.policyContext,
          coroutine: &slot.pointee.policyCoroutine)
      }
      guard goOn(exchange, outcome, request) else { return }
    }
    policiesPassed(exchange, request)
  }

  /// The policy of the route that runs now.
  func policy(_ exchange: Int32) -> Int32 {
    let step = exchanges.slots[Int(exchange)].policyStep
    let row = route(of: exchange)
    if step == row.pointee.policyCount { return row.pointee.handler }
    return rows(of: exchange).policies[Int(row.pointee.firstPolicy + step)]
  }

  /// Puts the request in the machine's reach.
  func show(_ exchange: Int32, _ request: ArrivedRequest) {
    let slot = exchanges.slots + Int(exchange)
    if slot.pointee.origin == .message { showMessage(exchange) } else { showRequest(exchange, request) }
    showContent(exchange, request)
    let held = heldCredits(exchange)
    withMachine(of: exchange) { machine in
      machine.host.requestID = requestID(of: exchange)
      machine.host.wallNanoseconds = clock.wall
      machine.host.hold = held
      machine.host.edits.removeAll()
      if let block = slot.pointee.edits.block {
        machine.host.edits.restore(block + Int(slot.pointee.edits.start), slot.pointee.edits.count)
        buffers.giveBack(&slot.pointee.edits)
      }
    }
  }

  private func showRequest(_ exchange: Int32, _ request: ArrivedRequest) {
    let slot = exchanges.slots + Int(exchange)
    let row = route(of: exchange)
    let method = request.head.methodRange
    var target = request.target
    // Nobody but the verifier of tokens sees one that stands in a URL.
    var token = QueryToken.Finding.none
    if slot.pointee.upgrades, row.pointee.socket.takesQueryToken {
      token = QueryToken.take(from: &target, area: queryArea, Worker.queryAreaBytes)
    }
    var view = RequestView(
      received: request.received,
      method: StaticBytes(start: request.received.bytes + Int(method.start), count: Int(method.count)),
      target: target, host: StaticBytes(start: request.host.text, count: request.host.textCount),
      client: slot.pointee.record.client, id: requestID(of: exchange), listener: slot.pointee.record.listener,
      route: PolicyRoute(
        name: row.pointee.name, permission: row.pointee.permission, parameters: row.pointee.parameters,
        isLasting: true))
    view.isUpgrade = slot.pointee.upgrades
    view.asksMessages = slot.pointee.upgrades && row.pointee.isSocket
    switch token {
    case .none: break
    case .one(let token): view.queryToken = token
    case .several: view.hasTwoQueryTokens = true
    }
    withMachine(of: exchange) { $0.host.show(view) }
  }

  /// What policies were shown is about to be given back.
  func hideRequest(_ exchange: Int32) {
    withMachine(of: exchange) { $0.host.hide() }
  }

  /// Puts what is known of the content in the machine's reach.
  private func showContent(_ exchange: Int32, _ request: ArrivedRequest) {
    let (body, price) = (bodyQuestion(exchange), priceQuestion(exchange, request))
    withMachine(of: exchange) { machine in
      machine.host.body = body
      machine.host.price = price
    }
  }

  func requestID(of exchange: Int32) -> StaticBytes {
    StaticBytes(
      start: UnsafePointer(text(of: exchange) + RecordText.requestIDOffset),
      count: Int(exchanges.slots[Int(exchange)].record.requestIDCount))
  }

  /// A policy has said something; false when that ends the round.
  func goOn(_ exchange: Int32, _ outcome: PolicyOutcome, _ request: ArrivedRequest) -> Bool {
    let slot = exchanges.slots + Int(exchange)
    takeHold(exchange)
    if outcome == .passed {
      slot.pointee.policyStep += 1
      return true
    }
    // What follows may end the exchange, and with it the last use of its generation; and what the view points to is
    // given back.
    let host = machine(of: exchange).host
    let verdict = host.verdict
    hideRequest(exchange)
    if outcome == .waiting {
      suspend(exchange, request)
      return false
    }
    notePrincipal(exchange)
    discardEarlyBody(exchange, request)
    if outcome == .answered {
      answer(exchange, verdict)
      return false
    }
    notePolicyFailure(exchange)
    refuse(exchange, .policyError, .policyError)
    return false
  }

  /// The policy that runs has failed.
  func notePolicyFailure(_ exchange: Int32) {
    noteScriptTime()
    let metric = rows(of: exchange).policyMetrics[Int(policy(exchange))]
    metrics.notePolicyError(metric, worker: index)
    exchanges.slots[Int(exchange)].record.policy = rows(of: exchange).policyNames[Int(policy(exchange))]
  }

  /// A policy that failed may have taken its time: deadlines should know, and what else comes in this turn waits for
  /// the next, so that others are served between policies that take too long.
  private func noteScriptTime() {
    let before = clock.monotonic
    clock.update()
    if clock.monotonic - before > Limits.scriptTurnNanoseconds { turnIsSpent = true }
  }

  private func policiesPassed(_ exchange: Int32, _ request: ArrivedRequest) {
    notePrincipal(exchange)
    let row = route(of: exchange)
    if row.pointee.isSocket, exchanges.slots[Int(exchange)].upgrades {
      hideRequest(exchange)
      acceptUpgrade(exchange, request)
    } else if row.pointee.costs {
      startSelecting(exchange, request)
    } else {
      let edits = withMachine(of: exchange) { $0.host.edits }
      hideRequest(exchange)
      lead(exchange, request, edits)
    }
  }

  /// The log says who was calling.
  private func notePrincipal(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    let user = withMachine(of: exchange) { $0.user(slot.pointee.policyContext) }
    guard let user, let start = user.baseAddress else { return }
    let count = min(user.count, Limits.recordPrincipalBytes)
    memcpy(text(of: exchange) + RecordText.principalOffset, start, count)
    slot.pointee.record.principalCount = UInt16(count)
  }

  /// A policy has refused the request or answers it.
  private func answer(_ exchange: Int32, _ verdict: PolicyVerdict) {
    let slot = exchanges.slots + Int(exchange)
    guard let code = verdict.code else {
      if slot.pointee.origin == .message {
        replyDetail.message = Worker.answeredMessage
        return refuse(exchange, .policyError, .policyError)
      }
      perform(exchange, slot.pointee.machine.replied(.completed))
      sendAnswer(exchange, verdict)
      return
    }
    tellVerdict(exchange, verdict) { _ in refuse(exchange, code, .refused) }
  }

  /// The error that a policy has chosen, with what it says about it.
  func tellVerdict(_ exchange: Int32, _ verdict: PolicyVerdict, _ refuse: (ErrorCode) -> Void) {
    guard let code = verdict.code else { return }
    exchanges.slots[Int(exchange)].record.policy = rows(of: exchange).policyNames[Int(policy(exchange))]
    replyDetail.message = verdict.message.flatMap { text in
      text.baseAddress.map { StaticBytes(start: $0, count: text.count) }
    }
    replyDetail.retryAfterSeconds = verdict.retryAfterSeconds
    replyDetail.details = verdict.details.flatMap { text in
      text.baseAddress.map { StaticBytes(start: $0, count: text.count) }
    }
    refuse(code)
  }

  // MARK: Waiting

  /// The request stays in the connection's input until the answer is there.
  private func suspend(_ exchange: Int32, _ request: ArrivedRequest) {
    let slot = exchanges.slots + Int(exchange)
    let host = machine(of: exchange).host
    var request = request
    let operation = host.operation
    if case .body = operation, case .refused = collect(exchange, &request) { return }
    guard let operation, stay(exchange, request) else {
      dropInput(slot.pointee.server)
      slot.pointee.keepsServer = false
      refuse(exchange, .serviceUnavailable, .unavailable)
      return
    }
    begin(operation, of: exchange)
  }

  /// Keeps the request where it came in, with what policies have set; false when there is no room.
  func stay(_ exchange: Int32, _ request: ArrivedRequest) -> Bool {
    let slot = exchanges.slots + Int(exchange)
    if slot.pointee.origin == .message {
      perform(exchange, slot.pointee.machine.suspended())
      return true
    }
    let edits = machine(of: exchange).host.edits
    keepRest(slot.pointee.server, request.bytes, 0, request.count)
    let isKept = connections.slots[Int(slot.pointee.server)].input.block != nil
    guard isKept, edits.isEmpty || buffers.append(&slot.pointee.edits, edits.base, edits.count) else { return false }
    perform(exchange, slot.pointee.machine.suspended())
    return true
  }

  /// The policies are asked in the next turn.
  private func postpone(_ exchange: Int32, _ request: ArrivedRequest) {
    let slot = exchanges.slots + Int(exchange)
    keepRest(slot.pointee.server, request.bytes, 0, request.count)
    guard slot.pointee.origin == .message || connections.slots[Int(slot.pointee.server)].input.block != nil else {
      slot.pointee.keepsServer = false
      refuse(exchange, .serviceUnavailable, .unavailable)
      return
    }
    perform(exchange, slot.pointee.machine.suspended())
    slot.pointee.policyWaits &+= 1
    policyAnswers.append(
      PolicyAnswer(
        exchange: Handle(index: exchange, serial: slot.pointee.serial), wait: slot.pointee.policyWaits, answer: nil))
  }

  /// Performs what a policy waits for.
  func begin(_ operation: Operation, of exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    if case .body = operation {
      awaitContent(exchange, answers: true)
      return
    }
    slot.pointee.policyWaits &+= 1
    let handle = Handle(index: exchange, serial: slot.pointee.serial)
    switch operation {
    case .fetch(let request):
      startFetch(
        FetchTicket(request, waiter: .policy(exchange: handle, wait: slot.pointee.policyWaits)), parent: exchange)
    case .ledger(let request): ask(request, exchange: handle, wait: slot.pointee.policyWaits)
    case .body: break
    }
  }

  /// Policies go on when the turn's events are served: what ends a fetch may be in the middle of something.
  func giveAnswers() {
    // What is answered meanwhile waits for the next turn, so that scripts cannot keep the loop.
    let count = policyAnswers.count
    if count == 0 { return }
    let answers = policyAnswers
    policyAnswers.removeAll(keepingCapacity: true)
    for index in 0..<count {
      if turnIsSpent {
        // In their order, before what was added meanwhile.
        policyAnswers.insert(contentsOf: answers[index...], at: 0)
        return
      }
      give(answers[index])
    }
  }

  private func give(_ answer: PolicyAnswer) {
    let slot = exchanges.slots + Int(answer.exchange.index)
    let exchange = answer.exchange.index
    let isAwaited = slot.pointee.serial == answer.exchange.serial && slot.pointee.policyWaits == answer.wait
    if isAwaited, slot.pointee.machine.state == .ended {
      if let given = answer.answer, slot.pointee.policyCoroutine >= 0 { goOnLogging(exchange, given) }
      return
    }
    if isAwaited, slot.pointee.isJudging {
      goOnJudging(exchange, answer)
      return
    }
    guard isAwaited, slot.pointee.machine.state == .suspended else {
      giveUp(answer)
      return
    }
    perform(exchange, slot.pointee.machine.resumed())
    guard let request = readAgain(exchange) else {
      slot.pointee.keepsServer = false
      refuse(exchange, .internalError, .internalError)
      return
    }
    guard let given = answer.answer else {
      askPolicies(exchange, request)
      return
    }
    show(exchange, request)
    let isSelecting = slot.pointee.policyPhase == .onSelect
    if isSelecting { describeCandidates(exchange, machine(of: exchange).host) }
    let outcome = machine(of: exchange).resume(
      slot.pointee.policyPhase, policy: Int(policy(exchange)), context: slot.pointee.policyContext,
      coroutine: &slot.pointee.policyCoroutine, given)
    let edits = machine(of: exchange).host.edits
    if isSelecting, outcome == .passed { takeSelection(exchange) }
    guard goOn(exchange, outcome, request) else { return }
    // The round shows the request anew, and with it what was set.
    if !edits.isEmpty, !buffers.append(&slot.pointee.edits, edits.base, edits.count) {
      discardEarlyBody(exchange, request)
      refuse(exchange, .serviceUnavailable, .unavailable)
      return
    }
    askPolicies(exchange, request)
  }

  /// Reads the head again that has waited in the connection's input.
  func readAgain(_ exchange: Int32) -> ArrivedRequest? {
    let slot = exchanges.slots + Int(exchange)
    if slot.pointee.origin == .message { return messageRequest(exchange) }
    let input = connections.slots[Int(slot.pointee.server)].input
    guard let block = input.block else { return nil }
    let bytes = block + Int(input.start)
    var head = RequestHead()
    guard
      case .complete = parser.readRequest(bytes, input.count, limits: rows(of: exchange).headLimits, into: &head),
      let target = targets.read(bytes + Int(head.target.start), Int(head.target.count), method: head.method)
    else { return nil }
    let received = ReceivedHead(bytes: UnsafePointer(bytes), table: parser.table)
    guard let host = try? hostOf(head, received, target) else { return nil }
    return ArrivedRequest(
      received: received, head: head, target: target, host: host, bytes: bytes, count: input.count)
  }

  // MARK: The end

  /// Nobody needs the answer any more that a policy waits for.
  func abandonPolicy(_ exchange: Int32) {
    let slot = exchanges.slots + Int(exchange)
    if slot.pointee.policyCoroutine >= 0 { machine(of: exchange).abandon(coroutine: &slot.pointee.policyCoroutine) }
    buffers.giveBack(&slot.pointee.edits)
  }

  /// Tells the policies how it ended; true when they are through, false when one of them waits.
  func logPolicies(_ exchange: Int32) -> Bool {
    let slot = exchanges.slots + Int(exchange)
    if slot.pointee.route < 0 { return true }
    let row = rows(of: exchange).routeRows[Int(slot.pointee.route)]
    if row.logs {
      let record = slot.pointee.record
      let machine = machine(of: exchange)
      hideRequest(exchange)
      machine.host.requestID = requestID(of: exchange)
      machine.host.wallNanoseconds = clock.wall
      machine.note(
        ExchangeSummary(
          status: record.status, cause: record.cause, durationNanoseconds: record.end &- record.start,
          requestBytes: record.requestBytes, responseBytes: record.responseBytes),
        &slot.pointee.policyContext)
      slot.pointee.policyPhase = .onLog
      slot.pointee.policyStep = 0
      return askLoggers(exchange)
    }
    if slot.pointee.policyContext >= 0 {
      withMachine(of: exchange) { $0.endContext(&slot.pointee.policyContext) }
    }
    return true
  }

  private func askLoggers(_ exchange: Int32) -> Bool {
    let slot = exchanges.slots + Int(exchange)
    let machine = machine(of: exchange)
    let row = rows(of: exchange).routeRows[Int(slot.pointee.route)]
    while slot.pointee.policyStep < row.askedCount {
      let policy = self.policy(exchange)
      let outcome = machine.start(
        .onLog, policy: Int(policy), context: &slot.pointee.policyContext, coroutine: &slot.pointee.policyCoroutine)
      if outcome == .waiting, let operation = machine.host.operation {
        begin(operation, of: exchange)
        return false
      }
      slot.pointee.policyStep += 1
    }
    machine.endContext(&slot.pointee.policyContext)
    return true
  }

  private func goOnLogging(_ exchange: Int32, _ answer: OperationAnswer) {
    let slot = exchanges.slots + Int(exchange)
    let machine = machine(of: exchange)
    machine.host.requestID = requestID(of: exchange)
    machine.host.wallNanoseconds = clock.wall
    let outcome = machine.resume(
      .onLog, policy: Int(policy(exchange)), context: slot.pointee.policyContext,
      coroutine: &slot.pointee.policyCoroutine,
      answer)
    if outcome == .waiting, let operation = machine.host.operation {
      begin(operation, of: exchange)
      return
    }
    slot.pointee.policyStep += 1
    if askLoggers(exchange) { retire(exchange) }
  }

  /// The worker stops: what has ended and only waits for its policies to say so is written without them.
  func stopPolicies() {
    for index in 0..<Int32(exchanges.everUsed) {
      let slot = exchanges.slots + Int(index)
      guard slot.pointee.machine.state == .ended, slot.pointee.policyCoroutine >= 0 else { continue }
      abandonPolicy(index)
      machine(of: index).endContext(&slot.pointee.policyContext)
      retire(index)
    }
  }
}
