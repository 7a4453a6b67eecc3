// `edge demo-provider`: the demo provider as a process of its own, for tests and for load. Its address stands alone
// on standard output as soon as it takes connections.
//
// Called by: the command table. Never: reads a configuration.

import Glibc

/// The verb.
enum DemoProviderCommand {
  static let row = CommandRow(
    verb: "demo-provider", summary: "answer like OpenAI and Anthropic on loopback until SIGTERM, without a model",
    options: [
      CommandOption("--port", value: "N", "where to listen on 127.0.0.1 (default \(DemoProvider.usualPort); 0: any)"),
      CommandOption(
        "--gap", value: "MS",
        "milliseconds between two tokens of a stream (default \(DemoProvider.usualGapMilliseconds), at most 60000)"),
    ]
  ) { arguments in
    guard let port = number(arguments, "--port", 0...65_535, usual: Int(DemoProvider.usualPort)),
      let gap = number(arguments, "--gap", 0...60_000, usual: DemoProvider.usualGapMilliseconds)
    else { return ExitCode.usage }
    // Before any thread exists, so that none of them is interrupted.
    guard let signals = SignalSource() else { return refuse("out of file descriptors") }
    do throws(DemoError) {
      let provider = try DemoProvider(port: UInt16(port), gapMilliseconds: gap)
      try provider.start()
      Console.print("http://\(provider.address.text)")
      wait(for: signals)
      provider.end()
      return ExitCode.success
    } catch {
      return refuse(error.message)
    }
  }

  /// Returns when a signal to end has come; there is nothing to reload.
  private static func wait(for signals: SignalSource) {
    while true {
      var waiting = pollfd(fd: signals.descriptor, events: Int16(POLLIN), revents: 0)
      _ = poll(&waiting, 1, -1)
      while let signal = signals.take() { if signal != SIGHUP { return } }
    }
  }

  private static func number(
    _ arguments: CommandArguments, _ option: String, _ range: ClosedRange<Int>, usual: Int
  ) -> Int? {
    guard let text = arguments.value(option) else { return usual }
    if let number = ConfigText.plainInteger(text), range.contains(number) { return number }
    Console.error("edge demo-provider: \(option) takes a number from \(range.lowerBound) to \(range.upperBound)")
    return nil
  }

  private static func refuse(_ reason: String) -> Int32 {
    Console.error("edge demo-provider: not started: \(reason)")
    return ExitCode.failed
  }
}
