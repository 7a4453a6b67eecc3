// A readable difference of two texts, for golden tests.

enum LineDiff {
  /// Lines only in `expected` with `-`, lines only in `actual` with `+`, common ones with a blank.
  static func text(_ expected: String, _ actual: String) -> String {
    let old = expected.split(separator: "\n", omittingEmptySubsequences: false)
    let new = actual.split(separator: "\n", omittingEmptySubsequences: false)
    var removed: Set<Int> = []
    var added: Set<Int> = []
    for change in new.difference(from: old) {
      switch change {
      case .remove(let offset, _, _): removed.insert(offset)
      case .insert(let offset, _, _): added.insert(offset)
      }
    }
    var lines: [String] = []
    var left = 0
    var right = 0
    while left < old.count || right < new.count {
      if removed.contains(left) {
        lines.append("- \(old[left])")
        left += 1
      } else if added.contains(right) {
        lines.append("+ \(new[right])")
        right += 1
      } else {
        lines.append("  \(left < old.count ? old[left] : "")")
        left += 1
        right += 1
      }
    }
    return lines.joined(separator: "\n")
  }
}
