"""Asks the worker in this container how it is: exit code 0 if well, 1 if not.

`python healthcheck.py /healthz` (the loop turns) or `/readyz` (it also has partitions).
Nothing but the standard library: the image has no curl, and torch takes seconds to load.
"""

import http.client
import os
import sys

TIMEOUT_S = 4.0


def main() -> int:
    """Repeat the worker's answer, which `docker inspect` shows, and judge it."""
    path = sys.argv[1]
    port = int(os.environ.get("PIPELINE_HTTP__PORT", "9100"))
    # Not urllib: it would go through a proxy that the environment names.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        sys.stdout.write(answer.read(1000).decode(errors="replace"))
    except (OSError, http.client.HTTPException) as error:
        sys.stdout.write(f"no answer from port {port}: {error}\n")
        return 1
    finally:
        connection.close()
    return 0 if answer.status == http.client.OK else 1


if __name__ == "__main__":
    sys.exit(main())
