// What a Swift file declares: names, kinds, access, nesting and the lines of bodies.
//
// One pass over the tokens with a stack of scopes. Local variables are left out; nobody outside can name them.

/// One declaration at file level, in a type, or a function anywhere.
struct Declaration: Equatable, Sendable {
  enum Kind: Sendable { case type, alias, function, variable, extends }
  enum Access: Sendable { case open, `public`, package, `internal`, `fileprivate`, `private` }

  var kind: Kind
  /// `init`, `deinit` and `subscript` are their own names; an extension has the name of what it extends.
  var name: String
  /// The keyword's line.
  var line: Int
  /// The line of the first attribute or modifier.
  var firstLine: Int
  /// The closing brace's line; `line` without a body.
  var lastLine: Int
  /// Nil when nothing is written.
  var access: Access?
  /// At file level: declared there, not in a type.
  var isTopLevel: Bool
  /// Inside a function or closure.
  var isLocal: Bool
  /// A function, initializer, subscript, computed property or a closure that a member is set to.
  var isBody = false
  /// Generic parameters and associated types that it names.
  var parameters: [String] = []
}

/// Reads the declarations of one file.
struct Outline {
  private enum Scope { case type, code }

  private let tokens: [Token]
  private var scopes: [Scope] = []
  /// Round and square brackets open in each scope, the file's first.
  private var brackets = [0]
  /// Which declaration each open scope is the body of.
  private var owners: [Int?] = []
  /// The declaration whose body may follow.
  private var pending: Int?
  private var isAssigned = false
  private(set) var declarations: [Declaration] = []

  init(_ tokens: [Token]) {
    self.tokens = tokens
    for index in tokens.indices { read(index) }
  }

  private func token(_ index: Int) -> Token? { tokens.indices.contains(index) ? tokens[index] : nil }

  private mutating func read(_ index: Int) {
    let token = tokens[index]
    switch token.kind {
    case .symbol:
      switch token.text {
      case "(", "[": brackets[brackets.count - 1] += 1
      case ")", "]": brackets[brackets.count - 1] -= 1
      case "{": open(index)
      case "}": close(token.line)
      case "=": if brackets.last == 0 { isAssigned = true }
      default: break
      }
    case .word where !token.isQuoted:
      guard brackets.last == 0, let kind = Self.keywords[token.text], isDeclaration(index, kind) else { return }
      declare(index, kind)
    default: break
    }
  }

  private mutating func open(_ index: Int) {
    var scope = Scope.code
    var owner: Int?
    if let candidate = pending, brackets.last == 0 {
      let declared = declarations[candidate]
      switch declared.kind {
      case .type, .extends:
        scope = .type
        owner = candidate
      case .function: owner = candidate
      case .variable:
        if !isAssigned || token(index - 1)?.isSymbol("=") == true { owner = candidate }
      case .alias: break
      }
      if scope == .code, let owner { declarations[owner].isBody = true }
      pending = nil
    }
    scopes.append(scope)
    owners.append(owner)
    brackets.append(0)
  }

  private mutating func close(_ line: Int) {
    guard !scopes.isEmpty else { return }
    scopes.removeLast()
    brackets.removeLast()
    if let owner = owners.removeLast() { declarations[owner].lastLine = line }
    // A closure among the parameters ends nothing; any other brace ends what waited for a body.
    if brackets.last == 0 { pending = nil }
  }

  // MARK: declarations

  private static let keywords: [String: Declaration.Kind] = [
    "struct": .type, "class": .type, "enum": .type, "protocol": .type, "actor": .type,
    "typealias": .alias, "associatedtype": .alias,
    "extension": .extends,
    "func": .function, "init": .function, "deinit": .function, "subscript": .function,
    "let": .variable, "var": .variable,
  ]

  private static let modifiers: Set<String> = [
    "open", "public", "package", "internal", "fileprivate", "private", "final", "static", "class", "indirect",
    "mutating", "nonmutating", "override", "required", "convenience", "lazy", "weak", "unowned", "dynamic",
    "nonisolated", "consuming", "borrowing", "isolated", "distributed", "prefix", "postfix", "infix", "optional",
    "unsafe", "async",
  ]

  private static let access: [String: Declaration.Access] = [
    "open": .open, "public": .public, "package": .package, "internal": .internal, "fileprivate": .fileprivate,
    "private": .private,
  ]

  private func isDeclaration(_ index: Int, _ kind: Declaration.Kind) -> Bool {
    if token(index - 1)?.isSymbol(".") == true { return false }
    guard let next = token(index + 1), !next.isSymbol(":") else { return false }
    let isCode = scopes.last == .code
    switch tokens[index].text {
    case "class", "actor":
      guard next.kind == .word else { return false }
      return next.isQuoted || (Self.keywords[next.text] == nil && !Self.modifiers.contains(next.text))
    case "init":
      return !isCode && (next.isSymbol("(") || next.isSymbol("<") || next.isSymbol("?") || next.kind == .unwrap)
    case "deinit": return next.isSymbol("{")
    case "subscript": return !isCode && (next.isSymbol("(") || next.isSymbol("<"))
    case "let", "var": return !isCode
    default: return true
    }
  }

  private mutating func declare(_ index: Int, _ kind: Declaration.Kind) {
    let (first, access) = modifiers(before: index)
    let (name, end) = name(at: index, kind)
    declarations.append(
      Declaration(
        kind: kind, name: name, line: tokens[index].line, firstLine: tokens[first].line, lastLine: tokens[index].line,
        access: access, isTopLevel: scopes.isEmpty, isLocal: scopes.contains(.code), parameters: generics(at: end)))
    pending = declarations.count - 1
    isAssigned = false
  }

  /// The first token of the attributes and modifiers in front of a keyword, and the access they give.
  private func modifiers(before index: Int) -> (first: Int, access: Declaration.Access?) {
    var first = index
    var access: Declaration.Access?
    while let before = token(first - 1) {
      if before.kind == .attribute || (before.kind == .word && Self.modifiers.contains(before.text)) {
        first -= 1
        access = access ?? Self.access[before.text]
      } else if before.isSymbol(")"), let open = opening(of: first - 1), let head = token(open - 1),
        head.kind == .attribute || (head.kind == .word && Self.modifiers.contains(head.text))
      {
        first = open - 1
      } else {
        break
      }
    }
    return (first, access)
  }

  private func opening(of close: Int) -> Int? {
    var depth = 0
    for index in stride(from: close, through: 0, by: -1) {
      if tokens[index].isSymbol(")") { depth += 1 }
      if tokens[index].isSymbol("(") {
        depth -= 1
        if depth == 0 { return index }
      }
    }
    return nil
  }

  /// The name after a keyword and the index of the token behind it.
  private func name(at index: Int, _ kind: Declaration.Kind) -> (String, Int) {
    let keyword = tokens[index].text
    if ["init", "deinit", "subscript"].contains(keyword) { return (keyword, index + 1) }
    guard let next = token(index + 1) else { return ("", index + 1) }
    if next.kind == .word {
      var name = next.text
      var end = index + 2
      while kind == .extends, token(end)?.isSymbol(".") == true, let part = token(end + 1), part.kind == .word {
        name += "." + part.text
        end += 2
      }
      return (name, end)
    }
    // An operator function, or names in a tuple pattern: the first stands for all.
    if kind == .variable, next.isSymbol("("), let inner = token(index + 2) { return (inner.text, index + 3) }
    var name = ""
    var end = index + 1
    while let part = token(end), part.kind == .symbol || part.kind == .unwrap, part.text != "(" {
      name += part.text
      end += 1
    }
    return (name, end)
  }

  private func generics(at start: Int) -> [String] {
    guard token(start)?.isSymbol("<") == true else { return [] }
    var names: [String] = []
    var depth = 0
    for index in start..<tokens.count {
      let current = tokens[index]
      if current.isSymbol("<") { depth += 1 }
      if current.isSymbol(">") && token(index - 1)?.isSymbol("-") != true { depth -= 1 }
      if depth == 0 { break }
      guard depth == 1, current.kind == .word, let before = token(index - 1) else { continue }
      if before.isSymbol("<") || before.isSymbol(",") || before.isKeyword("each") || before.isKeyword("let") {
        names.append(current.text)
      }
    }
    return names
  }
}
