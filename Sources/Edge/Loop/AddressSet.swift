// What a name stands for: a few addresses as a plain value, which can be copied to any thread.
// Made by the resolver; used in turn by whoever connects. It opens nothing and resolves nothing.

/// The addresses of a name: distinct, sorted so that equal sets are equal values, with port 0.
struct AddressSet: BitwiseCopyable, Equatable {
  private(set) var count = 0
  private var addresses = InlineArray<8, SocketAddress>(repeating: SocketAddress())

  static let countMax = 8

  /// The IPv4 addresses when there are any, else the IPv6 ones; of more than `countMax` the lowest.
  init(_ found: some Sequence<SocketAddress>) {
    var sorted = found.map { address in
      var portless = address
      portless.port = 0
      return portless
    }
    if sorted.contains(where: { !$0.isIPv6 }) { sorted.removeAll(where: \.isIPv6) }
    sorted.sort(by: AddressSet.precedes)
    for address in sorted where count < AddressSet.countMax && (count == 0 || addresses[count - 1] != address) {
      addresses[count] = address
      count += 1
    }
  }

  /// The address at a position below `count`.
  subscript(index: Int) -> SocketAddress { addresses[index] }

  static func == (left: AddressSet, right: AddressSet) -> Bool {
    if left.count != right.count { return false }
    for index in 0..<left.count where left[index] != right[index] { return false }
    return true
  }

  /// The order in which addresses are read: 10.0.0.2 before 10.0.0.10.
  private static func precedes(_ left: SocketAddress, _ right: SocketAddress) -> Bool {
    let high = (UInt64(bigEndian: left.words.0), UInt64(bigEndian: right.words.0))
    if high.0 != high.1 { return high.0 < high.1 }
    return UInt64(bigEndian: left.words.1) < UInt64(bigEndian: right.words.1)
  }

  /// The addresses without ports, joined by a space, as the log shows them.
  var text: String {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 64 * AddressSet.countMax) { area in
      guard let base = area.baseAddress else { return "" }
      var writer = ByteWriter(base: base, capacity: area.count)
      for index in 0..<count {
        if index > 0 { writer.append(byte: 0x20) }
        writer.append(host: self[index])
      }
      return String(decoding: area[0..<writer.count], as: UTF8.self)
    }
  }
}
