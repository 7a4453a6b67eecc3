import Testing

@testable import Edge

struct SecretFinderTests {
  private static let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln-_x"

  static let hidden = [
    (token, "***"), ("/a/\(token)/b", "/a/***/b"), ("a=\(token)&b", "a=***&b"), ("%22\(token)%22", "%22***%22"),
    ("/eyJhbGciOiJIUzI1NiJ9.eyJzdWI", "/***"), ("\(token)\(token) \(token)", "*** ***"),
    ("/v;token=abc/d?x", "/v;token=***"), ("/v%3Ftoken=abc%26b=c", "/v%3Ftoken=***%26b=c"), ("token=", "token=***"),
    ("a?TOKEN=abc&code=1;d", "a?TOKEN=***&code=***;d"),
    ("access_token=a api_key='b'", "access_token=*** api_key=***'b'"),
    ("%3ftoken%3dabc", "%3ftoken%3d***"), ("line 3: token=a\tb", "line 3: token=***\tb"),
  ]

  @Test(arguments: hidden) func credentialsAreConcealed(_ text: String, _ shown: String) {
    #expect(SecretFinder.conceal(text) == shown)
  }

  @Test(arguments: [
    "", "/", "/v1/chat/completions", "/eyJ", "/eyJabc/d", "/keyJa.b", "zipcode=1", "tokens=1", "/token/a", "token", "=",
    "%", "%3", "%3D", "code%3", "100%", "broken=1", "a=token",
  ]) func othersStay(_ text: String) {
    #expect(SecretFinder.conceal(text) == text)
  }
}
