import Testing

@testable import Edge

/// An event of a WebSocket's machine.
private enum Event: CaseIterable {
  case mustEndIdle, mustEndBusy, lastEnded, brokenOff, faulted, peerClosed, timedOut

  func tell(_ machine: inout SessionMachine) -> SessionActions {
    switch self {
    case .mustEndIdle: machine.mustEnd(.drain, isBusy: false)
    case .mustEndBusy: machine.mustEnd(.drain, isBusy: true)
    case .lastEnded: machine.lastEnded()
    case .brokenOff: machine.brokenOff(.slow)
    case .faulted: machine.faulted(.protocolError)
    case .peerClosed: machine.peerClosed()
    case .timedOut: machine.timedOut()
    }
  }

  /// By state, in their order: where it leads, and what is done.
  var row: [(SessionState, SessionActions)] {
    let nothing = SessionActions.nothing
    let closes = SessionActions(closes: true)
    let breaks = SessionActions(cancels: true, closes: true)
    let fails = SessionActions(cancels: true, closes: true, ends: true)
    let ends = SessionActions(ends: true)
    let answers = SessionActions(cancels: true, echoes: true, ends: true)
    switch self {
    case .mustEndIdle: return [(.closing, closes), (.ending, nothing), (.closing, nothing), (.ended, nothing)]
    case .mustEndBusy: return [(.ending, nothing), (.ending, nothing), (.closing, nothing), (.ended, nothing)]
    case .lastEnded: return [(.open, nothing), (.closing, closes), (.closing, nothing), (.ended, nothing)]
    case .brokenOff: return [(.closing, breaks), (.closing, breaks), (.closing, nothing), (.ended, nothing)]
    case .faulted: return [(.ended, fails), (.ended, fails), (.ended, ends), (.ended, nothing)]
    case .peerClosed: return [(.ended, answers), (.ended, answers), (.ended, ends), (.ended, nothing)]
    case .timedOut: return [(.open, nothing), (.closing, breaks), (.ended, ends), (.ended, nothing)]
    }
  }
}

struct SessionTests {
  @Test(arguments: Event.allCases)
  private func everyPair(_ event: Event) {
    #expect(event.row.count == SessionState.allCases.count)
    for (state, (next, actions)) in zip(SessionState.allCases, event.row) {
      var machine = SessionMachine(state: state, reason: .expired)
      #expect(event.tell(&machine) == actions, "\(state)")
      #expect(machine.state == next, "\(state)")
    }
  }

  @Test func theFirstReasonStands() {
    var machine = SessionMachine()
    _ = machine.mustEnd(.expired, isBusy: true)
    _ = machine.mustEnd(.drain, isBusy: false)
    #expect(machine.reason == .expired)
    _ = machine.lastEnded()
    _ = machine.brokenOff(.slow)
    #expect(machine.reason == .expired)
    let isNews = machine.lost()
    #expect(!isNews)
    #expect(machine.reason == .expired)
    #expect(machine.state == .ended)
  }

  @Test func whoLeavesHasEndedIt() {
    var machine = SessionMachine()
    _ = machine.mustEnd(.drain, isBusy: true)
    let isNews = machine.lost()
    #expect(isNews)
    #expect(machine.reason == .client)
    var other = SessionMachine()
    _ = other.peerClosed()
    #expect(other.reason == .client)
  }

  @Test func messagesByState() {
    #expect(SessionMachine().answer() == .accept)
    #expect(SessionMachine(state: .ending, reason: .expired).answer() == .refuse(.expired))
    #expect(SessionMachine(state: .closing, reason: .expired).answer() == .drop)
    #expect(SessionMachine(state: .ended, reason: .expired).answer() == .drop)
  }

  @Test func closeCodesMayStandOnTheWire() {
    for reason in SessionEnd.allCases {
      let code = reason.closeCode.rawValue
      #expect((1000...1003).contains(code) || (1007...1013).contains(code) || (4000...4999).contains(code), "\(reason)")
    }
    #expect(SessionEnd.expired.closeCode.rawValue == 4401)
    #expect(SessionEnd.drain.closeCode.rawValue == 1001)
    #expect(SessionEnd.reload.closeCode.rawValue == 1012)
    #expect(SessionEnd.tooLarge.closeCode.rawValue == 1009)
  }

  @Test func originsThatMayOpenOne() {
    func allows(_ origins: [String], _ origin: String?) -> Bool {
      let arena = Arena()
      let row = SocketRow(SocketSettings(origins: origins), arena: arena)
      guard var origin else { return row.allows(nil) }
      return origin.withUTF8 { row.allows($0) }
    }
    #expect(allows([], "https://anywhere.example"))
    #expect(allows(["https://app.example.com"], nil))
    #expect(allows(["https://app.example.com"], "https://app.example.com"))
    #expect(allows(["https://app.example.com"], "https://APP.example.com"))
    #expect(!allows(["https://app.example.com"], "http://app.example.com"))
    #expect(!allows(["https://app.example.com"], "https://app.example.com:8443"))
    #expect(!allows(["https://app.example.com"], "https://app.example.com.evil.example"))
    #expect(!allows(["https://app.example.com"], "null"))
    #expect(!allows(["https://app.example.com"], ""))
    #expect(allows(["https://a.example", "https://b.example"], "https://b.example"))
  }

  @Test func aSessionIsSmall() {
    // Of the two KiB that an idle one may take; its connection has a slot as well.
    #expect(MemoryLayout<Session>.stride <= 640)
  }
}
