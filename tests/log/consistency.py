"""Consistency proofs, which readers of a log make for themselves from its tiles, and a witness is sent."""

from server.log import tree


def consistency_proof(old_size: int, new_size: int, read: tree.Hashes) -> list[bytes]:
    """Return the hashes that show the first tree to be the beginning of the second, lowest first.

    Empty when the old tree is empty or is the whole. Raises IndexError when the old tree is the bigger one.
    Source: RFC 9162, section 2.1.4.1.
    """
    if not 0 <= old_size <= new_size:
        raise IndexError(f"a tree of {new_size} leaves does not begin with one of {old_size}")
    if old_size == 0:
        return []
    spans = []
    begin, end = 0, new_size
    while old_size != end:
        middle = begin + tree._split(end - begin)
        if old_size <= middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((begin, middle))
            begin = middle
    if begin:  # else the old root itself is where the proof starts, and the verifier has it
        spans.append((begin, end))
    return [tree._hash_over(*span, read) for span in reversed(spans)]
