// Tables that tests hand over: requests, options, prepared answers. Read strictly, so that a misspelt name is a failure
// of the test and not a request that is silently another one.
//
// Called by: the parts of tests of policies. Never: has a default of its own.

/// What is wrong with a test itself, in words for whoever wrote it.
struct TestFault: Error {
  let text: String
}

/// A table with known names.
struct GivenTable {
  private let table: TestValue
  /// How messages call it.
  private let title: String

  /// Reads a table, or nothing for an empty one.
  init(_ value: TestValue, _ title: String, known: [String]) throws(TestFault) {
    table = value
    self.title = title
    switch value {
    case .nothing: return
    case .list(let members) where members.isEmpty: return
    case .map(let pairs):
      for pair in pairs where !known.contains(pair.name) {
        let hint = Nearness.hint(for: pair.name, among: known) ?? "known: \(known.joined(separator: ", "))"
        throw TestFault(text: "\(title) has no '\(pair.name)'; \(hint)")
      }
    default: throw TestFault(text: "\(title) must be a table with names, found \(value.shown)")
    }
  }

  subscript(name: String) -> TestValue { table[name] }

  private func wrong(_ name: String, _ wanted: String) -> TestFault {
    TestFault(text: "'\(name)' of \(title) must be \(wanted), found \(table[name].shown)")
  }

  func text(_ name: String) throws(TestFault) -> String? {
    if table[name] == .nothing { return nil }
    guard let text = table[name].string else { throw wrong(name, "a string") }
    return text
  }

  func boolean(_ name: String) throws(TestFault) -> Bool? {
    if table[name] == .nothing { return nil }
    guard case .boolean(let value) = table[name] else { throw wrong(name, "true or false") }
    return value
  }

  /// A number that is not negative.
  func number(_ name: String) throws(TestFault) -> Double? {
    if table[name] == .nothing { return nil }
    guard let value = table[name].double, value >= 0, value < 1e15 else { throw wrong(name, "a number from 0 on") }
    return value
  }

  /// Credits, as `edge.credit.amount` reads them.
  func amount(_ name: String) throws(TestFault) -> Amount? {
    do throws(Amount.Fault) {
      switch table[name] {
      case .nothing: return nil
      case .integer(let whole): return try Amount(credits: whole)
      case .number: throw .number
      case .text(let bytes):
        let units = bytes.withUnsafeBufferPointer { DecimalText.units($0, places: Amount.places) }
        guard let units else { throw .text }
        return Amount(units: units)
      default: throw .type
      }
    } catch { throw TestFault(text: "'\(name)' of \(title): \(error.text)") }
  }

  /// Accounts with their credits.
  func accounts(_ name: String) throws(TestFault) -> [(account: String, balance: Amount)] {
    var accounts: [(account: String, balance: Amount)] = []
    let pairs = try pairs(name) ?? []
    let table = try GivenTable(self[name], "'\(name)'", known: pairs.map(\.name))
    for pair in pairs { accounts.append((pair.name, try table.amount(pair.name) ?? .zero)) }
    return accounts
  }

  /// One text, or a list of them.
  func texts(_ name: String) throws(TestFault) -> [String]? {
    switch table[name] {
    case .nothing: return nil
    case .text: return table[name].string.map { [$0] }
    case .list(let members):
      let texts = members.compactMap(\.string)
      if texts.count == members.count { return texts }
    case .map(let pairs) where pairs.isEmpty: return []
    default: break
    }
    throw wrong(name, "a string or a list of strings")
  }

  /// The members of a list.
  func list(_ name: String) throws(TestFault) -> [TestValue] {
    switch table[name] {
    case .nothing: return []
    case .list(let members): return members
    case .map(let pairs) where pairs.isEmpty: return []
    default: throw wrong(name, "a list")
    }
  }

  /// The pairs of a table with any names.
  func pairs(_ name: String) throws(TestFault) -> [TestPair]? {
    switch table[name] {
    case .nothing: return nil
    case .map(let pairs): return pairs
    case .list(let members) where members.isEmpty: return []
    default: throw wrong(name, "a table with names")
    }
  }
}
