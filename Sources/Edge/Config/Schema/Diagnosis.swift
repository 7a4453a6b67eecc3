// What is wrong with a configuration, where, and what to do about it.
//
// Owns: the form of every message about configuration, the bound on how many are shown, and that none repeats a text
// that is concealed.
// Called by: the loader and its checks, which add them, and commands, which print them.
// Never: stops at the first problem, and never shows a value that came from the environment or a secret file.

/// One finding.
struct Diagnosis: Sendable, Equatable {
  /// How serious a finding is.
  enum Severity: String, Sendable, CaseIterable {
    /// Nothing is loaded.
    case error
    /// Loaded, but probably not meant.
    case warning
    /// Good to know.
    case note
  }

  /// Where a finding belongs.
  enum Location: Sendable, Equatable {
    /// A stretch of a file.
    case place(SourcePlace)
    /// A whole file, by path.
    case file(String)
    /// An environment variable, by name.
    case environment(String)
    /// The command line.
    case commandLine
  }

  /// A second place that belongs to a finding.
  struct Related: Sendable, Equatable {
    /// Where.
    let place: SourcePlace
    /// What is there.
    let message: String
  }

  /// How serious it is.
  let severity: Severity
  /// Where it belongs.
  let location: Location
  /// What is wrong, without a final stop.
  let message: String
  /// What to do, if that can be said.
  let hint: String?
  /// Other places, in the order they are shown.
  let related: [Related]

  /// A finding from its parts.
  init(
    _ severity: Severity, _ location: Location, _ message: String, hint: String? = nil, related: [Related] = []
  ) {
    self.severity = severity
    self.location = location
    self.message = Diagnosis.printable(message)
    self.hint = hint.map { Diagnosis.printable($0) }
    self.related = related
  }

  /// The message as text: `file:line:column: error: what is wrong`, the offending line, a caret line and the hint.
  /// Lines are joined by `\n`; there is none at the end.
  func render() -> String {
    var lines: [String] = []
    switch location {
    case .place(let place):
      lines.append("\(TerminalText.tamed(place.label)): \(severity.rawValue): \(message)")
      lines += Diagnosis.excerpt(place)
    case .file(let path): lines.append("\(TerminalText.tamed(path)): \(severity.rawValue): \(message)")
    case .environment(let name): lines.append("environment \(name): \(severity.rawValue): \(message)")
    case .commandLine: lines.append("command line: \(severity.rawValue): \(message)")
    }
    if let hint { lines.append("  " + hint) }
    for other in related {
      lines.append("\(TerminalText.tamed(other.place.label)): note: \(other.message)")
      lines += Diagnosis.excerpt(other.place)
    }
    return lines.joined(separator: "\n")
  }

  private static let lineWidthMax = 160
  private static let underlineMax = 60

  private static let messageLengthMax = 400

  /// A text that may repeat what a file says, cut and without what a terminal would obey.
  private static func printable(_ text: String) -> String {
    var scalars = Array(text.unicodeScalars.prefix(messageLengthMax * 2))
    hideCredentials(&scalars)
    var shown = String.UnicodeScalarView()
    shown.append(contentsOf: scalars.prefix(messageLengthMax).map { TerminalText.isHarmless($0) ? $0 : "?" })
    return String(shown) + (scalars.count > messageLengthMax ? "…" : "")
  }

  /// What stands in front of an `@` may be a user and a password, in a URL or in what was meant to be one, and what
  /// stands behind a `?` may be a key: a log must not keep them. A path such as `/@me` is none.
  private static func hideCredentials(_ text: inout [Unicode.Scalar]) {
    var slashes: [Int] = []
    for index in text.indices.dropFirst() where text[index] == "/" && text[index - 1] == "/" {
      slashes.append(index + 1)
    }
    // Passwords hold any character: of a URL, everything up to the last `@` may be one.
    for (number, start) in slashes.enumerated() {
      let end = number + 1 < slashes.count ? slashes[number + 1] : text.count
      if let at = text[start..<end].lastIndex(of: "@") {
        for place in start..<at { text[place] = "*" }
      }
    }
    for (index, sign) in text.enumerated() where sign == "?" {
      guard index + 1 < text.count, text[index + 1].properties.isAlphabetic else { continue }
      for place in (index + 1)..<text.count {
        if " '\"]}".unicodeScalars.contains(text[place]) { break }
        text[place] = "*"
      }
    }
    var start = 0
    for index in 0..<(slashes.first ?? text.count) {
      switch text[index] {
      case " ": start = index + 1
      case "'", "\"", ",", "[", "(", "{": if start == index { start = index + 1 }
      case "@":
        if start < index, text[start] != "/" { for place in start..<index { text[place] = "*" } }
        start = index + 1
      default: break
      }
    }
  }

  /// The offending line and a caret line. A line beyond 160 columns is cut around the place.
  private static func excerpt(_ place: SourcePlace) -> [String] {
    if place.source.isSecret { return [] }
    var (text, column) = place.source.shown(around: place.start)
    column = min(column, text.count)
    for index in text.indices where !TerminalText.isHarmless(text[index]) { text[index] = " " }
    guard text.contains(where: { $0 != " " }) else { return [] }
    hideCredentials(&text)
    if text.count > lineWidthMax {
      let first = max(0, min(column - lineWidthMax / 2, text.count - lineWidthMax))
      text = Array(text[first..<min(text.count, first + lineWidthMax)])
      column -= first
    }
    let sameLine = place.end.line == place.start.line
    let length = sameLine ? place.end.column - place.start.column : text.count - column
    let marked = text[column..<(column + max(0, min(length, text.count - column)))]
    let tail = max(0, min(width(marked), underlineMax) - 1)
    var shown = String.UnicodeScalarView()
    shown.append(contentsOf: text)
    return [
      "  " + String(shown),
      "  " + String(repeating: " ", count: width(text[..<column])) + "^" + String(repeating: "~", count: tail),
    ]
  }

  private static func width(_ text: ArraySlice<Unicode.Scalar>) -> Int {
    text.reduce(0) { $0 + TerminalText.width($1) }
  }

  /// The finding without some texts that nobody may see.
  fileprivate func concealing(_ texts: [ConcealedText]) -> Diagnosis {
    var places = related.map(\.place)
    if case .place(let place) = location { places.append(place) }
    let found = texts.filter { concealed in
      concealed.isEverywhere || places.contains { $0.source.path == concealed.path && concealed.touches($0) }
    }.map(\.text)
    guard
      found.contains(where: { text in
        message.contains(text) || (hint?.contains(text) ?? false) || related.contains { $0.message.contains(text) }
      })
    else { return self }
    return Diagnosis(
      severity, location, SecretText.conceal(message, found), hint: hint.map { SecretText.conceal($0, found) },
      related: related.map { Related(place: $0.place, message: SecretText.conceal($0.message, found)) })
  }
}

/// A text that no message may repeat.
private struct ConcealedText: Sendable, Hashable {
  let text: String
  /// Where it went in.
  let path: String
  let start: Int
  let end: Int

  /// A short one may stand in messages by chance: it counts only where they speak of its place.
  var isEverywhere: Bool { text.utf8.count >= 8 }

  func touches(_ place: SourcePlace) -> Bool { place.start.offset <= end && start <= place.end.offset }
}

/// Findings while they are collected.
struct DiagnosisList: Sendable {
  /// At most this many errors are kept, and this many warnings and notes together.
  static let shownMax = 100

  private var errors: [Diagnosis] = []
  private var others: [Diagnosis] = []
  /// Errors beyond `shownMax`.
  private(set) var errorsDropped = 0
  private var othersDropped = 0
  /// Paths in the order they were read, for sorting.
  private var fileOrder: [String: Int] = [:]
  private var concealed: Set<ConcealedText> = []

  /// True when there is at least one error.
  var hasErrors: Bool { !errors.isEmpty }

  /// True when further errors are only counted: what would be looked up for their messages need not be.
  var isFull: Bool { errors.count >= DiagnosisList.shownMax }

  /// From now on, and in what was added already, no message repeats this text, which went in at a place.
  mutating func conceal(_ text: String, at place: SourcePlace) {
    guard text.utf8.count >= 3 else { return }
    concealed.insert(
      ConcealedText(text: text, path: place.source.path, start: place.start.offset, end: place.end.offset))
  }

  /// Whether the same finding is kept already.
  func contains(_ diagnosis: Diagnosis) -> Bool { errors.contains(diagnosis) || others.contains(diagnosis) }

  /// Tells the list that a file comes next in reading order.
  mutating func opened(_ path: String) {
    if fileOrder[path] == nil { fileOrder[path] = fileOrder.count }
  }

  /// Adds a finding.
  mutating func add(_ diagnosis: Diagnosis) {
    switch diagnosis.severity {
    case .error:
      if errors.count < DiagnosisList.shownMax { errors.append(diagnosis) } else { errorsDropped += 1 }
    case .warning, .note:
      if others.count < DiagnosisList.shownMax { others.append(diagnosis) } else { othersDropped += 1 }
    }
  }

  /// Adds an error at a place.
  mutating func error(
    _ place: SourcePlace, _ message: String, hint: String? = nil, related: [Diagnosis.Related] = []
  ) {
    add(Diagnosis(.error, .place(place), message, hint: hint, related: related))
  }

  /// Adds a warning at a place.
  mutating func warning(
    _ place: SourcePlace, _ message: String, hint: String? = nil, related: [Diagnosis.Related] = []
  ) {
    add(Diagnosis(.warning, .place(place), message, hint: hint, related: related))
  }

  /// Everything, in order of file, line and column; what belongs to no file comes first. When some were dropped, a
  /// last note says how many.
  func sorted(mainPath: String) -> [Diagnosis] {
    var all = (errors + others).enumerated().map { (order: sortKey($0.element), index: $0.offset, $0.element) }
    all.sort { left, right in
      if left.order.file != right.order.file { return left.order.file < right.order.file }
      if left.order.offset != right.order.offset { return left.order.offset < right.order.offset }
      return left.index < right.index
    }
    // The longest first: one may hold another.
    let texts = concealed.sorted { left, right in
      (right.text.utf8.count, left.text) < (left.text.utf8.count, right.text)
    }
    var result = texts.isEmpty ? all.map { $0.2 } : all.map { $0.2.concealing(texts) }
    if errorsDropped + othersDropped > 0 {
      let counts = "\(errorsDropped) more errors and \(othersDropped) more warnings and notes are not shown"
      result.append(Diagnosis(.note, .file(mainPath), counts))
    }
    return result
  }

  private func sortKey(_ diagnosis: Diagnosis) -> (file: Int, offset: Int) {
    switch diagnosis.location {
    case .place(let place): (fileOrder[place.source.path] ?? Int.max, place.start.offset)
    case .file(let path): (fileOrder[path] ?? Int.max, -1)
    case .environment, .commandLine: (-1, -1)
    }
  }
}
