// A loaded configuration as YAML, with every default and where each value comes from.
//
// Owns: the text of `check --full`. Fed back in as one file, it loads to the same snapshot, unless a value is masked.
// Called by: the check command.
// Never: prints a secret, a value that came from a `${file:…}`, or one of a policy's settings that came from outside.

import YAML

/// Writes resolved configurations.
struct ResolvedPrinter {
  private var lines: [(text: String, comment: String?)] = []

  /// The text of a tree (`LoadOutcome.resolved`) with a line end.
  static func text(_ root: SectionFields) -> String {
    var printer = ResolvedPrinter()
    printer.section(root, indent: 0)
    // Comments line up, but one long value does not push all others away.
    let width = printer.lines.map(\.text.count).filter { $0 <= 60 }.max() ?? 0
    return printer.lines.map { line in
      guard let comment = line.comment else { return line.text + "\n" }
      return line.text + String(repeating: " ", count: max(0, width - line.text.count) + 2)
        + "# \(TerminalText.tamed(comment))\n"
    }.joined()
  }

  private mutating func section(_ fields: SectionFields, indent: Int) {
    let margin = String(repeating: " ", count: indent)
    for row in fields.section.rows {
      // What was included stands here itself.
      if row.key == RootSection.include.key { continue }
      guard let setting = fields[row], let value = setting.value else { continue }
      switch value {
      case .section(let inner):
        lines.append((margin + row.key + ":", nil))
        section(inner, indent: indent + 2)
      case .named(let entries):
        lines.append((margin + row.key + (entries.isEmpty ? ": {}" : ":"), entries.isEmpty ? "default" : nil))
        for entry in entries {
          lines.append((margin + "  \(ResolvedPrinter.quoted(entry.name)):", nil))
          section(entry.fields, indent: indent + 4)
        }
      default:
        let text = ResolvedPrinter.text(setting, value, row.type)
        lines.append(("\(margin)\(row.key): \(text)", ResolvedPrinter.origin(setting)))
      }
    }
  }

  /// Where a value comes from, in the words of `check --full`: a place in a file, `default`, `env NAME`.
  static func origin(_ setting: Setting) -> String {
    switch setting.origin {
    case .fallback: return "default"
    case .environment(let name): return "env \(name)"
    case .development: return "--dev"
    case .placeholder(let place): return "\(place.source.path):\(place.start.line) placeholder"
    case .file(let place, let references):
      var used = references
      if case .list(let members) = setting.value {
        for member in members { if case .file(_, let more) = member.origin { used += more } }
      }
      return (["\(place.source.path):\(place.start.line)"] + used).joined(separator: " ")
    }
  }

  /// A value as YAML in one line, `***` for what must not be told.
  static func text(_ setting: Setting, _ value: SettingValue, _ type: ValueType) -> String {
    if case .list(let members) = value {
      guard case .list(let element, _, _) = type else { return "[]" }
      return "["
        + members.map { member in
          member.value.map { text(member, $0, element) } ?? "null"
        }.joined(separator: ", ") + "]"
    }
    // Settings of policies mask their own.
    if case .tree(let reading) = value { return text(reading.shown) }
    if case .file(_, let references) = setting.origin, references.contains(where: { $0.hasPrefix("file ") }) {
      return "\"***\""
    }
    switch value {
    case .boolean(let value): return String(value)
    case .integer(let value):
      switch type {
      case .duration: return QuantityUnit.duration.text(value)
      case .size: return QuantityUnit.size.text(value)
      case .decimal(let places, _), .either(.decimal(let places, _), _): return DecimalValue.text(value, places: places)
      default: return String(value)
      }
    case .text(let text), .word(let text): return quoted(text)
    case .address(let address): return quoted(address.text)
    case .endpoint(let endpoint): return quoted(endpoint.text)
    case .block(let block): return quoted(block.text)
    case .host(let host): return quoted(host.text)
    case .pattern(let pattern): return quoted(pattern.text)
    // That there is none is no secret.
    case .secret(let secret): return secret.bytes.isEmpty ? "\"\"" : quoted(SecretText.mask)
    case .tree, .list, .section, .named: return "null"
    }
  }

  /// A text as a YAML scalar that reads back as the same string, in quotes where needed; `${` is escaped.
  static func quoted(_ text: String) -> String {
    let escaped = text.replacing("${", with: "$${")
    let isPlain =
      !escaped.isEmpty
      && escaped.utf8.allSatisfy { byte in
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x2F, 0x5F: true
        default: false
        }
      } && !escaped.hasPrefix("-") && Scalar(escaped, style: .plain).core == .text(escaped)
    if isPlain { return escaped }
    return "\"" + escaped.unicodeScalars.map { doubleQuoted($0) }.joined() + "\""
  }

  private static func doubleQuoted(_ scalar: Unicode.Scalar) -> String {
    switch scalar.value {
    case 0x22: return "\\\""
    case 0x5C: return "\\\\"
    case 0x0A: return "\\n"
    case 0x09: return "\\t"
    case _ where !TerminalText.isHarmless(scalar):
      let digits = String(scalar.value, radix: 16, uppercase: true)
      let width = digits.count > 4 ? 8 : 4
      return (width == 8 ? "\\U" : "\\u") + String(repeating: "0", count: width - digits.count) + digits
    default: return String(scalar)
    }
  }

  /// Settings of a policy in flow style.
  private static func text(_ tree: SettingsTree) -> String {
    switch tree {
    case .null: return "null"
    case .boolean(let value): return String(value)
    case .integer(let value): return String(value)
    case .number(let value):
      if value.isNaN { return ".nan" }
      return value.isInfinite ? (value < 0 ? "-.inf" : ".inf") : String(value)
    case .text(let value): return quoted(value)
    case .list(let members): return "[" + members.map { text($0) }.joined(separator: ", ") + "]"
    case .map(let pairs):
      return "{" + pairs.map { "\(quoted($0.key)): \(text($0.value))" }.joined(separator: ", ") + "}"
    }
  }
}

extension SchemaRow {
  /// The row's value as `check --full` shows it, but for one that was taken from outside the files: nobody has asked to
  /// see that. nil for a mapping, which has no line of its own.
  func shown(_ setting: Setting) -> String? {
    switch setting.value {
    case nil, .section, .named: nil
    case .some(let value): setting.isFromOutside ? "\"***\"" : ResolvedPrinter.text(setting, value, type)
    }
  }
}

extension Setting {
  /// A `${env:…}` or `${file:…}` took part in it.
  fileprivate var isFromOutside: Bool {
    if case .file(_, let references) = origin, !references.isEmpty { return true }
    guard case .list(let members) = value else { return false }
    return members.contains { $0.isFromOutside }
  }
}
