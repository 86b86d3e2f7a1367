"""The live page: what a person sees of the service, in a browser, without anything from outside.

Rendered here, by templates that escape whatever they are given; a script fetches the page again
when events say that something happened, and puts in what has changed.
"""
