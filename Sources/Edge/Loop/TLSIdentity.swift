// What a listener proves itself with: its certificate, the ones that lead from there to an authority, and the key.
// Made off the loops when a configuration is read; contexts of workers are made of it. What is kept of a key is what
// OpenSSL made of it: no text and no bytes of a file.

import COpenSSL
import Glibc

/// Why certificate and key make no identity.
enum TLSIdentityError: Error, Equatable {
  /// There is no certificate in the text.
  case noCertificate
  /// What begins like a certificate is none; counted from 1.
  case malformedCertificate(Int, reason: String)
  /// There is no key in the text.
  case noKey
  /// The key can be read with a passphrase only.
  case encryptedKey
  case malformedKey(reason: String)
  /// The key is not the first certificate's; it is that of another one in the file, counted from 1, or of none.
  case mismatch(belongsTo: Int?)
  /// OpenSSL takes no such certificate.
  case unusable(reason: String)
  case outOfMemory

  /// What is wrong is the key, or that there is none.
  var isOfKey: Bool {
    switch self {
    case .noKey, .encryptedKey, .malformedKey, .mismatch(nil): true
    case .noCertificate, .malformedCertificate, .mismatch, .unusable, .outOfMemory: false
    }
  }

  /// The reason in words.
  var reason: String {
    switch self {
    case .noCertificate: "it holds no certificate in PEM form"
    case .malformedCertificate(let number, let reason): "certificate \(number) in it cannot be read: \(reason)"
    case .noKey: "it holds no private key in PEM form"
    case .encryptedKey: "the key in it is encrypted"
    case .malformedKey(let reason): "the key in it cannot be read: \(reason)"
    case .mismatch(.some(let number)):
      "its first certificate is not the key's own, which stands there as number \(number)"
    case .mismatch(nil): "the key in it does not belong to the certificate"
    case .unusable(let reason): "OpenSSL does not take the certificate: \(reason)"
    case .outOfMemory: "out of memory"
    }
  }

  /// What to do about it, where that is one thing.
  var hint: String? {
    switch self {
    case .encryptedKey: "decrypt it: openssl pkey -in KEY -out PLAIN, readable by Edge only"
    case .mismatch(.some): "put the listener's own certificate in front of those that lead on from it"
    default: nil
    }
  }
}

/// A certificate with its chain and its key, which belong together. Never changes after it is made.
final class TLSIdentity: Sendable {
  fileprivate nonisolated(unsafe) let certificates: [OpaquePointer]  // complete when made, references are atomics
  fileprivate nonisolated(unsafe) let key: OpaquePointer  // likewise
  /// Unix seconds before which and after which clients refuse it.
  let notBefore: Int
  let notAfter: Int

  /// The first certificate of a PEM text is the listener's own; what stands between is skipped.
  init(certificates pem: UnsafeRawBufferPointer, key text: UnsafeRawBufferPointer) throws(TLSIdentityError) {
    defer { ERR_clear_error() }
    let certificates = try TLSIdentity.certificates(pem)
    let key: OpaquePointer
    do throws(TLSIdentityError) { key = try TLSIdentity.key(text) } catch {
      for certificate in certificates { X509_free(certificate) }
      throw error
    }
    self.certificates = certificates
    self.key = key
    notBefore = TLSIdentity.seconds(X509_get0_notBefore(certificates[0]))
    notAfter = TLSIdentity.seconds(X509_get0_notAfter(certificates[0]))
    let owner = certificates.firstIndex { X509_check_private_key($0, key) == 1 }
    if owner != 0 { throw .mismatch(belongsTo: owner.map { $0 + 1 }) }
  }

  deinit {
    for certificate in certificates { X509_free(certificate) }
    EVP_PKEY_free(key)
  }

  /// Calls `body` with the encoding (DER) of each certificate, the listener's own first.
  func forEachEncoded(_ body: (UnsafeRawBufferPointer) -> Void) {
    for certificate in certificates {
      var bytes: UnsafeMutablePointer<UInt8>?
      let count = i2d_X509(certificate, &bytes)
      if count > 0 { body(UnsafeRawBufferPointer(start: bytes, count: Int(count))) }
      CRYPTO_free(bytes, #file, #line)
    }
  }

  /// At least one.
  private static func certificates(_ pem: UnsafeRawBufferPointer) throws(TLSIdentityError) -> [OpaquePointer] {
    if pem.isEmpty { throw .noCertificate }
    guard let source = BIO_new_mem_buf(pem.baseAddress, Int32(clamping: pem.count)) else { throw .outOfMemory }
    defer { BIO_free(source) }
    var found: [OpaquePointer] = []
    while true {
      ERR_clear_error()
      if let certificate = PEM_read_bio_X509_AUX(source, nil, nil, nil) {
        found.append(certificate)
        continue
      }
      let error = ERR_peek_last_error()
      let isEnd = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE
      if isEnd, !found.isEmpty { return found }
      let number = found.count + 1
      for certificate in found { X509_free(certificate) }
      if isEnd { throw .noCertificate }
      throw .malformedCertificate(number, reason: TLSReason.text(ERR_peek_error()) ?? "not a certificate")
    }
  }

  /// Ends the first line of every private key in PEM form.
  private static let keyMark = Array("PRIVATE KEY-----".utf8)

  private static func key(_ text: UnsafeRawBufferPointer) throws(TLSIdentityError) -> OpaquePointer {
    if text.isEmpty { throw .noKey }
    guard let source = BIO_new_mem_buf(text.baseAddress, Int32(clamping: text.count)) else { throw .outOfMemory }
    defer { BIO_free(source) }
    ERR_clear_error()
    var wasAsked = false
    let key = withUnsafeMutablePointer(to: &wasAsked) { wasAsked in
      PEM_read_bio_PrivateKey(
        source, nil,
        { _, _, _, wasAsked in
          // Nobody is there to be asked for a passphrase.
          wasAsked?.assumingMemoryBound(to: Bool.self).pointee = true
          return -1
        }, wasAsked)
    }
    if let key { return key }
    if wasAsked { throw .encryptedKey }
    // OpenSSL's errors do not tell a file without a key from one whose key is damaged.
    guard let base = text.baseAddress, text.count >= keyMark.count,
      (0...(text.count - keyMark.count)).contains(where: { memcmp(base + $0, keyMark, keyMark.count) == 0 })
    else { throw .noKey }
    throw .malformedKey(reason: TLSReason.text(ERR_peek_error()) ?? "not a private key")
  }

  private static func seconds(_ time: UnsafePointer<ASN1_TIME>?) -> Int {
    var parts = tm()
    guard let time, ASN1_TIME_to_tm(time, &parts) == 1 else { return 0 }
    return timegm(&parts)
  }
}

/// How one worker takes connections at listeners with one identity. Each worker has contexts of its own, because
/// OpenSSL 3.0 counts references to a context on every connection, and a copy of the key, because signing with one
/// that others use too waits for them.
final class TLSServerContext: Sendable {
  private nonisolated(unsafe) let context: OpaquePointer  // set up here, then used by one worker only

  /// Mozilla's intermediate groups.
  private static let groups = "X25519:P-256:P-384"

  /// A context for an identity; the error is `unusable` or `outOfMemory`.
  init(_ identity: TLSIdentity) throws(TLSIdentityError) {
    ERR_clear_error()
    defer { ERR_clear_error() }
    guard let context = SSL_CTX_new(TLS_server_method()) else { throw .outOfMemory }
    TLSServerContext.setUp(context)
    guard edge_SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1,
      edge_SSL_CTX_set1_groups_list(context, TLSServerContext.groups) == 1,
      // The client's order counts: it knows whether its hardware has AES.
      SSL_CTX_set_cipher_list(context, TLSCiphers.intermediate) == 1,
      TLSServerContext.use(identity, context)
    else {
      let reason = TLSReason.text(ERR_peek_error())
      SSL_CTX_free(context)
      throw reason.map { .unusable(reason: $0) } ?? .outOfMemory
    }
    self.context = context
  }

  deinit { SSL_CTX_free(context) }

  private static func setUp(_ context: OpaquePointer) {
    // Without the last, every handshake with a certificate that has no chain would look for one.
    edge_SSL_CTX_set_mode(
      context,
      UInt(
        SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
          | SSL_MODE_NO_AUTO_CHAIN))
    edge_SSL_CTX_set_read_ahead(context, 1)
    edge_SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF)
    edge_SSL_CTX_refuse_renegotiation(context)
    edge_SSL_CTX_refuse_resumption(context)
    SSL_CTX_set_verify(context, Int32(SSL_VERIFY_NONE), nil)
    SSL_CTX_set_alpn_select_cb(
      context,
      { _, chosen, chosenCount, offered, offeredCount, _ in
        guard let offered, let place = TLSServerContext.protocolPlace(offered, Int(offeredCount)) else {
          return SSL_TLSEXT_ERR_ALERT_FATAL
        }
        chosen?.pointee = offered + place
        chosenCount?.pointee = UInt8(TLSStream.protocolName.count)
        return SSL_TLSEXT_ERR_OK
      }, nil)
  }

  /// Where HTTP/1.1 stands in a list of names, each behind its length; nil: nowhere.
  private static func protocolPlace(_ offered: UnsafePointer<UInt8>, _ count: Int) -> Int? {
    var place = 0
    while place < count {
      let length = Int(offered[place])
      let name = UnsafeBufferPointer(start: offered + place + 1, count: min(length, count - place - 1))
      if name.elementsEqual(TLSStream.protocolName) { return place + 1 }
      place += 1 + length
    }
    return nil
  }

  private static func use(_ identity: TLSIdentity, _ context: OpaquePointer) -> Bool {
    guard let key = EVP_PKEY_dup(identity.key) else { return false }
    defer { EVP_PKEY_free(key) }
    guard SSL_CTX_use_certificate(context, identity.certificates[0]) == 1, SSL_CTX_use_PrivateKey(context, key) == 1
    else { return false }
    return identity.certificates.dropFirst().allSatisfy { edge_SSL_CTX_add1_chain_cert(context, $0) == 1 }
  }

  /// A stream over an accepted, non-blocking socket, which stays the caller's to close; nil when there is no memory.
  /// It keeps what it needs of the context.
  func open(fd: Int32) -> TLSStream? {
    ERR_clear_error()
    guard let stream = SSL_new(context) else { return nil }
    guard SSL_set_fd(stream, fd) == 1 else {
      SSL_free(stream)
      return nil
    }
    SSL_set_accept_state(stream)
    return TLSStream(stream)
  }
}
