// Header fields that a policy sets or removes before a request goes to its service: a few entries in one run of bytes,
// so that they can be kept while a policy waits. What the client sent under such a name is not passed on.

import Glibc

/// Fields to set and to remove.
struct HeaderEdits: BitwiseCopyable {
  /// The most bytes that all entries may take.
  static let bytesMax = 8 << 10
  /// One byte for the name's length, two for the value's.
  private static let prefix = 3
  /// In the place of a value's length: the field is removed.
  private static let removed: UInt16 = .max

  let base: BytePointer
  private(set) var count = 0

  /// `base` has room for `bytesMax`.
  init(base: BytePointer) { self.base = base }

  var isEmpty: Bool { count == 0 }

  mutating func removeAll() { count = 0 }

  /// Takes over entries that were kept.
  mutating func restore(_ bytes: UnsafePointer<UInt8>, _ length: Int) {
    count = min(length, HeaderEdits.bytesMax)
    memcpy(base, bytes, count)
  }

  /// Sets a field, or removes it when there is no value. False when there is no room. The caller has checked name and
  /// value; the name's letters are kept in lower case.
  mutating func set(_ name: UnsafeBufferPointer<UInt8>, _ value: UnsafeBufferPointer<UInt8>?) -> Bool {
    guard let nameStart = name.baseAddress, name.count <= Int(UInt8.max) else { return false }
    let valueCount = value?.count ?? 0
    let size = HeaderEdits.prefix + name.count + valueCount
    let before = find(name).map { self.size(of: $0) } ?? 0
    // Where there is no room, what was set before stays: else the client's own would pass.
    guard count - before + size <= HeaderEdits.bytesMax, valueCount < Int(HeaderEdits.removed) else { return false }
    drop(nameStart, name.count)
    let entry = base + count
    entry[0] = UInt8(name.count)
    let written = value == nil ? HeaderEdits.removed : UInt16(valueCount)
    entry[1] = UInt8(written >> 8)
    entry[2] = UInt8(written & 0xff)
    for index in 0..<name.count { entry[HeaderEdits.prefix + index] = foldCase(nameStart[index]) }
    if let start = value?.baseAddress { memcpy(entry + HeaderEdits.prefix + name.count, start, valueCount) }
    count += size
    return true
  }

  /// What was set under a name: nil when nothing was, an edit without value when it was removed.
  func find(_ name: UnsafeBufferPointer<UInt8>) -> HeaderEdit? {
    guard let start = name.baseAddress else { return nil }
    var offset = 0
    while offset < count {
      let edit = entry(at: offset)
      if edit.nameCount == name.count, equalLowered(start, edit.name, name.count) { return edit }
      offset += size(of: edit)
    }
    return nil
  }

  /// Whether something was set under a name in lower case, or removed.
  func has(_ name: StaticString) -> Bool {
    find(UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)) != nil
  }

  /// Calls `body` for each entry, in the order they were set.
  @inline(__always)
  func forEach(_ body: (HeaderEdit) -> Void) {
    var offset = 0
    while offset < count {
      let edit = entry(at: offset)
      body(edit)
      offset += size(of: edit)
    }
  }

  private mutating func drop(_ name: UnsafePointer<UInt8>, _ nameCount: Int) {
    var offset = 0
    while offset < count {
      let edit = entry(at: offset)
      let size = size(of: edit)
      if edit.nameCount == nameCount, equalLowered(name, edit.name, nameCount) {
        memmove(base + offset, base + offset + size, count - offset - size)
        count -= size
        return
      }
      offset += size
    }
  }

  private func entry(at offset: Int) -> HeaderEdit {
    let entry = base + offset
    let nameCount = Int(entry[0])
    let written = UInt16(entry[1]) << 8 | UInt16(entry[2])
    let name = UnsafePointer(entry + HeaderEdits.prefix)
    if written == HeaderEdits.removed { return HeaderEdit(name: name, nameCount: nameCount, value: nil, valueCount: 0) }
    return HeaderEdit(name: name, nameCount: nameCount, value: name + nameCount, valueCount: Int(written))
  }

  private func size(of edit: HeaderEdit) -> Int { HeaderEdits.prefix + edit.nameCount + edit.valueCount }
}

/// One entry.
struct HeaderEdit: BitwiseCopyable {
  /// In lower case.
  let name: UnsafePointer<UInt8>
  let nameCount: Int
  /// nil: the field is removed.
  let value: UnsafePointer<UInt8>?
  let valueCount: Int
}

extension HeaderTable {
  /// What the client sent under an edited name is not passed on.
  func drop(_ edits: HeaderEdits, of bytes: UnsafePointer<UInt8>) {
    edits.forEach { edit in
      for index in 0..<count where Int(fields[index].name.count) == edit.nameCount {
        let name = bytes + Int(fields[index].name.start)
        if equalLowered(name, edit.name, edit.nameCount) { fields[index].isDropped = true }
      }
    }
  }
}

extension ByteWriter {
  /// The fields that were set.
  mutating func append(_ edits: HeaderEdits) {
    edits.forEach { edit in
      guard let value = edit.value else { return }
      append(edit.name, edit.nameCount)
      append(": ")
      append(value, edit.valueCount)
      appendLineEnd()
    }
  }
}
