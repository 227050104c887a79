"""Bare connections of a test that send or take no more, for as long as it likes."""

from ebb_node import eventually


class SlowClients(list):
    """They leave with their test. `held`: what the daemon holds for them."""

    def __init__(self, held):
        self._held = held

    def leave(self):
        for connection in self:
            connection.close()
        self.clear()
        eventually(lambda: self._held() == 0, "that what nobody sends or takes any more is given up")
