// The addresses of endpoints as the control thread knows them. A worker copies a set when it adopts a generation with
// a new endpoint and when it is woken because one has changed; requests never look here.

/// Sets of addresses by endpoint, and which of them each worker has not seen yet.
final class AddressBook: Sendable {
  private struct Page {
    let serial: UInt32
    let addresses: AddressSet
  }

  private struct Book {
    var pages: [Int32: Page] = [:]
    var unseen: [[Int32: UInt32]]
  }

  private let book: Locked<Book>

  init(workers: Int) { book = Locked(Book(unseen: .init(repeating: [:], count: workers))) }

  /// What is known of an endpoint; empty when nothing is.
  func addresses(of endpoint: Handle) -> AddressSet {
    book.withLock { book in
      guard let page = book.pages[endpoint.index], page.serial == endpoint.serial else { return AddressSet([]) }
      return page.addresses
    }
  }

  /// Writes what is known now; true when that is news, which every worker then finds in `unseen`.
  @discardableResult
  func write(_ endpoint: Handle, _ addresses: AddressSet) -> Bool {
    book.withLock { book in
      if let page = book.pages[endpoint.index], page.serial == endpoint.serial, page.addresses == addresses {
        return false
      }
      book.pages[endpoint.index] = Page(serial: endpoint.serial, addresses: addresses)
      for worker in book.unseen.indices { book.unseen[worker][endpoint.index] = endpoint.serial }
      return true
    }
  }

  /// What has changed since this worker asked last.
  func unseen(by worker: Int) -> [(endpoint: Handle, addresses: AddressSet)] {
    book.withLock { book in
      if book.unseen[worker].isEmpty { return [] }
      let changed = book.unseen[worker]
      book.unseen[worker] = [:]
      return changed.compactMap { index, serial in
        guard let page = book.pages[index], page.serial == serial else { return nil }
        return (Handle(index: index, serial: serial), page.addresses)
      }
    }
  }

  /// Forgets an endpoint that no generation has any more.
  func remove(_ endpoint: Handle) {
    book.withLock { book in
      if book.pages[endpoint.index]?.serial == endpoint.serial { book.pages[endpoint.index] = nil }
      for worker in book.unseen.indices where book.unseen[worker][endpoint.index] == endpoint.serial {
        book.unseen[worker][endpoint.index] = nil
      }
    }
  }
}
