// The control worker serves operators: on `admin.sock`, which is for the owner of the process alone, and on listeners
// of the loopback interface that a configuration has opened for them. A reload is performed by the control thread;
// whoever has asked for it waits as an exchange whose policy waits.
//
//   POST /reload ─▶ serveOperator: suspended ─▶ ControlBoard.ask ─▶ control thread: reload ─▶ inbox ─▶ reloaded: answer

import Glibc

extension Worker {
  /// A request for one of `BuiltinTable.admin`.
  func serveOperator(_ exchange: Int32, _ request: ArrivedRequest, _ row: RouteRow) {
    let slot = exchanges.slots + Int(exchange)
    discardEarlyBody(exchange, request)
    // Who waits is answered through the control worker's inbox, so nobody else may let anybody wait.
    guard index == shared.workers else {
      refuse(exchange, .serviceUnavailable, .refused)
      return
    }
    // A length was looked at already: no endpoint takes a body.
    guard slot.pointee.request.isEnded else {
      refuse(exchange, .messageTooLarge, .refused)
      return
    }
    if connections.slots[Int(slot.pointee.server)].listener != ListenerBoard.adminPlace, isFromPage(request) {
      replyDetail.message = StaticBytes("Pages of a browser are not served here.")
      refuse(exchange, .forbidden, .refused)
      return
    }
    guard shared.builtins.reloads(Int(row.builtin)) else {
      noteRunning()
      answerBuiltin(exchange, row.builtin)
      return
    }
    perform(exchange, slot.pointee.machine.suspended())
    shared.board.ask(Handle(index: exchange, serial: slot.pointee.serial).bits)
    shared.control.signal()
  }

  /// Any page in a browser can send a request to this machine's loopback interface, and give that a name of its own. It
  /// then says where it comes from, or asks for a host that is neither an address nor `localhost`.
  private func isFromPage(_ request: ArrivedRequest) -> Bool {
    if request.received.value(named: "origin") != nil { return true }
    if request.received.value(named: "sec-fetch-site") != nil { return true }
    let host = request.host
    if equalLowered(host.name, host.nameCount, "localhost") { return false }
    let name = String(decoding: UnsafeBufferPointer(start: host.name, count: host.nameCount), as: UTF8.self)
    return SocketAddress(numeric: name, port: 0) == nil
  }

  /// A reload is over that an exchange has waited for.
  func reloaded(_ waiting: Handle) {
    let slot = exchanges.slots + Int(waiting.index)
    let report = shared.board.takeReport(of: waiting.bits)
    // It may have ended meanwhile, and the slot may have another owner.
    guard slot.pointee.serial == waiting.serial, slot.pointee.machine.state == .suspended else { return }
    perform(waiting.index, slot.pointee.machine.resumed())
    answerBuiltin(waiting.index, rows(of: waiting.index).routeRows[Int(slot.pointee.route)].builtin, report)
  }

  /// How many exchanges run on which generation changes all the time; it is counted when somebody looks.
  private func noteRunning() {
    shared.board.update { state in
      for index in state.generations.indices {
        state.generations[index].running = shared.generations.pins(state.generations[index].place)
      }
    }
  }
}
