// The executable. Everything is in the library, so that tests can reach it.
// This file is one call and stays that.

import Edge

Edge.main()
