"""From a commit to signed images, chart and module in a registry.

What is built is what is committed, and how it is called follows from the commits that changed it:
the same commit makes the same bytes under the same name, wherever and however often it is built.
"""
