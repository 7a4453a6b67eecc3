// What the demo provider says to a question: the same every time, in pieces of one token each.
//
// Owns: the words, where they end, and what they cost in tokens.
// Called by: the writers of whole answers and of streams. Never: knows a wire.

/// What a token of an answer belongs to.
enum DemoPiece {
  case text(ArraySlice<UInt8>)
  /// A call begins: which one of the answer's calls, and the function's name.
  case call(Int, name: [UInt8])
  case arguments(Int, ArraySlice<UInt8>)
}

/// Why an answer ends.
enum DemoFinish {
  case said
  /// In front of this text.
  case stopped([UInt8])
  case length
  case calls
}

/// An answer; all choices of one question say the same.
struct DemoAnswer {
  let question: DemoQuestion
  let identity: DemoIdentity
  /// Empty for an answer that only counts its tokens.
  private let written: [DemoPiece]
  /// How many pieces a choice has.
  let count: Int
  let finish: DemoFinish
  /// Of all choices.
  let completionTokens: Int

  var callsTools: Bool { !question.calls.isEmpty }

  init(_ question: DemoQuestion, _ identity: DemoIdentity) {
    self.question = question
    self.identity = identity
    if question.behaviour == .max {
      written = []
      count = question.maxTokens ?? min(256, DemoBounds.answerTokens / question.choices)
      finish = .length
      completionTokens = count * question.choices
      return
    }
    let (all, natural) = DemoAnswer.pieces(of: question)
    var (pieces, tokens, isCut) = ([DemoPiece](), 0, false)
    for (piece, cost) in all {
      if let most = question.maxTokens, tokens + cost > most {
        isCut = true
        break
      }
      pieces.append(piece)
      tokens += cost
    }
    written = pieces
    count = pieces.count
    finish = isCut ? .length : natural
    completionTokens = tokens * question.choices
  }

  subscript(place: Int) -> DemoPiece {
    written.isEmpty ? .text(DemoAnswer.filling[place % DemoAnswer.filling.count][...]) : written[place]
  }

  private static let filling = ["All", " work", " and", " no", " play", " makes", " tokens", "."].map { Array($0.utf8) }

  private static func pieces(of question: DemoQuestion) -> ([(DemoPiece, cost: Int)], DemoFinish) {
    if question.calls.isEmpty {
      let (words, finish) = stopped(words(for: question), by: question.stops)
      return (DemoTokens.split(words).map { (.text($0), 1) }, finish)
    }
    var pieces: [(DemoPiece, cost: Int)] = []
    for (place, call) in question.calls.enumerated() {
      pieces.append((.call(place, name: call.name), max(1, DemoTokens.count(call.name))))
      for token in DemoTokens.split(call.arguments) { pieces.append((.arguments(place, token), 1)) }
    }
    return (pieces, .calls)
  }

  /// The words in front of the first text at which they must end.
  private static func stopped(_ words: [UInt8], by stops: [[UInt8]]) -> ([UInt8], DemoFinish) {
    for place in words.indices {
      if let stop = stops.first(where: { words[place...].starts(with: $0) }) {
        return (Array(words[..<place]), .stopped(stop))
      }
    }
    return (words, .said)
  }

  private static func words(for question: DemoQuestion) -> [UInt8] {
    if let result = question.toolResult {
      return Array("The tool answered: ".utf8) + quoted(result)
        + Array("\nThat is what I know now. I am the demo provider and believe every tool that answers me.".utf8)
    }
    return Array("You said: ".utf8) + quoted(question.lastWords)
      + Array(
        """
        \nI am the demo provider: no model has thought about this. Whoever asks the same gets the same, \
        word for word, and can count the tokens.
        """.utf8)
  }

  /// A text, or as much of it as is quoted, cut between characters.
  private static func quoted(_ text: [UInt8]) -> [UInt8] {
    guard text.count > DemoBounds.quotedBytes else { return text }
    var end = DemoBounds.quotedBytes
    while end > 0, text[end] & 0xc0 == 0x80 { end -= 1 }
    return text[..<end] + Array("…".utf8)
  }

  // MARK: whole

  /// All that a choice says.
  var words: [UInt8] {
    var words: [UInt8] = []
    for place in 0..<count { if case .text(let token) = self[place] { words += token } }
    return words
  }

  /// The calls of a choice; the last one's arguments may be cut.
  var calls: [DemoCall] {
    var calls: [DemoCall] = []
    for place in 0..<count {
      switch self[place] {
      case .text: break
      case .call(_, let name): calls.append(DemoCall(name: name, arguments: []))
      case .arguments(let call, let token): calls[call].arguments += token
      }
    }
    return calls
  }

  /// A whole answer in the question's wire.
  var whole: DemoText {
    var text = DemoText()
    switch question.wire {
    case .openAI: text.append(openAI: self)
    case .anthropic: text.append(anthropic: self)
    }
    return text
  }
}
