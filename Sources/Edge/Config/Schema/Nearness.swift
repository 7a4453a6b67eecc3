// Which known name is near to an unknown one.
//
// Owns: the distance and the threshold behind every "did you mean".
// Called by: readers and checks, once per unknown name.
// Never: runs on long input; names beyond 64 bytes have no neighbours.

/// Finds near names.
enum Nearness {
  private static let lengthMax = 64

  /// The nearest of `known`, or nil when none is near. Near means: at most one edit in three letters, and at most
  /// three; letter case alone, and `-` for `_`, cost nothing. The first of equals wins.
  static func nearest(to name: String, among known: some Sequence<String>) -> String? {
    let wanted = folded(name)
    guard !wanted.isEmpty, wanted.count <= lengthMax else { return nil }
    let allowed = min(3, max(1, wanted.count / 3))
    var best: (name: String, distance: Int)?
    for candidate in known {
      let letters = folded(candidate)
      guard letters.count <= lengthMax, candidate != name else { continue }
      // `warning` for `warn` is one slip, not three.
      let isPrefix =
        min(wanted.count, letters.count) >= 3 && (wanted.starts(with: letters) || letters.starts(with: wanted))
      let apart = abs(wanted.count - letters.count)
      if !isPrefix, apart > allowed { continue }
      let distance = isPrefix ? min(1, apart) : distance(wanted, letters, most: allowed)
      // Two short words always lie within few edits of each other: most letters must agree.
      guard distance <= allowed, distance * 2 < max(wanted.count, letters.count) else { continue }
      if best.map({ distance < $0.distance }) ?? true { best = (candidate, distance) }
    }
    return best?.name
  }

  /// `did you mean 'x'?`, or nil.
  static func hint(for name: String, among known: some Sequence<String>) -> String? {
    nearest(to: name, among: known).map { "did you mean '\($0)'?" }
  }

  /// Edits (insert, delete, replace, swap of neighbours) that turn one text into the other; beyond `most`, any number
  /// that is larger.
  static func distance(_ left: [UInt8], _ right: [UInt8], most: Int = .max) -> Int {
    var before: [Int] = []
    var last = Array(0...right.count)
    for (row, letter) in left.enumerated() {
      var current = [row + 1]
      for (column, other) in right.enumerated() {
        var cost = min(last[column + 1], current[column]) + 1
        cost = min(cost, last[column] + (letter == other ? 0 : 1))
        if row > 0, column > 0, letter == right[column - 1], left[row - 1] == other {
          cost = min(cost, before[column - 1] + 1)
        }
        current.append(cost)
      }
      // A swap reaches back two rows.
      if row > 0, (current.min() ?? 0) > most, (last.min() ?? 0) > most { return Int.max }
      before = last
      last = current
    }
    return last[right.count]
  }

  private static func folded(_ name: String) -> [UInt8] {
    name.utf8.map { byte in
      switch byte {
      case 0x41...0x5A: byte + 0x20
      case 0x2D: 0x5F
      default: byte
      }
    }
  }
}
