"""The REST API that `wrangler workflows` speaks: a path to a target, a body to a wish, rows to documents.

`paths`, `wishes`, `cursor` and `documents` are pure; `handlers` ask the store; `app` is the one place that knows HTTP.
Who may do what isn't decided here: whoever mounts the API brings a gate.
"""
