"""What we use of libraries that is not public: an update that moves it fails here, by name, and not in production.

If one of these fails, see how the library does it now, change the module that is named, and raise the bounds in
pyproject.toml. tests/unit/ingest/test_delivery_report_fd.py does the same for confluent_kafka's Producer.
"""

import inspect
import re
import socket
import tomllib
from pathlib import Path

import pytest
from granian import _granian
from granian.server.embed import Server
from prometheus_client import CollectorRegistry, Histogram, values

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.mark.parametrize("library", ["confluent-kafka", "granian", "jgo", "prometheus-client"])
def test_no_next_major_version_is_installed_by_itself(library: str) -> None:
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    required = [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]
    [bounds] = [one for one in required if re.match(rf"{library}\b", one)]
    assert re.search(r",<\d", bounds), f"{bounds}: add an upper bound"


def test_granian_takes_its_listening_socket_from_the_method_that_we_override() -> None:
    """`ingest.server.Server._init_shared_socket` sets `_shd`; a renamed method would never be called."""
    defined = [kind for kind in Server.__mro__ if "_init_shared_socket" in vars(kind)]
    assert defined, "granian has no _init_shared_socket: change ingest/server.py"
    sources = "".join(inspect.getsource(kind) for kind in Server.__mro__ if kind.__module__.startswith("granian"))
    assert "self._init_shared_socket()" in sources, "granian does not call it: change ingest/server.py"
    assert len(re.findall(r"self\._shd\b", sources)) > 1, "granian keeps its socket elsewhere: change ingest/server.py"


def test_granian_makes_a_socket_holder_of_a_descriptor() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        holder = _granian.SocketHolder(listener.dup().detach(), False, 16)  # type: ignore[call-arg]
        assert holder is not None


@pytest.mark.parametrize("name", ["RSGIProtocolClosed", "RSGIProtocolError", "RSGIHTTPProtocol", "RSGIHeaders"])
def test_granian_has_the_names_that_ingest_imports(name: str) -> None:
    assert hasattr(_granian, name), f"granian._granian.{name} is gone: change ingest/request_body.py and webhook.py"


def test_a_histogram_has_buckets_and_a_sum_that_can_be_added_to() -> None:
    """`runtime.metrics.BufferedHistogram.flush` adds many observations at once."""
    registry = CollectorRegistry()
    histogram = Histogram("a", "b", buckets=(1.0, 2.0), registry=registry)
    histogram._buckets[1].inc(3)
    histogram._sum.inc(4.5)
    assert registry.get_sample_value("a_bucket", {"le": "1.0"}) == 0
    assert registry.get_sample_value("a_bucket", {"le": "2.0"}) == 3
    assert registry.get_sample_value("a_bucket", {"le": "+Inf"}) == 3
    assert registry.get_sample_value("a_count") == 3
    assert registry.get_sample_value("a_sum") == 4.5


def test_the_class_of_values_can_be_chosen_after_import() -> None:
    """`runtime.metrics.enable_multiprocess` sets `values.ValueClass`, which is otherwise chosen on import."""
    assert inspect.isfunction(values.get_value_class)
    assert hasattr(values, "ValueClass"), "prometheus_client chooses it elsewhere: change runtime/metrics.py"
