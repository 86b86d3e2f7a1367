"""`datamill handlers check`: a package is put through what a builder will demand of it."""
