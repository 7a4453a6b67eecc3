// Socket addresses as plain values: parsed from configuration, taken from accept, written into heads and logs.
// It opens nothing; the calls that take an address stand in Loop, Downstream and the driver.

import CLinux
import Glibc

/// An IPv4 or IPv6 address with a port.
struct SocketAddress: BitwiseCopyable, Equatable {
  /// The address in network order; IPv4 fills the first four bytes.
  var words: (UInt64, UInt64) = (0, 0)
  var port: UInt16 = 0
  var isIPv6 = false

  static func == (left: SocketAddress, right: SocketAddress) -> Bool {
    left.words == right.words && left.port == right.port && left.isIPv6 == right.isIPv6
  }

  init() {}

  /// A numeric address, IPv6 without brackets; nil when it is a name or malformed.
  init?(numeric host: String, port: UInt16) {
    var four = in_addr()
    var six = in6_addr()
    if inet_pton(AF_INET, host, &four) == 1 {
      withUnsafeMutableBytes(of: &words) { target in
        withUnsafeBytes(of: four) { target.copyMemory(from: $0) }
      }
    } else if inet_pton(AF_INET6, host, &six) == 1 {
      withUnsafeMutableBytes(of: &words) { target in
        withUnsafeBytes(of: six) { target.copyMemory(from: $0) }
      }
      isIPv6 = true
    } else {
      return nil
    }
    self.port = port
  }

  /// From what accept or getsockname filled in. An IPv4 client of an IPv6 socket is an IPv4 client; one of a Unix
  /// socket is on this machine and counts as 127.0.0.1.
  init(_ storage: sockaddr_storage) {
    if Int32(storage.ss_family) == AF_UNIX {
      words.0 = UInt64(INADDR_LOOPBACK.bigEndian)
      return
    }
    var copy = storage
    withUnsafeBytes(of: &copy) { raw in
      if Int32(storage.ss_family) == AF_INET {
        let four = raw.loadUnaligned(as: sockaddr_in.self)
        port = UInt16(bigEndian: four.sin_port)
        words.0 = UInt64(four.sin_addr.s_addr)
        return
      }
      port = UInt16(bigEndian: raw.loadUnaligned(as: sockaddr_in6.self).sin6_port)
      let offset = MemoryLayout<sockaddr_in6>.offset(of: \.sin6_addr) ?? 8
      words.0 = raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
      words.1 = raw.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self)
      isIPv6 = true
    }
    unmap()
  }

  /// An IPv4 address that is written as one of IPv6 becomes what it is: ::ffff:0:0/96 of RFC 4291 section 2.5.5.2, as
  /// it stands in a little-endian word.
  mutating func unmap() {
    guard isIPv6, words.0 == 0, words.1 & 0xffff_ffff == 0xffff_0000 else { return }
    words = (words.1 >> 32, 0)
    isIPv6 = false
  }

  /// Whether it is the same host, whatever the ports are.
  func isHost(of other: SocketAddress) -> Bool { words == other.words && isIPv6 == other.isIPv6 }

  /// Calls `body` with the form the kernel takes.
  func withKernelForm<T>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> T) -> T {
    var storage = sockaddr_storage()
    let size: Int
    if isIPv6 {
      var six = sockaddr_in6()
      six.sin6_family = sa_family_t(AF_INET6)
      six.sin6_port = port.bigEndian
      withUnsafeMutableBytes(of: &six.sin6_addr) { target in
        withUnsafeBytes(of: words) { target.copyMemory(from: $0) }
      }
      size = MemoryLayout<sockaddr_in6>.size
      withUnsafeMutableBytes(of: &storage) { $0.storeBytes(of: six, as: sockaddr_in6.self) }
    } else {
      var four = sockaddr_in()
      four.sin_family = sa_family_t(AF_INET)
      four.sin_port = port.bigEndian
      four.sin_addr.s_addr = UInt32(truncatingIfNeeded: words.0)
      size = MemoryLayout<sockaddr_in>.size
      withUnsafeMutableBytes(of: &storage) { $0.storeBytes(of: four, as: sockaddr_in.self) }
    }
    return withUnsafePointer(to: &storage) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(size)) }
    }
  }

  /// What a limit counts for where nobody has said who is calling: the address, or of IPv6 the /64 around it, for a
  /// single customer has that many (RFC 6177).
  var network: SocketAddress {
    guard isIPv6 else { return self }
    var network = self
    network.words.1 = 0
    return network
  }

  /// 127.0.0.0/8 or ::1.
  var isLoopback: Bool {
    isIPv6 ? words.0 == 0 && words.1 == UInt64(1).bigEndian : words.0 & 0xff == 127
  }
}

extension SocketAddress {
  /// `255.255.255.255`.
  fileprivate static var textIPv4Max: Int { 15 }
}

extension ByteWriter {
  /// The address without its port; IPv6 in the form of RFC 5952, without brackets.
  mutating func append(host address: SocketAddress) {
    if !address.isIPv6 {
      guard room >= SocketAddress.textIPv4Max else {
        advance(SocketAddress.textIPv4Max)
        return
      }
      let start = end
      var place = start
      for index in 0..<4 {
        if index > 0 {
          place[0] = 0x2e
          place += 1
        }
        let octet = UInt32(truncatingIfNeeded: address.words.0 &>> UInt64(8 &* index) & 0xff)
        if octet >= 100 {
          place[0] = UInt8(truncatingIfNeeded: octet / 100) &+ 0x30
          place += 1
        }
        if octet >= 10 {
          place[0] = UInt8(truncatingIfNeeded: octet / 10 % 10) &+ 0x30
          place += 1
        }
        place[0] = UInt8(truncatingIfNeeded: octet % 10) &+ 0x30
        place += 1
      }
      advance(place - start)
      return
    }
    guard room >= Int(INET6_ADDRSTRLEN) else {
      advance(Int(INET6_ADDRSTRLEN))
      return
    }
    var words = address.words
    let target = UnsafeMutableRawPointer(end).assumingMemoryBound(to: CChar.self)
    if inet_ntop(AF_INET6, &words, target, socklen_t(INET6_ADDRSTRLEN)) != nil { advance(strlen(target)) }
  }

  /// `host:port`, IPv6 in brackets.
  mutating func append(_ address: SocketAddress) {
    if address.isIPv6 { append(byte: 0x5b) }
    append(host: address)
    if address.isIPv6 { append(byte: 0x5d) }
    append(byte: 0x3a)
    append(decimal: UInt64(address.port))
  }
}

extension SocketAddress {
  /// `host:port`, for messages.
  var text: String {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 64) { area in
      guard let base = area.baseAddress else { return "" }
      var writer = ByteWriter(base: base, capacity: 64)
      writer.append(self)
      return String(decoding: area[0..<writer.count], as: UTF8.self)
    }
  }
}

/// A network prefix.
struct CIDR: BitwiseCopyable {
  let address: SocketAddress
  let bits: Int

  /// Whether the address lies inside.
  func contains(_ other: SocketAddress) -> Bool {
    if other.isIPv6 != address.isIPv6 { return false }
    let left = (UInt64(bigEndian: address.words.0), UInt64(bigEndian: address.words.1))
    let right = (UInt64(bigEndian: other.words.0), UInt64(bigEndian: other.words.1))
    let high = bits >= 64 ? 64 : bits
    let low = bits - high
    if high > 0, (left.0 ^ right.0) >> UInt64(64 - high) != 0 { return false }
    return low == 0 || (left.1 ^ right.1) >> UInt64(64 - low) == 0
  }
}
