"""A page as a browser loads it, judged by headless Lighthouse, under each scheme: the same host, the same deployment.

It lies in a site of 10,000 deployments, in the middle of its routing table. What is told is Lighthouse's performance
score (0 to 100, of a simulated phone) and the server's response time that it observed.
Lighthouse comes from npm: `npm ci` in loadtests/lighthouse.
"""

import sys
from pathlib import Path

if not __package__:  # run by its path, where `python -m loadtests.pages` has the folder above
    sys.path[0] = str(Path(__file__).parents[1])

import http.client
import json
import os
import subprocess
import tempfile
from typing import Any, Final
from urllib.parse import urlsplit

from loadtests.report import FOLDER, Measured, bars, conclude, parse_options
from loadtests.schemes import seed_sites, set_policy
from loadtests.server import Server, serving, temporary_data

ARMS: Final = ("legacy", "legacy-compiled", "hashed")
DEPLOYMENTS: Final = 10_000
DEPLOYS: Final = 9
SITE: Final = "seed-1"
DEMO_SITE: Final = FOLDER.parent / "onehop" / "demo_sites" / "tour"
LIGHTHOUSE: Final = FOLDER / "lighthouse" / "node_modules" / "lighthouse" / "cli" / "index.js"
TIMEOUT_S: Final = 120


def judge(url: str, report: Path) -> dict[str, Any]:
    """Lighthouse's report on a page."""
    subprocess.run(
        ["node", str(LIGHTHOUSE), url, "--only-categories=performance", "--output=json", f"--output-path={report}",
         "--quiet", "--no-enable-error-reporting", "--chrome-flags=--headless=new --no-sandbox --disable-gpu"],
        check=True, timeout=TIMEOUT_S, env={**os.environ, "CHROME_PATH": os.environ.get("CHROME_PATH", "chromium")},
    )  # fmt: skip
    told: dict[str, Any] = json.loads(report.read_text())
    return told


def deploy(server: Server) -> str:
    """The new deployment's own address."""
    told = json.loads(server.onehop("deploy", str(DEMO_SITE), "--project", SITE, "--branch", "tour", "--json"))
    return str(told["url"])


def warm_up(server: Server, url: str) -> None:
    """One request, so that a table that is kept compiled is."""
    connection = http.client.HTTPConnection("127.0.0.1", server.edge_port, timeout=TIMEOUT_S)
    connection.request("GET", "/", headers={"Host": urlsplit(url).netloc})
    connection.getresponse().read()
    connection.close()


def main() -> None:
    options = parse_options(__doc__)
    if not LIGHTHOUSE.is_file():
        raise SystemExit("Lighthouse isn't here: run 'npm ci' in loadtests/lighthouse, and have Chromium and Node.js")
    scores: dict[str, list[float]] = {arm: [] for arm in ARMS}
    responses_ms: dict[str, list[float]] = {arm: [] for arm in ARMS}
    with temporary_data() as data, tempfile.TemporaryDirectory(prefix="onehop-lighthouse-") as reports:
        seed_sites(data, [DEPLOYMENTS])
        with serving(data) as server:
            # A table is in the order of hostnames, and short ids are random: of nine, the fifth is near the middle.
            url = sorted(deploy(server) for _ in range(DEPLOYS))[DEPLOYS // 2]
            for _ in range(1 if options.quick else 5):
                for arm in ARMS:
                    set_policy(data, {SITE: arm})
                    warm_up(server, url)
                    report = judge(url, Path(reports) / "report.json")
                    scores[arm].append(report["categories"]["performance"]["score"] * 100)
                    responses_ms[arm].append(report["audits"]["server-response-time"]["numericValue"])
    figures = {f"{arm}_response_ms": Measured(tuple(responses_ms[arm]), "ms") for arm in ARMS}
    figures |= {f"{arm}_score": Measured(tuple(scores[arm]), "points") for arm in ARMS}
    version = report["lighthouseVersion"]
    sentence = f"Lighthouse {version}, one of {DEPLOYMENTS:,} deployments: " + "; ".join(
        f"{arm} {figures[f'{arm}_response_ms'].median:,.0f} ms server response, "
        f"score {figures[f'{arm}_score'].median:.0f}"
        for arm in ARMS
    )
    conclude(
        "pages",
        options,
        figures,
        extra={"lighthouse_version": version},
        sentence=sentence,
        draw=lambda path: bars(
            path,
            f"Server response time that Lighthouse {version} observed",
            ARMS,
            [figures[f"{arm}_response_ms"] for arm in ARMS],
        ),
    )


if __name__ == "__main__":
    main()
