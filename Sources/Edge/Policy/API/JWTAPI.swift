// `edge.jwt`: tokens are verified here and nowhere else. A script hands over what `req.credential` gave it, which it
// cannot read itself.

import Glibc
import LuaBridge

/// The rows of `edge.jwt`.
enum JWTAPI {
  static let rows = [
    HostRow(
      "edge.jwt.verify", "edge.jwt.verify(credential)",
      "Verifies a token: `{user=, roles={…}, expires=}`, read-only, or nil and what is wrong with it.", verify),
    HostRow(
      "edge.jwt.claims", "edge.jwt.claims(credential)",
      "Verifies a token: all its claims, or nil and what is wrong with it.", claims),
  ]

  private static let verify: HostFunction = { state, context, result in
    let call = HostCall(state, result)
    let answer = PolicyHost.with(context) { host in
      switch host.verified(call) {
      case .refused(let problem): call.values(.nothing, .string(problem.utf8Start, problem.utf8CodeUnitCount))
      case .valid(let token): host.principal(token, call)
      }
    }
    return answer ?? call.nothing()
  }

  private static let claims: HostFunction = { state, context, result in
    let call = HostCall(state, result)
    guard let host = PolicyHost.of(context) else { return call.nothing() }
    switch host.verified(call) {
    case .refused(let problem): return call.values(.nothing, .string(problem.utf8Start, problem.utf8CodeUnitCount))
    case .valid(let token):
      return host.values(ofJSON: token.pointee.claims.start, token.pointee.claims.count, call)
        ?? call.values(.nothing, .string("malformed"))
    }
  }
}

/// What became of a token.
private enum VerifiedCredential {
  case valid(UnsafePointer<VerifiedToken>)
  case refused(StaticString)
}

extension PolicyHost {
  fileprivate func verified(_ call: HostCall) -> VerifiedCredential {
    let token: UnsafeBufferPointer<UInt8>
    if let text = call.string(1) {
      token = text
    } else if call.object(1) == HostObject.credential {
      switch credential {
      case nil, .some(.none): return .refused("no credential")
      case .some(.foreign): return .refused("unsupported scheme")
      case .some(.conflict): return .refused("two credentials")
      case .some(.one(let bytes)): token = bytes
      }
    } else {
      return .refused("no credential")
    }
    guard let start = token.baseAddress else { return .refused(TokenFault.malformed.text) }
    switch verifier.verify(start, token.count, wallSeconds: Int64(wallNanoseconds / 1_000_000_000)) {
    case .valid(let verified): return .valid(verified)
    case .refused(let fault): return .refused(fault.text)
    }
  }

  /// `{user=, roles={…}, expires=}`, read-only. What a remembered token says is made once for the machine.
  fileprivate func principal(_ token: UnsafePointer<VerifiedToken>, _ call: HostCall) -> Int32 {
    guard let area = flat.baseAddress else { return call.nothing() }
    let (place, serial) = (Int(token.pointee.place), token.pointee.serial)
    if serial != 0, call.keeps(place, serial: serial) { return call.value(.kept(place)) }
    // Without a place it goes with the request; it is read-only all the same.
    area[0] = .keep(serial == 0 ? LuaValue.keptMax : place, serial: serial)
    let hasEnd = token.pointee.expires != .max
    area[1] = .map(hasEnd ? 3 : 2)
    area[2] = .constant("user")
    area[3] = .string(token.pointee.user.start, token.pointee.user.count)
    area[4] = .constant("roles")
    // Who has no role is a user.
    area[5] = .list(max(1, token.pointee.roleCount))
    area[6] = .constant("user")
    for index in 0..<token.pointee.roleCount {
      area[6 + index] = .string(token.pointee.roles[index].start, token.pointee.roles[index].count)
    }
    let count = 6 + max(1, token.pointee.roleCount)
    if hasEnd {
      area[count] = .constant("expires")
      area[count + 1] = .integer(Int(token.pointee.expires))
    }
    return call.values(at: UnsafePointer(area), count: 1)
  }
}
