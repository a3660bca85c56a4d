"""What ends a command with exit code 1 and one line.

    CommandFailed
    ├─ ApiUnreachable, ApiRefused, ApiTokenMissing     api_client
    ├─ FolderRefused                                   deploy_folder: what can't be deployed, before anything is sent
    ├─ StoreAbsent                                     opened_store: no data folder there
    └─ BackupRefused                                   backup, restore

The message is for whoever typed the command: what happened, to which thing, what to do next.
"""


class CommandFailed(Exception):
    """A command couldn't do what it was asked."""
