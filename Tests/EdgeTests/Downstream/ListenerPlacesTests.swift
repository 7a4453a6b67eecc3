// Sockets across generations, with real ones: what is bound, kept, renamed and closed shows to clients.

import CLinux
import Foundation
import Testing

@testable import Edge

/// A client that connects to `host:port`; the descriptor is the caller's to close, the error number is in the failure.
private func connectClient(_ text: String) -> Result<Int32, POSIXError> {
  let parts = text.split(separator: ":")
  guard let port = UInt16(parts[parts.count - 1]), let address = SocketAddress(numeric: String(parts[0]), port: port)
  else { return .failure(POSIXError(.EINVAL)) }
  let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
  if address.withKernelForm({ connect(fd, $0, $1) }) == 0 { return .success(fd) }
  let code = POSIXErrorCode(rawValue: errno) ?? .EINVAL
  close(fd)
  return .failure(POSIXError(code))
}

/// Whether a client can connect.
private func isServed(_ address: String) -> Bool {
  guard case .success(let fd) = connectClient(address) else { return false }
  close(fd)
  return true
}

/// Whether an address comes free: a process that another test forks has its socket too, for a moment.
private func comesFree(_ address: String) -> Bool {
  eventually {
    if case .failure(let error) = connectClient(address) { error.code == .ECONNREFUSED } else { false }
  }
}

@Suite(.timeLimit(.minutes(2))) final class ListenerPlacesTests {
  private var places = ListenerPlaces()
  private var generation: UInt32 = 0
  /// What the last generation has.
  private var listeners: [OpenListener] = []

  deinit {
    _ = places.keep([], generation: .max)
    _ = places.closeRemoved { _ in true }
  }

  private func listener(_ name: String, _ port: UInt16 = 0, host: String = "127.0.0.1") -> Listener {
    Listener(name: name, address: HostPort(host: host, port: port))
  }

  /// As a reload does it; returns what was removed.
  @discardableResult
  private func publish(_ wanted: [Listener]) throws -> [OpenListener] {
    generation += 1
    listeners = try places.bind(wanted, generation: generation)
    return places.keep(listeners, generation: generation)
  }

  private func closeRemoved(_ isAdopted: (UInt32) -> Bool) -> [OpenListener] { places.closeRemoved(isAdopted) }

  /// A port that was free a moment ago. Between now and its use the kernel gives it to nobody who asks for any.
  private func freePort() throws -> UInt16 {
    let socket = try ListenerSocket.open(listener("probe"))
    defer { close(socket.fd) }
    return try port(of: socket)
  }

  private func port(of socket: ListenerSocket) throws -> UInt16 {
    try #require(socket.address.split(separator: ":").last.flatMap { UInt16($0) })
  }

  @Test func whatIsNewIsBound() throws {
    let port = try freePort()
    #expect(try publish([listener("main", port), listener("any")]).isEmpty)
    #expect(listeners.map(\.name) == ["main", "any"])
    #expect(listeners.map(\.since) == [1, 1])
    #expect(listeners[0].socket.address == "127.0.0.1:\(port)")
    #expect(listeners[1].bind.port == 0 && listeners[1].socket.address != "127.0.0.1:0")
    #expect(Set(listeners.map(\.place)).count == 2)
    #expect(listeners.allSatisfy { Int($0.place) < ListenerBoard.places && isServed($0.socket.address) })
  }

  @Test func whatStaysIsLeftAlone() throws {
    let wanted = [listener("main", try freePort()), listener("any")]
    try publish(wanted)
    let before = listeners
    #expect(try publish(wanted.reversed() + [listener("more")]).isEmpty)
    #expect(listeners.map(\.name) == ["any", "main", "more"], "in the order of the generation")
    for (old, new) in zip(before.reversed(), listeners) {
      #expect(old.place == new.place && old.socket.fd == new.socket.fd && old.socket.address == new.socket.address)
      #expect(new.since == 1, "the socket is not the newer generation's own")
    }
    #expect(listeners[2].since == 2)
    #expect(closeRemoved { _ in true }.isEmpty)
  }

  @Test func anotherNameKeepsTheSocket() throws {
    let port = try freePort()
    try publish([listener("old", port)])
    let before = listeners[0]
    #expect(try publish([listener("new", port)]).isEmpty)
    #expect(listeners[0].name == "new")
    #expect(listeners[0].socket.fd == before.socket.fd && listeners[0].place == before.place)
    #expect(listeners[0].since == 1)
  }

  @Test func exchangedAddressesExchangeNames() throws {
    let ports = [try freePort(), try freePort()]
    try publish([listener("a", ports[0]), listener("b", ports[1])])
    let before = listeners
    #expect(try publish([listener("a", ports[1]), listener("b", ports[0])]).isEmpty)
    #expect(listeners.map(\.name) == ["a", "b"])
    #expect(listeners.map(\.socket.fd) == before.reversed().map(\.socket.fd))
    #expect(listeners.map(\.place) == before.reversed().map(\.place))
    #expect(listeners.map(\.bind.port) == ports.reversed())
  }

  /// Port 0 is many sockets under one address: the name says which.
  @Test func anyPortFollowsItsName() throws {
    try publish([listener("a"), listener("b"), listener("c")])
    let before = listeners
    #expect(try publish([listener("c"), listener("x"), listener("a")]).isEmpty)
    #expect(listeners[0].socket.fd == before[2].socket.fd)
    #expect(listeners[2].socket.fd == before[0].socket.fd)
    #expect(listeners[1].socket.fd == before[1].socket.fd, "a new name takes what nobody else wants")
    #expect(try publish([listener("y"), listener("x")]).count == 1)
    #expect(listeners[1].socket.fd == before[1].socket.fd, "not the first in the row, the one of its name")
  }

  @Test func conflictsLeaveNothingBehind() throws {
    let taken = try ListenerSocket.open(listener("other"))
    defer { close(taken.fd) }
    let takenPort = try port(of: taken)
    let (kept, new) = (try freePort(), try freePort())
    try publish([listener("main", kept)])
    let before = listeners
    let wanted = [listener("main", kept), listener("new", new), listener("bad", takenPort)]
    let error = #expect(throws: ListenerError.self) { try places.bind(wanted, generation: 2) }
    #expect(error?.message == "listener bad: cannot listen on 127.0.0.1:\(takenPort): Address already in use")
    #expect(comesFree("127.0.0.1:\(new)"))
    #expect(isServed("127.0.0.1:\(kept)"), "what serves goes on")
    // The next attempt finds everything as it was.
    #expect(try publish([listener("main", kept), listener("new", new)]).isEmpty)
    #expect(listeners[0].socket.fd == before[0].socket.fd && listeners[0].place == before[0].place)
    #expect(listeners[1].place == 1)
  }

  @Test func conflictsLeakNoDescriptor() throws {
    let taken = try ListenerSocket.open(listener("other"))
    defer { close(taken.fd) }
    let wanted = [listener("a"), listener("b"), listener("bad", try port(of: taken))]
    let rounds = 300
    let before = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count
    for _ in 0..<rounds { #expect(throws: ListenerError.self) { try places.bind(wanted, generation: 1) } }
    // Other tests open and close descriptors meanwhile, but not as many.
    let after = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count
    #expect(after - before < rounds / 2, "\(before) before, \(after) after")
  }

  @Test func theSameAddressTwiceIsAConflict() throws {
    let port = try freePort()
    #expect(throws: ListenerError.self) { try places.bind([listener("a", port), listener("b", port)], generation: 1) }
    #expect(comesFree("127.0.0.1:\(port)"))
    try publish([listener("a", port)])
    #expect(throws: ListenerError.self) { try places.bind([listener("a", port), listener("b", port)], generation: 2) }
    #expect(isServed("127.0.0.1:\(port)"))
  }

  @Test func abandonedGenerationsGiveBackWhatTheyBound() throws {
    let (kept, new) = (try freePort(), try freePort())
    try publish([listener("main", kept)])
    let bound = try places.bind([listener("renamed", kept), listener("new", new)], generation: 2)
    #expect(isServed("127.0.0.1:\(new)"))
    places.abandon(bound)
    #expect(comesFree("127.0.0.1:\(new)"))
    #expect(isServed("127.0.0.1:\(kept)"))
  }

  /// The last worker adopts while the control thread looks.
  @Test func anAnswerThatChangesLosesNoSocket() throws {
    try publish([listener("old")])
    let address = listeners[0].socket.address
    try publish([])
    var asked = 0
    let early = closeRemoved { _ in
      asked += 1
      return asked > 1
    }
    #expect(early.isEmpty && asked == 1 && places.isClosing)
    #expect(closeRemoved { _ in true }.map(\.name) == ["old"])
    #expect(comesFree(address) && !places.isClosing)
  }

  @Test func removedOnesAreClosedLater() throws {
    let ports = [try freePort(), try freePort()]
    try publish([listener("main", ports[0]), listener("old", ports[1])])
    let removed = try publish([listener("main", ports[0])])
    #expect(removed.map(\.name) == ["old"] && removed.map(\.socket.address) == ["127.0.0.1:\(ports[1])"])
    #expect(closeRemoved { $0 < 2 }.isEmpty, "a worker may still accept from it")
    #expect(isServed("127.0.0.1:\(ports[1])"))
    #expect(closeRemoved { $0 <= 2 }.map(\.name) == ["old"])
    #expect(comesFree("127.0.0.1:\(ports[1])"))
    #expect(isServed("127.0.0.1:\(ports[0])"))
    #expect(closeRemoved { _ in true }.isEmpty, "once")
  }

  @Test func eachIsClosedWhenItsOwnRemovalIsAdopted() throws {
    let ports = try (0..<3).map { _ in try freePort() }
    try publish(ports.enumerated().map { listener("l\($0.offset)", $0.element) })
    try publish([listener("l1", ports[1]), listener("l2", ports[2])])
    try publish([listener("l2", ports[2])])
    #expect(closeRemoved { $0 <= 2 }.map(\.name) == ["l0"])
    #expect(isServed("127.0.0.1:\(ports[1])"))
    #expect(closeRemoved { $0 <= 3 }.map(\.name) == ["l1"])
  }

  @Test func aPlaceIsFreeWhenItsSocketIsClosed() throws {
    let first = try freePort()
    try publish([listener("old", first), listener("main")])
    let old = listeners[0].place
    try publish([listener("main"), listener("second")])
    try publish([listener("main"), listener("second"), listener("third")])
    #expect(!listeners.contains { $0.place == old }, "somebody may still accept from the socket of that place")
    #expect(closeRemoved { _ in true }.count == 1)
    try publish([listener("main"), listener("second"), listener("third"), listener("fourth", first)])
    #expect(listeners[3].place == old)
    #expect(listeners[3].since == 4, "by which workers see that the place has another owner")
  }

  @Test func placesRunOut() throws {
    let all = (0..<Int(ListenerBoard.adminPlace)).map { listener("l\($0)") }
    try publish(all)
    #expect(Set(listeners.map(\.place)) == Set(0..<63))
    // The removed one's place is not free yet, the next address needs one.
    let port = try freePort()
    let next = all.dropLast() + [listener("next", port)]
    let error = #expect(throws: ListenerError.self) { try places.bind(Array(next), generation: 2) }
    #expect(error?.message.hasPrefix("listener next: cannot listen on 127.0.0.1:\(port): ") == true)
    #expect(comesFree("127.0.0.1:\(port)"))
    try publish(Array(all.dropLast()))
    #expect(throws: ListenerError.self) { try places.bind(Array(next), generation: 3) }
    #expect(closeRemoved { _ in true }.count == 1)
    try publish(Array(next))
    #expect(listeners.last?.place == 62)
  }

  @Test func namesOfHostsAreNotBound() throws {
    let port = try freePort()
    let wanted = [listener("main", port), listener("bad", host: "localhost")]
    let error = #expect(throws: ListenerError.self) { try places.bind(wanted, generation: 1) }
    #expect(error?.listener == "bad")
    #expect(comesFree("127.0.0.1:\(port)"))
  }
}

struct ListenerBoardTests {
  private let board = ListenerBoard()

  private func listening() throws -> ListenerSocket {
    try ListenerSocket.open(Listener(name: "main", address: HostPort(host: "127.0.0.1", port: 0)))
  }

  @Test func theLastToLeaveEndsTheQueue() throws {
    let socket = try listening()
    defer { close(socket.fd) }
    board.join(7)
    board.join(7)
    board.leave(7, socket.fd, isEnd: true)
    #expect(isServed(socket.address), "another worker accepts")
    board.leave(7, socket.fd, isEnd: true)
    // At once, though the descriptor is open.
    guard case .failure(let error) = connectClient(socket.address) else {
      Issue.record("connected")
      return
    }
    #expect(error.code == .ECONNREFUSED)
  }

  @Test func placesCountForThemselves() throws {
    let (first, last) = (try listening(), try listening())
    defer {
      close(first.fd)
      close(last.fd)
    }
    for place in [0, ListenerBoard.places - 1] { board.join(place) }
    board.leave(0, first.fd, isEnd: true)
    #expect(!isServed(first.address) && isServed(last.address))
    board.leave(ListenerBoard.places - 1, last.fd, isEnd: true)
    #expect(!isServed(last.address))
  }

  /// However many come and go at once, the queue ends with the last and not before.
  @Test func workersComeAndGoTogether() throws {
    let socket = try listening()
    defer { close(socket.fd) }
    board.join(3)
    onThreads(
      (0..<4).map { _ in
        { [board] in
          for _ in 0..<20_000 {
            board.join(3)
            board.leave(3, socket.fd, isEnd: true)
          }
        }
      })
    #expect(isServed(socket.address))
    board.leave(3, socket.fd, isEnd: true)
    #expect(!isServed(socket.address))
  }

  @Test func noPlaceIsTheSignOfNone() { #expect(Int(ListenerBoard.none) >= ListenerBoard.places) }
}
