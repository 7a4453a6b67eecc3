// `${env:NAME}`, `${env:NAME:-default}` and `${file:/path}` inside scalars.
//
// Owns: their grammar, where values come from, and the record of which ones took part.
// Called by: the section reader, for every scalar value.
// Never: looks inside what it inserts, and never shows an inserted value.

import YAML

/// A scalar after its references.
enum ReferenceExpansion: Sendable, Equatable {
  /// There were none.
  case plain
  /// All were replaced. `references` names them for origins; `isHidden` when a value from outside went in.
  case text(String, references: [String], isHidden: Bool)
  /// One is undefined and placeholders are wanted.
  case undefined
  /// One is wrong; it has been reported.
  case failed
}

/// Replaces references.
struct ReferenceResolver: Sendable {
  /// Where `${env:…}` looks.
  let variables: EnvironmentVariables
  /// The folder that relative paths of `${file:…}` start from.
  let folder: String
  /// Whether undefined references become placeholders.
  let placeholders: Bool
  /// Over everything inserted.
  private(set) var hash = ContentHash()

  /// Largest file that `${file:…}` reads, in bytes.
  static let fileBytesMax = 64 << 10

  /// A resolver that has inserted nothing yet.
  init(variables: EnvironmentVariables, folder: String, placeholders: Bool) {
    self.variables = variables
    self.folder = folder
    self.placeholders = placeholders
  }

  /// Records a variable that a row's default used.
  mutating func used(_ name: String, _ value: String) {
    hash.add(name)
    hash.add(value)
  }

  /// Replaces the references in a scalar. Of a secret, messages repeat nothing but names and paths.
  mutating func expand(
    _ scalar: Scalar, at place: SourcePlace, isSecret: Bool = false, into diagnoses: inout DiagnosisList
  ) -> ReferenceExpansion {
    let text = Array(scalar.text.utf8)
    guard text.contains(0x24) else { return .plain }
    var result: [UInt8] = []
    var references: [String] = []
    var isHidden = false
    var changed = false
    var outcome: ReferenceExpansion?
    var search = place.start.offset
    var index = 0
    while index < text.count {
      guard text[index] == 0x24 else {
        result.append(text[index])
        index += 1
        continue
      }
      if text[index...].starts(with: "$${".utf8) {
        result += Array("${".utf8)
        index += 3
        changed = true
        continue
      }
      guard text[index...].starts(with: "${".utf8) else {
        result.append(text[index])
        index += 1
        continue
      }
      changed = true
      let close = text[index...].firstIndex(of: 0x7D)
      let body = String(decoding: text[(index + 2)..<(close ?? text.count)], as: UTF8.self)
      guard let close else {
        diagnoses.error(
          ReferenceResolver.find("${" + body, from: &search, in: place),
          isSecret ? "a reference has no closing '}'" : "the reference '${\(body)' has no closing '}'",
          hint: "write $${ for the characters ${")
        return .failed
      }
      do throws(ValueComplaint) {
        if isSecret, !ReferenceResolver.isWellFormed(body) { throw ReferenceResolver.unknown("…") }
        if body.contains("${") {
          throw ValueComplaint(
            "a reference cannot stand in the default of another", hint: "write $${ for the characters ${")
        }
        if let value = try value(of: body) {
          if value.isHidden { diagnoses.conceal(value.text, at: place) }
          result += Array(value.text.utf8)
          references.append(value.label)
          isHidden = isHidden || value.isHidden
        } else if outcome == nil {
          outcome = .undefined
        }
      } catch {
        // The place is looked for only here: that takes time in the length of the line.
        diagnoses.error(
          ReferenceResolver.find("${" + body, from: &search, in: place), error.message, hint: error.hint)
        outcome = .failed
      }
      index = close + 1
    }
    if let outcome { return outcome }
    if !changed { return .plain }
    return .text(String(decoding: result, as: UTF8.self), references: references, isHidden: isHidden)
  }

  /// The value of what stands between the braces; nil when undefined and placeholders are wanted.
  private mutating func value(
    of body: String
  ) throws(ValueComplaint) -> (text: String, label: String, isHidden: Bool)? {
    guard let colon = body.firstIndex(of: ":") else { throw ReferenceResolver.unknown(body) }
    let rest = String(body[body.index(after: colon)...])
    switch body[..<colon] {
    case "env": return try variable(rest)
    case "file": return try file(rest)
    default: throw ReferenceResolver.unknown(body)
    }
  }

  /// Whether what stands between the braces is a reference, by its form.
  private static func isWellFormed(_ body: String) -> Bool {
    if body.hasPrefix("file:") { return true }
    guard body.hasPrefix("env:") else { return false }
    let rest = body.dropFirst(4)
    return (rest.firstRange(of: ":-").map { rest[..<$0.lowerBound] } ?? rest).utf8.allSatisfy {
      (0x61...0x7A).contains($0 | 0x20) || (0x30...0x39).contains($0) || $0 == 0x5F
    }
  }

  private static func unknown(_ body: String) -> ValueComplaint {
    let word = String(body.prefix { $0 != ":" })
    let kind = word.lowercased()
    if kind == "env" || kind == "file", word != kind, body.utf8.count > word.utf8.count + 1 {
      return ValueComplaint(
        "'${\(body)}' is not a reference: there are ${env:NAME}, ${env:NAME:-default} and ${file:/path}",
        hint: "did you mean '${\(kind)\(body.dropFirst(word.count))}'?")
    }
    let isName = !word.isEmpty && word.utf8.allSatisfy { (0x41...0x5A).contains($0) || $0 == 0x5F }
    return ValueComplaint(
      "'${\(body)}' is not a reference: there are ${env:NAME}, ${env:NAME:-default} and ${file:/path}",
      hint: isName ? "did you mean '${env:\(body)}'?" : "write $${ for the characters ${")
  }

  private mutating func variable(
    _ rest: String
  ) throws(ValueComplaint) -> (text: String, label: String, isHidden: Bool)? {
    let split = rest.firstRange(of: ":-")
    let name = String(rest[..<(split?.lowerBound ?? rest.endIndex)])
    let letters = name.utf8.allSatisfy {
      (0x61...0x7A).contains($0 | 0x20) || (0x30...0x39).contains($0) || $0 == 0x5F
    }
    guard letters, let first = name.utf8.first, !(0x30...0x39).contains(first) else {
      throw ValueComplaint("'\(name)' is not the name of an environment variable")
    }
    if let split {
      let value = variables.nonEmpty(name)
      hash.add(name)
      hash.add(value ?? "")
      return (value ?? String(rest[split.upperBound...]), "env \(name)", value != nil)
    }
    guard let value = variables.values[name] else {
      if placeholders { return nil }
      let near = Nearness.nearest(to: name, among: variables.values.keys.sorted())
      throw ValueComplaint(
        "the environment variable \(name) is not set",
        hint: near.map { "did you mean '\($0)'?" } ?? "set it, or give a default: ${env:\(name):-…}")
    }
    used(name, value)
    return (value, "env \(name)", true)
  }

  private mutating func file(
    _ path: String
  ) throws(ValueComplaint) -> (text: String, label: String, isHidden: Bool)? {
    guard !path.isEmpty else { throw ValueComplaint("'${file:}' names no file") }
    do {
      var bytes = try ConfigFile.read(FilePath.join(folder, path), bytesMax: ReferenceResolver.fileBytesMax)
      // Editors and `echo` end a file with a line end that is not meant.
      while let last = bytes.last, last == 0x0A || last == 0x0D { bytes.removeLast() }
      used(path, String(decoding: bytes, as: UTF8.self))
      return (String(decoding: bytes, as: UTF8.self), "file \(path)", true)
    } catch {
      if placeholders, error.isMissing { return nil }
      throw ValueComplaint("the file '\(path)' cannot be read: \(error.reason)")
    }
  }

  /// Where a reference is written; the whole scalar when escapes or folding hide it.
  private static func find(_ text: String, from search: inout Int, in place: SourcePlace) -> SourcePlace {
    let bytes = place.source.map.bytes
    let wanted = Array(text.utf8)
    var offset = search
    while offset + wanted.count <= place.end.offset {
      if bytes[offset] == wanted[0], bytes[offset..<(offset + wanted.count)].elementsEqual(wanted) {
        search = offset + wanted.count
        return place.source.place(from: offset, to: min(search + 1, place.end.offset))
      }
      offset += 1
    }
    return place
  }
}
