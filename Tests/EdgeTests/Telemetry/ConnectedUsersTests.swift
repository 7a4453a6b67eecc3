import Testing

@testable import Edge

struct ConnectedUsersTests {
  private let users = ConnectedUsers()

  private func change(_ user: String, _ role: String, _ isJoining: Bool) {
    raw(user).withUnsafeBufferPointer { user in
      raw(role).withUnsafeBufferPointer { role in
        isJoining ? users.joined(user: user, role: role) : users.left(user: user, role: role)
      }
    }
  }

  private func joined(_ user: String, _ role: String) { change(user, role, true) }

  private func left(_ user: String, _ role: String) { change(user, role, false) }

  private var roles: [String] { users.byRole.map { "\($0.role) \($0.count)" } }

  @Test func usersCountOnce() {
    #expect(users.total == 0 && roles == [])
    users.know(roles: ["user", "admin"])
    joined("ann", "user")
    joined("ann", "user")
    joined("bob", "user")
    #expect(users.total == 2 && roles == ["user 3"])
    left("ann", "user")
    #expect(users.total == 2 && roles == ["user 2"])
    left("ann", "user")
    #expect(users.total == 1 && roles == ["user 1"])
    left("bob", "user")
    #expect(users.total == 0 && roles == [])
  }

  @Test func rolesStandInTheOrderOfTheConfiguration() {
    users.know(roles: ["user", "viewer", "admin"])
    for role in ["admin", "stranger", "user", "admin", "", "someone"] { joined("u", role) }
    #expect(roles == ["user 1", "admin 2", "other 3"])
    left("u", "stranger")
    left("u", "")
    left("u", "someone")
    #expect(roles == ["user 1", "admin 2"])
  }

  /// A reload between the two does not put a WebSocket into the wrong place.
  @Test func rolesComeAndGoWithTheConfiguration() {
    users.know(roles: ["user"])
    joined("a", "pilot")
    joined("b", "user")
    #expect(roles == ["user 1", "other 1"])
    users.know(roles: ["user", "pilot"])
    #expect(roles == ["user 1", "pilot 1"])
    joined("c", "pilot")
    users.know(roles: ["pilot"])
    #expect(roles == ["pilot 2", "other 1"])
    for user in ["a", "c"] { left(user, "pilot") }
    left("b", "user")
    #expect(roles == [] && users.total == 0)
  }

  @Test func aRoleThatIsCalledOther() {
    users.know(roles: ["other", "user"])
    joined("a", "other")
    joined("b", "stranger")
    joined("c", "user")
    #expect(roles == ["user 1", "other 2"])
  }

  /// Whoever has no name is nobody's user; a name that no role can have is not kept.
  @Test func namelessAndLongOnes() {
    users.know(roles: ["user"])
    joined("", "user")
    let long = String(repeating: "r", count: 65)
    joined("ann", long)
    joined("ann", String(repeating: "r", count: 64))
    #expect(users.total == 1 && roles == ["user 1", "other 2"])
    left("ann", long)
    left("", "user")
    #expect(users.total == 1 && roles == ["other 1"])
  }

  @Test func moreEndsThanBeginnings() {
    left("ann", "user")
    left("ann", "")
    #expect(users.total == 0 && roles == [])
    joined("ann", "")
    #expect(users.total == 1 && roles == ["other 1"])
  }

  @Test func manyAtOnce() {
    users.know(roles: ["user", "admin"])
    onThreads(
      (0..<4).map { thread in
        {
          for number in 0..<500 {
            self.joined("user \(number)", number % 2 == 0 ? "user" : "admin")
            if number % 5 > 0 { self.left("user \(number)", number % 2 == 0 ? "user" : "admin") }
          }
        }
      })
    #expect(users.total == 100)
    #expect(roles == ["user 200", "admin 200"])
  }
}
