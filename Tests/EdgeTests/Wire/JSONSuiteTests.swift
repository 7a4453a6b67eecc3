import Testing

@testable import Edge

/// The 318 files of JSONTestSuite.
@Suite struct JSONSuiteTests {
  static let names = Vectors.names("json-test-suite/test_parsing")

  /// What Edge makes of the files about which RFC 8259 leaves the choice; nil: accepted.
  static let choices: [String: JSONFault.Reason?] = [
    // The literal is good; beyond all doubles it has no value, otherwise it has the nearest.
    "number_double_huge_neg_exp": nil, "number_huge_exp": nil, "number_neg_int_huge_exp": nil,
    "number_pos_double_huge_exp": nil, "number_real_neg_overflow": nil, "number_real_pos_overflow": nil,
    "number_real_underflow": nil, "number_too_big_neg_int": nil, "number_too_big_pos_int": nil,
    "number_very_big_negative_int": nil,
    // Half a pair of surrogates is no character.
    "object_key_lone_2nd_surrogate": .loneSurrogate, "string_1st_surrogate_but_2nd_missing": .loneSurrogate,
    "string_1st_valid_surrogate_2nd_invalid": .loneSurrogate,
    "string_incomplete_surrogate_and_escape_valid": .loneSurrogate,
    "string_incomplete_surrogate_pair": .loneSurrogate,
    "string_incomplete_surrogates_escape_valid": .loneSurrogate,
    "string_invalid_lonely_surrogate": .loneSurrogate, "string_invalid_surrogate": .loneSurrogate,
    "string_inverted_surrogates_U+1D11E": .loneSurrogate, "string_lone_second_surrogate": .loneSurrogate,
    // Only UTF-8, only well-formed, without a mark before it.
    "string_UTF-16LE_with_BOM": .unexpectedByte, "string_utf16BE_no_BOM": .unexpectedByte,
    "string_utf16LE_no_BOM": .unexpectedByte, "structure_UTF-8_BOM_empty_object": .byteOrderMark,
    "string_UTF-8_invalid_sequence": .notUTF8, "string_UTF8_surrogate_U+D800": .notUTF8,
    "string_invalid_utf-8": .notUTF8, "string_iso_latin_1": .notUTF8,
    "string_lone_utf8_continuation_byte": .notUTF8, "string_not_in_unicode_range": .notUTF8,
    "string_overlong_sequence_2_bytes": .notUTF8, "string_overlong_sequence_6_bytes": .notUTF8,
    "string_overlong_sequence_6_bytes_null": .notUTF8, "string_truncated-utf-8": .notUTF8,
    // Deeper than anybody needs.
    "structure_500_nested_arrays": .tooDeep,
  ]

  @Test func theSuiteIsThere() {
    #expect(JSONSuiteTests.names.count == 318)
    #expect(JSONSuiteTests.names.filter { $0.hasPrefix("i_") }.count == JSONSuiteTests.choices.count)
  }

  @Test(arguments: names) func file(_ name: String) throws {
    let sample = JSONSample(try Vectors.bytes("json-test-suite/test_parsing/\(name)"))
    let fault = sample.fault()
    switch name.prefix(2) {
    case "y_": #expect(fault == nil)
    case "n_":
      let offset = try #require(fault).offset
      #expect(offset >= 0 && offset <= sample.area.count)
    default:
      let choice = try #require(JSONSuiteTests.choices[String(name.dropFirst(2).dropLast(5))])
      #expect(fault?.reason == choice)
    }
    if fault == nil {
      #expect(sample.isConsistent)
      let again = JSONSample(sample.outline())
      #expect(again.fault() == nil)
      #expect(again.outline() == sample.outline())
    } else {
      #expect(sample.document.count == 0)
    }
  }
}
