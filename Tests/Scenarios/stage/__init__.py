"""What a play stands on: an edge, an origin, a client and the checks between them."""
