"""What stands beside a committed offset."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.incident import Explanation, OpenIncident
from pipeline.note import Note, mark
from pipeline.note_codec import NoteCodec

F = 8
SENSORS = tuple(f"vibration_{f}" for f in range(F))


def codec(
    max_bytes: int = 4_000,
    digest: str = "sha256:0",
    rule: str = "2 of 3",
    sensors: tuple[str, ...] = SENSORS,
    n_latent: int = 0,
    n_readings: int = 77,
) -> NoteCodec:
    return NoteCodec(digest, rule, sensors, 3, max_bytes, n_latent, n_readings)


def incident(number: int = 0, replay_from: int = 50, n_latent: int = 0) -> OpenIncident:
    random = np.random.default_rng(number)
    share_F = random.random(F).astype(np.float32)
    return OpenIncident(
        opened_at_s=1e9 + number + 0.123456,
        peak_score=float(np.float32(2.1 + number)),
        told_score=float(np.float32(1.7)),
        explanation=Explanation(
            share_F / share_F.sum(),
            np.where(share_F > 0.9, np.nan, 100 * share_F).astype(np.float32),
            99 * share_F,
            latent_L=random.normal(size=n_latent).astype(np.float16).astype(np.float32),
        ),
        replay_from=replay_from,
    )


def test_what_an_alert_will_say_of_an_incident_comes_back_to_the_last_bit() -> None:
    open_incident = incident()
    text = codec().encode(Note(100, 60, [("pump-7 ü", open_incident)]), floor=0)

    note = codec().decode(text)

    assert note is not None
    assert (note.next_offset, note.replay_from) == (100, 60)
    ((unit, restored),) = note.incidents
    assert unit == "pump-7 ü"
    assert restored.is_restored
    assert restored.opened_at_s == open_incident.opened_at_s
    assert restored.peak_score == open_incident.peak_score
    assert restored.told_score == open_incident.told_score
    largest = np.argsort(-open_incident.explanation.contribution_F, kind="stable")[:3]
    again = np.argsort(-restored.explanation.contribution_F, kind="stable")[:3]
    assert largest.tolist() == again.tolist()
    for before, after in zip(
        open_incident.explanation[:3], restored.explanation[:3], strict=True
    ):
        np.testing.assert_array_equal(before[largest], after[largest])


@given(n=st.integers(0, 80), max_bytes=st.integers(0, 4_096), n_chars=st.integers(1, 256))
def test_incidents_without_room_move_the_replay_back_to_where_they_came_about(
    n: int, max_bytes: int, n_chars: int
) -> None:
    incidents = [(f"{i:0>{n_chars}}", incident(i, replay_from=900 - i)) for i in range(n)]

    text = codec(max_bytes).encode(Note(1_000, 950, incidents), floor=100)

    assert len(text) <= max_bytes
    assert text.isascii()
    note = codec(max_bytes).decode(text)
    if note is None:
        assert text == ""
        return
    kept = {unit for unit, _ in note.incidents}
    for unit, each in incidents:
        assert unit in kept or note.replay_from <= each.replay_from


def test_most_commits_have_room_for_two_dozen_incidents() -> None:
    incidents = [(f"pump-{i}", incident(i)) for i in range(24)]

    note = codec(4_000).decode(codec(4_000).encode(Note(100, 60, incidents), floor=0))

    assert note is not None
    assert len(note.incidents) == 24


def test_the_replay_never_begins_before_the_floor() -> None:
    incidents = [("pump-7" * 40, incident(0, replay_from=3))]

    note = codec(60).decode(codec(60).encode(Note(1_000, 950, incidents), floor=500))

    assert note is not None
    assert note.replay_from == 500


@pytest.mark.parametrize("text", ["", "x", "\N{SNOWMAN}", "0" * 4_096, "kafka-tool"])
def test_text_of_others_is_no_note(text: str) -> None:
    assert codec().decode(text) is None


@given(text=st.text(max_size=200))
def test_no_text_does_any_harm(text: str) -> None:
    assert codec().decode(text) is None


@given(data=st.data())
def test_a_damaged_note_does_no_harm(data: st.DataObject) -> None:
    text = codec().encode(Note(100, 60, [("pump-7", incident())]), floor=0)
    at = data.draw(st.integers(0, len(text) - 1))
    damaged = text[:at] + data.draw(st.characters(codec="ascii")) + text[at + 1 :]

    note = codec().decode(damaged)

    assert note is None or note.next_offset == 100


def test_another_detector_goes_on_with_the_incidents_and_with_nothing_else() -> None:
    before = incident(replay_from=40, n_latent=2)
    others = [(f"pump-{i}", incident(i)) for i in range(8, 60)]
    written = Note(100, 60, [("pump-7", before), *others], scores_from=30)
    text = codec(max_bytes=1_000, n_latent=2).encode(written, floor=0)

    note = codec(digest="sha256:1", sensors=SENSORS[::-1], n_latent=2).decode(text)

    assert note is not None
    assert (note.next_offset, note.replay_from, note.scores_from) == (100, 50, 100)
    assert note.left_out is not None
    assert {each.opened_by for each in note.left_out.values()} == {"sha256:0"}
    assert len(note.left_out) + len(note.incidents) == 53
    ((unit, after), *_) = note.incidents
    assert (unit, after.peak_score) == ("pump-7", before.peak_score)
    assert after.opened_by == "sha256:0"
    assert after.replay_from == 40
    assert len(after.explanation.latent_L) == 0
    largest = np.argsort(-before.explanation.contribution_F)[:3]
    for of_one, of_other in zip(before.explanation[:3], after.explanation[:3], strict=True):
        np.testing.assert_array_equal(of_one[largest], of_other[::-1][largest])


def test_who_opened_an_incident_is_known_through_any_number_of_detectors() -> None:
    text = codec().encode(Note(100, 60, [("pump-7", incident())]), floor=0)
    for digest in ("sha256:1", "sha256:1", "sha256:2"):
        note = codec(digest=digest).decode(text)
        assert note is not None
        ((_, last),) = note.incidents
        text = codec(digest=digest).encode(note, floor=0)

    assert last.opened_by == "sha256:0"


def test_sensors_that_a_detector_does_not_have_explain_nothing_to_it() -> None:
    text = codec().encode(Note(100, 60, [("pump-7", incident())]), floor=0)

    note = codec(digest="sha256:1", sensors=("pressure",)).decode(text)

    assert note is not None
    ((_, restored),) = note.incidents
    assert restored.explanation.contribution_F.tolist() == [0.0]
    assert np.isnan(restored.explanation.observed_F).all()


@pytest.mark.parametrize(("n_needed", "replay_from"), [(20, 900), (77, 900), (100, 800)])
def test_for_longer_windows_more_is_read_again(n_needed: int, replay_from: int) -> None:
    text = codec(n_readings=77).encode(Note(1_000, 900, []), floor=0)

    note = codec(digest="sha256:1", n_readings=n_needed).decode(text)

    assert note is not None
    assert note.replay_from == replay_from


def test_another_rule_is_another_detector_whose_incidents_it_has_opened_itself() -> None:
    text = codec().encode(Note(100, 60, [("pump-7", incident())]), floor=0)

    note = codec(rule="1 of 1").decode(text)

    assert note is not None
    assert note.scores_from == 100
    ((_, restored),) = note.incidents
    assert restored.opened_by == "sha256:0"


def test_a_note_that_claims_to_be_huge_is_not_unpacked() -> None:
    import base64
    import zlib

    bomb = base64.b85encode(zlib.compress(b"\x00" * 2**28)).decode()

    assert codec().decode(bomb[:60_000]) is None


def test_incidents_without_room_are_named_as_long_as_there_is_room_for_that() -> None:
    incidents = [(f"pump-{i}", incident(i)) for i in range(100)]

    note = codec(max_bytes=1_500).decode(
        codec(max_bytes=1_500).encode(Note(100, 60, incidents), floor=0)
    )
    crowded = codec(max_bytes=120).decode(
        codec(max_bytes=120).encode(Note(100, 60, incidents), floor=0)
    )

    assert note is not None
    assert crowded is not None
    kept = {unit for unit, _ in note.incidents}
    left_out = {mark(u, each.opened_at_s) for u, each in incidents if u not in kept}
    assert 0 < len(kept) < 100
    assert note.left_out is not None
    assert note.left_out.keys() == left_out
    peaks = {each.peak_score for each in note.left_out.values()}
    assert peaks <= {float(np.float16(each.peak_score)) for _, each in incidents}
    assert crowded.left_out is None


@pytest.mark.parametrize(("n_written", "n_read"), [(4, 4), (4, 0), (0, 4), (4, 5)])
def test_a_latent_vector_comes_back_to_who_wants_one_of_that_size(
    n_written: int, n_read: int
) -> None:
    before = incident(n_latent=n_written)
    text = codec(n_latent=n_written).encode(Note(9, 5, [("a", before)]), 0)

    note = codec(n_latent=n_read).decode(text)

    assert note is not None
    ((_, after),) = note.incidents
    kept = slice(None) if n_written == n_read else slice(0)
    assert after.explanation.latent_L.tolist() == before.explanation.latent_L[kept].tolist()
