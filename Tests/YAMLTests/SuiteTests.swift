// The public YAML test suite: what holds, and exactly which cases do not.
//
// `Tests/Config/yaml-test-suite/cases.json` has all cases. Each one must not crash. A case with data must give that
// data, or be refused by a rule of this module (several documents, anchors, tags, keys); a case marked `fail` must be
// refused. libyaml follows YAML 1.1 grammar, so some cases of 1.2 corners differ: they are listed by id, and a listed
// case that begins to hold fails the test too.

import Foundation
import Testing

@testable import YAML

struct SuiteCase: Decodable {
  let id: String
  let name: String
  let yaml: String
  let json: String?
  let fail: Bool?
}

@Suite struct SuiteTests {
  static let cases: [SuiteCase] = {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    guard let data = try? Data(contentsOf: folder.appendingPathComponent("Config/yaml-test-suite/cases.json")) else {
      return []
    }
    return (try? JSONDecoder().decode([SuiteCase].self, from: data)) ?? []
  }()

  /// Valid input that libyaml refuses or reads otherwise.
  static let differing: Set<String> = [
    "2JQS", "2LFX", "4ABK", "4MUZ/00", "4MUZ/01", "4MUZ/02", "58MP", "5MUD", "5T43", "652Z", "6BCT", "6CA3", "6LVF",
    "7Z25", "8XYN", "96NN/00", "96NN/01", "9SA2", "A2M4", "BEC7", "CFD4", "DBG4", "DK3J", "DK95/00", "DK95/03",
    "DK95/04", "FP8R", "FRK4", "HM87/00", "HM87/01", "HWV9", "JEF9/02", "K3WX", "L24T/01", "M7A3", "MUS6/05",
    "MUS6/06", "NHX8", "NJ66", "NKF9", "Q5MG", "QT73", "R4YG", "S3PD", "SM9W/01", "UKK6/00", "UT92", "VJP3/01",
    "W4TN", "W5VH", "Y79Y/01", "Y79Y/10", "ZYU8/00", "ZYU8/01", "ZYU8/02", "ZYU8/03",
  ]
  /// Invalid input that libyaml accepts.
  static let tolerated: Set<String> = [
    "9C9N", "9JBA", "CVW2", "DK95/01", "G5U8", "MUS6/00", "QB6E", "S98Z", "SU5Z", "X4QW", "Y79Y/03", "YJV2",
  ]

  @Test func theSuiteIsThere() { #expect(SuiteTests.cases.count > 400) }

  @Test func validInputGivesItsData() throws {
    var wrong: Set<String> = []
    var held = 0
    for example in SuiteTests.cases where !(example.fail ?? false) {
      do throws(YAMLError) {
        let node = try YAMLParser.parse(Array(example.yaml.utf8))
        guard let json = example.json else { continue }
        if PlainData(node) == PlainData(json: json) { held += 1 } else { wrong.insert(example.id) }
      } catch {
        switch error.kind {
        case .documents, .anchor, .tag, .key, .duplicateKey: continue
        case .syntax, .encoding, .size, .depth: wrong.insert(example.id)
        }
      }
    }
    #expect(held >= 100)
    #expect(wrong.subtracting(SuiteTests.differing).sorted() == [], "these do not hold")
    #expect(SuiteTests.differing.subtracting(wrong).sorted() == [], "these hold now: take them off the list")
  }

  @Test func invalidInputIsRefused() {
    var accepted: Set<String> = []
    for example in SuiteTests.cases where example.fail ?? false {
      if (try? YAMLParser.parse(Array(example.yaml.utf8))) != nil { accepted.insert(example.id) }
    }
    #expect(accepted.subtracting(SuiteTests.tolerated).sorted() == [], "these are accepted")
    #expect(
      SuiteTests.tolerated.subtracting(accepted).sorted() == [], "these are refused now: take them off the list")
  }

  /// Every prefix of every case: a cut file must end in a tree or an error, with places inside the text.
  @Test func everyPrefixEndsWell() {
    for example in SuiteTests.cases {
      let bytes = Array(example.yaml.utf8)
      for count in 0...bytes.count {
        do throws(YAMLError) {
          let node = try YAMLParser.parse(Array(bytes[..<count]))
          if let node { #expect(node.start <= node.end && node.end.offset <= count) }
        } catch {
          #expect(error.position.offset <= count)
        }
      }
    }
  }
}

/// Data without places, to compare trees with JSON.
enum PlainData: Equatable {
  case null
  case boolean(Bool)
  case number(Double)
  case text(String)
  case list([PlainData])
  case map([String: PlainData])

  init(_ node: Node?) {
    guard let node else {
      self = .null
      return
    }
    switch node.content {
    case .scalar(let scalar):
      switch scalar.core {
      case .null: self = .null
      case .boolean(let value): self = .boolean(value)
      case .integer(let value): self = .number(Double(value))
      case .float(let value): self = .number(value)
      case .text(let text): self = .text(text)
      }
    case .sequence(let members): self = .list(members.map { PlainData($0) })
    case .mapping(let mapping):
      self = .map(Dictionary(uniqueKeysWithValues: mapping.entries.map { ($0.name, PlainData($0.value)) }))
    }
  }

  init?(json: String) {
    guard let value = try? JSONSerialization.jsonObject(with: Data(json.utf8), options: .fragmentsAllowed) else {
      return nil
    }
    self.init(any: value)
  }

  private init(any: Any) {
    switch any {
    case let text as String: self = .text(text)
    case let list as [Any]: self = .list(list.map { PlainData(any: $0) })
    case let map as [String: Any]: self = .map(map.mapValues { PlainData(any: $0) })
    case let number as NSNumber:
      self = PlainData.isBoolean(number) ? .boolean(number.boolValue) : .number(number.doubleValue)
    default: self = .null
    }
  }

  private static func isBoolean(_ number: NSNumber) -> Bool { String(cString: number.objCType) == "c" }
}
