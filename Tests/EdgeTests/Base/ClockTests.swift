import Foundation
import Testing

@testable import Edge

struct ClockTests {
  /// Known moments: seconds, RFC 3339, IMF-fixdate.
  static let moments: [(UInt64, String, String)] = [
    (0, "1970-01-01T00:00:00.000Z", "Thu, 01 Jan 1970 00:00:00 GMT"),
    (784_111_777, "1994-11-06T08:49:37.000Z", "Sun, 06 Nov 1994 08:49:37 GMT"),
    (951_782_399, "2000-02-28T23:59:59.000Z", "Mon, 28 Feb 2000 23:59:59 GMT"),
    (951_782_400, "2000-02-29T00:00:00.000Z", "Tue, 29 Feb 2000 00:00:00 GMT"),
    (951_868_800, "2000-03-01T00:00:00.000Z", "Wed, 01 Mar 2000 00:00:00 GMT"),
    (1_709_164_800, "2024-02-29T00:00:00.000Z", "Thu, 29 Feb 2024 00:00:00 GMT"),
    (1_735_689_599, "2024-12-31T23:59:59.000Z", "Tue, 31 Dec 2024 23:59:59 GMT"),
    (1_735_689_600, "2025-01-01T00:00:00.000Z", "Wed, 01 Jan 2025 00:00:00 GMT"),
    (2_147_483_648, "2038-01-19T03:14:08.000Z", "Tue, 19 Jan 2038 03:14:08 GMT"),
    (4_107_542_400, "2100-03-01T00:00:00.000Z", "Mon, 01 Mar 2100 00:00:00 GMT"),
  ]

  @Test(arguments: moments) func knownMoments(_ seconds: UInt64, _ stamp: String, _ date: String) {
    let wall = seconds * 1_000_000_000
    #expect(text { $0.append(timestamp: wall) } == stamp)
    #expect(text { $0.append(date: wall) } == date)
  }

  @Test func fractionsAreCutNotRounded() {
    #expect(text { $0.append(timestamp: 1_735_689_599_999_999_999) } == "2024-12-31T23:59:59.999Z")
    #expect(text { $0.append(timestamp: 42_000_000) } == "1970-01-01T00:00:00.042Z")
    #expect(text { $0.append(timestamp: 999_999) } == "1970-01-01T00:00:00.000Z")
  }

  /// Every day from 1970 to 2400 against the C library, at its first and last second.
  @Test func everyDayAgreesWithTheCLibrary() {
    for day in 0..<157_000 {
      for second in [0, 86_399] {
        var seconds = time_t(day * 86_400 + second)
        var expected = tm()
        gmtime_r(&seconds, &expected)
        let time = CivilTime(wall: UInt64(seconds) * 1_000_000_000)
        let agrees =
          time.year == Int(expected.tm_year) + 1900 && time.month == Int(expected.tm_mon) + 1
          && time.day == Int(expected.tm_mday) && time.hour == Int(expected.tm_hour)
          && time.minute == Int(expected.tm_min) && time.second == Int(expected.tm_sec)
          && time.weekday == Int(expected.tm_wday)
        if !agrees { Issue.record("day \(day), second \(second): \(time)") }
      }
    }
  }

  @Test func readingsGoForward() {
    var clock = Clock()
    let first = clock
    clock.update()
    #expect(clock.monotonic >= first.monotonic)
    #expect(clock.milliseconds == clock.monotonic / 1_000_000)
    #expect(Clock.monotonicNow() >= clock.monotonic)
    #expect(clock.wall > 1_700_000_000 * 1_000_000_000)
  }
}
