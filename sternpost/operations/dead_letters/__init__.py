"""What operators do with dead letters: look, try again, take away.

The topic is a log of two kinds of records: letters, and notes that a letter was sent back. A note has no value and
lies in its letter's partition, later; it is written in the transaction that sends the letter back, so that no letter
is ever sent back twice or forgotten, whatever happens in between.
"""
