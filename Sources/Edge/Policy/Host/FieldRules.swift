// What may stand in a header field that a script writes (RFC 9110 section 5).
// Called by the functions that take fields of scripts, before anything is kept of them.

import Glibc

/// The rules for fields of scripts.
enum FieldRules {
  /// A token.
  static func isName(_ name: UnsafeBufferPointer<UInt8>) -> Bool {
    guard !name.isEmpty, name.count <= 64 else { return false }
    for byte in name {
      switch byte {
      case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E, 0x21, 0x23...0x27, 0x2A, 0x2B, 0x5E, 0x60,
        0x7C:
        continue
      default: return false
      }
    }
    return true
  }

  /// Anything but control characters, without blanks at its ends.
  static func isValue(_ value: UnsafeBufferPointer<UInt8>) -> Bool {
    if value.count > 4 << 10 { return false }
    if let first = value.first, first == 0x20 || first == 0x09 { return false }
    if let last = value.last, last == 0x20 || last == 0x09 { return false }
    for byte in value where byte < 0x20 && byte != 0x09 || byte == 0x7f { return false }
    return true
  }

  /// Whether Edge alone decides what the field says: where messages end, whom they are for, who sent them.
  static func isReserved(_ name: UnsafeBufferPointer<UInt8>) -> Bool {
    guard let start = name.baseAddress else { return false }
    for row in HeaderRow.table where equalLowered(start, name.count, row.name) {
      return row.header == .via || row.header == .date || row.header == .maxForwards
        || !row.treatment.isDisjoint(with: [.hopByHop, .rewritten, .claim, .dropped])
    }
    return false
  }
}
