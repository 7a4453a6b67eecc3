// Single values: quantities, addresses, hosts, names and nearness.

import Testing

@testable import Edge

@Suite struct ValueTests {
  @Test(arguments: [
    ("0", 0), ("0s", 0), ("1ms", 1), ("30s", 30_000), ("2m", 120_000), ("24h", 86_400_000),
  ])
  func durations(_ text: String, _ value: Int) throws {
    #expect(try QuantityUnit.duration.read(text, within: 0...86_400_000) == value)
  }

  @Test(arguments: [
    "", "s", "30", "30 s", "-1s", "+1s", "1.5s", "1d", "1S", "1Ms", "01s", "25h", "1e3s", "٣s", "1s1ms",
  ])
  func badDurations(_ text: String) {
    #expect(throws: ValueComplaint.self) { try QuantityUnit.duration.read(text, within: 0...86_400_000) }
  }

  @Test(arguments: [("0", 0), ("1B", 1), ("16KiB", 16_384), ("10MiB", 10_485_760), ("16GiB", 17_179_869_184)])
  func sizes(_ text: String, _ value: Int) throws {
    #expect(try QuantityUnit.size.read(text, within: 0...(16 << 30)) == value)
    #expect(try QuantityUnit.size.read(QuantityUnit.size.text(value), within: 0...(16 << 30)) == value)
  }

  @Test(arguments: ["10", "10MB", "10mib", "10K", "17GiB", "99999999999GiB"]) func badSizes(_ text: String) {
    #expect(throws: ValueComplaint.self) { try QuantityUnit.size.read(text, within: 0...(16 << 30)) }
  }

  @Test(arguments: [
    ("127.0.0.1:80", "127.0.0.1", 80), ("*:0", "*", 0), ("[::1]:3003", "::1", 3003), ("[0:0::1]:65535", "::1", 65535),
    ("0.0.0.0:1", "0.0.0.0", 1), ("[::ffff:10.0.0.1]:1", "::ffff:10.0.0.1", 1),
  ])
  func binds(_ text: String, _ host: String, _ port: UInt16) throws {
    #expect(try HostPort.readBind(text) == HostPort(host: host, port: port))
  }

  @Test(arguments: [
    "", ":", ":80", "80", "*", "localhost:80", "::1:80", "[::1]", "[::1]80", "[::1", "[1.2.3.4]:80", "1.2.3.4:",
    "1.2.3.4:65536", "1.2.3.4:08", "1.2.3.4:+8", "1.2.3:80", "01.2.3.4:80", "1.2.3.4:8:9", "[::1%eth0]:80",
  ])
  func badBinds(_ text: String) {
    #expect(throws: ValueComplaint.self) { try HostPort.readBind(text) }
  }

  @Test(arguments: [
    ("http://h", "http://h:80"), ("HTTP://H:81", "http://h:81"), ("http://[::1]", "http://[::1]:80"),
    ("http://10.1.2.3:8080", "http://10.1.2.3:8080"), ("https://h", "https://h:443"), ("HttpS://H:80", "https://h:80"),
    ("https://[::1]", "https://[::1]:443"),
    ("http://chat_service.internal:1", "http://chat_service.internal:1"),
  ])
  func endpoints(_ text: String, _ canonical: String) throws {
    #expect(try Endpoint.read(text).text == canonical)
  }

  @Test(arguments: [
    "", "h", "h:80", "https://", "https:h", "https://h/", "https://h:0", "http://", "http://h/", "http://h/x",
    "http://h?x", "http://h#x", "http://u@h",
    "http://h:0", "http://h:99999", "http://h:", "http://-h", "http://h..i", "http://h i", "http://[h]",
    "http://1.2.3.4.5",
    "http://::1", "ftp://h", "://h", "http://é",
  ])
  func badEndpoints(_ text: String) {
    #expect(throws: ValueComplaint.self) { try Endpoint.read(text) }
  }

  @Test(arguments: [
    ("0", 0), ("1", 1_000_000_000), ("0.03", 30_000_000), ("0.000000001", 1), ("12.5", 12_500_000_000),
    ("1.0000000000", 1_000_000_000), ("999.999999999", 999_999_999_999), ("1000", 1_000_000_000_000),
  ])
  func decimals(_ text: String, _ units: Int) throws {
    let type = ValueType.decimal(places: 9, 0...1_000)
    let input = ScalarInput(text: text, resolves: true, isFree: false, hidden: [])
    #expect(try type.read(input) == .integer(units))
    #expect(try type.read(.literal(DecimalValue.text(units, places: 9))) == .integer(units))
    #expect(try DecimalValue.read(input, places: 9, within: 0...1_000) == units)
    #expect(throws: ValueComplaint.self, "in quotes") {
      try type.read(ScalarInput(text: text, resolves: false, isFree: false, hidden: []))
    }
  }

  @Test(arguments: [
    "", ".", "1.", ".5", "-1", "+1", "1e3", "0x1", "1_0", "1,5", "1.2.3", "00", "01.5", " 1", "٣", "inf", ".nan",
    "0.0000000001", "1000.000000001", "1001", "99999999999999999999", "0.1 ",
  ])
  func badDecimals(_ text: String) {
    let input = ScalarInput(text: text, resolves: true, isFree: false, hidden: [])
    #expect(throws: ValueComplaint.self) { try DecimalValue.read(input, places: 9, within: 0...1_000) }
  }

  @Test(arguments: [
    ("", true), ("/v1", true), ("/openai/deployments/a.b-c", true), ("v1", false), ("/", false), ("/v1/", false),
    ("//", false), ("/a//b", false), ("/./b", false), ("/a/..", false), ("/a?b", false), ("/a b", false),
    ("/%41", false), ("/é", false), ("http://h/v1", false),
  ])
  func basePaths(_ text: String, _ isValid: Bool) {
    #expect((try? BasePathText.read(text)) == (isValid ? text : nil))
  }

  @Test(arguments: [
    ("", true), ("x", true), ("sk-proj_A/b+c=", true), ("a b", false), ("é", false), ("a\t", false),
    (String(repeating: "k", count: 1_024), true), (String(repeating: "k", count: 1_025), false),
  ])
  func keys(_ text: String, _ isValid: Bool) {
    #expect((try? SecretText.readKey(text))?.bytes == (isValid ? Array(text.utf8) : nil))
  }

  @Test(arguments: [
    ("gpt-3.5-turbo", true), ("Llama:70B_x", true), ("0", true), ("", false), ("-a", false), (":a", false),
    ("a/b", false), ("a b", false), ("a\"b", false), (String(repeating: "m", count: 128), true),
    (String(repeating: "m", count: 129), false),
  ])
  func modelNames(_ text: String, _ isValid: Bool) {
    #expect((try? NameText.read(text, of: .model)) == (isValid ? text : nil))
  }

  @Test func serverNames() throws {
    #expect(try HostText.nameOnly("API.Example.com") == "api.example.com")
    for text in ["", "10.0.0.1", "::1", "[::1]", "https://h", "h:443", "*.h", "h/", "-h", "h..i", "é"] {
      #expect(throws: ValueComplaint.self, "\(text)") { try HostText.nameOnly(text) }
    }
  }

  @Test(arguments: [
    ("Example.COM", "example.com"), ("*.Example.com", "*.example.com"), ("[::0]", "[::]"), ("10.0.0.1", "10.0.0.1"),
    ("xn--bcher-kva.example", "xn--bcher-kva.example"), ("a", "a"),
  ])
  func hosts(_ text: String, _ canonical: String) throws {
    #expect(try HostPattern.read(text).text == canonical)
  }

  @Test(arguments: [
    "", "*", "*.", "*a.b", "a.*.b", "a:80", "::1", "http://a", "a..b", ".a", "a.", "a b", "a/b", "1.2.3",
  ])
  func badHosts(_ text: String) {
    #expect(throws: ValueComplaint.self) { try HostPattern.read(text) }
  }

  @Test(arguments: ["0.0.0.0/0", "10.0.0.0/8", "192.0.2.7/32", "::/0", "fd00::/8", "2001:db8::/33"])
  func blocks(_ text: String) throws {
    #expect(try AddressBlock.read(text).text == text)
  }

  @Test(arguments: [
    "", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08", "10.0.0.1/31", "::1/0", "lan", "10/8",
  ])
  func badBlocks(_ text: String) {
    #expect(throws: ValueComplaint.self) { try AddressBlock.read(text) }
  }

  @Test(arguments: ["a", "0", "chat-service", "a.b_c-d", String(repeating: "x", count: 64)]) func names(
    _ text: String
  ) throws {
    #expect(try NameText.read(text, of: .service) == text)
  }

  @Test(arguments: ["", "-a", ".a", "_a", "A", "a b", "a/b", "é", String(repeating: "x", count: 65)])
  func badNames(_ text: String) {
    #expect(throws: ValueComplaint.self) { try NameText.read(text, of: .service) }
  }

  @Test(arguments: [
    ("servce", "service"), ("SERVICE", "service"), ("body-size", "body_size"), ("methosd", "methods"),
    ("warning", "warn"),
    ("pth", "path"),
  ])
  func near(_ wrong: String, _ right: String) {
    let known = ["path", "service", "body_size", "methods", "warn", "id"]
    #expect(Nearness.nearest(to: wrong, among: known) == right)
  }

  @Test(arguments: ["", "xy", "colour", "a", "ix", String(repeating: "service", count: 20)]) func notNear(
    _ wrong: String
  ) {
    #expect(Nearness.nearest(to: wrong, among: ["path", "service", "methods", "id"]) == nil)
  }
}
