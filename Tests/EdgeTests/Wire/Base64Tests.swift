import Foundation
import Testing

@testable import Edge

@Suite struct Base64Tests {
  private func decode(_ text: [UInt8], url: Bool) -> [UInt8]? {
    let from = ByteArea(text)
    let into = ByteArea([UInt8](repeating: 0, count: Base64.decodedCountMax(text.count)))
    let count =
      url
      ? Base64.decodeURL(from.base, text.count, into: into.base) : Base64.decode(from.base, text.count, into: into.base)
    return count.map { into.slice(0..<$0) }
  }

  private func encode(_ bytes: [UInt8], url: Bool) -> [UInt8] {
    let from = ByteArea(bytes)
    let into = ByteArea(
      [UInt8](repeating: 0, count: url ? Base64.urlEncodedCount(bytes.count) : Base64.encodedCount(bytes.count)))
    if url {
      Base64.encodeURL(from.base, bytes.count, into: into.base)
    } else {
      Base64.encode(from.base, bytes.count, into: into.base)
    }
    return into.bytes
  }

  @Test(arguments: [
    ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
    ("foobar", "Zm9vYmFy"), ("\u{fb}\u{ff}\u{fe}", "+//+"),
  ]) func examples(_ bytes: String, _ text: String) {
    #expect(encode(raw(bytes), url: false) == raw(text))
    #expect(decode(raw(text), url: false) == raw(bytes))
    let url = text.replacingOccurrences(of: "+", with: "-").replacingOccurrences(of: "/", with: "_")
      .replacingOccurrences(of: "=", with: "")
    #expect(encode(raw(bytes), url: true) == raw(url))
    #expect(decode(raw(url), url: true) == raw(bytes))
  }

  @Test(arguments: [
    "Z", "Zg", "Zg=", "Zg===", "=", "==", "====", "Z===", "Zm8", "Zm9v=", "Zm9v====", "Zh==", "Zm9=", "Z g=", "Zm9v\n",
    " Zm9v", "Zm9vZg==Zm9v", "Zg==Zg==", "-__-", "Zm9\u{0}", "Zm9\u{ff}", "=g==", "Z=g=", "~m9v",
  ]) func refused(_ text: String) {
    #expect(decode(raw(text), url: false) == nil)
  }

  @Test(arguments: [
    "Z", "Zg=", "Zg==", "Zm8=", "Zh", "Zm9", "Zm9vZ", "Zm9v ", "Zm 9v", "+//+", "Zm9\u{0}", "Zm9\u{80}", "Zm9v\n",
    "~m9v",
  ]) func refusedURL(_ text: String) {
    #expect(decode(raw(text), url: true) == nil)
  }

  @Test func randomBytesAsFoundationHasThem() {
    var generator = SeededGenerator(seed: 1)
    for count in 0..<200 {
      let bytes = generator.bytes(count)
      let text = Array(Data(bytes).base64EncodedData())
      #expect(encode(bytes, url: false) == text)
      #expect(decode(text, url: false) == bytes)
      #expect(decode(encode(bytes, url: true), url: true) == bytes)
    }
  }

  /// Two texts never mean the same bytes: whatever is accepted is what would have been written.
  @Test func oneTextForEachRunOfBytes() {
    var generator = SeededGenerator(seed: 2)
    let letters = raw("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=")
    var accepted = 0
    for _ in 0..<20_000 {
      let text = (0..<generator.below(9)).map { _ in letters[generator.below(letters.count)] }
      for url in [false, true] {
        guard let bytes = decode(text, url: url) else { continue }
        accepted += 1
        #expect(encode(bytes, url: url) == text)
      }
    }
    #expect(accepted > 1_000)
  }

  @Test func decodedInPlace() {
    let area = ByteArea(raw("Zm9vYmFyYg"))
    #expect(Base64.decodeURL(area.base, 10, into: area.base) == 7)
    #expect(area.slice(0..<7) == raw("foobarb"))
  }
}
