// Listening sockets across generations. A socket has a place, a small number by which accepted connections and routes
// name it; a reload that leaves an address alone leaves its socket and place alone, whatever it is called now.
// `ListenerPlaces` is the control thread's; `ListenerBoard` is where workers count who still accepts.

import CLinux
import Glibc
import Synchronization

/// A socket with its place, under the name it has in one generation.
struct OpenListener {
  let place: UInt8
  let name: String
  /// The generation that bound it.
  let since: UInt32
  let bind: HostPort
  let socket: ListenerSocket
  /// What a generation wants of it.
  var serves = ServedListener.Audience.routes
  /// Clients speak TLS there.
  var isSecure = false
}

extension Snapshot {
  /// Who is served on a listener. One that has only answers of Edge itself is the control worker's: what watches Edge
  /// is answered, however busy the others are, and costs them nothing.
  func audience(ofListener index: Int) -> ServedListener.Audience {
    if listeners[index].isAdmin { return .admin }
    let reached = routes.filter { $0.listeners.contains(index) }
    guard listeners[index].isOnlyNamed, !reached.isEmpty else { return .routes }
    let isBuiltin = reached.allSatisfy { route in
      if case .builtin = route.target { route.policies.isEmpty } else { false }
    }
    return isBuiltin ? .builtins : .routes
  }
}

/// All sockets that are open.
struct ListenerPlaces {
  private var open: [OpenListener] = []
  /// Removed ones, which some worker may still accept from, and the generation that removed them.
  private var closing: [(listener: OpenListener, generation: UInt32)] = []

  /// Sockets for the listeners of a generation, in their order: those that are open already, and new ones. Nothing is
  /// kept of it when one cannot be bound; what was bound stays with the caller until `keep` or `abandon`.
  func bind(_ listeners: [Listener], generation: UInt32) throws(ListenerError) -> [OpenListener] {
    var unused = open
    var found = listeners.map { listener in take(&unused) { $0.bind == listener.address && $0.name == listener.name } }
    for (index, listener) in listeners.enumerated() where found[index] == nil {
      found[index] = take(&unused) { $0.bind == listener.address }
    }
    var bound: [OpenListener] = []
    var result: [OpenListener] = []
    for (index, listener) in listeners.enumerated() {
      if let kept = found[index] {
        result.append(
          OpenListener(
            place: kept.place, name: listener.name, since: kept.since, bind: kept.bind, socket: kept.socket))
        continue
      }
      do throws(ListenerError) {
        guard let place = freePlace(besides: bound) else {
          throw ListenerError(
            listener: listener.name, address: listener.address.text, error: 0,
            reason: "old and new listeners together are more than \(ListenerBoard.adminPlace); move some at a time")
        }
        bound.append(
          OpenListener(
            place: place, name: listener.name, since: generation, bind: listener.address,
            socket: try ListenerSocket.open(listener)))
        result.append(bound[bound.count - 1])
      } catch {
        abandon(bound)
        throw error
      }
    }
    return result
  }

  private func take(_ unused: inout [OpenListener], _ fits: (OpenListener) -> Bool) -> OpenListener? {
    unused.firstIndex(where: fits).map { unused.remove(at: $0) }
  }

  private func freePlace(besides bound: [OpenListener]) -> UInt8? {
    let taken = Set((open + bound + closing.map(\.listener)).map(\.place))
    return (0..<ListenerBoard.adminPlace).first { !taken.contains($0) }
  }

  /// Closes those of `listeners` that `bind` has opened for a generation that did not come to be.
  func abandon(_ listeners: [OpenListener]) {
    for listener in listeners where !open.contains(where: { $0.place == listener.place }) {
      _ = close(listener.socket.fd)
    }
  }

  /// The generation is published: its sockets are the open ones. Returns those that it has removed.
  mutating func keep(_ listeners: [OpenListener], generation: UInt32) -> [OpenListener] {
    let removed = open.filter { old in !listeners.contains { $0.place == old.place } }
    open = listeners
    closing += removed.map { ($0, generation) }
    return removed
  }

  /// Whether a removed socket is still open.
  var isClosing: Bool { !closing.isEmpty }

  /// Closes removed sockets that no worker accepts from any more; returns them.
  mutating func closeRemoved(_ isAdopted: (UInt32) -> Bool) -> [OpenListener] {
    var done: [OpenListener] = []
    var left: [(listener: OpenListener, generation: UInt32)] = []
    // Each is asked once: the answer may change while this runs.
    for row in closing { if isAdopted(row.generation) { done.append(row.listener) } else { left.append(row) } }
    closing = left
    for listener in done { _ = close(listener.socket.fd) }
    return done
  }
}

/// How many workers accept from each socket.
final class ListenerBoard: Sendable {
  /// Sockets that may be open at the same time; the masks of routes have one bit for each.
  static let places = 64
  /// The last one is for the socket of operators, which no configuration names.
  static let adminPlace: UInt8 = 63
  /// The listener of a connection whose socket is gone: no route is reached through it.
  static let none: UInt8 = 255

  private nonisolated(unsafe) let accepting: UnsafeMutablePointer<Atomic<Int>>  // never reassigned; atomics inside

  init() {
    accepting = .allocate(capacity: ListenerBoard.places)
    for place in 0..<ListenerBoard.places { (accepting + place).initialize(to: Atomic(0)) }
  }

  deinit { accepting.deallocate() }

  /// A worker accepts from the socket.
  func join(_ place: Int) { accepting[place].wrappingAdd(1, ordering: .relaxed) }

  /// A worker does so no more. With the last one the kernel stops too, and new clients are refused at once, unless
  /// others are about to join.
  func leave(_ place: Int, _ fd: Int32, isEnd: Bool) {
    if accepting[place].wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0, isEnd {
      _ = shutdown(fd, Int32(SHUT_RDWR))
    }
  }
}
