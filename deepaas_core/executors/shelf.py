"""The slots through which a model's large inputs reach its workers, and who holds them.

All workers of a model see the same slots, so what is large can be put into one before it is known which worker gets it.
"""

from __future__ import annotations

from deepaas_core.executors.worker import slots


class Loan:
    """A slot that is held; it goes back to the shelf when nobody holds it any more.

    Attributes:
        number: The slot's, as the workers know it.
        size: How many bytes of it are in use.
    """

    __slots__ = ("_holders", "_shelf", "_slot", "number", "size")

    def __init__(self, shelf: Shelf, number: int, slot: slots.Slot):
        self.number = number
        self.size = 0
        self._shelf = shelf
        self._slot = slot
        self._holders = 1

    def room(self, size: int) -> memoryview:
        """Memory for so many bytes, to be written; valid as long as the slot is held."""
        self.size = size
        return self._slot.room(size)

    def hold(self) -> None:
        """Hold it once more."""
        self._holders += 1

    def let_go(self) -> None:
        """Hold it once less."""
        self._holders -= 1
        if self._holders == 0:
            self._shelf.take_back(self)


class Shelf:
    """The slots of one model.

    Args:
        count: How many.
    """

    def __init__(self, count: int):
        self.descriptors = [slots.create() for _ in range(count)]
        self._slots = [slots.Slot(descriptor) for descriptor in self.descriptors]
        self._free = set(range(count))

    def lend(self) -> Loan | None:
        """A slot that nobody holds, to be let go of by the caller; None if all are held."""
        if not self._free:
            return None
        number = self._free.pop()
        return Loan(self, number, self._slots[number])

    def take_back(self, loan: Loan) -> None:
        """See ``Loan.let_go``."""
        if self._slots:
            self._slots[loan.number].release(loan.size)
            self._free.add(loan.number)

    def close(self) -> None:
        """Give the memory back, once the last who sees it is gone; a second time changes nothing."""
        self._free.clear()
        while self._slots:
            self._slots.pop().close()
