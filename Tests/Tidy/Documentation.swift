// What every file of Sources says about itself: a header on top, and a doc comment on what others see.

enum Documentation {
  static let rule = "documentation"

  static func findings(_ file: SwiftFile) -> [Finding] {
    guard file.isSource else { return [] }
    return header(file) + declarations(file)
  }

  private static func header(_ file: SwiftFile) -> [Finding] {
    let header = file.file.lines.prefix { $0.hasPrefix("//") && !$0.hasPrefix("///") }
    if House.headerLines.contains(header.count) { return [] }
    let bounds = "\(House.headerLines.lowerBound) to \(House.headerLines.upperBound)"
    let message = "\(header.count) header lines, \(bounds) wanted: what it owns, who calls it, what it never does"
    return [Finding(rule: rule, path: file.path, line: 1, message: message)]
  }

  private static func declarations(_ file: SwiftFile) -> [Finding] {
    var comments: [Int: SourceComment] = [:]
    for comment in file.comments {
      for line in comment.line...comment.lastLine { comments[line] = comment }
    }
    return file.declarations.compactMap { declared in
      guard needsDocumentation(declared) else { return nil }
      var line = declared.firstLine - 1
      while let comment = comments[line] {
        if comment.isDocumentation { return nil }
        line -= 1
      }
      let message = "\(declared.name) has no doc comment"
      return Finding(rule: rule, path: file.path, line: declared.line, message: message)
    }
  }

  /// Whatever is public, and the types that the rest of the module sees.
  private static func needsDocumentation(_ declared: Declaration) -> Bool {
    if declared.kind == .extends || declared.isLocal || House.wellKnownMembers.contains(declared.name) { return false }
    switch declared.access {
    case .public, .open, .package: return true
    case .private, .fileprivate: return false
    case .internal, nil: return declared.isTopLevel && (declared.kind == .type || declared.kind == .alias)
    }
  }
}
