"""Try the judge: `python -m tests.mutations [NAME…]`.

Every scenario runs once with the product as it is, and must be judged good; then once for each of its mutations, and
must be judged bad, unless the mutation says what makes up for it. Prints a line for each run, as rows of the table in
docs/reliability.md. Exits with 1 if one was judged otherwise. With names, only those mutations run, and the scenarios
that they need.
"""

import argparse
import sys
import time
from contextlib import AbstractContextManager, ExitStack

from sternpost.local import LocalStack
from tests.chaos.verdict import Verdict
from tests.mutations.catalogue import BREAKPOINTS, MUTATIONS, Mutation
from tests.mutations.edits import Edit
from tests.mutations.run import DidNotComeAboutError, Run, Scenario, SharedStack
from tests.support.kafka import Kafka, running


def tried(stack: SharedStack, scenario: Scenario, edits: tuple[Edit, ...]) -> Verdict | None:
    """Return the judgement; None if the scenario did not get to where its fault is."""
    try:
        with Run(scenario, (*BREAKPOINTS, *edits), stack) as run:
            return run.verdict()
    except DidNotComeAboutError as error:
        say(f"    {error}")
        return None


def cluster(brokers: int) -> AbstractContextManager[Kafka | LocalStack]:
    """Describe a cluster of so many brokers; `with` starts it."""
    return running() if brokers == 1 else LocalStack(brokers=brokers)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def report(what: str, scenario: Scenario, verdict: Verdict | None, survives: str, begun: float) -> bool:
    """Print the row, and return whether it is as it should be."""
    said = "the scenario did not come about" if verdict is None else str(verdict)
    as_expected = verdict is not None and verdict.good == bool(survives)
    judged = ("" if as_expected else "**not as it should be**: ") + said + (f" ({survives})" if survives else "")
    name = scenario.play.__name__.strip("_").replace("_", " ")
    say(f"| {what} | {name} | {judged} | {time.monotonic() - begun:.0f} s |")
    return as_expected


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__.splitlines()[0])
    known = [mutation.name for mutation in MUTATIONS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    names = parser.parse_args().names
    if unknown := set(names) - set(known):
        parser.error(f"no such mutation: {', '.join(sorted(unknown))}")
    chosen: list[Mutation] = [mutation for mutation in MUTATIONS if not names or mutation.name in names]
    controlled: set[Scenario] = set()
    good = True
    with ExitStack() as exits:
        clusters: dict[int, SharedStack] = {}
        for mutation in chosen:
            scenario = mutation.scenario
            if scenario.brokers not in clusters:
                clusters[scenario.brokers] = SharedStack(exits.enter_context(cluster(scenario.brokers)))
            stack = clusters[scenario.brokers]
            if scenario not in controlled:
                controlled.add(scenario)
                begun = time.monotonic()
                good &= report("none", scenario, tried(stack, scenario, ()), "nothing is broken", begun)
            begun = time.monotonic()
            verdict = tried(stack, scenario, mutation.edits)
            good &= report(f"`{mutation.name}`: {mutation.what}", scenario, verdict, mutation.survives, begun)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
