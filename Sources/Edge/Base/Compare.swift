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

/// Equality of two tokens (RFC 9110 section 5.6.2) without regard to ASCII case, eight bytes at once; `right` is made
/// of lower-case letters, digits and dashes. Setting one bit folds letters, and makes no other byte of a token one of
/// these.
@inline(__always)
func equalTokens(_ left: UnsafePointer<UInt8>, _ right: UnsafePointer<UInt8>, _ count: Int) -> Bool {
  let (first, second) = (UnsafeRawPointer(left), UnsafeRawPointer(right))
  @inline(__always) func differs<Word: FixedWidthInteger>(_ offset: Int, _ fold: Word) -> Bool {
    let word = first.loadUnaligned(fromByteOffset: offset, as: Word.self) | fold
    return word != second.loadUnaligned(fromByteOffset: offset, as: Word.self)
  }
  if count >= 8 {
    let fold: UInt64 = 0x2020_2020_2020_2020
    var index = 0
    while index &+ 8 <= count {
      if differs(index, fold) { return false }
      index &+= 8
    }
    // The last word overlaps the one before it.
    return !differs(count &- 8, fold)
  }
  if count >= 4 { return !differs(0, 0x2020_2020 as UInt32) && !differs(count &- 4, 0x2020_2020 as UInt32) }
  return equalLowered(left, right, count)
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
