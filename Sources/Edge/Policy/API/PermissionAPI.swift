// `edge.permission`: what roles allow, as the configuration says.
// Called by scripts; never knows who is calling, only which roles are asked about.

import Glibc
import LuaBridge

/// The row of `edge.permission`.
enum PermissionAPI {
  static let rows = [
    HostRow(
      "edge.permission.allows", "edge.permission.allows(roles, permission)",
      "Whether one of the roles (a list, or one name) has the permission.", allows)
  ]

  private static let rolesFault: StaticString =
    "edge.permission.allows takes roles: one name, or a list of at most 256"

  private static let allows: HostFunction = { state, context, result in
    let call = HostCall(state, result)
    return PolicyHost.with(context) { allows(call, $0) } ?? call.nothing()
  }

  private static func allows(_ call: HostCall, _ host: PolicyHost) -> Int32 {
    guard let permission = call.string(2), let wanted = permission.baseAddress,
      permission.count <= Limits.permissionBytes
    else { return call.raise("edge.permission.allows takes a permission: a name such as \"mcp:read\"") }
    func has(_ role: UnsafeBufferPointer<UInt8>) -> Bool {
      guard let name = role.baseAddress else { return false }
      return host.tools.permissions.allows(name, role.count, wanted, permission.count)
    }
    if let role = call.string(1) { return call.value(.boolean(has(role))) }
    // No roles are no mistake: they allow nothing.
    if call.kind(1) == .nothing { return call.value(.boolean(false)) }
    // As many values as there is room for: each may cost a look-up.
    let roles = UnsafeMutableBufferPointer(rebasing: host.flat[..<Limits.askedRolesMax])
    guard let count = call.texts(1, into: roles) else { return call.raise(rolesFault) }
    for index in 0..<count {
      if let role = roles[index].bytes, has(role) { return call.value(.boolean(true)) }
    }
    return call.value(.boolean(false))
  }
}
