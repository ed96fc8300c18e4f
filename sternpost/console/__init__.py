"""The console: a web page for operators. It shows and does what `sternpost.operations` does, and adds no logic."""
