import Foundation
import Testing

@testable import Edge

struct ModelListTests {
  private struct List: Decodable {
    struct Model: Decodable, Equatable {
      let id, object, owner: String
      let created: UInt64

      enum CodingKeys: String, CodingKey {
        case id, object, created
        case owner = "owned_by"
      }
    }
    let object: String
    let data: [Model]
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
      #"{"object":"list","data":[{"id":"gpt-4","object":"model","created":1700000000,"owned_by":"openai"},"#
      + #"{"id":"demo","object":"model","created":0,"owned_by":"demo"}]}"#
    #expect(list.text.text == expected && list.leftOut == 0)
    #expect(ModelList.write([], into: arena).text.text == #"{"object":"list","data":[]}"#)
  }

  @Test func names() throws {
    let arena = Arena()
    for name in ["", "a\"b", "\\", "ü\u{1F600}", "a\nb\u{0}", "org/model:tag"] {
      let list = try parsed(ModelList.write([ListedModel(name: name, provider: name, created: 1)], into: arena).text)
      #expect(list.object == "list")
      #expect(list.data == [.init(id: name, object: "model", owner: name, created: 1)])
    }
  }

  /// More than an answer can hold: whole models are left out at the end, and their number is told.
  @Test func tooMany() throws {
    let arena = Arena()
    let models = (0..<4_000).map { ListedModel(name: "model-\($0)", provider: "provider", created: 1) }
    let list = ModelList.write(models, into: arena)
    #expect(list.leftOut > 0 && list.text.count <= Limits.replyBodyBytes)
    let data = try parsed(list.text).data
    #expect(data.map(\.id) == models.prefix(models.count - list.leftOut).map(\.name))
  }
}
