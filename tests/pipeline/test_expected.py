"""Virtual sensors: what was expected of each reading, published as a reading."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.decode import Decoder
from pipeline.detector.detector import Detector
from pipeline.errors import TransportError
from pipeline.expected import iso_times, rounded
from pipeline.records import FloatArray, Message, Partition
from pipeline.times import iso_time
from pipeline.transport.memory import MemoryBroker, MemoryProducer
from tests import builders
from tests.workers import WINDOW, Setup, messages, raising

N = 30


def expected_of(broker: MemoryBroker) -> list[dict[str, object]]:
    return [msgspec.json.decode(r.value or b"") for r in broker.records("expected")]


def test_each_scored_reading_has_one_of_the_same_unit_and_time(
    broker: MemoryBroker, detector: Detector
) -> None:
    broker.append(messages("pump-7", builders.sensor_series(N)))

    Setup(broker, detector, expected_topic="expected").read_all()

    published = expected_of(broker)
    assert [reading["time"] for reading in published] == [
        f"2001-09-09T01:46:{40 + i}Z" if i < 20 else f"2001-09-09T01:47:{i - 20:02}Z"
        for i in range(WINDOW - 1, N)
    ]
    assert {reading["unit"] for reading in published} == {"pump-7"}
    assert {record.key for record in broker.records("expected")} == {b"pump-7"}


def test_its_values_are_those_that_the_networks_expected(
    broker: MemoryBroker, detector: Detector
) -> None:
    values_NF = builders.sensor_series(N)
    broker.append(messages("pump-7", values_NF))

    Setup(broker, detector, expected_topic="expected").read_all()

    expected_BF = detector.score_series(values_NF).expected_BF
    published = [list(reading["values"].values()) for reading in expected_of(broker)]  # type: ignore[attr-defined]
    np.testing.assert_allclose(published, expected_BF, rtol=1e-6)


def test_a_missing_value_is_filled_in(broker: MemoryBroker, detector: Detector) -> None:
    values = dict.fromkeys(builders.SENSORS[1:], 1.0)
    broker.append(
        [
            Message("readings", builders.reading_json("pump-7", 1e9 + i, values), b"pump-7")
            for i in range(N)
        ]
    )

    Setup(broker, detector, expected_topic="expected").read_all()

    for reading in expected_of(broker):
        assert list(reading["values"]) == list(builders.SENSORS)  # type: ignore[call-overload]
        assert None not in reading["values"].values()  # type: ignore[attr-defined]


def test_it_can_be_read_as_any_reading(broker: MemoryBroker, detector: Detector) -> None:
    broker.append(messages("pump-7", builders.sensor_series(N)))
    Setup(broker, detector, expected_topic="expected").read_all()

    decoder = Decoder(builders.SENSORS, 1_000_000, max_ahead_s=np.inf)
    published = [
        builders.record(r.value, offset=r.offset) for r in broker.records("expected")
    ]
    readings, rejects = decoder.decode(builders.polled(*published))

    assert not rejects
    assert len(readings) == N - WINDOW + 1
    assert not np.isnan(readings.values_NF).any()


def test_by_default_nothing_is_published(broker: MemoryBroker, detector: Detector) -> None:
    broker.append(messages("pump-7", builders.sensor_series(N)))

    Setup(broker, detector).read_all()

    assert broker.records("alerts") == broker.records("") == []


def test_what_is_read_again_is_not_published_again(
    broker: MemoryBroker, detector: Detector
) -> None:
    series = messages("pump-7", builders.sensor_series(N))
    broker.append(series[:20])
    first = Setup(broker, detector, expected_topic="expected")
    first.read_all()
    first.worker.close(1.0)
    broker.append(series[20:])

    Setup(broker, detector, expected_topic="expected").read_all()

    times = [reading["time"] for reading in expected_of(broker)]
    assert len(times) == len(set(times)) == N - WINDOW + 1


def test_of_a_partition_that_is_taken_away_nothing_waits_to_be_published(
    broker: MemoryBroker, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.append(messages("pump-7", builders.sensor_series(N)))
    setup = Setup(broker, detector, expected_topic="expected", max_records=N)
    partition = Partition("readings", broker.records("readings")[0].partition)

    def fails_and_is_lost(*args: object) -> None:
        monkeypatch.undo()
        setup.worker.on_lost([partition])
        raise TransportError("down", retriable=True)

    monkeypatch.setattr(MemoryProducer, "send", fails_and_is_lost)
    setup.worker.run_once()

    assert broker.records("expected") == []


def test_offsets_are_committed_only_after_it_is_acknowledged(
    broker: MemoryBroker, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.append(messages("pump-7", builders.sensor_series(N)))
    setup = Setup(broker, detector, expected_topic="expected", max_records=N)
    monkeypatch.setattr(
        MemoryProducer, "send", raising(TransportError("down", retriable=False))
    )

    with pytest.raises(TransportError):
        setup.read_all()

    assert broker.committed("workers") == {}


@given(st.integers(0, 4 * 10**12))
def test_times_are_written_as_everywhere(time_ms: int) -> None:
    time_s = time_ms / 1_000

    assert iso_times(np.array([time_s])) == [iso_time(time_s)]


@given(
    arrays.arrays(
        np.float32,
        5,
        elements=st.integers(-(2**24), 2**24).map(lambda n: np.float32(n / 1_000)),
    )
)
def test_seven_digits_are_written_and_no_more(values_F: FloatArray) -> None:
    [rounded_F] = rounded(values_F[None])

    np.testing.assert_allclose(rounded_F, values_F, rtol=5.1e-7)
    for value in rounded_F:
        mantissa = repr(abs(float(value))).split("e")[0].replace(".", "").strip("0")
        assert len(mantissa) <= 7
