// One scalar into one value.
//
// Owns: what each scalar type accepts, and what it says when it does not.
// Called by: the section reader for values in files, and defaults for literals and environment variables.
// Never: sees nodes, places or references; those are handled before and after.

import YAML

/// A scalar whose references have been replaced.
struct ScalarInput: Sendable {
  /// The text to read.
  let text: String
  /// True when the core schema decides its type: plain text without references.
  let resolves: Bool
  /// True when quoting does not matter, because the text holds references or comes from the environment or a row.
  let isFree: Bool
  /// The references whose values are in the text; when there are any, it must not be repeated in a message.
  let hidden: [String]

  /// Text of a row's default.
  static func literal(_ text: String) -> ScalarInput {
    ScalarInput(text: text, resolves: false, isFree: true, hidden: [])
  }
}

extension ValueType {
  /// Reads a scalar as this type. Collections are refused: their members are read one by one.
  func read(_ input: ScalarInput) throws(ValueComplaint) -> SettingValue {
    if !input.hidden.isEmpty {
      do { return try readShown(input) } catch {
        // The complaint may repeat the text.
        throw ValueComplaint("with \(input.hidden.joined(separator: " and ")) filled in, this is not \(expectation)")
      }
    }
    return try readShown(input)
  }

  private func readShown(_ input: ScalarInput) throws(ValueComplaint) -> SettingValue {
    let text = input.text
    guard !text.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F }) else {
      let isEnd = text.unicodeScalars.last.map { $0 == "\n" || $0 == "\r" } ?? false
      throw ValueComplaint(
        "a value is one line without control characters",
        hint: isEnd ? "remove the line end behind it, or use ${file:…}, which does" : nil)
    }
    switch self {
    case .text: return .text(try plainText(input, lengthMax: 1024))
    case .boolean: return .boolean(try boolean(input))
    case .integer(let bounds): return .integer(try integer(input, within: bounds))
    case .integerOr(let word, let bounds):
      return text == word ? .word(word) : .integer(try integer(input, within: bounds))
    case .duration(let bounds): return .integer(try QuantityUnit.duration.read(text, within: bounds))
    case .size(let bounds): return .integer(try QuantityUnit.size.read(text, within: bounds))
    case .choice(let words):
      guard words.contains(text) else {
        throw ValueComplaint("'\(text)' is not \(expectation)", hint: Nearness.hint(for: text, among: words))
      }
      return .text(text)
    case .path: return .text(try plainText(input, lengthMax: 1024))
    case .glob:
      let path = try plainText(input, lengthMax: 1024)
      let folder = path.lastIndex(of: "/").map { path[..<$0] } ?? ""
      guard !folder.contains(where: { "*?[".contains($0) }) else {
        throw ValueComplaint("only the last part of the path may hold '*' or '?'")
      }
      return .text(path)
    case .bind: return .address(try HostPort.readBind(text))
    case .endpoint: return .endpoint(try Endpoint.read(text))
    case .hostName: return .text(try HostText.nameOnly(text))
    case .addressBlock: return .block(try AddressBlock.read(text))
    case .host: return .host(try HostPattern.read(text))
    case .pattern: return .pattern(try PathPattern.read(text))
    case .origin: return .text(try OriginText.read(text))
    case .sessionReload: return .text(try SessionReloadText.read(text))
    case .providerDialect: return .text(try DialectText.readOfProvider(text))
    case .reference(let entity): return .text(try NameText.readReference(text, of: entity))
    case .secret: return .secret(try SecretText.read(text))
    case .key(let none):
      if text != none, text.lowercased() == none {
        throw ValueComplaint("the word for no key is '\(none)'", hint: "did you mean '\(none)'?")
      }
      return text == none ? .word(none) : .secret(try SecretText.readKey(text))
    case .decimal(let places, let bounds):
      return .integer(try DecimalValue.read(input, places: places, within: bounds))
    case .basePath: return .text(try BasePathText.read(text))
    case .modelName: return .text(try ModelNameText.read(try plainText(input, lengthMax: ModelNameText.bytesMax)))
    case .either(let type, _): return try type.read(input)
    case .permission(let wildcards): return .text(try PermissionText.read(text, wildcards: wildcards))
    case .script: return .text(try ScriptPath.read(try plainText(input, lengthMax: 1024)))
    case .tree, .list, .section, .named: throw ValueComplaint("expected \(expectation), found '\(text)'")
    }
  }

  /// Reads the default of a row.
  func readDefault(_ text: String) throws(ValueComplaint) -> SettingValue {
    guard case .list(let element, _, _) = self else { return try read(.literal(text)) }
    var members: [Setting] = []
    for part in text.split(separator: ",") {
      members.append(
        Setting(value: try element.read(.literal(ConfigText.trimmed(part))), origin: .fallback))
    }
    return .list(members)
  }

  private func plainText(_ input: ScalarInput, lengthMax: Int) throws(ValueComplaint) -> String {
    guard !input.text.isEmpty else { throw ValueComplaint("the value is empty") }
    guard input.text.utf8.count <= lengthMax else {
      throw ValueComplaint("the value is longer than \(lengthMax) bytes")
    }
    return input.text
  }

  private func boolean(_ input: ScalarInput) throws(ValueComplaint) -> Bool {
    let scalar = Scalar(input.text, style: .plain)
    if let value = scalar.boolean {
      guard input.resolves || input.isFree else {
        throw ValueComplaint("'\(input.text)' in quotes is text, not a truth value", hint: "remove the quotes")
      }
      return value
    }
    let meant: Bool? =
      switch input.text.lowercased() {
      case "yes", "on", "y", "1", "true", "enabled": true
      case "no", "off", "n", "0", "false", "disabled": false
      default: nil
      }
    throw ValueComplaint("'\(input.text)' is not true or false", hint: meant.map { "did you mean '\($0)'?" })
  }

  private func integer(_ input: ScalarInput, within bounds: ClosedRange<Int>) throws(ValueComplaint) -> Int {
    let range =
      bounds.count == 1
      ? "it must be \(bounds.lowerBound)" : "it is out of bounds: \(bounds.lowerBound) to \(bounds.upperBound)"
    switch Scalar.integer(from: input.text) {
    case .value(let value):
      guard input.resolves || input.isFree else {
        throw ValueComplaint("'\(input.text)' in quotes is text, not an integer", hint: "remove the quotes")
      }
      guard bounds.contains(value) else { throw ValueComplaint("found \(value), \(range)") }
      return value
    case .leadingZero:
      let sign = input.text.hasPrefix("-") ? "-" : ""
      let digits = input.text.drop { $0 == "0" || $0 == "+" || $0 == "-" }
      let octal = digits.contains { $0 == "8" || $0 == "9" } || !sign.isEmpty || digits.isEmpty
      throw ValueComplaint(
        "'\(input.text)' begins with a zero, which some readers take for octal",
        hint: "write \(digits.isEmpty ? "0" : sign + digits)\(octal ? "" : ", or 0o\(digits) if octal is meant")")
    case .outOfRange: throw ValueComplaint("found \(input.text), \(range)")
    case .none:
      if case .integerOr(let word, _) = self {
        throw ValueComplaint(
          "'\(input.text)' is not \(expectation)", hint: Nearness.hint(for: input.text, among: [word]))
      }
      throw ValueComplaint("'\(input.text)' is not an integer")
    }
  }

  /// A valid value that stands in for an undefined one.
  var placeholder: SettingValue {
    switch self {
    case .text, .path, .glob, .reference, .modelName: .text("placeholder")
    case .boolean: .boolean(false)
    case .integer(let bounds), .duration(let bounds), .size(let bounds), .integerOr(_, let bounds):
      .integer(bounds.lowerBound)
    case .choice(let words): .text(words.first ?? "placeholder")
    case .bind: .address(HostPort(host: "127.0.0.1", port: 0))
    case .endpoint: .endpoint(Endpoint(scheme: .http, address: HostPort(host: "placeholder.invalid", port: 80)))
    case .hostName: .text("placeholder.invalid")
    case .addressBlock: .block(AddressBlock(bytes: [127, 0, 0, 1], prefixBits: 32))
    case .host: .host(.exact("placeholder.invalid"))
    case .pattern: .pattern(PathPattern(segments: [.literal("placeholder")], tail: .exact))
    case .secret, .key: .secret(SecretText(bytes: [UInt8](repeating: 0x2A, count: SecretText.bytesMin)))
    case .decimal(let places, let bounds): .integer(DecimalValue.units(bounds.lowerBound, places: places))
    case .basePath: .text("")
    case .either(let type, _): type.placeholder
    case .permission: .text("placeholder")
    case .origin: .text("https://placeholder.invalid")
    case .sessionReload: .text(SessionReloadText.words[0])
    case .providerDialect: .text(DialectText.ofProviders.first ?? "placeholder")
    case .script: .text("placeholder.lua")
    case .tree: .tree(.none)
    case .list, .named, .section: .list([])
    }
  }
}

/// Names of things that have a section of their own.
enum NameText {
  /// Reads a name: `[a-z0-9][a-z0-9_.-]{0,63}`; of a model, which clients write, `[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}`.
  static func read(_ text: String, of entity: NamedKind) throws(ValueComplaint) -> String {
    if isValid(text, entity) { return text }
    if entity == .model {
      let nearby = replacing(text, entity)
      throw ValueComplaint(
        "'\(text)' is no name for a model: letters, digits, '_', '.', ':' and '-', at most \(bytesMax(entity)), "
          + "a letter or digit first",
        hint: text.utf8.contains(0x2F)
          ? "clients write PROVIDER/MODEL to name a provider; what the provider calls it stands in 'upstream_name'"
          : isValid(nearby, entity) ? "did you mean '\(nearby)'?" : nil)
    }
    let nearby = replacing(ConfigText.trimmed(text).lowercased(), entity)
    throw ValueComplaint(
      "'\(text)' is no name for a \(entity.rawValue): lower-case letters, digits, '_', '.' and '-', at most "
        + "\(bytesMax(entity)), a letter or digit first",
      hint: isValid(nearby, entity) && !text.utf8.contains(0x2F) ? "did you mean '\(nearby)'?" : nil)
  }

  /// Reads the name of something that is defined elsewhere.
  static func readReference(_ text: String, of entity: NamedKind) throws(ValueComplaint) -> String {
    if isValid(text, entity) { return text }
    let isURL = text.contains("://")
    if isURL, entity == .service || entity == .provider {
      throw ValueComplaint(
        "'\(text)' is a URL, no name for a \(entity.rawValue)",
        hint: "write the name of a \(entity.rawValue); URLs stand in its 'endpoints'")
    }
    let words = text.split { $0 == " " || $0 == "," }.map(String.init)
    if words.count > 1, words.allSatisfy({ isValid($0, entity) }) {
      throw ValueComplaint(
        "'\(text)' is no name for a \(entity.rawValue)", hint: "write [\(words.joined(separator: ", "))] for several")
    }
    return try read(text, of: entity)
  }

  /// The same rule as a regular expression.
  static func pattern(of entity: NamedKind) -> String {
    entity == .model ? "^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$" : "^[a-z0-9][a-z0-9_.-]{0,63}$"
  }

  private static func bytesMax(_ entity: NamedKind) -> Int { entity == .model ? 128 : 64 }

  private static func isValid(_ text: String, _ entity: NamedKind) -> Bool {
    guard let first = text.utf8.first, isLetter(first, entity), text.utf8.count <= bytesMax(entity) else {
      return false
    }
    return text.utf8.allSatisfy { isLetter($0, entity) || isMark($0, entity) }
  }

  private static func replacing(_ text: String, _ entity: NamedKind) -> String {
    String(
      decoding: text.utf8.map { isLetter($0, entity) || isMark($0, entity) ? $0 : 0x2D }, as: UTF8.self)
  }

  private static func isLetter(_ byte: UInt8, _ entity: NamedKind) -> Bool {
    (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || entity == .model && (0x41...0x5A).contains(byte)
  }

  private static func isMark(_ byte: UInt8, _ entity: NamedKind) -> Bool {
    byte == 0x5F || byte == 0x2E || byte == 0x2D || entity == .model && byte == 0x3A
  }
}
