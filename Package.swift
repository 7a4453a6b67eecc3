// swift-tools-version: 6.2
import PackageDescription

/// Exclusivity checks stay on in debug and test builds, where they find violations. In release they cost a runtime call
/// on every class field of the hot path, and a longjmp over an open access corrupts the runtime's access list.
let swift: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release)),
]

let package = Package(
  name: "edge",
  products: [.executable(name: "edge", targets: ["EdgeMain"])],
  targets: [
    // C libraries of the system: module maps and header shims only.
    .systemLibrary(name: "CLinux", path: "Sources/CLinux"),
    .systemLibrary(name: "COpenSSL", path: "Sources/COpenSSL", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CYAML", path: "Sources/CYAML", providers: [.apt(["libyaml-dev"])]),
    .systemLibrary(name: "CSQLite", path: "Sources/CSQLite", providers: [.apt(["libsqlite3-dev"])]),

    // Lua raises errors by jumping; everything that may raise stands in C. Valgrind does not read newer debug
    // information, and ThreadSanitizer loses count of the frames that a jump leaves behind.
    .target(
      name: "CLua", cSettings: [.unsafeFlags(["-Wall", "-Wextra", "-gdwarf-4", "-fno-sanitize=thread"])],
      linkerSettings: [.linkedLibrary("lua5.4")]),

    .target(name: "YAML", dependencies: ["CYAML"], swiftSettings: swift),
    .target(name: "LuaBridge", dependencies: ["CLua"], swiftSettings: swift),
    .target(name: "Edge", dependencies: ["CLinux", "COpenSSL", "CSQLite", "YAML", "LuaBridge"], swiftSettings: swift),
    .executableTarget(name: "EdgeMain", dependencies: ["Edge"], swiftSettings: swift),

    .testTarget(name: "YAMLTests", dependencies: ["YAML"], swiftSettings: swift),
    .testTarget(name: "LuaBridgeTests", dependencies: ["LuaBridge"], swiftSettings: swift),
    .testTarget(name: "EdgeTests", dependencies: ["Edge", "COpenSSL", "CSQLite", "LuaBridge"], swiftSettings: swift),
    .testTarget(name: "TidyTests", path: "Tests/Tidy", swiftSettings: swift),
  ]
)
