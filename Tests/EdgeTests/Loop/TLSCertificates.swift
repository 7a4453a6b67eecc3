// Certificates made while the tests run, by OpenSSL itself: no keys lie in the repository and none expires.

import COpenSSL
import Testing

/// A key with its certificate, which may sign others.
final class TestCertificate {
  let certificate: OpaquePointer
  let key: OpaquePointer

  /// What differs from certificate to certificate.
  struct Traits {
    var commonName = "test"
    /// As OpenSSL's configuration has it: `DNS:a.test,IP:127.0.0.1`; nil for no such extension.
    var alternativeNames: String?
    var isAuthority = false
    /// Seconds from now.
    var notBefore = -3_600
    var notAfter = 3_600
    /// Of an RSA key; 0: the key is on the curve P-256.
    var rsaBits: Int32 = 0
  }

  /// Signed by `issuer`, or by itself.
  init(_ traits: Traits, issuer: TestCertificate? = nil) throws {
    key = try TestCertificate.makeKey(traits.rsaBits)
    certificate = try #require(X509_new())
    X509_set_version(certificate, 2)
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), Int.random(in: 1...Int(Int32.max)))
    X509_gmtime_adj(X509_getm_notBefore(certificate), traits.notBefore)
    X509_gmtime_adj(X509_getm_notAfter(certificate), traits.notAfter)
    X509_set_pubkey(certificate, key)
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC, traits.commonName, -1, -1, 0)
    X509_set_issuer_name(certificate, X509_get_subject_name(issuer?.certificate ?? certificate))
    try add(NID_basic_constraints, traits.isAuthority ? "critical,CA:TRUE" : "CA:FALSE", issuer)
    if let names = traits.alternativeNames { try add(NID_subject_alt_name, names, issuer) }
    try #require(X509_sign(certificate, issuer?.key ?? key, EVP_sha256()) > 0)
  }

  deinit {
    X509_free(certificate)
    EVP_PKEY_free(key)
  }

  /// A root that nobody signed but itself.
  static func authority(_ name: String = "test root") throws -> TestCertificate {
    try TestCertificate(Traits(commonName: name, isAuthority: true))
  }

  /// A certificate for names, signed by this one.
  func issue(_ names: String?, notBefore: Int = -3_600, notAfter: Int = 3_600) throws -> TestCertificate {
    try TestCertificate(Traits(alternativeNames: names, notBefore: notBefore, notAfter: notAfter), issuer: self)
  }

  /// An authority signed by this one.
  func issueAuthority(_ name: String) throws -> TestCertificate {
    try TestCertificate(Traits(commonName: name, isAuthority: true), issuer: self)
  }

  /// The certificate as text.
  var pem: [UInt8] {
    guard let sink = BIO_new(BIO_s_mem()) else { return [] }
    defer { BIO_free(sink) }
    PEM_write_bio_X509(sink, certificate)
    var bytes = [UInt8](repeating: 0, count: 16_384)
    let count = BIO_read(sink, &bytes, Int32(bytes.count))
    return Array(bytes.prefix(Int(max(0, count))))
  }

  /// The key as text, under a passphrase if there is one.
  func keyPEM(passphrase: String? = nil) -> [UInt8] {
    guard let sink = BIO_new(BIO_s_mem()) else { return [] }
    defer { BIO_free(sink) }
    if let passphrase {
      PEM_write_bio_PrivateKey(
        sink, key, EVP_aes_128_cbc(), Array(passphrase.utf8), Int32(passphrase.utf8.count), nil, nil)
    } else {
      PEM_write_bio_PrivateKey(sink, key, nil, nil, 0, nil, nil)
    }
    var bytes = [UInt8](repeating: 0, count: 16_384)
    let count = BIO_read(sink, &bytes, Int32(bytes.count))
    return Array(bytes.prefix(Int(max(0, count))))
  }

  private static func makeKey(_ rsaBits: Int32) throws -> OpaquePointer {
    let context = try #require(EVP_PKEY_CTX_new_id(rsaBits > 0 ? EVP_PKEY_RSA : EVP_PKEY_EC, nil))
    defer { EVP_PKEY_CTX_free(context) }
    var key: OpaquePointer?
    try #require(EVP_PKEY_keygen_init(context) == 1)
    if rsaBits > 0 {
      try #require(EVP_PKEY_CTX_set_rsa_keygen_bits(context, rsaBits) == 1)
      try #require(EVP_PKEY_keygen(context, &key) == 1)
      return try #require(key)
    }
    try #require(EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, NID_X9_62_prime256v1) == 1)
    try #require(EVP_PKEY_keygen(context, &key) == 1)
    return try #require(key)
  }

  private func add(_ kind: Int32, _ value: String, _ issuer: TestCertificate?) throws {
    var context = X509V3_CTX()
    X509V3_set_ctx(&context, issuer?.certificate ?? certificate, certificate, nil, nil, 0)
    let part = try #require(X509V3_EXT_conf_nid(nil, &context, kind, value))
    defer { X509_EXTENSION_free(part) }
    try #require(X509_add_ext(certificate, part, -1) == 1)
  }
}
