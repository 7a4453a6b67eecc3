// Comparison of byte runs. Field names are compared without regard to ASCII case (RFC 9110 section 5.1).
// Called wherever names on the wire meet names in tables; it never looks at more bytes than it is given.

import Glibc

@inline(__always)
func equalBytes(_ left: UnsafePointer<UInt8>, _ right: UnsafePointer<UInt8>, _ count: Int) -> Bool {
  memcmp(left, right, count) == 0
}

/// Lower case for A–Z, everything else as it is.
@inline(__always)
func foldCase(_ byte: UInt8) -> UInt8 { byte &- 0x41 < 26 ? byte | 0x20 : byte }

/// Equality without regard to ASCII case; `right` must already be lower case.
@inline(__always)
func equalLowered(_ left: UnsafePointer<UInt8>, _ right: UnsafePointer<UInt8>, _ count: Int) -> Bool {
  for index in 0..<count where foldCase(left[index]) != right[index] { return false }
  return true
}

/// Whether `count` bytes are this lower-case text, without regard to ASCII case.
@inline(__always)
func equalLowered(_ left: UnsafePointer<UInt8>, _ count: Int, _ text: StaticString) -> Bool {
  count == text.utf8CodeUnitCount && equalLowered(left, text.utf8Start, count)
}

/// Equality without regard to ASCII case, whatever the case of either.
@inline(__always)
func equalFolded(_ left: UnsafePointer<UInt8>, _ right: UnsafePointer<UInt8>, _ count: Int) -> Bool {
  for index in 0..<count where foldCase(left[index]) != foldCase(right[index]) { return false }
  return true
}
