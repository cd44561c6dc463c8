"""Records come from a file, one a line, or from a topic, all of it."""

from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.records import Message
from pipeline.transport.memory import MemoryBroker, MemoryConsumer
from trainer.labels import lines
from trainer.labels.lines import NoListener, records, to_the_end


def test_a_files_lines_are_records_and_blank_ones_are_none(tmp_path: Path) -> None:
    path = tmp_path / "feedback.jsonl"
    path.write_bytes(b'{"a": 1}\n\n{"b": 2}')

    found = list(records(str(path), None))

    assert [value.strip() for _, value in found] == [b'{"a": 1}', b'{"b": 2}']
    assert [where for where, _ in found] == [f"{path}: line 1", f"{path}: line 3"]


def test_a_line_that_is_too_long_is_skipped_and_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MAX_RECORD_BYTES", 16)
    path = tmp_path / "feedback.jsonl"
    path.write_bytes(b"x" * 100 + b"\n{}\n" + b"y" * 16)

    assert [value.strip() for _, value in records(str(path), None)] == [b"", b"{}", b""]


@pytest.mark.parametrize(
    "source", ["kafka://", "kafka://host:1", "kafka://host:1/", "kafka://host:1/a topic"]
)
def test_what_is_no_topics_address_is_refused(source: str) -> None:
    with pytest.raises(InputError, match="expected kafka://HOST:PORT/TOPIC"):
        list(records(source, None))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        list(records(str(tmp_path / "none.jsonl"), None))


def test_a_topic_is_read_to_its_end_and_nothing_is_committed() -> None:
    broker = MemoryBroker()
    values = [b"%d" % n for n in range(1_200)]
    broker.append(Message(topic="feedback", key=b"k", value=value) for value in values)
    consumer = MemoryConsumer(
        broker, group_id="once", topic="feedback", listener=NoListener()
    )

    assert [value for _, value in to_the_end(consumer)] == values
    assert not consumer.committed(consumer.assignment(), 1.0)
