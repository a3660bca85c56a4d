"""A page as a browser loads it, judged by headless Lighthouse, under each scheme: the same host, the same deployment.

It lies in a site of 10,000 deployments, the newest of them, which the routing table has last. What is told is
Lighthouse's performance score (0 to 100, of a simulated phone) and the server's response time that it observed.
Lighthouse comes from npm: `npm ci` in loadtests/lighthouse.
"""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

from loadtests.report import FOLDER, Measured, bars, conclude, parse_options
from loadtests.schemes import seed, set_policy
from loadtests.server import serving, temporary_data

ARMS: Final = ("legacy", "legacy-compiled", "hashed")
DEPLOYMENTS: Final = 10_000
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


def main() -> None:
    options = parse_options(__doc__)
    if not LIGHTHOUSE.is_file():
        raise SystemExit("Lighthouse isn't here: run 'npm ci' in loadtests/lighthouse, and have Chromium and Node.js")
    scores: dict[str, list[float]] = {arm: [] for arm in ARMS}
    responses_ms: dict[str, list[float]] = {arm: [] for arm in ARMS}
    with temporary_data() as data, tempfile.TemporaryDirectory(prefix="onehop-lighthouse-") as reports:
        seed(data, DEPLOYMENTS, legacy=True)
        with serving(data) as server:
            told = json.loads(server.onehop("deploy", str(DEMO_SITE), "--project", SITE, "--branch", "tour", "--json"))
            for _ in range(1 if options.quick else 5):
                for arm in ARMS:
                    set_policy(data, {SITE: arm})
                    report = judge(told["url"], Path(reports) / "report.json")
                    scores[arm].append(report["categories"]["performance"]["score"] * 100)
                    responses_ms[arm].append(report["audits"]["server-response-time"]["numericValue"])
    figures = {f"{arm}_response_ms": Measured(tuple(responses_ms[arm]), "ms") for arm in ARMS}
    figures |= {f"{arm}_score": Measured(tuple(scores[arm]), "points") for arm in ARMS}
    version = report["lighthouseVersion"]
    sentence = f"Lighthouse {version}, newest of {DEPLOYMENTS:,} deployments: " + "; ".join(
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
