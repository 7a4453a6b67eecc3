// Which names stand in labels of metrics, and the small number that each has for the life of the process.
//
// Owns: names of routes, providers, models and policies, and the pairs of provider and model, each in a bounded table.
// Called by: whoever builds a generation, which keeps the numbers in its rows; the exposition, which writes the names.
// Never: takes a name that does not stand in a configuration, and never forgets one: a counter outlives a reload.

/// What a name belongs to.
enum MetricLabel: Int, CaseIterable, Sendable {
  case route, provider, model, policy

  /// The label as Prometheus sees it.
  var name: StaticString {
    switch self {
    case .route: "route"
    case .provider: "provider"
    case .model: "model"
    case .policy: "policy"
    }
  }

  /// How many names have a number of their own, with the two of `MetricNames`.
  var places: Int {
    switch self {
    case .route: MetricScope.route.places
    case .provider: MetricScope.provider.places
    case .model: 256
    case .policy: MetricScope.policy.places
    }
  }
}

/// The names and their numbers. Claiming is for the thread that builds generations; the request path sees numbers only.
final class MetricNames: Sendable {
  /// The number of every name that found its table full, or is too long: label `other`.
  static let other: UInt16 = 0
  /// The number for "there is no such thing": label `-`, which is no name in a configuration.
  static let none: UInt16 = 1
  /// Pairs of provider and model, with `other` and `none` of both.
  static let pairPlaces = MetricScope.pair.places
  /// The longest name; a cut one might be that of something else.
  static let nameBytesMax = 128

  /// A pair by the numbers of its names.
  struct Pair: Equatable, Hashable, Sendable {
    let provider: UInt16
    let model: UInt16
  }

  /// What stands in the tables at one moment.
  struct Listing: Sendable {
    /// By label and number, as the text of a label value.
    fileprivate(set) var names = [[[UInt8]]](repeating: [Array("other".utf8), Array("-".utf8)], count: labels)
    /// By number.
    fileprivate(set) var pairs = [
      Pair(provider: MetricNames.other, model: MetricNames.other),
      Pair(provider: MetricNames.none, model: MetricNames.none),
    ]
    /// Claims that found no place: by label, then those of pairs.
    fileprivate(set) var refused = [UInt64](repeating: 0, count: labels + 1)

    private static let labels = MetricLabel.allCases.count
  }

  private struct State {
    var listing = Listing()
    var numbers = [[String: UInt16]](
      repeating: ["other": MetricNames.other, "-": MetricNames.none], count: MetricLabel.allCases.count)
    var pairNumbers: [Pair: UInt16]

    init() {
      pairNumbers = [:]
      for (number, pair) in listing.pairs.enumerated() { pairNumbers[pair] = UInt16(number) }
    }
  }

  private let state = Locked(State())

  /// The number of a name, the same each time.
  func claim(_ label: MetricLabel, _ name: String) -> UInt16 {
    state.withLock { state in
      if let known = state.numbers[label.rawValue][name] { return known }
      let next = state.listing.names[label.rawValue].count
      guard next < label.places, name.utf8.count <= MetricNames.nameBytesMax else {
        state.listing.refused[label.rawValue] += 1
        return MetricNames.other
      }
      state.listing.names[label.rawValue].append(MetricNames.escaped(name))
      state.numbers[label.rawValue][name] = UInt16(next)
      return UInt16(next)
    }
  }

  /// The number of a provider with a model that it offers, by the numbers of their names.
  func claimPair(provider: UInt16, model: UInt16) -> UInt16 {
    let pair = Pair(provider: provider, model: model)
    return state.withLock { state in
      if let known = state.pairNumbers[pair] { return known }
      let next = state.listing.pairs.count
      guard next < MetricNames.pairPlaces, Int(provider) < state.listing.names[MetricLabel.provider.rawValue].count,
        Int(model) < state.listing.names[MetricLabel.model.rawValue].count
      else {
        state.listing.refused[MetricLabel.allCases.count] += 1
        return MetricNames.other
      }
      state.listing.pairs.append(pair)
      state.pairNumbers[pair] = UInt16(next)
      return UInt16(next)
    }
  }

  /// What stands in the tables now.
  var listing: Listing { state.withLock { $0.listing } }

  /// Backslashes, quotes and line ends as the text format has them in label values.
  static func escaped(_ name: String) -> [UInt8] {
    var bytes: [UInt8] = []
    for byte in name.utf8 {
      switch byte {
      case 0x5c: bytes += [0x5c, 0x5c]
      case 0x22: bytes += [0x5c, 0x22]
      case 0x0a: bytes += [0x5c, 0x6e]
      default: bytes.append(byte)
      }
    }
    return bytes
  }
}
