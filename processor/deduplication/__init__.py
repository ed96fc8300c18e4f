"""Which records are duplicates of earlier ones, and the state that remembers them."""
