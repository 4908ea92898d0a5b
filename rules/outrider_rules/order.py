"""The order in which things that name one another can be worked out, or the circle they stand in."""

from collections.abc import Iterable, Mapping


def dependency_order(graph: Mapping[str, Iterable[str]]) -> tuple[list[str], list[list[str]]]:
    """Names so that each comes after those it names, and the circles found (each with its first name again at its end).

    Names in a circle, and those that need them, are in the order too; what a circle leaves undefined is for the
    caller to see. Names that are no key of the graph are left out. Without recursion.
    """
    done: list[str] = []
    circles: list[list[str]] = []
    state: dict[str, int] = {}
    for root in graph:
        if root in state:
            continue
        path: list[str] = [root]
        waiting = [iter(graph[root])]
        state[root] = 1
        while path:
            for name in waiting[-1]:
                if name not in graph or state.get(name) == 2:
                    continue
                if state.get(name) == 1:
                    circles.append([*path[path.index(name) :], name])
                    continue
                state[name] = 1
                path.append(name)
                waiting.append(iter(graph[name]))
                break
            else:
                state[path[-1]] = 2
                done.append(path.pop())
                waiting.pop()
    return done, circles
