// An independent reader of the text format of Prometheus, stricter than a scraper: what Edge writes must be read by it
// to the last byte. It knows nothing of the rows that the text is made from.

import Foundation

/// What a text says.
struct Exposition004 {
  struct Series: Hashable {
    let name: String
    let labels: [String: String]
  }

  struct Fault: Error, CustomStringConvertible {
    let line: Int
    let description: String
  }

  private(set) var helps: [String: String] = [:]
  private(set) var kinds: [String: String] = [:]
  /// In the order of their heads.
  private(set) var families: [String] = []
  private(set) var values: [Series: Double] = [:]
  /// In the order of the text.
  private(set) var order: [Series] = []
  private(set) var comments: [String] = []
  private var line = 0

  init(_ text: String) throws {
    guard text.hasSuffix("\n") else { throw Fault(line: 0, description: "no end of the last line") }
    for line in text.dropLast().split(separator: "\n", omittingEmptySubsequences: false) {
      self.line += 1
      try read(String(line))
    }
    for family in families where kinds[family] == "histogram" { try checkHistogram(family) }
  }

  /// The value of a series; nil: it is not there.
  subscript(name: String, labels: [String: String] = [:]) -> Double? { values[Series(name: name, labels: labels)] }

  private func fault(_ text: String) -> Fault { Fault(line: line, description: "line \(line): \(text)") }

  private mutating func read(_ line: String) throws {
    if line.hasPrefix("# HELP ") || line.hasPrefix("# TYPE ") {
      try readHead(line)
    } else if line.hasPrefix("# ") {
      comments.append(String(line.dropFirst(2)))
    } else {
      try readSample(line)
    }
  }

  private mutating func readHead(_ line: String) throws {
    let words = line.dropFirst(7).split(separator: " ", maxSplits: 1).map(String.init)
    guard words.count == 2, words[0].wholeMatch(of: #/[a-zA-Z_:][a-zA-Z0-9_:]*/#) != nil else { throw fault(line) }
    if line.hasPrefix("# HELP ") {
      guard helps.updateValue(words[1], forKey: words[0]) == nil else { throw fault("a second HELP") }
      guard !words[1].contains("\\") else { throw fault("an escape in HELP") }
      families.append(words[0])
    } else {
      guard families.last == words[0] else { throw fault("TYPE without its HELP in front") }
      guard kinds.updateValue(words[1], forKey: words[0]) == nil else { throw fault("a second TYPE") }
      guard ["counter", "gauge", "histogram"].contains(words[1]) else { throw fault("type \(words[1])") }
    }
  }

  private mutating func readSample(_ line: String) throws {
    var rest = Substring(line)
    let name = String(rest.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_" || $0 == ":") })
    rest = rest.dropFirst(name.count)
    guard name.wholeMatch(of: #/[a-zA-Z_:][a-zA-Z0-9_:]*/#) != nil else { throw fault("name in '\(line)'") }
    let labels = rest.first == "{" ? try readLabels(&rest) : [:]
    guard let match = rest.wholeMatch(of: #/ ([0-9]+(?:\.[0-9]+)?)/#), let value = Double(match.1) else {
      throw fault("value '\(rest)'")
    }
    guard let family = families.last, let kind = kinds[family] else { throw fault("no head") }
    let names = kind == "histogram" ? ["_bucket", "_sum", "_count"].map { family + $0 } : [family]
    guard names.contains(name) else { throw fault("\(name) among those of \(family)") }
    if kind == "counter", !name.hasSuffix("_total") { throw fault("counter \(name)") }
    let series = Series(name: name, labels: labels)
    guard values.updateValue(value, forKey: series) == nil else { throw fault("a second \(series)") }
    order.append(series)
  }

  /// `{name="value",…}` with nothing behind the last comma.
  private mutating func readLabels(_ rest: inout Substring) throws -> [String: String] {
    var labels: [String: String] = [:]
    repeat {
      rest = rest.dropFirst()
      guard let match = rest.prefixMatch(of: #/([a-zA-Z_][a-zA-Z0-9_]*)="/#) else { throw fault("label '\(rest)'") }
      rest = rest[match.range.upperBound...]
      var value = ""
      while let character = rest.first, character != "\"" {
        rest = rest.dropFirst()
        if character != "\\" {
          value.append(character)
          continue
        }
        switch rest.popFirst() {
        case "\\": value.append("\\")
        case "\"": value.append("\"")
        case "n": value.append("\n")
        default: throw fault("escape in a label")
        }
      }
      guard rest.popFirst() == "\"" else { throw fault("a label without its end") }
      guard labels.updateValue(value, forKey: String(match.1)) == nil else { throw fault("a label twice") }
    } while rest.first == ","
    guard rest.popFirst() == "}" else { throw fault("labels without their end") }
    return labels
  }

  /// Buckets are cumulative, in order, with one without end that is the count; each has its sum.
  private func checkHistogram(_ family: String) throws {
    var last: [[String: String]: (bound: Double, count: Double)] = [:]
    for series in order where series.name == family + "_bucket" {
      var labels = series.labels
      guard let text = labels.removeValue(forKey: "le") else { throw fault("a bucket of \(family) without le") }
      guard let bound = text == "+Inf" ? Double.infinity : Double(text) else { throw fault("le '\(text)'") }
      let count = values[series] ?? -1
      if let before = last[labels], before.bound >= bound || before.count > count {
        throw fault("buckets of \(family) \(labels)")
      }
      last[labels] = (bound, count)
    }
    for series in order where series.name == family + "_count" {
      guard let end = last.removeValue(forKey: series.labels), end.bound == .infinity, end.count == values[series],
        self[family + "_sum", series.labels] != nil
      else { throw fault("\(family) \(series.labels)") }
    }
    guard last.isEmpty else { throw fault("\(family) without a count") }
  }
}
