"""How every JSON API of Onehop speaks: the envelope of its answers, its refusals, and request bodies read strictly.

The innermost room: it knows HTTP and JSON, and nothing of what an API is about.
"""
