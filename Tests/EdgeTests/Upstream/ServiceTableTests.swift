import Testing

@testable import Edge

struct ServiceTableTests {
  private func service(_ name: String, _ ports: [UInt16], pass: [Credential] = []) -> Service {
    Service(
      name: name, endpoints: ports.map { .plain("127.0.0.1", $0) }, connectTimeoutMilliseconds: 1,
      headTimeoutMilliseconds: 2, idleTimeoutMilliseconds: 3, poolSize: 4, poolIdleMilliseconds: 5, pass: pass,
      trust: nil, serverName: nil)
  }

  @Test func rowsFollowTheServices() throws {
    let arena = Arena()
    let handles = (1...3).map { Handle(index: $0, serial: UInt32(10 * $0)) }
    let table = ServiceTable.compile(
      [service("one", [1, 2]), service("two", [3], pass: [.cookie, .authorization])],
      handles: [Handle(index: 7, serial: 1), Handle(index: 5, serial: 1)], endpoints: handles, arena: arena)
    #expect(table.serviceCount == 2 && table.endpointCount == 3)
    let (one, two) = (table.services[0], table.services[1])
    #expect(one.name.text == "one" && one.firstEndpoint == 0 && one.endpointCount == 2)
    #expect(two.name.text == "two" && two.firstEndpoint == 2 && two.endpointCount == 1)
    #expect(one.connectMilliseconds == 1 && one.headMilliseconds == 2 && one.idleMilliseconds == 3)
    #expect(one.poolSize == 4 && one.poolIdleMilliseconds == 5)
    #expect(one.passes == [] && two.passes == [.cookie, .authorization])
    #expect(one.id == 7 && two.id == 5)
    #expect((0..<3).map { table.endpoints[$0].handle } == handles)
    #expect((0..<3).map { table.endpoints[$0].port } == [1, 2, 3])
    #expect((0..<3).map { table.endpoints[$0].name.text } == ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"])
  }

  @Test func everyCredentialPassesAlone() {
    let arena = Arena()
    let headers: [Credential: KnownHeader] = [.authorization: .authorization, .apiKey: .apiKey, .cookie: .cookie]
    for (credential, header) in headers {
      let table = ServiceTable.compile(
        [service("s", [], pass: [credential])], handles: [Handle(index: 0, serial: 1)], endpoints: [], arena: arena)
      let passed = KnownHeader.allCases.filter { table.services[0].passes.passes($0) }
      #expect(passed == [header])
    }
  }
}
