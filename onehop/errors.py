"""What ends a command with one line and exit code 1; or 2, where the command line itself was wrong.

    CommandFailed
    ├─ ApiUnreachable, ApiRefused, ApiTokenMissing     api_client
    ├─ FolderRefused                                   deploy_folder: what can't be deployed, before anything is sent
    ├─ StoreAbsent                                     opened_store: no data folder there
    └─ BackupRefused                                   backup, restore
    WrongUsage                                         command_tree: no such command or option, a value missing

The message is for whoever typed the command: what happened, to which thing, what to do next.
"""


class CommandFailed(Exception):
    """A command couldn't do what it was asked."""


class WrongUsage(Exception):
    """The command line can't be read."""
