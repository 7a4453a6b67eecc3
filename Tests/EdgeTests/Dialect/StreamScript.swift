import Foundation

@testable import Edge

/// A transcript that is read event by event and written in a dialect, as the metered stream does it.
struct StreamScript {
  /// The data of each event; the areas stay, for parts point into them.
  private var areas: [ByteArea] = []
  /// The parts of each event, and the usage that is known behind it.
  private(set) var steps: [(event: ModelEvent, parts: [ModelPart], usage: Usage)] = []

  init(_ dialect: DialectName, _ data: [String]) {
    var usage = Usage()
    for text in data {
      let area = ByteArea(Array(text.utf8))
      areas.append(area)
      let document = JSONDocument(capacity: 1)
      let event = Dialect.readEvent(dialect, UnsafeBufferPointer(start: area.base, count: area.count), document)
      let parts = ModelParts()
      Dialect.readParts(dialect, of: event, document, into: parts)
      if event.usage.source != .none {
        switch event.usageReach {
        case .whole: usage = event.usage
        case .input:
          usage = event.usage
        case .output:
          usage.source = .reported
          usage.outputTokens = event.usage.outputTokens
          usage.reasoningTokens = event.usage.reasoningTokens
        }
      }
      steps.append((event, parts.parts, usage))
    }
  }

  var parts: [ModelPart] { steps.flatMap(\.parts) }
  var usage: Usage { steps.last?.usage ?? Usage() }

  /// The data of each event of a stream as it stands in a file.
  static func data(_ text: String) -> [String] {
    text.components(separatedBy: "\n\n").compactMap { block in
      let lines = block.split(separator: "\n").filter { $0.hasPrefix("data: ") }
      return lines.isEmpty ? nil : lines.map { String($0.dropFirst(6)) }.joined(separator: "\n")
    }
  }

  /// What a client of the dialect gets; nil when it cannot be said. `group` events at a time become parts together; the
  /// usage is what is known by then, or the given one.
  func written(
    _ dialect: DialectName, group: Int = 1, usage: Usage? = nil, _ identity: AnswerIdentity = Speaking.identity
  ) -> String? {
    var writing = StreamWriting()
    var text = ""
    var place = 0
    while place < steps.count {
      let end = min(steps.count, place + group)
      let parts = ModelParts()
      for step in steps[place..<end] { for part in step.parts { parts.add(part) } }
      guard let more = Self.write(dialect, parts, identity, usage ?? steps[end - 1].usage, &writing) else { return nil }
      text += more
      place = end
    }
    return text
  }

  static func write(
    _ dialect: DialectName, _ parts: ModelParts, _ identity: AnswerIdentity, _ usage: Usage,
    _ writing: inout StreamWriting
  ) -> String? {
    let page = Page()
    var writer = page.writer
    let isSaid = Dialect.writeEvents(dialect, parts, identity, usage, &writing, to: &writer)
    return isSaid ? page.text(writer) : nil
  }
}
