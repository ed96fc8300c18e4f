"""What is read from a service's metrics."""

from sternpost.operations.status.service import sum_samples


def test_samples_are_added_up_over_labels_without_buckets() -> None:
    exposition = """\
# HELP sternpost_a_total x
# TYPE sternpost_a_total counter
sternpost_a_total{code="x } y 7"} 2.0
sternpost_a_total{code="z"} 3.0
sternpost_b_seconds_bucket{le="1"} 9.0
sternpost_b_seconds_count 4.0
python_info 1.0
"""
    assert sum_samples(exposition) == {"sternpost_a_total": 5.0, "sternpost_b_seconds_count": 4.0}
