"""Where a history's windows may begin."""

import numpy as np

from pipeline.records import BoolArray, IntArray
from pipeline.window import Windows
from trainer.history import History


def is_clean(history: History, length: int) -> BoolArray:
    """Whether the window that begins at each reading has no label and no joint in it."""
    n_windows = max(len(history) - length + 1, 0)
    n_labels = np.concatenate([[0], np.cumsum(history.label_N)])
    has_label_B = n_labels[length:] != n_labels[:n_windows]
    is_joint_N = np.zeros(len(history), dtype=np.bool_)
    is_joint_N[history.joint_J] = True
    # A window may begin at a joint.
    n_joints = np.concatenate([[0], np.cumsum(is_joint_N)])
    has_joint_B = n_joints[length:] != n_joints[1 : n_windows + 1]
    return np.asarray(~(has_label_B | has_joint_B))


def clean_starts(
    first: int, last: int, length: int, stride: int, is_clean_B: BoolArray
) -> IntArray:
    """Starts of the windows within readings [first, last) that are clean."""
    start_B = np.arange(first, last - length + 1, stride, dtype=np.int64)
    return np.asarray(start_B[is_clean_B[start_B]])


def covered(windows: Windows) -> BoolArray:
    """Which readings are in one of these windows."""
    n_readings = len(windows.flat_MF)
    begun_N = np.bincount(windows.start_B, minlength=n_readings + 1)
    ended_N = np.bincount(windows.start_B + windows.length, minlength=n_readings + 1)
    return np.asarray(np.cumsum(begun_N - ended_N)[:n_readings] > 0)


def joined(arrays: list[IntArray]) -> IntArray:
    """One after the other; there may be none."""
    return np.concatenate(arrays) if arrays else np.empty(0, dtype=np.int64)
