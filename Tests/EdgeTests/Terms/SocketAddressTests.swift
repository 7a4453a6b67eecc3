import Foundation
import Testing

@testable import Edge

struct SocketAddressTests {
  /// Text, and what is written for it.
  static let good = [
    ("127.0.0.1", "127.0.0.1:80"), ("0.0.0.0", "0.0.0.0:80"), ("255.255.255.255", "255.255.255.255:80"),
    ("::", "[::]:80"), ("::1", "[::1]:80"), ("2001:DB8:0:0:0:0:0:1", "[2001:db8::1]:80"),
    ("2001:db8:0:1:1:1:1:1", "[2001:db8:0:1:1:1:1:1]:80"), ("fe80::1:0:0:1", "[fe80::1:0:0:1]:80"),
    ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:80"),
  ]

  @Test(arguments: good) func parsedAndWritten(_ host: String, _ expected: String) throws {
    let address = try #require(SocketAddress(numeric: host, port: 80))
    #expect(address.text == expected)
    #expect(text { $0.append(address) } == expected)
    #expect(address.isIPv6 == host.contains(":"))
    #expect(roundTrip(address) == address)
  }

  @Test(arguments: [
    "", "localhost", "1.2.3", "1.2.3.4.5", "256.0.0.1", "1.2.3.4 ", " 1.2.3.4", "01.2.3.4", "1.2.3.4:80", "[::1]",
    ":::", "1::2::3", "::1%lo", "12345::", "0x7f.0.0.1", "::1.2.3",
  ])
  func refused(_ host: String) { #expect(SocketAddress(numeric: host, port: 1) == nil) }

  /// The kernel's form and back.
  private func roundTrip(_ address: SocketAddress) -> SocketAddress {
    var storage = sockaddr_storage()
    address.withKernelForm { pointer, size in
      _ = memcpy(&storage, pointer, Int(size))
    }
    return SocketAddress(storage)
  }

  @Test func kernelForms() throws {
    let four = try #require(SocketAddress(numeric: "10.1.2.3", port: 0x1234))
    four.withKernelForm { pointer, size in
      #expect(Int(size) == MemoryLayout<sockaddr_in>.size)
      #expect(Int32(pointer.pointee.sa_family) == AF_INET)
      let bytes = Array(UnsafeRawBufferPointer(start: pointer, count: 8))
      #expect(Array(bytes[2...]) == [0x12, 0x34, 10, 1, 2, 3])
    }
    let six = try #require(SocketAddress(numeric: "2001:db8::ff", port: 443))
    six.withKernelForm { pointer, size in
      #expect(Int(size) == MemoryLayout<sockaddr_in6>.size)
      let bytes = Array(UnsafeRawBufferPointer(start: pointer, count: 24))
      #expect(Array(bytes[8..<12]) == [0x20, 1, 0x0d, 0xb8] && bytes[23] == 0xff)
    }
  }

  /// An IPv4 client of a socket for both families is an IPv4 client; near-by addresses are not.
  @Test func mappedAddressesFromTheKernel() throws {
    let mapped = roundTrip(try #require(SocketAddress(numeric: "::ffff:192.0.2.7", port: 9)))
    #expect(mapped == SocketAddress(numeric: "192.0.2.7", port: 9))
    #expect(mapped.text == "192.0.2.7:9")
    for other in ["::192.0.2.7", "::fffe:c000:207", "::1:ffff:c000:207", "1::ffff:192.0.2.7", "64:ff9b::c000:207"] {
      #expect(roundTrip(try #require(SocketAddress(numeric: other, port: 9))).isIPv6, "\(other)")
    }
  }

  @Test func equality() {
    let one = SocketAddress(numeric: "127.0.0.1", port: 1)
    #expect(one == SocketAddress(numeric: "127.0.0.1", port: 1))
    #expect(one != SocketAddress(numeric: "127.0.0.1", port: 2))
    #expect(one != SocketAddress(numeric: "127.0.0.2", port: 1))
    #expect(SocketAddress(numeric: "0.0.0.0", port: 1) != SocketAddress(numeric: "::", port: 1))
  }

  @Test(arguments: [
    ("127.0.0.1", true), ("127.255.0.9", true), ("128.0.0.1", false), ("10.0.0.127", false), ("::1", true),
    ("::2", false), ("::", false), ("100::1", false),
  ])
  func loopback(_ host: String, _ expected: Bool) throws {
    #expect(try #require(SocketAddress(numeric: host, port: 0)).isLoopback == expected)
  }

  static let networks = [
    ("203.0.113.9", "203.0.113.9"), ("255.255.255.255", "255.255.255.255"), ("::", "::"), ("::1", "::"),
    ("::ffff:0:0:1", "::"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"), ("2001:db8:1:2::", "2001:db8:1:2::"),
    ("0:0:0:1:ffff:ffff:ffff:ffff", "0:0:0:1::"), ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff::"),
  ]

  /// An IPv4 client is its address, one of IPv6 the /64 around it; the port is kept.
  @Test(arguments: networks) func networksOfClients(_ host: String, _ network: String) throws {
    let address = try #require(SocketAddress(numeric: host, port: 81))
    #expect(address.network == SocketAddress(numeric: network, port: 81))
    #expect(address.network.network == address.network)
  }

  /// An address that does not fit is an overflow, never another address.
  @Test func addressesThatDoNotFit() throws {
    for host in ["255.255.255.255", "2001:db8::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"] {
      let address = try #require(SocketAddress(numeric: host, port: 0))
      for capacity in 0..<64 {
        let outcome = written(capacity: capacity) { $0.append(host: address) }
        #expect(outcome.overflowed || outcome.text == host, "\(host) in \(capacity) bytes: \(outcome.text)")
      }
    }
  }
}

struct CIDRTests {
  static let vectors: [(String, Int, String, Bool)] = [
    ("10.0.0.0", 8, "10.255.255.255", true), ("10.0.0.0", 8, "11.0.0.0", false),
    ("10.0.0.0", 8, "9.255.255.255", false),
    ("192.0.2.7", 32, "192.0.2.7", true), ("192.0.2.7", 32, "192.0.2.6", false),
    ("192.0.2.128", 25, "192.0.2.128", true), ("192.0.2.128", 25, "192.0.2.127", false),
    ("128.0.0.0", 1, "255.0.0.1", true), ("128.0.0.0", 1, "127.0.0.1", false), ("0.0.0.0", 0, "203.0.113.9", true),
    ("0.0.0.0", 0, "::1", false), ("::", 0, "ffff::", true), ("::", 0, "1.2.3.4", false),
    ("fd00::", 8, "fdff::1", true), ("fd00::", 8, "fc00::1", false), ("2001:db8::", 32, "2001:db8:ffff::", true),
    ("2001:db8::", 32, "2001:db9::", false), ("2001:db8::", 64, "2001:db8::ffff:0:0:1", true),
    ("2001:db8::", 64, "2001:db8:0:1::", false), ("2001:db8::", 65, "2001:db8::7fff:0:0:1", true),
    ("2001:db8::", 65, "2001:db8::8000:0:0:1", false), ("::1", 128, "::1", true), ("::1", 128, "::", false),
    ("::2", 127, "::3", true), ("::2", 127, "::4", false), ("10.0.0.0", 8, "a00::", false),
  ]

  @Test(arguments: vectors) func contains(_ prefix: String, _ bits: Int, _ host: String, _ expected: Bool) throws {
    let block = CIDR(address: try #require(SocketAddress(numeric: prefix, port: 0)), bits: bits)
    #expect(block.contains(try #require(SocketAddress(numeric: host, port: 99))) == expected)
  }

  @Test func mappedClientsAreMatchedAsIPv4() throws {
    var storage = sockaddr_storage()
    let mapped = try #require(SocketAddress(numeric: "::ffff:10.1.2.3", port: 5))
    mapped.withKernelForm { pointer, size in _ = memcpy(&storage, pointer, Int(size)) }
    let block = CIDR(address: try #require(SocketAddress(numeric: "10.0.0.0", port: 0)), bits: 8)
    #expect(block.contains(SocketAddress(storage)))
  }
}
