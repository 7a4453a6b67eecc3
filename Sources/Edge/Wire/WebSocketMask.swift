// The mask over what a client sends on a WebSocket (RFC 6455 section 5.3). It keeps scripts in browsers from choosing
// the bytes on the wire; it hides nothing.
//
// Called by: the reader, piece by piece, and the writer in the client's role.

/// A masking key, turned so that its first byte is the next one to be used.
struct WebSocketMask: BitwiseCopyable, Equatable {
  /// The byte on the wire first is the lowest.
  private(set) var key: UInt32

  /// A client that writes takes a new key for each frame, one that nobody can guess (RFC 6455 section 10.3).
  init(key: UInt32) { self.key = key }

  /// Masks bytes in place, or takes the mask off, which is the same. The next call goes on where this one ends.
  mutating func apply(_ bytes: BytePointer, _ count: Int) {
    let word = (UInt64(key) | UInt64(key) << 32).littleEndian
    let raw = UnsafeMutableRawPointer(bytes)
    var index = 0
    while index &+ 8 <= count {
      let turned = raw.loadUnaligned(fromByteOffset: index, as: UInt64.self) ^ word
      raw.storeBytes(of: turned, toByteOffset: index, as: UInt64.self)
      index &+= 8
    }
    while index < count {
      bytes[index] ^= UInt8(truncatingIfNeeded: key)
      key = key >> 8 | key << 24
      index &+= 1
    }
  }
}
