"""Which core a web process keeps to.

Python runs one thread of a process at a time. When the threads of one process are spread over several cores, each
change of turns wakes another core: measured on two cores, that took up to a third of a request's CPU time.
"""

from collections import Counter
from collections.abc import Collection, Iterable


def core_for(processes: int, cores: Collection[int], taken: Iterable[int | None]) -> int | None:
    """Return the core for one more of so many processes: the one that the fewest keep to; None to keep to none.

    cores: by number, all that may be used. taken: the core of each process that runs already.
    With more cores than processes, none is tied to one: what else runs on the machine could be on the same.
    """
    if not cores or processes < len(cores):
        return None
    uses = Counter(taken)
    return min(sorted(cores), key=lambda core: uses[core])
