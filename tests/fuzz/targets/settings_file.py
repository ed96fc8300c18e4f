"""A settings file of any bytes: settings, or a ConfigurationError for a person to read.

The oracle: what is loaded is shown without its secrets, and can be loaded again with the same result.
"""

import json
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from runtime.errors import ConfigurationError
from runtime.settings.loader import load, origins, reload

SEEDS = [
    b'[kafka]\nbootstrap_servers = "a:1"\nproperties = {"security.protocol" = "SSL"}\n[kafka.properties]\n',
    b'[kafka.properties]\nsasl.password = "ZZsecretZZ"\nsecurity.protocol = "SASL_SSL"\n"linger.ms" = 5\n',
    b'[[sources]]\nname = "production"\nwrite_keys = ["ZZsecretZZ"]\nsigning_keys = ["ZZsecretZZ"]\n',
    b'[ingest]\nmax_body_bytes = 1048576\nport = 8080\n[processor]\nprofile = "corrected"\n',
    b'[schema_registry]\nurl = "http://user:ZZsecretZZ@registry"\nproperties = { "max.retries" = 1 }\n',
    b"a = " + b"[" * 4000,
    b"[kafka.properties]\n" + b"a." * 2000 + b"a = 1",
    b"a = " + b"9" * 5000,
    b"[topics]\nraw = 1979-05-27T07:32:00Z\nevents = nan\n",
    b'[log]\nlevel = "\\u0000"\n[[log]]\n',
    b"ingest = []\nkafka = 1\nsources = {}\n",
    "[kafka]\nproperties.ä.b = true\n".encode(),
]
WORDS = [b"[kafka.properties]", b"[[sources]]", b"write_keys", b"[ingest]", b"inf", b"1e999", b"0x", b'"""', b"{", b"}"]

_FOLDER = tempfile.TemporaryDirectory(prefix="sternpost-fuzz-")
_FILE = Path(_FOLDER.name) / "sternpost.toml"


def check(data: bytes) -> None:
    _FILE.write_bytes(data)
    try:
        settings = load(_FILE)
    except ConfigurationError as error:
        str(error).encode()
        return
    assert reload(settings) == settings
    registry = urlsplit(settings.schema_registry.url)
    if "zzsecretzz" in f"{registry.username}{registry.hostname}{registry.path}".lower():
        return  # without its colon or its @, a password is a part of the address, which is shown
    shown = json.dumps([one._asdict() for one in origins(_FILE)])
    assert "ZZsecretZZ" not in shown
