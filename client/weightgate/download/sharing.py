"""Sharing work: threads that take one item after the other; the first that fails ends the whole."""

import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import TypeVar

from weightgate.download.patience import Patience, Stopped

Hand = TypeVar("Hand")
Item = TypeVar("Item")


def share(
    items: Iterable[Item],
    threads: int,
    patience: Patience,
    hired: Callable[[], AbstractContextManager[Hand]],
    work: Callable[[Hand, Item], None],
) -> None:
    """Do `work` on each item, several at once. hired: makes what a thread works with. Raises what one raised."""
    queue, lock, errors = iter(items), threading.Lock(), list[BaseException]()

    def run() -> None:
        try:
            with hired() as hand:
                while True:
                    patience.require()
                    with lock:
                        item = next(queue, None)
                    if item is None:
                        return
                    work(hand, item)
        except Stopped:
            return
        except BaseException as error:  # raised below, in the thread that asked
            errors.append(error)
            patience.stop()

    working = [threading.Thread(target=run, name=f"weightgate-{number}") for number in range(threads)]
    for thread in working:
        thread.start()
    try:
        for thread in working:
            thread.join()
    except BaseException:  # an interrupt reaches the main thread alone
        patience.stop()
        for thread in working:
            thread.join()
        raise
    if errors:
        raise errors[0]
