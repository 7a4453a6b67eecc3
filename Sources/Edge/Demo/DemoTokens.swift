// How the demo provider counts: a token is a word or a run of punctuation, with the white space in front of it. The
// same cut is used for what it reads, what it says and what it streams, so that its usage can be checked by hand.
//
// Called by: the request reader, the answers. Never: splits a character.

/// The cut of texts into tokens.
enum DemoTokens {
  /// The end of the token that begins at `start`.
  private static func end(_ text: UnsafeBufferPointer<UInt8>, from start: Int) -> Int {
    var index = start
    while index < text.count, isBlank(text[index]) { index += 1 }
    if index < text.count {
      let isWord = isWord(text[index])
      while index < text.count, !isBlank(text[index]), self.isWord(text[index]) == isWord { index += 1 }
    }
    // White space at the very end belongs to the last token.
    var rest = index
    while rest < text.count, isBlank(text[rest]) { rest += 1 }
    return rest == text.count ? rest : index
  }

  private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) }

  /// Letters, digits, the underscore, and whatever is beyond ASCII.
  private static func isWord(_ byte: UInt8) -> Bool {
    byte >= 0x80 || byte == 0x5f || byte &- 0x30 < 10 || (byte | 0x20) &- 0x61 < 26
  }

  /// Whether a name or an id may hold it.
  static func isNamePart(_ byte: UInt8) -> Bool { byte < 0x80 && isWord(byte) || byte == 0x2d }

  static func count(_ text: [UInt8]) -> Int {
    text.withUnsafeBufferPointer { text in
      var (count, index) = (0, 0)
      while index < text.count {
        index = end(text, from: index)
        count += 1
      }
      return count
    }
  }

  static func split(_ text: [UInt8]) -> [ArraySlice<UInt8>] {
    var (tokens, index): ([ArraySlice<UInt8>], Int) = ([], 0)
    while index < text.count {
      let next = text.withUnsafeBufferPointer { end($0, from: index) }
      tokens.append(text[index..<next])
      index = next
    }
    return tokens
  }

  /// Whether a text says a word, however it is written; `word` is in lower case.
  static func holds(_ word: StaticString, in text: [UInt8]) -> Bool {
    split(text).contains { token in
      let bare = token.filter { !isBlank($0) }
      return bare.withUnsafeBufferPointer { bare in
        bare.count == word.utf8CodeUnitCount && bare.indices.allSatisfy { bare[$0] | 0x20 == word.utf8Start[$0] }
      }
    }
  }
}
