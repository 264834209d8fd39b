"""Policies over pages as their papers describe them: lists, dictionaries, no cleverness. Each returns its misses."""

from __future__ import annotations

from collections.abc import Sequence


def lirs(requests: Sequence[int], capacity: int) -> int:
    """Jiang and Zhang, section 3.2; at most twice the cache in the stack, and who left first is forgotten first."""
    lir_limit = capacity - max(1, capacity // 100)
    stack: list[int] = []  # the top comes last
    queue: list[int] = []  # resident HIR
    lir: set[int] = set()
    ghosts: list[int] = []  # HIR in the stack that are not resident, in the order in which they left

    def top(page: int) -> None:
        if page in stack:
            stack.remove(page)
        stack.append(page)

    def prune() -> None:
        while stack and stack[0] not in lir:
            page = stack.pop(0)
            if page in ghosts:
                ghosts.remove(page)

    def become_lir(page: int) -> None:
        top(page)
        lir.add(page)
        prune()
        if len(lir) > lir_limit and stack[0] != page:
            lir.remove(stack[0])
            queue.append(stack.pop(0))
            prune()

    missed = 0
    for page in requests:
        if page in lir:
            top(page)
            prune()
        elif page in queue:
            queue.remove(page)
            if page in stack:
                become_lir(page)
            else:
                top(page)
                queue.append(page)
        else:
            missed += 1
            if len(lir) + len(queue) == capacity:
                victim = queue.pop(0)
                if victim in stack:
                    ghosts.append(victim)
            if page in ghosts:
                ghosts.remove(page)
                become_lir(page)
            elif len(lir) < lir_limit:
                become_lir(page)
            else:
                top(page)
                queue.append(page)
            while len(stack) > 2 * capacity and ghosts:
                stack.remove(ghosts.pop(0))
    return missed


class Uses:
    """Counts to 15, all of them halved after ten uses a page of the cache."""

    def __init__(self, pages: int, capacity: int) -> None:
        self.counts = [0] * pages
        self.uses = 0
        self.sample = 10 * min(pages, capacity)

    def use(self, page: int) -> None:
        self.counts[page] = min(self.counts[page] + 1, 15)
        self.uses += 1
        if self.uses >= self.sample:
            self.counts = [count // 2 for count in self.counts]
            self.uses //= 2


def tinylfu(requests: Sequence[int], pages: int, capacity: int) -> int:
    """Einziger and others, section 3: LRU, into which nobody comes who is used no more than who would go."""
    uses, held, missed = Uses(pages, capacity), list[int](), 0
    for page in requests:
        uses.use(page)
        if page in held:
            held.remove(page)
            held.append(page)
            continue
        missed += 1
        if len(held) < capacity:
            held.append(page)
        elif uses.counts[page] > uses.counts[held[0]]:
            held = [*held[1:], page]
    return missed


def w_tinylfu(requests: Sequence[int], pages: int, capacity: int) -> int:
    """Einziger and others, section 4: a window of a hundredth, of the rest four fifths protected."""
    uses, missed = Uses(pages, capacity), 0
    window_limit = capacity // 100
    main_limit = capacity - window_limit
    window, probation, protected = list[int](), list[int](), list[int]()
    for page in requests:
        uses.use(page)
        if page in window:
            window.remove(page)
            window.append(page)
        elif page in probation or page in protected:
            (probation if page in probation else protected).remove(page)
            protected.append(page)
            if len(protected) > main_limit * 4 // 5:
                probation.append(protected.pop(0))
        else:
            missed += 1
            window.append(page)
            if len(window) > window_limit:
                candidate = window.pop(0)
                main = probation or protected
                if len(probation) + len(protected) < main_limit:
                    probation.append(candidate)
                elif uses.counts[candidate] > uses.counts[main[0]]:
                    main.pop(0)
                    probation.append(candidate)
    return missed


def lfuda(requests: Sequence[int], sizes: Sequence[int], capacity: int) -> int:
    """Arlitt and others: the count of uses plus the age at the last; ties go to who was used longest ago."""
    age, missed, clock = 0, 0, 0
    held: dict[int, tuple[int, int, int]] = {}  # priority, when, count
    for page in requests:
        clock += 1
        if page in held:
            count = held[page][2] + 1
            held[page] = (age + count, clock, count)
            continue
        missed += 1
        if sizes[page] > capacity:
            continue
        while sum(sizes[other] for other in held) + sizes[page] > capacity:
            victim = min(held, key=lambda other: held[other][:2])
            age = held.pop(victim)[0]
        held[page] = (age + 1, clock, 1)
    return missed
