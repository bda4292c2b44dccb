"""The obviously correct twins of `kernels.taking_out`."""

from __future__ import annotations

from tests.oracle import Codes, Links, Rows


def find_linking(links: Links, taken: set[int]) -> Rows:
    """Rows that stay and link to a taken one."""
    return [row for row, own in enumerate(links) if row not in taken and taken & set(own)]


def find_twins(codes: Codes, links: Links, rows: Rows) -> list[bool]:
    """Which of the rows link to one with equal codes."""
    return [any((codes[row] == codes[other]).all() for other in links[row]) for row in rows]


def copy_codes(codes: Codes, rows: Rows) -> Codes:
    """Codes of some rows, in their order."""
    return codes[rows]


def uncovered(pairs: list[list[int]], row: int, chosen: Rows, target: int) -> bool:
    """Whether no chosen row is nearer to `row` than the target is, nor its twin."""
    return all(pairs[row][other] >= pairs[target][row] and pairs[row][other] > 0 for other in chosen)


def relink_rows(pairs: list[list[int]], links: Links, taken: set[int], near_links: int) -> Links:
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
