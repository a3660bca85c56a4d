"""A folder that stands in for the world: mails and payments end there as files, to be looked at.

A step may run again after a crash, so each effect has a key, and doing it twice is doing it once: the same file.
"""

import json
from email.message import EmailMessage
from pathlib import Path


def send_mail(folder: str, *, key: str, to: str, subject: str, text: str) -> str:
    """Returns the file's name."""
    message = EmailMessage()
    message["From"] = "shop@example.com"
    message["To"] = to
    message["Subject"] = subject
    message["Message-ID"] = f"<{key}@example.com>"
    message.set_content(text)
    return write(folder, f"{key}.eml", message.as_string())


def charge(folder: str, *, key: str, cents: int) -> str:
    """Takes `cents`, once for each key. Returns the payment's id."""
    write(folder, f"{key}.payment.json", json.dumps({"cents": cents, "state": "paid"}))
    return key


def refund(folder: str, payment: str) -> None:
    """Gives a payment back, if there is one."""
    path = Path(folder, f"{payment}.payment.json")
    if path.exists():
        write(folder, path.name, json.dumps({**json.loads(path.read_text()), "state": "refunded"}))


def write(folder: str, name: str, text: str) -> str:
    Path(folder).mkdir(parents=True, exist_ok=True)
    Path(folder, name).write_text(text)
    return name
