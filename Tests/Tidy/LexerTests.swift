// The reader under the rules: what is code, what is text, and where declarations begin and end.

import Testing

@Suite("Swift is read as the compiler reads it")
struct LexerTests {
  @Test(
    "Words are code, strings and comments are not",
    arguments: [
      ("let a = b", ["let", "a", "b"]),
      ("let a = \"b c\"", ["let", "a"]),
      ("a // b", ["a"]),
      ("a /* b /* c */ d */ e", ["a", "e"]),
      ("\"x \\(y + \"z \\(w)\") v\" u", ["y", "w", "u"]),
      ("#\"a \\(b) \\#(c)\"# d", ["c", "d"]),
      ("\"\"\"\na \"b\"\n\\(c)\n\"\"\"\nd", ["c", "d"]),
      ("##\"a\"# b\"## c", ["c"]),
      ("\"\\\\\" a", ["a"]),
      ("\"\\\"b\" a", ["a"]),
      ("\"unterminated\na", ["a"]),
      ("let r = /\"a b/\nc", ["let", "r", "c"]),
      ("let r = #/ \"a/b /# + c", ["let", "r", "c"]),
      ("a / b + c / d", ["a", "b", "c", "d"]),
      ("a.`init`", ["a", "init"]),
    ] as [(String, [String])])
  func words(source: String, expected: [String]) {
    #expect(Lexer(source).tokens.filter { $0.kind == .word }.map(\.text) == expected)
  }

  @Test("Lines are counted through every kind of literal and comment")
  func lines() {
    let source = "/*\n\n*/ a\n\"\"\"\n\\\n\"\"\"\nb\n// c\nd"
    let words = Lexer(source).tokens.filter { $0.kind == .word }
    #expect(words.map(\.text) == ["a", "b", "d"])
    #expect(words.map(\.line) == [3, 7, 9])
  }

  @Test(
    "A postfix exclamation mark is told from all others",
    arguments: [
      ("a!", 1), ("a!.b", 1), ("a()!", 1), ("a[0]!", 1), ("try! a()", 1), ("a as! B", 1), ("a!!", 2), ("\"a\"!", 1),
      ("var a: B!", 1), ("var a: [B]!", 1), ("var a: B<C>!", 1), ("a! == b", 1), ("{ a }()!", 1), ("\"\\(a!)\"", 1),
      ("!a", 0), ("(!a)", 0), ("a != b", 0), ("a!=b", 0), ("a !== b", 0), ("a && !b", 0), ("[!a, !b]", 0),
      ("#if !DEBUG", 0), ("// a!", 0), ("\"a!\"", 0), ("return !a", 0), ("f(a: !b)", 0),
    ])
  func unwraps(source: String, expected: Int) {
    #expect(Lexer(source).tokens.filter { $0.kind == .unwrap }.count == expected)
  }

  private func outline(_ source: String) -> [Declaration] { Outline(Lexer(source).tokens).declarations }

  @Test("Names, nesting and access")
  func names() {
    let source = """
      import Glibc
      @attr(1) public final class A<B: C, D> {
        private(set) public var x = 1, y = 2
        static func f<T>(protocol p: P, in q: Q = { let z = 1 }) -> T { let local = 1; func inner() {} }
        struct Nested { init?(a: Int) { self.init() } }
        class func g() {}
      }
      fileprivate protocol P: class { func h(); var v: Int { get }; associatedtype E }
      extension A.Nested where B: P { enum Kind: Int { case one = 1 } }
      func == (a: A, b: A) -> Bool { true }
      let (left, right) = (1, 2)
      actor Box {}
      """
    let found = outline(source)
    let expected = [
      "A", "x", "f", "inner", "Nested", "init", "g", "P", "h", "v", "E", "A.Nested", "Kind", "==", "left", "Box",
    ]
    #expect(found.map(\.name) == expected)
    #expect(found.filter(\.isTopLevel).map(\.name) == ["A", "P", "A.Nested", "==", "left", "Box"])
    #expect(found.filter(\.isLocal).map(\.name) == ["inner"])
    #expect(found[0].access == .public)
    #expect(found[0].firstLine == 2)
    #expect(found[0].parameters == ["B", "D"])
    #expect(found[1].access == .public)
    #expect(found[2].parameters == ["T"])
    #expect(found[7].access == .fileprivate)
  }

  @Test(
    "Bodies are found with their last line",
    arguments: [
      ("func f(\n  a: Int = { 1 }()\n) {\n}\nfunc g()", ["f": 4]),
      ("struct S {\n  init() {\n    if a {\n    }\n  }\n}", ["init": 5]),
      ("struct S {\n  var v: Int {\n    1\n  }\n  let w = [1].map {\n    $0\n  }\n}", ["v": 4]),
      ("let callback: @convention(c) () -> Void = {\n}", ["callback": 2]),
      ("protocol P {\n  func f()\n  var v: Int { get }\n}", ["v": 3]),
      ("enum E {\n  static subscript(i: Int) -> Int {\n    i\n  }\n}", ["subscript": 4]),
      ("class C {\n  deinit {\n  }\n}", ["deinit": 3]),
    ])
  func bodies(source: String, expected: [String: Int]) {
    let found = outline(source).filter(\.isBody).map { ($0.name, $0.lastLine) }
    #expect(Dictionary(uniqueKeysWithValues: found) == expected)
  }
}
