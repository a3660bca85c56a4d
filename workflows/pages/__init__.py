"""The pages that show workflows to people: rendered on the server, readable without a script, live with one.

`views` turns records into what templates show, `actions` forms into commands, `app` is their route table. Who may look
is the gate's to say, which whoever mounts the pages brings along.
"""
