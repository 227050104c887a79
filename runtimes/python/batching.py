"""Several questions in one run of the model (`batch: {size, window}`).

1. What waits together has the same shapes but for the number of rows, the first dimension.
2. A batch runs when it has `size` rows, or when the first of it has waited for `window`. A question of more rows than
   `size` runs alone.
3. Who asks wrongly fails alone: where a run of several fails, each runs by itself.
"""

import numpy as np

from . import loading
from .model import RunFailed


def check(model):
    """That rows can be put together and taken apart. Errors: LoadError."""
    for kind, tensors in (("input", model.inputs), ("output", model.outputs)):
        for tensor in tensors.values():
            if not tensor.first_is_free:
                raise loading.LoadError(
                    "NotBatchable",
                    f"batch: {kind} '{tensor.name}' of the model has shape {tensor.shape}, its first dimension is no free number of rows: "
                    "export the model with a dynamic first dimension, or leave batch out",
                )


def rows_of(feeds):
    """How many rows a question has; None when its inputs do not agree, so that it runs alone."""
    rows = {array.shape[0] if array.ndim else None for array in feeds.values()}
    return rows.pop() if len(rows) == 1 else None


class Group:
    """What waits for one run. An item has `feeds`."""

    def __init__(self):
        self.items = []  # (item, rows, when it came)
        self.rows = 0


class Gatherer:
    def __init__(self, size, window_seconds):
        self._size = size
        self._window_seconds = window_seconds
        self._groups = {}
        self._alone = 0

    def add(self, item, now):
        rows = rows_of(item.feeds)
        if rows is None or rows >= self._size or rows == 0:
            self._alone += 1
            key, rows = self._alone, self._size
        else:
            key = tuple((name, item.feeds[name].shape[1:]) for name in sorted(item.feeds))
        group = self._groups.setdefault(key, Group())
        group.items.append((item, rows, now))
        group.rows += rows

    def remove(self, item):
        """Nobody waits for its answer any more."""
        for key, group in list(self._groups.items()):
            kept = [entry for entry in group.items if entry[0] is not item]
            if len(kept) < len(group.items):
                group.items = kept
                group.rows = sum(rows for _, rows, _ in kept)
            if not kept:
                del self._groups[key]

    def seconds_left(self, now):
        """Until something is to be run; None when nothing waits."""
        waits = [
            0.0 if group.rows >= self._size else self._window_seconds - (now - group.items[0][2])
            for group in self._groups.values()
        ]
        return max(0.0, min(waits)) if waits else None

    def take(self, now):
        """Items to run together now, or an empty list."""
        for key, group in self._groups.items():
            if group.rows < self._size and now - group.items[0][2] < self._window_seconds:
                continue
            count, rows = 0, 0
            for _, more, _ in group.items:
                if count and rows + more > self._size:
                    break
                count, rows = count + 1, rows + more
            taken, group.items = group.items[:count], group.items[count:]
            group.rows -= rows
            if not group.items:
                del self._groups[key]
            return [item for item, _, _ in taken]
        return []


def run(model, items):
    """[(item, its outputs or RunFailed, how many ran together)]"""
    if len(items) > 1:
        parts = _run_together(model, items)
        if parts is not None:
            return [(item, part, len(items)) for item, part in zip(items, parts)]
    return [(item, _run_alone(model, item), 1) for item in items]


def _run_alone(model, item):
    try:
        return model.run(item.feeds, item.names)
    except RunFailed as failed:
        return failed


def _run_together(model, items):
    """None when it fails, or when the outputs are not a row for each row."""
    feeds = {name: np.concatenate([item.feeds[name] for item in items]) for name in items[0].feeds}
    names = [name for name in model.outputs if any(name in item.names for item in items)]
    ends = np.cumsum([rows_of(item.feeds) for item in items])
    try:
        outputs = model.run(feeds, names)
    except RunFailed:
        return None
    if any(array.ndim == 0 or array.shape[0] != ends[-1] for array in outputs.values()):
        return None
    split = {name: np.split(array, ends[:-1]) for name, array in outputs.items()}
    return [{name: split[name][number] for name in names} for number in range(len(items))]
