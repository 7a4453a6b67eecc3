// The named segments of a route's paths: which part of a request's path stands for `:id`. Looked up only when a policy
// asks, so matching keeps nothing.

import Glibc

/// A segment of a pattern.
struct ParameterSegment: BitwiseCopyable {
  /// The name of a parameter, or the literal text.
  var text: StaticBytes
  var isParameter: Bool
}

/// One path of a route.
struct ParameterPath: BitwiseCopyable {
  var segments: UnsafePointer<ParameterSegment>
  var count: Int
  /// Anything may follow.
  var isOpen: Bool

  init(_ pattern: PathPattern, arena: Arena) {
    let rows = pattern.segments.map { segment in
      switch segment {
      case .literal(let text): ParameterSegment(text: arena.text(text), isParameter: false)
      case .parameter(let name): ParameterSegment(text: arena.text(name), isParameter: true)
      }
    }
    segments = UnsafePointer(arena.copy(rows))
    count = rows.count
    isOpen = pattern.tail == .below
  }
}

/// The paths of a route that have parameters.
struct RouteParameters: BitwiseCopyable {
  let paths: UnsafePointer<ParameterPath>
  let count: Int

  init(_ patterns: [PathPattern], arena: Arena) {
    let rows = patterns.filter { $0.segments.contains { if case .parameter = $0 { true } else { false } } }
    count = rows.count
    paths = UnsafePointer(arena.copy(rows.map { ParameterPath($0, arena: arena) }))
  }

  /// The part of a canonical path that stands for a parameter, as it was sent; nil when the route has no such one.
  func value(
    of name: UnsafeBufferPointer<UInt8>, in path: UnsafePointer<UInt8>, _ pathCount: Int
  ) -> UnsafeBufferPointer<UInt8>? {
    for index in 0..<count {
      if let value = value(of: name, paths[index], path, pathCount) { return value }
    }
    return nil
  }

  private func value(
    of name: UnsafeBufferPointer<UInt8>, _ pattern: ParameterPath, _ path: UnsafePointer<UInt8>, _ pathCount: Int
  ) -> UnsafeBufferPointer<UInt8>? {
    var found: UnsafeBufferPointer<UInt8>?
    var position = 0
    for index in 0..<pattern.count {
      guard position < pathCount else { return nil }
      let start = position + 1
      var end = start
      while end < pathCount, path[end] != 0x2f { end += 1 }
      let segment = pattern.segments[index]
      if !segment.isParameter {
        guard segment.text.count == end - start, equalBytes(path + start, segment.text.start, end - start) else {
          return nil
        }
      } else if end == start {
        return nil
      } else if segment.text.count == name.count, let wanted = name.baseAddress,
        equalBytes(wanted, segment.text.start, name.count)
      {
        found = UnsafeBufferPointer(start: path + start, count: end - start)
      }
      position = end
    }
    return position == pathCount || pattern.isOpen ? found : nil
  }
}
