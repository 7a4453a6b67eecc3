import Testing

@testable import Edge

@Suite struct PermissionTableTests {
  private let arena = Arena()

  private func table(_ roles: [(name: String, permissions: [String])]) -> PermissionTable {
    PermissionTable(roles, arena: arena)
  }

  private func allows(_ table: PermissionTable, _ role: String, _ permission: String) -> Bool {
    let (role, permission) = (ByteArea(Array(role.utf8)), ByteArea(Array(permission.utf8)))
    return table.allows(role.base, role.count, permission.base, permission.count)
  }

  @Test(arguments: [
    ("user", "services:use", true), ("user", "mcp:read", true), ("user", "mcp:write", false), ("user", "mcp", false),
    ("user", "services", false), ("user", "services:use:x", false), ("user", "services:us", false),
    ("user", "Services:use", false), ("user", "", false), ("user", "*", false), ("admin", "anything", true),
    ("admin", "a:b:c", true), ("admin", "", false), ("tools", "mcp:read", true), ("tools", "mcp:a:b", true),
    ("tools", "mcp", false), ("tools", "mcp:", false), ("tools", "mcpx:read", false), ("tools", "mc", false),
    ("tools", "x:mcp:read", false), ("deep", "a:b:c", true), ("deep", "a:b", false), ("deep", "a:c", false),
    ("deep", "a", false), ("odd", "a:*:c", true), ("odd", "a:b:c", false), ("odd", "x*", true), ("odd", "xy", false),
    ("none", "services:use", false), ("nobody", "services:use", false), ("", "services:use", false),
    ("use", "services:use", false), ("userx", "services:use", false), ("User", "services:use", false),
    ("*", "services:use", false),
  ]) func rules(_ role: String, _ permission: String, _ expected: Bool) {
    let table = table([
      ("user", ["services:use", "mcp:read"]), ("admin", ["*"]), ("tools", ["mcp:*"]), ("deep", ["a:b:*"]),
      ("odd", ["a:*:c", "x*"]), ("none", []),
    ])
    #expect(allows(table, role, permission) == expected)
  }

  @Test func noRoles() {
    #expect(!allows(table([]), "user", "a"))
  }

  @Test func aRoleNamedTwiceHasBoth() {
    let table = table([("a", ["x"]), ("b", ["y"]), ("a", ["z", "z"])])
    #expect(allows(table, "a", "x") && allows(table, "a", "z") && !allows(table, "a", "y"))
    #expect(!allows(table, "b", "z"))
  }

  @Test func anyOfSeveralRoles() {
    let table = table([("a", ["x"]), ("b", ["y"])])
    let roles = arena.copy([StaticBytes("nobody"), StaticBytes("a"), StaticBytes("b")])
    #expect(table.allows(anyOf: roles, 3, StaticBytes("y")))
    #expect(!table.allows(anyOf: roles, 2, StaticBytes("y")))
    #expect(!table.allows(anyOf: roles, 0, StaticBytes("x")))
  }

  /// Many roles and permissions against the plain reading of the rules.
  @Test func manyAgainstThePlainReading() {
    var generator = SeededGenerator(seed: 7)
    func name() -> String {
      (0...generator.below(3)).map { _ in ["a", "b", "cc", "d-1"][generator.below(4)] }.joined(separator: ":")
    }
    var roles: [(name: String, permissions: [String])] = []
    for index in 0..<200 {
      let permissions = (0..<generator.below(6)).map { _ in
        generator.below(40) == 0 ? "*" : name() + (generator.below(3) == 0 ? ":*" : "")
      }
      roles.append(("role-\(index)", permissions))
    }
    let table = table(roles)
    var allowed = 0
    for _ in 0..<20_000 {
      let (role, permission) = (roles[generator.below(200)], name())
      let expected = role.permissions.contains {
        $0 == "*" || $0 == permission || $0.hasSuffix(":*") && permission.hasPrefix($0.dropLast())
      }
      allowed += expected ? 1 : 0
      #expect(allows(table, role.name, permission) == expected, "\(role) \(permission)")
    }
    #expect(allowed > 500 && allowed < 19_000)
  }
}
