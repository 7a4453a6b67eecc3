import Testing

@testable import Edge

/// An event of the machine with its arguments.
private enum Event: Equatable, CustomStringConvertible {
  case forward, replied, refused, connected(Bool), connectFailed(Bool), requestEnded, responseBegan, responseEnded(Bool)
  case flushed, upstreamFailed, wentStale, requestBroken(ErrorCode), clientLeft, timedOut(ExchangeTimer)
  case stopped(EndCause), suspended, resumed, answerEnded(Bool), settled, settleFailed(Bool), answerRefused,
    attemptFailed, brokenOff, cancelled, answerRejected(ErrorCode?), upgraded

  static let all: [Event] =
    [
      .suspended, .resumed, .forward, .replied, .refused, .connected(false), .connected(true), .connectFailed(true),
      .connectFailed(false),
      .requestEnded, .responseBegan, .responseEnded(false), .responseEnded(true), .flushed, .upstreamFailed, .wentStale,
      .requestBroken(.invalidRequest), .requestBroken(.messageTooLarge), .clientLeft,
      .answerEnded(false), .answerEnded(true), .settled, .settleFailed(false), .settleFailed(true), .answerRefused,
      .attemptFailed, .brokenOff, .cancelled, .answerRejected(nil), .answerRejected(.forbidden),
      .upgraded,
    ] + ExchangeTimer.allCases.map { .timedOut($0) } + [.stopped(.drain), .stopped(.cancelled)]

  func tell(_ machine: inout ExchangeMachine) -> ExchangeActions {
    switch self {
    case .suspended: machine.suspended()
    case .resumed: machine.resumed()
    case .forward: machine.forward()
    case .replied: machine.replied(.completed)
    case .refused: machine.refused(.notFound, .refused)
    case .connected(let isWhole): machine.connected(requestEnded: isWhole)
    case .connectFailed(let mayRetry): machine.connectFailed(mayRetry: mayRetry)
    case .requestEnded: machine.requestEnded()
    case .responseBegan: machine.responseBegan()
    case .responseEnded(let isReusable): machine.responseEnded(reusable: isReusable)
    case .flushed: machine.flushed()
    case .upstreamFailed: machine.upstreamFailed()
    case .wentStale: machine.wentStale()
    case .requestBroken(let error):
      machine.requestBroken(error, error == .messageTooLarge ? .refused : .clientError)
    case .clientLeft: machine.clientLeft()
    case .timedOut(let timer): machine.timedOut(timer)
    case .stopped(let cause): machine.stopped(cause)
    case .answerEnded(let isReusable): machine.answerEnded(reusable: isReusable)
    case .settled: machine.settled()
    case .settleFailed(let hasBegun): machine.settleFailed(hasBegun: hasBegun)
    case .answerRefused: machine.answerRefused(.rateLimitExceeded)
    case .attemptFailed: machine.attemptFailed()
    case .brokenOff: machine.brokenOff(.upstreamCut)
    case .cancelled: machine.cancelled()
    case .answerRejected(let error): machine.answerRejected(error, .refused)
    case .upgraded: machine.upgraded()
    }
  }

  var description: String {
    switch self {
    case .timedOut(let timer): "timedOut(\(timer))"
    case .connected(let isWhole): "connected(\(isWhole))"
    case .connectFailed(let mayRetry): "connectFailed(\(mayRetry))"
    case .responseEnded(let isReusable): "responseEnded(\(isReusable))"
    case .requestBroken(let error): "requestBroken(\(error))"
    case .suspended: "suspended"
    case .resumed: "resumed"
    case .forward: "forward"
    case .replied: "replied"
    case .refused: "refused"
    case .requestEnded: "requestEnded"
    case .responseBegan: "responseBegan"
    case .flushed: "flushed"
    case .upstreamFailed: "upstreamFailed"
    case .wentStale: "wentStale"
    case .clientLeft: "clientLeft"
    case .stopped(let cause): "stopped(\(cause))"
    case .answerEnded(let isReusable): "answerEnded(\(isReusable))"
    case .settled: "settled"
    case .settleFailed(let hasBegun): "settleFailed(\(hasBegun))"
    case .answerRefused: "answerRefused"
    case .attemptFailed: "attemptFailed"
    case .brokenOff: "brokenOff"
    case .cancelled: "cancelled"
    case .answerRejected(let error): "answerRejected(\(error.map { "\($0)" } ?? "nil"))"
    case .upgraded: "upgraded"
    }
  }
}

/// What an event does in a state.
private enum Outcome {
  case to(ExchangeState, ExchangeActions)
  /// The driver cannot tell this here: an assertion in debug builds.
  case bug

  static func to(_ state: ExchangeState) -> Outcome { .to(state, .nothing) }
}

/// The whole table: per event one outcome per state.
private enum MachineTable {
  /// In the order of `ExchangeState`: deciding, suspended, connecting, requesting, awaiting, duplex, responding,
  /// settling, flushing, ended.
  static func row(_ event: Event) -> [Outcome] {
    switch event {
    case .suspended: only(.deciding, .to(.suspended))
    case .resumed: only(.suspended, .to(.deciding))
    case .forward: only(.deciding, .to(.connecting, ExchangeActions(.dial)))
    case .replied: only(.deciding, .to(.flushing, ExchangeActions(cause: .completed)))
    case .refused: only(.deciding, .to(.flushing, ExchangeActions(.reply, error: .notFound, cause: .refused)))
    case .connected(let isWhole): only(.connecting, .to(isWhole ? .awaiting : .requesting))
    case .connectFailed(true): only(.connecting, .to(.connecting, ExchangeActions(.closeUpstream, .dial)))
    case .connectFailed(false): only(.connecting, fail(.serviceUnavailable, .unavailable))
    case .requestEnded:
      [.bug, .bug, .bug, .to(.awaiting), .bug, .to(.responding), .bug, .bug, .bug, .bug]
    case .responseBegan:
      [.bug, .bug, .bug, .to(.duplex), .to(.responding), .bug, .bug, .bug, .bug, .bug]
    case .responseEnded(let isReusable):
      [
        .bug, .bug, .bug, .bug, .bug, .to(.flushing, ExchangeActions(.closeUpstream, cause: .completed)),
        .to(.flushing, ExchangeActions(isReusable ? .releaseUpstream : .closeUpstream, cause: .completed)), .bug, .bug,
        .bug,
      ]
    case .flushed: only(.flushing, .to(.ended, ExchangeActions(.finish)))
    case .upstreamFailed:
      [
        .bug, .bug, .bug, fail(.providerError, .upstreamError), fail(.providerError, .upstreamError), cut(.upstreamCut),
        cut(.upstreamCut), .bug, .bug, .bug,
      ]
    case .wentStale:
      [
        .bug, .bug, .bug, .to(.connecting, ExchangeActions(.closeUpstream, .dial)),
        .to(.connecting, ExchangeActions(.closeUpstream, .dial)), .bug, .bug, .bug, .bug, .bug,
      ]
    case .requestBroken(let error):
      // A body over the limit is refused; one that breaks the framing is the client's error.
      error == .messageTooLarge
        ? [
          .bug, answer(error, .refused), .bug, fail(error, .refused), .bug, cut(.refused), .bug, .bug, .bug, .bug,
        ]
        : [
          .bug, answer(error, .clientError), .bug, fail(error, .clientError), .bug, cut(.clientError), .bug, .bug, .bug,
          .bug,
        ]
    case .answerEnded(let isReusable):
      [
        .bug, .bug, .bug, .to(.settling, ExchangeActions(.closeUpstream)),
        .to(.settling, ExchangeActions(isReusable ? .releaseUpstream : .closeUpstream)),
        .to(.settling, ExchangeActions(.closeUpstream)),
        .to(.settling, ExchangeActions(isReusable ? .releaseUpstream : .closeUpstream)), .bug, .bug, .bug,
      ]
    case .settled: only(.settling, .to(.flushing, ExchangeActions(cause: .completed)))
    case .settleFailed(true):
      only(.settling, .to(.ended, ExchangeActions(.cutDownstream, .finish, cause: .unavailable)))
    case .settleFailed(false): only(.settling, answer(.serviceUnavailable, .unavailable))
    case .answerRefused: answerRefused
    case .attemptFailed:
      [
        .bug, .bug, .to(.deciding, ExchangeActions(.closeUpstream)), .to(.deciding, ExchangeActions(.closeUpstream)),
        .to(.deciding, ExchangeActions(.closeUpstream)), .bug, .bug, .bug, .bug, .bug,
      ]
    case .answerRejected(let error): rejected(error)
    case .upgraded: only(.awaiting, .to(.ended, ExchangeActions(.finish, cause: .completed)))
    case .brokenOff: brokenOff
    case .cancelled: cancelled
    case .clientLeft: everywhere(.clientLeft)
    case .stopped(let cause): everywhere(cause)
    case .timedOut(let timer): timeouts(timer)
    }
  }

  private static var answerRefused: [Outcome] {
    [
      .bug, .bug, .bug, fail(.rateLimitExceeded, .upstreamError), fail(.rateLimitExceeded, .upstreamError), .bug, .bug,
      .bug, .bug, .bug,
    ]
  }

  private static func rejected(_ error: ErrorCode?) -> [Outcome] {
    [Outcome](repeating: .bug, count: 3)
      + [Outcome](
        repeating: .to(
          .flushing, ExchangeActions(.closeUpstream, error == nil ? .none : .reply, error: error, cause: .refused)),
        count: 2) + [cut(.refused), cut(.refused), .bug, .bug, .bug]
  }

  private static var brokenOff: [Outcome] {
    [.bug, .bug] + [Outcome](repeating: breakOff(.upstreamCut), count: 5) + [.bug, .bug, .bug]
  }

  private static var cancelled: [Outcome] {
    [.bug, answer(.cancelled, .cancelled)] + [Outcome](repeating: breakOff(.cancelled), count: 5)
      + [.to(.settling), .to(.flushing), .bug]
  }

  private static func timeouts(_ timer: ExchangeTimer) -> [Outcome] {
    let suspended = timer == .body ? answer(.requestTimeout, .clientTimeout) : .to(.suspended)
    let early = [Outcome.to(.deciding), suspended, .to(.connecting)]
    let stays = Outcome.to(.flushing)
    let late = Outcome.to(.ended, ExchangeActions(.cutDownstream, .finish, cause: .clientTimeout))
    switch timer {
    case .body:
      return early + [
        fail(.requestTimeout, .clientTimeout), .to(.awaiting), cut(.clientTimeout), .to(.responding), .to(.settling),
        stays, .bug,
      ]
    case .send:
      return early + [
        cut(.clientTimeout), .to(.awaiting), cut(.clientTimeout), cut(.clientTimeout), late, late, .bug,
      ]
    case .head:
      return early + [
        fail(.timeout, .upstreamTimeout), fail(.timeout, .upstreamTimeout), .to(.duplex), .to(.responding),
        .to(.settling),
        stays, .bug,
      ]
    case .idle:
      return early + [
        .to(.requesting), .to(.awaiting), cut(.upstreamTimeout), cut(.upstreamTimeout), .to(.settling), stays, .bug,
      ]
    }
  }

  private static func only(_ state: ExchangeState, _ outcome: Outcome) -> [Outcome] {
    ExchangeState.allCases.map { $0 == state ? outcome : .bug }
  }

  /// The client can still be told.
  private static func fail(_ error: ErrorCode, _ cause: EndCause) -> Outcome {
    .to(.flushing, ExchangeActions(.closeUpstream, .reply, error: error, cause: cause))
  }

  /// Nothing was sent anywhere, or it is over there.
  private static func answer(_ error: ErrorCode, _ cause: EndCause) -> Outcome {
    .to(.flushing, ExchangeActions(.reply, error: error, cause: cause))
  }

  /// The response has begun: nothing but a cut can tell the client.
  private static func cut(_ cause: EndCause) -> Outcome {
    .to(.ended, ExchangeActions(.closeUpstream, .cutDownstream, .finish, cause: cause))
  }

  /// What came of it is settled before the client is told.
  private static func breakOff(_ cause: EndCause) -> Outcome {
    .to(.settling, ExchangeActions(.closeUpstream, cause: cause))
  }

  private static func everywhere(_ cause: EndCause) -> [Outcome] {
    let withoutClient = Outcome.to(.ended, ExchangeActions(.cutDownstream, .finish, cause: cause))
    return [withoutClient, withoutClient] + [Outcome](repeating: cut(cause), count: 5)
      + [withoutClient, withoutClient, .bug]
  }
}

struct ExchangeMachineTests {
  @Test func whatEndsBrokenOffKeepsItsCause() {
    var machine = ExchangeMachine(state: .responding)
    #expect(machine.brokenOff(.upstreamCut).cause == .upstreamCut)
    #expect(machine.settled(.upstreamCut) == ExchangeActions(cause: .upstreamCut))
    #expect(machine.state == .flushing)
  }

  @Test func theTableIsWhole() {
    #expect(
      ExchangeState.allCases == [
        .deciding, .suspended, .connecting, .requesting, .awaiting, .duplex, .responding, .settling, .flushing, .ended,
      ])
    for event in Event.all {
      #expect(MachineTable.row(event).count == ExchangeState.allCases.count, "\(event)")
      guard case .bug? = MachineTable.row(event).last else {
        Issue.record("\(event) after the end")
        continue
      }
    }
  }

  @Test func everyLegalPair() {
    for event in Event.all {
      for (state, outcome) in zip(ExchangeState.allCases, MachineTable.row(event)) {
        guard case .to(let next, let actions) = outcome else { continue }
        var machine = ExchangeMachine(state: state)
        let done = event.tell(&machine)
        #expect(machine.state == next, "\(state) × \(event)")
        #expect(done == actions, "\(state) × \(event)")
      }
    }
  }

  /// An exchange can end from every state, and each way to the end finishes once and has one cause.
  @Test func everyWayEnds() {
    var random = SeededGenerator(seed: 23)
    for _ in 0..<5_000 {
      var machine = ExchangeMachine()
      var (finishes, causes, steps) = (0, 0, 0)
      while machine.state != .ended, steps < 200 {
        let place = ExchangeState.allCases.firstIndex(of: machine.state) ?? 0
        let legal = Event.all.filter { if case .to = MachineTable.row($0)[place] { true } else { false } }
        let actions = legal[random.below(legal.count)].tell(&machine)
        finishes += [actions.first, actions.second, actions.third].filter { $0 == .finish }.count
        causes += actions.cause == nil ? 0 : 1
        steps += 1
      }
      if machine.state == .ended, finishes != 1 || causes == 0 {
        Issue.record("\(finishes) finishes, \(causes) causes")
      }
    }
  }

  @Test func aNewMachineDecides() { #expect(ExchangeMachine().state == .deciding) }

  @Test func theUsualWay() {
    var machine = ExchangeMachine()
    #expect(machine.forward() == ExchangeActions(.dial))
    #expect(machine.connectFailed(mayRetry: true) == ExchangeActions(.closeUpstream, .dial))
    #expect(machine.connected(requestEnded: false) == .nothing)
    #expect(machine.requestEnded() == .nothing)
    #expect(machine.responseBegan() == .nothing)
    #expect(machine.responseEnded(reusable: true) == ExchangeActions(.releaseUpstream, cause: .completed))
    #expect(machine.flushed() == ExchangeActions(.finish))
    #expect(machine.state == .ended)
  }
}
