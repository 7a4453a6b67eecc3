// Where a path names a model: what follows `/v1/models/` on a route with `builtin: models` and a path ending in `/*`.
//
// Owns: which part of a canonical path is the id.
// Called by: the driver. Never: knows which models there are, or takes an escape apart.

import Glibc

/// The paths of a route that tells of single models; none for every other route.
struct ModelPaths: BitwiseCopyable {
  let paths: UnsafePointer<ParameterPath>
  let count: Int

  init(_ route: Route, arena: Arena) {
    let rows = route.namesModels ? route.paths.map { ParameterPath($0, arena: arena) } : []
    paths = UnsafePointer(arena.copy(rows))
    count = rows.count
  }

  /// The id in a canonical path of the route, as it was sent; nil when the path names no model.
  func id(in path: UnsafePointer<UInt8>, _ pathCount: Int) -> UnsafeBufferPointer<UInt8>? {
    var found: UnsafeBufferPointer<UInt8>?
    for index in 0..<count {
      guard let end = ModelPaths.end(of: paths[index], in: path, pathCount) else { continue }
      if !paths[index].isOpen {
        // A path of its own.
        if end == pathCount { return nil }
        continue
      }
      let start = end + 1
      // The longest pattern is the one that was meant.
      if start < pathCount, pathCount - start < found?.count ?? Int.max {
        found = UnsafeBufferPointer(start: path + start, count: pathCount - start)
      }
    }
    return found
  }

  /// The position behind the segments of a pattern, a slash or the end; nil when the path has others.
  private static func end(
    of pattern: ParameterPath, in path: UnsafePointer<UInt8>, _ pathCount: Int
  ) -> Int? {
    var position = 0
    for index in 0..<pattern.count {
      guard position < pathCount else { return nil }
      let start = position + 1
      var end = start
      while end < pathCount, path[end] != 0x2f { end += 1 }
      let segment = pattern.segments[index]
      if segment.isParameter {
        if end == start { return nil }
      } else if segment.text.count != end - start || !equalBytes(path + start, segment.text.start, end - start) {
        return nil
      }
      position = end
    }
    return position == pathCount || path[position] == 0x2f ? position : nil
  }
}
