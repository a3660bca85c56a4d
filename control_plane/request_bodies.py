"""How large the bodies are that the deploy API takes; `envelope.bodies` reads them."""

from typing import Final

HASHES_BYTES_MAX: Final = 8 * 1024 * 1024  # 200,000 hashes, ten times the most files of a deployment
UPLOAD_BYTES_MAX: Final = 80 * 1024 * 1024  # wrangler sends up to 40 MiB, which base64 makes 54 MiB
FORM_BYTES_MAX: Final = 30 * 1024 * 1024  # a bundle of 25 MiB and a manifest of 20,000 entries
