"""What operators do with dead letters: list them, show them, export them, send them back.

The topic is a log of two kinds of records: dead letters, and redrive markers. A marker has no value and says that a
dead letter was sent back. It is in the partition of its dead letter, at a later offset, and is written in the
transaction that sends the dead letter back, so that each is sent back once, whatever happens in between.
"""
