import Edge

Edge.main()
