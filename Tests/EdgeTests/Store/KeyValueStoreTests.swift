import Testing

@testable import Edge

extension KeyValueStore {
  func text(_ key: String, now: UInt64 = 0) -> String? {
    let key = Array(key.utf8)
    var buffer = [UInt8](repeating: 0, count: KeyValueStore.valueBytesMax)
    guard let count = buffer.withUnsafeMutableBytes({ read(key, key.count, into: $0, now: now) }) else { return nil }
    return latin(Array(buffer[..<count]))
  }

  func set(_ key: String, _ value: String, ttl: UInt64? = nil, now: UInt64 = 0) throws(KeyValueError) {
    let key = Array(key.utf8)
    let value = raw(value)
    try set(key, key.count, to: value, value.count, ttlNanoseconds: ttl, now: now)
  }

  func add(_ key: String, _ number: Int64, ttl: UInt64? = nil, now: UInt64 = 0) throws(KeyValueError) -> Int64 {
    let key = Array(key.utf8)
    return try add(key, key.count, number, ttlNanoseconds: ttl, now: now)
  }

  @discardableResult
  func delete(_ key: String, now: UInt64 = 0) -> Bool {
    let key = Array(key.utf8)
    return delete(key, key.count, now: now)
  }
}

@Suite struct KeyValueStoreTests {
  private static func cost(_ key: String, _ value: String) -> Int {
    KeyValueSlot.cost(keyCount: key.utf8.count, valueCount: value.unicodeScalars.count)
  }

  @Test func setReadDelete() throws {
    let store = try #require(KeyValueStore())
    #expect(store.text("a") == nil)
    try store.set("a", "one")
    try store.set("", "empty key")
    try store.set("b", "")
    try store.set("bytes", "\u{0}\u{ff}\n")
    #expect(store.text("a") == "one")
    #expect(store.text("") == "empty key")
    #expect(store.text("b") == "")
    #expect(store.text("bytes") == "\u{0}\u{ff}\n")
    try store.set("a", "another, longer than twenty bytes")
    #expect(store.text("a") == "another, longer than twenty bytes")
    #expect(store.delete("a"))
    #expect(!store.delete("a"))
    #expect(store.text("a") == nil)
    for key in ["", "b", "bytes"] { store.delete(key) }
    #expect(store.usedBytes == 0)
  }

  @Test func aSmallBufferGetsTheBeginning() throws {
    let store = try #require(KeyValueStore())
    try store.set("a", "12345")
    let area = ByteArea([0, 0, 0])
    let buffer = UnsafeMutableRawBufferPointer(start: area.base, count: 3)
    #expect(store.read([0x61], 1, into: buffer, now: 0) == 5)
    #expect(area.bytes == raw("123"))
    #expect(store.read([0x61], 1, into: UnsafeMutableRawBufferPointer(start: nil, count: 0), now: 0) == 5)
  }

  @Test func endsToTheNanosecond() throws {
    let store = try #require(KeyValueStore())
    try store.set("a", "1", ttl: 100, now: 1_000)
    #expect(store.text("a", now: 1_099) == "1")
    #expect(store.text("a", now: 1_100) == nil)
    try store.set("a", "2", ttl: 100, now: 1_050)
    #expect(store.text("a", now: 1_149) == "2")
    // Without an end now, whatever the one before had.
    try store.set("a", "3", now: 1_100)
    #expect(store.text("a", now: .max - 1) == "3")
    try store.set("b", "4", ttl: .max, now: 1_000)
    #expect(store.text("b", now: .max - 1) == "4")
    try store.set("c", "5", ttl: 0, now: 1_000)
    #expect(store.text("c", now: 1_000) == nil)
    #expect(!store.delete("c", now: 1_000))
  }

  @Test func lengths() throws {
    let store = try #require(KeyValueStore())
    let key = String(repeating: "k", count: 256)
    let value = String(repeating: "v", count: 64 << 10)
    try store.set(key, value)
    #expect(store.text(key) == value)
    #expect(throws: KeyValueError.valueTooLong) { try store.set("a", value + "v") }
    #expect(throws: KeyValueError.keyTooLong) { try store.set(key + "k", "v") }
    #expect(throws: KeyValueError.keyTooLong) { try store.add(key + "k", 1) }
    #expect(store.text(key + "k") == nil)
    #expect(!store.delete(key + "k"))
    #expect(try store.add(String(repeating: "n", count: 256), .min) == .min)
  }

  // MARK: Numbers

  @Test func adding() throws {
    let store = try #require(KeyValueStore())
    #expect(try store.add("n", 5, ttl: 100, now: 0) == 5)
    #expect(try store.add("n", -7, ttl: 100, now: 50) == -2)
    #expect(store.text("n", now: 99) == "-2")
    // The end is that of the first.
    #expect(try store.add("n", 1, ttl: 100, now: 100) == 1)
    #expect(store.text("n", now: 199) == "1")
    #expect(store.text("n", now: 200) == nil)
    try store.set("m", "41")
    #expect(try store.add("m", 1) == 42)
    #expect(try store.add("m", 0) == 42)
    #expect(try store.add("low", .min) == .min)
    #expect(store.text("low") == "-9223372036854775808")
    #expect(throws: KeyValueError.overflow) { try store.add("low", -1) }
    #expect(try store.add("low", .max) == -1)
    #expect(try store.add("high", .max) == .max)
    #expect(throws: KeyValueError.overflow) { try store.add("high", 1) }
    #expect(store.text("high") == "9223372036854775807")
  }

  @Test(arguments: [
    "", "-", "x", "1x", " 1", "1 ", "+1", "1.0", "0x1", "9223372036854775808", "-9223372036854775809",
    "000000000000000000001", "12345678901234567890123",
  ]) func notANumber(text: String) throws {
    let store = try #require(KeyValueStore())
    try store.set("a", text)
    #expect(throws: KeyValueError.notANumber) { try store.add("a", 1) }
    #expect(store.text("a") == text)
  }

  @Test(arguments: [("0", 1), ("-0", 1), ("007", 8), ("-9223372036854775808", -9_223_372_036_854_775_807)])
  func numbers(text: String, sum: Int64) throws {
    let store = try #require(KeyValueStore())
    try store.set("a", text)
    #expect(try store.add("a", 1) == sum)
    #expect(store.text("a") == "\(sum)")
  }

  // MARK: Room

  @Test func fullThenExpired() throws {
    let each = KeyValueStoreTests.cost("key 000", "value")
    let store = try #require(KeyValueStore(bytesMax: 100 * each + each / 2))
    for number in 100..<200 { try store.set("key \(number)", "value", ttl: number < 150 ? 1_000 : nil) }
    #expect(store.usedBytes == 100 * each)
    #expect(throws: KeyValueError.full) { try store.set("key 200", "value", now: 999) }
    #expect(throws: KeyValueError.full) { try store.add("key 200", 1, now: 999) }
    // What is there can be read, replaced by as much, counted, and made larger as far as there is room.
    #expect(store.text("key 100", now: 999) == "value")
    try store.set("key 199", "other", now: 999)
    try store.set("key 198", "7", now: 999)
    #expect(try store.add("key 198", 1, now: 999) == 8)
    try store.set("key 197", String(repeating: "v", count: 20 + each / 2), now: 999)
    #expect(throws: KeyValueError.full) { try store.set("key 196", String(repeating: "v", count: 21), now: 999) }
    #expect(store.text("key 196", now: 999) == "value")
    try store.set("key 197", "value", now: 999)
    // Fifty end: fifty others may come, and the ones without an end stay.
    for number in 200..<250 {
      if number % 2 == 0 {
        try store.set("key \(number)", "value", now: 1_000)
      } else {
        #expect(try store.add("key \(number)", 1, now: 1_000) == 1)
      }
    }
    #expect(throws: KeyValueError.full) { try store.set("key 250", "value", now: 1_000) }
    #expect((150..<196).allSatisfy { store.text("key \($0)", now: 1_000) == "value" })
    #expect(store.usedBytes == 100 * each)
  }

  @Test func theBoundHolds() throws {
    let store = try #require(KeyValueStore())
    let value = String(repeating: "v", count: 64 << 10)
    var kept = 0
    while true {
      do { try store.set("\(kept)", value) } catch { break }
      kept += 1
    }
    // 256 would fit without their keys and what else they cost.
    #expect(kept == 255)
    #expect(store.usedBytes <= 16 << 20)
  }

  @Test func smallOnesFillItToo() throws {
    let store = try #require(KeyValueStore(bytesMax: 1 << 20))
    var kept = 0
    while true {
      do { try store.set("\(kept)", "") } catch { break }
      kept += 1
    }
    #expect(store.usedBytes > 1 << 20 - 200, "a shard was crowded at \(kept)")
  }

  @Test func callsSweepAsTheyGo() throws {
    let store = try #require(KeyValueStore(bytesMax: 64 << 10))
    for number in 0..<200 { try store.set("\(number)", "value", ttl: 10) }
    try store.set("kept", "value")
    for number in 0..<8_000 { _ = store.text("other \(number)", now: 10) }
    #expect(store.usedBytes == KeyValueStoreTests.cost("kept", "value"))
    #expect(store.text("kept", now: 10) == "value")
  }

  @Test(arguments: 1...4 as ClosedRange<UInt64>) func likeADictionary(seed: UInt64) throws {
    let bytesMax = 24 << 10
    let store = try #require(KeyValueStore(bytesMax: bytesMax))
    var model: [String: (value: String, end: UInt64)] = [:]
    var random = SeededGenerator(seed: seed)
    var now: UInt64 = 1
    var full = 0
    for step in 0..<6_000 {
      now += UInt64(random.below(3))
      model = model.filter { $0.value.end > now }
      let key = "\(random.below(400))"
      let ttl: UInt64? = random.below(4) == 0 ? nil : UInt64(random.below(800))
      let end = ttl.map { now + $0 } ?? .max
      switch random.below(6) {
      case 0, 1:
        let value = String(repeating: "v", count: random.below(random.below(40) == 0 ? 3_000 : 60))
        let others = model.filter { $0.key != key }.reduce(0) { $0 + KeyValueStoreTests.cost($1.key, $1.value.value) }
        do {
          try store.set(key, value, ttl: ttl, now: now)
          model[key] = (value, end)
        } catch {
          #expect(error == .full && others + KeyValueStoreTests.cost(key, value) > bytesMax, "step \(step)")
          full += 1
        }
      case 2:
        let before = model[key]
        let sum = before.map { Int64($0.value).map { $0 + 1 } } ?? 1
        do {
          let found = try store.add(key, 1, ttl: ttl, now: now)
          #expect(found == sum, "step \(step)")
          model[key] = ("\(found)", before?.end ?? end)
        } catch {
          #expect(error == .notANumber ? before != nil && sum == nil : error == .full && before == nil, "step \(step)")
        }
      case 3:
        #expect(store.delete(key, now: now) == (model[key] != nil), "step \(step)")
        model[key] = nil
      default:
        #expect(store.text(key, now: now) == model[key]?.value, "step \(step)")
      }
      #expect(store.usedBytes <= bytesMax)
    }
    #expect(full > 50)
    for (key, entry) in model { #expect(store.text(key, now: now) == entry.value) }
  }

  // MARK: Threads

  @Test func everyAdditionCounts() throws {
    let store = try #require(KeyValueStore())
    let thread: @Sendable () -> Void = {
      for round in 0..<10_000 {
        guard (try? store.add("\(round % 7)", 3, ttl: nil, now: 0)) != nil else {
          Issue.record("no sum")
          return
        }
      }
    }
    onThreads([thread, thread, thread, thread])
    let sums = (0..<7).map { Int(store.text("\($0)") ?? "") ?? 0 }
    #expect(sums.reduce(0, +) == 120_000)
  }

  @Test func nobodySeesHalfAValue() throws {
    let store = try #require(KeyValueStore(bytesMax: 256 << 10))
    let bodies = (0..<4).map { thread -> @Sendable () -> Void in
      {
        var random = SeededGenerator(seed: UInt64(thread))
        for round in 0..<6_000 {
          let key = "\(random.below(20))"
          let now = UInt64(round)
          switch random.below(8) {
          case 0: store.delete(key, now: now)
          case 1, 2:
            let letter = Character(Unicode.Scalar(UInt8(0x61 + random.below(26))))
            let value = String(repeating: letter, count: random.below(round % 100 == 0 ? 60_000 : 300))
            try? store.set(key, value, ttl: UInt64(random.below(200)), now: now)
          default:
            var buffer = [UInt8](repeating: 0, count: KeyValueStore.valueBytesMax)
            let name = Array(key.utf8)
            let count = buffer.withUnsafeMutableBytes { store.read(name, name.count, into: $0, now: now) }
            if let count, let first = buffer.first, !buffer[..<count].allSatisfy({ $0 == first }) {
              Issue.record("a mixed value")
            }
          }
        }
      }
    }
    onThreads(bodies)
    for number in 0..<20 { store.delete("\(number)", now: 0) }
    #expect(store.usedBytes == 0)
  }
}
