import Testing

@testable import Edge

@Suite struct KeyedHash64Tests {
  /// The input that the algorithm's authors use: 0, 1, 2, …
  private func hash(_ hash: KeyedHash64, _ count: Int) -> UInt64 {
    let area = ByteArea((0..<count).map { UInt8($0) })
    return hash.value(area.base, count)
  }

  /// Made by CPython 3.11, which hashes byte strings with SipHash-1-3, under the key of PYTHONHASHSEED=1.
  @Test(
    arguments: [
      (1, 0xecd3_e5af_cecd_a4b9), (7, 0xfd15_e780_52a6_9ddf), (8, 0xc0b5_739e_7e28_dd01), (9, 0x208a_1a5a_0cbb_f778),
      (15, 0xfa87_985f_39e9_7a53), (16, 0x12e9_d283_f9f3_7002), (63, 0x5420_5234_5bc6_8274),
    ] as [(Int, UInt64)])
  func vectors(count: Int, expected: UInt64) {
    #expect(hash(KeyedHash64(key: 0xaed6_6ce1_84be_2329, 0xebe9_bbf1_f149_9052), count) == expected)
  }

  @Test func emptyInput() {
    #expect(hash(KeyedHash64(key: 0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908), 0) == 0xabac_0158_050f_c4dc)
  }

  @Test func everyKeyIsAnother() {
    let hashes = (0..<100).map { _ in hash(KeyedHash64(), 8) }
    #expect(Set(hashes).count == 100)
  }
}
