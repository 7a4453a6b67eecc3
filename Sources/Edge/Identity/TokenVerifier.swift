// Who a bearer token says is calling, if it may be believed: JWT (RFC 7519) signed with HMAC-SHA-256.
//
// Owns: the order of the checks (structure, signature, then claims), the prepared keys, the cache of good tokens. One
// per worker and generation, so that a reload with other keys believes no token on the word of the old ones.
// Called by: policies (`edge.jwt`).
// Never: takes another algorithm than HS256 whatever a header asks for, looks at claims before the signature is good,
// remembers a refused token, or says anything of a token's content in a refusal.

import Glibc

/// Verifies tokens. The clock is the caller's.
final class TokenVerifier {
  private let arena = Arena()
  private let document = JSONDocument(capacity: 256)
  private let keys: [KeyedHash]
  /// The same as `keys`, without a retain for each use.
  private let keyCount: Int
  private let issuer: StaticBytes?
  private let audiences: UnsafeMutablePointer<StaticBytes>
  private let audienceCount: Int
  private let userClaims: UnsafeMutablePointer<StaticBytes>
  private let userClaimCount: Int
  private let roleClaims: UnsafeMutablePointer<StaticBytes>
  private let roleClaimCount: Int
  private let requiresExpiry: Bool
  private let leeway: Int64
  private var cache: TokenCache
  /// Decoded parts of the token at hand.
  private let scratch: BytePointer
  /// What a token says that has no slot in the cache.
  private let loose: UnsafeMutableRawPointer
  /// Nodes of the role claim.
  private let roleNodes: UnsafeMutablePointer<Int>

  /// nil without keys, and when OpenSSL or the kernel refuses.
  init?(_ rules: TokenRules) {
    let keys = rules.keys.compactMap { key in
      key.withUnsafeBufferPointer { KeyedHash(key: $0.baseAddress ?? StaticBytes.empty.start, $0.count) }
    }
    guard !keys.isEmpty, keys.count == rules.keys.count, let cache = TokenCache() else { return nil }
    self.keys = keys
    self.cache = cache
    keyCount = keys.count
    let arena = arena
    func kept(_ bytes: [UInt8]) -> StaticBytes {
      StaticBytes(start: UnsafePointer(arena.copy(bytes)), count: bytes.count)
    }
    issuer = rules.issuer.map(kept)
    audiences = arena.copy(rules.audiences.map(kept))
    audienceCount = rules.audiences.count
    userClaims = arena.copy(rules.userClaims.map { arena.text($0) })
    userClaimCount = rules.userClaims.count
    roleClaims = arena.copy(rules.roleClaims.map { arena.text($0) })
    roleClaimCount = rules.roleClaims.count
    requiresExpiry = rules.requiresExpiry
    leeway = Int64(max(0, rules.leewaySeconds))
    scratch = arena.allocate(UInt8.self, count: Base64.decodedCountMax(TokenRules.tokenBytesMax))
    loose = UnsafeMutableRawPointer(arena.allocate(UInt8.self, count: Self.looseBytes))
    roleNodes = arena.allocate(Int.self, count: TokenRules.rolesMax)
  }

  /// The token itself is not kept there: its claims, names with their escapes resolved, and the list of roles.
  private static let looseBytes =
    MemoryLayout<VerifiedToken>.stride + TokenRules.rolesMax * MemoryLayout<StaticBytes>.stride
    + 2 * TokenRules.tokenBytesMax

  /// What the token says, at this time of the wall clock. Allocates nothing for a token in the cache; for another one
  /// only OpenSSL does, twice for each key that is tried.
  func verify(_ token: UnsafePointer<UInt8>, _ count: Int, wallSeconds: Int64) -> TokenVerdict {
    if count > TokenRules.tokenBytesMax { return .refused(.tooLong) }
    let hash = cache.hash(token, count)
    if let known = cache.find(hash, token, count) {
      if let fault = timeFault(known.pointee, wallSeconds) {
        if fault == .expired { cache.forget(known) }
        return .refused(fault)
      }
      return .valid(UnsafePointer(known))
    }
    do throws(TokenFault) {
      let claimsCount = try authenticate(token, count)
      return .valid(try read(claims: claimsCount, of: token, count, hash, wallSeconds))
    } catch {
      return .refused(error)
    }
  }

  /// How many tokens are remembered.
  var cachedCount: Int { cache.count }

  /// Tests make all tokens collide in the cache.
  func collideAll() { cache.hashMask = 0 }

  private func timeFault(_ token: VerifiedToken, _ now: Int64) -> TokenFault? {
    let (last, isLate) = token.expires.addingReportingOverflow(leeway)
    if !isLate, now >= last { return .expired }
    let (first, isEarly) = token.notBefore.subtractingReportingOverflow(leeway)
    if !isEarly, now < first { return .notYetValid }
    return nil
  }

  // MARK: structure and signature

  /// Checks everything but the claims, and leaves their decoded bytes in `scratch`: answers how many there are.
  func authenticate(_ token: UnsafePointer<UInt8>, _ count: Int) throws(TokenFault) -> Int {
    if count > TokenRules.tokenBytesMax { throw .tooLong }
    guard let firstDot = memchr(token, 0x2e, count) else { throw .malformed }
    let payload = UnsafePointer(firstDot.assumingMemoryBound(to: UInt8.self)) + 1
    let end = token + count
    guard let secondDot = memchr(payload, 0x2e, end - payload) else { throw .malformed }
    let signature = UnsafePointer(secondDot.assumingMemoryBound(to: UInt8.self)) + 1
    if memchr(signature, 0x2e, end - signature) != nil { throw .malformed }
    try check(header: token, payload - 1 - token)
    try check(signature: signature, end - signature, of: token, signature - 1 - token)
    guard let decoded = Base64.decodeURL(payload, signature - 1 - payload, into: scratch) else { throw .malformed }
    return decoded
  }

  private func check(header: UnsafePointer<UInt8>, _ count: Int) throws(TokenFault) {
    guard let decoded = Base64.decodeURL(header, count, into: scratch) else { throw .malformed }
    guard (try? document.read(scratch, decoded)) != nil, document.kind(0) == .map else { throw .malformed }
    // Comparing each key with each is cheap for as many as this.
    if document[0].members > TokenRules.headerPairsMax || document.hasDuplicates(in: 0) { throw .malformed }
    guard case .found(let algorithm) = document.value(of: "alg", in: 0) else { throw .malformed }
    if !document.isString(algorithm, "HS256") { throw .unsupportedAlgorithm }
    // What `crit` names must be understood, and nothing is; `b64` would change what is signed (RFC 7797).
    if document.value(of: "crit", in: 0) != .missing || document.value(of: "b64", in: 0) != .missing {
      throw .unsupportedHeader
    }
    if case .found(let type) = document.value(of: "typ", in: 0) {
      guard document.kind(type) == .string else { throw .malformed }
      let name = document.content(type)
      guard let start = name.baseAddress,
        equalLowered(start, name.count, "jwt") || equalLowered(start, name.count, "at+jwt")
      else { throw .unsupportedHeader }
    }
  }

  private func check(
    signature: UnsafePointer<UInt8>, _ count: Int, of signed: UnsafePointer<UInt8>, _ signedCount: Int
  ) throws(TokenFault) {
    guard let decoded = Base64.decodeURL(signature, count, into: scratch) else { throw .malformed }
    if decoded != KeyedHash.byteCount { throw .badSignature }
    let expected = scratch + KeyedHash.byteCount
    for index in 0..<keyCount where keys[index].hash(signed, signedCount, into: expected) {
      if ConstantTime.areEqual(scratch, expected, KeyedHash.byteCount) { return }
    }
    throw .badSignature
  }

  // MARK: claims

  private func read(
    claims count: Int, of token: UnsafePointer<UInt8>, _ tokenCount: Int, _ hash: UInt64, _ wallSeconds: Int64
  ) throws(TokenFault) -> UnsafePointer<VerifiedToken> {
    guard (try? document.read(scratch, count)) != nil, document.kind(0) == .map else { throw .badClaims }
    var verified = VerifiedToken(roles: UnsafePointer(audiences))
    if let expiry = try time("exp") {
      verified.expires = Self.seconds(expiry, .down)
    } else if requiresExpiry {
      throw .noExpiry
    }
    if let notBefore = try time("nbf") { verified.notBefore = Self.seconds(notBefore, .up) }
    // When it was issued decides nothing, but must be a time.
    _ = try time("iat")
    if let fault = timeFault(verified, wallSeconds) { throw fault }
    try checkIssuer()
    try checkAudience()
    let user = try userNode()
    verified.roleCount = try readRoles()

    let room = roomNeeded(user, verified.roleCount, claims: count)
    if let slot = cache.place(hash, token, tokenCount, bytes: room) {
      (verified.place, verified.serial) = (slot.place, slot.serial)
      fill(slot.token, slot.room, room, verified, user, claims: count)
      return UnsafePointer(slot.token)
    }
    let place = loose.assumingMemoryBound(to: VerifiedToken.self)
    fill(place, loose + MemoryLayout<VerifiedToken>.stride, room, verified, user, claims: count)
    return UnsafePointer(place)
  }

  /// A claim that must not stand there twice.
  private func claim(_ name: StaticBytes) throws(TokenFault) -> Int? {
    switch document.value(of: name, in: 0) {
    case .missing: return nil
    case .found(let node): return node
    case .duplicate: throw .duplicateClaim
    }
  }

  private func time(_ name: StaticString) throws(TokenFault) -> JSONNumber? {
    guard let node = try claim(StaticBytes(name)) else { return nil }
    guard let number = document.number(node) else { throw .badClaims }
    return number
  }

  /// Whole seconds: `exp` earlier and `nbf` later rather than the other way round.
  private static func seconds(_ number: JSONNumber, _ rounding: FloatingPointRoundingRule) -> Int64 {
    switch number {
    case .integer(let seconds): return seconds
    case .double(let seconds):
      let whole = seconds.rounded(rounding)
      return Int64(exactly: whole) ?? (whole < 0 ? .min : .max)
    }
  }

  private func checkIssuer() throws(TokenFault) {
    guard let issuer else { return }
    guard let node = try claim(StaticBytes("iss")), document.isString(node, issuer.start, issuer.count) else {
      throw .wrongIssuer
    }
  }

  private func checkAudience() throws(TokenFault) {
    if audienceCount == 0 { return }
    guard let node = try claim(StaticBytes("aud")) else { throw .wrongAudience }
    var isMeant = false
    switch document.kind(node) {
    case .string: isMeant = isAudience(node)
    case .list:
      for member in document.elements(of: node) {
        guard document.kind(member) == .string else { throw .badClaims }
        isMeant = isMeant || isAudience(member)
      }
    default: throw .badClaims
    }
    if !isMeant { throw .wrongAudience }
  }

  private func isAudience(_ node: Int) -> Bool {
    for index in 0..<audienceCount where document.isString(node, audiences[index].start, audiences[index].count) {
      return true
    }
    return false
  }

  /// The string or whole number that names the user.
  private func userNode() throws(TokenFault) -> Int {
    for index in 0..<userClaimCount {
      guard let node = try claim(userClaims[index]) else { continue }
      switch document.kind(node) {
      case .string: guard isName(node) else { throw .badUser }
      case .number:
        guard document[node].isWhole, document[node].count <= TokenRules.nameBytesMax else { throw .badUser }
      default: throw .badUser
      }
      return node
    }
    throw .noUser
  }

  /// Puts the nodes of the roles into `roleNodes` and answers how many there are. One string is one role.
  private func readRoles() throws(TokenFault) -> Int {
    for index in 0..<roleClaimCount {
      guard let node = try claim(roleClaims[index]) else { continue }
      if isName(node) {
        roleNodes[0] = node
        return 1
      }
      guard document.kind(node) == .list, document[node].members <= TokenRules.rolesMax else { throw .badRoles }
      var count = 0
      for member in document.elements(of: node) {
        guard isName(member) else { throw .badRoles }
        roleNodes[count] = member
        count += 1
      }
      return count
    }
    return 0
  }

  private func isName(_ node: Int) -> Bool {
    document.kind(node) == .string && TokenRules.isName(JSONStringBytes(content: document.content(node)))
  }

  // MARK: what is kept

  /// Bytes that `fill` takes: the list of roles, the claims, and a copy of each name that has an escape.
  private func roomNeeded(_ user: Int, _ roleCount: Int, claims: Int) -> Int {
    var bytes = roleCount * MemoryLayout<StaticBytes>.stride + claims
    if document[user].hasEscape { bytes += Int(document[user].count) }
    for index in 0..<roleCount where document[roleNodes[index]].hasEscape {
      bytes += Int(document[roleNodes[index]].count)
    }
    return bytes
  }

  private func fill(
    _ place: UnsafeMutablePointer<VerifiedToken>, _ memory: UnsafeMutableRawPointer, _ room: Int,
    _ token: VerifiedToken, _ user: Int, claims count: Int
  ) {
    let roles = memory.bindMemory(to: StaticBytes.self, capacity: token.roleCount)
    let claims = (memory + token.roleCount * MemoryLayout<StaticBytes>.stride).assumingMemoryBound(to: UInt8.self)
    memcpy(claims, scratch, count)
    // No name is longer than its text, so the room computed before suffices.
    let end = memory + room
    var names = ByteWriter(base: claims + count, capacity: end - UnsafeMutableRawPointer(claims + count))
    func kept(_ node: Int) -> StaticBytes {
      let value = document[node]
      if value.kind == .number { return StaticBytes(start: claims + Int(value.start), count: Int(value.count)) }
      if !value.hasEscape { return StaticBytes(start: claims + Int(value.start) + 1, count: Int(value.count) - 2) }
      let start = names.end
      names.append(unescaped: node, of: document)
      return StaticBytes(start: UnsafePointer(start), count: names.end - start)
    }
    var token = token
    token.user = kept(user)
    for index in 0..<token.roleCount { roles[index] = kept(roleNodes[index]) }
    token.roles = UnsafePointer(roles)
    token.claims = StaticBytes(start: UnsafePointer(claims), count: count)
    place.initialize(to: token)
  }
}
