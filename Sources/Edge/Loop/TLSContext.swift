// TLS towards services: what is trusted, and how connections are opened. Made off the loops, a trust store once per
// file and a context once per store and worker; a worker then opens one stream per connection. Nothing here waits,
// and nothing reads files.

import COpenSSL
import Glibc

/// Why there is no trust store.
enum TrustError: Error, Equatable {
  /// There is no certificate in the text.
  case empty
  /// What begins like a certificate is none; counted from 1.
  case malformed(certificate: Int, reason: String)
  case outOfMemory

  /// The reason in words.
  var reason: String {
    switch self {
    case .empty: "it holds no certificate in PEM form"
    case .malformed(let number, let reason): "certificate \(number) in it cannot be read: \(reason)"
    case .outOfMemory: "out of memory"
    }
  }
}

/// The certificates that a service's chain may end in. Whatever stands in the file is trusted as it is, also when it
/// is not self-signed. Never changes after it is made; all contexts of all workers share it.
final class TrustStore: Sendable {
  fileprivate nonisolated(unsafe) let store: OpaquePointer  // complete when made; OpenSSL locks its own look-ups

  /// A store of every certificate in a PEM text; what stands between them is skipped.
  init(pem: [UInt8]) throws(TrustError) {
    guard let store = X509_STORE_new() else { throw .outOfMemory }
    let error = pem.withUnsafeBytes { TrustStore.fill(store, $0) }
    ERR_clear_error()
    if let error {
      X509_STORE_free(store)
      throw error
    }
    _ = X509_STORE_set_flags(store, UInt(X509_V_FLAG_PARTIAL_CHAIN))
    self.store = store
  }

  deinit { X509_STORE_free(store) }

  private static func fill(_ store: OpaquePointer, _ pem: UnsafeRawBufferPointer) -> TrustError? {
    if pem.isEmpty { return .empty }
    guard let source = BIO_new_mem_buf(pem.baseAddress, Int32(clamping: pem.count)) else { return .outOfMemory }
    defer { BIO_free(source) }
    var count = 0
    while true {
      ERR_clear_error()
      guard let certificate = PEM_read_bio_X509_AUX(source, nil, nil, nil) else {
        let error = ERR_peek_last_error()
        let isEnd = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE
        if isEnd { return count == 0 ? .empty : nil }
        return .malformed(certificate: count + 1, reason: TLSReason.text(ERR_peek_error()) ?? "not a certificate")
      }
      let isAdded = X509_STORE_add_cert(store, certificate) == 1
      X509_free(certificate)
      if !isAdded { return .outOfMemory }
      count += 1
    }
  }
}

/// Suites for TLS 1.2 that both sides of Edge take.
enum TLSCiphers {
  /// Mozilla's intermediate list without what needs a Diffie-Hellman group of old: a key exchange there costs a server
  /// more than all others, and no client of today needs one.
  static let intermediate =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    + "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
}

/// How one worker opens connections to the services that one store is trusted for. Each worker has contexts of its
/// own, because OpenSSL 3.0 counts references to a context on every connection.
final class TLSClientContext: Sendable {
  private nonisolated(unsafe) let context: OpaquePointer  // set up here, then used by one worker only

  /// Mozilla's intermediate list for TLS 1.2; TLS 1.3 has a list of its own.
  private static let ciphers =
    TLSCiphers.intermediate + ":DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305"

  /// The name and the address texts are copied to the stack; no DNS name is longer than 253 bytes.
  private static let nameBytesMax = 253

  /// A context that trusts `trust`; nil when there is no memory.
  init?(_ trust: TrustStore) {
    ERR_clear_error()
    guard let context = SSL_CTX_new(TLS_client_method()) else { return nil }
    edge_SSL_CTX_set_mode(
      context, UInt(SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER))
    edge_SSL_CTX_set_read_ahead(context, 1)
    edge_SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF)
    edge_SSL_CTX_refuse_renegotiation(context)
    SSL_CTX_set_verify(context, Int32(SSL_VERIFY_PEER), nil)
    SSL_CTX_set1_cert_store(context, trust.store)
    // A length byte, then the name.
    let protocols: [UInt8] = [UInt8(TLSStream.protocolName.count)] + TLSStream.protocolName
    guard edge_SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1,
      SSL_CTX_set_cipher_list(context, TLSClientContext.ciphers) == 1,
      // Unlike its neighbours, this one answers 0 for success.
      SSL_CTX_set_alpn_protos(context, protocols, UInt32(protocols.count)) == 0
    else {
      SSL_CTX_free(context)
      return nil
    }
    self.context = context
  }

  deinit { SSL_CTX_free(context) }

  /// A stream over a connected, non-blocking socket, which stays the caller's to close. The peer's certificate must
  /// be for `name`: an address in its canonical text when `isAddress`, else a DNS name, which is sent as SNI too.
  /// nil when there is no memory or the name is not usable.
  func open(fd: Int32, name: StaticBytes, isAddress: Bool) -> TLSStream? {
    guard (1...TLSClientContext.nameBytesMax).contains(name.count) else { return nil }
    ERR_clear_error()
    guard let stream = SSL_new(context) else { return nil }
    let isReady = withUnsafeTemporaryAllocation(of: CChar.self, capacity: name.count + 1) { text in
      for index in 0..<name.count { text[index] = CChar(bitPattern: name.start[index]) }
      text[name.count] = 0
      guard let text = text.baseAddress, SSL_set_fd(stream, fd) == 1 else { return false }
      if isAddress { return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(stream), text) == 1 }
      // A name stands among the alternative names or not at all: the common name is no name of a server (RFC 9110
      // section 4.3.4).
      SSL_set_hostflags(stream, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT))
      return SSL_set1_host(stream, text) == 1 && edge_SSL_set_tlsext_host_name(stream, text) == 1
    }
    guard isReady else {
      SSL_free(stream)
      return nil
    }
    SSL_set_connect_state(stream)
    return TLSStream(stream)
  }
}
