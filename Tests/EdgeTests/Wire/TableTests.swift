import CLinux
import Testing

@testable import Edge

struct HeadFaultTests {
  @Test func rowsStandInTheOrderOfTheCases() {
    #expect(HeadFaultRow.table.count == HeadFault.allCases.count)
    for fault in HeadFault.allCases { #expect(fault.row.fault == fault) }
  }

  @Test func messagesNeedNoEscaping() {
    for row in HeadFaultRow.table {
      #expect(row.message.description.utf8.allSatisfy { (0x20...0x7e).contains($0) && $0 != 0x22 && $0 != 0x5c })
    }
  }

  /// Statuses of framing faults: 400 but for what has a status of its own.
  @Test func statuses() {
    let others: [HeadFault: UInt16] = [
      .unknownVersion: 505, .tooLarge: 431, .tooManyFields: 431, .unknownTransferEncoding: 501, .badExpectation: 417,
      .badStatusLine: 502, .notSecure: 421,
    ]
    for fault in HeadFault.allCases { #expect(fault.row.code.row.status == others[fault] ?? 400, "\(fault)") }
  }

  /// Every fault is raised by some vector of the parsers, or by the driver, which reads targets and hosts and knows
  /// what a listener speaks.
  @Test func everyFaultIsRaised() {
    var raised: Set<HeadFault> = [.badTarget, .badHost, .hostMismatch, .notSecure, .plainText]
    for vector in RequestVectors.all + ResponseVectors.all {
      if case .fault(let fault) = vector.outcome { raised.insert(fault) }
    }
    for vector in BodyVectors.all { if let fault = vector.fault { raised.insert(fault) } }
    // Raised by the tests of limits.
    raised.formUnion([.tooLarge, .tooManyFields])
    let missing = HeadFault.allCases.filter { !raised.contains($0) }
    #expect(missing.isEmpty, "nothing raises \(missing)")
  }
}

struct KnownHeaderTests {
  private let arena = Arena()
  private let index: KnownHeaderIndex

  init() { index = KnownHeaderIndex(arena: arena) }

  private func find(_ name: String) -> (header: KnownHeader, treatment: HeaderTreatment) {
    let area = ByteArea(raw(name))
    return index.find(area.base, area.count)
  }

  @Test func rowsStandInTheOrderOfTheCases() {
    #expect(HeaderRow.table.count == KnownHeader.allCases.count)
    for header in KnownHeader.allCases { #expect(header.row.header == header) }
    #expect(Set(HeaderRow.table.map(\.name.description)).count == HeaderRow.table.count)
    for row in HeaderRow.table { #expect(row.name.description == row.name.description.lowercased()) }
  }

  @Test func everyRowIsFoundInAnyCase() {
    for row in HeaderRow.table where row.header != .other {
      let name = row.name.description
      let mixed = String(name.enumerated().map { $0.offset % 2 == 0 ? Character($0.element.uppercased()) : $0.element })
      for spelling in [name, name.uppercased(), mixed, name.capitalized] {
        #expect(find(spelling).header == row.header, "\(spelling)")
        #expect(find(spelling).treatment == row.treatment)
      }
    }
  }

  @Test func nearNamesAreOthers() {
    let names = Set(HeaderRow.table.map(\.name.description))
    for name in names where !name.isEmpty {
      var near = [name + "s", name + "-", "x" + name, String(name.dropLast()), String(name.dropFirst())]
      near.append(name.replacing("-", with: "_"))
      for place in name.indices {
        var changed = name
        changed.replaceSubrange(place...place, with: name[place] == "z" ? "y" : "z")
        near.append(changed)
      }
      for other in near where !other.isEmpty && !names.contains(other) {
        #expect(find(other).header == .other, "\(other)")
        #expect(find(other).treatment == [])
      }
    }
  }

  /// What only ends, middle and length share with a row is not it.
  @Test func namesAreComparedWhole() {
    for row in HeaderRow.table where row.name.utf8CodeUnitCount > 4 {
      var name = Array(row.name.description.utf8)
      name[1] = name[1] == 0x71 ? 0x7a : 0x71
      #expect(find(latin(name)).header == .other, "\(latin(name))")
    }
  }

  /// RFC 9110 section 7.6.1: these concern one connection.
  @Test func hopByHopFields() {
    let names = [
      "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
      "proxy-authenticate", "proxy-authorization", "http2-settings",
    ]
    for name in names { #expect(find(name).treatment.contains(.hopByHop), "\(name)") }
  }
}

struct ByteClassTests {
  private let arena = Arena()

  private func members(_ bits: ByteClass) -> String {
    let classes = ByteClasses(arena: arena)
    return latin((UInt8.min...UInt8.max).filter { classes.has($0, bits) })
  }

  private let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
  private let digits = "0123456789"

  @Test func grammars() {
    #expect(Set(members(.token)) == Set("!#$%&'*+-.^_`|~" + digits + letters), "RFC 9110 section 5.6.2")
    #expect(Set(members(.unreserved)) == Set("-._~" + digits + letters), "RFC 3986 section 2.3")
    #expect(members(.digit) == digits)
    #expect(Set(members(.hexDigit)) == Set(digits + "abcdefABCDEF"))
    #expect(Set(members(.host)) == Set("-._" + digits + letters))
    let pathCharacters = "!$&'()*+,;=:@/-._~" + digits + letters
    #expect(Set(members(.path)).isSuperset(of: pathCharacters))
    #expect(Set(members(.query)).isSuperset(of: pathCharacters + "?%"))
    for byte in [0x00, 0x09, 0x0a, 0x0d, 0x20, 0x22, 0x23, 0x3c, 0x3e, 0x5c, 0x7f, 0x80, 0xff] as [UInt8] {
      #expect(!members(.path).contains(latin([byte])) && !members(.query).contains(latin([byte])))
    }
    #expect(!members(.path).contains("%") && !members(.path).contains("?"))
  }

  @Test func hexadecimalDigits() {
    for byte in UInt8.min...UInt8.max {
      let value = byte < 0x80 ? Character(Unicode.Scalar(byte)).hexDigitValue : nil
      #expect(hexValue(byte) == value.map { UInt8($0) } ?? 255)
    }
  }

  /// Sixteen bytes at a time and one by one agree, wherever the byte stands.
  @Test func controlBytes() {
    for byte in UInt8.min...UInt8.max {
      let isControl = byte < 0x20 && byte != 0x09 || byte == 0x7f
      for place in 0..<40 {
        for filler in [0x41, 0x09, 0x80, 0xff, 0x20, 0x7e] as [UInt8] {
          var bytes = [UInt8](repeating: filler, count: 40)
          bytes[place] = byte
          let area = ByteArea(bytes)
          let found = Int(edge_control_byte(area.base, 40))
          if found != (isControl ? place : 40) || holdsControlByte(area.base, 40) != isControl {
            Issue.record("byte \(byte) at \(place) among \(filler)")
          }
        }
      }
    }
    let area = ByteArea([0])
    #expect(!holdsControlByte(area.base, 0))
  }

  /// Letters, digits and dashes sixteen at a time, as many as a loop would find.
  @Test func plainNames() {
    func isPlain(_ byte: UInt8) -> Bool {
      byte == 0x2d || (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte | 0x20) && byte < 0x80
    }
    for byte in UInt8.min...UInt8.max {
      for place in 0..<40 {
        var bytes = raw("Content-Security-Policy-Report-Only-2026")
        bytes[place] = byte
        for count in [40, 33, 21, 3] {
          let expected = bytes.prefix(count).prefix(while: isPlain).count
          let area = ByteArea(Array(bytes.prefix(count)))
          if Int(edge_plain_name(area.base, count)) != expected { Issue.record("byte \(byte) at \(place) of \(count)") }
        }
      }
    }
  }

  /// A name of the table is found in every case of its letters, and nothing else of its length that is a token.
  @Test func namesOfTheTable() {
    let arena = Arena()
    defer { withExtendedLifetime(arena) {} }
    let index = KnownHeaderIndex(arena: arena)
    let tokens = Array("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8)
    for row in HeaderRow.table where row.header != .other {
      let name = Array("\(row.name)".utf8)
      #expect(name.allSatisfy { $0 == 0x2d || (0x30...0x39).contains($0) || (0x61...0x7a).contains($0) })
      for place in 0..<name.count {
        for token in tokens {
          var bytes = name
          bytes[place] = token
          let isSame = foldCase(token) == name[place]
          let area = ByteArea(bytes)
          if equalTokens(area.base, row.name.utf8Start, name.count) != isSame { Issue.record("\(token) in \(name)") }
          if isSame, index.find(area.base, name.count).header != row.header { Issue.record("\(name) is not found") }
        }
      }
    }
  }
}
