// The text format of Prometheus (version 0.0.4), read back: what `/metrics` of the admin socket answers.
//
// Owns: the reading, differences of two readings, and what a histogram's buckets say about shares of all values.
// Called by: `edge top`. Never: knows a metric by its name, or takes a line that it only half understands.

import Glibc

/// A number with the labels that tell it from others of its name.
struct MetricSample: Equatable {
  let labels: [String: String]
  let value: Double
}

/// All samples of one answer, by name.
struct MetricText: Equatable {
  private(set) var samples: [String: [MetricSample]] = [:]

  init() {}

  /// Reads an answer; the fault names the first line that cannot be understood.
  init(_ text: [UInt8]) throws(AdminFault) {
    var number = 0
    for line in text.split(separator: 0x0a, omittingEmptySubsequences: false) {
      number += 1
      if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0d }) || line.first == 0x23 { continue }
      var reader = MetricLine(line)
      guard let (name, sample) = reader.read() else {
        throw AdminFault(.otherVersion, "line \(number) of its metrics cannot be read")
      }
      samples[name, default: []].append(sample)
    }
  }

  /// How much every number has grown. One that is smaller than before began anew, and what it has is what it grew.
  func difference(from before: MetricText) -> MetricText {
    var grown = MetricText()
    for (name, series) in samples {
      let old = Dictionary(
        (before.samples[name] ?? []).map { ($0.labels, $0.value) }, uniquingKeysWith: { first, _ in first })
      grown.samples[name] = series.map { sample in
        let rest = sample.value - (old[sample.labels] ?? 0)
        return MetricSample(labels: sample.labels, value: rest < 0 ? sample.value : rest)
      }
    }
    return grown
  }

  /// The sum over all series of a name in which a label has one of these values.
  func sum(_ name: String, _ label: String = "", _ values: Set<String> = []) -> Double {
    (samples[name] ?? []).reduce(0) { sum, sample in
      label.isEmpty || values.contains(sample.labels[label] ?? "") ? sum + sample.value : sum
    }
  }

  /// The same by the values of another label.
  func sums(_ name: String, by group: String, _ label: String = "", _ values: Set<String> = []) -> [String: Double] {
    var sums: [String: Double] = [:]
    for sample in samples[name] ?? [] {
      guard let key = sample.labels[group] else { continue }
      if label.isEmpty || values.contains(sample.labels[label] ?? "") { sums[key, default: 0] += sample.value }
    }
    return sums
  }

  /// The histograms of a name by the values of a label.
  func histograms(_ name: String, by group: String) -> [String: MetricHistogram] {
    var buckets: [String: [(bound: Double, count: Double)]] = [:]
    for sample in samples[name + "_bucket"] ?? [] {
      guard let key = sample.labels[group], let bound = sample.labels["le"].flatMap({ Double($0) }) else { continue }
      buckets[key, default: []].append((bound, sample.value))
    }
    return buckets.mapValues { MetricHistogram($0) }
  }
}

/// Where a share of all values ends.
enum MetricQuantile: Equatable {
  /// There are no values.
  case none
  /// Below the first bound.
  case below(Double)
  case at(Double)
  /// Above the last bound.
  case above(Double)
}

/// How many values lie below each bound.
struct MetricHistogram: Equatable {
  /// Ascending; the last is infinite.
  private(set) var bounds: [Double] = []
  /// Of all values up to the bound.
  private(set) var counts: [Double] = []

  init(_ buckets: [(bound: Double, count: Double)]) {
    for bucket in buckets.sorted(by: { $0.bound < $1.bound }) {
      bounds.append(bucket.bound)
      // Buckets are read one after the other while they are counted.
      counts.append(max(bucket.count, counts.last ?? 0))
    }
  }

  /// The value that this share of all values does not exceed; within a bucket they are taken to lie evenly.
  func quantile(_ share: Double) -> MetricQuantile {
    guard let total = counts.last, total > 0, let last = bounds.last(where: \.isFinite) else { return .none }
    let rank = share * total
    guard let place = counts.firstIndex(where: { $0 >= rank && $0 > 0 }) else { return .none }
    if place == 0 { return .below(bounds[0]) }
    if !bounds[place].isFinite { return .above(last) }
    let (lower, upper) = (bounds[place - 1], bounds[place])
    let before = counts[place - 1]
    return .at(lower + (upper - lower) * (rank - before) / (counts[place] - before))
  }
}

/// One line that is no comment.
private struct MetricLine {
  private var rest: ArraySlice<UInt8>

  init(_ line: ArraySlice<UInt8>) { rest = line }

  /// `name{label="value",…} number`, behind which a time may stand.
  mutating func read() -> (name: String, sample: MetricSample)? {
    guard let name = word(isName: true) else { return nil }
    var labels: [String: String] = [:]
    if take(0x7b) {
      while !take(0x7d) {
        skipBlanks()
        guard let label = word(isName: false), take(0x3d), take(0x22), let value = quoted() else { return nil }
        if labels.updateValue(value, forKey: label) != nil { return nil }
        skipBlanks()
        if !take(0x2c), rest.first != 0x7d { return nil }
      }
    }
    let words = rest.split { $0 == 0x20 || $0 == 0x09 || $0 == 0x0d }
    guard rest.first == 0x20 || rest.first == 0x09, (1...2).contains(words.count),
      let value = Double(String(decoding: words[0], as: UTF8.self)), !value.isNaN
    else { return nil }
    return (name, MetricSample(labels: labels, value: value))
  }

  private mutating func take(_ byte: UInt8) -> Bool {
    if rest.first != byte { return false }
    rest.removeFirst()
    return true
  }

  private mutating func skipBlanks() { while take(0x20) || take(0x09) {} }

  private mutating func word(isName: Bool) -> String? {
    let word = rest.prefix { byte in
      (0x61...0x7a).contains(byte | 0x20) && byte != 0x60 || (0x30...0x39).contains(byte) || byte == 0x5f
        || isName && byte == 0x3a
    }
    guard let first = word.first, !(0x30...0x39).contains(first) else { return nil }
    rest = rest[word.endIndex...]
    return String(decoding: word, as: UTF8.self)
  }

  /// Up to the quote that ends it.
  private mutating func quoted() -> String? {
    var value: [UInt8] = []
    while let byte = rest.popFirst() {
      if byte == 0x22 { return String(decoding: value, as: UTF8.self) }
      guard byte == 0x5c else {
        value.append(byte)
        continue
      }
      switch rest.popFirst() {
      case 0x5c: value.append(0x5c)
      case 0x22: value.append(0x22)
      case 0x6e: value.append(0x0a)
      default: return nil
      }
    }
    return nil
  }
}
