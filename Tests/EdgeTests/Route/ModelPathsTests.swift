import Testing

@testable import Edge

struct ModelPathsTests {
  private let arena = Arena()

  private func paths(_ patterns: [String], _ target: RouteTarget = .builtin(.models)) throws -> ModelPaths {
    let route = Route(
      name: "models", hosts: [], paths: try patterns.map { try PathPattern.read($0) }, methods: [], listeners: [0],
      target: target, bodyBytesMax: 0, clientFin: .abort, replaysOnStale: false, policies: [], permission: nil)
    return ModelPaths(route, arena: arena)
  }

  private func id(_ path: String, of patterns: [String]) throws -> String? {
    let text = arena.text(path)
    return try paths(patterns).id(in: text.start, text.count).map { String(decoding: $0, as: UTF8.self) }
  }

  @Test(arguments: [
    ("/v1/models", nil), ("/v1/models/", nil), ("/v1/models/gpt-4", "gpt-4"), ("/v1/models/a/b", "a/b"),
    ("/v1/models/a%20c", "a%20c"), ("/v1/models/a/", "a/"), ("/v1", nil), ("/v1/modelsx", nil), ("/", nil),
    ("*", nil),
  ])
  func ids(_ path: String, _ wanted: String?) throws { #expect(try id(path, of: ["/v1/models/*"]) == wanted) }

  @Test func theLongestPatternCounts() throws {
    let patterns = ["/*", "/:tenant/models/*", "/v1/own"]
    #expect(try id("/x", of: patterns) == "x")
    #expect(try id("/t/models/m/n", of: patterns) == "m/n")
    #expect(try id("//models/m", of: ["/:tenant/models/*"]) == nil)
    #expect(try id("/v1/own", of: patterns) == nil)
    #expect(try id("/v1/own/x", of: patterns) == "v1/own/x")
  }

  /// Without a path for them there are no single models, and elsewhere none at all.
  @Test func otherRoutes() throws {
    #expect(try paths(["/v1/models", "/v1/models/:id"]).count == 0)
    #expect(try paths(["/v1/models/*"], .builtin(.health)).count == 0)
    #expect(try paths(["/v1/models/*"], .service(0)).count == 0)
  }
}
