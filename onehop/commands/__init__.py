"""The typer layer: one module a command, named as the command, with its `app`. Thin: options in, a call, output out."""
