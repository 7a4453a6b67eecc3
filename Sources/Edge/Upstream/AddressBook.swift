// The addresses of endpoints as the control thread knows them. A worker copies a set when it adopts a generation with
// a new endpoint and when its inbox says that one has changed; requests never look here.

/// Sets of addresses by endpoint.
final class AddressBook: Sendable {
  private struct Page {
    let serial: UInt32
    let addresses: AddressSet
  }
  private let pages = Locked<[Int32: Page]>([:])

  /// What is known of an endpoint; empty when nothing is.
  func addresses(of endpoint: Handle) -> AddressSet {
    pages.withLock { pages in
      guard let page = pages[endpoint.index], page.serial == endpoint.serial else {
        return AddressSet([])
      }
      return page.addresses
    }
  }

  /// Writes what is known now.
  func write(_ endpoint: Handle, _ addresses: AddressSet) {
    pages.withLock { $0[endpoint.index] = Page(serial: endpoint.serial, addresses: addresses) }
  }

  /// Forgets an endpoint that no generation has any more.
  func remove(_ endpoint: Handle) {
    pages.withLock { pages in
      if pages[endpoint.index]?.serial == endpoint.serial { pages[endpoint.index] = nil }
    }
  }
}
