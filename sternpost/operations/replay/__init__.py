"""Maps a range of the raw topic again: to compare with what came of it before, or to write it anew."""
