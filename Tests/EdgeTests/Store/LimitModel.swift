@testable import Edge

/// What a limit must answer, from the words of its rule: everything is remembered and nothing is clever.
struct LimitModel {
  let rule: LimitRule
  /// The latest moment that anybody has come with.
  private(set) var latest: UInt64 = 0
  private var stamps: [Int: [UInt64]] = [:]
  /// A bucket by key: how full it is, in steps of 1/count of a nanosecond, and when that was so.
  private var buckets: [Int: (level: UInt128, at: UInt64)] = [:]

  init(_ rule: LimitRule) { self.rule = rule }

  /// Whether forgetting the key would change an answer.
  func counts(_ key: Int, at time: UInt64) -> Bool {
    switch rule {
    case .window(_, let length): return (stamps[key] ?? []).contains { time - $0 < length }
    case .rate(_, let length, let burst): return level(key, at: time) < UInt128(burst) * UInt128(length)
    }
  }

  private func level(_ key: Int, at time: UInt64) -> UInt128 {
    guard case .rate(let count, let length, let burst) = rule else { return 0 }
    let whole = UInt128(burst) * UInt128(length)
    guard let bucket = buckets[key] else { return whole }
    return min(whole, bucket.level + UInt128(time - bucket.at) * UInt128(count))
  }

  mutating func take(_ key: Int, now: UInt64) -> LimitVerdict {
    latest = max(latest, now)
    let time = latest
    switch rule {
    case .window(let count, let length):
      let live = (stamps[key] ?? []).filter { time - $0 < length }
      if live.count < count {
        stamps[key] = live + [time]
        return .granted(remaining: count - live.count - 1)
      }
      return .refused(retryAfterNanoseconds: live[live.count - count] + length - now)
    case .rate(let count, let length, _):
      let level = level(key, at: time)
      let cost = UInt128(length)
      if level >= cost {
        buckets[key] = (level - cost, time)
        return .granted(remaining: Int((level - cost) / cost))
      }
      var wait = UInt64((cost - level) / UInt128(count))
      while level + UInt128(wait) * UInt128(count) < cost { wait += 1 }
      return .refused(retryAfterNanoseconds: wait + (time - now))
    }
  }
}
