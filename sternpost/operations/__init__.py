"""What the commands do, without their arguments and output: typed functions that a web page can call too."""
