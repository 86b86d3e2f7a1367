"""The notifier: telling and serving, over HTTP."""
