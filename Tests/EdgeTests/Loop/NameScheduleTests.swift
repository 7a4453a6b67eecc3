// Which name is due when, and what an answer changes: tables of steps at given times.

import Testing

@testable import Edge

/// The set of these addresses.
func addressSet(_ texts: String...) -> AddressSet {
  AddressSet(texts.map { SocketAddress(numeric: $0, port: 80) ?? SocketAddress() })
}

struct AddressSetTests {
  /// What was found, and what the set is.
  static let sets: [([String], String)] = [
    ([], ""),
    (["127.0.0.1"], "127.0.0.1"),
    (["10.0.0.10", "10.0.0.2", "9.255.0.1"], "9.255.0.1 10.0.0.2 10.0.0.10"),
    (["10.0.0.2", "10.0.0.1", "10.0.0.2"], "10.0.0.1 10.0.0.2"),
    (["::1", "10.0.0.1", "fd00::1"], "10.0.0.1"),
    (["fd00::2", "::1", "fd00::1"], "::1 fd00::1 fd00::2"),
    ((1...12).reversed().map { "10.0.0.\($0)" }, (1...8).map { "10.0.0.\($0)" }.joined(separator: " ")),
    (
      (1...9).map { "2001:db8:aaaa:bbbb:cccc:dddd:eeee:fff\($0)" },
      (1...8).map { "2001:db8:aaaa:bbbb:cccc:dddd:eeee:fff\($0)" }.joined(separator: " ")
    ),
  ]

  @Test(arguments: sets) func sortedDistinctAndFew(_ found: [String], _ text: String) throws {
    let addresses = try found.map { try #require(SocketAddress(numeric: $0, port: 80)) }
    let set = AddressSet(addresses)
    #expect(set.text == text)
    #expect(set.count == text.split(separator: " ").count)
    for index in 0..<set.count { #expect(set[index].port == 0) }
    #expect(set == AddressSet(addresses.reversed()))
  }

  @Test func otherSetsAreNotEqual() {
    #expect(addressSet("10.0.0.1") != addressSet("10.0.0.2"))
    #expect(addressSet("10.0.0.1") != addressSet("10.0.0.1", "10.0.0.2"))
    #expect(addressSet("10.0.0.1") != addressSet())
  }
}

struct NameScheduleTests {
  /// Something that happens to the schedule, and what must follow.
  enum Step {
    case keep([String], every: Int)
    /// All that is due is taken, in this order.
    case take([String])
    /// A lookup ends and its news are delivered.
    case found(String, AddressSet, NameNews?)
    case failed(String, String, NameNews?)
    case due(UInt64?)
    case known(String, AddressSet?)
    case answered([String], Bool)
  }

  /// Performs steps, each at its time in milliseconds.
  private func perform(_ steps: [(UInt64, Step)], _ location: SourceLocation = #_sourceLocation) {
    var schedule = NameSchedule()
    for (index, (now, step)) in steps.enumerated() {
      let place: Comment = "step \(index), \(step)"
      func settle(_ name: String, _ result: Result<AddressSet, LookupError>, _ news: NameNews?) {
        #expect(schedule.answer(name, result) == news, place, sourceLocation: location)
        schedule.settle(name, now: now)
      }
      switch step {
      case .keep(let names, let every):
        schedule.keep(Set(names), everyMilliseconds: every, now: now)
        #expect(schedule.keptCount == names.count, place, sourceLocation: location)
      case .take(let names):
        var taken: [String] = []
        while let name = schedule.take(now: now) { taken.append(name) }
        #expect(taken == names, place, sourceLocation: location)
      case .found(let name, let addresses, let news): settle(name, .success(addresses), news)
      case .failed(let name, let text, let news): settle(name, .failure(LookupError(text: text)), news)
      case .due(let time): #expect(schedule.nextDue == time, place, sourceLocation: location)
      case .known(let name, let addresses):
        #expect(schedule.addresses(of: name) == addresses, place, sourceLocation: location)
      case .answered(let names, let expected):
        #expect(schedule.isAnswered(Set(names)) == expected, place, sourceLocation: location)
      }
    }
  }

  private let one = addressSet("10.0.0.1")
  private let two = addressSet("10.0.0.1", "10.0.0.2")

  @Test func firstAnswersChangesAndTheSameAgain() {
    perform([
      (0, .due(nil)), (0, .take([])),
      (100, .keep(["b", "a"], every: 1_000)), (100, .due(100)), (100, .answered(["a", "b"], false)),
      (100, .take(["a", "b"])), (100, .due(nil)), (100, .known("a", nil)),
      (150, .found("a", one, .changed(one))), (150, .due(1_150)), (150, .known("a", one)),
      (150, .answered(["a"], true)), (150, .answered(["a", "b"], false)), (150, .answered(["a", "other"], true)),
      (160, .found("b", two, .changed(two))), (160, .answered(["a", "b"], true)),
      (1_149, .take([])), (1_150, .take(["a"])), (1_150, .due(1_160)),
      (1_155, .found("a", one, nil)), (1_155, .due(1_160)),
      (9_000, .take(["a", "b"].reversed())), (9_000, .found("a", two, .changed(two))), (9_000, .known("a", two)),
      (9_100, .found("b", two, nil)), (9_100, .due(10_000)),
    ])
  }

  @Test func staleAddressesStayAndOneFailureIsNews() {
    let error = LookupError(text: "no such name")
    perform([
      (0, .keep(["a"], every: 30_000)), (0, .take(["a"])), (0, .found("a", one, .changed(one))),
      (30_000, .take(["a"])), (30_000, .failed("a", "no such name", .failed(error))), (30_000, .known("a", one)),
      (30_000, .due(35_000)), (35_000, .take(["a"])), (35_000, .failed("a", "another reason", nil)),
      (35_000, .known("a", one)), (35_000, .due(45_000)), (45_000, .take(["a"])),
      // As before the failure: no news, and failures are news again.
      (45_000, .found("a", one, nil)), (45_000, .due(75_000)), (75_000, .take(["a"])),
      (75_000, .failed("a", "no such name", .failed(error))), (75_000, .due(80_000)), (80_000, .take(["a"])),
      (80_000, .found("a", two, .changed(two))), (80_000, .known("a", two)),
    ])
  }

  @Test func aNameThatWasNeverFound() {
    let error = LookupError(text: "x")
    perform([
      (0, .keep(["a"], every: 1_000)), (0, .take(["a"])), (0, .failed("a", "x", .failed(error))),
      (0, .known("a", nil)), (0, .answered(["a"], true)), (0, .due(1_000)), (1_000, .take(["a"])),
      (1_000, .failed("a", "x", nil)), (1_000, .due(2_000)), (2_000, .take(["a"])),
      (2_000, .found("a", one, .changed(one))), (2_000, .known("a", one)),
    ])
  }

  /// Refresh interval, and the rests after failures in a row.
  static let rests: [(Int, [UInt64])] = [
    (1_000, [1_000, 1_000, 1_000]),
    (4_999, [4_999, 4_999]),
    (5_000, [5_000, 5_000]),
    (30_000, [5_000, 10_000, 20_000, 30_000, 30_000]),
    (300_000, [5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000, 300_000]),
  ]

  @Test(arguments: rests) func restsAfterFailures(_ every: Int, _ rests: [UInt64]) throws {
    var schedule = NameSchedule()
    var now: UInt64 = 7
    schedule.keep(["a"], everyMilliseconds: every, now: now)
    for rest in rests {
      try #require(schedule.take(now: now) == "a")
      _ = schedule.answer("a", .failure(LookupError(text: "x")))
      schedule.settle("a", now: now)
      #expect(schedule.nextDue == now + rest)
      now += rest
    }
    for _ in 0..<100 {
      try #require(schedule.take(now: now) == "a")
      _ = schedule.answer("a", .failure(LookupError(text: "x")))
      schedule.settle("a", now: now)
      now = try #require(schedule.nextDue)
    }
    // A success begins anew.
    try #require(schedule.take(now: now) == "a")
    _ = schedule.answer("a", .success(one))
    schedule.settle("a", now: now)
    #expect(schedule.nextDue == now + UInt64(every))
  }

  @Test func forgettingAndKeepingAgain() {
    perform([
      (0, .keep(["a", "b"], every: 1_000)), (0, .take(["a", "b"])), (0, .found("a", one, .changed(one))),
      (0, .found("b", one, .changed(one))),
      (10, .keep(["b", "c"], every: 1_000)), (10, .known("a", nil)), (10, .known("b", one)), (10, .take(["c"])),
      (10, .found("c", two, .changed(two))), (10, .due(1_000)),
      // New again, as if it had never been known.
      (20, .keep(["a", "b", "c"], every: 1_000)), (20, .answered(["a"], false)), (20, .take(["a"])),
      (20, .found("a", one, .changed(one))),
      (30, .keep([], every: 1_000)), (30, .due(nil)), (30, .known("b", nil)), (9_999, .take([])),
    ])
  }

  @Test func anAnswerForAForgottenNameIsDropped() {
    perform([
      (0, .keep(["a"], every: 1_000)), (0, .take(["a"])), (10, .keep([], every: 1_000)), (10, .known("a", nil)),
      (10, .answered(["a"], true)), (20, .found("a", one, nil)), (20, .known("a", nil)), (20, .due(nil)),
    ])
  }

  /// A lookup that was begun before says nothing about now; and a name has one lookup at a time.
  @Test func anAnswerFromBeforeTheNameWasKeptAgainIsDropped() {
    perform([
      (0, .keep(["a"], every: 1_000)), (0, .take(["a"])), (10, .keep([], every: 1_000)),
      (20, .keep(["a"], every: 1_000)), (20, .take([])), (20, .due(nil)), (20, .answered(["a"], false)),
      (30, .found("a", one, nil)), (30, .known("a", nil)), (30, .answered(["a"], false)), (30, .due(30)),
      (30, .take(["a"])), (40, .found("a", two, .changed(two))), (40, .answered(["a"], true)), (40, .due(1_040)),
    ])
  }

  @Test func anotherInterval() {
    perform([
      (0, .keep(["a"], every: 30_000)), (0, .take(["a"])), (0, .found("a", one, .changed(one))), (0, .due(30_000)),
      (1_000, .keep(["a"], every: 2_000)), (1_000, .due(3_000)), (1_000, .keep(["a"], every: 300_000)),
      (1_000, .due(3_000)), (3_000, .take(["a"])), (3_000, .found("a", one, nil)), (3_000, .due(303_000)),
      // A name that fails rests as the new interval says, too.
      (303_000, .take(["a"])), (303_000, .failed("a", "x", .failed(LookupError(text: "x")))), (303_000, .due(308_000)),
      (303_000, .keep(["a"], every: 1_000)), (303_000, .due(304_000)),
    ])
  }

  /// News of a name never overtake each other: it is not taken again before they are delivered.
  @Test func aNameStaysTakenUntilItsNewsAreDelivered() {
    var schedule = NameSchedule()
    schedule.keep(["a"], everyMilliseconds: 1, now: 0)
    #expect(schedule.take(now: 0) == "a")
    #expect(schedule.answer("a", .success(one)) == .changed(one))
    #expect(schedule.take(now: 1_000) == nil)
    #expect(!schedule.isAnswered(["a"]))
    schedule.settle("a", now: 1_000)
    #expect(schedule.isAnswered(["a"]))
    #expect(schedule.take(now: 1_001) == "a")
  }

  @Test func whoHasWaitedLongestIsFirst() {
    perform([
      (0, .keep(["c"], every: 1_000)), (5, .keep(["c", "b"], every: 1_000)), (9, .keep(["c", "b", "a"], every: 1_000)),
      (9, .take(["c", "b", "a"])),
    ])
  }
}
