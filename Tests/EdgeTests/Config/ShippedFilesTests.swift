// The files that ship must load.

import Testing

@testable import Edge

@Suite struct ShippedFilesTests {
  @Test func theyLoadWithoutEnvironment() throws {
    let outcome = Loader.load(
      path: Fixture.repository + "/routes.yaml", options: LoadOptions(environment: Fixture.environment))
    #expect(outcome.diagnoses.map { $0.render() } == [])
    let snapshot = try #require(outcome.snapshot)
    #expect(snapshot.listeners == [Listener(name: "main", address: HostPort(host: "127.0.0.1", port: 3003))])
    let service = try #require(snapshot.services.first)
    #expect(snapshot.services.count == 1)
    #expect(service.name == "chat-service")
    #expect(service.endpoints == [.plain("127.0.0.1", 3007)])
    #expect(service.headTimeoutMilliseconds == 15_000)
    #expect(snapshot.policies.map(\.name) == ["auth", "permissions", "rate-limit", "whoami"])
    #expect(snapshot.routes.map(\.name) == ["health", "whoami", "chat"])
    #expect(snapshot.routes[0].target == .builtin(.health))
    #expect(snapshot.routes[1].target == .handler(3) && snapshot.routes[1].policies == [0, 2])
    #expect(snapshot.routes[2].target == .service(0) && snapshot.routes[2].policies == [0, 1, 2])
    #expect(snapshot.routes[2].paths.map(\.text) == ["/api/chat/*"])
    #expect(snapshot.routes[2].permission == "services:use")
    #expect(outcome.files.map(\.path).map { $0.split(separator: "/").last } == ["routes.yaml", "services.yaml"])
  }

  @Test func portActs() throws {
    let options = LoadOptions(environment: Fixture.environment.merging(["PORT": "8080"]) { $1 })
    let outcome = Loader.load(path: Fixture.repository + "/routes.yaml", options: options)
    #expect(outcome.snapshot?.listeners.first?.address == HostPort(host: "127.0.0.1", port: 8080))
  }

  @Test func theExampleEnvironmentIsValidAndActs() throws {
    let folder = try Fixture.Folder()
    try folder.write("routes.yaml", "version: 1\nlisteners: {main: {bind: '127.0.0.1:${env:PORT}'}}\nroutes: {}\n")
    try folder.copy(from: Fixture.repository + "/.env.example", to: ".env")
    let outcome = folder.load(dev: true)
    #expect(outcome.diagnoses.filter { $0.severity == .error } == [])
    #expect(outcome.snapshot?.log.level == .info)
    #expect(outcome.snapshot?.listeners.first?.address.port == 3003)
  }
}
