"""A page as people see it: in a real browser, Chromium, without a window."""

import re
import shutil
import subprocess
from pathlib import Path


def chromium(page: Path, *options: str) -> str:
    """What the browser writes of a page."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    assert browser, "install the package chromium; CI does"
    done = subprocess.run(
        [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu"),
            *("--enable-logging=stderr", "--log-level=0"),
            *(f"--user-data-dir={page.parent / 'browser'}", *options, page.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    # What a page's own content security policy, or a missing file, would say.
    complaints = re.findall(r"CONSOLE.*|.*Refused to.*", done.stderr)
    assert complaints == []
    return done.stdout
