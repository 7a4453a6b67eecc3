// Moves a body from one connection's reads to the other's writes: takes the framing off, puts the framing on. It
// works on bytes in a scratch area with room in front (Limits.readHeadroom) and behind; it knows no sockets and no
// exchange.

import Glibc

/// What a piece of body becomes on the other side.
struct RelayedPiece: BitwiseCopyable {
  /// What to write, framing included; empty when nothing is to be written.
  var start: BytePointer
  var count = 0
  /// Bytes of content in it.
  var payload = 0
  /// Bytes taken from what was read; the rest belongs to the next message.
  var consumed = 0
  var isEnded = false
  var fault: HeadFault?
}

/// The framing work of one direction.
enum StreamRelay {
  /// Takes `count` bytes that were read at `bytes`, as part of the body that `reader` follows, and frames them as the
  /// other side gets them. The content moves in place.
  @inline(__always)
  static func piece(
    _ bytes: BytePointer, _ count: Int, reader: inout BodyReader, framing: WrittenFraming, classes: ByteClasses
  ) -> RelayedPiece {
    let step = reader.read(bytes, count, classes)
    var piece = RelayedPiece(start: bytes)
    piece.fault = step.fault
    piece.consumed = step.consumed
    piece.payload = step.payload
    piece.isEnded = reader.isEnded
    guard framing == .chunked else {
      piece.count = step.payload
      return piece
    }
    // The size line goes into the room in front. What is written behind the content lies over framing that was taken
    // off, or, while the body goes on, behind everything that was read: bytes of a next message are never touched.
    // That holds only when the content comes out of chunks too, or has no end of its own.
    assert(!reader.isCounted, "a counted body is never written in chunks")
    if step.payload > 0 {
      let chunk = ChunkWriter.frame(bytes, step.payload)
      piece.start = chunk.start
      piece.count = chunk.count
    } else {
      piece.start = bytes - ChunkWriter.last.utf8CodeUnitCount
    }
    if piece.isEnded {
      memcpy(piece.start + piece.count, ChunkWriter.last.utf8Start, ChunkWriter.last.utf8CodeUnitCount)
      piece.count += ChunkWriter.last.utf8CodeUnitCount
    }
    return piece
  }
}
