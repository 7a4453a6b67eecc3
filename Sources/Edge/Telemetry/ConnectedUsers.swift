// Who is connected with WebSockets, as numbers: how many users there are, and how many WebSockets by role. What is kept
// of a user is a keyed hash, and only as long as a WebSocket of theirs is open.
//
// Owns: the counts. Called by: workers, when a WebSocket opens and when it ends; built-in endpoints read. Never: tells
// who anybody is, or a role that no configuration has.

/// The users of all open WebSockets. Any thread may call it.
final class ConnectedUsers: Sendable {
  /// What roles are called that the configuration does not have; so are the WebSockets of callers without any.
  static let otherRole = "other"
  /// The longest name that a role of the configuration can have.
  private static let roleBytesMax = 64
  private static let shardCount = 16

  private struct RoleCount {
    let name: [UInt8]
    var count: Int
  }

  private struct Roles {
    /// Of the configuration, in its order.
    var known: [String] = []
    /// Of open WebSockets, by the hash of their names.
    var counts: [UInt64: RoleCount] = [:]
    /// WebSockets without a role, or with one that nothing can have.
    var others = 0
  }

  private let hash = KeyedHash64()
  /// WebSockets by the hash of their user. Several tables, so that none of them is ever long in growing.
  private let shards = (0..<shardCount).map { _ in Locked([UInt64: Int]()) }
  private let roles = Locked(Roles())

  /// A WebSocket was opened. `user`: who the policies say it is, empty when they do not say; `role`: the first of the
  /// caller's roles, empty when there is none.
  func joined(user: UnsafeBufferPointer<UInt8>, role: UnsafeBufferPointer<UInt8>) { count(1, user, role) }

  /// It has ended: once for each that joined, with the same user and role.
  func left(user: UnsafeBufferPointer<UInt8>, role: UnsafeBufferPointer<UInt8>) { count(-1, user, role) }

  /// The roles of the newest configuration, in its order.
  func know(roles names: [String]) { roles.withLock { $0.known = names } }

  /// How many users have WebSockets.
  var total: Int { shards.reduce(0) { sum, shard in sum + shard.withLock { $0.count } } }

  /// WebSockets by role: those of the configuration that have any, in its order, then all others as one.
  var byRole: [(role: String, count: Int)] {
    let (known, counts, others) = roles.withLock { ($0.known, $0.counts, $0.others) }
    var left = Dictionary(
      counts.values.map { (String(decoding: $0.name, as: UTF8.self), $0.count) }, uniquingKeysWith: +)
    var result: [(role: String, count: Int)] = []
    for name in known where name != ConnectedUsers.otherRole {
      if let count = left.removeValue(forKey: name) { result.append((name, count)) }
    }
    let rest = left.values.reduce(others, +)
    if rest > 0 { result.append((ConnectedUsers.otherRole, rest)) }
    return result
  }

  private func count(_ change: Int, _ user: UnsafeBufferPointer<UInt8>, _ role: UnsafeBufferPointer<UInt8>) {
    if let start = user.baseAddress, user.count > 0 {
      let key = hash.value(start, user.count)
      shards[Int(key % UInt64(ConnectedUsers.shardCount))].withLock { users in
        let count = users[key, default: 0] + change
        users[key] = count > 0 ? count : nil
      }
    }
    guard let start = role.baseAddress, role.count > 0, role.count <= ConnectedUsers.roleBytesMax else {
      roles.withLock { $0.others = max(0, $0.others + change) }
      return
    }
    let key = hash.value(start, role.count)
    roles.withLock { roles in
      if let known = roles.counts[key] {
        let count = known.count + change
        roles.counts[key] = count > 0 ? RoleCount(name: known.name, count: count) : nil
      } else if change > 0 {
        roles.counts[key] = RoleCount(name: Array(role), count: change)
      }
    }
  }
}
