// The resolver's threads against a name service whose every answer waits for the test.

import Foundation
import Testing

@testable import Edge

/// A name service: a lookup stands at the desk until the test answers it.
private final class Desk: Sendable {
  private struct State {
    /// Names whose lookup waits, and how often each was asked for.
    var waiting: Set<String> = []
    var answers: [String: Result<AddressSet, LookupError>] = [:]
    var asked: [String: Int] = [:]
    var events: [String] = []
    var twiceAtOnce: Set<String> = []
    var mask: sigset_t?
  }

  private let state = Monitor(State())
  private static let seconds: UInt64 = 30

  /// Waits until `look` finds something; nil and a failure of the test when that takes too long.
  private func awaiting<T>(_ what: String, _ look: (inout State) -> T?) -> T? {
    let deadline = Clock.monotonicNow() + Desk.seconds * 1_000_000_000
    let found = state.awaiting { state -> Monitor<State>.Look<T?> in
      if let found = look(&state) { return .found(found) }
      return Clock.monotonicNow() < deadline ? .sleep(untilNanoseconds: deadline) : .found(nil)
    }
    if found == nil { Issue.record("waited in vain: \(what)") }
    return found
  }

  // MARK: the resolver's side

  func resolver() -> Resolver {
    Resolver(
      lookup: { [self] in lookup($0) }, deliver: { [self] in tell("\($0) is \($1.text)") },
      report: { [self] in tell("\($0) failed: \($1.text)") })
  }

  private func lookup(_ name: String) -> Result<AddressSet, LookupError> {
    state.withLock { state in
      if !state.waiting.insert(name).inserted { state.twiceAtOnce.insert(name) }
      state.asked[name, default: 0] += 1
      var mask = sigset_t()
      pthread_sigmask(SIG_BLOCK, nil, &mask)
      state.mask = mask
    }
    state.wakeAll()
    return state.awaiting { state in
      guard let answer = state.answers.removeValue(forKey: name) else { return .sleep(untilNanoseconds: .max) }
      state.waiting.remove(name)
      return .found(answer)
    }
  }

  private func tell(_ event: String) {
    state.withLock { $0.events.append(event) }
    state.wakeAll()
  }

  // MARK: the test's side

  /// Waits for a lookup of the name and answers it.
  func answer(_ name: String, _ result: Result<AddressSet, LookupError>) {
    _ = awaiting("a lookup of \(name)") { state -> Bool? in
      // An answer that is still there is one that the last lookup has yet to take.
      guard state.waiting.contains(name), state.answers[name] == nil else { return nil }
      state.answers[name] = result
      return true
    }
    state.wakeAll()
  }

  func found(_ name: String, _ addresses: String...) {
    answer(name, .success(AddressSet(addresses.compactMap { SocketAddress(numeric: $0, port: 0) })))
  }

  /// Answers the first of the names that is asked for.
  func foundAny(of names: [String], _ address: String) {
    let name = awaiting("a lookup of one of \(names)") { state in
      names.first { state.waiting.contains($0) && state.answers[$0] == nil }
    }
    if let name { found(name, address) }
  }

  func fails(_ name: String, _ text: String) { answer(name, .failure(LookupError(text: text))) }

  /// Waits until the names are being looked up, which also says that what came before of them is delivered.
  func isAsked(_ names: String...) {
    for name in names {
      _ = awaiting("a lookup of \(name)") { $0.waiting.contains(name) && $0.answers[name] == nil ? true : nil }
    }
  }

  /// The events so far, once there are as many as are expected.
  func events(_ count: Int) -> [String] {
    awaiting("\(count) events") { $0.events.count >= count ? $0.events : nil } ?? []
  }

  func count(of name: String) -> Int { state.withLock { $0.asked[name] ?? 0 } }
  var mask: sigset_t? { state.withLock { $0.mask } }
  var twiceAtOnce: Set<String> { state.withLock { $0.twiceAtOnce } }

  /// Answers all that waits and will ever wait with failures.
  func close(_ names: String...) {
    state.withLock { state in
      for name in names { state.answers[name] = .failure(LookupError(text: "closed")) }
    }
    state.wakeAll()
  }
}

/// Whether the condition holds within the time a thread may need to end.
func eventually(_ condition: () -> Bool) -> Bool {
  let deadline = Clock.monotonicNow() + 30_000_000_000
  while !condition() {
    if Clock.monotonicNow() > deadline { return false }
    usleep(1_000)
  }
  return true
}

@Suite(.timeLimit(.minutes(2))) struct ResolverTests {
  private static let long = 60_000

  @Test func firstAnswersAreDelivered() {
    let desk = Desk()
    let resolver = desk.resolver()
    resolver.keep(["a", "b"], everyMilliseconds: 300_000)
    #expect(resolver.addresses(of: "a") == nil)
    desk.found("a", "10.0.0.2", "10.0.0.1")
    desk.fails("b", "no such name")
    resolver.wait(for: ["a", "b"], milliseconds: ResolverTests.long)
    // `wait` returns after the delivery.
    #expect(Set(desk.events(0)) == ["a is 10.0.0.1 10.0.0.2", "b failed: no such name"])
    #expect(resolver.addresses(of: "a") == addressSet("10.0.0.1", "10.0.0.2"))
    #expect(resolver.addresses(of: "b") == nil)
    #expect(resolver.addresses(of: "c") == nil)
    resolver.end()
    #expect(resolver.addresses(of: "a") == nil)
  }

  @Test func changesAreDeliveredAndTheSameSetIsNot() {
    let desk = Desk()
    let resolver = desk.resolver()
    resolver.keep(["a"], everyMilliseconds: 1)
    desk.found("a", "10.0.0.1")
    desk.found("a", "10.0.0.1")
    desk.found("a", "10.0.0.2", "10.0.0.1")
    desk.found("a", "10.0.0.1", "10.0.0.2")
    desk.found("a", "10.0.0.3")
    desk.isAsked("a")
    #expect(desk.events(3) == ["a is 10.0.0.1", "a is 10.0.0.1 10.0.0.2", "a is 10.0.0.3"])
    #expect(desk.count(of: "a") == 6)
    desk.close("a")
    resolver.end()
  }

  @Test func staleAddressesStayAndOneFailureIsReported() {
    let desk = Desk()
    let resolver = desk.resolver()
    resolver.keep(["a"], everyMilliseconds: 1)
    desk.found("a", "10.0.0.1")
    for number in 0..<3 { desk.fails("a", "reason \(number)") }
    desk.isAsked("a")
    #expect(desk.events(2) == ["a is 10.0.0.1", "a failed: reason 0"])
    #expect(resolver.addresses(of: "a") == addressSet("10.0.0.1"))
    desk.found("a", "10.0.0.1")
    desk.fails("a", "again")
    desk.found("a", "10.0.0.4")
    #expect(desk.events(4).suffix(2) == ["a failed: again", "a is 10.0.0.4"])
    desk.isAsked("a")
    #expect(resolver.addresses(of: "a") == addressSet("10.0.0.4"))
    desk.close("a")
    resolver.end()
  }

  @Test func keepForgetsAndAdds() {
    let desk = Desk()
    let resolver = desk.resolver()
    resolver.keep(["a", "b"], everyMilliseconds: 300_000)
    desk.found("a", "10.0.0.1")
    desk.found("b", "10.0.0.2")
    resolver.wait(for: ["a", "b"], milliseconds: ResolverTests.long)
    resolver.keep(["b", "c"], everyMilliseconds: 300_000)
    #expect(resolver.addresses(of: "a") == nil)
    #expect(resolver.addresses(of: "b") == addressSet("10.0.0.2"))
    desk.found("c", "10.0.0.3")
    resolver.wait(for: ["b", "c"], milliseconds: ResolverTests.long)
    #expect(desk.events(3).last == "c is 10.0.0.3")
    // New again: delivered again, although the set is what it was.
    resolver.keep(["a", "b", "c"], everyMilliseconds: 300_000)
    desk.found("a", "10.0.0.1")
    #expect(desk.events(4).last == "a is 10.0.0.1")
    #expect((desk.count(of: "a"), desk.count(of: "b"), desk.count(of: "c")) == (2, 1, 1))
    resolver.end()
  }

  /// A shorter interval wakes the threads.
  @Test func anotherIntervalActsAtOnce() {
    let desk = Desk()
    let resolver = desk.resolver()
    resolver.keep(["a"], everyMilliseconds: 300_000)
    desk.found("a", "10.0.0.1")
    resolver.wait(for: ["a"], milliseconds: ResolverTests.long)
    resolver.keep(["a"], everyMilliseconds: 1)
    desk.found("a", "10.0.0.2")
    #expect(desk.events(2).last == "a is 10.0.0.2")
    desk.isAsked("a")
    desk.close("a")
    resolver.end()
  }

  @Test func hangingLookupsDoNotHoldUpOthers() {
    let desk = Desk()
    let resolver = desk.resolver()
    let dead = (1..<Limits.lookupThreads).map { "dead\($0)" }
    resolver.keep(Set(dead), everyMilliseconds: 1)
    for name in dead { desk.isAsked(name) }
    resolver.keep(Set(dead + ["a", "b", "c"]), everyMilliseconds: 1)
    // One thread is left for these three; they come in any order.
    for number in 1...60 { desk.foundAny(of: ["a", "b", "c"], "10.0.0.\(number)") }
    #expect(desk.events(60).count == 60)
    for name in ["a", "b", "c"] { #expect(desk.count(of: name) >= 10, "\(name)") }
    #expect(dead.allSatisfy { desk.count(of: $0) == 1 })
    #expect(desk.twiceAtOnce.isEmpty)
    // What was dead is served like any other once it answers.
    desk.found("dead1", "10.0.1.1")
    #expect(desk.events(61).contains("dead1 is 10.0.1.1"))
    resolver.keep([], everyMilliseconds: 1)
    desk.close("a", "b", "c", "dead1", "dead2", "dead3")
    resolver.end()
  }

  @Test func waitHasADeadline() {
    let desk = Desk()
    let resolver = desk.resolver()
    resolver.keep(["a", "b"], everyMilliseconds: 300_000)
    desk.found("a", "10.0.0.1")
    resolver.wait(for: ["a", "other"], milliseconds: ResolverTests.long)
    desk.isAsked("b")
    let start = Clock.monotonicNow()
    resolver.wait(for: ["a", "b"], milliseconds: 50)
    let milliseconds = (Clock.monotonicNow() - start) / 1_000_000
    #expect((50..<10_000).contains(milliseconds))
    resolver.wait(for: ["b"], milliseconds: 0)
    desk.found("b", "10.0.0.2")
    resolver.wait(for: ["a", "b"], milliseconds: ResolverTests.long)
    #expect(resolver.addresses(of: "b") == addressSet("10.0.0.2"))
    resolver.end()
  }

  @Test func endDoesNotAwaitAHangingLookup() {
    let desk = Desk()
    weak var weakly: Resolver?
    do {
      let resolver = desk.resolver()
      weakly = resolver
      resolver.keep(["a", "b"], everyMilliseconds: 300_000)
      desk.isAsked("a")
      desk.found("b", "10.0.0.2")
      resolver.wait(for: ["b"], milliseconds: ResolverTests.long)
      let start = Clock.monotonicNow()
      resolver.end()
      #expect((Clock.monotonicNow() - start) / 1_000_000 < 10_000)
      // Nothing begins any more, and nobody is kept waiting.
      resolver.keep(["c"], everyMilliseconds: 1)
      resolver.wait(for: ["a", "c"], milliseconds: ResolverTests.long)
    }
    #expect(weakly != nil, "the thread in the lookup holds the resolver")
    desk.found("a", "10.0.0.1")
    #expect(eventually { weakly == nil })
    #expect(desk.events(1) == ["b is 10.0.0.2"])
    #expect(desk.count(of: "c") == 0)
  }

  @Test func noThreadIsLeftWhenNoNameIsKept() {
    let desk = Desk()
    weak var weakly: Resolver?
    do {
      let resolver = desk.resolver()
      weakly = resolver
      resolver.keep(["a", "b"], everyMilliseconds: 300_000)
      desk.found("a", "10.0.0.1")
      desk.found("b", "10.0.0.1")
      resolver.wait(for: ["a", "b"], milliseconds: ResolverTests.long)
      resolver.keep([], everyMilliseconds: 300_000)
    }
    // Threads hold the resolver: it is gone when they are.
    #expect(eventually { weakly == nil })
  }

  @Test func namesAfterAllWereForgotten() {
    let desk = Desk()
    let resolver = desk.resolver()
    for round in 1...20 {
      resolver.keep(["a"], everyMilliseconds: 300_000)
      desk.found("a", "10.0.0.\(round)")
      resolver.wait(for: ["a"], milliseconds: ResolverTests.long)
      #expect(desk.events(round).last == "a is 10.0.0.\(round)")
      resolver.keep([], everyMilliseconds: 300_000)
    }
    resolver.end()
  }

  @Test func signalsAreForOtherThreads() throws {
    func blocked(_ mask: inout sigset_t) -> [Bool] { (1...31).map { sigismember(&mask, $0) == 1 } }
    var before = sigset_t()
    pthread_sigmask(SIG_BLOCK, nil, &before)
    let desk = Desk()
    let resolver = desk.resolver()
    resolver.keep(["a"], everyMilliseconds: 300_000)
    desk.isAsked("a")
    var mask = try #require(desk.mask)
    for signal in [SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGCHLD, SIGPIPE] { #expect(sigismember(&mask, signal) == 1) }
    for signal in [SIGSEGV, SIGILL, SIGTRAP] { #expect(sigismember(&mask, signal) == 0) }
    var after = sigset_t()
    pthread_sigmask(SIG_BLOCK, nil, &after)
    #expect(blocked(&before) == blocked(&after), "the caller's mask is as before")
    desk.close("a")
    resolver.end()
  }

  /// Names come and go while they are looked up: what is delivered of a name is never older than what was before.
  @Test func deliveriesOfANameKeepTheirOrder() {
    let turn = Locked<[String: UInt8]>([:])
    let last = Locked<[String: UInt64]>([:])
    let disorder = Locked(0)
    let resolver = Resolver(
      lookup: { name in
        let number = turn.withLock { turns -> UInt8 in
          turns[name, default: 0] &+= 1
          return turns[name] ?? 0
        }
        if number % 16 == 0 { return .failure(LookupError(text: "now and then")) }
        return .success(AddressSet([SocketAddress(numeric: "10.0.0.\(number)", port: 0) ?? SocketAddress()]))
      },
      deliver: { name, addresses in
        let number = addresses[0].words.0 >> 24
        let step = last.withLock { seen -> UInt64 in
          let step = (number &- (seen[name] ?? 0)) & 0xff
          seen[name] = number
          return step
        }
        // Lookups whose answers are dropped leave gaps, of which none is half a round.
        if step == 0 || step > 128 { disorder.withLock { $0 += 1 } }
      }, report: { _, _ in })
    let names = (0..<6).map { "name\($0)" }
    onThreads(
      (0..<2).map { seed in
        {
          for round in 0..<300 {
            let kept = names.enumerated().filter { ($0.offset + round + seed) % 3 != 0 }
            resolver.keep(Set(kept.map(\.element)), everyMilliseconds: 1)
            resolver.wait(for: Set(names), milliseconds: 5)
            _ = resolver.addresses(of: names[round % names.count])
          }
        }
      })
    resolver.end()
    #expect(disorder.withLock { $0 } == 0)
    #expect(last.withLock { $0.count } == names.count)
  }

  @Test func theSystemKnowsLocalhost() throws {
    let addresses = try Resolver.system("localhost").get()
    #expect(addresses.count > 0)
    for index in 0..<addresses.count { #expect(addresses[index].isLoopback) }
    #expect(Resolver.system("127.0.0.3") == .success(addressSet("127.0.0.3")))
  }

  @Test func theSystemDoesNotKnowAnInvalidName() {
    // RFC 6761 section 6.4: no name under it exists. Without a name server the reason is another one.
    guard case .failure(let error) = Resolver.system("edge-test.invalid") else {
      Issue.record("found")
      return
    }
    #expect(error.text.count > 3)
  }
}
