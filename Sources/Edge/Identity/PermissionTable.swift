// Which role may do what. Compiled once for a generation and asked on each request that needs a permission.
//
// Owns: the meaning of a permission's name: `*` is everything, a trailing `:*` everything below, other names exactly
// themselves.
// Called by: policies (`edge.permission`).
// Never: allocates when asked, or allows anything to a role that it does not know.

import Glibc

/// The roles and their permissions in two hash tables of one arena.
struct PermissionTable: @unchecked Sendable {  // nothing in the arena changes once the table is made
  private struct RoleRow: BitwiseCopyable {
    var name = StaticBytes.empty
    /// -1: no role is here.
    var role: Int32 = -1
    var allowsAll = false
  }

  private struct GrantRow: BitwiseCopyable {
    /// Without the `*` of a trailing `:*`.
    var name = StaticBytes.empty
    /// -1: no grant is here.
    var role: Int32 = -1
    var coversAllBelow = false
  }

  private let roles: UnsafeMutablePointer<RoleRow>
  private let roleMask: Int
  private let grants: UnsafeMutablePointer<GrantRow>
  private let grantMask: Int

  /// A role that is named twice has the permissions of both rows.
  init(_ list: [(name: String, permissions: [String])], arena: Arena) {
    func size(_ count: Int) -> Int {
      var size = 4
      while size < 2 * count { size *= 2 }
      return size
    }
    roleMask = size(list.count) - 1
    grantMask = size(list.reduce(0) { $0 + $1.permissions.count }) - 1
    roles = arena.allocate(RoleRow.self, count: roleMask + 1)
    grants = arena.allocate(GrantRow.self, count: grantMask + 1)
    roles.initialize(repeating: RoleRow(), count: roleMask + 1)
    grants.initialize(repeating: GrantRow(), count: grantMask + 1)
    for (index, row) in list.enumerated() {
      let name = arena.text(row.name)
      let place = roleRow(name.start, name.count)
      if place.pointee.role < 0 { place.initialize(to: RoleRow(name: name, role: Int32(truncatingIfNeeded: index))) }
      for permission in row.permissions { add(permission, to: place, arena) }
    }
  }

  private func add(_ permission: String, to role: UnsafeMutablePointer<RoleRow>, _ arena: Arena) {
    if permission == "*" {
      role.pointee.allowsAll = true
      return
    }
    var name = arena.text(permission)
    let coversAllBelow = permission.hasSuffix(":*")
    if coversAllBelow { name = StaticBytes(start: name.start, count: name.count - 1) }
    var hash = Self.start(role.pointee.role)
    for index in 0..<name.count { hash = Self.step(hash, name.start[index]) }
    let grant = GrantRow(name: name, role: role.pointee.role, coversAllBelow: coversAllBelow)
    var place = Self.slot(hash, grantMask)
    while grants[place].role >= 0 { place = (place + 1) & grantMask }
    grants[place] = grant
  }

  /// Whether the role may do what the permission names.
  func allows(
    _ role: UnsafePointer<UInt8>, _ roleCount: Int, _ permission: UnsafePointer<UInt8>, _ count: Int
  ) -> Bool {
    let row = roleRow(role, roleCount).pointee
    if row.role < 0 || count == 0 { return false }
    if row.allowsAll { return true }
    var hash = Self.start(row.role)
    for index in 0..<count {
      hash = Self.step(hash, permission[index])
      // What stands below is named behind the colon.
      if permission[index] == 0x3a, index + 1 < count, has(row.role, hash, permission, index + 1, true) { return true }
    }
    return has(row.role, hash, permission, count, false)
  }

  /// Whether any of the roles may do it.
  func allows(anyOf roles: UnsafePointer<StaticBytes>, _ roleCount: Int, _ permission: StaticBytes) -> Bool {
    for index in 0..<roleCount
    where allows(roles[index].start, roles[index].count, permission.start, permission.count) {
      return true
    }
    return false
  }

  private func has(
    _ role: Int32, _ hash: UInt64, _ name: UnsafePointer<UInt8>, _ count: Int, _ coversAllBelow: Bool
  ) -> Bool {
    var place = Self.slot(hash, grantMask)
    while grants[place].role >= 0 {
      let grant = grants[place]
      if grant.role == role, grant.coversAllBelow == coversAllBelow, grant.name.count == count,
        equalBytes(grant.name.start, name, count)
      {
        return true
      }
      place = (place + 1) & grantMask
    }
    return false
  }

  /// The row of a role, or the free row where it would stand.
  private func roleRow(_ name: UnsafePointer<UInt8>, _ count: Int) -> UnsafeMutablePointer<RoleRow> {
    var hash = Self.start(-1)
    for index in 0..<count { hash = Self.step(hash, name[index]) }
    var place = Self.slot(hash, roleMask)
    while roles[place].role >= 0 {
      let row = roles[place]
      if row.name.count == count, equalBytes(row.name.start, name, count) { break }
      place = (place + 1) & roleMask
    }
    return roles + place
  }

  // FNV-1a, byte by byte, so that one walk over a name gives the hash of each of its beginnings. The tables hold what
  // the operator wrote and stay half empty: no caller can make a look-up long.

  private static func start(_ role: Int32) -> UInt64 {
    (0xcbf2_9ce4_8422_2325 ^ UInt64(UInt32(bitPattern: role))) &* 0x100_0000_01b3
  }

  @inline(__always)
  private static func step(_ hash: UInt64, _ byte: UInt8) -> UInt64 { (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }

  @inline(__always)
  private static func slot(_ hash: UInt64, _ mask: Int) -> Int {
    Int(truncatingIfNeeded: (hash ^ hash >> 32) & UInt64(mask))
  }
}
