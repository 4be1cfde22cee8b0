"""The journal: every payment's state, once, and the books that prove it; ``protocol`` is what callers see."""
