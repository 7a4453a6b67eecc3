// Time as the data plane sees it: read once per turn of the loop. Deadlines are monotonic, what people and ledgers
// read is wall time.

import CLinux
import Glibc

/// One reading of both clocks.
struct Clock: BitwiseCopyable {
  /// Nanoseconds since an arbitrary start; never goes back.
  private(set) var monotonic: UInt64 = 0
  /// Nanoseconds since 1970-01-01 UTC.
  private(set) var wall: UInt64 = 0

  init() { update() }

  mutating func update() {
    monotonic = Clock.read(CLOCK_MONOTONIC)
    wall = Clock.read(CLOCK_REALTIME)
  }

  /// Monotonic milliseconds.
  var milliseconds: UInt64 { monotonic / 1_000_000 }

  private static func read(_ clock: clockid_t) -> UInt64 {
    var time = timespec()
    _ = clock_gettime(clock, &time)
    return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
  }

  /// Monotonic nanoseconds now, not as of the turn.
  static func monotonicNow() -> UInt64 { read(CLOCK_MONOTONIC) }

  /// Wall nanoseconds now, not as of the turn.
  static func wallNow() -> UInt64 { read(CLOCK_REALTIME) }
}

/// A calendar date and time in UTC.
struct CivilTime: BitwiseCopyable {
  let year, month, day, hour, minute, second, millisecond, weekday: Int

  /// From wall nanoseconds; the day count to year, month and day by the Gregorian 400-year cycle.
  init(wall: UInt64) {
    let seconds = Int(wall / 1_000_000_000)
    let days = seconds / 86_400
    let rest = seconds % 86_400
    hour = rest / 3_600
    minute = rest / 60 % 60
    second = rest % 60
    millisecond = Int(wall / 1_000_000 % 1_000)
    weekday = (days + 4) % 7
    // Years begin in March here, so that the leap day is the last of its year.
    let shifted = days + 719_468
    let era = shifted / 146_097
    let dayOfEra = shifted % 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let monthFromMarch = (5 * dayOfYear + 2) / 153
    day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
    month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
    year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  }
}

extension ByteWriter {
  /// RFC 3339 with milliseconds, UTC: `2026-01-31T08:15:00.042Z`.
  mutating func append(timestamp wall: UInt64) {
    let time = CivilTime(wall: wall)
    append(decimal: UInt64(time.year), width: 4)
    append(byte: 0x2d)
    append(decimal: UInt64(time.month), width: 2)
    append(byte: 0x2d)
    append(decimal: UInt64(time.day), width: 2)
    append(byte: 0x54)
    append(decimal: UInt64(time.hour), width: 2)
    append(byte: 0x3a)
    append(decimal: UInt64(time.minute), width: 2)
    append(byte: 0x3a)
    append(decimal: UInt64(time.second), width: 2)
    append(byte: 0x2e)
    append(decimal: UInt64(time.millisecond), width: 3)
    append(byte: 0x5a)
  }

  /// IMF-fixdate of RFC 9110 section 5.6.7: `Sat, 31 Jan 2026 08:15:00 GMT`.
  mutating func append(date wall: UInt64) {
    let time = CivilTime(wall: wall)
    let weekdays: StaticString = "SunMonTueWedThuFriSat"
    let months: StaticString = "JanFebMarAprMayJunJulAugSepOctNovDec"
    append(weekdays.utf8Start + 3 * time.weekday, 3)
    append(", ")
    append(decimal: UInt64(time.day), width: 2)
    append(byte: 0x20)
    append(months.utf8Start + 3 * (time.month - 1), 3)
    append(byte: 0x20)
    append(decimal: UInt64(time.year), width: 4)
    append(byte: 0x20)
    append(decimal: UInt64(time.hour), width: 2)
    append(byte: 0x3a)
    append(decimal: UInt64(time.minute), width: 2)
    append(byte: 0x3a)
    append(decimal: UInt64(time.second), width: 2)
    append(" GMT")
  }
}
