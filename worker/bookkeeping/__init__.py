"""What people ask of the journal: one payment's story, whether the books balance, what processors settled."""
