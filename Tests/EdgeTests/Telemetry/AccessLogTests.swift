import Foundation
import Testing

@testable import Edge

struct AccessLogTests {
  static let keys = [
    "time", "level", "event", "requestId", "worker", "listener", "client", "method", "host", "path", "route",
    "service", "endpoint", "status", "cause", "attempts", "replays", "requestBytes", "responseBytes", "duration",
    "upstreamDuration", "generation",
  ]

  private func line(
    _ record: ExchangeRecord, path: [UInt8] = raw("/a"), host: [UInt8] = raw("h"), id: [UInt8] = raw("ID"),
    peer: [UInt8] = []
  ) -> (text: String, overflowed: Bool) {
    let area = ByteArea([UInt8](repeating: 0, count: RecordText.bytes))
    var copy = record
    copy.pathCount = UInt16(path.count)
    copy.hostCount = UInt16(host.count)
    copy.requestIDCount = UInt16(id.count)
    copy.peerCount = UInt16(peer.count)
    for (index, byte) in peer.enumerated() { area.base[RecordText.peerOffset + index] = byte }
    for (index, byte) in path.enumerated() { area.base[RecordText.pathOffset + index] = byte }
    for (index, byte) in host.enumerated() { area.base[RecordText.hostOffset + index] = byte }
    for (index, byte) in id.enumerated() { area.base[RecordText.requestIDOffset + index] = byte }
    return written { $0.append(accessLine: copy, text: area.base) }
  }

  private func parsed(_ text: String) throws -> [String: Any] {
    let object = try JSONSerialization.jsonObject(with: Data(raw(text)))
    return try #require(object as? [String: Any])
  }

  @Test func goldenLine() throws {
    var record = ExchangeRecord()
    record.client = try #require(SocketAddress(numeric: "192.0.2.7", port: 5_000))
    record.listener = StaticBytes("main")
    record.route = StaticBytes("chat")
    record.service = StaticBytes("chat-service")
    record.endpoint = StaticBytes("127.0.0.1:3007")
    record.method = .post
    record.cause = .completed
    record.status = 200
    record.attempts = 2
    record.replays = 1
    record.worker = 1
    record.generation = 3
    record.requestBytes = 12
    record.responseBytes = 34_567
    record.startWall = 1_735_689_599_042_000_000
    record.start = 1_000_000_000
    record.sent = 1_000_500_000
    record.answered = 1_002_750_999
    record.end = 1_003_004_005
    let expected =
      #"{"time":"2024-12-31T23:59:59.042Z","level":"info","event":"exchange","requestId":"ID","worker":1,"#
      + #""listener":"main","client":"192.0.2.7","method":"POST","host":"h","path":"/a","route":"chat","#
      + #""service":"chat-service","endpoint":"127.0.0.1:3007","status":200,"cause":"completed","attempts":2,"#
      + #""replays":1,"requestBytes":12,"responseBytes":34567,"duration":3.004,"upstreamDuration":2.250,"#
      + #""generation":3}"# + "\n"
    let proxied = #""client":"192.0.2.7","peer":"10.0.0.1","method""#
    #expect(
      line(record, peer: raw("10.0.0.1")).text
        == expected.replacing(#""client":"192.0.2.7","method""#, with: proxied))
  }

  @Test func credentialsInPathsAreMasked() {
    let text = line(ExchangeRecord(), path: raw("/a/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig\u{1}/b;token=x")).text
    #expect(text.contains(#""path":"/a/***\u0001/b;token=***""#))
  }

  static let meteredKeys = ["provider", "model", "attempt", "fallbacks", "stream", "usage", "credits", "firstByte"]

  @Test func goldenMeteredLine() throws {
    var record = ExchangeRecord()
    record.isMetered = true
    record.provider = StaticBytes("openai")
    record.model = StaticBytes("gpt-4")
    record.attempt = ULID(high: 1, low: 2)
    record.streams = true
    record.usage = Usage(
      source: .reported, inputTokens: 120, cachedTokens: 20, cacheWriteTokens: 3, outputTokens: 45, reasoningTokens: 6)
    record.charge = Amount(units: 1_250_000_001)
    record.shortfall = Amount(units: 500_000_000)
    record.start = 1_000_000_000
    record.firstByte = 1_120_500_999
    record.end = 1_120_500_999
    record.generation = 2
    let expected =
      #""duration":120.500,"upstreamDuration":0.000,"provider":"openai","model":"gpt-4","#
      + #""attempt":"0000000000000G000000000002","fallbacks":0,"stream":true,"#
      + #""usage":{"source":"reported","inputTokens":120,"#
      + #""cachedTokens":20,"cacheWriteTokens":3,"outputTokens":45,"reasoningTokens":6},"credits":1.250000001,"#
      + #""shortfall":0.5,"firstByte":120.500,"generation":2}"# + "\n"
    let text = line(record).text
    #expect(text.hasSuffix(expected), "\(text)")
    let object = try parsed(text)
    #expect(Set(object.keys) == Set(AccessLogTests.keys + AccessLogTests.meteredKeys + ["shortfall"]))
  }

  /// Whom others have answered for.
  @Test func goldenFallback() {
    var record = ExchangeRecord()
    record.isMetered = true
    record.fallbacks = 2
    record.failedProvider = StaticBytes("open\"ai")
    record.failedCode = .rateLimitExceeded
    record.failedStatus = 429
    let expected =
      #","fallbacks":2,"failed":{"provider":"open\"ai","code":"RATE_LIMIT_EXCEEDED","status":429},"stream":false,"#
    #expect(line(record).text.contains(expected))
  }

  /// What was bought stands only in lines of what has a price; there, what never came to be is empty or 0.
  @Test func meteredWithoutAnAttempt() throws {
    var record = ExchangeRecord()
    record.start = 7
    record.isMetered = true
    let object = try parsed(line(record).text)
    #expect(Set(object.keys) == Set(AccessLogTests.keys + AccessLogTests.meteredKeys))
    #expect(object["attempt"] as? String == "" && object["stream"] as? Bool == false)
    #expect(object["credits"] as? Int == 0 && object["firstByte"] as? Double == 0)
    #expect((object["usage"] as? [String: Any])?["source"] as? String == "none")
    record.charge = Amount(units: 5)
    record.provider = StaticBytes("p")
    record.isMetered = false
    #expect(Set(try parsed(line(record).text).keys) == Set(AccessLogTests.keys))
  }

  @Test(arguments: [(UsageSource.none, "none"), (.reported, "reported"), (.estimated, "estimated")])
  func sourcesOfUsage(_ source: UsageSource, _ name: String) throws {
    var record = ExchangeRecord()
    record.isMetered = true
    record.usage.source = source
    record.usage.outputTokens = -4
    let usage = try #require(try parsed(line(record).text)["usage"] as? [String: Any])
    #expect(usage["source"] as? String == name && usage["outputTokens"] as? Int == 0)
  }

  /// Everything as long as it can be, in its widest escapes: the writer has room for it.
  @Test func theLongestLine() throws {
    let area = ByteArea([UInt8](repeating: 0, count: RecordText.bytes))
    let name = ByteArea([UInt8](repeating: 0x22, count: MetricNames.nameBytesMax))
    let names = StaticBytes(start: name.base, count: name.count)
    var record = ExchangeRecord()
    record.origin = .child
    (record.listener, record.route, record.service, record.endpoint, record.policy) = (
      names, names, names, names, names
    )
    (record.provider, record.model) = (names, names)
    record.methodCount = UInt16(Limits.methodBytesMax)
    record.pathCount = UInt16(Limits.recordPathBytes)
    record.hostCount = UInt16(Limits.recordHostBytes)
    record.requestIDCount = UInt16(Limits.requestIDBytes)
    record.principalCount = UInt16(Limits.recordPrincipalBytes)
    record.peerCount = UInt16(Limits.addressTextBytes)
    (record.requestBytes, record.responseBytes, record.end, record.answered) = (.max, .max, .max, .max)
    (record.sent, record.startWall, record.firstByte) = (1, .max, .max)
    record.isMetered = true
    record.usage = Usage(
      source: .estimated, inputTokens: .max, cachedTokens: .max, cacheWriteTokens: .max, outputTokens: .max,
      reasoningTokens: .max)
    (record.charge, record.shortfall) = (Amount(units: .min), Amount(units: .max))
    let outcome = written(capacity: Log.recordBytesMax) { $0.append(accessLine: record, text: area.base) }
    #expect(!outcome.overflowed)
    #expect(outcome.text.utf8.count > 4_096)
    _ = try parsed(outcome.text)
  }

  @Test func emptyRecord() throws {
    let outcome = line(ExchangeRecord(), path: [], host: [], id: [])
    #expect(!outcome.overflowed)
    let object = try parsed(outcome.text)
    #expect(Set(object.keys) == Set(AccessLogTests.keys))
    #expect(object["upstreamDuration"] as? Double == 0)
    #expect(object["path"] as? String == "")
  }

  @Test func whatNoClientAskedForSaysSo() throws {
    var record = ExchangeRecord()
    record.origin = .background
    var object = try parsed(line(record).text)
    #expect(object["origin"] as? String == "background" && object["parent"] == nil)
    record.origin = .child
    record.parent = ULID(high: 1, low: 2)
    object = try parsed(line(record).text)
    #expect(object["origin"] as? String == "child")
    #expect((object["parent"] as? String)?.count == 26)
  }

  @Test func messages() throws {
    var record = ExchangeRecord()
    record.origin = .message
    let area = ByteArea([UInt8](repeating: 0, count: RecordText.bytes))
    for (index, byte) in raw("a-1:b").enumerated() { area.base[RecordText.messageOffset + index] = byte }
    record.messageCount = 5
    let text = written { $0.append(accessLine: record, text: area.base) }.text
    #expect(text.contains(#","origin":"message","messageId":"a-1:b","listener":"#), "\(text)")
    #expect(Set(try parsed(text).keys) == Set(AccessLogTests.keys + ["origin", "messageId"]))
    record.origin = .client
    #expect(Set(try parsed(line(record).text).keys) == Set(AccessLogTests.keys))
  }

  @Test func ipv6Client() throws {
    var record = ExchangeRecord()
    record.client = try #require(SocketAddress(numeric: "2001:db8::1", port: 1))
    #expect(try parsed(line(record).text)["client"] as? String == "2001:db8::1")
  }

  @Test func everyCauseIsItsName() throws {
    for cause in EndCause.allCases {
      var record = ExchangeRecord()
      record.cause = cause
      #expect(try parsed(line(record).text)["cause"] as? String == cause.name.description)
    }
  }

  /// The widest escapes in every text: still one valid line that 4,096 bytes take.
  @Test(arguments: [UInt8(0), 0x0a, 0x22, 0x5c, 0x7f, 0x80, 0xc0, 0xff])
  func hostileBytes(_ byte: UInt8) throws {
    let outcome = line(
      ExchangeRecord(), path: [UInt8](repeating: byte, count: Limits.recordPathBytes),
      host: [UInt8](repeating: byte, count: Limits.recordHostBytes),
      id: [UInt8](repeating: byte, count: Limits.requestIDBytes))
    #expect(!outcome.overflowed)
    #expect(outcome.text.hasSuffix("}\n"))
    #expect(outcome.text.utf8.filter { $0 == 0x0a }.count == 1)
    let object = try parsed(outcome.text)
    #expect(Set(object.keys) == Set(AccessLogTests.keys))
    #expect((object["path"] as? String)?.unicodeScalars.count == Limits.recordPathBytes)
  }

  @Test func randomBytes() throws {
    var random = SeededGenerator(seed: 4)
    for _ in 0..<300 {
      let outcome = line(
        ExchangeRecord(), path: random.bytes(random.below(Limits.recordPathBytes + 1)),
        host: random.bytes(random.below(Limits.recordHostBytes + 1)))
      #expect(Set(try parsed(outcome.text).keys) == Set(AccessLogTests.keys))
      #expect(outcome.text.utf8.filter { $0 == 0x0a }.count == 1)
    }
  }

  @Test func extremeNumbers() throws {
    var record = ExchangeRecord()
    record.requestBytes = .max
    record.responseBytes = .max
    record.status = .max
    record.generation = .max
    record.end = .max
    let outcome = line(record)
    #expect(!outcome.overflowed)
    #expect(outcome.text.contains(#""requestBytes":18446744073709551615"#))
    _ = try parsed(outcome.text)
  }
}
