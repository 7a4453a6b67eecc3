import Foundation
import Testing

@testable import Edge

struct ModelListTests {
  private struct List: Decodable {
    struct Model: Decodable, Equatable {
      let id, object, owner, type, display, time: String
      let created: UInt64

      enum CodingKeys: String, CodingKey {
        case id, object, created, type
        case owner = "owned_by"
        case display = "display_name"
        case time = "created_at"
      }
    }
    let object, first, last: String
    let data: [Model]
    let hasMore: Bool

    enum CodingKeys: String, CodingKey {
      case object, data
      case first = "first_id"
      case last = "last_id"
      case hasMore = "has_more"
    }
  }

  private func parsed(_ text: StaticBytes) throws -> List {
    try JSONDecoder().decode(List.self, from: Data(UnsafeBufferPointer(start: text.start, count: text.count)))
  }

  @Test func golden() {
    let arena = Arena()
    let models = [
      ListedModel(name: "gpt-4", provider: "openai", created: 1_700_000_000),
      ListedModel(name: "demo", provider: "demo", created: 0),
    ]
    let list = ModelList.write(models, into: arena)
    let expected =
      #"{"object":"list","data":[{"id":"gpt-4","object":"model","created":1700000000,"owned_by":"openai","#
      + #""type":"model","display_name":"gpt-4","created_at":"2023-11-14T22:13:20.000Z"},"#
      + #"{"id":"demo","object":"model","created":0,"owned_by":"demo","#
      + #""type":"model","display_name":"demo","created_at":"1970-01-01T00:00:00.000Z"}],"#
      + #""has_more":false,"first_id":"gpt-4","last_id":"demo"}"#
    #expect(list.text.text == expected && list.leftOut == 0)
    let none = #"{"object":"list","data":[],"has_more":false,"first_id":null,"last_id":null}"#
    #expect(ModelList.write([], into: arena).text.text == none)
  }

  @Test func names() throws {
    let arena = Arena()
    for name in ["", "a\"b", "\\", "ü\u{1F600}", "a\nb\u{0}", "org/model:tag"] {
      let list = try parsed(ModelList.write([ListedModel(name: name, provider: name, created: 1)], into: arena).text)
      #expect(list.object == "list" && list.first == name && list.last == name && !list.hasMore)
      let time = "1970-01-01T00:00:01.000Z"
      #expect(
        list.data == [
          .init(id: name, object: "model", owner: name, type: "model", display: name, time: time, created: 1)
        ])
    }
  }

  /// Each model is found by its whole name, and what is found stands in the list.
  @Test func entries() throws {
    let arena = Arena()
    let names = ["gpt-4", "org/model:tag", "gpt-4-turbo", "a", "gpt", "Z"]
    let list = ModelList.write(names.map { ListedModel(name: $0, provider: "p", created: 0) }, into: arena)
    func found(_ name: String) -> String? {
      let name = arena.text(name)
      return list.entry(name.start, name.count)?.text
    }
    for name in names {
      let expected =
        #"{"id":"\#(name)","object":"model","created":0,"owned_by":"p","type":"model","display_name":"\#(name)","#
        + #""created_at":"1970-01-01T00:00:00.000Z"}"#
      #expect(found(name) == expected && list.text.text.contains(expected))
    }
    for name in ["", "gpt-", "gpt-4-", "gpt-5", "org", "org/model", "aa", "z", "b"] { #expect(found(name) == nil) }
    let none = ModelList.write([], into: arena)
    let name = arena.text("a")
    #expect(none.entry(name.start, name.count) == nil)
  }

  /// More than an answer can hold: whole models are left out at the end, and their number is told.
  @Test func tooMany() throws {
    let arena = Arena()
    let models = (0..<4_000).map { ListedModel(name: "model-\($0)", provider: "provider", created: 1) }
    let list = ModelList.write(models, into: arena)
    #expect(list.leftOut > 0 && list.text.count <= Limits.replyBodyBytes)
    let told = try parsed(list.text)
    #expect(told.data.map(\.id) == models.prefix(models.count - list.leftOut).map(\.name))
    #expect(told.first == "model-0" && told.last == told.data.last?.id)
    // What the list has not, cannot be asked for by itself.
    #expect(list.count == told.data.count)
    for (place, model) in models.enumerated() {
      let name = arena.text(model.name)
      if (list.entry(name.start, name.count) == nil) == (place < list.count) { Issue.record("\(model.name)") }
    }
  }
}
