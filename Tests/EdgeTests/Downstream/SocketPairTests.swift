import Testing

@testable import Edge

/// An event of a pair's machine.
private enum Event: CaseIterable {
  case clientClosed, serviceClosed, clientFaulted, serviceFaulted, clientLost, serviceLost, mustEnd, timedOut

  func tell(_ machine: inout PairMachine) -> PairActions {
    switch self {
    case .clientClosed: machine.closed(.client)
    case .serviceClosed: machine.closed(.service)
    case .clientFaulted: machine.faulted(.client, .badText, .protocolError)
    case .serviceFaulted: machine.faulted(.service, .badText, .protocolError)
    case .clientLost: machine.lost(.client)
    case .serviceLost: machine.lost(.service)
    case .mustEnd: machine.mustEnd(.drain)
    case .timedOut: machine.timedOut()
    }
  }

  /// By state, in their order: where it leads, and what is done.
  var row: [(PairState, PairActions)] {
    let nothing = PairActions.nothing
    let both = PairActions.endsBoth
    let client = PairActions(endsClient: true)
    let service = PairActions(endsService: true)
    let clientFaults = PairActions(toClient: .badText, toService: .goingAway, endsClient: true)
    let serviceFaults = PairActions(toClient: .internalError, toService: .badText, endsService: true)
    func ended(_ actions: PairActions) -> PairActions {
      PairActions(toClient: actions.toClient, toService: actions.toService, endsClient: true, endsService: true)
    }
    let tellsClient = PairActions(toClient: .internalError)
    let tellsService = PairActions(toService: .internalError)
    switch self {
    case .clientClosed:
      return [
        (.clientClosing, nothing), (.clientClosing, nothing), (.ended, both), (.awaitingService, client),
        (.ended, client), (.awaitingService, nothing), (.ended, nothing),
      ]
    case .serviceClosed:
      return [
        (.serviceClosing, nothing), (.ended, both), (.serviceClosing, nothing), (.awaitingClient, service),
        (.awaitingClient, nothing), (.ended, service), (.ended, nothing),
      ]
    case .clientFaulted:
      return [
        (.awaitingService, clientFaults), (.clientClosing, nothing), (.ended, ended(clientFaults)),
        (.awaitingService, client), (.ended, client), (.awaitingService, nothing), (.ended, nothing),
      ]
    case .serviceFaulted:
      return [
        (.awaitingClient, serviceFaults), (.ended, ended(serviceFaults)), (.serviceClosing, nothing),
        (.awaitingClient, service), (.awaitingClient, nothing), (.ended, service), (.ended, nothing),
      ]
    case .clientLost:
      return [
        (.awaitingService, tellsService), (.awaitingService, nothing), (.ended, ended(tellsService)),
        (.awaitingService, nothing), (.ended, nothing), (.awaitingService, nothing), (.ended, nothing),
      ]
    case .serviceLost:
      return [
        (.awaitingClient, tellsClient), (.ended, ended(tellsClient)), (.awaitingClient, nothing),
        (.awaitingClient, nothing), (.awaitingClient, nothing), (.ended, nothing), (.ended, nothing),
      ]
    case .mustEnd:
      return [(.bothClosing, PairActions(toClient: .goingAway, toService: .goingAway))]
        + PairState.allCases.dropFirst().map { ($0, nothing) }
    case .timedOut:
      return [
        (.open, nothing), (.ended, ended(tellsClient)), (.ended, ended(tellsService)), (.ended, both), (.ended, both),
        (.ended, both), (.ended, nothing),
      ]
    }
  }
}

struct SocketPairTests {
  @Test(arguments: Event.allCases)
  private func everyPair(_ event: Event) {
    #expect(event.row.count == PairState.allCases.count)
    for (state, (next, actions)) in zip(PairState.allCases, event.row) {
      var machine = PairMachine(state: state)
      #expect(event.tell(&machine) == actions, "\(state)")
      #expect(machine.state == next, "\(state)")
    }
  }

  /// Nothing of a tunnel is read: it ends with its connections, and nobody is told anything.
  @Test func tunnels() {
    for side in PairSide.allCases {
      var machine = PairMachine(isTunnel: true)
      let passes = machine.finished(side)
      #expect(passes == PairActions(finishesClient: side == .service, finishesService: side == .client))
      #expect(!machine.reads(side) && machine.passes(side.other))
      #expect(machine.finished(side) == .nothing)
      #expect(machine.finished(side.other) == .endsBoth)
      #expect(machine.state == .ended)
      #expect(machine.reason == (side == .client ? .client : .service))
    }
    for state in PairState.allCases where state != .ended {
      for side in PairSide.allCases {
        var machine = PairMachine(state: state, isTunnel: true)
        let actions = machine.lost(side)
        #expect(actions.toClient == nil && actions.toService == nil)
      }
    }
    var machine = PairMachine(isTunnel: true)
    #expect(machine.mustEnd(.reload) == .endsBoth)
    #expect(machine.reason == .reload)
    machine = PairMachine(state: .clientClosing, isTunnel: true)
    #expect(machine.timedOut() == .endsBoth)
  }

  @Test func whatIsRead() {
    let rows: [(PairState, client: Bool, service: Bool)] = [
      (.open, true, true), (.clientClosing, false, true), (.serviceClosing, true, false), (.bothClosing, true, true),
      (.awaitingClient, true, false), (.awaitingService, false, true), (.ended, false, false),
    ]
    for (state, client, service) in rows {
      let machine = PairMachine(state: state)
      #expect(machine.reads(.client) == client, "\(state)")
      #expect(machine.reads(.service) == service, "\(state)")
      let passes = state == .open || state == .clientClosing || state == .serviceClosing
      #expect(machine.passes(.client) == (client && passes), "\(state)")
      #expect(machine.passes(.service) == (service && passes), "\(state)")
    }
  }

  @Test func reasons() {
    var machine = PairMachine(isTunnel: false)
    _ = machine.mustEnd(.reload)
    _ = machine.lost(.client)
    #expect(machine.reason == .reload)
    machine = PairMachine(isTunnel: false)
    #expect(machine.mustEnd(.reload) == PairActions(toClient: .restart, toService: .restart))
    machine = PairMachine(isTunnel: false)
    #expect(machine.mustEnd(.expired) == PairActions(toClient: .sessionExpired, toService: .goingAway))
    machine = PairMachine(isTunnel: false)
    _ = machine.faulted(.service, .protocolError, .protocolError)
    #expect(machine.reason == .service)
    machine = PairMachine(isTunnel: false)
    _ = machine.faulted(.client, .tooLarge, .tooLarge)
    #expect(machine.reason == .tooLarge)
    machine = PairMachine(isTunnel: false)
    _ = machine.lost(.client, .slow)
    #expect(machine.reason == .slow)
  }

  /// However the sides say their ends, it comes to one.
  @Test func everyWayLeadsToTheEnd() {
    for state in PairState.allCases where state != .open {
      for order in [[PairSide.client, .service], [.service, .client]] {
        for isLost in [true, false] {
          var machine = PairMachine(state: state)
          for side in order { _ = isLost ? machine.lost(side) : machine.closed(side) }
          #expect(machine.state == .ended || !machine.reads(.client) || !machine.reads(.service), "\(state)")
          _ = machine.timedOut()
          #expect(machine.state == .ended, "\(state)")
        }
      }
    }
  }
}
