"""The payment-stream worker: from the incoming queue to one processor, with nothing lost."""
