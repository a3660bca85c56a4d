"""Workflows to begin from. Each runs by itself (`python -m examples.workflows.order`), or under a worker, steered from
the command line (`onehop workflow worker --module examples.workflows.order`)."""
