"""The obviously correct twin of `kernels.taking_out`."""

from __future__ import annotations

from tests.oracle import Links, Rows


def uncovered(pairs: list[list[int]], row: int, chosen: Rows, target: int) -> bool:
    """Whether no chosen row is nearer to `row` than the target is, nor its twin."""
    return all(pairs[row][other] >= pairs[target][row] and pairs[row][other] > 0 for other in chosen)


def without_rows(pairs: list[list[int]], links: Links, taken: set[int], near_links: int) -> Links:
    """Links, nearest first, with those to taken rows exchanged; taken rows keep theirs."""
    return [
        list(own) if row in taken or not taken & set(own) else relinked(pairs, links, taken, row, near_links)
        for row, own in enumerate(links)
    ]


def relinked(pairs: list[list[int]], links: Links, taken: set[int], row: int, near_links: int) -> Rows:
    """The links of one row."""

    def around(hosts: Rows, known: Rows) -> Rows:
        beyond = {other for host in hosts for other in links[host]} - {row, *known} - taken
        return sorted(beyond, key=lambda other: (pairs[row][other], other))

    new = [other for other in links[row] if other not in taken]
    diverse: Rows = []
    for other in links[row]:
        if uncovered(pairs, other, diverse, row):
            diverse.append(other)
    wanted = len(taken & set(diverse))
    diverse = [other for other in diverse if other not in taken]
    lost = [other for other in links[row] if other in taken]
    covered = {other for gone in lost for other in links[gone] if pairs[gone][other] < pairs[row][other]}
    for other in around(lost, new):
        if other in covered and wanted and uncovered(pairs, other, diverse, row):
            new.append(other)
            diverse.append(other)
            wanted -= 1
    rest = around([*lost, *links[row][:near_links]], new)
    return new + rest[: len(links[row]) - len(new)]
