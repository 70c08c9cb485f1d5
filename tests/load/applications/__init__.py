"""One application in each framework: it counts in the local session, which is in Redis."""
