// Path patterns: canonical form, shape and refusals.

import Testing

@testable import Edge

@Suite struct PathPatternTests {
  @Test(arguments: [
    ("/", [PathSegment](), PathPattern.Tail.exact), ("/*", [], .below), ("/a", [.literal("a")], .exact),
    ("/a/", [.literal("a"), .literal("")], .exact), ("/a/*", [.literal("a")], .below),
    ("/:id", [.parameter("id")], .exact), ("/:_x1/b/*", [.parameter("_x1"), .literal("b")], .below),
    ("/%61%2Db", [.literal("a-b")], .exact), ("/%c3%a9", [.literal("%C3%A9")], .exact),
    ("/%3a%2A", [.literal("%3A%2A")], .exact), ("/a;b=c,d@e!$&'()+", [.literal("a;b=c,d@e!$&'()+")], .exact),
    ("/a:b", [.literal("a:b")], .exact), ("/...", [.literal("...")], .exact), ("/~x", [.literal("~x")], .exact),
  ])
  func reading(_ text: String, _ segments: [PathSegment], _ tail: PathPattern.Tail) throws {
    let pattern = try PathPattern.read(text)
    #expect(pattern == PathPattern(segments: segments, tail: tail))
    // The canonical text reads back as itself.
    #expect(try PathPattern.read(pattern.text) == pattern)
  }

  @Test(arguments: [
    "", "a", "*", "//", "/a//", "/a//b", "/.", "/..", "/a/../b", "/a/.", "/%2e", "/%2E%2e", "/.%2e/x", "/%2f",
    "/a%2Fb",
    "/%5c", "/\\", "/%00", "/%", "/%4", "/%4g", "/a?b", "/a#b", "/a b", "/é", "/a*", "/*a", "/*/a", "/**", "/:",
    "/:1",
    "/:a-b", "/:a/:a", "/<", "/{id}", "/\u{7F}", "/" + String(repeating: "a", count: 1024),
  ])
  func refusals(_ text: String) {
    #expect(throws: ValueComplaint.self) { try PathPattern.read(text) }
  }

  @Test func shapesIgnoreNames() throws {
    #expect(try PathPattern.read("/a/:x").shape == PathPattern.read("/a/:y").shape)
    #expect(try PathPattern.read("/a/:x").shape != PathPattern.read("/a/*").shape)
    #expect(try PathPattern.read("/a").shape != PathPattern.read("/a/").shape)
  }
}
