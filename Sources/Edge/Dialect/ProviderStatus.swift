// What becomes of a provider's HTTP status: the same for all dialects.
// Called by the driver when the head of a provider's answer is there.

/// What the status of a provider's answer means for the client.
enum ProviderStatus: BitwiseCopyable, Equatable {
  /// It is an answer, and passes.
  case answers
  /// The request is at fault; what the provider says about it passes, and costs nothing.
  case refuses
  /// The client gets this error in place of what the provider says, which is about Edge's own account or about the
  /// provider.
  case fails(ErrorCode)

  init(status: UInt16) {
    switch status {
    case 200...299: self = .answers
    case 400, 413, 422: self = .refuses
    case 404: self = .fails(.modelNotFound)
    case 429: self = .fails(.rateLimitExceeded)
    default: self = .fails(.providerError)
    }
  }

  /// What a client of another dialect is told where the request is at fault.
  static func code(refusedWith status: UInt16) -> ErrorCode {
    switch status {
    case 413: .messageTooLarge
    case 422: .contentRejected
    default: .invalidRequest
    }
  }

  /// What a status says about an answer that is none.
  static func code(of status: UInt16) -> ErrorCode {
    switch ProviderStatus(status: status) {
    case .answers: .providerError
    case .refuses: code(refusedWith: status)
    case .fails(let code): code
    }
  }

  /// The status that says the same as an error within an answer.
  static func status(of code: ErrorCode) -> UInt16 {
    switch code {
    case .invalidRequest: 400
    case .modelNotFound: 404
    case .messageTooLarge: 413
    case .contentRejected: 422
    case .rateLimitExceeded: 429
    default: 502
    }
  }

  /// The provider's own head and body go to the client.
  var passes: Bool {
    switch self {
    case .answers, .refuses: true
    case .fails: false
    }
  }
}
