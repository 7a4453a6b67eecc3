// Which name is looked up when, and what an answer changes: the resolver's memory, without threads, clocks or sockets.
// The resolver calls it under its lock and tells it the time.
//
// A name is looked up by one thread at a time. It stays taken until its news has been delivered, so that news of one
// name never overtake each other.

/// Why a name has no addresses.
struct LookupError: Error, Equatable {
  let text: String
}

/// What an answer means to the world.
enum NameNews: Equatable {
  /// The name has other addresses than before, or its first ones.
  case changed(AddressSet)
  /// The first failure after a success or since the name is kept. Addresses that were known stay.
  case failed(LookupError)
}

/// The names that are kept fresh. Times are monotonic milliseconds.
struct NameSchedule {
  private enum Work {
    case idle
    case running
    /// The lookup that runs was begun before the name was forgotten; its answer counts no more.
    case outdated
  }

  private struct Row {
    var addresses: AddressSet?
    /// When it is looked up next; of no meaning while a lookup runs.
    var due: UInt64
    var work = Work.idle
    /// Since the last success.
    var failures = 0
    /// Whether a lookup has ended since the name is kept.
    var isAnswered = false
    /// A forgotten name has a row only as long as its lookup runs.
    var isKept = true
  }

  private var rows: [String: Row] = [:]
  private var refresh: UInt64 = 0
  /// How many names are kept.
  private(set) var keptCount = 0

  /// The names to keep from now on; new ones are due at once, others are forgotten with their addresses.
  mutating func keep(_ names: Set<String>, everyMilliseconds: Int, now: UInt64) {
    refresh = UInt64(max(1, everyMilliseconds))
    keptCount = names.count
    for (name, row) in rows where !names.contains(name) {
      rows[name] = row.work == .idle ? nil : Row(due: now, work: .outdated, isKept: false)
    }
    for name in names {
      guard var row = rows[name] else {
        rows[name] = Row(due: now)
        continue
      }
      row.isKept = true
      // A shorter interval acts now, a longer one after the next lookup.
      row.due = min(row.due, now + pause(row))
      rows[name] = row
    }
  }

  /// Takes the name that has been due for longest, if one is due; the caller looks it up and calls `answer`.
  mutating func take(now: UInt64) -> String? {
    var chosen: (name: String, due: UInt64)?
    for (name, row) in rows where row.work == .idle && row.due <= now {
      if let found = chosen, (found.due, found.name) <= (row.due, name) { continue }
      chosen = (name, row.due)
    }
    guard let name = chosen?.name else { return nil }
    rows[name]?.work = .running
    return name
  }

  /// When the next name is due that nobody has taken; nil when there is none.
  var nextDue: UInt64? {
    rows.values.lazy.filter { $0.work == .idle }.map(\.due).min()
  }

  /// Takes in what a lookup brought and says what is new. The name stays taken until `settle`.
  mutating func answer(_ name: String, _ result: Result<AddressSet, LookupError>) -> NameNews? {
    guard var row = rows[name], row.work == .running else { return nil }
    defer { rows[name] = row }
    switch result {
    case .success(let addresses):
      row.failures = 0
      if row.addresses == addresses { return nil }
      row.addresses = addresses
      return .changed(addresses)
    case .failure(let error):
      row.failures += 1
      return row.failures == 1 ? .failed(error) : nil
    }
  }

  /// Ends the lookup of a name, after its news has been delivered.
  mutating func settle(_ name: String, now: UInt64) {
    guard var row = rows[name] else { return }
    if !row.isKept {
      rows[name] = nil
      return
    }
    if row.work == .running {
      row.isAnswered = true
      row.due = now + pause(row)
    } else {
      row.due = now
    }
    row.work = .idle
    rows[name] = row
  }

  /// What is known of a name: nil when it was never found.
  func addresses(of name: String) -> AddressSet? { rows[name]?.addresses }

  /// Whether a lookup of every one of the names that are kept has ended since it is kept.
  func isAnswered(_ names: Set<String>) -> Bool {
    names.allSatisfy { name in
      guard let row = rows[name], row.isKept else { return true }
      return row.isAnswered
    }
  }

  /// How long a name rests: the refresh interval, and less after its first failures in a row, of which each doubles
  /// the rest.
  private func pause(_ row: Row) -> UInt64 {
    if row.failures == 0 { return refresh }
    let doublings = min(row.failures - 1, Limits.lookupRetryDoublingsMax)
    return min(refresh, Limits.lookupRetryMilliseconds << UInt64(doublings))
  }
}
