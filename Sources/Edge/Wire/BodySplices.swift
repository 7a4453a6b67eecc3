// A few edits of a body: the bytes that are not edited stay as the client wrote them, so that providers' caches of
// prompts stay warm.
//
// Called by: dialects, which say what is edited, and the driver, which copies the body.
// Never: owns the body or the replacements, which must stay in place until the body was copied.

/// Up to four edits, in the order of their places; they do not overlap.
struct BodySplices: BitwiseCopyable {
  /// One edit: what stands in the range is left out, the replacement stands there instead.
  private struct Splice: BitwiseCopyable {
    var start: Int
    var count: Int
    var replacement: StaticBytes

    static let none = Splice(start: 0, count: 0, replacement: .empty)
  }

  private var first = Splice.none
  private var second = Splice.none
  private var third = Splice.none
  private var fourth = Splice.none
  private(set) var count = 0

  static let countMax = 4

  init() {}

  var isEmpty: Bool { count == 0 }

  private subscript(index: Int) -> Splice {
    get {
      switch index {
      case 0: first
      case 1: second
      case 2: third
      default: fourth
      }
    }
    set {
      switch index {
      case 0: first = newValue
      case 1: second = newValue
      case 2: third = newValue
      default: fourth = newValue
      }
    }
  }

  /// Adds an edit, in any order. False when there is no room for another or it overlaps one.
  @discardableResult
  mutating func add(start: Int, count length: Int, _ replacement: StaticBytes) -> Bool {
    if count == Self.countMax || start < 0 || length < 0 { return false }
    var place = count
    while place > 0, self[place - 1].start > start { place -= 1 }
    if place > 0, self[place - 1].start + self[place - 1].count > start { return false }
    if place < count, start + length > self[place].start { return false }
    for index in stride(from: count, to: place, by: -1) { self[index] = self[index - 1] }
    self[place] = Splice(start: start, count: length, replacement: replacement)
    count += 1
    return true
  }

  /// How long a body of this length becomes.
  func editedCount(_ length: Int) -> Int {
    var edited = length
    for index in 0..<count { edited += self[index].replacement.count - self[index].count }
    return edited
  }

  /// Writes the body with the edits. Edits that lie behind its end are left out.
  func copy(_ body: UnsafePointer<UInt8>, _ length: Int, to writer: inout ByteWriter) {
    var copied = 0
    for index in 0..<count {
      let splice = self[index]
      if splice.start + splice.count > length { break }
      writer.append(body + copied, splice.start - copied)
      writer.append(splice.replacement)
      copied = splice.start + splice.count
    }
    writer.append(body + copied, length - copied)
  }
}
