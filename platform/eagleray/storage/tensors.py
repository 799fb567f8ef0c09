"""What safetensors does not give of bytes that it has read."""

import json
from typing import cast


def metadata(data: bytes) -> dict[str, str]:
    """Metadata of safetensors bytes that `load` has read; safetensors itself gives it for files only.

    Raises:
        LookupError: there is none.
    """
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return cast(dict[str, str], header["__metadata__"])
