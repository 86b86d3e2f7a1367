"""`datamill up`: broker, builder and notifier in one terminal."""
