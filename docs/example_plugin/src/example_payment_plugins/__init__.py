"""Example plugins for payment-stream-worker: a predicate, two steps, a fee schedule, a rate provider."""
