import Testing

@testable import Edge

struct PercentTextTests {
  private func decoded(_ source: String, plusIsSpace: Bool) -> String {
    Array(source.utf8).withUnsafeBufferPointer { bytes in
      text { PercentText.append(bytes, plusIsSpace: plusIsSpace, to: &$0) }
    }
  }

  @Test func escapes() {
    #expect(decoded("a%20b%2Fc+d", plusIsSpace: false) == "a b/c+d")
    #expect(decoded("a%20b%2fc+d", plusIsSpace: true) == "a b/c d")
    // What is no escape is text.
    #expect(decoded("%", plusIsSpace: true) == "%" && decoded("%4", plusIsSpace: true) == "%4")
    #expect(decoded("%zz%41", plusIsSpace: true) == "%zzA" && decoded("", plusIsSpace: true) == "")
  }

  @Test func names() {
    func equals(_ source: String, _ name: String) -> Bool {
      Array((source + "!").utf8).withUnsafeBufferPointer { bytes in
        Array(name.utf8).withUnsafeBufferPointer { name in
          bytes.baseAddress.map { PercentText.equals($0, source.utf8.count, name) } ?? false
        }
      }
    }
    #expect(equals("user", "user") && equals("us%65r", "user") && equals("a+b", "a b") && equals("", ""))
    #expect(!equals("user", "use") && !equals("use", "user") && !equals("User", "user"))
  }
}
