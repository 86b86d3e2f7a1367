"""The commands of `datamill`, a module each; imported when they are used."""
