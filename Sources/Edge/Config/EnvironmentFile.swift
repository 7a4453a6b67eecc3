// The `.env` file and the variables a configuration may use.
//
// Owns: the strict grammar of `.env` (KEY=VALUE), and which variable came from where.
// Called by: the loader under `--dev`.
// Never: changes the environment of the process.

import YAML

/// Environment variables, each with its place when it came from a file.
struct EnvironmentVariables: Sendable {
  /// Values by name; an empty one is set.
  private(set) var values: [String: String]
  /// Places of those that came from a file.
  private(set) var places: [String: SourcePlace] = [:]

  /// The variables of a process.
  init(_ values: [String: String]) { self.values = values }

  /// A variable that is set and not empty.
  func nonEmpty(_ name: String) -> String? {
    guard let value = values[name], !value.isEmpty else { return nil }
    return value
  }

  /// Where a message about a variable belongs.
  func location(_ name: String) -> Diagnosis.Location {
    places[name].map { .place($0) } ?? .environment(name)
  }

  /// Adds what a file sets; what is set already wins.
  mutating func add(_ entries: [EnvironmentFile.Entry]) {
    for entry in entries where values[entry.name] == nil {
      values[entry.name] = entry.value
      places[entry.name] = entry.place
    }
  }
}

/// Reads `.env` files.
///
/// A line is blank, a comment (`#` first), or `NAME=value`: no blanks around `=`, no `export`. A value is bare (to
/// the end of the line or to ` #`, without quotes and inner blanks), in single quotes (as it stands) or in double
/// quotes (`\n`, `\t`, `\"`, `\\` and `\$` are replaced). Nothing is expanded.
struct EnvironmentFile {
  /// One line that sets a variable.
  struct Entry: Sendable, Equatable {
    /// The variable.
    let name: String
    /// Its value after quotes and escapes.
    let value: String
    /// The name in the file.
    let place: SourcePlace
  }

  private let source: SourceFile
  /// What was read so far.
  private(set) var entries: [Entry] = []
  private var seen: [String: SourcePlace] = [:]

  /// Reads a file that is in memory; problems go to `diagnoses`.
  static func read(_ source: SourceFile, into diagnoses: inout DiagnosisList) -> [Entry] {
    var file = EnvironmentFile(source: source)
    let bytes = source.map.bytes
    do { _ = try UTF8Span(validating: bytes.span) } catch {
      let offset = error.byteOffsets.lowerBound
      diagnoses.error(source.place(from: offset, to: offset + 1), "the text is not UTF-8 here")
      return []
    }
    var start = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    while start < bytes.count {
      let end = bytes[start...].firstIndex(of: 0x0A) ?? bytes.count
      file.line(from: start, to: end > start && bytes[end - 1] == 0x0D ? end - 1 : end, &diagnoses)
      start = end + 1
    }
    return file.entries
  }

  private init(source: SourceFile) { self.source = source }

  private mutating func line(from start: Int, to end: Int, _ diagnoses: inout DiagnosisList) {
    let text = source.map.bytes[start..<end]
    guard let first = text.first(where: { $0 != 0x20 && $0 != 0x09 }), first != 0x23 else { return }
    let whole = source.place(from: start, to: end)
    let name = text.prefix { isNameByte($0) }
    if text.starts(with: "export ".utf8) {
      diagnoses.error(whole, "'export' cannot stand here", hint: "write NAME=value")
      return
    }
    let rest = text.dropFirst(name.count)
    guard !name.isEmpty, !(0x30...0x39).contains(text[start]), rest.first == 0x3D else {
      let hint = text.contains(0x3D) ? "no blanks before the name or around '='" : "write NAME=value"
      diagnoses.error(whole, "this line does not set a variable", hint: hint)
      return
    }
    let place = source.place(from: start, to: start + name.count)
    let key = String(decoding: name, as: UTF8.self)
    if let first = seen.updateValue(place, forKey: key) {
      diagnoses.error(
        place, "'\(key)' is set twice", related: [Diagnosis.Related(place: first, message: "first set here")])
      return
    }
    do {
      let value = try EnvironmentFile.value(rest.dropFirst())
      entries.append(Entry(name: key, value: value, place: place))
    } catch {
      diagnoses.error(source.place(from: start + name.count + 1, to: end), error.message, hint: error.hint)
    }
  }

  private func isNameByte(_ byte: UInt8) -> Bool {
    (0x61...0x7A).contains(byte | 0x20) || (0x30...0x39).contains(byte) || byte == 0x5F
  }

  private static func value(_ text: ArraySlice<UInt8>) throws(ValueComplaint) -> String {
    guard let first = text.first else { return "" }
    guard first == 0x22 || first == 0x27 else { return try bare(text) }
    var value: [UInt8] = []
    var index = text.startIndex + 1
    while index < text.endIndex, text[index] != first {
      if first == 0x22, text[index] == 0x5C {
        index += 1
        guard index < text.endIndex, let plain = escapes[text[index]] else {
          throw ValueComplaint(
            "only \\n, \\t, \\\", \\\\ and \\$ may follow a backslash here", hint: "or use single quotes")
        }
        value.append(plain)
      } else {
        value.append(text[index])
      }
      index += 1
    }
    guard index < text.endIndex else { throw ValueComplaint("the value has no closing quote") }
    let tail = String(decoding: text[(index + 1)...], as: UTF8.self)
    guard ConfigText.trimmed(tail).isEmpty || (tail.hasPrefix(" ") && ConfigText.trimmed(tail).hasPrefix("#")) else {
      throw ValueComplaint("something follows the closing quote")
    }
    return String(decoding: value, as: UTF8.self)
  }

  private static let escapes: [UInt8: UInt8] = [0x6E: 0x0A, 0x74: 0x09, 0x22: 0x22, 0x5C: 0x5C, 0x24: 0x24]

  private static func bare(_ text: ArraySlice<UInt8>) throws(ValueComplaint) -> String {
    var value = String(decoding: text, as: UTF8.self)
    if let comment = value.firstRange(of: " #") { value = String(value[..<comment.lowerBound]) }
    guard value.first != " ", value.first != "\t" else { throw ValueComplaint("no blanks around '='") }
    value = ConfigText.trimmed(value)
    guard !value.contains(where: { $0 == " " || $0 == "\t" || $0 == "\"" || $0 == "'" }) else {
      throw ValueComplaint("a value with blanks or quotes needs quotes around it")
    }
    return value
  }
}
