"""One data folder has one control plane: two would each believe that they alone write."""

import subprocess
import sys
from typing import Final

from tests.conftest import Serve

STOP_TIMEOUT_S: Final = 60


def test_a_second_server_on_the_same_folder_is_refused_and_the_first_goes_on(serve: Serve) -> None:
    first = serve()
    second = subprocess.run(
        [sys.executable, "-m", "onehop", "serve", "--data", str(first.data), "--port", "0", "--api-port", "0"],
        capture_output=True, text=True, timeout=STOP_TIMEOUT_S, check=False,
    )  # fmt: skip
    assert second.returncode == 1
    assert str(first.data) in second.stderr
    assert "Traceback" not in second.stderr
    assert first.api("GET", "/accounts")["success"]


def test_the_folder_is_free_again_after_a_kill(serve: Serve) -> None:
    first = serve()
    first.kill()
    second = serve(data=first.data)
    assert second.api("GET", "/accounts")["success"]
